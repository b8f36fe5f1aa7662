"""What waits for one client, and the turn in which all of it leaves.

Frames gather while the loop handles what arrived; at the end of the turn each client gets one write. A client whose
socket is full is paused: its frames wait as they are (shared with everyone else's outboxes, so they cost nothing twice), and
leave in parts as it takes them. Three bounds: OUTBOX_BYTES_MAX behind the message being sent, OUTBOX_STALL_SECONDS without
progress, and OUTBOXES_BYTES_MAX for all clients of the worker, where those that most waits for go first. Past one of them the
connection is closed with a reason, and the client comes back and resumes by hash; nobody else waits for it.
Where one database has so many clients to write to that a turn would be longer than its share (lanes.py), its part is written over
several turns, after everyone else's; what comes meanwhile for a client that has not had its turn leaves with the rest.
A reply that waits for the disk may have a place kept for it (`hold`); what is put later stays behind that place. So has a
message of a large value (`put_large`), which leaves in parts, some a turn. One that the client asked for is made when its turn
has come, so that of all it asks for one is held at a time. One that tells of a change is made at once, and counts with its bytes:
nobody knows how much more will change before a slow client takes it.
A client may have a bound for how often it is told of volatile values (pace.py): those wait apart, and are let out before
whatever else is put.
Invariant: a frame leaves in the order it was put, a held one in the order of its `hold`; nothing is written while the
transport is paused.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Hashable, Iterable, Sequence
from functools import partial
from typing import Any, Protocol

from meadowlark.limits import OUTBOX_BYTES_MAX, OUTBOX_STALL_SECONDS, OUTBOXES_BYTES_MAX
from meadowlark.server.families import Slow
from meadowlark.server.lanes import Lane, Lanes
from meadowlark.server.pace import SECOND, Pace
from meadowlark.server.stopwatch import Begun, Stopwatch

LARGE_TURN_BYTES = 262_144
"""Of a large message, or of what waited for a slow client, written in one turn of the loop."""
WRITES_WHOLE_MAX = 64
"""Clients that are written to in a turn, or for one database in a long one, without looking at the clock: half a millisecond."""
WRITES_BLIND = 16
"""Clients that are written to between two looks at the clock."""
LARGE_PLACE_BYTES = 131_072
"""Counted for a large message that is not made yet, or being sent."""


SUPERSEDED_MAX = 256
"""Gaps that volatile values leave in a waiting client's frames before they are closed."""


