"""What the rim must do after a command. The order in the list is the contract: performed first to last.

Values in effects are references into the live tree: whoever performs an effect encodes them before the next command.
"""

from __future__ import annotations

from collections.abc import Collection, Generator
from typing import Any

import msgspec

from meadowlark.engine.client import Client
from meadowlark.engine.commands import Command
from meadowlark.errors import Refused
from meadowlark.query import Query
from meadowlark.tree import Node, Path, Range


class Push(msgspec.Struct, gc=False):
    """Tell every one of `listeners` that something changed; all of them get the same bytes.

    merge False: `value` (None: nothing) now stands at `path`. merge True: `value` maps paths relative to `path`
    (text such as "b" or "b/y") to what now stands there (None: nothing); the rest below `path` is as it was.
    ranges: these now stand below `path`, and the rest is as it was; `value` is None. Only for who listens with ranges.
    """

    listeners: Collection[Client]
    path: Path
    value: Any
    merge: bool = False
    encoded: Any = None
    """Room for the protocols' encodings, so that each is made once however many listen. The engine leaves it alone."""
    asked: bool = False
    """Whether this is what a listen begins with: the client asked for it, nothing changed."""
    tag: int | None = None
    """What these listeners call their listen to a query."""
    volatile: bool = False
    """Only the last of those for one path (of a merge, for each of its paths) matters: a client that is behind may be told that
    alone."""
    lasting: Collection[str] = ()
    """Of a volatile merge, the paths in `value` for which that does not hold."""
    room: dict[Any, Any] | None = None
    """Like `encoded`, for all but the tag: shared with the pushes that say the same to listeners with other tags."""
    ranges: list[Range] | None = None
    apart: list[Push] | None = None
    """Room for `pieces`."""

    @property
    def place(self) -> Any:
        """What a volatile push is the last for: its path, which a client may hear of under several tags."""
        return self.path if self.tag is None else (self.tag, self.path)

    def pieces(self) -> list[Push]:
        """A volatile merge taken apart, for who need not hear of all: what lasts in one, and every other path by itself."""
        if self.apart is None:
            lasting = {name: value for name, value in self.value.items() if name in self.lasting}
            self.apart = [Push(self.listeners, self.path, lasting, merge=True, tag=self.tag)] if lasting else []
            for name, value in self.value.items():
                if name not in lasting:
                    path = (*self.path, *name.split("/"))
                    self.apart.append(Push(self.listeners, path, value, tag=self.tag, volatile=True))
        return self.apart


class Reply(msgspec.Struct, gc=False):
    """The answer to one request. `refused` None: granted, with `value` (what was read, or what now stands at the path)."""

    client: Client
    request: int | None
    refused: Refused | None = None
    value: Node | None = None
    detail: Any = None
    """Kind-specific: for Identify the identity, for a Listen a list of warnings."""
    holds: bool = False
    """Nothing that happens later may reach the client before this (docs/protocol.md "Transactions")."""


class Commit(msgspec.Struct, gc=False):
    """Append `entries` to the journal as record `sequence`, atomically; send `reply` when it is durable.

    entries, in order: ["w", pathText, exportValue] a write, settled and resolved (null: remove; path may end in /.priority);
    ["a", sessionId, auth, rights] who that session is, of which something is queued,
    ["o", sessionId, pathText, value] queued for that session's end, with a number where several are to be written together,
    ["c", sessionId, pathText] cancelled,
    ["x", sessionId] the session ended and its queue is gone. Replaying them in sequence order gives the database.
    """

    sequence: int
    entries: list[list[Any]]
    reply: Reply | None = None
    record: bytes | None = None
    """The entries as JSON, where they were encoded before."""


class Revoke(msgspec.Struct, gc=False):
    """The listen of `client` at `path` has ended because it may not read there any more."""

    client: Client
    path: Path
    query: Query | None = None


class Drop(msgspec.Struct, gc=False):
    """`node` stands nowhere any more, and is so large that freeing it would take long: to be done in slices."""

    node: Node


class Work(msgspec.Struct, gc=False):
    """`steps` take long: do them beside everything else, a little at a time, and then apply `then`."""

    steps: Generator[None, None, None]
    then: Command | None


Effect = Push | Reply | Commit | Revoke | Drop | Work
