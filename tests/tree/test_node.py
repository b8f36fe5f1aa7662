"""Node values: the way in from JSON in every documented case, and against all that people send by mistake or on purpose."""

from __future__ import annotations

import copy
import json
import math
from typing import Any

import msgspec
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from meadowlark.errors import Code, Refused
from meadowlark.tree import (
    Node,
    ServerValue,
    Tree,
    canonical_number,
    child_count,
    children,
    encode,
    find,
    from_json,
    is_leaf,
    node_hash,
    plain,
    priority_from_json,
    priority_of,
    resolve,
    value_of,
    with_priority,
)

NOW = 1_700_000_000_000
TIME = {".sv": "timestamp"}


def node_of(raw: Any, depth: int = 0) -> Node | None:
    node, waiting = from_json(raw, depth)
    assert not waiting
    return node


def nested(levels: int, innermost: Any) -> Any:
    """`innermost` below `levels` keys "k"."""
    raw = innermost
    for _ in range(levels):
        raw = {"k": raw}
    return raw


def typed(node: Any) -> Any:
    """`node` in a form in which True, 1 and 1.0 differ."""
    return repr(node)


# From JSON


@pytest.mark.parametrize(
    ("raw", "node"),
    [
        (None, None),
        (True, True),
        (False, False),
        (0, 0),
        (1, 1),
        (-2.5, -2.5),
        ("", ""),
        ("text", "text"),
        ({}, None),
        ([], None),
        ({"a": None}, None),
        ({"a": {"b": {}, "c": [None, {}]}}, None),
        ({"a": 1, "b": None, "c": {}}, {"a": 1}),
        (["x", None, "z"], {"0": "x", "2": "z"}),
        ({"a": [[1], {"b": 2}]}, {"a": {"0": {"0": 1}, "1": {"b": 2}}}),
        ({".value": "v"}, "v"),
        ({".value": False}, False),
        ({".value": "v", ".priority": 3}, {".value": "v", ".priority": 3}),
        ({".priority": "p", ".value": 0}, {".value": 0, ".priority": "p"}),
        ({".value": "v", ".priority": None}, "v"),
        ({".value": "v", "a": None}, "v"),
        ({".value": None}, None),
        ({".value": None, ".priority": 3}, None),
        ({".value": None, ".priority": 3, "a": 1}, {"a": 1, ".priority": 3}),
        ({".priority": 3}, None),
        ({".priority": 3, "a": None}, None),
        ({"a": 1, ".priority": 3.0}, {"a": 1, ".priority": 3}),
        ({"a": {"b": 1, ".priority": "x"}}, {"a": {"b": 1, ".priority": "x"}}),
        ({"1": "a", "01": "b"}, {"1": "a", "01": "b"}),
    ],
)
def test_json_becomes_a_node(raw: Any, node: Node | None) -> None:
    assert typed(node_of(raw)) == typed(node)


@pytest.mark.parametrize(
    ("raw", "number"),
    [
        (1.0, 1),
        (-1.0, -1),
        (0.0, 0),
        (-0.0, 0),
        (1.5, 1.5),
        (-1e-320, -1e-320),
        (5e-324, 5e-324),
        (1e15, 1_000_000_000_000_000),
        (2**53, 9_007_199_254_740_992),
        (2**53 + 1, 9_007_199_254_740_992),
        (2**53 + 3, 9_007_199_254_740_996),
        (-(2**53) - 1, -9_007_199_254_740_992),
        (2**62, 4_611_686_018_427_387_904),
        (2**63 - 1, 9.223372036854775808e18),
        (2**63, 9.223372036854775808e18),
        (-(2**63), -9.223372036854775808e18),
        (1e18, 1_000_000_000_000_000_000),
        (1e19, 1e19),
        (10**100, 1e100),
        (1.7976931348623157e308, 1.7976931348623157e308),
    ],
)
def test_a_number_is_a_double_held_as_int_where_it_is_integral_and_fits(raw: float, number: float) -> None:
    for found in (node_of(raw), node_of({"a": raw})["a"], node_of([raw])["0"], canonical_number(raw)):
        assert typed(found) == typed(number)
    assert priority_from_json(raw) == (number, False)


