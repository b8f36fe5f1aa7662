"""The children of one place in one order, kept sorted while they change.

Beside the sorted positions it keeps each child's position by key, so a change of one child costs one removal and one insertion
whatever the child held before, and nothing where its position is as it was. About 200 to 300 bytes a child (bench/queries.py).
Where a map is kept in the order itself there is a `KeyIndex` (key_index.py) instead.
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

    def touch(self, key: str, child: Node | None, *, stood: bool = True) -> Touched:
        """The child at `key` is now `child`. stood: whether there was one before, which this index knows by itself."""
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

    def where(self, key: str, child: Node | None) -> Position | None:
        """Where `child`, which is the one at `key`, stands; None for nowhere."""
        return self._positions.get(key)

    def edge(self, low: Position, high: Position, limit: int, *, from_end: bool) -> tuple[int, Position | None]:
        """How many of at most `limit` children there are between two cuts; the last of them, if there are so many."""
        first, end = self._sorted.bisect_left(low), self._sorted.bisect_left(high)
        if end - first < limit:
            return max(end - first, 0), None
        return limit, self._sorted[end - limit if from_end else first + limit - 1]

    def is_wider(self, low: Position, high: Position, count: int) -> bool:
        """Whether there are more than `count` children between two cuts."""
        return self._sorted.bisect_left(high) - self._sorted.bisect_left(low) > count  # type: ignore[no-any-return]  # untyped

    def walk(self, low: Position, high: Position, *, back: bool = False) -> Iterator[Position]:
        """Positions of the children between two cuts, in order, or backwards."""
        return self._sorted.irange(low, high, reverse=back) if low < high else iter(())

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
