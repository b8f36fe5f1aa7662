"""What is exported about a server: the table of metrics, with their types, labels and meanings.

`FAMILIES` is the one truth: metrics.py keeps a number for each row, exposition.py writes them down, top.py shows some. A new
metric is a new row, a field in `Metrics`, and a line in docs/operating.md "Metrics", which a test holds equal to the table.
Does not know: how anything is measured.
"""

from __future__ import annotations

import enum
from typing import NamedTuple

from meadowlark.engine import (
    Get,
    Identify,
    Leave,
    Listen,
    OnDisconnectCancel,
    OnDisconnectSet,
    OnDisconnectUpdate,
    Set,
    Unlisten,
    Update,
)
from meadowlark.errors import Code
from meadowlark.journal.counters import HISTOGRAM_BUCKETS
from meadowlark.server.build import BUILDS
from meadowlark.server.histogram import BOUNDS
from meadowlark.wire.drops import Drop


class Operation(enum.IntEnum):
    """What clients ask; the value is the place of its histogram."""

    SET = 0
    UPDATE = 1
    GET = 2
    LISTEN = 3
    UNLISTEN = 4
    ON_DISCONNECT = 5
    AUTH = 6
    LEAVE = 7
    REST_GET = 8
    REST_PUT = 9
    REST_PATCH = 10
    REST_POST = 11
    REST_DELETE = 12
    REST_STREAM = 13


OPERATIONS: dict[type, Operation] = {
    Set: Operation.SET,
    Update: Operation.UPDATE,
    Get: Operation.GET,
    Listen: Operation.LISTEN,
    Unlisten: Operation.UNLISTEN,
    OnDisconnectSet: Operation.ON_DISCONNECT,
    OnDisconnectUpdate: Operation.ON_DISCONNECT,
    OnDisconnectCancel: Operation.ON_DISCONNECT,
    Identify: Operation.AUTH,
    Leave: Operation.LEAVE,
}
"""What each command is called."""


class Transport(enum.IntEnum):
    """How messages come."""

    REALTIME = 0
    HTTP = 1


class Connected(enum.IntEnum):
    """Kinds of open connections."""

    REALTIME = 0
    HTTP = 1
    STREAM = 2
    LONG_POLL = 3


class Way(enum.IntEnum):
    """Directions of packets."""

    RECEIVED = 0
    SENT = 1


class Fate(enum.IntEnum):
    """What became of volatile values in datagrams."""

    RECEIVED = 0
    """A client's, carried out."""
    DROPPED = 1
    """A client's that was late, doubled, void, of a number that means nothing, or came while the server did not read."""
    SENT = 2
    """Told in a datagram."""
    REPEATED = 3
    """Told once more on the stream, since the datagram may have been lost."""


class Slow(enum.IntEnum):
    """Why a client that does not take what waits for it is closed."""

    FULL = 0
    """Too much waits for it."""
    STALLED = 1
    """It has taken nothing for too long."""
    WORKER = 2
    """Too much waits for all clients of the worker, and most of that for this one."""


class Family(NamedTuple):
    """One row: a name, with one number (or histogram) for each value of its label."""

    name: str
    kind: str
    """counter, gauge or histogram."""
    field: str
    """Where Metrics keeps it."""
    meaning: str
    label: str = ""
    values: tuple[str, ...] = ("",)
    bounds: tuple[int, ...] = ()
    """Upper bounds in nanoseconds of a histogram's buckets but the last."""

    @property
    def sample_cells(self) -> int:
        """Numbers of one sample: a histogram has its buckets, and the sum behind them."""
        return len(self.bounds) + 2 if self.bounds else 1

    @property
    def cells(self) -> int:
        return self.sample_cells * len(self.values)


def _counter(field: str, meaning: str, label: str = "", values: tuple[str, ...] = ("",)) -> Family:
    return Family(f"meadowlark_{field}_total", "counter", field, meaning, label, values)


def _gauge(field: str, meaning: str, label: str = "", values: tuple[str, ...] = ("",)) -> Family:
    return Family(f"meadowlark_{field}", "gauge", field, meaning, label, values)


