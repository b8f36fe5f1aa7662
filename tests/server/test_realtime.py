"""Realtime connections of a real server, frame by frame: what the SDK tests cannot see or would never do."""

from __future__ import annotations

import asyncio
import collections
import contextlib
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import ANY

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.frames import Frame, Opcode

from meadowlark.limits import (
    CLIENT_FRAME_BYTES_MAX,
    LARGE_BYTES,
    LARGE_WRITES_BYTES_MAX,
    LARGE_WRITES_DATABASE_BYTES_MAX,
    OUTBOX_BYTES_MAX,
)
from meadowlark.server.realtime import RealtimeConnection
from meadowlark.server.routing import owner_of
from meadowlark.tree import node_hash
from tests.engine.mobile import compound, merged
from tests.harness import Server, eventually, fresh_name
from tests.server.rest_server import MemoryWorker
from tests.server.sockets import SECONDS, Socket


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("data"), workers=2) as server:
        yield server


@pytest.fixture
def ns() -> str:
    return fresh_name()


def closing(connected: Socket) -> tuple[int, str]:
    """Code and reason with which the server ends the connection."""
    with pytest.raises(ConnectionClosed) as ended:
        collections.deque(iter(connected.receive, None), maxlen=0)
    assert ended.value.rcvd is not None
    return ended.value.rcvd.code, ended.value.rcvd.reason


def test_the_greeting_echoes_the_host_that_was_asked_for(server: Server, ns: str) -> None:
    one = Socket(server.port, ns, host="rooms.example:1234")
    greeting = one.greeting["d"]
    assert (greeting["t"], greeting["d"]["h"], greeting["d"]["v"]) == ("h", "rooms.example:1234", "5")
    assert abs(greeting["d"]["ts"] / 1000 - time.time()) < 60
    one.close()


def test_requests_are_answered_in_order_when_pipelined(server: Server, ns: str) -> None:
    one = Socket(server.port, ns)
    listen = one.send("q", {"p": "/n", "h": ""})
    last = [one.send("p", {"p": "/n", "d": number}) for number in range(50)][-1]
    get = one.send("g", {"p": "/n", "q": {}})
    assert one.answer_to(listen) == {"s": "ok", "d": {}}
    assert one.answer_to(get)["d"] == 49
    assert one.answer_to(last)["s"] == "ok"
    assert [push["b"]["d"] for push in one.pushes if "a" in push] == list(range(50))
    one.close()


def test_a_client_that_comes_back_ends_its_old_session_at_once(server: Server, ns: str) -> None:
    old, witness = Socket(server.port, ns), Socket(server.port, ns)
    witness.ask("q", {"p": "/online", "h": ""})
    old.ask("p", {"p": "/online", "d": True})
    old.ask("o", {"p": "/online", "d": None})
    new = Socket(server.port, ns, query=f"&ls={old.session}")
    assert closing(old)[0] == 1000
    assert new.ask("g", {"p": "/online", "q": {}})["d"] is None
    new.close()
    witness.close()


def test_another_databases_session_cannot_be_taken_over(server: Server, ns: str) -> None:
    one = Socket(server.port, ns)
    Socket(server.port, fresh_name(), query=f"&ls={one.session}").close()
    assert one.ask("g", {"p": "/", "q": {}})["s"] == "ok"
    one.close()


def test_a_message_in_websocket_fragments_is_one_message(server: Server, ns: str) -> None:
    one = Socket(server.port, ns)
    text = json.dumps({"t": "d", "d": {"r": 900, "a": "p", "b": {"p": "/a", "d": "é" * 100}}}, ensure_ascii=False).encode()
    pieces = [text[:50], text[50:151], text[151:]]
    raw = one.connection.socket
    for index, piece in enumerate(pieces):
        opcode = Opcode.TEXT if index == 0 else Opcode.CONT
        raw.sendall(Frame(opcode, piece, fin=index == len(pieces) - 1).serialize(mask=True))
    assert one.answer_to(900)["s"] == "ok"
    assert one.ask("g", {"p": "/a", "q": {}})["d"] == "é" * 100
    one.close()


def test_binary_frames_end_the_connection_with_a_reason(server: Server, ns: str) -> None:
    one = Socket(server.port, ns)
    one.connection.send(b"\x00\x01")
    assert closing(one) == (1003, "expected text frames")


@pytest.mark.parametrize("text", ["{", "[]", "nonsense", "\ud7ff\x00", '{"t":"d"}', '{"t":"d","d":7}', "99999999"])
def test_nonsense_ends_at_most_its_own_connection(server: Server, ns: str, text: str) -> None:
    other, one = Socket(server.port, ns), Socket(server.port, ns)
    with contextlib.suppress(ConnectionClosed):
        one.connection.send(text)
        one.ask("g", {"p": "/", "q": {}})
    assert other.ask("p", {"p": "/alive", "d": True})["s"] == "ok"
    one.close()
    other.close()


