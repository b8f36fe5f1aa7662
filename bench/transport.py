"""The load generator over WebTransport: volatile writes in datagrams, listening on the stream and to datagrams.

    python -m bench.transport --host … --port … --connections 100 …

It takes the options of load.c and prints its lines, so that the harness treats it alike. QUIC is qh3, in Python, and each
packet is encrypted: a client costs here what thousands cost load.c. It does not poll, so `busy_share` is what it needed of its
core: where that is not well below 1, or `sent_late_ms` is not small, a figure is not the server's. Markers, due times and rooms
are those of load.c; what is lost on the way counts as missing.
Does not know: workers; it asks the server for the address of the database's.
"""

from __future__ import annotations

import argparse
import asyncio
import collections
import json
import queue
import resource
import ssl
import sys
import threading
import time
import urllib.request
from typing import Any
from urllib.parse import urlsplit

import uvloop
from qh3.asyncio.client import connect
from qh3.asyncio.protocol import QuicConnectionProtocol
from qh3.h3.connection import H3Connection
from qh3.h3.events import DatagramReceived, HeadersReceived
from qh3.quic.configuration import QuicConfiguration
from qh3.quic.events import ConnectionTerminated, StreamDataReceived

from bench.generator import HISTOGRAMS, SUMS
from meadowlark.wire.webtransport import encode_datagram, encode_frame, encode_path

MARKER_BYTES = 25
"""'@', 14 digits of due nanoseconds, 2 of the process, 8 of the write's number: as in load.c."""
HEAD = b'{"v":"@'
"""Before the digits. The sign alone may also be the length of a value in a datagram."""
UNVERIFIED = ssl._create_unverified_context()  # The certificate is one that nobody signed.
SWITCH_SECONDS = 0.0002
"""After which the thread that knows when a write is due has the interpreter."""
OPENING_SECONDS_MAX = 30.0
OPENING_MAX = 1
"""At a time: a handshake is signatures."""


class Histogram:
    """That of load.c: 128 linear steps in each power of two."""

    def __init__(self) -> None:
        self.counts: collections.Counter[int] = collections.Counter()
        self.max = 0

    def record(self, nanoseconds: int) -> None:
        shift = max(0, nanoseconds.bit_length() - 8)
        self.counts[((nanoseconds >> shift) + 1 << shift) - 1] += 1
        self.max = max(self.max, nanoseconds)

    def report(self) -> dict[str, Any]:
        return {"count": self.counts.total(), "max": self.max / 1e6, "buckets": sorted(self.counts.items())}


