"""The door: accepts connections, lets them in one by one, looks at how they begin, and hands each to the worker that owns its
database.

The listening sockets are shared by all workers; whoever is free accepts. To accept costs little, what follows (a handshake, a
credential, the first listens) twenty times as much: so what was accepted waits in a row, and the door's share of the loop
(lanes.py) says when the next is let in. A storm of joins is admitted at the rate that leaves everyone else their time, and nobody
is refused. Who is in goes before who is out, so each join takes little once it has begun.
The first bytes are peeked at, not taken, so a socket that is passed on is untouched. A connection that says nothing is closed
HANDSHAKE_SECONDS after it was let in.
Does not know: HTTP, beyond where its head names a database.
"""

from __future__ import annotations

import asyncio
import socket
from collections import deque
from collections.abc import Callable

import structlog

from meadowlark.limits import ARRIVALS_MAX, HANDSHAKE_SECONDS
from meadowlark.server.lanes import Lanes
from meadowlark.server.metrics import Metrics
from meadowlark.server.routing import find_database

log = structlog.get_logger()

ACCEPTED_PER_TURN_MAX = 32
"""Connections accepted before the loop does other work: a third of a millisecond."""
LET_IN_NANOSECONDS = 300_000
"""Charged to the door for each connection: opening it, its HTTP, making a WebSocket of it (bench/storm.py)."""
LOOK_NANOSECONDS = 60_000
"""And for one that may only be looked at and passed on."""
FULL_SECONDS = 0.2
"""Until a full row is looked at again."""
PEEK_BYTES = 8192
OUT_OF_DESCRIPTORS_SECONDS = 0.2

LetIn = Callable[[socket.socket], object]
Serve = Callable[[socket.socket], None]
PassOn = Callable[[str, socket.socket], bool]


class Front:
    """`serve` takes a connection here; `pass_on(database, connection)` gives it away and tells whether it did."""

    def __init__(
        self, listeners: list[socket.socket], metrics: Metrics, lanes: Lanes, *, serve: Serve, pass_on: PassOn | None
    ) -> None:
        """pass_on None: there is one worker, so nothing needs to be looked at."""
        self._listeners = listeners
        self._metrics = metrics
        self._serve = serve
        self._pass_on = pass_on
        self._loop = asyncio.get_running_loop()
        self._lanes = lanes
        self._arrivals: deque[tuple[socket.socket, LetIn, int]] = deque()
        """Those who wait to be let in, each with what lets it in, and what that costs."""
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
        for connection, _, _ in self._arrivals:
            connection.close()
        self._arrivals.clear()

    @property
    def is_full(self) -> bool:
        """Whether the row is as long as it may be."""
        return len(self._arrivals) >= ARRIVALS_MAX

    def enter(self, connection: socket.socket, let_in: LetIn, nanoseconds: int = LET_IN_NANOSECONDS) -> None:
        """Calls `let_in` with `connection` when it is its turn. nanoseconds: charged to the door."""
        if self._lanes.door.is_over or self._arrivals:
            self._arrivals.append((connection, let_in, nanoseconds))
            if len(self._arrivals) == 1:
                self._lanes.wait(self._lanes.door, self._let_next_in)
        else:
            self._let_in(connection, let_in, nanoseconds)

    def sweep(self, now: float) -> None:
        """Closes connections that have said nothing for too long."""
        for connection, accepted_at in list(self._silent.values()):
            if now - accepted_at > HANDSHAKE_SECONDS:
                self._forget(connection)
                connection.close()

    def _let_next_in(self) -> None:
        """The door has time for one more. The row stands in it once, at its end, behind all those who are in."""
        if self._arrivals:
            self._let_in(*self._arrivals.popleft())
        if self._arrivals:
            self._lanes.wait(self._lanes.door, self._let_next_in)

    def _let_in(self, connection: socket.socket, let_in: LetIn, nanoseconds: int) -> None:
        self._lanes.spend(self._lanes.door, nanoseconds)
        let_in(connection)

    def _watch(self, listener: socket.socket) -> None:
        if listener in self._listeners:
            self._loop.add_reader(listener.fileno(), self._accept, listener)

    def _accept(self, listener: socket.socket) -> None:
        if self.is_full:
            self._pause(listener, FULL_SECONDS)
            return
        for _ in range(ACCEPTED_PER_TURN_MAX):
            try:
                connection, _ = listener.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                # Out of descriptors or memory: the connection stays in the kernel's queue for a better moment.
                log.error("cannot accept", error=str(error), retry_seconds=OUT_OF_DESCRIPTORS_SECONDS)
                self._pause(listener, OUT_OF_DESCRIPTORS_SECONDS)
                return
            connection.setblocking(False)
            self._metrics.accepted_connections += 1
            if self._pass_on is None:
                self.enter(connection, self._serve)
            else:
                self.enter(connection, self._await_head, LOOK_NANOSECONDS)

    def _pause(self, listener: socket.socket, seconds: float) -> None:
        self._loop.remove_reader(listener.fileno())
        self._loop.call_later(seconds, self._watch, listener)

    def _await_head(self, connection: socket.socket) -> None:
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
            self._lanes.spend(self._lanes.door, LET_IN_NANOSECONDS - LOOK_NANOSECONDS)
            self._serve(connection)

    def _forget(self, connection: socket.socket) -> None:
        del self._silent[connection.fileno()]
        self._loop.remove_reader(connection.fileno())
