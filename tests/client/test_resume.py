"""What a client has asked for, and what becomes of it: servers that come back, rules that change, credentials that expire."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from meadowlark.client import Contended, Database, Denied, OutcomeUnknown, database
from meadowlark.testing import credential_of
from tests.client.far import GREETING, End, far_end
from tests.harness import Server, fresh_name
from tests.proxy import Proxy
from tests.waiting import run, until


def test_a_server_that_comes_back_at_the_same_port_finds_everything_as_it_was_asked_for(tmp_path: Path) -> None:
    async def work(server: Server) -> None:
        url = f"http://127.0.0.1:{server.port}?ns=again"
        async with Database(url) as client:
            shown: list[Any] = []
            states: list[bool] = []
            asking: list[asyncio.Future[None]] = []

            def announce(is_connected: bool) -> None:
                states.append(is_connected)
                if is_connected:
                    asking.append(asyncio.ensure_future(client.ref("here").on_disconnect.remove()))
                    asking.append(asyncio.ensure_future(client.ref("here").set(True)))

            client.on_connection(announce)
            client.ref("a").on_value(lambda snapshot: shown.append(snapshot.value))
            best = client.ref("a").order_by_value().limit_to_last(1)
            most: list[Any] = []
            best.on_value(lambda snapshot: most.append(snapshot.value))
            await client.ref("a").set({"x": 1, "y": 2})
            await asyncio.to_thread(server.stop)
            await until(lambda: not client.is_connected)
            written = [asyncio.ensure_future(client.ref(f"a/{key}").set(number)) for key, number in (("x", 5), ("z", 3))]
            read = asyncio.ensure_future(client.ref("here").get())
            await until(lambda: shown[-1] == {"x": 5, "y": 2, "z": 3})
            await asyncio.to_thread(server.start)
            await asyncio.gather(*written)
            assert (await read).value in (None, True)
            assert shown[-1] == {"x": 5, "y": 2, "z": 3}
            assert most[-1] == {"x": 5}
            await until(lambda: states[:3] == [False, True, False] and states[-1])
            async with Database(url) as other:
                seen: list[Any] = []
                other.ref("here").on_value(lambda snapshot: seen.append(snapshot.value))
                await until(lambda: seen and seen[-1] is True)
                await client.ref("last").set(1)  # What was asked before it is queued at the server.
                client.go_offline()
                await until(lambda: seen[-1] is None)

    with Server(tmp_path / "data") as server:
        run(work(server))


def test_rules_that_changed_meanwhile_end_listens_and_undo_writes(server: Server) -> None:
    ns = fresh_name("ruled")

    def rule(rules: Any) -> None:
        assert server.rest("PUT", "/.settings/rules", {"rules": rules}, ns=ns).status == 200

    async def work(proxy: Proxy) -> None:
        async with Database(f"http://127.0.0.1:{proxy.port}?ns={ns}") as client:
            shown: list[Any] = []
            faults: list[Exception] = []
            open_faults: list[Exception] = []
            client.ref("closed").on_value(lambda snapshot: shown.append(snapshot.value), error=faults.append)
            client.ref("open").on_value(lambda snapshot: None, error=open_faults.append)
            await client.ref("closed").set(1)
            await client.ref("open").set(1)
            proxy.refuse()
            await until(lambda: not client.is_connected)
            await asyncio.to_thread(rule, {"open": {".read": True, ".write": "newData.val() < 10"}})
            fine, wrong = (asyncio.ensure_future(client.ref("open").set(number)) for number in (5, 50))
            proxy.allow()
            await fine
            with pytest.raises(Denied, match=r"permission_denied at /open"):
                await wrong
            await until(lambda: faults)
            assert isinstance(faults[0], Denied)
            assert faults[0].status == "permission_denied"
            assert "/closed" in str(faults[0])
            assert shown[-1] == 1
            assert not open_faults
            assert (await client.ref("open").get()).value == 5, "the write that was refused is undone"
            # And while there is a connection.
            await asyncio.to_thread(rule, {"open": {".read": False, ".write": False}})
            await until(lambda: open_faults)
            assert "may not read /open any more" in str(open_faults[0])

    with Proxy(server.port) as proxy:
        rule({".read": True, ".write": True})
        run(work(proxy))


def test_a_credential_that_expires_is_asked_for_anew_and_what_it_cost_is_asked_again() -> None:
    async def talk(end: End) -> None:
        await end.shake_hands()
        end.say(GREETING)
        if len(end.far.ends) == 1:
            end.before["p"] = {"t": "d", "d": {"a": "ac", "b": {"s": "expired_token", "d": "the token has expired"}}}
            end.statuses["p"] = "permission_denied"
        await end.listen()

    async def work() -> None:
        asked: list[bool] = []

        async def token(must_refresh: bool) -> str:
            asked.append(must_refresh)
            return f"a.b.{len(asked)}"

        async with far_end(talk) as far, Database(far.url, token=token) as client:
            await client.ref("a").set(1)
            assert asked == [False, True]
            assert [message["b"]["cred"] for message in far.heard if message["a"] == "auth"] == ["a.b.1", "a.b.2"]
            assert [message["b"]["d"] for message in far.heard if message["a"] == "p"] == [1, 1]

    run(work())


def test_a_credential_that_is_refused_costs_nothing_where_another_can_be_had() -> None:
    async def talk(end: End) -> None:
        await end.shake_hands()
        end.say(GREETING)
        if len(end.far.ends) < 3:
            end.statuses |= {"auth": "expired_token", "p": "permission_denied", "q": "permission_denied"}
        await end.listen()

    async def work() -> None:
        asked: list[bool] = []

        async def token(must_refresh: bool) -> str:
            asked.append(must_refresh)
            return "a.b.c"

        async with far_end(talk) as far, Database(far.url, token=token) as client:
            faults: list[Exception] = []
            client.ref("a").on_value(lambda snapshot: None, error=faults.append)
            await client.ref("a").set(1)
            assert asked == [False, True, True]
            assert not faults

    run(work())


async def knows_nobody(end: End) -> None:
    await end.shake_hands()
    end.say(GREETING)
    end.statuses["auth"] = "invalid_token"
    await end.listen()


def test_a_fixed_credential_that_is_refused_is_reported() -> None:
    async def work() -> None:
        reported: list[str] = []
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: reported.append(context["message"]))
        async with far_end(knows_nobody) as far, Database(far.url, token="a.b.c") as client:
            await client.ref("a").set(1)
            assert reported == ["the credential was refused, what follows is done as nobody: invalid_token "]
            assert len(far.ends) == 1

    run(work())


def test_credentials_that_are_never_good_are_asked_for_less_and_less_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "RETRY_SECONDS_MIN", 0.01)
    pauses: list[float] = []
    sleep = asyncio.sleep

    async def note(seconds: float) -> None:
        pauses.append(seconds)
        await sleep(0)

    async def work() -> None:
        async def token(must_refresh: bool) -> str:
            return "a.b.c"

        async with far_end(knows_nobody) as far, Database(far.url, token=token):
            monkeypatch.setattr(database.asyncio, "sleep", note)
            while len(far.ends) < 15:
                await sleep(0.005)
            monkeypatch.setattr(database.asyncio, "sleep", sleep)
        assert max(pauses[:3]) < 0.05
        assert pauses[12] > 0.5 * 0.01 * 1.5**12

    run(work())


def test_a_transaction_that_was_sent_is_not_sent_again_and_one_that_was_not_is() -> None:
    async def talk(end: End) -> None:
        await end.shake_hands()
        end.say(GREETING)
        end.before["q"] = {"t": "d", "d": {"a": "d", "b": {"p": "n", "d": 1}}}
        if len(end.far.ends) == 1:
            while not any(message["a"] == "p" for message in end.heard):
                listening = asyncio.ensure_future(end.listen())
                while not any(message["a"] == "q" for message in end.heard):
                    await asyncio.sleep(0)
                end.answers = False
                while not any(message["a"] == "p" for message in end.heard):
                    await asyncio.sleep(0)
                listening.cancel()
            return
        await end.listen()

    async def work() -> None:
        async with far_end(talk) as far, Database(far.url) as client:
            sent = asyncio.ensure_future(client.ref("n").transaction(lambda value: value + 1))
            waits = asyncio.ensure_future(client.ref("n").transaction(lambda value: value + 10))
            with pytest.raises(OutcomeUnknown, match="the outcome is unknown"):
                await sent
            is_written, _ = await waits
            assert is_written
            assert [message["b"]["d"] for message in far.heard if message["a"] == "p"] == [2, 11]

    run(work())


def test_a_transaction_that_is_always_overtaken_ends(server: Server) -> None:
    async def talk(end: End) -> None:
        await end.shake_hands()
        end.say(GREETING)
        end.before["q"] = {"t": "d", "d": {"a": "d", "b": {"p": "n", "d": 1}}}
        end.statuses["p"] = "datastale"
        await end.listen()

    async def work() -> None:
        async with far_end(talk) as far, Database(far.url) as client:
            with pytest.raises(Contended, match="others wrote here 3 times"):
                await client.ref("n").transaction(lambda value: value + 1, attempts=3)
            assert len([message for message in far.heard if message["a"] == "p"]) == 3

    run(work())


def test_who_one_becomes_holds_on_later_connections_too(server: Server) -> None:
    ns = fresh_name("who")
    assert server.rest("PUT", "/.settings/rules", {"rules": {".read": "auth.uid === 'anna'"}}, ns=ns).status == 200

    async def work(proxy: Proxy) -> None:
        async with Database(f"http://127.0.0.1:{proxy.port}?ns={ns}") as client:
            with pytest.raises(Denied):
                await client.ref("a").get()
            await client.authenticate(credential_of("anna"))
            await client.ref("a").get()
            proxy.cut()
            await until(lambda: proxy.connection_count == 2)
            await client.ref("a").get()

    with Proxy(server.port) as proxy:
        run(work(proxy))
