"""The bytes of frames, literally, and the division of long messages as a client reads it."""

from __future__ import annotations

import pytest

from meadowlark.limits import FRAME_BYTES_MAX
from meadowlark.wire.websocket import CloseCode, close_frame, ping_frame, pong_frame, text_frames
from tests.wire.exchange import read_frames, read_messages


def test_a_short_message_is_one_frame_with_a_short_length() -> None:
    assert text_frames(b"{}") == b"\x81\x02{}"


@pytest.mark.parametrize(
    ("size", "head"),
    [(1, b"\x81\x01"), (125, b"\x81\x7d"), (126, b"\x81\x7e\x00\x7e"), (16384, b"\x81\x7e\x40\x00")],
)
def test_the_length_has_the_shortest_form(size: int, head: bytes) -> None:
    assert text_frames(b"x" * size) == head + b"x" * size


def test_a_message_of_one_byte_more_than_a_frame_is_a_count_and_two_pieces() -> None:
    assert read_frames(text_frames(b"x" * 16385)) == [(1, b"2"), (1, b"x" * 16384), (1, b"x")]


@pytest.mark.parametrize("last", [1, 125, 126, 16384])
def test_the_last_piece_may_have_any_length(last: int) -> None:
    frames = read_frames(text_frames(b"x" * (2 * FRAME_BYTES_MAX + last)))
    assert [len(payload) for _, payload in frames] == [1, 16384, 16384, last]


@pytest.mark.parametrize("character", ["é", "€", "😀"])
@pytest.mark.parametrize("offset", range(4))
def test_pieces_are_cut_between_characters(character: str, offset: int) -> None:
    text = "x" * offset + character * 12_000
    frames = text_frames(text.encode())
    assert read_messages(frames) == [text]
    assert all(len(payload) <= 16384 for _, payload in read_frames(frames))


def test_a_cut_inside_a_character_moves_before_it() -> None:
    frames = read_frames(text_frames(b"x" * 16383 + "€".encode() + b"y"))
    assert frames == [(1, b"2"), (1, b"x" * 16383), (1, "€y".encode())]


def test_sixteen_megabytes_come_through() -> None:
    text = "añ€😀" * (16 * 1024 * 1024 // 10)
    assert read_messages(text_frames(text.encode())) == [text]


def test_a_close_has_its_code_and_reason() -> None:
    assert close_frame(CloseCode.TOO_BIG, "no") == b"\x88\x04\x03\xf1no"
    assert close_frame(1001) == b"\x88\x02\x03\xe9"


def test_a_long_reason_is_cut_between_characters() -> None:
    [(opcode, payload)] = read_frames(close_frame(1002, "€" * 50))
    assert opcode == 8
    assert payload[2:].decode() == "€" * 41


def test_a_reason_with_half_a_surrogate_pair_can_be_sent() -> None:
    assert close_frame(1002, "\ud800") == b"\x88\x03\x03\xea?"


def test_ping_and_pong() -> None:
    assert ping_frame() == b"\x89\x00"
    assert pong_frame(b"abc") == b"\x8a\x03abc"
