"""What is parsed and packed while it is decoded is what it is read in one go, wherever the cuts fall; or not sure."""

from __future__ import annotations

import random
from collections.abc import Generator, Iterator
from typing import Any

import orjson
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from meadowlark.errors import Refused
from meadowlark.tree import Tree, from_json, prepare_slices, unpacked
from meadowlark.tree import gathering as gathering_module
from meadowlark.tree import packing as packing_module
from meadowlark.tree import pages as pages_module
from meadowlark.tree import parse_packed as module
from meadowlark.tree.pages import Pages
from meadowlark.tree.parse_packed import Unsure, parse_members_slices, parse_packed_slices
from tests.tree.model import canonical


@pytest.fixture(autouse=True, scope="module")
def small_pages() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for changed in (module, gathering_module, packing_module, pages_module):
            for name, value in {
                "PAGE_BYTES": 60,
                "PAGE_BYTES_MAX": 120,
                "HELD_WEIGHT": 200,
                "RUN_WEIGHT": 1_000,
                "WIDE": 3,
                "STEP_WEIGHT": 100,
                "_STEP_MEMBERS": 3,
            }.items():
                if hasattr(changed, name):
                    patch.setattr(changed, name, value)
        yield


def finish(steps: Generator[None, None, Any]) -> Any:
    while True:
        try:
            next(steps)
        except StopIteration as stop:
            return stop.value


def parsed(text: bytes, slice_bytes: int, depth: int = 0) -> Any:
    node = finish(parse_packed_slices(text, depth, slice_bytes=slice_bytes))
    Tree(node).check()
    return node


def in_one_go(text: bytes, depth: int = 0) -> Any:
    """The value, and whether others than a plain one may come: refusals and server values."""
    try:
        node, waits = from_json(orjson.loads(text), depth)
    except (Refused, orjson.JSONDecodeError):
        return None, True
    return node, waits


class Pairs(list[tuple[str, Any]]):
    """An object whose keys may repeat."""


def written(value: Any) -> str:
    if isinstance(value, Pairs):
        return "{" + ",".join(f"{orjson.dumps(key).decode()}:{written(child)}" for key, child in value) + "}"
    if type(value) is list:
        return "[" + ",".join(map(written, value)) + "]"
    return orjson.dumps(value).decode()


KEYS = st.sampled_from([*map(str, range(12)), *(f"k{n:02}" for n in range(25)), "é", "-1", "x" * 100])
ODD_KEYS = st.sampled_from([".priority", ".value", ".sv", "bad.key", "", "a/b", "y" * 800])
LEAVES = st.sampled_from([None, None, True, 0, -0.0, 2.0, 1.5, 2**60, "", "text", 'a"b\\,{[', "x" * 150, [], Pairs()])
SPECIAL = st.sampled_from(
    [
        Pairs([(".value", "y" * 300), (".priority", "p")]),
        Pairs([(".priority", 1), (".value", None), ("a", "z" * 60)]),
        Pairs([(".value", 3)]),
        Pairs([("a", None), (".value", 3)]),
        Pairs([("a", Pairs()), (".value", 3)]),
        Pairs([(".sv", "timestamp")]),
        Pairs([(".priority", Pairs([(".sv", "timestamp")])), ("a", 1)]),
        Pairs([(".priority", "first"), ("a", "z" * 60), (".priority", None)]),
        Pairs([(".value", Pairs([("a", 1), ("b", "z" * 60), ("c", 2)])), ("d", 1)]),
        Pairs([(".priority", [1, "z" * 60, 2]), ("d", 1)]),
    ]
)


def containers(leaves: st.SearchStrategy[Any], keys: st.SearchStrategy[str]) -> st.SearchStrategy[Any]:
    return st.recursive(
        leaves,
        lambda inner: (
            st.lists(inner, max_size=10)
            | st.lists(st.tuples(keys, inner), max_size=14).map(Pairs)
            | st.lists(st.tuples(keys, inner), max_size=14).map(lambda pairs: Pairs([(".priority", 3), *pairs]))
        ),
        max_leaves=80,
    )


@settings(max_examples=120, deadline=None)
@given(containers(LEAVES, KEYS), st.integers(8, 400))
@example(Pairs([("a", Pairs([("b", "x" * 90)] * 9)), ("a", Pairs([("c", "x" * 90)] * 9)), ("b", 1)]), 40)
@example(Pairs([(f"k{n % 7}", Pairs([("n", "x" * 50)])) for n in range(30)] + [("k3", None)]), 90)
@example(Pairs([(f"k{n}", "x" * 50) for n in range(30)] + [(f"k{n}", None) for n in range(30)]), 90)
@example([[["x" * 30] * 5] * 5] * 5, 20)
def test_plain_values_are_those_of_the_json(value: Any, slice_bytes: int) -> None:
    text = written(value).encode()
    expected, is_odd = in_one_go(text)
    assert not is_odd
    assert canonical(unpacked(parsed(text, slice_bytes))) == canonical(expected)


