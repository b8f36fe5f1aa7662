"""WebTransport: the frames of its one stream, both ways, and volatile values that clients send in datagrams.

The stream carries what a WebSocket carries, byte for byte as RFC 6455 frames it, without masks and without fragments: text frames
are the realtime protocol. A binary frame is for us: it says what the numbers in datagrams mean, or that those sent are void.

A datagram has a sequence and some updates: the number of a path, and its new value as JSON. Of one path only what was sent later
than what is known counts, so whatever is lost, doubled or late, a value never goes back. A number means a path from a sequence
on, and a fence makes all up to a sequence void, so neither does a datagram that the stream overtook undo what that said, nor the
stream's repetition of a value undo a newer one that came before it.

Neither class raises, whatever the bytes: a stream ends with a `fault`, a datagram that means nothing is dropped.
Invariant: at most one frame and DATAGRAM_PATHS_MAX paths are held. Does not know: sockets, sessions, what may be written.
Source: docs/protocol.md "WebTransport"; tests/wire/test_webtransport.py, tests/fuzz/test_webtransport.py.
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from meadowlark.limits import CLIENT_FRAME_BYTES_MAX, DATAGRAM_PATHS_MAX
from meadowlark.tree import encode
from meadowlark.wire.drops import Drop

NUMBER_BYTES_MAX = 5
"""Of one number: seven bits in each, the lowest first, and a high bit in all but the last."""
PATH_BYTES_MAX = 4096
"""Of a path that has a number; a longer one goes over the stream."""

DATAGRAM_BYTES_MAX = 1100
"""QUIC's smallest packet of 1,200 bytes, less the frames around a datagram."""
UPDATE_BYTES_MAX = 1000
"""Of a value, or an update with one, that goes in a datagram; what is larger goes on the stream."""
SETTLE_SECONDS = 0.15
"""A value that has gone in a datagram and stands for so long is said once more on the stream."""

_TEXT, _BINARY, _CLOSE, _PING, _PONG = 0x81, 0x82, 0x88, 0x89, 0x8A
_OPCODES = (_TEXT, _BINARY, _CLOSE, _PING, _PONG)
_PATH, _FENCE = 1, 2


class Frame(NamedTuple):
    """`payload` of a text frame is for the session, of another for `Datagrams.agree`."""

    is_text: bool
    payload: bytes


class StreamFrames:
    """The stream's bytes, as they come, to frames."""

    __slots__ = ("_rest", "fault", "is_closed")

    def __init__(self) -> None:
        self._rest = b""
        """Of a frame that is not all there."""
        self.fault = ""
        """Why nothing more is taken; empty while all is well."""
        self.is_closed = False
        """Whether the client has said goodbye."""

    def receive(self, data: bytes, frames: list[Frame]) -> None:
        """Appends to `frames` those that are complete."""
        if self.fault or self.is_closed:
            return
        data = self._rest + data
        at, end = 0, len(data)
        while at + 2 <= end:
            opcode, size = data[at], data[at + 1]
            start = at + 2
            if opcode not in _OPCODES:
                self._end("expected whole text and binary frames")
                return
            if size == 126:
                start = at + 4
                if start > end:
                    break
                size = data[at + 2] << 8 | data[at + 3]
            elif size > 126:
                self._end(f"a frame is masked, or has over {CLIENT_FRAME_BYTES_MAX} bytes")
                return
            if size > CLIENT_FRAME_BYTES_MAX:
                self._end(f"frame has {size} bytes, limit is {CLIENT_FRAME_BYTES_MAX}")
                return
            if start + size > end:
                break
            at = start + size
            if opcode in (_TEXT, _BINARY):
                frames.append(Frame(opcode == _TEXT, data[start:at]))
            elif opcode == _CLOSE:
                self.is_closed = True
                self._rest = b""
                return
        self._rest = data[at:]

    def _end(self, fault: str) -> None:
        self.fault = fault
        self._rest = b""


class _Known:
    """A path that has a number, and the sequence of what was last heard of it."""

    __slots__ = ("heard", "path")

    def __init__(self, path: bytes, heard: int) -> None:
        self.path = path
        self.heard = heard


