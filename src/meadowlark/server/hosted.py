"""One database in memory with what the rim keeps about it, and those that can be told of it.

While a large update goes on, or until new rules have been asked about who listens, a database is *held*: commands wait in order,
and so does work in slices, and whoever awaits `released`.
Does not know: how commands are carried out (shard.py).
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any

from meadowlark.engine import Client, Command, Database, Push, Reply, Revoke, Work
from meadowlark.server.fan_out import FanOuts
from meadowlark.server.lanes import Lane
from meadowlark.server.watching import Watcher
from meadowlark.tree import Node
from meadowlark.wire.numbering import Numbering


class Receiver(Client):
    """A client that can be told; the rim's connections and calls are such."""

    __slots__ = ()
    kind = "realtime"
    """How it speaks, for who watches: `realtime`, `rest` or `stream`."""

    def deliver(self, push: Push) -> None:
        raise NotImplementedError

    def encode_reply(self, reply: Reply) -> Any:
        """The reply as it will be sent; made at once, since values in it are live."""
        raise NotImplementedError

    def send_reply(self, encoded: Any) -> None:
        raise NotImplementedError

    def revoke(self, effect: Revoke) -> None:
        raise NotImplementedError

    def drop(self, kind: object, count: int = 1, text: str = "") -> None:
        """Volatile writes of this client went nowhere (wire/drops.py), or will be heard of by fewer."""

    def hold(self) -> Receiver:
        """Whom to send a reply to that nothing later may overtake. This is enough for those who hear of nothing else."""
        return self

    def abandon(self, reason: str) -> None:
        """The database is gone from under this client, which should come back; calls end by themselves."""


Waiter = tuple[Receiver, Any, int | None, int]
"""Who waits for a record, with what to send; the request in case it must be refused after all; when it was read."""


def _forget(node: Node | None) -> None: ...


class Hosted:
    """One database in memory, with what the rim keeps about it."""

    __slots__ = (
        "bury", "clients", "database", "held", "lane", "name", "numbering", "packing", "paused", "releases", "snapshot_bytes",
        "snapshotting", "stopped", "telling", "unpacked_bytes", "unsaved_bytes", "used_at", "users", "watchers",
    )  # fmt: skip

    def __init__(self, database: Database, bury: Callable[[Node | None], None] = _forget) -> None:
        """bury: takes values that are let go, to free them in slices."""
        self.bury = bury
        self.name = database.name
        self.database = database
        self.lane = Lane()
        """Its share of the loop."""
        self.numbering = Numbering()
        """Of its paths, for clients that are told in datagrams."""
        self.telling: FanOuts | None = None
        """Changes on their way to thousands of listeners; None if there never were so many."""
        self.clients: dict[str, Receiver] = {}
        """Realtime connections by session id, so that a client that comes back can take over its old session."""
        self.users = 0
        """Connections and calls that hold this database open."""
        self.used_at = 0.0
        self.unsaved_bytes = 0
        """Of records since the last snapshot."""
        self.unpacked_bytes = 0
        """Of records since the tree was last packed."""
        self.packing = False
        self.snapshot_bytes = 0
        self.snapshotting = False
        self.watchers: tuple[Watcher, ...] = ()
        """Told of every command."""
        self.held: deque[tuple[Command, int]] | None = None
        """Commands that wait for a large update, or until new rules have been asked about who listens; None: nothing has to."""
        self.paused: list[Work] = []
        """Work in slices that waits for it too."""
        self.releases: list[asyncio.Future[None]] = []
        """Of others who wait for it."""
        self.stopped = False
        """A bug was met; nothing is done here any more."""

    async def released(self) -> None:
        """Returns when nothing has to wait."""
        while self.held is not None:
            release: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self.releases.append(release)
            await release

    def __del__(self) -> None:
        # Nobody refers to it any more, so nobody can come to its tree, and what that holds may be a lot.
        self.bury(self.database.tree.root)
