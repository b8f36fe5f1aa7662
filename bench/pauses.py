"""Does anything pause while millions of nodes are in memory, and does memory grow under load?

One worker, durable, with five million nodes in a database beside the one that is used. Round after round clients come, listen,
leave word for their end, write, vanish and come back; then others write to rooms as fast as half a core can. *collector* is what
the worker's own histogram counts of pauses of Python's cyclic collector since it started. It is off, so there must be none; and
nothing frees a cycle, so that memory which grows round after round is a leak. *lag* is how late the worker's timer was in the
round, so it has every pause of any cause, other programs' use of the core included. A row for each round; `--seconds` is of one.
`--full` makes 30.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

from bench import generator
from bench.generator import Load
from bench.harness import Bench, Effort, Row, main, split_cores, target_of, wrong
from bench.server import Server

GROUPS, RECORDS = 100, 10_000
"""Of records with four fields: with the records themselves five million nodes."""
ROUNDS = 4
ROUNDS_FULL = 30
CYCLES_PER_SECOND = 600
WRITES_PER_SECOND = 2500
SETTLE_SECONDS = 1.0

Histogram = dict[float | None, int]
"""Counts by upper bound in seconds; None: beyond all."""


def measure(effort: Effort) -> tuple[list[Row], list[Any]]:
    """A row for each round, and one before them."""
    seconds = effort.seconds / 2
    loads = (
        Load(workload="presence", connections=1000, writes_per_second=CYCLES_PER_SECOND, away=0.2, drain=3, warmup=0),
        Load(connections=100, room_size=2, writes_per_second=WRITES_PER_SECOND, drain=3, warmup=0),
    )
    rows: list[Row] = []
    details: list[Any] = []
    connections = writes = faults = 0
    with Server(cores=split_cores()[0]) as server:
        _fill(server)
        time.sleep(SETTLE_SECONDS)
        reading = _read(server)
        rows.append(_row("loaded", 0, 0, server, reading, reading, 0))
        for number in range(1, (ROUNDS_FULL if effort.full else ROUNDS) + 1):
            for load in loads:
                report = generator.run(load.lasting(seconds), target_of(server), cores=split_cores()[1])
                connections += report["connections"] + report["departures"]
                writes += report["writes"]
                faults += wrong(report) - report["writes_unsent"]  # Whose turn came while they were away.
            time.sleep(SETTLE_SECONDS)
            before, reading = reading, _read(server)
            rows.append(_row(f"{number}", connections, writes, server, before, reading, faults))
            details.append(_told(reading))
            print(rows[-1], file=sys.stderr, flush=True)
    return rows, details


def _row(name: str, connections: int, writes: int, server: Server, before: Any, after: Any, faults: int) -> Row:
    collector = _histogram(after, "collector_seconds")
    lag = _histogram(after, "loop_lag_seconds")
    for bound, count in _histogram(before, "loop_lag_seconds").items():
        lag[bound] -= count
    return {
        "round": name,
        "connections so far": connections,
        "writes so far": writes,
        "resident MB": round(server.usage().resident_bytes / 1e6, 1),
        "collector pauses": sum(collector.values()),
        "of them over 1 ms": sum(count for bound, count in collector.items() if bound is None or bound > 0.001),
        "lag p50 ms": _quantile(lag, 0.5),
        "lag p99 ms": _quantile(lag, 0.99),
        "missing": faults,
    }


def _told(reading: Any) -> dict[str, Any]:
    """The histograms as they stand."""
    return {name: reading[f"meadowlark_{name}"][""] for name in ("collector_seconds", "loop_lag_seconds")}


def _histogram(reading: Any, name: str) -> Histogram:
    told = reading[f"meadowlark_{name}"][""]
    return dict(zip(told["bounds"], told["counts"], strict=True))


def _quantile(histogram: Histogram, share: float) -> float | str:
    """The bucket's upper bound in milliseconds."""
    filled = sorted((bound, count) for bound, count in histogram.items() if bound is not None and count)
    wanted = share * sum(count for _, count in filled)
    seen = 0
    for bound, count in filled:
        seen += count
        if seen >= wanted:
            return round(bound * 1000, 2)
    return ""


def _fill(server: Server) -> None:
    for group in range(GROUPS):
        records = {f"r{index:05}": {"n": f"name {index}", "a": index, "b": group, "on": True} for index in range(RECORDS)}
        server.ask("PUT", f"/mass/g{group}.json?ns=mass&print=silent", json.dumps(records, separators=(",", ":")).encode())


def _read(server: Server) -> Any:
    """What the worker counts."""
    return json.loads(server.ask("GET", "/.meadowlark/metrics.json"))[0]


BENCH = Bench(
    name="pauses",
    question=(__doc__ or "").partition("\n")[0],
    not_shown="days; what a collection would take if it were on; databases that come and go.",
    measure=measure,
)

if __name__ == "__main__":
    main([BENCH])
