"""Paths as texts and as tuples; what a key may be."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meadowlark.errors import Code, Refused
from meadowlark.tree import check_path, find_key_fault, format_path, parse_path
from meadowlark.tree.paths import are_plain_keys

DEEPEST = tuple(f"k{level}" for level in range(32))


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("", ()),
        ("/", ()),
        ("/rooms/7/name", ("rooms", "7", "name")),
        ("rooms/7/name", ("rooms", "7", "name")),
        ("/rooms//7/", ("rooms", "7")),
        ("/rooms/7/.priority", ("rooms", "7", ".priority")),
        ("/.priority", (".priority",)),
        ("/-NabcDEF_ghi", ("-NabcDEF_ghi",)),
        ("/with space/é/😀", ("with space", "é", "😀")),
    ],
)
def test_a_path_is_the_keys_between_slashes(text: str, path: tuple[str, ...]) -> None:
    assert parse_path(text) == path
    assert parse_path(text) == path, "and the same again, from the cache"


def test_a_path_is_written_with_a_leading_slash() -> None:
    assert format_path(("rooms", "7")) == "/rooms/7"
    assert format_path(()) == "/"


@pytest.mark.parametrize(
    "key", ["a.b", ".value", ".sv", ".info", "a#", "$uid", "[0]", "a]", "\x00", "tab\t", "line\n", "\x7f", "\ud800"]
)
def test_a_path_with_a_forbidden_character_is_refused(key: str) -> None:
    with pytest.raises(Refused, match="Invalid path") as refusal:
        parse_path(f"/rooms/{key}/name")
    assert refusal.value.code is Code.INVALID_PATH


@pytest.mark.parametrize("text", ["/.priority/a", "/a/.priority/b", "/.priority/.priority"])
def test_the_priority_stands_only_at_the_end_of_a_path(text: str) -> None:
    with pytest.raises(Refused, match="Invalid path"):
        parse_path(text)


def test_a_path_has_at_most_32_keys_and_a_priority() -> None:
    check_path(DEEPEST)
    check_path((*DEEPEST, ".priority"))
    with pytest.raises(Refused, match="path has 33 levels, limit is 32"):
        check_path((*DEEPEST, "one"))


@pytest.mark.parametrize("key", ["k" * 768, "é" * 384, "😀" * 192, "-" * 768])
def test_a_key_may_have_768_bytes(key: str) -> None:
    assert find_key_fault(key) is None
    assert find_key_fault(key + "k") == "a key has 769 bytes, limit is 768"


def test_an_empty_key_has_a_fault() -> None:
    assert find_key_fault("") == "a key is empty"


@given(st.lists(st.text(st.characters(), max_size=12)))
def test_keys_checked_together_are_checked_as_one_by_one(keys: list[str]) -> None:
    assert are_plain_keys(keys) == all(find_key_fault(key) is None for key in keys)


def test_long_keys_are_never_plain_for_sure() -> None:
    assert are_plain_keys(["k" * 192])
    assert not are_plain_keys(["k" * 193])
