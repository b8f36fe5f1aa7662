"""How long what clients asked took inside the server, measured once a loop turn.

A turn begins with the first message handled and ends when all outboxes have been written; everything handled in between
counts as long as the whole turn. So a message that waited in its socket while others of the same turn were handled has that
wait counted, and one search in a histogram serves them all. A turn in which nobody is told anything ends with its one
operation. Acknowledgements count from the turn in which the write was read. Whether a single operation was slow is measured
for each by itself.

It also holds what else the hot path counts and reports to: `metrics` and `slow`. Cost: bench/metrics.py.
Does not know: outboxes (outbox.py calls `stop` when they are written), the loop.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable
from time import perf_counter_ns
from typing import Any

from meadowlark.server.families import Operation
from meadowlark.server.histogram import BOUNDS
from meadowlark.server.metrics import Metrics
from meadowlark.server.slow_log import SlowLog

SLOW_SECONDS = 0.05

Waiters = list[tuple[Any, Any, Any, int]]
Begun = tuple[int, list[Operation], int, list[Waiters]]
"""Of a turn that is not written to its end: when it began, what was handled, the changes told, who was acknowledged."""


class Stopwatch:
    """One a worker. Times are nanoseconds of `clock`."""

    __slots__ = ("_acknowledged", "_handled", "begun_at", "clock", "is_stopped_later", "metrics", "push_count", "slow")

    def __init__(self, clock: Callable[[], int] = perf_counter_ns, *, slow_seconds: float = SLOW_SECONDS) -> None:
        """slow_seconds: what takes longer is logged."""
        self.metrics = Metrics()
        self.slow = SlowLog(self.metrics, slow_seconds)
        self.clock = clock
        self.begun_at = 0
        """When this turn's first message was read; 0 before it was."""
        self.is_stopped_later = False
        """Whether outboxes will be written at the end of this turn, and `stop` called then."""
        self.push_count = 0
        """Changes told in this turn; whoever tells adds to it. Not timed if nothing was begun."""
        self._handled: list[Operation] = []
        self._acknowledged: list[Waiters] = []

    def begin(self, now: int) -> None:
        """Something is being handled, read at `now`."""
        if not self.begun_at:
            self.begun_at = now

    def handled(self, operation: Operation | None) -> None:
        """What was begun is done, but for what waits to be written. None: it counts as no operation."""
        if operation is not None:
            self._handled.append(operation)
        if not self.is_stopped_later:
            self.stop()

    def finished(self, operation: Operation | None, started_at: int, database: str, command: object, size: int = 0) -> int:
        """`command` is `handled`; if it took too long since `started_at`, that is logged. size: bytes of the message.

        Gives what it took.
        """
        self.handled(operation)
        took = self.clock() - started_at
        if took > self.slow.threshold:
            self._log(operation, took, database, command, size)
        return took

    def called(self, operation: Operation, read_at: int, started_at: int, database: str, command: object, size: int) -> int:
        """`finished`, for what was read in an earlier turn, at `read_at`: it is measured from then on, apart from this turn."""
        now = self.clock()
        self.metrics.operation[operation].record(now - read_at)
        self.handled(None)
        if now - started_at > self.slow.threshold:
            self._log(operation, now - started_at, database, command, size)
        return now - started_at

    def acknowledge(self, waiters: Waiters) -> None:
        """`waiters` are being told that their writes are durable; the last part of each says when its write was read (0: not
        timed)."""
        self._acknowledged.append(waiters)
        if not self.is_stopped_later:
            self.stop()

    def stop(self) -> int:
        """All has been handed to transports. The time that it is now."""
        now = self.clock()
        self.is_stopped_later = False
        if self.begun_at:
            self._record_turn(now - self.begun_at, self._handled, self.push_count)
            self._handled.clear()
        self.begun_at = self.push_count = 0
        if self._acknowledged:
            groups, self._acknowledged = self._acknowledged, []
            self._record_acknowledged(now, groups)
        return now

    def put_off(self) -> Begun:
        """The turn is over, and not all is written yet: what to `finish` when it is."""
        begun = (self.begun_at, self._handled, self.push_count, self._acknowledged)
        self.is_stopped_later = False
        self.begun_at = self.push_count = 0
        self._handled, self._acknowledged = [], []
        return begun

    def finish(self, begun: Begun) -> None:
        """All that `begun` caused has been handed to transports."""
        begun_at, handled, push_count, acknowledged = begun
        now = self.clock()
        if begun_at:
            self._record_turn(now - begun_at, handled, push_count)
        self._record_acknowledged(now, acknowledged)

    def _record_turn(self, nanoseconds: int, handled: list[Operation], push_count: int) -> None:
        bucket = bisect_left(BOUNDS, nanoseconds)
        for operation in handled:
            histogram = self.metrics.operation[operation]
            histogram.counts[bucket] += 1
            histogram.sum += nanoseconds
        if push_count:
            broadcast = self.metrics.broadcast
            broadcast.counts[bucket] += push_count
            broadcast.sum += nanoseconds * push_count

    def _record_acknowledged(self, now: int, groups: list[Waiters]) -> None:
        record = self.metrics.acknowledged.record
        for waiters in groups:
            for waiter in waiters:
                if waiter[3]:
                    record(now - waiter[3])

    def _log(self, operation: Operation | None, took: int, database: str, command: object, size: int) -> None:
        kind = operation.name.lower() if operation is not None else type(command).__name__.lower()
        path = getattr(command, "path", None)
        self.slow.report(kind, self.clock(), took, database=database, path=path, size=size)
