"""The numbers of one worker.

Counters are plain attributes that whoever does the thing adds to; durations go to histograms; gauges are set (observer.py)
just before they are read. In the order of the table in families.py all of it is a row of integers (`cells`), which other
processes can read (board.py); `Numbers` gives such a row its names again.
Invariant: how many cells there are depends on the table alone, so all processes of a server agree on it.
Does not know: who measures what, how numbers are shown.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from itertools import accumulate

from meadowlark.errors import Code
from meadowlark.journal import Counters
from meadowlark.server.build import BUILD, BUILDS
from meadowlark.server.families import CELL_COUNT, FAMILIES, Connected, Family, Fate, Operation, Slow, Transport, Way
from meadowlark.server.histogram import Histogram
from meadowlark.wire.drops import Drop

_CODE_INDEX = {code: index for index, code in enumerate(Code)}


class Metrics:
    """Totals since the worker started, and what is now. The fields are described in families.py."""

    __slots__ = tuple(family.field for family in FAMILIES)

    def __init__(self) -> None:
        self.up = 1
        self.restarts = 0
        self.operation = [Histogram() for _ in Operation]
        self.broadcast = Histogram()
        self.acknowledged = Histogram()
        self.loop_lag = Histogram()
        self.collector = Histogram()
        self.journal_sync = Histogram()
        self.journal_sync.counts = [0] * (len(Counters().sync_micros_log2))
        self.received_bytes = 0
        self.sent_bytes = 0
        self.received_messages = [0 for _ in Transport]
        self.deliveries = 0
        self.replies = 0
        self.refused = [0 for _ in Code]
        self.slow_closes = [0 for _ in Slow]
        self.volatile_superseded = 0
        self.volatile_dropped = [0 for _ in Drop]
        self.quic_connections = 0
        self.quic_packets = [0 for _ in Way]
        self.quic_calls = [0 for _ in Way]
        self.quic_bytes = [0 for _ in Way]
        self.datagrams = [0 for _ in Way]
        self.datagram_updates = [0 for _ in Fate]
        self.slow_operations = 0
        self.accepted_connections = 0
        self.passed_connections = 0
        self.journal_groups = 0
        self.journal_records = 0
        self.journal_bytes = 0
        self.snapshots = 0
        self.snapshot_bytes = 0
        self.snapshot_failures = 0
        self.connections = [0 for _ in Connected]
        self.databases = 0
        self.outbox_bytes = 0
        self.journal_backlog_bytes = 0
        self.journal_failed = 0
        self.memory_bytes = 0
        self.build = [int(build == BUILD) for build in BUILDS]

    def refuse(self, code: Code) -> None:
        """One more request was refused with `code`."""
        self.refused[_CODE_INDEX[code]] += 1

    def take_journal(self, counters: Counters) -> None:
        """The journal keeps its own counters; the numbers are theirs now."""
        self.journal_groups, self.journal_records, self.journal_bytes = counters.groups, counters.records, counters.size
        self.journal_sync.counts = counters.sync_micros_log2
        self.journal_sync.sum = int(counters.sync_seconds * 1e9)

    def cells(self) -> array[int]:
        """All numbers, in the order of the table."""
        cells = array("q")
        for family in FAMILIES:
            held = getattr(self, family.field)
            for each in held if isinstance(held, list) else (held,):
                if isinstance(each, Histogram):
                    cells.extend(each.counts)
                    cells.append(each.sum)
                else:
                    cells.append(each)
        return cells


class Numbers:
    """The numbers of one worker as another process sees them."""

    __slots__ = ("_cells",)

    def __init__(self, cells: Sequence[int]) -> None:
        assert len(cells) == CELL_COUNT, f"{len(cells)} cells, expected {CELL_COUNT}"
        self._cells = cells

    def samples(self, family: Family) -> Iterator[tuple[str, Sequence[int]]]:
        """For each value of the family's label, its number; of a histogram its counts, and their sum in nanoseconds behind."""
        size, start = family.sample_cells, _STARTS[family.field]
        for index, value in enumerate(family.values):
            yield value, self._cells[start + index * size : start + (index + 1) * size]


_STARTS = dict(zip((f.field for f in FAMILIES), accumulate((f.cells for f in FAMILIES), initial=0), strict=False))
