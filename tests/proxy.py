"""A network between a client and a server that breaks when the test says so, and remembers what the server sent.

A `Proxy` listens on a free port of loopback and relays bytes both ways, of which it understands only WebSocket frames, and those
only when it is asked for `messages`.
"""

from __future__ import annotations

import contextlib
import json
import socket
import struct
import threading
from collections.abc import Iterator
from typing import Any


class Proxy:
    """A TCP relay on loopback in front of `port`: it remembers what the server sends and breaks on demand."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.open_for_new = True
        """False: a new connection is reset at once."""
        self.lets_in: int | None = None
        """So many connections are let in, and those after them reset, until `allow`. None: as many as come."""
        self.swallows = False
        """True: what comes goes nowhere, either way, and nobody is told: a cable that is cut, where nothing is reset."""
        self._lock = threading.Lock()
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        self._half_open: list[socket.socket] = []
        """Sides towards the server whose client has been cut off."""
        self._received: list[bytearray] = []
        """Per connection, in order, every byte that the server sent."""
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def connection_count(self) -> int:
        return len(self._received)

    def cut_client_side(self) -> None:
        """Reset every connection towards the client only: the server still believes in it."""
        with self._lock:
            pairs, self._pairs = self._pairs, []
            self._half_open += [server for _, server in pairs]
        for client, _ in pairs:
            _reset(client)

    def cut(self) -> None:
        """Reset every connection, on both sides, without a closing word."""
        with self._lock:
            pairs, self._pairs = self._pairs, []
            half_open, self._half_open = self._half_open, []
        for side in [side for pair in pairs for side in pair] + half_open:
            _reset(side)

    def refuse(self) -> None:
        """Cut, and let nobody in until `allow`."""
        self.open_for_new = False
        self.cut()

    def allow(self) -> None:
        self.open_for_new = True
        self.lets_in = None

    def messages(self, connection: int) -> list[Any]:
        """The protocol messages that the server sent on the WebSocket number `connection` (0 is the first; -1 the last)."""
        return assemble_messages(bytes(self._received[connection]))

    def received_bytes(self, connection: int) -> int:
        return len(self._received[connection])

    def close(self) -> None:
        self.open_for_new = False
        self._listener.close()
        self.cut()

    def __enter__(self) -> Proxy:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            if not self.open_for_new or (self.lets_in is not None and self.connection_count >= self.lets_in):
                _reset(client)
                continue
            try:
                server = socket.create_connection(("127.0.0.1", self._target), timeout=5)
            except OSError:
                _reset(client)
                continue
            server.settimeout(None)
            kept = bytearray()
            with self._lock:
                self._pairs.append((client, server))
                self._received.append(kept)
            threading.Thread(target=self._pump, args=(client, server, None), daemon=True).start()
            threading.Thread(target=self._pump, args=(server, client, kept), daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket, kept: bytearray | None) -> None:
        with contextlib.suppress(OSError):
            while piece := source.recv(65536):
                if self.swallows:
                    continue
                if kept is not None:
                    kept += piece
                sink.sendall(piece)
        # The end of one side is the end of the other, unless the test wants the server to go on believing.
        if sink not in self._half_open:
            with contextlib.suppress(OSError):
                sink.shutdown(socket.SHUT_WR)


def assemble_messages(received: bytes) -> list[Any]:
    """The JSON messages in the bytes that a server sent on one WebSocket connection, frames put together."""
    _, _, rest = received.partition(b"\r\n\r\n")
    messages: list[Any] = []
    pending: list[str] = []
    missing = 0
    for text in _text_frames(rest):
        if missing:
            pending.append(text)
            missing -= 1
        elif len(text) <= 6 and text.isdigit():
            missing = int(text)
        else:
            pending.append(text)
        if pending and not missing:
            messages.append(json.loads("".join(pending)))
            pending = []
    return messages


def _text_frames(stream: bytes) -> Iterator[str]:
    place = 0
    while place + 2 <= len(stream):
        opcode, length = stream[place] & 15, stream[place + 1] & 127
        place += 2
        if length == 126:
            (length,) = struct.unpack_from(">H", stream, place)
            place += 2
        elif length == 127:
            (length,) = struct.unpack_from(">Q", stream, place)
            place += 8
        payload = stream[place : place + length]
        if len(payload) < length:
            return
        place += length
        if opcode == 1:
            yield payload.decode()


def _reset(side: socket.socket) -> None:
    with contextlib.suppress(OSError):
        side.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    # shutdown wakes a thread that is blocked in recv on this socket; close alone would leave it there.
    with contextlib.suppress(OSError):
        side.shutdown(socket.SHUT_RDWR)
    side.close()
