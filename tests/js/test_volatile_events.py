"""Volatile writes as three clients hear of them, Firebase's own and both of ours: event by event the same."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from meadowlark.client import ChildEvent, Database
from tests.conformance.conftest import settings_for
from tests.conformance.test_volatile import put_rules
from tests.harness import Script, Server, fresh_name
from tests.js.conftest import OPTIONS
from tests.server.sockets import Socket

pytestmark = pytest.mark.slow

SECONDS = 60.0

WRITES: list[tuple[str, str, Any]] = [
    ("v", "ann", {"x": 1, "y": 1}),
    ("p", "bob", {"x": 5}),
    ("v", "ann", {"x": 2, "y": 1}),
    ("v", "ann/x", 3),
    ("v", "ann/x", 3),
    ("m", "", {"ann/y": 9, "bob/x": 6, "cat": "new"}),
    ("v", "bob", {"x": 6, ".priority": -1}),
    ("p", "ann/.priority", 7),
    ("v", "cat", None),
    ("v", "dan", {"deep": {"er": [1, 2]}}),
    ("p", "dan/deep/er/1", True),
    ("v", "ann", "a leaf"),
    ("v", "ann/now/a/map", 1),
]


def write(writer: Socket) -> None:
    """All of them, as the SDK writes or as our own clients do; each is told before the next is read."""
    for action, path, value in WRITES:
        assert writer.ask(action, {"p": f"/cursors/{path}".rstrip("/"), "d": value})["s"] == "ok"


def test_all_clients_hear_of_volatile_writes_alike(node: Path, server: Server) -> None:
    ns = fresh_name("alike")
    put_rules(server, ns)
    settings = settings_for(server, "url", ns)
    heard: list[list[Any]] = []

    async def listen() -> None:
        async with Database(f"http://127.0.0.1:{server.port}?ns={ns}") as database:
            place, over = database.ref("cursors"), asyncio.Event()

            def child(event: ChildEvent) -> None:
                before = None if event.kind == "child_removed" else event.previous_key
                heard.append([event.kind, event.key, before, event.snapshot.export])

            def value(snapshot: Any) -> None:
                heard.append(["value", snapshot.export])
                if snapshot.child("end").exists:
                    over.set()

            with place.on_child(child), place.on_value(value):
                await database.ref("barriers/python").set(1)
                await asyncio.to_thread(perform)
                await over.wait()

    def perform() -> None:
        for script in scripts:
            script.wait_for("listens")
        writer = Socket(server.port, ns)
        write(writer)
        writer.close()  # What is left of it goes.
        while server.read("/cursors", ns=ns) is not None:
            pass
        assert other.ask("v", {"p": "/cursors/end", "d": 1})["s"] == "ok"
        for script in scripts:
            script.finish()

    other = Socket(server.port, ns)
    with (
        Script("hearing.mjs", settings, environment={"NODE_OPTIONS": ""}) as sdk,
        Script("hearing.mjs", settings, environment={"NODE_OPTIONS": OPTIONS}) as ours,
    ):
        scripts = (sdk, ours)
        asyncio.run(asyncio.wait_for(listen(), SECONDS))
    other.close()
    told = [[event for event in script.events if event[0] != "listens"] for script in scripts]
    assert told[0] == told[1]
    assert [event for event in told[0] if event[0] == "value"] == [event for event in heard if event[0] == "value"]
    children = [event for event in told[0] if event[0] != "value"]
    assert children == [event for event in heard if event[0] != "value"]
    assert len(children) > len(WRITES)
    assert told[0][-1] == ["value", {"end": 1}]
