"""The children of one place in the order of their keys, where the map itself is kept in that order: nothing is kept beside it.

It stands where an `Index` would, for the order by key, and for the order by priority as long as no child has one, which is the
same then. What it is asked it reads from the map as it is now. It cannot know what was there before a write, so it is told.
Does not know: queries, who looks; when it must give way to an `Index` (`serves`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import islice

from meadowlark.query.index import Index, Touched
from meadowlark.query.positions import END, KEY, START, Position
from meadowlark.tree import (
    AFTER_ALL_KEYS,
    AFTER_KEY,
    Node,
    child_count,
    children_between,
    count_between,
    find_child,
    is_key_ordered,
    key_order,
    priority_of,
)

_FIRST = (0, 0)
"""How the position of every child begins."""


class KeyIndex:
    __slots__ = ("_node", "order")

    def __init__(self, order: str, node: Callable[[], Node | None]) -> None:
        """node: gives the map as it is."""
        self.order = order
        self._node = node

    def __len__(self) -> int:
        return child_count(self._node())

    def serves(self, children: Iterable[Node | None]) -> bool:
        """Whether it still tells the truth, now that `children` were written."""
        if not is_key_ordered(self._node()):
            return False
        return self.order == KEY or not any(priority_of(child) is not None for child in children)

    def touch(self, key: str, child: Node | None, *, stood: bool = True) -> Touched:
        """The child at `key` is now `child`. stood: whether there was one before."""
        position = _position(key)
        return Touched(key, position if stood else None, None if child is None else position)

    def where(self, key: str, child: Node | None) -> Position | None:
        """Where `child`, which is the one at `key`, stands; None for nowhere."""
        return None if child is None else _position(key)

    def edge(self, low: Position, high: Position, limit: int, *, from_end: bool) -> tuple[int, Position | None]:
        """How many of at most `limit` children there are between two cuts; the last of them, if there are so many."""
        found = list(islice(self.walk(low, high, back=from_end), limit))
        return len(found), found[-1] if len(found) == limit else None

    def is_wider(self, low: Position, high: Position, count: int) -> bool:
        """Whether there are more than about `count` children between two cuts."""
        return count_between(self._node(), _order(low), _order(high)) > count

    def walk(self, low: Position, high: Position, *, back: bool = False) -> Iterator[Position]:
        """Positions of the children between two cuts, in order, or backwards. Nothing may be written before it ends."""
        for key, _ in self.pairs(low, high, back=back):
            yield _position(key)

    def pairs(self, low: Position, high: Position, *, back: bool = False) -> Iterator[tuple[str, Node]]:
        """(key, child) of the children between two cuts, in order, or backwards."""
        return children_between(self._node(), _order(low), _order(high), reverse=back)

    def has_between(self, key: str, low: Position, high: Position) -> bool:
        """Whether the child at `key` stands between two cuts."""
        return low < _position(key) < high and find_child(self._node(), key) is not None

    def between(self, low: Position, high: Position) -> Iterator[str]:
        """Keys of the children between two cuts, in order."""
        return (key for key, _ in self.pairs(low, high))

    def neighbours(self, position: Position) -> list[str]:
        """Keys of the children just before and just after the one at `position`."""
        node, order = self._node(), position[2]
        before = children_between(node, "", order, reverse=True)
        after = children_between(node, order + AFTER_KEY, AFTER_ALL_KEYS)
        return [key for key, _ in (*islice(before, 1), *islice(after, 1))]

    def check(self, children: Iterable[tuple[str, Node]]) -> None:
        """Asserts that it is true; for tests."""
        shown = dict(children)
        assert self.serves(shown.values()), "the order of keys is not the order"
        assert list(self.between(START, END)) == sorted(shown, key=key_order), "a child is missed"


AnyIndex = Index | KeyIndex


def _position(key: str) -> Position:
    return (0, 0, key_order(key), key)


def _order(cut: Position) -> str:
    """A cut as what the orders of keys are compared with."""
    if cut[:2] != _FIRST:
        return AFTER_ALL_KEYS if cut else ""
    return cut[2] + AFTER_KEY if len(cut) > 3 else cut[2]  # type: ignore[no-any-return]  # a text
