"""Group commit: one thread that takes all records waiting, makes them durable with one sync, and hands them back.

While a sync runs, the next group gathers in the queue, so a lone record waits for one sync and many records share one. On a fast
disk the thread would come between the loop's steps for each record: groups therefore begin one or two milliseconds apart, which
costs a record that comes in between less than that, and takes less from the loop, to which the thread gives way besides
(worker.py). What is in the queue is a record (a plain tuple: `record.Waiting`), an order, which is a function that the thread
runs when everything before it is durable, or a chore: a function that it runs between two groups.

A record larger than a group may be is written in parts, one after each group, so that only its own database waits for it: what
comes later of that database, and orders, and other large records, are held until it is durable. Chores are not: where large
records always wait they would be done more slowly than new ones come up. So the records of one database
become durable in the order in which they were put; those of two databases need not.

A write or sync that fails ends it for good: the group, and whatever is put in the queue later, is handed back as failed, and
nothing is written again. A sync is never retried: after a failed one the system may take lost pages for clean.

`put` is for any thread, `run` is the thread; `turn` is one round of it, for those who have no thread.
Does not know: what a record means, who waits.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Generator
from queue import SimpleQueue
from typing import Final

import msgspec

from meadowlark.errors import JournalFailed
from meadowlark.journal.log import Log, Written
from meadowlark.journal.record import Waiting
from meadowlark.limits import GROUP_BYTES_MAX

RECORD_OVERHEAD_BYTES = 64
"""Counted for a record besides its body, so that very many tiny ones do not make a group that takes long either."""
LONE_SECONDS = 0.001
"""From the beginning of a group of one record to that of the next, at least: somebody may write and wait, write and wait."""
SHARED_SECONDS = 0.002
"""The same where several write at once. A group takes 0.15 ms of the core, however many records it has: at 2,000 writes a second
a millisecond more to wait gives the loop a tenth more of the core, which everybody's latency comes from."""

Order = Callable[[JournalFailed | None], None]
"""Run on the thread once all before it is durable, or has failed: then with the failure. An error from it is a failure too."""


class Chore:
    """Run on the thread like an order, but nothing that was put before need be durable."""

    __slots__ = ("order",)

    def __init__(self, order: Order) -> None:
        self.order = order


Item = Waiting | Order | Chore | None


class _Nothing:
    """Nothing is in the queue right now."""


_NOTHING: Final = _Nothing()


class Group(msgspec.Struct, gc=False):
    """Records with their fate. `written` None: not durable, because of `failure`."""

    records: list[Waiting]
    written: Written | None
    seconds: float
    failure: JournalFailed | None


class _Large:
    """A large record that is being written."""

    __slots__ = ("record", "seconds", "steps")

    def __init__(self, record: Waiting, steps: Generator[None, None, Written]) -> None:
        self.record = record
        self.steps = steps
        self.seconds = 0.0


