"""Large requests on their way in: room for their bytes, and who makes room when there is none.

A large body takes its room from when it is announced, a long message of a socket as it comes. Two bounds: one for the worker,
and half of it for each database, so that whatever one database's clients send, others have room. Where a bound is met, those
of it that come slowest are asked to come back later, until there is room: half-sent uploads must not keep out whoever
has something to send. What comes faster than SLOW_BYTES_A_SECOND is never sent away for another; then it is the new one that is
asked to come back. How fast one comes is reckoned by `sweep`, once a second, and forgets by half each time, so that a quick
beginning does not count for long.
Not by address: behind a proxy all clients have the same.
Does not know: connections, what is sent.
"""

from __future__ import annotations

from collections.abc import Callable

from meadowlark.errors import Code, Refused
from meadowlark.limits import LARGE_WRITES_BYTES_MAX, LARGE_WRITES_DATABASE_BYTES_MAX

SLOW_BYTES_A_SECOND = 1024 * 1024
"""An upload that comes faster is never ended for another's sake: the largest is whole after four minutes."""
NEW_SWEEPS = 2
"""Before which nobody knows how fast an upload comes."""

TOO_MANY = f"the server is busy with large writes: more than {LARGE_WRITES_BYTES_MAX} bytes are coming in; try again in a moment"
TOO_MANY_HERE = (
    f"the database is busy with large writes: more than {LARGE_WRITES_DATABASE_BYTES_MAX} bytes are coming in for it; "
    "try again in a moment"
)
TOO_SLOW = "the server is busy with large writes, and this one came slowest: try again in a moment"


class Upload:
    """One request that is coming in, if it is large. Holds nothing until `grow` says that it is."""

    __slots__ = ("_came_bytes", "_end", "_noted_bytes", "_sweep_count", "_uploads", "bytes_a_second", "database", "held_bytes")

    def __init__(self, uploads: Uploads, database: str | None, end: Callable[[Refused], object]) -> None:
        """end: ends the request for the reason given."""
        self._uploads = uploads
        self._end: Callable[[Refused], object] | None = end
        self.database = database
        self.held_bytes = 0
        """For which it has room."""
        self._came_bytes = 0
        self._noted_bytes = 0
        """Of them, those that had come at the last sweep."""
        self._sweep_count = 0
        self.bytes_a_second = 0.0

    def grow(self, size: int, came_bytes: int) -> None:
        """Keeps room for `size` bytes, of which so many have come. Raises Refused when there is none."""
        self._came_bytes = came_bytes
        if size > self.held_bytes:
            self._uploads.make_room(self, size - self.held_bytes)
            self.held_bytes = size

    def close(self) -> None:
        """All of it is here, or no more will come: its room is free. What is `grow`n later begins anew."""
        if self.held_bytes:
            self._uploads.give_back(self)
            self.held_bytes = 0

    @property
    def is_slow(self) -> bool:
        return self._sweep_count >= NEW_SWEEPS and self.bytes_a_second < SLOW_BYTES_A_SECOND

    def sweep(self, seconds: float) -> None:
        """So long after the last."""
        self.bytes_a_second = (self.bytes_a_second + (self._came_bytes - self._noted_bytes) / seconds) / 2
        self._noted_bytes = self._came_bytes
        self._sweep_count += 1

    def end(self) -> None:
        """Makes room for others."""
        self.close()
        end, self._end = self._end, None
        if end is not None:
            end(Refused(Code.UNAVAILABLE, TOO_SLOW))


class Uploads:
    """One a worker."""

    __slots__ = ("_databases", "_open", "_swept_at", "held_bytes")

    def __init__(self) -> None:
        self.held_bytes = 0
        self._databases: dict[str | None, int] = {}
        """Of them, those for each database."""
        self._open: set[Upload] = set()
        self._swept_at: float | None = None

    def make_room(self, upload: Upload, size: int) -> None:
        """Room for `size` bytes more of `upload`. Raises Refused when there is none."""
        here = self._databases.get(upload.database, 0) + size - LARGE_WRITES_DATABASE_BYTES_MAX
        if here > 0 and not self._end_slow(here, upload, upload.database):
            raise Refused(Code.UNAVAILABLE, TOO_MANY_HERE)
        everywhere = self.held_bytes + size - LARGE_WRITES_BYTES_MAX
        if everywhere > 0 and not self._end_slow(everywhere, upload, None):
            raise Refused(Code.UNAVAILABLE, TOO_MANY)
        self._open.add(upload)
        self.count(upload.database, size)

    def give_back(self, upload: Upload) -> None:
        self._open.discard(upload)
        self.count(upload.database, -upload.held_bytes)

    def count(self, database: str | None, size: int) -> None:
        """`size` more bytes for `database` are here (less, if it is negative), whether or not there is room."""
        self.held_bytes += size
        held = self._databases.get(database, 0) + size
        if held:
            self._databases[database] = held
        else:
            self._databases.pop(database, None)

    def sweep(self, now: float) -> None:
        """About once a second."""
        before, self._swept_at = self._swept_at, now
        if before is not None and now > before:
            for upload in self._open:
                upload.sweep(now - before)

    def _end_slow(self, size: int, but: Upload, database: str | None) -> bool:
        """Ends as many of the slowest as hold `size` bytes, all of `database` if one is given; nobody if that is not enough."""
        slow = [one for one in self._open if one is not but and one.is_slow and database in (None, one.database)]
        slow.sort(key=_speed)
        ending = []
        for one in slow:
            if size <= 0:
                break
            size -= one.held_bytes
            ending.append(one)
        if size > 0:
            return False
        for one in ending:
            one.end()
        return True


def _speed(upload: Upload) -> float:
    return upload.bytes_a_second
