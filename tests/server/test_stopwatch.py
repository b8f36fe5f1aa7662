"""One loop turn, timed: what is handled in it counts until everything is written."""

from __future__ import annotations

import structlog

from meadowlark.engine import Client, Get
from meadowlark.server.families import Operation
from meadowlark.server.histogram import BOUNDS, Histogram
from meadowlark.server.stopwatch import Stopwatch


class Made:
    """A stopwatch whose clock the test moves."""

    def __init__(self) -> None:
        self.now = 1_000_000
        self.stopwatch = Stopwatch(lambda: self.now)
        self.metrics = self.stopwatch.metrics

    def pass_time(self, nanoseconds: int) -> None:
        self.now += nanoseconds


def durations(histogram: Histogram) -> dict[int, int]:
    """Counts by upper bound."""
    return {BOUNDS[index]: count for index, count in enumerate(histogram.counts) if count}


def test_an_operation_that_tells_nobody_ends_when_it_is_handled() -> None:
    made = Made()
    made.stopwatch.begin(made.now)
    made.pass_time(20_000)
    made.stopwatch.handled(Operation.SET)
    assert durations(made.metrics.operation[Operation.SET]) == {20_000: 1}
    assert made.stopwatch.begun_at == 0


def test_all_of_a_turn_counts_from_its_first_message_until_it_is_written() -> None:
    made = Made()
    made.stopwatch.begin(made.now)
    made.stopwatch.is_stopped_later = True
    made.stopwatch.push_count += 2
    made.stopwatch.handled(Operation.SET)
    made.pass_time(60_000)
    made.stopwatch.begin(made.now)
    made.stopwatch.handled(Operation.GET)
    made.stopwatch.handled(None)
    made.pass_time(40_000)
    made.stopwatch.stop()
    assert durations(made.metrics.operation[Operation.SET]) == {100_000: 1}
    assert durations(made.metrics.operation[Operation.GET]) == {100_000: 1}
    assert durations(made.metrics.broadcast) == {100_000: 2}
    assert made.metrics.operation[Operation.GET].sum == 100_000


def test_a_turn_leaves_nothing_to_the_next() -> None:
    made = Made()
    for _ in range(2):
        made.stopwatch.begin(made.now)
        made.stopwatch.is_stopped_later = True
        made.stopwatch.push_count += 1
        made.stopwatch.handled(Operation.SET)
        made.pass_time(10_000)
        made.stopwatch.stop()
        made.pass_time(5_000_000)
    made.stopwatch.stop()
    assert durations(made.metrics.operation[Operation.SET]) == {10_000: 2}
    assert durations(made.metrics.broadcast) == {10_000: 2}


def test_what_counts_as_no_operation_is_forgotten() -> None:
    made = Made()
    made.stopwatch.begin(made.now)
    made.stopwatch.handled(None)
    made.pass_time(1_000_000)
    made.stopwatch.begin(made.now)
    made.pass_time(10_000)
    made.stopwatch.handled(Operation.GET)
    assert durations(made.metrics.operation[Operation.GET]) == {10_000: 1}


def test_acknowledgements_count_from_when_their_write_was_read_until_they_are_written() -> None:
    made = Made()
    first, second = made.now, made.now + 1_000_000
    made.pass_time(2_900_000)
    made.stopwatch.is_stopped_later = True
    made.stopwatch.acknowledge([(None, None, None, first), (None, None, None, second)])
    assert durations(made.metrics.acknowledged) == {}
    made.pass_time(100_000)
    made.stopwatch.stop()
    assert durations(made.metrics.acknowledged) == {2_000_000: 1, 3_000_000: 1}
    assert durations(made.metrics.broadcast) == {}


def test_acknowledgements_that_no_outbox_takes_are_written_at_once() -> None:
    made = Made()
    read_at = made.now
    made.pass_time(500_000)
    made.stopwatch.acknowledge([(None, None, None, read_at)])
    assert durations(made.metrics.acknowledged) == {500_000: 1}


def test_a_call_counts_from_its_own_read_and_its_turn_from_its_start() -> None:
    made = Made()
    read_at = made.now
    made.pass_time(2_000_000)
    made.stopwatch.begin(made.now)
    made.stopwatch.is_stopped_later = True
    made.stopwatch.push_count += 1
    made.pass_time(1_000_000)
    made.stopwatch.called(Operation.REST_PUT, read_at, made.now - 1_000_000, "demo", None, 10)
    made.stopwatch.stop()
    assert durations(made.metrics.operation[Operation.REST_PUT]) == {3_000_000: 1}
    assert durations(made.metrics.broadcast) == {1_000_000: 1}


def test_what_takes_too_long_is_logged_with_what_it_was() -> None:
    made = Made()
    with structlog.testing.capture_logs() as lines:
        for nanoseconds in (50_000_000, 51_000_000):
            started_at = made.now
            made.stopwatch.begin(started_at)
            made.pass_time(nanoseconds)
            made.stopwatch.finished(Operation.GET, started_at, "demo", Get(Client("c"), 1, ("a",)), 80)
    assert [(line["kind"], line["database"], line["path"], line["milliseconds"], line["bytes"]) for line in lines] == [
        ("get", "demo", "/a", 51.0, 80)
    ]
