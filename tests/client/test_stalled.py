"""A server that takes nothing for a while, or says nothing: values conflate at the client, and what is dead is left in time."""

from __future__ import annotations

import asyncio

import pytest

from meadowlark.client import Database, pulse
from meadowlark.client.connection import UNSENT_BYTES_MAX, Connection
from tests.client.far import GREETING, End, far_end
from tests.waiting import run, until

PATHS = 20


def connection_of(database: Database) -> Connection:
    connection = database._connection
    assert isinstance(connection, Connection)
    return connection


def test_a_server_that_does_not_read_is_told_the_last_of_each_path_when_it_does() -> None:
    async def work() -> None:
        async with far_end() as far, Database(far.url) as database:
            far.reads.clear()
            await database.wait_connected()
            connection = connection_of(database)
            waiting_most = 0
            rounds = 0
            # Until the socket is full, and as much again many times over.
            while rounds < 50 or not connection.is_full or database._core.outgoing.superseded_count < 100 * PATHS:
                for path in range(PATHS):
                    assert database.ref(f"c/{path}").set_volatile({"round": rounds, "ink": "x" * 2000})
                rounds += 1
                await asyncio.sleep(0)
                waiting_most = max(waiting_most, len(database._core.outgoing._said))
                transport = connection._transport
                assert transport is not None
                assert transport.underlying_transport.get_write_buffer_size() < 4 * UNSENT_BYTES_MAX
            assert waiting_most == PATHS
            asked = asyncio.ensure_future(database.ref("last").set(1))
            far.reads.set()
            await asked
            told = [message for message in far.heard if message["a"] == "v"]
            assert len(told) < rounds * PATHS
            for path in range(PATHS):
                numbers = [message["b"]["d"]["round"] for message in told if message["b"]["p"] == f"/c/{path}"]
                assert numbers == sorted(set(numbers)), "each is newer than the one before"
                assert numbers[-1] == rounds - 1
            assert far.heard[-1]["a"] == "p", "what was written after them came after them"
            assert not database._core.outgoing

    run(work())


def test_where_the_socket_is_free_every_value_leaves_in_its_turn() -> None:
    async def work() -> None:
        async with far_end() as far, Database(far.url) as database:
            await database.wait_connected()
            for number in range(50):
                database.ref("c").set_volatile(number)
                await asyncio.sleep(0)
            await database.ref("last").set(1)
            assert [message["b"]["d"] for message in far.heard if message["a"] == "v"] == list(range(50))

    run(work())


def test_values_that_wait_go_with_their_connection() -> None:
    """They were of that moment: on the next connection nobody knows whether they still hold."""

    async def work() -> None:
        async with far_end() as far, Database(far.url) as database:
            far.reads.clear()
            await database.wait_connected()
            connection = connection_of(database)
            while not (connection.is_full and database._core.outgoing):
                database.ref("c").set_volatile("x" * 4000)
                await asyncio.sleep(0)
            far.ends[0].writer.transport.abort()
            await until(lambda: not database._core.is_open)
            assert not database._core.outgoing
            assert not database.ref("c").set_volatile(1), "there is no connection"
            far.reads.set()
            await database.ref("last").set(1)
            assert [message["a"] for message in far.ends[-1].heard] == ["p"]

    run(work())


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Asks soon. An answer has a second, since both ends share a loop with whatever else the machine does."""
    monkeypatch.setattr(pulse, "QUIET_SECONDS", 0.2)
    monkeypatch.setattr(pulse, "SPOKEN_SECONDS", 0.1)
    monkeypatch.setattr(pulse, "ANSWER_SECONDS", 1.0)


@pytest.mark.usefixtures("impatient")
def test_a_server_that_answers_nothing_is_left_and_what_was_written_is_said_to_the_next() -> None:
    async def work() -> None:
        async with far_end() as far, Database(far.url) as database:
            await database.wait_connected()
            far.ends[0].answers = False
            written = asyncio.ensure_future(database.ref("a").set(1))
            await written
            assert len(far.ends) == 2
            assert far.kinds == [1, 9, 1], "it was asked before it was left"
            assert [message["b"] for end in far.ends for message in end.heard] == 2 * [{"p": "/a", "d": 1}]

    run(work())


@pytest.mark.usefixtures("impatient")
def test_an_idle_server_that_answers_pings_is_kept() -> None:
    async def work() -> None:
        async with far_end() as far, Database(far.url) as database:
            await database.wait_connected()
            await until(lambda: far.kinds.count(9) >= 5)
            assert len(far.ends) == 1

    run(work())


@pytest.mark.usefixtures("impatient")
def test_a_large_write_that_is_taken_slowly_is_no_silence() -> None:
    """The ping waits in line behind it, and so would the next on a connection that began anew, for ever."""

    async def talk(end: End) -> None:
        await end.shake_hands()
        end.say(GREETING)
        got = 0
        while got < 1_500_000:
            await asyncio.sleep(0.03)  # All in all more than twice as long as an answer may take.
            got += len(await end.reader.read(20_000))
        end.say({"t": "d", "d": {"r": 1, "b": {"s": "ok", "d": ""}}})
        await end.reader.read()

    async def work() -> None:
        async with far_end(talk) as far, Database(far.url) as database:
            await database.ref("large").set("x" * 1_000_000 + "y" * 600_000)
            assert len(far.ends) == 1

    run(work())


def test_closing_does_not_wait_for_a_server_that_takes_nothing() -> None:
    async def work() -> None:
        async with far_end() as far:
            far.reads.clear()
            async with Database(far.url) as database:
                await database.wait_connected()
                connection = connection_of(database)
                while not connection.is_full:
                    database.ref("c").set_volatile("x" * 4000)
                    await asyncio.sleep(0)
                transport = connection._transport
                assert transport is not None
            await until(lambda: transport.is_disconnected)

    run(work())
