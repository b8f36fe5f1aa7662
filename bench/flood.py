"""What does a small database feel while its neighbour receives more than a core can do?

One worker, durable. Ten clients of a small database are one room that writes 200 times a second. Beside it another database
is written to by 500 clients in rooms of ten, at rates up to several times what one core can do: its own writes are late
without end, which is its own affair. *small* is what those ten see; the first row has no neighbour. Two generators share a core,
and the flood's yields to the other's (nice): what it still costs shows in `late p99`.
"""

from __future__ import annotations

import os
import time
from typing import Any

from bench import generator
from bench.generator import Load, Process, Report
from bench.harness import Bench, Effort, Measured, Row, main, split_cores, target_of, wrong
from bench.server import Server

SMALL = Load(connections=10, writes_per_second=200)
RATES = (0, 2_000, 20_000)
RATES_FULL = (5_000, 50_000)
AHEAD_SECONDS = 1.0
"""For the flood to have risen before measuring begins."""


def measure(effort: Effort) -> tuple[list[Row], list[Any]]:
    """A row for each rate of the neighbour."""
    rows: list[Row] = []
    details: list[Any] = []
    for rate in RATES + (RATES_FULL if effort.full else ()):
        small = Measured(SMALL, [_flood(rate, effort.seconds) for _ in range(effort.runs)])
        rows.append(
            {
                "neighbour writes/s": rate,
                "small p50": small.median("delivered_ms", "p50"),
                "small p99": small.median("delivered_ms", "p99"),
                "of runs": small.spread("delivered_ms", "p99"),
                "small max": small.median("delivered_ms", "max"),
                "acked p50": small.median("acknowledged_ms", "p50"),
                "acked p99": small.median("acknowledged_ms", "p99"),
                "missing": sum(wrong(run) for run in small.runs),
                "server core": small.median("server_cores"),
                "late p99": small.median("sent_late_ms", "p99"),
            }
        )
        details.append(small.runs)
    return rows, details


def _flood(rate: float, seconds: float) -> Report:
    """One run: the report of the small database."""
    generator.build()
    server_cores, generator_cores = split_cores()
    flooding = Load(connections=500, writes_per_second=max(rate, 1), warmup=0, seconds=AHEAD_SECONDS + 2 + seconds + 60, drain=0)
    with Server(cores=server_cores) as server:
        small = Process(SMALL.lasting(seconds), [*target_of(server), "--ns", "small"], cores=generator_cores)
        flood = Process(flooding, [*target_of(server), "--ns", "flood"], index=1, cores=generator_cores) if rate else None
        try:
            if flood:
                os.setpriority(os.PRIO_PROCESS, flood.pid, 10)
                flood.wait_for("connected")
            small.wait_for("connected")
            if flood:
                flood.go()
                time.sleep(AHEAD_SECONDS)
            small.go()
            small.wait_for("measuring")
            before = server.usage()
            small.wait_for("measured")
            after = server.usage()
            report = generator.merge([small.wait_for("report")])
        finally:
            small.end()
            if flood:
                flood.kill()
    return {**report, "server_cores": round((after.cpu_seconds - before.cpu_seconds) / seconds, 3)}


BENCH = Bench(
    name="flood",
    question=(__doc__ or "").partition("\n")[0],
    not_shown="what the flooding clients themselves see: they sent more than can be done.",
    measure=measure,
)

if __name__ == "__main__":
    main([BENCH])
