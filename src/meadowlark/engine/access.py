"""Who may read and write: the seam where the security rules stand. Two answers without rules: open and locked."""

from __future__ import annotations

from typing import Protocol

from meadowlark.auth.identity import Identity
from meadowlark.query import Query
from meadowlark.tree import Path


class Access(Protocol):
    """Asked before anything happens; an admin is never asked about. query: what of the place is read; None: all of it."""

    def may_read(self, identity: Identity, path: Path, query: Query | None = None) -> bool: ...

    def may_write(self, identity: Identity, path: Path) -> bool: ...


class Open:
    """Everyone may do everything: development."""

    def may_read(self, identity: Identity, path: Path, query: Query | None = None) -> bool:
        return True

    def may_write(self, identity: Identity, path: Path) -> bool:
        return True


class Locked:
    """Only an admin may do anything: production before rules say otherwise."""

    def may_read(self, identity: Identity, path: Path, query: Query | None = None) -> bool:
        return False

    def may_write(self, identity: Identity, path: Path) -> bool:
        return False


class Declared(Protocol):
    """Which indexes are declared. The orders by key and by priority need none and are not asked about."""

    def find(self, path: Path, query: Query) -> bool:
        """Whether the children of `path` are indexed by `query.index`."""
        ...


class NothingDeclared:
    """As it is where nobody has said anything: a listen to a query is answered with a warning, one that reads once refused."""

    def find(self, path: Path, query: Query) -> bool:
        return False
