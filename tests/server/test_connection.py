"""One realtime connection on a transport in memory: whose share its messages take, what waits in what order, silence."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from itertools import count
from typing import Any

from meadowlark.engine import Client, Listen
from meadowlark.limits import LARGE_BYTES, LOST_SECONDS, PING_SECONDS, VOLATILE_LOST_SECONDS, VOLATILE_PING_SECONDS
from meadowlark.server.hosted import Hosted
from meadowlark.server.lanes import SHARE_NANOSECONDS
from meadowlark.server.outbox import Turn
from meadowlark.server.realtime import DOOR_MESSAGES, HELD_FRAMES, SWEEP_SECONDS, RealtimeConnection
from meadowlark.server.stopwatch import Stopwatch
from tests.server.rest_server import MemoryWorker


class Wire:
    """A line."""

    def __init__(self) -> None:
        self.written = b""
        self.is_reading = True
        self.pings = 0
        self.is_aborted = False

    def write(self, data: bytes) -> None:
        self.written += data

    def pause_reading(self) -> None:
        self.is_reading = False

    def resume_reading(self) -> None:
        self.is_reading = True

    def ask(self) -> None:
        self.pings += 1

    def abort(self) -> None:
        self.is_aborted = True

    def close(self, code: Any, reason: str) -> None: ...

    def switch(self) -> None: ...


class Peer:
    """A connection and its client's side."""

    def __init__(self, host: Any, hosted: Hosted, name: str) -> None:
        self.line = Wire()
        self.connection = RealtimeConnection(host, hosted, name, "h")
        self.connection.opened(self.line)
        self._request = 0

    def put(self, path: str, value: int) -> None:
        self._request += 1
        text = b'{"t":"d","d":{"r":%d,"a":"p","b":{"p":"%b","d":%d}}}' % (self._request, path.encode(), value)
        self.connection.received(memoryview(text))

    def put_volatile(self, path: str, value: int) -> None:
        self.connection.received(memoryview(b'{"t":"d","d":{"a":"v","b":{"p":"%b","d":%d}}}' % (path.encode(), value)))

    def listen(self, path: str) -> None:
        self._request += 1
        text = b'{"t":"d","d":{"r":%d,"a":"q","b":{"p":"%b","h":""}}}' % (self._request, path.encode())
        self.connection.received(memoryview(text))

    def come_in(self) -> None:
        """What a client sends first."""
        for _ in range(DOOR_MESSAGES):
            self.put("/start", 0)


class Made:
    def __init__(self, worker: MemoryWorker, hosted: Hosted) -> None:
        self.worker, self.hosted = worker, hosted
        self.lanes = worker.turn.lanes
        host: Any = worker
        host.sessions = set()
        self.host = host
        self.order: list[tuple[str, int]] = []
        order = self.order

        class Witness(Client):
            def deliver(self, push: Any) -> None:
                order.append(("/".join(push.path), push.value))

            def encode_reply(self, reply: Any) -> None: ...

            def send_reply(self, encoded: Any) -> None: ...

        worker.shard.apply(hosted, Listen(Witness("witness"), 1, ("log",)))

    def peer(self, name: str) -> Peer:
        return Peer(self.host, self.hosted, name)

    async def settle(self) -> None:
        while self.lanes.has_waiting or self.hosted.lane.is_over or self.lanes.door.is_over:
            await asyncio.sleep(0)


def run(scenario: Callable[[Made], Awaitable[None]]) -> None:
    async def main() -> None:
        worker = MemoryWorker()
        # By this clock everything takes a microsecond, so only the test says who has had its share.
        worker.turn = Turn(asyncio.get_running_loop(), Stopwatch(count(1000, 1000).__next__))
        worker.turn.lanes.sweep(others=True)
        await scenario(Made(worker, await worker.shard.open("db")))

    asyncio.run(asyncio.wait_for(main(), 60))


