"""Volatile values over WebTransport where many listen and somebody behaves badly: stalls, floods, or dies without a word."""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
from typing import Any
from urllib.parse import urlsplit

import pytest
from qh3.asyncio.client import connect
from qh3.quic.configuration import QuicConfiguration

from meadowlark.server.datagrams import Settling
from meadowlark.server.hosted import Hosted
from meadowlark.server.realtime import HELD_FRAMES
from meadowlark.server.webtransport import DatagramConnection, WebTransportLine
from meadowlark.wire.drops import Drop
from meadowlark.wire.numbering import Heard
from meadowlark.wire.webtransport import Frame, StreamFrames, encode_datagram, encode_fence, encode_frame, encode_path
from tests.server.rest_server import MemoryWorker
from tests.server.test_quic import Client
from tests.server.test_volatile import Worker, say, told
from tests.server.test_webtransport import Memory
from tests.waiting import run, until

CROWD = 1000
REAL = 50
"""Over QUIC, each with a handshake; the rest of a thousand is above, without it."""


def framed(text: bytes) -> bytes:
    assert len(text) < 126
    return bytes((0x81, len(text))) + text


class Member:
    """One who listens to /cursors and takes datagrams, at the other end of a channel in memory."""

    def __init__(self, worker: Worker, hosted: Hosted, settling: Settling, number: int) -> None:
        self.channel = Memory()
        self.line = WebTransportLine(self.channel, worker.metrics)
        host: Any = worker
        self.connection = DatagramConnection(host, hosted, f"member {number}", "h", settling)
        self.line.serve(self.connection)
        self.stream = StreamFrames()
        self.texts = b""
        self.values: list[tuple[str, bytes]] = []
        self.heard = Heard(lambda path, value: self.values.append((path, value)))
        self.line.received(b"\x82\x00")
        self.say(b'{"t":"d","d":{"r":1,"a":"q","b":{"p":"/cursors","h":""}}}')
        for _ in range(4):  # Past the door.
            self.say(b'{"t":"d","d":{"r":2,"a":"s","b":{}}}')

    def say(self, text: bytes) -> None:
        self.line.received(framed(text))

    def take(self) -> int:
        """Hears what the network has for it; how many datagrams that were."""
        written, self.channel.written = self.channel.written, b""
        frames: list[Frame] = []
        self.stream.receive(written, frames)
        for frame in frames:
            if frame.is_text:
                self.texts += frame.payload
            else:
                self.heard.agree(frame.payload)
        count = 0
        while self.channel.wants_to_send and (datagram := self.line.next_datagram(1100)) is not None:
            self.heard.receive(datagram)
            count += 1
        self.channel.wants_to_send = False
        return count


