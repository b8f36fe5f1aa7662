"""Database names and push ids."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meadowlark.errors import Code, Refused
from meadowlark.ids import PushIds, check_database_name

NOON = 1_700_000_000_000


@pytest.mark.parametrize("name", ["a", "demo", "My-Project_1", "0", "x" * 63, "a--b__c"])
def test_a_database_name_is_letters_digits_dash_and_underscore(name: str) -> None:
    assert check_database_name(name) == name


@pytest.mark.parametrize(
    "name",
    ["", "-a", "_a", ".", "..", "a/b", "../a", "a.b", "a b", "a\n", "a\x00", "é", "٣", "x" * 64, "x" * 9_999, "a:b", "%2e", "~"],
)
def test_anything_else_is_refused(name: str) -> None:
    with pytest.raises(Refused, match="is not a database name") as refusal:
        check_database_name(name)
    assert refusal.value.code is Code.INVALID_REQUEST
    assert len(refusal.value.text) < 500


def test_a_push_id_is_eight_characters_of_time_and_twelve_of_chance() -> None:
    ids = PushIds(lambda _: 0)
    assert ids.make(0) == "-" * 20
    assert ids.make(1) == "-------0" + "-" * 12
    assert ids.make(63) == "-------z" + "-" * 12
    assert ids.make(NOON) == "-NjEtLV-" + "-" * 12


def test_within_one_millisecond_the_chance_part_counts_up() -> None:
    ids = PushIds(lambda _: 5)
    assert [ids.make(NOON)[8:] for _ in range(3)] == ["4" * 12, "4" * 11 + "5", "4" * 11 + "6"]


def test_a_full_chance_part_borrows_the_next_millisecond() -> None:
    ids = PushIds(lambda _: 63)
    full = ids.make(NOON)
    assert full[8:] == "z" * 12
    after = ids.make(NOON)
    assert after == PushIds(lambda _: 0).make(NOON + 1)
    assert full < after < ids.make(NOON + 1)


@settings(deadline=None)
@given(st.lists(st.integers(0, 2**41), min_size=2, max_size=30), st.integers())
def test_ids_of_one_maker_always_grow_also_when_the_clock_goes_back(times: list[int], seed: int) -> None:
    ids = PushIds(random.Random(seed).randrange)
    made = [ids.make(now_ms) for now_ms in times]
    assert made == sorted(set(made))
    assert all(len(one) == 20 for one in made)


def test_the_same_chance_gives_the_same_ids() -> None:
    assert PushIds(random.Random(7).randrange).make(NOON) == PushIds(random.Random(7).randrange).make(NOON)
