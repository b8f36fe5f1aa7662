"""One plain connection: requests in, answers out, until it ends, changes worker or becomes a WebSocket.

One request is answered at a time; what follows it waits, at most one read of it, while reading is paused. Whose database a
request names is known when its head is there: another worker's connection is passed on with the bytes of that request, and
`/.ws` is handed over, before any body is read. An event stream (streams.py) holds the connection until one side ends it.

Invariants: in READING nothing is being answered; once GONE nothing is written and the transport is not known any more. An idle
connection has no buffer of its own: all connections read into one, since each read is consumed before the next can start.
Does not know: what requests mean (exchange.py, rest.py, routes.py). No timers: the worker calls `sweep` about once a second.
Source: docs/rest.md "HTTP"; RFC 9112.
"""

from __future__ import annotations

import asyncio
import enum
from collections.abc import Callable, Coroutine, Generator, Iterator
from email.utils import formatdate
from typing import Any, Protocol, cast

import structlog

from meadowlark.errors import Refused
from meadowlark.limits import HANDSHAKE_SECONDS, LARGE_BYTES
from meadowlark.server import rest, routes
from meadowlark.server.exchange import Exchange
from meadowlark.server.families import Transport
from meadowlark.server.patience import PHASE_SECONDS, Patience, Phase
from meadowlark.server.pipe import Pipe
from meadowlark.server.reading import Reading
from meadowlark.server.uploads import Upload
from meadowlark.server.worker_api import WorkerApi
from meadowlark.wire.answers import cors_headers, refusal
from meadowlark.wire.http import CHUNKED, CONTINUE, LAST_CHUNK, HttpFault, RequestReader, Response, chunk, serialize_head

log = structlog.get_logger()

READ_BYTES = 65_536
"""Of one read; also the most of a next request that waits while one is answered."""

BODY_PROGRESS_BYTES = 65_536
"""Of a body, that count as progress: a client that takes Phase.BODY's time for less than so much, a kilobyte a second, is not
waited for. Counted by the byte, one byte a minute would hold a body's room for ever."""

REFUSED_BODY_BYTES_MAX = READ_BYTES
"""A refused request's body of up to this size is read and dropped, so that the connection can go on; larger ones end it."""

BODY_TOO_SLOW = (
    f"the body came too slowly: expected {BODY_PROGRESS_BYTES} bytes, or the rest, within {PHASE_SECONDS[Phase.BODY]:.0f} s"
)
HEAD_TOO_SLOW = f"the request's head was not complete after {HANDSHAKE_SECONDS:.0f} s"

_read_buffer = memoryview(bytearray(READ_BYTES))
_tasks: set[asyncio.Task[None]] = set()
"""The loop itself holds tasks weakly."""


class State(enum.Enum):
    """What the connection is doing."""

    READING = enum.auto()
    ANSWERING = enum.auto()
    SENDING = enum.auto()
    """An answer in slices is on its way."""
    STREAMING = enum.auto()
    MOVING = enum.auto()
    """Waits for its last answer to leave, then goes to another worker."""
    ENDING = enum.auto()
    """Answered for the last time; what still comes is dropped, so that the client gets to read the answer."""
    GONE = enum.auto()


class Stream(Protocol):
    """What writes to a connection from its answer on, until one side ends it."""

    def pause(self) -> None:
        """The client takes nothing for now."""

    def resume(self) -> None:
        """It takes again."""

    def sweep(self, now: float) -> None:
        """Called about once a second."""

    def close(self) -> None:
        """The connection has ended."""


