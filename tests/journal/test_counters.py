"""The journal's totals."""

from __future__ import annotations

import pytest

from meadowlark.journal import Counters
from meadowlark.journal.counters import HISTOGRAM_BUCKETS


@pytest.mark.parametrize(
    ("seconds", "bucket"), [(0.0, 0), (0.000001, 1), (0.000250, 8), (0.000255, 8), (0.000257, 9), (1e9, HISTOGRAM_BUCKETS - 1)]
)
def test_a_sync_is_counted_by_the_power_of_two_of_its_microseconds(seconds, bucket):
    counters = Counters()
    counters.count(3, 200, seconds)
    counters.count(4, 50, seconds)
    assert (counters.groups, counters.records, counters.size, counters.last_sync_seconds) == (2, 7, 250, seconds)
    assert counters.sync_seconds == 2 * seconds
    assert {place: count for place, count in enumerate(counters.sync_micros_log2) if count} == {bucket: 2}
