from __future__ import annotations

import pytest

from meadowlark.limits import MESSAGE_BYTES_MAX
from meadowlark.wire.assembly import Assembly, find_count


@pytest.mark.parametrize(("frame", "count"), [(b"0", 0), (b"1", 1), (b"00", 0), (b"012", 12), (b"999999", 999_999)])
def test_a_short_number_is_a_count(frame: bytes, count: int) -> None:
    assert find_count(frame) == count
    assert find_count(memoryview(frame)) == count


@pytest.mark.parametrize(
    "frame", [b"", b"1234567", b"-1", b"+1", b"1.5", b"1e3", b" 1", b"0x1", b"1_0", b"{}", "²".encode(), b"\xff"]
)
def test_nothing_else_is_a_count(frame: bytes) -> None:
    assert find_count(frame) is None


def test_the_last_piece_completes_the_message() -> None:
    assembly = Assembly(3)
    assert [assembly.add(b"ab"), assembly.add(b""), assembly.add(b"c")] == [False, False, True]
    assert assembly.text == b"abc"


def test_pieces_are_copied() -> None:
    buffer = bytearray(b"ab")
    assembly = Assembly(1)
    assembly.add(memoryview(buffer))
    buffer[:] = b"xx"
    assert assembly.text == b"ab"


def test_a_message_at_the_limit_is_kept() -> None:
    assembly = Assembly(2)
    assembly.add(bytes(MESSAGE_BYTES_MAX - 1))
    assert assembly.add(b"x")
    assert not assembly.is_too_big
    assert len(assembly.text) == MESSAGE_BYTES_MAX


def test_of_a_message_over_the_limit_only_the_head_is_kept_and_the_rest_is_counted() -> None:
    assembly = Assembly(4)
    assembly.add(b'{"t":"d"')
    assembly.add(bytes(MESSAGE_BYTES_MAX))
    assert assembly.is_too_big
    assert not assembly.add(b"more")
    assert len(assembly.text) == 128
    assert assembly.text.startswith(b'{"t":"d"')
    assert assembly.add(b"last")
