"""One message from a client, decoded: the envelope typed, the value in it as plain Python objects.

Control `{"t":"c","d":{"t":"p",…}}` and requests `{"t":"d","d":{"r":1,"a":"p","b":{…}}}` decode into the same Message, in one
call: one typed pass is the cheapest way in (bench/session.py; a raw value and a second parser cost twice as much).
Members that nobody reads are skipped; of repeated keys the last counts.

Bytes that are no message (broken JSON, wrong types, numbers that are no doubles, half surrogate pairs, broken UTF-8, nesting
beyond the stack) raise one of DECODE_ERRORS; `malformed` puts it in words and `find_request` says whom to answer, if anyone.
Does not know: what the actions mean, whether a value may stand in a tree.
Source: docs/protocol.md "Messages".
"""

from __future__ import annotations

import re
from collections.abc import Generator
from typing import Annotated, Any

import msgspec

from meadowlark import tree
from meadowlark.errors import Code, Refused
from meadowlark.limits import LARGE_BYTES

REQUEST_MAX = 2**53
"""The largest request number: what a JavaScript client can count to."""

_HEAD_BYTES = 80
_HEAD = re.compile(rb'\s*\{\s*"t"\s*:\s*"d"\s*,\s*"d"\s*:\s*\{\s*"r"\s*:\s*([0-9]{1,15})\s*,')


class Body(msgspec.Struct, gc=False):
    """`b` of a request, over all actions. UNSET tells a missing member from null where that matters."""

    p: str | None = None
    """Path."""
    d: Any = msgspec.UNSET
    """Value, or children of a merge."""
    h: str | None = None
    """Hash: of what the listener has, or of what a transaction expects."""
    q: dict[str, Any] | None = None
    """Query."""
    t: int | None = None
    """Tag of a filtered listen."""
    ch: Any = None
    """Compound hash of what the listener has."""
    cred: str | None = None
    authvar: Any = msgspec.UNSET
    noauth: bool | None = None


class Inner(msgspec.Struct, gc=False):
    """`d` of a message: a request has `a` and `r`, a control message has `t`."""

    a: str = ""
    r: Annotated[int, msgspec.Meta(ge=0, le=REQUEST_MAX)] | None = None
    b: Body | None = None
    t: str = ""


class Message(msgspec.Struct, gc=False):
    t: str
    d: Inner


class _LooseInner(msgspec.Struct, gc=False):
    r: Any = None
    b: msgspec.Raw = msgspec.Raw(b"")


class _Loose(msgspec.Struct, gc=False):
    t: str
    d: _LooseInner


decode = msgspec.json.Decoder(Message).decode
"""The message in bytes, or one of DECODE_ERRORS. The hot path calls this and leaves the words to `malformed`."""

DECODE_ERRORS = (ValueError, RecursionError)
"""All that decoding raises on bytes: msgspec's own errors and broken UTF-8 are ValueErrors."""

_decode_loosely = msgspec.json.Decoder(_Loose).decode


def decode_slices(text: bytes | bytearray) -> Generator[None, None, Message]:
    """`decode` for a long message: yields after each millisecond or so."""
    raw = yield from tree.decode_slices(text)
    value: Any = msgspec.UNSET
    inner = raw.get("d") if type(raw) is dict else None
    body = inner.get("b") if type(inner) is dict else None
    if type(body) is dict:
        value = body.pop("d", value)
    message = msgspec.convert(raw, Message)
    if message.d.b is not None:
        message.d.b.d = value
    return message


def malformed(error: Exception) -> Refused:
    """What to tell the client about one of DECODE_ERRORS; never repeats what it sent."""
    if isinstance(error, RecursionError):
        return Refused(Code.INVALID_DATA, "the message nests too deeply")
    if isinstance(error, UnicodeDecodeError):
        return Refused(Code.INVALID_DATA, "the message is not UTF-8")
    if isinstance(error, msgspec.ValidationError):
        return Refused(Code.INVALID_REQUEST, f"the message has an unexpected form: {error}")
    return Refused(
        Code.INVALID_DATA, "the message is not JSON: it is cut short, malformed, or one of its strings has half a surrogate pair"
    )


def find_request(payload: bytes | bytearray | memoryview) -> int | None:
    """The number of the request that `payload`, which does not decode, was meant as; None if that cannot be told.

    Answering is worth some effort: a client sends a write again after every reconnect until it is answered. Where not even the
    outline decodes, or takes long, the head is read, which official clients always write in the same order.
    """
    head = _HEAD.match(bytes(payload[:_HEAD_BYTES]))
    if head and len(payload) > LARGE_BYTES:
        return int(head[1])
    try:
        outline = _decode_loosely(payload)
    except DECODE_ERRORS:
        return int(head[1]) if head else None
    number = outline.d.r
    is_request = outline.t == "d" and type(number) is int and 0 <= number <= REQUEST_MAX
    return number if is_request else None
