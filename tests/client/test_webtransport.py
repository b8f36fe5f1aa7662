"""The Python client over WebTransport against a real server, through a network that loses, doubles, shuffles and dies."""

from __future__ import annotations

import asyncio
import random
import re
import urllib.request
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from qh3.quic.events import StreamDataReceived

from meadowlark.client import Database, OutcomeUnknown, pulse, webtransport
from meadowlark.client.connection import UNSENT_BYTES_MAX, Address
from meadowlark.client.database import Database as Connecting
from meadowlark.client.webtransport import Offer, TransportConnection, find_offer
from meadowlark.limits import QUIC_OVERHEAD_BYTES_MAX
from meadowlark.server.routing import owner_of
from tests.harness import Server, fresh_name
from tests.proxy import Proxy
from tests.waiting import run, until

SECONDS = 60.0


class Network(asyncio.DatagramProtocol):
    """Between clients and one UDP port, with a chance for each packet."""

    def __init__(self, port: int, seed: int, *, lost: float = 0.0) -> None:
        self.noise = 0.0
        """How often a packet is followed by one that makes no sense."""
        self.target = ("127.0.0.1", port)
        self.chance = random.Random(seed)
        self.lost = lost
        self.is_cut = False
        self.counts = {"passed": 0, "lost": 0, "doubled": 0, "late": 0}
        self.ways: dict[Any, asyncio.DatagramTransport] = {}
        self.opening: dict[Any, list[bytes]] = {}
        self.front: asyncio.DatagramTransport | None = None

    async def open(self) -> None:
        self.front, _ = await asyncio.get_running_loop().create_datagram_endpoint(lambda: self, local_addr=("127.0.0.1", 0))

    @property
    def port(self) -> int:
        assert self.front is not None
        port: int = self.front.get_extra_info("sockname")[1]
        return port

    def close(self) -> None:
        assert self.front is not None
        for way in [self.front, *self.ways.values()]:
            way.close()

    def datagram_received(self, data: bytes, addr: Any) -> None:
        if addr in self.ways:
            self.carry(self.ways[addr].sendto, data)
        elif addr in self.opening:
            self.opening[addr].append(data)
        else:
            self.opening[addr] = [data]
            task = asyncio.ensure_future(self.begin(addr))
            task.add_done_callback(lambda done: done.exception())

    async def begin(self, client: Any) -> None:
        network = self

        class Back(asyncio.DatagramProtocol):
            def datagram_received(self, data: bytes, addr: Any) -> None:
                assert network.front is not None
                network.carry(lambda packet: network.front and network.front.sendto(packet, client), data)

        way, _ = await asyncio.get_running_loop().create_datagram_endpoint(Back, remote_addr=self.target)
        self.ways[client] = way
        for data in self.opening.pop(client):
            self.carry(way.sendto, data)

    def carry(self, send: Callable[[bytes], Any], data: bytes) -> None:
        what = self.chance.random()
        if self.chance.random() < self.noise:
            wrong = bytearray(data)
            for _ in range(self.chance.randrange(1, 4)):
                wrong[self.chance.randrange(len(wrong))] = self.chance.randrange(256)
            send(bytes(wrong[: self.chance.randrange(1, len(wrong) + 1)]))
            send(self.chance.randbytes(self.chance.randrange(1, 60)))
        if self.is_cut or what < self.lost:
            self.counts["lost"] += 1
            return
        self.counts["passed"] += 1
        if what < 1.5 * self.lost:
            self.counts["doubled"] += 1
            send(data)
        if what < 3 * self.lost:
            self.counts["late"] += 1
            asyncio.get_running_loop().call_later(self.chance.random() * 0.03, send, data)
        else:
            send(data)


