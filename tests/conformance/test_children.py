"""Child events: which, in which order, and after which sibling."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.conformance.conftest import Told

pytestmark = [pytest.mark.slow, pytest.mark.parametrize("how", ["emulator", "url"])]

THEN = ["then"]


@pytest.fixture
def told(perform: Callable[..., Told], how: str) -> Told:
    return perform("children.mjs", how)


def after_then(events: list[list[Any]]) -> list[list[Any]]:
    return events[events.index(THEN) + 1 :]


def test_children_come_in_key_order_first_and_then_where_they_belong(told: Told) -> None:
    assert told("added_in_key_order_then_as_they_come") == [
        ["added", "9", None, "nine"],
        ["added", "10", "9", "ten"],
        ["added", "a", "10", 1],
        ["added", "c", "a", 3],
        ["value", ["9", "10", "a", "c"]],
        THEN,
        ["added", "b", "a", 2],
        ["value", ["9", "10", "a", "b", "c"]],
        ["added", "d", "c", {"e": 4}],
        ["value", ["9", "10", "a", "b", "c", "d"]],
    ]


def test_a_change_below_a_child_is_a_change_of_that_child_and_no_change_is_none(told: Told) -> None:
    assert after_then(told("changed")) == [
        ["changed", "x", None, 2],
        ["value", ["x", "y"]],
        ["changed", "y", "x", {"z": 2}],
        ["value", ["x", "y"]],
    ]


def test_a_child_without_content_is_removed_and_its_last_value_told(told: Told) -> None:
    assert after_then(told("removed")) == [
        ["removed", "y", {"z": 1}],
        ["value", ["x"]],
        ["removed", "x", 1],
        ["value", []],
    ]


def test_a_new_priority_moves_a_child(told: Told) -> None:
    assert told("moved_by_priority") == [
        ["added", "z", None, 3],
        ["added", "x", "z", 1],
        ["added", "y", "x", 2],
        ["value", ["z", "x", "y"]],
        THEN,
        ["moved", "z", "y"],
        ["changed", "z", "y", 3],
        ["value", ["x", "y", "z"]],
        THEN,
        ["moved", "x", "z"],
        ["changed", "x", "z", 1],
        ["value", ["y", "z", "x"]],
    ]


def test_priorities_order_none_before_numbers_before_strings(told: Told) -> None:
    events = told("priorities_order_none_numbers_strings")
    assert [event[1] for event in events if event[0] == "added"] == ["o", "m", "k", "n", "r", "s"]
    assert events[-1] == ["value", ["o", "m", "k", "n", "r", "s"]]


def test_one_update_is_one_batch_removed_added_moved_changed_value(told: Told) -> None:
    assert after_then(told("one_update_is_one_batch")) == [
        ["removed", "gone", 1],
        ["added", "fresh", "change", 4],
        ["moved", "move", "keep"],
        ["changed", "change", None, 22],
        ["changed", "move", "keep", 3],
        ["value", ["change", "fresh", "keep", "move"]],
    ]


def test_replacing_a_list_tells_only_the_differences(told: Told) -> None:
    assert after_then(told("replacing_the_list_tells_only_differences")) == [
        ["removed", "gone", True],
        ["added", "fresh", None, 1],
        ["changed", "other", "fresh", 2],
        ["value", ["fresh", "other", "same"]],
    ]


def test_integer_keys_come_first_in_number_order(told: Told) -> None:
    expected = ["-2147483648", "-1", "1", "01", "2", "10", "2147483647", "-", "2147483648", "A", "_", "b"]
    assert told("integer_keys_come_first_in_number_order")[-1] == ["value", expected]


def test_a_list_that_becomes_a_leaf_loses_its_children(told: Told) -> None:
    assert after_then(told("a_list_that_becomes_a_leaf_and_back")) == [
        ["removed", "x", 1],
        ["removed", "y", 2],
        ["value", []],
        THEN,
        ["added", "x", None, 1],
        ["value", ["x"]],
    ]


def test_a_later_listener_hears_the_children_again(told: Told) -> None:
    assert told("a_later_listener_hears_the_children_again") == [
        ["added", "x", None, 1],
        ["added", "y", "x", 2],
        ["value", ["x", "y"]],
    ]


def test_two_sides_that_add_at_the_same_time_agree(told: Told) -> None:
    events = told("both_sides_add_and_agree")
    assert events[-1] == ["agree", True, 50]
    assert sorted(event[1] for event in events if event[0] == "added") == [f"k{i:02}" for i in range(50)]