def test_a_reader_that_stalls_is_closed_and_costs_nobody_else_anything(server: Server, ns: str) -> None:
    stalled, reader, writer = (Socket(server.port, ns) for _ in range(3))
    for each in (stalled, reader):
        each.ask("q", {"p": "/big", "h": ""})
    # Nobody calls `stalled.receive` from here on, so its library stops reading after a few frames.
    value = "x" * 1_000_000
    rounds = OUTBOX_BYTES_MAX // len(value) + 20
    for number in range(rounds):
        assert writer.ask("p", {"p": "/big", "d": f"{number}{value}"})["s"] == "ok"
        reader.receive()
    eventually(lambda: "slow client" in server.output(), what="the stalled reader is closed")
    for each in (stalled, reader, writer):
        each.connection.socket.close()


def test_in_serve_an_unknown_database_is_refused_in_the_protocols_words(tmp_path: Path) -> None:
    with Server(tmp_path, mode="serve") as server:
        one = Socket(server.port, "nowhere")
        assert one.greeting["d"]["t"] == "s"
        assert "no database 'nowhere'" in one.greeting["d"]["d"]
        assert closing(one)[0] == 1008


def test_sigterm_tells_clients_and_loses_nothing_acknowledged(tmp_path: Path) -> None:
    with Server(tmp_path) as server:
        one = Socket(server.port, "demo")
        one.ask("o", {"p": "/gone", "d": True})
        acknowledged = [number for number in range(100) if one.ask("p", {"p": f"/n/{number}", "d": number})["s"] == "ok"]
        server.stop()
        assert closing(one) == (1001, "the server stops: come back")
        server.start()
        assert server.read("/", ns="demo") == {"gone": True, "n": acknowledged}


def test_sigterm_answers_what_was_asked_before_it_says_goodbye(tmp_path: Path) -> None:
    with Server(tmp_path) as server:
        one = Socket(server.port, "demo")
        requests = [one.send("p", {"p": f"/n/{number}", "d": number}) for number in range(200)]
        assert one.answer_to(requests[0])["s"] == "ok"
        server.stop()
        answered = []
        with contextlib.suppress(ConnectionClosed):
            while True:
                message = one.receive()
                answered.append(message["d"]["r"])
        server.start()
        stored = server.read("/n", ns="demo")
        assert requests[1 : len(answered) + 1] == answered
        assert len(stored) == len(answered) + 1, "what is stored was acknowledged, and the other way round"


def test_a_kept_alive_connection_may_name_a_database_of_another_worker(server: Server) -> None:
    import http.client

    names = [next(name for name in map(str, range(1000)) if owner_of(f"db{name}", 2) == owner) for owner in (0, 1)]
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=SECONDS)
    for round in range(3):
        for name in names:
            connection.request("PUT", f"/a.json?ns=db{name}", body=json.dumps({"round": round, "text": "é" * 20_000}))
            answer = connection.getresponse()
            body = json.loads(answer.read())
            assert (answer.status, body.get("round")) == (200, round), body
    connection.close()


# Messages that are prepared in slices

LARGE = {f"record {number}": {"name": "x" * 20, "at": [number, None, 1.5]} for number in range(20_000)}


def test_a_large_write_keeps_its_place_among_what_was_sent(server: Server, ns: str) -> None:
    one = Socket(server.port, ns)
    one.ask("q", {"p": "/a", "h": ""})
    sent = [
        one.send("p", {"p": "/a", "d": "before"}),
        one.send("p", {"p": "/a", "d": LARGE}),
        one.send("p", {"p": "/a/record 7", "d": "after"}),
        one.send("m", {"p": "/a", "d": {"record 8": LARGE, "record 9": None}}),
        one.send("p", {"p": "/a", "d": "end"}),
    ]
    last = one.answer_to(one.send("g", {"p": "/a", "q": {}}))
    assert last["d"] == "end"
    pushes = [push["b"] for push in one.pushes if "a" in push]
    seen = [push["d"] if isinstance(push["d"], str) else len(push["d"]) for push in pushes]
    assert seen == ["before", len(LARGE), "after", 2, "end"]
    assert pushes[3]["d"]["record 8"]["record 5"] == {"name": "x" * 20, "at": {"0": 5, "2": 1.5}}
    for request in sent[len([push for push in one.pushes if push.get("r") in sent]) :]:
        assert one.answer_to(request)["s"] == "ok"
    one.close()


