"""Passing connections between workers: an untouched or half-read socket goes to the worker that owns its database.

Each worker has an inbox, a SEQPACKET pair whose reading end outlives the worker (the supervisor holds both ends), so what
was sent to a worker that died reaches the one that replaces it. A message is one JSON line about the connection, the
bytes already read from it, and the socket itself as ancillary data (SCM_RIGHTS). Whoever sends closes its own copy. A message
without a socket asks to look at what all workers share: a hint, for who misses it looks all the same, only later.
Invariant: a connection is never in two workers' hands and never dropped without a log line.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections import deque
from collections.abc import Callable

import msgspec
import structlog

log = structlog.get_logger()

MESSAGE_BYTES_MAX = 200_000
"""Of one message, below the kernel's default limit for a sending buffer."""
WAITING_MAX = 4_096
"""Connections that may wait for a full inbox; more are told to come back, and closed."""
TAKEN_PER_TURN_MAX = 64
"""Connections taken from the inbox before the loop does other work."""

_LOOK = b"look\n"


class Passed(msgspec.Struct, frozen=True):
    """What the receiver must know. `secure`: the client's side is TLS, ended by the sender, which relays."""

    secure: bool = False


Arrival = Callable[[socket.socket, bytes, Passed], None]


class Peers:
    """This worker's inbox and the way into everyone else's."""

    def __init__(
        self,
        inbox: socket.socket,
        others: list[socket.socket],
        arrived: Arrival,
        refusal: bytes = b"",
        asked_to_look: Callable[[], None] = lambda: None,
    ) -> None:
        """others: by worker index; the own entry is unused. `arrived` is called with each connection passed here.

        refusal: what a connection is told that cannot be passed on because too many wait already.
        """
        self._refusal = refusal
        self._inbox = inbox
        self._others = others
        self._arrived = arrived
        self._asked_to_look = asked_to_look
        self._waiting: dict[int, deque[tuple[bytes, int]]] = {}
        self._loop = asyncio.get_running_loop()
        inbox.setblocking(False)
        for other in others:
            other.setblocking(False)
        self._loop.add_reader(inbox.fileno(), self._receive)

    def send(self, worker: int, connection: int, consumed: bytes = b"", passed: Passed | None = None) -> bool:
        """Hands the socket with descriptor `connection` to `worker`, closing it here. False: that failed, and it is closed."""
        message = msgspec.json.encode(passed or Passed()) + b"\n" + consumed
        if len(message) > MESSAGE_BYTES_MAX:
            return self._give_up(connection, "too much was read before its database was known")
        if worker in self._waiting:
            return self._wait(worker, message, connection)
        try:
            socket.send_fds(self._others[worker], [message], [connection])
        except BlockingIOError:
            return self._wait(worker, message, connection)
        except OSError as error:
            return self._give_up(connection, str(error))
        os.close(connection)
        return True

    def ask_to_look(self, worker: int) -> None:
        """`worker` looks soon at what all share, unless its inbox is full."""
        with contextlib.suppress(OSError):
            self._others[worker].send(_LOOK)

    def close(self) -> None:
        """Takes no more; what waits in the inbox stays for the next worker."""
        self._loop.remove_reader(self._inbox.fileno())
        for worker, queue in self._waiting.items():
            self._loop.remove_writer(self._others[worker].fileno())
            for _, connection in queue:
                os.close(connection)
        self._waiting.clear()

    def _wait(self, worker: int, message: bytes, connection: int) -> bool:
        queue = self._waiting.get(worker)
        if queue is None:
            queue = self._waiting[worker] = deque()
            self._loop.add_writer(self._others[worker].fileno(), self._send_waiting, worker)
        if len(queue) >= WAITING_MAX:
            with contextlib.suppress(OSError):
                os.write(connection, self._refusal)
            return self._give_up(connection, f"{WAITING_MAX} connections wait for worker {worker} already")
        queue.append((message, connection))
        return True

    def _send_waiting(self, worker: int) -> None:
        queue = self._waiting[worker]
        while queue:
            message, connection = queue[0]
            try:
                socket.send_fds(self._others[worker], [message], [connection])
            except BlockingIOError:
                return
            except OSError as error:
                self._give_up(connection, str(error))
            else:
                os.close(connection)
            queue.popleft()
        del self._waiting[worker]
        self._loop.remove_writer(self._others[worker].fileno())

    def _give_up(self, connection: int, reason: str) -> bool:
        os.close(connection)
        log.warning("connection not passed on", reason=reason)
        return False

    def _receive(self) -> None:
        for _ in range(TAKEN_PER_TURN_MAX):
            try:
                message, descriptors, _, _ = socket.recv_fds(self._inbox, MESSAGE_BYTES_MAX + 4096, 4)
            except BlockingIOError:
                return
            except OSError as error:
                log.error("inbox failed", error=str(error))
                return
            if message == _LOOK:
                self._asked_to_look()
                continue
            if not descriptors:
                return
            connection = socket.socket(fileno=descriptors[0])
            for extra in descriptors[1:]:
                os.close(extra)
            head, _, consumed = message.partition(b"\n")
            try:
                passed = msgspec.json.decode(head, type=Passed)
            except msgspec.DecodeError as error:
                connection.close()
                log.error("inbox message not understood", error=str(error))
                continue
            self._arrived(connection, consumed, passed)
