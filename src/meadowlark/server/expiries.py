"""Which connections to look at when, because the credential of each ends some time.

One entry a connection, for the second in which its credential ends; taking it back is a look-up, so a connection that closes
leaves nothing behind. The worker asks once a second who is due.
Does not know: credentials, connections; the clock.
"""

from __future__ import annotations

import heapq
import math
from typing import Generic, TypeVar

T = TypeVar("T")


class Expiries(Generic[T]):
    """Invariant: `_seconds` has each key of `_due`, and maybe some that have gone."""

    __slots__ = ("_due", "_planned", "_seconds")

    def __init__(self) -> None:
        self._planned: dict[T, int] = {}
        self._due: dict[int, set[T]] = {}
        self._seconds: list[int] = []
        """A heap of when somebody is due."""

    def __len__(self) -> int:
        return len(self._planned)

    def plan(self, who: T, at: float | None) -> None:
        """`who` is due at `at` (None: never), and not when it was before."""
        self.forget(who)
        if at is None:
            return
        second = math.ceil(at)
        if second not in self._due:
            self._due[second] = set()
            heapq.heappush(self._seconds, second)
        self._due[second].add(who)
        self._planned[who] = second

    def forget(self, who: T) -> None:
        """`who` is not due any more."""
        second = self._planned.pop(who, None)
        if second is None:
            return
        waiting = self._due[second]
        waiting.discard(who)
        if not waiting:
            # The second stays in the heap as long as it is not the first: whoever asks drops it when its time comes.
            del self._due[second]
            self._drop_gone()

    def take_due(self, now: float) -> list[T]:
        """Who is due by now; each is named once."""
        due: list[T] = []
        while self._seconds and self._seconds[0] <= now:
            due += self._due.pop(heapq.heappop(self._seconds), ())
        for who in due:
            self._planned.pop(who, None)
        return due

    def _drop_gone(self) -> None:
        """Keeps the heap from growing by seconds that nobody is due in."""
        if len(self._seconds) > 2 * len(self._due) + 16:
            self._seconds = list(self._due)
            heapq.heapify(self._seconds)
