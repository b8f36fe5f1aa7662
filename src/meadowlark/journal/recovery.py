"""Reading a worker's journal after whatever ended the last run: all good groups in order, and the end to go on from.

The last segment may end torn; everything else that is not perfect is damage and refused, with what was found and what to do.
Nothing here changes a file: the journal cuts what `Tail` says, resharding only reads.
A last segment without a whole header, and with nothing more, is one whose making was cut short; the one before it must still
be clean, because a segment is begun only when all before it is synced.
Source: docs/formats.md "Recovery".
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

import msgspec

from meadowlark.errors import JournalDamaged
from meadowlark.journal import group, scan, segment
from meadowlark.journal.files import Files, read_whole
from meadowlark.journal.group import Group
from meadowlark.journal.record import Record
from meadowlark.journal.scan import Fault, Scan

REPAIR_HINT = "run 'meadowlark repair DATA', which keeps all that can be kept and says what is lost"


class Found(NamedTuple):
    """One good group of a segment, whose file is `path` and whose bytes are `content`."""

    segment: int
    path: str
    content: bytes
    group: Group

    def records(self) -> Iterator[Record]:
        """Its records, whole. Raises JournalDamaged if they do not fill it."""
        try:
            yield from group.parse_records(self.content, self.group)
        except ValueError as error:
            raise damaged(self.path, self.group.offset, str(error)) from error

    def places(self) -> Iterator[tuple[str, int, int, int]]:
        """Database, sequence, offset and size of its records. Raises JournalDamaged if they do not fill it."""
        try:
            yield from group.parse_places(self.content, self.group)
        except ValueError as error:
            raise damaged(self.path, self.group.offset, str(error)) from error


class Tail(msgspec.Struct):
    """How the journal ends. `segment` 0: there is none yet, and `end` and `last_group` mean nothing."""

    segment: int = 0
    end: int = 0
    """Offset behind the last good group of that segment."""
    next_group: int = 1
    last_group: Group | None = None
    """The last good group, if that segment holds one."""
    torn: Fault | None = None
    """What to cut from that segment."""
    unfinished: int = 0
    """A segment after it whose making was cut short, to be removed; 0: none."""


def find_segments(files: Files, folder: str) -> list[int]:
    """Numbers of the segments in `folder`, ascending."""
    return sorted(number for name in files.list(folder) if (number := segment.find_number(name)) is not None)


def walk(files: Files, folder: str, worker: int, tail: Tail) -> Iterator[Found]:
    """Every good group in order; `tail`, given new, says how the journal ends when all is walked. Raises JournalDamaged."""
    numbers = find_segments(files, folder)
    for before, number in pairwise(numbers):
        if number != before + 1:
            raise missing(folder, before + 1)
    for number in numbers:
        path = f"{folder}/{segment.segment_name(number)}"
        content = read_whole(files, path)
        findings = scan.scan_segment(content)
        last = number == numbers[-1]
        if last and is_unfinished(findings):
            tail.unfinished = number
            return
        damage = find_damage(path, findings, number, worker, tail, last=last)
        if damage is not None:
            raise damage
        for found in findings.groups:
            yield Found(number, path, content, found)
        advance(tail, number, findings)


def walk_records(files: Files, folder: str, worker: int) -> Iterator[tuple[str, Record]]:
    """Every record in order, with its file. Raises JournalDamaged."""
    for found in walk(files, folder, worker, Tail()):
        for record in found.records():
            yield found.path, record


def damaged(path: str, offset: int, found: str) -> JournalDamaged:
    """The refusal that every damaged place gets."""
    return JournalDamaged(
        f"{path} is damaged at offset {offset}: found {found}. No crash explains that, so nothing was changed; "
        f"restore the file from a copy, or {REPAIR_HINT}"
    )


def missing(folder: str, number: int) -> JournalDamaged:
    """The refusal where a segment is missing between two."""
    name, later = segment.segment_name(number), segment.segment_name(number + 1)
    return JournalDamaged(f"{folder}/{name} is missing, though one at or behind {later} is there: put it back, or {REPAIR_HINT}")


def is_unfinished(findings: Scan) -> bool:
    """Whether a segment has no good header and holds no more than part of one: its making was cut short, if it is the last."""
    fault = findings.fault
    return findings.header is None and (fault is None or (fault.intact_after is None and fault.size <= segment.HEADER.size))


def find_damage(path: str, findings: Scan, number: int, worker: int, tail: Tail, *, last: bool) -> JournalDamaged | None:
    """Why the segment may not follow what `tail` says came before; None if it may."""
    fault, header = findings.fault, findings.header
    if header is None:
        return damaged(path, 0, fault.text if fault is not None else "no segment header")
    if header.version != segment.VERSION:
        return JournalDamaged(
            f"{path} has format {header.version}, and this version of Meadowlark reads format {segment.VERSION}: "
            "start the version that wrote it"
        )
    if (header.worker, header.number) != (worker, number):
        found = f"segment {header.number} of worker {header.worker} where segment {number} of worker {worker} was expected"
        return damaged(path, 0, found)
    if tail.segment and header.first_group != tail.next_group:
        return damaged(path, 0, f"first group {header.first_group} where group {tail.next_group} was expected")
    if fault is not None and fault.intact_after is not None:
        return damaged(path, fault.offset, f"{fault.text}, with an intact group header at or behind it, at {fault.intact_after}")
    if fault is not None and not last:
        return damaged(path, fault.offset, f"{fault.text}, though a later segment was begun")
    return None


def advance(tail: Tail, number: int, findings: Scan) -> None:
    """`tail` says how the journal ends when this segment is the last."""
    assert findings.header is not None
    tail.segment = number
    tail.end = findings.end
    tail.next_group = findings.header.first_group + len(findings.groups)
    tail.last_group = findings.groups[-1] if findings.groups else None
    tail.torn = findings.fault
