"""WebSocket frames as a server writes them: unmasked, final, with the protocol's own division of long messages.

A JSON message of up to limits.FRAME_BYTES_MAX bytes is one text frame. A longer one is the number of pieces as a decimal
text frame, then the pieces, cut between UTF-8 characters so that every frame is valid text by itself. What is made here is
complete: the same bytes can be written to any number of sockets.

Does not know: what the messages mean, who reads them. Reading frames is the transport's work.
Source: RFC 6455 sections 5.2, 5.5 and 7.4; docs/protocol.md "Frames".
"""

from __future__ import annotations

import enum
from collections.abc import Generator, Iterable

from meadowlark.limits import FRAME_BYTES_MAX

_TEXT = 0x81
_CLOSE = 0x88
_PING = 0x89
_PONG = 0x8A
_SHORT_BYTES_MAX = 125
"""Payloads up to here have a one-byte length; control frames allow no more."""

_SHORT_TEXT = [bytes((_TEXT, size)) for size in range(_SHORT_BYTES_MAX + 1)]
"""Heads of short text frames, by payload size: most pushes and acknowledgements are short."""


class CloseCode(enum.IntEnum):
    """Why we close a socket, as its peer is told."""

    GOING_AWAY = 1001
    """The server stops or the database moves: come back."""
    PROTOCOL = 1002
    """The peer sent something that is no message of the protocol."""
    POLICY = 1008
    """The peer is too slow, or the session was taken over."""
    TOO_BIG = 1009
    """A frame or message is over a limit."""
    FAULT = 1011
    """The server cannot go on with this connection: a fault of ours."""
    BUSY = 1013
    """The server collects too many large messages at a time: come back."""


def text_frames(payload: bytes) -> bytes:
    """The bytes that carry one JSON message, ready to write. `payload` is not empty and valid UTF-8."""
    size = len(payload)
    if size <= _SHORT_BYTES_MAX:
        return _SHORT_TEXT[size] + payload
    if size <= FRAME_BYTES_MAX:
        return b"\x81\x7e" + size.to_bytes(2, "big") + payload
    return _divided(payload)


def text_frames_slices(pieces: Iterable[bytes]) -> Generator[None, None, list[bytes]]:
    """`text_frames` of one long message that comes in pieces, each valid UTF-8: yields after each, gives the frames in parts."""
    parts = [b""]
    count = 0
    for piece in pieces:
        frames, frame_count = _pieces(piece)
        parts.append(b"".join(frames))
        count += frame_count
        yield
    parts[0] = text_frames(b"%d" % count)
    return parts


def ping_frame(payload: bytes = b"") -> bytes:
    """A ping; at most 125 bytes. Our keepalive, since the text frame `0` would kill a JavaScript client."""
    return _control_frame(_PING, payload)


def pong_frame(payload: bytes = b"") -> bytes:
    """The answer to a peer's ping, with the ping's payload."""
    return _control_frame(_PONG, payload)


def close_frame(code: int, reason: str = "") -> bytes:
    """A close with its code and reason; a reason over 123 bytes is cut between characters."""
    text = reason.encode(errors="replace")
    return _control_frame(_CLOSE, code.to_bytes(2, "big") + text[: _cut(text, _SHORT_BYTES_MAX - 2)])


def _control_frame(head: int, payload: bytes) -> bytes:
    assert len(payload) <= _SHORT_BYTES_MAX, "a control frame has at most 125 bytes"
    return bytes((head, len(payload))) + payload


def _divided(payload: bytes) -> bytes:
    """The count, then the pieces."""
    frames, frame_count = _pieces(payload)
    count = b"%d" % frame_count
    return b"".join([_SHORT_TEXT[len(count)], count, *frames])


def _pieces(payload: bytes) -> tuple[list[bytes | memoryview], int]:
    """Heads and payloads of the frames that `payload` is divided into, and how many frames that are."""
    view = memoryview(payload)
    parts: list[bytes | memoryview] = []
    start = 0
    while start < len(payload):
        end = _cut(payload, start + FRAME_BYTES_MAX)
        size = end - start
        parts.append(_SHORT_TEXT[size] if size <= _SHORT_BYTES_MAX else b"\x81\x7e" + size.to_bytes(2, "big"))
        parts.append(view[start:end])
        start = end
    return parts, len(parts) // 2


def _cut(text: bytes, place: int) -> int:
    """The last boundary between characters at or before `place`: a byte 10xxxxxx continues the character before it."""
    if place >= len(text):
        return len(text)
    while text[place] & 0xC0 == 0x80:
        place -= 1
    return place
