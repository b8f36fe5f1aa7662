"""onDisconnect: what a client left to be done is done however it goes, once, and .info tells it of its connection."""

from __future__ import annotations

import signal
import time
from pathlib import Path
from typing import Any

import pytest

from tests.conformance.conftest import settings_for
from tests.harness import Script, Server, eventually, fresh_name
from tests.proxy import Proxy

pytestmark = pytest.mark.slow
both_ways = pytest.mark.parametrize("how", ["emulator", "url"])


def expect_left(server: Server, ns: str) -> dict[str, Any]:
    """Wait for the leaver's operations and compare all that it left behind; the state for more checks."""
    eventually(lambda: server.read("/status", ns=ns) == "offline", within=60, what="the status left on disconnect")
    answer = server.rest("GET", "/", ns=ns, query="format=export")
    left = answer.json()
    left.pop("barriers", None)
    seen = left["profile"].pop("seen")
    assert abs(seen - time.time() * 1000) < 100_000
    assert left == {
        "status": "offline",
        "ranked": {".value": "gone", ".priority": 9},
        "kept": "cancelled set",
        "count": 15,
        "profile": {"name": "n", "more": {"deep": {"0": 1, "1": 2}}},
        "tree": {"a": "A", "b": 2, "c": "C"},
        "replaced": "second",
    }
    return left


@both_ways
@pytest.mark.parametrize("leave", ["app.delete", "goOffline"])
def test_every_operation_is_carried_out_when_the_client_closes(node: Path, server: Server, how: str, leave: str) -> None:
    ns = fresh_name("leaver")
    with Script("leaver.mjs", settings_for(server, how, ns)) as script:
        before = script.wait_for("registered")[1]
        assert before["status"] == "online"
        assert before["tree"] == {"a": 1, "b": 2, "c": 3}
        script.tell(leave)
        expect_left(server, ns)
        script.tell("end")
        script.finish()


@both_ways
def test_every_operation_is_carried_out_when_the_client_is_killed(node: Path, server: Server, how: str) -> None:
    ns = fresh_name("leaver")
    with Script("leaver.mjs", settings_for(server, how, ns)) as script:
        script.wait_for("registered")
        script.kill()
    expect_left(server, ns)


def test_every_operation_is_carried_out_when_the_connection_breaks(node: Path, server: Server) -> None:
    ns = fresh_name("leaver")
    with Proxy(server.port) as proxy, Script("leaver.mjs", settings_for(server, "url", ns) | {"port": proxy.port}) as script:
        script.wait_for("registered")
        proxy.refuse()
        expect_left(server, ns)


def test_operations_are_carried_out_once_and_not_again_after_a_return(node: Path, server: Server) -> None:
    ns = fresh_name("leaver")
    with Script("leaver.mjs", settings_for(server, "url", ns)) as script:
        script.wait_for("registered")
        script.tell("goOffline")
        expect_left(server, ns)
        script.tell("goOnline")
        script.wait_for("online")
        script.tell("app.delete")
        script.wait_for("closed")
        script.tell("end")
        script.finish()
    time.sleep(0.3)  # There is nothing to wait for: the point is that nothing happens.
    assert server.read("/status", ns=ns) == "online again"
    assert server.read("/count", ns=ns) == 100


def test_operations_are_carried_out_when_the_server_drains(node: Path, own_server: Server) -> None:
    with Script("leaver.mjs", settings_for(own_server, "url", "drained")) as script:
        script.wait_for("registered")
        own_server.stop()
        script.kill()
    own_server.start()
    expect_left(own_server, "drained")


@pytest.mark.parametrize("victim", ["worker", "everything"])
def test_operations_of_clients_connected_at_a_crash_are_carried_out_after_recovery(
    node: Path, own_server: Server, victim: str
) -> None:
    with Script("leaver.mjs", settings_for(own_server, "url", "crashed")) as script:
        script.wait_for("registered")
        # Stopped, so that it cannot come back and write over what it left.
        script.signal(signal.SIGSTOP)
        if victim == "worker":
            killed = own_server.kill_worker()
            own_server.wait_for_workers(without={killed})
        else:
            own_server.kill()
            own_server.start()
        expect_left(own_server, "crashed")


def test_presence_of_two_connections_of_one_user(node: Path, server: Server) -> None:
    ns = fresh_name("presence")
    settings = settings_for(server, "url", ns, user="ann")

    def connections() -> set[str]:
        return set(server.read("/users/ann/connections", ns=ns) or {})

    with Script("presence.mjs", settings) as first, Script("presence.mjs", settings) as second:
        keys = {first.wait_for("present")[1], second.wait_for("present")[1]}
        assert connections() == keys
        first.kill()
        (left,) = eventually(lambda: connections() if len(connections()) == 1 else None)
        assert left in keys
        assert isinstance(server.read("/users/ann/lastOnline", ns=ns), int)
        second.tell("end")
        second.finish()
    eventually(lambda: connections() == set(), what="nobody present")


def test_a_client_that_comes_back_takes_over_from_its_lost_connection(node: Path, server: Server) -> None:
    """The server has not noticed the loss: the client's return ends the old session and carries out what it left."""
    ns = fresh_name("takeover")
    settings = settings_for(server, "url", ns, user="bob")
    with Proxy(server.port) as proxy, Script("presence.mjs", settings | {"port": proxy.port}) as script:
        old = script.wait_for("present")[1]
        proxy.cut_client_side()
        new = script.wait_for("present")[1]
        assert new != old
        eventually(
            lambda: list(server.read("/users/bob/connections", ns=ns) or {}) == [new],
            what="the lost session's connection gone",
        )


@both_ways
def test_info_tells_of_the_connection_and_the_clock(node: Path, server: Server, how: str) -> None:
    with Script("info.mjs", settings_for(server, how, fresh_name("info"))) as script:
        events = script.finish()
    connected = [value for name, value, *_ in events if name == "connected"]
    assert connected == [False, True, False, True, False], "the last one is the end of the app"
    (offset,) = (value for name, value, *_ in events if name == "offset")
    assert abs(offset) < 30_000, "the clock is the same, but a busy process hears of the server's late"
    ((_, host, port),) = (event for event in events if event[0] == "host")
    assert host == f"127.0.0.1:{port}", "the server must tell clients to come back to the address they came to"


def test_time_of_a_disconnect_is_the_time_of_the_disconnect(node: Path, server: Server) -> None:
    ns = fresh_name("leaver")
    with Script("leaver.mjs", settings_for(server, "url", ns)) as script:
        script.wait_for("registered")
        time.sleep(0.5)  # Between queueing and leaving, so that the two times differ.
        left_at = time.time() * 1000
        script.kill()
    eventually(lambda: server.read("/status", ns=ns) == "offline")
    assert left_at - 5 <= server.read("/profile/seen", ns=ns) <= time.time() * 1000 + 5
