"""A histogram of durations: log-linear, in plain integers, cheap enough for every message.

Each decade from 1 µs to 100 s is cut into 32 buckets, finer at its start, so that a quantile read from it is never under the
true one and at most an eighth over it. A bucket holds what is above the bound before its own and up to its own: Prometheus'
`le`. Recording is a search in a tuple and two additions; nothing is allocated that stays.
Does not know: what is measured, who reads.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence


def _decade(start: int) -> list[int]:
    """Bounds of one decade in nanoseconds: 1.0 to 1.9 by tenths, 2 to 4.75 by quarters, 5 to 9.5 by halves."""
    tenths, quarters, halves = range(10, 20), range(8, 20), range(10, 20)
    return [
        *(start * each // 10 for each in tenths),
        *(start * each // 4 for each in quarters),
        *(start * each // 2 for each in halves),
    ]


BOUNDS: tuple[int, ...] = (*(bound for power in range(3, 11) for bound in _decade(10**power)), 10**11)
"""Upper bounds in nanoseconds, 1 µs to 100 s. What is longer is in one bucket more."""

BUCKET_COUNT = len(BOUNDS) + 1


class Histogram:
    """Durations in nanoseconds, counted by bucket."""

    __slots__ = ("counts", "sum")

    def __init__(self) -> None:
        self.counts = [0] * BUCKET_COUNT
        self.sum = 0
        """Nanoseconds."""

    def record(self, nanoseconds: int) -> None:
        self.counts[bisect_left(BOUNDS, nanoseconds)] += 1
        self.sum += nanoseconds


def quantile(counts: Sequence[int], q: float, bounds: Sequence[int] = BOUNDS) -> float | None:
    """The upper bound in nanoseconds of the bucket with the duration of rank ceil(q * all); None when there is none.

    Infinite if that lies above the last bound.
    """
    rank = max(1, math.ceil(q * sum(counts)))
    seen = 0
    for bound, count in zip((*bounds, math.inf), counts, strict=True):
        seen += count
        if seen >= rank:
            return bound
    return None
