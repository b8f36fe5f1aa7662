"""How soon do the others hear that someone came, and that someone is gone?

One worker, durable, rooms of ten. Each client listens to its room, leaves word for its end (onDisconnect), says that it is
there, and some time later vanishes: its socket is closed without a word. Two seconds later it is back. *left* is from when it
was due to vanish until a room mate has read its word; *joined* from when it was due to connect again, handshakes and listen
included, until each in the room has read that it is there (it too).
"""

from __future__ import annotations

from typing import Any

from bench.generator import Load
from bench.harness import Bench, Effort, Row, main, under_load, wrong

LOADS = (
    Load(workload="presence", connections=1000, writes_per_second=20),
    Load(workload="presence", connections=1000, writes_per_second=100),
)
LOADS_FULL = (Load(workload="presence", connections=10_000, writes_per_second=200),)


def measure(effort: Effort) -> tuple[list[Row], list[Any]]:
    """A row for each rate of leaving."""
    rows: list[Row] = []
    details: list[Any] = []
    for load in LOADS + (LOADS_FULL if effort.full else ()):
        measured = under_load(load.lasting(effort.seconds), effort.runs)
        rows.append(
            {
                "connections": load.connections,
                "leave/s": load.writes_per_second,
                "left p50": measured.median("left_ms", "p50"),
                "left p99": measured.median("left_ms", "p99"),
                "p99 of runs": measured.spread("left_ms", "p99"),
                "left max": measured.median("left_ms", "max"),
                "joined p50": measured.median("joined_ms", "p50"),
                "joined p99": measured.median("joined_ms", "p99"),
                "joined max": measured.median("joined_ms", "max"),
                "missing": sum(wrong(run) + run["away"] for run in measured.runs),
                "server core": measured.median("server_cores"),
                "generator": measured.median("generator_cores"),
                "late p99": measured.median("sent_late_ms", "p99"),
            }
        )
        details.append(measured.runs)
    return rows, details


BENCH = Bench(
    name="presence",
    question=(__doc__ or "").partition("\n")[0],
    not_shown="connections that die without closing: those end only when the server's pings go unanswered; TLS handshakes.",
    measure=measure,
)

if __name__ == "__main__":
    main([BENCH])
