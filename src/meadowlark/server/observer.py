"""Watches one worker: how late its loop is, and what it holds at the moment; tells everyone through the board.

A timer every 10 ms, or every 100 ms while little is received, measures by how much it is late. A lag over the threshold of
the slow log that no slow operation explains is logged as "loop": something else held the loop, or the machine gave the core
to others. Pauses of the cyclic collector are measured too, to show that there are none. Once a second all numbers are
published; what is counted by looking (connections, memory) is looked at then.
Does not know: who reads the board.
"""

from __future__ import annotations

import asyncio
import gc
import os
import time
from typing import Any, Protocol

from meadowlark.journal import Journal
from meadowlark.server.board import Board, Published
from meadowlark.server.families import Connected
from meadowlark.server.outbox import Turn
from meadowlark.server.shard import Shard

BUSY_SECONDS = 0.01
"""Between two looks at the loop's lag while clients send."""
QUIET_SECONDS = 0.1
"""And while they hardly do. Waking a sleeping process is what a look costs: a hundred a second took 1.3 % of a core."""
BUSY_BYTES_PER_SECOND = 20_000
"""Received. Less is a few writes, or the keep-alives of thousands of idle connections."""
PUBLISH_SECONDS = 1.0

_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


class Observed(Protocol):
    """What is looked at of a worker."""

    connections: set[Any]
    sessions: set[Any]
    long_polls: Any
    shard: Shard
    turn: Turn


class Observer:
    """One a worker."""

    def __init__(self, worker: Observed, index: int, journal: Journal, board: Board, *, loop: asyncio.AbstractEventLoop) -> None:
        """index: of the worker's slot in the board."""
        self._worker = worker
        self._index = index
        self._journal = journal
        self._board = board
        self._loop = loop
        self._stopwatch = worker.turn.stopwatch
        self._metrics = self._stopwatch.metrics
        self._statm = os.open("/proc/self/statm", os.O_RDONLY | os.O_CLOEXEC)
        self._due = 0
        """When the lag's timer should fire, by the stopwatch's clock."""
        self._received_bytes = self._looked_at = 0
        """Received when it last did, and when that was."""
        self._collecting_since = 0
        self._slow_count = 0
        """Slow operations when it last did."""
        self._timers: list[asyncio.TimerHandle] = []

    def start(self) -> None:
        """Looks and publishes until `stop`."""
        gc.callbacks.append(self._collected)
        self._timers = [self._loop.call_later(0, self._publish_again), self._next_look()]

    def stop(self) -> None:
        """Publishes what is so at the end."""
        gc.callbacks.remove(self._collected)
        for timer in self._timers:
            timer.cancel()
        self._timers = []
        self.publish()

    def publish(self) -> None:
        """What is so now is on the board."""
        worker, metrics = self._worker, self._metrics
        metrics.connections[Connected.REALTIME] = len(worker.sessions)
        metrics.connections[Connected.LONG_POLL] = len(worker.long_polls)
        metrics.connections[Connected.HTTP] = len(worker.connections)
        metrics.databases = worker.shard.database_count
        metrics.outbox_bytes = worker.turn.held_bytes
        metrics.journal_backlog_bytes = self._journal.backlog_bytes
        metrics.journal_failed = int(worker.shard.failure is not None)
        metrics.memory_bytes = int(os.pread(self._statm, 128, 0).split()[1]) * _PAGE_BYTES
        metrics.take_journal(self._journal.counters)
        self._board.publish(self._index, metrics.cells(), time.monotonic_ns())

    def read(self) -> list[Published]:
        """The numbers of every worker: this one's as they are now, the others' as they published them last."""
        self.publish()
        return self._board.read(time.monotonic_ns())

    def _publish_again(self) -> None:
        self._timers[0] = self._loop.call_later(PUBLISH_SECONDS, self._publish_again)
        self.publish()
        self._stopwatch.slow.tell_suppressed(self._stopwatch.clock())

    def _collected(self, phase: str, info: dict[str, int]) -> None:
        now = self._stopwatch.clock()
        if phase == "stop":
            self._metrics.collector.record(now - self._collecting_since)
        self._collecting_since = now

    def _look(self) -> None:
        now = self._stopwatch.clock()
        lag = max(0, now - self._due)
        self._metrics.loop_lag.record(lag)
        slow = self._stopwatch.slow
        if lag > slow.threshold and self._metrics.slow_operations == self._slow_count:
            slow.report("loop", now, lag)
        self._slow_count = self._metrics.slow_operations
        self._timers[1] = self._next_look()

    def _next_look(self) -> asyncio.TimerHandle:
        now, received_bytes = self._stopwatch.clock(), self._metrics.received_bytes
        rate = (received_bytes - self._received_bytes) * 1e9 / max(1, now - self._looked_at)
        self._received_bytes, self._looked_at = received_bytes, now
        seconds = BUSY_SECONDS if rate > BUSY_BYTES_PER_SECOND else QUIET_SECONDS
        self._due = now + int(seconds * 1e9)
        return self._loop.call_later(seconds, self._look)
