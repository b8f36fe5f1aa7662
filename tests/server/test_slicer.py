"""Long work a slice at a time: what comes out, who gets a turn when, and that nothing is left behind."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import Awaitable, Callable, Generator
from itertools import pairwise

import pytest

from meadowlark.errors import Code, Refused
from meadowlark.server.slicer import OVERRUN_SECONDS, SLICE_SECONDS, Slicer


class Clock:
    """Every look at it is half a slice later."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        self.now += SLICE_SECONDS / 2
        return self.now


def run(scenario: Callable[[Slicer], Awaitable[None]]) -> None:
    async def bounded() -> None:
        await asyncio.wait_for(scenario(Slicer(clock=Clock())), 60)

    asyncio.run(bounded())


def counting(name: str, count: int, done: list[str]) -> Generator[None, None, str]:
    for _ in range(count):
        done.append(name)
        yield
    return name * 2


def test_work_gives_its_result_and_others_have_turns_between_its_slices() -> None:
    async def scenario(slicer: Slicer) -> None:
        done: list[str] = []
        work = asyncio.ensure_future(slicer.run(counting("a", 20, done)))
        seen = []
        while not work.done():
            await asyncio.sleep(0)
            seen.append(len(done))
        assert work.result() == "aa"
        assert max(after - before for before, after in pairwise(seen)) == 2

    run(scenario)


def test_all_work_shares_one_slice_a_turn_in_rotation() -> None:
    async def scenario(slicer: Slicer) -> None:
        done: list[str] = []
        works = [slicer.run(counting(name, 6, done)) for name in "abc"]
        assert await asyncio.gather(*works) == ["aa", "bb", "cc"]
        assert "".join(done) == "aabbcc" * 3

    run(scenario)


def test_an_error_reaches_whoever_waits_and_leaves_no_cycle() -> None:
    async def scenario(slicer: Slicer) -> None:
        class Held:
            pass

        def failing(held: Held) -> Generator[None, None, None]:
            yield
            raise Refused(Code.TOO_BIG, "too big")

        held = Held()
        known = weakref.ref(held)
        with pytest.raises(Refused, match="too big") as caught:
            await slicer.run(failing(held))
        assert caught.value.code is Code.TOO_BIG
        del held, caught
        await asyncio.sleep(0)
        assert known() is None

    gc.collect()
    gc.disable()
    try:
        run(scenario)
    finally:
        gc.enable()


def test_work_that_nobody_waits_for_any_more_ends() -> None:
    async def scenario(slicer: Slicer) -> None:
        done: list[str] = []
        steps = counting("a", 1000, done)
        work = asyncio.ensure_future(slicer.run(steps))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        work.cancel()
        with pytest.raises(asyncio.CancelledError):
            await work
        count = len(done)
        assert await slicer.run(counting("b", 1, done)) == "bb"
        assert done[count:] == ["b"]
        with pytest.raises(StopIteration):
            next(steps)

    run(scenario)


def test_work_begun_goes_on_by_itself() -> None:
    async def scenario(slicer: Slicer) -> None:
        done: list[str] = []
        slicer.begin(counting("a", 9, done))
        while len(done) < 9:
            await asyncio.sleep(0)

    run(scenario)


def test_what_is_due_in_a_turn_goes_first_but_only_once() -> None:
    async def scenario(_: Slicer) -> None:
        asked: list[int] = []
        done: list[str] = []

        def should_wait() -> bool:
            asked.append(len(done))
            return True

        await Slicer(should_wait, Clock()).run(counting("a", 6, done))
        assert asked == [0, 2, 4, 6]

    run(scenario)


def test_after_each_slice_others_are_told_so() -> None:
    async def scenario(_: Slicer) -> None:
        done: list[str] = []
        told: list[int] = []
        await Slicer(clock=Clock(), sliced=lambda: told.append(len(done))).run(counting("a", 6, done))
        assert told == [2, 4, 6, 6]

    run(scenario)


def test_a_slice_that_took_long_is_told_with_the_name_of_its_work() -> None:
    async def scenario(_: Slicer) -> None:
        clock = Clock()
        told: list[tuple[str, float]] = []

        def sluggish() -> Generator[None, None, None]:
            yield
            clock.now += OVERRUN_SECONDS * 3
            yield

        slicer = Slicer(clock=clock, overran=lambda work, seconds: told.append((work, seconds)))
        await slicer.run(sluggish())
        await slicer.run(counting("a", 6, []))
        assert [work for work, _ in told] == ["sluggish"]
        assert told[0][1] > OVERRUN_SECONDS * 3

    run(scenario)
