"""QUIC for real, over loopback: sessions, what is refused, bytes from anywhere, and nothing left behind."""

from __future__ import annotations

import asyncio
import collections
import contextlib
import datetime
import gc
import hashlib
import os
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import uvloop
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from qh3.asyncio.client import connect
from qh3.asyncio.protocol import QuicConnectionProtocol
from qh3.h3.connection import H3Connection
from qh3.h3.events import DatagramReceived, HeadersReceived
from qh3.quic.configuration import QuicConfiguration
from qh3.quic.connection import QuicConnection
from qh3.quic.events import ConnectionTerminated, StreamDataReceived

from meadowlark.limits import QUIC_PING_SECONDS
from meadowlark.server.families import Way
from meadowlark.server.metrics import Metrics
from meadowlark.server.quic import Certificate, Channel, Endpoint, Guest, _Connection, _Settings, _Tokens, make_certificate
from tests.waiting import SECONDS, until


class Visitor:
    """A guest that says back what it hears."""

    def __init__(self, channel: Channel, path: str, host: str) -> None:
        self.channel, self.path, self.host = channel, path, host
        self.datagrams: list[bytes] = []
        self.waiting: list[bytes] = []
        """To be sent in datagrams."""
        self.has_ended = False
        self.heard_count = 0

    def received(self, data: bytes) -> None:
        self.channel.write(data.upper())

    def received_datagram(self, datagram: bytes) -> None:
        self.datagrams.append(datagram)

    def next_datagram(self, room: int) -> bytes | None:
        return self.waiting.pop(0) if self.waiting else None

    def heard(self) -> None:
        self.heard_count += 1

    def pause(self) -> None: ...

    def resume(self) -> None: ...

    def ended(self) -> None:
        self.has_ended = True


class Client(QuicConnectionProtocol):
    """Just enough of a browser."""

    def __init__(self, *given: Any, **more: Any) -> None:
        super().__init__(*given, **more)
        self.http = H3Connection(self._quic, enable_webtransport=True)
        self.statuses: list[bytes] = []
        self.heard: dict[int, bytes] = collections.defaultdict(bytes)
        self.datagrams: list[bytes] = []
        self.opened: set[int] = set()
        self.raw: dict[int, bytes] = collections.defaultdict(bytes)
        """All that came on each stream, as it is."""
        self.is_over = False

    def quic_event_received(self, event: Any) -> None:
        self.is_over = self.is_over or isinstance(event, ConnectionTerminated)
        if isinstance(event, StreamDataReceived):
            self.raw[event.stream_id] += event.data
        if isinstance(event, StreamDataReceived) and event.stream_id in self.opened:
            self.heard[event.stream_id] += event.data
            return
        for one in self.http.handle_event(event):
            if isinstance(one, DatagramReceived):
                self.datagrams.append(one.data)
            elif isinstance(one, HeadersReceived):
                self.statuses.append(dict(one.headers)[b":status"])

    def ask(self, path: str = "/.wt?ns=demo", method: str = "CONNECT") -> int:
        stream: int = self._quic.get_next_available_stream_id()
        headers = {":method": method, ":scheme": "https", ":authority": "h:1", ":path": path}
        if method == "CONNECT":
            headers[":protocol"] = "webtransport"
        self.http.send_headers(stream, [(name.encode(), value.encode()) for name, value in headers.items()])
        self.transmit()
        return stream

    def open(self, session: int, *, one_way: bool = False) -> int:
        stream = self.http.create_webtransport_stream(session, is_unidirectional=one_way)
        self.opened.add(stream)
        return stream

    def say(self, stream: int, data: bytes) -> None:
        self._quic.send_stream_data(stream, data)
        self.transmit()


@contextlib.asynccontextmanager
async def serving(accept: Callable[[Channel, str, str], Guest]) -> AsyncIterator[Endpoint]:
    endpoint = Endpoint(accept, Metrics())
    endpoint.open(socket.AF_INET, ("127.0.0.1", 0), make_certificate())
    try:
        yield endpoint
    finally:
        endpoint.close()


def welcome(channel: Channel, path: str, host: str) -> Visitor:
    """Lets everybody in, and keeps nobody."""
    channel.accept()
    return Visitor(channel, path, host)


