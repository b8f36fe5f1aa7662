"""The journal of one worker: records in, durable acknowledgements out, and all of it back after a crash.

A record (database, sequence, body) is appended by the worker's loop and made durable by the committer's thread; then whoever
waits for it is handed back through `wake`. Segments that snapshots have made needless are removed, oldest first.

Threads: every method is for one and the same thread (the loop); `on_durable` and `on_failed` are called there too, by way of
`wake`. Two exceptions: `drain`, while the committer's thread runs, and walking what `records` gave may be on any one thread.
Life: `open`, `start`, then the rest, `drain`, `close`. Without `start`, `drain` does the work on the calling thread.

Invariant: durable <= written <= appended, for every database; sequences run without gaps.
Does not know: what bodies say, where databases live in memory, connections.
Source: docs/formats.md. Crash cases: tests/journal/test_crash.py.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Protocol

import msgspec

from meadowlark.errors import BrokenInvariant, JournalDamaged, JournalFailed
from meadowlark.journal import recovery
from meadowlark.journal.committer import Chore, Committer, Group
from meadowlark.journal.counters import Counters
from meadowlark.journal.files import Files
from meadowlark.journal.index import Index
from meadowlark.journal.log import Log
from meadowlark.journal.reader import read_places
from meadowlark.journal.recovery import Tail
from meadowlark.journal.snapshots import Snapshots
from meadowlark.limits import JOURNAL_SEALED_BYTES_MAX, RECORD_BYTES_MAX


class Wake(Protocol):
    """Runs `callback(*arguments)` soon, on the thread that owns the journal, e.g. `loop.call_soon_threadsafe`."""

    def __call__(self, callback: Callable[..., object], /, *arguments: Any) -> object: ...


class Recovery(msgspec.Struct):
    """What `open` found, for the log."""

    segments: int = 0
    groups: int = 0
    records: int = 0
    cut_bytes: int = 0
    """Of a torn tail: a write that a crash cut short and nobody was told was durable."""
    cut_at: str = ""
    """File and offset of the cut, and what stood there."""


class Journal:
    """Appends, reads back, trims."""

    __slots__ = (
        "_appended", "_appended_bytes", "_committer", "_durable_bytes", "_files", "_folder", "_index", "_log", "_needless",
        "_next", "_on_durable", "_on_failed", "_put", "_wake", "_worker", "counters",
    )  # fmt: skip

    def __init__(
        self,
        files: Files,
        folder: str,
        *,
        worker: int,
        wake: Wake,
        on_durable: Callable[[list[Any]], object],
        on_failed: Callable[[list[Any], JournalFailed], object],
        clock: Callable[[], float] | None = None,
        pause: Callable[[float], object] | None = None,
    ) -> None:
        """folder: this worker's own, `<data>/journal-<generation>/<worker>`; it exists (layout.py makes it).

        clock: seconds, to measure syncs for `counters`; without one they count as taking no time. pause: `time.sleep`; with it
        groups begin a little apart (committer.py), without it they follow at once.
        """
        self._files = files
        self._folder = folder
        self._worker = worker
        self._wake = wake
        self._on_durable = on_durable
        self._on_failed = on_failed
        self._log = Log(files, folder, worker)
        self._committer = Committer(self._log, partial(wake, self._take_back), clock or _no_clock, pause)
        self._put: Callable[[Any], object] = self._refuse_to_append
        """Into the committer's queue, while open."""
        self._index = Index()
        """Of durable records."""
        self._next: dict[str, int] = {}
        """By database, the sequence to be appended next."""
        self._needless: deque[int] = deque()
        """Segments to be removed, of which the first is on its way. One at a time: each takes a sync, for which whatever is
        appended meanwhile waits, and where large records were written there may be a hundred."""
        self._appended_bytes = 0
        self._durable_bytes = 0
        self.counters = Counters()

    @property
    def failed(self) -> JournalFailed | None:
        """Why nothing is acknowledged any more; None while all is well."""
        return self._committer.failure

    @property
    def _is_open(self) -> bool:
        return self._put == self._committer.put

    @property
    def backlog_bytes(self) -> int:
        """Bytes of bodies appended and not yet durable; who appends without a bound must look at it."""
        return self._appended_bytes - self._durable_bytes

    @property
    def durable_bytes(self) -> int:
        """Bytes of bodies that have become durable, or could not be stored, since it was made."""
        return self._durable_bytes

    # Making and ending

    def open(self, snapshots: Snapshots | None = None) -> Recovery:
        """Everything acknowledged in earlier runs is here again, durable, and appending may go on.

        snapshots: lets segments go that they have made needless. Reads every segment once.
        Raises JournalDamaged (nothing was changed), JournalFailed when the disk refuses.
        """
        found = Recovery()
        try:
            tail = Tail()
            for group in recovery.walk(self._files, self._folder, self._worker, tail):
                self._recover_group(group, found)
            self._log.resume(tail)
        except OSError as error:
            raise JournalFailed(f"the journal in {self._folder} could not be opened: {error}") from error
        if tail.torn is not None:
            found.cut_bytes = tail.torn.size
            found.cut_at = f"{self._folder} segment {tail.segment} at offset {tail.end}: {tail.torn.text}"
        self._index.enter_segment(self._log.segment)
        self._put = self._committer.put
        if snapshots is not None:
            self._cover_all(snapshots)
        self._next = self._index.nexts()
        return found

    def start(self, at_first: Callable[[], object] | None = None) -> None:
        """The committer's thread runs. at_first: called there before anything else."""
        self._committer.start(f"journal-{self._worker}", at_first)

    def drain(self) -> None:
        """Everything appended is durable; blocks until then. Raises JournalFailed if it cannot be.

        Waiters are still handed back through `wake`: let the loop turn once before it ends.
        """
        if self._committer.is_running:
            done = threading.Event()
            self._put(lambda failure: done.set())
            done.wait()
        else:
            self._committer.turn_until_empty()
        if self._committer.failure is not None:
            raise self._committer.failure

    def close(self) -> None:
        """The thread is gone and the files are given back. What was appended and not drained is made durable first.

        Marks the end, so that damage to the last records can be told from a write that a crash cut short.
        """
        if self._is_open:
            self._put(self._mark_end)
            self._put = self._refuse_to_append
        if self._committer.is_running:
            self._committer.stop()
        else:
            self._committer.turn_until_empty()
        self._log.close()

    # Writing

    def append(self, database: str, sequence: int, body: bytes, waiter: Any | None) -> None:
        """The record is on its way; `waiter` (None: nobody) comes back in `on_durable` or `on_failed`, in the order appended to
        this database.

        sequence: one more than the last of this database; at first, one more than its snapshot's (1 without one).
        body: JSON text, kept until durable. Cost: under a microsecond, whatever the size.
        """
        if sequence != self._next.get(database, sequence) or len(body) > RECORD_BYTES_MAX:
            raise self._misuse(database, sequence, body)
        self._next[database] = sequence + 1
        self._appended_bytes += len(body)
        self._put((database, sequence, body, waiter))

    # Reading back

    def records(self, database: str, after_sequence: int) -> Iterator[tuple[int, bytes]]:
        """The durable records of `database` above `after_sequence`, in order: what to replay onto a snapshot of that sequence.

        Lazy: read as it is walked. Raises JournalDamaged, at once if the first record needed is not there, later if bytes have
        gone bad; BrokenInvariant if records of this database are not durable yet (a database with such must not leave memory).
        """
        if not self.is_durable(database):
            raise BrokenInvariant(f"records of database {database!r} are read back before they are durable")
        first = self._index.find_first(database)
        if first is not None and first > after_sequence + 1:
            raise JournalDamaged(
                f"record {after_sequence + 1} of database {database!r} is missing: the journal in {self._folder} begins with "
                f"record {first}, and the snapshot ends with record {after_sequence}. Restore the snapshot from a copy, "
                f"or {recovery.REPAIR_HINT}"
            )
        return read_places(self._files, self._folder, database, self._index.places(database, after_sequence))

    def is_durable(self, database: str) -> bool:
        """Whether nothing appended to `database` waits for the disk."""
        return database not in self._next or self._next[database] == self._index.next(database)

    def databases(self) -> dict[str, int]:
        """Databases with durable records that no snapshot covers, and the sequence of the last."""
        return self._index.databases()

    def bytes_since_snapshot(self, database: str) -> int:
        """Bytes of those records of one database."""
        return self._index.size(database)

    # Trimming

    def covered(self, database: str, sequence: int) -> None:
        """A durable snapshot has all of `database` up to `sequence`; segments that nobody needs any more will be removed.

        Raises BrokenInvariant if the snapshot holds what the journal may still lose: sequences after it would not join.
        """
        if database in self._next and sequence >= (self._index.next(database) or 0):
            raise BrokenInvariant(f"a snapshot of database {database!r} holds record {sequence}, not durable in the journal")
        self._index.cover(database, sequence)
        self._trim()

    def pinning_databases(self) -> list[str]:
        """The databases to snapshot so that what is too much of the journal can go; none while it is short enough."""
        return self._index.oldest_names(self._index.sealed_bytes() - JOURNAL_SEALED_BYTES_MAX)

    # Helpers

    def _take_back(self, group: Group) -> None:
        """On the owning thread: a group's fate."""
        waiters = [record[3] for record in group.records if record[3] is not None]
        self._durable_bytes += sum([len(record[2]) for record in group.records])
        written = group.written
        if written is None:
            assert group.failure is not None
            self._on_failed(waiters, group.failure)
            return
        begins_segment = self._index.enter_segment(written.segment)
        for record, offset, size in zip(group.records, written.offsets, written.sizes, strict=True):
            self._index.add(record[0], record[1], offset, size)
        self.counters.count(len(group.records), written.size, group.seconds)
        if waiters:
            self._on_durable(waiters)
        if begins_segment:
            self._trim()

    def _recover_group(self, group: recovery.Found, found: Recovery) -> None:
        found.segments += self._index.enter_segment(group.segment)
        found.groups += 1
        found.records += group.group.record_count
        add = self._index.add
        for database, sequence, offset, size in group.places():
            try:
                add(database, sequence, offset, size)
            except ValueError as error:
                raise recovery.damaged(group.path, offset, str(error)) from error

    def _cover_all(self, snapshots: Snapshots) -> None:
        for database in self._index.databases():
            try:
                header = snapshots.settle(database)
            except JournalDamaged:
                # Only that database is hurt, and it says so when it is opened; its records stay.
                continue
            if header is not None:
                self._index.cover(database, header.sequence)
        self._trim()

    def _trim(self) -> None:
        is_removing = bool(self._needless)
        self._needless.extend(self._index.take_free())
        if not is_removing:
            self._remove_first()

    def _remove_first(self) -> None:
        # The last groups come back after `close`; what is needless by then goes at the next start.
        if self._needless and self._is_open:
            self._put(Chore(partial(self._remove, self._needless[0])))

    def _remove(self, segment: int, failure: JournalFailed | None) -> None:
        """On the committer's thread."""
        if failure is None:
            self._log.remove(segment)
            self._wake(self._removed)

    def _removed(self) -> None:
        self._needless.popleft()
        self._remove_first()

    def _mark_end(self, failure: JournalFailed | None) -> None:
        if failure is None:
            self._log.append([])

    def _misuse(self, database: str, sequence: int, body: bytes) -> BrokenInvariant:
        return BrokenInvariant(
            f"record {sequence} of database {database!r} with {len(body)} bytes cannot be appended: expected record "
            f"{self._next.get(database, sequence)} of at most {RECORD_BYTES_MAX} bytes"
        )

    def _refuse_to_append(self, item: object) -> None:
        raise BrokenInvariant(f"the journal in {self._folder} is used before it was opened or after it was closed")


def _no_clock() -> float:
    return 0.0