class Alarm:
    """Wakes a coroutine when something is due, to some tens of microseconds: the loop's own timers know milliseconds only."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._due: queue.SimpleQueue[tuple[int, asyncio.Future[None]] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    async def wait(self, due_at: int) -> None:
        """Returns at `due_at` of the monotonic clock, and after others have had a turn if that is past."""
        if time.monotonic_ns() >= due_at:
            await asyncio.sleep(0)
            return
        reached: asyncio.Future[None] = self._loop.create_future()
        self._due.put((due_at, reached))
        await reached

    def close(self) -> None:
        self._due.put(None)
        self._thread.join()

    def _run(self) -> None:
        while (due := self._due.get()) is not None:
            time.sleep(max(0, due[0] - time.monotonic_ns()) / 1e9)
            self._loop.call_soon_threadsafe(due[1].set_result, None)


class Room:
    def __init__(self) -> None:
        self.written = self.written_sum = 0


class Load:
    """What all clients of this process share."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.histograms = {name: Histogram() for name in HISTOGRAMS}
        self.sums = dict.fromkeys(SUMS, 0.0)
        self.rooms = [Room() for _ in range(-(-options.connections // options.room_size))]
        self.clients: list[Client] = []
        self.measured_from = self.measured_until = 1 << 62
        self.window_deliveries = self.window_writes = 0
        self.first_error = ""
        # Neighbours in time are not room mates.
        self.order = sorted(range(options.connections), key=lambda index: index * 2_654_435_761 % 4_294_967_291)
        """Whose turn it is to write, by the number of the write."""

    def delivered(self, client: Client, data: bytes, now: int) -> None:
        """Notes the markers in `data`."""
        at = data.find(HEAD)
        while at >= 0:
            at += len(HEAD)
            text = data[at : at + MARKER_BYTES - 1]
            at = data.find(HEAD, at)
            due_at, number = int(text[:14], 16), int(text[16:], 16)
            writer = self.order[number % len(self.order)]
            if number <= client.seen.get(writer, -1):
                continue  # Said once more on the stream.
            client.seen[writer] = number
            client.received += 1
            client.received_sum += number
            self.sums["deliveries"] += 1
            if self.measured_from <= now < self.measured_until:
                self.window_deliveries += 1
            if self.measured_from <= due_at < self.measured_until:
                self.histograms["delivered_ms"].record(now - due_at)


class Client(QuicConnectionProtocol):
    """One connection with one session and one stream."""

    def __init__(self, *given: Any, **more: Any) -> None:
        super().__init__(*given, **more)
        self.http = H3Connection(self._quic, enable_webtransport=True)
        self.load: Load | None = None
        self.session = self.stream = -1
        self.room = self.seat = 0
        self.sequence = 0
        self.status: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self.answered: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.received = self.received_sum = 0
        self.index = 0
        self.seen: dict[int, int] = {}
        """The last write heard of each who writes."""
        self.is_over = False
        self._rest = b""

    async def open(self, load: Load, url: str, index: int) -> None:
        """Listens to its room when this returns."""
        options, self.index = load.options, index
        self.room, self.seat = divmod(index, options.room_size)
        parts = urlsplit(url)
        self.session = self._quic.get_next_available_stream_id()
        headers = {":method": "CONNECT", ":scheme": "https", ":authority": parts.netloc, ":protocol": "webtransport"}
        headers[":path"] = f"{parts.path}?{parts.query}&dg=1"
        self.http.send_headers(self.session, [(name.encode(), value.encode()) for name, value in headers.items()])
        self.transmit()
        status = await self.status
        if status != b"200":
            raise SystemExit(f"the server refuses WebTransport: {status.decode()}")
        self.stream = self.http.create_webtransport_stream(self.session)
        self.load = load
        self._say(encode_frame(b"", is_text=False))
        number = options.first_room + self.room
        self._say(encode_frame(encode_path(1, 0, f"/rooms/r{number}/c{self.seat}"), is_text=False))
        text = b'{"t":"d","d":{"r":1,"a":"q","b":{"p":"/rooms/r%d","h":""}}}' % number
        self._say(encode_frame(text, is_text=True))
        await self.answered

    def write(self, value: bytes) -> None:
        self.sequence += 1
        self.http.send_datagram(self.session, encode_datagram(self.sequence, [(0, value)]))
        self.transmit()

    def _say(self, data: bytes) -> None:
        self._quic.send_stream_data(self.stream, data)
        self.transmit()

    def quic_event_received(self, event: Any) -> None:
        if isinstance(event, ConnectionTerminated):
            self.is_over = True
        if isinstance(event, StreamDataReceived) and event.stream_id == self.stream:
            self._heard(event.data)
            return
        for one in self.http.handle_event(event):
            if isinstance(one, HeadersReceived) and not self.status.done():
                self.status.set_result(dict(one.headers)[b":status"])
            elif isinstance(one, DatagramReceived) and self.load is not None:
                self.load.sums["reads"] += 1
                self.load.sums["read_bytes"] += len(one.data)
                self.load.delivered(self, one.data, time.monotonic_ns())

    def _heard(self, data: bytes) -> None:
        load = self.load
        if load is None:
            return
        load.sums["reads"] += 1
        load.sums["read_bytes"] += len(data)
        now = time.monotonic_ns()
        data = self._rest + data
        at, end = 0, len(data)
        while at + 2 <= end:
            size, start = data[at + 1], at + 2
            if size == 126:
                start, size = at + 4, int.from_bytes(data[at + 2 : at + 4], "big")
            if start + size > end:
                break
            frame, at = data[start : start + size], start + size
            if self.answered.done():
                load.delivered(self, frame, now)
            elif b'"r":1,' in frame:
                self.answered.set_result(None)
        self._rest = data[at:]


async def main(options: argparse.Namespace) -> None:
    load = Load(options)
    where = f"https://{options.host}:{options.port}/.wt?ns={options.ns}"
    with urllib.request.urlopen(where, timeout=10, context=UNVERIFIED) as answer:
        url = json.load(answer)["url"]
    gate = asyncio.Semaphore(OPENING_MAX)
    contexts: list[Any] = []

    async def open_one(index: int) -> None:
        async with gate:
            configuration = QuicConfiguration(
                is_client=True, alpn_protocols=["h3"], verify_mode=ssl.CERT_NONE, max_datagram_frame_size=65_536
            )
            context = connect(options.host, urlsplit(url).port, configuration=configuration, create_protocol=Client)
            contexts.append(context)
            client = await context.__aenter__()
            load.clients.append(client)
            await asyncio.wait_for(client.open(load, url, index), OPENING_SECONDS_MAX)

    await asyncio.gather(*[open_one(index) for index in range(options.connections)])
    _say("connected", ready=len(load.clients))
    if options.pause:
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
    spent = await _write(load)
    until = time.monotonic() + options.drain
    while time.monotonic() < until and load.sums["deliveries"] < load.sums["writes"] * options.room_size:
        await asyncio.sleep(0.02)
    _report(load, spent)
    sys.stdout.flush()
    for context in contexts:
        await context.__aexit__(None, None, None)


async def _write(load: Load) -> float:
    """Open loop: each client in turn; CPU seconds of the measured part."""
    options, by_index = load.options, {client.index: client for client in load.clients}
    gap = int(1e9 / options.writes_per_second)
    start = time.monotonic_ns() + 10_000_000
    load.measured_from = start + int(options.warmup * 1e9)
    load.measured_until = load.measured_from + int(options.seconds * 1e9)
    fill = b"x" * max(0, options.value_bytes - MARKER_BYTES - 8)
    number, due_at, before = 0, start, -1.0
    alarm = Alarm()
    while due_at < load.measured_until:
        await alarm.wait(due_at)
        now = time.monotonic_ns()
        if before < 0 and now >= load.measured_from:
            before = _cpu_seconds()
            _say("measuring")
        while due_at <= now and due_at < load.measured_until:
            client = by_index[load.order[number % len(load.order)]]
            if client.is_over:
                load.sums["writes_unsent"] += 1
            else:
                client.write(b'{"v":"@%014x%02x%08x%b"}' % (due_at, options.process, number, fill))
                room = load.rooms[client.room]
                room.written += 1
                room.written_sum += number
                load.sums["writes"] += 1
                if due_at >= load.measured_from:
                    load.window_writes += 1
                    load.histograms["sent_late_ms"].record(time.monotonic_ns() - due_at)
            number += 1
            due_at += gap
    alarm.close()
    spent = _cpu_seconds() - before
    _say("measured")
    return spent


def _report(load: Load, spent: float) -> None:
    options, sums = load.options, load.sums
    for client in load.clients:
        room = load.rooms[client.room]
        sums["deliveries_missing"] += max(0, room.written - client.received)
        sums["deliveries_extra"] += max(0, client.received - room.written)
        sums["listeners_mixed_up"] += client.received == room.written and client.received_sum != room.written_sum
        sums["lost"] += client.is_over
    sums |= {
        "connections": options.connections,
        "ready": len(load.clients),
        "rooms": len(load.rooms),
        "writes_per_second": load.window_writes / options.seconds,
        "deliveries_per_second": load.window_deliveries / options.seconds,
        "cpu_seconds": spent,
    }
    histograms = {name: histogram.report() for name, histogram in load.histograms.items()}
    _say("report", **sums, **histograms, busy_share=round(spent / options.seconds, 3), first_error=load.first_error)


def _say(event: str, **more: Any) -> None:
    print(json.dumps({"event": event, **more}), flush=True)


def _cpu_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.transport", description="See load.c.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--ns", default="bench")
    for name, kind, value in (
        ("port", int, 9000), ("connections", int, 100), ("room-size", int, 10), ("value-bytes", int, 64), ("process", int, 0),
        ("first-room", int, 0), ("writes-per-second", float, 100.0), ("warmup", float, 2.0), ("seconds", float, 10.0),
        ("drain", float, 5.0),
    ):  # fmt: skip
        parser.add_argument("--" + name, type=kind, default=value)
    parser.add_argument("--pause", action="store_true")
    return parser.parse_known_args()[0]  # What only load.c can do, such as leaving, is not asked of this.


if __name__ == "__main__":
    sys.setswitchinterval(SWITCH_SECONDS)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main(_options()))
