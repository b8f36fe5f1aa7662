"""Joins a connection that ends here to the worker that owns its database, inside the machine.

Only for TLS whose server name did not tell the database: the session's keys live in this process, so the socket cannot be
passed on. One end of a loopback TCP pair goes to the owner as if it were the connection (TCP, because libraries set TCP
options on whatever they are given); this end is pumped both ways, each side reading only as fast as the other takes.
"""

from __future__ import annotations

import asyncio
import socket
from typing import cast

BUFFER_BYTES = 65_536


def make_pair() -> tuple[socket.socket, socket.socket]:
    """Two ends of one TCP connection inside the machine; nobody else can be at the other end."""
    with socket.create_server(("127.0.0.1", 0), backlog=1) as listener:
        near = socket.create_connection(listener.getsockname(), timeout=1.0)
        far, address = listener.accept()
        if address != near.getsockname():
            near.close()
            far.close()
            raise ConnectionError("somebody else connected to the relay: expected our own connection")
    near.setblocking(False)
    far.setblocking(False)
    return near, far


class RelaySide(asyncio.BufferedProtocol):
    """One of two ends; what it reads goes to the other."""

    def __init__(self) -> None:
        self._buffer = bytearray(BUFFER_BYTES)
        self._transport: asyncio.Transport | None = None
        self._other: RelaySide | None = None

    def join(self, other: RelaySide) -> None:
        self._other, other._other = other, self

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(high=4 * BUFFER_BYTES)

    def write(self, data: bytes) -> None:
        if self._transport is not None:
            self._transport.write(data)

    def get_buffer(self, sizehint: int) -> bytearray:
        return self._buffer

    def buffer_updated(self, count: int) -> None:
        if self._other is not None:
            self._other.write(bytes(memoryview(self._buffer)[:count]))

    def pause_writing(self) -> None:
        if self._other is not None and self._other._transport is not None:
            self._other._transport.pause_reading()

    def resume_writing(self) -> None:
        if self._other is not None and self._other._transport is not None:
            self._other._transport.resume_reading()

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, error: Exception | None) -> None:
        """Ends both; each forgets the other, so that nothing keeps them alive."""
        other, self._other, self._transport = self._other, None, None
        if other is not None:
            transport, other._other = other._transport, None
            if transport is not None:
                transport.close()
