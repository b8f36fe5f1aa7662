"""What does one write cost between the socket's read and its writes?

    python -m bench.path

A worker's real parts (connections, session, engine, shard, outboxes, stopwatch, journal) on a disk in memory, between lines
that read and write nothing: what is measured is our own code, not the kernel's, the loop's or picows'. Microseconds of CPU
for one write, by how many listen to it, and how many are handled in a turn; the best of several rounds, without the collector,
as in a worker.
The row `build` says whether the compiled modules were used.
"""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Callable
from itertools import count
from types import SimpleNamespace
from typing import Any

import orjson

from bench.harness import Row
from bench.script import show
from meadowlark.auth.tokens import DevVerifier
from meadowlark.engine import Open
from meadowlark.journal import Databases, Journal, Snapshots
from meadowlark.journal.files import ensure_folders
from meadowlark.server.build import BUILD
from meadowlark.server.outbox import Turn
from meadowlark.server.realtime import RealtimeConnection
from meadowlark.server.shard import Shard
from meadowlark.server.stopwatch import Stopwatch
from meadowlark.testing import MemoryFiles

ROUNDS = 7
WRITES = 5_000
"""Of a round."""

ROWS: list[Row] = []


class Loop:
    """Turns when it is told to."""

    def __init__(self) -> None:
        self._soon: list[Callable[[], Any]] = []

    def call_soon(self, callback: Callable[[], Any]) -> None:
        self._soon.append(callback)

    def turn(self) -> None:
        soon, self._soon = self._soon, []
        for callback in soon:
            callback()


class Line:
    """Carries nothing."""

    def write(self, data: bytes) -> None: ...

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...


async def main() -> None:
    gc.disable()
    for listeners, per_turn in ((1, 1), (10, 1), (10, 8), (1000, 1)):
        writes = WRITES if listeners < 100 else WRITES // 50
        ROWS.append(
            {
                "listeners": listeners,
                "writes a turn": per_turn,
                "µs a write": round(await _measure(listeners, per_turn, writes) * 1e6, 2),
            }
        )
    ROWS.append({"listeners": "build", "writes a turn": BUILD, "µs a write": ""})
    show(__doc__, ROWS)


async def _measure(listeners: int, per_turn: int, writes: int) -> float:
    """CPU seconds for one write."""
    loop: Any = Loop()
    files = MemoryFiles()
    files.make_folder("data")
    ensure_folders(files, "data", "journal-1", "0")
    # By this clock nothing is slow, so that other work on the machine makes nobody wait for a share of the loop.
    turn = Turn(loop, Stopwatch(count(1000, 1000).__next__))
    journal = Journal(
        files,
        "data/journal-1/0",
        worker=0,
        wake=lambda callback, *arguments: callback(*arguments),
        on_durable=lambda waiters: shard.durable(waiters),
        on_failed=lambda waiters, error: shard.failed(waiters, error),
    )
    journal.open()
    settings = SimpleNamespace(create_databases=True, durability="durable", idle_database_seconds=600.0)
    databases = Databases(files, "data")
    shard = Shard(journal, Snapshots(files, "data"), databases, Open(), settings, lambda: 1_700_000_000_000, turn.stopwatch)
    host: Any = SimpleNamespace(shard=shard, turn=turn, sessions=set(), verifier=DevVerifier(), now_ms=lambda: 1_700_000_000_000)
    hosted = await shard.open("bench")
    hosted.snapshot_bytes = 1 << 40  # No snapshot in the middle.
    line: Any = Line()
    rooms = []
    for room in range(max(1, 100 // listeners)):
        connections = []
        for seat in range(listeners):
            connection = RealtimeConnection(host, hosted, f"s{room}-{seat}", "h")
            connection.opened(line)
            connection.received(b'{"t":"d","d":{"r":1,"a":"q","b":{"p":"/rooms/%d","h":""}}}' % room)
            for _ in range(4):
                connection.received(b'{"t":"d","d":{"r":2,"a":"g","b":{"p":"/nothing"}}}')
                turn.lanes.settle()
            connections.append(connection)
        rooms.append(connections)
    for _ in range(1000):
        loop.turn()
    value = orjson.dumps("x" * 64)
    frames = []
    for number in range(writes):
        room = number % len(rooms)
        seat = number // len(rooms) % listeners
        text = b'{"t":"d","d":{"r":%d,"a":"p","b":{"p":"/rooms/%d/s%d","d":%b}}}' % (number + 10, room, seat, value)
        frames.append((rooms[room][seat], memoryview(text)))
    best = 1e9
    for _ in range(ROUNDS):
        started_at = time.process_time()
        for start in range(0, writes, per_turn):
            for connection, text in frames[start : start + per_turn]:
                connection.received(text)
            loop.turn()
            journal.drain()
            for _ in range(4):
                loop.turn()
        best = min(best, time.process_time() - started_at)
    assert turn.stopwatch.metrics.replies >= writes * ROUNDS
    return best / writes


if __name__ == "__main__":
    asyncio.run(main())
