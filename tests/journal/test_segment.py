"""Segment names and headers."""

from __future__ import annotations

import pytest

from meadowlark.journal import segment
from meadowlark.journal.segment import Header, encode_header, find_number, parse_header, segment_name


def test_names_carry_numbers_and_sort_as_they_do():
    assert segment_name(7) == "segment-00000007"
    assert [find_number(segment_name(number)) for number in (1, 99_999_999, 123_456_789)] == [1, 99_999_999, 123_456_789]


@pytest.mark.parametrize("name", ["segment-1", "segment-00000001.unfinished", "segment-x", "snapshot-00000001", "LOCK"])
def test_other_names_are_no_segments(name):
    assert find_number(name) is None


def test_a_header_is_read_back_and_no_changed_bit_passes():
    content = encode_header(Header(worker=2, number=5, first_group=77))
    assert len(content) == segment.HEADER.size
    assert parse_header(content + b"more") == (2, 5, 77, segment.VERSION)
    for bit in range(8 * len(content)):
        changed = bytearray(content)
        changed[bit // 8] ^= 1 << bit % 8
        with pytest.raises(ValueError, match="segment"):
            parse_header(bytes(changed))
    for end in range(len(content)):
        with pytest.raises(ValueError, match="segment header"):
            parse_header(content[:end])
