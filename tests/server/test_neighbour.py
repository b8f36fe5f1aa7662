"""Two databases on one worker: while one moves tens of megabytes, the other is answered again and again.

On a busy machine whoever asks is itself late and so asks seldom. Then it counts how long the longest answer took, in processor
time of the worker's loop.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import Any, NamedTuple

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
SHARE_MAX = 1 / 8
"""Of all that the worker did meanwhile, for one answer, where there were fewer. One step would be a third of it and more."""
SHORT_SECONDS = 0.05
"""The kernel counts in hundredths."""
ATTEMPTS = 3
"""Who asks may also be stopped with the question in its hands, and the worker in the midst of a step; but a long step is one each
time."""
TICKS = os.sysconf("SC_CLK_TCK")


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


class Watch(NamedTuple):
    answers: int
    """How many pings a client of another database had answered."""
    longest_seconds: float
    """Processor time of the worker's loop for one of them."""
    seconds: float
    """And for all, and the work."""

    def hardly_waited(self, least: int) -> bool:
        return self.answers > least or self.longest_seconds <= max(SHORT_SECONDS, SHARE_MAX * self.seconds)


def spent_seconds(server: Server) -> float:
    """Processor time of the worker's main thread, which is that of its loop."""
    [pid] = server.worker_pids()
    fields = Path(f"/proc/{pid}/task/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def watch(server: Server, work: Callable[[], object]) -> Watch:
    """What a client of another database sees while `work` is done."""
    small = Socket(server.port, "small")
    thread = threading.Thread(target=work)
    begun = spent_seconds(server)
    thread.start()
    count, longest = 0, 0.0
    while thread.is_alive():
        before = spent_seconds(server)
        assert small.ask("g", {"p": "/", "q": {}})["s"] == "ok"
        count, longest = count + 1, max(longest, spent_seconds(server) - before)
    thread.join()
    small.close()
    return Watch(count, longest, spent_seconds(server) - begun)


def check_answers(server: Server, work: Callable[[], object], least: float, attempts: int = ATTEMPTS) -> None:
    """That a client of another database hardly waits while `work` is done, at most so often; `least` answers are enough."""
    seen: list[Watch] = []
    while not seen or not seen[-1].hardly_waited(int(least)):
        assert len(seen) < attempts, seen
        seen.append(watch(server, work))


@pytest.mark.slow
def test_a_neighbour_is_answered_while_a_large_tree_is_written_read_and_removed(server: Server) -> None:
    read: list[bytes] = []
    check_answers(server, lambda: request(server, "PUT", BODY), ANSWERS_MIN)
    watch(server, lambda: read.append(request(server, "GET")))
    assert json.loads(read[0]) == json.loads(BODY)
    check_answers(server, lambda: request(server, "PUT", BODY), ANSWERS_MIN)
    watch(server, lambda: request(server, "DELETE"))
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

    check_answers(server, listen, READ_ANSWERS_MIN)


@pytest.mark.slow
def test_a_neighbour_is_answered_while_a_large_tree_is_streamed_changed_and_removed(server: Server) -> None:
    value = json.loads(BODY)
    request(server, "PUT", BODY)
    events: list[tuple[str, Any]] = []
    streams: list[EventReader] = []

    def begin() -> None:
        streams.append(EventReader(server.port, "large", "/big"))
        events.append(streams[-1].event())

    def change() -> None:
        request(server, "PUT", BODY)
        events.append(streams[-1].event())

    def remove() -> None:
        request(server, "DELETE")
        events.append(streams[-1].event())

    check_answers(server, begin, READ_ANSWERS_MIN)
    assert events[-1] == ("put", {"path": "/", "data": value})
    check_answers(server, change, ANSWERS_MIN)
    assert events[-1] == ("put", {"path": "/", "data": value})
    watch(server, remove)
    assert events[-1] == ("put", {"path": "/", "data": None})
    for stream in streams:
        stream.close()


@pytest.mark.slow
def test_a_neighbour_is_answered_while_a_large_value_is_written_over_a_socket(server: Server) -> None:
    """As large as a message may be."""
    value = {f"k{number}": {"n": number, "text": "x" * 100} for number in range(110_000)}
    assert 14e6 < len(json.dumps(value)) < 16.25 * 2**20

    def write() -> None:
        large = Socket(server.port, "large")
        assert large.ask("p", {"p": "/sent", "d": value})["s"] == "ok"
        large.close()

    check_answers(server, write, ANSWERS_MIN / 4)
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

    check_answers(server, listen, ANSWERS_MIN / 10, attempts=1)
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
    watch(server, lambda: server.rest("PUT", "/many", raw=children, ns="large", query="print=silent"))
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

    def write() -> None:
        server.rest("PATCH", "/updated", raw=update, ns="large", query="print=silent")

    check_answers(server, write, ANSWERS_MIN / 10, attempts=1)
    large.pushes.append(large.receive()["d"])
    assert [push["b"]["d"] for push in large.pushes] == [{"k199999": {"n": 199999}}, {f"k{19_999 * 7:06}": {"n": 519_999}}]
    large.close()
