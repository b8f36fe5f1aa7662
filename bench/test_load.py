"""The generator against a server that misbehaves on purpose: whatever is wrong with the server, the report must say so.

A measuring instrument that cannot see a fault proves nothing. Run with `python -m pytest bench/test_load.py`; takes seconds.
"""

from __future__ import annotations

import asyncio
import json
import re
import struct
import subprocess
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from bench import generator

Report = dict[str, Any]
DRAIN_SECONDS = "20"
"""For what has not come yet; it is over as soon as all has."""
IN_VAIN = ("--drain", "3")
"""Where something never comes."""
HELLO = b'{"t":"c","d":{"t":"h","d":{"ts":1,"v":"5","h":"x","s":"s"}}}'


def frame(payload: bytes, opcode: int = 1, *, final: bool = True) -> bytes:
    """An unmasked frame."""
    size = len(payload)
    head = (
        bytes((size,)) if size < 126 else b"\x7e" + struct.pack(">H", size) if size < 65536 else b"\x7f" + struct.pack(">Q", size)
    )
    return bytes((128 * final | opcode,)) + head + payload


def in_pieces(payload: bytes, size: int = 60) -> bytes:
    """A message the way long ones are sent: a count, then so many frames."""
    pieces = [payload[at : at + size] for at in range(0, len(payload), size)]
    return frame(b"%d" % len(pieces)) + b"".join(frame(piece) for piece in pieces)