class HttpConnection(asyncio.BufferedProtocol):
    """The protocol of one transport."""

    __slots__ = (
        "_advancing", "_exchange", "_has_answered", "_metrics", "_noted_bytes", "_patience", "_reader", "_reading_paused",
        "_secure", "_state", "_stream", "_transport", "_upload", "_worker", "pipe", "read_at",
    )  # fmt: skip

    def __init__(self, worker: WorkerApi, *, secure: bool) -> None:
        """secure: whether the client's side is TLS."""
        self._worker = worker
        self._secure = secure
        self._transport: asyncio.Transport | None = None
        self._reader = RequestReader()
        self._state = State.READING
        self._advancing = False
        """Whether requests are being taken from the reader; an answer given meanwhile need not begin it again."""
        self._exchange: Exchange | None = None
        """The request being read or answered, from its head on."""
        self._has_answered = False
        self._upload: Upload | None = None
        """The room that is kept for the body that is coming in, if it is large."""
        self._noted_bytes = 0
        """Of that body, those that had come at the last progress."""
        self._stream: Stream | None = None
        self._reading_paused = False
        self._patience = Patience()
        self._metrics = worker.turn.stopwatch.metrics
        self.read_at = 0
        """When the last bytes were read, by the worker's stopwatch."""
        self.pipe = Pipe()

    # The transport's calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self.pipe.open(self._transport)
        self._worker.connections.add(self)
        if not self._reader.is_idle:
            asyncio.get_running_loop().call_soon(self._advance)  # When whoever makes the connection is done with it.

    def get_buffer(self, sizehint: int) -> memoryview:
        return _read_buffer

    def buffer_updated(self, nbytes: int) -> None:
        self._receive(_read_buffer[:nbytes])

    def eof_received(self) -> bool:
        """A client may end its side after a request and still read the answer (TLS knows no such thing)."""
        if self._state not in (State.ANSWERING, State.SENDING) or self._exchange is None or self._secure:
            return False
        if self._exchange.is_poll:
            return False  # Its answer may take long, and until then nobody would know that the client is gone.
        self._exchange.keep_alive = False
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        self._forget()
        if self._stream is not None:
            self._stream.close()
            self._stream = None

    def pause_writing(self) -> None:
        self.pipe.pause()
        if self._stream is not None:
            self._stream.pause()

    def resume_writing(self) -> None:
        self.pipe.resume()
        self._patience.progress()
        if self._stream is not None:
            self._stream.resume()
        if self._state is State.MOVING:
            asyncio.get_running_loop().call_soon(self._move)  # Not inside the transport's own writing.

    # The worker's calls

    def replay(self, consumed: bytes) -> None:
        """Takes bytes that another worker read before passing the connection on; only before there is a transport, which
        could read what the client sends next first."""
        assert self._transport is None
        self.read_at = self._worker.turn.stopwatch.clock()
        self._metrics.received_bytes += len(consumed)
        self._reader.receive(consumed)

    def sweep(self, now: float) -> None:
        """Ends the connection if its client lets it wait for too long; keeps a stream alive."""
        if self._stream is not None:
            self._stream.sweep(now)
        phase = self._find_phase()
        if self._patience.is_over(phase, now):
            if phase in (Phase.TAKING, Phase.ENDING):
                self.abort()
            elif phase is Phase.BODY:
                self._refuse_and_end(HttpFault(408, BODY_TOO_SLOW))
            elif phase is Phase.HEAD and not self._reader.is_idle:
                self._refuse_and_end(HttpFault(408, HEAD_TOO_SLOW))
            else:
                self.close()  # Nothing was asked, so there is nothing to answer.

    def drain(self) -> None:
        """Ends now if idle or streaming, else with the answer under way."""
        if self._stream is not None or (self._state is State.READING and self._reader.is_idle):
            self.close()

    def _find_phase(self) -> Phase:
        if self._state is State.READING:
            if self._exchange is not None:
                return Phase.BODY
            return Phase.IDLE if self._reader.is_idle and self._has_answered else Phase.HEAD
        if self._state is State.ENDING:
            return Phase.ENDING
        # A stream's outbox watches its own client, except while slices pass it by.
        return Phase.TAKING if self.pipe.is_paused else Phase.OURS

    # Receiving

    def _receive(self, data: memoryview) -> None:
        self.read_at = self._worker.turn.stopwatch.clock()
        self._metrics.received_bytes += len(data)
        if self._state is State.READING:
            self._reader.receive(data)
            self._advance()
        elif self._state in (State.ANSWERING, State.SENDING, State.MOVING):
            self._reader.receive(data)
            self._pause_reading()
        # Else nothing is wanted: a stream's client has no more to say, and a refused body is dropped.

    def _advance(self) -> None:
        """Takes requests from what has been read, as long as each is answered at once."""
        if self._advancing:
            return
        self._advancing = True
        try:
            while self._state is State.READING and self._take_next():
                pass
        except HttpFault as fault:
            self._refuse_and_end(fault)
        finally:
            self._advancing = False

    def _take_next(self) -> bool:
        """A head, or the body that belongs to it; False until more has been read. Raises HttpFault."""
        exchange = self._exchange
        if exchange is None:
            head = self._reader.read_head()
            if head is None:
                return False
            exchange = self._exchange = Exchange(head)
            self._noted_bytes = 0
            self._meet(exchange)
            return True
        body = self._reader.read_body()
        if body is None:
            self._note_body(exchange, self._reader.body_bytes)
            return False
        self._let_go()
        self._state = State.ANSWERING
        self._metrics.received_messages[Transport.HTTP] += 1
        if exchange.refused is not None:
            self.refuse(exchange.refused)
        else:
            self._start(self._answer(exchange, body))
        return True

    def _meet(self, exchange: Exchange) -> None:
        """Decides by its head whether a request is read to its end here."""
        head = exchange.head
        try:
            exchange.look(self._worker.config.mode, self._worker.config.databases)
        except Refused as refused:
            if head.body_bytes == CHUNKED or head.body_bytes > REFUSED_BODY_BYTES_MAX or "expect" in head.headers:
                self._refuse_and_end(refused)
            else:
                exchange.refused = refused.with_traceback(None)  # The frames in it would refer to the exchange.
            return
        database = exchange.database
        if database is not None and not self._worker.owns(database):
            self._begin_move()
        elif exchange.is_socket:
            self._upgrade(exchange)
        else:
            self._hold(exchange, 0)
            if head.body_bytes and head.headers.get("expect", "").lower() == "100-continue":
                self._write(CONTINUE)

    def _note_body(self, exchange: Exchange, came_bytes: int) -> None:
        if came_bytes - self._noted_bytes >= BODY_PROGRESS_BYTES:
            self._noted_bytes = came_bytes
            self._patience.progress()
        self._hold(exchange, came_bytes)

    def _hold(self, exchange: Exchange, came_bytes: int) -> None:
        """Keeps room for a large body, of which so many bytes have come. Raises HttpFault when there is none."""
        size = max(exchange.head.body_bytes, came_bytes)
        if size <= LARGE_BYTES:
            return
        if self._upload is None:
            self._upload = Upload(self._worker.large_writes.uploads, exchange.database, self._refuse_and_end)
        try:
            self._upload.grow(size, came_bytes)
        except Refused as refused:
            raise HttpFault(refused.http_status, refused.text) from None

    def _let_go(self) -> None:
        upload, self._upload = self._upload, None
        if upload is not None:
            upload.close()

    def _pause_reading(self) -> None:
        if not self._reading_paused and self._transport is not None:
            self._reading_paused = True
            self._transport.pause_reading()

    def _resume_reading(self) -> None:
        if self._reading_paused and self._transport is not None:
            self._reading_paused = False
            self._transport.resume_reading()

    # Answering

    async def _answer(self, exchange: Exchange, body: bytearray) -> None:
        try:
            if exchange.is_poll:
                await self._worker.long_polls.answer(self, exchange)
            elif exchange.request is None:
                exchange.body = body
                answered = await routes.answer(self._worker, exchange)
                if isinstance(answered, Response):
                    self.respond(answered)
                elif self.is_answering:
                    answered(self)
            else:
                assert exchange.database is not None
                await rest.answer(self._worker, self, exchange.database, exchange.request, body)
        except Refused as refused:
            self.refuse(refused)

    def refuse(self, refused: Refused) -> None:
        self._metrics.refuse(refused.code)
        self.respond(refusal(refused))

    def respond(self, response: Response, reading: Reading | None = None) -> None:
        """Answers the current request; a body in slices is made as fast as the client takes it, while there is time for
        `reading` it."""
        exchange = self._exchange
        if exchange is None or self._state is not State.ANSWERING:
            return  # The client has gone.
        head, body = exchange.head, response.body
        if self._worker.draining:
            exchange.keep_alive = False
        if isinstance(body, bytes):
            start = self._serialize_head(response, len(body))
            self._write(start if head.method == "HEAD" else start + body)
            self._finish()
        elif head.method == "HEAD":
            self._write(self._serialize_head(response, CHUNKED))
            self._finish()
        else:
            self._state = State.SENDING
            if head.version_1_0:
                exchange.keep_alive = False
            self._write(self._serialize_head(response, None if head.version_1_0 else CHUNKED))
            self._start(self._send(body, reading, chunked=not head.version_1_0))

    async def _send(self, slices: Iterator[bytes], reading: Reading | None, *, chunked: bool) -> None:
        """Writes a body slice by slice, and lets others work in between."""
        while (piece := await self._worker.slicer.run(_make_slice(slices))) is not None:
            if reading is not None and reading.is_over:
                # It is too late for a status: an answer that ends before its last chunk is one that failed.
                self._metrics.refuse(reading.refusal().code)
                self.abort()
                return
            paused_at = 0 if reading is None else reading.pause()
            if not await self._write_slowly(chunk(piece) if chunked else piece):
                return
            if reading is not None:
                reading.go_on(paused_at)
        if chunked:
            self._write(LAST_CHUNK)
        self._finish()

    def _write(self, data: bytes) -> None:
        self._metrics.sent_bytes += len(data)
        self.pipe.write(data)

    async def _write_slowly(self, data: bytes) -> bool:
        self._metrics.sent_bytes += len(data)
        return await self.pipe.write_slowly(data)

    def _finish(self) -> None:
        """The answer is written: the next request may come, or the connection ends."""
        if self._state not in (State.ANSWERING, State.SENDING):
            return  # It is ending already.
        exchange, self._exchange = self._exchange, None
        self._has_answered = True
        self._patience.progress()
        if exchange is None or not exchange.keep_alive or self._worker.draining:
            self.close()
        else:
            self._state = State.READING
            self._resume_reading()
            self._advance()

    def _refuse_and_end(self, refused: Refused) -> None:
        """Answers what is not read to its end, then drops what comes until the client has read the answer and closes."""
        self._let_go()
        transport = self._transport
        if transport is None:
            return
        self._metrics.refuse(refused.code)
        response = refusal(refused)
        assert isinstance(response.body, bytes)
        if self._exchange is not None:
            self._exchange.keep_alive = False
        self._write(self._serialize_head(response, len(response.body)) + response.body)
        self._exchange = None
        self._state = State.ENDING
        self._resume_reading()
        if self._secure:
            transport.close()
        else:
            transport.write_eof()

    def _serialize_head(self, response: Response, body_bytes: int | None) -> bytes:
        exchange = self._exchange
        headers = cors_headers(exchange.head.headers.get("origin") if exchange is not None else None)
        response.headers += (("Date", _date(self._worker.now_ms() // 1000)), *headers)
        return serialize_head(response, body_bytes, keep_alive=exchange is not None and exchange.keep_alive)

    # Streaming

    @property
    def is_answering(self) -> bool:
        """Whether a request waits for its answer; not any more when the client has gone."""
        return self._state is State.ANSWERING

    def is_busy_with(self, exchange: Exchange) -> bool:
        """Whether the client waits for the answer to this request, or for the rest of it."""
        return self._exchange is exchange and self._state in (State.ANSWERING, State.SENDING)

    def expect_stream(self, stream: Stream | None) -> None:
        """`stream` may be what answers the request, and is told if the connection ends before it has begun. None: it is not."""
        self._stream = stream

    def begin_stream(self, stream: Stream, response: Response) -> None:
        """From now on `stream` writes, until the connection ends."""
        assert self._exchange is not None, "a stream begins as the answer to a request"
        self._exchange.keep_alive = False
        self._state = State.STREAMING
        self._stream = stream
        self._write(self._serialize_head(response, None))

    def start_writing(self, slices: Iterator[bytes], then: Callable[[], None]) -> None:
        """For a stream: writes `slices` one by one, and calls `then` when all have been taken."""
        self._start(self._write_all(slices, then))

    async def _write_all(self, slices: Iterator[bytes], then: Callable[[], None]) -> None:
        while (piece := await self._worker.slicer.run(_make_slice(slices))) is not None:
            if not await self._write_slowly(piece):
                return
        then()

    # Ending

    def close(self) -> None:
        """Ends the connection when what was written has left."""
        if self._transport is not None:
            self._state = State.ENDING
            self._transport.close()

    def abort(self) -> None:
        """Ends the connection now."""
        if self._transport is not None:
            self._state = State.ENDING
            self._transport.abort()

    def _begin_move(self) -> None:
        """The socket can go when nothing waits in its transport, for that would not go with it."""
        assert self._transport is not None
        self._state = State.MOVING
        if self._transport.get_write_buffer_size():
            self._pause_reading()
            self._transport.set_write_buffer_limits(high=0)  # So that resume_writing means: nothing waits.
        else:
            self._move()

    def _move(self) -> None:
        exchange, transport = self._exchange, self._transport
        if exchange is None or transport is None:
            return
        assert exchange.database is not None
        consumed = exchange.head.raw + self._reader.take_rest()
        self._forget()
        self._worker.pass_on(transport, consumed, exchange.database, secure=self._secure)

    def _upgrade(self, exchange: Exchange) -> None:
        transport, head = self._transport, exchange.head
        assert transport is not None
        assert exchange.database is not None
        rest = self._reader.take_rest()
        self._forget()
        self._worker.upgrade(
            transport, head.raw, rest, exchange.database, exchange.target.parameters, head.headers.get("host", "")
        )

    def _forget(self) -> None:
        """From now on this protocol has no transport."""
        self._let_go()
        self._state = State.GONE
        self._exchange = None
        self._transport = None
        self.pipe.forget()
        self._worker.connections.discard(self)

    # Tasks

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        _tasks.add(task)
        task.add_done_callback(self._finish_task)

    def _finish_task(self, task: asyncio.Task[None]) -> None:
        """A bug of ours ends one connection, with a line in the log."""
        _tasks.discard(task)
        if task.cancelled() or task.exception() is None:
            return
        log.error("request failed", exc_info=task.exception())
        if self._state is State.ANSWERING:
            self._refuse_and_end(HttpFault(500, "the server could not answer; its log says why"))
        else:
            self.abort()


def _make_slice(slices: Iterator[bytes]) -> Generator[None, None, bytes | None]:
    """The next of `slices`, as work for the slicer: however many answers are being sent, a turn makes a slice of one."""
    yield from ()
    return next(slices, None)


_dated: tuple[int, str] = (0, "")


def _date(now_seconds: int) -> str:
    """The Date header's text, made once a second."""
    global _dated
    if _dated[0] != now_seconds:
        _dated = (now_seconds, formatdate(now_seconds, usegmt=True))
    return _dated[1]
