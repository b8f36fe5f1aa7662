"""Rules that look at `data`, `root`, `auth` and `newData` decide volatile writes too, over a WebSocket and inside datagrams;
whoever develops hears of those that they deny."""

from __future__ import annotations

import asyncio
import json
import re
from typing import Any

import pytest

from meadowlark.client import Database, Denied
from meadowlark.client.connection import Address
from meadowlark.client.webtransport import TransportConnection, find_offer
from tests.auth.test_tokens import unsigned
from tests.harness import Server, fresh_name
from tests.server.sockets import Socket
from tests.server.test_observability import metrics
from tests.waiting import run, until

RULES = {
    "rules": {
        ".read": True,
        "settings": {".write": True},
        "cursors": {
            "$uid": {
                ".volatile": True,
                ".write": "(auth.uid === $uid || $uid === 'shared') && root.child('settings/open').val() === true",
                ".validate": "newData.child('n').val() > (data.exists() ? data.child('n').val() : 0)",
            }
        },
    }
}


@pytest.mark.parametrize("transport", ["websocket", "webtransport"])
def test_rules_decide_volatile_writes_as_they_decide_others(
    server: Server, transport: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("meadowlark.client.database.TRANSPORT_SECONDS", 20.0)
    ns = fresh_name("ruled")
    assert server.rest("PUT", "/.settings/rules", RULES, ns=ns).status == 200
    url = f"http://127.0.0.1:{server.port}?ns={ns}"

    async def work() -> None:
        async with Database(url, transports=(transport,), token=unsigned({"sub": "ann"})) as writer, Database(url) as reader:
            remarks: list[str] = []
            writer._core.on_remark = remarks.append
            shown: list[Any] = []
            reader.ref("cursors").on_value(lambda snapshot: shown.append(snapshot.value))
            await until(lambda: shown)
            await writer.wait_connected()
            assert isinstance(writer._connection, TransportConnection) == (transport == "webtransport")
            denied_before = metrics(server).of("volatile_dropped_total", reason="denied")

            # `root`: nobody may before it says so.
            writer.ref("cursors/ann").set_volatile({"n": 1})
            await until(lambda: remarks)
            assert remarks[0].startswith("volatile write dropped: Permission denied"), remarks
            await writer.ref("settings/open").set(True)
            writer.ref("cursors/ann").set_volatile({"n": 5})
            writer.ref("cursors/shared").set_volatile({"n": 5})
            await until(lambda: shown[-1] == {"ann": {"n": 5}, "shared": {"n": 5}})

            # `data` beside `newData`: it may only rise. `auth`: not somebody else's. In datagrams, of which one has all four.
            writer.ref("cursors/bob").set_volatile({"n": 1})
            before = metrics(server)
            for values in ({"ann": 3, "bob": 9, "shared": 7}, {"ann": 6, "bob": 9, "shared": 6}):
                for name, number in values.items():
                    writer.ref(f"cursors/{name}").set_volatile({"n": number})
                await asyncio.sleep(0.05)
            await until(lambda: shown[-1] == {"ann": {"n": 6}, "shared": {"n": 7}})
            await writer.ref("settings/done").set(True)
            values = [value for value in shown if value]
            for name in ("ann", "shared"):
                numbers = [value[name]["n"] for value in values if name in value]
                assert numbers == sorted(numbers)
            assert not any("bob" in value for value in values)
            if transport == "webtransport":
                assert metrics(server).of("datagram_updates_total", fate="received") > before.of(
                    "datagram_updates_total", fate="received"
                )

            # Who waits for an answer is told there.
            with pytest.raises(Denied):
                await writer.ref("cursors/ann").set({"n": 6})
            await writer.authenticate(unsigned({"sub": "bob"}))
            writer.ref("cursors/ann").set_volatile({"n": 100})
            writer.ref("cursors/bob").set_volatile({"n": 9})
            await until(lambda: shown[-1].get("bob") == {"n": 9})
            assert shown[-1]["ann"] == {"n": 6}
            await writer.ref("settings/open").set(False)
            writer.ref("cursors/bob").set_volatile({"n": 10})
            await writer.ref("settings/done").set(2)
            await until(lambda: sum(map(denied, remarks)) >= 7)
            assert shown[-1]["bob"] == {"n": 9}
            # Each that the writer was told of is counted for who runs the server.
            counted = metrics(server).of("volatile_dropped_total", reason="denied") - denied_before
            assert counted >= sum(map(denied, remarks))

    run(work())


def denied(remark: str) -> int:
    found = re.match(r"(?:(\d+) )?volatile writes? dropped: Permission denied", remark)
    return int(found[1] or 1) if found else 0


def test_what_never_was_a_value_or_a_path_is_told_of_over_both(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """Real drops, through the real ways in: what is refused, what means nothing, and what a slow listener is spared."""
    monkeypatch.setattr("meadowlark.client.database.TRANSPORT_SECONDS", 20.0)
    url = f"http://127.0.0.1:{server.port}?ns={fresh_name('drops')}"

    async def work() -> None:
        await find_offer(Address(f"127.0.0.1:{server.port}", fresh_name("first"), False), None)
        for transport in ("websocket", "webtransport"):
            async with Database(url, transports=(transport,)) as writer, Database(url) as paced:  # type: ignore[arg-type]
                remarks: list[str] = []
                before = metrics(server)
                writer._core.on_remark = remarks.append
                heard: list[Any] = []
                paced.set_volatile_rate(0.2)
                paced.ref("c").on_value(lambda snapshot, heard=heard: heard.append(snapshot.value))  # type: ignore[misc]
                await until(lambda heard=heard: heard)  # type: ignore[misc]
                await writer.wait_connected()
                writer.ref("c/big").set_volatile("x" * 5000)
                for number in range(20):
                    writer.ref("c/a").set_volatile(number)
                    await asyncio.sleep(0.01)
                await until(lambda remarks=remarks: any("superseded" in remark for remark in remarks))  # type: ignore[misc]
                assert any("has 5002 bytes, limit is 4096" in remark for remark in remarks)
                connection = writer._connection
                if isinstance(connection, TransportConnection):
                    quic = connection._quic
                    assert quic is not None
                    assert quic._http is not None
                    for wrong in (b"\x01", b"\xff\x07\x63\x011", b"\xff\x07\x00\x091"):
                        quic._http.send_datagram(quic._session // 4, wrong)
                    quic._transmit_soon()
                    await until(lambda remarks=remarks: any("means no path" in remark for remark in remarks))  # type: ignore[misc]
                    await until(lambda remarks=remarks: any("cut short" in remark for remark in remarks))  # type: ignore[misc]
                after = metrics(server)
                counted = {
                    reason: after.of("volatile_dropped_total", reason=reason) - before.of("volatile_dropped_total", reason=reason)
                    for reason in ("denied", "too_big", "malformed", "unknown")
                }
                wrong_ones = 1 if transport == "webtransport" else 0
                malformed = counted.pop("malformed")  # Two, of which the second may be on its way.
                assert wrong_ones <= malformed <= 2 * wrong_ones
                assert counted == {"denied": 0, "too_big": 1, "unknown": wrong_ones}
                assert after.of("volatile_superseded_total") > before.of("volatile_superseded_total")

    run(work())


def test_one_that_is_far_too_large_is_dropped_and_the_connection_goes_on(server: Server) -> None:
    """It is prepared in slices like a large write that is answered."""
    ns = fresh_name("huge")
    assert server.rest("PUT", "/.settings/rules", RULES, ns=ns).status == 200
    client = Socket(server.port, ns)
    for path in ("/settings/a", "/nobody/may", "/not.a/path"):
        client.send_text(json.dumps({"t": "d", "d": {"a": "v", "b": {"p": path, "d": "x" * 2_000_000}}}))
    assert client.ask("g", {"p": "/settings", "q": {}})["d"] is None
    remarks = [push["b"]["msg"] for push in client.pushes if push["a"] == "sd"]
    assert any("Permission denied" in remark for remark in remarks), remarks
    assert any("has 2000002 bytes, limit is 4096" in remark for remark in remarks), remarks
    client.close()
