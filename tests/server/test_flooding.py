"""A client that writes volatile values as fast as it can, over each transport: a neighbour on the same worker is answered all
the while, little waits for whoever listens, and what was said last stands.

Nothing here says how fast; how much a worker takes is measured by `bench flood`.
"""

from __future__ import annotations

import asyncio
import json
import re
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from meadowlark.client import Database
from meadowlark.client.connection import Address
from meadowlark.client.webtransport import TransportConnection, find_offer
from tests.harness import Server, eventually, fresh_name
from tests.server.sockets import SECONDS, Socket
from tests.server.test_observability import Metrics, metrics
from tests.server.test_stalled import Slow, fill, open_socket
from tests.waiting import run

FLOOD_SECONDS = 2.0
ROUNDS_MIN = 30
"""Less were no flood, so a slow machine takes longer."""
ANSWER_SECONDS_MAX = 15.0
"""For one question of the neighbour: thousands of times what it takes, since the machine may have more to do than this."""
WAITING_BYTES_MAX = 1_000_000
"""For the listener to the flood: what filled its pipe, and of each path the last."""
PATHS = 20
PADDING = "x" * 100
RULES = {"rules": {".read": True, ".write": True, "cursors": {".volatile": True}}}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("flooded") / "data", workers=1) as running:
        yield running


class Neighbour:
    """Somebody in another database, who asks again and again until told to stop."""

    def __init__(self, server: Server) -> None:
        self.answered = 0
        self.slowest_seconds = 0.0
        self.waiting_bytes = 0
        self._server = server
        self._over = threading.Event()
        self._failed: list[BaseException] = []
        self._socket = Socket(server.port, fresh_name("quiet"))
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        try:
            while not self._over.is_set():
                began = time.monotonic()
                self._socket.send("p", {"p": "/asked", "d": self.answered})
                assert self._socket.receive(within=ANSWER_SECONDS_MAX)["d"]["b"]["s"] == "ok"
                self.slowest_seconds = max(self.slowest_seconds, time.monotonic() - began)
                self.answered += 1
                if self.answered % 50 == 1:
                    self.waiting_bytes = max(self.waiting_bytes, int(metrics(self._server).of("outbox_bytes")))
                time.sleep(0.002)  # So that the flood has the interpreter of this process too.
        except BaseException as error:
            self._failed.append(error)

    def stop(self) -> None:
        self._over.set()
        self._thread.join(SECONDS)
        self._socket.close()
        assert not self._failed, self._failed
        assert self.answered > 1
        assert self.slowest_seconds < ANSWER_SECONDS_MAX
        assert self.waiting_bytes < WAITING_BYTES_MAX


def open_listener(server: Server, ns: str) -> Slow:
    """Who reads nothing of the flood until it is over, and whose pipe is full before."""
    listener = open_socket(server, ns)
    listener.read_until(rb'"t":"h"')
    for number, path in enumerate(("cursors", "filling"), 1):
        listener.say(json.dumps({"t": "d", "d": {"r": number, "a": "q", "b": {"p": path, "h": ""}}}))
        listener.read_until(rb'"r":%d,"b"' % number)
    filler = Socket(server.port, ns)
    fill(server, filler)
    filler.close()
    return listener


def hear_the_end(listener: Slow, last: dict[str, Any]) -> None:
    """Reads what waits for it: no value goes back, and the last of each path has come."""
    pieces = [b""]
    while b'"p":"cursors/end"' not in b"".join(pieces[-3:]):
        pieces.append(listener.socket.recv(1_000_000))
        assert pieces[-1], "the server has closed the connection"
    shown: dict[str, int] = {}
    for path, text in re.findall(rb'"p":"cursors/(p\d+)","d":{"n":(\d+),', b"".join(pieces)):
        assert int(text) >= shown.get(path.decode(), 0), "a value went back"
        shown[path.decode()] = int(text)
    assert shown == {path: value["n"] for path, value in last.items()}


