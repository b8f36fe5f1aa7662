"""What do idle connections cost in CPU?

One worker, production mode. So many authenticated clients connect and then do what an SDK does on a silent connection: a
keepalive every 45 seconds, and answers to the server's pings. *of a core* is the worker's CPU seconds over the measured time;
the first row, with one connection, is what the worker spends anyway. Measure for 60 seconds or more: a
keepalive comes every 45, and a ping where nothing came for 48 (`--seconds 60`).
The last row is the floor: a relay in C that reads the keepalives of as many and does nothing about them. To be woken for a few
bytes, again and again, costs a server on an idle virtual core what the machine makes of it.
"""

from __future__ import annotations

import statistics
from typing import Any

from bench.floor import FLOOR, on_floor
from bench.generator import Load
from bench.harness import Bench, Effort, Measured, Row, main, under_load

COUNTS = (1, 1000, 5000)
COUNTS_FULL = (10_000, 18_000)
SETTLE_SECONDS = 3.0


def measure(effort: Effort) -> tuple[list[Row], list[Any]]:
    """A row for each number of connections, and one for the floor at the last."""
    rows: list[Row] = []
    details: list[Any] = []
    counts = COUNTS + (COUNTS_FULL if effort.full else ())
    for server, run, count in [*(("meadowlark", under_load, count) for count in counts), (FLOOR.name, on_floor, counts[-1])]:
        load = Load(workload="idle", idle=True, connections=count, warmup=SETTLE_SECONDS, drain=0).lasting(effort.seconds)
        measured = run(load, effort.runs)
        rows.append(_row(server, count, measured))
        details.append(measured.runs)
    return rows, details


def _row(server: str, count: int, measured: Measured) -> Row:
    taken = measured.median("resident_bytes") - measured.median("resident_bytes_before")
    shares = sorted(run["server_cores"] for run in measured.runs)
    return {
        "server": server,
        "connections": count,
        "of a core": f"{statistics.median(shares):.2%}",
        "of runs": f"{shares[0]:.2%}-{shares[-1]:.2%}",
        "kB a connection": round(taken / count / 1000, 1) if count > 1 else "",
        "connect p50": measured.median("connect_ms", "p50"),
        "connect max": measured.median("connect_ms", "max"),
        "failed or lost": sum(run["failed"] + run["lost"] for run in measured.runs),
        "generator": measured.median("generator_cores"),
    }


BENCH = Bench(
    name="idle",
    question=(__doc__ or "").partition("\n")[0],
    not_shown="TLS; anything below 10 ms of CPU, the kernel's tick: over ten seconds that is 0.1 % of a core.",
    measure=measure,
)

if __name__ == "__main__":
    main([BENCH])