class Turn:
    """The outboxes that have something to write when this loop turn ends; one a worker."""

    __slots__ = (
        "_is_due", "_is_relieving", "_late", "_late_count", "_loop", "_ready", "_unfinished", "held_bytes", "lanes", "stalled",
        "stopwatch", "volatile_rate", "written",
    )  # fmt: skip

    def __init__(
        self, loop: asyncio.AbstractEventLoop, stopwatch: Stopwatch | None = None, *, volatile_rate: float = 0.0
    ) -> None:
        """stopwatch: stopped when all is written; None: one of its own. volatile_rate: how often a second each client is told of
        volatile values at most; 0: as often as there are some."""
        self.volatile_rate = volatile_rate
        self._loop = loop
        self.lanes = Lanes(loop)
        self._ready: list[Outbox] = []
        self._is_due = False
        """Whether `_flush` is on its way."""
        self._late: deque[Outbox] = deque()
        """Those of large databases, that wait for a turn with time for them."""
        self._late_count = 0
        """Taken from there so far."""
        self._unfinished: deque[tuple[int, Begun]] = deque()
        """What was handled in turns that are not all written: with the `_late_count` at which they are."""
        self.stopwatch = stopwatch or Stopwatch()
        self.stalled: set[Outbox] = set()
        """Those whose client does not take what is written."""
        self.held_bytes = 0
        """What waits for them, and what waits behind answers that are not ready: all that is not gone by the end of a turn."""
        self._is_relieving = False
        self.written: Callable[[int], object] | None = None
        """Called when a turn has been written, with the stopwatch's time."""

    def call_later(self, nanoseconds: int, callback: Callable[[], object]) -> asyncio.TimerHandle:
        return self._loop.call_later(nanoseconds / SECOND, callback)

    def add(self, outbox: Outbox) -> None:
        if not self._is_due:
            self._begin()
        self._ready.append(outbox)

    def _begin(self) -> None:
        self._is_due = True
        self._loop.call_soon(self._flush)
        self.stopwatch.is_stopped_later = True

    @property
    def is_due(self) -> bool:
        """Whether something will be written when this loop turn ends."""
        return self._is_due

    def hold(self, size: int) -> None:
        """`size` more bytes wait (less, if it is negative)."""
        self.held_bytes += size
        if self.held_bytes > OUTBOXES_BYTES_MAX and not self._is_relieving:
            self._is_relieving = True
            self._loop.call_soon(self._relieve)  # Not now: a fan-out may be going through the listeners.

    def check_stalls(self, now: float) -> None:
        """Closes clients that have taken nothing for too long; for the rim's sweep."""
        for outbox in list(self.stalled):
            outbox.check_stall(now)

    def _relieve(self) -> None:
        """The worker holds too much: those that most waits for are closed, which is what frees most for the fewest."""
        self._is_relieving = False
        too_much = self.held_bytes - OUTBOXES_BYTES_MAX * 7 // 8
        for outbox in sorted(self.stalled, key=_held_bytes, reverse=True):
            if too_much <= 0:
                return
            too_much -= outbox.held_bytes
            outbox.give_up()

    def _flush(self) -> None:
        ready, self._ready = self._ready, []
        self._is_due = False
        stopwatch = self.stopwatch
        started_at = stopwatch.clock()
        size = 0
        if len(ready) <= WRITES_WHOLE_MAX and not self._late:
            for outbox in ready:
                size += outbox.flush()
            now = stopwatch.stop()
        else:
            size = self._flush_some(ready, started_at)
            now = self._stop_some()
        stopwatch.metrics.sent_bytes += size
        self.lanes.settle()
        if self.written is not None:
            self.written(now)
        if now - started_at > stopwatch.slow.threshold:
            stopwatch.slow.report("write", now, now - started_at, size=size)

    def _flush_some(self, ready: list[Outbox], started_at: int) -> int:
        """Writes as they come for half of the time, then for databases with few clients, then for the others as long as the time
        lasts; how many bytes."""
        late, clock = self._late, self.stopwatch.clock
        half = started_at + self.lanes.share // 2
        size = count = 0
        while count < len(ready) and clock() < half:
            for outbox in ready[count : count + WRITES_BLIND]:
                size += outbox.flush()
            count += WRITES_BLIND
        rest = ready[count:]
        for outbox in rest:
            outbox.lane.ready_count += 1
        for outbox in rest:
            if outbox.lane.ready_count > WRITES_WHOLE_MAX:
                late.append(outbox)
            else:
                size += outbox.flush()
        for outbox in rest:
            outbox.lane.ready_count = 0
        end = started_at + self.lanes.share
        while late:
            size += late.popleft().flush()
            self._late_count += 1
            if not self._late_count % WRITES_BLIND and clock() >= end:
                break
        return size

    def _stop_some(self) -> int:
        """Stops the stopwatch for what has been written; the time that it is now."""
        stopwatch, unfinished = self.stopwatch, self._unfinished
        if not self._late:
            while unfinished:
                stopwatch.finish(unfinished.popleft()[1])
            return stopwatch.stop()
        unfinished.append((self._late_count + len(self._late), stopwatch.put_off()))
        while unfinished[0][0] <= self._late_count:
            stopwatch.finish(unfinished.popleft()[1])
        if not self._is_due:
            self._begin()
        return stopwatch.clock()


def _held_bytes(outbox: Outbox) -> int:
    return outbox.held_bytes


class Large(Protocol):
    """A message that is made when it is asked for, and then leaves in parts."""

    @property
    def parts(self) -> Sequence[bytes] | None: ...

    def begin(self, ready: Callable[[], None]) -> None:
        """Calls `ready` once `parts` are there."""


class Place:
    """One in the row, kept for a frame, or of a large message."""

    __slots__ = ("counted_bytes", "frame", "is_begun", "large", "sent_count")

    def __init__(self, large: Large | None = None) -> None:
        self.frame: bytes | None = None
        self.large = large
        self.counted_bytes = LARGE_PLACE_BYTES if large is not None else 0
        """Of what waits behind, for this place."""
        self.is_begun = False
        self.sent_count = 0
        """Of the large message's parts."""


