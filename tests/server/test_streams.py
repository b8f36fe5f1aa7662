"""Event streams over loopback: first the value, then each change, until one side ends it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from meadowlark.auth.identity import Identity
from meadowlark.engine import Revoke
from meadowlark.limits import OUTBOX_BYTES_MAX, OUTBOX_STALL_SECONDS, STREAM_KEEPALIVE_SECONDS
from meadowlark.server.streams import EventStream
from tests.server.rest_server import Peer, Served, serve

LARGE = {f"key{number}": {"n": number, "text": "x" * 200} for number in range(20_000)}


async def stream(served: Served, path: str, query: str = "", **headers: str) -> Peer:
    """A peer whose stream has begun."""
    peer = await served.connect()
    status, head, _ = await peer.ask("GET", f"{path}.json?{query}", accept="text/event-stream", **headers)
    assert (status, head["content-type"], head["connection"]) == (200, "text/event-stream; charset=utf-8", "close")
    return peer


async def lines(peer: Peer) -> AsyncIterator[bytes]:
    while line := await peer.line():
        yield line


async def event(peer: Peer) -> tuple[str, Any]:
    """The next event's name and data."""
    fields = [line async for line in lines(peer)]
    assert [field.partition(b": ")[0] for field in fields] == [b"event", b"data"]
    return fields[0].partition(b": ")[2].decode(), json.loads(fields[1].partition(b": ")[2])


def streams(served: Served) -> list[EventStream]:
    return [connection._stream for connection in served.worker.connections if connection._stream is not None]


def test_a_stream_tells_the_value_and_then_each_change() -> None:
    async def test(served: Served) -> None:
        writer = await served.connect()
        await writer.ask("PUT", "/room.json", '{"a":1,"l":["x"]}')
        peer = await stream(served, "/room")
        assert await event(peer) == ("put", {"path": "/", "data": {"a": 1, "l": ["x"]}})
        await writer.ask("PUT", "/room/b/c.json", "true")
        assert await event(peer) == ("put", {"path": "/b/c", "data": True})
        await writer.ask("PATCH", "/room.json", '{"a":null,"x/y":2}')
        assert await event(peer) == ("patch", {"path": "/", "data": {"a": None, "x/y": 2}})
        await writer.ask("PUT", "/elsewhere.json", "1")
        await writer.ask("PUT", "/room/a/.priority.json", "1")
        await writer.ask("PATCH", "/.json", '{"room/z":1,"elsewhere":2}')
        assert await event(peer) == ("put", {"path": "/z", "data": 1})
        await writer.ask("PUT", "/.json", '{"room":"leaf"}')
        assert await event(peer) == ("put", {"path": "/", "data": "leaf"})
        await writer.ask("DELETE", "/.json")
        assert await event(peer) == ("put", {"path": "/", "data": None})

    serve(test)


def test_a_filtered_stream_tells_its_window_and_then_what_changes_in_it() -> None:
    async def test(served: Served) -> None:
        writer = await served.connect()
        await writer.ask("PUT", "/room.json", '{"b":{"n":1},"c":{"n":2},"d":{"n":3}}')
        peer = await stream(served, "/room", query="orderBy=%22$key%22&limitToFirst=2")
        assert await event(peer) == ("put", {"path": "/", "data": {"b": {"n": 1}, "c": {"n": 2}}})
        await writer.ask("PUT", "/room/d/n.json", "4")  # Outside: nothing is told.
        await writer.ask("PUT", "/room/c/n.json", "5")
        assert await event(peer) == ("put", {"path": "/c/n", "data": 5})
        await writer.ask("PUT", "/room/a.json", '{"n":0}')
        assert await event(peer) == ("patch", {"path": "/", "data": {"c": None, "a": {"n": 0}}})
        await writer.ask("PATCH", "/room.json", '{"a":null,"b/n":9}')
        assert await event(peer) == ("patch", {"path": "/", "data": {"a": None, "c": {"n": 5}, "b/n": 9}})
        await writer.ask("DELETE", "/room.json")
        assert await event(peer) == ("put", {"path": "/", "data": None})

    serve(test)


