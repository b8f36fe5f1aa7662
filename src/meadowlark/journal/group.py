"""A group: the records that one sync covers. It is durable as a whole or, after a crash, not there at all.

    magic FF 4D 4C 47 · payload length u32 · record count u32 · group number u64 · synced u64 · payload crc u32 · header crc u32
    payload: the records, one behind the other

Group numbers run without gaps through all segments of a worker. `synced` is how many bytes of this segment were durable when
the group was written. A group is written only when the one before is synced, so it is always the group's own offset; a group
that is bad *before* some later header's `synced` was once durable: that is damage, not a torn write (scan.py decides).
The magic starts with a byte that no UTF-8 text contains, so no client can write bytes that look like a header.
An empty group is a mark: it says that all before it was synced.
Does not know: segments, files.
Source: docs/formats.md "Group".
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from meadowlark.journal import record
from meadowlark.journal.record import Names, Waiting
from meadowlark.limits import RECORD_BYTES_MAX

MAGIC = b"\xffMLG"
HEADER = struct.Struct("<4sIIQQII")
_HEADER_CRC = struct.Struct("<I")

JOIN_BYTES_MAX = 256 * 1024
"""Bodies up to here are copied together for one write; larger ones are written from where they lie, because copying tens of
megabytes would hold the interpreter's lock for tens of milliseconds, and the loop with it."""

PAYLOAD_BYTES_MAX = 2 * RECORD_BYTES_MAX
"""A longer length in a header is no header of ours: a group ends with the record that makes it large (committer.py)."""


class Encoded(NamedTuple):
    """A group ready to be written. `offsets`, `sizes`: of each record, in the segment."""

    blocks: list[bytes]
    size: int
    offsets: list[int]
    sizes: list[int]


class Group(NamedTuple):
    """A whole group found in a segment, its checksums verified."""

    offset: int
    number: int
    record_count: int
    payload: int
    end: int


def encode_group(number: int, offset: int, records: Sequence[Waiting], names: Names) -> Encoded:
    """The bytes of group `number`, to stand at `offset` of its segment."""
    pieces: list[bytes] = []
    offsets: list[int] = []
    sizes: list[int] = []
    place = offset + HEADER.size
    for database, sequence, body, _ in records:
        name, name_crc = names.encode(database)
        pieces.append(record.encode_header(len(body), zlib.crc32(body, name_crc), sequence, name))
        pieces.append(body)
        size = record.HEADER.size + len(name) + len(body)
        offsets.append(place)
        sizes.append(size)
        place += size
    payload_bytes = place - offset - HEADER.size
    blocks = _join(pieces, payload_bytes)
    crc = 0
    for block in blocks:
        crc = zlib.crc32(block, crc)
    header = encode_header(number, offset, len(records), payload_bytes, crc)
    return Encoded([header, *blocks], place - offset, offsets, sizes)


def parse_group(content: bytes | memoryview, offset: int) -> Group:
    """The group at `offset`. ValueError, saying what was found, if there is none that is whole."""
    payload_bytes, count, number, synced, payload_crc = _parse_header(content, offset)
    payload = offset + HEADER.size
    end = payload + payload_bytes
    if end > len(content):
        raise ValueError(f"group {number} of {payload_bytes} bytes, of which the file holds {len(content) - payload}")
    if synced != offset:
        raise ValueError(f"group {number}, which was written at offset {synced}")
    if zlib.crc32(memoryview(content)[payload:end]) != payload_crc:
        raise ValueError(f"group {number}, whose checksum does not match its {payload_bytes} bytes")
    return Group(offset, number, count, payload, end)


def find_header(content: bytes, start: int) -> int | None:
    """The offset of the first intact group header at or after `start` that stands where it was written."""
    offset = content.find(MAGIC, start)
    while offset >= 0:
        try:
            synced = _parse_header(content, offset)[3]
        except ValueError:
            synced = -1
        if synced == offset:
            return offset
        offset = content.find(MAGIC, offset + 1)
    return None


def parse_records(content: bytes | memoryview, group: Group) -> Iterator[record.Record]:
    """The records of a group, in order. ValueError if they do not fill it: a bug of the writer, since the checksum was right."""
    offset = group.payload
    for _ in range(group.record_count):
        found = record.parse_record(content, offset, group.end)
        yield found
        offset += found.size
    if offset != group.end:
        raise ValueError(f"{group.record_count} records that leave {group.end - offset} bytes of group {group.number}")


def parse_places(content: bytes, group: Group) -> Iterator[tuple[str, int, int, int]]:
    """Database, sequence, offset and size of each record, bodies unread: a worker that starts has millions of them to list.

    Trusts the group's checksum. ValueError as for `parse_records`.
    """
    offset, end = group.payload, group.end
    unpack, header_bytes = record.HEADER.unpack_from, record.HEADER.size
    for _ in range(group.record_count):
        if offset + header_bytes > end:
            raise ValueError(f"{end - offset} bytes where a record header of {header_bytes} was expected")
        body_bytes, _, sequence, name_bytes = unpack(content, offset)
        name_at = offset + header_bytes
        size = header_bytes + name_bytes + body_bytes
        yield content[name_at : name_at + name_bytes].decode(), sequence, offset, size
        offset += size
    if offset != end:
        raise ValueError(f"{group.record_count} records that leave {end - offset} bytes of group {group.number}")


def encode_header(number: int, offset: int, count: int, payload_bytes: int, payload_crc: int) -> bytes:
    """The bytes before the payload of group `number`, which stands at `offset` of its segment."""
    header = HEADER.pack(MAGIC, payload_bytes, count, number, offset, payload_crc, 0)[: -_HEADER_CRC.size]
    return header + _HEADER_CRC.pack(zlib.crc32(header))


def _parse_header(content: bytes | memoryview, offset: int) -> tuple[int, int, int, int, int]:
    if offset + HEADER.size > len(content):
        raise ValueError(f"{len(content) - offset} bytes where a group header of {HEADER.size} was expected")
    magic, payload_bytes, count, number, synced, payload_crc, header_crc = HEADER.unpack_from(content, offset)
    if magic != MAGIC:
        raise ValueError(f"bytes {magic.hex(' ')} where a group begins with {MAGIC.hex(' ')}")
    if zlib.crc32(content[offset : offset + HEADER.size - _HEADER_CRC.size]) != header_crc:
        raise ValueError("a group header whose checksum does not match")
    if payload_bytes > PAYLOAD_BYTES_MAX:
        raise ValueError(f"group {number} of {payload_bytes} bytes, more than the {PAYLOAD_BYTES_MAX} that one may have")
    return payload_bytes, count, number, synced, payload_crc


def _join(pieces: list[bytes], total: int) -> list[bytes]:
    """The same bytes in few blocks, copying little."""
    if total <= JOIN_BYTES_MAX:
        return [b"".join(pieces)]
    blocks: list[bytes] = []
    small: list[bytes] = []
    for piece in pieces:
        if len(piece) < JOIN_BYTES_MAX:
            small.append(piece)
            continue
        blocks += [b"".join(small), piece]
        small = []
    return [*blocks, b"".join(small)] if small else blocks
