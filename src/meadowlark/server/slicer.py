"""Long work beside everyone else: a little of it in each turn of the loop, one piece of work after the other.

Work is a generator that yields often, after a millisecond or so, and returns its result. However much work waits, a turn
does about SLICE_SECONDS of it, and what arrives meanwhile is handled, and answered, before the next. So whoever asked for
something large waits, and for others a turn is longer by one slice. A slice that takes much longer is told to `overran`.
Does not know: what the work is.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Generator
from typing import Any, TypeVar

import structlog

log = structlog.get_logger()

SLICE_SECONDS = 0.0005
"""Steps that are shorter share a turn."""
OVERRUN_SECONDS = 0.005
"""A slice that took longer had a step that is too long, or lost the core to another process meanwhile."""

Result = TypeVar("Result")
Steps = Generator[None, None, Any]


class Slicer:
    """One a worker."""

    __slots__ = ("_clock", "_has_stepped_aside", "_is_going", "_loop", "_overran", "_should_wait", "_sliced", "_works")

    def __init__(
        self,
        should_wait: Callable[[], bool] = lambda: False,
        clock: Callable[[], float] = time.perf_counter,
        overran: Callable[[str, float], object] = lambda work, seconds: None,
        sliced: Callable[[], object] = lambda: None,
    ) -> None:
        """should_wait: whether something that takes little time is due in this turn; it goes first. overran: told the name of
        the work and how long a slice of it took, if that was over OVERRUN_SECONDS. sliced: called after each slice."""
        self._should_wait = should_wait
        self._sliced = sliced
        self._overran = overran
        self._has_stepped_aside = False
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self._works: deque[_Work] = deque()
        self._is_going = False

    @property
    def is_closed(self) -> bool:
        """Whether nothing is done any more, because the loop has ended."""
        return self._loop.is_closed()

    async def run(self, steps: Generator[None, None, Result]) -> Result:
        """What `steps` returns, or raises. Whoever is cancelled while waiting ends the work too."""
        work = _Work(steps)
        self._add(work)
        try:
            await work.done
        finally:
            work.steps.close()
        error = work.error
        if error is not None:
            try:
                raise error
            finally:
                del error, work  # The traceback that is made here holds this frame: a cycle, and nobody collects.
        result: Result = work.result
        return result

    def begin(self, steps: Steps) -> None:
        """Does `steps`, for whose end nobody waits; if they fail, the log says so."""
        self._add(_Work(steps, is_awaited=False))

    def _add(self, work: _Work) -> None:
        self._works.append(work)
        if not self._is_going:
            self._is_going = True
            self._loop.call_soon(self._turn)

    def _turn(self) -> None:
        """A slice of the work that has waited longest."""
        # Once only, or work would wait for as long as others are busy.
        self._has_stepped_aside = not self._has_stepped_aside and self._should_wait()
        if self._has_stepped_aside:
            self._loop.call_soon(self._turn)
            return
        work = self._works.popleft()
        if not work.is_over():
            started_at = self._clock()
            now, end = started_at, started_at + SLICE_SECONDS
            while work.step():
                now = self._clock()
                if now >= end:
                    self._works.append(work)
                    break
            else:
                now = self._clock()
            if now - started_at > OVERRUN_SECONDS:
                self._overran(work.name, now - started_at)
            self._sliced()
        self._is_going = bool(self._works)
        if self._is_going:
            self._loop.call_soon(self._turn)


class _Work:
    """Steps on their way to a result or an error."""

    __slots__ = ("_is_awaited", "done", "error", "result", "steps")

    def __init__(self, steps: Steps, *, is_awaited: bool = True) -> None:
        self._is_awaited = is_awaited
        self.steps = steps
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.result: Any = None
        self.error: BaseException | None = None

    @property
    def name(self) -> str:
        """Of the function whose steps these are."""
        return str(getattr(self.steps, "__name__", "work")).strip("_")  # Which the type of a generator does not tell.

    def is_over(self) -> bool:
        """Whether nobody waits any more."""
        return self.done.cancelled()

    def step(self) -> bool:
        """Does one step; False when it was the last."""
        try:
            next(self.steps)
            return True
        except StopIteration as stop:
            self.result = stop.value
        except Exception as error:  # Whatever it is, it belongs to whoever waits.
            if not self._is_awaited:
                log.error("work failed", exc_info=error)
            self.error = error.with_traceback(None)
        if not self.done.done():
            self.done.set_result(None)
        return False