def check_the_end(server: Server, ns: str, listener: Slow, last: dict[str, Any], before: Metrics) -> None:
    """While the one who wrote is still there."""
    eventually(lambda: server.read("/cursors", ns=ns) == last, what="the last of each path stands")
    assert 300_000 < metrics(server).of("outbox_bytes") < WAITING_BYTES_MAX
    assert metrics(server).of("volatile_superseded_total") - before.of("volatile_superseded_total") > PATHS
    server.write("/cursors/end", True, ns=ns)
    hear_the_end(listener, last)
    eventually(lambda: metrics(server).of("outbox_bytes") == 0, what="nothing waits any more")
    assert metrics(server).of("slow_closes_total") == 0


def frame(path: str, value: Any) -> bytes:
    """What our own clients say of a volatile value, which nobody answers; masked with nothing."""
    payload = json.dumps({"t": "d", "d": {"a": "v", "b": {"p": path, "d": value}}}).encode()
    assert 125 < len(payload) < 65_536
    return bytes((0x81, 0xFE)) + len(payload).to_bytes(2, "big") + bytes(4) + payload


def test_a_flood_over_a_websocket(server: Server) -> None:
    ns = fresh_name("flood")
    assert server.rest("PUT", "/.settings/rules", RULES, ns=ns).status == 200
    listener, writer = open_listener(server, ns), Socket(server.port, ns)
    before, neighbour = metrics(server), Neighbour(server)
    number, last = 0, {}
    until = time.monotonic() + FLOOD_SECONDS
    while time.monotonic() < until or number < ROUNDS_MIN:
        number += 1
        last = {f"p{path}": {"n": number, "p": PADDING} for path in range(PATHS)}
        # Beside the client, which would take its time over each.
        writer.connection.socket.sendall(b"".join(frame(f"/cursors/{path}", value) for path, value in last.items()))
    assert writer.ask("g", {"p": "/nothing", "q": {}})["s"] == "ok", "all of it has been read"
    neighbour.stop()
    assert server.read("/cursors", ns=ns) == last
    check_the_end(server, ns, listener, last, before)
    listener.close()
    writer.close()
    eventually(lambda: server.read("/cursors", ns=ns) == {"end": True}, what="it goes with who wrote it")


def test_a_flood_over_webtransport(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("meadowlark.client.database.TRANSPORT_SECONDS", 20.0)
    ns = fresh_name("flood")
    assert server.rest("PUT", "/.settings/rules", RULES, ns=ns).status == 200
    listener = open_listener(server, ns)

    async def work() -> None:
        # A server imports what QUIC takes when it is asked first.
        assert await find_offer(Address(f"127.0.0.1:{server.port}", fresh_name("first"), False), None)
        before = metrics(server)
        async with Database(f"http://127.0.0.1:{server.port}?ns={ns}", transports=("webtransport",)) as writer:
            await writer.wait_connected()
            connection = writer._connection
            assert isinstance(connection, TransportConnection)
            places = {f"p{path}": writer.ref(f"cursors/p{path}") for path in range(PATHS)}
            neighbour = await asyncio.to_thread(Neighbour, server)
            number, last = 0, {}
            until = time.monotonic() + FLOOD_SECONDS
            while time.monotonic() < until:
                number += 1
                last = {path: {"n": number, "p": PADDING} for path in places}
                for path, place in places.items():
                    place.set_volatile(last[path])
                await asyncio.sleep(0)
            await asyncio.to_thread(neighbour.stop)
            await asyncio.to_thread(check_the_end, server, ns, listener, last, before)
            assert writer._connection is connection, "it was never taken for dead"
            received = metrics(server).of("datagram_updates_total", fate="received")
            assert received - before.of("datagram_updates_total", fate="received") > PATHS

    run(work(), within=3 * SECONDS)
    listener.close()
    eventually(lambda: server.read("/cursors", ns=ns) == {"end": True}, what="it goes with who wrote it")
