"""Clients that follow queries over each transport, and keep what they were told: WebSockets, long polls, event streams.

`follow` begins, `shown` is what was put together, by the number that `follow` gave. `catch_up` reads what has come. `get` reads
once.
"""

from __future__ import annotations

import itertools
import json
from http.client import HTTPConnection
from typing import Any

from meadowlark.tree import Node, Path, Tree, format_path, from_json, parse_path
from tests.query.naive import told
from tests.query.scenarios import spec_of
from tests.query.strategies import Constraints, parameters_of
from tests.server.polling import Polling
from tests.server.sockets import SECONDS, Socket

TOLD_SECONDS = 60.0
"""In which a stream must have been told of what was acknowledged before; after that what is wanted will not come."""

_numbers = itertools.count(1)


class Follower:
    """Over a WebSocket or long polls: the same messages."""

    def __init__(self, line: Socket | Polling) -> None:
        self._line = line
        self._heard = 0
        self._asked: dict[int, tuple[Path, dict[str, Any]]] = {}
        self._mirrors: dict[int, Tree] = {}

    def follow(self, place: Path, asked: Constraints) -> int:
        spec, tag = spec_of(asked), next(_numbers)
        self._asked[tag], self._mirrors[tag] = (place, spec), Tree()
        answer = self._line.ask("q", {"p": format_path(place), "q": spec, "t": tag, "h": ""})
        assert answer == {"s": "ok", "d": {}}, answer
        return tag

    def get(self, place: Path, asked: Constraints) -> Node | None:
        """What the query shows, asked for once."""
        answer = self._line.ask("g", {"p": format_path(place), "q": spec_of(asked)})
        assert answer["s"] == "ok", answer
        value: Node | None = answer["d"]
        return value

    def stop(self) -> None:
        for tag, (place, spec) in self._asked.items():
            assert self._line.ask("n", {"p": format_path(place), "q": spec, "t": tag})["s"] == "ok"
        self._asked.clear()

    def catch_up(self) -> None:
        """Reads all that was sent before now: the answer to a request comes after it."""
        self._line.ask("g", {"p": "/nothing", "q": {}})
        pushes = [push for push in self._line.pushes if "a" in push]
        for push in pushes[self._heard :]:
            self._hear(push["a"], **push["b"])
        self._heard = len(pushes)

    def _hear(self, action: str, p: str, d: Any, t: int) -> None:
        mirror = self._mirrors[t]
        for relative, value in d.items() if action == "m" else [("", d)]:
            mirror.set(parse_path(p) + parse_path(relative), value)

    def shown(self, tag: int) -> Node | None:
        return self._mirrors[tag].get(self._asked[tag][0])

    def close(self) -> None:
        self._line.close()


class EventReader:
    """A client of an event stream, that reads when it is asked to. query: as a part of the address. seconds: for one event."""

    def __init__(self, port: int, ns: str, path: str, query: str = "", seconds: float = SECONDS) -> None:
        self._connection = HTTPConnection("127.0.0.1", port, timeout=seconds)
        target = f"{path}.json?ns={ns}{'&' if query else ''}{query}"
        self._connection.request("GET", target, headers={"Accept": "text/event-stream"})
        self._answer = self._connection.getresponse()
        assert self._answer.status == 200, self._answer.read()

    def event(self) -> tuple[str, Any]:
        """The next one that is not there to keep the connection alive."""
        while True:
            name, data, empty = (self._answer.readline() for _ in range(3))
            assert empty == b"\n"
            if name != b"event: keep-alive\n":
                return name.decode().split()[1], json.loads(data.removeprefix(b"data: "))

    def close(self) -> None:
        self._answer.close()
        self._connection.close()


class StreamFollower:
    """One query over one event stream. What it shows has no priorities."""

    def __init__(self, port: int, ns: str, place: Path, asked: Constraints) -> None:
        self._events = EventReader(port, ns, format_path(place), parameters_of(asked), TOLD_SECONDS)
        self._mirror = Tree()
        self.events: list[tuple[str, Any]] = []

    def read_until(self, wanted: Node | None) -> None:
        """Reads events until what was put together is that. Nothing else says that all have come."""
        while not self.events or told(self._mirror.root) != told(wanted):
            name, event = self._events.event()
            self.events.append((name, event))
            path, value = parse_path(event["path"]), event["data"]
            for relative, written in value.items() if name == "patch" else [("", value)]:
                self._mirror.set(path + parse_path(relative), from_json(written)[0])

    def close(self) -> None:
        self._events.close()


class Line:
    """What a WebSocket's connection writes to, in memory."""

    def __init__(self) -> None:
        self.written = b""

    def write(self, data: bytes) -> None:
        self.written += data

    def __getattr__(self, name: str) -> Any:
        return lambda *arguments: None

    @property
    def heard(self) -> list[dict[str, Any]]:
        """What is in the messages, of which each is short."""
        frames, messages = self.written, []
        while frames:
            start = 4 if frames[1] == 126 else 2
            size = int.from_bytes(frames[2:4]) if frames[1] == 126 else frames[1]
            messages.append(json.loads(frames[start : start + size]))
            frames = frames[start + size :]
        return [message["d"] for message in messages]

    @property
    def told(self) -> list[dict[str, Any]]:
        """The pushes among them."""
        return [message["b"] for message in self.heard if "a" in message]
