"""Client cores and a server's machines joined in memory: every frame passes as bytes, and nothing waits for anything.

`Served` is one database with its connections; `connect` joins a core to it until `cut`. Records count as durable at once.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

from meadowlark.auth.identity import ADMIN, Identity
from meadowlark.client.core import Core
from meadowlark.client.mirror import Event, Listener, View
from meadowlark.client.protocol import Hello, Link
from meadowlark.engine import Client, Commit, Database, Effect, Leave, Open, Push, Reply, Revoke
from meadowlark.tree import Node
from meadowlark.wire import Answer, Session, encode_push, encode_reply, encode_revoke


class Served:
    """A database, and who is connected to it."""

    def __init__(self, access: Any = None, identity: Identity = ADMIN) -> None:
        self.database = Database("pair", access or Open())
        self.identity = identity
        self.now_ms = 1_700_000_000_000
        self._names = itertools.count(1)

    def connect(self, core: Core, token: str | None = None) -> Wire:
        return Wire(self, core, f"session-{next(self._names)}", token)

    @property
    def root(self) -> Node | None:
        return self.database.tree.root

    def carry_out(self, command: Any) -> None:
        """Runs `command`, and lets everyone hear what comes of it."""
        out: list[Effect] = []
        self.database.apply(command, self.now_ms, out)
        for effect in out:
            if isinstance(effect, Push):
                for listener in effect.listeners:
                    assert isinstance(listener, Seat)
                    listener.wire.hear(encode_push(effect))
            elif isinstance(effect, Commit) and effect.reply is not None:
                self._answer(effect.reply)
            elif isinstance(effect, Reply):
                self._answer(effect)
            elif isinstance(effect, Revoke):
                assert isinstance(effect.client, Seat)
                effect.client.wire.hear(encode_revoke(effect.path))

    def _answer(self, reply: Reply) -> None:
        assert isinstance(reply.client, Seat)
        reply.client.wire.hear(encode_reply(reply))


class Seat(Client):
    """The server's side of one connection."""

    __slots__ = ("wire",)

    def __init__(self, wire: Wire, id: str, identity: Identity) -> None:
        super().__init__(id, identity)
        self.wire = wire


class Wire:
    """One connection. Nothing moves until `pass_on` or `settle`."""

    def __init__(self, served: Served, core: Core, session: str, token: str | None) -> None:
        self._served = served
        self._core = core
        self._link = Link()
        self._seat = Seat(self, session, served.identity)
        self._session = Session(self._seat, "host")
        self._to_client: list[bytes] = []
        self.is_cut = False
        core.opened(Hello(served.now_ms, "host", session), token, lambda status, payload: None)

    def hear(self, frames: bytes) -> None:
        if not self.is_cut:
            self._to_client += texts(frames)

    def send(self) -> bool:
        """What the client has to say reaches the server, which answers; whether there was anything."""
        frames = self._core.outgoing.take_all()
        for frame in frames:
            outcomes: list[Any] = []
            self._session.receive(frame, outcomes)
            for outcome in outcomes:
                if isinstance(outcome, Answer):
                    self.hear(outcome.frame)
                else:
                    self._served.carry_out(outcome)
        return bool(frames)

    def receive(self, count: int | None = None) -> bool:
        """The first `count` frames from the server reach the client; whether there were any."""
        frames, self._to_client[:count] = self._to_client[:count], []
        for frame in frames:
            said = self._link.receive(frame)
            if said is not None:
                self._core.said(said)
        return bool(frames)

    def settle(self) -> None:
        """Until nobody has anything more to say."""
        while self.send() | self.receive():
            pass

    def cut(self) -> None:
        """The connection breaks: what is on its way is lost."""
        self.is_cut = True
        self._to_client.clear()
        self._core.lost()
        self._served.carry_out(Leave(self._seat))


class Ear:
    """A listener that builds from its events what it hears of, beside the last value it was given."""

    def __init__(self) -> None:
        self.events: list[tuple[str, str | None, Node | None, str | None]] = []
        self.children: list[tuple[str, Node]] = []
        """As the children's events say."""
        self.value: Node | None = None
        self.value_count = 0
        self.ended: str | None = None
        kinds = frozenset(["value", "child_added", "child_removed", "child_moved", "child_changed"])
        self.listener = Listener(kinds, self.told, self.over)
        self.view: View | None = None

    def told(self, event: Event) -> None:
        self.events.append((event.kind, event.key, event.node, event.previous_key))
        if event.kind == "value":
            self.value = event.node
            self.value_count += 1
            return
        assert event.key is not None
        keys = [key for key, _ in self.children]
        if event.kind == "child_added":
            assert event.key not in keys, f"{event.key} was added twice"
        else:
            assert event.key in keys, f"{event.key} was never added"
            del self.children[keys.index(event.key)]
            keys.remove(event.key)
        if event.kind != "child_removed":
            place = 0 if event.previous_key is None else 1 + keys.index(event.previous_key)
            self.children.insert(place, (event.key, event.node))

    def over(self, status: str, text: str) -> None:
        self.ended = status

    def take(self) -> list[tuple[str, str | None, Node | None, str | None]]:
        events, self.events = self.events, []
        return events


def texts(frames: bytes) -> Iterator[bytes]:
    """The payloads of text frames as a server writes them."""
    place = 0
    while place < len(frames):
        assert frames[place] == 0x81, "expected a whole text frame"
        size, head = frames[place + 1], 2
        if size == 126:
            size, head = int.from_bytes(frames[place + 2 : place + 4], "big"), 4
        yield frames[place + head : place + head + size]
        place += head + size


class Answers:
    """Takes the answer to one request."""

    def __init__(self) -> None:
        self.status: str | None = None
        self.payload: Any = None

    def __call__(self, status: str, payload: Any) -> None:
        assert self.status is None, "answered twice"
        self.status, self.payload = status, payload
