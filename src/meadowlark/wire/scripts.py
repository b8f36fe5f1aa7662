"""Long polling, towards the browser: frames become messages again, and messages become calls in a script.

The page that polls is an iframe of the SDK. The first script defines two functions that pass calls on to the page's own, by
the number that the page gave; every later one only calls them. `pRTLPCB(n, [message, …])` is packet n of the session: packets are
counted without gaps over all answers, and the page puts them in order. `pLPCommand` starts and closes.

JSON is made safe for scripts: no `<`, no line separators, and a key `__proto__` that is a key.
Does not know: sessions, who polls.
Source: docs/protocol.md "Long polling"; tests/wire/test_scripts.py.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from meadowlark.wire.http import Response
from meadowlark.wire.replies import END_UPGRADE
from meadowlark.wire.websocket import text_frames

SCRIPT_TYPE = "application/javascript; charset=utf-8"
HTML_TYPE = "text/html; charset=utf-8"
# The first answer has the secrets of the session, and none is of use twice.
_HEADERS = (("Cache-Control", "no-store"), ("X-Content-Type-Options", "nosniff"))

WHOLE_BYTES_MAX = 131_072
"""Of a script that is made in one go; a longer one is made as it is sent."""

Message = Sequence[bytes | memoryview]
"""One JSON message, in parts that are cut between characters."""

_COUNT_LENGTH_MAX = 6
_LENGTH_IN_TWO_BYTES = 126
_PROTO = re.compile(rb'([{,])"__proto__":')
"""Only ever a key: in a string the first quote would stand behind a backslash."""
_PROTO_LENGTH = len(b'{"__proto__":')

_FUNCTIONS = (
    b'function pLPCommand(c,a1,a2,a3,a4){parent.window["pLPCommand%b"]&&parent.window["pLPCommand%b"](c,a1,a2,a3,a4);}\n'
    b'function pRTLPCB(n,d){parent.window["pRTLPCB%b"]&&parent.window["pRTLPCB%b"](n,d);}\n'
    b"pLPCommand('start','%b','%b');\n"
)

CLOSE = b"pLPCommand('close');\n"
"""The session is over, or never was."""

_PAGE = """<!doctype html><meta charset="utf-8"><title>-</title><script>
addEventListener("pagehide",function(){fetch("/.lp?disconn=t&id=%s&pw=%s&ns=%s",{keepalive:true,mode:"no-cors"})});
</script>
"""


class Unframer:
    """Takes what was framed for a WebSocket, in whole frames, and gives back the messages."""

    __slots__ = ("_frames_left", "_parts")

    def __init__(self) -> None:
        self._frames_left = 0
        self._parts: list[memoryview] = []

    @property
    def is_inside(self) -> bool:
        """Whether a message has come in part."""
        return bool(self._frames_left)

    def receive(self, data: bytes, messages: list[Message]) -> None:
        """Appends to `messages` those that are complete; they refer to `data`."""
        view = memoryview(data)
        place = 0
        while place < len(view):
            size, place = view[place + 1], place + 2
            if size == _LENGTH_IN_TWO_BYTES:
                size, place = int.from_bytes(view[place : place + 2], "big"), place + 2
            self._take(view[place : place + size], messages)
            place += size

    def _take(self, payload: memoryview, messages: list[Message]) -> None:
        if self._frames_left:
            self._parts.append(payload)
            self._frames_left -= 1
            if not self._frames_left:
                messages.append(self._parts)
                self._parts = []
        elif len(payload) <= _COUNT_LENGTH_MAX:  # No message is as short.
            self._frames_left = int(bytes(payload))
        else:
            messages.append((payload,))


def start_script(callback: str, id: str, password: str) -> bytes:
    """What comes before the first packet. callback: digits; id, password: ours."""
    number = callback.encode()
    return _FUNCTIONS % (number, number, number, number, id.encode(), password.encode())


def close_after(packet_number: int) -> bytes:
    """The last packet is that one: whoever has it closes."""
    return b"pLPCommand('close',%d);\n" % packet_number


def upgrade_messages() -> list[Message]:
    """The last message of a session that goes on over a WebSocket."""
    messages: list[Message] = []
    Unframer().receive(text_frames(END_UPGRADE), messages)
    return messages


def script(before: bytes = b"", number: int = 0, messages: Sequence[Message] = (), after: bytes = b"") -> Response:
    """The answer to a poll: packet `number` with `messages`, if there are any, between other calls."""
    if not messages:
        return Response(200, before + after, SCRIPT_TYPE, _HEADERS)
    parts = _packet(number, messages)
    if sum(len(part) for message in messages for part in message) <= WHOLE_BYTES_MAX:
        return Response(200, before + _escape(b"".join(parts)) + after, SCRIPT_TYPE, _HEADERS)
    return Response(200, _slices(before, parts, after), SCRIPT_TYPE, _HEADERS)


def page(id: str, password: str, database: str) -> Response:
    """The page that ends the session when it is closed; all three are ours and have no character that means something."""
    return Response(200, (_PAGE % (id, password, database)).encode(), HTML_TYPE, _HEADERS)


def _packet(number: int, messages: Sequence[Message]) -> Iterator[bytes | memoryview]:
    yield b"pRTLPCB(%d,[" % number
    for index, message in enumerate(messages):
        if index:
            yield b","
        yield from message
    yield b"]);\n"


def _slices(before: bytes, parts: Iterable[bytes | memoryview], after: bytes) -> Iterator[bytes]:
    """The script in pieces, none of them empty. What could be the beginning of something to escape waits for the next one."""
    buffer = bytearray(before)
    for part in parts:
        buffer += part
        if len(buffer) >= WHOLE_BYTES_MAX:
            escaped = _escape(bytes(buffer))
            yield escaped[: -_PROTO_LENGTH + 1]
            buffer = bytearray(escaped[-_PROTO_LENGTH + 1 :])
    yield _escape(bytes(buffer)) + after


def _escape(text: bytes) -> bytes:
    """JSON, or calls with it, as a script may have it; doing it twice is doing it once."""
    if b"<" in text:
        text = text.replace(b"<", b"\\u003c")
    if b"\xe2\x80" in text:
        text = text.replace(b"\xe2\x80\xa8", b"\\u2028").replace(b"\xe2\x80\xa9", b"\\u2029")
    if b'"__proto__":' in text:
        # A script's `"__proto__": value` sets the object's prototype; JSON means a key.
        text = _PROTO.sub(rb'\1["__proto__"]:', text)
    return text
