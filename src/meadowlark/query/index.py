"""The children of one place in one order, kept sorted while they change.

Beside the sorted positions it keeps each child's position by key, so a change of one child costs one removal and one insertion
whatever the child held before, and nothing where its position is as it was. About 200 to 300 bytes a child (bench/queries.py).
Does not know: queries, who looks.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator
from typing import NamedTuple

from sortedcontainers import SortedList

from meadowlark.query.positions import Position, position_reader
from meadowlark.tree import Node, Path

SLICE_CHILDREN = 100
"""Read between two yields: about half a millisecond."""


class Touched(NamedTuple):
    """A child that was written, with where it stood and where it stands; None for nowhere."""

    key: str
    before: Position | None
    after: Position | None


class Index:
    __slots__ = ("_positions", "_read", "_sorted", "order")

    def __init__(self, order: str, path: Path = (), children: Iterable[tuple[str, Node]] = ()) -> None:
        self.order = order
        self._read = read = position_reader(order, path)
        self._positions: dict[str, Position] = {key: read(key, child) for key, child in children}
        self._sorted: SortedList = SortedList(self._positions.values())

    def __len__(self) -> int:
        return len(self._positions)

    def fill(self, children: Iterable[tuple[str, Node]]) -> Generator[None, None, None]:
        """Adds `children` to an index made without, a slice at a time."""
        read, positions, ordered = self._read, self._positions, self._sorted
        for count, (key, child) in enumerate(children, 1):
            position = positions[key] = read(key, child)
            ordered.add(position)
            if count % SLICE_CHILDREN == 0:
                yield

    def empty(self) -> Generator[None, None, None]:
        """Takes it apart, a slice at a time, so that freeing it holds nobody up. It must not be used any more."""
        positions = self._positions
        self._sorted = SortedList()
        while positions:
            for _ in range(min(len(positions), 20 * SLICE_CHILDREN)):
                positions.popitem()
            yield

    def touch(self, key: str, child: Node | None) -> Touched:
        """The child at `key` is now `child`."""
        before = self._positions.get(key)
        after = None if child is None else self._read(key, child)
        if before != after:
            if before is not None:
                self._sorted.remove(before)
            if after is None:
                del self._positions[key]
            else:
                self._positions[key] = after
                self._sorted.add(after)
        return Touched(key, before, after)

    def rank(self, cut: Position) -> int:
        """How many children stand before `cut`."""
        return self._sorted.bisect_left(cut)  # type: ignore[no-any-return]  # the package has no types

    def at(self, rank: int) -> Position:
        return self._sorted[rank]  # type: ignore[no-any-return]  # the package has no types

    def has_between(self, key: str, low: Position, high: Position) -> bool:
        """Whether the child at `key` stands between two cuts."""
        position = self._positions.get(key)
        return position is not None and low < position < high

    def between(self, low: Position, high: Position) -> Iterator[str]:
        """Keys of the children between two cuts, in order."""
        return (position[3] for position in self._sorted.irange(low, high))

    def neighbours(self, position: Position) -> list[str]:
        """Keys of the children just before and just after the one at `position`."""
        ordered = self._sorted
        rank = ordered.bisect_left(position)
        near = [rank - 1] if rank else []
        if rank + 1 < len(ordered):
            near.append(rank + 1)
        return [ordered[rank][3] for rank in near]

    def check(self, children: Iterable[tuple[str, Node]]) -> None:
        """Asserts that it is as if made anew; for tests."""
        assert self._positions == {key: self._read(key, child) for key, child in children}, "a position is out of date"
        assert list(self._sorted) == sorted(self._positions.values()), "the order is out of date"
