"""Does anything stay of half a million connections, while five million nodes are in memory?

    python -m bench.lifetimes

A worker's real parts (connections, session, engine, shard, outboxes, lanes) between lines that read and write nothing and a
journal that keeps nothing, so that what takes a worker hours takes minutes. Each connection listens to a room of ten, leaves word
for its end, writes six times, now and then reads or stops listening, and ends. The cyclic collector is off, as in a worker: what
is resident after each round shows what stays, and *more objects* how many containers were made since the start and not freed. At
the end the collector is called once: *garbage* is what it finds, which is what workers would have lost, and *collection* the
pause that they are spared.
"""

from __future__ import annotations

import asyncio
import gc
import os
import time
from collections import deque
from itertools import count
from types import SimpleNamespace
from typing import Any

import orjson

from bench.harness import Row
from bench.path import Line, Loop
from bench.script import show
from meadowlark.engine import Open
from meadowlark.journal import Databases, Snapshots
from meadowlark.journal.files import ensure_folders
from meadowlark.server.expiries import Expiries
from meadowlark.server.hosted import Hosted
from meadowlark.server.large_writes import LargeWrites
from meadowlark.server.outbox import Turn
from meadowlark.server.realtime import RealtimeConnection
from meadowlark.server.shard import Shard
from meadowlark.server.slicer import Slicer
from meadowlark.server.stopwatch import Stopwatch
from meadowlark.testing import MemoryFiles
from meadowlark.tree import decode_packed_slices

ROUNDS = 10
CONNECTIONS = 50_000
"""Of a round."""
WRITES = 6
"""Of a connection."""
OPEN_MAX = 200
"""Connections at a time."""
GROUPS, RECORDS = 100, 10_000
"""Of records with four fields."""

ROWS: list[Row] = []


class Journal:
    """Durable at once, and forgotten."""

    backlog_bytes = 0

    def __init__(self) -> None:
        self.shard: Shard | None = None
        self.record_count = 0

    def append(self, name: str, sequence: int, body: bytes, waiter: Any) -> None:
        self.record_count += 1
        if waiter is not None and self.shard is not None:
            self.shard.durable([waiter])

    def records(self, name: str, after: int) -> Any:
        return iter(())


async def main() -> None:
    loop: Any = Loop()
    files = MemoryFiles()
    files.make_folder("data")
    ensure_folders(files, "data")
    turn = Turn(loop, Stopwatch(count(1000, 1000).__next__))
    journal: Any = Journal()
    settings = SimpleNamespace(create_databases=True, durability="durable", idle_database_seconds=600.0)
    slicer = Slicer()
    shard = Shard(
        journal,
        Snapshots(files, "data"),
        Databases(files, "data"),
        Open(),
        settings,
        lambda: 1_700_000_000_000,
        turn.stopwatch,
        slicer,
        lanes=turn.lanes,
    )
    journal.shard = shard
    host: Any = SimpleNamespace(
        shard=shard,
        turn=turn,
        sessions=set(),
        expiries=Expiries(),
        large_writes=LargeWrites(slicer, lambda: 1_700_000_000_000),
        slicer=slicer,
        tells_drops=False,
        now_ms=lambda: 1_700_000_000_000,
    )
    mass = await shard.open("mass")
    mass.database.tree.root = _mass()
    nodes = 1 + GROUPS * (1 + RECORDS * 5)
    hosted = await shard.open("rooms")
    hosted.snapshot_bytes = 1 << 60  # No snapshot: there is nothing to shorten.
    gc.collect()
    gc.freeze()
    gc.disable()
    ROWS.append(_row(f"{nodes:,} nodes", 0, journal.record_count))
    for number in range(1, ROUNDS + 1):
        _live(host, loop, hosted)
        ROWS.append(_row(f"round {number}", number * CONNECTIONS, journal.record_count))
    gc.unfreeze()
    started_at = time.perf_counter()
    garbage = gc.collect()
    pause = time.perf_counter() - started_at
    ROWS.append({**_row("collector called", ROUNDS * CONNECTIONS, journal.record_count), "garbage": garbage})
    ROWS[-1]["collection ms"] = round(pause * 1000, 1)
    show(__doc__, ROWS)


def _live(host: Any, loop: Loop, hosted: Hosted) -> None:
    """A round of connections, OPEN_MAX of which are open at a time."""
    line: Any = Line()
    open_: deque[RealtimeConnection] = deque()
    for number in range(CONNECTIONS):
        connection = RealtimeConnection(host, hosted, f"session {number}", "h")
        connection.opened(line)
        open_.append(connection)
        room = f"/rooms/r{number // 10 % 1000}"
        seat = f"{room}/s{number % 10}"
        messages = [("q", {"p": room, "h": ""}), ("o", {"p": f"{seat}/online", "d": False})]
        messages += [("p", {"p": seat, "d": {"online": True, "n": number + write}}) for write in range(WRITES)]
        if number % 7 == 0:
            messages.append(("g", {"p": room, "q": {}}))
        if number % 5 == 0:
            messages.append(("n", {"p": room}))
        for request, (action, body) in enumerate(messages):
            connection.received(orjson.dumps({"t": "d", "d": {"r": request, "a": action, "b": body}}))
        while len(open_) > OPEN_MAX:
            open_.popleft().closed()
        _settle(host, loop)
    while open_:
        open_.popleft().closed()
    _settle(host, loop)


def _settle(host: Any, loop: Loop) -> None:
    loop.turn()
    while host.turn.lanes.has_waiting or host.turn.is_due:
        loop.turn()


def _mass() -> Any:
    """Packed, as a snapshot of it would be loaded."""
    records = {f"r{index:05}": {"n": f"name {index}", "a": index, "b": index % 7, "on": True} for index in range(RECORDS)}
    text = orjson.dumps(records)
    whole = b"{" + b",".join([b'"g%d":%b' % (group, text) for group in range(GROUPS)]) + b"}"
    steps = decode_packed_slices(whole)
    while True:
        try:
            next(steps)
        except StopIteration as stop:
            return stop.value


def _row(what: str, connections: int, records: int) -> Row:
    with open("/proc/self/statm", "rb") as statm:
        pages = int(statm.read().split()[1])
    return {
        "what": what,
        "connections": connections,
        "records": records,
        "resident MB": round(pages * os.sysconf("SC_PAGE_SIZE") / 1e6, 1),
        "more objects": gc.get_count()[0],
        "garbage": "",
        "collection ms": "",
    }


if __name__ == "__main__":
    asyncio.run(main())
