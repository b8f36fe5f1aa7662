"""Volatile values on a running server: with the SDK under a rule, over REST, in exports, and after a restart."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.conformance.conftest import settings_for
from tests.harness import Script, Server, eventually, fresh_name
from tests.server.sockets import Socket

pytestmark = pytest.mark.slow

RULES = {"rules": {".read": True, ".write": True, "cursors": {".volatile": True}, "kept": {".volatile": "keep"}}}


def put_rules(server: Server, ns: str) -> None:
    answer = server.rest("PUT", "/.settings/rules", RULES, ns=ns)
    assert answer.status == 200, answer


def test_the_sdk_writes_volatile_values_where_a_rule_says_so(node: Path, server: Server) -> None:
    ns = fresh_name("volatile")
    put_rules(server, ns)
    with Script("volatile.mjs", settings_for(server, "url", ns)) as script:
        while script.wait_for("sees") != ["sees", {"x": 2}]:
            pass
        assert server.read("/cursors", ns=ns) == {"ann": {"x": 2}}
        assert server.rest("GET", "/", ns=ns, query="format=export").json() == {"ready": True}
        assert server.rest("GET", "/cursors/ann", ns=ns, query="format=export").json() is None
        script.tell("go")
        assert script.wait_for("sees") == ["sees", None], "gone with the connection"
        assert server.read("/cursors", ns=ns) is None
        script.tell("end")
        script.finish()


def test_volatile_values_are_not_there_after_a_restart(own_server: Server) -> None:
    put_rules(own_server, "shop")
    own_server.write("/kept/x", {"y": 1}, ns="shop")
    own_server.write("/durable", {"z": 2}, ns="shop")
    assert own_server.read("/", ns="shop") == {"kept": {"x": {"y": 1}}, "durable": {"z": 2}}
    own_server.kill()
    own_server.start()
    assert own_server.read("/", ns="shop") == {"durable": {"z": 2}}


def test_a_volatile_value_that_is_too_large_is_refused_with_the_limit(server: Server) -> None:
    ns = fresh_name("volatile")
    put_rules(server, ns)
    answer = server.rest("PUT", "/cursors/ann", "x" * 5000, ns=ns)
    assert answer.status == 400
    assert "limit is 4096" in answer.json()["error"]


def test_what_the_rule_keeps_outlives_its_writer_and_the_rest_does_not(server: Server) -> None:
    ns = fresh_name("volatile")
    put_rules(server, ns)
    writer = Socket(server.port, ns)
    for place in ("kept/lamp", "cursors/ann"):
        assert writer.ask("v", {"p": f"/{place}", "d": {"on": True}})["s"] == "ok"
    assert server.read("/", ns=ns) == {"kept": {"lamp": {"on": True}}, "cursors": {"ann": {"on": True}}}
    writer.close()
    eventually(lambda: server.read("/cursors", ns=ns) is None, what="what is not kept goes with its writer")
    assert server.read("/", ns=ns) == {"kept": {"lamp": {"on": True}}}
    assert server.rest("GET", "/", ns=ns, query="format=export").json() is None, "and it is still on no disk"


def test_a_rate_of_the_server_bounds_how_often_each_is_told(tmp_path: Path) -> None:
    """How often is counted against the time that it took, so that a slow machine changes nothing."""
    written = 60
    with Server(tmp_path / "data", arguments=("--volatile-rate", "2")) as server:
        put_rules(server, "paced")
        reader, writer = Socket(server.port, "paced"), Socket(server.port, "paced")
        assert reader.ask("q", {"p": "/cursors", "h": ""})["s"] == "ok"
        reader.pushes.clear()
        began = time.monotonic()
        for number in range(1, written + 1):
            assert writer.ask("v", {"p": "/cursors/ann", "d": number})["s"] == "ok"
            time.sleep(0.02)
        heard: list[int] = []
        while not heard or heard[-1] != written:
            heard.append(reader.receive()["d"]["b"]["d"])
        intervals = (time.monotonic() - began) * 2
        assert heard == sorted(set(heard)), "each once, and none goes back"
        assert 2 <= len(heard) <= intervals + 1, (heard, intervals)
        assert server.read("/cursors/ann", ns="paced") == written
        writer.close()
        reader.close()
