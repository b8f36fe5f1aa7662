"""WebTransport: a third kind of line under a realtime connection, with datagrams beside it for volatile values.

A client asks `GET /.wt` over HTTP where it may connect, and is told the address of the worker that owns its database: each
worker has a UDP port of its own, so no packet takes a hop, and a connection that changes its network still reaches its process.
The first worker's is the server's port number. It is served wherever there is a certificate. In dev there is none that a browser
would trust, so one is made when it is first asked for, valid for some days, and its hash is in the answer.

The stream is a WebSocket without its handshake (wire/webtransport.py), so connection, session and outbox are those of the other
lines. A datagram becomes the message of a volatile write, as if the stream had brought it between two others. While the
connection does not read, because its database has had its share of the loop, or inside a long message, datagrams are dropped: the
client says a value that lasts once more over the stream. A client that asks for it is told of volatile values in datagrams too
(datagrams.py).
Invariant: a closed line refers to no connection and no channel.
Source: docs/protocol.md "WebTransport".
"""

from __future__ import annotations

import asyncio
import base64
import importlib
import secrets
import socket
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import structlog
from picows import WSCloseCode

from meadowlark.engine import Listen, Push, Revoke, Unlisten
from meadowlark.errors import Refused
from meadowlark.ids import check_database_name
from meadowlark.limits import WEBTRANSPORT_HELD_BYTES_MAX
from meadowlark.server.config import Config
from meadowlark.server.datagrams import DatagramOutbox, Settling
from meadowlark.server.families import Fate, Way
from meadowlark.server.hosted import Hosted
from meadowlark.server.line import Line
from meadowlark.server.metrics import Metrics
from meadowlark.server.realtime import Host, RealtimeConnection, take_over
from meadowlark.server.routing import database_of_host, name_of_host
from meadowlark.wire import close_frame
from meadowlark.wire.assembly import COUNT_LENGTH_MAX, find_count
from meadowlark.wire.drops import Drop
from meadowlark.wire.targets import parse_target
from meadowlark.wire.webtransport import Datagrams, Frame, StreamFrames

if TYPE_CHECKING:
    from meadowlark.server.quic import Certificate, Endpoint

log = structlog.get_logger()

PATH = "/.wt"
DATAGRAMS = "dg"
"""The parameter by which a client says that it understands what the server tells in datagrams."""
CERTIFICATE_SECONDS = 10 * 24 * 3600.0
"""After which a certificate that we make is made anew; its clients have three days to notice."""


class Channel(Protocol):
    """What is asked of server/quic.py."""

    def accept(self) -> None: ...

    def refuse(self, status: int) -> None: ...

    def write(self, data: bytes) -> None: ...

    def send_soon(self) -> None: ...

    def ask(self) -> None: ...

    def finish(self) -> None: ...

    def abort(self) -> None: ...


class Owner(Host, Protocol):
    """What is needed of the worker."""

    draining: bool

    def owns(self, database: str) -> bool: ...


class DatagramConnection(RealtimeConnection):
    """The connection of a client that takes datagrams."""

    __slots__ = ("_settling", "datagrams")

    def __init__(self, host: Host, hosted: Hosted, session_id: str, host_name: str, settling: Settling) -> None:
        super().__init__(host, hosted, session_id, host_name)
        self._settling = settling
        self.datagrams: DatagramOutbox | None = None
        """None before the stream is open, and after the end."""

    def opened(self, line: Line) -> None:
        super().opened(line)
        assert self._outbox is not None
        assert self._hosted is not None
        assert isinstance(line, WebTransportLine)
        metrics = self._host.turn.stopwatch.metrics
        self.datagrams = DatagramOutbox(self._hosted.numbering, self._outbox, self._settling, metrics, line.send_soon)

    def deliver(self, push: Push) -> None:
        datagrams = self.datagrams
        if datagrams is None or datagrams.put(push):
            return
        if push.volatile and push.merge and push.tag is None:
            for piece in push.pieces():
                self.deliver(piece)
            return
        is_apart = datagrams.before(push)
        super().deliver(push)
        if is_apart:
            datagrams.after()

    def _perform(self, event: Any, hosted: Hosted, read_at: int = 0) -> None:
        datagrams = self.datagrams
        if datagrams is None or type(event) not in (Listen, Unlisten):
            super()._perform(event, hosted, read_at)
            return
        # A listen may begin without a value, since its hash is right or nothing stands there: then this keeps datagrams of before
        # away from it. And of a place that it is not told of any more the client must not be told what stood there once.
        datagrams.begin()
        super()._perform(event, hosted, read_at)
        datagrams.after()

    def revoke(self, effect: Revoke) -> None:
        if self.datagrams is not None:
            self.datagrams.settle()
        super().revoke(effect)

    def closed(self) -> None:
        datagrams, self.datagrams = self.datagrams, None
        if datagrams is not None:
            datagrams.close()
        super().closed()


