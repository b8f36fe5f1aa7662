"""What waits for one client, and the turn in which all of it leaves.

Frames gather while the loop handles what arrived; at the end of the turn each client gets one write. A client whose
socket is full is paused: its frames wait as they are (shared with everyone else's outboxes, so they cost nothing twice),
bounded by OUTBOX_BYTES_MAX behind the message being sent and by OUTBOX_STALL_SECONDS without progress; past either the
connection is closed with a reason, and the client comes back and resumes by hash.
A reply that waits for the disk may have a place kept for it (`hold`); what is put later stays behind that place. So has a
message of a large value (`put_large`): it is made when its turn has come, and leaves in parts, some a turn.
Invariant: a frame leaves in the order it was put, a held one in the order of its `hold`; nothing is written while the
transport is paused.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import Protocol

from meadowlark.limits import OUTBOX_BYTES_MAX, OUTBOX_STALL_SECONDS
from meadowlark.server.stopwatch import Stopwatch

LARGE_TURN_BYTES = 262_144
"""Of a large message, written in one turn of the loop."""
LARGE_PLACE_BYTES = 131_072
"""Counted for a large message that waits behind others, since nobody knows its size yet."""


class Turn:
    """The outboxes that have something to write when this loop turn ends; one a worker."""

    __slots__ = ("_loop", "_ready", "stalled", "stopwatch")

    def __init__(self, loop: asyncio.AbstractEventLoop, stopwatch: Stopwatch | None = None) -> None:
        """stopwatch: stopped when all is written; None: one of its own."""
        self._loop = loop
        self._ready: list[Outbox] = []
        self.stopwatch = stopwatch or Stopwatch()
        self.stalled: set[Outbox] = set()
        """Those whose client does not take what is written."""

    def add(self, outbox: Outbox) -> None:
        if not self._ready:
            self._loop.call_soon(self._flush)
            self.stopwatch.is_stopped_later = True
        self._ready.append(outbox)

    @property
    def is_due(self) -> bool:
        """Whether something will be written when this loop turn ends."""
        return bool(self._ready)

    def waiting_bytes(self) -> int:
        """What waits for clients that do not take it; the rest leaves at the end of the turn."""
        return sum(outbox.waiting_bytes for outbox in self.stalled)

    def _flush(self) -> None:
        ready, self._ready = self._ready, []
        stopwatch = self.stopwatch
        started_at = stopwatch.clock()
        size = 0
        for outbox in ready:
            size += outbox.flush()
        stopwatch.metrics.sent_bytes += size
        now = stopwatch.stop()
        if now - started_at > stopwatch.slow.threshold:
            stopwatch.slow.report("write", now, now - started_at, size=size)


class Large(Protocol):
    """A message that is made when somebody can send it, and then leaves in parts."""

    @property
    def parts(self) -> Sequence[bytes] | None: ...

    def begin(self, ready: Callable[[], None]) -> None:
        """Calls `ready` once `parts` are there."""


class Place:
    """One in the row, kept for a frame, or of a large message."""

    __slots__ = ("frame", "is_begun", "large", "sent_count")

    def __init__(self, large: Large | None = None) -> None:
        self.frame: bytes | None = None
        self.large = large
        self.is_begun = False
        self.sent_count = 0
        """Of the large message's parts."""


