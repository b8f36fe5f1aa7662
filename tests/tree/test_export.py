"""The ways out: export form, plain form with arrays, shallow, and the same in slices."""

from __future__ import annotations

import json
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meadowlark.tree import Node, encode, encode_slices, from_json, plain, shallow
from tests.tree.model import PRIORITIES, canonical, with_some_priority
from tests.tree.vectors import HASHES, VECTORS


def joined(node: Node | None, *, with_priorities: bool, slice_bytes: int) -> bytes:
    return b"".join(encode_slices(node, with_priorities=with_priorities, slice_bytes=slice_bytes))


# Export and plain form


@pytest.mark.parametrize("entry", HASHES, ids=lambda entry: json.dumps(entry["json"])[:40])
def test_the_export_form_is_the_one_of_the_official_sdk(entry: dict[str, Any]) -> None:
    node = from_json(entry["json"])[0]
    assert canonical(json.loads(encode(node))) == canonical(from_json(entry["export"])[0])


@pytest.mark.parametrize("entry", VECTORS["arr"], ids=lambda entry: json.dumps(entry["json"]))
def test_what_looks_like_an_array_is_what_the_official_sdk_shows_as_one(entry: dict[str, Any]) -> None:
    node = from_json(entry["json"])[0]
    assert plain(node) == entry["val"]
    assert json.loads(encode(node)) == entry["export"]


@pytest.mark.parametrize(
    ("node", "shown"),
    [
        (None, None),
        (5, 5),
        (False, False),
        ({".value": 5, ".priority": 1}, 5),
        ({"a": 1, ".priority": 2}, {"a": 1}),
        ({"a": {"b": {".value": "x", ".priority": 2}, ".priority": 3}}, {"a": {"b": "x"}}),
        ({"0": "a", "1": "b", ".priority": 1}, ["a", "b"]),
        ({".priority": 1, "1": "b", "0": "a"}, ["a", "b"]),
        ({"1": "b", "0": "a"}, ["a", "b"]),
        ({"0": {"0": 1, "2": 2}, "1": {"a": {"1": 3}}}, [[1, None, 2], {"a": [None, 3]}]),
        ({"0": 1, "3": 2}, [1, None, None, 2]),
        ({"0": 1, "4": 2}, {"0": 1, "4": 2}),
        ({"2": 1}, {"2": 1}),
        ({"-1": 1, "0": 2}, {"-1": 1, "0": 2}),
        ({"-0": 1, "0": 2}, {"-0": 1, "0": 2}),
        ({"00": 1, "0": 2}, {"00": 1, "0": 2}),
        ({"\u0660": 1, "1": 2}, {"\u0660": 1, "1": 2}),
        ({"²": 1, "1": 2}, {"²": 1, "1": 2}),
        ({"1_0": 1, "1": 2}, {"1_0": 1, "1": 2}),
        ({"9" * 700: 1}, {"9" * 700: 1}),
        ({"0": 1, "a": 2}, {"0": 1, "a": 2}),
    ],
)
def test_the_plain_form_drops_priorities_and_shows_arrays(node: Node | None, shown: Any) -> None:
    assert plain(node) == shown


def test_the_plain_form_shares_nothing_with_the_tree() -> None:
    node = {"a": {"b": 1}, "c": {"0": {"d": 2}}}
    shown = plain(node)
    shown["a"]["b"] = 9
    shown["c"][0]["d"] = 9
    assert node == {"a": {"b": 1}, "c": {"0": {"d": 2}}}


def test_numbers_print_as_javascript_reads_them() -> None:
    assert encode(from_json([1.0, -0.0, 1.5, 1e21, 2**53, 2**62, 1e100, 5e-324])[0]) == (
        b'{"0":1,"1":0,"2":1.5,"3":1e+21,"4":9007199254740992,"5":4611686018427387904,"6":1e+100,"7":5e-324}'
    )


def test_the_deepest_tree_can_be_encoded() -> None:
    node: Any = {".value": 1, ".priority": 2}
    for _ in range(32):
        node = {"k": node}
    assert json.loads(encode(node)) == node
    assert joined(node, with_priorities=True, slice_bytes=8) == encode(node)


@pytest.mark.parametrize(
    ("node", "shown"),
    [
        (None, None),
        (5, 5),
        ({".value": 5, ".priority": 1}, 5),
        ({"a": 1, "b": {"c": 2}, ".priority": 1}, {"a": True, "b": True}),
        ({"0": 1, "1": False}, {"0": True, "1": True}),
    ],
)
def test_the_shallow_form_is_the_keys(node: Node | None, shown: Any) -> None:
    assert shallow(node) == shown


