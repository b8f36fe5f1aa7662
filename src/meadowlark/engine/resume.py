"""Whether a client that listens has already what it would be sent: it says so by a hash.

The hash of a small value is found at once. That of a large one is found in slices (the effect `Work`, and `Hashed` when it is
there) on a frozen view, once for all who wait for it, and kept until something in it is written (tree/known_hashes.py). What
is written while it is found is noted: whoever had the value as it was frozen is sent just that.
When in doubt the value is sent, so this is strict, unlike a transaction's check.

Mobile clients say what they have in more detail, by the hashes of ranges. Where the hash is wrong, those are compared in the same
way, in a second search, and the client is sent the ranges that differ.
Source: docs/protocol.md "Hashes" and "Compound hashes".
"""

from __future__ import annotations

from collections.abc import Generator

from meadowlark.engine.client import Client
from meadowlark.engine.commands import Hashed, Listen
from meadowlark.engine.effects import Effect, Work
from meadowlark.engine.values import finish
from meadowlark.limits import HASH_WAITERS_MAX, RANGE_SEARCHES_MAX
from meadowlark.tree import (
    KnownHashes,
    Node,
    Path,
    Range,
    Ranges,
    Tree,
    differing_slices,
    find,
    hash_slices,
    node_count_up_to,
    node_hash,
)

HASHED_AT_ONCE_NODES_MAX = 1_000
"""Values that are hashed in one go: about two milliseconds."""

MISSED_MAX = 100
"""Writes noted while a hash is found; after more the value is sent whole."""


WHOLE = [Range(None, None, None)]
"""What a client lacks who must be sent everything, whatever it is."""

Lacking = list[Range]
"""Empty: the client has everything."""


class Search:
    """For the hash of one place, or for those of its `ranges` that differ."""

    __slots__ = ("_found", "hash", "lacking", "missed", "path", "ranges", "waiting")

    def __init__(self, path: Path, ranges: Ranges | None) -> None:
        self.path = path
        self.ranges = ranges
        self.hash = ""
        self.lacking: Lacking = WHOLE
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
            if self.ranges is not None:
                self.lacking = (yield from differing_slices(find(root, self.path), self.ranges)) or WHOLE
                return
            self.hash = yield from hash_slices(find(root, self.path), self.path, find_known, found)
        finally:
            del root
            tree.thaw()
        for path, hash in self._found:
            if not self._is_written(path):
                known.put(path, hash)

    def withdraw(self, client: Client) -> list[Listen]:
        """The listens of `client` that wait; they do no longer."""
        withdrawn = [command for command in self.waiting if command.client is client]
        self.waiting = [command for command in self.waiting if command.client is not client]
        return withdrawn

    def _is_written(self, path: Path) -> bool:
        return self.has_missed_too_much or any(_are_related(missed, path) for missed in self.missed)


class Resume:
    """All that is known, and searched for, of the hashes of one database."""

    __slots__ = ("_apart", "_known", "_searches", "_tree")

    def __init__(self, tree: Tree) -> None:
        self._tree = tree
        self._known = KnownHashes()
        self._apart: list[Search] = []
        """Those that no listen waits for."""
        self._searches: dict[tuple[Path, Ranges | None], Search] = {}

    @property
    def is_active(self) -> bool:
        """Whether writes must be said to `written`."""
        return bool(self._known.count or self._searches or self._apart)

    def written(self, path: Path) -> None:
        if self._known.count:
            self._known.forget(path)
        for search in self._searches.values():
            search.note(path)
        for search in self._apart:
            search.note(path)

    def known_hash(self, path: Path) -> str | None:
        """The hash of the large value at `path`, if it has been found and nothing in it was written since."""
        return self._known.get(path)

    def find_hash(self, path: Path) -> Generator[None, None, None]:
        """Steps after which `known_hash` knows it, unless something in it is written meanwhile."""
        search = Search(path, None)
        self._apart.append(search)
        try:
            yield from search.steps(self._tree, self._known)
        finally:
            self._apart.remove(search)

    def find_lacking(self, command: Listen, node: Node | None, out: list[Effect]) -> Lacking | None:
        """What of `node` who asks `command` must be sent; None if that is not known yet: then the command waits."""
        hash, path = command.hash, command.path
        if node is None or not hash:
            return [] if node is None and hash == "" else WHOLE
        if node_count_up_to(node, HASHED_AT_ONCE_NODES_MAX) <= HASHED_AT_ONCE_NODES_MAX:
            return [] if node_hash(node) == hash else lacking_at_once(node, command.ranges)
        known = self._known.get(path)
        if known is None:
            return self._wait(command, None, out)
        return [] if known == hash else self.compare_ranges(command, out)

    def compare_ranges(self, command: Listen, out: list[Effect]) -> Lacking | None:
        """The same for who asks `command` with a hash that is wrong, of a large value."""
        if command.ranges is None:
            return WHOLE
        return self._wait(command, command.ranges, out)

    def _wait(self, command: Listen, ranges: Ranges | None, out: list[Effect]) -> Lacking | None:
        place = (command.path, ranges)
        search = self._searches.get(place)
        if search is None:
            if ranges is not None and sum(other is not None for _, other in self._searches) >= RANGE_SEARCHES_MAX:
                return WHOLE
            search = self._searches[place] = Search(command.path, ranges)
            out.append(Work(search.steps(self._tree, self._known), Hashed(command.path, ranges)))
        if len(search.waiting) >= HASH_WAITERS_MAX:
            return WHOLE
        search.waiting.append(command)
        return None

    def withdraw(self, client: Client, path: Path) -> list[Listen]:
        """The listens of `client` at `path` that wait; they do no longer."""
        return [command for search in self._searches.values() if search.path == path for command in search.withdraw(client)]

    def withdraw_above(self, client: Client, path: Path) -> list[Listen]:
        """The same for all places that contain `path`."""
        above = [search for search in self._searches.values() if path[: len(search.path)] == search.path]
        return [command for search in above for command in search.withdraw(client)]

    def end(self, path: Path, ranges: Ranges | None) -> Search | None:
        """The search that was for the hash of `path`, or for what differs of its `ranges`."""
        return self._searches.pop((path, ranges), None)


def lacking_at_once(node: Node, ranges: Ranges | None) -> Lacking:
    """What of `node` who has it otherwise, and says it by `ranges`, must be sent; all of it where finding that takes long."""
    if ranges is None or node_count_up_to(node, HASHED_AT_ONCE_NODES_MAX) > HASHED_AT_ONCE_NODES_MAX:
        return WHOLE
    return finish(differing_slices(node, ranges)) or WHOLE


def _are_related(one: Path, other: Path) -> bool:
    """Whether one contains the other."""
    depth = min(len(one), len(other))
    return one[:depth] == other[:depth]
