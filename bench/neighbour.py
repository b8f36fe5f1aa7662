"""What does a small database feel while its neighbour moves 50 MB at a time?

One worker, durable, two databases. A client of the small one listens to a value and writes it 200 times a second; each write is
timed from when it was due until its push has come back (delivered) and until it is acknowledged. Beside it one client after
the other moves the large database: written, read, replaced, listened to, written through the socket, removed, loaded. One row
for each of these, with the client's latencies meanwhile and shortly after, and one for quiet.
Acknowledgements share the journal with the large writes, which it takes in parts: they wait for one of these at most.
"""

from __future__ import annotations

import json
import os
import select
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

from bench.harness import Bench, Effort, Row, main, split_cores
from bench.server import Server

GROUPS, RECORDS = 500, 900
"""50 MB of records of 110 bytes; the shape of most large databases: maps of maps, none very wide."""
TICK_SECONDS = 0.005
AFTERMATH_SECONDS = 0.5
"""Counted to what came before: freeing, snapshots."""
QUIET_SECONDS = 3.0
SNAPSHOT_SECONDS = 5.0
"""For the large database to be in a snapshot alone, so that it is not loaded before somebody asks for it."""
SOCKET_VALUE_BYTES = 15_000_000
TIME_MAX = 300.0
PING = 9

Times = tuple[float, float, float]
"""When a write was due, and milliseconds until it was delivered and acknowledged."""


# The neighbour: a process of its own, on the generator's core.


class Client:
    """The least WebSocket client that does: whole text messages out, frames in."""

    def __init__(self, host: str, port: int, database: str, credential: str) -> None:
        self.socket = socket.create_connection((host, port), timeout=TIME_MAX)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        head = (
            f"GET /.ws?v=5&ns={database} HTTP/1.1\r\nHost: {host}:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
        )
        self.socket.sendall(head.encode())
        self._buffer = bytearray()
        self._start = 0
        """Of what was not taken yet."""
        while b"\r\n\r\n" not in self._buffer:
            self._buffer += self._read()
        del self._buffer[: self._buffer.index(b"\r\n\r\n") + 4]
        self.message()
        self.send({"r": 1, "a": "gauth", "b": {"cred": credential}})
        assert self.message()["d"]["b"]["s"] == "ok"

    def send(self, request: dict[str, Any]) -> None:
        self.send_text(json.dumps({"t": "d", "d": request}).encode())

    def send_text(self, text: bytes) -> None:
        pieces = [text[start : start + 16_384] for start in range(0, len(text), 16_384)]
        if len(pieces) > 1:
            pieces.insert(0, b"%d" % len(pieces))
        self.socket.sendall(b"".join(map(_masked, pieces)))

    def message(self) -> Any:
        """The next message, decoded."""
        return json.loads(self.text())

    def text(self) -> bytes:
        """The next whole message."""
        text = self._frame()
        if len(text) <= 6 and text.isdigit():
            text = b"".join([self._frame() for _ in range(int(text))])
        return text

    @property
    def has_more(self) -> bool:
        """Whether more has been read already."""
        return self._start < len(self._buffer)

    def _read(self) -> bytes:
        data = self.socket.recv(1 << 20)
        if not data:
            raise SystemExit("the server closed the connection")
        return data

    def _frame(self) -> bytes:
        """The payload of the next text frame; pings on the way are answered."""
        while True:
            kind, payload = self._any_frame()
            if kind == PING:
                self.socket.sendall(b"\x8a\x80\0\0\0\0")
            else:
                return payload

    def _any_frame(self) -> tuple[int, bytes]:
        buffer = self._buffer
        if self._start > 1 << 20 or self._start == len(buffer):
            del buffer[: self._start]
            self._start = 0
        while len(buffer) - self._start < 2:
            buffer += self._read()
        kind, size, at = buffer[self._start] & 0x0F, buffer[self._start + 1], self._start + 2
        if size == 126:
            while len(buffer) < at + 2:
                buffer += self._read()
            size, at = struct.unpack_from(">H", buffer, at)[0], at + 2
        while len(buffer) < at + size:
            buffer += self._read()
        self._start = at + size
        return kind, bytes(buffer[at : self._start])


