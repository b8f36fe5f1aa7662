"""How many deliveries a second does one room of 1,000 get from one core?

One worker, durable, all clients in one room, the rate of writes raised step by step. The rate that a core holds is the
highest whose p99 stays under 20 ms with nothing missing; beyond it the queue grows and latency with it.
"""

from __future__ import annotations

from typing import Any

from bench.floor import FLOOR, on_floor
from bench.generator import Load
from bench.harness import Bench, Effort, Row, main, under_load, wrong
from bench.native import NAME, source, under_native

LISTENERS = 1000
RATES = (100, 300, 500)
RATES_FULL = (700, 900)
P99_MS_MAX = 20.0


def measure(effort: Effort) -> tuple[list[Row], list[Any]]:
    """For each rate a row for each build and for the floor, until one is too much for the core."""
    rows: list[Row] = []
    details: list[Any] = []
    servers = [(FLOOR.name, on_floor), *([(NAME, under_native)] if source() else []), ("meadowlark", under_load)]
    for rate in RATES + (RATES_FULL if effort.full else ()):
        load = Load(workload="hot", connections=LISTENERS, room_size=LISTENERS, writes_per_second=rate)
        for server, run in servers:
            measured = run(load.lasting(effort.seconds), effort.runs)
            held = measured.median("delivered_ms", "p99") < P99_MS_MAX and not any(wrong(one) for one in measured.runs)
            rows.append({"server": server, **measured.row(), "held": "yes" if held else "no"})
            details.append(measured.runs)
        if measured.median("deliveries_per_second") < 0.9 * rate * LISTENERS:
            break
    return rows, details


BENCH = Bench(
    name="hot_room",
    question=(__doc__ or "").partition("\n")[0],
    not_shown="a network, values larger than 64 bytes, listeners with queries, clients that read slowly.",
    measure=measure,
)

if __name__ == "__main__":
    main([BENCH])
