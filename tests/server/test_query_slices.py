"""Two hundred thousand children read and listened to by what a child has, beside a neighbour who asks for one value.

Everything but the worker's process is real: sockets, the shard, the slicer. Time is counted and not measured: a tick is a
function called or left, in Python or in C, so what is said of slices and of the neighbour's wait is the same on every machine.
That no single call takes long is seen by the processor's clock of this thread, which does not run while others have the core.
"""

from __future__ import annotations

import asyncio
import gc
import json
import sys
import time
from collections.abc import Awaitable
from typing import Any

import pytest

from meadowlark.limits import INDEX_IDLE_SECONDS
from meadowlark.query import Query
from meadowlark.server.realtime import RealtimeConnection
from meadowlark.server.slicer import SLICE_SECONDS, Slicer
from meadowlark.testing import MemoryFiles
from meadowlark.tree import pack_slices
from tests.server import rest_server
from tests.server.following import Line
from tests.server.rest_server import Peer, Served, serve
from tests.server.test_shard import Life
from tests.server.test_streams import event
from tests.tree.test_pages_model import finish

COUNT = 200_000
TICK_SECONDS = 50e-9
SLICE_TICKS = int(SLICE_SECONDS / TICK_SECONDS)
"""Where a slice ends, if its steps do."""
STEP_TICKS_MAX = SLICE_TICKS
"""So a slice is at most twice as long."""
WAIT_TICKS_MAX = 5 * SLICE_TICKS
"""For an answer: the question, the reading and the answer meet a slice each, and some of the test itself."""
CPU_SECONDS_MAX = 0.08
"""Of one slice, with the counting: four times what it takes. Sorting all children at once takes thrice that."""
TURNS_MIN = 200
"""Of the slicer, and answers to the neighbour, while an index is made."""


class Ticks:
    def __init__(self) -> None:
        self.count = 0

    def begin(self) -> None:
        gc.disable()  # As in a worker.
        sys.setprofile(self._note)

    def end(self) -> None:
        sys.setprofile(None)
        gc.enable()

    def _note(self, frame: Any, kind: str, argument: Any) -> None:
        self.count += 1

    def nanoseconds(self) -> int:
        return int(self.seconds() * 1e9)

    def seconds(self) -> float:
        return self.count * TICK_SECONDS


class Watched(Slicer):
    """A slicer that knows its longest slice."""

    __slots__ = ("cpu_seconds", "longest", "ticks", "turns")

    def __init__(self, ticks: Ticks) -> None:
        super().__init__(clock=ticks.seconds)
        self.ticks = ticks
        self.reset()

    def reset(self) -> None:
        self.turns = self.longest = 0
        self.cpu_seconds = 0.0

    def _turn(self) -> None:
        count, cpu = self.ticks.count, time.thread_time()
        super()._turn()
        self.turns += 1
        self.longest = max(self.longest, self.ticks.count - count)
        self.cpu_seconds = max(self.cpu_seconds, time.thread_time() - cpu)


class Everything:
    def find(self, path: Any, query: Query) -> bool:
        return True


class Neighbour:
    """Asks again and again, each time after the answer, and knows its longest wait."""

    def __init__(self, ticks: Ticks, peer: Peer) -> None:
        self._ticks = ticks
        self._peer = peer
        self.answers = self.longest = 0

    async def beside(self, work: Awaitable[Any]) -> Any:
        """What `work` gives, which is done meanwhile."""
        self.answers = self.longest = 0
        task = asyncio.ensure_future(work)
        while not task.done():
            before = self._ticks.count
            assert (await self._peer.ask("GET", "/n.json?ns=small"))[0] == 200
            self.answers += 1
            self.longest = max(self.longest, self._ticks.count - before)
        return task.result()


