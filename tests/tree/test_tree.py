"""Writes on a tree, what each Change says, and views that stay as they were. Random cases: test_tree_model.py."""

from __future__ import annotations

from typing import Any

import pytest

from meadowlark.tree import Change, Node, Path, ServerValue, Tree


def rooms() -> Tree:
    return Tree({"rooms": {"1": {"name": "one", "n": 1}, "2": {"name": "two"}}, "title": "demo"})


def test_a_set_replaces_what_was_there_and_says_both() -> None:
    tree = rooms()
    assert tree.set(("rooms", "1", "name"), "uno") == Change(("rooms", "1", "name"), "one", "uno", ("rooms", "1", "name"), 3)
    assert tree.root == {"rooms": {"1": {"name": "uno", "n": 1}, "2": {"name": "two"}}, "title": "demo"}


def test_a_set_makes_the_maps_on_the_way() -> None:
    tree = Tree()
    assert tree.set(("a", "b", "c"), 1) == Change(("a", "b", "c"), None, 1, ("a", "b", "c"), 0)
    assert tree.root == {"a": {"b": {"c": 1}}}


def test_a_set_at_the_root_replaces_everything() -> None:
    tree = rooms()
    before = tree.root
    assert tree.set((), 5) == Change((), before, 5, (), 0)
    assert tree.set((), None) == Change((), 5, None, (), 0)
    assert tree.root is None
    assert tree.set((), None) is None


def test_a_set_that_changes_nothing_is_still_a_change() -> None:
    tree = Tree({"a": 1})
    assert tree.set(("a",), 1) == Change(("a",), 1, 1, ("a",), 1)


def test_a_set_tells_true_from_one() -> None:
    tree = Tree({"a": 1})
    change = tree.set(("a",), True)
    assert change is not None
    assert (type(change.before), type(change.after)) == (int, bool)
    assert tree.get(("a",)) is True


@pytest.mark.parametrize("leaf", [False, 0, ""])
def test_a_falsy_leaf_is_something(leaf: Any) -> None:
    tree = Tree()
    assert tree.set(("a",), leaf) is not None
    tree.check()
    assert tree.set(("a",), None) == Change(("a",), leaf, None, (), 1)
    assert tree.set((), leaf) is not None
    assert tree.set((), None) == Change((), leaf, None, ())


def test_a_removal_says_the_highest_place_that_vanished() -> None:
    tree = Tree({"a": {"b": {"c": {"d": 1}}, "x": 2}})
    assert tree.set(("a", "b", "c", "d"), None) == Change(("a", "b", "c", "d"), 1, None, ("a", "b"), 4)
    assert tree.root == {"a": {"x": 2}}
    assert tree.set(("a", "x"), None) == Change(("a", "x"), 2, None, (), 2)
    assert tree.root is None


def test_a_priority_does_not_keep_a_map_alive() -> None:
    tree = Tree({"a": {"b": 1, ".priority": 3}, "c": 2, ".priority": 4})
    assert tree.set(("a", "b"), None) == Change(("a", "b"), 1, None, ("a",), 2)
    assert tree.root == {"c": 2, ".priority": 4}
    assert tree.set(("c",), None) == Change(("c",), 2, None, (), 1)
    assert tree.root is None


@pytest.mark.parametrize(
    "path", [("x",), ("title", "x"), ("rooms", "3"), ("rooms", "1", "name", "deep"), ("rooms", "1", ".value")]
)
def test_removing_what_is_not_there_is_no_change(path: Path) -> None:
    tree = rooms()
    assert tree.set(path, None) is None
    assert tree.root == rooms().root


def test_a_write_under_a_leaf_makes_it_a_map_that_keeps_the_priority() -> None:
    tree = Tree({"a": 1, "b": {".value": 2, ".priority": 3}})
    tree.set(("a", "x"), 1)
    tree.set(("b", "x", "y"), 2)
    assert tree.root == {"a": {"x": 1}, "b": {"x": {"y": 2}, ".priority": 3}}
    tree = Tree({".value": 1, ".priority": 2})
    tree.set(("x",), 1)
    assert tree.root == {"x": 1, ".priority": 2}


def test_a_set_without_priority_takes_the_priority_away() -> None:
    tree = Tree({"a": {"x": 1, ".priority": 2}})
    tree.set(("a",), {"x": 1})
    assert tree.root == {"a": {"x": 1}}


