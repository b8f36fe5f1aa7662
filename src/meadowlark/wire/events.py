"""Server-sent events: what a stream of changes at one path looks like as bytes.

First `put` with the whole value, then `put` and `patch` with paths relative to the stream's own; data in plain form, so
changes of priorities alone are not told. Like the realtime socket's frames, an event is encoded once for all streams of one
path: it is kept in `push.encoded` under that path.
Does not know: who listens. Source: docs/rest.md "Streams"; https://html.spec.whatwg.org/multipage/server-sent-events.html.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from typing import Any

from meadowlark.engine.effects import Push
from meadowlark.tree import PRIORITY, Node, Path, encode, encode_slices, format_path, plain
from meadowlark.wire.answers import update_slices

EVENT_STREAM_TYPE = "text/event-stream; charset=utf-8"

KEEP_ALIVE = b"event: keep-alive\ndata: null\n\n"
CANCEL = b'event: cancel\ndata: "Permission denied."\n\n'
TOO_LARGE = b'event: cancel\ndata: "The specified payload is too large, please request a location with less data."\n\n'
"""Both in Firebase's words, and as JSON, as the data of other events is."""

AUTH_REVOKED = b"event: auth_revoked\ndata: credential is no longer valid\n\n"
"""Not JSON: Python's SDK compares the text."""

NOTHING_YET = b'event: put\ndata: {"path":"/","data":null}\n\n'
"""The first event of a stream where nothing stands."""


def encode_event(push: Push, root: Path) -> bytes:
    """The event that tells a stream at `root` of `push`, which happened at or below it; b"" where there is nothing to tell."""
    made = push.encoded
    if made is None:
        made = push.encoded = {}
    key = ("events", root)
    event: bytes | None = made.get(key)
    if event is None:
        event = made[key] = _event(push, root)
    return event


def is_encoded(push: Push, root: Path) -> bool:
    return push.encoded is not None and ("events", root) in push.encoded


def event_slices(push: Push, root: Path) -> Iterator[bytes]:
    """`encode_event` of a large value in pieces; it must not change meanwhile. They do not hold `push`, which may hold them."""
    if push.merge:
        told = _told(push)
        if not told:
            return iter(())
        kind, body = b"patch", update_slices(told)
    else:
        kind, body = b"put", encode_slices(push.value, with_priorities=False)
    return chain([b'event: %b\ndata: {"path":%b,"data":' % (kind, encode(_relative(push.path, root)))], body, [b"}\n\n"])


def _event(push: Push, root: Path) -> bytes:
    if push.merge:
        told = {key: plain(node) for key, node in _told(push).items()}
        return _encode("patch", push.path, root, told) if told else b""
    if push.path and push.path[-1] == PRIORITY:
        return b""
    return _encode("put", push.path, root, plain(push.value))


def _told(push: Push) -> dict[str, Node | None]:
    """What a merge says to those who see no priorities."""
    return {key: node for key, node in push.value.items() if not _is_priority(key)}


def _encode(kind: str, path: Path, root: Path, shown: Any) -> bytes:
    return b'event: %b\ndata: {"path":%b,"data":%b}\n\n' % (kind.encode(), encode(_relative(path, root)), encode(shown))


def _relative(path: Path, root: Path) -> str:
    assert path[: len(root)] == root, "a stream is told of its own place"
    return format_path(path[len(root) :])


def _is_priority(relative: str) -> bool:
    return relative == PRIORITY or relative.endswith("/" + PRIORITY)