def test_the_first_messages_are_the_doors_and_the_rest_the_databases() -> None:
    async def scenario(made: Made) -> None:
        peer = made.peer("one")
        for number in range(DOOR_MESSAGES - 1):
            peer.listen(f"/{number}")
            assert made.hosted.lane.spent == 0
        assert made.lanes.door.spent > 0
        for number in range(2):
            peer.listen(f"/more/{number}")
            assert made.hosted.lane.spent > 0

    run(scenario)


def test_what_a_client_writes_first_is_the_databases_for_telling_others_is_what_it_costs() -> None:
    async def scenario(made: Made) -> None:
        peer = made.peer("one")
        peer.put("/a", 1)
        assert made.hosted.lane.spent > 0
        assert made.lanes.door.spent == 0

    run(scenario)


def test_what_waits_keeps_its_order_within_each_connection_and_between_them() -> None:
    async def scenario(made: Made) -> None:
        peers = [made.peer(str(number)) for number in range(3)]
        for peer in peers:
            peer.come_in()
        await made.settle()
        made.order.clear()
        made.lanes.spend(made.hosted.lane, SHARE_NANOSECONDS * 2)
        for value in range(3):
            for number, peer in enumerate(peers):
                peer.put(f"/log/{number}", value)
        assert made.order == []
        await made.settle()
        assert made.order == [(f"log/{number}", value) for value in range(3) for number in range(3)]

    run(scenario)


def test_another_databases_connections_do_not_wait() -> None:
    async def scenario(made: Made) -> None:
        other = await made.worker.shard.open("other")
        peer = Peer(made.host, other, "elsewhere")
        peer.come_in()
        await made.settle()
        made.lanes.spend(made.hosted.lane, SHARE_NANOSECONDS * 1000)
        peer.put("/a", 5)
        assert other.database.tree.get(("a",)) == 5

    run(scenario)


def test_a_client_that_goes_on_sending_is_not_read_until_it_has_had_its_turn() -> None:
    async def scenario(made: Made) -> None:
        peer = made.peer("one")
        peer.come_in()
        await made.settle()
        made.lanes.spend(made.hosted.lane, SHARE_NANOSECONDS * 2)
        for value in range(HELD_FRAMES):
            assert peer.line.is_reading
            peer.put("/log/a", value)
        assert not peer.line.is_reading
        await made.settle()
        assert peer.line.is_reading
        assert [value for _, value in made.order] == list(range(HELD_FRAMES))

    run(scenario)


def test_what_was_asked_is_carried_out_before_the_connection_ends() -> None:
    async def scenario(made: Made) -> None:
        peer = made.peer("one")
        peer.come_in()
        await made.settle()
        made.lanes.spend(made.hosted.lane, SHARE_NANOSECONDS * 2)
        peer.put("/log/a", 1)
        peer.put("/log/a", 2)
        peer.connection.closed()
        assert made.hosted.users == 1
        await made.settle()
        assert [value for _, value in made.order] == [1, 2]
        assert made.hosted.users == 0

    run(scenario)


def test_who_takes_a_session_over_need_not_wait_for_its_end() -> None:
    async def scenario(made: Made) -> None:
        peer = made.peer("one")
        peer.come_in()
        await made.settle()
        made.lanes.spend(made.hosted.lane, SHARE_NANOSECONDS * 1000)
        made.lanes.spend(made.lanes.door, SHARE_NANOSECONDS * 1000)
        peer.put("/log/a", 1)
        peer.connection.closed()
        peer.connection.end_now()
        assert [value for _, value in made.order] == [1]
        assert made.hosted.users == 0
        assert not made.hosted.clients

    run(scenario)


def test_many_ends_at_once_are_spread_over_turns() -> None:
    async def scenario(made: Made) -> None:
        peers = [made.peer(str(number)) for number in range(50)]
        made.lanes.spend(made.lanes.door, SHARE_NANOSECONDS * 2)
        for peer in peers:
            peer.connection.closed()
        assert made.hosted.users == 50
        await made.settle()
        assert made.hosted.users == 0

    run(scenario)


