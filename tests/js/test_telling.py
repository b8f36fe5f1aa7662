"""What our JavaScript client tells a program beside its data: that the other end is gone, and of volatile writes that went
nowhere; and how often it lets itself be told."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path
from typing import Any

import pytest

from tests.conformance.conftest import settings_for
from tests.harness import Script, Server, eventually, fresh_name
from tests.proxy import Proxy
from tests.server.sockets import Socket
from tests.server.test_observability import metrics

pytestmark = pytest.mark.slow

SCRIPT = "../../js/telling.mjs"
RULES = {
    "rules": {
        ".read": True,
        "said": {".write": True},
        "cursors": {"$user": {".volatile": True, ".write": "$user != 'nobody'"}},
    }
}
DEAD_SECONDS = 7.5
"""As docs/clients.md says, after which a connection is found dead. What is asserted is four times that, for a busy machine."""


def start(server: Server, ns: str, place: str = "cursors", **more: Any) -> Script:
    assert server.rest("PUT", "/.settings/rules", RULES, ns=ns).status == 200
    return Script(SCRIPT, settings_for(server, "url", ns, place=place) | more)


def tell(script: Script, *action: Any) -> None:
    script.tell(json.dumps(action))


def wait_for(script: Script, *event: Any, within: float = 60.0) -> None:
    while script.wait_for(event[0], within=within) != list(event):
        pass


def test_a_rate_that_is_asked_for_bounds_how_often_one_is_told(node: Path, server: Server) -> None:
    """How often is counted against the time that it took, so that a slow machine changes nothing."""
    ns, written = fresh_name("paced"), 60
    with start(server, ns) as script:
        tell(script, "rate", 2)
        wait_for(script, "sees", None)
        tell(script, "set", "said/rate", 1)
        script.wait_for("done")
        writer = Socket(server.port, ns)
        began = time.monotonic()
        for number in range(1, written + 1):
            assert writer.ask("v", {"p": "/cursors/ann", "d": number})["s"] == "ok"
            time.sleep(0.02)
        wait_for(script, "sees", {"ann": written})
        intervals = (time.monotonic() - began) * 2
        seen = [value["ann"] for _, value in script.of("sees") if value]
        assert seen == sorted(set(seen)), "each once, and none goes back"
        assert 2 <= len(seen) <= intervals + 1, (seen, intervals)
        # Without a bound again, each is told at once.
        tell(script, "rate", 0)
        tell(script, "set", "said/rate", 0)
        script.wait_for("done")
        for number in range(written + 1, written + 21):
            assert writer.ask("v", {"p": "/cursors/ann", "d": number})["s"] == "ok"
            wait_for(script, "sees", {"ann": number})
        writer.close()
        tell(script, "end")
        script.finish()


@pytest.mark.parametrize("waits", [False, True], ids=["idle", "with a write unanswered"])
def test_a_connection_that_dies_without_a_word_is_found_dead_within_seconds(node: Path, server: Server, waits: bool) -> None:
    """Nothing is reset, all just goes nowhere, as behind a cable that is cut. Later it comes through again."""
    ns = fresh_name("dead")
    with Proxy(server.port) as proxy, start(server, ns, "said", port=proxy.port) as script:
        wait_for(script, "connected", True)
        tell(script, "set", "said/first", 1)
        wait_for(script, "sees", {"first": 1})
        script.wait_for("done")
        proxy.swallows = True
        if waits:
            tell(script, "set", "said/second", 2)
        wait_for(script, "connected", False, within=4 * DEAD_SECONDS)
        assert server.read("/said", ns=ns) == {"first": 1}
        server.write("/said/meanwhile", True, ns=ns)
        # What was swallowed is gone; what is new comes through.
        proxy.swallows = False
        wait_for(script, "connected", True)
        expected = {"first": 1, "meanwhile": True} | ({"second": 2} if waits else {})
        wait_for(script, "sees", expected)
        assert server.read("/said", ns=ns) == expected, "what was not answered is said again, once"
        tell(script, "end")
        script.finish()


def test_whoever_develops_reads_on_the_console_what_went_nowhere(node: Path, server: Server) -> None:
    ns = fresh_name("drops")
    before = metrics(server)
    with start(server, ns) as script:
        wait_for(script, "connected", True)
        for path, value in (("cursors/ann", 1), ("cursors/nobody", 2), ("cursors/ann", "x" * 5000)):
            tell(script, "volatile", path, value)
            wait_for(script, "sent", True)
        for reason in ("Permission denied", "has 5002 bytes, limit is 4096"):
            warning = f"meadowlark: volatile write dropped: .*{reason}"
            eventually(lambda warning=warning: warned(script, warning), what=warning)  # type: ignore[misc]
        assert len([line for line in script.complaints if "dropped" in line]) == 2, script.complaints
        tell(script, "end")
        script.finish()
        assert script.of("sees")[-1] == ["sees", {"ann": 1}]
    for reason in ("denied", "too_big"):
        counted = before.of("volatile_dropped_total", reason=reason) + 1
        # Whoever answers knows of other workers what they said a moment ago.
        eventually(
            lambda reason=reason, counted=counted: metrics(server).of("volatile_dropped_total", reason=reason) == counted,  # type: ignore[misc]
            what=f"one more {reason}",
        )


def test_in_production_the_console_is_silent_and_drops_are_counted_all_the_same(node: Path, tmp_path: Path) -> None:
    with Server(tmp_path / "data", mode="serve") as server:
        server.create("shop")
        with start(server, "shop") as script:
            wait_for(script, "connected", True)
            tell(script, "volatile", "cursors/nobody", 2)
            wait_for(script, "sent", True)
            tell(script, "set", "said/after", 1)
            script.wait_for("done")
            eventually(lambda: metrics(server).of("volatile_dropped_total", reason="denied") == 1, what="it is counted")
            tell(script, "end")
            script.finish()
            assert not warned(script, "meadowlark")


def warned(script: Script, pattern: str) -> bool:
    return any(re.search(pattern, line) for line in script.complaints)
