"""The time of a read, by a clock that the test moves."""

from __future__ import annotations

from meadowlark.errors import Code
from meadowlark.server.reading import Reading

SECOND = 1_000_000_000


class Clock:
    def __init__(self) -> None:
        self.now = 5 * SECOND

    def __call__(self) -> int:
        return self.now


def test_it_is_over_when_its_seconds_have_gone() -> None:
    clock = Clock()
    reading = Reading(clock, 4 * SECOND, 2.5)
    assert (reading.is_over, reading.left_seconds) == (False, 1.5)
    clock.now += SECOND
    assert (reading.is_over, reading.left_seconds) == (False, 0.5)
    clock.now += SECOND // 2
    assert (reading.is_over, reading.left_seconds) == (True, 0.0)
    clock.now += SECOND
    assert (reading.is_over, reading.left_seconds) == (True, 0.0)


def test_waiting_for_the_client_does_not_count() -> None:
    clock = Clock()
    reading = Reading(clock, clock.now, 2.0)
    clock.now += SECOND
    paused_at = reading.pause()
    clock.now += 3600 * SECOND
    reading.go_on(paused_at)
    assert (reading.is_over, reading.left_seconds) == (False, 1.0)


def test_the_refusal_says_what_there_was() -> None:
    refused = Reading(Clock(), 0, 900.0).refusal()
    assert (refused.code, refused.text) == (Code.INVALID_REQUEST, "the read took longer than its timeout of 900 s")
