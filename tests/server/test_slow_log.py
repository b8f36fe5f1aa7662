"""What took too long is told, shortly and not too often."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from meadowlark.server.metrics import Metrics
from meadowlark.server.slow_log import LINES_PER_SECOND_MAX, SlowLog, short_path

SECOND = 1_000_000_000


@pytest.fixture
def lines() -> Iterator[list[Any]]:
    with structlog.testing.capture_logs() as captured:
        yield captured


def test_a_line_says_what_where_how_long_and_how_much(lines: list[Any]) -> None:
    slow = SlowLog(Metrics(), 0.05)
    assert slow.threshold == 50_000_000
    slow.report("set", SECOND, 61_230_000, database="demo", path=("rooms", "-NxyzNxyzNxyzNxyz123", "name"), size=12_000)
    assert lines == [
        {
            "event": "slow",
            "log_level": "warning",
            "kind": "set",
            "milliseconds": 61.2,
            "database": "demo",
            "path": "/rooms/$key/name",
            "bytes": 12_000,
        }
    ]


def test_what_is_not_known_is_left_out(lines: list[Any]) -> None:
    SlowLog(Metrics(), 0.05).report("loop", SECOND, 80_000_000)
    assert lines == [{"event": "slow", "log_level": "warning", "kind": "loop", "milliseconds": 80.0}]


def test_only_some_lines_a_second_and_the_next_one_says_how_many_were_left_out(lines: list[Any]) -> None:
    metrics = Metrics()
    slow = SlowLog(metrics, 0.05)
    for _ in range(50):
        slow.report("set", 5 * SECOND, SECOND)
    assert len(lines) == LINES_PER_SECOND_MAX
    slow.report("get", 6 * SECOND, SECOND)
    assert (lines[-1]["kind"], lines[-1]["suppressed"]) == ("get", 50 - LINES_PER_SECOND_MAX)
    slow.report("get", 6 * SECOND, SECOND)
    assert "suppressed" not in lines[-1]
    assert metrics.slow_operations == 52


def test_lines_left_out_are_told_even_if_no_other_follows(lines: list[Any]) -> None:
    slow = SlowLog(Metrics(), 0.05)
    for _ in range(LINES_PER_SECOND_MAX + 3):
        slow.report("set", 5 * SECOND, SECOND)
    slow.tell_suppressed(5 * SECOND + 1)
    assert len(lines) == LINES_PER_SECOND_MAX
    slow.tell_suppressed(6 * SECOND)
    slow.tell_suppressed(7 * SECOND)
    assert [line["suppressed"] for line in lines[LINES_PER_SECOND_MAX:]] == [3]


def test_a_path_of_long_keys_is_short() -> None:
    assert short_path(()) == "/"
    assert short_path(("a",)) == "/a"
    assert len(short_path("x" * 768 for _ in range(32))) == 32 * 5
