"""One connection over loopback: its order, its bounds, how it moves, becomes a socket, drains and ends."""

from __future__ import annotations

import asyncio
import json

import pytest

from meadowlark.limits import BODY_BYTES_MAX, HANDSHAKE_SECONDS, HEAD_BYTES_MAX, OUTBOX_STALL_SECONDS
from meadowlark.server.http import BODY_PROGRESS_BYTES, READ_BYTES, HttpConnection
from meadowlark.server.patience import PHASE_SECONDS, Phase
from tests.server.rest_server import Served, serve

GET = b"GET /a.json HTTP/1.1\r\nHost: localhost\r\n\r\n"
LARGE = {f"key{number}": {"n": number, "text": "x" * 200} for number in range(20_000)}
"""About 5 MB, far more than the sockets between the two ends hold."""


def put(target: str, body: bytes) -> bytes:
    return b"PUT %b HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n%b" % (target.encode(), len(body), body)


UPGRADE = b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\r\n"


def only_connection(served: Served) -> HttpConnection:
    (connection,) = served.worker.connections
    assert isinstance(connection, HttpConnection)
    return connection


async def gone(served: Served) -> None:
    """Returns when the server has no connection any more."""
    while served.worker.connections:
        await asyncio.sleep(0.001)


# Order


def test_pipelined_requests_are_answered_in_order_one_at_a_time() -> None:
    async def test(served: Served) -> None:
        peer = await served.connect()
        peer.send(b"".join([put("/a.json", b"%d" % number) + GET for number in range(50)]))
        for number in range(50):
            assert (await peer.response())[2] == b"%d" % number
            assert (await peer.response())[2] == b"%d" % number

    serve(test)


def test_a_write_is_answered_when_it_is_durable_and_what_follows_waits() -> None:
    async def test(served: Served) -> None:
        served.worker.shard.holds = True
        peer, other = await served.connect(), await served.connect()
        peer.send(put("/a.json", b"1") + GET)
        while (await other.ask("GET", "/a.json"))[2] == b"null":
            pass
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(peer.reader.read(1), 0.02)
        served.worker.shard.release()
        assert (await peer.response())[2] == b"1"
        assert (await peer.response())[2] == b"1"

    serve(test)


def test_a_request_that_comes_byte_by_byte_is_answered() -> None:
    async def test(served: Served) -> None:
        peer = await served.connect()
        for byte in put("/a.json", b'{"x":[1]}') + GET:
            peer.send(bytes([byte]))
            await asyncio.sleep(0)
        assert (await peer.response())[2] == b'{"x":[1]}'
        assert (await peer.response())[2] == b'{"x":[1]}'

    serve(test)


def test_a_flood_of_requests_behind_one_that_waits_is_not_taken_into_memory() -> None:
    async def test(served: Served) -> None:
        served.worker.shard.holds = True
        peer = await served.connect()
        peer.send(put("/a.json", b"1") + GET * 200_000)
        while not served.worker.shard.waiting_count:
            await asyncio.sleep(0.001)
        await asyncio.sleep(0.05)
        assert len(only_connection(served)._reader._buffer) <= 2 * READ_BYTES

    serve(test)


def test_two_thousand_refusals_in_one_read_are_answered() -> None:
    async def test(served: Served) -> None:
        peer = await served.connect()
        peer.send(b"GET /a HTTP/1.1\r\nHost: h\r\n\r\n" * 2000)
        for _ in range(2000):
            assert (await peer.response())[0] == 404

    serve(test)


def test_chunked_bodies_and_expectations_are_met() -> None:
    async def test(served: Served) -> None:
        peer = await served.connect()
        peer.send(b"PUT /a.json HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n")
        assert await peer.reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        peer.send(b'3\r\n{"x\r\n4\r\n":1}\r\n0\r\n\r\n')
        assert (await peer.response())[2] == b'{"x":1}'

    serve(test)


# Large answers