class WebTransportLine:
    """The stream and the datagrams of one connection."""

    __slots__ = (
        "_channel",
        "_connection",
        "_datagrams",
        "_frames",
        "_held_bytes",
        "_is_open",
        "_is_reading",
        "_metrics",
        "_pieces_left",
        "_stream",
    )

    def __init__(self, channel: Channel, metrics: Metrics) -> None:
        self._channel: Channel | None = channel
        self._metrics = metrics
        self._connection: RealtimeConnection | None = None
        """None until the database is there, and after the end."""
        self._is_open = False
        self._stream = StreamFrames()
        self._datagrams = Datagrams()
        self._frames: deque[Frame] = deque()
        """Those that came and are not received yet."""
        self._held_bytes = 0
        self._is_reading = True
        self._pieces_left = 0
        """Of the long message that is coming in, between whose pieces nothing else may be said."""

    def serve(self, connection: RealtimeConnection) -> None:
        """The database is there: the client may open its stream."""
        if self._channel is None:
            return  # It went meanwhile.
        self._connection = connection
        self._channel.accept()

    @property
    def is_gone(self) -> bool:
        return self._channel is None

    # The channel's calls

    def received(self, data: bytes) -> None:
        connection = self._connection
        if connection is None:
            return
        if not self._is_open:
            self._is_open = True
            connection.opened(self)
        frames: list[Frame] = []
        self._stream.receive(data, frames)
        if frames:
            self._frames += frames
            if not self._is_reading:
                self._held_bytes += len(data)
                if self._held_bytes > WEBTRANSPORT_HELD_BYTES_MAX:
                    connection.close(WSCloseCode.TRY_AGAIN_LATER, f"{self._held_bytes} bytes wait to be received")
                    return
            self._go_on()
        if self._stream.fault:
            connection.close(WSCloseCode.PROTOCOL_ERROR, self._stream.fault)
        elif self._stream.is_closed:
            connection.close(WSCloseCode.OK, "")

    def _go_on(self) -> None:
        frames = self._frames
        while frames and self._is_reading and self._connection is not None:
            frame = frames.popleft()
            if frame.is_text:
                if not self._pieces_left and self._datagrams.has_overtaken(frame.payload):
                    self._connection.heard()
                    self._connection.drop(Drop.LATE)
                    continue
                self._count(frame.payload)
                self._connection.received(frame.payload)
            elif fault := self._datagrams.agree(frame.payload):
                self._connection.close(WSCloseCode.PROTOCOL_ERROR, fault)

    def _count(self, payload: bytes) -> None:
        if self._pieces_left:
            self._pieces_left -= 1
        elif len(payload) <= COUNT_LENGTH_MAX:
            self._pieces_left = find_count(payload) or 0

    def received_datagram(self, datagram: bytes) -> None:
        connection, metrics = self._connection, self._metrics
        metrics.datagrams[_RECEIVED] += 1
        if connection is None or not self._is_open or not self._is_reading or self._pieces_left or self._frames:
            metrics.datagram_updates[Fate.DROPPED] += 1
            if connection is not None:
                connection.drop(Drop.UNREAD)
            return
        messages: list[bytes] = []
        drops: list[Drop] = []
        self._datagrams.receive(datagram, messages, drops)
        metrics.datagram_updates[Fate.DROPPED] += len(drops)
        metrics.datagram_updates[Fate.RECEIVED] += len(messages)
        for message in messages:
            connection.received(message)
        for drop in drops:
            connection.drop(drop)

    def next_datagram(self, room: int) -> bytes | None:
        connection = self._connection
        if type(connection) is not DatagramConnection or connection.datagrams is None:
            return None
        datagram = connection.datagrams.next(room)
        if datagram is not None:
            self._metrics.datagrams[_SENT] += 1
        return datagram

    def heard(self) -> None:
        if self._connection is not None:
            self._connection.heard()

    def pause(self) -> None:
        if self._connection is not None:
            self._connection.pause()

    def resume(self) -> None:
        if self._connection is not None:
            self._connection.resume()

    def ended(self) -> None:
        connection, self._connection = self._connection, None
        self._channel = None
        self._frames.clear()
        if connection is not None and self._is_open:
            connection.closed()

    # The connection's calls

    def write(self, data: bytes) -> None:
        if self._channel is not None:
            self._channel.write(data)

    def send_soon(self) -> None:
        """`next_datagram` has something now."""
        if self._channel is not None:
            self._channel.send_soon()

    def pause_reading(self) -> None:
        self._is_reading = False

    def resume_reading(self) -> None:
        self._is_reading = True
        self._held_bytes = 0
        # Not now: the connection has not finished what it was doing.
        asyncio.get_running_loop().call_soon(self._go_on)

    def ask(self) -> None:
        if self._channel is not None:
            self._channel.ask()

    def close(self, code: WSCloseCode, reason: str) -> None:
        channel, self._channel = self._channel, None
        self._connection = None
        self._frames.clear()
        if channel is not None:
            channel.write(close_frame(code.value, reason))
            channel.finish()

    def abort(self) -> None:
        """The connection hears of its end, as when a socket is cut."""
        if self._channel is not None:
            self._channel.abort()

    def switch(self) -> None:
        """There is no other line: as with all control messages that mean nothing here, nothing happens."""


