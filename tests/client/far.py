"""The other end of a client's WebSocket, in the hands of a test: it says what it is told, reads when it may, and is all there is.

A `Far` listens on a free port of loopback. It shakes hands and greets as a server does, unless the test brings `talk` of its own.
Everything that a client said is in `heard`, in its order, whichever connection brought it.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import re
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

GREETING = {"t": "c", "d": {"t": "h", "d": {"ts": 1_700_000_000_000, "v": "5", "h": "far", "s": "session"}}}

Talk = Callable[["End"], Awaitable[None]]


class End:
    """The far end of one connection."""

    def __init__(self, far: Far, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.far = far
        self.reader = reader
        self.writer = writer
        self.head = b""
        self.heard: list[dict[str, Any]] = []
        """What this connection brought."""
        self.answers = True
        self.before: dict[str, Any] = {}
        """What is told before the answer to a request, by its action."""
        self.statuses: dict[str, str] = {}
        """Of answers, by action, where they are not ok."""

    async def shake_hands(self) -> None:
        self.head = await self.reader.readuntil(b"\r\n\r\n")
        found = re.search(rb"(?i)sec-websocket-key: *(\S+)", self.head)
        assert found is not None
        accept = base64.b64encode(hashlib.sha1(found[1] + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())
        head = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "
        self.writer.write(head + accept + b"\r\n\r\n")

    def say(self, message: Any) -> None:
        """A message, or the bytes of a text frame's payload."""
        self.frame(0x81, message if isinstance(message, bytes) else json.dumps(message).encode())

    def frame(self, head: int, payload: bytes) -> None:
        size = len(payload)
        length = (
            bytes([size])
            if size < 126
            else b"\x7e" + size.to_bytes(2, "big")
            if size < 65_536
            else b"\x7f" + size.to_bytes(8, "big")
        )
        self.writer.write(bytes([head]) + length + payload)

    async def listen(self) -> None:
        """Hears what comes until the client ends, and answers requests and pings as long as it answers."""
        while True:
            head = await self.reader.readexactly(2)
            size = head[1] & 0x7F
            if size == 126:
                size = int.from_bytes(await self.reader.readexactly(2), "big")
            elif size == 127:
                size = int.from_bytes(await self.reader.readexactly(8), "big")
            mask = await self.reader.readexactly(4)
            payload = bytes(byte ^ mask[place % 4] for place, byte in enumerate(await self.reader.readexactly(size)))
            if head[0] & 15 == 8:
                return
            self.far.kinds.append(head[0] & 15)
            if head[0] & 15 == 9 and self.answers:
                self.frame(0x8A, payload)
            if head[0] & 15 == 1 and payload.startswith(b"{"):
                message = json.loads(payload)
                self.far.heard.append(message["d"])
                self.heard.append(message["d"])
                if self.answers and "r" in message["d"]:
                    status = self.statuses.get(message["d"]["a"], "ok")
                    if message["d"]["a"] in self.before:
                        self.say(self.before[message["d"]["a"]])
                    self.say({"t": "d", "d": {"r": message["d"]["r"], "b": {"s": status, "d": ""}}})


class Far:
    """What stands in for a server."""

    def __init__(self, talk: Talk | None) -> None:
        self._talk = talk or _greet_and_listen
        self.heard: list[dict[str, Any]] = []
        self.kinds: list[int] = []
        """Of all frames that came: 1 text, 9 ping, …"""
        self.reads = asyncio.Event()
        self.reads.set()
        self.ends: list[End] = []
        self.port = 0
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}?ns=far"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.append(task)
        end = End(self, reader, writer)
        self.ends.append(end)
        try:
            await self._talk(end)
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            writer.transport.abort()


async def _greet_and_listen(end: End) -> None:
    await end.shake_hands()
    end.say(GREETING)
    await end.far.reads.wait()
    await end.listen()


@asynccontextmanager
async def far_end(talk: Talk | None = None) -> AsyncIterator[Far]:
    far = Far(talk)
    # With small buffers, so that what is not read soon stands at the client.
    listener = socket.create_server(("127.0.0.1", 0))
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16_384)
    server = await asyncio.start_server(far._serve, sock=listener, limit=4096)
    far.port = listener.getsockname()[1]
    try:
        yield far
    finally:
        server.close()
        for task in far._tasks:
            task.cancel()
        await asyncio.gather(*far._tasks, return_exceptions=True)
        await asyncio.sleep(0.01)  # For the loop to close what was aborted.
