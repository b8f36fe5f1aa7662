"""Who may read and write: the seam where the security rules stand. Three answers: by rules, open, and locked.

An admin is never asked about. Whoever answers sees the tree as it is, the time of the operation, and of a write all that would
be written, with server values made; nothing has changed yet, and nothing changes if the answer is no.
Source: docs/rules.md "Reading and writing".
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Collection, Generator
from typing import Any, Protocol

import msgspec

from meadowlark.auth.identity import Identity
from meadowlark.errors import Code, Refused
from meadowlark.query import Query
from meadowlark.rules import (
    Coverage,
    Explanation,
    RuleSet,
    Write,
    Writing,
    decide_slices,
    explain_read,
    explain_slices,
    explain_write,
    may_read,
    may_write,
    place_slices,
    query_values,
)
from meadowlark.tree import Node, Path

DENIED = "Permission denied"


class Volatility(enum.Enum):
    DURABLE = 0
    VOLATILE = 1
    KEPT = 2
    """Volatile, and stays when its writer goes."""


class Access(Protocol):
    def may_read(self, identity: Identity, path: Path, query: Query | None, root: Node | None, now_ms: int) -> bool:
        """Whether `identity` may read, or listen to, `path`. query: which of its children, in which order."""

    def may_write(self, identity: Identity, writes: list[Write], root: Node | None, now_ms: int) -> bool:
        """Whether `identity` may do all `writes`, of which none is above another."""

    def decide_slices(
        self, identity: Identity, writes: list[Write], look: Callable[[], Node | None], now_ms: int
    ) -> Generator[Collection[Path] | None, None, bool]:
        """The same, a slice at a time. Yields between slices the places of the tree that it hangs on, those that were not
        named yet, each before it is looked at; `look` gives the tree."""

    def could_write(self, identity: Identity, path: Path) -> bool:
        """False where no write of any value could be allowed; asked before a large value is prepared."""

    def volatility(self, path: Path) -> Volatility:
        """Whether values at `path` are never on disk, and whether they outlive the connection that wrote them."""

    def read_denial(self, identity: Identity, path: Path, query: Query | None, root: Node | None, now_ms: int) -> Refused:
        """What a client is told that may not read."""

    def write_denial(self, identity: Identity, writes: list[Write], root: Node | None, now_ms: int) -> Refused: ...

    def denial_slices(
        self, identity: Identity, writes: list[Write], look: Callable[[], Node | None], now_ms: int
    ) -> Generator[None, None, Refused]:
        """The same of what was decided in slices."""


class _Silent:
    """Says no more than that it was denied."""

    def may_write(self, identity: Identity, writes: list[Write], root: Node | None, now_ms: int) -> bool:
        raise NotImplementedError

    def decide_slices(
        self, identity: Identity, writes: list[Write], look: Callable[[], Node | None], now_ms: int
    ) -> Generator[Collection[Path] | None, None, bool]:
        yield from ()
        return self.may_write(identity, writes, look(), now_ms)

    def volatility(self, path: Path) -> Volatility:
        return Volatility.DURABLE

    def read_denial(self, identity: Identity, path: Path, query: Query | None, root: Node | None, now_ms: int) -> Refused:
        return Refused(Code.PERMISSION_DENIED, DENIED)

    def write_denial(self, identity: Identity, writes: list[Write], root: Node | None, now_ms: int) -> Refused:
        return Refused(Code.PERMISSION_DENIED, DENIED)

    def denial_slices(
        self, identity: Identity, writes: list[Write], look: Callable[[], Node | None], now_ms: int
    ) -> Generator[None, None, Refused]:
        yield from ()
        return self.write_denial(identity, writes, None, now_ms)


class Open(_Silent):
    """Everyone may do everything: development without rules."""

    def may_read(self, identity: Identity, path: Path, query: Query | None, root: Node | None, now_ms: int) -> bool:
        return True

    def may_write(self, identity: Identity, writes: list[Write], root: Node | None, now_ms: int) -> bool:
        return True

    def could_write(self, identity: Identity, path: Path) -> bool:
        return True


class Locked(_Silent):
    """Only an admin may do anything: production before rules say otherwise."""

    def may_read(self, identity: Identity, path: Path, query: Query | None, root: Node | None, now_ms: int) -> bool:
        return False

    def may_write(self, identity: Identity, writes: list[Write], root: Node | None, now_ms: int) -> bool:
        return False

    def could_write(self, identity: Identity, path: Path) -> bool:
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


class Ruled:
    """As a rule set decides, and declares. `explains`: whoever is denied is told which rules said no: for developers only."""

    def __init__(self, rules: RuleSet, *, explains: bool = False) -> None:
        self.rules = rules
        self._explains = explains

    def may_read(self, identity: Identity, path: Path, query: Query | None, root: Node | None, now_ms: int) -> bool:
        return may_read(self.rules, identity.auth, path, root, now_ms, self.seen(query))

    def may_write(self, identity: Identity, writes: list[Write], root: Node | None, now_ms: int) -> bool:
        return may_write(self.rules, identity.auth, writes, root, now_ms)

    def decide_slices(
        self, identity: Identity, writes: list[Write], look: Callable[[], Node | None], now_ms: int
    ) -> Generator[Collection[Path] | None, None, bool]:
        yield from place_slices(self.rules, writes)
        return (yield from decide_slices(self.rules, self._writing(identity, writes, look(), now_ms), look))

    def _writing(self, identity: Identity, writes: list[Write], root: Node | None, now_ms: int) -> Writing:
        return Writing(identity.auth, writes, root, now_ms)

    def could_write(self, identity: Identity, path: Path) -> bool:
        return self.rules.could_write(path)

    def volatility(self, path: Path) -> Volatility:
        if not self.rules.has_volatile:
            return Volatility.DURABLE
        said = self.rules.volatility(path)
        return Volatility.KEPT if said == "keep" else Volatility.VOLATILE if said else Volatility.DURABLE

    def find(self, path: Path, query: Query) -> bool:
        return self.rules.is_indexed(path, query.index)

    def read_denial(self, identity: Identity, path: Path, query: Query | None, root: Node | None, now_ms: int) -> Refused:
        if not (self._explains or identity.debugs):
            return Refused(Code.PERMISSION_DENIED, DENIED)
        return self._explained(explain_read(self.rules, identity.auth, path, root, now_ms, self.seen(query)))

    def write_denial(self, identity: Identity, writes: list[Write], root: Node | None, now_ms: int) -> Refused:
        if not (self._explains or identity.debugs):
            return Refused(Code.PERMISSION_DENIED, DENIED)
        return self._explained(explain_write(self.rules, identity.auth, writes, root, now_ms))

    def denial_slices(
        self, identity: Identity, writes: list[Write], look: Callable[[], Node | None], now_ms: int
    ) -> Generator[None, None, Refused]:
        if not (self._explains or identity.debugs):
            return Refused(Code.PERMISSION_DENIED, DENIED)
        return self._explained((yield from explain_slices(self.rules, identity.auth, writes, look, now_ms)))

    def _explained(self, explanation: Explanation) -> Refused:
        """Apps compare the text, so in production it stays as it is and the reason comes beside it."""
        summary = explanation.summary()
        text, debug = (f"{DENIED}: {summary}", "") if self._explains else (DENIED, summary)
        return Refused(Code.PERMISSION_DENIED, text, debug)

    @staticmethod
    def seen(query: Query | None) -> dict[str, Any] | None:
        """`query` as rules see it. Over the socket an order by priority is the same as none; over REST every order is named."""
        if query is None:
            return None
        return query_values(msgspec.json.decode(query.identity), names_order="i" in query.spec or not query.spec)


class Counted(Ruled):
    """As a rule set decides, keeping count of which rules were asked and what came out: for developers only."""

    def __init__(self, rules: RuleSet) -> None:
        super().__init__(rules, explains=True)
        self.coverage = Coverage(rules)

    def may_read(self, identity: Identity, path: Path, query: Query | None, root: Node | None, now_ms: int) -> bool:
        return self.coverage.decide_read(identity.auth, path, root, now_ms, self.seen(query))

    def may_write(self, identity: Identity, writes: list[Write], root: Node | None, now_ms: int) -> bool:
        return self.coverage.decide_write(identity.auth, writes, root, now_ms)

    def _writing(self, identity: Identity, writes: list[Write], root: Node | None, now_ms: int) -> Writing:
        return self.coverage.writing(identity.auth, writes, root, now_ms)