def be_neighbour(host: str, port: int, credential: str) -> None:
    """Writes and listens until standard input ends, then prints the times."""
    client = Client(host, port, "small", credential)
    client.send({"r": 2, "a": "q", "b": {"p": "/n", "h": ""}})
    client.message()
    start = time.monotonic()
    delivered: dict[int, float] = {}
    acknowledged: dict[int, float] = {}
    sent, ended = 0, False
    print("going", flush=True)
    while not ended or len(acknowledged) < sent:
        now = time.monotonic()
        while not ended and start + sent * TICK_SECONDS <= now:
            client.send({"r": 10 + sent, "a": "p", "b": {"p": "/n", "d": sent}})
            sent += 1
        wait = max(0.0, start + sent * TICK_SECONDS - now) if not ended else 1.0
        readable, _, _ = select.select([client.socket, *([] if ended else [sys.stdin])], [], [], wait)
        if sys.stdin in readable:
            ended = True
        if client.socket in readable:
            _take(client, delivered, acknowledged)
    milliseconds: list[Times] = []
    for number in range(sent):
        due = start + number * TICK_SECONDS
        milliseconds.append((due, (delivered[number] - due) * 1e3, (acknowledged[number] - due) * 1e3))
    print(json.dumps(milliseconds), flush=True)


def _take(client: Client, delivered: dict[int, float], acknowledged: dict[int, float]) -> None:
    """All messages that have come."""
    while True:
        message = client.message()["d"]
        if message.get("a") == "d":
            delivered[message["b"]["d"]] = time.monotonic()
        elif message.get("r", 0) >= 10:
            acknowledged[message["r"] - 10] = time.monotonic()
        if not client.has_more:
            return


def _masked(payload: bytes) -> bytes:
    """One masked text frame; a mask of zeros changes nothing."""
    size = len(payload)
    head = struct.pack(">BB", 0x81, 0x80 | size) if size < 126 else struct.pack(">BBH", 0x81, 0xFE, size)
    return head + b"\0\0\0\0" + payload


# The moves


class Mover:
    """The client of the large database."""

    def __init__(self, server: Server, body: bytes) -> None:
        self._server = server
        self._body = body

    def moves(self) -> Iterator[tuple[str, Callable[[], None]]]:
        """What is done to the large database, in order."""
        yield "quiet", lambda: time.sleep(QUIET_SECONDS)
        yield "write 50 MB over REST", lambda: self._request("PUT", "/big", self._body)
        yield "read it over REST", lambda: self._request("GET", "/big")
        yield "replace it over REST", lambda: self._request("PUT", "/big", self._body)
        yield "merge it over REST", lambda: self._request("PATCH", "", b'{"big":' + self._body + b"}")
        yield "read it over a socket", self._get
        yield "listen to it, and write it", self._listen
        yield "write 15 MB over a socket", self._write
        yield "remove all of it", lambda: self._request("DELETE", "")

    def fill(self) -> None:
        self._request("PUT", "/big", self._body)

    def read_small_part(self) -> None:
        self._request("GET", "/big/g1/r1")

    def _request(self, method: str, path: str, body: bytes | None = None) -> None:
        connection = HTTPConnection(self._server.host, self._server.port, timeout=TIME_MAX)
        silent = "" if method == "GET" else "&print=silent"
        target = f"{path or '/'}.json?ns=big{silent}"
        connection.request(method, target, body, {"Authorization": f"Bearer {self._server.credential}"})
        answer = connection.getresponse()
        while answer.read(1 << 20):
            pass
        connection.close()
        if answer.status >= 300:
            raise SystemExit(f"{method} {target} was answered {answer.status}\n{self._server.log()}")

    def _client(self) -> Client:
        return Client(self._server.host, self._server.port, "big", self._server.credential)

    def _get(self) -> None:
        client = self._client()
        client.send({"r": 2, "a": "g", "b": {"p": "/big", "q": {}}})
        assert len(client.text()) > 0.9 * len(self._body)
        client.socket.close()

    def _listen(self) -> None:
        client = self._client()
        client.send({"r": 2, "a": "q", "b": {"p": "/big", "h": ""}})
        assert len(client.text()) > 0.9 * len(self._body)
        client.text()
        self._request("PUT", "/big", self._body)
        assert len(client.text()) > 0.9 * len(self._body)
        client.socket.close()

    def _write(self) -> None:
        client = self._client()
        value = self._body[: self._body.rindex(b',"g', 0, SOCKET_VALUE_BYTES)] + b"}"
        client.send_text(b'{"t":"d","d":{"r":2,"a":"p","b":{"p":"/socket","d":' + value + b"}}}")
        assert client.message()["d"]["b"]["s"] == "ok"
        client.socket.close()