@settings(max_examples=120, deadline=None)
@given(containers(LEAVES | SPECIAL, KEYS | ODD_KEYS), st.integers(8, 400), st.sampled_from([0, 0, 29, 31, 32]))
def test_odd_values_are_those_of_the_json_or_not_sure(value: Any, slice_bytes: int, depth: int) -> None:
    text = written(value).encode()
    expected, is_odd = in_one_go(text, depth)
    try:
        node = parsed(text, slice_bytes, depth)
    except Unsure:
        return
    assert not is_odd
    assert canonical(unpacked(node)) == canonical(expected)


@settings(max_examples=60, deadline=None)
@given(containers(LEAVES | SPECIAL, KEYS), st.integers(8, 100), st.data())
def test_broken_text_is_refused_or_not_sure(value: Any, slice_bytes: int, data: st.DataObject) -> None:
    text = bytearray(written(value).encode())
    at = data.draw(st.integers(0, len(text) - 1))
    text[at : at + 1] = data.draw(st.sampled_from([b"", b",", b"]", b"}", b'"', b"{", b"1"]))
    expected, is_odd = in_one_go(bytes(text))
    try:
        node = parsed(bytes(text), slice_bytes)
    except (Unsure, orjson.JSONDecodeError):
        return
    assert not is_odd
    assert canonical(unpacked(node)) == canonical(expected)


@pytest.mark.parametrize("share", [0.0, 0.02, 1.0])
def test_members_in_any_order_end_in_pages(share: float) -> None:
    keys = [f"k{number:04}" for number in range(2_000)]
    rng = random.Random(3)
    for _ in range(int(len(keys) * share)):
        first, second = rng.randrange(len(keys)), rng.randrange(len(keys))
        keys[first], keys[second] = keys[second], keys[first]
    value = {"a": {key: {"n": number} for number, key in enumerate(keys)}, "b": 1}
    made = parsed(orjson.dumps(value), 300)
    assert type(made["a"]) is Pages
    assert unpacked(made) == value


def test_a_large_array_becomes_pages_by_index() -> None:
    value = [{"n": number} for number in range(1_000)]
    made = parsed(orjson.dumps(value), 300)
    assert type(made) is Pages
    assert made.other_count == 0
    assert unpacked(made) == from_json(value)[0]


def test_few_dicts_are_there_at_a_time() -> None:
    """Whatever is complete is in pages by the time the next slice is asked for."""
    value = [{"n": number, "list": [1, 2]} for number in range(2_000)]
    made = module.Whole()
    held = 0
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "Whole", lambda: made)
        for _ in parse_packed_slices(orjson.dumps(value), 0, slice_bytes=500):
            held = max(held, len(made.root) if type(made.root) is list else 0)
    assert held < 100


def test_a_prepared_value_has_its_pieces() -> None:
    value = [{"n": number, "gone": None} for number in range(2_000)]
    made = finish(prepare_slices(orjson.dumps(value)))
    assert type(made.node) is Pages
    assert orjson.loads(b"".join(made.pieces)) == from_json(value)[0]


PATHS = st.sampled_from(["a", "b", "a/b", "k/1/2", "/x/", "k00", "é/k", "a/.priority", "bad.key"])
UPDATES = st.lists(st.tuples(PATHS, containers(LEAVES | SPECIAL, KEYS)), max_size=9)


@settings(max_examples=120, deadline=None)
@given(
    st.lists(st.tuples(PATHS, containers(LEAVES | SPECIAL, KEYS)), max_size=9),
    st.integers(8, 400),
    st.sampled_from([0, 0, 28, 30]),
)
@example([("a", Pairs([("b", "x" * 90)] * 9)), ("a", 1), ("b/c", None)], 40, 0)
@example([("a", 1), ("b", Pairs([("b", "x" * 90)] * 9)), ("a", Pairs([("c", "x" * 90)] * 9))], 40, 0)
def test_the_values_of_an_update_are_those_of_the_json_or_not_sure(
    members: list[tuple[str, Any]], slice_bytes: int, depth: int
) -> None:
    text = written(Pairs(members)).encode()
    try:
        nodes = finish(parse_members_slices(text, depth, slice_bytes=slice_bytes))
    except Unsure:
        return
    raw = orjson.loads(text)
    assert nodes.keys() == raw.keys()
    for path, node in nodes.items():
        Tree(node).check()
        expected, waits = from_json(raw[path], depth + len([key for key in path.split("/") if key]))
        assert not waits
        assert canonical(unpacked(node)) == canonical(expected)


def test_an_ordinary_update_is_sure() -> None:
    text = written(Pairs([("a/b", Pairs([(f"k{n}", "x" * 50) for n in range(30)])), ("c", None), ("d", 1)])).encode()
    nodes = finish(parse_members_slices(text, 0, slice_bytes=100))
    assert (type(nodes["a/b"]), nodes["c"], nodes["d"]) == (Pages, None, 1)


@pytest.mark.parametrize("text", [b"[1,2,3,4,5,6,7,8,9]", b"1", b'{"a":1}', b'{"a":{".sv":"timestamp"},"b":"%b"}' % (b"x" * 100)])
def test_what_is_no_update_or_has_server_values_is_not_sure(text: bytes) -> None:
    with pytest.raises(Unsure):
        finish(parse_members_slices(text, 0, slice_bytes=8))
