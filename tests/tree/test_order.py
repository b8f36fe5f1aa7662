"""The orders of keys, texts and priorities."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meadowlark.tree import key_order, priority_order, utf16_order
from tests.tree.vectors import VECTORS


def shuffled(items: list[Any]) -> list[Any]:
    return random.Random(1).sample(items, len(items))


def test_keys_sort_as_the_official_sdk_sorts_them() -> None:
    assert sorted(VECTORS["keys"], key=key_order) == VECTORS["sorted"]
    assert sorted(shuffled(VECTORS["keys"]), key=key_order) == VECTORS["sorted"], "whatever order they came in"


@pytest.mark.parametrize(
    ("lower", "higher"),
    [
        ("2", "10"),
        ("1", "01"),
        ("-1", "0"),
        ("-2147483648", "-2147483647"),
        ("2147483647", "-2147483649"),
        ("2147483647", "2147483648"),
        ("2147483647", " "),
        ("00000000000000000000005", "6"),
        ("9999999999", "a"),
    ],
)
def test_keys_that_are_32_bit_integers_come_first_by_number(lower: str, higher: str) -> None:
    assert key_order(lower) < key_order(higher)


def test_characters_beyond_the_basic_plane_sort_as_surrogates() -> None:
    assert key_order("😀") < key_order("￮")
    assert utf16_order("😀") < utf16_order("￮")
    assert utf16_order("plain") == "plain"
    assert utf16_order("é") == "é"


def test_a_key_of_many_zeros_is_still_an_integer() -> None:
    """Python refuses to read integers of more than 4300 digits; a query may bring one."""
    assert key_order("0" * 6000 + "7") < key_order("8")
    assert key_order("9" * 6000) > key_order("8")


def reference_order(key: str) -> tuple[int, int, int, bytes, str]:
    """The order in the plainest words: 32-bit integers by number, length, text; then others by UTF-16."""
    digits = key.removeprefix("-")
    if digits and all(character in "0123456789" for character in digits) and len(digits.lstrip("0")) <= 10:
        number = int(key)
        if -(2**31) <= number < 2**31:
            return (0, number, len(key), b"", key)
    return (1, 0, 0, key.encode("utf-16-be", "surrogatepass"), "")


KEYS = st.one_of(
    st.text(st.characters(), min_size=1, max_size=6),
    st.from_regex(r"-?0{0,3}[0-9]{1,11}", fullmatch=True),
    st.sampled_from(["2147483647", "2147483648", "-2147483648", "-2147483649", "-0", "00", "-", "--1", "1\n", "٣"]),
)


@given(KEYS, KEYS)
def test_two_keys_compare_as_in_the_plainest_order(one: str, other: str) -> None:
    assert (key_order(one) < key_order(other)) == (reference_order(one) < reference_order(other))
    assert (key_order(one) == key_order(other)) == (one == other)


def test_priorities_sort_none_then_numbers_then_texts() -> None:
    expected: list[Any] = [None, -1, 0, 0.5, 1, 10, "", "10", "9", "a", "😀", "￮"]
    assert sorted(shuffled(expected), key=priority_order) == expected