def test_a_large_answer_leaves_as_fast_as_it_is_taken_and_others_are_answered_meanwhile() -> None:
    async def test(served: Served) -> None:
        slow, other = await served.connect(), await served.connect()
        await other.ask("PUT", "/big.json?print=silent", json.dumps(LARGE))
        slow.send(GET.replace(b"/a", b"/big"))
        while not only_or_paused(served):
            await asyncio.sleep(0.001)
        await other.ask("PUT", "/big/key1.json", '"changed meanwhile"')
        assert served.worker.shard.tree("fake-server")._frozen_count == 1
        _, _, body = await slow.response()
        assert json.loads(body) == LARGE, "the value as it was when it was asked for"
        assert served.worker.shard.tree("fake-server")._frozen_count == 0

    serve(test)


def only_or_paused(served: Served) -> bool:
    return any(connection.pipe.is_paused for connection in served.worker.connections)


def test_a_client_that_goes_in_the_middle_of_an_answer_leaves_nothing_frozen() -> None:
    async def test(served: Served) -> None:
        peer = await served.connect()
        await peer.ask("PUT", "/big.json?print=silent", json.dumps(LARGE))
        peer.send(GET.replace(b"/a", b"/big"))
        while not only_or_paused(served):
            await asyncio.sleep(0.001)
        peer.writer.transport.abort()
        await gone(served)
        await asyncio.sleep(0)
        assert served.worker.shard.tree("fake-server")._frozen_count == 0

    serve(test)


def test_a_client_that_goes_before_its_large_write_is_durable_leaves_nothing_frozen() -> None:
    async def test(served: Served) -> None:
        served.worker.shard.holds = True
        peer = await served.connect()
        peer.send(put("/big.json", json.dumps(LARGE).encode()))
        while not served.worker.shard.waiting_count:
            await asyncio.sleep(0.001)
        assert served.worker.shard.tree("fake-server")._frozen_count == 1
        peer.writer.transport.abort()
        await asyncio.sleep(0.01)
        served.worker.shard.release()
        await gone(served)
        await asyncio.sleep(0)
        assert served.worker.shard.tree("fake-server")._frozen_count == 0
        assert served.worker.shard.tree("fake-server").get(("big", "key7", "n")) == 7, "what was asked was done"

    serve(test)


def test_an_old_client_gets_a_large_answer_without_chunks() -> None:
    async def test(served: Served) -> None:
        peer = await served.connect()
        await peer.ask("PUT", "/big.json?print=silent", json.dumps(LARGE))
        peer.send(b"GET /big.json HTTP/1.0\r\n\r\n")
        _, headers, _ = await peer.response()
        assert headers["connection"] == "close"
        assert "transfer-encoding" not in headers
        assert json.loads(await peer.reader.read()) == LARGE

    serve(test)


def test_head_tells_the_size_and_sends_nothing() -> None:
    async def test(served: Served) -> None:
        peer = await served.connect()
        await peer.ask("PUT", "/a.json", '"12345"')
        status, headers, body = await peer.ask("HEAD", "/a.json")
        assert (status, headers["content-length"], body) == (200, "7", b"")
        await peer.ask("PUT", "/big.json?print=silent", json.dumps(LARGE))
        assert (await peer.ask("HEAD", "/big.json"))[1]["transfer-encoding"] == "chunked"
        assert (await peer.ask("GET", "/a.json"))[2] == b'"12345"', "the connection goes on"
        assert served.worker.shard.tree("fake-server")._frozen_count == 0

    serve(test)


# Bounds and garbage


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"\x16\x03\x01\x02\x00\x01", 400),
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/2.0\r\nHost: h\r\n\r\n", 505),
        (b"GET / HTTP/1.1\r\nHost: h\r\nX: " + b"x" * HEAD_BYTES_MAX, 431),
        (b"PUT /a.json HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n" % (BODY_BYTES_MAX + 1), 413),
        (b"PUT /a.json HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nnonsense\r\n", 400),
    ],
)
def test_what_cannot_be_read_is_answered_and_the_connection_ends(data: bytes, status: int) -> None:
    async def test(served: Served) -> None:
        peer = await served.connect()
        peer.send(data)
        answer = await peer.response()
        assert (answer[0], answer[1]["connection"]) == (status, "close")
        assert "error" in json.loads(answer[2])
        assert await peer.is_closed()
        peer.close()
        await gone(served)

    serve(test)


