"""Telling thousands: a slice at a time, in an order that nobody can tell from telling all at once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from itertools import count

from meadowlark.engine import Leave, Listen, Open, Push, Set, Unlisten
from meadowlark.journal import Databases, Journal, Snapshots
from meadowlark.journal.files import ensure_folders
from meadowlark.server.fan_out import SLICE_LISTENERS, WHOLE_LISTENERS_MAX
from meadowlark.server.hosted import Hosted
from meadowlark.server.lanes import SHARE_NANOSECONDS, Lanes
from meadowlark.server.shard import Shard
from meadowlark.server.stopwatch import Stopwatch
from meadowlark.testing import MemoryFiles
from tests.server.test_shard import NOW, Caller, Settings

MANY = 5 * WHOLE_LISTENERS_MAX


class Made:
    """A shard with lanes, whose journal is durable at `commit`; by its clock all that is told in a slice takes a share."""

    def __init__(self) -> None:
        files = MemoryFiles()
        files.make_folder("data")
        ensure_folders(files, "data", "journal-1", "0")
        loop = asyncio.get_running_loop()
        snapshots = Snapshots(files, "data")
        self.journal = Journal(
            files,
            "data/journal-1/0",
            worker=0,
            wake=loop.call_soon,
            on_durable=lambda waiters: self.shard.durable(waiters),
            on_failed=lambda waiters, error: self.shard.failed(waiters, error),
            clock=lambda: 0.0,
        )
        self.journal.open(snapshots)
        self.lanes = Lanes(loop)
        self.lanes.sweep(others=True)
        self.shard = Shard(
            self.journal,
            snapshots,
            Databases(files, "data"),
            Open(),
            Settings(),
            lambda: NOW,
            Stopwatch(count(0, SHARE_NANOSECONDS).__next__),
            lanes=self.lanes,
        )

    async def fill(self, number: int) -> tuple[Hosted, list[Caller]]:
        """So many that listen, and have been told what they began with."""
        hosted = await self.shard.open("db")
        callers = [Caller(str(index)) for index in range(number)]
        for caller in callers:
            self.shard.apply(hosted, Listen(caller, 1, ("a",)))
            caller.told.clear()
        return hosted, callers

    async def settle(self) -> int:
        """The turns until all have been told."""
        turns = 0
        while self.lanes.has_waiting:
            await asyncio.sleep(0)
            turns += 1
        return turns

    def commit(self) -> None:
        self.journal.drain()


def run(scenario: Callable[[Made], Awaitable[None]]) -> None:
    async def main() -> None:
        await scenario(Made())

    asyncio.run(asyncio.wait_for(main(), 60))


def told(callers: list[Caller]) -> int:
    return sum(bool(caller.told) for caller in callers)


def test_a_room_of_ordinary_size_is_told_at_once() -> None:
    async def scenario(made: Made) -> None:
        hosted, callers = await made.fill(WHOLE_LISTENERS_MAX)
        made.shard.apply(hosted, Set(Caller(), 2, ("a",), 7))
        assert told(callers) == WHOLE_LISTENERS_MAX
        assert (hosted.telling, made.lanes.has_waiting) == (None, False)

    run(scenario)


def test_thousands_are_told_over_several_turns_and_each_once() -> None:
    async def scenario(made: Made) -> None:
        hosted, callers = await made.fill(MANY)
        made.shard.apply(hosted, Set(Caller(), 2, ("a",), 7))
        assert told(callers) == SLICE_LISTENERS
        await asyncio.sleep(0)
        assert SLICE_LISTENERS < told(callers) < MANY
        assert await made.settle() >= 3
        assert all(caller.told == [("push", 7)] for caller in callers)

    run(scenario)


def test_the_author_hears_its_own_write_at_once_and_once_and_before_its_answer() -> None:
    async def scenario(made: Made) -> None:
        hosted, callers = await made.fill(MANY)
        author = callers[-1]
        made.shard.apply(hosted, Set(author, 2, ("a",), 7))
        assert author.told == [("push", 7)]
        made.commit()
        await made.settle()
        await asyncio.sleep(0)
        assert author.told == [("push", 7), ("ok", 2)]

    run(scenario)


def test_what_comes_next_finds_all_told() -> None:
    async def scenario(made: Made) -> None:
        hosted, callers = await made.fill(MANY)
        for value in (7, 8, 9):
            made.shard.apply(hosted, Set(callers[0], value, ("a",), value))
        await made.settle()
        assert all(caller.told == [("push", 7), ("push", 8), ("push", 9)] for caller in callers)

    run(scenario)


def test_unlistening_listening_anew_and_leaving_in_between_keep_the_order() -> None:
    async def scenario(made: Made) -> None:
        hosted, callers = await made.fill(MANY)
        again, gone = callers[-1], callers[-2]
        made.shard.apply(hosted, Set(Caller(), 2, ("a",), 7))
        assert (again.told, gone.told) == ([], [])
        made.shard.apply(hosted, Unlisten(again, 3, ("a",)))
        made.shard.apply(hosted, Set(Caller(), 4, ("a",), 8))
        made.shard.apply(hosted, Listen(again, 5, ("a",)))
        made.shard.apply(hosted, Leave(gone))
        made.shard.apply(hosted, Set(Caller(), 6, ("a",), 9))
        await made.settle()
        assert again.told == [("push", 7), ("ok", 3), ("push", 8), ("ok", 5), ("push", 9)]
        assert gone.told == [("push", 7), ("push", 8)]
        assert callers[0].told == [("push", 7), ("push", 8), ("push", 9)]

    run(scenario)


def test_a_write_that_two_listens_of_a_client_hear_is_told_in_their_order() -> None:
    async def scenario(made: Made) -> None:
        hosted, callers = await made.fill(MANY)
        last = callers[-1]
        made.shard.apply(hosted, Listen(last, 2, ("a", "b")))
        last.told.clear()
        made.shard.apply(hosted, Set(Caller(), 3, ("a",), {"b": 1}))
        assert last.told == [], "the smaller fan-out does not overtake"
        await made.settle()
        assert last.told[0] == ("push", {"b": 1})

    run(scenario)


def test_what_waits_in_the_lane_comes_after_all_are_told() -> None:
    async def scenario(made: Made) -> None:
        hosted, callers = await made.fill(MANY)
        seen: list[int] = []
        made.lanes.wait(hosted.lane, lambda: made.shard.apply(hosted, Set(Caller(), 2, ("a",), 7)))
        made.lanes.wait(hosted.lane, lambda: seen.append(told(callers)))
        await made.settle()
        assert seen == [MANY]

    run(scenario)


def test_one_who_fails_to_hear_keeps_nothing_from_later_slices() -> None:
    class Broken(Caller):
        __slots__ = ()

        def deliver(self, push: Push) -> None:
            if not push.asked:
                raise ZeroDivisionError

    async def scenario(made: Made) -> None:
        hosted, _ = await made.fill(SLICE_LISTENERS + 10)
        made.shard.apply(hosted, Listen(Broken("broken"), 1, ("a",)))
        _, callers = await made.fill(MANY)
        made.shard.apply(hosted, Set(Caller(), 2, ("a",), 7))
        await made.settle()
        assert told(callers[-SLICE_LISTENERS:]) == SLICE_LISTENERS
        assert hosted.telling is not None
        assert not hosted.telling.is_telling

    run(scenario)
