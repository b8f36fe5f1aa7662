"""QUIC and HTTP/3 as far as WebTransport needs them: the one module of the server that knows qh3.

An `Endpoint` is one UDP socket. Who connects asks with an extended CONNECT for one session, and gets a `Channel`: one
bidirectional stream, opened by the client, and datagrams. A `Guest` is told what comes. Everything else that HTTP/3 can do is
answered 404 or ends the connection: more than one session or stream of one, requests without end, bytes that nobody asked for.

Addresses are validated by a Retry before anything is kept or computed for a client, so what a forged packet can provoke is one
answer that is smaller than itself. Batches are sent and received with one system call where the kernel can (udp.py).
Invariant: once a connection is over, nothing of it refers to anything; no cycle is left behind (workers run without a collector).
Does not know: what the stream carries (webtransport.py).
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import hmac
import os
import socket
import struct
import time
from collections.abc import Callable
from typing import Any, Protocol, cast

import structlog
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from qh3.asyncio.protocol import QuicConnectionProtocol
from qh3.asyncio.server import QuicServer
from qh3.h3.connection import H3Connection
from qh3.h3.events import DatagramReceived, H3Event, HeadersReceived, WebTransportStreamDataReceived
from qh3.quic.configuration import QuicConfiguration
from qh3.quic.connection import QuicConnection
from qh3.quic.events import (
    ConnectionTerminated,
    PingAcknowledged,
    QuicEvent,
    StopSendingReceived,
    StreamDataReceived,
    StreamReset,
)

from meadowlark.limits import (
    HANDSHAKE_SECONDS,
    QUIC_CONNECTIONS_MAX,
    QUIC_IDLE_SECONDS,
    QUIC_OVERHEAD_BYTES_MAX,
    QUIC_PING_SECONDS,
    QUIC_WINDOW_BYTES,
)
from meadowlark.server.metrics import Metrics
from meadowlark.server.udp import UdpSocket
from meadowlark.wire.webtransport import DATAGRAM_BYTES_MAX

log = structlog.get_logger()

STREAMS_MAX = 32
"""Of one connection and kind, over its whole life; Chromium opens a handful."""
HIGH_WATER_BYTES = 65_536
"""Written and not sent before the guest is told to wait."""
LOW_WATER_BYTES = 16_384
GOODBYE_SECONDS = 1.0
"""For the last bytes to arrive before a connection is closed."""
CERTIFICATE_DAYS = 13
"""Browsers accept a certificate by its hash if it is valid for at most 14."""

INITIAL_BYTES_MIN = 1200
"""Of a packet that begins a connection: RFC 9000, 14.1."""

_PACKET_OVERHEAD_BYTES = 40
_CONNECTION_ID_BYTES = 8
_SHORT_HEAD_BYTES = 1 + _CONNECTION_ID_BYTES
_LONG_HEADER = 0x80
_SEAL_BYTES = 16
_TOKEN_HEAD_BYTES = 9
_NO_ERROR = 0x0100
_GENERAL_ERROR = 0x0102

_SETTINGS = {
    0x08: 1,  # Extended CONNECT, which Chromium and Firefox want to see beside:
    0x2B603742: 1,  # WebTransport, draft 2: Chromium and Firefox.
    0x14E9CD29: 1,  # Sessions at a time, drafts 13 and 14: Safari.
    0x2C7CF000: 1,  # WebTransport, draft 15: Safari, in time.
}
"""Beside those of HTTP/3 and its datagrams. That of draft 7 (0xc671706a) is left out: it makes Chromium go by other rules."""


class Guest(Protocol):
    """Who is at the other end of a channel."""

    def received(self, data: bytes) -> None:
        """Bytes of the stream."""

    def received_datagram(self, datagram: bytes) -> None: ...

    def next_datagram(self, room: int) -> bytes | None:
        """What is to be sent in a datagram of at most `room` bytes now that one can be; None: nothing."""

    def heard(self) -> None:
        """The client is there."""

    def pause(self) -> None:
        """Nothing should be written for now."""

    def resume(self) -> None: ...

    def ended(self) -> None:
        """The connection, the session or the stream is over; nothing comes after this."""


class Certificate:
    """A chain and its key; `digest` is that of one made here, which browsers are told to accept."""

    def __init__(self, configuration: QuicConfiguration, digest: bytes | None, made_at: datetime.datetime) -> None:
        self.configuration = configuration
        self.digest = digest
        self.made_at = made_at


def load_certificate(chain: str, key: str) -> Certificate:
    """The certificate in PEM files."""
    configuration = _configuration()
    configuration.load_cert_chain(chain, key)
    return Certificate(configuration, None, _now())


def make_certificate() -> Certificate:
    """One for some days, for development, as browsers want it: ECDSA on P-256, valid for at most two weeks."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = _now()
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=CERTIFICATE_DAYS))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    configuration = _configuration()
    configuration.load_cert_chain(
        made.public_bytes(serialization.Encoding.PEM),
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()),
    )
    return Certificate(configuration, made.fingerprint(hashes.SHA256()), now)


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)