class Faulty:
    """A tiny server of one room. `deliver` makes the bytes of a push out of its payload, its number and its listener's index."""

    path = b"/.ws?v=5&ns=bench"
    greeting = frame(HELLO)

    def __init__(
        self,
        deliver: Callable[[bytes, int, int], bytes],
        *,
        byte_by_byte: bool = False,
        refuse: bool = False,
        whole: bool = False,
        forgets: bool = False,
        busy: int = 0,
    ) -> None:
        self.deliver, self.byte_by_byte, self.refuse = deliver, byte_by_byte, refuse
        self.whole = whole
        """Pushes the whole room at each write."""
        self.forgets = forgets
        """Does not say what clients left for their end."""
        self.busy = busy
        """Upgrades still to be refused after the first three."""
        self.room: Report = {}
        self.at_end: dict[asyncio.StreamWriter, Report] = {}
        self.listeners: list[asyncio.StreamWriter] = []
        self.writers: list[asyncio.StreamWriter] = []
        self.sending = asyncio.Lock()
        self.pushes = self.keepalives = self.pongs = 0
        self.tokens: list[str] = []
        """With which clients signed in."""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writers.append(writer)
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"GET " + self.path + b" HTTP/1.1\r\n"), head
        if self.busy and len(self.writers) > 3:
            self.busy -= 1
            writer.write(b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 0\r\n\r\n")
            writer.close()
            return
        await self.send(writer, b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n" + self.greeting)
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                await self.receive(writer, *await self.read_frame(reader))
        await self.end(writer)

    async def end(self, writer: asyncio.StreamWriter) -> None:
        """A client is gone: the others hear what it left for its end."""
        if writer in self.listeners:
            self.listeners.remove(writer)
        body = self.at_end.pop(writer, None)
        if body and not self.forgets:
            await self.push(body)
        writer.close()

    async def push(self, body: Report) -> None:
        self.room[body["p"].rpartition("/")[2]] = body["d"]
        told = {"p": "rooms/r0", "d": self.room} if self.whole else {"p": body["p"][1:], "d": body["d"]}
        await self.tell(json.dumps({"t": "d", "d": {"a": "d", "b": told}}, separators=(",", ":")).encode())

    async def tell(self, payload: bytes, but: asyncio.StreamWriter | None = None) -> None:
        """To all that listen, or all but one."""
        self.pushes += 1
        for index, listener in enumerate(self.listeners):
            if listener is not but and (pushed := self.deliver(payload, self.pushes, index)):
                with suppress(ConnectionError):
                    await self.send(listener, pushed)

    async def read_frame(self, reader: asyncio.StreamReader) -> tuple[int, bytes]:
        first, size = await reader.readexactly(2)
        assert size & 128, "a client's frame must be masked"
        size &= 127
        if size == 126:
            (size,) = struct.unpack(">H", await reader.readexactly(2))
        mask = await reader.readexactly(4)
        payload = await reader.readexactly(size)
        return first & 15, bytes(byte ^ mask[at & 3] for at, byte in enumerate(payload))

    async def receive(self, writer: asyncio.StreamWriter, opcode: int, payload: bytes) -> None:
        if opcode == 10:
            self.pongs += payload == b"are you there"
        elif payload == b"0":
            self.keepalives += 1
        else:
            await self.answer(writer, json.loads(payload)["d"])

    async def answer(self, writer: asyncio.StreamWriter, request: Report) -> None:
        if request["a"] == "q":
            # What was in the room before bears a marker too and is no delivery.
            await self.send(writer, frame(b'{"t":"d","d":{"a":"d","b":{"p":"rooms/r0","d":{"c0":{"v":"@%024x"}}}}}' % 7))
            self.listeners.append(writer)
        elif request["a"] == "auth":
            self.tokens.append(request["b"]["cred"])
        elif request["a"] == "o":
            self.at_end[writer] = request["b"]
        elif request["a"] == "p" and not self.refuse:
            await self.push(request["b"])
        status = b"failed" if self.refuse and request["a"] == "p" else b"ok"
        await self.send(writer, frame(b'{"t":"d","d":{"r":%d,"b":{"s":"%b","d":"no \\"room\\""}}}' % (request["r"], status)))

    async def send(self, writer: asyncio.StreamWriter, content: bytes) -> None:
        step = 1 if self.byte_by_byte else len(content)
        async with self.sending:  # Two tasks may owe one client something: their bytes must not mix.
            for at in range(0, len(content), step):
                writer.write(content[at : at + step])
                if self.byte_by_byte:
                    await asyncio.sleep(0)


async def _listen(faulty: Faulty, ready: Future[tuple[asyncio.AbstractEventLoop, asyncio.Event, int]]) -> None:
    """Serves until the event that it hands out is set; then every connection is closed."""
    stop = asyncio.Event()
    async with await asyncio.start_server(faulty.serve, "127.0.0.1", 0) as server:
        ready.set_result((asyncio.get_running_loop(), stop, server.sockets[0].getsockname()[1]))
        await stop.wait()
    for writer in faulty.writers:
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()


@contextmanager
def running(faulty: Faulty) -> Iterator[int]:
    """The server on a thread of its own; gives the port."""
    ready: Future[tuple[asyncio.AbstractEventLoop, asyncio.Event, int]] = Future()
    thread = threading.Thread(target=lambda: asyncio.run(_listen(faulty, ready)))
    thread.start()
    loop, stop, port = ready.result(10)
    try:
        yield port
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(10)


def report_of(faulty: Faulty, *options: str) -> Report:
    """Runs three clients for half a second at 100 writes a second."""
    generator.build()
    load = [
        "--workload",
        "hot",
        "--connections",
        "3",
        "--writes-per-second",
        "100",
        "--warmup",
        "0.1",
        "--seconds",
        "0.4",
        "--drain",
        DRAIN_SECONDS,
    ]
    with running(faulty) as port:
        command = [str(generator.BINARY), "--port", str(port), *load, *options]
        answer = subprocess.run(command, capture_output=True, text=True, timeout=90, check=False)
    report: Report = json.loads(answer.stdout.splitlines()[-1])
    return report


def plain(payload: bytes, number: int, listener: int) -> bytes:
    """As a right server does."""
    return frame(payload)


def faults(report: Report) -> dict[str, int]:
    """What the report complains about."""
    names = (
        "deliveries_missing",
        "deliveries_extra",
        "listeners_mixed_up",
        "unacknowledged",
        "refused",
        "lost",
        "failed",
        "unknown_messages",
    )
    return {name: report[name] for name in names if report[name]}


def test_right_server_is_reported_without_fault() -> None:
    report = report_of(Faulty(plain))
    assert faults(report) == {}
    assert report["writes"] == report["acknowledged"] == 50
    assert report["deliveries"] == 150
    assert report["delivered_ms"]["count"] == 120  # without the warm-up
    assert 0 < report["delivered_ms"]["p50"] <= report["delivered_ms"]["max"] < 1000 * float(DRAIN_SECONDS), "in milliseconds"


def with_ping(payload: bytes, number: int, listener: int) -> bytes:
    return frame(b"are you there", 9) + frame(payload)


def continued(payload: bytes, number: int, listener: int) -> bytes:
    return frame(payload[:100], final=False) + frame(b"are you there", 9) + frame(payload[100:], 0)


def padded(payload: bytes, number: int, listener: int) -> bytes:
    """Longer than the generator keeps: it must judge by the beginning and skip the rest."""
    return frame(payload[:-1] + b" " * 400_000 + payload[-1:])


@pytest.mark.parametrize(
    ("deliver", "byte_by_byte"),
    [
        (plain, True),
        (lambda payload, number, listener: in_pieces(payload, 110), True),
        (lambda payload, number, listener: in_pieces(payload, 110), False),
        (with_ping, False),
        (continued, False),
        (padded, False),
    ],
    ids=["byte by byte", "pieces, byte by byte", "pieces", "pings between", "continuation frames", "a very long frame"],
)
def test_every_way_of_framing_is_understood(deliver: Callable[[bytes, int, int], bytes], byte_by_byte: bool) -> None:
    faulty = Faulty(deliver, byte_by_byte=byte_by_byte)
    report = report_of(faulty)
    assert faults(report) == {}
    assert report["deliveries"] == 150
    assert deliver not in (with_ping, continued) or faulty.pongs == 150


def test_one_lost_push_is_missed() -> None:
    faulty = Faulty(lambda payload, number, listener: b"" if (number, listener) == (20, 1) else frame(payload))
    report = report_of(faulty, *IN_VAIN)
    assert faults(report) == {"deliveries_missing": 1}


def test_one_doubled_push_is_noticed() -> None:
    report = report_of(Faulty(lambda payload, number, listener: frame(payload) * (2 if (number, listener) == (20, 1) else 1)))
    assert faults(report) == {"deliveries_extra": 1}


def test_a_lost_and_a_doubled_push_do_not_cancel_out() -> None:
    copies = {20: 0, 30: 2}
    report = report_of(Faulty(lambda payload, number, listener: frame(payload) * (copies.get(number, 1) if listener == 2 else 1)))
    assert faults(report) == {"listeners_mixed_up": 1}


def test_refusals_are_counted_and_the_first_is_quoted() -> None:
    report = report_of(Faulty(plain, refuse=True))
    assert report["refused"] == report["writes"] == 50
    assert report["acknowledged_ms"]["count"] == 0
    assert "failed" in report["first_error"]


def test_lateness_of_the_server_counts_from_when_the_write_was_due() -> None:
    def stall_once(payload: bytes, number: int, listener: int) -> bytes:
        if (number, listener) == (15, 0):
            threading.Event().wait(0.2)
        return frame(payload)

    report = report_of(Faulty(stall_once))
    assert report["delivered_ms"]["max"] >= 200
    # The twenty writes that came due meanwhile were late too, not only the one that met the stall.
    assert report["delivered_ms"]["p90"] >= 100
    assert faults(report) == {}


def test_other_generators_writes_are_told_apart() -> None:
    def foreign(payload: bytes, number: int, listener: int) -> bytes:
        return frame(payload) + frame(re.sub(rb"@(.{14})00", rb"@\g<1>01", payload))

    report = report_of(Faulty(foreign))
    assert faults(report) == {}
    assert (report["deliveries"], report["deliveries_foreign"]) == (150, 150)


def test_a_connection_that_the_server_closes_is_lost() -> None:
    report = report_of(
        Faulty(lambda payload, number, listener: frame(b"\x03\xe8gone", 8) if (number, listener) == (40, 2) else frame(payload)),
        *IN_VAIN,
    )
    assert report["lost"] == 1
    assert "gone" in report["first_error"]


def test_keepalives_are_sent_when_asked_for() -> None:
    faulty = Faulty(plain)
    report_of(faulty, "--keepalive", "0.1", "--idle", "--seconds", "2")
    assert faulty.keepalives >= 6


PRESENCE = ("--workload", "presence", "--room-size", "3", "--writes-per-second", "10", "--away", "0.05")


def test_coming_and_vanishing_are_heard_by_the_others() -> None:
    report = report_of(Faulty(plain), *PRESENCE)
    assert faults(report) == {}
    assert report["departures"] == 5
    assert report["away"] == 0
    assert report["writes"] == report["acknowledged"] == 3 + 5
    assert report["left_ms"]["count"] == 4 * 2  # without the one of the warm-up
    assert report["joined_ms"]["count"] >= 4 * 3 - 3  # the last may come back when measuring is over


def test_a_word_that_the_server_forgot_is_missed() -> None:
    report = report_of(Faulty(plain, forgets=True), *PRESENCE, *IN_VAIN)
    assert report["left_ms"]["count"] == 0
    assert report["deliveries_missing"] > 0


def test_all_come_back_from_a_storm_those_that_are_refused_by_trying_again() -> None:
    faulty = Faulty(plain, busy=2)
    report = report_of(faulty, "--workload", "storm", "--room-size", "3", "--writes-per-second", "1", "--warmup", "0")
    assert faults(report) == {}
    assert (report["departures"], report["ready"], report["retries"], report["away"]) == (3, 3, 2, 0)
    assert report["back_ms"]["count"] == 3
    assert len(faulty.writers) == 3 + 2 + 3


def test_typical_clients_write_read_and_come_and_go() -> None:
    options = ("--workload", "typical", "--room-size", "3", "--writes-per-second", "60", "--away", "0.05", "--seconds", "2")
    report = report_of(Faulty(plain), *options)
    assert faults(report) == {}
    assert report["departures"] > 0
    assert report["away"] == 0
    assert report["back_ms"]["count"] > 0
    assert report["acknowledged_ms"]["count"] < report["acknowledged"] <= report["writes"]


def test_a_server_that_pushes_the_whole_room_is_understood() -> None:
    report = report_of(Faulty(plain, whole=True), "--dialect", "whole")
    assert faults(report) == {}
    assert report["deliveries"] == 150


def test_each_client_signs_in_with_a_token_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "tokens").write_text("one\ntwo\nthree\n")
    faulty = Faulty(plain)
    assert faults(report_of(faulty, "--auth-file", str(tmp_path / "tokens"))) == {}
    assert sorted(faulty.tokens) == ["one", "three", "two"]


def test_the_worst_second_is_at_least_the_p99_of_a_run_of_one_second() -> None:
    report = report_of(Faulty(plain))
    assert report["worst_second_p99"] > 0
    assert report["worst_second_p99"] <= report["delivered_ms"]["max"]


@pytest.mark.parametrize("flags", [(), ("--each",)], ids=["one write a turn", "one write a message"])
def test_the_relay_loses_nothing(flags: tuple[str, ...]) -> None:
    generator.build()
    relay = subprocess.Popen(
        [str(generator.BINARY.parent / "relay"), "0", *flags], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert relay.stdin is not None
    assert relay.stdout is not None
    try:
        port = relay.stdout.readline().split()[1]
        options = [
            "--dialect",
            "relay",
            "--connections",
            "40",
            "--writes-per-second",
            "1000",
            "--value-bytes",
            "300",
            "--warmup",
            "0",
            "--seconds",
            "0.4",
            "--drain",
            DRAIN_SECONDS,
        ]
        command = [str(generator.BINARY), "--port", port, *options]
        answer = subprocess.run(command, capture_output=True, text=True, timeout=90, check=False)
    finally:
        relay.stdin.close()  # It ends with its standard input.
        relay.wait(10)
        relay.stdout.close()
    report = json.loads(answer.stdout.splitlines()[-1])
    assert faults(report) == {}
    assert (report["writes"], report["deliveries"]) == (400, 4000)
    assert relay.returncode == 0


# deepstream


CONNECTION, AUTH, RECORD = 2, 3, 5
Fields = dict[int, int | bytes]
"""By their numbers; of one that stands several times the last."""


def varint(value: int) -> bytes:
    """Groups of seven bits, the lowest first, all but the last marked."""
    return bytes((value,)) if value < 128 else bytes((value & 127 | 128,)) + varint(value >> 7)


def take_varint(text: bytes) -> tuple[int, bytes]:
    """The number at the front, and the rest."""
    if text[0] < 128:
        return text[0], text[1:]
    more, rest = take_varint(text[1:])
    return text[0] & 127 | more << 7, rest


def pack(fields: Fields) -> bytes:
    """As protobuf has them."""
    return b"".join(
        varint(number << 3) + varint(value) if isinstance(value, int) else varint(number << 3 | 2) + varint(len(value)) + value
        for number, value in fields.items()
    )


def unpack(text: bytes) -> Iterator[tuple[int, int | bytes]]:
    while text:
        tag, text = take_varint(text)
        value, text = take_varint(text)
        if tag & 7:
            yield tag >> 3, text[:value]
            text = text[value:]
        else:
            yield tag >> 3, value


def message(topic: int, fields: Fields) -> bytes:
    """One of deepstream's, to be framed."""
    packed = pack({2: topic, 3: pack(fields)})
    return varint(len(packed)) + packed


class Records(Faulty):
    """A tiny deepstream of one room, each seat of which is a record that was written five times before."""

    path = b"/deepstream"
    greeting = b""

    def __init__(
        self,
        deliver: Callable[[bytes, int, int], bytes],
        *,
        byte_by_byte: bool = False,
        echoes: bool = False,
        newer: bool = False,
    ) -> None:
        super().__init__(deliver, byte_by_byte=byte_by_byte)
        self.echoes = echoes
        """Tells who writes too."""
        self.newer = newer
        """Has a version more of each record than it says."""
        self.versions: dict[bytes, int] = {}

    async def receive(self, writer: asyncio.StreamWriter, opcode: int, payload: bytes) -> None:
        assert opcode == 2, "text would make deepstream close"
        size, rest = take_varint(payload)
        assert size == len(rest)
        outer = dict(unpack(rest))
        inner = outer[3]
        assert isinstance(inner, bytes)
        fields = dict(unpack(inner))
        match outer[2], fields[1]:
            case 2, 5:
                await self.say(writer, CONNECTION, {1: 4})
            case 2, 2:
                self.keepalives += 1
                await self.say(writer, CONNECTION, {1: 3})
            case 3, 2:
                await self.say(writer, AUTH, {1: 3})
            case 5, 23:
                await self.say(writer, RECORD, {1: 23, 3: b"0", 5: 1})
                await self.read(writer, [name for number, name in unpack(inner) if number == 7 and isinstance(name, bytes)])
            case 5, 18:
                await self.update(writer, fields)
            case unknown:
                raise AssertionError(unknown)

    async def read(self, writer: asyncio.StreamWriter, names: list[bytes]) -> None:
        assert names == [b"r0/c0", b"r0/c1", b"r0/c2"]
        for name in reversed(names):
            version = self.versions.setdefault(name, 5)
            # Its value bears a marker too and is no delivery.
            await self.say(writer, RECORD, {1: 4, 2: b'{"v":"@%024x"}' % 7, 6: name, 13: version})
        self.listeners.append(writer)

    async def update(self, writer: asyncio.StreamWriter, fields: Fields) -> None:
        name, version, value, number = fields[6], fields[13], fields[2], fields[3]
        assert isinstance(name, bytes)
        assert fields[11] == 1, "an acknowledgement is to be asked for"
        if self.newer or version != self.versions[name] + 1:
            await self.say(writer, RECORD, {1: 102, 2: value, 3: number, 6: name, 11: 1, 13: self.versions[name]})
            return
        self.versions[name] += 1
        await self.say(writer, RECORD, {1: 14, 3: number, 6: name, 11: 1})
        # Here 64 bytes of value make a number that is an '@'.
        await self.tell(message(RECORD, {1: 18, 2: value, 6: name, 11: 0, 13: version}), but=None if self.echoes else writer)

    async def say(self, writer: asyncio.StreamWriter, topic: int, fields: Fields) -> None:
        await self.send(writer, frame(message(topic, fields), 2))


def binary(payload: bytes, number: int, listener: int) -> bytes:
    """As a right deepstream does."""
    return frame(payload, 2)


@pytest.mark.parametrize("byte_by_byte", [False, True])
def test_deepstream_is_understood(byte_by_byte: bool) -> None:
    records = Records(binary, byte_by_byte=byte_by_byte)
    report = report_of(records, "--dialect", "deepstream")
    assert faults(report) == {}
    assert report["first_error"] == ""
    assert report["writes"] == report["acknowledged"] == sum(records.versions.values()) - 3 * 5 == 50
    assert report["deliveries"] == 100  # of each write to the two others


@pytest.mark.parametrize(
    ("records", "complaints"),
    [
        (Records(lambda payload, number, listener: frame(payload, 2) if number != 20 else b""), {"deliveries_missing": 2}),
        (Records(binary, echoes=True), {"deliveries_extra": 50}),
        (Records(binary, newer=True), {"deliveries_missing": 100, "refused": 50}),
    ],
    ids=["a lost push", "pushes to who wrote", "versions that are there already"],
)
def test_deepstreams_faults_are_noticed(records: Records, complaints: dict[str, int]) -> None:
    assert faults(report_of(records, "--dialect", "deepstream", *IN_VAIN)) == complaints


def test_deepstream_is_told_that_its_clients_live() -> None:
    records = Records(binary)
    report = report_of(records, "--dialect", "deepstream", "--keepalive", "0.1", "--idle", "--seconds", "2")
    assert records.keepalives >= 6
    assert report["first_error"] == ""
