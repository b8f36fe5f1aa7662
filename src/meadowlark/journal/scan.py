"""What a segment holds, judged from its bytes alone: its good groups, where they end, and what is wrong there.

A crash can only hurt what was not yet synced: the last group. So bytes that are no group, with no intact group header anywhere
behind them, are a *torn tail*; with one behind them they are *damage*, because that later group was written only after the
bad one was durable. Whether a torn tail is acceptable depends on the segment being the last, which recovery.py knows.

Pure: bytes in, findings out. Memory: the segment, read whole.
Source: docs/formats.md "Recovery"; tests/journal/test_scan.py.
"""

from __future__ import annotations

from typing import NamedTuple

from meadowlark.journal import group, segment
from meadowlark.journal.group import Group
from meadowlark.journal.segment import Header


class Fault(NamedTuple):
    """Where the good part ends other than in zeros: `text` says what stands there, up to the last byte that is not zero."""

    offset: int
    size: int
    text: str
    intact_after: int | None
    """Offset of an intact group header behind it; None: a torn tail."""


class Scan(NamedTuple):
    """The findings of one segment."""

    header: Header | None
    """None: the segment's own header is bad, and `fault` says how."""
    groups: list[Group]
    """In order, numbers without gaps from `header.first_group`."""
    end: int
    """Offset behind the last good group, where the next would go."""
    fault: Fault | None


def scan_segment(content: bytes) -> Scan:
    """The good groups from the start of a segment, and what ends them."""
    try:
        header = segment.parse_header(content)
    except ValueError as error:
        return Scan(None, [], 0, _fault(content, 0, str(error)))
    groups, end = _parse_run(content, segment.HEADER.size, header.first_group)
    return Scan(header, groups, end, _find_fault(content, end, header.first_group + len(groups)))


def salvage(content: bytes) -> list[Group]:
    """Every intact group, also behind damage; for repair, which must not give up what is still good."""
    groups: list[Group] = []
    start = 0
    while (offset := group.find_header(content, start)) is not None:
        try:
            found = group.parse_group(content, offset)
        except ValueError:
            start = offset + 1
        else:
            groups.append(found)
            start = found.end
    return groups


def _parse_run(content: bytes, offset: int, number: int) -> tuple[list[Group], int]:
    """Groups from `offset` on, the first of which must be `number`; and where they end."""
    groups: list[Group] = []
    while True:
        try:
            found = group.parse_group(content, offset)
        except ValueError:
            return groups, offset
        if found.number != number:
            return groups, offset
        groups.append(found)
        number += 1
        offset = found.end


def _find_fault(content: bytes, offset: int, number: int) -> Fault | None:
    """What is wrong behind the good groups; None when there is nothing but zeros."""
    if not content[offset:].strip(b"\0"):
        return None
    try:
        found = group.parse_group(content, offset)
        return _fault(content, offset, f"group {found.number} where group {number} was expected", intact_after=offset)
    except ValueError as error:
        return _fault(content, offset, str(error))


def _fault(content: bytes, offset: int, text: str, intact_after: int | None = None) -> Fault:
    size = len(content[offset:].rstrip(b"\0"))
    if intact_after is None:
        intact_after = group.find_header(content, offset + 1)
    return Fault(offset, size, text, intact_after)
