"""The other end of the wire, for tests: reads server frames as clients do, and joins sessions to a database in memory.

`read_frames` and `read_messages` follow RFC 6455 and the clients' receiver rule and are written apart from the code under test.
`Exchange` is a rim without sockets or disk: everything is durable at once, so answers come in the order of the requests.
"""

from __future__ import annotations

from typing import Any

from meadowlark.auth.identity import NOBODY
from meadowlark.auth.tokens import DevVerifier
from meadowlark.engine import Client, Command, Commit, Database, Effect, Identify, Leave, Locked, Open, Push, Reply, Revoke
from meadowlark.tree import Tree
from meadowlark.wire import (
    Answer,
    Authenticate,
    Close,
    Outcome,
    Session,
    Unauthenticate,
    encode_push,
    encode_reply,
    encode_revoke,
)

TEXT = 1
NOW_MS = 1_700_000_000_000
HOST = "127.0.0.1:9000"


def read_frames(stream: bytes) -> list[tuple[int, bytes]]:
    """(opcode, payload) of each frame; fails unless every frame is final, unmasked, whole and of minimal length."""
    frames = []
    while stream:
        assert stream[0] & 0x80, "not final"
        assert stream[0] & 0x70 == 0, "reserved bits"
        size, head = stream[1], 2
        assert size < 127, "a server's frame is short or of 16-bit length (and unmasked)"
        if size == 126:
            size, head = int.from_bytes(stream[2:4], "big"), 4
            assert size > 125, "length is not minimal"
        payload = stream[head : head + size]
        assert len(payload) == size, "cut short"
        frames.append((stream[0] & 0x0F, payload))
        stream = stream[head + size :]
    return frames


def read_messages(stream: bytes) -> list[str]:
    """The JSON texts that a client makes of text frames, with the receiver rule of the official clients."""
    messages: list[str] = []
    left, pieces = 0, []
    for opcode, payload in read_frames(stream):
        assert opcode == TEXT
        text = payload.decode()  # Strictly: each frame must be UTF-8 by itself.
        if left:
            pieces.append(text)
            left -= 1
        elif len(text) <= 6 and text.isdecimal():
            left, pieces = int(text), []
            assert left, "a JavaScript client never recovers from a 0"
            continue
        else:
            pieces = [text]
        if not left:
            messages.append("".join(pieces))
    assert not left, "frames are missing"
    return messages


class Peer(Client):
    """One client of an Exchange: `sent` is what the server sent it, `closed` why it was closed, if it was."""

    __slots__ = ("closed", "sent", "session")

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.sent: list[str] = []
        self.closed: Close | None = None
        self.session = Session(self, HOST)

    def send(self, frames: bytes) -> None:
        self.sent.extend(read_messages(frames))


class Exchange:
    """A database and its peers in memory."""

    def __init__(self, tree: Any = None, *, locked: bool = False) -> None:
        self.database = Database("test", Locked() if locked else Open(), Tree(tree))

    def receive(self, peer: Peer, frame: bytes) -> list[Outcome]:
        """Hands one text frame of `peer` over and carries out what comes of it."""
        outcomes: list[Outcome] = []
        peer.session.receive(frame, outcomes)
        for outcome in outcomes:
            self._carry_out(peer, outcome)
        return outcomes

    def _carry_out(self, peer: Peer, outcome: Outcome) -> None:
        if isinstance(outcome, Answer):
            peer.send(outcome.frame)
        elif isinstance(outcome, Close):
            peer.closed = outcome
            self._apply(Leave(peer))
        elif isinstance(outcome, Authenticate):
            identity = DevVerifier().verify(outcome.credential, outcome.kind)
            self._apply(Identify(peer, outcome.request, identity))
        elif isinstance(outcome, Unauthenticate):
            self._apply(Identify(peer, outcome.request, NOBODY))
        else:
            self._apply(outcome)

    def _apply(self, command: Command) -> None:
        effects: list[Effect] = []
        self.database.apply(command, NOW_MS, effects)
        for effect in effects:
            self._perform(effect)
        self.database.tree.check()

    def _perform(self, effect: Effect) -> None:
        if isinstance(effect, Push):
            for listener in effect.listeners:
                _as_peer(listener).send(encode_push(effect))
        elif isinstance(effect, Revoke):
            _as_peer(effect.client).send(encode_revoke(effect.path))
        elif isinstance(effect, Reply):
            _as_peer(effect.client).send(encode_reply(effect))
        elif isinstance(effect, Commit) and effect.reply is not None:
            self._perform(effect.reply)


def _as_peer(client: Client) -> Peer:
    assert isinstance(client, Peer)
    return client
