"""The server's own addresses."""

from __future__ import annotations

import asyncio
import json

import pytest

from meadowlark import __version__
from meadowlark.server.profile import Profile
from tests.server.rest_server import ADMIN_CREDENTIAL, Served, serve

ADMIN = {"authorization": f"Bearer {ADMIN_CREDENTIAL}"}


def test_the_root_greets_people_and_programs() -> None:
    async def test(served: Served) -> None:
        peer = await served.connect()
        status, headers, body = await peer.ask("GET", "/", accept="text/html,*/*")
        assert (status, headers["content-type"]) == (200, "text/html; charset=utf-8")
        assert __version__ in body.decode()
        assert json.loads((await peer.ask("GET", "/"))[2])["version"] == __version__

    serve(test, mode="serve")


def test_health_tells_whether_writes_are_acknowledged() -> None:
    async def test(served: Served) -> None:
        peer = await served.connect()
        assert (await peer.ask("GET", "/.health"))[::2] == (200, b'{"status":"ok"}')
        served.worker.shard.failure = "The journal cannot be written"
        assert (await peer.ask("GET", "/.health"))[::2] == (503, b'{"error":"The journal cannot be written"}')
        served.worker.shard.failure = None
        served.worker.draining = True
        status, headers, _ = await peer.ask("GET", "/.health")
        assert (status, headers["connection"]) == (503, "close")

    serve(test, mode="serve")


def test_the_databases_are_listed_for_the_emulator_s_tools() -> None:
    async def test(served: Served) -> None:
        peer = await served.connect()
        assert (await peer.ask("GET", "/.inspect/databases.json?ns=demo"))[2] == b"[]"
        for name in ("b", "a"):
            await peer.ask("GET", f"/.json?ns={name}")
        assert (await peer.ask("GET", "/.inspect/databases.json?ns=demo"))[2] == b'[{"name":"a"},{"name":"b"}]'

    serve(test)


def test_in_serve_only_the_admin_sees_which_databases_there_are() -> None:
    async def test(served: Served) -> None:
        peer = await served.connect()
        for target in ("/.inspect/databases.json", "/.meadowlark/databases.json", "/.meadowlark/databases/rooms.json"):
            assert (await peer.ask("GET", target))[0] == 401
        assert (await peer.ask("PUT", "/.meadowlark/databases/rooms.json"))[0] == 401
        assert (await peer.ask("GET", "/.inspect/databases.json", **ADMIN))[0] == 200
        assert served.worker.shard.names() == []

    serve(test, mode="serve")


def test_an_admin_creates_a_database_once() -> None:
    async def test(served: Served) -> None:
        peer = await served.connect()
        assert (await peer.ask("GET", "/.meadowlark/databases/rooms.json", **ADMIN))[0] == 404
        assert (await peer.ask("PUT", "/.meadowlark/databases/rooms.json", "{}", **ADMIN))[::2] == (201, b'{"name":"rooms"}')
        assert (await peer.ask("PUT", "/.meadowlark/databases/rooms.json", "{}", **ADMIN))[0] == 200
        assert (await peer.ask("GET", "/.meadowlark/databases/rooms.json", **ADMIN))[0] == 200
        assert (await peer.ask("GET", "/.meadowlark/databases.json", **ADMIN))[2] == b'[{"name":"rooms"}]'
        assert (await peer.ask("GET", "/a.json?ns=rooms", **ADMIN))[2] == b"null"
        assert (await peer.ask("PUT", "/.meadowlark/databases/..json", "{}", **ADMIN))[0] == 400

    serve(test, mode="serve")


def test_a_database_is_created_by_its_owner() -> None:
    async def test(served: Served) -> None:
        served.worker.foreign.add("theirs")
        peer = await served.connect()
        peer.send(b"PUT /.meadowlark/databases/theirs.json HTTP/1.1\r\nHost: h\r\n\r\n")
        assert await peer.is_closed()
        assert [database for _, database in served.worker.passed] == ["theirs"]

    serve(test)


