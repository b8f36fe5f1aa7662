"""A UDP socket for QUIC: several packets with one system call, where the kernel can.

What one peer sent close together comes as one buffer with the size of its segments (UDP_GRO), and what goes to one peer in one
turn leaves the same way (UDP_SEGMENT). Where the kernel refuses, each packet has its call. A wake-up drains the socket up to
RECEIVES_MAX buffers, then others have their turn. What the kernel does not take waits, up to QUEUED_BYTES_MAX, and then is lost,
as packets are.

qh3 has such a transport of its own; it is not used, because what its `recvmmsg` reads at once it takes to be all of one peer.
Source: udp(7); the kernel's Documentation/networking/segmentation-offloads.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import sys
from collections import deque
from collections.abc import Iterator
from typing import Any, Protocol

from meadowlark.server.families import Way
from meadowlark.server.metrics import Metrics

SOL_UDP = 17
UDP_SEGMENT, UDP_GRO = 103, 104
"""Of linux/udp.h; Python has no names for them."""
BUFFER_BYTES = 2 * 1024 * 1024
"""Asked for in each direction: what comes from all clients while the loop is busy, and what goes to all in one turn."""
RECEIVES_MAX = 32
RECEIVE_BYTES = 65_535
SEGMENTS_MAX = 64
SEGMENTS_BYTES_MAX = 65_000
"""Of one call; the kernel's bounds."""
QUEUED_BYTES_MAX = 1024 * 1024

_SIZE = struct.Struct("=H")
_ANCILLARY_BYTES = socket.CMSG_SPACE(4)
_RECEIVED, _SENT = int(Way.RECEIVED), int(Way.SENT)


class Receiver(Protocol):
    """Who is told of packets."""

    def datagrams_received(self, packets: list[bytes], address: Any) -> None:
        """Of one peer, in order."""


class UdpSocket:
    """Reads from its making on until `close`."""

    __slots__ = ("_has_gso", "_loop", "_metrics", "_queue", "_queued_bytes", "_receiver", "_socket")

    def __init__(self, loop: asyncio.AbstractEventLoop, bound: socket.socket, receiver: Receiver, metrics: Metrics) -> None:
        """bound: a UDP socket, which is this one's now."""
        self._loop = loop
        self._socket = bound
        self._receiver: Receiver | None = receiver
        self._metrics = metrics
        self._queue: deque[tuple[list[bytes], Any]] = deque()
        """What the kernel did not take."""
        self._queued_bytes = 0
        bound.setblocking(False)
        for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
            with contextlib.suppress(OSError):
                bound.setsockopt(socket.SOL_SOCKET, option, BUFFER_BYTES)
        with contextlib.suppress(OSError):
            bound.setsockopt(SOL_UDP, UDP_GRO, 1)
        self._has_gso = _has_gso(bound)
        loop.add_reader(bound.fileno(), self._readable)

    def close(self) -> None:
        if self._receiver is None:
            return
        self._receiver = None
        self._queue.clear()
        self._loop.remove_reader(self._socket.fileno())
        self._loop.remove_writer(self._socket.fileno())
        self._socket.close()

    def is_closing(self) -> bool:
        return self._receiver is None

    # Receiving

    def _readable(self) -> None:
        metrics = self._metrics
        for _ in range(RECEIVES_MAX):
            if self._receiver is None:
                return
            try:
                data, ancillary, _, address = self._socket.recvmsg(RECEIVE_BYTES, _ANCILLARY_BYTES)
            except OSError:
                return  # All is read; or the network says of a packet that it did not arrive, which is as if it had been lost.
            size = _segment_bytes(ancillary) or len(data)
            packets = [data] if len(data) <= size else [data[at : at + size] for at in range(0, len(data), size)]
            metrics.quic_calls[_RECEIVED] += 1
            metrics.quic_packets[_RECEIVED] += len(packets)
            metrics.quic_bytes[_RECEIVED] += len(data)
            self._receiver.datagrams_received(packets, address)

    # Sending

    def sendto(self, data: bytes, addr: Any = None) -> None:
        self.sendto_many([data], addr)

    def sendto_many(self, datagrams: list[bytes], addr: Any) -> None:
        """Sends all to one peer. The names are those that qh3 calls."""
        if self._receiver is None:
            return
        for group in _groups(datagrams) if self._has_gso else ([one] for one in datagrams):
            if self._queue or not self._send(group, addr):
                self._wait(group, addr)

    def _send(self, group: list[bytes], address: Any) -> bool:
        """Whether the kernel has taken `group`, or it is lost."""
        metrics = self._metrics
        try:
            if len(group) == 1:
                size = self._socket.sendto(group[0], address)
            else:
                size = self._socket.sendmsg(group, [(SOL_UDP, UDP_SEGMENT, _SIZE.pack(len(group[0])))], 0, address)
        except (BlockingIOError, InterruptedError):
            return False
        except OSError:
            if len(group) > 1:  # The network card cannot, whatever the kernel said.
                self._has_gso = False
                for one in group:
                    if not self._send([one], address):
                        self._wait([one], address)
            return True  # One that is too large for the path is how QUIC finds out that it is.
        metrics.quic_calls[_SENT] += 1
        metrics.quic_packets[_SENT] += len(group)
        metrics.quic_bytes[_SENT] += size
        return True

    def _wait(self, group: list[bytes], address: Any) -> None:
        size = sum(map(len, group))
        if self._queued_bytes + size > QUEUED_BYTES_MAX:
            return
        if not self._queue:
            self._loop.add_writer(self._socket.fileno(), self._writable)
        self._queue.append((group, address))
        self._queued_bytes += size

    def _writable(self) -> None:
        queue = self._queue
        while queue:
            group, address = queue[0]
            if not self._send(group, address):
                return
            queue.popleft()
            self._queued_bytes -= sum(map(len, group))
        self._loop.remove_writer(self._socket.fileno())


def _has_gso(bound: socket.socket) -> bool:
    try:
        bound.setsockopt(SOL_UDP, UDP_SEGMENT, 0)
    except OSError:
        return False
    return True


def _segment_bytes(ancillary: list[tuple[int, int, bytes]]) -> int:
    """0: the buffer is one packet."""
    for level, kind, data in ancillary:
        if level == SOL_UDP and kind == UDP_GRO and len(data) >= _SIZE.size:
            return int.from_bytes(data[:4], sys.byteorder)
    return 0


def _groups(packets: list[bytes]) -> Iterator[list[bytes]]:
    """Neighbours of one size, and a smaller one behind them: what the kernel sends at once."""
    group: list[bytes] = []
    size = total = 0
    for packet in packets:
        if group and (len(packet) > size or len(group) >= SEGMENTS_MAX or total + len(packet) > SEGMENTS_BYTES_MAX):
            yield group
            group, total = [], 0
        if not group:
            size = len(packet)
        group.append(packet)
        total += len(packet)
        if len(packet) < size:
            yield group
            group, total = [], 0
    if group:
        yield group
