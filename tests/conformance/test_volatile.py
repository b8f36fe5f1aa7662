"""Volatile values on a running server: with the SDK under a rule, over REST, in exports, and after a restart."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conformance.conftest import settings_for
from tests.harness import Script, Server, fresh_name

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