def test_a_body_that_is_refused_may_still_be_sent_and_the_answer_is_read() -> None:
    """A client that only reads after sending all must not find the connection reset."""

    async def test(served: Served) -> None:
        peer = await served.connect()
        peer.send(b"PUT /bad.key.json HTTP/1.1\r\nHost: h\r\nContent-Length: 8000000\r\n\r\n")
        peer.send(b"x" * 8_000_000)
        await peer.writer.drain()
        assert (await peer.response())[0] == 400

    serve(test)


def test_a_refused_request_with_a_small_body_does_not_end_the_connection() -> None:
    async def test(served: Served) -> None:
        peer = await served.connect()
        assert (await peer.ask("PUT", "/bad.key.json", "1"))[0] == 400
        assert (await peer.ask("PUT", "/good.json", "1"))[0] == 200

    serve(test)


def test_a_client_that_expects_an_answer_before_its_body_gets_the_refusal() -> None:
    async def test(served: Served) -> None:
        peer = await served.connect()
        peer.send(b"PUT /bad.key.json HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n")
        assert (await peer.response())[0] == 400
        assert await peer.is_closed()

    serve(test)


def test_a_bug_of_ours_is_500_and_ends_one_connection_only(caplog: pytest.LogCaptureFixture) -> None:
    async def test(served: Served) -> None:
        peer, other = await served.connect(), await served.connect()
        await peer.ask("GET", "/a.json")
        served.worker.shard.find = None  # type: ignore[assignment, method-assign]
        assert (await peer.ask("GET", "/a.json"))[0] == 500
        assert await peer.is_closed()
        assert (await other.ask("GET", "/.health"))[0] == 200

    serve(test)


# Time


def test_waiting_for_a_client_has_its_limits() -> None:
    async def test(served: Served) -> None:
        late = await served.connect()
        late.send(GET[:20])
        while not served.worker.connections:
            await asyncio.sleep(0.001)
        connection = only_connection(served)
        connection.sweep(1000.0)
        late.send(GET[20:25])
        await asyncio.sleep(0.01)
        connection.sweep(1000.0 + HANDSHAKE_SECONDS)
        assert served.worker.connections, "not yet"
        connection.sweep(1000.1 + HANDSHAKE_SECONDS)
        status, headers, body = await late.response()
        assert (status, headers["connection"], b"head was not complete" in body) == (408, "close", True)
        assert await late.is_closed()

    serve(test)


def test_a_silent_connection_gets_as_long_as_a_slow_head_and_an_idle_one_longer() -> None:
    async def test(served: Served) -> None:
        idle = await served.connect()
        await idle.ask("GET", "/a.json")
        connection = only_connection(served)
        connection.sweep(1000.0)
        connection.sweep(1100.0)
        await idle.ask("GET", "/a.json")
        connection.sweep(1150.0)
        connection.sweep(1260.0)
        assert (await idle.ask("GET", "/a.json"))[0] == 200
        connection.sweep(2000.0)
        connection.sweep(2121.0)
        assert await idle.is_closed()
        silent = await served.connect()
        while not served.worker.connections:
            await asyncio.sleep(0.001)
        connection = only_connection(served)
        connection.sweep(1000.0)
        connection.sweep(1000.1 + HANDSHAKE_SECONDS)
        assert await silent.is_closed()

    serve(test)


def test_a_body_may_be_slow_but_not_stop() -> None:
    async def test(served: Served) -> None:
        peer = await served.connect()
        body = b'"%b"' % (b"x" * (3 * BODY_PROGRESS_BYTES))
        peer.send(b"PUT /a.json HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n" % len(body))
        for now in (1000.0, 1050.0, 1100.0):
            part, body = body[:BODY_PROGRESS_BYTES], body[BODY_PROGRESS_BYTES:]
            peer.send(part)
            while only_connection(served)._noted_bytes < (now - 950) // 50 * BODY_PROGRESS_BYTES:
                await asyncio.sleep(0)
            only_connection(served).sweep(now)
        only_connection(served).sweep(1155.0)
        peer.send(body)
        assert (await peer.response())[0] == 200
        peer.send(b"PUT /a.json HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\n1")
        await asyncio.sleep(0.01)
        only_connection(served).sweep(2000.0)
        only_connection(served).sweep(2061.0)
        status, headers, said = await peer.response()
        assert (status, headers["connection"], b"came too slowly" in said) == (408, "close", True)
        assert await peer.is_closed()

    serve(test)


