"""A bound for how often a client is told of volatile values: the clock is ours."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from meadowlark.server.outbox import LARGE_TURN_BYTES, Outbox, Turn
from meadowlark.server.pace import SECOND, Pace
from meadowlark.server.stopwatch import Stopwatch


class Timer:
    def __init__(self, at: float, call: Callable[[], None]) -> None:
        self.at, self.call, self.is_cancelled = at, call, False

    def cancel(self) -> None:
        self.is_cancelled = True


class Loop:
    """`call_soon` and `call_later` by a clock that the test moves."""

    def __init__(self) -> None:
        self.now = SECOND
        self.soon: list[Callable[[], None]] = []
        self.timers: list[Timer] = []

    def call_soon(self, callback: Callable[[], None]) -> None:
        self.soon.append(callback)

    def call_later(self, seconds: float, callback: Callable[..., None], *arguments: Any) -> Timer:
        self.timers.append(Timer(self.now + seconds * SECOND, lambda: callback(*arguments)))
        return self.timers[-1]

    def turn(self) -> None:
        soon, self.soon = self.soon, []
        for callback in soon:
            callback()

    def sleep(self, milliseconds: float) -> None:
        self.now += int(milliseconds * 1e6)
        due = [timer for timer in self.timers if timer.at <= self.now]
        self.timers = [timer for timer in self.timers if timer.at > self.now and not timer.is_cancelled]
        for timer in due:
            if not timer.is_cancelled:
                timer.call()
        self.turn()


class Made:
    def __init__(self, rate: float = 10.0) -> None:
        self.loop: Any = Loop()
        self.written: list[bytes] = []
        self.turn = Turn(self.loop, Stopwatch(lambda: self.loop.now), volatile_rate=rate)
        self.outbox = Outbox(self.turn, self.written.append, lambda reason: None)

    @property
    def superseded(self) -> int:
        return self.turn.stopwatch.metrics.volatile_superseded


@pytest.fixture
def made() -> Made:
    return Made()


A, B = ("a",), ("b",)


def test_a_pace_keeps_the_last_of_each_place_in_the_order_in_which_they_were_written() -> None:
    pace = Pace(4)
    assert [pace.add(A, b"a1"), pace.add(B, b"b1"), pace.add(A, b"a22")] == [False, False, True]
    assert pace.waiting_bytes == 5
    assert pace.left(7) == 0
    assert list(pace.take(7).values()) == [b"b1", b"a22"]
    assert (pace.waiting_bytes, pace.left(7), pace.left(7 + SECOND)) == (0, SECOND // 4, 0)


def test_what_is_seldom_written_never_waits(made: Made) -> None:
    for value in (b"1", b"2", b"3"):
        made.outbox.put_volatile(A, value)
        made.loop.turn()
        made.loop.sleep(100)
    assert made.written == [b"1", b"2", b"3"]
    assert made.loop.timers == []


def test_what_comes_sooner_waits_for_the_end_of_the_interval_and_only_the_last_of_each_place_is_told(made: Made) -> None:
    for number in range(101):
        made.outbox.put_volatile(A, b"[a%d]" % number)
        made.outbox.put_volatile(B, b"[b%d]" % number)
        made.loop.turn()
        made.loop.sleep(10)
    assert made.written[0] == b"[a0][b0]"
    assert made.written[1] == b"[a9][b9]"
    assert len(made.written) <= 12, "ten a second, for one second and its both ends"
    made.loop.sleep(100)
    assert made.written[-1] == b"[a100][b100]", "the last is never lost"
    told = sum(message.count(b"[") for message in made.written)
    assert made.superseded == 202 - told


def test_what_lasts_leaves_at_once_and_behind_what_was_told_before_it(made: Made) -> None:
    made.outbox.put_volatile(A, b"[a0]")
    made.loop.turn()
    made.outbox.put_volatile(A, b"[a1]")
    made.loop.turn()
    assert made.written == [b"[a0]"]
    made.outbox.put(b"[all]")
    made.loop.turn()
    assert made.written == [b"[a0]", b"[a1][all]"]
    made.outbox.put_volatile(A, b"[a2]")
    made.loop.sleep(99)
    assert len(made.written) == 2, "what was let out counts"
    made.loop.sleep(2)
    assert made.written[2] == b"[a2]"


def test_a_reply_that_is_held_a_place_for_stays_behind_what_waits_for_the_pace(made: Made) -> None:
    made.outbox.put_volatile(A, b"[a0]")
    made.loop.turn()
    made.outbox.put_volatile(A, b"[a1]")
    place = made.outbox.hold()
    made.outbox.put_volatile(A, b"[a2]")
    made.outbox.release(place, b"[reply]")
    made.loop.turn()
    assert b"".join(made.written) == b"[a0][a1][reply][a2]"


def test_a_client_that_takes_nothing_is_conflated_as_ever_and_told_all_when_it_takes(made: Made) -> None:
    made.outbox.put_volatile(A, b"[a0]")
    made.loop.turn()
    made.outbox.put_volatile(A, b"[a1]")
    made.outbox.pause(0.0)
    for number in range(2, 50):
        made.outbox.put_volatile(B, b"[b%d]" % number)
    made.loop.sleep(1000)
    assert made.written == [b"[a0]"]
    made.outbox.resume()
    assert made.written == [b"[a0]", b"[a1][b49]"]
    assert made.turn.held_bytes == 0


def test_a_client_may_ask_for_less_than_the_server_grants_but_not_for_more() -> None:
    made = Made(rate=10)
    made.outbox.keep_pace(2)
    for number in range(10):
        made.outbox.put_volatile(A, b"[%d]" % number)
        made.loop.turn()
        made.loop.sleep(100)
    assert made.written == [b"[0]", b"[4]", b"[9]"]
    made.outbox.put_volatile(A, b"[w]")
    made.outbox.keep_pace(100)
    made.loop.turn()
    assert made.written[-1] == b"[w]", "what waited for the old pace is told"
    made.outbox.put_volatile(A, b"[x]")
    made.outbox.put_volatile(A, b"[y]")
    made.loop.turn()
    made.outbox.put_volatile(A, b"[z]")
    made.loop.sleep(50)
    assert made.written[-1] == b"[y]"
    made.loop.sleep(51)
    assert made.written[-1] == b"[z]"
    free = Made(rate=0)
    free.outbox.keep_pace(2)
    free.outbox.keep_pace(0)
    assert not free.outbox.conflates


def test_what_waits_for_a_pace_is_bounded() -> None:
    made = Made(rate=0.1)
    frame = bytes(4096)
    for number in range(10_000):
        made.outbox.put_volatile((str(number),), frame)
        made.loop.turn()
    written = sum(map(len, made.written))
    assert 10_000 * 4096 - written <= LARGE_TURN_BYTES + 4096


def test_nothing_is_left_of_a_pace_when_the_client_goes(made: Made) -> None:
    made.outbox.put_volatile(A, b"[a0]")
    made.loop.turn()
    made.outbox.put_volatile(A, b"[a1]")
    made.outbox.close()
    assert [timer.is_cancelled for timer in made.loop.timers] == [True]
    made.outbox.put_volatile(A, b"[a2]")
    made.loop.sleep(1000)
    assert made.written == [b"[a0]"]