def test_a_large_write_that_is_refused_is_answered_and_the_session_goes_on(server: Server, ns: str) -> None:
    one = Socket(server.port, ns)
    refused = one.ask("p", {"p": "/a", "d": {**LARGE, "bad.key": 1}})
    assert (refused["s"], "bad.key" in refused["d"]) == ("failed", True)
    stale = one.ask("p", {"p": "/a", "d": LARGE, "h": "no such hash"})
    assert stale["s"] == "datastale"
    assert one.ask("g", {"p": "/a", "q": {}})["d"] is None
    one.close()


def test_a_client_that_leaves_at_once_has_written_and_then_left(server: Server, ns: str) -> None:
    witness = Socket(server.port, ns)
    for is_polite in (True, False):
        one = Socket(server.port, ns)
        one.ask("o", {"p": "/online", "d": is_polite})
        one.send("p", {"p": "/a", "d": LARGE})
        if is_polite:
            one.connection.close()
        else:
            one.connection.socket.close()
        eventually(lambda: witness.ask("g", {"p": "/online", "q": {}})["d"] is is_polite, what="the client has left")  # noqa: B023
        assert len(witness.ask("g", {"p": "/a", "q": {}})["d"]) == len(LARGE)
        witness.ask("p", {"p": "/", "d": None})
    witness.close()


def test_all_who_listen_to_a_large_value_hear_it_in_its_place(server: Server, ns: str) -> None:
    writer, *listeners = (Socket(server.port, ns) for _ in range(4))
    for listener in listeners:
        listener.ask("q", {"p": "/a", "h": ""})
    for number in range(3):
        writer.send("p", {"p": "/a/n", "d": number})
        writer.send("p", {"p": "/a/large", "d": LARGE})
        writer.send("m", {"p": "/a", "d": {"x": LARGE, "large": None}})
    writer.ask("p", {"p": "/a/n", "d": "end"})
    for listener in listeners:
        while not listener.pushes or listener.pushes[-1]["b"]["d"] != "end":
            message = listener.receive()["d"]
            if "a" in message:
                listener.pushes.append(message)
        seen = [(push["a"], push["b"]["p"], type(push["b"]["d"]).__name__) for push in listener.pushes]
        assert seen == [("d", "a/n", "int"), ("d", "a/large", "dict"), ("m", "a", "dict")] * 3 + [("d", "a/n", "str")]
        assert listener.pushes[-2]["b"]["d"]["x"]["record 9"] == {"name": "x" * 20, "at": {"0": 9, "2": 1.5}}
    for each in (writer, *listeners):
        each.close()


def test_who_comes_back_to_a_query_is_sent_the_ranges_of_its_window_that_it_has_wrong(server: Server, ns: str) -> None:
    one = Socket(server.port, ns)
    window = {f"k{number}": {"text": f"{number} " * 30} for number in range(10, 40)}
    one.ask("p", {"p": "/a", "d": {**window, "other": 1}})
    query = {"q": {"i": ".key", "sp": "k10", "ep": "k39"}, "t": 3}

    def heard(has: Any) -> list[Any]:
        ends, hashes = compound(has)
        one.pushes.clear()
        asked = {"p": "/a", **query, "h": node_hash(has), "ch": {"ps": ends, "hs": hashes}}
        assert one.ask("q", asked) == {"s": "ok", "d": {}}
        return [push for push in one.pushes if "a" in push]

    assert heard(window) == []
    stale: Any = {**window, "k20": {"text": "old"}, "k395": {"text": "gone"}}
    [push] = heard(stale)
    assert (push["a"], push["b"]["p"], push["b"]["t"], len(push["b"]["d"])) == ("rm", "a", 3, 2)
    for range_ in push["b"]["d"]:
        stale = merged(stale, range_.get("s"), range_.get("e"), range_["m"])
    assert stale == window
    one.close()


def test_a_large_value_is_told_as_it_was_whatever_happens_meanwhile(server: Server, ns: str) -> None:
    one = Socket(server.port, ns)
    one.ask("p", {"p": "/a", "d": LARGE})
    get, listen = one.send("g", {"p": "/a", "q": {}}), one.send("q", {"p": "/a", "h": ""})
    one.send("p", {"p": "/a/record 5", "d": "changed"})
    end = one.send("p", {"p": "/a", "d": None})
    got = one.answer_to(get)["d"]
    assert (len(got), got["record 5"]["name"]) == (len(LARGE), "x" * 20)
    one.answer_to(listen)
    one.answer_to(end)
    whole, *changes = (push["b"]["d"] for push in one.pushes if "a" in push)
    assert (len(whole), whole["record 5"]["name"], changes) == (len(LARGE), "x" * 20, ["changed", None])
    one.close()


