"""The door: accepts connections, looks at how they begin, and hands each to the worker that owns its database.

The listening sockets are shared by all workers; whoever is free accepts. The first bytes are peeked at, not taken, so a
socket that is passed on is untouched. A connection that says nothing is closed after HANDSHAKE_SECONDS.
Does not know: HTTP, beyond where its head names a database.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

import structlog

from meadowlark.limits import HANDSHAKE_SECONDS
from meadowlark.server.metrics import Metrics
from meadowlark.server.routing import find_database

log = structlog.get_logger()

ACCEPTED_PER_TURN_MAX = 32
"""Connections accepted before the loop does other work, so that a storm of joins does not stop everyone else."""
PEEK_BYTES = 8192
OUT_OF_DESCRIPTORS_SECONDS = 0.2

Serve = Callable[[socket.socket], None]
PassOn = Callable[[str, socket.socket], bool]


class Front:
    """`serve` takes a connection here; `pass_on(database, connection)` gives it away and tells whether it did."""

    def __init__(self, listeners: list[socket.socket], metrics: Metrics, *, serve: Serve, pass_on: PassOn | None) -> None:
        """pass_on None: there is one worker, so nothing needs to be looked at."""
        self._listeners = listeners
        self._metrics = metrics
        self._serve = serve
        self._pass_on = pass_on
        self._loop = asyncio.get_running_loop()
        self._silent: dict[int, tuple[socket.socket, float]] = {}
        """Accepted and not heard of yet: by descriptor, with the loop time at which each was accepted."""
        for listener in listeners:
            listener.setblocking(False)
            self._watch(listener)

    def close(self) -> None:
        """Accepts no more. The listening sockets stay open in the supervisor; silent connections are closed."""
        for listener in self._listeners:
            self._loop.remove_reader(listener.fileno())
        self._listeners = []
        for connection, _ in list(self._silent.values()):
            self._forget(connection)
            connection.close()

    def sweep(self, now: float) -> None:
        """Closes connections that have said nothing for too long."""
        for connection, accepted_at in list(self._silent.values()):
            if now - accepted_at > HANDSHAKE_SECONDS:
                self._forget(connection)
                connection.close()

    def _watch(self, listener: socket.socket) -> None:
        if listener in self._listeners:
            self._loop.add_reader(listener.fileno(), self._accept, listener)

    def _accept(self, listener: socket.socket) -> None:
        for _ in range(ACCEPTED_PER_TURN_MAX):
            try:
                connection, _ = listener.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                # Out of descriptors or memory: the connection stays in the kernel's queue for a better moment.
                log.error("cannot accept", error=str(error), retry_seconds=OUT_OF_DESCRIPTORS_SECONDS)
                self._loop.remove_reader(listener.fileno())
                self._loop.call_later(OUT_OF_DESCRIPTORS_SECONDS, self._watch, listener)
                return
            connection.setblocking(False)
            self._metrics.accepted_connections += 1
            if self._pass_on is None:
                self._serve(connection)
            else:
                self._silent[connection.fileno()] = (connection, self._loop.time())
                self._loop.add_reader(connection.fileno(), self._look, connection)

    def _look(self, connection: socket.socket) -> None:
        """The first bytes are here, perhaps not all of the head: what does not tell the database is served here for now."""
        self._forget(connection)
        try:
            head = connection.recv(PEEK_BYTES, socket.MSG_PEEK)
        except OSError:
            connection.close()
            return
        if not head:
            connection.close()
            return
        assert self._pass_on is not None
        database = find_database(head)
        if database is None or not self._pass_on(database, connection):
            self._serve(connection)

    def _forget(self, connection: socket.socket) -> None:
        del self._silent[connection.fileno()]
        self._loop.remove_reader(connection.fileno())