@pytest.mark.parametrize("raw", [math.nan, math.inf, -math.inf, 10**400, -(10**400), 2**1024])
def test_a_number_that_is_no_finite_double_is_refused(raw: float) -> None:
    wrappings: list[Any] = [raw, {"a": raw}, [raw], {".value": raw}, {".value": 1, ".priority": raw}, {".sv": {"increment": raw}}]
    for wrapped in wrappings:
        with pytest.raises(Refused, match="not finite") as refusal:
            from_json(wrapped)
        assert refusal.value.code is Code.INVALID_DATA
    with pytest.raises(Refused, match="not finite"):
        priority_from_json(raw)


def test_booleans_and_numbers_stay_apart() -> None:
    node = node_of({"true": True, "one": 1, "float": 1.0, "false": False, "zero": 0})
    assert typed(node) == "{'true': True, 'one': 1, 'float': 1, 'false': False, 'zero': 0}"
    assert encode(node) == b'{"true":true,"one":1,"float":1,"false":false,"zero":0}'


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        ({"a.b": 1}, "has one of"),
        ({"a/b": 1}, "has one of"),
        ({"$a": None}, "has one of"),
        ({"": 1}, "a key is empty"),
        ({"\ud800": 1}, "lone surrogate"),
        ({"k" * 769: 1}, "a key has 769 bytes, limit is 768"),
        ({"é" * 385: 1}, "a key has 770 bytes, limit is 768"),
        ({".info": 1}, "has one of"),
        ({".value": {"a": 1}}, "'.value' must be"),
        ({".value": []}, "'.value' must be"),
        ({".value": {}}, "'.value' must be"),
        ({".value": {".value": 1}}, "'.value' must be"),
        ({".value": 1, "a": 2}, "may not stand beside"),
        ({".value": 1, ".sv": "timestamp"}, "may not stand beside"),
        ({".value": None, ".sv": "timestamp"}, "may not stand beside"),
        ({".sv": "timestamp", "a": 1}, "may not stand beside"),
        ({".sv": "now"}, "unknown server value"),
        ({".sv": None}, "unknown server value"),
        ({".sv": True}, "unknown server value"),
        ({".sv": {}}, "unknown server value"),
        ({".sv": {"increment": "1"}}, "unknown server value"),
        ({".sv": {"increment": True}}, "unknown server value"),
        ({".sv": {"increment": None}}, "unknown server value"),
        ({".sv": {"increment": {".sv": "timestamp"}}}, "unknown server value"),
        ({".sv": {"increment": 1, "more": 2}}, "unknown server value"),
        ({".sv": ["timestamp"]}, "unknown server value"),
        ({"a": 1, ".priority": True}, "a priority must be"),
        ({"a": 1, ".priority": {}}, "a priority must be"),
        ({"a": 1, ".priority": []}, "a priority must be"),
        ({"a": 1, ".priority": {".value": 1}}, "a priority must be"),
        ({"a": 1, ".priority": {".sv": "timestamp", ".priority": 1}}, "a priority must be"),
        ({".value": 1, ".priority": False}, "a priority must be"),
        ({".priority": True}, "a priority must be"),
        ({"a": {1, 2}}, "expected JSON, got set"),
        ({"a": b"bytes"}, "expected JSON, got bytes"),
        ((1, 2), "expected JSON, got tuple"),
    ],
)
def test_misuse_is_refused_in_words(raw: Any, words: str) -> None:
    for wrapped in (raw, {"fine": 1, "here": raw}, [None, raw]):
        with pytest.raises(Refused, match=words) as refusal:
            from_json(wrapped)
        assert refusal.value.code is Code.INVALID_DATA


