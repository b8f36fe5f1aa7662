"""The realtime protocol from the client's side: requests as frames, frames as what the server said. No I/O.

One `Link` is one WebSocket: it numbers nothing and remembers nothing but the message that is coming in. `receive` never raises
on what a server sends: what makes no sense ends the link with a reason.
Source: docs/protocol.md.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import msgspec
import orjson

from meadowlark.limits import FRAME_BYTES_MAX, MESSAGE_BYTES_MAX
from meadowlark.wire.assembly import COUNT_LENGTH_MAX, find_count

RECEIVED_BYTES_MAX = 512 * 1024 * 1024
"""Of one message from the server, which may be as large as a database; more is taken for nonsense."""


SESSION_CHARACTERS_MAX = 200
"""Of the name that a server gives a connection, which is said to it in the next one's URL."""
SERVER_MS_MAX = 1 << 47
"""Of a server's clock: push ids have room for 48 bits."""
_HOST = re.compile(r"[A-Za-z0-9.\-_:\[\]]{1,255}")
_HEAD_BYTES = 64
"""More than what stands in front of the action of a request."""


class VolatileFrame(bytes):
    """The text frame of a volatile write, and what it says, for a transport that has a shorter way."""

    path: str
    value: bytes
    """As JSON."""


class Hello(msgspec.Struct, frozen=True, gc=False):
    """The first thing that a server says."""

    server_ms: int
    """Its clock."""
    host: str
    session: str


class Response(msgspec.Struct, frozen=True, gc=False):
    """The answer to request `number`: status "ok" or why not, with a payload or a text."""

    number: int
    status: str
    payload: Any


class Told(msgspec.Struct, frozen=True, gc=False):
    """What the server tells unasked: `action` is d, m, c, ac, sd, … with its body."""

    action: str
    body: dict[str, Any]


class Moved(msgspec.Struct, frozen=True, gc=False):
    """The database is at `host`; this link is over."""

    host: str


class Ended(msgspec.Struct, frozen=True, gc=False):
    """The link is over. `is_final`: coming back cannot help."""

    reason: str
    is_final: bool = False


Said = Hello | Response | Told | Moved | Ended


def encode_request(action: str, body: dict[str, Any]) -> bytes:
    """A request but for its number. Raises ValueError when it is larger than a server takes."""
    encoded = b'"a":%b,"b":%b}}' % (orjson.dumps(action), orjson.dumps(body))
    if len(encoded) > MESSAGE_BYTES_MAX - _HEAD_BYTES:
        raise ValueError(f"the request has {len(encoded)} bytes, limit is {MESSAGE_BYTES_MAX}: write smaller parts, or use REST")
    return encoded


def request_frames(number: int, request: bytes) -> list[bytes]:
    """The text frames of a request."""
    return _divide(b'{"t":"d","d":{"r":%d,' % number + request)


def volatile_frames(path: str, value: Any) -> list[bytes]:
    """Those of a volatile write, which wants no answer."""
    encoded = orjson.dumps(value)
    frames = _divide(b'{"t":"d","d":{"a":"v","b":{"p":%b,"d":%b}}}' % (orjson.dumps(path), encoded))
    if len(frames) > 1:
        return frames
    frame = VolatileFrame(frames[0])
    frame.path, frame.value = path, encoded
    return [frame]


def _divide(payload: bytes) -> list[bytes]:
    if len(payload) <= FRAME_BYTES_MAX:
        return [payload]
    pieces = list(_pieces(payload))
    return [b"%d" % len(pieces), *pieces]


def _pieces(payload: bytes) -> Iterator[bytes]:
    """Cut between characters, so that each frame is valid text."""
    start = 0
    while start < len(payload):
        end = min(start + FRAME_BYTES_MAX, len(payload))
        while end < len(payload) and payload[end] & 0xC0 == 0x80:
            end -= 1
        yield payload[start:end]
        start = end


class Link:
    """What one WebSocket has said so far."""

    __slots__ = ("_frames_left", "_is_over", "_parts", "_size")

    def __init__(self) -> None:
        self._frames_left = 0
        self._parts: list[bytes] = []
        self._size = 0
        self._is_over = False

    def receive(self, frame: bytes) -> Said | None:
        """What one text frame completes, if anything."""
        if self._is_over:
            return None
        if self._frames_left:
            self._frames_left -= 1
            self._size += len(frame)
            if self._size > RECEIVED_BYTES_MAX:
                return self._end(f"the server sends more than {RECEIVED_BYTES_MAX} bytes in one message")
            self._parts.append(frame)
            if self._frames_left:
                return None
            frame, self._parts, self._size = b"".join(self._parts), [], 0
        elif len(frame) <= COUNT_LENGTH_MAX and (count := find_count(frame)) is not None:
            self._frames_left = count
            return None
        try:
            said = _parse(orjson.loads(frame))
        except (ValueError, KeyError, TypeError, AttributeError, ArithmeticError, RecursionError):
            return self._end("the server said what is no message of the protocol")
        if type(said) in (Moved, Ended):
            self._is_over = True
        return said

    def _end(self, reason: str) -> Ended:
        self._is_over = True
        self._parts = []
        return Ended(reason)


def _parse(message: Any) -> Said | None:
    inner = message["d"]
    if message["t"] == "c":
        return _parse_control(inner["t"], inner["d"])
    if "r" in inner:
        body = inner["b"]
        return Response(int(inner["r"]), str(body["s"]), body.get("d"))
    return Told(str(inner["a"]), dict(inner["b"]))


def _parse_control(kind: str, payload: Any) -> Said | None:
    if kind == "h":
        hello = Hello(int(payload["ts"]), str(payload["h"]), str(payload["s"]))
        if not 0 <= hello.server_ms < SERVER_MS_MAX or len(hello.session) > SESSION_CHARACTERS_MAX:
            raise ValueError("a greeting that no server says")
        return hello
    if kind == "r":
        if not _HOST.fullmatch(payload):
            raise ValueError("no host to go to")
        return Moved(payload)
    if kind == "s":
        return Ended(str(payload), is_final=True)
    return None  # Pongs, and what later versions add.