def test_a_filtered_stream_on_nothing_begins_with_null_and_ends_its_listening() -> None:
    async def test(served: Served) -> None:
        peer = await stream(served, "/none", query="orderBy=%22$key%22&limitToFirst=2")
        assert await event(peer) == ("put", {"path": "/", "data": None})
        hosted = await served.worker.shard.open("fake-server")
        assert hosted.database._queries.ordering_count == 1
        peer.close()
        while served.worker.connections:
            await asyncio.sleep(0.001)
        assert (hosted.users, hosted.database._queries.ordering_count) == (0, 0)

    serve(test)


def test_a_stream_of_a_query_whose_index_is_not_declared_is_refused() -> None:
    async def test(served: Served) -> None:
        peer = await served.connect()
        for _ in range(2):
            status, _, body = await peer.ask("GET", "/room.json?orderBy=%22n%22", accept="text/event-stream")
            text = 'Index not defined, add ".indexOn": "n", for path "/room", to the rules'
            assert (status, json.loads(body)) == (400, {"error": text})
        assert (await served.worker.shard.open("fake-server")).users == 0

    serve(test)


def test_a_stream_that_waits_for_its_index_begins_when_it_is_there_and_goes_with_its_client() -> None:
    async def test(served: Served) -> None:
        writer = await served.connect()
        await writer.ask("PUT", "/many.json?print=silent", json.dumps({f"k{number:04}": number for number in range(2_000)}))
        hosted = await served.worker.shard.open("fake-server")
        served.worker.shard.holds = True
        target = "/many.json?orderBy=%22$key%22&limitToLast=1"
        staying, leaving = await served.connect(), await served.connect()
        beginning = asyncio.ensure_future(staying.ask("GET", target, accept="text/event-stream"))
        going = asyncio.ensure_future(leaving.ask("GET", target, accept="text/event-stream"))
        while hosted.users < 2:
            await asyncio.sleep(0.001)
        for connection in served.worker.connections:
            connection.sweep(0.0)
        leaving.writer.transport.abort()
        going.cancel()
        served.worker.shard.holds = False
        assert (await beginning)[0] == 200
        assert await event(staying) == ("put", {"path": "/", "data": {"k1999": 1999}})
        while hosted.users > 1:
            await asyncio.sleep(0.001)
        assert len(streams(served)) == 1

    serve(test)


def test_a_stream_on_nothing_begins_with_null() -> None:
    async def test(served: Served) -> None:
        assert await event(await stream(served, "/none")) == ("put", {"path": "/", "data": None})

    serve(test)


def test_a_stream_that_may_not_read_is_refused_like_any_request() -> None:
    async def test(served: Served) -> None:
        served.worker.shard.create("rooms")
        peer = await served.connect()
        for _ in range(3):
            status, _, body = await peer.ask("GET", "/a.json?ns=rooms", accept="text/event-stream")
            assert (status, body) == (401, b'{"error":"Permission denied"}')
        hosted = await served.worker.shard.open("rooms")
        assert hosted.users == 0

    serve(test, mode="serve")


def test_a_stream_ends_its_listening_with_its_connection() -> None:
    async def test(served: Served) -> None:
        peer = await stream(served, "/room")
        hosted = await served.worker.shard.open("fake-server")
        assert hosted.users == 1
        peer.close()
        while served.worker.connections:
            await asyncio.sleep(0.001)
        assert hosted.users == 0
        assert not hosted.database._listeners.reaching(("room",))[0]

    serve(test)


def test_a_large_value_comes_in_slices_and_later_changes_after_it() -> None:
    async def test(served: Served) -> None:
        writer = await served.connect()
        await writer.ask("PUT", "/big.json?print=silent", json.dumps(LARGE))
        peer = await stream(served, "/big")
        tree = served.worker.shard.tree("fake-server")
        assert tree._frozen_count == 1
        for number in range(3):
            await writer.ask("PUT", f"/big/key{number}.json", '"changed meanwhile"')
        assert await event(peer) == ("put", {"path": "/", "data": LARGE})
        while tree._frozen_count:
            await asyncio.sleep(0)
        for number in range(3):
            assert await event(peer) == ("put", {"path": f"/key{number}", "data": "changed meanwhile"})

    serve(test)


