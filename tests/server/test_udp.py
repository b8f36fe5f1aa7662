"""Packets over loopback: several with one system call, from several peers, and what is done when the kernel will not."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections import defaultdict
from collections.abc import AsyncIterator
from typing import Any

import pytest

from meadowlark.server.families import Way
from meadowlark.server.metrics import Metrics
from meadowlark.server.udp import SEGMENTS_BYTES_MAX, SEGMENTS_MAX, UdpSocket, _groups
from tests.waiting import until


class Ears:
    def __init__(self) -> None:
        self.heard: dict[Any, list[bytes]] = defaultdict(list)

    def datagrams_received(self, packets: list[bytes], address: Any) -> None:
        self.heard[address] += packets


class End:
    def __init__(self) -> None:
        self.bound = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.bound.bind(("127.0.0.1", 0))
        self.address = self.bound.getsockname()
        self.ears, self.metrics = Ears(), Metrics()
        self.socket = UdpSocket(asyncio.get_running_loop(), self.bound, self.ears, self.metrics)


@contextlib.asynccontextmanager
async def ends(count: int) -> AsyncIterator[list[End]]:
    made = [End() for _ in range(count)]
    try:
        yield made
    finally:
        for end in made:
            end.socket.close()


MIXED = [b"a" * 1200] * 5 + [b"b" * 100] + [b"c" * 50] * 3 + [b"d" * 1400] + [b"e"]


def test_packets_come_as_they_were_sent_with_fewer_calls() -> None:
    async def work() -> None:
        async with ends(2) as (one, other):
            one.socket.sendto_many(MIXED, other.address)
            await until(lambda: sum(map(len, other.ears.heard.values())) == len(MIXED))
            assert other.ears.heard == {one.address: MIXED}
            for metrics, way in ((one.metrics, Way.SENT), (other.metrics, Way.RECEIVED)):
                assert metrics.quic_packets[way] == len(MIXED)
                assert metrics.quic_bytes[way] == sum(map(len, MIXED))
            if one.socket._has_gso:
                assert one.metrics.quic_calls[Way.SENT] == 3

    asyncio.run(work())


def test_packets_of_several_peers_are_told_apart() -> None:
    async def work() -> None:
        async with ends(5) as (server, *peers):
            for number, peer in enumerate(peers):
                for _ in range(3):
                    peer.socket.sendto(b"%d" % number * 30, server.address)
            await until(lambda: sum(map(len, server.ears.heard.values())) == 12)
            assert server.ears.heard == {peer.address: [b"%d" % number * 30] * 3 for number, peer in enumerate(peers)}

    asyncio.run(work())


def test_where_the_kernel_refuses_to_send_several_each_is_sent() -> None:
    class Old:
        """A socket of a kernel, or on a card, without UDP_SEGMENT."""

        def __init__(self, bound: socket.socket) -> None:
            self.bound = bound

        def __getattr__(self, name: str) -> Any:
            return getattr(self.bound, name)

        def sendmsg(self, *given: Any) -> int:
            raise OSError(5, "Input/output error")

    async def work() -> None:
        async with ends(2) as (one, other):
            one.socket._has_gso = True
            one.socket._socket = Old(one.bound)  # type: ignore[assignment]
            one.socket.sendto_many(MIXED, other.address)
            await until(lambda: sum(map(len, other.ears.heard.values())) == len(MIXED))
            assert other.ears.heard == {one.address: MIXED}
            assert not one.socket._has_gso
            assert one.metrics.quic_calls[Way.SENT] == len(MIXED)

    asyncio.run(work())


def test_what_the_kernel_does_not_take_waits_in_order_and_not_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    class Full:
        def __init__(self, bound: socket.socket) -> None:
            self.bound, self.is_full = bound, True

        def __getattr__(self, name: str) -> Any:
            return getattr(self.bound, name)

        def sendto(self, *given: Any) -> int:
            if self.is_full:
                raise BlockingIOError
            return self.bound.sendto(*given)

    async def work() -> None:
        monkeypatch.setattr("meadowlark.server.udp.QUEUED_BYTES_MAX", 20)
        async with ends(2) as (one, other):
            full = one.socket._socket = Full(one.bound)  # type: ignore[assignment]
            one.socket._has_gso = False
            for number in range(30):
                one.socket.sendto(b"%d" % number, other.address)
            full.is_full = False
            await until(lambda: not one.socket._queue)
            one.socket.sendto(b"last", other.address)
            await until(lambda: other.ears.heard[one.address][-1:] == [b"last"])
            assert other.ears.heard[one.address] == [b"%d" % number for number in range(15)] + [b"last"]
            assert one.socket._queued_bytes == 0

    asyncio.run(work())


def test_one_that_is_too_large_is_lost_and_the_others_are_not() -> None:
    async def work() -> None:
        async with ends(2) as (one, other):
            one.socket.sendto_many([b"a", b"x" * 70_000, b"b"], other.address)
            await until(lambda: len(other.ears.heard[one.address]) == 2)
            assert other.ears.heard[one.address] == [b"a", b"b"]

    asyncio.run(work())


def test_a_closed_socket_sends_nothing() -> None:
    async def work() -> None:
        async with ends(1) as (one,):
            one.socket.close()
            assert one.socket.is_closing()
            one.socket.sendto(b"a", one.address)
            one.socket.close()

    asyncio.run(work())


@pytest.mark.parametrize("sizes", [[], [1], [5, 5, 3, 5, 5, 6, 6], [1] * 200, [1400] * 100, [3, 2, 1]])
def test_a_group_is_of_one_size_but_for_a_smaller_last(sizes: list[int]) -> None:
    packets = [bytes([index % 256]) * size for index, size in enumerate(sizes)]
    groups = list(_groups(packets))
    assert [packet for group in groups for packet in group] == packets
    for group in groups:
        assert len(group) <= SEGMENTS_MAX
        assert sum(map(len, group)) <= SEGMENTS_BYTES_MAX
        assert all(len(packet) == len(group[0]) for packet in group[:-1])
        assert len(group[-1]) <= len(group[0])
