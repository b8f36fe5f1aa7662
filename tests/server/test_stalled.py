"""Clients that read nothing for a while, over each transport, while volatile values are written: what waits for them is the last
of each path and all that lasts, in order, however much is said.

The sockets are real, and those of the clients small, so that the kernel's buffers are soon full. Over WebTransport:
tests/client/test_webtransport.py.
"""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from tests.harness import Server, eventually, fresh_name
from tests.server.polling import Polling
from tests.server.sockets import SECONDS, Socket
from tests.server.test_observability import metrics

RULES = {"rules": {".read": True, ".write": True, "room": {"v": {".volatile": True, ".indexOn": "n"}}}}
ROUNDS = 3000
"""Of an update of two volatile values of 3 kB: 18 MB."""
LASTING_ROUNDS = 100
"""Between two writes that last."""
PADDING = "x" * 3000
WAITING_BYTES_MAX = 100_000
"""For one client: some values of 3 kB under two listens, and what lasts."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("stalled") / "data") as running:
        yield running


class Slow:
    """The client's end of a connection that is read when the test says so."""

    def __init__(self, server: Server, head: str) -> None:
        self.socket = socket.socket()
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self.socket.settimeout(SECONDS)
        self.socket.connect(("127.0.0.1", server.port))
        self.received = b""
        self.socket.sendall(f"{head}\r\nHost: 127.0.0.1:{server.port}\r\n\r\n".encode())

    def read_until(self, pattern: bytes) -> bytes:
        """All that came so far, once `pattern` has."""
        while not re.search(pattern, self.received):
            data = self.socket.recv(1_000_000)
            assert data, "the server has closed the connection"
            self.received += data
        return self.received

    def say(self, text: str) -> None:
        """One frame of a WebSocket, masked with nothing."""
        payload = text.encode()
        assert len(payload) < 126
        self.socket.sendall(bytes((0x81, 0x80 | len(payload))) + bytes(4) + payload)

    def close(self) -> None:
        self.socket.close()


def write_much(server: Server, ns: str) -> Socket:
    """Volatile values over and over, and between them some that last; whose values go when it is closed."""
    writer = Socket(server.port, ns)
    before = metrics(server).of("volatile_superseded_total")
    for number in range(ROUNDS):
        values = {"v/a": {"n": number, "p": PADDING}, "v/b": {"n": -number, "p": PADDING}}
        if number % LASTING_ROUNDS == 0:
            request = writer.send("m", {"p": "/room", "d": {**values, "lasts/both": number}})
            assert writer.answer_to(request)["s"] == "ok"
            writer.send("p", {"p": "/room/lasts/one", "d": number})
        else:
            request = writer.send("m", {"p": "/room", "d": values})
        if number % 20 == 0:
            assert writer.answer_to(request + (number % LASTING_ROUNDS == 0))["s"] == "ok"
    assert writer.ask("p", {"p": "/room/v/a/n", "d": ROUNDS})["s"] == "ok"
    eventually(lambda: metrics(server).of("volatile_superseded_total") - before > ROUNDS, what="values are superseded")
    eventually(lambda: metrics(server).of("outbox_bytes") > 0, what="something waits")
    assert metrics(server).of("outbox_bytes") < WAITING_BYTES_MAX
    assert metrics(server).of("slow_closes_total") == 0
    assert writer.ask("p", {"p": "/room/end", "d": True})["s"] == "ok"
    return writer


def check_heard(told: list[tuple[str, Any]], *, under: str, windowed: bool = False) -> None:
    """told: each place that was told of and its value, in order."""
    values: dict[str, Any] = {}
    for place, value in told:
        values[place] = value
    lasting = list(range(0, ROUNDS, LASTING_ROUNDS))
    if not windowed:
        assert [value for place, value in told if place == f"{under}lasts/one"] == lasting
        assert [value for place, value in told if place == f"{under}lasts/both"] == lasting
    assert values[f"{under}v/a/n"] == ROUNDS, "the last arrives"
    seen = [value["n"] for place, value in told if place == f"{under}v/a" and value]
    assert seen == sorted(seen), "a value went back"
    assert seen[-1] == ROUNDS - 1
    assert len(seen) < ROUNDS, "some were left out"
    assert values[f"{under}v/b"]["n"] == 1 - ROUNDS


def flat(path: str, body: Any, *, merge: bool) -> list[tuple[str, Any]]:
    return [(f"{path}/{relative}".strip("/"), value) for relative, value in body.items()] if merge else [(path, body)]


def set_rules(server: Server, ns: str) -> None:
    assert server.rest("PUT", "/.settings/rules", RULES, ns=ns).status == 200


def test_a_websocket(server: Server) -> None:
    ns = fresh_name("ws")
    set_rules(server, ns)
    key = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="
    client = Slow(server, f"GET /.ws?v=5&ns={ns} HTTP/1.1\r\n{key}")
    client.read_until(rb'"t":"h"')
    client.say('{"t":"d","d":{"r":1,"a":"q","b":{"p":"/room","h":""}}}')
    client.say('{"t":"d","d":{"r":2,"a":"q","b":{"p":"/room/v","h":"","t":5,"q":{"i":"n","l":1,"vf":"l"}}}}')
    client.read_until(rb'"r":2,"b"')
    writer = write_much(server, ns)
    heard = client.read_until(rb'"p":"room/end"')
    client.close()
    writer.close()
    texts = re.findall(rb'\{"t":"d","d":\{"a":"[dm]".*?\}\}(?=[\x81\x01]|$)', heard, re.S)
    pushes = [json.loads(text)["d"] for text in texts if b"\x00" not in text]
    assert len(pushes) > 60
    told: dict[Any, list[tuple[str, Any]]] = {None: [], 5: []}
    for push in pushes:
        body = push["b"]
        told[body.get("t")] += flat(body["p"], body["d"], merge=push["a"] == "m")
    check_heard(told[None], under="room/")
    window = dict(told[5])
    assert window["room/v/b"]["n"] == 1 - ROUNDS, "the window shows the least"


def test_an_event_stream(server: Server) -> None:
    ns = fresh_name("sse")
    set_rules(server, ns)
    client = Slow(server, f"GET /room.json?ns={ns} HTTP/1.1\r\nAccept: text/event-stream")
    client.read_until(rb"event: put")
    writer = write_much(server, ns)
    heard = client.read_until(rb'"path":"/end"')
    client.close()
    writer.close()
    told: list[tuple[str, Any]] = []
    for kind, text in re.findall(rb"event: (put|patch)\ndata: (.*)\n\n", heard):
        body = json.loads(text)
        told += flat(body["path"].strip("/"), body["data"], merge=kind == b"patch")
    check_heard(told, under="")


def test_long_polls(server: Server) -> None:
    ns = fresh_name("poll")
    set_rules(server, ns)
    client = Polling(server.port, ns)
    client.ask("q", {"p": "/room", "h": ""})
    writer = write_much(server, ns)
    while not any(push["b"]["p"] == "room/end" for push in client.pushes):
        client.poll()
    writer.close()
    told: list[tuple[str, Any]] = []
    for push in client.pushes:
        told += flat(push["b"]["p"], push["b"]["d"], merge=push["a"] == "m")
    check_heard(told, under="room/")
    client.close()
