"""What does a delivery cost as the connections, the data and the databases grow?

One worker, durable, 1,000 writes a second, value of 64 bytes, one thing growing at a time: connections in rooms of ten; the JSON
that the database holds beside the rooms; the databases over which the rooms (of two) are spread. *µs a delivery* is
the worker's CPU seconds divided by the deliveries, so the write's own cost is in it. Flat is good.
The bound of connections is the machine's limit of open files for one process (`ulimit -Hn`).
"""

from __future__ import annotations

import json
import resource
from typing import Any

from bench.generator import Load, Report
from bench.harness import Bench, Effort, Measured, Row, main, split_cores, target_of, watched_run, wrong
from bench.server import Server

CONNECTIONS = (100, 1000, 5000)
CONNECTIONS_FULL = (10_000, 19_000)
DATABASE_BYTES = (1_000, 100_000, 1_000_000, 10_000_000)
DATABASE_BYTES_FULL = (50_000_000,)
DATABASES = (1, 10, 100, 1000)
DATABASES_FULL = (5000,)
WRITES_PER_SECOND = 1000


def measure(effort: Effort) -> tuple[list[Row], list[Any]]:
    """A row for each size of each of the three."""
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    rows: list[Row] = []
    details: list[Any] = []

    def add(axis: str, size: int, what: str, load: Load, database_bytes: int = 0) -> None:
        measured = Measured(load, [_run(load.lasting(effort.seconds), database_bytes) for _ in range(effort.runs)])
        rows.append(_row(what, measured))
        details.append({"axis": axis, "size": size, "what": what, "runs": measured.runs})

    for count in CONNECTIONS + (CONNECTIONS_FULL if effort.full else ()):
        if count + 500 <= files:
            add("connections", count, f"{count:,} connections", Load(connections=count, writes_per_second=WRITES_PER_SECOND))
        else:
            print(f"{count:,} connections need more open files than this machine allows a process: {files:,}")
    for size in DATABASE_BYTES + (DATABASE_BYTES_FULL if effort.full else ()):
        add("bytes", size, f"{size / 1000:,.0f} kB database", Load(connections=1000, writes_per_second=WRITES_PER_SECOND), size)
    for count in DATABASES + (DATABASES_FULL if effort.full else ()):
        connections = max(2000, count * 2)
        load = Load(connections=connections, room_size=2, databases=count, writes_per_second=WRITES_PER_SECOND)
        add("databases", count, f"{count:,} databases, {connections:,} connections in twos", load)
    return rows, details


def _run(load: Load, database_bytes: int) -> Report:
    with Server(cores=split_cores()[0]) as server:
        if database_bytes:
            _fill(server, database_bytes)
        return watched_run(load, target_of(server), server.usage)


def _row(what: str, measured: Measured) -> Row:
    costs = [run["server_cores"] / run["deliveries_per_second"] * 1e6 for run in measured.runs]
    return {
        "what": what,
        "µs a delivery": round(sorted(costs)[len(costs) // 2], 1),
        "delivered p50": measured.median("delivered_ms", "p50"),
        "delivered p99": measured.median("delivered_ms", "p99"),
        "p99 of runs": measured.spread("delivered_ms", "p99"),
        "acked p99": measured.median("acknowledged_ms", "p99"),
        "missing": sum(wrong(run) for run in measured.runs),
        "server core": measured.median("server_cores"),
        "late p99": measured.median("sent_late_ms", "p99"),
        "RSS MB": round(measured.median("resident_bytes") / 1e6, 1),
    }


def _fill(server: Server, size: int) -> None:
    """Puts about so many bytes of small records beside the rooms."""
    record = {"name": "x" * 40, "at": 1_700_000_000_000, "on": True}
    each = len(json.dumps(record)) + 12
    groups = max(1, size // each // 100)
    records = size // each
    data = {f"g{group}": {f"k{index}": record for index in range(group, records, groups)} for group in range(groups)}
    body = json.dumps(data, separators=(",", ":")).encode()
    server.ask("PUT", "/beside.json?ns=bench&print=silent", body)


BENCH = Bench(
    name="growth",
    question=(__doc__ or "").partition("\n")[0],
    not_shown="loading a database that is not in memory, listeners with queries, more connections than one process may open.",
    measure=measure,
)

if __name__ == "__main__":
    main([BENCH])
