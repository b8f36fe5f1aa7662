"""The line of a WebTransport: what becomes of its bytes and datagrams, without QUIC."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest
from picows import WSCloseCode

from meadowlark.limits import WEBTRANSPORT_HELD_BYTES_MAX
from meadowlark.server.families import Fate, Way
from meadowlark.server.webtransport import DatagramConnection, WebTransportLine
from meadowlark.wire.drops import Drop
from meadowlark.wire.numbering import Heard
from meadowlark.wire.webtransport import Frame, StreamFrames, encode_datagram, encode_path
from tests.server.rest_server import MemoryWorker

SECONDS = 30.0


class Memory:
    """A channel, with what is at its other end."""

    def __init__(self) -> None:
        self.status = 0
        self.written = b""
        self.is_finished = self.is_aborted = self.is_asked = self.wants_to_send = False

    def accept(self) -> None:
        self.status = 200

    def refuse(self, status: int) -> None:
        self.status = status

    def write(self, data: bytes) -> None:
        self.written += data

    def send_soon(self) -> None:
        self.wants_to_send = True

    def ask(self) -> None:
        self.is_asked = True

    def finish(self) -> None:
        self.is_finished = True

    def abort(self) -> None:
        self.is_aborted = True


class Visit:
    """A client that speaks to a line."""

    def __init__(self, worker: MemoryWorker) -> None:
        self.worker = worker
        self.channel = Memory()
        self.line: WebTransportLine
        self.stream = StreamFrames()
        self.values: list[tuple[str, bytes]] = []
        self.heard = Heard(lambda path, value: self.values.append((path, value)))
        self.messages: list[Any] = []

    async def open(self, path: str = "/.wt?v=5&ns=demo&dg=1") -> Visit:
        self.line = self.worker.webtransports._accept(self.channel, path, "h:1")  # type: ignore[arg-type]
        await until(lambda: self.channel.status)
        if self.channel.status == 200:
            self.line.received(b"\x82\x00")
            await self.hear(lambda: self.messages)
        return self

    def say(self, message: str) -> None:
        data = message.encode()
        head = bytes((0x81, len(data))) if len(data) < 126 else bytes((0x81, 126)) + len(data).to_bytes(2, "big")
        self.line.received(head + data)

    def ask(self, number: int, action: str, **body: Any) -> None:
        self.say(json.dumps({"t": "d", "d": {"r": number, "a": action, "b": body}}))

    def agree(self, payload: bytes) -> None:
        self.line.received(bytes((0x82, len(payload))) + payload)

    async def turn(self) -> None:
        """Some turns of the loop, after which all that was written has been read."""
        for _ in range(5):
            await asyncio.sleep(0)
        written, self.channel.written = self.channel.written, b""
        frames: list[Frame] = []
        self.stream.receive(written, frames)
        for frame in frames:
            if frame.is_text:
                self.messages.append(json.loads(frame.payload))
            else:
                self.heard.agree(frame.payload)

    async def hear(self, check: Callable[[], object]) -> None:
        """Turns until `check` holds: on a busy machine a database's share of one is short."""
        async with asyncio.timeout(SECONDS):
            while not check():
                await self.turn()


async def until(check: Callable[[], object]) -> None:
    async with asyncio.timeout(SECONDS):
        while not check():
            await asyncio.sleep(0)


def run(work: Callable[[MemoryWorker], Any]) -> None:
    async def made() -> None:
        await work(MemoryWorker())

    asyncio.run(made())


def test_it_says_hello_when_the_client_has_opened_its_stream() -> None:
    async def work(worker: MemoryWorker) -> None:
        visit = await Visit(worker).open()
        hello = visit.messages[0]["d"]
        assert (hello["t"], hello["d"]["h"]) == ("h", "h:0")
        visit.ask(1, "p", p="/a", d=1)
        await visit.hear(lambda: visit.messages[-1] == {"t": "d", "d": {"r": 1, "b": {"s": "ok", "d": ""}}})

    run(work)


@pytest.mark.parametrize(
    ("path", "status"), [("/other?ns=demo", 404), ("/.wt?ns=foreign", 421), ("/.wt?ns=No%20Name!", 400), ("/.wt?ns=%ff", 400)]
)
def test_who_asks_for_something_else_is_refused(path: str, status: int) -> None:
    async def work(worker: MemoryWorker) -> None:
        worker.foreign.add("foreign")
        visit = await Visit(worker).open(path)
        assert visit.channel.status == status

    run(work)


