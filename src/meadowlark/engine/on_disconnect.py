"""What one session asked to be written when its connection ends.

A queue of paths with parsed values, in the order they came; no queued path is at or below a later one. Server values stay
unresolved until the queue is carried out. Cancelling below a queued value splits that value, so that its siblings still run.
Source: docs/semantics.md "onDisconnect"; the mirror of this queue that the official SDKs keep.
"""

from __future__ import annotations

from collections.abc import Iterator

from meadowlark.tree import Node, Path, children, is_leaf


class DisconnectQueue:
    """The operations of one session."""

    __slots__ = ("_writes",)

    def __init__(self) -> None:
        self._writes: dict[Path, Node | None] = {}

    def __len__(self) -> int:
        return len(self._writes)

    def __iter__(self) -> Iterator[tuple[Path, Node | None]]:
        """(path, value) in the order to be written; None removes."""
        return iter(self._writes.items())

    def set(self, path: Path, node: Node | None) -> None:
        """Queues `node` for `path`, in place of all that was queued at and below it."""
        self._drop(path)
        self._writes[path] = node

    def cancel(self, path: Path) -> None:
        """Forgets what would be written at and below `path`, also where a queued value above covers it."""
        self._drop(path)
        for depth in range(len(path) - 1, -1, -1):
            above = path[:depth]
            if above in self._writes:
                node = self._writes.pop(above)
                self._split(above, node, path)

    def _drop(self, path: Path) -> None:
        depth = len(path)
        for queued in [queued for queued in self._writes if queued[:depth] == path]:
            del self._writes[queued]

    def _split(self, above: Path, node: Node | None, without: Path) -> None:
        """Queues the children of `node` one by one, all but the one at `without`. A leaf has nothing at `without`: it stays."""
        if node is None or is_leaf(node):
            self._writes[above] = node
            return
        cut_key = without[len(above)]
        for key, child in children(node):
            if key != cut_key:
                self._writes[(*above, key)] = child
            elif len(without) > len(above) + 1:
                self._split((*above, key), child, without)
