"""A worker watched, with a clock and timers that the test moves."""

from __future__ import annotations

import contextlib
import gc
import os
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import structlog

from meadowlark.journal import Counters
from meadowlark.server.board import Board, Published, make_board
from meadowlark.server.families import FAMILIES
from meadowlark.server.histogram import BOUNDS
from meadowlark.server.observer import BUSY_SECONDS, PUBLISH_SECONDS, QUIET_SECONDS, Observer
from meadowlark.server.outbox import Outbox, Turn
from meadowlark.server.stopwatch import Stopwatch


class Timer:
    def __init__(self, due: float, callback: Callable[[], None]) -> None:
        self.due = due
        self.callback = callback
        self.is_cancelled = False

    def cancel(self) -> None:
        self.is_cancelled = True


class Loop:
    """Time passes when the test says so; `stall` is time in which the loop does nothing."""

    def __init__(self) -> None:
        self.now = 5.0
        self.timers: list[Timer] = []

    def call_later(self, seconds: float, callback: Callable[[], None]) -> Timer:
        self.timers.append(Timer(self.now + seconds, callback))
        return self.timers[-1]

    def call_soon(self, callback: Callable[[], None]) -> None:
        callback()

    def run(self, seconds: float) -> None:
        end = self.now + seconds
        while (due := [timer for timer in self.timers if not timer.is_cancelled and timer.due <= end + 1e-9]) != []:
            timer = min(due, key=lambda each: each.due)
            self.timers.remove(timer)
            self.now = max(self.now, timer.due)
            timer.callback()
        self.now = max(self.now, end)

    def stall(self, seconds: float) -> None:
        self.now += seconds


class Made:
    """An observer of a worker that has what the test gives it."""

    def __init__(self) -> None:
        self.loop = Loop()
        self.stopwatch = Stopwatch(lambda: round(self.loop.now * 1e9))
        self.turn = Turn(self.loop, self.stopwatch)  # type: ignore[arg-type]
        self.journal = SimpleNamespace(counters=Counters(), backlog_bytes=0)
        self.shard = SimpleNamespace(database_count=0, failure=None)
        self.sessions: set[Any] = set()
        self.long_polls: list[Any] = []
        self.connections: set[Any] = set()
        descriptor = make_board(1)
        self.board = Board(descriptor)
        os.close(descriptor)
        self.observer = Observer(self, 0, self.journal, self.board, loop=self.loop)  # type: ignore[arg-type]

    @property
    def looks(self) -> dict[int, int]:
        """Lags by the upper bound of their bucket in nanoseconds."""
        return {BOUNDS[index]: count for index, count in enumerate(self.stopwatch.metrics.loop_lag.counts) if count}


@pytest.fixture
def made() -> Iterator[Made]:
    made = Made()
    yield made
    with contextlib.suppress(ValueError):
        gc.callbacks.remove(made.observer._collected)
    made.board.close()


def numbers(published: list[Published]) -> dict[str, int]:
    plain = [family for family in FAMILIES if family.kind != "histogram" and family.values == ("",)]
    return {family.field: cells[0] for family in plain for _, cells in published[0].numbers.samples(family)}


def test_what_is_there_is_looked_at_when_it_is_read(made: Made) -> None:
    stalled = Outbox(made.turn, lambda data: None, lambda reason: None)
    stalled.pause(0.0)
    stalled.put(b"x" * 70)
    made.sessions, made.shard.database_count, made.shard.failure = {1, 2}, 3, "the disk"
    made.journal.backlog_bytes = 400
    made.journal.counters.count(records=5, size=600, seconds=0.001)
    read = numbers(made.observer.read())
    expected = {
        "up": 1,
        "databases": 3,
        "outbox_bytes": 70,
        "journal_failed": 1,
        "journal_backlog_bytes": 400,
        "journal_records": 5,
        "journal_bytes": 600,
    }
    assert expected.items() <= read.items()
    assert read["memory_bytes"] > 1_000_000
    stalled.resume()
    assert numbers(made.observer.read())["outbox_bytes"] == 0


def test_numbers_are_published_about_once_a_second_and_once_more_at_the_end(made: Made) -> None:
    made.observer.start()
    made.loop.run(0)
    assert numbers(made.board.read(10**18))["databases"] == 0
    made.shard.database_count = 8
    made.loop.run(PUBLISH_SECONDS / 2)
    assert numbers(made.board.read(10**18))["databases"] == 0
    made.loop.run(PUBLISH_SECONDS / 2)
    assert numbers(made.board.read(10**18))["databases"] == 8
    made.shard.database_count = 9
    made.observer.stop()
    assert numbers(made.board.read(10**18))["databases"] == 9
    assert all(timer.is_cancelled for timer in made.loop.timers)


def test_the_loop_is_looked_at_often_while_clients_send_and_seldom_while_they_do_not(made: Made) -> None:
    made.observer.start()
    made.loop.run(1.0)
    quiet = sum(made.looks.values())
    assert quiet == round(1.0 / QUIET_SECONDS)
    for _ in range(100):
        made.stopwatch.metrics.received_bytes += 1000
        made.loop.run(BUSY_SECONDS)
    assert 80 <= sum(made.looks.values()) - quiet <= 100


def test_pauses_of_the_collector_are_seen_while_it_serves(made: Made) -> None:
    made.observer.start()
    gc.collect()
    made.observer.stop()
    gc.collect()
    assert sum(made.stopwatch.metrics.collector.counts) == 1


def test_how_late_the_timer_is_is_the_lag(made: Made) -> None:
    made.observer.start()
    made.loop.run(QUIET_SECONDS)
    assert list(made.looks) == [BOUNDS[0]]
    made.loop.stall(QUIET_SECONDS + 0.03)
    made.loop.run(0)
    assert made.looks[30_000_000] == 1


def test_a_lag_that_no_slow_operation_explains_is_logged(made: Made) -> None:
    made.observer.start()
    made.loop.run(QUIET_SECONDS)
    with structlog.testing.capture_logs() as lines:
        made.loop.stall(QUIET_SECONDS + 0.2)
        made.loop.run(0)
        assert [(line["kind"], line["milliseconds"]) for line in lines] == [("loop", 200.0)]
        made.loop.run(QUIET_SECONDS)
        made.stopwatch.slow.report("set", 0, 200_000_000)
        made.loop.stall(QUIET_SECONDS + 0.2)
        made.loop.run(0)
        assert [line["kind"] for line in lines] == ["loop", "set"]
