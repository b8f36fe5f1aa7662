"""Windows in the order in which a packed map lies, against those of an index; the model has all else."""

from __future__ import annotations

from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from meadowlark.query import Index, KeyIndex, Query, Window, parse_query
from meadowlark.tree import Node, Tree, children, find_child, find_present, is_key_ordered, pack_slices
from tests.query.test_window import specs
from tests.tree.test_pages_model import cool_all, finish, small_pages

__all__ = ["small_pages"]

KEYS = ["-1", "1", "2", "10", "01", "a", "b", "k1", "k2", "k3", "k4", "k5", "z", "é", "\uffff", "\U0001f600"]


def packed(keys: set[str]) -> Node:
    node = finish(pack_slices({key: {"v": 1, "text": "x" * 30} for key in sorted(keys)}))
    assert is_key_ordered(node)
    return node


def in_key_order(order: str) -> Any:
    return specs().filter(lambda spec: spec["i"] == order).map(parse_query).filter(lambda query: query is not None)


@settings(max_examples=200, deadline=None)
@given(
    st.one_of(in_key_order(".key"), in_key_order(".priority")),
    st.sets(st.sampled_from(KEYS), min_size=6),
    st.lists(st.dictionaries(st.sampled_from(KEYS), st.sampled_from([None, {"v": 2}]), min_size=1, max_size=4), max_size=4),
)
def test_it_shows_what_an_index_shows(small_pages: None, query: Query, keys: set[str], changes: list[dict[str, Any]]) -> None:
    tree = Tree({"p": packed(keys)})
    index = Index(query.order, (), children(tree.get(("p",))))
    light = KeyIndex(query.order, lambda: tree.get(("p",)))
    expected, window = Window(query, index), Window(query, light)
    assert window.keys(light) == expected.keys(index)
    for change in changes:
        stood = {}
        for key, value in change.items():
            done = tree.set(("p", key), value and dict(value))
            stood[key] = done is not None and done.stood == 2
        node = tree.get(("p",))
        if not is_key_ordered(node):
            assert not light.serves([])  # It was emptied on the way, and is a dict now.
            return
        touched = [index.touch(key, find_child(node, key)) for key in change]
        assert [light.touch(key, find_child(node, key), stood=stood[key]) for key in change] == touched
        step = expected.advance(index, touched)
        assert window.advance(light, touched) == step
        assert window.keys(light) == expected.keys(index)
        light.check(children(node))
        for was in touched:
            if was.after is not None:
                assert sorted(light.neighbours(was.after)) == sorted(index.neighbours(was.after))


def test_it_gives_way_where_the_keys_are_not_the_order(small_pages: None) -> None:
    tree = Tree({"p": packed(set(KEYS))})
    by_key, by_priority = (KeyIndex(order, lambda: tree.get(("p",))) for order in (".key", ".priority"))
    first = {"v": 1, ".priority": 1}
    assert by_key.serves([first])
    assert by_priority.serves([{"v": 1}, None])
    assert not by_priority.serves([first])
    tree.set(("p",), {"a": 1})
    assert not by_key.serves([])


@pytest.mark.parametrize("key", ["k", 'quote"', "back\\slash", "é", "\U0001f600", "7"])
def test_a_child_is_found_in_the_bytes_of_its_page(small_pages: None, key: str) -> None:
    decoy = {"a": 'quote":{"v":9}', "text": "\\", key: {"v": 2}}
    wide = {f"o{number}": {"v": number} for number in range(20)}
    node = finish(pack_slices({key: {"v": 1, "é": 1.5}, "m": decoy, "n": {"text": "x" * 40}, **wide}))
    assert is_key_ordered(node)
    for name, child in list(children(node)):
        cool_all()
        assert find_present(node, name) == child
