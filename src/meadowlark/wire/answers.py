"""REST answers: from a request and the engine's reply to status, headers and body.

Small values are encoded at once. A large one becomes slices, which read the tree while the answer is being sent: whoever sends it
must keep the value as it is until then (freeze the tree). Values are shown in plain form, except for `format=export`.
Does not know: connections. Source: docs/rest.md; texts of errors that clients compare are those of Firebase.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import chain
from typing import Any

import orjson

from meadowlark.engine.effects import Reply
from meadowlark.errors import Code, Refused
from meadowlark.tree import (
    Node,
    child_count,
    children,
    encode,
    encode_slices,
    is_large,
    node_count_up_to,
    node_hash,
    plain,
    shallow,
    unpacked,
)
from meadowlark.wire.http import JSON_TYPE, Body, Response
from meadowlark.wire.rest import NULL_ETAG, Action, RestRequest

ETAG_NODES_MAX = 1_000
"""Values that are hashed at once for an ETag: two milliseconds. Of more, the hash must be found in slices before the answer."""

CORS_METHODS = "GET, HEAD, PUT, POST, PATCH, DELETE, OPTIONS"
CORS_HEADERS = "Authorization, Content-Type, If-Match, If-None-Match, X-Firebase-ETag, X-HTTP-Method-Override"
CORS_WANTED_MAX = 32
"""Headers beside these that a page may ask for: libraries add theirs, and what they mean is no secret of the browser's."""
CORS_SECONDS = 3600
"""For which a browser need not ask again."""

RETRY_SECONDS = 5
"""After which to try again what the server cannot do now."""

DEBUG_HEADER = "X-Firebase-Auth-Debug"
"""Why rules denied it, for whoever may know; Firebase's name."""
_HEADER_LENGTH_MAX = 2_000

_SLICE_BYTES = 65_536
_SHALLOW_SLICE_KEYS = 2_048
_HEADER_NAME = re.compile(r"[A-Za-z0-9-]{1,64}")
_UNSAFE_IN_FILE_NAME = re.compile(r"[^A-Za-z0-9._ ()+-]")

Headers = tuple[tuple[str, str], ...]

_REFUSAL_HEADERS: dict[int, Headers] = {
    # RFC 9110, 15.5.22: who is told to upgrade is told to what; RFC 6455, 4.4: and to which version.
    426: (("Upgrade", "websocket"), ("Sec-WebSocket-Version", "13")),
    503: (("Retry-After", str(RETRY_SECONDS)),),
}


def needs_hash(request: RestRequest, reply: Reply) -> bool:
    """Whether `answer` must be given the hash of the value, which is large."""
    if reply.refused is not None:
        is_shown = reply.refused.code is Code.STALE
    else:
        is_shown = request.etag_wanted or request.if_match is not None or request.if_none_match is not None
    return is_shown and node_count_up_to(reply.value, ETAG_NODES_MAX) > ETAG_NODES_MAX


def answer(request: RestRequest, reply: Reply, pushed: str = "", hash: str | None = None) -> Response:
    """What `reply` means to who sent `request`. pushed: the key that a POST added. hash: of the value, if it is known."""
    if reply.refused is not None:
        if reply.refused.code is Code.STALE:
            return _show(request, 412, _value_body(request, reply.value), _etag(reply.value, hash))
        return refusal(reply.refused)
    if request.action is Action.GET:
        return _answer_get(request, reply.value, hash)
    if request.action is Action.PUSH:
        body: Body = _dumps({"name": pushed}, request.pretty)
    elif request.silent:
        body = b""
    elif request.action is Action.UPDATE and type(reply.value) is dict:
        body = _update_body(request, reply.value)
    else:
        body = _value_body(request, reply.value)
    etag_shown = request.etag_wanted or request.if_match is not None
    return _show(request, 200, body, _etag(reply.value, hash) if etag_shown else ())


def refusal(refused: Refused) -> Response:
    """`{"error": text}` with the status of the refusal's code; what may be tried again says when, or how."""
    headers = _REFUSAL_HEADERS.get(refused.http_status, ())
    if refused.debug:
        headers += ((DEBUG_HEADER, _header_text(refused.debug)),)
    return Response(refused.http_status, encode({"error": refused.text}), headers=headers)


def _header_text(text: str) -> str:
    """In printable ASCII, which is all that a header may have: keys may be in any script."""
    escaped = text[:_HEADER_LENGTH_MAX].encode("ascii", "backslashreplace").decode()[:_HEADER_LENGTH_MAX]
    return "".join([character if character.isprintable() else "?" for character in escaped])


