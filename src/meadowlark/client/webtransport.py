"""One WebTransport of a client, in the place of a WebSocket: the same protocol on a stream, volatile values in datagrams.

The server is asked over HTTP where it may be reached so, and by which hashes its certificate may be believed that nobody signed.
A dead peer is found by pings, as with WebSockets (pulse.py). Volatile values that come are told as if the stream brought them.
Loaded only where it is asked for: it needs qh3.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import ipaddress
import ssl
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import quote, urlsplit

import orjson
from cryptography import x509
from qh3.asyncio.protocol import QuicConnectionProtocol
from qh3.h3.connection import H3Connection
from qh3.h3.events import DatagramReceived, HeadersReceived
from qh3.quic.configuration import QuicConfiguration
from qh3.quic.connection import QuicConnection
from qh3.quic.events import ConnectionTerminated, QuicEvent, StreamDataReceived, StreamReset

from meadowlark.client.connection import UNSENT_BYTES_MAX, Address
from meadowlark.client.datagrams import Saying
from meadowlark.client.protocol import Ended, Link, Said, Told
from meadowlark.client.pulse import Pulse
from meadowlark.limits import QUIC_IDLE_SECONDS, QUIC_OVERHEAD_BYTES_MAX
from meadowlark.wire.numbering import Heard
from meadowlark.wire.webtransport import DATAGRAM_BYTES_MAX, SETTLE_SECONDS, Frame, StreamFrames

GOODBYE_SECONDS = 0.1
OFFER_BYTES_MAX = 65_536


class Offer:
    """Where a server may be reached by WebTransport. Raises ValueError, AttributeError for what is no URL."""

    def __init__(self, url: str, hashes: list[bytes]) -> None:
        parts = urlsplit(url)
        self.host, self.port, self.authority = parts.hostname or "", parts.port or 443, parts.netloc
        self.target = f"{parts.path}?{parts.query}"
        self.hashes = hashes


async def find_offer(address: Address, tls: ssl.SSLContext | None) -> Offer | None:
    """What the server at `address` offers; None: nothing. Raises OSError when nobody answers."""
    parts = urlsplit(f"//{address.host}")
    context = tls or ssl.create_default_context() if address.is_secure else None
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port or (443 if address.is_secure else 80), ssl=context)
    try:
        name = f"&ns={quote(address.database, safe='')}" if address.database else ""
        writer.write(f"GET /.wt?v=5{name} HTTP/1.1\r\nHost: {address.host}\r\nConnection: close\r\n\r\n".encode())
        answer = b""
        while len(answer) <= OFFER_BYTES_MAX and (more := await reader.read(OFFER_BYTES_MAX)):
            answer += more
        head, _, body = answer.partition(b"\r\n\r\n")
        offer = orjson.loads(body) if b" 200 " in head.partition(b"\r\n")[0] else {}
        url = offer.get("url")
        return Offer(url, [base64.b64decode(one) for one in offer.get("hashes") or ()]) if url else None
    except (ValueError, AttributeError, TypeError):
        return None  # Some other server.
    finally:
        writer.close()


class TransportConnection:
    """`said` is called with what the server says, `over` once at the end, `room` when it is not full any more."""

    def __init__(self, said: Callable[[Said], None], over: Callable[[str], None], room: Callable[[], None]) -> None:
        self._said = said
        self._over: Callable[[str], None] | None = over
        self.room = room
        self._loop = asyncio.get_running_loop()
        self._link = Link()
        self._frames = StreamFrames()
        self.heard = Heard(self._told)
        self.saying = Saying(self._write)
        self._quic: _Quic | None = None
        """None at the end."""
        self._last: _Quic | None = None
        """That one, then too."""
        self._timer: asyncio.TimerHandle | None = None
        self._pulse: Pulse | None = None

    def begin(self, quic: _Quic) -> None:
        self._quic = self._last = quic
        self.saying.begin()
        self._pulse = Pulse(self._loop, quic.ask, lambda: self.ended("the server is silent"))

    def send(self, frames: list[bytes]) -> None:
        if self._quic is None:
            return
        for frame in frames:
            self.saying.say(frame)
        if self._pulse is not None:
            self._pulse.spoke()
        if self._timer is None and not self.saying.is_settled:
            self._timer = self._loop.call_later(SETTLE_SECONDS, self._tick)
        self._quic._transmit_soon()

    @property
    def is_full(self) -> bool:
        """Whether the stream does not get rid of what it was given, so that what is volatile had better wait."""
        return self._quic is not None and self._quic.is_full

    def close(self) -> None:
        """Ends it from our side."""
        quic = self._quic
        if quic is not None:
            self.saying.settle()
            self._end("the connection was closed")
            quic.leave()

    async def wait_closed(self) -> None:
        """Returns when the socket is closed too, a moment after the end."""
        if self._last is not None:
            await self._last.lost.wait()

    # The network's calls

    def received(self, data: bytes) -> None:
        self.heard_of()
        frames: list[Frame] = []
        self._frames.receive(data, frames)
        for frame in frames:
            if not frame.is_text:
                self.heard.agree(frame.payload)
                continue
            said = self._link.receive(frame.payload)
            if type(said) is Ended and not said.is_final:
                self.ended(said.reason)
                return
            if said is not None:
                self._said(said)
        if self._frames.fault or self._frames.is_closed:
            self.ended(self._frames.fault or "the server closed the connection")

    def received_datagram(self, datagram: bytes) -> None:
        self.heard_of()
        self.heard.receive(datagram)

    def ended(self, reason: str) -> None:
        quic = self._quic
        self._end(reason)
        if quic is not None:
            quic.leave()

    # Inside

    def _told(self, path: str, value: bytes) -> None:
        with contextlib.suppress(ValueError):
            self._said(Told("d", {"p": path, "d": orjson.loads(value) if value else None}))

    def _write(self, data: bytes) -> None:
        if self._quic is not None:
            self._quic.write(data)

    def _tick(self) -> None:
        self._timer = None
        if self._quic is not None:
            # What would be said on a full stream is newer when it is said later.
            if self._quic.is_full or self.saying.tick():
                self._timer = self._loop.call_later(SETTLE_SECONDS, self._tick)
            self._quic._transmit_soon()

    def suspect(self) -> None:
        """The server may be dead."""
        if self._pulse is not None:
            self._pulse.suspect()

    def heard_of(self) -> None:
        """The server is there."""
        if self._pulse is not None:
            self._pulse.heard()

    def _end(self, reason: str) -> None:
        self._quic = None
        if self._timer is not None:
            self._timer.cancel()
        if self._pulse is not None:
            self._pulse.stop()
        over, self._over = self._over, None
        if over is not None:
            over(reason)


class _Quic(QuicConnectionProtocol):
    """QUIC and as much of HTTP/3 as a session takes."""

    def __init__(self, quic: QuicConnection, connection: TransportConnection) -> None:
        super().__init__(quic)
        self._connection = connection
        self._http: H3Connection | None = None
        self._session = self._stream = -1
        self.accepted: asyncio.Future[bool] = self._loop.create_future()
        self.lost = asyncio.Event()
        """Set when the socket is closed."""
        self._written_bytes = 0
        self._overhead_bytes = 0
        """That came beside the stream."""
        self.is_full = False

    def ask_for(self, authority: str, path: str) -> None:
        http = self._http = H3Connection(self._quic, enable_webtransport=True)
        self._session = self._quic.get_next_available_stream_id()
        headers = {":method": "CONNECT", ":protocol": "webtransport", ":scheme": "https", ":authority": authority, ":path": path}
        http.send_headers(self._session, [(name.encode(), value.encode()) for name, value in headers.items()])
        self._transmit_soon()

    def open_stream(self) -> None:
        assert self._http is not None
        self._stream = self._http.create_webtransport_stream(self._session)
        self._connection.begin(self)

    def write(self, data: bytes) -> None:
        self._quic.send_stream_data(self._stream, data)
        self._written_bytes += len(data)
        self.is_full = self.is_full or self._unsent_bytes() > UNSENT_BYTES_MAX
        self._transmit_soon()

    def _unsent_bytes(self) -> int:
        stream = self._quic._streams.get(self._stream)
        return 0 if stream is None else self._written_bytes - stream.sender.next_offset

    def ask(self) -> None:
        self._quic.send_ping(1)
        self._transmit_soon()

    def leave(self) -> None:
        """Ends the stream, and soon after the connection."""
        with contextlib.suppress(Exception):  # It was reset meanwhile.
            self._quic.send_stream_data(self._stream, b"", end_stream=True)
        self._transmit_soon()
        self._loop.call_later(GOODBYE_SECONDS, self.abort)

    def abort(self) -> None:
        transport = self._transport
        if transport is not None and not transport.is_closing():
            with self._ending():
                self.close()
            transport.close()

    # qh3's calls

    def datagram_received(self, data: bytes | str, addr: Any) -> None:
        with self._ending():
            super().datagram_received(data, addr)

    def _handle_timer(self) -> None:
        with self._ending():
            super()._handle_timer()

    @contextlib.contextmanager
    def _ending(self) -> Iterator[None]:
        """Whatever a server sends must not reach the loop: what qh3 cannot bear ends the connection."""
        try:
            yield
        except Exception:
            self._fail("the server's packets make no sense")

    def _fail(self, reason: str) -> None:
        if not self.accepted.done():
            self.accepted.set_exception(ConnectionError(reason))
        self._connection.ended(reason)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self.lost.set()

    def transmit(self) -> None:
        if self._transport is None or self._transport.is_closing():
            return
        if self._stream >= 0 and self._http is not None and not self._quic._datagrams_pending:
            room = max(1, self._quic._loss.congestion_window - self._quic._loss.bytes_in_flight)
            while room > 0 and (datagram := self._connection.saying.next(DATAGRAM_BYTES_MAX)) is not None:
                self._http.send_datagram(self._session // 4, datagram)
                room -= len(datagram)
        with self._ending():
            super().transmit()
        if self.is_full and self._unsent_bytes() <= UNSENT_BYTES_MAX // 2:
            self.is_full = False
            self._connection.room()

    def error_received(self, exc: Exception) -> None:
        """The network says that nobody is there: to be believed before anybody was, and to be looked into later."""
        self._connection.suspect()
        if not self.accepted.done():
            self.accepted.set_exception(exc)
        waiter, self._connected_waiter = self._connected_waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_exception(exc)

    def quic_event_received(self, event: QuicEvent) -> None:
        connection = self._connection
        if isinstance(event, StreamDataReceived) and event.stream_id == self._stream:
            connection.received(event.data)
            if event.end_stream:
                connection.ended("the server closed the connection")
            return
        if isinstance(event, ConnectionTerminated) or (
            isinstance(event, StreamReset) and event.stream_id in (self._session, self._stream)
        ):
            self._fail("the server closed the connection")
            return
        if isinstance(event, StreamDataReceived):
            self._overhead_bytes += len(event.data)
            if self._overhead_bytes > QUIC_OVERHEAD_BYTES_MAX:
                self._fail("the server sends too much beside the stream")
                return
        connection.heard_of()
        if self._http is None:
            return
        for one in self._http.handle_event(event):
            if isinstance(one, DatagramReceived):
                connection.received_datagram(one.data)
            elif isinstance(one, HeadersReceived) and one.stream_id == self._session and not self.accepted.done():
                self.accepted.set_result(dict(one.headers).get(b":status") == b"200")


async def connect_transport(
    offer: Offer,
    session: str | None,
    tls: ssl.SSLContext | None,
    said: Callable[[Said], None],
    over: Callable[[str], None],
    room: Callable[[], None],
) -> TransportConnection:
    """A connection by `offer`. Raises OSError. To be bounded by who calls."""
    loop = asyncio.get_running_loop()
    connection = TransportConnection(said, over, room)
    configuration = _configuration(offer, tls)
    quic = QuicConnection(configuration=configuration)
    transport, protocol = await loop.create_datagram_endpoint(
        lambda: _Quic(quic, connection), remote_addr=(offer.host, offer.port)
    )
    try:
        protocol.connect(transport.get_extra_info("peername"))
        await protocol.wait_connected()
        if offer.hashes and hashlib.sha256(_certificate(quic)).digest() not in offer.hashes:
            raise ConnectionError("the certificate is not the one that the server told of")
        # Of who is asked for by an address qh3 checks no name.
        is_unchecked = _is_address(offer.host) and configuration.verify_mode is ssl.CERT_REQUIRED
        if is_unchecked and ipaddress.ip_address(offer.host) not in _addresses(_certificate(quic)):
            raise ConnectionError(f"the certificate is not one of {offer.host}")
        last = f"&ls={quote(session, safe='')}" if session else ""
        protocol.ask_for(offer.authority, f"{offer.target}&dg=1{last}")
        if not await protocol.accepted:
            raise ConnectionError("the server refuses the session")
        protocol.open_stream()
    except BaseException:
        if protocol.accepted.done() and not protocol.accepted.cancelled():
            protocol.accepted.exception()  # It is told below, or somebody has gone who would have heard it.
        protocol.abort()
        raise
    return connection


def _certificate(quic: Any) -> bytes:
    certificate = quic.tls.peer_certificate
    return b"" if certificate is None else bytes(certificate.public_bytes())


def _addresses(certificate: bytes) -> set[Any]:
    try:
        names = x509.load_der_x509_certificate(certificate).extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except (ValueError, x509.ExtensionNotFound):
        return set()
    return set(names.value.get_values_for_type(x509.IPAddress))


def _configuration(offer: Offer, tls: ssl.SSLContext | None) -> QuicConfiguration:
    believes_all = bool(offer.hashes) or (tls is not None and tls.verify_mode is ssl.CERT_NONE)
    configuration = QuicConfiguration(
        is_client=True,
        alpn_protocols=["h3"],
        idle_timeout=QUIC_IDLE_SECONDS,
        max_datagram_frame_size=65_536,
        verify_mode=ssl.CERT_NONE if believes_all else ssl.CERT_REQUIRED,
        server_name=None if _is_address(offer.host) else offer.host,
    )
    if tls is not None and not believes_all:
        trusted = [ssl.DER_cert_to_PEM_cert(one) for one in tls.get_ca_certs(binary_form=True)]
        configuration.load_verify_locations(cadata="".join(trusted).encode())
    return configuration


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
