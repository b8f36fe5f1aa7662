"""A value prepared in slices is what the value read in one go is, and is refused in the same words."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from meadowlark.errors import Refused
from meadowlark.tree import Prepared, encode, from_json, prepare_decoded, prepare_slices, unpacked
from meadowlark.tree import prepare as module


@pytest.fixture(scope="module", autouse=True)
def _small_steps() -> Generator[None, None, None]:
    """So that everything is opened, however small."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "STEP_NODES", 2)
        patch.setattr(module, "_STEP_KEYS", 2)
        yield


def prepared(steps: Generator[None, None, Prepared]) -> tuple[Prepared, int]:
    """What comes out, and in how many steps."""
    count = 1
    while True:
        try:
            next(steps)
        except StopIteration as stop:
            return stop.value, count
        count += 1


def as_in_one_go(raw: Any, depth: int) -> tuple[Any, ...]:
    try:
        node, waits = from_json(raw, depth)
    except Refused as refused:
        return refused.code, refused.text
    return repr(node), waits, b"" if waits else encode(node)


def in_slices(steps: Generator[None, None, Prepared]) -> tuple[Any, ...]:
    try:
        made, _ = prepared(steps)
    except Refused as refused:
        return refused.code, refused.text
    return repr(unpacked(made.node)), made.waits, b"".join(made.pieces)


keys = st.sampled_from(["a", "b", "c", "1", "x" * 300, ".priority", ".value", ".sv", "bad.key", "", "é"])
leaves = st.sampled_from([None, True, 0, -0.0, 1.5, 2.0, 2**60, 1e300, "", "text", "timestamp", {".sv": "timestamp"}])
values = st.recursive(leaves, lambda inner: st.lists(inner, max_size=5) | st.dictionaries(keys, inner, max_size=5), max_leaves=30)


@given(values, st.sampled_from([0, 28, 32]))
@example({"a": {"b": 1, "c": 2, "d": {"bad.key": 1}}, "also bad$": 2}, 0)
@example({"a": [1, 2, {"b": None}, [None, None, None]], "c": {"d": None, "e": None, "f": None}}, 0)
@example({".value": 5, ".priority": 1, "a": None, "b": None}, 0)
@example({".priority": {".sv": "timestamp"}, "a": 1, "b": 2, "c": 3}, 0)
def test_every_value_is_prepared_as_in_one_go(raw: Any, depth: int) -> None:
    text = orjson.dumps(raw)
    assert in_slices(prepare_slices(text, depth)) == as_in_one_go(raw, depth)
    assert in_slices(prepare_decoded(orjson.loads(text), depth)) == as_in_one_go(raw, depth)


def test_what_is_no_json_is_refused_as_such() -> None:
    with pytest.raises(orjson.JSONDecodeError):
        prepared(prepare_slices(b'{"a":[1,2,}'))


def test_steps_are_many_and_pieces_join_to_the_export_form() -> None:
    raw = {f"g{group}": [{"n": number, "p": None} for number in range(30)] for group in range(30)}
    made, count = prepared(prepare_decoded(orjson.loads(orjson.dumps(raw))))
    assert count > 500
    assert b"".join(made.pieces) == encode(made.node)
    assert unpacked(made.node) == from_json(raw)[0]


def test_keys_of_large_maps_are_not_kept_as_known() -> None:
    from meadowlark.tree import node

    before = set(node._known_keys)
    prepared(prepare_decoded({f"id{number}": 1 for number in range(5)}))
    assert node._known_keys == before