@asynccontextmanager
async def network(server: Server, monkeypatch: pytest.MonkeyPatch, seed: int = 0, lost: float = 0.0) -> AsyncIterator[Network]:
    """All clients' packets go through it from now on."""
    # A server imports what QUIC takes when it is asked first, which may take longer than a client waits.
    address = Address(f"127.0.0.1:{server.port}", fresh_name("first"), False)
    async with asyncio.timeout(SECONDS):
        offer = await find_offer(address, None)
    assert offer is not None
    between = Network(offer.port, seed, lost=lost)
    await between.open()

    async def find(*given: Any) -> Offer | None:
        found = await find_offer(*given)
        if found is not None:
            found.host, found.port, found.authority = "127.0.0.1", between.port, f"127.0.0.1:{between.port}"
        return found

    monkeypatch.setattr(webtransport, "find_offer", find)
    monkeypatch.setattr("meadowlark.client.database.TRANSPORT_SECONDS", 10.0)
    try:
        yield between
    finally:
        between.close()


def connecting(server: Server, ns: str, *transports: Any) -> Connecting:
    return Database(f"http://127.0.0.1:{server.port}?ns={ns}", transports=transports or ("webtransport",))


def transport_of(database: Connecting) -> TransportConnection:
    connection = database._connection
    assert isinstance(connection, TransportConnection)
    return connection


async def connection_of(database: Connecting) -> Any:
    """The connection that there is, or the next one: on a busy machine it may just have been taken for dead."""
    await until(lambda: database._connection is not None)
    return database._connection


def hasten(monkeypatch: pytest.MonkeyPatch) -> None:
    """A silent server is asked soon. It has a second to answer, since the machine may have more to do than this."""
    for name, seconds in (("QUIET_SECONDS", 0.2), ("SPOKEN_SECONDS", 0.2), ("ANSWER_SECONDS", 1.0)):
        monkeypatch.setattr(pulse, name, seconds)


def test_the_port_of_udp_is_that_of_tcp_and_the_worker_s_number_more(tmp_path: Path) -> None:
    """So that a packet arrives where its database is, without a hop."""

    async def work(server: Server) -> None:
        for name in [fresh_name("port") for _ in range(30)]:
            offer = await find_offer(Address(f"127.0.0.1:{server.port}", name, False), None)
            assert offer is not None
            ports[owner_of(name, server.workers)] = offer.port - server.port
        for name in {owner_of(name, server.workers): name for name in [fresh_name("port") for _ in range(30)]}.values():
            async with connecting(server, name) as client:
                await client.ref("here").set(True)
                quic = transport_of(client)._quic
                assert quic is not None
                assert quic._transport.get_extra_info("peername")[1] == server.port + owner_of(name, server.workers)

    for workers in (1, 3):
        ports: dict[int, int] = {}
        with Server(tmp_path / f"data{workers}", workers=workers) as server:
            run(work(server))
        assert ports == {number: number for number in range(workers)}


@pytest.mark.parametrize(("seed", "lost"), [(0, 0.0), (1, 0.05), (2, 0.1), (3, 0.2)])
def test_values_converge_and_never_go_back(server: Server, monkeypatch: pytest.MonkeyPatch, seed: int, lost: float) -> None:
    async def work() -> None:
        ns = fresh_name("lossy")
        async with (
            network(server, monkeypatch, seed, lost) as between,
            connecting(server, ns) as writer,
            connecting(server, ns) as reader,
        ):
            shown: list[dict[str, int]] = []
            reader.ref("c").on_value(lambda snapshot: shown.append(snapshot.value or {}))
            await writer.wait_connected()
            await until(lambda: shown)
            for number in range(1, 121):
                for name in ("a", "b"):
                    writer.ref(f"c/{name}").set_volatile({"x": number})
                if number % 40 == 0:
                    await writer.ref("c/a").set({"x": number})
                await asyncio.sleep(0.005)
            last = {"a": {"x": 120}, "b": {"x": 120}}
            heard = transport_of(reader).heard
            assert heard._known, "values came by their numbers"
            for _ in range(100):
                if shown[-1] == last:
                    break
                await asyncio.sleep(0.2)
                # Over such a network the writer may have been taken for dead, and its values with it.
                writer.ref("c/b").set_volatile({"x": 120})
            assert shown[-1] == last
            for name in ("a", "b"):
                numbers = [value[name]["x"] for value in shown if name in value]  # type: ignore[call-overload]
                assert numbers == sorted(numbers), "a value went back"
            if lost:
                assert min(between.counts.values()) > 0
            assert (await writer.ref("c").get()).value == last

    run(work())