def _configuration() -> QuicConfiguration:
    return QuicConfiguration(
        is_client=False,
        alpn_protocols=["h3"],
        idle_timeout=QUIC_IDLE_SECONDS,
        max_data=2 * QUIC_WINDOW_BYTES,
        max_stream_data=QUIC_WINDOW_BYTES,
        max_datagram_frame_size=65_536,
    )


class Channel:
    """One session of one connection."""

    __slots__ = ("_connection",)

    def __init__(self, connection: _Connection) -> None:
        self._connection: _Connection | None = connection

    def accept(self) -> None:
        """The session begins; bytes may come."""
        if self._connection is not None:
            self._connection.answer(200)

    def refuse(self, status: int) -> None:
        if self._connection is not None:
            self._connection.answer(status)
            self._connection.leave()

    def write(self, data: bytes) -> None:
        if self._connection is not None:
            self._connection.write(data)

    def send_soon(self) -> None:
        """Asks the guest for datagrams at the end of this turn, and again as the network takes them."""
        if self._connection is not None:
            self._connection._transmit_soon()

    def ask(self) -> None:
        """Asks whether the client is there; the answer is `heard`."""
        if self._connection is not None:
            self._connection.ask()

    def finish(self) -> None:
        """Ends after what was written."""
        if self._connection is not None:
            self._connection.leave()

    def abort(self) -> None:
        """Ends now."""
        if self._connection is not None:
            self._connection.end(_NO_ERROR, "")

    def forget(self) -> None:
        self._connection = None


Accept = Callable[[Channel, str, str], Guest]
"""Called with a channel, and the path and the host that its client asked for."""


class _Settings(H3Connection):
    def _get_local_settings(self) -> dict[int, int]:
        return super()._get_local_settings() | _SETTINGS


