"""A JSON text cut into updates: together they write what the text says, wherever it is cut."""

from __future__ import annotations

import json
import mmap
import tempfile
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meadowlark.cli.parts import Malformed, cut

KEYS = st.text(alphabet='abcxyzé日" \\{}0123456789', min_size=1, max_size=6)
LEAVES = st.one_of(st.integers(-999, 999), st.booleans(), st.text(alphabet='ab{}[]",:\\é😀', max_size=12))
TREES = st.recursive(
    LEAVES, lambda inner: st.one_of(st.dictionaries(KEYS, inner, min_size=1, max_size=5), st.lists(inner, min_size=1, max_size=4))
)
ROOTS = st.one_of(st.dictionaries(KEYS, TREES, max_size=6), st.lists(TREES, max_size=5))


def written(parts: list[tuple[str, dict[str, Any]]]) -> dict[str, Any]:
    """What stands after the updates, arrays as maps."""
    root: dict[str, Any] = {}
    for path, children in parts:
        place = root
        for key in path.split("/") if path else ():
            place = place.setdefault(key, {})
        for key, value in children.items():
            place[key] = as_maps(value)
    return root


def as_maps(value: Any) -> Any:
    if isinstance(value, list):
        return {str(index): as_maps(each) for index, each in enumerate(value)}
    if isinstance(value, dict):
        return {key: as_maps(each) for key, each in value.items()}
    return value


def cut_all(text: bytes, **bounds: int) -> list[tuple[str, dict[str, Any]]]:
    """Path and update of each part."""
    parts = list(cut(text, **bounds))
    assert [part.end for part in parts] == sorted(part.end for part in parts)
    assert all(part.end <= len(text) for part in parts)
    return [("/".join(part.path), json.loads(part.body)) for part in parts]


def test_small_members_share_a_part_and_large_ones_are_entered():
    text = b'{"a":1, "b":{"c":[true,"}"],"d":"xxxxxxxxxxxxxxxxxxxxxxxx"},\n "e":{}}'
    assert cut_all(text) == [("", {"a": 1, "b": {"c": [True, "}"], "d": "x" * 24}, "e": {}})]
    assert cut_all(text, part_bytes=16) == [
        ("", {"a": 1}),
        ("b", {"c": [True, "}"], "d": "x" * 24}),
        ("", {"e": {}}),
    ]
    assert cut_all(text, paths_max=1) == [("", {"a": 1}), ("", {"b": {"c": [True, "}"], "d": "x" * 24}}), ("", {"e": {}})]
    assert cut_all(b" [ 1 , [2] ] ", part_bytes=1) == [("", {"0": 1}), ("1", {"0": 2})]
    assert cut_all(b"{}") == []


def test_a_priority_comes_after_the_children_and_with_its_value():
    text = b'{".priority":1,"a":{".priority":"p","b":"xxxxxxxxxx","c":2},"d":{".value":"yyyyyyyyyyyy",".priority":3}}'
    assert cut_all(text, part_bytes=12) == [
        ("a", {"b": "x" * 10}),
        ("a", {"c": 2, ".priority": "p"}),
        ("", {"d": {".value": "y" * 12, ".priority": 3}}),
        ("", {".priority": 1}),
    ]


@given(ROOTS, st.integers(1, 60), st.integers(1, 5), st.sampled_from([None, 1]))
def test_all_parts_together_write_what_the_text_says(root, part_bytes, paths_max, indent):
    text = json.dumps(root, ensure_ascii=False, indent=indent).encode()
    assert written(cut_all(text, part_bytes=part_bytes, paths_max=paths_max)) == as_maps(root)


def test_a_mapped_file_is_cut_like_bytes():
    text = json.dumps({f"k{number}": {"n": number} for number in range(100)}).encode()
    with tempfile.TemporaryFile() as file:
        file.write(text)
        file.flush()
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
            assert list(cut(mapped, part_bytes=50)) == list(cut(text, part_bytes=50))


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (b"", "ends too early"),
        (b"7", "expected an object"),
        (b"{", "ends too early"),
        (b'{"a"', "ends too early"),
        (b'{"a":', "ends too early"),
        (b'{"a":1', "ends too early"),
        (b'{"a":1]', "expected ','"),
        (b'{"a":1}x', "expected the end"),
        (b'{"a":{"b":1}', "ends too early"),
        (b'{"a":{"b":[1}', "has no end"),
        (b"{a:1}", "expected a key"),
        (b'{"a/b":1}', "cannot be a key"),
        (b'{"":1}', "cannot be a key"),
        (b'{"a":}', "expected a value"),
        (b'{"a":"x}', "expected a value"),
        (b'{".value":{"a":"xxxxxxxxx"}}', "is not a leaf"),
        (b"[" * 100_000, "more than 32 levels"),
    ],
)
def test_what_is_no_json_is_found_where_it_is(text, complaint):
    with pytest.raises(Malformed, match=complaint):
        list(cut(text, part_bytes=8))
