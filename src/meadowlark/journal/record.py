"""One record: a database, a sequence and a body, and how they stand as bytes.

    body length u32 · crc u32 · sequence u64 · name length u8 · name (UTF-8) · body            (little endian)

`crc` is crc32 of name and body, so that one record can be read back and trusted without the group around it. It leaves the
sequence out: whoever reads back knows which one must stand there. A group (group.py) has a checksum of every byte.
Does not know: what a body says; it is JSON text, which is why the byte 0xFF never occurs in it (group.py relies on that).
Source: docs/formats.md "Record".
"""

from __future__ import annotations

import struct
import zlib
from typing import Any, NamedTuple

from meadowlark.limits import RECORD_BYTES_MAX

HEADER = struct.Struct("<IIQB")
NAME_BYTES_MAX = 255

Waiting = tuple[str, int, bytes, Any]
"""A record on its way to the disk: database, sequence, body, waiter. A plain tuple: one is made for every write."""


class Record(NamedTuple):
    """A record found in a segment. `offset`, `size`: its bytes there, header included."""

    database: str
    sequence: int
    body: bytes
    offset: int
    size: int


class Names:
    """Encoded database names with their checksums; every record needs one, and few are new."""

    __slots__ = ("_known",)

    def __init__(self) -> None:
        self._known: dict[str, tuple[bytes, int]] = {}

    def encode(self, database: str) -> tuple[bytes, int]:
        """UTF-8 of the name, and its crc32 to go on from with the body."""
        known = self._known.get(database)
        if known is None:
            name = database.encode()
            assert 0 < len(name) <= NAME_BYTES_MAX, f"a database name has 1 to {NAME_BYTES_MAX} bytes, got {len(name)}"
            known = self._known[database] = (name, zlib.crc32(name))
        return known


def encode_header(body_bytes: int, crc: int, sequence: int, name: bytes) -> bytes:
    """The bytes before a body of so many bytes."""
    return HEADER.pack(body_bytes, crc, sequence, len(name)) + name


def parse_record(content: bytes | memoryview, offset: int, end: int) -> Record:
    """The record at `offset`, which must end by `end`. ValueError, saying what was found, if there is none that is whole."""
    if offset + HEADER.size > end:
        raise ValueError(f"{end - offset} bytes where a record header of {HEADER.size} was expected")
    body_bytes, crc, sequence, name_bytes = HEADER.unpack_from(content, offset)
    name_at = offset + HEADER.size
    body_at = name_at + name_bytes
    if body_bytes > RECORD_BYTES_MAX or body_at + body_bytes > end:
        raise ValueError(f"a record of {body_bytes} bytes where at most {max(0, end - body_at)} fit")
    name = bytes(content[name_at:body_at])
    body = bytes(content[body_at : body_at + body_bytes])
    if zlib.crc32(body, zlib.crc32(name)) != crc:
        raise ValueError("a record whose checksum does not match")
    return Record(name.decode(), sequence, body, offset, HEADER.size + name_bytes + body_bytes)
