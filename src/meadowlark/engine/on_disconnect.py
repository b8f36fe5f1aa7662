"""What one session asked to be written when its connection ends.

A queue of paths with parsed values, in the order they came; no queued path is at or below a later one. Server values stay
unresolved until the queue is carried out. Cancelling below a queued value splits that value, so that its siblings still run.
The places of one update are carried out together, as far as they are still queued: they are a batch, known by its number.
Most queues hold a few; one that grows gets an index, or each operation would look at all that came before it.
Source: docs/semantics.md "onDisconnect"; the mirror of this queue that the official SDKs keep.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby

from meadowlark.auth.identity import ADMIN, Identity
from meadowlark.tree import Node, Path, children, is_leaf

INDEXED_FROM = 32
"""Operations; fewer are looked through."""


class DisconnectQueue:
    """The operations of one session."""

    __slots__ = ("_batch_of", "_below", "_last_batch", "_writes", "asker")

    def __init__(self) -> None:
        self.asker: Identity = ADMIN
        """As whom it is carried out: who the session is, or was until its credential expired. Journals of before 2026-11-26 do
        not say: what they hold was permitted when it was queued."""
        self._writes: dict[Path, Node | None] = {}
        self._batch_of: dict[Path, int] = {}
        """Of each path that is carried out together with others; those of one batch are neighbours in `_writes`."""
        self._last_batch = 0
        self._below: dict[Path, dict[Path, None]] | None = None
        """By each queued path and each above it: the queued paths there and below. None while there are few."""

    def __len__(self) -> int:
        return len(self._writes)

    def __iter__(self) -> Iterator[tuple[Path, Node | None]]:
        """(path, value) in the order to be written; None removes."""
        return iter(self._writes.items())

    def batches(self) -> Iterator[list[tuple[Path, Node | None]]]:
        """The same, with what is to be written together."""
        for batch, writes in groupby(self._writes.items(), key=lambda write: self._batch_of.get(write[0])):
            if batch is None:
                yield from ([write] for write in writes)
            else:
                yield list(writes)

    def batch_of(self, path: Path) -> int | None:
        return self._batch_of.get(path)

    def new_batch(self) -> int:
        """A number for writes that are to be carried out together; to be queued one after the other."""
        return self._last_batch + 1

    def set(self, path: Path, node: Node | None, batch: int | None = None) -> None:
        """Queues `node` for `path`, in place of all that was queued at and below it."""
        self._drop(path)
        self._put(path, node)
        if batch is not None:
            self._batch_of[path] = batch
            self._last_batch = max(self._last_batch, batch)

    def cancel(self, path: Path) -> None:
        """Forgets what would be written at and below `path`, also where a queued value above covers it."""
        self._drop(path)
        for depth in range(len(path) - 1, -1, -1):
            above = path[:depth]
            if above in self._writes:
                pieces = [piece for piece in _split(above, self._writes[above], path) if not self._is_covered(piece[0], above)]
                self._replace(above, pieces)

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
        self._batch_of.pop(path, None)
        return self._writes.pop(path)

    def _is_covered(self, path: Path, above: Path) -> bool:
        """Whether what was queued after the value at `above` is written over all that it has at `path`."""
        return any(path[:depth] in self._writes for depth in range(len(above) + 1, len(path) + 1))

    def _replace(self, above: Path, pieces: list[tuple[Path, Node | None]]) -> None:
        """Queues `pieces` where in the order the value at `above` was, since what came later is written over them."""
        keys = list(self._writes)
        later = keys[keys.index(above) + 1 :]
        batch = self._batch_of.get(above)
        self._take(above)
        for path, node in pieces:
            self._put(path, node)
            if batch is not None:
                self._batch_of[path] = batch
        for path in later:
            self._writes[path] = self._writes.pop(path)


def _split(above: Path, node: Node | None, without: Path) -> Iterator[tuple[Path, Node | None]]:
    """The children of `node` one by one, all but the one at `without`. A leaf has nothing at `without`: it stays."""
    if node is None or is_leaf(node):
        yield above, node
        return
    cut_key = without[len(above)]
    for key, child in children(node):
        if key != cut_key:
            yield (*above, key), child
        elif len(without) > len(above) + 1:
            yield from _split((*above, key), child, without)
