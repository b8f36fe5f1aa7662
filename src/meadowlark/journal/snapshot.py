"""Snapshots: all of one database at one sequence, in one file that is whole or not there.

    <data>/databases/<name>/snapshot-<sequence>
    line 1   {"format":1,"database":…,"sequence":…,"sessions":…}
    line 2   crc32 of line 1 without its end, 8 hexadecimal digits
    body     the tree as JSON, compressed (zstd)
    trailer  magic FF 4D 4C 53 4E 41 50 0A · JSON length u64 · xxh64 of the JSON u64 · compressed length u64 · crc32 u32

Written beside under another name, synced, renamed, the folder synced; only then are older ones removed. So the newest is always
whole after a crash, and one that is not is damage: it is refused, for an older one would lose acknowledged writes silently.
A snapshot must be finished only when the journal has its sequence durably: else a crash leaves a gap behind it.

Threads: no state is shared; each call and each writer may be on any one thread.
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

from meadowlark.errors import JournalDamaged, WorldError
from meadowlark.journal.databases import database_folder
from meadowlark.journal.files import UNFINISHED, File, Files, read_whole
from meadowlark.journal.recovery import REPAIR_HINT

FORMAT = 1
TRAILER = struct.Struct("<8sQQQI")
TRAILER_MAGIC = b"\xffMLSNAP\n"
_NAME = re.compile(r"snapshot-([0-9]+)")
_HEADER_CRC_BYTES = 9
"""Line 2 with its end."""

_LEVEL = 1
"""Of zstd: twice as fast as 3 and a tenth larger; the machine has other things to do."""

_SYNC_BYTES = 4 * 1024 * 1024
"""Synced in steps of this: one sync of a whole large snapshot would hold up the journal's, on the same disk, for as long."""

_HEADER_READ_BYTES = 64 * 1024


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


class _HeaderLine(msgspec.Struct):
    format: int
    database: str
    sequence: int
    sessions: Any


class Snapshots:
    """The snapshots of a data folder."""

    __slots__ = ("_data", "_files")

    def __init__(self, files: Files, data: str) -> None:
        """data: the data folder."""
        self._files = files
        self._data = data

    def writer(self, database: str, sequence: int, sessions: Any) -> SnapshotWriter:
        """A new snapshot, to be fed and finished. sessions: any JSON value. Raises WorldError."""
        return SnapshotWriter(self._files, database_folder(self._data, database), database, sequence, sessions)

    def read(self, database: str) -> Snapshot | None:
        """The newest snapshot, verified whole; None when there is none. Raises JournalDamaged."""
        path = self._find_newest(database)
        return None if path is None else _parse(path, database, read_whole(self._files, path))

    def read_header(self, database: str) -> Header | None:
        """What the newest snapshot says of itself, without reading the rest. Raises JournalDamaged."""
        path = self._find_newest(database)
        if path is None:
            return None
        file = self._files.open(path)
        try:
            start = file.read(0, _HEADER_READ_BYTES)
            while start.count(b"\n") < 2 and len(start) < file.size():
                start = file.read(0, 4 * len(start))
            line, _ = _parse_header(path, database, start)
            return Header(line.database, line.sequence, line.sessions, file.size())
        finally:
            file.close()

    def settle(self, database: str) -> Header | None:
        """As `read_header`; and that snapshot is durable, under its name, and the only one.

        After a crash the renaming may not have reached the disk yet: what relies on a snapshot found calls this first.
        """
        header = self.read_header(database)
        if header is not None:
            folder = database_folder(self._data, database)
            self._files.sync_folder(folder)
            remove_others(self._files, folder, header.sequence)
        return header

    def _find_newest(self, database: str) -> str | None:
        folder = database_folder(self._data, database)
        sequences = find_sequences(self._files, folder)
        return f"{folder}/{snapshot_name(sequences[-1])}" if sequences else None


