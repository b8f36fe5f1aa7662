"""TLS with several workers: whichever worker accepts, every database is reached."""

from __future__ import annotations

import http.client
import json
import socket
import ssl
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from meadowlark.limits import HANDSHAKE_SECONDS
from meadowlark.server.routing import owner_of
from tests.conformance.certificates import make_certificate
from tests.harness import Server, eventually
from tests.server.sockets import SECONDS, Socket

WORKERS = 2
NAMES = [next(f"db{number}" for number in range(1000) if owner_of(f"db{number}", WORKERS) == owner) for owner in range(WORKERS)]


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return make_certificate(tmp_path_factory.mktemp("tls"), "localhost", "127.0.0.1", *(f"{name}.rooms.test" for name in NAMES))


@pytest.fixture(scope="module")
def server(certificate: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    arguments = ("--tls-certificate", str(certificate[0]), "--tls-key", str(certificate[1]))
    with Server(tmp_path_factory.mktemp("data"), workers=WORKERS, arguments=arguments) as server:
        yield server


@pytest.fixture
def context(certificate: tuple[Path, Path]) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(certificate[0]))


@pytest.mark.parametrize("name", NAMES)
def test_rest_reaches_every_database_by_its_parameter(server: Server, context: ssl.SSLContext, name: str) -> None:
    for attempt in range(4):
        connection = http.client.HTTPSConnection("127.0.0.1", server.port, context=context, timeout=SECONDS)
        value = {"attempt": attempt, "text": "é" * 100_000}
        connection.request("PUT", f"/a.json?ns={name}", body=json.dumps(value))
        answer = connection.getresponse()
        assert (answer.status, json.loads(answer.read())) == (200, value)
        connection.request("GET", f"/a/attempt.json?ns={name}")
        assert connection.getresponse().read() == str(attempt).encode()
        connection.close()


@pytest.mark.parametrize("name", NAMES)
def test_the_realtime_socket_reaches_every_database(server: Server, context: ssl.SSLContext, name: str) -> None:
    sockets = [Socket(server.port, name, context=context) for _ in range(4)]
    for number, each in enumerate(sockets):
        each.ask("q", {"p": "/x", "h": ""})
        assert each.ask("p", {"p": "/x", "d": [number, "é" * 50_000]})["s"] == "ok"
    seen = sockets[0].receive()
    assert seen["d"]["b"]["d"]["0"] == 1
    for each in sockets:
        each.close()


@pytest.mark.parametrize("name", NAMES)
def test_the_server_name_alone_names_the_database(server: Server, context: ssl.SSLContext, name: str) -> None:
    host = f"{name}.rooms.test"
    for _ in range(4):
        raw = socket.create_connection(("127.0.0.1", server.port), timeout=SECONDS)
        with context.wrap_socket(raw, server_hostname=host) as secured:
            secured.sendall(f"PUT /n.json HTTP/1.1\r\nHost: {host}\r\nContent-Length: 1\r\nConnection: close\r\n\r\n7".encode())
            answer = b"".join(iter(lambda: secured.recv(65536), b""))
        assert answer.startswith(b"HTTP/1.1 200"), answer
        assert answer.endswith(b"\r\n\r\n7")


def test_garbage_instead_of_a_greeting_ends_only_its_own_connection(server: Server, context: ssl.SSLContext) -> None:
    for junk in (b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x00\x05hello", b"\x00" * 100):
        with socket.create_connection(("127.0.0.1", server.port), timeout=SECONDS) as raw:
            raw.sendall(junk)
            raw.shutdown(socket.SHUT_WR)
            while raw.recv(4096):
                pass
    one = Socket(server.port, NAMES[0], context=context)
    assert one.ask("g", {"p": "/", "q": {}})["s"] == "ok"
    one.close()


def test_a_handshake_that_does_not_go_on_ends_in_time(server: Server) -> None:
    """The loop's own bound is a minute."""
    begun = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(100)
    stalled = [socket.create_connection(("127.0.0.1", server.port), timeout=HANDSHAKE_SECONDS + 30) for _ in range(4)]
    for each in stalled:
        each.sendall(begun)
    for each in stalled:
        assert each.recv(1) == b""
        each.close()


def test_clients_that_go_while_they_are_relayed_leave_nothing_open(server: Server, context: ssl.SSLContext) -> None:
    def descriptors() -> int:
        return sum(len(list(Path(f"/proc/{pid}/fd").iterdir())) for pid in server.worker_pids())

    before = descriptors()
    for number in range(60):
        raw = socket.create_connection(("127.0.0.1", server.port), timeout=SECONDS)
        secured = context.wrap_socket(raw, server_hostname="localhost")
        head = f"PUT /cut.json?ns={NAMES[number % 2]} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 400000\r\n\r\n"
        secured.sendall(head.encode() + b"x" * 200_000)
        secured.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        secured.close()
    eventually(lambda: descriptors() <= before, what="every descriptor closed again")
