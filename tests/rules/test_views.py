"""Views of a tree before and after a write: what they foretell is what the tree then is."""

from __future__ import annotations

import copy
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import given

from meadowlark.engine.values import update_paths
from meadowlark.errors import Refused
from meadowlark.rules.values import MAP
from meadowlark.rules.views import After, AfterPriority, AfterUpdate, Before, View, after_writes
from meadowlark.tree import Tree, from_json, parse_path

KEYS = st.sampled_from(["a", "b", "c"])
PATHS = st.lists(KEYS, max_size=4).map(tuple)
LEAVES = st.sampled_from([1, True, "x", 0, ""])
VALUES = st.recursive(
    st.one_of(st.none(), LEAVES, LEAVES.map(lambda leaf: {".value": leaf, ".priority": 5})),
    lambda inner: st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=6,
)
ALL_PATHS = [()] + [(x,) for x in "abc"] + [(x, y) for x in "abc" for y in "abc"] + [("a", x, y) for x in "abc" for y in "abc"]


def node(value: Any) -> Any:
    return from_json(value)[0]


def assert_foretells(view: View, root: Any, writes: list[tuple[Any, Any]], *, priorities: bool = True) -> None:
    before = repr(root)
    tree = Tree(copy.deepcopy(root))
    for path, value in writes:
        tree.set(path, copy.deepcopy(value))
    now = Before(tree.root)
    for path in ALL_PATHS:
        assert repr(view.value(path)) == repr(now.value(path)), path
        if priorities:
            assert view.priority(path) == now.priority(path), path
    assert repr(root) == before


@given(VALUES, PATHS, VALUES)
def test_after_one_write(value, path, written):
    root, writes = node(value), [(path, node(written))]
    view = after_writes(root, writes)
    assert type(view) is After
    assert_foretells(view, root, writes)
    assert_foretells(AfterUpdate(root, writes), root, writes)


@given(VALUES, PATHS, st.sampled_from([None, 1, "p"]))
def test_after_a_priority(value, path, priority):
    root, writes = node(value), [((*path, ".priority"), priority)]
    view = after_writes(root, writes)
    assert type(view) is AfterPriority
    assert_foretells(view, root, writes)
    assert_foretells(AfterUpdate(root, writes), root, writes)


@given(VALUES, st.dictionaries(st.lists(KEYS, min_size=1, max_size=3).map("/".join), VALUES, max_size=5))
def test_after_an_update(value, children):
    root = node(value)
    try:
        paths = update_paths((), children)
    except Refused:
        return
    writes = [(path, node(written)) for path, written in zip(paths, children.values(), strict=True)]
    # A map that vanishes and comes back in one update has lost its priority in the tree, where one write follows the other.
    assert_foretells(after_writes(root, writes), root, writes, priorities=all(written is not None for _, written in writes))


@pytest.mark.parametrize(
    ("root", "path", "written", "asked", "value"),
    [
        ({"a": {"b": 1}}, "a/b", None, "a", None),
        ({"a": {"b": 1}, "c": 1}, "a/b", None, "", MAP),
        ({"a": {"b": 1, "c": 2}}, "a/b", None, "a", MAP),
        ({"a": 5}, "a/b", None, "a", 5),
        ({"a": 5}, "a/b", 1, "a", MAP),
        ({"a": 5}, "a/b", 1, "a/c", None),
        (None, "a/b", {"c": 1}, "a/b/c", 1),
        ({"a": {"b": 1}}, "a/x", None, "a", MAP),
        ({"a": {"b": 1}}, "", "leaf", "a/b", None),
    ],
)
def test_what_one_write_leaves(root, path, written, asked, value):
    found = After(node(root), parse_path(path), node(written)).value(parse_path(asked))
    assert found is value or found == value


def test_removals_from_a_wide_map_leave_a_map():
    root = {"users": {f"u{i}": 1 for i in range(10_000)}}
    update = AfterUpdate(root, [(("users", "u1"), None), (("users", "x"), None)])
    assert update.value(("users",)) is MAP
    assert update.value(("users", "u1")) is None
    assert update.value(("users", "u2")) == 1
