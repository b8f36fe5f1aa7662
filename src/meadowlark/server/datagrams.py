"""What waits for one client in datagrams: the last volatile value of each path, until the network takes it.

Datagrams are made when QUIC can send them, of what is the newest then: a client whose pipe is free hears at once, one whose
pipe is not hears the last of each path; so does one that has a bound for how often it is told (pace.py). A value that has gone
in a datagram and stands for SETTLE_SECONDS is said once more on the stream, so that what was lost is lost for a moment. So is,
before an ordinary message that concerns its path, what has only gone in datagrams; around that message stand the frames that
keep it and datagrams apart (wire/numbering.py).
While something is held in the outbox nothing leaves here either: what comes after it must not overtake it.
Invariant: what waits or may have been lost here is what stands there now, as far as the client is told of that place at all.
Does not know: QUIC. Source: docs/protocol.md "WebTransport"; tests/server/test_datagrams.py.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

from meadowlark.engine import Push
from meadowlark.limits import DATAGRAM_PATHS_MAX
from meadowlark.server.families import Fate
from meadowlark.server.metrics import Metrics
from meadowlark.server.outbox import Outbox
from meadowlark.wire.numbering import (
    FORGET,
    UPDATE,
    VOID,
    Number,
    Numbering,
    encode_agreement,
    encode_epoch,
    encode_updates,
)
from meadowlark.wire.webtransport import NUMBER_BYTES_MAX, SETTLE_SECONDS, UPDATE_BYTES_MAX, encode_number


class Settling:
    """Has every outbox look at what stood for a while; one a worker."""

    __slots__ = ("_is_due", "_loop", "outboxes")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._is_due = False
        self.outboxes: set[DatagramOutbox] = set()
        """Those with something that has only gone in datagrams."""

    def add(self, outbox: DatagramOutbox) -> None:
        self.outboxes.add(outbox)
        if not self._is_due:
            self._is_due = True
            self._loop.call_later(SETTLE_SECONDS, self._tick)

    def _tick(self) -> None:
        self._is_due = False
        for outbox in list(self.outboxes):
            if not outbox.tick():
                self.outboxes.discard(outbox)
        if self.outboxes:
            self._is_due = True
            self._loop.call_later(SETTLE_SECONDS, self._tick)


class DatagramOutbox:
    """One client's."""

    __slots__ = (
        "_epoch", "_fresh", "_given_up_count", "_metrics", "_numbering", "_older", "_outbox", "_settling", "_timer", "_told",
        "_unsettled", "_wake",
    )  # fmt: skip

    def __init__(
        self, numbering: Numbering, outbox: Outbox, settling: Settling, metrics: Metrics, wake: Callable[[], None]
    ) -> None:
        """outbox: of the stream. wake: asks for `next` to be called when datagrams can be sent."""
        self._numbering = numbering
        self._outbox = outbox
        self._settling = settling
        self._metrics = metrics
        self._wake: Callable[[], None] | None = wake
        self._timer: asyncio.TimerHandle | None = None
        """Until the client's bound lets something leave."""
        self._epoch = 0
        self._told: set[Number] = set()
        """Numbers of which the client knows what they mean."""
        self._given_up_count = 0
        """Numbers that had been given up when it last learned one."""
        self._fresh: dict[Number, bytes] = {}
        """Updates that have not left."""
        self._unsettled: dict[Number, bytes] = {}
        """Those that left in datagrams since the last tick, and `_older` before that."""
        self._older: dict[Number, bytes] = {}

    @property
    def waiting_bytes(self) -> int:
        return sum(map(len, self._fresh.values()))

    # What the client is told

    def put(self, push: Push) -> bool:
        """Tells of `push` here, if it is a volatile value that can be told so."""
        if not push.volatile or push.merge or push.tag is not None or push.asked:
            return False
        number = self._numbering.find(push)
        if number is None:
            return False
        update: bytes = push.encoded[UPDATE]
        if number not in self._told:
            self._tell(number)
            self._outbox.put(encode_updates((update,)))
        elif push.value is None or len(update) > UPDATE_BYTES_MAX:
            self._forget((number,))
            self._outbox.put_volatile(push.path, encode_updates((update,)))
        else:
            if number in self._fresh:
                self._metrics.volatile_superseded += 1
            elif not self._fresh:
                self._wake_in_time()
            self._fresh[number] = update
        return True

    def before(self, push: Push) -> bool:
        """What comes before an ordinary message that tells of `push`. True: `after` must follow it."""
        if not self._told or push.tag is not None:
            return False
        if push.asked or self._given_up_count != self._numbering.given_up_count:
            self.begin()
            return True
        overlapped = self._numbering.overlapped(push)
        if not overlapped or self._told.isdisjoint(overlapped):
            return False
        self._settle(overlapped)
        self._outbox.put(VOID)
        return True

    def begin(self) -> None:
        """What comes before any message after which datagrams made so far must not count."""
        self.settle()
        self._given_up_count = self._numbering.given_up_count
        self._outbox.put(VOID)

    def after(self) -> None:
        self._epoch += 1
        self._outbox.put(encode_epoch(self._epoch))

    def settle(self) -> None:
        """Says on the stream all that has not left, or only in datagrams."""
        self._settle(self._older | self._unsettled | self._fresh)

    def renumber(self) -> None:
        self.begin()
        self._forget_numbers()
        self.after()

    # The network

    def next(self, room: int) -> bytes | None:
        """A datagram of at most `room` bytes; None when there is nothing to say or something must be said before."""
        fresh = self._fresh
        if not fresh or self._outbox.is_held:
            return None
        if self._outbox.pace_left():
            self._wake_in_time()
            return None
        parts = [encode_number(self._epoch)]
        room -= NUMBER_BYTES_MAX
        sent: list[Number] = []
        for number, update in fresh.items():
            if len(update) > room:
                break
            room -= len(update)
            parts.append(update)
            sent.append(number)
        if not sent:  # The path has become narrower than we count on.
            self.settle()
            return None
        for number in sent:
            self._older.pop(number, None)
            self._unsettled[number] = fresh.pop(number)
        if not fresh:
            self._outbox.use_pace()
        self._settling.add(self)
        self._metrics.datagram_updates[_SENT] += len(sent)
        return b"".join(parts)

    def tick(self) -> bool:
        """Once in SETTLE_SECONDS: says on the stream what stood since the last time. Whether there will be more to say."""
        settled, self._older = self._older, self._unsettled
        self._unsettled = {}
        if settled and self._outbox.is_paused:
            # It would not arrive before what follows it; newer values may still take its place.
            self._older = settled | self._older
        elif settled:
            self._repeat(settled)
        return bool(self._older)

    def close(self) -> None:
        self._numbering.clients.discard(self)
        self._settling.outboxes.discard(self)
        self._wake = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._told.clear()
        self._forget_updates()

    # Inside

    def _wake_in_time(self) -> None:
        left = self._outbox.pace_left()
        if not left:
            self._wake_now()
        elif self._timer is None:
            self._timer = self._outbox.call_later(left, self._wake_now)

    def _wake_now(self) -> None:
        self._timer = None
        if self._wake is not None:
            self._wake()

    def _tell(self, number: Number) -> None:
        if len(self._told) >= DATAGRAM_PATHS_MAX:
            self.settle()
            self._forget_numbers()
        if not self._told:
            self._numbering.clients.add(self)
            self._given_up_count = self._numbering.given_up_count
        # The path, or one above or below it, may have had another number, of which something may be under way.
        is_apart = self._given_up_count != self._numbering.given_up_count
        if is_apart:
            self.begin()
        self._told.add(number)
        self._outbox.put(encode_agreement(number))
        if is_apart:
            self.after()

    def _forget_numbers(self) -> None:
        self._told.clear()
        self._outbox.put(FORGET)

    def _settle(self, numbers: Iterable[Number]) -> None:
        """The last update of each of `numbers` that might not have arrived."""
        updates: dict[Number, bytes] = {}
        for number in numbers:
            for waiting in (self._fresh, self._unsettled, self._older):
                if number in waiting:
                    updates[number] = waiting[number]
                    break
        self._forget(updates)
        if updates:
            self._repeat(updates)

    def _repeat(self, updates: dict[Number, bytes]) -> None:
        self._metrics.datagram_updates[_REPEATED] += len(updates)
        self._outbox.put(encode_updates(updates.values()))

    def _forget(self, numbers: Iterable[Number]) -> None:
        for number in numbers:
            self._fresh.pop(number, None)
            self._unsettled.pop(number, None)
            self._older.pop(number, None)

    def _forget_updates(self) -> None:
        self._fresh.clear()
        self._unsettled.clear()
        self._older.clear()


_SENT, _REPEATED = int(Fate.SENT), int(Fate.REPEATED)