def test_a_large_change_is_made_once_for_all_and_comes_in_its_turn() -> None:
    async def test(served: Served) -> None:
        writer = await served.connect()
        await writer.ask("PUT", "/big.json?print=silent", json.dumps(LARGE))
        slow = await stream(served, "/big")  # The first value is on its way, and waits for this client to read.
        others = [await stream(served, "/big/part") for _ in range(3)]
        for peer in others:
            assert await event(peer) == ("put", {"path": "/", "data": None})
        await writer.ask("PUT", "/big/part.json?print=silent", json.dumps(LARGE))
        await writer.ask("PATCH", "/big.json?print=silent", json.dumps({"part/x": 1, "more": LARGE}))
        assert await event(slow) == ("put", {"path": "/", "data": LARGE})
        assert await event(slow) == ("put", {"path": "/part", "data": LARGE})
        assert await event(slow) == ("patch", {"path": "/", "data": {"part/x": 1, "more": LARGE}})
        for peer in others:
            assert await event(peer) == ("put", {"path": "/", "data": LARGE})
            assert await event(peer) == ("put", {"path": "/x", "data": 1})
        while served.worker.shard.tree("fake-server")._frozen_count:
            await asyncio.sleep(0.001)

    serve(test)


def test_a_client_that_goes_in_the_middle_of_a_large_value_leaves_nothing_frozen() -> None:
    async def test(served: Served) -> None:
        writer = await served.connect()
        await writer.ask("PUT", "/big.json?print=silent", json.dumps(LARGE))
        peer = await stream(served, "/big")
        tree = served.worker.shard.tree("fake-server")
        assert tree._frozen_count == 1
        peer.writer.transport.abort()
        while streams(served) or tree._frozen_count:
            await asyncio.sleep(0.001)

    serve(test)


def test_keep_alives_come_every_half_minute() -> None:
    async def test(served: Served) -> None:
        peer = await stream(served, "/room")
        await event(peer)
        (connection,) = served.worker.connections
        for now in (1000.0, 1010.0, 1000.0 + STREAM_KEEPALIVE_SECONDS):
            connection.sweep(now)
        assert await event(peer) == ("keep-alive", None)
        connection.sweep(1000.0 + 2 * STREAM_KEEPALIVE_SECONDS)
        assert await event(peer) == ("keep-alive", None)

    serve(test)


def test_a_stream_whose_reader_may_not_read_any_more_is_cancelled_and_closed() -> None:
    async def test(served: Served) -> None:
        peer = await stream(served, "/room")
        await event(peer)
        (told,) = streams(served)
        told.revoke(Revoke(told, ("room",)))
        assert await event(peer) == ("cancel", "Permission denied.")
        assert await peer.is_closed()

    serve(test)


def test_a_change_that_is_too_large_to_tell_is_the_end_of_the_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    """What came before it is told, other streams go on, and a stream that begins with so large a value gets it."""
    monkeypatch.setattr("meadowlark.server.streams.STREAM_EVENT_BYTES_MAX", 500_000)

    async def test(served: Served) -> None:
        writer = await served.connect()
        hearing = [await stream(served, path) for path in ("/room", "/room", "/room/big", "/room/small")]
        for peer in hearing:
            assert await event(peer) == ("put", {"path": "/", "data": None})
        await writer.ask("PUT", "/room/small.json", "1")
        await writer.ask("PUT", "/room/big.json?print=silent", json.dumps("x" * 400_000))
        await writer.ask("PATCH", "/room.json?print=silent", json.dumps({"big": {"a": "x" * 300_000, "b": "y" * 300_000}}))
        for peer, path in zip(hearing, ("/big", "/big", "/"), strict=False):
            if path == "/big":
                assert await event(peer) == ("put", {"path": "/small", "data": 1})
            assert await event(peer) == ("put", {"path": path, "data": "x" * 400_000})
            told = "The specified payload is too large, please request a location with less data."
            assert await event(peer) == ("cancel", told)
            assert await peer.is_closed()
        assert await event(hearing[3]) == ("put", {"path": "/", "data": 1})
        await writer.ask("PUT", "/room/small.json", "2")
        assert await event(hearing[3]) == ("put", {"path": "/", "data": 2})
        again = await stream(served, "/room")
        assert len((await event(again))[1]["data"]["big"]["b"]) == 300_000
        assert len(streams(served)) == 2
        while served.worker.shard.tree("fake-server")._frozen_count:
            await asyncio.sleep(0.001)

    serve(test)


