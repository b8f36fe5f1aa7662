"""A segment: one numbered file of groups, and the header it begins with.

    magic FF 4D 4C 53 45 47 0D 0A · version u32 · worker u32 · segment number u64 · first group number u64 · crc u32

Numbers run without gaps: a segment begins only when every group of the one before is synced, and only the oldest is removed.
Behind the last group stand zeros (room allocated ahead, so that a sync has no size to write) or nothing.
Does not know: who writes, who reads.
Source: docs/formats.md "Segment".
"""

from __future__ import annotations

import re
import struct
import zlib
from typing import NamedTuple

MAGIC = b"\xffMLSEG\r\n"
VERSION = 1
HEADER = struct.Struct("<8sIIQQI")
_CRC = struct.Struct("<I")
_NAME = re.compile(r"segment-([0-9]{8,})")

ALLOCATE_BYTES = 4 * 1024 * 1024
"""Room is taken in steps of this: 200 µs a sync instead of 300 on the disk of bench/journal.py, since no size changes."""


class Header(NamedTuple):
    """What a segment says of itself."""

    worker: int
    number: int
    first_group: int
    version: int = VERSION


def segment_name(number: int) -> str:
    """The file name; names sort as their numbers do."""
    return f"segment-{number:08d}"


def find_number(name: str) -> int | None:
    """The segment number in a file name; None if it is no segment's name."""
    match = _NAME.fullmatch(name)
    return int(match[1]) if match else None


def encode_header(header: Header) -> bytes:
    """The first bytes of the file."""
    fields = HEADER.pack(MAGIC, header.version, header.worker, header.number, header.first_group, 0)[: -_CRC.size]
    return fields + _CRC.pack(zlib.crc32(fields))


def parse_header(content: bytes) -> Header:
    """The header at the start of `content`. ValueError, saying what was found, if there is none that is whole.

    A header of another format is returned as it is: whoever reads on must look at `version` first.
    """
    if len(content) < HEADER.size:
        raise ValueError(f"{len(content)} bytes where a segment header of {HEADER.size} was expected")
    magic, version, worker, number, first_group, crc = HEADER.unpack_from(content)
    if magic != MAGIC:
        raise ValueError(f"bytes {magic.hex(' ')} where a segment begins with {MAGIC.hex(' ')}")
    if zlib.crc32(content[: HEADER.size - _CRC.size]) != crc:
        raise ValueError("a segment header whose checksum does not match")
    return Header(worker, number, first_group, version)
