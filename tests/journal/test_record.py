"""Records as bytes."""

from __future__ import annotations

import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meadowlark.journal import record
from meadowlark.journal.record import Names, parse_record
from tests.journal.scripts import untimed

NAMES = st.text(min_size=1, max_size=63)


def encode(database: str, sequence: int, body: bytes) -> bytes:
    name, name_crc = Names().encode(database)
    return record.encode_header(len(body), zlib.crc32(body, name_crc), sequence, name) + body


def test_a_record_is_its_lengths_checksum_sequence_name_and_body():
    assert encode("db", 7, b"[]").hex(" ") == "02 00 00 00 d0 09 c6 92 07 00 00 00 00 00 00 00 02 64 62 5b 5d"


@untimed
@given(NAMES, st.integers(0, 2**64 - 1), st.binary(max_size=300), st.binary(max_size=30))
def test_a_record_is_read_back_from_among_other_bytes(database, sequence, body, around):
    content = encode(database, sequence, body)
    found = parse_record(around + content + around, len(around), len(around) + len(content))
    assert found == (database, sequence, body, len(around), len(content))


@untimed
@given(NAMES, st.binary(max_size=60), st.data())
def test_a_changed_bit_outside_the_sequence_is_noticed(database, body, data):
    content = bytearray(encode(database, 1, body))
    places = [place for place in range(len(content)) if not 8 <= place < 16]
    content[data.draw(st.sampled_from(places))] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises(ValueError, match="record"):
        parse_record(bytes(content), 0, len(content))


def test_a_record_cut_anywhere_is_none():
    content = encode("db", 1, b"[1,2,3]")
    for end in range(len(content)):
        with pytest.raises(ValueError, match="record"):
            parse_record(content[:end], 0, end)
        with pytest.raises(ValueError, match="record"):
            parse_record(content, 0, end)


def test_names_are_encoded_once():
    names = Names()
    assert names.encode("dä") is names.encode("dä")
    assert names.encode("dä")[0] == b"d\xc3\xa4"
