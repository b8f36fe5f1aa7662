"""Every kind of write, as one client's SDK sends it and another client's SDK shows it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.conformance.conftest import Told

pytestmark = [pytest.mark.slow, pytest.mark.parametrize("how", ["emulator", "url"])]


@pytest.fixture
def told(perform: Callable[..., Told], how: str) -> Told:
    return perform("writes.mjs", how)


def test_set_is_seen_by_the_other_and_by_the_writer_before_its_acknowledgement(told: Told) -> None:
    whole = {"x": {"n": 1, "s": "two", "t": True, "f": False, "nested": {"deep": 0.5}}}
    assert told("set", "b") == [["b.value", None], ["b.value", whole]]
    assert told("set", "a") == [["a.value", None], ["a.value", whole], ["a.acknowledged"]]


def test_set_replaces_what_was_there(told: Told) -> None:
    assert told.values("set_replaces", "b.value") == [{"old": 1, "kept": 1}, {"kept": 2}]


def test_set_null_removes_and_empty_parents_go_with_it(told: Told) -> None:
    assert told.values("set_null_removes_empty_parents", "b.value") == [{"p": {"q": {"r": 1}}, "s": 1}, {"s": 1}, None]


def test_update_replaces_the_named_children_and_no_others(told: Told) -> None:
    assert told.values("update", "b.value") == [
        {"one": 1, "two": {"x": 1, "y": 2}, "three": 3},
        {"one": "eins", "two": {"z": 3}, "four": [1, 2]},
    ]


def test_update_of_many_paths_is_one_change(told: Told) -> None:
    assert told.values("update_of_many_paths", "b.value") == [
        {"users": {"u": {"name": "old", "age": 1}}, "posts": {"p": "gone"}},
        {"users": {"u": {"name": "new", "age": 1}}, "posts": {"q": {"title": "here"}}, "count": 1},
    ]
    assert told.values("update_of_many_paths", "b.name") == ["old", "new"]


def test_push_makes_keys_that_sort_in_the_order_of_making(told: Told) -> None:
    ((_, *keys),) = told("push", "keys")
    assert sorted(keys) == keys
    assert {len(key) for key in keys} == {20}
    first, second, third = keys
    assert told.values("push", "order") == [[[first, "first"], [second, {"n": 2}], [third, 3]]]
    assert told.values("push", "b.value")[0] is None
    assert told.values("push", "b.value")[-1] == {first: "first", second: {"n": 2}, third: 3}


def test_remove_is_heard_and_removing_nothing_is_not(told: Told) -> None:
    assert told.values("remove", "b.value") == [{"a": 1, "b": {"c": 1}}, {"a": 1}, None]


def test_set_with_priority_carries_it_and_a_plain_set_drops_it(told: Told) -> None:
    assert [event[1:] for event in told("set_with_priority", "b.value")] == [
        [None, None],
        [{"leaf": 1, ".priority": "high"}, "high"],
        [{"leaf": {".value": 2, ".priority": 7}, ".priority": "high"}, "high"],
        [{"leaf": 3, ".priority": "high"}, "high"],
    ]


def test_set_priority_changes_nothing_else_and_does_not_create(told: Told) -> None:
    assert told.values("set_priority", "b.value") == [
        {"leaf": 1, "branch": {"x": 1}},
        {"leaf": {".value": 1, ".priority": 1.5}, "branch": {"x": 1}},
        {"leaf": {".value": 1, ".priority": 1.5}, "branch": {"x": 1, ".priority": "p"}},
        {"leaf": 1, "branch": {"x": 1, ".priority": "p"}},
    ]


def test_a_write_below_a_leaf_turns_it_into_a_branch_and_keeps_its_priority(told: Told) -> None:
    assert told.values("child_write_keeps_priority_above", "b.value") == [
        {"leaf": {"now": {"branch": 1}, "more": 2, ".priority": 5}}
    ]


def test_get_reads_what_stands_there(told: Told) -> None:
    assert told("get") == [
        ["whole", {"leaf": "x", "branch": {"y": [1, 2, 3]}}],
        ["leaf", "x"],
        ["below a leaf", None],
        ["missing", None, False],
        ["again", "changed"],
    ]


def test_increment_adds_to_numbers_and_starts_where_there_is_none(told: Told) -> None:
    assert told.values("increment", "b.value") == [{"n": 13, "f": 1.75, "text": 2, "fresh": 4, "deep": {"er": 1}}]


def test_increments_from_two_sides_all_count(told: Told) -> None:
    assert told("increments_from_two_sides") == [["a.value", 100], ["b.value", 100]]


def test_server_timestamps_of_one_write_are_equal_and_now(told: Told) -> None:
    ((_, before, value, after, priority),) = told("server_timestamp", "stamps")
    assert value["at"] == value["again"]["at"]
    assert before - 5 <= value["at"] <= after + 5
    assert before - 5 <= priority <= after + 5
    assert isinstance(value["at"], int)
    assert told.values("server_timestamp", "own") == [value]


def test_a_writer_sees_each_of_its_writes_once(told: Told) -> None:
    assert told("a_writer_sees_its_own_write_once", "a") == [
        ["a.value", None],
        ["a.value", 1],
        ["a.value", {"x": 1, "y": 2}],
        ["a.value", {"x": 3, "y": 2}],
        ["a.acknowledged"],
    ]


def test_five_hundred_writes_in_flight_arrive_complete_and_in_order(told: Told) -> None:
    assert told.values("five_hundred_writes_in_flight", "b.value") == [None, *range(1, 501)]


def test_listeners_hear_only_what_concerns_them(told: Told) -> None:
    scenario = "listeners_hear_only_what_concerns_them"
    assert told.values(scenario, "left") == [{"x": 1}, {"x": 2}, {"x": 2, "z": 3}, None]
    assert told.values(scenario, "x") == [1, 2, None]
    assert told.values(scenario, "y") == [1, 9, None]


def test_a_listener_that_is_off_hears_nothing_and_a_new_one_starts_fresh(told: Told) -> None:
    assert told("a_listener_that_is_off_hears_nothing") == [["b.value", 1], ["b.value", 2], ["b.again", 3]]


def test_once_is_once(told: Told) -> None:
    assert told("once") == [["b.once", 1]]


def test_numbers_come_back_exactly(told: Told) -> None:
    assert told("numbers") == [["same", 19, -1]]


def test_leaves_and_branches_replace_each_other(told: Told) -> None:
    expected: list[Any] = [None, "", 0, False, "text", {"x": {"y": 1}}, "leaf again", {"x": ""}]
    assert told.values("leaves_and_branches", "b.value") == expected


def test_keys_and_depths_at_the_limits_are_stored(told: Told) -> None:
    assert told.values("keys_at_the_limits", "b.value") == [[1, 2, 3]]


def test_the_root_is_a_path_like_any(told: Told) -> None:
    assert told("root_is_a_path_like_any") == [["b.value", None, "the rest"], ["rest stays", 1]]
