"""Shares of the loop, so that no database, and no storm at the door, takes more of a turn than the others can spare.

Each database has a lane, and the door has one: connections that come and go. What is done for a lane is charged to it in time,
not in messages. One that has had its share of a turn is *over*: what still comes for it waits, each connection's in its order
and the connections in the order in which they came, until it has its share of a later turn. Between any two turns everyone
else is read and answered. What takes longer than a share is a debt, paid by sitting out turns while others wait too.
Lanes that keep within their share pay an addition a message, and nobody ever looks at them.
A database that has the worker for itself has a longer share: handling and writing more in one turn is cheaper, and nobody waits
for its end. The first message of any other database ends that at once; `sweep` begins it again.
Does not know: connections, databases; what waits is a function that goes on with it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

import structlog

log = structlog.get_logger()

SHARE_NANOSECONDS = 1_200_000
"""Of one turn, for one lane where several databases are in use, and for the door; also for all together that are over. With as
much for writing, and what cannot be charged, most turns of a flooded worker take under 3 ms of its core, and all under 6
(bench/flood.py)."""
SHARE_ALONE_NANOSECONDS = 16_000_000
"""Of one turn, for the only lane there is: what the first message of another database may wait for."""
SHARE_NANOSECONDS_MIN = 250_000
"""For each, however many are over."""


class Lane:
    """One a database, and one for the door."""

    __slots__ = ("is_over", "ready_count", "spent", "waiting")

    def __init__(self) -> None:
        self.is_over = False
        """Whether what comes now must wait: it has had its share, or others of it wait already."""
        self.spent = 0
        """Nanoseconds of this turn, and what is owed of earlier ones."""
        self.waiting: deque[Callable[[], object]] = deque()
        self.ready_count = 0
        """Clients to be written to; the outboxes' turn counts them (outbox.py)."""


class Lanes:
    """One a worker."""

    __slots__ = ("_is_alone", "_is_going", "_last", "_loop", "_over", "_spenders", "_was_shared", "door", "share")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self.door = Lane()
        """What connections cost that come or go."""
        self._spenders: list[Lane] = []
        """Those who spent something in this turn."""
        self._over: deque[Lane] = deque()
        """Those who are over, in the order of their shares."""
        self._is_going = False
        self.share = SHARE_ALONE_NANOSECONDS
        """Nanoseconds of one turn that a lane may have; the outboxes' turn gives itself as much for writing."""
        self._last: Lane | None = None
        """Of a database, the one that spent something last."""
        self._is_alone = True
        """Whether one database has the worker for itself, but for a storm at the door."""
        self._was_shared = False
        """Whether more than one did, since the last `sweep`."""

    @property
    def has_waiting(self) -> bool:
        """Whether something waits for its share."""
        return any(lane.waiting for lane in self._over)

    def spend(self, lane: Lane, nanoseconds: int) -> None:
        """So much was done for `lane`, or will be in the next turns."""
        if not lane.spent:
            self._spenders.append(lane)
            if lane is not self._last:
                self._meet(lane)
        lane.spent += nanoseconds
        if lane.spent > SHARE_NANOSECONDS and not lane.is_over and (lane.spent > self.share or lane is self.door):
            self._hold_back(lane)

    def wait(self, lane: Lane, go_on: Callable[[], object]) -> None:
        """Calls `go_on` when it is its turn in `lane`; it charges what it does."""
        lane.waiting.append(go_on)
        if not lane.is_over:
            self._hold_back(lane)

    def go_first(self, lane: Lane, go_on: Callable[[], object]) -> None:
        """`wait`, before all that waits: for what is begun already, and is to be done before anything else of the lane."""
        lane.waiting.appendleft(go_on)
        if not lane.is_over:
            self._hold_back(lane)

    async def enter(self, lane: Lane, nanoseconds: int) -> None:
        """Returns when something that will take about so long may be done for `lane`."""
        if lane.is_over:
            admitted: asyncio.Future[None] = self._loop.create_future()

            def admit() -> None:
                if not admitted.done():
                    admitted.set_result(None)
                    self.spend(lane, nanoseconds)

            self.wait(lane, admit)
            await admitted

    def settle(self) -> None:
        """The turn is over: everyone has a new share, and who is over pays by `_go_on`."""
        for lane in self._spenders:
            if not lane.is_over:
                lane.spent = 0
        self._spenders.clear()

    def sweep(self, *, others: bool) -> None:
        """Once in a while. others: more than one database is in use."""
        self._is_alone = not others and not self._was_shared
        self._was_shared = others
        if not self._is_alone:
            self.share = SHARE_NANOSECONDS
        elif not self.door.is_over:
            self.share = SHARE_ALONE_NANOSECONDS

    def _meet(self, lane: Lane) -> None:
        """It is another than the last time."""
        if lane is self.door:
            return
        if self._last is not None:
            self._was_shared = True
            self._is_alone = False
            self.share = SHARE_NANOSECONDS
        self._last = lane

    def _hold_back(self, lane: Lane) -> None:
        lane.is_over = True
        self._over.append(lane)
        if lane is self.door:
            self.share = SHARE_NANOSECONDS
        if not self._is_going:
            self._is_going = True
            self._loop.call_soon(self._go_on)

    def _go_on(self) -> None:
        """A share of this turn for each who is over, as long as there is any left; the rest come first in the next."""
        over = self._over
        left = self.share if len(over) == 1 and over[0] is not self.door else SHARE_NANOSECONDS
        share = max(SHARE_NANOSECONDS_MIN, left // len(over))
        for _ in range(len(over)):
            lane = over.popleft()
            if lane is not self._last:
                self._meet(lane)
            lane.spent = max(0, lane.spent - share)
            owed, waiting = lane.spent, lane.waiting
            while waiting and lane.spent < share:
                try:
                    waiting.popleft()()
                except Exception:  # Whatever it is, it is one connection's, and the others of the lane go on.
                    log.exception("what waited for its share failed")
            left -= lane.spent - owed
            if waiting or lane.spent >= share:
                over.append(lane)
            else:
                lane.is_over = False
                lane.spent = 0
                if lane is self.door and self._is_alone:
                    self.share = SHARE_ALONE_NANOSECONDS
            if left <= 0:
                break
        self.settle()
        self._is_going = bool(over)
        if over:
            self._loop.call_soon(self._go_on)
