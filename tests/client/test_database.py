"""The asynchronous client and its blocking face against a real server: what a program does with it, and broken networks."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from meadowlark.client import (
    ABORT,
    SERVER_TIMESTAMP,
    ChildEvent,
    Closed,
    Database,
    Denied,
    Snapshot,
    TooSlow,
    increment,
    listening,
)
from meadowlark.client.connection import parse_address
from meadowlark.errors import Refused
from meadowlark.testing import credential_of
from tests.harness import Server, fresh_name
from tests.proxy import Proxy
from tests.waiting import run, until


async def _exhaust(iterator: Any) -> None:
    async for _ in iterator:
        pass


@pytest.mark.parametrize(
    ("text", "host", "database", "is_secure"),
    [
        ("http://127.0.0.1:9000?ns=demo", "127.0.0.1:9000", "demo", False),
        ("https://demo.example.com", "demo.example.com", None, True),
        ("wss://demo.example.com/?ns=a", "demo.example.com", "a", True),
        ("localhost:9000?ns=b", "localhost:9000", "b", False),
    ],
)
def test_addresses(text: str, host: str, database: str | None, is_secure: bool) -> None:
    address = parse_address(text)
    assert (address.host, address.database, address.is_secure) == (host, database, is_secure)


@pytest.mark.parametrize("text", ["ftp://x", "http://", "http://host/path", ""])
def test_what_is_no_address_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match="expected http://HOST:PORT"):
        Database(text)


def test_values_are_written_read_and_heard_of(url: str) -> None:
    async def work() -> None:
        async with Database(url) as writer, Database(url) as reader:
            tasks = writer.ref("tasks")
            heard: list[tuple[str, str, Any, str | None]] = []

            def hear(event: ChildEvent) -> None:
                heard.append((event.kind, event.key, event.snapshot.value, event.previous_key))

            with reader.ref("tasks").on_child(hear):
                await tasks.set({"a": 1, "b": {"list": [1, 2]}})
                await tasks.update({"a": 2, "b/list/0": 7})
                await (tasks / "a").remove()
                await until(lambda: ("child_removed", "a", 2, None) in heard)
            snapshot = await tasks.get()
            assert snapshot.value == {"b": {"list": [7, 2]}}
            assert snapshot.child("b/list").value == [7, 2]
            assert (snapshot.size, "b" in snapshot, snapshot.exists) == (1, True, True)
            assert [kind for kind, *_ in heard if kind != "child_changed"] == ["child_added", "child_added", "child_removed"]

    run(work())


def test_keys_of_pushes_sort_in_the_order_they_were_made(url: str) -> None:
    async def work() -> None:
        async with Database(url) as database:
            made = [(await database.ref("list").push(number)).key for number in range(5)]
            snapshot = await database.ref("list").get()
            assert [child.key for child in snapshot] == made
            assert [child.value for child in snapshot] == list(range(5))

    run(work())


def test_priorities_order_children_and_come_back(url: str) -> None:
    async def work() -> None:
        async with Database(url) as database:
            ref = database.ref("ranked")
            await (ref / "a").set("x", priority=2)
            await (ref / "b").set({"deep": 1}, priority=1)
            await (ref / "c").set("z")
            snapshot = await ref.get()
            assert [(child.key, child.priority) for child in snapshot] == [("c", None), ("b", 1), ("a", 2)]
            await (ref / "c").set_priority("later")
            assert [child.key for child in await ref.get()] == ["b", "a", "c"]

    run(work())


def test_server_values(url: str) -> None:
    async def work() -> None:
        async with Database(url) as database:
            await database.ref("n").set(increment(2))
            await database.ref("n").set(increment(3))
            await database.ref("at").set(SERVER_TIMESTAMP)
            assert (await database.ref("n").get()).value == 5
            assert abs((await database.ref("at").get()).value - database.server_time_ms) < 60_000

    run(work())


def test_transactions_of_several_clients_lose_nothing(url: str) -> None:
    async def work() -> None:
        async with Database(url) as one, Database(url) as other:
            counts = [client.ref("count") for client in (one, other) for _ in range(15)]
            results = await asyncio.gather(*[count.transaction(lambda value: (value or 0) + 1, attempts=100) for count in counts])
            assert all(is_written for is_written, _ in results)
            assert (await one.ref("count").get()).value == 30
            is_written, snapshot = await one.ref("count").transaction(lambda value: ABORT)
            assert (is_written, snapshot.value) == (False, 30)

    run(work())


def test_values_are_iterated_and_who_is_slow_gets_the_latest(url: str) -> None:
    async def work() -> None:
        async with Database(url) as writer, Database(url) as reader:
            values = reader.ref("n").values()
            assert (await anext(values)).value is None
            last = asyncio.Event()
            reader.ref("n").on_value(lambda snapshot: last.set() if snapshot.value == 19 else None)
            for number in range(20):
                await writer.ref("n").set(number)
            await last.wait()
            assert (await anext(values)).value == 19, "all before it were taken away by the latest"
            await values.aclose()

    run(work())


def test_an_iterator_that_is_too_slow_is_ended_rather_than_growing(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listening, "WAITING_EVENTS_MAX", 3)

    async def work() -> None:
        async with Database(url) as database:
            children = database.ref("a").children()
            first = asyncio.ensure_future(anext(children))
            await asyncio.sleep(0)
            await database.ref("a").update({str(number): number for number in range(6)})
            assert (await first).key == "0"
            with pytest.raises(TooSlow):
                await _exhaust(children)

    run(work())


def test_queries_show_a_window_that_follows_changes(url: str) -> None:
    async def work() -> None:
        async with Database(url) as database:
            scores = database.ref("scores")
            await scores.set({"ann": {"points": 5}, "bob": {"points": 9}, "cid": {"points": 7}})
            heard: list[tuple[str, str]] = []
            best = scores.order_by_child("points").limit_to_last(2)
            with best.on_child(lambda event: heard.append((event.kind, event.key))):
                await until(lambda: len(heard) == 2)
                assert heard == [("child_added", "cid"), ("child_added", "bob")]
                await scores.child("ann/points").set(8)
                await until(lambda: ("child_added", "ann") in heard)
                assert ("child_removed", "cid") in heard
                assert [child.key for child in await best.get()] == ["ann", "bob"]

    run(work())


def test_the_log_says_which_index_a_query_wants(url: str, caplog: pytest.LogCaptureFixture) -> None:
    async def work() -> None:
        async with Database(url) as database:
            scores = database.ref("scores")
            await scores.set({"ann": {"points": 5}, "100%s": {"points": 9}})
            async for snapshot in scores.order_by_child("points").limit_to_last(1).values():
                assert snapshot.value == {"100%s": {"points": 9}}
                break
            await until(lambda: bool(caplog.records))

    run(work())
    assert [(record.name, record.levelname, record.getMessage()) for record in caplog.records] == [
        ("meadowlark.client", "WARNING", 'no_index: add ".indexOn": "points" at /scores to the rules')
    ]


def test_a_query_that_is_none_is_refused_where_it_is_made(url: str) -> None:
    ref = Database(url).ref("a")
    with pytest.raises(Refused, match="once"):
        ref.order_by_key().order_by_value()
    with pytest.raises(Refused, match="limit"):
        ref.limit_to_first(0)


def test_volatile_values_are_heard_and_go_with_their_writer(url: str) -> None:
    async def work() -> None:
        async with Database(url) as writer, Database(url) as reader:
            assert not writer.ref("cursor").set_volatile({"x": 0}), "there is no connection yet"
            await writer.wait_connected()
            seen: list[Any] = []
            with reader.ref("cursor").on_value(lambda snapshot: seen.append(snapshot.value)):
                assert writer.ref("cursor").set_volatile({"x": 1})
                await until(lambda: {"x": 1} in seen)
                writer.go_offline()
                await until(lambda: seen[-1] is None)

    run(work())


def test_a_client_that_wants_to_hear_less_often_still_hears_the_last(url: str) -> None:
    async def work() -> None:
        async with Database(url) as writer, Database(url) as reader:
            with pytest.raises(ValueError, match=r"a rate is 0, or from 0\.1"):
                reader.set_volatile_rate(2000)
            reader.set_volatile_rate(2)  # Before there is a connection: said on each.
            await writer.wait_connected()
            seen: list[Any] = []
            with reader.ref("cursor").on_value(lambda snapshot: seen.append(snapshot.value)):
                await until(lambda: seen == [None])
                for number in range(50):
                    assert writer.ref("cursor").set_volatile(number)
                    await writer.ref("turn").set(number)
                await until(lambda: seen[-1] == 49)
                assert len(seen) < 40
                assert seen[1:] == sorted(seen[1:])

    run(work())


def test_presence_runs_when_a_client_goes_offline(url: str) -> None:
    async def work() -> None:
        async with Database(url) as guest, Database(url) as host:
            await guest.ref("here").on_disconnect.remove()
            await guest.ref("here").set(True)
            seen: list[Any] = []
            with host.ref("here").on_value(lambda snapshot: seen.append(snapshot.value)):
                await until(lambda: seen == [True])
                guest.go_offline()
                await until(lambda: seen == [True, None])

    run(work())


def test_a_broken_connection_comes_back_with_what_was_written_meanwhile(server: Server) -> None:
    name = fresh_name("client")
    states: list[bool] = []

    async def work(proxy: Proxy) -> None:
        here, there = f"http://127.0.0.1:{proxy.port}?ns={name}", f"http://127.0.0.1:{server.port}?ns={name}"
        async with Database(here) as shaky, Database(there) as steady:
            shaky.on_connection(states.append)
            seen: list[Any] = []
            with shaky.ref("a").on_value(lambda snapshot: seen.append(snapshot.value)):
                await steady.ref("a").set({"x": 1})
                await until(lambda: {"x": 1} in seen)
                proxy.refuse()
                await until(lambda: not shaky.is_connected)
                mine = asyncio.ensure_future(shaky.ref("a/y").set(2))
                await steady.ref("a/z").set(3)
                await until(lambda: seen[-1] == {"x": 1, "y": 2})
                proxy.allow()
                await mine
                await until(lambda: seen[-1] == {"x": 1, "y": 2, "z": 3})
            assert (await steady.ref("a").get()).value == {"x": 1, "y": 2, "z": 3}

    with Proxy(server.port) as proxy:
        run(work(proxy))
    assert states[:4] == [False, True, False, True]


def test_who_may_not_is_told_and_who_shows_a_credential_may(tmp_path: Path) -> None:
    async def work(server: Server) -> None:
        server.create("shop")
        url = f"http://127.0.0.1:{server.port}?ns=shop"
        async with Database(url) as nobody:
            with pytest.raises(Denied) as denied:
                await nobody.ref("a").set(1)
            assert denied.value.status == "permission_denied"
            faults: list[Exception] = []
            nobody.ref("a").on_value(lambda snapshot: None, error=faults.append)
            await until(lambda: bool(faults))
            assert isinstance(faults[0], Denied)
            with pytest.raises(Denied):
                await anext(nobody.ref("a").values())
            await nobody.authenticate(server.credential)
            await nobody.ref("a").set(1)

        asked: list[bool] = []

        async def token(must_refresh: bool) -> str:
            asked.append(must_refresh)
            return server.credential if must_refresh else "x" * 40

        async with Database(url, token=token) as somebody:
            await until(lambda: asked[:2] == [False, True])
            await somebody.wait_connected()
            await until(lambda: somebody.is_connected)
            assert (await somebody.ref("a").get()).value == 1

    with Server(tmp_path / "data", mode="serve") as server:
        run(work(server))


def test_a_database_that_does_not_exist_is_not_tried_for_ever(tmp_path: Path) -> None:
    async def work(server: Server) -> None:
        async with Database(f"http://127.0.0.1:{server.port}?ns=nowhere") as database:
            with pytest.raises(Closed, match="nowhere"):
                await database.ref("a").get()
            with pytest.raises(Closed):
                await database.ref("a").get()

    with Server(tmp_path / "data", mode="serve") as server:
        run(work(server))


def test_closing_ends_what_waits(url: str) -> None:
    async def work() -> None:
        database = Database("http://127.0.0.1:1?ns=nobody-is-there")
        database.start()
        waiting = asyncio.ensure_future(database.ref("a").get())
        await asyncio.sleep(0)
        await database.close()
        with pytest.raises(Closed):
            await waiting

    run(work())


def test_a_listener_that_fails_is_reported_and_the_others_hear(url: str) -> None:
    async def work() -> None:
        reported: list[Any] = []
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: reported.append(context["exception"]))
        async with Database(url) as database:
            seen: list[Any] = []

            def fail(snapshot: Snapshot) -> None:
                raise LookupError("a bug of the user's")

            database.ref("a").on_value(fail)
            database.ref("a").on_value(lambda snapshot: seen.append(snapshot.value))
            await until(lambda: seen == [None])
            assert isinstance(reported[0], LookupError)

    run(work())


def test_large_values_go_both_ways(url: str) -> None:
    async def work() -> None:
        value = {f"k{number}": "ü" * 500 for number in range(3_000)}
        async with Database(url) as database, Database(url) as other:
            await database.ref("large").set(value)
            assert (await other.ref("large").get()).value == value

    run(work())


def test_a_token_callback_that_fails_or_hangs_is_asked_again(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("meadowlark.client.database.TOKEN_SECONDS", 0.1)

    async def work() -> None:
        asked: list[bool] = []
        reported: list[str] = []
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: reported.append(context["message"]))

        async def token(must_refresh: bool) -> str | None:
            asked.append(must_refresh)
            if len(asked) == 1:
                raise RuntimeError("no network")
            if len(asked) == 2:
                await asyncio.sleep(60)
            return None

        async with Database(f"http://127.0.0.1:{server.port}?ns={fresh_name('token')}", token=token) as database:
            await database.ref("a").set(1)
            assert len(asked) == 3
            assert len(reported) == 2

    run(work())


def test_in_dev_a_volatile_write_that_is_denied_is_reported_to_who_wrote_it(server: Server) -> None:
    async def work() -> None:
        ns = fresh_name("drop")
        rules = {"rules": {".read": True, "c": {".volatile": True, ".write": "data.exists()"}}}
        assert server.rest("PUT", "/.settings/rules", rules, ns=ns).status == 200
        reported: list[str] = []
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: reported.append(context["message"]))
        async with Database(f"http://127.0.0.1:{server.port}?ns={ns}") as database:
            await database.wait_connected()
            database.ref("c").set_volatile(1)
            await until(lambda: bool(reported))
            assert "dropped" in reported[0]

    run(work())


def test_who_one_is_may_change_while_there_is_no_connection_yet(server: Server) -> None:
    async def work() -> None:
        ns = fresh_name("who")
        rules = {"rules": {".read": "auth.uid === 'anna'"}}
        assert server.rest("PUT", "/.settings/rules", rules, ns=ns).status == 200
        async with Database(f"http://127.0.0.1:{server.port}?ns={ns}", token=credential_of("bert")) as database:
            reading = asyncio.ensure_future(database.ref("a").get())
            while database._hello is None:  # It has asked for its first credential, and is on its way with it.
                await asyncio.sleep(0)
            await database.authenticate(credential_of("anna"))
            await reading

    run(work())