def test_a_body_that_comes_by_the_byte_is_not_waited_for() -> None:
    async def test(served: Served) -> None:
        peer = await served.connect()
        peer.send(b"PUT /a.json HTTP/1.1\r\nHost: h\r\nContent-Length: 1000\r\n\r\n")
        while not served.worker.connections:
            await asyncio.sleep(0)
        connection, second = only_connection(served), 0
        while connection._find_phase() is not Phase.ENDING:
            assert second < 2 * PHASE_SECONDS[Phase.BODY]
            peer.send(b"1")
            await asyncio.sleep(0)
            connection.sweep(1000.0 + second)
            second += 1
        assert (await peer.response())[0] == 408

    serve(test)


def test_a_client_that_takes_nothing_of_its_answer_is_given_up() -> None:
    async def test(served: Served) -> None:
        peer = await served.connect()
        await peer.ask("PUT", "/big.json?print=silent", json.dumps(LARGE))
        peer.send(GET.replace(b"/a", b"/big"))
        while not only_or_paused(served):
            await asyncio.sleep(0.001)
        connection = only_connection(served)
        connection.sweep(1000.0)
        connection.sweep(1000.1 + OUTBOX_STALL_SECONDS)
        await gone(served)

    serve(test)


# Whose database it is


def test_a_connection_moves_to_the_owner_of_its_database_with_what_was_read() -> None:
    async def test(served: Served) -> None:
        served.worker.foreign.add("theirs")
        peer = await served.connect()
        peer.send(GET + put("/a.json?ns=theirs", b'{"x":1}') + GET)
        assert (await peer.response())[2] == b"null"
        await gone(served)
        assert served.worker.passed == [(put("/a.json?ns=theirs", b'{"x":1}') + GET, "theirs")]

    serve(test)


def test_a_connection_does_not_move_before_its_last_answer_has_left() -> None:
    async def test(served: Served) -> None:
        served.worker.foreign.add("theirs")
        peer = await served.connect()
        text = '"' + "x" * 8_000_000 + '"'
        await peer.ask("PUT", "/text.json?print=silent", text)
        peer.send(GET.replace(b"/a", b"/text") + GET.replace(b".json", b".json?ns=theirs"))
        while not only_or_paused(served):
            await asyncio.sleep(0.001)
        await asyncio.sleep(0.02)
        assert not served.worker.passed, "most of the text is still here"
        assert len((await peer.response())[2]) == len(text)
        await gone(served)
        assert [database for _, database in served.worker.passed] == ["theirs"]

    serve(test)


def test_a_passed_connection_begins_with_what_was_read_of_it() -> None:
    async def test(served: Served) -> None:
        data = put("/a.json", b'{"x":1}')
        for cut in (1, 40, len(data) - 7, len(data)):
            served.consumed = data[:cut]
            peer = await served.connect()
            peer.send(data[cut:] + GET)
            assert (await peer.response())[2] == b'{"x":1}'
            assert (await peer.response())[2] == b'{"x":1}'

    serve(test)