def test_a_writer_that_dies_takes_its_values_along(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    async def work() -> None:
        ns = fresh_name("dies")
        async with (
            network(server, monkeypatch, 5, 0.1),
            connecting(server, ns) as writer,
            connecting(server, ns) as reader,
        ):
            shown: list[Any] = []
            reader.ref("c").on_value(lambda snapshot: shown.append(snapshot.value))
            await writer.wait_connected()
            for number in range(20):
                writer.ref("c/a").set_volatile(number)
                await asyncio.sleep(0.005)
            await until(lambda: shown and shown[-1] == {"a": 19})
            writer._wants_connection.clear()
            quic = transport_of(writer)._quic
            assert quic is not None
            quic.abort()
            await until(lambda: shown[-1] is None)

    run(work())


def test_where_udp_dies_a_websocket_goes_on_and_later_it_is_as_before(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    hasten(monkeypatch)

    async def work() -> None:
        ns = fresh_name("switch")
        async with network(server, monkeypatch) as between, connecting(server, ns, "webtransport", "websocket") as client:
            shown: list[Any] = []
            client.ref("p").on_value(lambda snapshot: shown.append(snapshot.value))
            await client.wait_connected()
            first = transport_of(client)
            await client.ref("p").set("over UDP")
            monkeypatch.setattr("meadowlark.client.database.TRANSPORT_SECONDS", 0.6)
            between.is_cut = True
            await until(lambda: client._connection is not first)
            await client.ref("p").set("over TCP")
            assert not isinstance(client._connection, TransportConnection)
            assert shown[-1] == "over TCP"
            client.ref("v").set_volatile(1)
            between.is_cut = False
            monkeypatch.setattr("meadowlark.client.database.TRANSPORT_SECONDS", 10.0)
            client._without_transport_until = 0.0
            second = await connection_of(client)
            second.close()
            await until(lambda: client._connection not in (second, None))
            transport_of(client)
            await client.ref("p").set("over UDP again")
            assert shown[-1] == "over UDP again"

    run(work())


def test_where_udp_never_comes_through_it_is_a_websocket(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    async def work() -> None:
        async with network(server, monkeypatch) as between:
            between.is_cut = True
            monkeypatch.setattr("meadowlark.client.database.TRANSPORT_SECONDS", 0.6)
            async with connecting(server, fresh_name("blocked"), "webtransport", "websocket") as client:
                await client.ref("p").set(1)
                assert not isinstance(client._connection, TransportConnection)
                assert client._without_transport_until > 0

    run(work())


def test_a_server_that_dies_is_found_again(tmp_path: Path) -> None:
    async def work(server: Server) -> None:
        async with connecting(server, fresh_name("again")) as client:
            await client.ref("p").set(1)
            server.kill_worker()
            await client.ref("p").set(2)
            assert (await client.ref("p").get()).value == 2

    with Server(tmp_path / "data") as server:
        run(work(server))


def test_a_server_that_is_not_there_is_looked_for_again(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    async def work() -> None:
        with Proxy(server.port) as proxy:
            proxy.refuse()
            url = f"http://127.0.0.1:{proxy.port}?ns={fresh_name('later')}"
            async with Database(url, transports=("webtransport", "websocket")) as client:
                await asyncio.sleep(0.1)
                assert not client.is_connected
                assert client._without_transport_until == 0, "nobody was there to say no"
                proxy.allow()
                await client.ref("p").set(1)

    run(work())


def test_a_server_without_it_is_spoken_to_over_a_websocket_or_not_at_all(tmp_path: Path) -> None:
    async def work(server: Server) -> None:
        ns = fresh_name("without")
        async with connecting(server, ns, "webtransport", "websocket") as client:
            await client.ref("p").set(1)
            assert not isinstance(client._connection, TransportConnection)
        async with connecting(server, ns) as client:
            await asyncio.sleep(0.1)
            assert not client.is_connected

    with Server(tmp_path / "data", arguments=("--no-webtransport",)) as server:
        run(work(server))


def test_datagrams_that_mean_nothing_hurt_nobody(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    chance = random.Random(7)

    async def work() -> None:
        async with connecting(server, fresh_name("fuzz")) as client:
            shown: list[Any] = []
            client.ref("c").on_value(lambda snapshot: shown.append(snapshot.value))
            await client.ref("c/a").set(1)
            client.ref("c/b").set_volatile(2)
            quic = transport_of(client)._quic
            assert quic is not None
            assert quic._http is not None
            for _ in range(300):
                quic._http.send_datagram(quic._session // 4, chance.randbytes(chance.randrange(60)))
                transport_of(client).received_datagram(chance.randbytes(chance.randrange(60)))
            quic._transmit_soon()
            await client.ref("c/d").set(3)
            await until(lambda: shown[-1] == {"a": 1, "b": 2, "d": 3})

    run(work())


@pytest.mark.parametrize("wrong", [(), ("quic",), ("websocket", "carrier pigeon")])
def test_transports_that_are_none_are_refused(wrong: Any) -> None:
    with pytest.raises(ValueError, match="expected webtransport, websocket, or both"):
        Database("http://127.0.0.1:1?ns=a", transports=wrong)


def test_what_is_unanswered_while_transports_change_is_neither_lost_nor_done_twice(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sets are said again until they are answered, in order, as the SDKs do; a transaction is not, since by its hash it is done
    once or not at all, and who waits for it is told that nobody knows."""
    hasten(monkeypatch)
    # None of these connections stands for long, which would make the pauses between them long.
    monkeypatch.setattr("meadowlark.client.database.RETRY_SECONDS_MAX", 0.3)

    async def work() -> None:
        ns = fresh_name("flight")
        async with (
            network(server, monkeypatch, 3, 0.05) as between,
            connecting(server, ns, "webtransport", "websocket") as client,
        ):
            await client.wait_connected()
            kinds: list[str] = []
            client.on_connection(lambda connected: connected and kinds.append(type(client._connection).__name__))
            done = asyncio.Event()
            said: list[asyncio.Task[None]] = []
            acknowledged: list[int] = []
            counted = unknown = 0

            async def say(number: int) -> None:
                await client.ref("last").set(number)
                await client.ref(f"log/{number}").set(number)
                acknowledged.append(number)

            async def keep_saying() -> None:
                while not done.is_set():
                    said.append(asyncio.create_task(say(len(said))))
                    await asyncio.sleep(0.01)

            async def keep_counting() -> None:
                nonlocal counted, unknown
                while not done.is_set():
                    try:
                        await client.ref("count").transaction(lambda value: (value or 0) + 1)
                        counted += 1
                    except OutcomeUnknown:
                        unknown += 1

            speaking, counting = asyncio.create_task(keep_saying()), asyncio.create_task(keep_counting())
            for _ in range(3):
                before = await connection_of(client)
                await asyncio.sleep(0.2)
                monkeypatch.setattr("meadowlark.client.database.TRANSPORT_SECONDS", 0.6)
                between.is_cut = True
                await until(lambda before=before: client._connection not in (before, None) and client.is_connected)  # type: ignore[misc]
                await asyncio.sleep(0.2)
                between.is_cut = False
                monkeypatch.setattr("meadowlark.client.database.TRANSPORT_SECONDS", 10.0)
                client._without_transport_until = 0.0
                before = await connection_of(client)
                before.close()  # With what it has not been answered.
                await until(lambda before=before: client._connection not in (before, None) and client.is_connected)  # type: ignore[misc]
            done.set()
            await asyncio.gather(speaking, counting, *said)
            assert {"TransportConnection", "Connection"} <= set(kinds), kinds
            assert len(kinds) > 5, kinds
            assert sorted(acknowledged) == list(range(len(said)))
            assert server.read("/last", ns=ns) == len(said) - 1, "what was said last stands"
            log = server.read("/log", ns=ns)
            assert list(log if isinstance(log, list) else log.values()) == list(range(len(said)))
            count = server.read("/count", ns=ns)
            assert counted > 0
            assert counted <= count <= counted + unknown

    run(work())


def test_a_network_that_takes_nothing_is_given_the_last_of_each_path_later(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def work() -> None:
        ns = fresh_name("stalled")
        async with (
            network(server, monkeypatch) as between,
            connecting(server, ns) as writer,
            connecting(server, ns) as reader,
        ):
            shown: list[dict[str, Any]] = []
            reader.ref("c").on_value(lambda snapshot: shown.append(snapshot.value or {}))
            await writer.wait_connected()
            await until(lambda: shown)
            connection = transport_of(writer)
            quic = connection._quic
            assert quic is not None
            between.is_cut = True
            for number in range(500):
                for path in range(4):
                    # Those with ink are too large for a datagram, so they want the stream.
                    writer.ref(f"c/small{path}").set_volatile(number)
                    writer.ref(f"c/large{path}").set_volatile({"n": number, "ink": "x" * 2000})
                await asyncio.sleep(0)
                assert len(writer._core.outgoing._said) <= 8
                assert len(connection.saying._fresh) + len(connection.saying._unsettled) + len(connection.saying._older) <= 24
                assert quic._unsent_bytes() < 2 * UNSENT_BYTES_MAX
            assert connection.is_full
            assert writer._core.outgoing
            between.is_cut = False
            last = {f"small{path}": 499 for path in range(4)} | {
                f"large{path}": {"n": 499, "ink": "x" * 2000} for path in range(4)
            }
            await until(lambda: shown[-1] == last)
            assert transport_of(writer) is connection, "it was never taken for dead"

    run(work())


def test_volatile_values_go_both_ways_in_datagrams(server: Server) -> None:
    def counted() -> dict[str, int]:
        with urllib.request.urlopen(f"{server.url}/metrics") as answer:
            text = answer.read().decode()
        families = ("meadowlark_datagrams_total", "meadowlark_datagram_updates_total")
        found = re.findall(rf'^(?:{"|".join(families)}){{[^}}]*?(?:way|fate)="(\w+)"[^}}]*}} (\d+)$', text, re.MULTILINE)
        assert found, text
        return {name: sum(int(count) for other, count in found if other == name) for name, _ in found}

    async def work() -> None:
        ns = fresh_name("counted")
        async with connecting(server, ns) as writer, connecting(server, ns) as reader:
            shown: list[Any] = []
            reader.ref("c").on_value(lambda snapshot: shown.append(snapshot.value))
            await writer.wait_connected()
            await until(lambda: shown)
            writer.ref("c/a").set_volatile(0)  # On the stream, which tells the path's number.
            await until(lambda: shown[-1] == {"a": 0})
            before = await asyncio.to_thread(counted)
            for number in range(1, 51):
                writer.ref("c/a").set_volatile(number)
                await until(lambda number=number: shown[-1] == {"a": number})
            after = await asyncio.to_thread(counted)
            assert after["received"] - before["received"] >= 2 * 40, "datagrams, and the values in them"
            assert after["sent"] - before["sent"] >= 2 * 40

    run(work())


def test_packets_that_make_no_sense_hurt_neither_end(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    async def work() -> None:
        ns = fresh_name("noise")
        reported: list[Any] = []
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: reported.append(context))
        async with network(server, monkeypatch, 11) as between, connecting(server, ns) as client:
            between.noise = 0.5
            shown: list[Any] = []
            client.ref("c").on_value(lambda snapshot: shown.append(snapshot.value))
            await client.wait_connected()
            first = transport_of(client)
            for number in range(100):
                client.ref("c/a").set_volatile(number)
                if number % 10 == 0:
                    await client.ref("c/b").set(number)
            await until(lambda: shown and shown[-1] == {"a": 99, "b": 90})
            assert transport_of(client) is first
            assert not reported

    run(work())


def test_a_server_that_sends_without_end_beside_the_stream_is_left(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    async def work() -> None:
        async with connecting(server, fresh_name("beside")) as client:
            await client.wait_connected()
            first = transport_of(client)
            quic = first._quic
            assert quic is not None
            stream = quic._session + 4_000
            for _ in range(QUIC_OVERHEAD_BYTES_MAX // 1000 + 2):
                quic.quic_event_received(StreamDataReceived(data=b"x" * 1000, end_stream=False, stream_id=stream))
            assert first._quic is None, "it has ended"
            await client.ref("a").set(1)
            assert transport_of(client) is not first

    run(work())
