"""The tree of one database: one root node, changed in place, with views that stay as they were.

`set` replaces one reference in a parent map, so what stood there before stays whole for whoever holds it: exactly that node and
nothing above it, for the maps on the way to it change in place. A reader that needs the whole tree as of one moment takes a
`freeze`: from then on a map that the view may hold is copied before it is changed (once a map, as deep as the write goes), and
the view never changes. Freezing costs nothing; without frozen views nothing is copied; a copy costs as much as the map is wide
(20 ns a child). A node given to `set` belongs to the tree from then on: give it to one place only.

Invariants: no empty map, no None inside, no `.priority` on nothing.
Does not know: who listens, who asks, whether the write was allowed.
"""

from __future__ import annotations

from typing import Any

import msgspec

from meadowlark.tree.node import Node, child_count, children, find, find_child, is_leaf, is_map, priority_of, with_priority
from meadowlark.tree.pages import Pages
from meadowlark.tree.paths import PRIORITY, VALUE, Path

Keys = set[str]
Map = Any
"""dict[str, Node] | Pages"""


class Change(msgspec.Struct, frozen=True, gc=False):
    """One reference replaced. `before` and `after` are what stood and stands at `path`; either may be None."""

    path: Path
    before: Node | None
    after: Node | None
    settled: Path
    """The path that says the whole effect: when a removal empties its parents, the highest one that vanished.

    Journals rely on it: setting "settled" to `after` for each change in order leads from the tree before the first to the tree
    after the last. Where no map has a priority it does so also from any later tree and from any mixture of the trees between.
    With priorities it may not: a map that is emptied on the way only in the replay loses its priority. So a replay starts
    exactly where its snapshot ends (tests/tree/test_journal_property.py has the example)."""
    stood: int = 0
    """How many keys of `path` led to something before: all of them, unless something new was put there."""


