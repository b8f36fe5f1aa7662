"""The tree before and after a write, for rules: two views of one tree, of which nothing is copied.

`Before` is the tree as it is. `After` lays what would be written over it: a place at or below the write is found in what is
written, a place beside it in the tree, and of a place above it only its kind can be asked, which is known from both.
`AfterUpdate` does the same for many writes, as a trie of them. All answer two questions, since rules can ask no others: what
value stands at a path (a leaf, MAP or None), and which priority.

Writes are resolved (no server values), and none is above another. A write to a priority ends in `.priority`.
Source: docs/semantics.md "Writes"; `Tree.set`, whose outcome these views foretell.
"""

from __future__ import annotations

from typing import Protocol

from meadowlark.rules.values import MAP, Value
from meadowlark.tree import PRIORITY, Node, Path, child_count, find, find_child, is_map, priority_of, value_of

BARE = frozenset([type(None), bool, int, float, str])

Priority = int | float | str | None
Write = tuple[Path, Node | None]


class View(Protocol):
    root: Node | None
    """The tree as it is."""

    def value(self, path: Path) -> Value:
        """The leaf at `path`, MAP if it has children, None if nothing is there."""

    def priority(self, path: Path) -> Priority: ...


class Before:
    """The tree as it is."""

    __slots__ = ("root",)

    def __init__(self, root: Node | None) -> None:
        self.root = root

    def value(self, path: Path) -> Value:
        return value_at(find(self.root, path))

    def priority(self, path: Path) -> Priority:
        return priority_of(find(self.root, path))


class After:
    """The tree as it would be with `node` at `path`."""

    __slots__ = ("_depth", "_node", "_path", "root")

    def __init__(self, root: Node | None, path: Path, node: Node | None) -> None:
        self.root = root
        self._path = path
        self._depth = len(path)
        self._node = node

    def value(self, path: Path) -> Value:
        depth = len(path)
        if depth >= self._depth:
            if path[: self._depth] == self._path:
                return value_at(find(self._node, path[self._depth :]))
        elif self._path[:depth] == path:
            return self._above(path)
        return value_at(find(self.root, path))

    def _above(self, path: Path) -> Value:
        """What stands above the write: a map if something is written, else what the removal leaves."""
        if self._node is not None:
            return MAP
        node = find(self.root, path)
        if not is_map(node):
            return value_at(node)
        for key in self._path[len(path) :]:
            child = find_child(node, key)  # None too where a leaf is in the way.
            if child is None or child_count(node) > 1:
                return MAP
            node = child
        return None

    def priority(self, path: Path) -> Priority:
        if path[: self._depth] == self._path:
            return priority_of(find(self._node, path[self._depth :]))
        priority = priority_of(find(self.root, path))
        return priority if priority is None or self.value(path) is not None else None


class AfterPriority(Before):
    """The tree with another priority at `path`, if anything is there."""

    __slots__ = ("_path", "_priority")

    def __init__(self, root: Node | None, path: Path, priority: Priority) -> None:
        super().__init__(root)
        self._path = path
        self._priority = priority

    def priority(self, path: Path) -> Priority:
        if path == self._path:
            return self._priority if find(self.root, path) is not None else None
        return super().priority(path)


class Branch:
    """A place of an update's trie: written itself, or above what is written."""

    __slots__ = ("children", "gives", "is_written", "known", "node", "priority")

    def __init__(self) -> None:
        self.children: dict[str, Branch] = {}
        self.is_written = False
        self.node: Node | None = None
        self.gives = False
        """Whether anything but removals is written below: then this is a map."""
        self.known: Value = _UNKNOWN
        """The value here, once it has been asked for."""
        self.priority: Priority | _Unset = _UNSET

    @property
    def writes_priority(self) -> bool:
        return not isinstance(self.priority, _Unset)


class _Unset:
    """No priority is written here; None is one that is taken away."""


_UNSET = _Unset()
_UNKNOWN = object()


class AfterUpdate:
    """The tree as it would be after all `writes`."""

    __slots__ = ("root", "top")

    def __init__(self, root: Node | None, writes: list[Write]) -> None:
        self.root = root
        self.top = Branch()
        """The trie; also the way on which the rules of an update are asked."""
        for path, node in writes:
            self.add(path, node)

    def add(self, path: Path, node: Node | None) -> None:
        is_priority = bool(path) and path[-1] == PRIORITY
        gives = node is not None and not is_priority
        branch = self.top
        for key in path[:-1] if is_priority else path:
            branch.gives = branch.gives or gives
            child = branch.children.get(key)
            if child is None:
                child = branch.children[key] = Branch()
            branch = child
        if is_priority:
            branch.priority = node
        else:
            branch.is_written, branch.node = True, node

    def value(self, path: Path) -> Value:
        branch, node = self.top, self.root
        for index, key in enumerate(path):
            if branch.is_written:
                return value_at(find(branch.node, path[index:]))
            node = find_child(node, key)
            child = branch.children.get(key)
            if child is None:
                return value_at(find(node, path[index + 1 :]))
            branch = child
        return self._value_of(branch, node)

    def _value_of(self, branch: Branch, node: Node | None) -> Value:
        """What stands at `branch`, where `node` stood. Recursion is as deep as paths are."""
        if branch.is_written:
            return value_at(branch.node)
        if branch.gives:
            return MAP
        if not is_map(node):
            return value_at(node)
        if branch.known is _UNKNOWN:
            left = child_count(node)
            for key, child in branch.children.items():
                before = find_child(node, key)
                if before is not None and self._value_of(child, before) is None:
                    left -= 1
            branch.known = MAP if left else None
        return branch.known

    def priority(self, path: Path) -> Priority:
        branch, node = self.top, self.root
        for index, key in enumerate(path):
            if branch.is_written:
                return priority_of(find(branch.node, path[index:]))
            node = find_child(node, key)
            child = branch.children.get(key)
            if child is None:
                return priority_of(find(node, path[index + 1 :]))
            branch = child
        if self._value_of(branch, node) is None:
            return None
        if not isinstance(branch.priority, _Unset):
            return branch.priority
        return priority_of(branch.node if branch.is_written else node)


def after_writes(root: Node | None, writes: list[Write]) -> After | AfterPriority | AfterUpdate:
    """The cheapest view of the tree after `writes`."""
    if len(writes) != 1:
        return AfterUpdate(root, writes)
    path, node = writes[0]
    if path and path[-1] == PRIORITY:
        return AfterPriority(root, path[:-1], node)
    return After(root, path, node)


def value_at(node: Node | None) -> Value:
    """What rules see of a node: itself if it is a bare leaf, MAP if it has children."""
    if type(node) in BARE:
        return node  # Most of what rules look at; the rest is for the tree to tell.
    return MAP if is_map(node) else value_of(node)
