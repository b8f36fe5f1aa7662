"""How often one client is told of volatile values: at most so often a second, and then of each place the last.

What comes after a pause leaves in the turn in which it comes, so a pace adds no time to a value that is seldom written. What
comes sooner than an interval after others left waits for its end, and what is written again meanwhile takes its place. What
is not volatile keeps its order among them: the outbox lets out what waits before it.
Does not know: loops, sockets; the time comes in, in nanoseconds.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

SECOND = 1_000_000_000


class Pace:
    """One a client that has a bound."""

    __slots__ = ("_interval", "_open_at", "is_planned", "leaves_now", "waiting", "waiting_bytes")

    def __init__(self, per_second: float) -> None:
        self._interval = int(SECOND / per_second)
        self._open_at = 0
        """From when on something may leave."""
        self.waiting: dict[Any, bytes] = {}
        """The last frame of each place, in the order in which they were last written."""
        self.waiting_bytes = 0
        self.is_planned = False
        """Whether somebody will come and take what waits."""
        self.leaves_now = False
        """Whether that is in this turn."""

    def add(self, place: Hashable, frame: bytes) -> bool:
        """Keeps `frame`, the last for `place`; whether it took the place of another."""
        earlier = self.waiting.pop(place, None)
        self.waiting[place] = frame
        self.waiting_bytes += len(frame)
        if earlier is None:
            return False
        self.waiting_bytes -= len(earlier)
        return True

    def left(self, now: int) -> int:
        """Nanoseconds until what waits may leave; 0 if it may."""
        return max(0, self._open_at - now)

    def take(self, now: int) -> dict[Any, bytes]:
        """All that waits, which leaves now."""
        taken, self.waiting = self.waiting, {}
        self.waiting_bytes = 0
        self.is_planned = self.leaves_now = False
        self.use(now)
        return taken

    def use(self, now: int) -> None:
        """Something left, here or in datagrams."""
        self._open_at = now + self._interval