# Slices

WIDE_KEYS = st.one_of(
    st.sampled_from(["0", "1", "2", "3", "4", "5", "a", 'quote"', "back\\slash", "é", "comma,", "  "]),
    st.text("abcé😀", min_size=1, max_size=4),
)
WIDE_NODES = st.recursive(
    st.builds(
        with_some_priority,
        st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=40),
        st.none() | PRIORITIES,
    ),
    lambda inner: st.builds(
        with_some_priority,
        st.one_of(
            st.dictionaries(WIDE_KEYS, inner, min_size=1, max_size=8),
            st.lists(inner, min_size=1, max_size=8).map(lambda items: {str(index): item for index, item in enumerate(items)}),
        ),
        st.none() | PRIORITIES,
    ),
    max_leaves=60,
)


@given(WIDE_NODES, st.integers(1, 400))
def test_slices_joined_are_the_whole(node: Node, slice_bytes: int) -> None:
    assert joined(node, with_priorities=True, slice_bytes=slice_bytes) == encode(node)
    assert joined(node, with_priorities=False, slice_bytes=slice_bytes) == encode(plain(node))


def longest_leaf(node: Node) -> int:
    """Bytes of the longest leaf as JSON, or of the longest key."""
    if type(node) is dict:
        return max(max(len(encode(key)), longest_leaf(child)) for key, child in node.items())
    return len(encode(node))


@settings(max_examples=50)
@given(st.lists(WIDE_NODES, min_size=3, max_size=8), st.integers(60, 300), st.booleans())
def test_no_slice_is_much_longer_than_asked_but_for_one_leaf(items: list[Node], slice_bytes: int, with_priorities: bool) -> None:
    node = {f"k{index}": item for index, item in enumerate(items)}
    slices = list(encode_slices(node, with_priorities=with_priorities, slice_bytes=slice_bytes))
    assert max(map(len, slices)) <= 3 * slice_bytes + longest_leaf(node)
    assert all(len(piece) >= slice_bytes for piece in slices[:-1])


@pytest.mark.parametrize("with_priorities", [True, False])
@pytest.mark.parametrize(
    "node",
    [
        {f"k{index}": index for index in range(20_000)},
        {str(index): index for index in range(20_000)},
        {str(index * 2 - index % 2): index for index in range(1, 20_000)},
        {f"k{index}": {"a": index, "b": {"c": "x" * (index % 300)}} for index in range(3_000)},
        {f"k{index}": "x" * 5_000 for index in range(60)},
        {"few": {f"k{index}": {"text": "x" * 1_000} for index in range(60)}},
        {f"k{index}": "\x01" * 100 for index in range(2_000)},
        {f"k{index}" + "y" * 700: True for index in range(500)},
        {"a": {"b": {"c": {str(index): [None, index][index % 2] or "even" for index in range(9_000)}}}},
        {f"k{index}": 0.1234567890123456789 + index for index in range(5_000)},
    ],
    ids=["wide", "array", "holes", "records", "texts", "texts in a few", "escapes", "long keys", "deep array", "floats"],
)
def test_slices_of_large_trees_of_every_shape_are_even(node: Node, with_priorities: bool) -> None:
    slices = list(encode_slices(node, with_priorities=with_priorities, slice_bytes=10_000))
    assert b"".join(slices) == encode(node if with_priorities else plain(node))
    assert max(map(len, slices)) <= 30_000
    assert len(slices) > 3


def test_a_leaf_longer_than_a_slice_goes_out_whole() -> None:
    node = {"before": 1, "long": "x" * 100_000, "after": 2}
    slices = list(encode_slices(node, with_priorities=True, slice_bytes=1_000))
    assert b"".join(slices) == encode(node)
    assert max(map(len, slices)) < 103_000


@pytest.mark.parametrize("node", [None, 0, "text", {"a": 1}, {".value": 1, ".priority": 2}, {"0": 1}])
def test_a_small_node_is_one_slice(node: Node | None) -> None:
    assert list(encode_slices(node, with_priorities=True)) == [encode(node)]
    assert list(encode_slices(node, with_priorities=False)) == [encode(plain(node))]


def test_the_first_slice_of_a_large_tree_needs_only_its_own_children() -> None:
    """Nothing is computed ahead: a child that cannot be encoded is met only when its slice is asked for."""
    node: dict[str, Any] = {f"k{index}": index for index in range(10_000)}
    node["bad"] = object()
    slices = encode_slices(node, with_priorities=True, slice_bytes=1_000)
    assert next(slices).startswith(b'{"k0":0,')
    with pytest.raises(orjson.JSONEncodeError):
        list(slices)