def test_many_clients_that_go_at_once_have_their_sockets_closed_a_few_a_turn() -> None:
    async def scenario(made: Made) -> None:
        peers = [made.peer(str(number)) for number in range(200)]
        later = [peer for peer in peers if peer.connection.ends_later()]
        assert 100 < len(later) < 200, "the first are closed as ever"
        assert not any(peer.line.is_aborted for peer in later)
        most = ended = 0
        while ended < len(later):
            await asyncio.sleep(0)
            before, ended = ended, sum(peer.line.is_aborted for peer in later)
            most = max(most, ended - before)
        assert most < 50
        await made.settle()
        assert made.hosted.users == 200 - len(later)

    run(scenario)


def test_a_client_that_speaks_as_often_as_sdks_do_is_never_pinged() -> None:
    async def scenario(made: Made) -> None:
        peer = made.peer("one")
        for second in range(600):
            if second % 45 == 0:
                peer.connection.received(memoryview(b"0"))
            if second % SWEEP_SECONDS == 7:
                peer.connection.sweep()
        assert peer.line.pings == 0

    run(scenario)


def test_keepalives_are_no_part_of_a_message_however_many_come() -> None:
    async def scenario(made: Made) -> None:
        peer = made.peer("one")
        received = made.worker.turn.stopwatch.metrics.received_bytes
        for _ in range(LARGE_BYTES + 10):
            peer.connection.received(memoryview(b"0"))
        assert made.worker.large_writes.uploads.held_bytes == 0
        assert made.worker.turn.stopwatch.metrics.received_bytes - received == LARGE_BYTES + 10
        peer.put("/log/a", 1)
        assert made.order == [("log/a", 1)]

    run(scenario)


def test_a_piece_of_a_message_that_looks_like_a_keepalive_is_a_piece() -> None:
    async def scenario(made: Made) -> None:
        peer = made.peer("one")
        for piece in (b"3", b'{"t":"d","d":{"r":1,"a":"p","b":{"p":"/log/a","d":1', b"0", b"1}}}"):
            peer.connection.received(memoryview(piece))
        assert made.order == [("log/a", 101)]

    run(scenario)


def test_a_silent_client_is_pinged_once_and_then_given_up() -> None:
    async def scenario(made: Made) -> None:
        peer = made.peer("one")
        pinged_at = lost_at = 0
        for second in range(0, 200, SWEEP_SECONDS):
            peer.connection.sweep()
            pinged_at = pinged_at or second * peer.line.pings
            lost_at = lost_at or second * peer.line.is_aborted
        assert PING_SECONDS <= pinged_at < PING_SECONDS + SWEEP_SECONDS
        assert LOST_SECONDS <= lost_at < LOST_SECONDS + SWEEP_SECONDS
        assert peer.line.pings == 1
        assert not made.host.sessions

    run(scenario)


def test_of_a_client_whose_volatile_values_others_see_the_end_is_noticed_sooner() -> None:
    async def scenario(made: Made) -> None:
        peer = made.peer("one")
        peer.put_volatile("/cursor", 1)
        await made.settle()
        assert made.hosted.database.tree.root == {"cursor": 1}
        pinged_at = lost_at = 0
        for second in range(0, 200, SWEEP_SECONDS):
            peer.connection.sweep()
            await made.settle()
            pinged_at = pinged_at or second * peer.line.pings
            lost_at = lost_at or second * peer.line.is_aborted
        assert VOLATILE_PING_SECONDS <= pinged_at < VOLATILE_PING_SECONDS + SWEEP_SECONDS
        assert VOLATILE_LOST_SECONDS <= lost_at < VOLATILE_LOST_SECONDS + SWEEP_SECONDS
        assert peer.line.pings == 1
        assert made.hosted.database.tree.root is None, "they went with it"

    run(scenario)


def test_a_client_whose_cursor_rests_is_kept_as_long_as_it_answers() -> None:
    async def scenario(made: Made) -> None:
        peer = made.peer("one")
        peer.put_volatile("/cursor", 1)
        for _ in range(50):
            before = peer.line.pings
            peer.connection.sweep()
            if peer.line.pings > before:
                peer.connection.heard()
        assert peer.line.pings == 25
        assert not peer.line.is_aborted
        assert made.hosted.database.tree.root == {"cursor": 1}

    run(scenario)
