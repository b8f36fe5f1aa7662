"""The writing end of a worker's journal: one group at a time, durable when `append` returns.

A record so large that others would wait long for its sync is written by `append_slices`, a part at a time: into a file of its
own, which becomes the next segment when all of it is durable. Groups may be appended before and between. A crash before that
leaves an unfinished file, which means nothing.

Synchronous, for one thread: the committer's while a worker runs, the caller's while a journal is resharded or repaired.
After any error the log may not be used again: what the last write or sync left behind is unknown until the next recovery.

Invariant: all before `end` is durable whenever no call is running.
Does not know: who waits, what a body says.
"""

from __future__ import annotations

import zlib
from collections.abc import Generator, Iterator, Sequence
from typing import NamedTuple

from meadowlark.journal import group, record, segment
from meadowlark.journal.files import UNFINISHED, File, Files
from meadowlark.journal.record import Names, Waiting
from meadowlark.journal.recovery import Tail
from meadowlark.limits import SEGMENT_BYTES_MAX

PART_BYTES = 512 * 1024
"""Of a large record, written and synced in one go: a millisecond on a fast disk."""
LARGE_FILE = f"large{UNFINISHED}"
"""Name of the file of a large record until it is a segment."""


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
        if self._files.exists(self._large_path):
            self._files.remove(self._large_path)
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

    def append_slices(self, waiting: Waiting) -> Generator[None, None, Written]:
        """The record stands in the journal as a group of its own, durably. Yields after each part; one at a time."""
        database, sequence, body, _ = waiting
        name, crc = self._names.encode(database)
        payload_at = segment.HEADER.size + group.HEADER.size
        at = payload_at + record.HEADER.size + len(name)
        payload_bytes = at - payload_at + len(body)
        file = self._files.open(self._large_path, create=True)
        try:
            allocated = _allocate(file, at + len(body))
            for part in _parts(body):
                file.write(at, [part])
                file.sync()
                at += len(part)
                crc = zlib.crc32(part, crc)
                yield
            head = record.encode_header(len(body), crc, sequence, name)
            payload_crc = zlib.crc32(head)
            for part in _parts(body):
                payload_crc = zlib.crc32(part, payload_crc)
                yield
            if self._end == segment.HEADER.size:
                # No segment ends without a group: recovery goes by groups, and one that it does not know would never be removed.
                self.append([])
            self._seal()
        except BaseException:
            file.close()
            raise
        self._segment += 1
        self._file, self._end, self._allocated = file, at, allocated
        header = group.encode_header(self._next_group, segment.HEADER.size, 1, payload_bytes, payload_crc)
        file.write(0, [self._header(), header, head])
        file.sync()
        self._files.rename(self._large_path, self._path(self._segment))
        self._files.sync_folder(self._folder)
        self._next_group += 1
        return Written(self._segment, at - segment.HEADER.size, [payload_at], [payload_bytes])

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
            self._allocated = _allocate(file, size)

    def _header(self) -> bytes:
        return segment.encode_header(segment.Header(self._worker, self._segment, self._next_group))

    def _path(self, number: int) -> str:
        return f"{self._folder}/{segment.segment_name(number)}"

    @property
    def _large_path(self) -> str:
        return f"{self._folder}/{LARGE_FILE}"


def _allocate(file: File, size: int) -> int:
    """Room for `size` bytes and some ahead; for how many."""
    step = segment.ALLOCATE_BYTES
    allocated = (size + step - 1) // step * step
    file.allocate(allocated)
    return allocated


def _parts(body: bytes) -> Iterator[bytes]:
    return (body[start : start + PART_BYTES] for start in range(0, len(body), PART_BYTES))