def _histogram(field: str, meaning: str, label: str = "", values: tuple[str, ...] = ("",)) -> Family:
    return Family(f"meadowlark_{field}_seconds", "histogram", field, meaning, label, values, BOUNDS)


def _names(members: type[enum.Enum]) -> tuple[str, ...]:
    return tuple(member.name.lower() for member in members)


JOURNAL_SYNC = Family(
    "meadowlark_journal_sync_seconds",
    "histogram",
    "journal_sync",
    "how long a group of records took to write and sync",
    bounds=tuple(1000 * 2**power for power in range(HISTOGRAM_BUCKETS - 1)),  # journal/counters.py counts by powers of two
)

FAMILIES: tuple[Family, ...] = (
    _gauge("up", "1 if the worker published its numbers within the last 5 s, else 0"),
    _counter("restarts", "times that the worker ended unasked and was replaced"),
    _histogram("operation", "from the socket's read until all that the operation caused is handed to transports, save the "
               "acknowledgement of a durable write", "operation", _names(Operation)),
    _histogram("broadcast", "from the socket's read until a change is handed to the transports of all who listen"),
    _histogram("acknowledged", "from the socket's read of a write until its durable acknowledgement is handed to the transport"),
    _histogram("loop_lag", "how late the worker's timer is, every 10 ms, or 100 ms while little is received; exact to 1 ms"),
    _histogram("collector", "pauses of Python's cyclic collector while the worker serves; it is off, so none is expected"),
    JOURNAL_SYNC,
    _counter("received_bytes", "payloads of realtime frames, and HTTP requests"),
    _counter("sent_bytes", "bytes handed to transports"),
    _counter("received_messages", "realtime frames, and HTTP requests", "transport", _names(Transport)),
    _counter("deliveries", "changes told, counted once for each listener"),
    _counter("replies", "requests answered"),
    _counter("refused", "requests refused", "code", tuple(code.value for code in Code)),
    _counter("slow_closes", "connections closed because their clients did not take what waited for them: too much for one, "
             "nothing taken for too long, or too much for all", "reason", _names(Slow)),
    _counter("volatile_superseded", "volatile values that a slow client, or one with a bound, was spared for later ones"),
    _counter("volatile_dropped", "volatile writes without an answer that went nowhere: refused, or not read of a datagram",
             "reason", _names(Drop)),
    _gauge("quic_connections", "open QUIC connections"),
    _counter("quic_packets", "QUIC packets", "way", _names(Way)),
    _counter("quic_calls", "system calls that moved them: where packets come or go close together, one moves several", "way",
             _names(Way)),
    _counter("quic_bytes", "bytes of them", "way", _names(Way)),
    _counter("datagrams", "datagrams of volatile values", "way", _names(Way)),
    _counter("datagram_updates", "volatile values in datagrams, by what became of them", "fate", _names(Fate)),
    _counter("slow_operations", "operations and turns slower than `slow_operation_seconds`"),
    _counter("accepted_connections", "connections accepted"),
    _counter("passed_connections", "connections passed on to the worker that owns their database"),
    _counter("journal_groups", "groups of records made durable"),
    _counter("journal_records", "records made durable"),
    _counter("journal_bytes", "bytes written to the journal"),
    _counter("snapshots", "snapshots written"),
    _counter("snapshot_bytes", "bytes of JSON in them"),
    _counter("snapshot_failures", "snapshots that could not be written; the journal still has everything"),
    _gauge("connections", "open connections; a stream is an HTTP connection too, and a session over long polls a realtime one",
           "kind", _names(Connected)),
    _gauge("databases", "databases in memory"),
    _gauge("outbox_bytes", "bytes that wait for clients that do not take them"),
    _gauge("journal_backlog_bytes", "bytes of records that wait for the disk"),
    _gauge("journal_failed", "1 when the disk refused a write, so that nothing is acknowledged until a restart"),
    _gauge("memory_bytes", "resident memory"),
    _gauge("build", "1 for the build that runs: `pure` Python, or `native` with compiled modules", "build", BUILDS),
)  # fmt: skip
"""Everything that is exported. The first two rows are the board's, which fills them in as it reads."""

CELL_COUNT = sum(family.cells for family in FAMILIES)
"""Numbers of one worker."""