class WebTransports:
    """WebTransport of one worker."""

    def __init__(self, host: Owner, config: Config, index: int, start: Callable[[Coroutine[Any, Any, Any]], Any]) -> None:
        """start: keeps a task until it has ended."""
        self._host = host
        self._config = config
        self._index = index
        self._start = start
        self._metrics = host.turn.stopwatch.metrics
        self._loop = asyncio.get_running_loop()
        self._settling = Settling(self._loop)
        self._endpoints: list[Endpoint] = []
        self._certificate: Certificate | None = None
        self._made_at = 0.0
        self._tcp_port = 0
        self._beside: list[tuple[int, Any]] = []
        """Families and addresses beside which nobody listens yet."""

    def open(self, listeners: Sequence[socket.socket]) -> None:
        """Serves beside each of `listeners`, if that is wanted: with TLS from now on, in dev from when the first client asks."""
        if not self._config.webtransport:
            return
        self._beside = [(listener.family, listener.getsockname()) for listener in listeners]
        if self._config.tls_certificate:
            self._listen()
        elif self._config.mode != "dev":
            self._beside = []  # QUIC is always encrypted, and there is no certificate.

    def _listen(self) -> None:
        """Listens on UDP; where that fails, clients stay with WebSockets."""
        beside, self._beside = self._beside, []
        if not beside:
            return
        from meadowlark.server.quic import Endpoint  # Only who uses it pays for it: 15 MB.

        certificate = self._certificate = self._make_certificate()
        for family, (host, port, *rest) in beside:
            self._tcp_port = port
            endpoint = Endpoint(self._accept, self._metrics)
            try:
                endpoint.open(family, (host, port + self._index, *rest), certificate)
            except (OSError, OverflowError) as error:
                log.warning("no WebTransport", host=host, udp_port=port + self._index, error=str(error))
                continue
            self._endpoints.append(endpoint)

    def _make_certificate(self) -> Certificate:
        from meadowlark.server.quic import load_certificate, make_certificate

        self._made_at = self._loop.time()
        if self._config.tls_certificate:
            return load_certificate(self._config.tls_certificate, self._config.tls_key)
        return make_certificate()

    def renew(self) -> None:
        """There is another certificate in the files: for connections from now on; those that are open stay as they are."""
        if self._endpoints:
            self._renew()

    def _renew(self) -> Certificate:
        certificate = self._certificate = self._make_certificate()
        for endpoint in self._endpoints:
            endpoint.use(certificate)
        return certificate

    def sweep(self, now: float) -> None:
        """Once a second."""
        for endpoint in self._endpoints:
            endpoint.sweep(now)
        self._metrics.quic_connections = sum(len(endpoint.connections) for endpoint in self._endpoints)

    def close(self) -> None:
        endpoints, self._endpoints = self._endpoints, []
        for endpoint in endpoints:
            endpoint.close()

    async def offer(self, host: str, database: str) -> dict[str, Any]:
        """Where a client of `database` may connect that called us `host` (`url` is null where it may not), and by which hashes it
        may believe a certificate that nobody signed."""
        if self._beside:
            # A quarter of a second, in which others go on.
            await self._loop.run_in_executor(None, importlib.import_module, "meadowlark.server.quic")
            self._listen()
        if not self._endpoints:
            return {"url": None}
        certificate = self._certificate
        if certificate is None or (certificate.digest and self._loop.time() - self._made_at > CERTIFICATE_SECONDS):
            certificate = self._renew()
        name, digest = name_of_host(self._config.public_host or host), certificate.digest
        return {
            "url": f"https://{name}:{self._endpoints[0].port}{PATH}?v=5&ns={database}",
            "hashes": [base64.b64encode(digest).decode()] if digest else [],
        }

    def _accept(self, channel: Channel, path: str, host: str) -> WebTransportLine:
        line = WebTransportLine(channel, self._metrics)
        self._start(self._open(line, channel, path, host))
        return line

    async def _open(self, line: WebTransportLine, channel: Channel, path: str, host: str) -> None:
        try:
            target = parse_target(path)
            if target.segments != (PATH[1:],):
                channel.refuse(404)
                return
            database = check_database_name(target.parameters.get("ns") or database_of_host(host) or "")
            if not self._host.owns(database):
                channel.refuse(421)  # The client has asked somebody else where to go.
                return
            hosted = await self._host.shard.open(database)
        except Refused as refused:
            # Over a WebSocket, which is tried next, the client is told why in the protocol's own words.
            channel.refuse(refused.http_status)
            return
        if line.is_gone or self._host.draining:
            channel.refuse(503)
            return
        take_over(hosted, target.parameters.get("ls"))
        called = self._config.public_host or f"{name_of_host(host)}:{self._tcp_port}"
        session = secrets.token_urlsafe(16)
        if DATAGRAMS in target.parameters:
            line.serve(DatagramConnection(self._host, hosted, session, called, self._settling))
        else:
            line.serve(RealtimeConnection(self._host, hosted, session, called))


_RECEIVED, _SENT = int(Way.RECEIVED), int(Way.SENT)
