"""Which values of the tree are volatile: never on disk, and gone when the connection that wrote them ends.

Such values stand in the tree like all others, so that reading, listening, queries and rules need not know. What is kept here is
where they stand, as marks: a mark at a path says that all at and below it is volatile. No mark is below another. A write that
is not volatile takes the marks at and below its place away, and a mark above it is split around it.
Source: docs/semantics.md "Volatile values".
"""

from __future__ import annotations

from collections.abc import Generator

from meadowlark.engine.client import Client
from meadowlark.engine.values import finish
from meadowlark.tree import Node, Path, Tree, children, find, is_leaf, priority_of

_STEP_PATHS = 100


class _Spot:
    """One place. `is_marked`: all here is volatile, and `owner` wrote it last; an owner of None keeps it."""

    __slots__ = ("children", "is_marked", "owner")

    def __init__(self) -> None:
        self.children: dict[str, _Spot] = {}
        self.is_marked = False
        self.owner: Client | None = None


class VolatileValues:
    """The marks of one database."""

    __slots__ = ("_by_owner", "_marks", "_root")

    def __init__(self) -> None:
        self._root = _Spot()
        self._marks: dict[Path, None] = {}
        self._by_owner: dict[Client, dict[Path, None]] = {}

    @property
    def count(self) -> int:
        return len(self._marks)

    def covers(self, path: Path) -> bool:
        """Whether all at `path` is volatile."""
        spot: _Spot | None = self._root
        for key in path:
            assert spot is not None
            if spot.is_marked:
                return True
            spot = spot.children.get(key)
            if spot is None:
                return False
        return spot is not None and spot.is_marked

    def mark(self, path: Path, owner: Client | None) -> None:
        """All at `path` is volatile from now on. What a mark above covers already goes on belonging to that."""
        spot = self._root
        for key in path:
            if spot.is_marked:
                return
            child = spot.children.get(key)
            if child is None:
                child = spot.children[key] = _Spot()
            spot = child
        if spot.is_marked and spot.owner is owner:
            return  # Mostly: a cursor moves.
        self._clear_below(path, spot)
        spot.is_marked, spot.owner = True, owner
        self._marks[path] = None
        if owner is not None:
            self._by_owner.setdefault(owner, {})[path] = None

    def unmark(self, path: Path, root: Node | None) -> None:
        """What stands at `path` in the tree `root` is not volatile any more; what stands beside it below one mark still is."""
        for depth in range(len(path)):
            above = path[:depth]
            spot = self._find(above)
            if spot is None:
                break
            if spot.is_marked:
                owner = spot.owner
                self._clear(above)
                for level in range(depth, len(path)):
                    for key, _ in children(find(root, path[:level])):
                        if key != path[level]:
                            self.mark((*path[:level], key), owner)
                return
        self._clear(path)

    def remove(self, path: Path, root: Node | None) -> None:
        """The volatile value at `path` is gone from the tree, which is `root` now: what marked nothing else is gone too."""
        for depth in range(len(path)):
            spot = self._find(path[:depth])
            if spot is None:
                break
            if spot.is_marked:
                if find(root, path[:depth]) is None:
                    self._clear(path[:depth])
                return
        self._clear(path)

    def stale_priorities(self, path: Path, root: Node | None) -> list[Path]:
        """Places above `path` whose priority is on no disk, since nothing below them is: in the tree `root`, in which a value
        that is not volatile is about to be put at `path`. On disk these places begin anew with it."""
        found: list[Path] = []
        node, spot, is_covered = root, self._root, False
        for depth, key in enumerate(path):
            if node is None:
                break
            is_covered = is_covered or spot.is_marked
            if priority_of(node) is not None and (is_covered or not _has_durable(node, spot)):
                found.append(path[:depth])
            if not is_covered:
                below = spot.children.get(key)
                if below is None:
                    break  # No marks from here on: all is durable.
                spot = below
            node = find(node, (key,))
        return found

    def count_of(self, owner: Client) -> int:
        return len(self._by_owner.get(owner, ()))

    def of(self, owner: Client) -> list[Path]:
        """The places whose values go when `owner` does."""
        return list(self._by_owner.get(owner, ()))

    def paths(self) -> list[Path]:
        """Every mark."""
        return list(self._marks)

    def durable_part(self, path: Path, root: Node | None) -> Node | None:
        """What stands at `path` in the tree `root`, less what is volatile. Valid as long as the tree does not change."""
        if self.covers(path):
            return None
        depth = len(path)
        return finish(without([mark[depth:] for mark in self._marks if mark[:depth] == path], find(root, path)))

    def check(self, root: Node | None) -> None:
        """Asserts the invariants; for tests."""
        marks = list(self.paths())
        assert all(one == other or other[: len(one)] != one for one in marks for other in marks), "a mark is below another"
        owned = [(path, owner) for owner, paths in self._by_owner.items() for path in paths]
        for path, owner in owned:
            spot = self._find(path)
            assert spot is not None
            assert spot.is_marked
            assert spot.owner is owner
        assert all(paths for paths in self._by_owner.values())

    def _find(self, path: Path) -> _Spot | None:
        spot: _Spot | None = self._root
        for key in path:
            if spot is None:
                return None
            spot = spot.children.get(key)
        return spot

    def _clear(self, path: Path) -> None:
        """Takes away the marks at and below `path`, and the branches that they leave empty."""
        way = [self._root]
        for key in path:
            child = way[-1].children.get(key)
            if child is None:
                return
            way.append(child)
        self._clear_below(path, way[-1])
        for depth in range(len(path), 0, -1):
            if way[depth].children or way[depth].is_marked:
                return
            del way[depth - 1].children[path[depth - 1]]

    def _clear_below(self, path: Path, spot: _Spot) -> None:
        """Takes away the marks at and below `spot`, which is at `path`."""
        todo = [(path, spot)]
        while todo:
            place, below = todo.pop()
            if below.is_marked:
                self._forget(place, below)
            todo += [((*place, key), child) for key, child in below.children.items()]
        spot.children = {}

    def _forget(self, path: Path, spot: _Spot) -> None:
        del self._marks[path]
        spot.is_marked = False
        owner, spot.owner = spot.owner, None
        if owner is not None:
            paths = self._by_owner[owner]
            del paths[path]
            if not paths:
                del self._by_owner[owner]


def _has_durable(node: Node, spot: _Spot) -> bool:
    """Whether anything in `node`, whose marks `spot` has, is not volatile."""
    if spot.is_marked:
        return False
    if is_leaf(node) or not spot.children:
        return True
    for key, child in children(node):
        below = spot.children.get(key)
        if below is None or _has_durable(child, below):
            return True
    return False


def without(paths: list[Path], root: Node | None) -> Generator[None, None, Node | None]:
    """`root`, which must be frozen, less what stands at `paths`: what belongs on disk, if these were the marks when it was
    frozen. Copies only the maps on the way; yields after each millisecond or so."""
    tree = Tree(root)
    tree.freeze()
    for count, path in enumerate(paths, 1):
        tree.set(path, None)
        if not count % _STEP_PATHS:
            yield
    return tree.root
