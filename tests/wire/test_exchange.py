"""The tests' own reader of frames must be able to fail."""

from __future__ import annotations

import pytest

from tests.wire.exchange import read_frames, read_messages


def test_a_frame_is_read_with_its_kind() -> None:
    assert read_frames(b"\x81\x02hi\x89\x00") == [(1, b"hi"), (9, b"")]


@pytest.mark.parametrize(
    "stream",
    [b"\x01\x02hi", b"\xc1\x02hi", b"\x81\x82hi", b"\x81\x7f" + bytes(7) + b"\x02hi", b"\x81\x7e\x00\x02hi", b"\x81\x03hi"],
    ids=["not final", "reserved bit", "masked", "64-bit length", "length not minimal", "cut short"],
)
def test_a_wrong_frame_is_noticed(stream: bytes) -> None:
    with pytest.raises(AssertionError):
        read_frames(stream)


def test_counted_frames_are_joined_and_what_follows_stands_alone() -> None:
    assert read_messages(b"\x81\x012\x81\x02ab\x81\x02cd\x81\x07{...xyz") == ["abcd", "{...xyz"]


@pytest.mark.parametrize(
    "stream", [b"\x81\x010", b"\x81\x012\x81\x02ab", b"\x81\x01\xff"], ids=["zero", "one missing", "not UTF-8"]
)
def test_what_would_stop_a_client_is_noticed(stream: bytes) -> None:
    with pytest.raises((AssertionError, UnicodeDecodeError)):
        read_messages(stream)
