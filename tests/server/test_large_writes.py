"""Large writes over REST: the same answers as for small ones, and a bound for all together."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import orjson
import pytest

from meadowlark.auth.identity import ADMIN
from meadowlark.engine import Client, Database, Reply, Ruled, Set
from meadowlark.engine.ahead import Decision
from meadowlark.errors import Code
from meadowlark.limits import LARGE_BYTES, LARGE_WRITES_BYTES_MAX, LARGE_WRITES_DATABASE_BYTES_MAX
from meadowlark.rules import parse_rules
from meadowlark.server.hosted import Hosted
from meadowlark.server.large_writes import LargeWrites
from meadowlark.tree import unpacked
from tests.server.rest_server import Served, serve

RECORDS = {f"record {number}": {"name": f'{{[,"{number}', "list": [1, None, 2.0], "gone": None} for number in range(4_000)}
STORED = {key: {"name": value["name"], "list": [1, None, 2]} for key, value in RECORDS.items()}
BODY = json.dumps(RECORDS).encode()

assert len(BODY) > LARGE_BYTES


def entries_of(served: Served) -> list[Any]:
    """What was written, as the journal has it; values by their size."""
    return [
        [kind, path, len(value) if isinstance(value, dict) else value] for kind, path, value in served.worker.shard.entries[-1]
    ]


def test_a_large_value_is_put_and_read_back() -> None:
    async def test(served: Served) -> None:
        peer = await served.connect()
        status, _, body = await peer.ask("PUT", "/a/b.json?ns=demo", BODY)
        assert (status, orjson.loads(body)) == (200, STORED)
        assert entries_of(served) == [["w", "/a/b", len(RECORDS)]]
        status, _, body = await peer.ask("GET", "/a/b.json?ns=demo")
        assert orjson.loads(body) == STORED
        assert served.worker.large_writes.held_bytes == 0

    serve(test)


def test_a_large_value_is_pushed() -> None:
    async def test(served: Served) -> None:
        peer = await served.connect()
        status, _, body = await peer.ask("POST", "/a.json?ns=demo", BODY)
        name = orjson.loads(body)["name"]
        assert (status, entries_of(served)) == (200, [["w", f"/a/{name}", len(RECORDS)]])

    serve(test)


def test_a_large_update_keeps_what_it_does_not_name() -> None:
    async def test(served: Served) -> None:
        peer = await served.connect()
        await peer.ask("PUT", "/.json?ns=demo", '{"a":{"old":1,"other":2},"b":3}')
        update = {"a/x": RECORDS, "a/old": None, "c": [1, 2], "b/.priority": 5}
        status, _, _ = await peer.ask("PATCH", "/.json?ns=demo", json.dumps(update))
        assert status == 200
        tree = unpacked(served.worker.shard.tree("demo").root)
        assert (tree["a"].keys(), tree["b"], tree["c"]) == ({"other", "x"}, {".value": 3, ".priority": 5}, {"0": 1, "1": 2})
        assert entries_of(served) == [
            ["w", "/a/x", len(RECORDS)],
            ["w", "/a/old", None],
            ["w", "/c", 2],
            ["w", "/b/.priority", 5],
        ]

    serve(test)


def test_a_large_update_of_plain_values_is_packed_on_its_way_and_says_the_same() -> None:
    async def test(served: Served) -> None:
        peer = await served.connect()
        await peer.ask("PUT", "/.json?ns=demo", '{"a":{"old":1,"other":2},"b":3}')
        status, _, _ = await peer.ask("PATCH", "/.json?ns=demo", json.dumps({"a/x": RECORDS, "a/old": None, "c": [1, 2]}))
        assert status == 200
        tree = unpacked(served.worker.shard.tree("demo").root)
        stored = {key: {"name": value["name"], "list": {"0": 1, "2": 2}} for key, value in RECORDS.items()}
        assert (tree["a"], tree["b"], tree["c"]) == ({"other": 2, "x": stored}, 3, {"0": 1, "1": 2})
        assert entries_of(served) == [["w", "/a/x", len(RECORDS)], ["w", "/a/old", None], ["w", "/c", 2]]

    serve(test)


def test_server_values_in_a_large_value_are_made() -> None:
    async def test(served: Served) -> None:
        peer = await served.connect()
        await peer.ask("PUT", "/a.json?ns=demo", '{"n":2}')
        raw = {**RECORDS, "n": {".sv": {"increment": 3}}, "at": {".sv": "timestamp"}}
        await peer.ask("PUT", "/a.json?ns=demo", json.dumps(raw))
        stored = unpacked(served.worker.shard.tree("demo").root["a"])
        assert (stored["n"], stored["at"]) == (5, served.worker.now_ms())
        assert served.worker.shard.entries[-1][0][2] == stored

    serve(test)


@pytest.mark.parametrize(
    ("method", "raw", "text"),
    [
        ("PUT", BODY[:-1], "Invalid data; couldn't parse JSON object, array, or value."),
        ("PUT", json.dumps({**RECORDS, "bad.key": 1}).encode(), "Invalid data: key 'bad.key' has one of"),
        ("PUT", json.dumps({"in": {**RECORDS, "x": [1, {".sv": "when"}]}}).encode(), "unknown server value: expected"),
        ("PATCH", json.dumps([RECORDS]).encode(), "Invalid data; couldn't parse JSON object."),
        ("PATCH", json.dumps({"a": RECORDS, "a/b": 1}).encode(), "/x/a and /x/a/b"),
    ],
)
def test_what_is_wrong_is_refused_and_nothing_changes(method: str, raw: bytes, text: str) -> None:
    async def test(served: Served) -> None:
        peer = await served.connect()
        status, _, body = await peer.ask(method, "/x.json?ns=demo", raw)
        assert status == 400
        assert text in orjson.loads(body)["error"]
        assert (served.worker.shard.entries, served.worker.large_writes.held_bytes) == ([], 0)
        assert (await peer.ask("PUT", "/x.json?ns=demo", "1"))[0] == 200

    serve(test)


def test_who_may_not_write_is_refused_before_the_work_is_done() -> None:
    async def test(served: Served) -> None:
        served.worker.shard.create("demo")
        peer = await served.connect()
        status, _, _ = await peer.ask("PUT", "/x.json?ns=demo", BODY[:-1])
        assert status == 401

    serve(test, mode="serve")


def test_others_are_answered_while_a_large_value_is_prepared() -> None:
    async def test(served: Served) -> None:
        large, small = await served.connect(), await served.connect()
        body = json.dumps({f"copy {number}": RECORDS for number in range(30)}).encode()
        waiting = asyncio.create_task(large.ask("PUT", "/big.json?ns=demo&print=silent", body))
        answered = 0
        while not waiting.done():
            assert (await small.ask("PUT", "/n.json?ns=other", str(answered)))[0] == 200
            answered += 1
        assert (await waiting)[0] == 204
        # A write of this size took one turn of the loop, and so let one or two others through.
        assert answered > 50

    serve(test)


@pytest.mark.parametrize("is_chunked", [False, True])
def test_more_large_bodies_than_there_is_room_for_are_asked_to_come_back(is_chunked: bool) -> None:
    async def test(served: Served) -> None:
        served.worker.large_writes.uploads.count("other", LARGE_WRITES_BYTES_MAX - LARGE_BYTES)
        peer = await served.connect()
        if is_chunked:
            size = b"transfer-encoding: chunked"
            peer.send(
                b"PUT /a.json?ns=demo HTTP/1.1\r\nhost: x\r\n%b\r\n\r\n%x\r\n%b" % (size, 2 * LARGE_BYTES, b" " * 2 * LARGE_BYTES)
            )
        else:
            peer.send(b"PUT /a.json?ns=demo HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n" % (2 * LARGE_BYTES))
        status, headers, body = await peer.response()
        assert (status, headers["retry-after"]) == (503, "5")
        assert "busy with large writes" in orjson.loads(body)["error"]
        assert served.worker.large_writes.held_bytes == LARGE_WRITES_BYTES_MAX - LARGE_BYTES

    serve(test)


def test_room_is_given_back_when_a_client_goes_before_its_body_is_there() -> None:
    async def test(served: Served) -> None:
        peer = await served.connect()
        peer.send(b"PUT /a.json?ns=demo HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n{" % (2 * LARGE_BYTES))
        while not served.worker.large_writes.held_bytes:
            await asyncio.sleep(0)
        peer.close()
        while served.worker.large_writes.held_bytes:
            await asyncio.sleep(0)

    serve(test)


def test_a_half_sent_body_makes_room_for_another() -> None:
    async def test(served: Served) -> None:
        uploads = served.worker.large_writes.uploads
        slow, other = await served.connect(), await served.connect()
        slow.send(b"PUT /a.json?ns=demo HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n{" % (2 * LARGE_BYTES))
        while not uploads.held_bytes:
            await asyncio.sleep(0)
        for now in (1000.0, 1001.0, 1002.0):
            uploads.sweep(now)
        uploads.count("demo", LARGE_WRITES_DATABASE_BYTES_MAX - 2 * LARGE_BYTES)
        assert (await other.ask("PUT", "/b.json?ns=demo&print=silent", b'"%b"' % (b"x" * LARGE_BYTES)))[0] == 204
        status, headers, body = await slow.response()
        assert (status, headers["retry-after"], headers["connection"]) == (503, "5", "close")
        assert "this one came slowest" in orjson.loads(body)["error"]
        assert uploads.held_bytes == LARGE_WRITES_DATABASE_BYTES_MAX - 2 * LARGE_BYTES

    serve(test)


@pytest.mark.parametrize(("disturbances", "asked", "code"), [(0, 1, None), (2, 3, None), (3, 3, Code.UNAVAILABLE)])
def test_a_write_is_decided_again_when_what_it_hangs_on_has_changed(disturbances: int, asked: int, code: Code | None) -> None:
    database = Database("rooms", Ruled(parse_rules('{"rules": {".write": "root.child(\'open\').val() !== false"}}')))
    decisions: list[Any] = []

    class Disturbed:
        """Does all steps at once; then somebody writes what the rules look at."""

        async def run(self, steps: Any) -> Any:
            while True:
                try:
                    next(steps)
                except StopIteration as stop:
                    made = stop.value
                    break
            if isinstance(made, Decision):
                decisions.append(made)
                if len(decisions) <= disturbances:
                    database.apply(Set(Client("admin", ADMIN), 1, ("open",), len(decisions)), 1, [])
            return made

    async def scenario() -> None:
        writes = LargeWrites(Disturbed(), lambda: 1)  # type: ignore[arg-type]  # all that it needs of one
        command = await writes.prepare(Hosted(database), Set(Client("one"), 1, ("a",), {"b": 1}), 10)
        out: list[Any] = []
        database.apply(command, 1, out)
        reply = out[-1] if isinstance(out[-1], Reply) else out[-1].reply
        assert (len(decisions), reply.refused and reply.refused.code) == (asked, code)
        assert writes.held_bytes == 0

    asyncio.run(scenario())