def test_volatile_values_come_and_go_in_datagrams() -> None:
    async def work(worker: MemoryWorker) -> None:
        visit = await Visit(worker).open()
        visit.ask(1, "q", p="/c", h="")
        visit.agree(encode_path(1, 0, "/c/a"))
        visit.line.received_datagram(encode_datagram(1, [(0, b"1")]))
        await visit.hear(lambda: visit.values == [("c/a", b"1")])
        visit.line.received_datagram(encode_datagram(3, [(0, b"3")]))
        visit.line.received_datagram(encode_datagram(2, [(0, b"2")]))
        await visit.hear(lambda: visit.channel.wants_to_send)
        datagram = visit.line.next_datagram(1100)
        assert datagram is not None
        assert visit.line.next_datagram(1100) is None
        await visit.turn()
        visit.heard.receive(datagram)
        assert visit.values == [("c/a", b"1"), ("c/a", b"3")]
        metrics = worker.turn.stopwatch.metrics
        assert metrics.datagrams == [3, 1]
        assert metrics.datagram_updates[Fate.RECEIVED] == 2
        assert metrics.datagram_updates[Fate.DROPPED] == 1
        assert metrics.datagram_updates[Fate.SENT] == 1
        assert len(metrics.datagrams) == len(Way)

    run(work)


def test_a_client_that_does_not_ask_for_datagrams_hears_all_as_text() -> None:
    async def work(worker: MemoryWorker) -> None:
        visit = await Visit(worker).open("/.wt?v=5&ns=demo")
        visit.ask(1, "q", p="/c", h="")
        for number in (1, 2):
            visit.say(json.dumps({"t": "d", "d": {"a": "v", "b": {"p": "/c/a", "d": number}}}))
        await visit.hear(lambda: len(visit.messages) == 4)
        told = [message["d"]["b"] for message in visit.messages if message["d"].get("a") == "d"]
        assert told == [{"p": "c/a", "d": 1}, {"p": "c/a", "d": 2}]
        assert visit.values == []
        assert visit.line.next_datagram(1100) is None

    run(work)


def test_inside_a_long_message_and_before_the_stream_datagrams_are_dropped() -> None:
    async def work(worker: MemoryWorker) -> None:
        visit = Visit(worker)
        visit.line = worker.webtransports._accept(visit.channel, "/.wt?ns=demo&dg=1", "h:1")  # type: ignore[arg-type]
        visit.line.received_datagram(encode_datagram(1, [(0, b"1")]))
        await until(lambda: visit.channel.status)
        visit.agree(encode_path(1, 0, "/c"))
        visit.say("2")
        visit.say('{"t":"d","d":{"r":1,"a":"p",')
        visit.line.received_datagram(encode_datagram(2, [(0, b"1")]))
        visit.say('"b":{"p":"/a","d":"long"}}}')
        visit.line.received_datagram(encode_datagram(3, [(0, b"3")]))
        await visit.hear(lambda: worker.shard.tree("demo").root == {"a": "long", "c": 3})
        assert worker.turn.stopwatch.metrics.datagram_updates[Fate.DROPPED] == 2

    run(work)


def test_what_comes_while_it_does_not_read_waits_in_order_and_not_without_end() -> None:
    async def work(worker: MemoryWorker) -> None:
        visit = await Visit(worker).open()
        visit.line.pause_reading()
        visit.ask(1, "p", p="/a", d=1)
        visit.ask(2, "p", p="/a", d=2)
        visit.line.received_datagram(encode_datagram(1, [(0, b"1")]))
        await visit.turn()
        assert [message["d"].get("a") for message in visit.messages[1:]] == ["sd"], "the datagram was dropped"
        visit.line.resume_reading()
        await visit.hear(lambda: [message["d"].get("r") for message in visit.messages[2:]] == [1, 2])
        visit.line.pause_reading()
        for _ in range(WEBTRANSPORT_HELD_BYTES_MAX // 40_000 + 1):
            visit.say("x" * 40_000)
        assert visit.channel.is_finished

    run(work)


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"\x81\xff" + bytes(20), 1002),
        (b"\x82\x01\x07", 1002),
        (b"\x88\x00", 1000),
    ],
)
def test_what_ends_it_is_said(data: bytes, code: int) -> None:
    async def work(worker: MemoryWorker) -> None:
        visit = await Visit(worker).open()
        visit.channel.written = b""
        visit.line.received(data)
        head = visit.channel.written
        assert head[0] == 0x88
        assert int.from_bytes(head[2:4], "big") == code
        assert visit.channel.is_finished
        assert visit.line.is_gone
        visit.line.received(b"\x81\x01x")
        visit.line.received_datagram(b"\x01\x00\x011")
        assert not worker.sessions

    run(work)


