"""Two databases on one worker: while one moves tens of megabytes, the other is answered again and again."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from http.client import HTTPConnection

import pytest

from tests.harness import Server
from tests.server.sockets import Socket

BODY = json.dumps(
    {
        f"g{group}": {f"r{record}": {"name": f"{group}/{record}", "text": "x" * 80} for record in range(900)}
        for group in range(300)
    }
).encode()
assert 30e6 < len(BODY) < 40e6

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
        assert len(large.answer_to(large.send("g", {"p": "/big", "q": {}}))["d"]) == 300
        assert [len(push["b"]["d"]) for push in large.pushes if "a" in push] == [300]
        assert [push["b"]["s"] for push in large.pushes if push.get("r") == listen] == ["ok"]
        large.close()

    assert answers_during(server, listen) > READ_ANSWERS_MIN
