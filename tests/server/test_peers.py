"""Connections handed from worker to worker through inboxes."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Awaitable, Callable

import pytest

from meadowlark.server import peers as peers_module
from meadowlark.server.peers import MESSAGE_BYTES_MAX, Passed, Peers
from tests.waiting import until

Arrived = list[tuple[socket.socket, bytes, Passed]]


def run(scenario: Callable[[Peers, Peers, Arrived], Awaitable[None]]) -> None:
    """Two workers, 0 and 1; `arrived` has what 1 received."""

    async def both() -> None:
        pairs = [socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET) for _ in range(2)]
        arrived: Arrived = []
        first = Peers(pairs[0][0], [pair[1].dup() for pair in pairs], lambda *_: None, b"come back")
        second = Peers(pairs[1][0], [pair[1].dup() for pair in pairs], lambda *each: arrived.append(each))
        try:
            await scenario(first, second, arrived)
        finally:
            first.close()
            second.close()
            for connection, _, _ in arrived:
                connection.close()
            for peers in (first, second):
                for other in peers._others:
                    other.close()
            for pair in pairs:
                for end in pair:
                    end.close()

    asyncio.run(asyncio.wait_for(both(), 60))


def test_a_connection_arrives_with_what_was_read_from_it() -> None:
    async def scenario(first: Peers, second: Peers, arrived: Arrived) -> None:
        near, far = socket.socketpair()
        assert first.send(1, far.detach(), b"GET /\nmore", Passed(secure=True))
        await until(lambda: bool(arrived))
        connection, consumed, passed = arrived[0]
        assert (consumed, passed) == (b"GET /\nmore", Passed(secure=True))
        near.send(b"hello")
        assert connection.recv(5) == b"hello"
        near.close()

    run(scenario)


def test_another_worker_is_asked_to_look_at_what_all_share() -> None:
    async def scenario(first: Peers, second: Peers, arrived: Arrived) -> None:
        looked: list[bool] = []
        second._asked_to_look = lambda: looked.append(True)
        near, far = socket.socketpair()
        first.ask_to_look(1)
        first.send(1, far.detach())
        await until(lambda: bool(arrived))
        assert looked == [True]
        near.close()

    run(scenario)


def test_the_sender_keeps_no_copy() -> None:
    async def scenario(first: Peers, second: Peers, arrived: Arrived) -> None:
        near, far = socket.socketpair()
        first.send(1, far.detach())
        await until(lambda: bool(arrived))
        arrived.pop()[0].close()
        assert near.recv(1) == b""
        near.close()

    run(scenario)


def test_connections_wait_in_order_for_a_full_inbox(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(first: Peers, second: Peers, arrived: Arrived) -> None:
        nears = []
        consumed = bytes(30_000)
        for number in range(40):
            near, far = socket.socketpair()
            nears.append(near)
            assert first.send(1, far.detach(), consumed + str(number).encode())
        assert first._waiting
        await until(lambda: len(arrived) == 40)
        assert [int(each[1][30_000:]) for each in arrived] == list(range(40))
        assert not first._waiting
        for near in nears:
            near.close()

    run(scenario)


def test_what_waits_for_a_full_inbox_is_bounded_and_the_rest_told_to_come_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peers_module, "WAITING_MAX", 3)

    async def scenario(first: Peers, second: Peers, arrived: Arrived) -> None:
        sent = []
        nears = []
        for _ in range(40):
            near, far = socket.socketpair()
            nears.append(near)
            sent.append(first.send(1, far.detach(), bytes(30_000)))
        assert not all(sent)
        assert nears[-1].recv(100) == b"come back"
        assert nears[-1].recv(1) == b""
        await until(lambda: len(arrived) == sum(sent))
        for near in nears:
            near.close()

    run(scenario)


def test_too_much_consumed_is_refused_and_the_connection_closed() -> None:
    async def scenario(first: Peers, second: Peers, arrived: Arrived) -> None:
        near, far = socket.socketpair()
        descriptor = far.detach()
        assert not first.send(1, descriptor, bytes(MESSAGE_BYTES_MAX))
        assert near.recv(1) == b""
        with pytest.raises(OSError):  # noqa: PT011
            os.fstat(descriptor)
        near.close()

    run(scenario)