@pytest.mark.parametrize(
    ("root", "path", "priority", "expected", "before"),
    [
        ({"a": 1}, ("a", ".priority"), 5, {"a": {".value": 1, ".priority": 5}}, None),
        ({"a": {".value": 1, ".priority": 5}}, ("a", ".priority"), "p", {"a": {".value": 1, ".priority": "p"}}, 5),
        ({"a": {".value": 1, ".priority": 5}}, ("a", ".priority"), None, {"a": 1}, 5),
        ({"a": {"b": 1}}, ("a", ".priority"), 0, {"a": {"b": 1, ".priority": 0}}, None),
        ({"a": {"b": 1, ".priority": 0}}, ("a", ".priority"), None, {"a": {"b": 1}}, 0),
        ({"a": 1}, ("a", ".priority"), None, {"a": 1}, None),
        (1, (".priority",), 5, {".value": 1, ".priority": 5}, None),
        ({"a": 1}, (".priority",), 5, {"a": 1, ".priority": 5}, None),
    ],
)
def test_a_priority_is_written_alone(root: Node, path: Path, priority: Any, expected: Node, before: Any) -> None:
    tree = Tree(root)
    assert tree.set(path, priority) == Change(path, before, priority, path, len(path) - 1)
    assert tree.root == expected
    assert tree.get(path) == priority
    tree.check()


@pytest.mark.parametrize("path", [(".priority",), ("a", ".priority"), ("a", "b", ".priority")])
def test_a_priority_on_nothing_is_ignored(path: Path) -> None:
    tree = Tree()
    assert tree.set(path, 5) is None
    assert tree.root is None
    tree = Tree({"x": 1})
    if len(path) > 1:
        assert tree.set(path, 5) is None
    assert tree.root == {"x": 1}


# Views


def test_a_frozen_view_never_changes_whatever_is_written() -> None:
    tree = rooms()
    view = tree.freeze()
    tree.set(("rooms", "1", "name"), "uno")
    tree.set(("rooms", "2"), None)
    tree.set(("title", "under"), 1)
    tree.set(("rooms", "1", ".priority"), 1)
    tree.set((), None)
    assert view == rooms().root


def test_two_views_each_keep_their_moment() -> None:
    tree = Tree({"a": {"n": 0}})
    first = tree.freeze()
    tree.set(("a", "n"), 1)
    second = tree.freeze()
    tree.set(("a", "n"), 2)
    tree.thaw()
    tree.set(("a", "n"), 3)
    assert (first, second, tree.root) == ({"a": {"n": 0}}, {"a": {"n": 1}}, {"a": {"n": 3}})


def test_a_map_is_copied_once_a_freeze_and_not_at_all_without() -> None:
    tree = rooms()
    room = tree.get(("rooms", "1"))
    tree.set(("rooms", "1", "n"), 2)
    assert tree.get(("rooms", "1")) is room
    tree.freeze()
    tree.set(("rooms", "1", "n"), 3)
    copy = tree.get(("rooms", "1"))
    assert copy is not room
    tree.set(("rooms", "1", "n"), 4)
    assert tree.get(("rooms", "1")) is copy
    tree.thaw()
    tree.set(("rooms", "1", "n"), 5)
    assert tree.get(("rooms", "1")) is copy


def test_only_the_way_to_a_write_is_copied() -> None:
    tree = rooms()
    untouched = tree.get(("rooms", "2"))
    tree.freeze()
    tree.set(("rooms", "1", "n"), 2)
    assert tree.get(("rooms", "2")) is untouched


def test_what_a_change_replaced_stays_whole_but_maps_above_it_change_in_place() -> None:
    """The documented bargain: `before` is exactly the node replaced; who needs more takes a freeze."""
    tree = rooms()
    above = tree.get(("rooms",))
    change = tree.set(("rooms", "1"), {"name": "uno"})
    assert change is not None
    tree.set(("rooms", "1", "name"), "eins")
    assert change.before == {"name": "one", "n": 1}
    assert change.after == {"name": "eins"}
    assert above == {"1": {"name": "eins"}, "2": {"name": "two"}}


# The checker itself


@pytest.mark.parametrize(
    "root",
    [
        {},
        {"a": {}},
        {"a": None},
        {"a": {".priority": 1}},
        {"a": {".value": 1}},
        {"a": {".value": 1, ".priority": 2, "b": 3}},
        {"a": {".value": 1, "b": 3}},
        {"a": 1, ".priority": True},
        {"a": 1, ".priority": {"b": 1}},
        {"a": [1]},
        {"a": ServerValue()},
    ],
)
def test_the_check_finds_a_tree_that_must_not_be(root: Node) -> None:
    with pytest.raises(AssertionError):
        Tree(root).check()


@pytest.mark.parametrize("root", [None, 0, False, "", {"a": {".value": 0, ".priority": ""}}, {"a": {"b": False, ".priority": 0}}])
def test_the_check_passes_a_tree_that_may_be(root: Node) -> None:
    Tree(root).check()
