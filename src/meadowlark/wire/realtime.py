"""The realtime session of one connection: text frames in, commands and answers out.

Two states. OPEN: each frame is a keepalive, a count, a piece of a long message, or a message; a message becomes one outcome, in
the order in which they came (or none: control messages that need no answer). CLOSED: all is ignored; `reason` says why.
A request that cannot be granted is answered and the session stays open. It closes only where nobody can be answered: bytes
that are no request, and frames or counts over a limit.

Reading a message longer than a bound is left to the owner, who must have done it before the next frame is received.

Never raises, whatever the bytes. Holds at most one message of limits.MESSAGE_BYTES_MAX.
Does not know: sockets, the tree, who may do what. Session and rim's client may refer to each other: the rim breaks that.
Source: docs/protocol.md; tests/wire/test_realtime.py, tests/fuzz/test_session.py. Hot path: bench/session.py.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Generator
from typing import Any

from meadowlark.engine.client import Client
from meadowlark.errors import Code, Refused
from meadowlark.limits import CLIENT_FRAME_BYTES_MAX, MESSAGE_BYTES_MAX, MESSAGE_FRAMES_MAX
from meadowlark.tree import PRIORITY, parse_path, prepare_slices, prepare_update_slices
from meadowlark.wire.actions import ACTIONS, UNNUMBERED, refuse_unknown
from meadowlark.wire.assembly import COUNT_LENGTH_MAX, Assembly, find_count
from meadowlark.wire.envelope import DECODE_ERRORS, Body, Inner, Message, decode, decode_slices, find_request, malformed
from meadowlark.wire.outcomes import Answer, Close, Long, Outcome, Switch
from meadowlark.wire.replies import PONG, encode_hello, encode_refusal
from meadowlark.wire.websocket import CloseCode

_NO_BODY = Body()
_PONG = Answer(PONG)
_SWITCH = Switch()


_WRITE = re.compile(rb'\{"t":"d","d":\{"r":\d{1,15},"a":"([pm])","b":\{"p":"([^"\\]*+)","d":')
"""How a write begins that has no hash, in the order in which Firebase's JavaScript says it. It ends with three brackets."""


class State(enum.IntEnum):
    OPEN = 0
    CLOSED = 1


