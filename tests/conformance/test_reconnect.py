"""Connections break and servers die; listeners go on, nothing is told twice, nothing acknowledged is lost."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conformance.conftest import settings_for
from tests.harness import Script, Server
from tests.proxy import Proxy

pytestmark = pytest.mark.slow

LARGE = {f"k{i:04}": "x" * 100 for i in range(2000)}


@pytest.fixture
def proxy(own_server: Server) -> Iterator[Proxy]:
    with Proxy(own_server.port) as relay:
        yield relay


def through(proxy: Proxy, server: Server, how: str, **more: Any) -> dict[str, Any]:
    return settings_for(server, how, "resume", **more) | {"port": proxy.port}


def pushes(messages: list[Any]) -> list[tuple[str, str]]:
    """(action, path) of each push among `messages`."""
    return [(m["d"]["a"], m["d"]["b"]["p"]) for m in messages if m["t"] == "d" and "a" in m["d"]]


def wait_until_back(script: Script) -> None:
    while script.wait_for("connected")[1] is not True:
        pass


@pytest.mark.parametrize("how", ["emulator", "url"])
def test_after_a_break_only_what_changed_is_sent_again(node: Path, own_server: Server, proxy: Proxy, how: str) -> None:
    for path, value in {"still": {"a": 1, "p": 2}, "moving": {"x": 1}, "large": LARGE}.items():
        own_server.write(f"/{path}", value, ns="resume")
    own_server.write("/still/p/.priority", "p", ns="resume")
    with Script("resume.mjs", through(proxy, own_server, how, listen=["still", "moving", "large"])) as script:
        script.wait_for("ready")
        wait_until_back(script)
        proxy.refuse()
        assert script.wait_for("connected") == ["connected", False]
        own_server.write("/moving", {"x": 2}, ns="resume")
        proxy.allow()
        wait_until_back(script)
        script.wait_for("value")
        script.tell("settle")
        script.wait_for("settled")
        told = script.of("value")
        last = proxy.connection_count - 1
        messages = proxy.messages(last)
    assert [event for event in told if event[1] == "moving"] == [["value", "moving", {"x": 1}], ["value", "moving", {"x": 2}]]
    assert len([event for event in told if event[1] in ("still", "large")]) == 2
    assert [path for _, path in pushes(messages) if path.split("/")[0] in ("still", "large")] == []
    assert [path for _, path in pushes(messages) if path.split("/")[0] == "moving"] != []
    assert proxy.received_bytes(last) < 3000
    answers = [m["d"]["b"]["s"] for m in messages if m["t"] == "d" and "r" in m["d"]]
    assert set(answers) == {"ok"}


def test_a_killed_worker_comes_back_and_listeners_go_on(node: Path, own_server: Server, proxy: Proxy) -> None:
    own_server.write("/room", {"a": 1}, ns="resume")
    own_server.write("/large", LARGE, ns="resume")
    with Script("resume.mjs", through(proxy, own_server, "url", listen=["room", "large"], children=["room"])) as script:
        script.wait_for("ready")
        wait_until_back(script)
        killed = own_server.kill_worker()
        assert script.wait_for("connected", within=60) == ["connected", False]
        own_server.write("/room/b", 2, ns="resume")  # Waits in the backlog until the new worker accepts.
        wait_until_back(script)
        script.tell('wait room {"a":1,"b":2}')
        script.wait_for("arrived")
        own_server.write("/room/a", 10, ns="resume")
        script.tell('wait room {"a":10,"b":2}')
        script.wait_for("arrived")
        assert killed not in own_server.worker_pids()
        values = [event[2] for event in script.of("value") if event[1] == "room"]
        children = script.of("added", "changed")
        larges = [event for event in script.of("value") if event[1] == "large"]
        last = proxy.messages(proxy.connection_count - 1)
    assert values == [{"a": 1}, {"a": 1, "b": 2}, {"a": 10, "b": 2}]
    assert children == [["added", "room", "a"], ["added", "room", "b"], ["changed", "room", "a", 10]]
    assert len(larges) == 1
    assert [path for _, path in pushes(last) if path.startswith("large")] == []


def test_writes_in_flight_when_the_worker_dies_are_all_there_in_the_end(node: Path, own_server: Server) -> None:
    with Script("resume.mjs", settings_for(own_server, "url", "resume", listen=["many"], quiet=True)) as script:
        script.wait_for("ready")
        script.tell("many 1000")
        script.wait_for("many sent")
        own_server.kill_worker()
        script.wait_for("many acknowledged", within=60)
        assert own_server.read("/many", ns="resume") == {f"k{i}": i for i in range(1000)}
        script.tell("end")
        script.finish()


def test_writes_made_while_the_server_is_away_arrive_when_it_is_back(node: Path, own_server: Server) -> None:
    with Script("resume.mjs", settings_for(own_server, "url", "resume", listen=["room"])) as script:
        script.wait_for("ready")
        wait_until_back(script)
        own_server.stop()
        assert script.wait_for("connected", within=60) == ["connected", False]
        script.tell("set room 5")
        script.tell("settle")
        own_server.start()
        script.wait_for("acknowledged", within=60)
        assert own_server.read("/room", ns="resume") == 5
        values = [event[2] for event in script.of("value")]
    assert values == [None, 5]


def test_a_restarted_server_with_other_workers_serves_the_same_clients(node: Path, own_server: Server) -> None:
    own_server.write("/room", "before", ns="resume")
    with Script("resume.mjs", settings_for(own_server, "emulator", "resume", listen=["room"])) as script:
        script.wait_for("ready")
        wait_until_back(script)
        own_server.stop()
        assert script.wait_for("connected", within=60) == ["connected", False]
        own_server.workers = 3
        own_server.start()
        wait_until_back(script)
        own_server.write("/room", "after", ns="resume")
        script.tell('wait room "after"')
        script.wait_for("arrived", within=60)
        assert [event[2] for event in script.of("value")] == ["before", "after"]


def test_increments_through_a_break_count_at_least_once_each(node: Path, own_server: Server, proxy: Proxy) -> None:
    """An increment whose answer was lost is sent again by the SDK, as with Firebase: never lost, at worst counted twice."""
    with Script("resume.mjs", through(proxy, own_server, "url", listen=["counter"])) as script:
        script.wait_for("ready")
        for _ in range(5):
            script.tell("increment")
            script.wait_for("acknowledged")
        proxy.cut()
        for _ in range(5):
            script.tell("increment")
            script.wait_for("acknowledged", within=60)
        script.tell("end")
        script.finish()
    assert 10 <= own_server.read("/counter", ns="resume") <= 11


def test_many_breaks_in_a_row_leave_one_true_state(node: Path, own_server: Server, proxy: Proxy) -> None:
    own_server.write("/room", 0, ns="resume")
    with Script("resume.mjs", through(proxy, own_server, "url", listen=["room"])) as script:
        script.wait_for("ready")
        wait_until_back(script)
        for value in range(1, 4):
            proxy.cut()
            own_server.write("/room", value, ns="resume")
            script.tell(f"wait room {json.dumps(value)}")
            script.wait_for("arrived", within=60)
        assert [event[2] for event in script.of("value")] == [0, 1, 2, 3]
