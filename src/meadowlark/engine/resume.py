"""Whether a client that listens has already what it would be sent: it says so by a hash.

The hash of a small value is found at once. That of a large one is found in slices (the effect `Work`, and `Hashed` when it is
there) on a frozen view, once for all who wait for it, and kept until something in it is written (tree/known_hashes.py). What
is written while it is found is noted: whoever had the value as it was frozen is sent just that.
When in doubt the value is sent, so this is strict, unlike a transaction's check.
Source: docs/protocol.md "Hashes".
"""

from __future__ import annotations

from collections.abc import Generator

from meadowlark.engine.client import Client
from meadowlark.engine.commands import Hashed, Listen
from meadowlark.engine.effects import Effect, Work
from meadowlark.limits import HASH_WAITERS_MAX
from meadowlark.tree import KnownHashes, Node, Path, Tree, find, hash_slices, node_count_up_to, node_hash

HASHED_AT_ONCE_NODES_MAX = 1_000
"""Values that are hashed in one go: about two milliseconds."""

MISSED_MAX = 100
"""Writes noted while a hash is found; after more the value is sent whole."""

WINDOW_NODES_MAX = 20_000
"""A larger window of a query is sent whatever hash the client has."""


class Search:
    """For the hash of one place."""

    __slots__ = ("_found", "hash", "missed", "path", "waiting")

    def __init__(self, path: Path) -> None:
        self.path = path
        self.hash = ""
        self.waiting: list[Listen] = []
        self.missed: dict[Path, None] = {}
        """Where was written meanwhile."""
        self._found: list[tuple[Path, str]] = []

    @property
    def has_missed_too_much(self) -> bool:
        return len(self.missed) > MISSED_MAX

    def note(self, path: Path) -> None:
        if not self.has_missed_too_much and _are_related(path, self.path):
            self.missed[path] = None

    def steps(self, tree: Tree, known: KnownHashes) -> Generator[None, None, None]:
        def find_known(path: Path) -> str | None:
            # What is known is true of the tree as it is, not as it was frozen.
            return None if self._is_written(path) else known.get(path)

        def found(path: Path, hash: str) -> None:
            self._found.append((path, hash))

        root = tree.freeze()
        try:
            self.hash = yield from hash_slices(find(root, self.path), self.path, find_known, found)
        finally:
            del root
            tree.thaw()
        for path, hash in self._found:
            if not self._is_written(path):
                known.put(path, hash)

    def _is_written(self, path: Path) -> bool:
        return self.has_missed_too_much or any(_are_related(missed, path) for missed in self.missed)


class Resume:
    """All that is known, and searched for, of the hashes of one database."""

    __slots__ = ("_known", "_searches", "_tree")

    def __init__(self, tree: Tree) -> None:
        self._tree = tree
        self._known = KnownHashes()
        self._searches: dict[Path, Search] = {}

    @property
    def is_active(self) -> bool:
        """Whether writes must be said to `written`."""
        return bool(self._known.count or self._searches)

    def written(self, path: Path) -> None:
        if self._known.count:
            self._known.forget(path)
        for search in self._searches.values():
            search.note(path)

    def has_already(self, command: Listen, node: Node | None, out: list[Effect]) -> bool | None:
        """Whether who asks `command` need not be sent `node`; None if that is not known yet: then the command waits."""
        hash, path = command.hash, command.path
        if node is None or not hash:
            return node is None and hash == ""
        if node_count_up_to(node, HASHED_AT_ONCE_NODES_MAX) <= HASHED_AT_ONCE_NODES_MAX:
            return node_hash(node) == hash
        known = self._known.get(path)
        if known is not None:
            return known == hash
        search = self._searches.get(path)
        if search is None:
            search = self._searches[path] = Search(path)
            out.append(Work(search.steps(self._tree, self._known), Hashed(path)))
        if len(search.waiting) >= HASH_WAITERS_MAX:
            return False
        search.waiting.append(command)
        return None

    def withdraw(self, client: Client, path: Path) -> list[Listen]:
        """The listens of `client` at `path` that wait; they do no longer."""
        search = self._searches.get(path)
        if search is None:
            return []
        withdrawn = [command for command in search.waiting if command.client is client]
        search.waiting = [command for command in search.waiting if command.client is not client]
        return withdrawn

    def withdraw_above(self, client: Client, path: Path) -> list[Listen]:
        """The same for all places that contain `path`."""
        places = [place for place in self._searches if path[: len(place)] == place]
        return [command for place in places for command in self.withdraw(client, place)]

    def end(self, path: Path) -> Search | None:
        """The search that was for the hash of `path`."""
        return self._searches.pop(path, None)


def hash_if_small(node: Node) -> str:
    """The hash of a window; one that no client sends if it is large."""
    return node_hash(node) if node_count_up_to(node, WINDOW_NODES_MAX) <= WINDOW_NODES_MAX else "?"


def _are_related(one: Path, other: Path) -> bool:
    """Whether one contains the other."""
    depth = min(len(one), len(other))
    return one[:depth] == other[:depth]