def test_of_a_thousand_listeners_in_datagrams_one_that_stalls_costs_the_others_nothing() -> None:
    async def work() -> None:
        worker = Worker()
        hosted = await worker.shard.open("demo")
        settling = Settling(worker.loop)
        members = [Member(worker, hosted, settling, number) for number in range(CROWD)]
        worker.loop.settle()
        writer, _ = worker.connect(hosted)
        stalled = members[CROWD // 2]
        stalled.connection.pause()
        others = [member for member in members if member is not stalled]
        datagrams = 0
        for number in range(40):
            writer.received(say("ann" if number % 2 else "bob", {"x": number}))
            worker.loop.settle()
            for member in others:
                datagrams += member.take()
        expected = [(f"cursors/{'ann' if n % 2 else 'bob'}", b'{"x":%d}' % n) for n in range(40)]
        assert all(member.values == expected for member in others), "each at once, and none left out"
        assert datagrams == 38 * len(others), "but the first of each path"
        assert worker.turn.held_bytes < 400, "of the one that stalls: the first values, which tell it the numbers"
        assert stalled.connection.datagrams is not None
        assert stalled.connection.datagrams.waiting_bytes < 40
        assert worker.metrics.volatile_superseded == 36
        stalled.connection.resume()
        stalled.take()
        assert dict(stalled.values) == dict(expected)
        assert worker.turn.held_bytes == 0

    run(work())


def test_volatile_places_of_an_update_are_told_in_datagrams_and_what_lasts_on_the_stream() -> None:
    async def work() -> None:
        worker = Worker()
        hosted = await worker.shard.open("demo")
        settling = Settling(worker.loop)
        member, behind = (Member(worker, hosted, settling, number) for number in range(2))
        worker.loop.settle()
        writer, _ = worker.connect(hosted)
        for member_ in (member, behind):
            member_.say(b'{"t":"d","d":{"r":3,"a":"q","b":{"p":"/durable","h":""}}}')
        behind.connection.pause()
        for number in range(30):
            children = {"cursors/ann": number, "cursors/bob": -number, "durable": number}
            body = {"p": "/", "d": children if number % 10 == 0 else {"cursors/ann": number, "cursors/bob": -number}}
            writer.received(json.dumps({"t": "d", "d": {"r": 9, "a": "m", "b": body}}).encode())
            worker.settle()
            assert member.take() == (0 if number == 0 else 1)
        expected = [(f"cursors/{name}", b"%d" % value) for n in range(30) for name, value in (("ann", n), ("bob", -n))]
        assert member.values == expected
        assert worker.turn.held_bytes < 500
        behind.connection.resume()
        behind.take()
        assert dict(behind.values) == dict(expected)
        assert [value for value in (0, 10, 20) if b'"p":"durable","d":%d}' % value in behind.texts] == [0, 10, 20]

    run(work())


def test_who_floods_in_datagrams_has_no_more_than_its_share_and_a_neighbour_goes_on() -> None:
    async def work() -> None:
        worker = Worker()
        flooded, quiet = await worker.shard.open("flooded"), await worker.shard.open("quiet")
        flooder = Member(worker, flooded, Settling(worker.loop), 0)
        someone, _ = worker.connect(quiet)
        _, neighbours_line = worker.connect(quiet, listens="/cursors")
        worker.loop.settle()
        for number in range(20):
            path = encode_path(1, number, f"/cursors/{number}")
            flooder.line.received(bytes((0x82, len(path))) + path)
        dropped, metrics = Drop.UNREAD, worker.metrics
        sent = 0
        for round_number in range(200):
            for _ in range(100):  # Whatever the network brings in a turn: nothing holds it back.
                sent += 1
                flooder.line.received_datagram(encode_datagram(sent, [(sent % 20, b"%d" % sent)]))
                held = flooder.connection._held_frames
                assert held is None or len(held) <= HELD_FRAMES
            someone.received(say("calm", round_number))
            worker.loop.turn()
            assert told("calm", round_number) in neighbours_line.heard, "in the same turn"
        worker.loop.settle()
        assert neighbours_line.heard.count(b'"a":"d"') == 200
        carried_out = sent - metrics.volatile_dropped[dropped]
        assert 0 < carried_out < sent / 2, "most was not read"
        # What lasts is said once more on the stream, which is read when there is time: so the last value stands in the end.
        flooder.line.received(encode_frame(encode_fence(sent), is_text=False))
        flooder.say(say("0", "last"))
        worker.loop.settle()
        assert flooded.database.tree.get(("cursors", "0")) == "last"

    run(work())


# Over QUIC


class Real(Client):
    """A client over QUIC that listens and hears."""

    def __init__(self, *given: Any, **more: Any) -> None:
        super().__init__(*given, **more)
        self.values: list[tuple[str, bytes]] = []
        self.told = Heard(lambda path, value: self.values.append((path, value)))
        self.frames = StreamFrames()
        self.session = self.stream = -1
        self.is_deaf = False
        self.has_answer = False
        self._read = 0

    async def come(self, *texts: bytes) -> None:
        self.session = self.ask("/.wt?v=5&ns=demo&dg=1")
        await until(lambda: self.statuses)
        assert self.statuses == [b"200"]
        self.stream = self.open(self.session)
        self.say(self.stream, b"\x82\x00" + b"".join(map(framed, texts)))
        await until(self.listen)

    def listen(self) -> bool:
        """Takes what has come; whether something was answered."""
        data = self.heard[self.stream]
        frames: list[Frame] = []
        self.frames.receive(data[self._read :], frames)
        self._read = len(data)
        for frame in frames:
            if frame.is_text:
                self.has_answer = self.has_answer or b'"r":1,' in frame.payload
            else:
                self.told.agree(frame.payload)
        for datagram in self.datagrams:
            self.told.receive(datagram)
        self.datagrams.clear()
        return self.has_answer

    def datagram_received(self, data: Any, addr: Any) -> None:
        if not self.is_deaf:
            super().datagram_received(data, addr)

    def agree(self, number: int, path: str) -> None:
        payload = encode_path(1, number, path)
        self.say(self.stream, bytes((0x82, len(payload))) + payload)

    def send(self, sequence: int, value: bytes) -> None:
        self.http.send_datagram(self.session // 4, encode_datagram(sequence, [(0, value)]))
        self.transmit()


LISTEN = b'{"t":"d","d":{"r":1,"a":"q","b":{"p":"/cursors","h":""}}}'


async def served(worker: MemoryWorker, listener: socket.socket) -> int:
    worker.webtransports.open([listener])
    offer = await worker.webtransports.offer("127.0.0.1:1", "demo")
    return urlsplit(offer["url"]).port or 0


def visiting(port: int) -> Any:
    configuration = QuicConfiguration(
        is_client=True, alpn_protocols=["h3"], verify_mode=ssl.CERT_NONE, max_datagram_frame_size=65_536
    )
    return connect("127.0.0.1", port, configuration=configuration, create_protocol=Real)


@pytest.mark.timeout(180)
def test_fifty_over_quic_hear_whoever_moves_while_one_of_them_hears_nothing() -> None:
    async def work() -> None:
        worker = MemoryWorker()
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = await served(worker, listener)
            contexts = [visiting(port) for _ in range(REAL)]
            clients: list[Real] = []
            for context in contexts:
                clients.append(await context.__aenter__())
                await clients[-1].come(LISTEN)
            deaf, writer = clients[REAL // 2], clients[0]
            writer.agree(0, "/cursors/ann")
            writer.send(1, b'{"x":1}')
            others = [client for client in clients if client is not deaf]
            await until(lambda: all(client.listen() and client.values for client in clients))
            deaf.is_deaf = True
            for number in range(2, 61):
                writer.send(number, b'{"x":%d}' % number)
                await asyncio.sleep(0.01)
            writer.say(writer.stream, encode_frame(encode_fence(60), is_text=False))
            writer.say(writer.stream, framed(say("ann", {"x": 61})))  # What lasts is said once more, where nothing is lost.
            for client in others:
                await until(lambda client=client: client.listen() and client.values[-1][1] == b'{"x":61}')
            for client in others:
                numbers = [int(value[5:-1]) for _, value in client.values]
                assert numbers == sorted(numbers)
            assert worker.turn.held_bytes < 10_000
            deaf.is_deaf = False
            deaf.transmit()
            await until(lambda: deaf.listen() and deaf.values[-1][1] == b'{"x":61}')
            for context in contexts:
                await context.__aexit__(None, None, None)
        worker.webtransports.close()

    run(work())


def test_a_writer_that_dies_without_a_word_takes_its_values_along_when_it_was_silent_for_long(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("meadowlark.server.quic.QUIC_IDLE_SECONDS", 3.0)

    async def work() -> None:
        worker = MemoryWorker()
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = await served(worker, listener)
            async with visiting(port) as writer, visiting(port) as reader:
                await reader.come(LISTEN)
                await writer.come(LISTEN)
                writer.agree(0, "/cursors/ann")
                await until(lambda: (writer.send(1, b"7"), reader.listen(), reader.values)[-1])
                assert reader.values[-1] == ("cursors/ann", b"7")
                assert worker.shard.tree("demo").get(("cursors", "ann")) == 7
                writer._transport.abort()  # type: ignore[union-attr]  # As when its machine is gone: nothing is said.
                while reader.values[-1] != ("cursors/ann", b""):
                    await reader.ping()
                    await asyncio.sleep(0.02)
                    reader.listen()
                assert worker.shard.tree("demo").root is None
                assert not reader.is_over
        worker.webtransports.close()

    run(work())
