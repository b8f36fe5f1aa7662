"""Somebody with a token or none, and every way in: one realtime connection, REST, and event streams, with what each was told.

`Adversary` asks and says whether it was granted; what it may be told in answer to a denial is asserted here, once for all ways.
`Listening` keeps what a connection's listens have been told, as an SDK would.
"""

from __future__ import annotations

import http.client
import json
import time
from typing import Any
from urllib.parse import quote

from meadowlark.tree import Tree, find, from_json, parse_path
from tests.auth.signing import SECRET, sign
from tests.harness import Response, Server
from tests.rules import naive
from tests.server.event_streams import EventStream
from tests.server.polling import Polling
from tests.server.sockets import Socket
from tests.server.transports import Transport

DENIED = b'{"error":"Permission denied"}'
WINDOW = {"i": ".key", "l": 2, "vf": "l"}
"""The query of all windows here: the first two children."""
WINDOW_ASKED = naive.NOTHING_ASKED | {"limitToFirst": 2}
"""`WINDOW`, as rules see it."""
WAYS: dict[str, Any] = {"socket": Socket, "polls": Polling, "transport": Transport}

Connection = Socket | Polling | Transport
Path = tuple[str, ...]


def text_of(path: Any) -> str:
    return "/" + "/".join(path)


def token_of(auth: Any) -> str | None:
    return None if auth is None else sign({"v": 0, "iat": int(time.time()), "d": auth}, SECRET, "HS256", None)


def window_of(node: Any) -> Any:
    """What `WINDOW` shows of `node`, in the export form."""
    shown = {key: child for key, child in sorted(node.items()) if not key.startswith(".")} if isinstance(node, dict) else {}
    return dict(list(shown.items())[:2]) or None


class Listening:
    """The listens of one connection: to whole places, and to windows by their tags."""

    def __init__(self) -> None:
        self.places: dict[Path, None] = {}
        self.windows: dict[Path, int] = {}
        self._tree = Tree()
        self._shown: dict[int, Tree] = {}
        self._read_count = 0
        self._tag_count = 0

    def begin(self, path: Path) -> None:
        self._tree.set(path, None)
        self.places[path] = None

    def begin_window(self, path: Path) -> int:
        self._tag_count += 1
        self.windows[path] = self._tag_count
        self._shown[self._tag_count] = Tree()
        return self._tag_count

    def believed(self, path: Path) -> Any:
        return find(self._tree.root, path)

    def believed_window(self, path: Path) -> Any:
        return find(self._shown[self.windows[path]].root, path)

    def hear(self, pushes: list[dict[str, Any]]) -> set[tuple[Path, bool]]:
        """Takes over what was told since the last time; gives the listens that were ended, and whether each was a window's.

        Asserts that nothing was told but of a place that is listened to."""
        ended: set[tuple[Path, bool]] = set()
        new, self._read_count = pushes[self._read_count :], len(pushes)
        for push in new:
            kind, body = push["a"], push["b"]
            path, tag = parse_path(body.get("p", "")), body.get("t")
            if kind == "c":
                is_window = "q" in body
                listens: dict[Path, Any] = self.windows if is_window else self.places
                assert path in listens, f"{push} ends what is no listen"
                del listens[path]
                ended.add((path, is_window))
                continue
            assert kind in ("d", "m"), push
            if tag is None:
                assert any(path[: len(place)] == place for place in self.places), f"{push} was told to who does not listen"
                tree = self._tree
            else:
                place = next((place for place, known in self.windows.items() if known == tag), None)
                assert place is not None, f"{push} was told to who does not listen"
                assert path[: len(place)] == place
                tree = self._shown[tag]
            writes = body["d"].items() if kind == "m" else [("", body["d"])]
            for relative, value in writes:
                where = (*path, *parse_path(relative))
                tree.set(where, from_json(value, len(where))[0])
        return ended