class Session:
    """One a connection. `receive` is called once a text frame, by one owner."""

    __slots__ = ("_assembly", "_whole_bytes_max", "client", "host", "reason", "state")

    def __init__(self, client: Client, host: str, whole_bytes_max: int = MESSAGE_BYTES_MAX) -> None:
        """whole_bytes_max: longer messages are given out as Long, to be `read` in slices."""
        self.client = client
        self._whole_bytes_max = whole_bytes_max
        self.host = host
        """As the client named us, so that it finds us again."""
        self.state = State.OPEN
        self.reason = ""
        """Why the session is closed."""
        self._assembly: Assembly | None = None
        """The long message whose pieces are coming in."""

    def hello(self, now_ms: int) -> bytes:
        """The frames to send before any other."""
        return encode_hello(now_ms, self.host, self.client.id)

    def receive(self, payload: bytes | memoryview, events: list[Outcome]) -> None:
        """Appends to `events` what one text frame asks; nothing of `payload` is kept, so it may be a view of a buffer."""
        if self.state is not State.OPEN:
            return
        size = len(payload)
        if size > CLIENT_FRAME_BYTES_MAX:
            self._close(CloseCode.TOO_BIG, f"frame has {size} bytes, limit is {CLIENT_FRAME_BYTES_MAX}", events)
        elif self._assembly is not None:
            self._add_piece(self._assembly, payload, events)
        elif size > COUNT_LENGTH_MAX:
            self._receive_message(payload, events)
        else:
            self._receive_short(payload, events)

    def read(self, long: Long) -> Generator[None, None, Outcome | None]:
        """What a long message asks, if anything; yields after each millisecond or so of reading it."""
        events: list[Outcome] = []
        try:
            message = (yield from _read_write(long.text)) or (yield from decode_slices(long.text))
        except DECODE_ERRORS as error:
            self._refuse_message(long.text, malformed(error), CloseCode.PROTOCOL, events)
        else:
            self._receive_message(b"", events, message)
        return events[0] if events else None

    def end(self, reason: str) -> None:
        """The connection is over, by the peer's or the rim's will: whatever still comes is ignored. The first reason stays."""
        if self.state is State.OPEN:
            self.state = State.CLOSED
            self.reason = reason
            self._assembly = None

    # Frames

    def _receive_short(self, payload: bytes | memoryview, events: list[Outcome]) -> None:
        count = find_count(payload)
        if count is None:
            self._receive_message(payload, events)
        elif count > MESSAGE_FRAMES_MAX:
            self._close(CloseCode.TOO_BIG, f"message of {count} frames announced, limit is {MESSAGE_FRAMES_MAX}", events)
        elif count:
            self._assembly = Assembly(count)

    def _add_piece(self, assembly: Assembly, payload: bytes | memoryview, events: list[Outcome]) -> None:
        if not assembly.add(payload):
            return
        self._assembly = None
        if assembly.is_too_big:
            fault = Refused(Code.TOO_BIG, f"message is larger than {MESSAGE_BYTES_MAX} bytes, which is the limit")
            self._refuse_message(assembly.text, fault, CloseCode.TOO_BIG, events)
        elif len(assembly.text) > self._whole_bytes_max:
            events.append(Long(assembly.text))
        else:
            self._receive_message(assembly.text, events)

    # Messages

    def _receive_message(
        self, payload: bytes | bytearray | memoryview, events: list[Outcome], message: Message | None = None
    ) -> None:
        """message: `payload`, if it is decoded already."""
        if message is None:
            try:
                message = decode(payload)
            except DECODE_ERRORS as error:
                self._refuse_message(payload, malformed(error), CloseCode.PROTOCOL, events)
                return
        inner = message.d
        if message.t != "d" or inner.r is None:
            self._receive_other(message.t, inner, events)
            return
        action = ACTIONS.get(inner.a)
        try:
            if action is None:
                raise refuse_unknown(inner.a)
            events.append(action(self.client, inner.r, inner.b or _NO_BODY))
        except Refused as refused:
            events.append(Answer(encode_refusal(inner.r, refused), refused.code))

    def _receive_other(self, kind: str, inner: Inner, events: list[Outcome]) -> None:
        """Control messages, of which two mean something to a server, and what is neither control nor request."""
        unnumbered = UNNUMBERED.get(inner.a) if kind == "d" else None
        if unnumbered is not None:
            try:
                events.append(unnumbered(self.client, None, inner.b or _NO_BODY))
            except Refused as refused:
                events.append(Answer(b"", refused.code, refused.text))
        elif kind != "c":
            what = "a request has no number: expected 'r'" if kind == "d" else "a message is neither control nor data"
            self._close(CloseCode.PROTOCOL, what, events)
        elif inner.t == "p":
            events.append(_PONG)
        elif inner.t == "n":
            events.append(_SWITCH)

    def _refuse_message(
        self, payload: bytes | bytearray | memoryview, fault: Refused, code: CloseCode, events: list[Outcome]
    ) -> None:
        """Answers the request that `payload` was meant as; closes if that cannot be told."""
        request = find_request(payload)
        if request is None:
            self._close(code, fault.text, events)
        else:
            events.append(Answer(encode_refusal(request, fault), fault.code))

    def _close(self, code: CloseCode, reason: str, events: list[Outcome]) -> None:
        self.end(reason)
        events.append(Close(code, reason))


def _read_write(text: bytes | bytearray) -> Generator[None, None, Message | None]:
    """A write whose values are prepared while they are decoded, so that they never stand as dicts; None where it is not said as
    usual, or something in it is wrong. What is taken for the value is JSON of its own only if it is the value of the whole."""
    head = _WRITE.match(text)
    if head is None or not text.endswith(b"}}}"):
        return None
    value = memoryview(text)[head.end() : -3]
    made: Any
    try:
        message = decode(b"%bnull}}}" % head[0])
        assert message.d.b is not None
        path = parse_path(head[2].decode())
        if path[-1:] == (PRIORITY,):
            return None
        if head[1] == b"m":
            made = yield from prepare_update_slices(value, len(path))
        else:
            made = yield from prepare_slices(value, len(path))
    except (*DECODE_ERRORS, Refused):
        return None  # Whoever reads the whole says what is wrong.
    message.d.b.d = made
    return message
