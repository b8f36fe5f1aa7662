"""A client of long polls for tests: messages in and out over GETs of `/.lp`, each as a browser's script tag would send it.

`Scripts` reads answers: the calls in them, packets in order. `Polling` is a whole client on keep-alive connections.
"""

from __future__ import annotations

import base64
import http.client
import itertools
import json
import re
import ssl
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import Any

SECONDS = 60.0
PIECE_LENGTH = 1840
PIECES = 20
"""Of a long message that one request brings."""

_START = re.compile(r"pLPCommand\('start','([^']+)','([^']+)'\);\n")
_PACKET = re.compile(r"pRTLPCB\((\d+),(\[.*\])\);\n")
_CLOSE = re.compile(r"pLPCommand\('close'(?:,(\d+))?\);\n")


def encode_pieces(text: str, first: int) -> list[str]:
    """The query parameters of a message's pieces, but for their index, numbered from `first` on."""
    encoded = base64.b64encode(text.encode(), b"-_").decode().replace("=", ".")
    pieces = [encoded[start : start + PIECE_LENGTH] for start in range(0, len(encoded), PIECE_LENGTH)]
    return [f"seg@={first + index}&ts@={len(pieces)}&d@={piece}" for index, piece in enumerate(pieces)]


def carrying(pieces: list[str]) -> str:
    """The pieces as a part of a query."""
    return "".join("&" + piece.replace("@", str(index)) for index, piece in enumerate(pieces))


class Scripts:
    """What the scripts of one session have said so far."""

    def __init__(self) -> None:
        self.id = self.password = ""
        self.messages: list[Any] = []
        self.packets: dict[int, list[Any]] = {}
        self.is_closed = False
        self.last_packet: int | None = None
        """The one after which to close, if that was said."""

    def read(self, script: str) -> None:
        if started := _START.search(script):
            self.id, self.password = started.groups()
        for number, messages in _PACKET.findall(script):
            assert int(number) not in self.packets, "a packet came twice"
            self.packets[int(number)] = json.loads(messages)
        if closed := _CLOSE.search(script):
            self.is_closed = True
            self.last_packet = int(closed[1]) if closed[1] else None
        ordered = itertools.takewhile(self.packets.__contains__, itertools.count())
        self.messages = [message for number in ordered for message in self.packets[number]]


class Polling:
    """`ask` sends a request and gives its reply."""

    def __init__(self, port: int, ns: str, *, query: str = "", context: ssl.SSLContext | None = None) -> None:
        self.port = port
        self.ns = ns
        self.connection, self._other = [_connection(port, context) for _ in range(2)]
        self.scripts = Scripts()
        try:
            self.scripts.read(self.get(f"start=t&ser=123&cb=7&v=5{query}"))
        except BaseException:
            self.close()
            raise
        self._serial = self._piece = self._request = 0

    @property
    def session(self) -> str:
        return str(self.scripts.messages[0]["d"]["d"]["s"])

    @property
    def who(self) -> str:
        return f"id={self.scripts.id}&pw={self.scripts.password}"

    def get(self, query: str) -> str:
        self.connection.request("GET", f"/.lp?{query}&ns={self.ns}")
        return _script(self.connection)

    def poll(self, *texts: str) -> str:
        """One poll with messages; its answer, which has been read."""
        pieces: list[str] = []
        for text in texts:
            pieces += encode_pieces(text, self._piece + len(pieces))
        self._piece += len(pieces)
        if len(pieces) <= 1:
            self._serial += 1
            script = self.get(f"{self.who}&ser={self._serial}{carrying(pieces)}")
            self.scripts.read(script)
            return script
        # A poll is held until there is something to say, or another one: so two are under way, as an SDK has them.
        free, script = [self.connection, self._other], ""
        waiting: dict[Future[str], http.client.HTTPConnection] = {}
        starts = list(range(0, len(pieces), PIECES))
        with ThreadPoolExecutor(len(free)) as pool:
            while starts or waiting:
                if starts and free:
                    self._serial += 1
                    start, connection = starts.pop(0), free.pop()
                    batch = carrying(pieces[start : start + PIECES])
                    connection.request("GET", f"/.lp?{self.who}&ser={self._serial}{batch}&ns={self.ns}")
                    waiting[pool.submit(_script, connection)] = connection
                    continue
                answered, _ = wait(waiting, SECONDS, FIRST_COMPLETED)
                assert answered, "no poll was answered"
                for future in answered:
                    free.append(waiting.pop(future))
                    script = future.result()
                    self.scripts.read(script)
        return script

    def text(self, action: str, body: Any) -> tuple[int, str]:
        self._request += 1
        return self._request, json.dumps({"t": "d", "d": {"r": self._request, "a": action, "b": body}})

    def ask(self, action: str, body: Any) -> dict[str, Any]:
        request, text = self.text(action, body)
        self.poll(text)
        while (answer := self.find_answer(request)) is None:
            assert not self.scripts.is_closed, "closed before the answer"
            self.poll()
        return answer

    def find_answer(self, request: int) -> dict[str, Any] | None:
        for message in self.scripts.messages:
            if message["t"] == "d" and message["d"].get("r") == request:
                return dict(message["d"]["b"])
        return None

    @property
    def pushes(self) -> list[Any]:
        return [message["d"] for message in self.scripts.messages if message["t"] == "d" and "a" in message["d"]]

    def close(self) -> None:
        self.connection.close()
        self._other.close()


def _connection(port: int, context: ssl.SSLContext | None) -> http.client.HTTPConnection:
    if context is None:
        return http.client.HTTPConnection("127.0.0.1", port, timeout=SECONDS)
    return http.client.HTTPSConnection("127.0.0.1", port, timeout=SECONDS, context=context)


def _script(connection: http.client.HTTPConnection) -> str:
    answer = connection.getresponse()
    body = answer.read().decode()
    assert answer.status == 200, body
    return body
