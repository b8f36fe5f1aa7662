"""Plain HTTP against a running server: each feature of the REST interface."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.harness import Response, Server, fresh_name

pytestmark = pytest.mark.slow


@pytest.fixture
def ns() -> str:
    return fresh_name("rest")


class Stream:
    """A server-sent event stream, read event by event."""

    def __init__(self, server: Server, path: str, ns: str) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
        self._connection.request("GET", f"{path}.json?ns={ns}", headers={"Accept": "text/event-stream"})
        self.answer = self._connection.getresponse()

    def event(self) -> tuple[str, Any]:
        """The next event: its name and its data."""
        lines = []
        while line := self.answer.readline().decode().rstrip("\n"):
            lines.append(line)
        fields = dict(line.split(": ", 1) for line in lines)
        return fields["event"], json.loads(fields["data"])

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, *error: object) -> None:
        self._connection.close()


# Reading and writing


def test_put_then_get(server: Server, ns: str) -> None:
    answer = server.rest("PUT", "/a/b", {"x": 1, "y": [True, "z"]}, ns=ns)
    assert (answer.status, answer.json()) == (200, {"x": 1, "y": [True, "z"]})
    assert answer.headers["Content-Type"].startswith("application/json")
    assert server.read("/a", ns=ns) == {"b": {"x": 1, "y": [True, "z"]}}
    assert server.read("/a/b/y/1", ns=ns) == "z"


def test_get_of_nothing_is_null(server: Server, ns: str) -> None:
    answer = server.rest("GET", "/nothing/here", ns=ns)
    assert (answer.status, answer.body) == (200, b"null")


def test_put_answers_with_server_values_resolved(server: Server, ns: str) -> None:
    before = time.time() * 1000
    answer = server.rest("PUT", "/a", {"at": {".sv": "timestamp"}, "n": {".sv": {"increment": 2}}}, ns=ns)
    value = answer.json()
    assert value["n"] == 2
    assert before - 5 <= value["at"] <= time.time() * 1000 + 5
    assert server.read("/a", ns=ns) == value


def test_patch_replaces_named_children_and_takes_paths(server: Server, ns: str) -> None:
    server.write("/a", {"keep": 1, "old": {"x": 1, "y": 2}, "gone": True}, ns=ns)
    answer = server.rest("PATCH", "/a", {"old/x": 9, "gone": None, "new": {"z": 3}}, ns=ns)
    assert answer.status == 200
    assert server.read("/a", ns=ns) == {"keep": 1, "old": {"x": 9, "y": 2}, "new": {"z": 3}}


def test_a_patch_with_one_bad_path_changes_nothing(server: Server, ns: str) -> None:
    server.write("/a", {"x": 1}, ns=ns)
    for patch in ({"x": 2, "bad.key": 1}, {"x": 2, "x/y": 1}, {"x": 2, "": 1}, {"x": 2, "y": {"#": 1}}):
        answer = server.rest("PATCH", "/a", patch, ns=ns)
        assert answer.status == 400, patch
        assert server.read("/a", ns=ns) == {"x": 1}, patch


def test_post_adds_under_a_new_key_that_sorts_last(server: Server, ns: str) -> None:
    names = [server.rest("POST", "/list", n, ns=ns).json()["name"] for n in range(10)]
    assert sorted(names) == names
    assert server.read("/list", ns=ns) == {name: n for n, name in enumerate(names)}
    assert {len(name) for name in names} == {20}


def test_delete_answers_null_there_or_not(server: Server, ns: str) -> None:
    server.write("/a", 1, ns=ns)
    for _ in range(2):
        answer = server.rest("DELETE", "/a", ns=ns)
        assert (answer.status, answer.body) == (200, b"null")
    assert server.read("/", ns=ns) is None


def test_put_null_removes_and_empty_parents_vanish(server: Server, ns: str) -> None:
    server.write("/a/b/c", 1, ns=ns)
    assert server.rest("PUT", "/a/b/c", raw=b"null", ns=ns).body == b"null"
    assert server.read("/", ns=ns) is None


def test_the_root_may_be_written_whole(server: Server, ns: str) -> None:
    server.write("/", {"a": 1}, ns=ns)
    server.write("/", {"b": 2}, ns=ns)
    assert server.read("/", ns=ns) == {"b": 2}


def test_method_override_on_post(server: Server, ns: str) -> None:
    answer = server.rest("POST", "/a", {"x": 1}, ns=ns, headers={"X-HTTP-Method-Override": "PUT"})
    assert (answer.status, answer.json()) == (200, {"x": 1})
    answer = server.rest("POST", "/a", {"y": 2}, ns=ns, query="x-http-method-override=PATCH")
    assert answer.status == 200
    assert server.read("/a", ns=ns) == {"x": 1, "y": 2}
    server.rest("POST", "/a", ns=ns, headers={"X-HTTP-Method-Override": "DELETE"})
    assert server.read("/a", ns=ns) is None


# Forms of answers


def test_print_silent_answers_204_without_a_body(server: Server, ns: str) -> None:
    for method, body in (("PUT", {"x": 1}), ("PATCH", {"y": 1}), ("POST", 1), ("GET", None), ("DELETE", None)):
        answer = server.rest(method, "/a", body, ns=ns, query="print=silent")
        assert (answer.status, answer.body) == (204, b""), method


def test_print_pretty_is_for_people(server: Server, ns: str) -> None:
    server.write("/a", {"x": {"y": 1}}, ns=ns)
    body = server.rest("GET", "/a", ns=ns, query="print=pretty").body.decode()
    assert json.loads(body) == {"x": {"y": 1}}
    assert len(body.strip().split("\n")) > 2


def test_shallow_shows_keys_only(server: Server, ns: str) -> None:
    server.write("/a", {"branch": {"x": {"y": 1}}, "leaf": "text", "zero": 0}, ns=ns)
    assert server.rest("GET", "/a", ns=ns, query="shallow=true").json() == {"branch": True, "leaf": True, "zero": True}
    assert server.rest("GET", "/a/leaf", ns=ns, query="shallow=true").json() == "text"
    assert server.rest("GET", "/none", ns=ns, query="shallow=true").json() is None


def test_export_shows_priorities_and_plain_does_not(server: Server, ns: str) -> None:
    exported = {"leaf": {".value": 1, ".priority": 2}, "branch": {"x": 1, ".priority": "p"}}
    server.write("/a", exported, ns=ns)
    assert server.rest("GET", "/a", ns=ns, query="format=export").json() == exported
    assert server.read("/a", ns=ns) == {"leaf": 1, "branch": {"x": 1}}
    assert server.rest("GET", "/a/branch/.priority", ns=ns).json() == "p"
    assert server.rest("PUT", "/a/leaf/.priority", 5, ns=ns).status == 200
    assert server.rest("GET", "/a/leaf", ns=ns, query="format=export").json() == {".value": 1, ".priority": 5}


def test_arrays_come_back_as_arrays_and_exported_as_objects(server: Server, ns: str) -> None:
    server.write("/a", {"list": ["x", None, "z"], "sparse": {"0": 1, "9": 2}, "deep": [[1], [2]]}, ns=ns)
    assert server.read("/a", ns=ns) == {"list": ["x", None, "z"], "sparse": {"0": 1, "9": 2}, "deep": [[1], [2]]}
    exported = server.rest("GET", "/a/list", ns=ns, query="format=export").json()
    assert exported == {"0": "x", "2": "z"}


def test_numbers_print_as_they_came(server: Server, ns: str) -> None:
    for text in ("0", "1", "-1", "1.5", "0.1", "1e+21", "9007199254740991", "1e-07", "123456789012345680000", "5e-324"):
        server.rest("PUT", "/n", raw=text.encode(), ns=ns)
        assert float(server.rest("GET", "/n", ns=ns).body) == float(text), text
    server.rest("PUT", "/n", raw=b"2.0", ns=ns)
    assert server.rest("GET", "/n", ns=ns).body == b"2"


# ETags


def test_an_etag_guards_a_put(server: Server, ns: str) -> None:
    server.write("/a", 1, ns=ns)
    etag = server.rest("GET", "/a", ns=ns, headers={"X-Firebase-ETag": "true"}).headers["ETag"]
    assert etag
    won = server.rest("PUT", "/a", 2, ns=ns, headers={"if-match": etag})
    assert (won.status, won.json()) == (200, 2)
    lost = server.rest("PUT", "/a", 3, ns=ns, headers={"if-match": etag})
    assert (lost.status, lost.json()) == (412, 2)
    assert lost.headers["ETag"] == won.headers["ETag"] != etag
    assert server.read("/a", ns=ns) == 2


def test_an_etag_guards_a_delete_and_null_etag_means_absent(server: Server, ns: str) -> None:
    absent = server.rest("GET", "/a", ns=ns, headers={"X-Firebase-ETag": "true"}).headers["ETag"]
    assert absent == "null_etag"
    assert server.rest("PUT", "/a", "first", ns=ns, headers={"if-match": "null_etag"}).status == 200
    assert server.rest("PUT", "/a", "second", ns=ns, headers={"if-match": "null_etag"}).status == 412
    assert server.rest("DELETE", "/a", ns=ns, headers={"if-match": "null_etag"}).status == 412
    etag = server.rest("GET", "/a", ns=ns, headers={"X-Firebase-ETag": "true"}).headers["ETag"]
    assert server.rest("DELETE", "/a", ns=ns, headers={"if-match": etag}).status == 200
    assert server.read("/a", ns=ns) is None


def test_get_with_the_etag_it_has_is_304(server: Server, ns: str) -> None:
    server.write("/a", {"x": 1}, ns=ns)
    etag = server.rest("GET", "/a", ns=ns, headers={"X-Firebase-ETag": "true"}).headers["ETag"]
    assert server.rest("GET", "/a", ns=ns, headers={"if-none-match": etag}).status == 304
    server.write("/a/x", 2, ns=ns)
    assert server.rest("GET", "/a", ns=ns, headers={"if-none-match": etag}).json() == {"x": 2}


def test_a_guard_where_none_is_possible_is_refused(server: Server, ns: str) -> None:
    for method, body in (("PATCH", {"x": 1}), ("POST", 1)):
        assert server.rest(method, "/a", body, ns=ns, headers={"if-match": "null_etag"}).status == 400, method
    assert server.read("/", ns=ns) is None


# Refusals


@pytest.mark.parametrize("body", [b"{", b"nonsense", b"[1,]", b'{"a":1}x', b"\xff", b"NaN", b'{"a":NaN}', b"1e999", b"'x'"])
def test_what_is_not_json_is_400_with_the_documented_text(server: Server, ns: str, body: bytes) -> None:
    answer = server.rest("PUT", "/a", raw=body, ns=ns)
    assert answer.status == 400, answer
    assert "Invalid data; couldn't parse JSON object, array, or value." in answer.json()["error"]
    assert server.read("/", ns=ns) is None


def test_a_put_without_a_body_is_400(server: Server, ns: str) -> None:
    answer = server.rest("PUT", "/a", raw=b"", ns=ns)
    assert answer.status == 400
    assert answer.json()["error"]


@pytest.mark.parametrize("path", ["/a.b", "/a#b", "/a$b", "/a[b]", "/a\u0001b"])
def test_a_path_with_a_forbidden_letter_is_400(server: Server, ns: str, path: str) -> None:
    assert server.rest("GET", path, ns=ns).status == 400


@pytest.mark.parametrize(
    ("query", "selected"),
    [
        ('orderBy="$key"&limitToFirst=2', ["1", "10"]),
        ('orderBy="$key"&startAt="b"', ["b", "c"]),
        ('orderBy="$priority"&limitToLast=1', ["a"]),
        ('orderBy="$priority"&startAt=1', ["a"]),
    ],
)
def test_a_query_selects_children(server: Server, ns: str, query: str, selected: list[str]) -> None:
    server.write("/a", {"1": 1, "10": 2, "a": {".value": 3, ".priority": 5}, "b": 4, "c": 5}, ns=ns)
    answer = server.rest("GET", "/a", ns=ns, query=query.replace('"', "%22"))
    assert (answer.status, sorted(answer.json())) == (200, selected)


PEOPLE = {
    "ada": {"age": 36, "at": {"town": "Paris", "n": 1}},
    "bob": {"age": 41, "at": {"town": "Oslo"}},
    "cy": {"age": 36, "at": {"n": 2}},
    "7": "no person",
}
NUMBERS = {"a": 3, "b": "x", "c": True, "d": 1.5, "e": {"deep": 1}, "f": False}
ARRAY = [{"n": 3}, {"n": 1}, {"n": 2}, None, {"n": 0}]


@pytest.mark.parametrize(
    ("path", "query", "selected"),
    [
        ("/people", 'orderBy="age"&equalTo=36', ["ada", "cy"]),
        ("/people", 'orderBy="age"&equalTo=36,"cy"', ["cy"]),
        ("/people", 'orderBy="age"&startAfter=36', ["bob"]),
        ("/people", 'orderBy="age"&startAfter=36,"ada"&endAt=41', ["bob", "cy"]),
        ("/people", 'orderBy="age"&limitToFirst=1', ["7"]),
        ("/people", 'orderBy="age"&equalTo=null', ["7"]),
        ("/people", 'orderBy="at/town"&startAt="P"', ["ada"]),
        ("/people", 'orderBy="at/town"&endBefore="P"&startAt="A"', ["bob"]),
        ("/people", 'orderBy="at/town"&limitToLast=2', ["ada", "bob"]),
        ("/people", 'orderBy="at/n"&startAt=1&limitToLast=1', ["cy"]),
        ("/numbers", 'orderBy="$value"&equalTo=true', ["c"]),
        ("/numbers", 'orderBy="$value"&startAt=0&endAt=2', ["d"]),
        ("/numbers", 'orderBy="$value"&startAt=0&endBefore=3', ["d"]),
        ("/numbers", 'orderBy="$value"&startAfter=1.5&endAt="x"', ["a", "b"]),
        ("/numbers", 'orderBy="$value"&limitToFirst=2', ["c", "f"]),
        ("/numbers", 'orderBy="$value"&limitToLast=1', ["e"]),
        ("/array", 'orderBy="n"&startAt=1&endAt=2', ["1", "2"]),
        ("/array", 'orderBy="n"&limitToFirst=1', ["4"]),
        ("/array", 'orderBy="$key"&startAt="1"&endAt="2"', ["1", "2"]),
        ("/words", 'orderBy="$value"&equalTo="b"', ["1"]),
        ("/people/ada/age", 'orderBy="$key"&limitToFirst=1', []),
        ("/nothing", 'orderBy="$key"&limitToFirst=1', []),
    ],
)
@pytest.mark.parametrize("shown", ["", "&print=pretty", "&format=export", "&callback=f", "&download=x.json"])
def test_a_query_by_a_declared_index_selects_children_however_it_is_shown(
    indexed: str, server: Server, path: str, query: str, selected: list[str], shown: str
) -> None:
    answer = server.rest("GET", path, ns=indexed, query=query.replace('"', "%22") + shown)
    text = answer.body.decode()
    if shown == "&callback=f":
        assert text.startswith("/**/f("), text
        text = text.removeprefix("/**/f(").removesuffix(");")
    value = json.loads(text)
    if isinstance(value, list):  # As an array where the keys say so.
        value = {str(key): child for key, child in enumerate(value) if child is not None}
    assert (answer.status, sorted(value or {})) == (200, selected)


@pytest.fixture(scope="module")
def indexed(server: Server) -> str:
    """A database with what is queried, and its indexes declared."""
    ns = fresh_name("indexed")
    value = {"people": PEOPLE, "numbers": NUMBERS, "array": ARRAY, "words": ["a", "b", "c"]}
    server.write("/", value, ns=ns)
    places = {
        "people": {".indexOn": ["age", "at/town", "at/n"]},
        "numbers": {".indexOn": ".value"},
        "array": {".indexOn": ["n"]},
        "words": {".indexOn": [".value"]},
    }
    assert server.rest("PUT", "/.settings/rules", {"rules": {".read": True, **places}}, ns=ns).status == 200
    return ns


@pytest.mark.parametrize(
    ("query", "selected"),
    [
        ("limitToFirst=2", ["1", "10"]),
        ("limitToLast=1", ["c"]),
        ('startAfter="10"&limitToFirst=1', ["a"]),
        ('startAt="b"&endAt="b"', ["b"]),
        ('endBefore="10"', ["1"]),
        ("limitToFirst=100", ["1", "10", "a", "b", "c"]),
    ],
)
@pytest.mark.parametrize("order", ["", 'orderBy="$key"&'])
def test_shallow_shows_the_keys_that_a_range_or_a_limit_selects(
    server: Server, ns: str, query: str, selected: list[str], order: str
) -> None:
    server.write("/a", {"1": 1, "10": {"deep": 1}, "a": 3, "b": [4], "c": 5}, ns=ns)
    answer = server.rest("GET", "/a", ns=ns, query=("shallow=true&" + order + query).replace('"', "%22"))
    assert (answer.status, answer.json()) == (200, dict.fromkeys(selected, True))


@pytest.mark.parametrize("query", ['orderBy="x"&equalTo=1', 'orderBy="$value"', "limitToLast=2", "startAt=1", "orderBy=x"])
def test_a_query_without_an_order_or_its_index_is_refused(server: Server, ns: str, query: str) -> None:
    server.write("/a", {"x": 1, "y": 2}, ns=ns)
    answer = server.rest("GET", "/a", ns=ns, query=query.replace('"', "%22"))
    assert answer.status == 400
    assert "orderBy must be" in answer.json()["error"] or "Index not defined, add" in answer.json()["error"]


def test_an_unknown_method_is_refused(server: Server, ns: str) -> None:
    assert server.rest("PROPFIND", "/a", ns=ns).status in (400, 405, 501)


def test_rules_are_set_and_in_force_at_once(server: Server, ns: str) -> None:
    server.write("/a", 1, ns=ns)
    rules = {"rules": {"a": {".read": True, ".write": "newData.isNumber()"}}}
    answer = server.rest("PUT", "/.settings/rules", rules, ns=ns)
    assert (answer.status, answer.json()) == (200, {"status": "ok"})
    assert server.rest("GET", "/.settings/rules", ns=ns).json() == rules
    assert server.rest("GET", "/a", ns=ns, admin=False).json() == 1
    assert server.rest("GET", "/", ns=ns, admin=False).status == 401
    assert server.rest("PUT", "/a", 2, ns=ns, admin=False).status == 200
    assert server.rest("PUT", "/a", "x", ns=ns, admin=False).status == 401
    answer = server.rest("PUT", "/.settings/rules", {"rules": {".read": "nobody"}}, ns=ns)
    assert (answer.status, answer.json()) == (400, {"error": "1:22: Unknown variable 'nobody'.\n"})


# Browsers


def test_cross_origin_requests_are_allowed(server: Server, ns: str) -> None:
    headers = {
        "Origin": "http://app.example",
        "Access-Control-Request-Method": "PUT",
        "Access-Control-Request-Headers": "content-type,x-firebase-etag,if-match",
    }
    answer = server.rest("OPTIONS", "/a", ns=ns, headers=headers, admin=False)
    assert answer.status in (200, 204)
    assert answer.headers["Access-Control-Allow-Origin"] in ("http://app.example", "*")
    assert "PUT" in answer.headers["Access-Control-Allow-Methods"]
    for name in ("content-type", "x-firebase-etag", "if-match", "authorization"):
        assert name in answer.headers["Access-Control-Allow-Headers"].lower(), name
    answer = server.rest("GET", "/a", ns=ns, headers={"Origin": "http://app.example"})
    assert answer.headers["Access-Control-Allow-Origin"] in ("http://app.example", "*")
    assert "etag" in answer.headers["Access-Control-Expose-Headers"].lower()


# Event streams


def test_a_stream_tells_the_state_and_then_each_change(server: Server, ns: str) -> None:
    server.write("/room", {"a": 1, "list": [1, 2]}, ns=ns)
    with Stream(server, "/room", ns) as stream:
        assert stream.answer.status == 200
        assert stream.answer.headers["Content-Type"].startswith("text/event-stream")
        assert stream.event() == ("put", {"path": "/", "data": {"a": 1, "list": [1, 2]}})
        server.write("/room/b/c", {"deep": True}, ns=ns)
        assert stream.event() == ("put", {"path": "/b/c", "data": {"deep": True}})
        server.rest("PATCH", "/room", {"a": None, "x/y": 2}, ns=ns)
        assert stream.event() == ("patch", {"path": "/", "data": {"a": None, "x/y": 2}})
        server.write("/elsewhere", 1, ns=ns)
        server.write("/room/b", None, ns=ns)
        assert stream.event() == ("put", {"path": "/b", "data": None})
        server.write("/", {"room": "leaf"}, ns=ns)
        assert stream.event() == ("put", {"path": "/", "data": "leaf"})
        server.write("/", None, ns=ns)
        assert stream.event() == ("put", {"path": "/", "data": None})


def test_a_stream_on_nothing_begins_with_null(server: Server, ns: str) -> None:
    with Stream(server, "/none", ns) as stream:
        assert stream.event() == ("put", {"path": "/", "data": None})


def test_a_hundred_streams_hear_the_same(server: Server, ns: str) -> None:
    with contextlib.ExitStack() as stack:
        streams = [stack.enter_context(Stream(server, "/room", ns)) for _ in range(100)]
        for stream in streams:
            assert stream.event() == ("put", {"path": "/", "data": None})
        server.write("/room", "news", ns=ns)
        for stream in streams:
            assert stream.event() == ("put", {"path": "/", "data": "news"})


# Connections


def test_one_connection_serves_many_requests_and_databases(server: Server) -> None:
    """Databases of both workers: the connection moves to whoever owns the one asked for."""
    names = [fresh_name("rest") for _ in range(6)]
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    with contextlib.closing(connection):
        for round_number in range(3):
            for name in names:
                connection.request("PUT", f"/n.json?ns={name}", body=str(round_number))
                assert connection.getresponse().read() == str(round_number).encode()
                connection.request("GET", f"/.json?ns={name}")
                assert json.loads(connection.getresponse().read()) == {"n": round_number}


def test_pipelined_requests_are_answered_in_order(server: Server, ns: str) -> None:
    server.write("/a", {"x": 1, "y": 2, "z": 3}, ns=ns)
    request = "".join(f"GET /a/{key}.json?ns={ns} HTTP/1.1\r\nHost: localhost\r\n\r\n" for key in "xyz")
    with socket.create_connection(("127.0.0.1", server.port), timeout=60) as connection:
        connection.sendall(request.encode())
        said = b""
        while said.count(b"HTTP/1.1 200") < 3 or not said.rstrip().endswith(b"3"):
            piece = connection.recv(4096)
            assert piece, said
            said += piece
    bodies = [part.rpartition(b"\r\n\r\n")[2] for part in said.split(b"HTTP/1.1 200")[1:]]
    assert [body.strip() for body in bodies] == [b"1", b"2", b"3"]


def test_a_chunked_body_and_a_body_that_comes_slowly(server: Server, ns: str) -> None:
    def pieces() -> Iterator[bytes]:
        for piece in (b'{"a"', b":[1,", b'"x"]', b"}"):
            time.sleep(0.02)  # So that the pieces arrive as such.
            yield piece

    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    with contextlib.closing(connection):
        connection.request(
            "PUT", f"/a.json?ns={ns}", body=pieces(), encode_chunked=True, headers={"Transfer-Encoding": "chunked"}
        )
        answer = connection.getresponse()
        assert (answer.status, json.loads(answer.read())) == (200, {"a": [1, "x"]})


def test_garbage_gets_an_error_or_a_close_and_the_server_lives(server: Server, ns: str) -> None:
    for garbage in (b"\x00\x01\x02\r\n\r\n", b"GET\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"\x16\x03\x01\x02\x00" * 20):
        with socket.create_connection(("127.0.0.1", server.port), timeout=60) as connection:
            connection.sendall(garbage)
            with contextlib.suppress(ConnectionResetError):
                said = connection.recv(4096)
                assert said == b"" or said.startswith(b"HTTP/1.1 4") or said.startswith(b"HTTP/1.1 5"), said
    assert server.read("/", ns=ns) is None


def test_writes_of_many_connections_at_once_all_arrive(server: Server, ns: str) -> None:
    answers: list[Response] = []

    def write(first: int) -> None:
        for index in range(first, first + 25):
            answers.append(server.rest("PUT", f"/k{index}", index, ns=ns))

    threads = [threading.Thread(target=write, args=(first,)) for first in range(0, 200, 25)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert {answer.status for answer in answers} == {200}
    assert server.read("/", ns=ns) == {f"k{index}": index for index in range(200)}


def test_the_name_may_come_from_the_first_host_label(server: Server) -> None:
    name = fresh_name("host")
    server.write("/a", 1, ns=name)
    answer = server.rest("GET", "/a", headers={"Host": f"{name}.example.test:{server.port}"})
    assert (answer.status, answer.json()) == (200, 1)


def test_databases_are_apart(server: Server) -> None:
    one, two = fresh_name("apart"), fresh_name("apart")
    server.write("/x", 1, ns=one)
    assert server.read("/", ns=two) is None
    assert server.read("/", ns=one) == {"x": 1}