class Adversary:
    def __init__(self, server: Server, ns: str, auth: Any, way: str) -> None:
        self.server = server
        self.ns = ns
        self.way = way
        self.token = token_of(auth)
        self.streams: dict[tuple[Path, bool], tuple[EventStream, Any]] = {}
        """By place, and whether it shows a window: each with who listens so."""
        self.listening = Listening()
        self._connections: list[Connection] = []
        self._http = server.connect()
        self.connection = self._connect()

    def _connect(self) -> Connection:
        made: Connection = WAYS[self.way](self.server.port, self.ns, context=self.server.context)
        self._connections.append(made)
        if self.token is not None:
            assert made.ask("auth", {"cred": self.token})["s"] == "ok"
        return made

    # On the connection

    def ask(self, action: str, body: Any) -> tuple[bool, Any]:
        """Whether it was granted on the connection, and what the answer had."""
        answer = self.connection.ask(action, body)
        if answer["s"] in ("ok", "datastale"):
            return True, answer["d"]
        assert answer["s"] == "permission_denied", answer
        assert answer["d"] in (None, "", "Permission denied"), answer
        return False, None

    def hear(self) -> set[tuple[Path, bool]]:
        """What has been told by now: after the answer to a request that asks for nothing."""
        assert self.connection.ask("s", {"c": {}})["s"] == "ok"
        return self.listening.hear(self.connection.pushes)

    def become(self, auth: Any) -> None:
        self.token = token_of(auth)
        answer = self.connection.ask("unauth", {}) if self.token is None else self.connection.ask("auth", {"cred": self.token})
        assert answer["s"] == "ok", answer

    def say(self, path: Path, value: Any) -> None:
        """A volatile write that wants no answer, in a datagram where there are such; it has been carried out or dropped then."""
        said = json.dumps({"t": "d", "d": {"a": "v", "b": {"p": text_of(path), "d": value}}})
        if isinstance(self.connection, Transport):
            self.connection.say(text_of(path), value)
        elif isinstance(self.connection, Socket):
            self.connection.send_text(said)
        else:
            # With something that is answered, or the poll would be held.
            self.connection.poll(said, self.connection.text("s", {"c": {}})[1])
        assert self.connection.ask("s", {"c": {}})["s"] == "ok"

    def leave(self) -> None:
        """The connection ends, and another one begins."""
        self.connection.close()
        if isinstance(self.connection, Polling):
            query = f"&ls={self.connection.session}"
            Polling(self.server.port, self.ns, query=query, context=self.server.context).close()
        self.listening = Listening()
        self.connection = self._connect()

    # Over HTTP

    def target(self, path: Any, query: str = "") -> str:
        return f"/{'/'.join(path)}.json?ns={self.ns}&{query}" + (f"&auth={self.token}" if self.token else "")

    def request(self, method: str, path: Any, value: Any = None, query: str = "", **headers: str) -> Response:
        body = None if method in ("GET", "DELETE") else json.dumps(value)
        named = {name.replace("_", "-"): text for name, text in headers.items()}
        try:
            self._http.request(method, self.target(path, query), body, named)
            answer = self._http.getresponse()
        except (http.client.HTTPException, OSError):
            # A refusal of a large body ends the connection.
            self._http.close()
            self._http.request(method, self.target(path, query), body, named)
            answer = self._http.getresponse()
        made = Response(answer.status, answer.headers, answer.read())
        if made.status == 401:
            assert made.body == DENIED
            assert not {"etag", "content-disposition", "x-firebase-auth-debug"} & {name.lower() for name in made.headers}
        return made

    def stream(self, path: Path, auth: Any, *, is_window: bool) -> bool:
        """Whether an event stream has begun, which then goes on."""
        query = quote('orderBy="$key"&limitToFirst=2', safe="=&") if is_window else ""
        made = EventStream(self.server.port, self.target(path, query), context=self.server.context)
        if made.status != 200:
            made.close()
            assert (made.status, made.refusal) == (401, DENIED)
            return False
        self.end_stream((path, is_window))
        self.streams[path, is_window] = made, auth
        return True

    def end_stream(self, place: tuple[Path, bool]) -> None:
        if place in self.streams:
            self.streams.pop(place)[0].close()

    def close(self) -> None:
        for place in list(self.streams):
            self.end_stream(place)
        self._http.close()
        for connection in self._connections:
            connection.close()
