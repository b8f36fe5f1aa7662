"""The door: connections are let in at the rate of its share, in order, none is refused, and who is in goes before who is out."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable

from meadowlark.limits import ARRIVALS_MAX
from meadowlark.server.front import ACCEPTED_PER_TURN_MAX, LET_IN_NANOSECONDS, Front
from meadowlark.server.lanes import SHARE_NANOSECONDS, Lanes
from meadowlark.server.metrics import Metrics

LET_IN_PER_TURN_MAX = SHARE_NANOSECONDS // LET_IN_NANOSECONDS + 1


class Made:
    """A door on a free port, that keeps what it lets in; `clients` can be made at once, since the kernel's queue takes them."""

    def __init__(self) -> None:
        self.lanes = Lanes(asyncio.get_running_loop())
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.inside: list[socket.socket] = []
        self.clients: list[socket.socket] = []
        self.metrics = Metrics()
        self.front = Front([self.listener], self.metrics, self.lanes, serve=self.inside.append, pass_on=None)

    def connect(self, count: int) -> None:
        for _ in range(count):
            client = socket.socket()
            self.clients.append(client)
            client.connect(self.listener.getsockname())

    def close(self) -> None:
        self.front.close()
        for each in (*self.inside, *self.clients, self.listener):
            each.close()


def run(scenario: Callable[[Made], Awaitable[None]]) -> None:
    async def main() -> None:
        made = Made()
        try:
            await scenario(made)
        finally:
            made.close()

    asyncio.run(asyncio.wait_for(main(), 60))


def test_one_connection_is_let_in_at_once() -> None:
    async def scenario(made: Made) -> None:
        made.connect(1)
        while not made.inside:
            await asyncio.sleep(0.001)
        assert not made.lanes.door.is_over

    run(scenario)


def test_a_storm_is_let_in_a_share_a_turn_in_order_and_all_of_it() -> None:
    async def scenario(made: Made) -> None:
        made.connect(300)
        most = 0
        while len(made.inside) < 300:
            before = len(made.inside)
            await asyncio.sleep(0)
            most = max(most, len(made.inside) - before)
        assert most <= LET_IN_PER_TURN_MAX < ACCEPTED_PER_TURN_MAX
        assert [one.getpeername() for one in made.inside] == [client.getsockname() for client in made.clients]
        assert made.metrics.accepted_connections == 300

    run(scenario)


def test_who_is_in_goes_before_who_is_out() -> None:
    """A join takes several messages: with a hundred ahead of each, none would end before all have begun."""

    async def scenario(made: Made) -> None:
        made.connect(100)
        while not made.lanes.door.is_over:
            await asyncio.sleep(0)
        went_on_at: list[int] = []
        for _ in range(10):
            made.lanes.wait(made.lanes.door, lambda: went_on_at.append(len(made.inside)))
        while len(made.inside) < 100:
            await asyncio.sleep(0)
        assert max(went_on_at) - min(went_on_at) <= LET_IN_PER_TURN_MAX

    run(scenario)


def test_a_full_row_leaves_the_others_in_the_kernels_queue() -> None:
    async def scenario(made: Made) -> None:
        made.lanes.spend(made.lanes.door, 10**12)  # Nobody is let in for as long as this test lasts.
        left, right = socket.socketpair()
        for _ in range(ARRIVALS_MAX):
            made.front.enter(left, lambda connection: None)
        assert made.front.is_full
        made.connect(3)
        for _ in range(50):
            await asyncio.sleep(0)
        assert made.metrics.accepted_connections == 0
        made.front._arrivals.clear()
        while made.metrics.accepted_connections < 3:
            await asyncio.sleep(0.001)
        left.close()
        right.close()

    run(scenario)
