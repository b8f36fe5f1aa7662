"""Fifty megabytes written, read, streamed, changed and removed: how long the longest step is, in processor time.

Everything else on the worker waits for a step that has begun. test_neighbour.py sees that others are answered; here no long step
can hide among many short ones. It is the thread's processor time that counts, so other programs do not.
"""

from __future__ import annotations

import gc
import json
import time
from collections.abc import Generator, Iterator
from typing import Any

import pytest

from meadowlark.engine import Command
from meadowlark.server.hosted import Hosted
from meadowlark.server.large_writes import LargeWrites
from meadowlark.server.slicer import Slicer
from tests.server.rest_server import Served, serve
from tests.server.test_neighbour import BODY

pytestmark = [pytest.mark.slow, pytest.mark.timeout(800)]

STEP_SECONDS_MAX = 0.05
"""Steps are meant to take a millisecond or two; a core whose caches others empty takes several times as long. In one step,
to write these values takes a second and to encode them a third of one."""
ATTEMPTS = 3
"""Where the machine is itself a guest and is stopped in the midst of a step, that counts as the step's time; but what is one long
step is one in each attempt."""
SECONDS = 240.0
"""For all of it; it is twenty seconds of processor time, client included."""


class MeteredSlicer(Slicer):
    """One that notes what each step took."""

    def __init__(self) -> None:
        super().__init__()
        self.steps: list[float] = []

    async def run(self, steps: Generator[None, None, Any]) -> Any:
        return await super().run(self._timed(steps))

    def begin(self, steps: Generator[None, None, Any]) -> None:
        super().begin(self._timed(steps))

    def _timed(self, steps: Generator[None, None, Any]) -> Generator[None, None, Any]:
        while True:
            started_at = time.thread_time()
            try:
                next(steps)
            except StopIteration as stop:
                return stop.value
            finally:
                self.steps.append(time.thread_time() - started_at)
            yield


def metered(served: Served) -> list[float]:
    """What each step of work in slices, and each command to the engine, takes from now on."""
    worker = served.worker
    slicer = worker.slicer = MeteredSlicer()
    worker.large_writes = LargeWrites(slicer, worker.now_ms)
    worker.shard.keeps_entries = False
    real_apply = worker.shard.apply

    def apply(hosted: Hosted, command: Command, read_at: int = 0) -> None:
        started_at = time.thread_time()
        real_apply(hosted, command, read_at)
        slicer.steps.append(time.thread_time() - started_at)

    worker.shard.apply = apply  # type: ignore[method-assign]
    return slicer.steps


@pytest.fixture
def without_collector() -> Iterator[None]:
    """As in a worker."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("without_collector")
def test_no_step_of_fifty_megabytes_keeps_others_waiting() -> None:
    longest: dict[str, float] = {}
    """Of each part, in the attempt in which it was shortest."""

    async def test(served: Served) -> None:
        steps = metered(served)
        peer, hearing = await served.connect(), await served.connect()
        value = json.loads(BODY)

        def check(what: str, least: int) -> None:
            longest[what] = min(max(steps), longest.get(what, SECONDS))
            assert len(steps) >= least, what
            steps.clear()

        assert (await peer.ask("PUT", "/big.json?print=silent", BODY))[0] == 204
        check("written", 400)
        assert json.loads((await peer.ask("GET", "/big.json"))[2]) == value
        check("read", 400)
        assert (await peer.ask("GET", "/big.json", x_firebase_etag="true"))[1]["etag"]
        check("hashed and read", 400)
        assert (await hearing.ask("GET", "/big.json", accept="text/event-stream"))[0] == 200
        for what in ("put", "changed"):
            assert await hearing.line() == b"event: put"
            assert json.loads((await hearing.line()).removeprefix(b"data: ")) == {"path": "/", "data": value}
            assert await hearing.line() == b""
            check(f"streamed, {what}", 400)
            if what == "put":
                assert (await peer.ask("PUT", "/big.json?print=silent", BODY))[0] == 204
        assert (await peer.ask("DELETE", "/big.json"))[2] == b"null"
        assert await hearing.line() == b"event: put"
        assert await hearing.line() == b'data: {"path":"/","data":null}'
        check("removed", 1)

    for _ in range(ATTEMPTS):
        serve(test, seconds=SECONDS)
        if max(longest.values()) < STEP_SECONDS_MAX:
            break
    assert max(longest.values()) < STEP_SECONDS_MAX, longest