def test_metrics_are_for_the_admin_and_in_dev_for_everyone() -> None:
    async def closed(served: Served) -> None:
        peer = await served.connect()
        for target in ("/metrics", "/.meadowlark/metrics.json"):
            assert (await peer.ask("GET", target))[0] == 401
            assert (await peer.ask("GET", target, **ADMIN))[0] == 200

    async def opened(served: Served) -> None:
        peer = await served.connect()
        status, headers, body = await peer.ask("GET", "/metrics")
        assert (status, headers["content-type"]) == (200, "text/plain; version=0.0.4; charset=utf-8")
        assert b'\nmeadowlark_received_messages_total{worker="0",transport="http"} 1\n' in body
        status, headers, body = await peer.ask("GET", "/.meadowlark/metrics.json")
        assert (status, headers["content-type"]) == (200, "application/json; charset=utf-8")
        assert json.loads(body)[0]["meadowlark_received_messages_total"] == {"realtime": 0, "http": 2}
        assert (await peer.ask("POST", "/metrics", ""))[0] == 405

    serve(closed, mode="serve")
    serve(opened)


def test_a_path_called_metrics_is_anybodys() -> None:
    async def test(served: Served) -> None:
        peer = await served.connect()
        assert (await peer.ask("PUT", "/metrics.json?ns=rooms", "1"))[0] == 200
        assert (await peer.ask("PUT", "/metrics/a.json?ns=rooms", "2"))[0] == 200
        assert (await peer.ask("GET", "/metrics.json?ns=rooms"))[2] == b'{"a":2}'

    serve(test)


def test_one_profile_of_a_database_is_taken_at_a_time_by_an_admin() -> None:
    async def test(served: Served) -> None:
        peer, other = await served.connect(), await served.connect()
        target = "/.meadowlark/profile/rooms.json"
        assert (await peer.ask("GET", target))[0] == 401
        assert (await peer.ask("GET", target, **ADMIN))[0] == 404
        served.worker.shard.create("rooms")
        for seconds in ("0", "-1", "61", "nan", "many", ""):
            assert (await peer.ask("GET", f"{target}?seconds={seconds}", **ADMIN))[0] == 400
        hosted = await served.worker.shard.open("rooms")
        hosted.watchers = (Profile(),)
        assert (await peer.ask("GET", target, **ADMIN))[0] == 409
        hosted.watchers = ()
        taking = asyncio.ensure_future(peer.ask("GET", f"{target}?seconds=0.05", **ADMIN))
        assert (await other.ask("GET", "/.health"))[0] == 200
        status, _, body = await taking
        assert (status, json.loads(body)) == (200, {"database": "rooms", "seconds": 0.05, "paths": []})
        assert (hosted.watchers, hosted.users) == ((), 0)

    serve(test, mode="serve")


@pytest.mark.parametrize(("mode", "is_open"), [("dev", True), ("serve", False)])
def test_the_rules_are_what_holds_without_rules_and_only_the_admin_sees_them(mode: str, is_open: bool) -> None:
    async def test(served: Served) -> None:
        peer = await served.connect()
        served.worker.shard.create("rooms")
        _, _, body = await peer.ask("GET", "/.settings/rules.json?ns=rooms", **ADMIN)
        assert json.loads(body) == {"rules": {".read": is_open, ".write": is_open}}
        assert (await peer.ask("GET", "/.settings/rules.json?ns=rooms"))[0] == 401

    serve(test, mode=mode)


def test_what_is_not_there_says_what_is() -> None:
    async def test(served: Served) -> None:
        peer = await served.connect()
        for target, status, word in (
            ("/.lp?ns=x", 400, "start=t"),
            ("/.ws?ns=x", 426, "WebSockets"),
            ("/.inspect/coverages.json?ns=x", 404, ".json"),
            ("/favicon.ico", 404, ".json"),
        ):
            answer, _, body = await peer.ask("GET", target)
            assert answer == status, target
            assert word in json.loads(body)["error"], target
        assert (await peer.ask("DELETE", "/.health"))[0] == 405

    serve(test)


def test_options_are_answered_whatever_the_target() -> None:
    async def test(served: Served) -> None:
        peer = await served.connect()
        for target in ("/a.json?ns=unknown", "*", "/.settings/rules.json", "/a"):
            status, headers, _ = await peer.ask("OPTIONS", target, origin="http://app.example")
            assert status == 200, target
            assert "PUT" in headers["access-control-allow-methods"]

    serve(test, mode="serve")
