"""What a session is told about the tree: changes, and listens or credentials that have ended. Complete frames, ready to write.

A push is encoded once however many listen: the frames are kept in `push.encoded` under REALTIME, beside other protocols' forms.
Paths go without their leading slash, the root as "". The form in memory is the export form, so priorities need no care.
Does not know: who listens. Answers are in replies.py.
Source: docs/protocol.md "Pushes".
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator
from itertools import chain
from typing import Any

from meadowlark.engine.effects import Push
from meadowlark.errors import Refused
from meadowlark.limits import FRAME_BYTES_MAX
from meadowlark.query import Query
from meadowlark.tree import Path, Range, encode, encode_slices, is_large
from meadowlark.wire.websocket import text_frames, text_frames_slices

REALTIME = "realtime"
"""Key of this protocol's frames in `push.encoded`."""


def encode_push(push: Push) -> bytes:
    """The frames that tell of `push`: `d` puts a value, `m` merges children, `rm` merges ranges. Made by the first call, then the
    same bytes.

    b"" if that would take too long in one go: then `encode_push_slices` makes them.
    """
    made = push.encoded
    if made is None:
        made = push.encoded = {}
    elif REALTIME in made:
        return made[REALTIME]  # type: ignore[no-any-return]  # Push.encoded is Any; only this function writes the key.
    body = _body(push) if push.room is None else _shared_body(push, push.room)
    if body:
        body = text_frames(body + (b"}}}" if push.tag is None else b',"t":%d}}}' % push.tag))
    made[REALTIME] = body
    return body


def _shared_body(push: Push, room: dict[Any, Any]) -> bytes:
    """The tag stands last, so that all before it is made once for the listeners with other tags too."""
    body: bytes | None = room.get(REALTIME)
    if body is None:
        body = room[REALTIME] = _body(push)
    return body


def _body(push: Push) -> bytes:
    """The message up to what follows the value; b"" if that is large."""
    if push.ranges is not None:
        return b"" if _are_large(push.ranges) else b"".join(_ranges_parts(push, push.ranges))
    if is_large(push.value):
        return b""
    head = b'{"t":"d","d":{"a":"m","b":{"p":' if push.merge else b'{"t":"d","d":{"a":"d","b":{"p":'
    return b'%b%b,"d":%b' % (head, encode("/".join(push.path)), encode(push.value))


def encode_push_slices(push: Push) -> Generator[None, None, list[bytes]]:
    """The frames for a large value, in parts, yielding after each; the value must not change meanwhile (freeze the tree)."""
    tail = b"}}}" if push.tag is None else b',"t":%d}}}' % push.tag
    if push.ranges is not None:
        return (yield from text_frames_slices(_gathered(chain(_ranges_parts(push, push.ranges), [tail]))))
    head = b'{"t":"d","d":{"a":"%b","b":{"p":%b,"d":' % (b"m" if push.merge else b"d", encode("/".join(push.path)))
    return (yield from text_frames_slices(chain([head], encode_slices(push.value, with_priorities=True), [tail])))


def _are_large(ranges: list[Range]) -> bool:
    return is_large({str(index): range.node for index, range in enumerate(ranges)})


def _ranges_parts(push: Push, ranges: list[Range]) -> Iterator[bytes]:
    """The message up to what follows the ranges."""
    yield b'{"t":"d","d":{"a":"rm","b":{"p":%b,"d":[' % encode("/".join(push.path))
    separator = b""
    for range in ranges:
        start = b"" if range.start is None else b'"s":%b,' % encode("/".join(range.start))
        end = b"" if range.end is None else b'"e":%b,' % encode("/".join(range.end))
        yield b'%b{%b%b"m":' % (separator, start, end)
        yield from encode_slices(range.node, with_priorities=True)
        yield b"}"
        separator = b","
    yield b"]"


def _gathered(parts: Iterable[bytes]) -> Iterator[bytes]:
    """Longer ones: each becomes frames of its own."""
    buffer: list[bytes] = []
    size = 0
    for part in parts:
        buffer.append(part)
        size += len(part)
        if size >= FRAME_BYTES_MAX:
            yield b"".join(buffer)
            buffer, size = [], 0
    if buffer:
        yield b"".join(buffer)


def encode_revoke(path: Path, query: Query | None = None) -> bytes:
    """The listen at `path`, to `query` if it is one to a query, has ended, since it may not read there any more."""
    # Clients find the listen by what they sent, so it goes back as it came.
    spec = b"" if query is None else b',"q":[%b]' % encode(query.spec)
    return text_frames(b'{"t":"d","d":{"a":"c","b":{"p":%b%b}}}' % (encode("/".join(path)), spec))


def encode_auth_revoked(refused: Refused) -> bytes:
    """The credential counts no more: the client closes, gets a new one and comes back."""
    return text_frames(b'{"t":"d","d":{"a":"ac","b":%b}}' % encode({"s": refused.status, "d": refused.text}))
