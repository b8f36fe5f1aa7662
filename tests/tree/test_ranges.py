"""Compound hashes: of any node and any stale cache, the ranges that differ make the cache the node, and there are no others."""

from __future__ import annotations

import copy
from collections.abc import Generator, Iterator
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import event, example, given, settings

from meadowlark.tree import Range, Ranges, differing_slices, make_ranges, node_hash, pack_slices, ranges, unpacked
from meadowlark.tree import packing as packing_module
from meadowlark.tree import pages as pages_module
from tests.engine.mobile import compound, hides_priority, merged, ranges_of

KEYS = st.sampled_from(["a", "b", "-x", "1", "10", "9", 'q"\\', "é", "zz"])
LEAVES = st.one_of(st.booleans(), st.integers(-3, 3), st.sampled_from(["", "x", 'a"\\b', "\U0001f600"]), st.just(1.5))
PLAIN = st.recursive(LEAVES, lambda inner: st.dictionaries(KEYS, inner, min_size=1, max_size=5), max_leaves=20)


def with_some_priority(inner: Any) -> Any:
    maps = st.dictionaries(KEYS, inner, min_size=1, max_size=5)
    return st.one_of(*[maps] * 8, maps.map(lambda node: {**node, ".priority": 1}))


NODES = st.recursive(
    st.one_of(*[LEAVES] * 8, LEAVES.map(lambda leaf: {".value": leaf, ".priority": "p"})), with_some_priority, max_leaves=20
)
THRESHOLDS = st.sampled_from([1, 40, 80, 200])


@pytest.fixture(autouse=True, scope="module")
def small_pages() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {"PAGE_BYTES": 60, "PAGE_BYTES_MAX": 120, "PAGE_BYTES_MIN": 30}.items():
            patch.setattr(pages_module, name, value)
            if hasattr(packing_module, name):
                patch.setattr(packing_module, name, value)
        patch.setattr(packing_module, "WIDE", 1)
        yield


def finish(steps: Generator[None, None, Any]) -> Any:
    while True:
        try:
            next(steps)
        except StopIteration as stop:
            return stop.value


def packed(node: Any) -> Any:
    """A node like it that has Pages where it is not tiny."""
    return finish(pack_slices(copy.deepcopy(node)))


def differing(node: Any, said: Ranges) -> list[Range] | None:
    return finish(differing_slices(node, said))  # type: ignore[no-any-return]


def applied(cache: Any, lacking: list[Range]) -> Any:
    for one in lacking:
        start, end = (None if place is None else "/".join(place) for place in (one.start, one.end))
        cache = merged(cache, start, end, unpacked(one.node))
    return cache


@st.composite
def pairs(draw: st.DrawFn, nodes: Any) -> tuple[Any, Any]:
    """A node and a cache of it that is a few writes behind."""
    node = draw(nodes)
    cache = copy.deepcopy(node)
    for _ in range(draw(st.integers(0, 3))):
        place, key = cache, draw(KEYS)
        while type(place) is dict and ".value" not in place and type(place.get(key)) is dict and draw(st.booleans()):
            place, key = place[key], draw(KEYS)
        if type(place) is dict and ".value" not in place:
            place[key] = draw(nodes)
    return draw(st.sampled_from([(node, cache), (cache, node)]))


@settings(max_examples=250, deadline=None)
@given(pair=pairs(PLAIN), threshold=THRESHOLDS, is_paged=st.booleans())
@example(pair=({"a": 5}, {"a": {"b": 1, "c": 2}}), threshold=1, is_paged=False)
@example(pair=({"a": {"b": 1, "c": 2}}, {"a": 5, "b": 1}), threshold=1, is_paged=False)
def test_the_ranges_that_differ_make_a_stale_cache_right(pair: Any, threshold: int, is_paged: bool) -> None:
    node, cache = pair
    said = ranges_of(cache, threshold)
    lacking = differing(packed(node) if is_paged else node, said)
    expected = those_that_differ(node, said) if type(node) is dict else []
    if lacking is None:
        event("whole, or nothing")
        assert len(expected) in (0, len(said.hashes))
        return
    event(f"{len(lacking)} of {len(said.hashes)}")
    assert [one.end for one in lacking] == expected
    assert node_hash(applied(cache, lacking)) == node_hash(node)


def those_that_differ(node: Any, said: Ranges) -> list[Any]:
    """The ends of the ranges of which `node` has other hashes: each is cut out of it as a client would do it."""
    starts, ends = (None, *said.ends), (*said.ends, None)
    cuts = [merged(None, _text(start), _text(end), node) for start, end in zip(starts, ends, strict=True)]
    own = ["" if cut is None else compound(cut, 10**9)[1][0] for cut in cuts]
    return [end for end, one, other in zip(ends, own, said.hashes, strict=True) if one != other]


def _text(path: Any) -> str | None:
    return None if path is None else "/".join(path)


@settings(max_examples=200, deadline=None)
@given(pair=pairs(NODES), threshold=THRESHOLDS)
def test_with_priorities_it_is_right_or_given_up(pair: Any, threshold: int) -> None:
    node, cache = pair
    lacking = differing(node, ranges_of(cache, threshold))
    if lacking is None or hides_priority(cache):
        event("given up, or hidden")
        return
    event(f"{len(lacking)}")
    assert node_hash(applied(cache, lacking)) == node_hash(node)


def test_one_of_many_records_is_one_range(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ranges, "SORTED_KEYS", 50)
    cache = {f"k{number:04}": {"n": number, "text": "some text"} for number in range(3_000)}
    said = ranges_of(cache)
    node = {**cache, "k1234": {"n": -1}}
    lacking = differing(node, said)
    assert lacking is not None
    [one] = lacking
    assert one.start is not None
    assert one.end is not None
    assert one.start < ("k1234",) < one.end
    assert len(one.node) < 3_000 / len(said.ends) * 2
    assert applied(cache, lacking) == node
    assert differing(packed(node), said) is not None


def test_long_ranges_are_hashed_in_slices() -> None:
    node = {"a": {f"k{number}": {"n": number} for number in range(2_000)}, "b": 1}
    said = ranges_of(node, 10**9)
    steps = differing_slices({**node, "c": 1}, said)
    assert sum(1 for _ in steps) > 5
    lacking = differing({**node, "c": 1}, said)
    assert lacking == [Range(("b",), None, {"c": 1})]


def test_too_much_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ranges, "DIFFERING_MAX", 1_000)
    cache = {"a": 1, "b": 2}
    assert differing({**cache, "c": "x" * 2_000}, ranges_of(cache, 1)) is None


@pytest.mark.parametrize(
    ("ends", "hashes"),
    [
        ([("b",), ("a",)], ["1", "2", ""]),
        ([("a",), ("a",)], ["1", "2", ""]),
        ([("a", "b"), ("a",)], ["1", "2", ""]),
        ([("10",), ("9",)], ["1", "2", ""]),
        ([("a",)], ["1"]),
    ],
)
def test_ranges_that_are_none(ends: Any, hashes: Any) -> None:
    assert make_ranges(ends, hashes) is None
