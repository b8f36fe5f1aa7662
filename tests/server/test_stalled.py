"""Clients that read nothing for a while, over each transport, while volatile values are written: what waits for them is the last
of each path and all that lasts, in order, however much is said.

The sockets are real, and those of the clients small, so that the kernel's buffers are soon full. Over WebTransport:
tests/client/test_webtransport.py.
"""

from __future__ import annotations

import json
import re
import resource
import selectors
import socket
import time
from collections.abc import Callable, Iterator
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
CROWD = 1000
WAITING_BYTES_MAX = 100_000
"""For one client: some values of 3 kB under two listens, and what lasts."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One that may have as many files as the crowd needs, and so may we: some systems give 1,024."""
    soft, hard = limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < 3 * CROWD:
        most = 3 * CROWD if hard == resource.RLIM_INFINITY else min(3 * CROWD, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    try:
        with Server(tmp_path_factory.mktemp("stalled") / "data") as running:
            yield running
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)


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


def check_heard(told: list[tuple[str, Any]], *, under: str) -> None:
    """told: each place that was told of and its value, in order."""
    values: dict[str, Any] = {}
    for place, value in told:
        values[place] = value
    lasting = list(range(0, ROUNDS, LASTING_ROUNDS))
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


def open_socket(server: Server, ns: str) -> Slow:
    key = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="
    return Slow(server, f"GET /.ws?v=5&ns={ns} HTTP/1.1\r\n{key}")


def test_a_websocket(server: Server) -> None:
    ns = fresh_name("ws")
    set_rules(server, ns)
    client = open_socket(server, ns)
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


def fill(server: Server, writer: Socket) -> int:
    """Fills the pipe of whoever listens to /filling and reads nothing, with what lasts; with how many values."""
    filled, idle = 0, metrics(server).of("outbox_bytes")
    while metrics(server).of("outbox_bytes") < idle + 300_000:
        filled += 1
        assert filled < 60, "the kernel takes more than 12 MB"
        assert writer.ask("p", {"p": "/filling", "d": f"{filled}:{'x' * 200_000}"})["s"] == "ok"
    return filled


class Crowd:
    """Many who listen, read by one selector."""

    def __init__(self, server: Server, ns: str, count: int) -> None:
        self.members: list[Slow] = []
        self._selector = selectors.DefaultSelector()
        while len(self.members) < count:
            some = [open_socket(server, ns) for _ in range(min(100, count - len(self.members)))]
            self.members += some
            for member in some:
                member.socket.settimeout(0)
                self._selector.register(member.socket, selectors.EVENT_READ, member)
            self.read_until(some, lambda member: b'"t":"h"' in member.received)
            for member in some:
                member.say('{"t":"d","d":{"r":1,"a":"q","b":{"p":"/room","h":""}}}')
            self.read_until(some, lambda member: b'"r":1,"b"' in member.received)

    def read_until(self, members: list[Slow], check: Callable[[Slow], bool]) -> None:
        """Reads whoever has something, until `check` holds for each of these."""
        missing = {id(member): member for member in members if not check(member)}
        deadline = time.monotonic() + SECONDS
        while missing:
            assert time.monotonic() < deadline, f"{len(missing)} still wait"
            for key, _ in self._selector.select(1.0):
                data = key.fileobj.recv(65_536)  # type: ignore[union-attr]
                assert data, "the server has closed the connection"
                key.data.received += data
                if id(key.data) in missing and check(key.data):
                    del missing[id(key.data)]

    def leave_out(self, member: Slow) -> None:
        """It reads nothing from now on."""
        self._selector.unregister(member.socket)
        self.members.remove(member)

    def close(self) -> None:
        self._selector.close()
        for member in self.members:
            member.close()


def test_of_a_thousand_websockets_one_that_stalls_costs_the_others_nothing(server: Server) -> None:
    """All are real. What fills the pipe of the one is told to nobody else, so that a thousand pipes need not be filled."""
    ns = fresh_name("crowd")
    set_rules(server, ns)
    idle = metrics(server).of("outbox_bytes")  # Of one who polled here before us, until it is given up.
    crowd = Crowd(server, ns, CROWD)
    stalled = crowd.members[CROWD // 2]
    stalled.say('{"t":"d","d":{"r":2,"a":"q","b":{"p":"/filling","h":""}}}')
    crowd.read_until([stalled], lambda member: b'"r":2,"b"' in member.received)
    crowd.leave_out(stalled)
    writer = Socket(server.port, ns)
    filled = fill(server, writer)
    before = metrics(server)
    for member in crowd.members:
        member.received = b""
    rounds = 30
    for number in range(1, rounds + 1):
        for path, value in (("a", number), ("b", -number)):
            assert writer.ask("v", {"p": f"/room/v/{path}", "d": value})["s"] == "ok"
        last = b'"p":"room/v/b","d":-%d}' % number
        crowd.read_until(crowd.members, lambda member, last=last: last in member.received)  # type: ignore[misc]
    after = metrics(server)
    expected = [(b"ab"[sign : sign + 1], (1, -1)[sign] * number) for number in range(1, rounds + 1) for sign in range(2)]
    for member in crowd.members:
        heard = re.findall(rb'"p":"room/v/(\w)","d":(-?\d+)}', member.received)
        assert [(path, int(value)) for path, value in heard] == expected, "each value, in order"
    assert after.of("volatile_superseded_total") - before.of("volatile_superseded_total") == 2 * (rounds - 1)
    assert after.of("outbox_bytes") - before.of("outbox_bytes") < 1000, "of each path the last"
    assert after.of("slow_closes_total") == before.of("slow_closes_total")

    assert writer.ask("p", {"p": "/room/end", "d": True})["s"] == "ok"
    stalled.socket.settimeout(SECONDS)
    pieces: list[bytes] = []
    while b'"p":"room/end"' not in b"".join(pieces[-3:]):
        pieces.append(stalled.socket.recv(1_000_000))
        assert pieces[-1], "the server has closed the connection"
    told = b"".join(pieces)
    heard = re.findall(rb'"p":"room/v/(\w)","d":(-?\d+)}', told)
    assert heard == [(b"a", b"%d" % rounds), (b"b", b"%d" % -rounds)], "the last of each path, and no other"
    assert [int(number) for number in re.findall(rb'"d":"(\d+):x', told)] == list(range(1, filled + 1)), "all that lasts"
    eventually(lambda: metrics(server).of("outbox_bytes") <= idle, what="nothing waits any more")
    stalled.close()
    writer.close()
    crowd.close()