def test_a_refusal_names_the_place_below_the_node() -> None:
    with pytest.raises(Refused, match=r"unknown server value: .* at 'rooms/1/time' in the data"):
        from_json({"rooms": ["x", {"time": {".sv": "now"}}]})


def test_a_refusal_never_tells_the_value() -> None:
    with pytest.raises(Refused) as refusal:
        from_json({"a": {".value": {"secret": "hunter2"}}})
    assert "hunter2" not in refusal.value.text


def test_json_that_was_parsed_is_neither_changed_nor_kept() -> None:
    raw = {"a": {"b": 1.0, "c": None, ".priority": 2.0}, "d": [1, 2], "e": {".value": 1, ".priority": 2}, "f": {"g": "h"}}
    before = copy.deepcopy(raw)
    first, second = Tree(node_of(raw)), Tree(node_of(raw))
    first.set(("f", "g"), "changed")
    first.set(("a", "x"), 1)
    assert typed(raw) == typed(before)
    assert second.get(("f", "g")) == "h"


# Limits


def test_a_leaf_may_stand_32_keys_below_the_root() -> None:
    assert node_of(nested(32, 1)) == nested(32, 1)
    assert node_of(nested(2, 1), depth=30) == nested(2, 1)
    assert node_of(1, depth=32) == 1
    for raw, depth in ((nested(33, 1), 0), (nested(3, 1), 30), ([1], 32)):
        with pytest.raises(Refused, match="deeper than 32 levels"):
            from_json(raw, depth)


def test_a_priority_does_not_count_as_a_level() -> None:
    raw = nested(32, {".value": 1, ".priority": 2})
    assert node_of(raw) == raw


def test_an_absent_value_may_stand_as_deep_as_it_likes_by_one() -> None:
    assert node_of({"a": 1, "b": nested(31, {"k": None})}) == {"a": 1}


@pytest.mark.parametrize(
    "wrap",
    [
        lambda inner: {"k": inner},
        lambda inner: [inner],
        lambda inner: {".value": inner},
        lambda inner: {".priority": inner, "a": 1},
        lambda inner: {".sv": inner},
        lambda inner: {".sv": {"increment": inner}},
        lambda inner: {"k": {".value": inner, ".priority": inner}},
        lambda inner: {".value": None, "k": inner},
    ],
    ids=["map", "array", "value", "priority", "sv", "increment", "both", "null-value"],
)
def test_nesting_beyond_the_recursion_limit_is_refused(wrap: Any) -> None:
    raw: Any = 1
    for _ in range(20_000):
        raw = wrap(raw)
    with pytest.raises(Refused):
        from_json(raw)
    with pytest.raises(Refused):
        priority_from_json(raw)


def test_a_map_may_be_wide() -> None:
    raw = {f"-key_{index}": index for index in range(100_000)}
    assert node_of(raw) == raw
    raw["bad.key"] = 1
    with pytest.raises(Refused, match=r"bad\.key"):
        from_json(raw)


