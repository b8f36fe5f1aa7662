"""The writing end of a worker's journal: one group at a time, durable when `append` returns.

Synchronous, for one thread: the committer's while a worker runs, the caller's while a journal is resharded or repaired.
After any error the log may not be used again: what the last write or sync left behind is unknown until the next recovery.

Invariant: all before `end` is durable whenever no call is running.
Does not know: who waits, what a body says.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from meadowlark.journal import group, segment
from meadowlark.journal.files import File, Files
from meadowlark.journal.record import Names, Waiting
from meadowlark.journal.recovery import Tail
from meadowlark.limits import SEGMENT_BYTES_MAX


class Written(NamedTuple):
    """A durable group: its segment, its bytes, and where its records stand."""

    segment: int
    size: int
    offsets: list[int]
    sizes: list[int]


class Log:
    """Appends groups to the last segment and begins the next."""

    __slots__ = ("_allocated", "_end", "_file", "_files", "_folder", "_names", "_next_group", "_segment", "_worker")

    def __init__(self, files: Files, folder: str, worker: int) -> None:
        self._files = files
        self._folder = folder
        self._worker = worker
        self._names = Names()
        self._segment = 0
        self._next_group = 1
        self._end = 0
        """Offset in the segment at which the next group goes."""
        self._allocated = 0
        """Bytes of the file, preallocated ones included."""
        self._file: File | None = None

    @property
    def segment(self) -> int:
        """Number of the segment being written."""
        return self._segment

    def resume(self, tail: Tail) -> None:
        """Ready to append where `tail` says; what is there is durable, and what it says to cut is gone."""
        if tail.unfinished:
            self._files.remove(self._path(tail.unfinished))
        self._segment, self._next_group = tail.segment, tail.next_group
        if not tail.segment:
            self._begin_segment()
            return
        self._file = self._files.open(self._path(tail.segment))
        self._end = tail.end
        if tail.torn is not None:
            self._file.truncate(tail.end)
        self._write_again(self._file, tail)
        self._file.sync()
        self._files.sync_folder(self._folder)
        self._allocated = self._file.size()

    def append(self, records: Sequence[Waiting]) -> Written:
        """`records` stand in the journal as one group, durably. No records: a mark, that all before was synced."""
        if self._end > SEGMENT_BYTES_MAX:
            self._seal()
            self._begin_segment()
        assert self._file is not None
        encoded = group.encode_group(self._next_group, self._end, records, self._names)
        self._reserve(self._file, self._end + encoded.size)
        self._file.write(self._end, encoded.blocks)
        self._file.sync()
        self._end += encoded.size
        self._next_group += 1
        return Written(self._segment, encoded.size, encoded.offsets, encoded.sizes)

    def remove(self, number: int) -> None:
        """The segment is gone, durably: so segments go strictly one after the other, and a crash leaves no hole."""
        self._files.remove(self._path(number))
        self._files.sync_folder(self._folder)

    def close(self) -> None:
        """Gives the file back. All appended is durable already."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _begin_segment(self) -> None:
        self._segment += 1
        self._file = self._files.open(self._path(self._segment), create=True)
        self._end = segment.HEADER.size
        self._allocated = 0
        self._reserve(self._file, self._end)
        self._file.write(0, [self._header()])
        self._file.sync()
        self._files.sync_folder(self._folder)

    def _seal(self) -> None:
        """Gives back the room behind the last group. Not synced: zeros may stand there as well."""
        assert self._file is not None
        self._file.truncate(self._end)
        self.close()

    def _write_again(self, file: File, tail: Tail) -> None:
        """Writes what may not be durable once more, the same bytes at the same place: the last group.

        It may be in the system's cache only, and if its sync has failed, the cache says it is clean: then another sync would
        succeed without writing a byte. Everything before it was synced, or it would not have been written.
        """
        if tail.last_group is not None:
            start, end = tail.last_group.offset, tail.last_group.end
        else:
            start, end = 0, segment.HEADER.size
        file.write(start, [file.read(start, end - start)])

    def _reserve(self, file: File, size: int) -> None:
        if size > self._allocated:
            step = segment.ALLOCATE_BYTES
            self._allocated = (size + step - 1) // step * step
            file.allocate(self._allocated)

    def _header(self) -> bytes:
        return segment.encode_header(segment.Header(self._worker, self._segment, self._next_group))

    def _path(self, number: int) -> str:
        return f"{self._folder}/{segment.segment_name(number)}"
