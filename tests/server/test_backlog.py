"""When the journal's thread is given a moment."""

from __future__ import annotations

from meadowlark.server.backlog import FULL_NANOSECONDS, MOMENTS_NANOSECONDS, STARVED_NANOSECONDS, Backlog

TURN = 250_000
"""Nanoseconds of a busy loop's turn."""


def moments(turns: int, durable_every: int | None, *, waiting: int = 100) -> int:
    """How many moments the thread gets in so many turns, if records become durable in one of `durable_every`."""
    backlog, durable, count = Backlog(), 0, 0
    for turn in range(turns):
        if durable_every is not None and turn % durable_every == 0:
            durable += 50
        count += backlog.needs_moment(turn * TURN, waiting, durable)
    return count


def test_a_thread_that_gets_on_by_itself_costs_the_loop_no_moment_however_much_waits():
    assert moments(4000, durable_every=8) == 0


def test_nothing_that_waits_needs_no_moment():
    assert moments(4000, None, waiting=0) == 0


def test_a_thread_that_does_not_get_on_is_given_moments_with_time_for_the_loop_between_them():
    first = STARVED_NANOSECONDS // TURN
    assert moments(first, None) == 0
    assert moments(first + 1, None) == 1
    turns = 4000
    assert moments(first + turns, None) == turns * TURN // MOMENTS_NANOSECONDS


def test_a_thread_that_gets_on_by_its_moments_is_given_more_of_them_for_a_while():
    backlog = Backlog()
    start = STARVED_NANOSECONDS
    assert backlog.needs_moment(start, 100, 0)
    assert not backlog.needs_moment(start + MOMENTS_NANOSECONDS - 1, 100, 50)
    assert backlog.needs_moment(start + MOMENTS_NANOSECONDS, 100, 100)
    assert not backlog.needs_moment(start + 2 * MOMENTS_NANOSECONDS, 0, 150), "nothing waits"
    assert backlog.needs_moment(start + 3 * MOMENTS_NANOSECONDS, 100, 200)
    for turn in range(1, 100):
        assert not backlog.needs_moment(start + FULL_NANOSECONDS + turn * TURN, 100, 200 + turn), "the loop waits again"
