"""Durations in buckets: where each lands, and how far a quantile may be from the true one."""

from __future__ import annotations

import itertools
import math
from random import Random

import pytest

from meadowlark.server.histogram import BOUNDS, BUCKET_COUNT, Histogram, quantile

STEP_MAX = 1.125
"""The widest bucket, as upper bound over lower: 2.25 over 2."""


def filled(*nanoseconds: int) -> Histogram:
    histogram = Histogram()
    for each in nanoseconds:
        histogram.record(each)
    return histogram


def true_quantile(nanoseconds: list[int], q: float) -> int:
    return sorted(nanoseconds)[max(1, math.ceil(q * len(nanoseconds))) - 1]


def test_bounds_ascend_from_a_microsecond_to_100_seconds_in_steps_of_an_eighth_at_most() -> None:
    assert (BOUNDS[0], BOUNDS[-1], BUCKET_COUNT) == (1_000, 100_000_000_000, 258)
    assert all(lower < upper <= lower * STEP_MAX for lower, upper in itertools.pairwise(BOUNDS))


def test_round_durations_are_bounds() -> None:
    for power in range(3, 11):
        assert {10**power * each for each in (1, 2, 3, 5)} <= set(BOUNDS)


def test_a_bound_is_the_last_in_its_bucket() -> None:
    for index in (0, 1, 31, 32, 100, len(BOUNDS) - 1):
        assert filled(BOUNDS[index]).counts[index] == 1
        assert filled(BOUNDS[index] + 1).counts[index + 1] == 1


def test_nothing_is_too_short_or_too_long() -> None:
    histogram = filled(0, 1, 10**15)
    assert (histogram.counts[0], histogram.counts[-1], histogram.sum) == (2, 1, 10**15 + 1)


@pytest.mark.parametrize("q", [0.0, 0.001, 0.5, 0.9, 0.99, 0.999, 1.0])
@pytest.mark.parametrize("seed", range(5))
def test_a_quantile_is_never_under_the_true_one_and_at_most_a_bucket_over_it(q: float, seed: int) -> None:
    random = Random(seed)
    durations = [int(random.lognormvariate(13, 3)) + 1_001 for _ in range(random.randrange(1, 3_000))]
    read, true = quantile(filled(*durations).counts, q), true_quantile(durations, q)
    assert read is not None
    assert true <= read <= true * STEP_MAX


def test_the_quantile_of_one_duration_is_its_bucket() -> None:
    assert {quantile(filled(300_000).counts, q) for q in (0.0, 0.5, 1.0)} == {300_000}


def test_nothing_has_no_quantile_and_what_is_longer_than_all_bounds_an_infinite_one() -> None:
    assert quantile(Histogram().counts, 0.5) is None
    assert quantile(filled(10**12).counts, 0.5) == math.inf


def test_other_bounds_can_be_read_as_well() -> None:
    assert quantile([1, 2, 1, 0], 0.5, (1, 2, 4)) == 2