class Outbox:
    """Frames for one client. `overflowed` is called once, with the reason, when the client is too slow."""

    __slots__ = (
        "_behind", "_behind_bytes", "_frames", "_overflowed", "_paused", "_turn", "_waiting_bytes", "_write", "stalled_at",
    )  # fmt: skip

    def __init__(self, turn: Turn, write: Callable[[bytes], None], overflowed: Callable[[str], None]) -> None:
        self._turn = turn
        self._write: Callable[[bytes], None] | None = write
        self._overflowed: Callable[[str], None] | None = overflowed
        self._frames: list[bytes] = []
        self._waiting_bytes = 0
        self._behind: deque[bytes | Place] = deque()
        """From the first place on, in order. Empty when nothing is held."""
        self._behind_bytes = 0
        self._paused = False
        self.stalled_at: float | None = None
        """Loop time at which the client stopped taking; None while it takes."""

    @property
    def waiting_bytes(self) -> int:
        return self._waiting_bytes

    def put(self, frame: bytes) -> None:
        """Queues `frame`; it leaves at the end of this turn, when the client takes again, or after what is held before it."""
        if self._behind:
            self._put_behind(frame, len(frame))
        else:
            self._put_now(frame)

    def put_large(self, large: Large) -> None:
        """Queues a large message."""
        self._put_behind(Place(large), LARGE_PLACE_BYTES)
        self._advance()

    def hold(self) -> Place:
        """Keeps a place: what is put from now on leaves after the frame that `release` will bring for it."""
        place = Place()
        self._behind.append(place)
        return place

    def release(self, place: Place, frame: bytes) -> None:
        """`place` is for `frame`; what stood behind it follows, up to the next place that waits."""
        place.frame = frame
        self._advance()

    def flush(self) -> int:
        """Writes all that waits, in one call, unless the client is paused or gone; how many bytes that were."""
        frames = self._frames
        if self._paused or self._write is None:
            return 0
        if not frames:
            return self._flush_large() if self._behind else 0
        data = frames[0] if len(frames) == 1 else b"".join(frames)
        frames.clear()
        self._waiting_bytes = 0
        self._write(data)
        return len(data) + self._flush_large() if self._behind else len(data)

    def pause(self, now: float) -> None:
        self._paused = True
        self.stalled_at = now
        self._turn.stalled.add(self)

    def resume(self) -> None:
        """The client took all that was written: what waits follows."""
        self._paused = False
        self.stalled_at = None
        self._turn.stalled.discard(self)
        self._turn.stopwatch.metrics.sent_bytes += self.flush()

    def check_stall(self, now: float) -> None:
        """Closes a client that has taken nothing for too long; for the rim's sweep."""
        if self.stalled_at is not None and now - self.stalled_at > OUTBOX_STALL_SECONDS:
            self._overflow(f"slow client: nothing taken for {OUTBOX_STALL_SECONDS:.0f} s")

    def close(self) -> None:
        """Forgets what waits and everyone it knows, so that no cycle outlives the connection."""
        self._write = None
        self._overflowed = None
        self._frames = []
        self._behind = deque()
        self._waiting_bytes = self._behind_bytes = 0
        self._paused = True
        self.stalled_at = None
        self._turn.stalled.discard(self)

    def _put_now(self, frame: bytes) -> None:
        frames = self._frames
        if not frames:
            if not self._paused:
                self._turn.add(self)
        elif self._waiting_bytes > OUTBOX_BYTES_MAX:
            self._overflow(f"slow client: {self._waiting_bytes} bytes wait, limit is {OUTBOX_BYTES_MAX}")
            return
        frames.append(frame)
        self._waiting_bytes += len(frame)

    def _put_behind(self, waiting: bytes | Place, size: int) -> None:
        if self._behind_bytes > OUTBOX_BYTES_MAX:
            self._overflow(f"{self._behind_bytes} bytes wait for an answer that is not ready, limit is {OUTBOX_BYTES_MAX}")
            return
        self._behind.append(waiting)
        self._behind_bytes += size

    def _advance(self) -> None:
        """Lets go what is no longer behind a place that waits; the first large message is begun, or written in this turn."""
        behind = self._behind
        while behind:
            first = behind[0]
            if isinstance(first, bytes):
                self._behind_bytes -= len(first)
                behind.popleft()
                self._put_now(first)
            elif first.large is not None:
                self._begin(first, first.large)
                return
            elif first.frame is not None:
                behind.popleft()
                self._put_now(first.frame)
            else:
                return

    def _begin(self, place: Place, large: Large) -> None:
        if large.parts is not None:
            if not self._paused:
                self._turn.add(self)
        elif not place.is_begun:
            place.is_begun = True
            large.begin(self._advance)

    def _flush_large(self) -> int:
        """Writes some of the large message that is next, if it is made; how many bytes that were."""
        place, size = self._behind[0], 0
        if isinstance(place, bytes) or place.large is None or place.large.parts is None or self._write is None:
            return 0
        parts = place.large.parts
        while place.sent_count < len(parts) and size < LARGE_TURN_BYTES and not self._paused:
            part = parts[place.sent_count]
            place.sent_count += 1
            size += len(part)
            self._write(part)
        if place.sent_count == len(parts):
            self._behind.popleft()
            self._behind_bytes -= LARGE_PLACE_BYTES
            self._advance()
        elif not self._paused:
            self._turn.add(self)
        return size

    def _overflow(self, reason: str) -> None:
        overflowed, self._overflowed = self._overflowed, None
        if overflowed is not None:
            self._turn.stopwatch.metrics.slow_closes += 1
            overflowed(reason)
