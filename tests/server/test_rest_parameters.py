"""Every parameter and header of REST with every method: what it does, or that it is refused, or that it does nothing.

Source: docs/rest.md. A row says what each method answers, in the order of METHODS.
"""

from __future__ import annotations

import json

import pytest

from meadowlark.tree import node_hash
from tests.server.rest_server import Served, serve

METHODS = ("GET", "HEAD", "PUT", "PATCH", "POST", "DELETE")
STANDS = {"list": ["x", "y"], "leaf": {".value": 1, ".priority": 2}}
BODIES = {"PUT": '{"b":{".value":3,".priority":4}}', "PATCH": '{"b":{".value":3,".priority":4}}', "POST": '"pushed"'}

PLAIN = [b'{"list":["x","y"],"leaf":1}', b"", b'{"b":3}', b'{"b":3}', b'{"name":"PUSHED"}', b"null"]
PRETTY = [
    b'{\n  "list": [\n    "x",\n    "y"\n  ],\n  "leaf": 1\n}', b"", b'{\n  "b": 3\n}', b'{\n  "b": 3\n}',
    b'{\n  "name": "PUSHED"\n}', b"null",
]  # fmt: skip
EXPORTED = [
    b'{"list":{"0":"x","1":"y"},"leaf":{".value":1,".priority":2}}', b"", b'{"b":{".value":3,".priority":4}}',
    b'{"b":{".value":3,".priority":4}}', b'{"name":"PUSHED"}', b"null",
]  # fmt: skip
SHALLOW = [b'{"list":true,"leaf":true}', b"", 400, 400, 400, 400]
READ_ONLY = [None, None, 400, 400, 400, 400]
REFUSED = [400] * 6

Expected = bytes | int | None
"""The body of a 200; another status; a 200 whatever the body."""

ROWS: dict[str, list[Expected]] = {
    "": [*PLAIN],
    "print=pretty": [*PRETTY],
    "print=silent": [204] * 6,
    "print=loud": [*REFUSED],
    "shallow=true": [*SHALLOW],
    "shallow=false": [*PLAIN],
    "shallow=true&limitToFirst=1": [b'{"leaf":true}', b"", 400, 400, 400, 400],
    "shallow=true&format=export": [*REFUSED],
    "format=export": [*EXPORTED],
    "format=strict": [*REFUSED],
    "callback=show": [b'/**/show({"list":["x","y"],"leaf":1});', b"", 400, 400, 400, 400],
    "callback=show&print=pretty": [b"/**/show(" + PRETTY[0] + b");", b"", 400, 400, 400, 400],
    "callback=a-b": [*REFUSED],
    "download=a.json": [*PLAIN],
    "timeout=10s": [*PLAIN],
    "timeout=0s": [*REFUSED],
    "timeout=16min": [*REFUSED],
    "orderBy=%22$key%22&limitToLast=1": [b'{"list":["x","y"]}', b"", 400, 400, 400, 400],
    "orderBy=%22$priority%22&startAt=2": [b'{"leaf":1}', b"", 400, 400, 400, 400],
    "orderBy=%22$priority%22&startAt=2&format=export": [b'{"leaf":{".value":1,".priority":2}}', b"", 400, 400, 400, 400],
    "orderBy=%22age%22": [*REFUSED],
    "limitToLast=1": [*REFUSED],
    **{f"writeSizeLimit={size}": [*PLAIN] for size in ("tiny", "small", "medium", "large", "unlimited")},
    "writeSizeLimit=huge": [*REFUSED],
    "disableTriggers=true": [*PLAIN],
    "disableTriggers=false": [*PLAIN],
    "disableTriggers=yes": [*REFUSED],
    "ac=token": [*PLAIN],
    "dryRun=true": [*REFUSED],
    "ns=fake-server": [*PLAIN],
    "auth_variable_override=%7B%22uid%22%3A%22u%22%7D&auth=owner": [*PLAIN],
    "auth_variable_override=null&access_token=owner": [*PLAIN],
    "auth_variable_override=%7B&auth=owner": [*REFUSED],
    "anything=else": [*PLAIN],
}


