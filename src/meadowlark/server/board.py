"""The numbers of all workers in memory that all of them share, so that any one of them can answer for all.

A memory file without a name, made by the supervisor and inherited by every worker, with one slot for each. A worker writes
its numbers into its own slot about once a second and reads everybody's; the supervisor writes how often it replaced whom. No
one waits for anyone, so numbers can be read while a worker is busy, stuck or dead, and then `up` says so.

Invariant: each word has one writer. A slot's version is odd while it is being written; a reader who meets that, or another
version after reading than before, reads again.
Does not know: what the numbers mean (families.py), beyond the first two, which are its own.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Sequence
from typing import NamedTuple

from meadowlark.server.families import CELL_COUNT
from meadowlark.server.metrics import Numbers

UP_NANOSECONDS = 5_000_000_000
"""A worker that has not published for longer is not up."""
READ_TRIES_MAX = 100
"""Writing takes some tens of microseconds; after so many tries the writer has died in the middle."""

_RESTARTS, _VERSION, _PUBLISHED_AT, _CELLS = 0, 1, 2, 3
"""Places in a slot. The first is the supervisor's, the others the worker's."""
_SLOT_CELLS = _CELLS + CELL_COUNT
_WORD_BYTES = 8


class Published(NamedTuple):
    """What one worker has published."""

    worker: int
    published_at: int
    """Nanoseconds of the machine's monotonic clock; 0: never."""
    numbers: Numbers


def make_board(workers: int) -> int:
    """The descriptor of an empty board; for the supervisor."""
    descriptor = os.memfd_create("meadowlark-metrics")
    os.ftruncate(descriptor, workers * _SLOT_CELLS * _WORD_BYTES)
    return descriptor


class Board:
    """One process's view of the board."""

    __slots__ = ("_memory", "_words", "workers")

    def __init__(self, descriptor: int) -> None:
        """descriptor: from `make_board`; it may be closed afterwards."""
        self._memory = mmap.mmap(descriptor, 0)
        self._words = memoryview(self._memory).cast("q")
        self.workers = len(self._words) // _SLOT_CELLS

    def close(self) -> None:
        self._words.release()
        self._memory.close()

    def count_restart(self, worker: int) -> None:
        """`worker` has been replaced once more; only the supervisor says so."""
        self._words[worker * _SLOT_CELLS + _RESTARTS] += 1

    def publish(self, worker: int, cells: Sequence[int], now: int) -> None:
        """The numbers of `worker` are `cells`, an array of signed 64-bit integers, from `now` on."""
        start = worker * _SLOT_CELLS
        version = (self._words[start + _VERSION] | 1) + 2  # odd, and another than before
        self._words[start + _VERSION] = version
        self._words[start + _CELLS : start + _SLOT_CELLS] = memoryview(cells)  # type: ignore[arg-type]  # an array
        self._words[start + _PUBLISHED_AT] = now
        self._words[start + _VERSION] = version + 1

    def read(self, now: int) -> list[Published]:
        """What every worker published last, with `up` and `restarts` filled in."""
        return [self._read_slot(worker, now) for worker in range(self.workers)]

    def _read_slot(self, worker: int, now: int) -> Published:
        slot = self._words[worker * _SLOT_CELLS : (worker + 1) * _SLOT_CELLS]
        for _ in range(READ_TRIES_MAX):
            version = slot[_VERSION]
            words = slot.tolist()
            if version % 2 == 0 and slot[_VERSION] == version:
                break
        published_at = words[_PUBLISHED_AT]
        is_up = int(published_at > 0 and now - published_at <= UP_NANOSECONDS)
        return Published(worker, published_at, Numbers([is_up, words[_RESTARTS], *words[_CELLS + 2 :]]))