def test_a_stream_that_cannot_begin_within_its_timeout_is_refused_and_one_that_has_goes_on() -> None:
    async def test(served: Served) -> None:
        writer, peer = await served.connect(), await served.connect()
        await writer.ask("PUT", "/many.json?print=silent", json.dumps({f"k{number:04}": number for number in range(2_000)}))
        asked = "/many.json?orderBy=%22$key%22&limitToFirst=1&timeout=5ms"
        served.worker.shard.holds = True
        status, _, body = await peer.ask("GET", asked, accept="text/event-stream")
        assert (status, json.loads(body)) == (400, {"error": "the read took longer than its timeout of 0.005 s"})
        assert not streams(served)
        served.worker.shard.holds = False
        hearing = await stream(served, "/many", "orderBy=%22$key%22&limitToFirst=1&timeout=10s")
        assert await event(hearing) == ("put", {"path": "/", "data": {"k0000": 0}})
        (told,) = streams(served)
        assert told._timer is None

    serve(test)


def test_a_stream_ends_with_its_credential_in_the_words_that_python_compares() -> None:
    async def test(served: Served) -> None:
        peer = await stream(served, "/room")
        await event(peer)
        (told,) = streams(served)
        told.identity = Identity(expires_at=1_700_000_001.0)
        (connection,) = served.worker.connections
        connection.sweep(1000.0)
        assert streams(served), "not yet"
        told.identity = Identity(expires_at=1_700_000_000.0)
        connection.sweep(1001.0)
        assert await peer.reader.readuntil(b"\n\n") == b"event: auth_revoked\ndata: credential is no longer valid\n\n"
        assert await peer.is_closed()

    serve(test)


def test_a_hundred_streams_share_the_bytes_of_an_event() -> None:
    async def test(served: Served) -> None:
        peers = [await stream(served, "/room") for _ in range(100)]
        for peer in peers:
            await event(peer)
        writer = await served.connect()
        await writer.ask("PUT", "/room/a.json", '"news"')
        for peer in peers:
            assert await event(peer) == ("put", {"path": "/a", "data": "news"})

    serve(test)


def test_a_client_that_does_not_read_is_closed_and_others_are_not() -> None:
    async def test(served: Served) -> None:
        slow, fast = await stream(served, "/room"), await stream(served, "/room")
        await event(fast)
        hosted = await served.worker.shard.open("fake-server")
        writer = await served.connect()
        size = 8_000_000
        text = json.dumps("x" * size)
        for _ in range(OUTBOX_BYTES_MAX // size + 4):
            await writer.ask("PUT", "/room/a.json?print=silent", text)
            assert (await event(fast))[1]["path"] == "/a"
        while hosted.users > 1:
            await asyncio.sleep(0.001)
        assert len(streams(served)) == 1
        del slow

    serve(test)


def test_a_client_that_takes_nothing_for_a_minute_is_closed() -> None:
    async def test(served: Served) -> None:
        peer = await stream(served, "/room")
        await event(peer)
        writer = await served.connect()
        await writer.ask("PUT", "/room/a.json?print=silent", json.dumps("x" * 4_000_000))
        (told,) = streams(served)
        while told._outbox.stalled_at is None:
            await asyncio.sleep(0.001)
        (connection,) = [one for one in served.worker.connections if one._stream is told]
        connection.sweep(told._outbox.stalled_at + OUTBOX_STALL_SECONDS + 1)
        while streams(served):
            await asyncio.sleep(0.001)

    serve(test)


def test_draining_ends_streams() -> None:
    async def test(served: Served) -> None:
        peer = await stream(served, "/room")
        await event(peer)
        served.worker.draining = True
        for connection in list(served.worker.connections):
            connection.drain()
        assert await peer.is_closed()

    serve(test)


def test_what_a_stream_s_client_still_sends_is_ignored() -> None:
    async def test(served: Served) -> None:
        peer = await stream(served, "/room")
        await event(peer)
        peer.send(b"GET /a.json HTTP/1.1\r\nHost: h\r\n\r\n" * 10)
        writer = await served.connect()
        await writer.ask("PUT", "/room.json", "1")
        assert await event(peer) == ("put", {"path": "/", "data": 1})

    serve(test)