class Datagrams:
    """What one client's datagrams mean."""

    __slots__ = ("_known", "_newest", "_void")

    def __init__(self) -> None:
        self._known: dict[int, _Known] = {}
        self._void = 0
        """The sequence up to which nothing counts: of what was sent when the stream's next message was said."""
        self._newest = 0
        """Of all that counted."""

    def agree(self, payload: bytes) -> str:
        """Takes note of a binary frame; why it cannot be, or ""."""
        if not payload:
            return ""  # How a client begins that has nothing to say yet.
        sequence, at = read_number(payload, 1)
        if sequence is None:
            return "a binary frame is cut short"
        if payload[0] == _FENCE:
            self._void = max(self._void, sequence)
            return ""
        if payload[0] != _PATH:
            return "a binary frame is of no known kind"
        number, at = read_number(payload, at)
        if number is None or number >= DATAGRAM_PATHS_MAX:
            return f"the number of a path is missing, or not below {DATAGRAM_PATHS_MAX}"
        path = payload[at:]
        if len(path) > PATH_BYTES_MAX:
            return f"path has {len(path)} bytes, limit is {PATH_BYTES_MAX}"
        try:
            self._known[number] = _Known(encode(path.decode()), sequence - 1)
        except UnicodeDecodeError:
            return "a path is not UTF-8"
        return ""

    def receive(self, datagram: bytes, messages: list[bytes], drops: list[Drop]) -> None:
        """Appends to `messages` a volatile write, as the session reads it, for each update that counts, and to `drops` why for
        each that does not; what is behind one that is cut short cannot be told apart, and is one with it."""
        sequence, at = read_number(datagram, 0)
        if sequence is None:
            drops.append(Drop.MALFORMED)
            return
        while at < len(datagram):
            number, at = read_number(datagram, at)
            size, at = read_number(datagram, at)
            if number is None or size is None or at + size > len(datagram):
                drops.append(Drop.MALFORMED)
                return
            value = datagram[at : at + size]
            at += size
            known = self._known.get(number)
            if known is None:
                drops.append(Drop.UNKNOWN)
            elif sequence <= known.heard or sequence <= self._void:
                drops.append(Drop.LATE)
            elif not _is_json(value):
                drops.append(Drop.MALFORMED)
            else:
                known.heard = sequence
                self._newest = max(self._newest, sequence)
                messages.append(b'{"t":"d","d":{"a":"v","b":{"p":%b,"d":%b}}}' % (known.path, value))

    def has_overtaken(self, message: bytes) -> bool:
        """Whether the text frame `message` is the volatile write of a value that was said before one which a datagram brought."""
        if self._newest <= self._void or not message.startswith(_VOLATILE_HEAD):
            return False
        try:
            path = encode(_volatile(message).d.b.p)
        except (ValueError, RecursionError):
            return False  # Whoever reads it whole will say so.
        return any(known.path == path and known.heard > self._void for known in self._known.values())


def encode_frame(payload: bytes, *, is_text: bool) -> bytes:
    """A frame of the stream. payload: less than 64 KiB."""
    size, kind = len(payload), _TEXT if is_text else _BINARY
    head = bytes((kind, size)) if size < 126 else bytes((kind, 126)) + size.to_bytes(2, "big")
    return head + payload


def encode_path(sequence: int, number: int, path: str) -> bytes:
    """The payload of a binary frame: from `sequence` on, `number` means `path`."""
    return bytes([_PATH]) + encode_number(sequence) + encode_number(number) + path.encode()


def encode_fence(sequence: int) -> bytes:
    """The payload of a binary frame: datagrams up to `sequence` are void."""
    return bytes([_FENCE]) + encode_number(sequence)


def encode_datagram(sequence: int, updates: list[tuple[int, bytes]]) -> bytes:
    """A datagram: values as JSON, by the numbers of their paths."""
    parts = [encode_number(sequence)]
    for number, value in updates:
        parts += [encode_number(number), encode_number(len(value)), value]
    return b"".join(parts)


def encode_number(number: int) -> bytes:
    digits = bytearray()
    while number > 0x7F:
        digits.append(number & 0x7F | 0x80)
        number >>= 7
    digits.append(number)
    return bytes(digits)


def read_number(data: bytes, at: int) -> tuple[int | None, int]:
    """The number at `at`, and where it ends; None if there is none."""
    number = 0
    for place in range(NUMBER_BYTES_MAX):
        if at + place >= len(data):
            break
        digit = data[at + place]
        number |= (digit & 0x7F) << 7 * place
        if digit < 0x80:
            return number, at + place + 1
    return None, len(data)


def _is_json(value: bytes) -> bool:
    """Whether `value` is one JSON value and nothing else, so that it can stand in a message."""
    try:
        _raw(value)
        if not value.isascii():
            value.decode()  # Which the decoder does not look at yet.
    except (ValueError, RecursionError):
        return False
    return True


_raw = msgspec.json.Decoder(msgspec.Raw).decode

_VOLATILE_HEAD = b'{"t":"d","d":{"a":"v",'
"""As both of our clients begin such a message."""


class _Body(msgspec.Struct):
    p: str


class _Request(msgspec.Struct):
    b: _Body


class _Message(msgspec.Struct):
    d: _Request


_volatile = msgspec.json.Decoder(_Message).decode
