"""What latency does a client in a chat of ten see that listens to the last fifty messages?

As rooms.py, but each write adds a child to its room and each client listens with a limit, so that every delivery has a
message that came and one that left. Ten clients of a room ask the same and share one view.
"""

from __future__ import annotations

from typing import Any

from bench.generator import Load
from bench.harness import Bench, Effort, Row, main, under_load

LOADS = tuple([Load(workload="chat", connections=1000, writes_per_second=rate) for rate in (1000, 2000)])


def measure(effort: Effort) -> tuple[list[Row], list[Any]]:
    """A row for each load."""
    measured = [under_load(load.lasting(effort.seconds), effort.runs) for load in LOADS]
    return [one.row() for one in measured], [one.runs for one in measured]


BENCH = Bench(
    name="chat",
    question=(__doc__ or "").partition("\n")[0],
    not_shown="a network, rules, many different queries of one place (queries.py), rooms with years of messages.",
    measure=measure,
)

if __name__ == "__main__":
    main([BENCH])
