"""Who may read and write: the seam where the security rules stand. Two answers without rules: open and locked."""

from __future__ import annotations

from typing import Protocol

from meadowlark.auth.identity import Identity
from meadowlark.tree import Path


class Access(Protocol):
    """Asked before anything happens; an admin is never asked about."""

    def may_read(self, identity: Identity, path: Path) -> bool: ...

    def may_write(self, identity: Identity, path: Path) -> bool: ...


class Open:
    """Everyone may do everything: development."""

    def may_read(self, identity: Identity, path: Path) -> bool:
        return True

    def may_write(self, identity: Identity, path: Path) -> bool:
        return True


class Locked:
    """Only an admin may do anything: production before rules say otherwise."""

    def may_read(self, identity: Identity, path: Path) -> bool:
        return False

    def may_write(self, identity: Identity, path: Path) -> bool:
        return False