class Committer:
    """Owns the log from the first `turn` on."""

    __slots__ = (
        "_again", "_busy", "_clock", "_hand_back", "_held", "_large", "_log", "_pause", "_queue", "_thread", "failure", "put",
    )  # fmt: skip

    def __init__(
        self,
        log: Log,
        hand_back: Callable[[Group], object],
        clock: Callable[[], float],
        pause: Callable[[float], object] | None = None,
    ) -> None:
        """hand_back: called on the thread with each group. clock: seconds. pause: lets so many of them pass; None: groups follow
        at once."""
        self._log = log
        self._hand_back = hand_back
        self._clock = clock
        self._pause = pause
        self._queue: SimpleQueue[Item] = SimpleQueue()
        self._large: _Large | None = None
        self._held: deque[Item] = deque()
        """What waits for it, in order."""
        self._busy: set[str] = set()
        """Databases of which a record is large, or held."""
        self._again: deque[Item] = deque()
        """What was held, and is dealt with before what is in the queue."""
        self._thread: threading.Thread | None = None
        self.put = self._queue.put
        """Appends to the queue; never blocks. None ends the thread. Bound once, since it is called for every write."""
        self.failure: JournalFailed | None = None
        """Why nothing is durable any more. Set once, by the thread."""

    @property
    def is_running(self) -> bool:
        return self._thread is not None

    def start(self, name: str, at_first: Callable[[], object] | None = None) -> None:
        """The thread runs. at_first: called there before anything else."""
        # A daemon: if the loop dies with an exception, the process must end and be restarted, not wait for this thread.
        self._thread = threading.Thread(target=self.run, args=(at_first,), name=name, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """The thread has done everything put before and is gone."""
        if self._thread is not None:
            self.put(None)
            self._thread.join()
            self._thread = None

    def run(self, at_first: Callable[[], object] | None = None) -> None:
        """Rounds until None is met."""
        if at_first is not None:
            at_first()
        while self.turn():
            pass

    def turn(self) -> bool:
        """Deals with one group, one order or chore, and a part of a large record; False when told to end. If there is nothing to
        do it waits until there is."""
        records: list[Waiting] = []
        size = 0
        item = self._take(waits=True)
        while type(item) is tuple:
            if item[0] in self._busy:
                self._held.append(item)
            elif len(item[2]) > GROUP_BYTES_MAX and self.failure is None:
                self._begin(item)
            else:
                records.append(item)
                size += len(item[2]) + RECORD_OVERHEAD_BYTES
                if size >= GROUP_BYTES_MAX:
                    break
            item = self._take(waits=False)
        if records:
            self._commit(records)
        if type(item) is tuple or isinstance(item, _Nothing):
            pass
        elif isinstance(item, Chore):
            self._obey(item.order)
        elif self._large is not None:
            self._held.append(item)
        elif item is None:
            return False
        else:
            self._obey(item)  # type: ignore[arg-type]  # no record: those were dealt with
        if self._large is not None:
            self._go_on(self._large)
        return True

    def turn_until_empty(self) -> None:
        """Deals with all that waits now, on the calling thread; only where no thread runs."""
        while self._large is not None or self._again or not self._queue.empty():
            self.turn()

    def _take(self, *, waits: bool) -> Item | _Nothing:
        """What is to be dealt with next. waits: if there is nothing at all to do, until there is."""
        if self._again:
            return self._again.popleft()
        # Nobody else takes from the queue, so what `empty` sees is still there.
        if self._queue.empty() and (self._large is not None or not waits):
            return _NOTHING
        return self._queue.get()

    def _begin(self, record: Waiting) -> None:
        """A large record is written from now on, or waits for the one that is."""
        self._busy.add(record[0])
        if self._large is None:
            self._large = _Large(record, self._log.append_slices(record))
        else:
            self._held.append(record)

    def _go_on(self, large: _Large) -> None:
        """Writes a part of the large record; after the last, what was held for it is next."""
        written: Written | None = None
        started_at = self._clock()
        try:
            if self.failure is None:
                next(large.steps)
                large.seconds += self._clock() - started_at
                return
        except StopIteration as end:
            written = end.value
        except Exception as error:  # as in `_commit`
            self._fail(error)
        large.steps.close()
        self._large = None
        self._busy.clear()
        self._again.extendleft(reversed(self._held))
        self._held.clear()
        self._hand_back(Group([large.record], written, large.seconds + self._clock() - started_at, self.failure))

    def _commit(self, records: list[Waiting]) -> None:
        written: Written | None = None
        started_at = self._clock()
        if self.failure is None:
            try:
                written = self._log.append(records)
            except Exception as error:  # the top of the thread: whoever waits must hear of it, whatever it was
                self._fail(error)
        took = self._clock() - started_at
        self._hand_back(Group(records, written, took, self.failure))
        apart = SHARED_SECONDS if len(records) > 1 else LONE_SECONDS
        if self._pause is not None and took < apart and self._large is None:
            self._pause(apart - took)

    def _obey(self, order: Order) -> None:
        try:
            order(self.failure)
        except Exception as error:  # the top of the thread, as above
            self._fail(error)
            self._hand_back(Group([], None, 0.0, self.failure))

    def _fail(self, error: Exception) -> None:
        failure = JournalFailed(
            f"the journal could not be written: {type(error).__name__}: {error}; nothing is acknowledged any more. "
            "See to the disk (space, errors in the system's log) and restart: what was acknowledged is recovered"
        )
        failure.__cause__ = error
        self.failure = failure
