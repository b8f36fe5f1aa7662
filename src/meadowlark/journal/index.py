"""Where each database's records stand in the segments, and which databases keep a segment alive.

One entry a record that no snapshot covers yet, twelve bytes each: its place and its size. Sequences of a database run without
gaps, so a record's sequence is its rank, and a gap or a repetition is found the moment it is added.

Invariant: a segment's names are the databases that have an uncovered record in it.
Does not know: files. Owned by the thread that calls the journal (the worker's loop).
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from typing import NamedTuple

_OFFSET_BITS = 32
_OFFSET_MASK = (1 << _OFFSET_BITS) - 1


class Place(NamedTuple):
    """Where one record stands."""

    sequence: int
    segment: int
    offset: int
    size: int


class _Entry:
    """The uncovered records of one database."""

    __slots__ = ("first", "places", "size", "sizes")

    def __init__(self, first: int) -> None:
        self.first = first
        """Sequence of the first uncovered record, or of the next record to come when there is none."""
        self.places = array("Q")
        """segment << 32 | offset"""
        self.sizes = array("I")
        self.size = 0
        """Sum of `sizes`."""

    @property
    def next(self) -> int:
        return self.first + len(self.places)

    def cover(self, sequence: int) -> None:
        """Forgets the records up to `sequence`."""
        count = min(max(0, sequence - self.first + 1), len(self.places))
        self.size -= sum(self.sizes[:count])
        del self.places[:count]
        del self.sizes[:count]
        self.first += count
        if not self.places:
            self.first = max(self.first, sequence + 1)


class Index:
    """Places of uncovered records by database, and names by segment."""

    __slots__ = ("_ends", "_entries", "_last_segment", "_names")

    def __init__(self) -> None:
        self._ends: dict[int, int] = {}
        """Of each segment that exists and has records, where the last ends."""
        self._entries: dict[str, _Entry] = {}
        self._names: dict[int, set[str]] = {}
        """Of each segment that exists, ascending."""
        self._last_segment = 0

    def enter_segment(self, segment: int) -> bool:
        """`segment` exists; records are added to it from now on. Whether it is new."""
        self._last_segment = segment
        if segment in self._names:
            return False
        self._names[segment] = set()
        return True

    def add(self, database: str, sequence: int, offset: int, size: int) -> None:
        """A record stands in the segment entered last. ValueError, saying what was expected, if the sequence does not follow."""
        entry = self._entries.get(database)
        if entry is None:
            entry = self._entries[database] = _Entry(sequence)
        if sequence != entry.first + len(entry.places):
            raise ValueError(f"record {sequence} of database {database!r} where record {entry.next} was expected")
        entry.places.append(self._last_segment << _OFFSET_BITS | offset)
        entry.sizes.append(size)
        entry.size += size
        self._names[self._last_segment].add(database)
        self._ends[self._last_segment] = offset + size

    def cover(self, database: str, sequence: int) -> None:
        """Records of `database` up to `sequence` are in a snapshot: forgets them."""
        entry = self._entries.get(database)
        if entry is None:
            return
        entry.cover(sequence)
        kept = entry.places[0] >> _OFFSET_BITS if entry.places else self._last_segment + 1
        for segment, names in self._names.items():
            if segment < kept:
                names.discard(database)

    def take_free(self) -> list[int]:
        """The oldest segments that nobody needs, forgotten here; never the one being written, and never one behind a needed one:
        numbers must stay without gaps, so that a segment that goes missing is noticed."""
        free: list[int] = []
        for segment, names in self._names.items():
            if names or segment == self._last_segment:
                break
            free.append(segment)
        for segment in free:
            del self._names[segment]
            self._ends.pop(segment, None)
        return free

    def databases(self) -> dict[str, int]:
        """Databases with uncovered records, and the sequence of the last."""
        return {name: entry.next - 1 for name, entry in self._entries.items() if entry.places}

    def find_first(self, database: str) -> int | None:
        """Sequence of the first uncovered record; None when there is none."""
        entry = self._entries.get(database)
        return entry.first if entry is not None and entry.places else None

    def size(self, database: str) -> int:
        """Bytes of the uncovered records of `database`."""
        entry = self._entries.get(database)
        return entry.size if entry is not None else 0

    def next(self, database: str) -> int | None:
        """The sequence that must come next; None when any may."""
        entry = self._entries.get(database)
        return entry.next if entry is not None else None

    def nexts(self) -> dict[str, int]:
        """`next` of every database that the journal knows."""
        return {name: entry.next for name, entry in self._entries.items()}

    def places(self, database: str, after: int) -> Iterator[Place]:
        """The uncovered records of `database` with a sequence above `after`, as they are now, in order."""
        entry = self._entries.get(database)
        if entry is None:
            return iter(())
        skip = max(0, after + 1 - entry.first)
        first, places, sizes = entry.first + skip, entry.places[skip:], entry.sizes[skip:]
        return (
            Place(first + rank, place >> _OFFSET_BITS, place & _OFFSET_MASK, size)
            for rank, (place, size) in enumerate(zip(places, sizes, strict=True))
        )

    def sealed_bytes(self) -> int:
        """Of the segments besides the one being written."""
        return sum(self._ends.values()) - self._ends.get(self._last_segment, 0)

    def oldest_names(self, size: int) -> list[str]:
        """The databases that need the oldest segments, of which so many count as have `size` bytes together; never the one being
        written."""
        found: set[str] = set()
        for segment, names in self._names.items():
            if size <= 0 or segment == self._last_segment:
                break
            found |= names
            size -= self._ends.get(segment, 0)
        return sorted(found)
