"""Windows over an index: what the SDK selects, and what changes in them, against sorting everything anew."""

from __future__ import annotations

import json
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from meadowlark.query import Index, Query, Window, parse_parameters, parse_query
from meadowlark.tree import children, find_child, from_json
from tests.tree.vectors import VECTORS

ALL = parse_query({"sp": None})
"""What selects everything by priority."""


def index_of(query: Query, node: Any) -> Index:
    return Index(query.order, query.order_path, children(node))


@pytest.mark.parametrize("case", VECTORS["queries"], ids=lambda case: json.dumps(case["q"]))
def test_windows_are_those_of_the_sdk(case: dict):
    node, _ = from_json(VECTORS["data"])
    query = parse_query(case["q"]) or ALL
    assert query is not None
    index = index_of(query, node)
    assert Window(query, index).keys(index) == case["keys"]
    rest = {name: value if isinstance(value, str) else json.dumps(value) for name, value in case["rest"].items()}
    assert parse_parameters(rest) == parse_query(case["q"])


KEYS = ["a", "b", "c", "1", "2", "10", "01", "\U0001f600", "\uffff"]
LEAVES = st.sampled_from([False, True, 0, 1, 1.5, -2, "", "a", "b", "\U0001f600", "\uffff"])
CHILD = st.one_of(
    LEAVES,
    st.fixed_dictionaries({}, optional={"v": LEAVES, "w": st.fixed_dictionaries({"x": LEAVES})}),
    LEAVES.map(lambda leaf: {".value": leaf, ".priority": 1}),
    st.sampled_from([-1, 1, "p"]).map(lambda priority: {"v": 1, ".priority": priority}),
)
BOUND = st.one_of(st.none(), LEAVES)


@st.composite
def specs(draw: st.DrawFn) -> dict[str, Any]:
    order = draw(st.sampled_from([".key", ".value", ".priority", "v", "w/x"]))
    spec: dict[str, Any] = {"i": order}
    for value, key, inclusive in (("sp", "sn", "sin"), ("ep", "en", "ein")):
        if draw(st.booleans()):
            spec[value] = draw(st.sampled_from(KEYS)) if order == ".key" else draw(BOUND)
            spec[inclusive] = draw(st.booleans())
            if order != ".key" and draw(st.booleans()):
                spec[key] = draw(st.sampled_from([*KEYS, "[MIN_NAME]", "[MAX_NAME]"]))
    if draw(st.booleans()):
        spec["l"] = draw(st.integers(1, 4))
        spec["vf"] = draw(st.sampled_from("lr"))
    return spec


@settings(max_examples=400, deadline=None)
@given(
    specs().map(parse_query).filter(lambda query: query is not None),
    st.dictionaries(st.sampled_from(KEYS), CHILD),
    st.lists(st.dictionaries(st.sampled_from(KEYS), st.one_of(st.none(), CHILD), min_size=1, max_size=4), max_size=4),
)
def test_what_is_told_leads_from_window_to_window(query: Query, data: dict, changes: list[dict]):
    node = from_json(data)[0] or {}
    index = index_of(query, node)
    window = Window(query, index)
    shown = window.keys(index)
    for change in changes:
        touched = []
        for key, value in change.items():
            child = from_json(value)[0]
            if child is None:
                node.pop(key, None)
            else:
                node[key] = child
            touched.append(index.touch(key, find_child(node, key)))
        index.check(children(node))
        step = window.advance(index, touched)
        fresh_index = index_of(query, node)
        fresh = Window(query, fresh_index)
        now = fresh.keys(fresh_index)
        assert (window.low, window.high) == (fresh.low, fresh.high) or window.keys(index) == now
        if step is None:
            assert now == shown
            assert not set(shown) & set(change)
        else:
            assert not set(step.left) & set(now)
            assert set(step.left) <= set(shown)
            assert set(step.entered) <= set(now)
            assert not set(step.entered) & set(shown)
            assert (set(shown) - set(step.left)) | set(step.entered) == set(now)
            assert set(step.stayed) == set(shown) & set(now) & set(change)
            assert len(step.left) == len(set(step.left))
            assert len(step.entered) == len(set(step.entered))
        shown = now


def test_filling_and_emptying_in_slices():
    query = parse_query({"i": "v", "l": 1})
    assert query is not None
    node = {f"k{number}": {"v": number % 7} for number in range(1_000)}
    index = Index("v", ("v",))
    steps = sum(1 for _ in index.fill(children(node)))
    assert steps == 10
    index.check(children(node))
    for _ in index.empty():
        pass
    assert len(index) == 0
