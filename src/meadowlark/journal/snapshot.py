"""Snapshots: all of one database at one sequence, in one file that is whole or not there.

    <data>/databases/<name>/snapshot-<sequence>
    line 1   {"format":1,"database":…,"sequence":…,"sessions":…}
    line 2   crc32 of line 1 without its end, 8 hexadecimal digits
    body     the tree as JSON, compressed (zstd)
    trailer  magic FF 4D 4C 53 4E 41 50 0A · JSON length u64 · xxh64 of the JSON u64 · compressed length u64 · crc32 u32

A snapshot is written beside under another name, synced, renamed, the folder synced; only then are older ones removed. So the
newest is always whole after a crash, and one that is not is damage: it is refused, for an older one would silently lose
acknowledged writes. A snapshot must be finished only when the journal has its sequence durably: else a crash leaves a gap.

Pure: this module knows the bytes and names; snapshot_writer.py and snapshots.py touch files.
Source: docs/formats.md "Snapshot".
"""

from __future__ import annotations

import re
import struct
import zlib
from typing import Any, NamedTuple

import msgspec
import xxhash
import zstandard

from meadowlark.errors import JournalDamaged
from meadowlark.journal.recovery import REPAIR_HINT

FORMAT = 1
TRAILER = struct.Struct("<8sQQQI")
_CRC = struct.Struct("<I")
TRAILER_MAGIC = b"\xffMLSNAP\n"
_NAME = re.compile(r"snapshot-([0-9]+)")
_HEADER_CRC_BYTES = 9
"""Line 2 with its end."""


class Header(msgspec.Struct, frozen=True):
    """What a snapshot is of. `file_bytes`: size of its file."""

    database: str
    sequence: int
    sessions: Any
    file_bytes: int


class Snapshot(NamedTuple):
    """A database as it was at `sequence`. `data`: its tree as JSON. `sessions`: as it was given to the writer."""

    sequence: int
    sessions: Any
    data: bytes


class _Line(msgspec.Struct):
    """The first line."""

    format: int
    database: str
    sequence: int
    sessions: Any


def snapshot_name(sequence: int) -> str:
    """The file name of a finished snapshot."""
    return f"snapshot-{sequence}"


def find_sequence(name: str) -> int | None:
    """The sequence in a file name; None if it is no finished snapshot's name."""
    match = _NAME.fullmatch(name)
    return int(match[1]) if match else None


def encode_header(database: str, sequence: int, sessions: Any) -> bytes:
    """Both lines of the header."""
    line = msgspec.json.encode(_Line(FORMAT, database, sequence, sessions))
    return b"%s\n%08x\n" % (line, zlib.crc32(line))


def encode_trailer(data_bytes: int, digest: int, compressed_bytes: int) -> bytes:
    """The last bytes of the file."""
    fields = TRAILER.pack(TRAILER_MAGIC, data_bytes, digest, compressed_bytes, 0)[: -_CRC.size]
    return fields + _CRC.pack(zlib.crc32(fields))


def has_header(start: bytes) -> bool:
    """Whether the first bytes of a file include both lines."""
    return start.count(b"\n") >= 2


def parse_header(path: str, database: str, start: bytes, file_bytes: int) -> Header:
    """The header of the file at `path`. Raises JournalDamaged if it is not intact, or another snapshot's."""
    line, _ = _parse_lines(path, database, start)
    return Header(line.database, line.sequence, line.sessions, file_bytes)


def parse_snapshot(path: str, database: str, content: bytes) -> Snapshot:
    """The whole snapshot in the file at `path`. Raises JournalDamaged if a byte of it is not as it was written."""
    line, body_at = _parse_lines(path, database, content)
    trailer_at = len(content) - TRAILER.size
    if trailer_at < body_at:
        raise _damaged(path, f"{len(content) - body_at} bytes where a body and a trailer were expected")
    magic, data_bytes, digest, compressed_bytes, crc = TRAILER.unpack_from(content, trailer_at)
    if magic != TRAILER_MAGIC or zlib.crc32(content[trailer_at : -_CRC.size]) != crc:
        raise _damaged(path, "no intact trailer at its end")
    if compressed_bytes != trailer_at - body_at:
        raise _damaged(path, f"a body of {trailer_at - body_at} bytes where the trailer says {compressed_bytes}")
    try:
        data = zstandard.ZstdDecompressor().decompressobj().decompress(memoryview(content)[body_at:trailer_at])
    except zstandard.ZstdError as error:
        raise _damaged(path, f"a body that cannot be decompressed ({error})") from error
    if len(data) != data_bytes or xxhash.xxh64_intdigest(data) != digest:
        raise _damaged(path, f"{len(data)} bytes of JSON that are not the {data_bytes} written")
    return Snapshot(line.sequence, line.sessions, data)


def _parse_lines(path: str, database: str, content: bytes) -> tuple[_Line, int]:
    """The first line, verified, and where the body begins."""
    end = content.find(b"\n")
    body_at = end + 1 + _HEADER_CRC_BYTES
    if end < 0 or content[end + 1 : body_at] != b"%08x\n" % zlib.crc32(content[:end]):
        raise _damaged(path, "a header whose checksum does not match")
    try:
        line = msgspec.json.decode(content[:end], type=_Line)
    except msgspec.MsgspecError as error:
        raise _damaged(path, f"a header that is not one ({error})") from error
    if line.format != FORMAT:
        raise JournalDamaged(f"{path} has format {line.format}, and this version of Meadowlark reads format {FORMAT}")
    if line.database != database or not path.endswith(snapshot_name(line.sequence)):
        raise _damaged(path, f"the header of a snapshot of database {line.database!r} at sequence {line.sequence}")
    return line, body_at


def _damaged(path: str, found: str) -> JournalDamaged:
    return JournalDamaged(f"{path} is damaged: found {found}. Restore it from a copy, or {REPAIR_HINT}")
