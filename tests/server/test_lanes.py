"""Shares of the loop: who keeps within its share never waits, who does not goes on in order, and nobody starves."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
import structlog

from meadowlark.server.lanes import SHARE_NANOSECONDS, SHARE_NANOSECONDS_MIN, Lane, Lanes

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


class Made:
    def __init__(self) -> None:
        self.loop = Loop()
        loop: Any = self.loop
        self.lanes = Lanes(loop)
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
        lanes, lane = Lanes(asyncio.get_running_loop()), Lane()
        if is_over:
            lanes.spend(lane, SHARE_NANOSECONDS + 1)
        await asyncio.wait_for(lanes.enter(lane, PIECE), 60)

    asyncio.run(run())


def test_a_call_that_was_given_up_takes_no_share() -> None:
    async def run() -> None:
        lanes, lane = Lanes(asyncio.get_running_loop()), Lane()
        lanes.spend(lane, SHARE_NANOSECONDS * 10)
        waiting = asyncio.ensure_future(lanes.enter(lane, SHARE_NANOSECONDS * 1_000_000))
        await asyncio.sleep(0)
        waiting.cancel()
        while lane.is_over:
            await asyncio.sleep(0)
        assert waiting.cancelled()

    asyncio.run(run())
