"""Where records stand, and what keeps a segment."""

from __future__ import annotations

import pytest

from meadowlark.journal.index import Index


@pytest.fixture
def index():
    """Segment 1: a 1-2, b 1. Segment 2: a 3. Segment 3: a 4."""
    made = Index()
    made.enter_segment(1)
    made.add("a", 1, 100, 10)
    made.add("b", 1, 110, 20)
    made.add("a", 2, 130, 30)
    made.enter_segment(2)
    made.add("a", 3, 100, 40)
    made.enter_segment(3)
    made.add("a", 4, 2**32 - 1, 50)
    return made


def test_places_are_given_in_order_after_a_sequence(index):
    assert list(index.places("a", 0)) == [(1, 1, 100, 10), (2, 1, 130, 30), (3, 2, 100, 40), (4, 3, 2**32 - 1, 50)]
    assert [place.sequence for place in index.places("a", 2)] == [3, 4]
    assert list(index.places("a", 9)) == []
    assert list(index.places("nobody", 0)) == []


def test_places_stay_as_they_were_while_records_come_and_go(index):
    places = index.places("a", 0)
    index.add("a", 5, 1, 1)
    index.cover("a", 4)
    assert [place.sequence for place in places] == [1, 2, 3, 4]


@pytest.mark.parametrize("sequence", [4, 6])
def test_a_repetition_or_a_gap_is_refused(index, sequence):
    with pytest.raises(ValueError, match=f"record {sequence} of database 'a' where record 5 was expected"):
        index.add("a", sequence, 0, 1)


def test_a_database_may_begin_anywhere(index):
    index.add("c", 41, 0, 1)
    assert index.databases() == {"a": 4, "b": 1, "c": 41}
    assert index.find_first("c") == 41


def test_segments_go_when_all_their_records_are_covered_and_the_oldest_first(index):
    index.cover("a", 3)
    assert index.take_free() == [], "b still needs segment 1, and numbers must have no gap"
    assert index.oldest_names(1) == ["b"]
    index.cover("b", 1)
    assert index.take_free() == [1, 2]
    assert index.take_free() == []
    assert index.oldest_names(1) == [], "the one being written stays in any case"


def test_sealed_segments_have_the_bytes_of_all_that_stands_in_them(index):
    assert index.sealed_bytes() == 160 + 140
    index.enter_segment(4)
    index.add("b", 2, 36, 4)
    assert index.sealed_bytes() == 160 + 140 + 2**32 - 1 + 50
    index.cover("b", 1)
    index.cover("a", 3)
    index.take_free()
    assert index.sealed_bytes() == 2**32 - 1 + 50


def test_those_who_need_the_oldest_segments_are_named_by_the_bytes_of_these(index):
    index.cover("a", 2)
    sizes = (-1, 0, 1, 160, 161, 2**40)
    assert [index.oldest_names(size) for size in sizes] == [[], [], ["b"], ["b"], ["a", "b"], ["a", "b"]]


def test_the_segment_being_written_stays(index):
    index.cover("a", 4)
    index.cover("b", 1)
    assert index.take_free() == [1, 2]
    assert index.sealed_bytes() == 0
    assert index.databases() == {}


def test_covering_forgets_bytes_and_keeps_the_next_sequence(index):
    assert index.size("a") == 130
    index.cover("a", 2)
    assert index.size("a") == 90
    index.cover("a", 1)
    assert index.find_first("a") == 3
    index.cover("a", 4)
    assert (index.size("a"), index.find_first("a"), index.next("a")) == (0, None, 5)
    index.cover("a", 7)
    assert index.nexts() == {"a": 8, "b": 2}
    index.cover("nobody", 7)
    assert index.next("nobody") is None
