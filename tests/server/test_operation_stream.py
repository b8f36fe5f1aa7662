"""The stream of operations: what each command becomes, and that nothing watches once the stream has ended."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from meadowlark.auth.identity import NOBODY
from meadowlark.engine import (
    Client,
    Command,
    Get,
    Identify,
    Leave,
    Listen,
    OnDisconnectCancel,
    OnDisconnectSet,
    OnDisconnectUpdate,
    Set,
    Unlisten,
    Update,
)
from meadowlark.errors import Code, Refused
from meadowlark.query import parse_query
from meadowlark.server.hosted import Hosted
from meadowlark.server.watching import Carried, Told
from tests.server.rest_server import Peer, Served, serve

OWNER = {"authorization": "Bearer owner", "accept": "text/event-stream"}
ASKER = Client("session")
NOW = 1_700_000_000_000


def carried(
    command: Command, kind: str = "realtime", *, written: int = 0, replied: int = 0, told: tuple[Told, ...] = ()
) -> Carried:
    return Carried(command, kind, None, False, written, replied, told, waited_nanoseconds=2_000_000, took_nanoseconds=1_500_000)


def operation(name: str, path: list[str], size: int, **more: Any) -> dict[str, Any]:
    timed = {"millis": 1.5, "pendingTime": 2.0, "allowed": True}
    return {"name": name, "timestamp": NOW, "path": path, "bytes": size} | timed | more


async def watch(served: Served) -> tuple[Peer, Hosted]:
    peer = await served.connect()
    headers = "".join(f"{name}: {value}\r\n" for name, value in OWNER.items())
    peer.send(f"GET /.settings/profile.json?ns=rooms HTTP/1.1\r\nhost: h\r\n{headers}\r\n".encode())
    status, got, _ = await peer.response()
    assert (status, got["content-type"]) == (200, "text/event-stream; charset=utf-8")
    return peer, await served.worker.shard.open("rooms")


async def read(peer: Peer) -> dict[str, Any]:
    event = await peer.reader.readuntil(b"\n\n")
    first, second = event.decode().rstrip("\n").split("\n")
    assert first == "event: log"
    return dict(json.loads(second.removeprefix("data: ")))


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        (carried(Get(ASKER, 1, ("a", "b")), replied=7), operation("realtime-read", ["a", "b"], 7)),
        (carried(Get(ASKER, 0, ()), "rest", replied=7), operation("rest-read", [], 7)),
        (carried(Set(ASKER, 1, ("a",), 1), written=20), operation("realtime-write", ["a"], 20)),
        (carried(Set(ASKER, 1, ("a",), 1, "hash"), written=20), operation("realtime-transaction", ["a"], 20)),
        (carried(Set(ASKER, 1, ("a",), 1, "hash"), "rest", written=20), operation("rest-write", ["a"], 20)),
        (carried(Update(ASKER, 1, ("a",), {}), "rest", written=20), operation("rest-update", ["a"], 20)),
        (carried(Update(ASKER, 1, ("a",), {}), written=20), operation("realtime-update", ["a"], 20)),
        (carried(Listen(ASKER, 1, ("a",)), told=(Told(("a",), 1, 30),)), operation("listener-listen", ["a"], 30)),
        (carried(Listen(ASKER, 1, ("a",)), "stream", told=(Told(("a",), 1, 30),)), operation("listener-listen", ["a"], 30)),
        (carried(Unlisten(ASKER, 1, ("a",))), operation("listener-unlisten", ["a"], 0)),
        (carried(OnDisconnectSet(ASKER, 1, ("a",), 1), written=9), operation("on-disconnect-put", ["a"], 9)),
        (carried(OnDisconnectUpdate(ASKER, 1, ("a",), {}), written=9), operation("on-disconnect-update", ["a"], 9)),
        (carried(OnDisconnectCancel(ASKER, 1, ("a",)), written=9), operation("on-disconnect-cancel", ["a"], 9)),
        (carried(Leave(ASKER), written=9), operation("run-on-disconnect", [], 9)),
    ],
    ids=lambda case: case.get("name") if isinstance(case, dict) else type(case.command).__name__,
)
def test_each_command_has_its_name(seen: Carried, expected: dict[str, Any]) -> None:
    async def test(served: Served) -> None:
        peer, hosted = await watch(served)
        (watcher,) = hosted.watchers
        watcher.see(seen)
        assert await read(peer) == expected

    serve(test)


def test_what_listeners_are_told_is_an_operation_of_its_own() -> None:
    async def test(served: Served) -> None:
        peer, hosted = await watch(served)
        (watcher,) = hosted.watchers
        watcher.see(carried(Set(ASKER, 1, ("a",), 1), written=20, told=(Told(("a",), 3, 10), Told(("a", "b"), 1, 5))))
        assert (await read(peer))["name"] == "realtime-write"
        told = {"name": "listener-broadcast", "timestamp": NOW, "millis": 0}
        assert await read(peer) == told | {"path": ["a"], "bytes": 30}
        assert await read(peer) == told | {"path": ["a", "b"], "bytes": 5}

    serve(test)


def test_a_refusal_by_permission_is_said_and_what_says_nothing_is_left_out() -> None:
    async def test(served: Served) -> None:
        peer, hosted = await watch(served)
        (watcher,) = hosted.watchers
        watcher.see(carried(Identify(ASKER, 1, NOBODY)))
        watcher.see(carried(Leave(ASKER)))
        watcher.see(carried(Leave(ASKER), "stream", written=3))
        for code, allowed in ((Code.PERMISSION_DENIED, False), (Code.INVALID_DATA, True)):
            watcher.see(Carried(Set(ASKER, 1, ("a",), 1), "rest", Refused(code, ""), False, 0, 0, (), 2_000_000, 1_500_000))
            assert await read(peer) == operation("rest-write", ["a"], 0, allowed=allowed)

    serve(test)


def test_a_query_is_told_with_its_index_and_whether_that_is_missing() -> None:
    async def test(served: Served) -> None:
        peer, hosted = await watch(served)
        (watcher,) = hosted.watchers
        query = parse_query({"i": "a/b", "l": 2, "vf": "l"})
        asked = Listen(ASKER, 1, ("a",), query=query)
        watcher.see(Carried(asked, "realtime", None, True, 0, 0, (), 2_000_000, 1_500_000))
        said = {"querySet": [{"index": {"path": ["a", "b"]}, "i": "a/b", "l": 2, "vf": "l"}]}
        assert await read(peer) == operation("listener-listen", ["a"], 0, unIndexed=True, **said)
        watcher.see(carried(Get(ASKER, 1, ("a",), query), replied=3))
        assert await read(peer) == operation("realtime-read", ["a"], 3, **said)

    serve(test)


def test_connections_come_and_go() -> None:
    async def test(served: Served) -> None:
        peer, hosted = await watch(served)
        (watcher,) = hosted.watchers
        watcher.see_connection(begins=True)
        watcher.see_connection(begins=False)
        assert await read(peer) == {"name": "concurrent-connect", "timestamp": NOW}
        assert await read(peer) == {"name": "concurrent-disconnect", "timestamp": NOW}

    serve(test)


def test_who_does_not_ask_for_events_is_told_to() -> None:
    async def test(served: Served) -> None:
        peer = await served.connect()
        status, _, body = await peer.ask("GET", "/.settings/profile.json?ns=rooms", authorization="Bearer owner")
        assert (status, json.loads(body)) == (
            400,
            {"error": "the operations come as events: ask with 'Accept: text/event-stream'"},
        )
        assert (await peer.ask("HEAD", "/.settings/profile.json?ns=rooms", **OWNER))[0] == 200
        assert not (await served.worker.shard.open("rooms")).watchers

    serve(test)


def test_nothing_watches_when_the_client_has_gone() -> None:
    async def test(served: Served) -> None:
        first, hosted = await watch(served)
        second, _ = await watch(served)
        assert (len(hosted.watchers), hosted.users) == (2, 2)
        first.close()
        second.close()
        while served.worker.connections:
            await asyncio.sleep(0)
        assert (hosted.watchers, hosted.users) == ((), 0)

    serve(test)


def test_a_quiet_stream_is_kept_alive() -> None:
    async def test(served: Served) -> None:
        peer, hosted = await watch(served)
        (watcher,) = hosted.watchers
        for now in (100.0, 129.0, 130.0):
            watcher.sweep(now)  # type: ignore[attr-defined]
        assert await peer.reader.readuntil(b"\n\n") == b"event: keep-alive\ndata: null\n\n"

    serve(test)