def welcoming(visitors: list[Visitor], *, at_once: bool = True) -> Callable[[Channel, str, str], Visitor]:
    """Lets everybody in, or has them wait for ever; who came is in `visitors`."""

    def accept(channel: Channel, path: str, host: str) -> Visitor:
        visitors.append(Visitor(channel, path, host))
        if at_once:
            channel.accept()
        return visitors[-1]

    return accept


def visiting(endpoint: Endpoint) -> Any:
    configuration = QuicConfiguration(
        is_client=True, alpn_protocols=["h3"], verify_mode=ssl.CERT_NONE, max_datagram_frame_size=65_536
    )
    return connect("127.0.0.1", endpoint.port, configuration=configuration, create_protocol=Client)


def run(work: Any) -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(asyncio.wait_for(work, SECONDS))


def test_a_session_has_a_stream_and_datagrams() -> None:
    async def work() -> None:
        visitors: list[Visitor] = []

        async with serving(welcoming(visitors)) as endpoint, visiting(endpoint) as client:
            session = client.ask()
            await until(lambda: client.statuses == [b"200"])
            assert (visitors[0].path, visitors[0].host) == ("/.wt?ns=demo", "h:1")
            stream = client.open(session)
            client.say(stream, b"hello" * 20_000)
            await until(lambda: client.heard[stream] == b"HELLO" * 20_000)
            client.http.send_datagram(session // 4, b"quick")
            client.http.send_datagram(session // 4 + 1, b"of another session")
            client.transmit()
            await until(lambda: visitors[0].datagrams)
            assert visitors[0].datagrams == [b"quick"]
            visitors[0].waiting = [b"%d" % number * 300 for number in range(10)]
            visitors[0].channel.send_soon()
            await until(lambda: len(client.datagrams) == 10)
            assert client.datagrams == [b"%d" % number * 300 for number in range(10)]
            visitors[0].channel.finish()
            await until(lambda: client.is_over)
            assert not visitors[0].has_ended, "who ends it knows"

    run(work())


def test_many_packets_of_one_client_leave_with_few_system_calls() -> None:
    async def work() -> None:
        async with serving(welcome) as endpoint, visiting(endpoint) as client:
            session = client.ask()
            await until(lambda: client.statuses == [b"200"])
            stream = client.open(session)
            client.say(stream, b"hello" * 50_000)
            await until(lambda: len(client.heard[stream]) == 250_000)
            metrics = endpoint._metrics
            assert metrics.quic_bytes[Way.SENT] > 250_000
            assert metrics.quic_calls[Way.RECEIVED] > 0
            assert endpoint._socket is not None
            if endpoint._socket._has_gso:
                assert metrics.quic_packets[Way.SENT] > 1.5 * metrics.quic_calls[Way.SENT]

    run(work())


def test_what_nobody_offers_is_refused() -> None:
    async def work() -> None:
        async with serving(welcome) as endpoint, visiting(endpoint) as client:
            client.ask(method="GET")
            await until(lambda: client.statuses == [b"404"])
            client.ask()
            await until(lambda: client.statuses == [b"404", b"200"])
            client.ask()
            await until(lambda: client.statuses == [b"404", b"200", b"429"])

    run(work())


@pytest.mark.parametrize("fault", ["second stream", "one way", "too early", "many streams", "large head"])
def test_who_asks_for_too_much_is_closed(fault: str) -> None:
    async def work() -> None:
        visitors: list[Visitor] = []

        async with serving(welcoming(visitors, at_once=fault != "too early")) as endpoint, visiting(endpoint) as client:
            session = client.ask()
            await until(lambda: client.statuses or fault == "too early")
            if fault == "large head":
                client.say(client._quic.get_next_available_stream_id(), b"\x01\x80\x0f\xff\xff" + bytes(400_000))
            elif fault == "many streams":
                for _ in range(40):
                    client.ask(method="GET")
            else:
                client.say(client.open(session, one_way=fault == "one way"), b"a")
                client.say(client.open(session), b"b")
            await until(lambda: client.is_over)
            await until(lambda: visitors[0].has_ended)
            await until(lambda: not endpoint.connections)

    run(work())


def test_bytes_from_anywhere_hurt_nobody() -> None:
    async def work() -> None:
        async with serving(welcome) as endpoint, visiting(endpoint) as client:
            await client.ping()
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
                stranger.connect(("127.0.0.1", endpoint.port))
                number = next(iter(endpoint.connections)).cids[0]
                for size in (0, 1, 20, 1200, 1400):
                    for first in (0x00, 0x40, 0xC0, 0xC3, 0xE0, 0xFF):
                        for middle in (b"\x00\x00\x00\x01\x08", b"\x6b\x33\x43\xcf\x08", b"\x1a\x2a\x3a\x4a\x08", number):
                            stranger.send((bytes([first]) + middle + number + os.urandom(size))[: size + 20])
            await client.ping()
            session = client.ask()
            await until(lambda: client.statuses == [b"200"])
            stream = client.open(session)
            client.say(stream, b"still here")
            await until(lambda: client.heard[stream] == b"STILL HERE")
            assert len(endpoint.connections) == 1

    run(work())


def test_an_address_is_validated_before_anything_is_kept() -> None:
    async def work() -> None:
        async with serving(Visitor) as endpoint:
            loop = asyncio.get_running_loop()
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
                stranger.setblocking(False)
                stranger.connect(("127.0.0.1", endpoint.port))
                initial = b"\xc3\x00\x00\x00\x01\x08" + os.urandom(8) + b"\x08" + os.urandom(8) + b"\x00\x44\xb0" + bytes(1200)
                stranger.send(initial)
                async with asyncio.timeout(SECONDS):
                    answer = await loop.sock_recv(stranger, 2000)
            assert answer[0] & 0xF0 == 0xF0, "a Retry"
            assert len(answer) < len(initial)
            assert not endpoint.connections

    run(work())


def read_varint(data: bytes, at: int) -> tuple[int, int]:
    """RFC 9000, 16: the integer at `at`, and where it ends."""
    size = 1 << (data[at] >> 6)
    return int.from_bytes(data[at : at + size], "big") & ((1 << (8 * size - 2)) - 1), at + size


def test_the_settings_say_what_each_browser_wants_to_see() -> None:
    """The frame as it leaves: RFC 9114, 7.2.4, at the beginning of the server's control stream."""

    async def work() -> None:
        async with serving(Visitor) as endpoint, visiting(endpoint) as client:
            await until(lambda: any(stream % 4 == 3 and data[:2] == b"\x00\x04" for stream, data in client.raw.items()))
            stream = next(stream for stream, data in client.raw.items() if stream % 4 == 3 and data[:2] == b"\x00\x04")
            await until(lambda: len(client.raw[stream]) >= 10)  # Longer than the longest size, and shorter than any settings.
            size, at = read_varint(client.raw[stream], 2)
            end = at + size
            await until(lambda: len(client.raw[stream]) >= end)
            data = client.raw[stream]
            said: dict[int, int] = {}
            while at < end:
                name, at = read_varint(data, at)
                said[name], at = read_varint(data, at)
        connect_protocol, datagrams, draft_2, draft_13, draft_15, draft_7 = (
            0x08,
            0x33,
            0x2B603742,
            0x14E9CD29,
            0x2C7CF000,
            0xC671706A,
        )
        chromium = {connect_protocol: 1, datagrams: 1, draft_2: 1}
        firefox = {connect_protocol: 1, datagrams: 1, draft_2: 1}
        safari = {connect_protocol: 1, datagrams: 1, draft_13: 1, draft_15: 1}
        for browser in (chromium, firefox, safari):
            assert browser.items() <= said.items()
        assert draft_7 not in said, "Chromium would go by other rules"

    run(work())


def test_no_address_is_sent_more_than_three_times_what_came_from_it_before_it_is_validated() -> None:
    """RFC 9000, 8. Each packet comes from an address of its own, so that nothing is known of it."""
    destination, source = os.urandom(8), os.urandom(8)
    versions = {"ours": b"\x00\x00\x00\x01", "another": b"\x1a\x2a\x3a\x4a", "none": bytes(4)}
    packets: list[tuple[str, bytes]] = []
    for name, version in versions.items():
        for ids in (b"\x00\x00", b"\x08" + destination + b"\x08" + source, b"\x14" + bytes(20) + b"\x14" + bytes(20)):
            for first in (0xC0, 0xC3, 0xD0, 0xE0, 0xF0):
                for size in (0, 30, 100, 1150, 1200, 1350):
                    packets.append((name, (bytes([first]) + version + ids + b"\x00\x44\xb0").ljust(size, b"\x00")))
    packets += [("short", bytes([0x40]) + os.urandom(size)) for size in (1, 20, 50, 1200)]
    # A token that somebody else was given, or nobody.
    token = _Tokens().create_token(("127.0.0.1", 1), destination, source)
    head = b"\xc3\x00\x00\x00\x01\x08" + destination + b"\x08" + source
    packets.append(("stolen", (head + b"\x40" + bytes([len(token)]) + token + b"\x44\xb0").ljust(1250, b"\x00")))

    async def work() -> None:
        answered: collections.Counter[str] = collections.Counter()
        async with serving(Visitor) as endpoint, contextlib.AsyncExitStack() as stack:
            strangers: list[tuple[str, bytes, socket.socket]] = []
            for name, packet in packets:
                stranger = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
                stranger.setblocking(False)
                stranger.connect(("127.0.0.1", endpoint.port))
                stranger.send(packet)
                strangers.append((name, packet, stranger))
                if len(strangers) % 20 == 0:
                    await asyncio.sleep(0.01)
            # Whoever comes now is served behind all of them, and what is sent again is sent by then.
            async with visiting(endpoint) as client:
                client.ask()
                await asyncio.sleep(1.5)
            for name, packet, stranger in strangers:
                came = 0
                with contextlib.suppress(BlockingIOError):
                    while True:
                        came += len(stranger.recv(65_536))
                assert came <= 3 * len(packet), f"{name}: {len(packet)} bytes were answered with {came}"
                answered[name] += came > 0
        assert answered["ours"] > 0, "a Retry"
        assert answered["another"] > 0, "the versions that we speak"
        assert answered["none"] == answered["stolen"] == answered["short"] == 0

    run(work())


def test_only_an_address_that_has_shown_a_token_is_known() -> None:
    """The packets of a real client, looked at on their way: it is sent a Retry first, and comes back with what that gave it."""

    async def work() -> None:
        async with serving(Visitor) as endpoint:
            seen: list[tuple[str, bytes]] = []
            known: list[int] = []
            receive = endpoint._server.datagrams_received  # type: ignore[union-attr]
            send = endpoint._socket.sendto_many  # type: ignore[union-attr]

            class Watched:
                def datagrams_received(self, packets: list[bytes], address: Any) -> None:
                    seen.extend(("in", packet) for packet in packets)
                    receive(packets, address)
                    known.append(len(endpoint.connections))

            endpoint._socket._receiver = Watched()  # type: ignore[union-attr]
            server: Any = endpoint._server
            server._transport = type(
                "Sending",
                (),
                {
                    "sendto": lambda _, data, addr=None: (seen.append(("out", data)), send([data], addr)),
                    "sendto_many": lambda _, packets, addr: (seen.extend(("out", one) for one in packets), send(packets, addr)),
                    "is_closing": lambda _: False,
                },
            )()
            async with visiting(endpoint) as client:
                await client.ping()
            assert [way for way, _ in seen[:3]] == ["in", "out", "in"]
            first, retry, second = (packet for _, packet in seen[:3])
            assert retry[0] & 0xF0 == 0xF0
            assert len(retry) < len(first)
            assert known[:2] == [0, 1], "nothing is kept before"
            assert second[0] & 0xF0 == 0xC0

    run(work())


def test_one_that_vanishes_without_a_word_is_over_when_it_was_silent_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("meadowlark.server.quic.QUIC_IDLE_SECONDS", 3.0)

    async def work() -> None:
        visitors: list[Visitor] = []

        async with serving(welcoming(visitors)) as endpoint, visiting(endpoint) as client, visiting(endpoint) as other:
            session = client.ask()
            other.ask()
            await until(lambda: client.statuses == other.statuses == [b"200"])
            stream = client.open(session)
            client.say(stream, b"a")
            await until(lambda: client.heard[stream])
            client._transport.abort()  # type: ignore[union-attr]  # As when its machine is gone: nothing is said.
            while not visitors[0].has_ended:
                await other.ping()
                await asyncio.sleep(0.02)
            assert not visitors[1].has_ended, "who is heard stays"
            await until(lambda: len(endpoint.connections) == 1)

    run(work())


def test_a_new_certificate_is_for_those_that_come_from_then_on() -> None:
    async def work() -> None:
        async with serving(Visitor) as endpoint, visiting(endpoint) as old:
            await old.ping()
            renewed = make_certificate()
            endpoint.use(renewed)
            async with visiting(endpoint) as new:
                await new.ping()
                shown = [hashlib.sha256(bytes(_peer(one))).digest() for one in (old, new)]
            assert shown[1] == renewed.digest != shown[0]
            await old.ping()
            assert not old.is_over

    run(work())


def _peer(client: Client) -> bytes:
    tls: Any = client._quic.tls
    return bytes(tls.peer_certificate.public_bytes())


def test_a_certificate_made_here_is_what_browsers_accept_by_its_hash() -> None:
    made = x509.load_der_x509_certificate(_der(make_certificate()))
    assert made.not_valid_after_utc - made.not_valid_before_utc <= datetime.timedelta(days=14)
    key = made.public_key()
    assert isinstance(key, ec.EllipticCurvePublicKey)
    assert key.curve.name == "secp256r1"


def _der(certificate: Certificate) -> bytes:
    made: Any = certificate.configuration.certificate
    return bytes(made.public_bytes())


def test_tokens_are_of_one_address_and_not_forged() -> None:
    tokens = _Tokens()
    token = tokens.create_token(("127.0.0.1", 7), b"destination", b"source")
    assert tokens.validate_token(("127.0.0.1", 7), token) == (b"destination", b"source")
    wrong = [token[:-1] + bytes([token[-1] ^ 1]), bytes([token[0] ^ 1]) + token[1:], b"", b"x" * 40]
    for address, one in [(("127.0.0.1", 8), token), *[(("127.0.0.1", 7), one) for one in wrong]]:
        with pytest.raises(ValueError, match="token"):
            tokens.validate_token(address, one)


def test_who_asks_for_nothing_is_closed() -> None:
    async def work() -> None:
        async with serving(Visitor) as endpoint, visiting(endpoint) as client:
            await client.ping()
            endpoint.sweep(asyncio.get_running_loop().time())
            assert not client.is_over
            endpoint.sweep(asyncio.get_running_loop().time() + 60)
            await until(lambda: client.is_over)

    run(work())


def test_one_that_is_silent_is_asked_and_its_answer_heard() -> None:
    async def work() -> None:
        visitors: list[Visitor] = []

        async with serving(welcoming(visitors)) as endpoint, visiting(endpoint) as client:
            session = client.ask()
            await until(lambda: client.statuses)
            stream = client.open(session)
            client.say(stream, b"a")
            await until(lambda: client.heard[stream])
            now = asyncio.get_running_loop().time()
            endpoint.sweep(now)
            assert visitors[0].heard_count == 0
            endpoint.sweep(now + QUIC_PING_SECONDS + 1)
            await until(lambda: visitors[0].heard_count)
            assert not client.is_over

    run(work())


def test_nothing_is_left_of_a_connection() -> None:
    """Workers run without a collector."""
    ours = (_Connection, Channel, Visitor, _Settings, QuicConnection)

    async def work() -> None:
        async def visit(endpoint: Endpoint) -> None:
            async with visiting(endpoint) as client:
                session = client.ask()
                await until(lambda: client.statuses)
                stream = client.open(session)
                client.say(stream, b"a")
                await until(lambda: client.heard[stream] == b"A")
            client.http = None

        async with serving(welcome) as endpoint:
            await visit(endpoint)
            await until(lambda: not endpoint.connections)
            gc.collect()
            gc.disable()
            try:
                before = count()
                for _ in range(3):
                    await visit(endpoint)
                await until(lambda: not endpoint.connections)
                await asyncio.sleep(0)
                assert count() == before
            finally:
                gc.enable()

    def count() -> dict[type, int]:
        # Of the client's side, which is in this process too, they are not ours to clear away.
        kinds = collections.Counter(type(one) for one in gc.get_objects() if getattr(one, "_is_client", None) is not True)
        return {kind: kinds[kind] for kind in ours}

    run(work())
