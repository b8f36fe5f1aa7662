"""What `meadowlark top` shows: the numbers of a running server between two moments, a line for each worker and one for all.

Two readings of `/.meadowlark/metrics.json` make a table: rates and quantiles are of what happened between them, the rest is as at
the second. A worker's span is that between its own publications, since it publishes once a second whenever it is asked.
Pure: whoever calls reads, waits and prints.
Does not know: how a server is reached (administration.py).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import msgspec

Reading = dict[str, Any]
"""The numbers of one worker: exposition.json_slices."""
Buckets = Counter[float]
"""Counts of a histogram by upper bound in seconds."""


class Line(msgspec.Struct, kw_only=True):
    """One worker, or all. Latencies in milliseconds; None where nothing was measured."""

    worker: int | None
    """None: all of them together."""
    up: int
    """Workers that are."""
    connections: int
    messages_per_second: float
    """Received: realtime frames and HTTP requests."""
    deliveries_per_second: float
    internal_p50: float | None
    internal_p99: float | None
    acknowledged_p50: float | None
    acknowledged_p99: float | None
    loop_lag_p99: float | None
    journal_sync_p99: float | None
    outbox_bytes: int
    memory_bytes: int


def lines(before: Sequence[Reading], after: Sequence[Reading]) -> list[Line]:
    """A line for each worker, in order, and the last for all. One worker needs no sum: then there is one line."""
    earlier = {reading["worker"]: reading for reading in before}
    pairs = [(earlier[reading["worker"]], reading) for reading in after if reading["worker"] in earlier]
    each = [_line([pair], worker=pair[1]["worker"]) for pair in pairs]
    return each if len(each) == 1 else [*each, _line(pairs, worker=None)]


def table(shown: Sequence[Line]) -> str:
    """The lines for people."""
    rows = [[heading for heading, _ in _COLUMNS], *([cell(line) for _, cell in _COLUMNS] for line in shown)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)


def _line(pairs: Sequence[tuple[Reading, Reading]], *, worker: int | None) -> Line:
    readings = [after for _, after in pairs]
    operations = _happened(pairs, "operation_seconds")
    acknowledged = _happened(pairs, "acknowledged_seconds")
    return Line(
        worker=worker,
        up=_now(readings, "up"),
        connections=_now(readings, "connections", "realtime", "http"),
        messages_per_second=_rate(pairs, "received_messages_total"),
        deliveries_per_second=_rate(pairs, "deliveries_total"),
        internal_p50=_quantile(operations, 0.5),
        internal_p99=_quantile(operations, 0.99),
        acknowledged_p50=_quantile(acknowledged, 0.5),
        acknowledged_p99=_quantile(acknowledged, 0.99),
        loop_lag_p99=_quantile(_happened(pairs, "loop_lag_seconds"), 0.99),
        journal_sync_p99=_quantile(_happened(pairs, "journal_sync_seconds"), 0.99),
        outbox_bytes=_now(readings, "outbox_bytes"),
        memory_bytes=_now(readings, "memory_bytes"),
    )


def _now(readings: Iterable[Reading], name: str, *labels: str) -> int:
    return sum(reading[f"meadowlark_{name}"][label] for reading in readings for label in labels or ("",))


def _rate(pairs: Iterable[tuple[Reading, Reading]], name: str) -> float:
    """Of a counter, all its labels together. A worker that was replaced meanwhile has counted from 0."""
    rate = 0.0
    for before, after in pairs:
        seconds = after["published_at"] - before["published_at"]
        first, last = sum(before[f"meadowlark_{name}"].values()), sum(after[f"meadowlark_{name}"].values())
        if seconds > 0:
            rate += (last - first if last >= first else last) / seconds
    return round(rate, 1)


def _happened(pairs: Iterable[tuple[Reading, Reading]], name: str) -> Buckets:
    """What a histogram, all its labels together, has more in the second of each pair."""
    total: Buckets = Counter()
    for before, after in pairs:
        first, last = _buckets(before, name), _buckets(after, name)
        if any(count > last[bound] for bound, count in first.items()):
            first = Counter()
        total += last - first
    return total


def _buckets(reading: Reading, name: str) -> Buckets:
    buckets: Buckets = Counter()
    for histogram in reading[f"meadowlark_{name}"].values():
        for bound, count in zip(histogram["bounds"], histogram["counts"], strict=True):
            buckets[math.inf if bound is None else bound] += count
    return buckets


def _quantile(buckets: Buckets, q: float) -> float | None:
    """In milliseconds, never under the true one."""
    rank, seen = max(1, math.ceil(q * buckets.total())), 0
    for bound in sorted(buckets):
        seen += buckets[bound]
        if seen >= rank:
            return bound * 1000
    return None


def _pair(first: float | None, second: float | None) -> str:
    return f"{_milliseconds(first)} / {_milliseconds(second)}"


def _milliseconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.3g}" if value < 1000 else f"{value:.0f}"


def _bytes(size: int) -> str:
    amount, units = float(size), ["B", "kB", "MB", "GB", "TB"]
    while amount >= 1000 and len(units) > 1:
        amount /= 1000
        units.pop(0)
    return f"{amount:.0f} {units[0]}" if amount >= 10 or units[0] == "B" else f"{amount:.1f} {units[0]}"


def _worker(line: Line) -> str:
    name = "all" if line.worker is None else str(line.worker)
    return name if line.up or line.worker is None else f"{name} (down)"


_COLUMNS: tuple[tuple[str, Callable[[Line], str]], ...] = (
    ("worker", _worker),
    ("connections", lambda line: f"{line.connections}"),
    ("messages/s", lambda line: f"{line.messages_per_second:.0f}"),
    ("deliveries/s", lambda line: f"{line.deliveries_per_second:.0f}"),
    ("internal p50 / p99 ms", lambda line: _pair(line.internal_p50, line.internal_p99)),
    ("acked p50 / p99 ms", lambda line: _pair(line.acknowledged_p50, line.acknowledged_p99)),
    ("lag p99 ms", lambda line: _milliseconds(line.loop_lag_p99)),
    ("sync p99 ms", lambda line: _milliseconds(line.journal_sync_p99)),
    ("outbox", lambda line: _bytes(line.outbox_bytes)),
    ("memory", lambda line: _bytes(line.memory_bytes)),
)