class Tree:
    """One JSON tree. Fields are read freely; only `set` changes it."""

    __slots__ = ("_frozen_count", "_opened", "_owned", "_watched", "_written", "root")

    def __init__(self, root: Node | None = None) -> None:
        self.root: Node | None = root
        self._frozen_count = 0
        self._opened = 0
        """How many keys of the path that was opened last led to something before."""
        self._watched: Path | None = None
        """Where a map is being packed, and the keys of children written there meanwhile."""
        self._written: set[str] = set()
        self._owned: set[int] | None = None
        """While views are frozen: ids of maps made since the last freeze, which no view can hold. An id may be used again
        after its map is gone, but only by a map made later still, so membership stays right. One entry a map copied or made,
        so a freeze that lasts holds as many as the writes meanwhile opened."""

    def get(self, path: Path) -> Node | None:
        """What stands at `path`; a last `.priority` gives the priority. Valid until the next `set`, unless frozen."""
        return find(self.root, path)

    def set(self, path: Path, node: Node | None) -> Change | None:
        """Puts `node` (None: nothing) at `path`; None when that changes nothing because nothing was there.

        A leaf on the way becomes a map and keeps its priority; maps left empty vanish upwards. `path` may end in `.priority`:
        then `node` is a priority, and a priority on nothing is ignored. Cost: the depth, and copies while views are frozen.
        """
        if self._watched is not None:
            self._note(path)
        if not path:
            before, self.root = self.root, node
            return None if before is None and node is None else Change(path, before, node, path, 0)
        if path[-1] == PRIORITY:
            return self._set_priority(path, node)
        if node is None:
            return self._remove(path)
        parent = self._open_map(path[:-1])
        key = path[-1]
        before = parent.get(key)
        if type(parent) is dict:
            parent[key] = node
        else:
            parent.put(key, node, self._owned)
        return Change(path, before, node, path, self._opened if before is None else len(path))

    def freeze(self) -> Node | None:
        """The root as it is now, for good, until `thaw` is called once for this freeze."""
        self._frozen_count += 1
        self._owned = set()
        return self.root

    def thaw(self) -> None:
        """Ends one freeze; its view must not be read any more."""
        self._frozen_count -= 1
        if not self._frozen_count:
            self._owned = None

    def watch(self, path: Path) -> Keys:
        """The keys of the children of `path` at or below which is written from now until `unwatch`: a set that grows."""
        assert self._watched is None, "one map is packed at a time"
        self._watched, self._written = path, set()
        return self._written

    def unwatch(self) -> None:
        self._watched, self._written = None, set()

    def replace(self, path: Path, node: Node) -> None:
        """Puts at `path` what stands there already, in another form."""
        if path:
            self._put(self._open_map(path[:-1]), path[-1], node)
        else:
            self.root = node

    def _note(self, path: Path) -> None:
        watched = self._watched
        assert watched is not None
        if len(path) > len(watched) and path[: len(watched)] == watched:
            self._written.add(path[len(watched)])

    def check(self) -> None:
        """Asserts the invariants over the whole tree; for tests."""
        todo = [] if self.root is None else [self.root]
        while todo:
            node = todo.pop()
            if type(node) is Pages:
                assert node.count, "a map is empty"
                assert type(node.priority) in (type(None), int, float, str), "a priority is no number and no string"
                node.check()
                todo.extend([child for _, child in children(node)])
                continue
            if type(node) is not dict:
                assert type(node) in (bool, int, float, str), f"a {type(node).__name__} stands for a leaf"
                continue
            assert len(node) > (PRIORITY in node), "a map is empty"
            assert VALUE not in node or set(node) == {VALUE, PRIORITY}, "a leaf is not in its one form"
            assert type(node.get(PRIORITY)) in (type(None), int, float, str), "a priority is no number and no string"
            todo.extend(node.values())

    def _open_map(self, path: Path) -> Map:
        """The map at `path`, made or made of a leaf where needed, free to be changed."""
        owned = self._owned
        node: Any = self.root
        if owned is None:
            # Mostly there are dicts all the way down. Leaves among them have no children, so they end it too.
            for key in path:
                if type(node) is not dict:
                    break
                node = node.get(key)
            else:
                if type(node) is dict and VALUE not in node:
                    self._opened = len(path)
                    return node
            node = self.root
        self._opened = 0 if node is None else len(path)
        if type(node) is not dict or VALUE in node or owned is not None:
            node = self.root = self._writable(node)
        for depth, key in enumerate(path):
            child = node.get(key) if type(node) is dict else node.open(key, owned)
            if child is None and self._opened > depth:
                self._opened = depth
            if type(child) is not dict or VALUE in child or owned is not None:
                made = self._writable(child)
                if made is not child:
                    self._put(node, key, made)
                    child = made
            node = child
        return node

    def _put(self, parent: Map, key: str, node: Node) -> None:
        if type(parent) is Pages:
            parent.put(key, node, self._owned)
        else:
            parent[key] = node

    def _writable(self, node: Any) -> Map:
        """A map like `node` that no frozen view holds: itself, a copy, or a new one in place of a leaf."""
        owned = self._owned
        if is_map(node):
            if owned is None or id(node) in owned:
                return node
            made = node.copy()
        else:
            priority = priority_of(node)
            made = {} if priority is None else {PRIORITY: priority}
        if owned is not None:
            owned.add(id(made))
        return made

    def _remove(self, path: Path) -> Change | None:
        before = find(self.root, path)
        if before is None:
            return None
        keep = self._last_to_keep(path)
        if keep < 0:
            self.root = None
            return Change(path, before, None, (), len(path))
        parent = self._open_map(path[:keep])
        if type(parent) is Pages:
            parent.remove(path[keep], self._owned)
        else:
            del parent[path[keep]]
        return Change(path, before, None, path[: keep + 1], len(path))

    def _last_to_keep(self, path: Path) -> int:
        """Depth of the deepest map on `path` that still has other children when `path` goes; -1 if none has."""
        node: Node = self.root
        keep = -1
        for depth, key in enumerate(path):
            if child_count(node) > 1:
                keep = depth
            node = find_child(node, key)
        return keep

    def _set_priority(self, path: Path, priority: Node | None) -> Change | None:
        target = path[:-1]
        node = find(self.root, target)
        if node is None:
            return None
        before = priority_of(node)
        if is_leaf(node):
            self.replace(target, with_priority(node, priority))
        else:
            opened = self._open_map(target)
            if type(opened) is Pages:
                opened.priority = priority
            elif priority is None:
                opened.pop(PRIORITY, None)
            else:
                opened[PRIORITY] = priority
        return Change(path, before, priority, path, len(target))
