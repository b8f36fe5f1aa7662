"""Does memory grow while clients come, listen, write and go?

One worker, durable. Round after round the same thousand clients connect, listen to their rooms, leave word for their end,
write, vanish, come back, and go; after each round nothing is left but the values that the round before left too. The first
rounds bring what stays: caches, the allocator's pools, the journal's index up to its first snapshot. A row for each quarter of
the rounds; `--seconds` is of one round. `--full` makes a hundred.
"""

from __future__ import annotations

import time
from typing import Any

from bench import generator
from bench.generator import Load
from bench.harness import Bench, Effort, Row, main, split_cores, target_of, wrong
from bench.server import Server

ROUNDS = 8
ROUNDS_FULL = 100
SETTLE_SECONDS = 1.0
"""For what the last clients left to be carried out."""


def measure(effort: Effort) -> tuple[list[Row], list[Any]]:
    """Resident bytes after each round, told by quarters."""
    load = Load(workload="presence", connections=1000, writes_per_second=200, away=0.5, drain=3).lasting(effort.seconds)
    server_cores, generator_cores = split_cores()
    resident: list[int] = []
    writes: list[int] = []
    faults = 0
    with Server(cores=server_cores) as server:
        for _ in range(ROUNDS_FULL if effort.full else ROUNDS):
            report = generator.run(load, target_of(server), cores=generator_cores)
            time.sleep(SETTLE_SECONDS)
            resident.append(server.usage().resident_bytes)
            writes.append(report["writes"] + report["departures"])
            faults += wrong(report) - report["writes_unsent"]  # Whose turn came while they were away.
    rows: list[Row] = []
    quarter = len(resident) // 4
    for number in range(4):
        part = slice(number * quarter, (number + 1) * quarter)
        connections = quarter * load.connections + sum(writes[part]) // 2
        rows.append(
            {
                "rounds": f"{part.start + 1}-{part.stop}",
                "connections": connections,
                "resident MB after": round(resident[part.stop - 1] / 1e6, 1),
                "kB grown a round": round((resident[part.stop - 1] - resident[part.start]) / max(1, quarter - 1) / 1000),
                "missing": faults,
            }
        )
    return rows, [{"resident_bytes": resident, "writes": writes}]


BENCH = Bench(
    name="churn",
    question=(__doc__ or "").partition("\n")[0],
    not_shown="days; databases that come and go; other kinds of clients.",
    measure=measure,
)

if __name__ == "__main__":
    main([BENCH])