def cors_headers(origin: str | None) -> Headers:
    """Lets any page read any answer: credentials are in the request, never in the browser's keeping."""
    if not origin:
        return ()
    return (
        ("Access-Control-Allow-Origin", origin),
        ("Access-Control-Expose-Headers", f"ETag, {DEBUG_HEADER}"),
        ("Vary", "Origin"),
    )


def preflight(wanted: str = "") -> Response:
    """The answer to OPTIONS, beside `cors_headers`. wanted: the headers that the page wants to send; all may be sent."""
    allowed = ", ".join(dict.fromkeys([*CORS_HEADERS.split(", "), *_HEADER_NAME.findall(wanted)[:CORS_WANTED_MAX]]))
    return Response(
        200,
        headers=(
            ("Allow", CORS_METHODS),
            ("Access-Control-Allow-Methods", CORS_METHODS),
            ("Access-Control-Allow-Headers", allowed),
            ("Access-Control-Max-Age", str(CORS_SECONDS)),
        ),
    )


def _answer_get(request: RestRequest, node: Node | None, hash: str | None) -> Response:
    headers: Headers = ()
    if request.etag_wanted or request.if_none_match is not None:
        headers = _etag(node, hash)
        if request.if_none_match is not None and headers[0][1] == (request.if_none_match or NULL_ETAG):
            return Response(304, headers=headers)
    if request.download:
        name = _UNSAFE_IN_FILE_NAME.sub("_", request.download)
        headers += (("Content-Disposition", f'attachment; filename="{name}"'),)
    return _show(request, 200, b"" if request.silent else _value_body(request, node), headers)


def _show(request: RestRequest, status: int, body: Body, headers: Headers) -> Response:
    """The response in the way of showing that was asked for; `silent` leaves nothing of a success."""
    if request.silent and status == 200:
        return Response(204, headers=headers)
    if request.callback:
        # The comment keeps the name from being read as anything but JavaScript.
        before, after = b"/**/" + request.callback.encode() + b"(", b");"
        body = before + body + after if isinstance(body, bytes) else chain((before,), body, (after,))
        return Response(status, body, "application/javascript; charset=utf-8", headers)
    return Response(status, body, JSON_TYPE, headers)


def _value_body(request: RestRequest, node: Node | None) -> Body:
    if request.shallow:
        return _encode_shallow(node, request.pretty)
    if is_large(node):  # Then it is not indented for print=pretty.
        return encode_slices(node, with_priorities=request.export)
    return _dumps(node if request.export else plain(node), request.pretty)


def _update_body(request: RestRequest, written: dict[str, Node | None]) -> Body:
    """What now stands at each path that was written: an object however its keys look, never an array."""
    if is_large(written):
        return update_slices(written, with_priorities=request.export)
    return _dumps({key: node if request.export else plain(node) for key, node in written.items()}, request.pretty)


def update_slices(written: dict[str, Node | None], *, with_priorities: bool = False) -> Iterator[bytes]:
    """What stands at each path, in pieces; the values must not change meanwhile."""
    buffer = bytearray(b"{")
    separator = b""
    for key, node in written.items():
        buffer += separator + encode(key) + b":"
        separator = b","
        for piece in encode_slices(node, with_priorities=with_priorities):
            buffer += piece
            if len(buffer) >= _SLICE_BYTES:
                yield bytes(buffer)
                buffer.clear()
    yield bytes(buffer) + b"}"


def _encode_shallow(node: Node | None, pretty: bool) -> Body:
    if child_count(node) > _SHALLOW_SLICE_KEYS:
        return _shallow_slices(node)
    return _dumps(shallow(node), pretty)


def _shallow_slices(node: Node) -> Iterator[bytes]:
    separator, batch = b"{", dict[str, bool]()
    for key, _ in children(node):
        batch[key] = True
        if len(batch) == _SHALLOW_SLICE_KEYS:
            yield separator + encode(batch)[1:-1]
            separator = b","
            batch.clear()
    yield separator + encode(batch)[1:-1] + b"}" if batch else b"}"


def _dumps(value: Any, pretty: bool) -> bytes:
    return orjson.dumps(unpacked(value), option=orjson.OPT_INDENT_2) if pretty else encode(value)


def _etag(node: Node | None, hash: str | None) -> Headers:
    """The ETag of `node`, by its hash if that is known."""
    return (("ETag", (node_hash(node) if hash is None else hash) or NULL_ETAG),)
