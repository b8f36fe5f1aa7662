"""A tree so naive that it is right by inspection, and random writes for it: the judge of `Tree`.

A model is a set of leaves by path and a set of priorities by path, nothing else; its tree is built anew whenever asked for.
"""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from meadowlark.tree import Node, Path
from meadowlark.tree.pages import Pages

Leaves = dict[Path, Any]


class Model:
    """What `Tree` must equal after the same writes."""

    def __init__(self) -> None:
        self.leaves: Leaves = {}
        self.priorities: dict[Path, Any] = {}

    def build(self, path: Path = ()) -> Node | None:
        """The node at `path`, made of nothing but leaves and priorities; a last `.priority` gives the priority."""
        if path[-1:] == (".priority",):
            return self.priorities.get(path[:-1])
        below = self._at_or_below(path)
        if not below:
            return None
        priority = self.priorities.get(path)
        if path in self.leaves:
            return self.leaves[path] if priority is None else {".value": self.leaves[path], ".priority": priority}
        node = {key: self.build((*path, key)) for key in {leaf[len(path)] for leaf in below}}
        return node if priority is None else node | {".priority": priority}

    def set(self, path: Path, node: Node | None) -> Path | None:
        """Writes; gives the path that says the whole effect, or None if nothing was there to change."""
        if path[-1:] == (".priority",):
            return self._set_priority(path, node)
        gone = self._at_or_below(path)
        if node is None and not gone:
            return None
        above = [] if node is None else [leaf for leaf in self.leaves if leaf == path[: len(leaf)] and leaf != path]
        for leaf in [*gone, *above]:
            self.leaves.pop(leaf, None)
        for place in [place for place in self.priorities if place[: len(path)] == path]:
            del self.priorities[place]
        if node is not None:
            self._add(path, node)
        for place in [place for place in self.priorities if not self._at_or_below(place)]:
            del self.priorities[place]
        if node is not None:
            return path
        return next(path[:depth] for depth in range(len(path) + 1) if not self._at_or_below(path[:depth]))

    def _set_priority(self, path: Path, priority: Any) -> Path | None:
        place = path[:-1]
        if not self._at_or_below(place):
            return None
        self.priorities.pop(place, None)
        if priority is not None:
            self.priorities[place] = priority
        return path

    def _at_or_below(self, path: Path) -> list[Path]:
        return [leaf for leaf in self.leaves if leaf[: len(path)] == path]

    def _add(self, path: Path, node: Node) -> None:
        if type(node) is not dict:
            self.leaves[path] = node
            return
        for key, child in node.items():
            if key == ".priority":
                self.priorities[path] = child
            elif key == ".value":
                self.leaves[path] = child
            else:
                self._add((*path, key), child)


def canonical(node: Any) -> Any:
    """`node` so that equal means the same JSON: types told apart, order of keys left out. Shares nothing with `node`."""
    if type(node) is Pages:
        node = dict(node.items()) | ({} if node.priority is None else {".priority": node.priority})
    if type(node) is dict:
        return {key: canonical(child) for key, child in node.items()}
    return (type(node).__name__, node)


KEYS = st.sampled_from(["a", "b", "c", "0", "1"])
LEAVES = st.sampled_from([True, False, 0, 1, 1.5, -2, "", "text", "1"])
PRIORITIES = st.sampled_from([0, 1, 2.5, "p", "q"])
PATHS = st.lists(KEYS, max_size=4).map(tuple)
PRIORITY_PATHS = PATHS.map(lambda path: (*path, ".priority"))


def with_some_priority(node: Any, priority: Any) -> Any:
    if priority is None:
        return node
    return node | {".priority": priority} if type(node) is dict else {".value": node, ".priority": priority}


NODES = st.recursive(
    st.builds(with_some_priority, LEAVES, st.none() | PRIORITIES),
    lambda inner: st.builds(with_some_priority, st.dictionaries(KEYS, inner, min_size=1, max_size=3), st.none() | PRIORITIES),
    max_leaves=8,
)
NODES_WITHOUT_PRIORITIES = st.recursive(LEAVES, lambda inner: st.dictionaries(KEYS, inner, min_size=1, max_size=3), max_leaves=8)
