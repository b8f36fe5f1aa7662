"""Writing one snapshot: fed in pieces, compressed and written as they come, in force when `finish` returns.

The file has another name until it is whole and synced; an older snapshot goes only when the new one is durable under its own
name. A snapshot that fails hurts nothing: the journal still has every record.
Finish it only when the journal has its sequence durably: else a crash could leave a gap between the two.

Threads: any one at a time. Source: docs/formats.md "Snapshot"; crash cases: tests/journal/test_snapshots.py.
"""

from __future__ import annotations

from typing import Any

import xxhash
import zstandard

from meadowlark.errors import WorldError
from meadowlark.journal.files import UNFINISHED, File, Files
from meadowlark.journal.snapshot import encode_header, encode_trailer, find_sequence, snapshot_name

_LEVEL = 1
"""Of zstd: twice as fast as 3 and a tenth larger; the machine has other things to do."""

_SYNC_BYTES = 1024 * 1024
"""Synced in steps of this: one sync of a whole large snapshot would hold up the journal's, on the same disk, for as long."""


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
        try:
            unfinished = f"{folder}/{self._name}{UNFINISHED}"
            if files.exists(unfinished):
                files.remove(unfinished)
            self._file = files.open(unfinished, create=True)
            self._append(encode_header(database, sequence, sessions))
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
            self._append(encode_trailer(self._data_bytes, self._hash.intdigest(), self._written - self._body_at))
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

    def _failed(self, error: OSError) -> WorldError:
        return WorldError(f"{self._folder}/{self._name} could not be written: {error}. Nothing is lost: the journal has it all")


def remove_others(files: Files, folder: str, sequence: int) -> None:
    """Only the snapshot of `sequence` is left, which must be durable. Not synced: one that comes back is older and goes again."""
    for name in files.list(folder):
        other = find_sequence(name)
        if (other is not None and other < sequence) or name.endswith(UNFINISHED):
            files.remove(f"{folder}/{name}")