LAST = {"i": "n", "l": 2, "vf": "r"}
REST_LAST = "/many.json?ns=large&orderBy=%22n%22&limitToLast=2"


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_neighbour_waits_for_a_few_slices_while_many_children_are_asked_for_by_a_declared_index(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(rest_server, "SECONDS", 280.0)  # Of fifteen; counting takes its time.
    ticks = Ticks()

    async def test(served: Served) -> None:
        worker: Any = served.worker
        worker.slicer = slicer = Watched(ticks)
        worker.turn.stopwatch.clock = ticks.nanoseconds  # What databases' shares of a turn are reckoned by.
        files = MemoryFiles()
        files.make_folder("data")
        life = Life(files, slicer=slicer)
        worker.shard = life.shard
        hosted = await life.shard.open("large")
        records = {f"k{number:06}": {"n": number * 7919 % COUNT, "text": "x" * 40} for number in range(COUNT)}
        hosted.database.tree.set(("many",), finish(pack_slices(records)))
        hosted.database.indexes = Everything()
        small = await life.shard.open("small")
        small.database.tree.set(("n",), 1)
        neighbour, peer = Neighbour(ticks, await served.connect()), await served.connect()
        last = {f"k{number * pow(7919, -1, COUNT) % COUNT:06}": number for number in (COUNT - 2, COUNT - 1)}
        line, connection = Line(), RealtimeConnection(worker, hosted, "socket", "h")
        connection.opened(line)  # type: ignore[arg-type]

        took: list[float] = []
        """By the longest slice, each time that the index was made, in processor time."""
        ticks.begin()

        async def ask(request: int, action: str, **asked: Any) -> Any:
            body = {"p": "/many", "q": LAST, **asked}
            connection.received(json.dumps({"t": "d", "d": {"r": request, "a": action, "b": body}}).encode())
            while b'"r":%d' % request not in line.written:
                await asyncio.sleep(0)
            return next(message["b"] for message in line.heard if message.get("r") == request)

        async def stream() -> Any:
            reader = await served.connect()
            assert (await reader.ask("GET", REST_LAST, accept="text/event-stream"))[0] == 200
            told = await event(reader)
            reader.close()
            return told

        def shown(value: Any) -> dict[str, int]:
            return {key: child["n"] for key, child in value.items()}

        async def check(work: Awaitable[Any]) -> Any:
            """That `work` has to make the index, and the neighbour hardly notices."""
            while hosted.database._queries.ordering_count:
                life.now_ms += INDEX_IDLE_SECONDS * 1000
                await life.shard.tidy()
                await asyncio.sleep(0.001)
            slicer.reset()
            answer = await neighbour.beside(work)
            assert slicer.turns > TURNS_MIN
            assert neighbour.answers > TURNS_MIN
            check_slices()
            took.append(slicer.cpu_seconds)
            return answer

        def check_slices() -> None:
            assert slicer.longest <= SLICE_TICKS + STEP_TICKS_MAX
            assert neighbour.longest <= WAIT_TICKS_MAX

        assert shown((await check(ask(1, "g")))["d"]) == last
        assert shown(json.loads((await check(peer.ask("GET", REST_LAST)))[2])) == last
        assert await check(ask(2, "q", h="", t=1)) == {"s": "ok", "d": {}}
        assert shown(line.told[-1]["d"]) == last
        # Where the machine is itself a guest and is stopped in the midst of a slice, that counts too; but not each time.
        assert min(took) < CPU_SECONDS_MAX, took

        # The index being there, a stream begins at once; a fourth of all children is read and written in slices too.
        slicer.reset()
        kind, told = await neighbour.beside(stream())
        assert (kind, told["path"], shown(told["data"])) == ("put", "/", last)
        assert slicer.turns == 0
        fourth = f"/many.json?ns=large&orderBy=%22n%22&startAt={COUNT // 4 * 3}"
        _, _, body = await neighbour.beside(peer.ask("GET", fourth))
        assert sorted(shown(json.loads(body)).values()) == list(range(COUNT // 4 * 3, COUNT))
        check_slices()
        connection.closed()

    try:
        serve(test)
    finally:
        ticks.end()
