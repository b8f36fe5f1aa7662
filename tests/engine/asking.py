"""A database with clients in memory: say what is asked, read what comes out, keep what each client believes."""

from __future__ import annotations

import copy
from typing import Any

from meadowlark.auth.identity import ADMIN, NOBODY, Identity
from meadowlark.engine import (
    Access,
    Client,
    Command,
    Commit,
    Database,
    Effect,
    Open,
    Push,
    Reply,
    Work,
)
from meadowlark.tree import Tree, format_path, parse_path, unpacked
from tests.engine.mobile import merged

NOW = 1_700_000_000_000


class Believer(Client):
    """A client that carries out pushes on a tree of its own, as the SDKs do."""

    __slots__ = ("heard", "mirror")

    def __init__(self, id: str, identity: Identity = NOBODY) -> None:
        super().__init__(id, identity)
        self.heard: list[tuple[str, str, Any]] = []
        self.mirror = Tree()

    def hear(self, push: Push) -> None:
        if push.ranges is not None:
            self.heard.append(("ranges", format_path(push.path), push.ranges))
            node = self.mirror.get(push.path)
            for one in push.ranges:
                start, end = (None if place is None else "/".join(place) for place in (one.start, one.end))
                node = merged(node, start, end, copy.deepcopy(unpacked(one.node)))
            self.mirror.set(push.path, node)
            return
        self.heard.append(("merge" if push.merge else "set", format_path(push.path), push.value))
        writes = push.value.items() if push.merge else [("", push.value)]
        for relative, node in writes:
            # A copy: the mirror is changed too, and must not change the database's tree.
            self.mirror.set(push.path + parse_path(relative), copy.deepcopy(node))

    def take(self) -> list[tuple[str, str, Any]]:
        """What was heard since the last take."""
        heard, self.heard = self.heard, []
        return heard


class Asking:
    """`do(command)` applies, delivers and records; the pieces are read as attributes."""

    def __init__(self, access: Access | None = None) -> None:
        self.database = Database("test", access or Open())
        self.commits: list[Commit] = []
        self.out: list[Effect] = []
        self.now = NOW
        self.works: list[Work] | None = None
        """Where work in slices waits; None: it is done at once."""

    def client(self, name: str = "one", *, admin: bool = False) -> Believer:
        return Believer(name, ADMIN if admin else NOBODY)

    def do(self, command: Command) -> Reply | None:
        """The reply to `command`, immediate or after its commit."""
        out: list[Effect] = []
        self.out = out
        self.database.apply(command, self.now, out)
        self.database.check()
        reply = None
        for effect in out:
            if isinstance(effect, Push):
                for client in effect.listeners:
                    assert isinstance(client, Believer)
                    client.hear(effect)
            elif isinstance(effect, Commit):
                self.commits.append(effect)
                reply = effect.reply
            elif isinstance(effect, Reply):
                reply = effect
            elif isinstance(effect, Work):
                if self.works is None:
                    reply = self.finish(effect) or reply
                else:
                    self.works.append(effect)
        return reply

    def finish(self, work: Work) -> Reply | None:
        """Does all steps of `work`, and what it was for; the reply that comes of it."""
        for _ in work.steps:
            pass
        return None if work.then is None else self.do(work.then)

    def refusal(self, command: Command) -> str:
        """The text with which `command` is refused; the tree must be as before."""
        before = repr(self.database.tree.root)
        reply = self.do(command)
        assert reply is not None
        assert reply.refused is not None
        assert repr(self.database.tree.root) == before
        return reply.refused.text
