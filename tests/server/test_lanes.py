"""Shares of the loop: who keeps within its share never waits, who does not goes on in order, and nobody starves."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
import structlog

from meadowlark.server.lanes import SHARE_ALONE_NANOSECONDS, SHARE_NANOSECONDS, SHARE_NANOSECONDS_MIN, Lane, Lanes

PIECE = SHARE_NANOSECONDS // 10
"""What one thing takes in these tests."""


class Loop:
    """Only `call_soon`; `turn()` runs what was asked for."""

    def __init__(self) -> None:
        self.soon: list[Callable[[], None]] = []

    def call_soon(self, callback: Callable[[], None]) -> None:
        self.soon.append(callback)

    def turn(self) -> None:
        soon, self.soon = self.soon, []
        for callback in soon:
            callback()


def shared(lanes: Lanes) -> Lanes:
    """Two databases are in use."""
    lanes.sweep(others=True)
    return lanes


class Made:
    def __init__(self) -> None:
        self.loop = Loop()
        loop: Any = self.loop
        self.lanes = shared(Lanes(loop))
        self.done: list[str] = []

    def wait(self, lane: Lane, name: str, *, pieces: float = 1) -> None:
        def go_on() -> None:
            self.done.append(name)
            self.lanes.spend(lane, int(pieces * PIECE))

        self.lanes.wait(lane, go_on)

    def turns(self) -> list[list[str]]:
        """What is done in each turn until nothing waits."""
        turns = []
        while self.loop.soon:
            self.done.clear()
            self.loop.turn()
            turns.append(self.done.copy())
        return turns


def test_who_keeps_within_its_share_costs_no_turn_and_has_a_new_share_in_the_next() -> None:
    made, lane = Made(), Lane()
    for _ in range(10):
        for _ in range(10):
            made.lanes.spend(lane, PIECE)
        assert not lane.is_over
        made.lanes.settle()
    assert made.loop.soon == []


def test_who_has_had_its_share_waits_for_the_next_turn() -> None:
    made, lane = Made(), Lane()
    for _ in range(11):
        made.lanes.spend(lane, PIECE)
    assert lane.is_over
    made.wait(lane, "a")
    assert made.turns() == [["a"]]
    assert not lane.is_over
    assert not made.lanes.has_waiting


def test_what_waits_is_done_in_order_a_share_a_turn() -> None:
    made, lane = Made(), Lane()
    names = [f"{number:02}" for number in range(25)]
    for name in names:
        made.wait(lane, name)
    turns = made.turns()
    assert [name for turn in turns for name in turn] == names
    assert [len(turn) for turn in turns if turn] == [10, 10, 5]


def test_lanes_that_are_over_share_a_turn_by_time_and_not_by_messages() -> None:
    made, heavy, light = Made(), Lane(), Lane()
    for number in range(20):
        made.wait(heavy, f"heavy {number}", pieces=5)
    for number in range(40):
        made.wait(light, f"light {number}")
    first = made.turns()[:4]
    done = [name.split()[0] for turn in first for name in turn]
    assert 3 <= done.count("heavy") <= 5
    assert 15 <= done.count("light") <= 25


def test_a_long_piece_of_work_is_paid_by_sitting_out_turns_in_which_others_work() -> None:
    made, long, other = Made(), Lane(), Lane()
    made.wait(long, "long", pieces=60)
    made.wait(long, "after")
    for _ in range(100):
        made.wait(other, "other")
    turns = made.turns()
    assert "long" in turns[0]
    waited = next(number for number, turn in enumerate(turns) if "after" in turn)
    assert waited >= 6
    assert all("other" in turn for turn in turns[1:waited])


def test_however_many_are_over_a_turn_has_one_share_and_everyone_comes_to_his() -> None:
    made = Made()
    lanes = [Lane() for _ in range(100)]
    for number, lane in enumerate(lanes):
        for _ in range(3):
            made.wait(lane, str(number), pieces=SHARE_NANOSECONDS_MIN / PIECE)
    turns = made.turns()
    assert max(map(len, turns)) <= 10
    together = [name for turn in turns for name in turn]
    assert sorted(together[:100]) == sorted(map(str, range(100)))
    assert len(together) == 300


def test_what_fails_is_logged_and_the_others_go_on() -> None:
    made, lane = Made(), Lane()

    def fail() -> None:
        raise ValueError("broken")

    made.lanes.wait(lane, fail)
    made.wait(lane, "next")
    with structlog.testing.capture_logs() as logs:
        assert made.turns() == [["next"]]
    assert len(logs) == 1
    assert not lane.is_over


@pytest.mark.parametrize("is_over", [False, True])
def test_a_call_enters_at_once_or_when_its_turn_has_come(is_over: bool) -> None:
    async def run() -> None:
        lanes, lane = shared(Lanes(asyncio.get_running_loop())), Lane()
        if is_over:
            lanes.spend(lane, SHARE_NANOSECONDS + 1)
        await asyncio.wait_for(lanes.enter(lane, PIECE), 60)

    asyncio.run(run())


def test_a_call_that_was_given_up_takes_no_share() -> None:
    async def run() -> None:
        lanes, lane = shared(Lanes(asyncio.get_running_loop())), Lane()
        lanes.spend(lane, SHARE_NANOSECONDS * 10)
        waiting = asyncio.ensure_future(lanes.enter(lane, SHARE_NANOSECONDS * 1_000_000))
        await asyncio.sleep(0)
        waiting.cancel()
        while lane.is_over:
            await asyncio.sleep(0)
        assert waiting.cancelled()

    asyncio.run(run())


def test_a_database_that_has_the_worker_for_itself_has_a_longer_share_until_another_comes() -> None:
    made, lane, other = Made(), Lane(), Lane()
    made.lanes.sweep(others=False)
    made.lanes.sweep(others=False)
    made.lanes.spend(lane, SHARE_NANOSECONDS * 2)
    assert not lane.is_over
    made.lanes.settle()
    made.lanes.spend(other, PIECE)
    made.lanes.spend(lane, SHARE_NANOSECONDS * 2)
    assert lane.is_over
    made.turns()
    made.lanes.sweep(others=False)
    assert made.lanes.share == SHARE_NANOSECONDS, "since the last look another had something to do"
    made.lanes.sweep(others=False)
    assert made.lanes.share == SHARE_ALONE_NANOSECONDS
    made.lanes.sweep(others=True)
    assert made.lanes.share == SHARE_NANOSECONDS


def test_even_alone_its_share_ends() -> None:
    made, lane = Made(), Lane()
    made.lanes.sweep(others=False)
    made.lanes.sweep(others=False)
    made.lanes.spend(lane, SHARE_ALONE_NANOSECONDS + 1)
    assert lane.is_over
    for number in range(400):
        made.wait(lane, str(number))
    assert max(map(len, made.turns())) <= SHARE_ALONE_NANOSECONDS // PIECE + 1


def test_a_storm_at_the_door_has_no_longer_share_and_leaves_none_to_others() -> None:
    made, lane = Made(), Lane()
    made.lanes.sweep(others=False)
    made.lanes.sweep(others=False)
    made.lanes.spend(made.lanes.door, SHARE_NANOSECONDS + 1)
    assert made.lanes.door.is_over
    for number in range(100):
        made.wait(made.lanes.door, str(number))
    assert max(map(len, made.turns())) <= 11
    made.lanes.spend(made.lanes.door, SHARE_NANOSECONDS + 1)
    made.lanes.spend(lane, SHARE_NANOSECONDS + 1)
    assert lane.is_over
    made.turns()
    assert made.lanes.share == SHARE_ALONE_NANOSECONDS, "the storm is over"


def test_two_that_are_over_are_not_alone() -> None:
    made, one, other = Made(), Lane(), Lane()
    for lane in (one, other):
        for number in range(1000):
            made.wait(lane, str(number))
    for _ in range(5):
        made.loop.turn()
    made.lanes.sweep(others=False)
    made.loop.turn()
    made.lanes.sweep(others=False)
    assert made.lanes.share == SHARE_NANOSECONDS


def test_who_comes_and_goes_is_no_other_database() -> None:
    made, lane = Made(), Lane()
    made.lanes.sweep(others=False)
    made.lanes.sweep(others=False)
    for _ in range(3):
        made.lanes.spend(lane, PIECE)
        made.lanes.spend(made.lanes.door, PIECE)
        made.lanes.settle()
    assert made.lanes.share == SHARE_ALONE_NANOSECONDS