def test_nothing_refers_to_a_connection_that_has_ended() -> None:
    async def work(worker: MemoryWorker) -> None:
        visit = await Visit(worker).open()
        visit.ask(1, "q", p="/c", h="")
        visit.agree(encode_path(1, 0, "/c/a"))
        for sequence in (1, 2):
            visit.line.received_datagram(encode_datagram(sequence, [(0, b"1")]))
        await visit.hear(lambda: visit.channel.wants_to_send)
        connection = visit.line._connection
        assert type(connection) is DatagramConnection
        assert connection.datagrams is not None
        numbering = connection._hosted.numbering  # type: ignore[union-attr]
        assert visit.line.next_datagram(1100)
        assert len(numbering.clients) == len(worker.webtransports._settling.outboxes) == 1
        visit.line.ended()
        assert connection.datagrams is None
        assert not numbering.clients
        assert not worker.webtransports._settling.outboxes
        assert visit.line.next_datagram(1100) is None

    run(work)


def test_who_comes_back_ends_the_old_connection() -> None:
    async def work(worker: MemoryWorker) -> None:
        visit = await Visit(worker).open()
        session = visit.messages[0]["d"]["d"]["s"]
        await Visit(worker).open(f"/.wt?ns=demo&dg=1&ls={session}")
        assert visit.channel.is_finished

    run(work)


def test_the_connection_can_ask_abort_and_be_told_that_the_client_is_there() -> None:
    async def work(worker: MemoryWorker) -> None:
        visit = await Visit(worker).open()
        visit.line.ask()
        visit.line.heard()
        visit.line.abort()
        assert visit.channel.is_asked
        assert visit.channel.is_aborted
        visit.line.pause()
        visit.ask(1, "p", p="/a", d=1)
        await visit.turn()
        assert len(visit.messages) == 1
        visit.line.resume()
        await visit.hear(lambda: len(visit.messages) == 2)
        visit.line.close(WSCloseCode.OK, "")
        visit.line.write(b"x")
        assert visit.line.is_gone

    run(work)


def test_who_develops_is_told_what_became_of_datagrams_that_went_nowhere() -> None:
    async def work(worker: MemoryWorker) -> None:
        visit = await Visit(worker).open()
        visit.agree(encode_path(1, 0, "/c/a"))
        visit.line.received_datagram(encode_datagram(2, [(0, b"1"), (3, b"1")]))
        visit.line.received_datagram(encode_datagram(1, [(0, b"1")]))
        visit.line.received_datagram(encode_datagram(3, [(0, b"{")]))
        visit.line.received_datagram(encode_datagram(4, [(0, b'"' + b"x" * 5000 + b'"')]))
        visit.line.received_datagram(encode_datagram(5, [(0, b'"\xff"')]))
        visit.line.pause_reading()
        visit.line.received_datagram(encode_datagram(6, [(0, b"2")]))
        await visit.hear(lambda: len(visit.messages) == 6)
        told = [message["d"]["b"]["msg"] for message in visit.messages[1:] if message["d"]["a"] == "sd"]
        assert sorted(told) == [
            "volatile write dropped: in a datagram, by a number that means no path",
            "volatile write dropped: in a datagram, cut short or not JSON",
            "volatile write dropped: in a datagram, doubled or later than a newer value",
            "volatile write dropped: in a datagram, while the server did not read: it was busy, or inside a long message",
            "volatile write dropped: volatile value at /c/a has 5002 bytes, limit is 4096",
        ]
        dropped = worker.turn.stopwatch.metrics.volatile_dropped
        assert {drop: dropped[drop] for drop in Drop if dropped[drop]} == {
            Drop.TOO_BIG: 1,
            Drop.MALFORMED: 2,
            Drop.UNKNOWN: 1,
            Drop.LATE: 1,
            Drop.UNREAD: 1,
        }

    run(work)
