"""What is told of each command to whoever watches a database: the profile by path, and the stream of operations.

Nothing is measured while nobody watches. Does not know: who watches, and why.
"""

from __future__ import annotations

from typing import Protocol

import msgspec

from meadowlark.engine import Command
from meadowlark.errors import Refused
from meadowlark.tree import Path


class Told(msgspec.Struct, frozen=True, gc=False):
    """One change on its way to all who listen."""

    path: Path
    listener_count: int
    bytes_each: int
    """0 for a large value, which is encoded later."""


class Carried(msgspec.Struct, frozen=True, gc=False):
    """One command that has been carried out, or refused."""

    command: Command
    kind: str
    """How its client speaks: `realtime`, `rest` or `stream`."""
    refused: Refused | None
    unindexed: bool
    """Whether it was a listen to a query whose index is not declared."""
    written_bytes: int
    """Of its record in the journal."""
    replied_bytes: int
    """0 for an answer in slices, which is made as it leaves."""
    told: tuple[Told, ...]
    waited_nanoseconds: int
    """From when it was read to when it was begun."""
    took_nanoseconds: int

    @property
    def path(self) -> Path:
        return getattr(self.command, "path", ())

    @property
    def told_bytes(self) -> int:
        return sum([told.bytes_each * told.listener_count for told in self.told])


class Watcher(Protocol):
    def see(self, carried: Carried) -> None:
        """A command has been carried out."""

    def see_connection(self, *, begins: bool) -> None:
        """A realtime connection has begun or ended."""
