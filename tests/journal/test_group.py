"""Groups as bytes, and how headers are found among others."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meadowlark.journal import group
from meadowlark.journal.group import encode_group, find_header, parse_group, parse_places, parse_records
from meadowlark.journal.record import Names
from tests.journal.scripts import untimed

RECORDS = st.lists(
    st.tuples(st.sampled_from(["a", "bb", "ç"]), st.integers(0, 2**40), st.binary(max_size=50), st.none()), max_size=8
)


def encode(number, offset, records):
    return b"".join(encode_group(number, offset, records, Names()).blocks)


@untimed
@given(st.integers(0, 2**40), st.integers(0, 40), RECORDS)
def test_a_group_gives_back_its_records_and_where_they_stand(number, offset, records):
    encoded = encode_group(number, offset, records, Names())
    content = bytes(offset) + b"".join(encoded.blocks)
    found = parse_group(content, offset)
    assert (found.offset, found.number, found.record_count, found.end) == (offset, number, len(records), len(content))
    assert encoded.size == len(content) - offset
    parsed = list(parse_records(content, found))
    assert [(one.database, one.sequence, one.body) for one in parsed] == [one[:3] for one in records]
    assert [one.offset for one in parsed] == encoded.offsets
    assert [one.size for one in parsed] == encoded.sizes
    assert list(parse_places(content, found)) == [(one.database, one.sequence, one.offset, one.size) for one in parsed]


def test_large_bodies_are_not_copied():
    large = b"x" * group.JOIN_BYTES_MAX
    records = [("a", 1, b"small", None), ("a", 2, large, None), ("a", 3, b"small", None), ("a", 4, large, None)]
    encoded = encode_group(1, 0, records, Names())
    assert [block for block in encoded.blocks if block is large] == [large, large]
    content = b"".join(encoded.blocks)
    assert [one.body for one in parse_records(content, parse_group(content, 0))] == [one[2] for one in records]
    assert encoded.size == len(content)


@untimed
@given(st.data())
def test_every_changed_bit_is_noticed(data):
    content = bytearray(encode(3, 0, [("db", 1, b'["w"]', None), ("db", 2, b"[]", None)]))
    content[data.draw(st.integers(0, len(content) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises(ValueError, match="group"):
        parse_group(bytes(content), 0)


def test_a_group_cut_anywhere_is_none():
    content = encode(3, 0, [("db", 1, b'["w"]', None)])
    for end in range(len(content)):
        with pytest.raises(ValueError, match="group"):
            parse_group(content[:end], 0)


def test_a_group_that_was_moved_is_none():
    content = encode(3, 0, [])
    with pytest.raises(ValueError, match="group 3, which was written at offset 0"):
        parse_group(b"x" + content, 1)
    assert find_header(b"x" + content, 0) is None


def test_headers_are_found_behind_anything():
    for before in (b"", b"\xff", b"\xffML", group.MAGIC, group.MAGIC + bytes(40), encode(1, 7, [])):
        content = before + encode(2, len(before), []) + b"tail"
        assert find_header(content, 0) == len(before)
        assert find_header(content, len(before) + 1) is None


def test_no_text_of_a_client_can_look_like_a_header():
    assert group.MAGIC[:1] == b"\xff"
    with pytest.raises(UnicodeDecodeError):
        group.MAGIC.decode()


def test_a_count_that_does_not_fill_the_group_is_said():
    content = encode(1, 0, [("db", 1, b"[]", None), ("db", 2, b"[]", None)])
    found = parse_group(content, 0)
    for parse in (parse_records, parse_places):
        with pytest.raises(ValueError, match="1 records that leave 21 bytes of group 1"):
            list(parse(content, found._replace(record_count=1)))
        with pytest.raises(ValueError, match="record"):
            list(parse(content, found._replace(record_count=3)))