class _Connection(QuicConnectionProtocol):
    """One client. Ends once, by `connection_over`."""

    def __init__(self, quic: QuicConnection, *, endpoint: Endpoint) -> None:
        super().__init__(quic)
        self._endpoint: Endpoint | None = endpoint
        self._http: H3Connection | None = None
        self._channel: Channel | None = None
        self._guest: Guest | None = None
        self._session: int | None = None
        """The stream of the CONNECT, which names the session."""
        self._is_accepted = False
        self._stream: int | None = None
        self._written_bytes = 0
        self._overhead_bytes = 0
        self._is_waiting = False
        """Whether the guest was told to wait."""
        self._is_over = False
        self.since = self.heard_at = self._loop.time()
        """`heard_at` is when something came last, or it was asked."""
        self.cids = [quic.host_cid, quic._retry_source_connection_id or b""]
        """By which the server knows it; those that it has retired too."""
        endpoint.connections.add(self)

    @property
    def is_settled(self) -> bool:
        return self._stream is not None

    # The channel's calls

    def answer(self, status: int) -> None:
        if self._http is None or self._session is None or self._is_over:
            return
        self._is_accepted = status == 200
        headers = [(b":status", b"%d" % status), (b"sec-webtransport-http3-draft", b"draft02")]
        self._http.send_headers(self._session, headers, end_stream=not self._is_accepted)
        self._transmit_soon()

    def write(self, data: bytes) -> None:
        if self._stream is None or self._is_over:
            return
        self._quic.send_stream_data(self._stream, data)
        self._written_bytes += len(data)
        self._transmit_soon()
        if not self._is_waiting and self._unsent_bytes() > HIGH_WATER_BYTES and self._guest is not None:
            self._is_waiting = True
            self._guest.pause()

    def ask(self) -> None:
        self._quic.send_ping(0)
        self._transmit_soon()

    def leave(self) -> None:
        """Ends the stream, and soon after the connection."""
        self._guest = None
        if self._stream is not None and not self._is_over:
            with contextlib.suppress(Exception):  # It was reset meanwhile.
                self._quic.send_stream_data(self._stream, b"", end_stream=True)
        self._transmit_soon()
        self._loop.call_later(GOODBYE_SECONDS, self.end, _NO_ERROR, "")

    def end(self, code: int, reason: str) -> None:
        if not self._is_over:
            self._quic.close(error_code=code, reason_phrase=reason)
            self.transmit()
            self._over()

    def _unsent_bytes(self) -> int:
        stream = None if self._stream is None else self._quic._streams.get(self._stream)
        return 0 if stream is None else self._written_bytes - stream.sender.next_offset

    # qh3's calls

    def transmit(self) -> None:
        if self._transport is None:
            return  # The connection has been taken apart.
        if self._guest is not None and self._stream is not None:
            self._take_datagrams(self._guest)
        try:
            super().transmit()
        except Exception:
            log.debug("quic connection ended", exc_info=True)
            self._over()
            return
        if self._is_waiting and self._unsent_bytes() < LOW_WATER_BYTES:
            self._is_waiting = False
            if self._guest is not None:
                self._guest.resume()

    def _take_datagrams(self, guest: Guest) -> None:
        """As many as the network takes now, so that those that come later are of what is newest then."""
        quic, http = self._quic, self._http
        assert http is not None
        assert self._session is not None
        room = 0 if quic._datagrams_pending else max(1, quic._loss.congestion_window - quic._loss.bytes_in_flight)
        while room > 0 and (datagram := guest.next_datagram(DATAGRAM_BYTES_MAX)) is not None:
            http.send_datagram(self._session // 4, datagram)
            room -= len(datagram) + _PACKET_OVERHEAD_BYTES

    def datagram_received(self, data: bytes | str, addr: Any) -> None:
        assert isinstance(data, bytes)
        self.datagrams_received([data], addr)

    def datagrams_received(self, data: list[bytes], addr: Any) -> None:
        """What this causes leaves at the end of the turn, with all that others cause for this client."""
        if self._transport is None:
            return
        try:
            now = self.heard_at = self._loop.time()
            for packet in data:
                self._quic.receive_datagram(packet, addr, now=now)
            self._process_events()
        except Exception:
            # Whatever a client sends must not reach the loop; that we could not read it is for developers.
            log.debug("quic connection ended", exc_info=True)
            self.end(_GENERAL_ERROR, "")
            return
        self._transmit_soon()

    def _handle_timer(self) -> None:
        if self._transport is None:
            return
        try:
            super()._handle_timer()
        except Exception:
            log.debug("quic connection ended", exc_info=True)
            self.end(_GENERAL_ERROR, "")

    def quic_event_received(self, event: QuicEvent) -> None:
        if isinstance(event, ConnectionTerminated):
            self._over()
            return
        if self._is_over:
            return
        if isinstance(event, PingAcknowledged):
            if self._guest is not None:
                self._guest.heard()
            return
        if isinstance(event, StreamReset | StopSendingReceived):
            if event.stream_id in (self._session, self._stream):
                self.end(_NO_ERROR, "")
            return
        if isinstance(event, StreamDataReceived):
            if event.stream_id // 4 >= STREAMS_MAX:
                self.end(_GENERAL_ERROR, "too many streams")
                return
            if event.stream_id != self._stream:
                self._overhead_bytes += len(event.data)
                if self._overhead_bytes > QUIC_OVERHEAD_BYTES_MAX:
                    self.end(_GENERAL_ERROR, "too much beside the stream")
                    return
        if self._http is None:
            if not self._quic._handshake_complete:
                return
            self._http = _Settings(self._quic, enable_webtransport=True)
        for one in self._http.handle_event(event):
            if not self._is_over:
                self._perform(one)
        if isinstance(event, StreamDataReceived) and event.end_stream and event.stream_id == self._session:
            self.end(_NO_ERROR, "")

    def _perform(self, event: H3Event) -> None:
        if isinstance(event, WebTransportStreamDataReceived):
            self._receive(event)
        elif isinstance(event, DatagramReceived):
            if self._guest is not None and self._session is not None and event.flow_id == self._session // 4:
                self._guest.received_datagram(event.data)
        elif isinstance(event, HeadersReceived):
            self._asked(event)

    def _asked(self, event: HeadersReceived) -> None:
        assert self._http is not None
        headers = {name: value.decode("latin-1") for name, value in event.headers}
        is_session = headers.get(b":method") == "CONNECT" and headers.get(b":protocol") in ("webtransport", "webtransport-h3")
        if event.stream_id == self._session:
            return  # Trailers.
        if not is_session or self._session is not None or self._endpoint is None:
            self._http.send_headers(event.stream_id, [(b":status", b"429" if is_session else b"404")], end_stream=True)
            return
        self._session = event.stream_id
        self._channel = Channel(self)
        self._guest = self._endpoint.accept(self._channel, headers.get(b":path", ""), headers.get(b":authority", ""))

    def _receive(self, event: WebTransportStreamDataReceived) -> None:
        is_bidirectional = event.stream_id % 4 == 0
        if self._stream is None and is_bidirectional and self._is_accepted and event.session_id == self._session:
            self._stream = event.stream_id
        if event.stream_id != self._stream:
            self.end(_GENERAL_ERROR, "a session has one stream, which is bidirectional")
            return
        if self._guest is not None:
            self._guest.received(event.data)
        if event.stream_ended:
            self.end(_NO_ERROR, "")

    def _over(self) -> None:
        if self._is_over:
            return
        self._is_over = True
        guest, self._guest = self._guest, None
        if self._channel is not None:
            self._channel.forget()
        if guest is not None:
            guest.ended()
        # What closes keeps answering for some round trips, so that the client hears of it.
        self._loop.call_later(GOODBYE_SECONDS, self._take_apart)

    def _take_apart(self) -> None:
        """Every object of a connection refers to others that refer back, in qh3 too."""
        if self._transport is None:
            return
        if self._timer is not None:
            self._timer.cancel()
        endpoint, self._endpoint = self._endpoint, None
        if endpoint is not None:
            endpoint.forget(self)
        quic, http = self._quic, self._http
        tls = getattr(quic, "tls", None)
        self._transport = self._http = self._channel = None
        self._connection_id_issued_handler = self._connection_id_retired_handler = _ignore
        self._connection_terminated_handler = _do_nothing
        for part in (http, tls, quic):
            _empty(part)


def _empty(part: Any) -> None:
    if part is None:
        return
    for kind in type(part).__mro__:
        for name in getattr(kind, "__slots__", ()):
            if name.startswith("__") and not name.endswith("__"):
                name = f"_{kind.__name__.lstrip('_')}{name}"
            with contextlib.suppress(AttributeError):
                delattr(part, name)
    if hasattr(part, "__dict__"):
        part.__dict__.clear()


def _ignore(number: bytes) -> None: ...


def _do_nothing() -> None: ...


class _Tokens:
    """What a Retry gives a client to come back with: proof that it is where it says it is, for some seconds."""

    def __init__(self) -> None:
        self._key = os.urandom(32)

    def create_token(self, addr: Any, destination: bytes, source: bytes) -> bytes:
        said = struct.pack(">dB", time.monotonic(), len(destination)) + destination + source
        return said + self._seal(addr, said)

    def validate_token(self, addr: Any, token: bytes) -> tuple[bytes, bytes]:
        """The two connection ids that were told to `create_token`. Raises ValueError."""
        said, seal = token[:-_SEAL_BYTES], token[-_SEAL_BYTES:]
        if not hmac.compare_digest(seal, self._seal(addr, said)):
            raise ValueError("the token is not ours, or of another address")
        made_at, size = struct.unpack_from(">dB", said)
        if time.monotonic() - made_at > HANDSHAKE_SECONDS:
            raise ValueError("the token is too old")
        ids = said[_TOKEN_HEAD_BYTES:]
        return ids[:size], ids[size:]

    def _seal(self, addr: Any, said: bytes) -> bytes:
        return hmac.digest(self._key, repr(addr[:2]).encode() + b"\0" + said, "sha256")[:_SEAL_BYTES]


class _Server(QuicServer):
    """qh3's server, with bounds."""

    def __init__(self, endpoint: Endpoint, certificate: Certificate) -> None:
        super().__init__(
            configuration=certificate.configuration,
            create_protocol=self._create,
        )
        self._retry: Any = _Tokens()  # qh3's own are RSA, which costs milliseconds for each.
        self._endpoint = endpoint

    def _create(self, quic: QuicConnection, stream_handler: Any = None) -> _Connection:
        if len(self._endpoint.connections) >= QUIC_CONNECTIONS_MAX:
            _empty(quic)
            raise ConnectionRefusedError(f"{QUIC_CONNECTIONS_MAX} QUIC connections, which is the limit")
        return _Connection(quic, endpoint=self._endpoint)

    def use(self, certificate: Certificate) -> None:
        self._configuration = certificate.configuration

    def datagrams_received(self, packets: list[bytes], address: Any) -> None:
        """Of one peer: most often of one connection, whose number stands in front of each."""
        first = packets[0]
        connection = self._protocols.get(first[1:_SHORT_HEAD_BYTES]) if first and not first[0] & _LONG_HEADER else None
        if connection is not None and all(packet[1:_SHORT_HEAD_BYTES] == first[1:_SHORT_HEAD_BYTES] for packet in packets):
            connection.datagrams_received(packets, address)
            return
        for packet in packets:
            if not self._is_answerable(packet):
                continue
            try:
                self.datagram_received(packet, address)
            except Exception:
                log.debug("packet dropped", exc_info=True)

    def _is_answerable(self, packet: bytes) -> bool:
        """RFC 9000, 5.2.2 and 6.1: of another version only what could begin a connection is answered, with the versions that we
        know; such an answer itself never is, or two servers would answer each other for ever."""
        if not packet or not packet[0] & _LONG_HEADER:
            return True
        version = int.from_bytes(packet[1:5], "big")
        if version in self._configuration.supported_versions:
            return True
        return version != 0 and len(packet) >= INITIAL_BYTES_MIN

    def _connection_id_issued(self, cid: bytes, protocol: QuicConnectionProtocol) -> None:
        super()._connection_id_issued(cid, protocol)
        assert isinstance(protocol, _Connection)
        protocol.cids.append(cid)

    def _connection_id_retired(self, cid: bytes, protocol: QuicConnectionProtocol) -> None:
        self._protocols.pop(cid, None)

    def _connection_terminated(self, protocol: QuicConnectionProtocol) -> None:
        """It is forgotten when it is taken apart, without a search."""

    def forget(self, connection: _Connection) -> None:
        for cid in connection.cids:
            self._protocols.pop(cid, None)


class Endpoint:
    """One UDP socket."""

    def __init__(self, accept: Accept, metrics: Metrics) -> None:
        self.accept = accept
        self._metrics = metrics
        self.connections: set[_Connection] = set()
        self._server: _Server | None = None
        self._socket: UdpSocket | None = None
        self.port = 0

    def open(self, family: int, address: Any, certificate: Certificate) -> None:
        """Listens. Raises OSError when the port is taken."""
        listener = socket.socket(family, socket.SOCK_DGRAM)
        try:
            if family == socket.AF_INET6:
                listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            listener.bind(address)
        except OSError:
            listener.close()
            raise
        self.port = listener.getsockname()[1]
        server = self._server = _Server(self, certificate)
        self._socket = UdpSocket(asyncio.get_running_loop(), listener, server, self._metrics)
        server.connection_made(cast(Any, self._socket))  # It has what qh3 calls of a transport.

    def use(self, certificate: Certificate) -> None:
        """For connections from now on."""
        if self._server is not None:
            self._server.use(certificate)

    def forget(self, connection: _Connection) -> None:
        self.connections.discard(connection)
        if self._server is not None:
            self._server.forget(connection)

    def sweep(self, now: float) -> None:
        """Once a second: those that have asked for nothing for too long are closed, and those that are silent are asked."""
        for connection in list(self.connections):
            if not connection.is_settled and now - connection.since > HANDSHAKE_SECONDS:
                connection.end(_NO_ERROR, "nothing was asked for")
            elif connection.is_settled and now - connection.heard_at > QUIC_PING_SECONDS:
                connection.heard_at = now
                connection.ask()

    def close(self) -> None:
        for connection in list(self.connections):
            connection.end(_NO_ERROR, "the server stops: come back")
            connection._take_apart()
        if self._socket is not None:
            self._socket.close()
        self._socket = self._server = None
