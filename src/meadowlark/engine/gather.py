"""What a query shows, read in slices of a frozen view because it is much, for all who wait for it.

Where its children stood that are written meanwhile is noted, as for any window. So the end costs what was written: the window, as
of the frozen view, makes one step to the present. Whoever waits and says what it has by a hash is compared in slices too.
Does not know: permissions, who waits for what reason.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable
from itertools import islice
from operator import itemgetter

from meadowlark.engine.commands import Get, Listen
from meadowlark.query import AnyIndex, Index, KeyIndex, Position, Query, Touched, Window
from meadowlark.query.positions import after
from meadowlark.tree import Node, Path, Tree, child_count, children, find, find_child, find_present, hash_slices, is_key_ordered

STEP_CHILDREN = 100
"""Read between two yields, where neighbours are read: some pages."""

STEP_SCATTERED = 25
"""Where each may lie in another page: a fifth of a millisecond, at most a whole one."""

SHARE = 16
"""From one child in so many on, all of a place is read, in the order in which it is kept."""

FEW_CHILDREN = 50
"""Shown of a packed map in their order; of more, several lie in one page, which is then decoded once for all of them."""


class Gather:
    __slots__ = ("_before", "_values", "hash", "is_void", "query", "waiting", "window")

    def __init__(self, query: Query) -> None:
        self.query = query
        self.waiting: list[Listen | Get] = []
        self.window = Window(query)
        """As of the frozen view, and from `finish` on as of then."""
        self.hash: str | None = None
        """Of what is shown; None if nobody asks, or if it is no longer true."""
        self.is_void = False
        """Whether the place was replaced meanwhile, or its index: then all was in vain."""
        self._before: dict[str, Position | None] = {}
        """Where the children stood that were written since."""
        self._values: dict[str, Node] = {}

    def note(self, touched: Iterable[Touched]) -> None:
        for key, was, _ in touched:
            self._before.setdefault(key, was)

    def steps(self, path: Path, index: AnyIndex, tree: Tree) -> Generator[None, None, None]:
        if self.is_void:
            return
        self._before.clear()
        root = tree.freeze()
        try:
            node = find(root, path)
            yield from self._read_in_key_order(index, node) if isinstance(index, KeyIndex) else self._read(index, node)
            if any(isinstance(command, Listen) and command.hash for command in self.waiting) and self._values:
                self.hash = yield from hash_slices(self._values, (), lambda path: None, lambda path, hash: None)
        finally:
            del root
            tree.thaw()

    def _read_in_key_order(self, index: KeyIndex, node: Node | None) -> Generator[None, None, None]:
        query = self.query
        frozen = KeyIndex(index.order, lambda: node)
        for key, child in islice(frozen.pairs(query.low, query.high, back=query.from_end), query.limit):
            self._values[key] = child
            if len(self._values) % STEP_CHILDREN == 0:
                yield
        if query.limit is not None and self._values:
            edge = frozen.where(key, child) if len(self._values) == query.limit else None
            self.window.place(len(self._values), edge)

    def _read(self, index: Index, node: Node | None) -> Generator[None, None, None]:
        query, values = self.query, self._values
        self.window.locate(index)
        low, high = self.window.low, self.window.high
        if query.limit is None and index.is_wider(low, high, child_count(node) // SHARE):
            for count, (key, child) in enumerate(children(node)):
                if index.has_between(key, low, high):
                    values[key] = child
                if count % STEP_CHILDREN == 0:
                    yield
            return
        while not self.is_void:
            # The index goes on changing, but a child that was not written stands where it stood.
            chunk = list(islice(index.walk(low, high), STEP_SCATTERED))
            if not chunk:
                return
            for _, _, order, key in chunk:
                child = find_present(node, key, order)
                if child is not None:
                    values[key] = child
            low = after(chunk[-1])
            yield

    def finish(self, index: AnyIndex, node: Node | None) -> Node | None:
        """What the query shows of `node` now; nothing may be written before all have been told."""
        before, values = self._before, self._values
        if before:
            self._before, self.hash = {}, None
            touched = [Touched(key, was, index.where(key, find_child(node, key))) for key, was in before.items()]
            step = self.window.advance(index, touched)
            for key in before:
                values.pop(key, None)
            if step is not None:
                for key in step.left:
                    values.pop(key, None)
                for key in (*step.stayed, *step.entered):
                    values[key] = find_child(node, key)
        return values or None


def shown(window: Window, index: AnyIndex, node: Node | None) -> Iterable[tuple[str, Node]]:
    """(key, child) of what `window` shows of `node`: in their order, or many of a packed map in that of their keys."""
    if isinstance(index, KeyIndex):
        return index.pairs(window.low, window.high)
    if not is_key_ordered(node):
        return [(key, find_present(node, key)) for _, _, _, key in index.walk(window.low, window.high)]
    positions = list(index.walk(window.low, window.high))
    if len(positions) > FEW_CHILDREN:
        positions.sort(key=itemgetter(2))
    return [(key, find_present(node, key, order)) for _, _, order, key in positions]
