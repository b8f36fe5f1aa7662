"""What do 10,000 clients that reconnect at once cost those who stayed?

One worker, durable. A thousand clients go on in rooms of ten while the others, who listen to rooms of their own, drop and come
back at once, as after a broken proxy: connect, upgrade, authenticate, listen. One who is refused tries again when the server
says, or after a second. *stayed* is the delivered latency of those who go on; its worst second is the storm's. *back* is from
the drop until a client has its room again. The first row has no storm.
Two generators share a core, and the stormers' yields to the other's (nice): what it still costs shows in `late p99`.
"""

from __future__ import annotations

import os
import time
from typing import Any

from bench import generator, machine
from bench.generator import Load, Process, Report
from bench.harness import Bench, Effort, Measured, Row, main, split_cores, target_of, wrong
from bench.server import Server

STAYING = Load(connections=1000, writes_per_second=1000)
STORMS = (0, 1000, 5000)
STORMS_FULL = (10_000, 15_000)
QUIET_SECONDS = 2.0
"""Between the beginning of measuring and the storm."""
BACK_SECONDS_MAX = 60.0


def measure(effort: Effort) -> tuple[list[Row], list[Any]]:
    """A row for each size of storm."""
    rows: list[Row] = []
    details: list[Any] = []
    for stormers in STORMS + (STORMS_FULL if effort.full else ()):
        stayed = Measured(STAYING, [_storm(stormers, effort.seconds) for _ in range(effort.runs)])
        storms = [run["storm"] for run in stayed.runs]
        came_back = Measured(STAYING, [storm for storm in storms if storm])
        rows.append(
            {
                "stormers": stormers,
                "stayed p50": stayed.median("delivered_ms", "p50"),
                "stayed p99": stayed.median("delivered_ms", "p99"),
                "worst second p99": stayed.median("worst_second_p99"),
                "of runs": stayed.spread("worst_second_p99"),
                "stayed max": stayed.median("delivered_ms", "max"),
                "back p50 s": _seconds(came_back, "p50"),
                "all back s": _seconds(came_back, "max"),
                "retries": sum(storm["retries"] for storm in came_back.runs),
                "not back": sum(storm["away"] for storm in came_back.runs),
                "missing": sum(wrong(run) for run in stayed.runs),
                "server core": stayed.median("server_cores"),
                "late p99": stayed.median("sent_late_ms", "p99"),
            }
        )
        details.append(stayed.runs)
    return rows, details


def _seconds(measured: Measured, name: str) -> float | str:
    return round(measured.median("back_ms", name) / 1000, 2) if measured.runs else ""


def _storm(stormers: int, seconds: float) -> Report:
    """One run: the report of those who stayed, in it that of the storm."""
    generator.build()
    server_cores, generator_cores = split_cores()
    storming = Load(
        workload="storm",
        connections=max(stormers, 1),
        writes_per_second=1 / BACK_SECONDS_MAX,  # One storm, at once.
        warmup=0,
        seconds=max(1.0, seconds - QUIET_SECONDS),
        drain=BACK_SECONDS_MAX,
    )
    with Server(cores=server_cores) as server:
        staying = Process(STAYING.lasting(seconds), target_of(server), cores=generator_cores)
        others = Process(storming, target_of(server), index=1, cores=generator_cores) if stormers else None
        try:
            if others:
                os.setpriority(os.PRIO_PROCESS, others.pid, 10)
                others.wait_for("connected")
            staying.wait_for("connected")
            staying.go()
            staying.wait_for("measuring")
            before = server.usage()
            time.sleep(QUIET_SECONDS)
            if others:
                others.go()
            staying.wait_for("measured")
            after = server.usage()
            stayed = generator.merge([staying.wait_for("report")])
            storm = generator.merge([others.wait_for("report")]) if others else None
        finally:
            staying.end()
            if others:
                others.end()
    return {**stayed, "storm": storm, **_used(before, after, seconds)}


def _used(before: machine.Usage, after: machine.Usage, seconds: float) -> Report:
    return {"server_cores": round((after.cpu_seconds - before.cpu_seconds) / seconds, 3), "resident_bytes": after.resident_bytes}


BENCH = Bench(
    name="storm",
    question=(__doc__ or "").partition("\n")[0],
    not_shown="TLS handshakes, which cost more than all the rest; clients that wait a random time before they try.",
    measure=measure,
)

if __name__ == "__main__":
    main([BENCH])