def test_a_websocket_is_handed_over_with_all_its_bytes() -> None:
    async def test(served: Served) -> None:
        peer = await served.connect()
        head = (
            b"GET /.ws?v=5&ns=rooms HTTP/1.1\r\nHost: h:9000\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )
        peer.send(GET + head + b"\x81\x00")
        await peer.response()
        await gone(served)
        assert served.worker.upgraded == [(head, b"\x81\x00", "rooms", {"v": "5", "ns": "rooms"}, "h:9000")]

    serve(test)


def test_a_passed_connection_may_become_a_websocket_or_move_on() -> None:
    async def test(served: Served) -> None:
        served.worker.foreign.add("theirs")
        head = b"GET /.ws?ns=%b HTTP/1.1\r\nHost: h\r\n" + UPGRADE
        for name in (b"rooms", b"theirs"):
            served.consumed = head % name
            peer = await served.connect()
            assert await peer.is_closed()
        assert [upgraded[2] for upgraded in served.worker.upgraded] == ["rooms"]
        assert [database for _, database in served.worker.passed] == ["theirs"]

    serve(test)


@pytest.mark.parametrize("version", [b"Sec-WebSocket-Version: 8\r\n", b"", b"Sec-WebSocket-Version: 13, 8\r\n"])
def test_another_version_of_the_websocket_protocol_is_told_which_is_spoken(version: bytes) -> None:
    async def test(served: Served) -> None:
        peer = await served.connect()
        peer.send(b"GET /.ws?ns=rooms HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" + version + b"\r\n")
        status, headers, body = await peer.response()
        assert (status, headers["sec-websocket-version"], headers["upgrade"]) == (426, "13", "websocket")
        assert b"speaks version 13" in body
        assert served.worker.upgraded == []

    serve(test)


@pytest.mark.parametrize("odd", [b"Content-Length: 5\r\n\r\nhello", b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"])
def test_a_websocket_with_a_body_is_none(odd: bytes) -> None:
    async def test(served: Served) -> None:
        peer = await served.connect()
        head = (
            b"GET /.ws?ns=rooms HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
        )
        peer.send(head + b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n" + odd)
        status, _, _ = await peer.response()
        assert status == 400
        assert served.worker.upgraded == []

    serve(test)


def test_a_websocket_of_another_worker_s_database_moves_first() -> None:
    async def test(served: Served) -> None:
        served.worker.foreign.add("theirs")
        peer = await served.connect()
        head = b"GET /.ws?ns=theirs HTTP/1.1\r\nHost: h\r\n" + UPGRADE
        peer.send(head)
        await gone(served)
        assert (served.worker.passed, served.worker.upgraded) == ([(head, "theirs")], [])

    serve(test)


# Ending


def test_draining_ends_idle_connections_now_and_others_with_their_answer() -> None:
    async def test(served: Served) -> None:
        served.worker.shard.holds = True
        idle, busy = await served.connect(), await served.connect()
        await idle.ask("GET", "/a.json")
        busy.send(put("/a.json", b"1"))
        while not served.worker.shard.waiting_count:
            await asyncio.sleep(0.001)
        served.worker.draining = True
        for connection in list(served.worker.connections):
            connection.drain()
        assert await idle.is_closed()
        served.worker.shard.release()
        status, headers, body = await busy.response()
        assert (status, headers["connection"], body) == (200, "close", b"1")
        assert await busy.is_closed()

    serve(test)


def test_a_client_that_ends_its_side_still_gets_its_answer() -> None:
    async def test(served: Served) -> None:
        served.worker.shard.holds = True
        peer = await served.connect()
        peer.send(put("/a.json", b"1"))
        peer.writer.write_eof()
        while not served.worker.shard.waiting_count:
            await asyncio.sleep(0.001)
        served.worker.shard.release()
        assert (await peer.response())[2] == b"1"
        assert await peer.is_closed()

    serve(test)


def test_a_connection_ends_where_the_client_wishes() -> None:
    async def test(served: Served) -> None:
        peer = await served.connect()
        assert (await peer.ask("GET", "/a.json", connection="close"))[0] == 200
        assert await peer.is_closed()

    serve(test)


def test_browsers_may_read_every_answer() -> None:
    async def test(served: Served) -> None:
        peer = await served.connect()
        for method, target in (("OPTIONS", "/a.json"), ("GET", "/a.json"), ("GET", "/none"), ("GET", "/.health")):
            headers = (await peer.ask(method, target, origin="http://app.example"))[1]
            assert headers["access-control-allow-origin"] == "http://app.example"
            assert headers["vary"] == "Origin"

    serve(test)
