"""What one database is busy with, by path, while somebody asks: operations, bytes and time.

Paths are kept as a tree of places. Where SIBLINGS_MAX different keys have been met below one place they are taken together
as `$wildcard`, with all that was below them, so that a thousand rooms read as one line and memory stays bounded. In which
order paths come does not matter, as long as there are no more than PLACES_MAX of them.
Does not know: how time and bytes are measured (shard.py), who asks (routes.py).
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from typing import Any

from meadowlark.server.families import OPERATIONS
from meadowlark.server.watching import Carried
from meadowlark.tree import Path, format_path

SIBLINGS_MAX = 25
"""So many different keys, and they are ids rather than names. Firebase's profiler has the same number."""
PLACES_MAX = 5_000
"""Places with names of their own; beyond these, places whose keys would need more are taken together whatever their number."""
LINES_MAX = 500
"""Of a report: those on which most time was spent."""
SECONDS_MAX = 60.0
WILDCARD = "$wildcard"


class Profile:
    """Operations of one database from now on."""

    __slots__ = ("_place_count", "_root")

    def __init__(self) -> None:
        self._root = _Place()
        self._place_count = 0

    def see(self, carried: Carried) -> None:
        self.record(
            carried.path,
            OPERATIONS[type(carried.command)].name.lower(),
            written_bytes=carried.written_bytes,
            sent_bytes=carried.replied_bytes + carried.told_bytes,
            nanoseconds=carried.took_nanoseconds,
        )

    def see_connection(self, *, begins: bool) -> None:
        """Connections are at no path."""

    def record(self, path: Path, operation: str, *, written_bytes: int, sent_bytes: int, nanoseconds: int) -> None:
        """One operation at `path` is done."""
        place = self._root
        for key in path:
            place = self._enter(place, key)
        place.operations[operation] = place.operations.get(operation, 0) + 1
        place.written_bytes += written_bytes
        place.sent_bytes += sent_bytes
        place.nanoseconds += nanoseconds

    def report(self) -> list[dict[str, Any]]:
        """A line for each path at which something was done, those that took longest first."""
        lines = [(place.nanoseconds, path, place) for path, place in _walk(self._root, ()) if place.operations]
        longest = heapq.nlargest(LINES_MAX, lines, key=lambda line: line[0])
        return [
            {
                "path": format_path(path),
                "operations": place.operations,
                "written_bytes": place.written_bytes,
                "sent_bytes": place.sent_bytes,
                "milliseconds": round(nanoseconds / 1e6, 3),
            }
            for nanoseconds, path, place in longest
        ]

    def _enter(self, place: _Place, key: str) -> _Place:
        """The place of `key` below `place`, or of the wildcard that stands for it."""
        if place.is_collapsed:
            key = WILDCARD
        child = place.children.get(key)
        if child is not None:
            return child
        if not place.is_collapsed and (len(place.children) + 1 >= SIBLINGS_MAX or self._place_count >= PLACES_MAX):
            self._collapse(place)
            return place.children[WILDCARD]
        self._place_count += 1
        child = place.children[key] = _Place()
        return child

    def _collapse(self, place: _Place) -> None:
        children, merged = place.children, _Place()
        place.children, place.is_collapsed = {WILDCARD: merged}, True
        for child in children.values():
            self._merge(merged, child)

    def _merge(self, target: _Place, source: _Place) -> None:
        """`target` has what `source` had, too."""
        for operation, count in source.operations.items():
            target.operations[operation] = target.operations.get(operation, 0) + count
        target.written_bytes += source.written_bytes
        target.sent_bytes += source.sent_bytes
        target.nanoseconds += source.nanoseconds
        if source.is_collapsed and not target.is_collapsed:
            self._collapse(target)
        for key, child in source.children.items():
            self._merge(self._enter(target, key), child)


class _Place:
    __slots__ = ("children", "is_collapsed", "nanoseconds", "operations", "sent_bytes", "written_bytes")

    def __init__(self) -> None:
        self.children: dict[str, _Place] = {}
        self.is_collapsed = False
        """Whether the wildcard is the only child there will be."""
        self.operations: dict[str, int] = {}
        self.written_bytes = 0
        self.sent_bytes = 0
        self.nanoseconds = 0


def _walk(place: _Place, path: Path) -> Iterator[tuple[Path, _Place]]:
    yield path, place
    for key, child in place.children.items():
        yield from _walk(child, (*path, key))