class Lossy:
    """In the row behind a place: the last frames of volatile values, in the order in which they were last told."""

    __slots__ = ("frames",)

    def __init__(self) -> None:
        self.frames: dict[Any, bytes] = {}


class Outbox:
    """Frames for one client. `overflowed` is called once, with the reason, when the client is too slow."""

    __slots__ = (
        "_behind", "_behind_bytes", "_frames", "_latest", "_lossy", "_overflowed", "_pace", "_paused", "_superseded_count",
        "_timer", "_turn", "_waiting_bytes", "_write", "conflates", "lane", "stalled_at",
    )  # fmt: skip

    def __init__(
        self, turn: Turn, write: Callable[[bytes], None], overflowed: Callable[[str], None], lane: Lane | None = None
    ) -> None:
        """lane: the client's database's, which shares the turn's time with others; None: one of its own."""
        self._turn = turn
        self.lane = lane or Lane()
        self._write: Callable[[bytes], None] | None = write
        self._overflowed: Callable[[str], None] | None = overflowed
        self._frames: list[bytes] = []
        self._waiting_bytes = 0
        self._latest: dict[Any, int] | None = None
        """Since the client took nothing, until it has taken all: where the last frame of each volatile value stands among the
        frames."""
        self._superseded_count = 0
        self._behind: deque[bytes | Place | Lossy] = deque()
        """From the first place on, in order. Empty when nothing is held."""
        self._behind_bytes = 0
        self._lossy: dict[Any, Lossy] = {}
        """Where among them the last frame of each volatile value stands, if it still does."""
        self._paused = False
        self._pace: Pace | None = None
        """None: volatile values leave as they come."""
        self._timer: asyncio.TimerHandle | None = None
        """Until what waits for the pace leaves."""
        self.conflates = False
        """Whether the client is behind or has a pace. Some volatile values need not be told then: they are for `put_volatile`."""
        self.stalled_at: float | None = None
        """Loop time at which the client stopped taking; None while it takes."""
        if turn.volatile_rate:
            self.keep_pace(0.0)

    @property
    def waiting_bytes(self) -> int:
        return self._waiting_bytes

    @property
    def is_paused(self) -> bool:
        """Whether the client takes nothing for now."""
        return self._paused

    @property
    def is_held(self) -> bool:
        """Whether something waits for its turn, so that what is told later must wait behind it."""
        return bool(self._behind)

    @property
    def held_bytes(self) -> int:
        """Of the worker's `held_bytes`, those for this client."""
        return self._behind_bytes + (self._waiting_bytes if self._paused else 0)

    def put(self, frame: bytes) -> None:
        """Queues `frame`; it leaves at the end of this turn, when the client takes again, or after what is held before it."""
        if self.conflates:
            self._put_in_order(frame)
        elif self._frames:
            self._put_now(frame)
        else:  # The first of the turn, for a client that takes: most are, so this is `_put_now` without its questions.
            turn = self._turn
            if not turn._is_due:
                turn._begin()
            turn._ready.append(self)
            self._frames.append(frame)
            self._waiting_bytes = len(frame)

    def _put_in_order(self, frame: bytes) -> None:
        """`put` for a client that is behind, or may have something that waits for the pace."""
        if self._pace is not None:
            self._let_out(self._pace)
        if self._behind:
            self._put_behind(frame, len(frame))
        else:
            self._put_now(frame)

    def put_volatile(self, place: Hashable, frame: bytes) -> None:
        """Queues what tells of a volatile value: `place` is what it is the last for. While the client is behind, only the last of
        each stays, where that stands, so that what was told in between comes before it; also while it waits for the pace."""
        if self._behind:
            self._put_lossy(place, frame)
        elif self._paused or self._latest is not None:
            self._put_latest(place, frame)
        elif self._pace is None:
            self.put(frame)
        else:
            pace = self._pace
            self._turn.stopwatch.metrics.volatile_superseded += pace.add(place, frame)
            if not pace.is_planned or pace.waiting_bytes > LARGE_TURN_BYTES:
                self._plan(pace)

    def keep_pace(self, per_second: float) -> None:
        """Volatile values leave so often a second at most, or as often as the worker says, whichever is less; 0: no bound."""
        rate = min(filter(None, (per_second, self._turn.volatile_rate)), default=0.0)
        if self._write is None:
            return
        if self._pace is not None:
            self._let_out(self._pace)
        self._pace = Pace(rate) if rate else None
        self._review()

    def pace_left(self) -> int:
        """Nanoseconds until volatile values may be told that go another way, in datagrams; 0: now."""
        return self._pace.left(self._turn.stopwatch.clock()) if self._pace is not None else 0

    def use_pace(self) -> None:
        """Some were told that way."""
        if self._pace is not None:
            self._pace.use(self._turn.stopwatch.clock())

    def call_later(self, nanoseconds: int, callback: Callable[[], object]) -> asyncio.TimerHandle:
        return self._turn.call_later(nanoseconds, callback)

    def _plan(self, pace: Pace) -> None:
        """What waits for the pace leaves in this turn, or when it is time. More than is written in one turn never waits."""
        left = pace.left(self._turn.stopwatch.clock())
        pace.is_planned = True
        if left and pace.waiting_bytes <= LARGE_TURN_BYTES:
            self._timer = self._turn.call_later(left, self._end_wait)
        elif left:
            self._let_out(pace)
        else:
            pace.leaves_now = True
            self._turn.add(self)

    def _end_wait(self) -> None:
        if self._pace is not None:
            self._let_out(self._pace)

    def _let_out(self, pace: Pace) -> None:
        """What waits for the pace waits no more: what comes now must not overtake it."""
        for frame in self._take_paced(pace):
            if self._behind:
                self._put_behind(frame, len(frame))
            else:
                self._put_now(frame)

    def _take_paced(self, pace: Pace) -> Iterable[bytes]:
        if not pace.waiting:
            return ()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        return pace.take(self._turn.stopwatch.clock()).values()

    def _review(self) -> None:
        self.conflates = self._paused or self._pace is not None or self._latest is not None or bool(self._behind)

    def _put_lossy(self, place: Hashable, frame: bytes) -> None:
        earlier = self._lossy.get(place)
        superseded = earlier.frames.pop(place, None) if earlier is not None else None
        if superseded is not None:
            self._turn.stopwatch.metrics.volatile_superseded += 1
            self._count_behind(-len(superseded))
        elif self._behind_bytes > OUTBOX_BYTES_MAX:
            self._overflow_behind()
            return
        last = self._behind[-1]
        if type(last) is not Lossy:
            last = Lossy()
            self._behind.append(last)
        last.frames[place] = frame
        self._lossy[place] = last
        self._count_behind(len(frame))

    def _put_latest(self, path: Hashable, frame: bytes) -> None:
        if self._write is None:
            return  # Whom a fan-out comes to that has gone meanwhile.
        if self._latest is None:
            self._latest = {}
        place = self._latest.get(path)
        if place is not None:
            self._supersede(place)
        count = len(self._frames)
        self._put_now(frame)
        if len(self._frames) > count:
            self._latest[path] = count

    def _supersede(self, place: int) -> None:
        """The frame at `place` need not be sent any more."""
        frames = self._frames
        size = len(frames[place])
        self._waiting_bytes -= size
        if self._paused:
            self._turn.hold(-size)
        frames[place] = b""
        self._turn.stopwatch.metrics.volatile_superseded += 1
        assert self._latest is not None
        self._superseded_count += 1
        if self._superseded_count > SUPERSEDED_MAX and self._superseded_count * 2 > len(frames):
            self._close_gaps()

    def _close_gaps(self) -> None:
        kept = [(place, frame) for place, frame in enumerate(self._frames) if frame]
        moved = {place: index for index, (place, _) in enumerate(kept)}
        assert self._latest is not None
        # The one that is superseded right now has no place any more, and gets a new one at once.
        self._latest = {path: moved[place] for path, place in self._latest.items() if place in moved}
        self._frames[:] = [frame for _, frame in kept]
        self._superseded_count = 0

    def put_large(self, large: Large, *, at_once: bool) -> None:
        """Queues a large message. at_once: it is made now, even if others are before it; else when it is the next."""
        if self._pace is not None:
            self._let_out(self._pace)
        place = Place(large)
        self._put_behind(place, place.counted_bytes)
        if at_once and self._behind and self._behind[-1] is place:
            self._begin(place, large)
        self._advance()

    def hold(self) -> Place:
        """Keeps a place: what is put from now on leaves after the frame that `release` will bring for it."""
        if self._pace is not None:
            self._let_out(self._pace)
        place = Place()
        self._behind.append(place)
        self.conflates = True
        return place

    def release(self, place: Place, frame: bytes) -> None:
        """`place` is for `frame`; what stood behind it follows, up to the next place that waits."""
        place.frame = frame
        self._advance()

    def flush(self) -> int:
        """Writes all that waits, in one call, unless the client is paused or gone; how many bytes that were."""
        frames = self._frames
        if len(frames) == 1 and not self.conflates and self._write is not None:  # Most: the rest without its questions.
            frame = frames[0]
            frames.clear()
            size, self._waiting_bytes = self._waiting_bytes, 0
            self._write(frame)
            return size
        if self._pace is not None and self._pace.leaves_now:
            for paced in self._take_paced(self._pace):
                self._frames.append(paced)
                self._waiting_bytes += len(paced)
        write, size = self._write, self._waiting_bytes
        if self._paused or write is None:
            return 0
        if len(frames) == 1:
            data = frames[0]
        elif not frames:
            return self._flush_large() if self._behind else 0
        elif size > LARGE_TURN_BYTES:
            return self._flush_part()
        else:
            data = b"".join(frames)
        frames.clear()
        self._waiting_bytes = 0
        if self._latest is not None:
            self._latest = None
            self._superseded_count = 0
            self._review()
        write(data)
        return size + self._flush_large() if self._behind else size

    def flush_all(self) -> int:
        """`flush`, and not only a part of it: for the last words to a client."""
        size = self.flush()
        while self._frames and not self._paused and self._write is not None:
            size += self.flush()
        return size

    def pause(self, now: float) -> None:
        if not self._paused:
            if self._pace is not None:
                self._let_out(self._pace)
            self._paused = self.conflates = True
            self._turn.hold(self._waiting_bytes)
            self._turn.stalled.add(self)
        self.stalled_at = now

    def resume(self) -> None:
        """The client took all that was written: what waits follows."""
        if self._paused:
            self._paused = False
            self._review()
            self._turn.hold(-self._waiting_bytes)
            self._turn.stalled.discard(self)
        self.stalled_at = None
        self._turn.stopwatch.metrics.sent_bytes += self.flush()

    def change_writing(self, write: Callable[[bytes], None]) -> None:
        """What is still here leaves by `write`; only between two messages."""
        if self._write is not None:
            self._write = write

    def check_stall(self, now: float) -> None:
        """Closes a client that has taken nothing for too long; for the rim's sweep."""
        if self.stalled_at is not None and now - self.stalled_at > OUTBOX_STALL_SECONDS:
            self._overflow(Slow.STALLED, f"slow client: nothing taken for {OUTBOX_STALL_SECONDS:.0f} s")

    def give_up(self) -> None:
        """Closes a client because too much waits for all the clients of this worker."""
        self._overflow(
            Slow.WORKER,
            f"slow client: {self.held_bytes} bytes wait, and for all clients of this worker more than {OUTBOXES_BYTES_MAX}",
        )

    def close(self) -> None:
        """Forgets what waits and everyone it knows, so that no cycle outlives the connection."""
        self._turn.hold(-self.held_bytes)
        if self._timer is not None:
            self._timer.cancel()
        self._write = self._pace = self._timer = None
        self._overflowed = None
        self._frames = []
        self._latest = None
        self._behind = deque()
        self._lossy = {}
        self._waiting_bytes = self._behind_bytes = 0
        self._paused = self.conflates = True
        self.stalled_at = None
        self._turn.stalled.discard(self)

    def _put_now(self, frame: bytes) -> None:
        frames = self._frames
        if not frames:
            if not self._paused:
                self._turn.add(self)
        elif self._waiting_bytes > OUTBOX_BYTES_MAX:
            self._overflow(Slow.FULL, f"slow client: {self._waiting_bytes} bytes wait, limit is {OUTBOX_BYTES_MAX}")
            return
        frames.append(frame)
        self._waiting_bytes += len(frame)
        if self._paused and self._write is not None:
            self._turn.hold(len(frame))

    def _put_behind(self, waiting: bytes | Place, size: int) -> None:
        if self._behind_bytes > OUTBOX_BYTES_MAX:
            self._overflow_behind()
            return
        self._behind.append(waiting)
        self.conflates = True
        self._count_behind(size)

    def _count_behind(self, size: int) -> None:
        if self._write is not None:
            self._behind_bytes += size
            self._turn.hold(size)

    def _advance(self) -> None:
        """Lets go what is no longer behind a place that waits; the first large message is begun, or written in this turn."""
        behind = self._behind
        while behind:
            first = behind[0]
            if isinstance(first, bytes):
                self._count_behind(-len(first))
                behind.popleft()
                self._put_now(first)
            elif isinstance(first, Lossy):
                behind.popleft()
                self._let_go(first)
            elif first.large is not None:
                self._recount(first, LARGE_PLACE_BYTES)
                self._begin(first, first.large)
                return
            elif first.frame is not None:
                behind.popleft()
                self._put_now(first.frame)
            else:
                return
        self._lossy.clear()
        self._review()

    def _let_go(self, lossy: Lossy) -> None:
        """Nothing is before those any more: they leave, or are the last that a client is to hear that takes nothing."""
        frames, lossy.frames = lossy.frames, {}
        for place, frame in frames.items():
            self._count_behind(-len(frame))
            if self._paused or self._latest is not None:
                self._put_latest(place, frame)
            else:
                self._put_now(frame)

    def _begin(self, place: Place, large: Large) -> None:
        """Has a large message made if nobody has yet; writes it in this turn if it is the next."""
        if large.parts is not None:
            if not self._paused and self._behind[0] is place:
                self._turn.add(self)
        elif not place.is_begun:
            place.is_begun = True
            large.begin(partial(self._made, place))

    def _made(self, place: Place) -> None:
        """The large message of `place` is there: while others are before it, it counts for what it is."""
        if self._write is None or place.large is None or place.large.parts is None:
            return
        if self._behind[0] is not place:
            others = self._behind_bytes - place.counted_bytes
            self._recount(place, sum(map(len, place.large.parts)))
            if others > OUTBOX_BYTES_MAX:
                self._overflow_behind()
        self._advance()

    def _recount(self, place: Place, size: int) -> None:
        self._count_behind(size - place.counted_bytes)
        place.counted_bytes = size

    def _flush_part(self) -> int:
        """Writes the first of what waits; the rest is written in later turns, or stays if the client is paused by this much."""
        assert self._write is not None
        count = size = 0
        for frame in self._frames:
            count, size = count + 1, size + len(frame)
            if size >= LARGE_TURN_BYTES:
                break
        data = b"".join(self._frames[:count])
        del self._frames[:count]
        if self._latest is not None:
            self._latest = {path: place - count for path, place in self._latest.items() if place >= count}
            self._superseded_count = self._frames.count(b"")
        self._waiting_bytes -= size
        self._write(data)
        if (self._frames or self._behind) and not self._paused:
            self._turn.add(self)  # Also if no frames are left: a large message behind them may be ready.
        return size

    def _flush_large(self) -> int:
        """Writes some of the large message that is next, if it is made; how many bytes that were."""
        place, size = self._behind[0], 0
        if not isinstance(place, Place) or place.large is None or place.large.parts is None or self._write is None:
            return 0
        parts = place.large.parts
        while place.sent_count < len(parts) and size < LARGE_TURN_BYTES and not self._paused:
            part = parts[place.sent_count]
            place.sent_count += 1
            size += len(part)
            self._write(part)
        if place.sent_count == len(parts):
            self._behind.popleft()
            self._count_behind(-place.counted_bytes)
            self._advance()
        elif not self._paused:
            self._turn.add(self)
        return size

    def _overflow_behind(self) -> None:
        first = self._behind[0]
        is_answer = isinstance(first, Place) and first.large is None
        before = "wait for an answer that is not ready" if is_answer else "wait behind a large message"
        blame = "" if is_answer else "slow client: "
        self._overflow(Slow.FULL, f"{blame}{self._behind_bytes} bytes {before}, limit is {OUTBOX_BYTES_MAX}")

    def _overflow(self, kind: Slow, reason: str) -> None:
        overflowed, self._overflowed = self._overflowed, None
        if overflowed is not None:
            self._turn.stopwatch.metrics.slow_closes[kind] += 1
            overflowed(reason)
