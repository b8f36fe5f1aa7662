"""What one session asked to be written when its connection ends.

A queue of paths with parsed values, in the order they came; no queued path is at or below a later one. Server values stay
unresolved until the queue is carried out. Cancelling below a queued value splits that value, so that its siblings still run.
Most queues hold a few; one that grows gets an index, or each operation would look at all that came before it.
Source: docs/semantics.md "onDisconnect"; the mirror of this queue that the official SDKs keep.
"""

from __future__ import annotations

from collections.abc import Iterator

from meadowlark.tree import Node, Path, children, is_leaf

INDEXED_FROM = 32
"""Operations; fewer are looked through."""


class DisconnectQueue:
    """The operations of one session."""

    __slots__ = ("_below", "_writes")

    def __init__(self) -> None:
        self._writes: dict[Path, Node | None] = {}
        self._below: dict[Path, dict[Path, None]] | None = None
        """By each queued path and each above it: the queued paths there and below. None while there are few."""

    def __len__(self) -> int:
        return len(self._writes)

    def __iter__(self) -> Iterator[tuple[Path, Node | None]]:
        """(path, value) in the order to be written; None removes."""
        return iter(self._writes.items())

    def set(self, path: Path, node: Node | None) -> None:
        """Queues `node` for `path`, in place of all that was queued at and below it."""
        self._drop(path)
        self._put(path, node)

    def cancel(self, path: Path) -> None:
        """Forgets what would be written at and below `path`, also where a queued value above covers it."""
        self._drop(path)
        for depth in range(len(path) - 1, -1, -1):
            above = path[:depth]
            if above in self._writes:
                node = self._take(above)
                self._split(above, node, path)

    def _drop(self, path: Path) -> None:
        if self._below is None:
            depth = len(path)
            dropped = [queued for queued in self._writes if queued[:depth] == path]
        else:
            dropped = list(self._below.get(path, ()))
        for queued in dropped:
            self._take(queued)

    def _put(self, path: Path, node: Node | None) -> None:
        self._writes[path] = node
        if self._below is not None:
            self._index(self._below, path)
        elif len(self._writes) >= INDEXED_FROM:
            self._below = {}
            for queued in self._writes:
                self._index(self._below, queued)

    @staticmethod
    def _index(below: dict[Path, dict[Path, None]], path: Path) -> None:
        for depth in range(len(path) + 1):
            below.setdefault(path[:depth], {})[path] = None

    def _take(self, path: Path) -> Node | None:
        if self._below is not None:
            for depth in range(len(path) + 1):
                there = self._below[path[:depth]]
                del there[path]
                if not there:
                    del self._below[path[:depth]]
        return self._writes.pop(path)

    def _split(self, above: Path, node: Node | None, without: Path) -> None:
        """Queues the children of `node` one by one, all but the one at `without`. A leaf has nothing at `without`: it stays."""
        if node is None or is_leaf(node):
            self._put(above, node)
            return
        cut_key = without[len(above)]
        for key, child in children(node):
            if key != cut_key:
                self._put((*above, key), child)
            elif len(without) > len(above) + 1:
                self._split((*above, key), child, without)
