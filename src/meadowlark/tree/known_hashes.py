"""Hashes of large maps: found in slices, and kept until something in them is written.

A hash of two hundred thousand records takes most of a second; a client that comes back is answered by it, and so is the next.
Kept are the hashes of maps with more than PIECE_NODES values, also of those inside larger ones, so that after a write only
the maps on the way to it are hashed anew, with the small children beside that way.
Invariant: a hash that is kept is that of what stands there now, as long as every write is said to `forget`.
Source: docs/protocol.md "Hashes".
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable, Generator, Iterator
from hashlib import sha1
from heapq import merge
from typing import Any

from meadowlark.tree.hashes import node_hash, priority_text
from meadowlark.tree.node import Node, children, is_map, node_count_up_to, priority_of
from meadowlark.tree.order import key_order, priority_order
from meadowlark.tree.paths import Path

PIECE_NODES = 250
"""Hashed in one go: half a millisecond."""

SORTED_KEYS = 1_000
"""Sorted in one go."""

KEPT_MAX = 4_096
"""Hashes kept of one database: about 1 MB. When there are more, all are forgotten."""


Entry = tuple[Any, str, str, Node]


class _Place:
    __slots__ = ("children", "hash")

    def __init__(self) -> None:
        self.hash: str | None = None
        self.children: dict[str, _Place] = {}


class KnownHashes:
    """Of the large maps of one tree, by path."""

    __slots__ = ("_root", "count")

    def __init__(self) -> None:
        self._root = _Place()
        self.count = 0

    def get(self, path: Path) -> str | None:
        place: _Place | None = self._root
        for key in path:
            assert place is not None
            place = place.children.get(key)
            if place is None:
                return None
        return place.hash  # type: ignore[union-attr]  # as just seen

    def put(self, path: Path, hash: str) -> None:
        if self.count >= KEPT_MAX:
            self._root, self.count = _Place(), 0
        place = self._root
        for key in path:
            child = place.children.get(key)
            if child is None:
                child = place.children[key] = _Place()
            place = child
        if place.hash is None:
            self.count += 1
        place.hash = hash

    def forget(self, path: Path) -> None:
        """Something was written at `path`: what is kept of it, of all below it and of what contains it is no longer true."""
        place = self._root
        for key in path:
            self._drop(place)
            child = place.children.get(key)
            if child is None:
                return
            above, place = place, child
        if path:
            del above.children[path[-1]]
        todo = [place]
        while todo:
            place = todo.pop()
            self._drop(place)
            todo.extend(place.children.values())
        if not path:
            self._root = _Place()

    def _drop(self, place: _Place) -> None:
        if place.hash is not None:
            place.hash = None
            self.count -= 1


def hash_slices(
    node: Node | None, path: Path, find: Callable[[Path], str | None], found: Callable[[Path, str], None]
) -> Generator[None, None, str]:
    """`node_hash` of what stands at `path`: yields after each millisecond or so. The node must not change meanwhile.

    find: a hash that is known already, if any; found: told of each that is worth keeping.
    """
    if not is_map(node) or node_count_up_to(node, PIECE_NODES) <= PIECE_NODES:
        return node_hash(node)
    known = find(path)
    if known is not None:
        return known
    digest = sha1(priority_text(priority_of(node)).encode(), usedforsecurity=False)
    done = 0
    for _, _, key, child in (yield from _sorted_children(node)):
        count = node_count_up_to(child, PIECE_NODES)
        if count > PIECE_NODES:
            hash = yield from hash_slices(child, (*path, key), find, found)
        else:
            hash = node_hash(child)
            done += count
            if done >= PIECE_NODES:
                done = 0
                yield
        digest.update(f":{key}:{hash}".encode())
    hash = b64encode(digest.digest()).decode()
    found(path, hash)
    return hash


def _sorted_children(node: Node | None) -> Generator[None, None, Any]:
    """(priority, key order, key, child) in the order in which hashes take them; sorted, and let go, piece by piece."""
    pieces: list[Iterator[Entry]] = []
    piece: list[Entry] = []
    for key, child in children(node):
        piece.append((priority_order(priority_of(child)), key_order(key), key, child))
        if len(piece) >= SORTED_KEYS:
            piece.sort(key=_order, reverse=True)
            pieces.append(_drain(piece))
            piece = []
            yield
    piece.sort(key=_order, reverse=True)
    return merge(*pieces, _drain(piece), key=_order)


def _drain(piece: list[Entry]) -> Iterator[Entry]:
    """Its entries from the end, which nobody holds any more then."""
    while piece:
        yield piece.pop()


def _order(entry: Entry) -> tuple[Any, str]:
    return entry[:2]