# Measuring


def measure(effort: Effort) -> tuple[list[Row], list[Any]]:
    """A row for each move, over all runs."""
    body = _large_json()
    found: dict[str, list[Times]] = {}
    spans: dict[str, list[float]] = {}
    for _ in range(effort.runs):
        with Server(cores=split_cores()[0]) as server:
            mover = Mover(server, body)
            with _neighbour(server, found, spans) as during:
                for name, move in mover.moves():
                    during(name, move)
            mover.fill()
            time.sleep(SNAPSHOT_SECONDS)
            server.restart()
            with _neighbour(server, found, spans) as during:
                during("load it after a restart", mover.read_small_part)
    rows = [_row(name, times, spans[name]) for name, times in found.items()]
    return rows, [{"body_bytes": len(body)}]


@contextmanager
def _neighbour(
    server: Server, found: dict[str, list[Times]], spans: dict[str, list[float]]
) -> Iterator[Callable[[str, Callable[[], None]], None]]:
    """Runs the neighbour meanwhile; what is given is called with each move, and afterwards its times are in `found`."""
    command = [sys.executable, "-m", "bench.neighbour", "--neighbour", server.host, str(server.port), server.credential]
    root = Path(__file__).resolve().parent.parent
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=root)
    assert process.stdin is not None
    assert process.stdout is not None
    os.sched_setaffinity(process.pid, split_cores()[1])
    assert process.stdout.readline() == "going\n"
    windows: list[tuple[str, float, float]] = []

    def during(name: str, move: Callable[[], None]) -> None:
        start = time.monotonic()
        move()
        spans.setdefault(name, []).append(time.monotonic() - start)
        time.sleep(AFTERMATH_SECONDS)
        windows.append((name, start, time.monotonic()))

    try:
        yield during
        process.stdin.close()
        times: list[Times] = json.loads(process.stdout.read())
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
    for name, start, end in windows:
        found.setdefault(name, []).extend([each for each in times if start <= each[0] < end])


def _row(name: str, times: list[Times], spans: list[float]) -> Row:
    row: Row = {"meanwhile": name, "takes s": round(sum(spans) / len(spans), 2), "writes": len(times)}
    for place, what in ((1, "delivered"), (2, "acked")):
        ordered = sorted(each[place] for each in times)
        for figure, share in (("p50", 0.5), ("p99", 0.99)):
            row[f"{what} {figure}"] = round(ordered[int(len(ordered) * share)], 2)
        row[f"{what} max"] = round(ordered[-1], 1)
    return row


def _large_json() -> bytes:
    groups = {
        f"g{group}": {
            f"r{record}": {
                "name": f"record {record} of {group}",
                "lat": record / 7,
                "lng": group / 7,
                "on": True,
                "tag": "x" * 20,
            }
            for record in range(RECORDS)
        }
        for group in range(GROUPS)
    }
    return json.dumps(groups, separators=(",", ":")).encode()


BENCH = Bench(
    name="neighbour",
    question=(__doc__ or "").partition("\n")[0],
    not_shown="a network, maps of a million children (adding one may grow the map, which is one step), other shapes of JSON.",
    measure=measure,
)

if __name__ == "__main__":
    if sys.argv[1:2] == ["--neighbour"]:
        be_neighbour(sys.argv[2], int(sys.argv[3]), sys.argv[4])
    else:
        main([BENCH])
