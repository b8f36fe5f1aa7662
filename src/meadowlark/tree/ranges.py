"""Compound hashes: what a client says it has, range by range, so that it is sent just the ranges in which it is wrong.

A node is its leaves, from the first to the last: depth first, children in key order, the priority of a map as a child
`.priority`. Places on the way cut that into ranges, from behind one place up to and including the next; behind the last there
is one more. A range hashes to SHA-1 in base64 over `("key":("key":(LEAF),"key":(LEAF)))`, with every map on the way from the
root; a leaf is `[priority:P:]TYPE:VALUE` with strings in quotes. Nothing hashes to "".

One walk gives the hashes and, of ranges that differ, what stands in them. Subtrees inside a range are shared, not copied.
Clients take a range over child by child, and lose a priority where that empties a map on the way or begins at a leaf that has
one. So where a priority stands at a place that cuts, or above it, ranges are given up: the client must be sent the whole.
Source: docs/protocol.md "Compound hashes"; docs/decisions.md.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Generator, Iterator, Sequence
from hashlib import sha1
from heapq import merge
from itertools import pairwise
from typing import Any

import msgspec

from meadowlark.tree.hashes import double_hex
from meadowlark.tree.node import (
    Node,
    child_count,
    children,
    children_in_key_order,
    is_key_ordered,
    is_map,
    node_count_up_to,
    priority_of,
    value_of,
)
from meadowlark.tree.order import key_order
from meadowlark.tree.paths import PRIORITY, Path

PIECE_NODES = 250
"""Hashed in one go: half a millisecond."""

SORTED_KEYS = 1_000
"""Sorted in one go."""

DIFFERING_MAX = 16 * 1024 * 1024
"""Characters, as they are hashed, of ranges that differ: for more the whole is sent, which needs no copies."""

Order = tuple[str, ...]
Steps = Generator[None, None, bool]


class Ranges(msgspec.Struct, frozen=True):
    """Where a client's ranges end, in order, and the hash of each and of what is behind the last."""

    ends: tuple[Path, ...]
    hashes: tuple[str, ...]


class Range(msgspec.Struct, frozen=True):
    """`node` is what stands behind `start` (None: from the beginning) up to and including `end` (None: to the end)."""

    start: Path | None
    end: Path | None
    node: Node | None


def make_ranges(ends: Sequence[Path], hashes: Sequence[str]) -> Ranges | None:
    """None if they are none: not in order, or not a hash for each."""
    orders = [_order_of(end) for end in ends]
    if len(hashes) != len(ends) + 1 or any(one >= other for one, other in pairwise(orders)):
        return None
    return Ranges(tuple(ends), tuple(hashes))


def differing_slices(node: Node | None, ranges: Ranges) -> Generator[None, None, list[Range] | None]:
    """The ranges of `node` that hash otherwise than a client says: yields after each millisecond or so.

    None if the client should be sent the whole: everything differs, or ranges are given up, or nothing differs although its hash
    of the whole is wrong. Valid as long as the node does not change (freeze the tree).
    """
    if not is_map(node) or priority_of(node) is not None:
        return None
    walk = _Walk(ranges)
    if not (yield from walk.go(node, (), ())):
        return None
    walk.finish_all()
    return walk.differing if 0 < len(walk.differing) < len(ranges.hashes) else None


