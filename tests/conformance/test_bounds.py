"""What one client does wrong or too much of harms nobody else: by hand on the wire, since no SDK would."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.crash.realtime import Gone, Realtime
from tests.harness import Server, eventually, fresh_name

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("bounds")) as running:
        yield running
        running.stop()


@pytest.fixture
def ns() -> str:
    return fresh_name("bounds")


def memory_bytes(pid: int) -> int:
    """Resident memory of a process."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * 4096


def test_a_message_beyond_the_limit_is_refused_and_the_connection_goes_on(server: Server, ns: str) -> None:
    with Realtime(server.port, ns) as client:
        client.ask("p", {"p": "/kept", "d": 1})
        answer = client.ask("p", {"p": "/kept", "d": {f"k{i}": "x" * 1_000_000 for i in range(18)}})
        assert answer["s"] == "too_big"
        assert "limit" in answer["d"]
        assert client.ask("g", {"p": "/", "q": {}}) == {"s": "ok", "d": {"kept": 1}}


def test_a_string_beyond_the_limit_is_refused_and_the_connection_goes_on(server: Server, ns: str) -> None:
    with Realtime(server.port, ns) as client:
        answer = client.ask("p", {"p": "/long", "d": "x" * (10 * 2**20 + 1)})
        assert answer["s"] != "ok"
        assert isinstance(answer["d"], str)
        assert client.ask("p", {"p": "/short", "d": 1})["s"] == "ok"


@pytest.mark.parametrize(
    ("action", "body"),
    [
        ("p", {"p": "/a.b", "d": 1}),
        ("p", {"p": "/a", "d": {"x/y": 1}}),
        ("p", {"p": "/a", "d": {".sv": "nonsense"}}),
        ("p", {"p": "/a"}),
        ("p", {"d": 1}),
        ("p", {"p": 5, "d": 1}),
        ("p", {"p": "/" + "/".join("d" * 40), "d": 1}),
        ("p", {"p": "/.info/connected", "d": 1}),
        ("m", {"p": "/a", "d": 1}),
        ("m", {"p": "/a", "d": {"x": 1, "x/y": 2}}),
        ("m", {"p": "/a", "d": {"": 1}}),
        ("q", {"p": "/a", "q": {"l": -2, "vf": "l"}, "t": 1, "h": ""}),
        ("g", {"p": "/a", "q": {"l": -2, "vf": "l"}}),
        ("o", {"p": "/a", "d": {"#": 1}}),
        ("nonsense", {}),
    ],
)
def test_a_request_that_makes_no_sense_is_refused_and_the_connection_goes_on(
    server: Server, ns: str, action: str, body: dict[str, Any]
) -> None:
    with Realtime(server.port, ns) as client:
        answer = client.ask(action, body)
        assert answer["s"] != "ok"
        assert isinstance(answer["d"], str)
        assert len(answer["d"]) > 5
        assert client.ask("g", {"p": "/", "q": {}}) == {"s": "ok", "d": None}


@pytest.mark.parametrize(
    "text", ["nonsense", "{", "[]", "{}", '{"t":"d"}', '{"t":"x","d":{}}', "99999999", "-1", "null", '"x"', "[" * 5000]
)
def test_a_message_that_is_none_harms_only_its_own_connection(server: Server, ns: str, text: str) -> None:
    with Realtime(server.port, ns) as other, Realtime(server.port, ns) as odd:
        with contextlib.suppress(Gone, TimeoutError):
            odd._socket.send(text)
            odd.timeout = 0.3
            odd.ask("s", {"c": {}})
        assert other.ask("p", {"p": "/x", "d": 1})["s"] == "ok"


def test_a_client_that_takes_nothing_is_closed_and_the_others_do_not_notice(server: Server, ns: str) -> None:
    """Each request of the others is answered within its own timeout, and the worker keeps no more than an outbox may hold."""
    piece = {f"k{i}": "x" * 10_000 for i in range(200)}
    lazy = Realtime(server.port, ns)
    lazy._socket.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    before = memory_bytes(server.worker_pids()[0])
    with Realtime(server.port, ns) as writer, Realtime(server.port, ns) as reader:
        reader.ask("q", {"p": "/large", "h": ""})
        lazy.send("q", {"p": "/large", "h": ""})
        # The library and the kernel take some megabytes before the lazy client stops taking.
        for number in range(60):
            assert writer.ask("p", {"p": "/large", "d": piece | {"n": number}})["s"] == "ok"
            while reader.push()["b"]["d"]["n"] != number:
                pass
        eventually(lambda: "slow client" in server.output(), what="the lazy client closed, and a line in the log that says why")
        grown = memory_bytes(server.worker_pids()[0]) - before
        assert grown < 90 * 2**20, f"the worker grew by {grown >> 20} MB: 120 MB were sent to a client that takes nothing"
    lazy.vanish()


def test_three_hundred_connections_at_once_are_all_served(server: Server, ns: str) -> None:
    clients: list[Realtime] = []
    failures: list[Exception] = []

    def connect_many() -> None:
        for _ in range(50):
            try:
                clients.append(Realtime(server.port, ns))
            except Gone as error:
                failures.append(error)

    threads = [threading.Thread(target=connect_many) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    try:
        assert failures == []
        for client in clients:
            client.send("q", {"p": "/news", "h": ""})
        for client in clients:
            while client.receive() is None:
                pass
        assert clients[0].ask("p", {"p": "/news", "d": "all"})["s"] == "ok"
        for client in clients:
            assert client.push()["b"] == {"p": "news", "d": "all"}
    finally:
        for client in clients:
            client.vanish()


def test_an_upgrade_without_its_headers_and_other_half_handshakes_are_answered_or_closed(server: Server, ns: str) -> None:
    for request in (
        f"GET /.ws?v=5&ns={ns} HTTP/1.1\r\nHost: localhost\r\n\r\n",
        f"GET /.ws?v=5&ns={ns} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
        f"POST /.ws?v=5&ns={ns} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        "GET /.ws?v=5&ns=../x HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
    ):
        with socket.create_connection(("127.0.0.1", server.port), timeout=60) as connection:
            connection.sendall(request.encode())
            said = connection.recv(4096)
            assert said == b"" or said.startswith(b"HTTP/1.1 "), said
    with Realtime(server.port, ns) as client:
        assert client.ask("g", {"p": "/", "q": {}})["s"] == "ok"


def test_both_loopback_addresses_are_served(server: Server, ns: str) -> None:
    for address in ("127.0.0.1", "::1"):
        with socket.create_connection((address, server.port), timeout=60) as connection:
            connection.sendall(f"GET /.json?ns={ns} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
            said = b""
            while piece := connection.recv(4096):
                said += piece
            assert said.startswith(b"HTTP/1.1 200"), address
            assert said.endswith(b"null"), address