def test_large_ranges_come_as_they_were_and_what_is_written_meanwhile_behind_them(server: Server, ns: str) -> None:
    one, writer = Socket(server.port, ns), Socket(server.port, ns)
    texts = {f"k{number:04}": f"{number} " * 40 for number in range(2_000)}
    writer.ask("p", {"p": "/a", "d": texts})
    stale: Any = {**texts, **{f"k{number:04}": "old" for number in range(0, 900)}}
    ends, hashes = compound(stale)
    listen = one.send("q", {"p": "/a", "h": node_hash(stale), "ch": {"ps": ends, "hs": hashes}})
    last = [writer.send("p", {"p": f"/a/k{number:04}", "d": number}) for number in (3, 500, 1_999)][-1]
    writer.answer_to(last)
    assert one.answer_to(listen) == {"s": "ok", "d": {}}
    one.ask("p", {"p": "/a/end", "d": 1})
    heard = [push for push in one.pushes if "a" in push]
    assert [push["a"] for push in heard].count("rm") == 1
    sent = 0
    for push in heard:
        path, value = push["b"]["p"], push["b"]["d"]
        if push["a"] == "rm":
            sent = len(value)
            for range_ in value:
                stale = merged(stale, range_.get("s"), range_.get("e"), range_["m"])
        else:
            stale = {**stale, path.removeprefix("a/"): value}
    assert 0 < sent < len(hashes)
    assert stale == {**texts, "k0003": 3, "k0500": 500, "k1999": 1_999, "end": 1}
    for each in (one, writer):
        each.close()


class Line:
    """What a connection writes to; remembers how it was closed."""

    def __init__(self) -> None:
        self.ended: tuple[int, str] | None = None

    def write(self, data: bytes) -> None: ...

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...

    def close(self, code: int, reason: str) -> None:
        self.ended = (int(code), reason)


def test_what_comes_of_long_messages_counts_for_the_worker_until_they_are_whole_or_given_up() -> None:
    async def run() -> None:
        host: Any = MemoryWorker()
        host.sessions = set()
        host.shard.create("demo")

        def connect() -> tuple[RealtimeConnection, Line]:
            connection, line = RealtimeConnection(host, host.shard._hosted["demo"], "s", "h"), Line()
            connection.opened(line)  # type: ignore[arg-type]
            connection.received(b"1000")
            return connection, line

        piece, writes = b"x" * 16_384, host.large_writes
        connection, line = connect()
        for _ in range(100):
            connection.received(piece)
        assert 100 * len(piece) - LARGE_BYTES <= writes.held_bytes <= 100 * len(piece) + len(b"1000")
        connection.closed()
        assert writes.held_bytes == 0
        connection, line = connect()
        for _ in range(1000):
            connection.received(piece)
        while line.ended is None:
            await asyncio.sleep(0)
        assert (writes.held_bytes, line.ended) == (0, (1002, ANY)), "whole, and no JSON"
        connection, line = connect()
        writes.uploads.count("other", LARGE_WRITES_BYTES_MAX - 2 * LARGE_BYTES)
        for _ in range(20):
            connection.received(piece)
        assert line.ended is not None
        assert (line.ended[0], "busy with large writes" in line.ended[1]) == (1013, True)
        assert writes.held_bytes == LARGE_WRITES_BYTES_MAX - 2 * LARGE_BYTES
        writes.uploads.count("other", -LARGE_WRITES_BYTES_MAX // 2)
        connection, line = connect()
        for _ in range(20):
            connection.received(piece)
        for now in (1000.0, 1001.0, 1002.0):
            writes.uploads.sweep(now)
        writes.uploads.count("demo", LARGE_WRITES_DATABASE_BYTES_MAX - 20 * len(piece))
        later, other = connect()
        for _ in range(20):
            later.received(piece)
        assert line.ended is not None
        assert (line.ended[0], "this one came slowest" in line.ended[1], other.ended) == (1013, True, None)

    asyncio.run(asyncio.wait_for(run(), SECONDS))


def test_fragments_are_bounded_like_frames(server: Server, ns: str) -> None:
    """Many empty ones are looked at once each, and more than a frame may hold ends the connection."""
    one = Socket(server.port, ns)
    raw = one.connection.socket
    first, further = (Frame(opcode, b"", fin=False).serialize(mask=True) for opcode in (Opcode.TEXT, Opcode.CONT))
    raw.sendall(first + further * 50_000)
    text = json.dumps({"t": "d", "d": {"r": 900, "a": "p", "b": {"p": "/a", "d": 1}}}).encode()
    raw.sendall(Frame(Opcode.CONT, text, fin=True).serialize(mask=True))
    assert one.answer_to(900)["s"] == "ok"
    fragment = b"x" * (CLIENT_FRAME_BYTES_MAX // 2)
    for opcode in (Opcode.TEXT, Opcode.CONT, Opcode.CONT):
        raw.sendall(Frame(opcode, fragment, fin=False).serialize(mask=True))
    assert closing(one)[0] == 1009
