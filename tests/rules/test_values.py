"""Values as JavaScript has them, in Python: numbers as texts, equality, order, lengths, and what may be spent."""

from __future__ import annotations

import math
from typing import Any

import pytest

from meadowlark.rules import values
from meadowlark.rules.values import MAP, NOWHERE, Failed


class Purse:
    def __init__(self, characters: int = 10_000) -> None:
        self.characters = characters


PURSE = Purse()


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (1, "1"),
        (1.0, "1"),
        (-0.0, "0"),
        (-12.5, "-12.5"),
        (0.1 + 0.2, "0.30000000000000004"),
        (1e21, "1e+21"),
        (123456789012345680000.0, "123456789012345680000"),
        (2**60, "1152921504606847000"),
        (1e-6, "0.000001"),
        (1e-7, "1e-7"),
        (1.5e-9, "1.5e-9"),
        (-1.25e300, "-1.25e+300"),
        (5e-324, "5e-324"),
        (1.7976931348623157e308, "1.7976931348623157e+308"),
        (math.nan, "NaN"),
        (-math.inf, "-Infinity"),
        (100, "100"),
        (0.5, "0.5"),
    ],
)
def test_numbers_are_written_as_javascript_writes_them(number, text):
    assert values.number_text(number) == text


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (1, 1.0, True), (1, True, False), (0, False, False), (1, "1", False), (None, None, True), (None, False, False),
        ("a", "a", True), (MAP, MAP, False), ({}, {}, False), ([1], [1], False), (math.nan, math.nan, False), (True, True, True),
    ],
)  # fmt: skip
def test_equality_is_of_types_and_values(one, other, same):
    assert values.same(one, other, PURSE) is same
    assert values.same(other, one, PURSE) is same


@pytest.mark.parametrize(
    ("one", "other", "order"),
    [(1, 2.5, -1), (3, 3.0, 0), ("a", "b", -1), ("\uffff", "😀", 1), ("é", "z", 1), ("", "", 0), (math.inf, 1, 1)],
)
def test_order_is_of_numbers_and_of_utf16_units(one, other, order):
    assert values.compare(one, other, PURSE) == order


@pytest.mark.parametrize(("one", "other"), [(1, "1"), (None, None), (True, False), (MAP, 1), (1, True), ({}, {})])
def test_what_has_no_order_fails(one, other):
    with pytest.raises(Failed):
        values.compare(one, other, PURSE)


def test_nan_has_no_place_in_any_order():
    order = values.compare(math.nan, 1, PURSE)
    assert math.isnan(order)


@pytest.mark.parametrize(
    ("one", "other", "total"),
    [(1, 2, 3), ("a", "b", "ab"), ("a", 1.0, "a1"), (0.5, "a", "0.5a"), (2**53, 1, 2.0**53)],
)
def test_adding(one, other, total):
    assert values.add(one, other, PURSE) == total


@pytest.mark.parametrize(("one", "other"), [("a", None), (True, "a"), (1, None), (MAP, "a"), (1, False), (10**400, 1)])
def test_what_cannot_be_added_fails(one, other):
    with pytest.raises(Failed):
        values.add(one, other, PURSE)


def test_division_never_raises():
    assert math.isnan(values.divide(1, 0))
    assert math.isnan(values.remainder(1, 0))
    assert math.isnan(values.remainder(math.inf, 2))
    assert values.remainder(-7, 3) == -1
    assert values.remainder(7, -3) == 1


def test_length_counts_utf16_units():
    assert values.length("aé😀", PURSE) == 4


@pytest.mark.parametrize(
    ("owner", "name", "value"),
    [
        ({"a": {"b": 1}}, "a", {"b": 1}), ({"a": 1}, "b", None), ({"a": 1}, 0, None), (None, "a", None), (5, "a", None),
        ("ab😀", "length", 4), ("ab", "x", None), ([1, 2], 1.0, 2), ([1, 2], 2, None), ([1], -1, None), ([1], 0.5, None),
        ([1, 2], "length", 2), ([1], math.nan, None), ([1], True, None), ({"length": 9}, "length", 9),
    ],
)  # fmt: skip
def test_members_of_auth(owner: Any, name: Any, value: Any):
    assert values.member(owner, name) == value


@pytest.mark.parametrize(
    ("path", "keys"),
    [
        ("a", ("a",)), ("", ()), ("/a//b/", ("a", "b")), ("a/.priority", NOWHERE), (".value", NOWHERE),
        ("a.b", ("a.b",)), ("/", ()), ("x" * 30_000, NOWHERE),
    ],
)  # fmt: skip
def test_paths_of_rules(path, keys):
    assert values.keys_of(path, Purse(100_000)) == keys


def test_long_texts_are_paid_for():
    for work in (
        lambda purse: values.compare("é" * 600, "é" * 600, purse),
        lambda purse: values.add("a" * 600, "a" * 600, purse),
        lambda purse: values.length("é" * 1001, purse),
        lambda purse: values.replace("a" * 500, "a", "bbbb", purse),
        lambda purse: values.replace("a" * 300, "", "b" * 300, purse),
        lambda purse: values.keys_of("a/" * 600, purse),
    ):
        with pytest.raises(Failed):
            work(Purse(1000))


def test_what_replace_would_make_is_known_before_it_is_made():
    with pytest.raises(Failed):
        values.replace("a" * 10_000_000, "a", "b" * 10_000_000, Purse(16_000_000))
