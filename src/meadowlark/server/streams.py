"""Event streams: a GET that goes on, as a client that listens at one path.

Events wait in an outbox like those of any other client: one write a loop turn, bounded, closed with a reason when too slow.
A large value is not encoded at once but in slices, while the tree is frozen and later events wait.
Invariant: after `close` the stream listens to nothing and nothing refers to it.
Source: docs/rest.md "Streams".
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import TYPE_CHECKING

import structlog

from meadowlark.auth.identity import Identity
from meadowlark.engine import Command, Leave, Listen, Push, Reply, Revoke
from meadowlark.errors import Refused
from meadowlark.limits import STREAM_EVENT_BYTES_MAX, STREAM_KEEPALIVE_SECONDS
from meadowlark.query import Query
from meadowlark.server.families import Connected, Operation
from meadowlark.server.frozen import FrozenSlices
from meadowlark.server.hosted import Hosted, Receiver
from meadowlark.server.large_messages import LargeMessage, Making
from meadowlark.server.outbox import Outbox
from meadowlark.server.reading import Reading
from meadowlark.tree import Path, is_large
from meadowlark.wire import events
from meadowlark.wire.answers import refusal
from meadowlark.wire.http import Response

if TYPE_CHECKING:
    from meadowlark.server.http import HttpConnection
    from meadowlark.server.worker_api import WorkerApi

log = structlog.get_logger()

_LARGE = "large event"
"""Beside the stream's path, in a push's room for encodings."""


class EventStream(Receiver):
    """One stream of changes at `root`; made by a call, then kept by its connection."""

    __slots__ = (
        "_connection", "_hosted", "_kept_alive_at", "_outbox", "_query", "_root", "_slicing", "_started", "_timer", "_worker",
    )  # fmt: skip
    kind = "stream"

    def __init__(
        self,
        worker: WorkerApi,
        connection: HttpConnection,
        hosted: Hosted,
        identity: Identity,
        root: Path,
        query: Query | None = None,
    ) -> None:
        """query: which children of `root` are told of; None: all."""
        super().__init__("stream", identity)
        self._query = query
        self._worker = worker
        self._connection: HttpConnection | None = connection
        self._hosted = hosted
        self._root = root
        self._outbox = Outbox(worker.turn, self._write, self._too_slow, hosted.lane)
        self._started = False
        """Whether the response has begun; until then the request may still be refused."""
        self._slicing = False
        """Whether a large value is on its way; events wait in the outbox meanwhile."""
        self._kept_alive_at: float | None = None
        self._timer: asyncio.TimerHandle | None = None
        """Runs while the first event has to wait."""

    def start(self, reading: Reading | None = None) -> None:
        """Listens; the value as it is now becomes the first event, or the refusal the answer. reading: what time there is for
        the first event to begin. Raises Refused."""
        self._hosted.database.check_query(self, self._root, self._query, self._worker.now_ms())
        assert self._connection is not None
        # A query may have to wait for its index, and the client may go meanwhile.
        self._connection.expect_stream(self)
        self._hosted.users += 1
        self._worker.turn.stopwatch.metrics.connections[Connected.STREAM] += 1
        self._apply(Listen(self, 0, self._root, query=self._query), Operation.REST_STREAM)
        if reading is not None and not self._started and self._connection is not None:
            self._timer = asyncio.get_running_loop().call_later(reading.left_seconds, self._refuse, reading.refusal())

    def close(self) -> None:
        """The connection has ended."""
        self._stop_timer()
        connection, self._connection = self._connection, None
        if connection is not None:
            self._outbox.close()
            self._hosted.users -= 1
            self._worker.turn.stopwatch.metrics.connections[Connected.STREAM] -= 1
            self._apply(Leave(self), Operation.LEAVE)

    def _apply(self, command: Command, operation: Operation) -> None:
        stopwatch = self._worker.turn.stopwatch
        started_at = stopwatch.clock()
        stopwatch.begin(started_at)
        self._worker.shard.apply(self._hosted, command)
        took = stopwatch.finished(operation, started_at, self._hosted.name, command)
        self._worker.turn.lanes.spend(self._hosted.lane, took)

    # What the shard tells

    def deliver(self, push: Push) -> None:
        self._begin()
        is_spared = push.volatile and self._outbox.conflates
        if is_spared and push.merge:
            for piece in push.pieces():
                self.deliver(piece)
            return
        if not events.is_encoded(push, self._root) and is_large(push.value):
            self._deliver_large(push)
            return
        event = events.encode_event(push, self._root)
        if event and is_spared:
            self._outbox.put_volatile(push.path, event)
        elif event:
            self._outbox.put(event)

    def encode_reply(self, reply: Reply) -> Refused | None:
        return reply.refused

    def send_reply(self, encoded: Refused | None) -> None:
        if encoded is not None:
            self._refuse(encoded)
        elif not self._started:
            # The engine does not push nothing to a client that has nothing; a stream's first event is always told.
            self._begin()
            self._outbox.put(events.NOTHING_YET)

    def _refuse(self, refused: Refused) -> None:
        """Instead of a first event."""
        connection = self._connection
        if connection is not None:
            self.close()
            connection.expect_stream(None)
            connection.respond(refusal(refused))

    def revoke(self, effect: Revoke) -> None:
        self._end(events.CANCEL)

    # What the connection tells

    def pause(self) -> None:
        if not self._slicing:
            self._outbox.pause(asyncio.get_running_loop().time())

    def resume(self) -> None:
        if not self._slicing:
            self._outbox.resume()

    def sweep(self, now: float) -> None:
        """Keep-alives, slow clients, and credentials that have ended."""
        if not self._started:
            return
        if self._worker.identities.why_ended(self.identity) is not None:
            self._end(events.AUTH_REVOKED)
            return
        if self._kept_alive_at is None:
            self._kept_alive_at = now
        elif now - self._kept_alive_at >= STREAM_KEEPALIVE_SECONDS:
            self._kept_alive_at = now
            self._outbox.put(events.KEEP_ALIVE)
        self._outbox.check_stall(now)

    # Sending

    def _write(self, data: bytes) -> None:
        connection = self._connection
        if connection is not None:
            connection.pipe.write(data)
            if data is events.TOO_LARGE:
                connection.close()  # In its turn: all before it has been told.

    def _stop_timer(self) -> None:
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()

    def _begin(self) -> None:
        self._stop_timer()
        if not self._started and self._connection is not None:
            self._started = True
            self._connection.begin_stream(self, Response(200, content_type=events.EVENT_STREAM_TYPE))

    def _deliver_large(self, push: Push) -> None:
        """What the client asked for is made as it leaves, and never all there. A change is made once for all who hear of it."""
        if self._connection is None:
            return
        if push.asked and not self._slicing and not self._connection.pipe.is_paused:
            self._start_slices(push)
        else:
            self._outbox.put_large(self._find_large(push), at_once=not push.asked)

    def _find_large(self, push: Push) -> LargeMessage:
        if push.encoded is None:
            push.encoded = {}
        large: LargeMessage | None = push.encoded.get((_LARGE, self._root))
        if large is None:
            # Whoever asks for a value gets it however large it is, like any reader.
            making = _make(events.event_slices(push, self._root), None if push.asked else STREAM_EVENT_BYTES_MAX)
            large = LargeMessage(self._worker.slicer, self._hosted, push.value, making)
            push.encoded[_LARGE, self._root] = large
        return large

    def _start_slices(self, push: Push) -> None:
        """Later events wait in the outbox, paused without counting as stalled: the connection watches its client meanwhile."""
        assert self._connection is not None
        self._outbox.flush_all()
        self._outbox.pause(0.0)
        self._outbox.stalled_at = None
        self._slicing = True
        slices = FrozenSlices(self._hosted, push.value, events.event_slices(push, self._root))
        self._connection.start_writing(slices, self._slices_written)

    def _slices_written(self) -> None:
        self._slicing = False
        if self._connection is not None:
            self._outbox.resume()

    def _end(self, event: bytes) -> None:
        """Says why and closes; the connection then calls `close`."""
        if self._connection is not None:
            self._outbox.put(event)
            self._outbox.flush_all()
            self._connection.close()

    def _too_slow(self, reason: str) -> None:
        if self._connection is not None:
            log.warning("event stream closed", reason=reason)
            self._connection.abort()


def _make(slices: Iterator[bytes], bytes_max: int | None) -> Making:
    """All of `slices`, of which each takes a millisecond or less, or the word that they are too large."""
    parts, size = list[bytes](), 0
    for piece in slices:
        parts.append(piece)
        size += len(piece)
        if bytes_max is not None and size > bytes_max:
            return [events.TOO_LARGE]
        yield
    return parts
