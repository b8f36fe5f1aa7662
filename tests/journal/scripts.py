"""A journal in memory, and what tests do with it: append, stop in some way, start again, look what is there."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from hypothesis import settings

from meadowlark.errors import JournalFailed
from meadowlark.journal import Databases, Files, Journal, Recovery, Snapshots
from meadowlark.journal.files import ensure_folders
from meadowlark.testing import MemoryFiles

untimed = settings(deadline=None)
"""For properties: the machine may be busy with other things."""

DATA = "data"
FOLDER = "data/journal-1/0"
SEGMENT = f"{FOLDER}/segment-00000001"


def make_files() -> MemoryFiles:
    """A data folder with an empty journal folder, all durable."""
    files = MemoryFiles()
    files.make_folder(DATA)
    files.sync_folder("")
    ensure_folders(files, DATA, "journal-1", "0")
    files.restart()
    return files


def body_of(database: str, sequence: int) -> bytes:
    """The body that tests append: different for each record, of very different lengths."""
    return b'[["w","/%s/%d","%s"]]' % (database.encode(), sequence, b"x" * (sequence * 37 % 200))


def call(callback: Callable[..., object], /, *arguments: Any) -> None:
    """A `wake` for tests without a loop: at once, on the calling thread."""
    callback(*arguments)


class Run:
    """One life of a journal, without a thread: `drain` commits. What was acknowledged is `acknowledged`."""

    def __init__(self, files: Files, acknowledged: list[tuple[str, int]] | None = None, *, folder: str = FOLDER) -> None:
        self.files = files
        self.acknowledged = [] if acknowledged is None else acknowledged
        self.refused: list[Any] = []
        self.errors: list[JournalFailed] = []
        self.snapshots = Snapshots(files, DATA)
        self.databases = Databases(files, DATA)
        self.journal = Journal(
            files, folder, worker=0, wake=call, on_durable=self.acknowledged.extend, on_failed=self._failed, clock=iter_clock()
        )
        self.report: Recovery = self.journal.open(self.snapshots)

    def append(self, database: str, *sequences: int) -> None:
        for sequence in sequences:
            self.journal.append(database, sequence, body_of(database, sequence), (database, sequence))

    def turn(self) -> None:
        """One round of the committer; for when something waits."""
        self.journal._committer.turn()

    def save(self, database: str, sequence: int) -> None:
        """A snapshot whose content is all bodies up to `sequence`, and the journal trimmed by it."""
        self.databases.create(database)
        writer = self.snapshots.writer(database, sequence, {"upTo": sequence})
        try:
            for one in range(1, sequence + 1):
                writer.write(body_of(database, one))
            writer.finish()
        finally:
            writer.abandon()
        self.journal.covered(database, sequence)

    def found(self, database: str) -> int:
        """How many writes of `database` are there, from its snapshot and the records after it; each is verified."""
        snapshot = self.snapshots.read(database)
        last = 0 if snapshot is None else snapshot.sequence
        if snapshot is not None:
            assert snapshot.data == b"".join(body_of(database, one) for one in range(1, last + 1))
            assert snapshot.sessions == {"upTo": last}
        for sequence, body in self.journal.records(database, last):
            assert sequence == last + 1, "sequences have no gap"
            assert body == body_of(database, sequence), "a record is whole or not there"
            last = sequence
        return last

    def _failed(self, waiters: list[Any], error: JournalFailed) -> None:
        self.refused += waiters
        self.errors.append(error)


def iter_clock() -> Callable[[], float]:
    """A clock that moves by a millisecond each time it is looked at."""
    ticks: Iterator[int] = iter(range(10**9))
    return lambda: next(ticks) / 1000
