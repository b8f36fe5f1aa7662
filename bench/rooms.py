"""What latency does a client in a room of ten see at 2,000 writes a second?

One worker, durable. Each of the connections listens to its room and writes into it in turn; every write is delivered to
ten listeners. The heavier rows find where one core ends. Under each row is the native build, and the floor: a relay in C
(floor.py).
"""

from __future__ import annotations

from typing import Any

from bench.floor import FLOOR, on_floor
from bench.generator import Load
from bench.harness import Bench, Effort, Row, main, under_load
from bench.native import NAME, source, under_native

LOADS = (Load(connections=1000, writes_per_second=2000), Load(connections=1000, writes_per_second=5000))
LOADS_FULL = (Load(connections=10_000, writes_per_second=2000), Load(connections=1000, writes_per_second=10_000))


def measure(effort: Effort) -> tuple[list[Row], list[Any]]:
    """For each load a row for each build, and one for the floor under it."""
    rows: list[Row] = []
    details: list[Any] = []
    servers = [("meadowlark", under_load), *([(NAME, under_native)] if source() else []), (FLOOR.name, on_floor)]
    for load in LOADS + (LOADS_FULL if effort.full else ()):
        for server, run in servers:
            measured = run(load.lasting(effort.seconds), effort.runs)
            rows.append({"server": server, **measured.row()})
            details.append(measured.runs)
    return rows, details


BENCH = Bench(
    name="rooms",
    question=(__doc__ or "").partition("\n")[0],
    not_shown="a network (everything is loopback), rules, queries, clients slower than the generator, more than one worker.",
    measure=measure,
)

if __name__ == "__main__":
    main([BENCH])
