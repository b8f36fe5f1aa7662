"""What the journal has done, as plain integers that a metrics page reads. Owned by the thread that calls the journal."""

from __future__ import annotations

HISTOGRAM_BUCKETS = 32
"""The last holds everything from 2**30 µs (18 minutes) on."""


class Counters:
    """Totals since the worker started."""

    __slots__ = ("groups", "last_sync_seconds", "records", "size", "sync_micros_log2", "sync_seconds")

    def __init__(self) -> None:
        self.groups = 0
        self.records = 0
        self.size = 0
        """Bytes written, headers included."""
        self.sync_micros_log2 = [0] * HISTOGRAM_BUCKETS
        """How many groups took how long to write and sync: bucket 0 under 1 µs, bucket n from 2**(n-1) to under 2**n µs."""
        self.last_sync_seconds = 0.0
        self.sync_seconds = 0.0
        """All of them together."""

    def count(self, records: int, size: int, seconds: float) -> None:
        """One more durable group."""
        self.groups += 1
        self.records += records
        self.size += size
        self.last_sync_seconds = seconds
        self.sync_seconds += seconds
        bucket = int(seconds * 1_000_000).bit_length()
        self.sync_micros_log2[min(bucket, HISTOGRAM_BUCKETS - 1)] += 1
