"""Workers run without a collector: whatever a connection leaves behind must go by itself."""

from __future__ import annotations

import asyncio
import base64
import collections
import gc
import os
from typing import Any

import pytest
import uvloop

from meadowlark.server.http import HttpConnection
from meadowlark.server.realtime import RealtimeConnection
from meadowlark.server.websocket import adopt
from tests.server.rest_server import MemoryWorker

ROUNDS = 25
OF_INTEREST = (
    "RealtimeConnection",
    "WSProtocol",
    "WSTransport",
    "WebSocketLine",
    "LongPollLine",
    "Poll",
    "Session",
    "Outbox",
    "Ordering",
    "Spot",
    "View",
    "HttpConnection",
    "Task",
    "RestCall",
)


class UpgradingWorker(MemoryWorker):
    """Makes real WebSockets, as a worker does."""

    def upgrade(
        self, transport: asyncio.Transport, head: bytes, rest: bytes, database: str, parameters: dict[str, str], host: str
    ) -> None:
        self.shard.create(database)
        hosted = self.shard._hosted[database]
        adopt(transport, RealtimeConnection(self, hosted, os.urandom(8).hex(), host), head + rest)  # type: ignore[arg-type]


def masked(text: bytes) -> bytes:
    assert len(text) < 126
    return bytes([0x81, 0x80 | len(text)]) + bytes(4) + text


async def visit(port: int, *, politely: bool) -> None:
    """One realtime client: greets, listens, writes, leaves."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    key = base64.b64encode(os.urandom(16)).decode()
    writer.write(
        f"GET /.ws?v=5&ns=demo HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
    )
    await reader.readuntil(b"\r\n\r\n")
    writer.write(masked(b'{"t":"d","d":{"r":1,"a":"q","b":{"p":"/a","h":""}}}'))
    # And to a query, of which some windows are told, and some refused.
    writer.write(masked(b'{"t":"d","d":{"r":3,"a":"q","b":{"p":"/a","h":"","q":{"i":"n","l":2,"vf":"l"},"t":1}}}'))
    writer.write(masked(b'{"t":"d","d":{"r":4,"a":"q","b":{"p":"/a","h":"","q":{"l":0},"t":2}}}'))
    writer.write(masked(b'{"t":"d","d":{"r":2,"a":"p","b":{"p":"/a","d":{"b":1}}}}'))
    await reader.readuntil(b'"r":2')
    if politely:
        writer.write(bytes([0x88, 0x82, 0, 0, 0, 0, 0x03, 0xE8]))
        await reader.read()
    writer.close()
    await writer.wait_closed()


async def ask(port: int) -> None:
    """One REST client with two requests."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for _ in range(2):
        writer.write(b"PUT /x.json?ns=demo HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\n1")
        await reader.readuntil(b"\r\n\r\n1")
    writer.close()
    await writer.wait_closed()


async def poll(port: int) -> None:
    """One client of long polls: begins, listens, writes, says that it ends; a poll of it is held then."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)

    async def ask(query: str) -> bytes:
        writer.write(f"GET /.lp?ns=demo&{query} HTTP/1.1\r\nHost: h\r\n\r\n".encode())
        head = await reader.readuntil(b"\r\n\r\n")
        return await reader.readexactly(int(head.partition(b"Content-Length: ")[2].partition(b"\r")[0]))

    _, id, _, password, _ = (await ask("start=t&cb=1")).partition(b"'start',")[2].split(b"'")[:5]
    who = f"id={id.decode()}&pw={password.decode()}"
    messages = [
        b'{"t":"d","d":{"r":1,"a":"q","b":{"p":"/a","h":""}}}',
        b'{"t":"d","d":{"r":2,"a":"p","b":{"p":"/a","d":{"b":1}}}}',
    ]
    pieces = "".join(f"&seg{n}={n}&ts{n}=1&d{n}={base64.b64encode(text, b'-_').decode()}" for n, text in enumerate(messages))
    seen = await ask(f"{who}&ser=1{pieces.replace('=', '=').replace('==', '..')}")
    while b'"r":2' not in seen:
        seen += await ask(f"{who}&ser={len(seen)}")
    _, held_writer = await asyncio.open_connection("127.0.0.1", port)
    held_writer.write(f"GET /.lp?ns=demo&{who}&ser=0 HTTP/1.1\r\nHost: h\r\n\r\n".encode())
    await ask(f"disconn=t&{who}")
    writer.close()
    held_writer.close()
    await writer.wait_closed()
    await held_writer.wait_closed()


def census() -> collections.Counter[str]:
    return collections.Counter(name for name in (type(each).__name__ for each in gc.get_objects()) if name in OF_INTEREST)


async def left_by(client: Any) -> dict[str, int]:
    """Objects that `ROUNDS` clients left on a server, beyond what the first ones did."""
    loop = asyncio.get_running_loop()
    worker = UpgradingWorker()
    server = await loop.create_server(lambda: HttpConnection(worker, secure=False), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    await client(port)
    await asyncio.sleep(0.05)
    before = census()
    for _ in range(ROUNDS):
        await client(port)
    while worker.connections or worker.sessions:
        await asyncio.sleep(0)

    def left() -> dict[str, int]:
        return {name: count for name, count in (census() - before).items() if count > 2}

    for _ in range(100):
        # What is being closed takes some turns of the loop.
        if not left():
            break
        await asyncio.sleep(0.05)
    server.close()
    return left()


@pytest.mark.parametrize("client", [lambda port: visit(port, politely=True), lambda port: visit(port, politely=False), ask, poll])
def test_connections_leave_no_cycles_behind(client: Any) -> None:
    gc.collect()
    gc.disable()
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            assert runner.run(asyncio.wait_for(left_by(client), 60)) == {}
    finally:
        gc.enable()
        gc.collect()
