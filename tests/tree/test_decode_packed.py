"""Decoding straight into pages gives the value that decoding and packing would, wherever the cuts fall and in whatever order."""

from __future__ import annotations

import random
from collections.abc import Generator, Iterator
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meadowlark.tree import Tree, decode_packed_slices, encode, unpacked
from meadowlark.tree import decode_packed as module
from meadowlark.tree import packing as packing_module
from meadowlark.tree import pages as pages_module
from meadowlark.tree.pages import Pages
from tests.tree.model import canonical


@pytest.fixture(autouse=True, scope="module")
def small_pages() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for changed in (module, packing_module, pages_module):
            for name, value in {
                "PAGE_BYTES": 60,
                "PAGE_BYTES_MAX": 120,
                "HELD_WEIGHT": 200,
                "WIDE": 3,
                "STEP_WEIGHT": 100,
            }.items():
                if hasattr(changed, name):
                    patch.setattr(changed, name, value)
        yield


def decoded(text: bytes, slice_bytes: int = 50) -> Any:
    return finish(decode_packed_slices(text, slice_bytes=slice_bytes))


def finish(steps: Generator[None, None, Any]) -> Any:
    while True:
        try:
            next(steps)
        except StopIteration as stop:
            return stop.value


KEYS = st.sampled_from([*map(str, range(30)), *(f"k{n:02}" for n in range(30)), "é", "-1"])
LEAVES = st.sampled_from(
    [True, 0, 1.5, -7, "", "text", 'a"b\\,{[', "x" * 150, {".value": 1, ".priority": 2}, {".value": "y" * 300, ".priority": "p"}]
)
VALUES = st.recursive(
    LEAVES,
    lambda inner: (
        st.dictionaries(KEYS, inner, min_size=1, max_size=12)
        | st.dictionaries(KEYS, inner, min_size=1).map(lambda node: {".priority": 3, **node})
    ),
    max_leaves=80,
)


@settings(max_examples=300, deadline=None)
@given(VALUES, st.integers(20, 400), st.booleans())
def test_the_value_is_that_of_the_json(value: Any, slice_bytes: int, is_record: bool) -> None:
    whole = [["w", "/a", value], ["w", "/b", None]] if is_record else value
    made = decoded(orjson.dumps(whole), slice_bytes)
    node = made[0][2] if is_record else made
    assert canonical(unpacked(node)) == canonical(value)
    Tree(node).check()
    if is_record:
        assert made == [["w", "/a", node], ["w", "/b", None]]


@pytest.mark.parametrize("share", [0.0, 0.05, 1.0])
def test_members_in_any_order_end_in_pages(share: float) -> None:
    keys = [f"k{number:04}" for number in range(2_000)]
    rng = random.Random(3)
    for _ in range(int(len(keys) * share)):
        first, second = rng.randrange(len(keys)), rng.randrange(len(keys))
        keys[first], keys[second] = keys[second], keys[first]
    value = {"a": {key: {"n": number} for number, key in enumerate(keys)}, "b": 1}
    made = decoded(orjson.dumps(value), 300)
    assert type(made["a"]) is Pages
    assert unpacked(made) == value
    Tree(made).check()


def test_what_was_packed_comes_back_from_its_own_json() -> None:
    value = {f"g{group}": {f"r{record:03}": {"n": record} for record in range(100)} for group in range(20)}
    once = decoded(orjson.dumps(value))
    again = decoded(encode(once))
    assert encode(again) == encode(once)


def test_few_dicts_are_there_at_a_time() -> None:
    """Whatever is complete is in pages by the time the next slice is asked for."""
    value = {f"r{record:04}": {"n": record} for record in range(3_000)}
    made = module.Whole()
    held = 0
    steps = decode_packed_slices(orjson.dumps(value), slice_bytes=500)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "Whole", lambda: made)
        for _ in steps:
            held = max(held, len(made.root) if type(made.root) is dict else 0)
    assert held < 100