@pytest.mark.parametrize("character", ["a", "é", "😀"])
def test_a_text_may_have_ten_mebibytes(character: str) -> None:
    size = len(character.encode())
    longest = character * (10 * 1024 * 1024 // size)
    assert node_of({"a": longest})["a"] is longest
    for raw in (longest + character, {"a": longest + character}, [longest + character], {".value": longest + character}):
        with pytest.raises(Refused, match="limit is 10485760") as refusal:
            from_json(raw)
        assert refusal.value.code is Code.TOO_BIG
        assert len(refusal.value.text) < 200


def test_field_names_are_remembered_but_never_more_than_allowed() -> None:
    from meadowlark.tree import node as module

    for index in range(30_000):
        from_json({f"field {index}": 1})
    assert 0 < len(module._known_keys) <= module._KNOWN_KEYS_MAX
    assert not any(key.startswith(".") for key in module._known_keys)


def test_a_refused_key_is_refused_again() -> None:
    for _ in range(3):
        with pytest.raises(Refused):
            from_json({"good": 1, "b.d": 2})


@pytest.mark.parametrize("text", [b'"\\ud800"', b'{"\\udc00":1}', b'"\xed\xa0\x80"', b"NaN", b"[Infinity]", b"1e999"])
def test_the_decoders_in_use_give_no_lone_surrogate_and_no_number_without_end(text: bytes) -> None:
    """`from_json` does not look into strings for surrogates, because of this."""
    for decode in (msgspec.json.decode, orjson.loads):
        with pytest.raises((ValueError, msgspec.DecodeError)):
            decode(text)


# Server values


def test_server_values_wait_until_resolved() -> None:
    node, waiting = from_json({"at": TIME, "n": {".sv": {"increment": 2}}, "p": {".value": 1, ".priority": TIME}})
    assert waiting
    assert node == {"at": ServerValue(), "n": ServerValue(2), "p": {".value": 1, ".priority": ServerValue()}}
    assert resolve(node, {"n": 40}, NOW) == {"at": NOW, "n": 42, "p": {".value": 1, ".priority": NOW}}
    assert node["at"] == ServerValue(), "the waiting node stays, for an operation that runs later"


@pytest.mark.parametrize(
    ("raw", "existing", "expected"),
    [
        (TIME, None, NOW),
        ({".value": TIME, ".priority": 1}, None, {".value": NOW, ".priority": 1}),
        ({".sv": "timestamp", ".priority": TIME}, None, {".value": NOW, ".priority": NOW}),
        ({"a": 1, ".priority": TIME}, None, {"a": 1, ".priority": NOW}),
        ({".sv": {"increment": 1}}, None, 1),
        ({".sv": {"increment": 1}}, 41, 42),
        ({".sv": {"increment": 0.5}}, 1, 1.5),
        ({".sv": {"increment": 0.5}}, 1.5, 2),
        ({".sv": {"increment": 1}}, "text", 1),
        ({".sv": {"increment": 1}}, True, 1),
        ({".sv": {"increment": 1}}, {"a": 1}, 1),
        ({".sv": {"increment": 1}}, {".value": 41, ".priority": 9}, 42),
        (
            {".sv": {"increment": 1}, ".priority": {".sv": {"increment": 1}}},
            {".value": 41, ".priority": 9},
            {".value": 42, ".priority": 10},
        ),
        ({"a": 1, ".priority": {".sv": {"increment": 1}}}, {"b": 1, ".priority": 9}, {"a": 1, ".priority": 10}),
        ({"a": {"b": {".sv": {"increment": 1}}}}, {"a": {"b": 1}}, {"a": {"b": 2}}),
        ({"a": {"b": {".sv": {"increment": 1}}}}, {"a": 5}, {"a": {"b": 1}}),
        ([{".sv": {"increment": 1}}], {"0": 5}, {"0": 6}),
        ({".sv": {"increment": 1}}, 2**53, 2**53),
        ({".sv": {"increment": 2}}, 2**53, 2**53 + 2),
        ({".sv": {"increment": 2**62}}, 2**62, 9.223372036854775808e18),
    ],
)
def test_a_server_value_is_made_from_the_time_or_from_what_is_there(raw: Any, existing: Node | None, expected: Node) -> None:
    node, waiting = from_json(raw)
    assert waiting
    assert typed(resolve(node, existing, NOW)) == typed(expected)


def test_a_sum_that_is_no_double_is_refused() -> None:
    node, _ = from_json({"a": {".sv": {"increment": 1.7e308}}})
    with pytest.raises(Refused, match="not finite"):
        resolve(node, {"a": 1.7e308}, NOW)


def test_a_priority_alone() -> None:
    assert priority_from_json(None) == (None, False)
    assert priority_from_json("p") == ("p", False)
    assert priority_from_json(TIME) == (ServerValue(), True)
    for raw in (True, [], {}, {"a": 1}, {".sv": "now"}, {".value": 1}):
        with pytest.raises(Refused):
            priority_from_json(raw)


# Any JSON at all

SPECIAL_KEYS = st.sampled_from([".value", ".priority", ".sv", "increment", "a", "b", "0", "1", "", "a.b", "$", "k" * 200, "\x7f"])
SPECIAL_LEAVES = st.sampled_from([None, True, False, 1, 1.0, -0.0, math.nan, math.inf, 10**400, 2**63, "timestamp", ""])
ANY_JSON = st.recursive(
    st.one_of(SPECIAL_LEAVES, st.integers(), st.floats(), st.text(max_size=5)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(st.one_of(SPECIAL_KEYS, st.text(max_size=3)), inner, max_size=4)
    ),
    max_leaves=25,
)


@given(ANY_JSON, st.integers(0, 32))
def test_any_json_is_refused_or_becomes_a_valid_node(raw: Any, depth: int) -> None:
    before = typed(raw)
    try:
        node, waiting = from_json(raw, depth)
        node = resolve(node, None, NOW) if waiting else node
    except Refused:
        node = None
    assert typed(raw) == before
    Tree(node).check()
    node_hash(node)
    assert typed(from_json(node, depth)[0]) == typed(node), "the export form comes in as it went out"
    assert typed(from_json(msgspec.json.decode(encode(node)), depth)[0]) == typed(node), "also by way of bytes"
    json.dumps(plain(node), allow_nan=False)


# Looking at nodes


def test_a_leaf_has_a_value_and_no_children() -> None:
    for node, value, priority in ((5, 5, None), (False, False, None), ("", "", None), ({".value": 1, ".priority": "p"}, 1, "p")):
        assert is_leaf(node)
        assert value_of(node) is value
        assert priority_of(node) == priority
        assert child_count(node) == 0
        assert list(children(node)) == []


def test_a_map_has_children_and_no_value() -> None:
    node = {"a": 1, ".priority": 7, "b": {"c": 2}}
    assert not is_leaf(node)
    assert value_of(node) is None
    assert priority_of(node) == 7
    assert child_count(node) == 2
    assert dict(children(node)) == {"a": 1, "b": {"c": 2}}


def test_nothing_has_nothing() -> None:
    assert value_of(None) is None
    assert priority_of(None) is None
    assert child_count(None) == 0
    assert list(children(None)) == []
    assert find(None, ("a",)) is None


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ((), {"a": {"b": 1, ".priority": 2}, "c": {".value": 3, ".priority": 4}}),
        (("a", "b"), 1),
        (("a", ".priority"), 2),
        (("c",), {".value": 3, ".priority": 4}),
        (("c", ".priority"), 4),
        (("c", ".value"), None),
        (("c", "d"), None),
        (("a", "b", "c"), None),
        (("a", "b", ".priority"), None),
        (("a", ".priority", "x"), None),
        (("x", "y", "z"), None),
        ((".priority",), None),
    ],
)
def test_finding_by_path(path: tuple[str, ...], expected: Node | None) -> None:
    assert find({"a": {"b": 1, ".priority": 2}, "c": {".value": 3, ".priority": 4}}, path) == expected


def test_a_priority_is_put_taken_and_replaced_on_a_copy() -> None:
    assert with_priority(5, None) == 5
    assert with_priority(5, 1) == {".value": 5, ".priority": 1}
    assert with_priority({".value": 5, ".priority": 1}, None) == 5
    assert with_priority({".value": 5, ".priority": 1}, "p") == {".value": 5, ".priority": "p"}
    node = {"a": 1}
    assert with_priority(node, 0) == {"a": 1, ".priority": 0}
    assert with_priority({"a": 1, ".priority": 0}, None) == {"a": 1}
    assert node == {"a": 1}
