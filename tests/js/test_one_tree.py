"""Programs with Firebase's SDK and with our clients beside each other on one tree."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any

import pytest

from meadowlark.client import Database
from tests.conformance.conftest import NODE_FOLDER, settings_for
from tests.harness import Script, Server, eventually, fresh_name
from tests.js.conftest import OPTIONS

pytestmark = pytest.mark.slow

SDK, OURS = {"NODE_OPTIONS": ""}, {"NODE_OPTIONS": OPTIONS}
RULES = {"rules": {".read": True, ".write": True, "shop": {"orders": {".indexOn": ["open"]}, "sold": {".indexOn": [".value"]}}}}
SECONDS = 90.0


@pytest.mark.parametrize("environments", [(SDK, SDK), (OURS, OURS), (SDK, OURS), (OURS, SDK)], ids=lambda pair: "")
def test_one_app_does_the_same_whichever_client_its_imports_mean(
    node: Path, server: Server, environments: tuple[dict[str, str], dict[str, str]]
) -> None:
    ns = fresh_name("app")
    assert server.rest("PUT", "/.settings/rules", RULES, ns=ns).status == 200
    ann_settings, bob_settings = (settings_for(server, "url", ns, user=user) for user in ("ann", "bob"))
    with (
        Script("app.mjs", ann_settings, environment=environments[0]) as ann,
        Script("app.mjs", bob_settings, environment=environments[1]) as bob,
    ):
        ann.wait_for("here")
        bob.wait_for("here")
        for script, line, answer in (
            (ann, "order tea", ["ordered", True, 1]),
            (bob, "order tea", ["ordered", True, 2]),
            (ann, "order cake", ["ordered", True, 3]),
            (bob, "order bread", ["ordered", True, 4]),
            (ann, "best", ["best", {"tea": 2}]),
        ):
            script.tell(line)
            assert script.wait_for(answer[0]) == answer
        orders = {1: "ann tea", 2: "bob tea", 3: "ann cake", 4: "bob bread"}
        for script in (bob, ann):
            script.tell("serve")
            _, committed, ticket, is_recent = script.wait_for("served")
            assert (committed, is_recent) == (True, True)
            orders.pop(ticket)  # Which is the oldest by the clocks of two clients may differ by a few milliseconds.
        for script in (ann, bob):
            script.tell("best")  # What others did arrives before what one is answered.
            script.wait_for("best")
            assert {ticket: f"{by} {what}" for ticket, by, what in screens(script)[-1]} == orders
        bob.tell("end")
        bob.finish()
        assert ann.wait_for("went") == ["went", "bob"]
        left = eventually(lambda: server.read("/shop/left", ns=ns), what="what Bob left behind")
        assert left["count"] == 1
        assert isinstance(left["bob"], int)
        ann.tell("close")
        assert ann.wait_for("closed") == ["closed", False]
        ann.tell("end")
        ann.finish()
    assert {tuple(event[1:]) for event in ann.of("came")} == {("ann", "number"), ("bob", "number")}
    assert screens(ann)[-1] == []


def screens(script: Script) -> list[Any]:
    """What was on the screen, one after the other."""
    return [shown for _, shown in script.of("screen")]


def test_the_app_imports_nothing_but_what_is_exchanged() -> None:
    imports = re.findall(r"from '(.+?)'", (NODE_FOLDER / "app.mjs").read_text())
    assert imports == ["firebase/app", "firebase/database", "./lib.mjs"]


def test_clients_of_every_kind_count_on_one_counter(node: Path, server: Server) -> None:
    """All at once, each on a connection of its own; everybody hears each number once, in order."""
    ns = fresh_name("count")
    each, kinds = 8, 3
    whole = kinds * 2 * each
    heard: list[Any] = []

    async def count() -> None:
        url = f"http://127.0.0.1:{server.port}?ns={ns}"
        async with Database(url) as one, Database(url) as other, Database(url) as listener:
            over = asyncio.Event()

            def told(snapshot: Any) -> None:
                heard.append(snapshot.value)
                if snapshot.value == whole:
                    over.set()

            with listener.ref("counter").on_value(told):
                await listener.ref("ready").set(True)
                for script in scripts:
                    await asyncio.to_thread(script.wait_for, "ready")
                    script.tell("go")
                for _ in range(each):
                    await asyncio.gather(
                        *(client.ref("counter").transaction(lambda value: (value or 0) + 1) for client in (one, other))
                    )
                await over.wait()

    with (
        Script("contention.mjs", settings_for(server, "url", ns, clients=2, each=each, first=0), environment=SDK) as sdk,
        Script("contention.mjs", settings_for(server, "url", ns, clients=2, each=each, first=2), environment=OURS) as ours,
    ):
        scripts = (sdk, ours)
        asyncio.run(asyncio.wait_for(count(), SECONDS))
        for script in scripts:
            assert script.wait_for("done")[1] == 2 * each
            script.finish()
    assert server.read("/counter", ns=ns) == whole
    assert heard == [None, *range(1, whole + 1)]
