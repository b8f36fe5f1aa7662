"""What a session is told about itself: answers to requests, and control messages. Complete frames, ready to write.

The shape of a granted answer follows from what the engine puts in Reply.detail, so that nobody must remember what was asked:

    detail      asked by            payload
    None        writes, unlisten    ""
    a list      listen              {} or {"w": warnings}
    "get"       get                 the value, or null
    NOBODY      unauth              "unauthenticated"
    an Identity auth, gauth         {"auth": …, "expires": seconds or null}

A refusal is its status and a text, which must be a string. Control messages always have a `d`, even null: JavaScript
clients drop them without it.
Does not know: sockets, durability. Pushes are in pushes.py.
Source: docs/protocol.md "Answers" and "Control messages".
"""

from __future__ import annotations

from collections.abc import Generator
from itertools import chain
from typing import Any

from meadowlark.auth.identity import NOBODY, Identity
from meadowlark.engine.effects import Reply
from meadowlark.errors import Refused
from meadowlark.tree import Node, encode, encode_slices
from meadowlark.wire.websocket import text_frames, text_frames_slices

VERSION = "5"
"""Of the protocol, a string; clients warn about any other."""

PONG = text_frames(b'{"t":"c","d":{"t":"o","d":null}}')

UPGRADE = text_frames(b'{"t":"c","d":{"t":"a","d":{}}}')
"""The first message on a WebSocket that takes over from long polls."""
END_UPGRADE = b'{"t":"c","d":{"t":"n","d":{}}}'
"""The last message over long polls: what comes after it comes by the WebSocket."""


# Answers


def encode_reply(reply: Reply) -> bytes:
    """The answer, at once, because `reply.value` is a live reference. Empty when the request wants none."""
    request = reply.request
    if request is None:
        return b""
    if reply.refused is not None:
        return encode_refusal(request, reply.refused)
    detail = reply.detail
    if detail is None:
        return encode_ok(request)
    if type(detail) is list:
        return _answer(request, b'{"w":%b}' % encode(detail) if detail else b"{}")
    if detail == "get":
        return _answer(request, encode(reply.value))
    return _answer(request, _identity_payload(detail))


def encode_debug(text: str) -> bytes:
    """A line for the developer's console, which SDKs show when asked to."""
    return text_frames(b'{"t":"d","d":{"a":"sd","b":%b}}' % encode({"msg": text}))


def encode_get_slices(request: int, node: Node | None) -> Generator[None, None, list[bytes]]:
    """The answer to a get of a large value, in parts, yielding after each; the value must not change meanwhile."""
    head = b'{"t":"d","d":{"r":%d,"b":{"s":"ok","d":' % request
    return (yield from text_frames_slices(chain([head], encode_slices(node, with_priorities=True), [b"}}}"])))


def encode_ok(request: int) -> bytes:
    """Granted, with nothing to tell."""
    return text_frames(b'{"t":"d","d":{"r":%d,"b":{"s":"ok","d":""}}}' % request)


def encode_refusal(request: int, refused: Refused) -> bytes:
    """Refused: the status for programs, the text for people; before it, for whoever debugs, why."""
    text = refused.text.encode(errors="replace").decode()  # A text may quote what came; half a surrogate pair has no encoding.
    answer = text_frames(b'{"t":"d","d":{"r":%d,"b":%b}}' % (request, encode({"s": refused.status, "d": text})))
    return encode_debug(refused.debug) + answer if refused.debug else answer


# Control messages


def encode_hello(now_ms: int, host: str, session_id: str) -> bytes:
    """The first message. `host` echoes what the client asked for: many clients use it from then on."""
    return _control("h", {"ts": now_ms, "v": VERSION, "h": host, "s": session_id})


def encode_redirect(host: str) -> bytes:
    """In place of hello: connect to `host` at once instead."""
    return _control("r", host)


def encode_shutdown(text: str) -> bytes:
    """The client closes and never comes back: only where coming back cannot help, such as an unknown database."""
    return _control("s", text)


def _control(kind: str, payload: Any) -> bytes:
    return text_frames(encode({"t": "c", "d": {"t": kind, "d": payload}}))


def _answer(request: int, payload: bytes) -> bytes:
    return text_frames(b'{"t":"d","d":{"r":%d,"b":{"s":"ok","d":%b}}}' % (request, payload))


def _identity_payload(identity: Identity) -> bytes:
    if identity is NOBODY:
        return b'"unauthenticated"'
    expires = None if identity.expires_at is None else int(identity.expires_at)
    try:
        return encode({"auth": identity.auth, "expires": expires})
    except TypeError:
        # Claims of an unsigned token may nest or count beyond what can be encoded. Clients read only the status.
        return encode({"auth": None, "expires": expires})
