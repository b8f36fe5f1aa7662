"""What latency do 75,000 clients see that behave as clients do?

Four workers, durable, a database for every twenty clients, rooms of ten. Each client does something every 45 seconds: eight
times in ten it writes into its room, once it reads, once it leaves and is back two seconds later. Generators (one for 15,000
clients, each from a loopback address of its own) and workers share all the cores: the figures are of the whole machine.
Connections of one process are bounded by its open files (`ulimit -Hn`): each worker needs 20,000 for 75,000 clients.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from bench import generator, machine
from bench.generator import Load, Report
from bench.harness import Bench, Effort, Measured, Row, main, target_of
from bench.native import NAME, source
from bench.server import Server

WORKERS = 4
CROWDS = (2_000, 10_000)
CROWDS_FULL = (75_000,)
CLIENTS_PER_GENERATOR = 15_000
CLIENTS_PER_DATABASE = 20
SECONDS_BETWEEN = 45


def measure(effort: Effort) -> tuple[list[Row], list[Any]]:
    """For each size of the crowd a row for each build."""
    rows: list[Row] = []
    details: list[Any] = []
    for clients in CROWDS + (CROWDS_FULL if effort.full else ()):
        load = Load(
            workload="typical",
            connections=clients,
            writes_per_second=clients / SECONDS_BETWEEN,
            databases=clients // CLIENTS_PER_DATABASE,
            connect_rate=2_000,
            drain=10,
        ).lasting(effort.seconds)
        for server, built in (("meadowlark", None), *([(NAME, source())] if source() else [])):
            measured = Measured(load, [_run(load, built) for _ in range(effort.runs)])
            rows.append({"server": server, **_row(load, measured)})
            details.append(measured.runs)
    return rows, details


def _row(load: Load, measured: Measured) -> Row:
    row = measured.row() | {
        "back p50": measured.median("back_ms", "p50"),
        "back p99": measured.median("back_ms", "p99"),
        "connect p99": measured.median("connect_ms", "p99"),
        "writes/s": round(load.writes_per_second),
        "kB a connection": round(measured.median("taken_bytes") / load.connections / 1000, 1),
    }
    for name in ("others", "RSS MB"):
        del row[name]
    return row


def _run(load: Load, built: Path | None) -> Report:
    cores = os.sched_getaffinity(0)
    samples: dict[str, machine.Usage] = {}
    with Server(workers=WORKERS, cores=cores, source=built) as server:
        before = server.usage()

        def sample(moment: str) -> None:
            samples[moment] = server.usage()

        processes = -(-load.connections // CLIENTS_PER_GENERATOR)
        report = generator.run(load, target_of(server), cores=cores, processes=processes, watch=sample)
    spent = samples["measured"].cpu_seconds - samples["measuring"].cpu_seconds
    report["server_cores"] = round(spent / load.seconds, 3)
    report["others_cores"] = 0.0
    report["resident_bytes"] = samples["measured"].resident_bytes
    report["taken_bytes"] = report["resident_bytes"] - before.resident_bytes
    for name in generator.HISTOGRAMS:
        report[name].pop("buckets", None)
    return report


BENCH = Bench(
    name="crowd",
    question=(__doc__ or "").partition("\n")[0],
    not_shown="a network; machines of their own for clients and server; TLS; one database much larger than the others.",
    measure=measure,
)

if __name__ == "__main__":
    main([BENCH])
