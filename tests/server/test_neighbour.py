"""Two databases on one worker: while one moves tens of megabytes, the other is answered again and again."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from http.client import HTTPConnection
from typing import Any

import pytest

from tests.harness import Server
from tests.server.following import EventReader
from tests.server.sockets import Socket

GROUPS = 470
BODY = json.dumps(
    {
        f"g{group}": {f"r{record}": {"name": f"{group}/{record}", "text": "x" * 80} for record in range(900)}
        for group in range(GROUPS)
    }
).encode()
assert 50e6 < len(BODY) < 55e6

ANSWERS_MIN = 600
"""While a large write goes on: there are thousands of slices, and about one answer for each. Done in one step, the same work let
two hundred through, all of them while the bytes came in."""
READ_ANSWERS_MIN = 150
"""While it is listened to and got, which takes a fraction of that: packed values leave as they are."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("data"), workers=1) as server:
        yield server


def request(server: Server, method: str, body: bytes | None = None) -> bytes:
    connection = HTTPConnection("127.0.0.1", server.port, timeout=60)
    connection.request(method, f"/big.json?ns=large{'' if method == 'GET' else '&print=silent'}", body)
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    assert answer.status in (200, 204), content[:200]
    return content


def answers_during(server: Server, work: Callable[[], object]) -> int:
    """How many pings a client of another database has answered while `work` is done."""
    small = Socket(server.port, "small")
    thread = threading.Thread(target=work)
    thread.start()
    count = 0
    while thread.is_alive():
        assert small.ask("g", {"p": "/", "q": {}})["s"] == "ok"
        count += 1
    thread.join()
    small.close()
    return count


@pytest.mark.slow
def test_a_neighbour_is_answered_while_a_large_tree_is_written_read_and_removed(server: Server) -> None:
    read: list[bytes] = []
    assert answers_during(server, lambda: request(server, "PUT", BODY)) > ANSWERS_MIN
    answers_during(server, lambda: read.append(request(server, "GET")))
    assert json.loads(read[0]) == json.loads(BODY)
    assert answers_during(server, lambda: request(server, "PUT", BODY)) > ANSWERS_MIN
    answers_during(server, lambda: request(server, "DELETE"))
    assert request(server, "GET") == b"null"


@pytest.mark.slow
def test_a_neighbour_is_answered_while_a_client_listens_to_a_large_tree_and_gets_it(server: Server) -> None:
    request(server, "PUT", BODY)

    def listen() -> None:
        large = Socket(server.port, "large")
        listen = large.send("q", {"p": "/big", "h": ""})
        assert len(large.answer_to(large.send("g", {"p": "/big", "q": {}}))["d"]) == GROUPS
        assert [len(push["b"]["d"]) for push in large.pushes if "a" in push] == [GROUPS]
        assert [push["b"]["s"] for push in large.pushes if push.get("r") == listen] == ["ok"]
        large.close()

    assert answers_during(server, listen) > READ_ANSWERS_MIN


@pytest.mark.slow
def test_a_neighbour_is_answered_while_a_large_tree_is_streamed_changed_and_removed(server: Server) -> None:
    value = json.loads(BODY)
    request(server, "PUT", BODY)
    events: list[tuple[str, Any]] = []
    streams: list[EventReader] = []

    def begin() -> None:
        streams.append(EventReader(server.port, "large", "/big"))
        events.append(streams[0].event())

    def change() -> None:
        request(server, "PUT", BODY)
        events.append(streams[0].event())

    def remove() -> None:
        request(server, "DELETE")
        events.append(streams[0].event())

    begun = answers_during(server, begin)
    changed = answers_during(server, change)
    answers_during(server, remove)
    streams[0].close()
    assert events == [("put", {"path": "/", "data": data}) for data in (value, value, None)]
    assert begun > READ_ANSWERS_MIN
    assert changed > ANSWERS_MIN


@pytest.mark.slow
def test_a_neighbour_is_answered_while_a_large_value_is_written_over_a_socket(server: Server) -> None:
    """As large as a message may be."""
    value = {f"k{number}": {"n": number, "text": "x" * 100} for number in range(110_000)}
    assert 14e6 < len(json.dumps(value)) < 16.25 * 2**20

    def write() -> None:
        large = Socket(server.port, "large")
        assert large.ask("p", {"p": "/sent", "d": value})["s"] == "ok"
        large.close()

    assert answers_during(server, write) > ANSWERS_MIN / 4
    assert server.rest("GET", "/sent/k109999", ns="large").json() == {"n": 109999, "text": "x" * 100}
    server.write("/sent", None, ns="large")


@pytest.mark.slow
def test_a_neighbour_is_answered_while_many_children_are_queried(server: Server) -> None:
    """200,000 of them, listened to and got, over a socket, by REST and by a stream; by child, with an index, and by key."""
    children = json.dumps({f"k{number:06}": {"n": number} for number in range(200_000)}).encode()
    server.rest("PUT", "/many", raw=children, ns="large", query="print=silent")
    query = "orderBy=%22$key%22&limitToLast=2"
    last = {"k199998": {"n": 199998}, "k199999": {"n": 199999}}
    assert server.rest("GET", "/many", ns="large", query=query).json() == last
    stream = EventReader(server.port, "large", "/many", query)
    large = Socket(server.port, "large")

    def listen() -> None:
        listened = large.ask("q", {"p": "/many", "h": "", "t": 1, "q": {"i": "n", "l": 2, "vf": "r"}})
        assert listened == {"s": "ok", "d": {"w": ["no_index"]}}

    assert answers_during(server, listen) > ANSWERS_MIN / 10
    assert large.ask("g", {"p": "/many", "q": {"i": ".key", "l": 2, "vf": "r"}}) == {"s": "ok", "d": last}
    server.write("/many/k199999/n", 200000, ns="large")
    server.write("/many/k200000", {"n": 1}, ns="large")
    assert [stream.event() for _ in range(3)] == [
        ("put", {"path": "/", "data": last}),
        ("put", {"path": "/k199999/n", "data": 200000}),
        ("patch", {"path": "/", "data": {"k199998": None, "k200000": {"n": 1}}}),
    ]
    stream.close()
    while len(large.pushes) < 2:
        large.pushes.append(large.receive()["d"])
    assert [push["b"]["d"] for push in large.pushes] == [last, 200000]
    answers_during(server, lambda: server.rest("PUT", "/many", raw=children, ns="large", query="print=silent"))
    assert large.receive()["d"]["b"] == {"p": "many", "d": last, "t": 1}
    large.close()


@pytest.mark.slow
def test_a_neighbour_is_answered_while_many_children_are_updated_at_once(server: Server) -> None:
    """Under a query whose index has to catch up with all of them."""
    children = json.dumps({f"k{number:06}": {"n": number} for number in range(200_000)}).encode()
    server.rest("PUT", "/updated", raw=children, ns="large", query="print=silent")
    large = Socket(server.port, "large")
    large.ask("q", {"p": "/updated", "h": "", "t": 1, "q": {"i": "n", "l": 1, "vf": "r"}})
    update = json.dumps({f"k{number * 7 % 200_000:06}/n": 500_000 + number for number in range(20_000)}).encode()
    answered = answers_during(server, lambda: server.rest("PATCH", "/updated", raw=update, ns="large", query="print=silent"))
    assert answered > ANSWERS_MIN / 10
    large.pushes.append(large.receive()["d"])
    assert [push["b"]["d"] for push in large.pushes] == [{"k199999": {"n": 199999}}, {f"k{19_999 * 7:06}": {"n": 519_999}}]
    large.close()