@pytest.mark.parametrize(("query", "method"), [(query, method) for query in ROWS for method in METHODS])
def test_a_parameter_does_with_each_method_what_is_documented(query: str, method: str) -> None:
    expected = ROWS[query][METHODS.index(method)]

    async def test(served: Served) -> None:
        peer = await served.connect()
        await peer.ask("PUT", "/a.json?print=silent", json.dumps(STANDS))
        status, headers, body = await peer.ask(method, f"/a.json?{query}", BODIES.get(method))
        if isinstance(expected, int):
            assert (status, body == b"" or "error" in json.loads(body)) == (expected, True)
        else:
            if method == "POST" and status == 200:
                body = body.replace(json.loads(body)["name"].encode(), b"PUSHED")
            assert (status, body) == (200, body if expected is None else expected)
        is_saved = query.startswith("download") and method in ("GET", "HEAD")
        assert headers.get("content-disposition") == ('attachment; filename="a.json"' if is_saved else None)
        if status == 400:
            assert (await peer.ask("GET", "/a.json?format=export"))[2] == EXPORTED[0], "a refused write changes nothing"

    serve(test)


STANDING = node_hash({"list": {"0": "x", "1": "y"}, "leaf": {".value": 1, ".priority": 2}})
WRITTEN = node_hash({"b": {".value": 3, ".priority": 4}})
CONDITIONS: dict[tuple[str, str], list[tuple[int, str | None]]] = {
    ("x_firebase_etag", "true"): [
        (200, STANDING), (200, STANDING), (200, WRITTEN), (400, None), (200, node_hash("pushed")), (200, "null_etag"),
    ],
    ("x_firebase_etag", "false"): [(200, None)] * 6,
    ("x_firebase_etag", "1"): [(400, None)] * 6,
    ("if_match", STANDING): [(400, None), (400, None), (200, WRITTEN), (400, None), (400, None), (200, "null_etag")],
    ("if_match", "stale="): [(400, None), (400, None), (412, STANDING), (400, None), (400, None), (412, STANDING)],
    ("if_match", "null_etag"): [(400, None), (400, None), (412, STANDING), (400, None), (400, None), (412, STANDING)],
    ("if_match", "*"): [(400, None)] * 6,
    ("if_none_match", STANDING): [(304, STANDING), (304, STANDING), *[(400, None)] * 4],
    ("if_none_match", "stale="): [(200, STANDING), (200, STANDING), *[(400, None)] * 4],
}  # fmt: skip
"""The table of conditional requests that Firebase documents, and what it leaves open."""


@pytest.mark.parametrize("silently", [False, True])
@pytest.mark.parametrize(("condition", "method"), [(condition, method) for condition in CONDITIONS for method in METHODS])
def test_a_condition_does_with_each_method_what_is_documented(condition: tuple[str, str], method: str, silently: bool) -> None:
    status, etag = CONDITIONS[condition][METHODS.index(method)]

    async def test(served: Served) -> None:
        peer, (header, value) = await served.connect(), condition
        await peer.ask("PUT", "/a.json?print=silent", json.dumps(STANDS))
        target = f"/a.json{'?print=silent' if silently else ''}"
        answered, headers, body = await peer.ask(method, target, BODIES.get(method), **{header: value})
        assert (answered, headers.get("etag")) == (204 if silently and status == 200 else status, etag)
        if status == 412:
            assert body == PLAIN[0], "what stands there, so that the client can go on from it"
        if status not in (200, 304):
            assert (await peer.ask("GET", "/a.json?format=export"))[2] == EXPORTED[0]

    serve(test)


@pytest.mark.parametrize("query", ["shallow=true", "format=export", "callback=show", "timeout=0s", "print=loud", "dryRun=true"])
def test_what_a_stream_could_not_observe_is_refused(query: str) -> None:
    async def test(served: Served) -> None:
        peer = await served.connect()
        status, headers, body = await peer.ask("GET", f"/a.json?{query}", accept="text/event-stream")
        assert (status, headers["content-type"]) == (400, "application/json; charset=utf-8")
        assert json.loads(body)["error"]

    serve(test)


@pytest.mark.parametrize("query", ["print=pretty", "print=silent", "shallow=false", "download=a.json", "ac=x", "timeout=10s"])
def test_what_says_nothing_of_events_leaves_a_stream_as_it_is(query: str) -> None:
    async def test(served: Served) -> None:
        peer = await served.connect()
        await peer.ask("PUT", "/a.json?print=silent", json.dumps(STANDS))
        assert (await peer.ask("GET", f"/a.json?{query}", accept="text/event-stream"))[0] == 200
        assert await peer.line() == b"event: put"
        assert await peer.line() == b'data: {"path":"/","data":' + PLAIN[0] + b"}"

    serve(test)
