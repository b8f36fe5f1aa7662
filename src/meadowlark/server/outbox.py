"""What waits for one client, and the turn in which all of it leaves.

Frames gather while the loop handles what arrived; at the end of the turn each client gets one write. A client whose
socket is full is paused: its frames wait as they are (shared with everyone else's outboxes, so they cost nothing twice),
bounded by OUTBOX_BYTES_MAX behind the message being sent and by OUTBOX_STALL_SECONDS without progress; past either the
connection is closed with a reason, and the client comes back and resumes by hash.
A reply that waits for the disk may have a place kept for it (`hold`); what is put later stays behind that place.
Invariant: a frame leaves in the order it was put, a held one in the order of its `hold`; nothing is written while the
transport is paused.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from meadowlark.limits import OUTBOX_BYTES_MAX, OUTBOX_STALL_SECONDS
from meadowlark.server.stopwatch import Stopwatch


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
        self._behind: list[bytes | None] = []
        """From the first kept place on, in order; None is a kept place. Empty when nothing is held."""
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
            self._put_behind(frame)
            return
        frames = self._frames
        if not frames:
            if not self._paused:
                self._turn.add(self)
        elif self._waiting_bytes > OUTBOX_BYTES_MAX:
            self._overflow(f"slow client: {self._waiting_bytes} bytes wait, limit is {OUTBOX_BYTES_MAX}")
            return
        frames.append(frame)
        self._waiting_bytes += len(frame)

    def hold(self) -> None:
        """Keeps a place: what is put from now on leaves after the frame that `release` will bring for it."""
        self._behind.append(None)

    def release(self, frame: bytes) -> None:
        """The oldest kept place is for `frame`; what stood behind it follows, up to the next kept place."""
        behind = self._behind
        if not behind:
            return  # The connection has ended.
        next_place = behind.index(None, 1) if behind.count(None) > 1 else len(behind)
        ready, waiting = behind[1:next_place], behind[next_place:]
        self._behind = []
        self.put(frame)
        for following in ready:
            assert following is not None
            self._behind_bytes -= len(following)
            self.put(following)
        self._behind = waiting

    def flush(self) -> int:
        """Writes all that waits, in one call, unless the client is paused or gone; how many bytes that were."""
        frames = self._frames
        if self._paused or not frames or self._write is None:
            return 0
        data = frames[0] if len(frames) == 1 else b"".join(frames)
        frames.clear()
        self._waiting_bytes = 0
        self._write(data)
        return len(data)

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
        self._behind = []
        self._waiting_bytes = self._behind_bytes = 0
        self._paused = True
        self.stalled_at = None
        self._turn.stalled.discard(self)

    def _put_behind(self, frame: bytes) -> None:
        if self._behind_bytes > OUTBOX_BYTES_MAX:
            self._overflow(f"{self._behind_bytes} bytes wait for an answer that waits for the disk, limit is {OUTBOX_BYTES_MAX}")
            return
        self._behind.append(frame)
        self._behind_bytes += len(frame)

    def _overflow(self, reason: str) -> None:
        overflowed, self._overflowed = self._overflowed, None
        if overflowed is not None:
            self._turn.stopwatch.metrics.slow_closes += 1
            overflowed(reason)