class SnapshotWriter:
    """One snapshot on its way to the disk. Ends with `finish` or `abandon`."""

    __slots__ = (
        "_body_at", "_compressor", "_data_bytes", "_file", "_files", "_folder", "_hash", "_name", "_sequence",
        "_synced", "_written",
    )  # fmt: skip

    def __init__(self, files: Files, folder: str, database: str, sequence: int, sessions: Any) -> None:
        self._files = files
        self._folder = folder
        self._sequence = sequence
        self._name = snapshot_name(sequence)
        self._compressor = zstandard.ZstdCompressor(level=_LEVEL).compressobj()
        self._hash = xxhash.xxh64()
        self._data_bytes = 0
        self._body_at = 0
        self._written = 0
        self._synced = 0
        self._file: File | None = None
        line = msgspec.json.encode(_HeaderLine(FORMAT, database, sequence, sessions))
        try:
            unfinished = f"{folder}/{self._name}{UNFINISHED}"
            if files.exists(unfinished):
                files.remove(unfinished)
            self._file = files.open(unfinished, create=True)
            self._append(b"%s\n%08x\n" % (line, zlib.crc32(line)))
        except OSError as error:
            raise self._failed(error) from error
        self._body_at = self._written

    def write(self, chunk: bytes) -> None:
        """The next part of the tree's JSON, cut anywhere. Compresses and writes: not for the loop. Raises WorldError."""
        self._hash.update(chunk)
        self._data_bytes += len(chunk)
        try:
            self._append(self._compressor.compress(chunk))
        except OSError as error:
            raise self._failed(error) from error

    def finish(self) -> int:
        """The snapshot is durable and the only one; the bytes of its file. Raises WorldError, and then the older one stays."""
        assert self._file is not None
        try:
            self._append(self._compressor.flush())
            self._append(self._trailer())
            self._file.sync()
            self._file.close()
            self._file = None
            self._files.rename(f"{self._folder}/{self._name}{UNFINISHED}", f"{self._folder}/{self._name}")
            self._files.sync_folder(self._folder)
            remove_others(self._files, self._folder, self._sequence)
        except OSError as error:
            raise self._failed(error) from error
        return self._written

    def abandon(self) -> None:
        """The unfinished file is gone, as far as the disk allows; harmless after `finish`."""
        file, self._file = self._file, None
        if file is None:
            return
        file.close()
        try:
            self._files.remove(f"{self._folder}/{self._name}{UNFINISHED}")
        except OSError:
            # It means nothing, and the next snapshot of this database removes it.
            return

    def _append(self, content: bytes) -> None:
        assert self._file is not None
        if content:
            self._file.write(self._written, [content])
            self._written += len(content)
        if self._written - self._synced >= _SYNC_BYTES:
            self._file.sync()
            self._synced = self._written

    def _trailer(self) -> bytes:
        compressed_bytes = self._written - self._body_at
        fields = TRAILER.pack(TRAILER_MAGIC, self._data_bytes, self._hash.intdigest(), compressed_bytes, 0)[:-4]
        return fields + struct.pack("<I", zlib.crc32(fields))

    def _failed(self, error: OSError) -> WorldError:
        return WorldError(f"{self._folder}/{self._name} could not be written: {error}. Nothing is lost: the journal has it all")


# Names


def snapshot_name(sequence: int) -> str:
    """The file name of a finished snapshot."""
    return f"snapshot-{sequence}"


def find_sequences(files: Files, folder: str) -> list[int]:
    """Sequences of the snapshots in a database's folder, ascending; none when there is no such folder."""
    try:
        names = files.list(folder)
    except FileNotFoundError:
        return []
    return sorted(int(match[1]) for name in names if (match := _NAME.fullmatch(name)))


def remove_others(files: Files, folder: str, sequence: int) -> None:
    """Only the snapshot of `sequence` is left, which must be durable. Not synced: one that comes back is older and goes again."""
    for name in files.list(folder):
        match = _NAME.fullmatch(name)
        if (match and int(match[1]) < sequence) or name.endswith(UNFINISHED):
            files.remove(f"{folder}/{name}")


# Parsing


def _parse(path: str, database: str, content: bytes) -> Snapshot:
    line, body_at = _parse_header(path, database, content)
    trailer_at = len(content) - TRAILER.size
    if trailer_at < body_at:
        raise _damaged(path, f"{len(content) - body_at} bytes where a body and a trailer were expected")
    magic, data_bytes, digest, compressed_bytes, crc = TRAILER.unpack_from(content, trailer_at)
    if magic != TRAILER_MAGIC or zlib.crc32(content[trailer_at:-4]) != crc:
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


def _parse_header(path: str, database: str, content: bytes) -> tuple[_HeaderLine, int]:
    """The first line, verified, and where the body begins."""
    end = content.find(b"\n")
    body_at = end + 1 + _HEADER_CRC_BYTES
    if end < 0 or content[end + 1 : body_at] != b"%08x\n" % zlib.crc32(content[:end]):
        raise _damaged(path, "a header whose checksum does not match")
    try:
        line = msgspec.json.decode(content[:end], type=_HeaderLine)
    except msgspec.MsgspecError as error:
        raise _damaged(path, f"a header that is not one ({error})") from error
    if line.format != FORMAT:
        raise JournalDamaged(f"{path} has format {line.format}, and this version of Meadowlark reads format {FORMAT}")
    if line.database != database or not path.endswith(snapshot_name(line.sequence)):
        raise _damaged(path, f"the header of a snapshot of database {line.database!r} at sequence {line.sequence}")
    return line, body_at


def _damaged(path: str, found: str) -> JournalDamaged:
    return JournalDamaged(f"{path} is damaged: found {found}. Restore it from a copy, or {REPAIR_HINT}")
