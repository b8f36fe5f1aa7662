"""The snapshots of a data folder: at most one in force for each database, the one with the highest sequence.

Threads: no state is shared; each call may be on any thread.
Source: docs/formats.md "Snapshot".
"""

from __future__ import annotations

from typing import Any

from meadowlark.journal.databases import database_folder
from meadowlark.journal.files import Files, read_whole
from meadowlark.journal.snapshot import Header, Snapshot, find_sequence, has_header, parse_header, parse_snapshot, snapshot_name
from meadowlark.journal.snapshot_writer import SnapshotWriter, remove_others

_HEADER_READ_BYTES = 64 * 1024
"""First read of a header; queued operations of very many sessions take more."""


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
        return None if path is None else parse_snapshot(path, database, read_whole(self._files, path))

    def read_header(self, database: str) -> Header | None:
        """What the newest snapshot says of itself, without reading the rest. Raises JournalDamaged."""
        path = self._find_newest(database)
        if path is None:
            return None
        file = self._files.open(path)
        try:
            start = file.read(0, _HEADER_READ_BYTES)
            while not has_header(start) and len(start) < file.size():
                start = file.read(0, 4 * len(start))
            return parse_header(path, database, start, file.size())
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


def find_sequences(files: Files, folder: str) -> list[int]:
    """Sequences of the snapshots in a database's folder, ascending; none when there is no such folder."""
    try:
        names = files.list(folder)
    except FileNotFoundError:
        return []
    return sorted(sequence for name in names if (sequence := find_sequence(name)) is not None)