class _Walk:
    """Over the leaves of a node, with the range that they are in."""

    __slots__ = (
        "_budget",
        "_cuts",
        "_differing_size",
        "_digest",
        "_ends",
        "_hashes",
        "_index",
        "_keys",
        "_needs_comma",
        "_opened",
        "_orders",
        "_size",
        "differing",
    )

    def __init__(self, ranges: Ranges) -> None:
        self._ends = ranges.ends
        self._orders = [_order_of(end) for end in ranges.ends]
        self._hashes = ranges.hashes
        self._index = 0
        """Of the range."""
        self.differing: list[Range] = []
        self._differing_size = 0
        self._keys: list[str] = []
        """On the way to the map where the walk is."""
        self._cuts: list[dict[str, Node]] = []
        """Of each map on this way what is in the range."""
        self._digest: Any = None
        """None as long as the range is empty."""
        self._size = 0
        self._opened: Path = ()
        """Keys whose brackets are open in the text."""
        self._needs_comma = False
        self._budget = PIECE_NODES

    def go(self, node: Node, path: Path, order: Order) -> Steps:
        """Through the children of `node`, which is cut; False if ranges are given up."""
        self._cuts.append({})
        for key, child in (yield from _in_key_order(node)):
            child_order = (*order, key_order(key))
            while (end := self._end) is not None and end < child_order:
                self._finish()
            if end is not None and end[: len(child_order)] == child_order:
                # The range ends at the child or inside it.
                if priority_of(child) is not None:
                    return False
                if is_map(child):
                    self._keys.append(key)
                    if not (yield from self.go(child, (*path, key), child_order)):
                        return False
                    cut = self._cuts.pop()
                    if cut:
                        self._cuts[-1][key] = cut
                    self._keys.pop()
                    continue
            self._cuts[-1][key] = child
            yield from self._say(path, key, child)
            if self._differing_size + self._size > DIFFERING_MAX:
                return False
        return True

    def finish_all(self) -> None:
        while self._index < len(self._hashes):
            self._finish()

    @property
    def _end(self) -> Order | None:
        return self._orders[self._index] if self._index < len(self._orders) else None

    def _finish(self) -> None:
        """The range has ended, and the next begins."""
        index, node = self._index, self._take()
        if self._end_text() != self._hashes[index]:
            start = self._ends[index - 1] if index else None
            end = self._ends[index] if index < len(self._ends) else None
            self.differing.append(Range(start, end, node))
            self._differing_size += self._size
        self._size = 0
        self._index += 1

    def _take(self) -> Node | None:
        """What is in the range."""
        cuts, self._cuts = self._cuts, [{} for _ in self._cuts]
        for depth in range(len(cuts) - 1, 0, -1):
            if cuts[depth]:
                cuts[depth - 1][self._keys[depth - 1]] = cuts[depth]
        return cuts[0] or None

    # The text

    def _say(self, above: Path, key: str, child: Node) -> Generator[None, None, None]:
        """`child`, which is in the range with all that it has, stands at `key` of the place `above`."""
        count = node_count_up_to(child, PIECE_NODES)
        if count > PIECE_NODES and is_map(child):
            place = (*above, key)
            for lower, node in (yield from _in_key_order(child)):
                yield from self._say(place, lower, node)
            return
        self._begin_child(above)
        self._write(f"{_start_text(key, self._needs_comma)}{_text(child)})")
        self._needs_comma = True
        self._budget -= count
        if self._budget <= 0:
            self._budget = PIECE_NODES
            yield

    def _begin_child(self, above: Path) -> None:
        if self._digest is None:
            self._digest, self._opened, self._needs_comma = sha1(usedforsecurity=False), (), False
            self._write("(")
        opened = self._opened
        if opened == above:
            return
        common = 0
        while common < min(len(opened), len(above)) and opened[common] == above[common]:
            common += 1
        if common < len(opened):
            self._write(")" * (len(opened) - common))
            self._needs_comma = True
        for key in above[common:]:
            self._write(_start_text(key, self._needs_comma))
            self._needs_comma = False
        self._opened = above

    def _end_text(self) -> str:
        """The hash of the range."""
        if self._digest is None:
            return ""
        self._write(")" * (len(self._opened) + 1))
        digest, self._digest = self._digest.digest(), None
        return b64encode(digest).decode()

    def _write(self, text: str) -> None:
        self._digest.update(text.encode())
        self._size += len(text)


def _order_of(path: Path) -> Order:
    """Compared, they tell which place comes first; one that contains others comes before them."""
    return tuple([key_order(key) for key in path])


def _in_key_order(node: Node) -> Generator[None, None, Iterator[tuple[str, Node]]]:
    """(key, child), `.priority` among them; a wide map is sorted piece by piece."""
    if is_key_ordered(node) or child_count(node) <= SORTED_KEYS:
        return _pairs(node)
    pieces: list[list[tuple[str, str, Node]]] = []
    piece: list[tuple[str, str, Node]] = []
    priority = priority_of(node)
    if priority is not None:
        piece.append((key_order(PRIORITY), PRIORITY, priority))
    for key, child in children(node):
        piece.append((key_order(key), key, child))
        if len(piece) >= SORTED_KEYS:
            piece.sort(key=_first)
            pieces.append(piece)
            piece = []
            yield
    piece.sort(key=_first)
    return ((key, child) for _, key, child in merge(*pieces, piece, key=_first))


def _pairs(node: Node) -> Iterator[tuple[str, Node]]:
    priority = priority_of(node)
    pairs = children_in_key_order(node)
    # Among the others, as the mobile SDKs have it: behind keys that are integers or begin with "-".
    return pairs if priority is None else merge(pairs, [(PRIORITY, priority)], key=_key_order_of)


def _first(entry: tuple[str, str, Node]) -> str:
    return entry[0]


def _key_order_of(pair: tuple[str, Node]) -> str:
    return key_order(pair[0])


def _start_text(key: str, needs_comma: bool) -> str:
    return f",{_quoted(key)}:(" if needs_comma else f"{_quoted(key)}:("


def _text(node: Node) -> str:
    """What stands between the brackets of `node`."""
    if is_map(node):
        return ",".join([f"{_quoted(key)}:({_text(child)})" for key, child in _pairs(node)])
    priority = priority_of(node)
    return _leaf_text(value_of(node)) if priority is None else f"priority:{_leaf_text(priority)}:{_leaf_text(value_of(node))}"


def _leaf_text(leaf: Any) -> str:
    if type(leaf) is str:
        return "string:" + _quoted(leaf)
    if type(leaf) is bool:
        return "boolean:true" if leaf else "boolean:false"
    return "number:" + double_hex(leaf)


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
