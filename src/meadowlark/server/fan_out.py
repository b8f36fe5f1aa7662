"""Telling very many: one change on its way to thousands of listeners, some of them in each of the loop's turns.

To put a frame in an outbox takes a quarter of a microsecond, so a change that 20,000 hear of is five milliseconds in one step.
Where more than WHOLE_LISTENERS_MAX listen, the client whose command it was is told at once, so that its answer stands behind
what it hears, and the rest a slice at a time, in the share of the loop that the database has (lanes.py). Until all have been told
everything else of the database waits in its lane; and before what does not wait there (who comes, who goes, what was prepared)
touches the tree, the shard calls `finish`. So what a listener hears keeps its order with all else that is said to it, and a
value that is not encoded yet stands as it was. Acknowledgements do not wait, for they are of earlier writes.
Does not know: what is told.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from meadowlark.engine import Client, Push
from meadowlark.server.lanes import Lane, Lanes
from meadowlark.server.metrics import Metrics
from meadowlark.wire.drops import SUPERSEDED

WHOLE_LISTENERS_MAX = 2_000
"""Told in one step: half a millisecond."""
SLICE_LISTENERS = 1_000
"""Told between two looks at whether the database's share of the turn is used up."""


class FanOuts:
    """Of one database; made when it first has so many listeners."""

    __slots__ = ("_clock", "_is_waiting", "_lane", "_lanes", "_metrics", "_untold")

    def __init__(self, lanes: Lanes, lane: Lane, clock: Callable[[], int], metrics: Metrics | None = None) -> None:
        """clock: nanoseconds. metrics: where it is counted what listeners are spared."""
        self._lanes = lanes
        self._lane = lane
        self._clock = clock
        self._metrics = metrics or Metrics()
        self._untold: deque[tuple[Push, deque[Any], Client | None]] = deque()
        """What is told in order, each with those who have not heard it; the last, its author, has in any case."""
        self._is_waiting = False
        """Whether the lane has `_go_on`."""

    @property
    def is_telling(self) -> bool:
        return bool(self._untold)

    def begin(self, push: Push, author: Client | None) -> None:
        """Tells the author of `push` if it listens, and the first of the others; the rest when their turn comes."""
        is_first = not self._untold
        if author is not None and author in push.listeners:
            author.deliver(push)  # type: ignore[attr-defined]  # the rim's clients are Receivers
        self._untold.append((push, deque(push.listeners), author))
        if is_first:
            self._tell(SLICE_LISTENERS)
        if not self._is_waiting:
            self._is_waiting = True
            self._lanes.go_first(self._lane, self._go_on)

    def finish(self) -> None:
        """Tells all that is left."""
        while self._untold:
            self._tell(len(self._untold[0][1]))

    def _go_on(self) -> None:
        self._is_waiting = False
        if not self._untold:
            return
        started_at = self._clock()
        try:
            self._tell(SLICE_LISTENERS)
        finally:
            self._lanes.spend(self._lane, self._clock() - started_at)
            if self._untold:
                self._is_waiting = True
                self._lanes.go_first(self._lane, self._go_on)

    def _tell(self, count: int) -> None:
        """So many of those who have not heard the first."""
        push, listeners, author = self._untold[0]
        some = [listeners.popleft() for _ in range(min(count, len(listeners)))]
        if not listeners:
            self._untold.popleft()
        superseded = self._metrics.volatile_superseded
        for listener in some:
            if listener is not author:
                listener.deliver(push)
        superseded = self._metrics.volatile_superseded - superseded
        if superseded and author is not None:
            author.drop(SUPERSEDED, superseded)  # type: ignore[attr-defined]
