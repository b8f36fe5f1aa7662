"""Long polls: in memory, where the clock is ours, and on a real server with two workers."""

from __future__ import annotations

import asyncio
import http.client
import json
import select
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed

from meadowlark.limits import (
    LONG_POLL_EARLY_PIECES_MAX,
    LONG_POLL_HOLD_SECONDS,
    LONG_POLL_SESSIONS_MAX,
    LOST_SECONDS,
)
from meadowlark.server import long_poll, outbox
from meadowlark.server.realtime import SWEEP_SECONDS
from meadowlark.server.routing import owner_of
from meadowlark.wire import text_frames
from tests.harness import Server, eventually, fresh_name
from tests.server.polling import SECONDS, Polling, Scripts, carrying, encode_pieces
from tests.server.rest_server import Peer, Served, serve
from tests.server.sockets import Socket

LISTEN = '{"t":"d","d":{"r":1,"a":"q","b":{"p":"/a","h":""}}}'
LOST_SWEEPS = int(LOST_SECONDS / SWEEP_SECONDS) + 1
"""After which a silent client is gone."""


# In memory


async def get(peer: Peer, query: str) -> str:
    status, headers, body = await peer.ask("GET", f"/.lp?{query}&ns=demo")
    assert (status, headers["content-type"]) == (200, "application/javascript; charset=utf-8")
    return body.decode()


async def begin(served: Served) -> tuple[Peer, Scripts, str]:
    """A session, and how its requests name it."""
    peer, scripts = await served.connect(), Scripts()
    scripts.read(await get(peer, "start=t&ser=1&cb=3&v=5"))
    return peer, scripts, f"id={scripts.id}&pw={scripts.password}"


def hold(peer: Peer, query: str) -> None:
    """Sends a poll whose answer is read later."""
    peer.send(f"GET /.lp?{query}&ns=demo HTTP/1.1\r\nHost: localhost:9000\r\n\r\n".encode())


async def settle() -> None:
    for _ in range(20):
        await asyncio.sleep(0.001)


def now() -> float:
    return asyncio.get_running_loop().time()


def test_a_session_begins_with_its_secrets_and_the_greeting() -> None:
    async def test(served: Served) -> None:
        _, scripts, _ = await begin(served)
        assert len(scripts.id) >= 22
        assert len(scripts.password) >= 22
        [greeting] = scripts.messages
        assert (greeting["d"]["t"], greeting["d"]["d"]["h"]) == ("h", "localhost:9000")
        assert greeting["d"]["d"]["s"] not in (scripts.id, scripts.password)

    serve(test)


def test_a_poll_waits_for_something_to_say() -> None:
    async def test(served: Served) -> None:
        peer, scripts, who = await begin(served)
        scripts.read(await get(peer, f"{who}&ser=1{carrying(encode_pieces(LISTEN, 0))}"))
        assert scripts.messages[-1]["d"]["b"]["s"] == "ok"
        hold(peer, f"{who}&ser=2")
        await settle()
        writer = await served.connect()
        await writer.ask("PUT", "/a.json?ns=demo", "7")
        scripts.read((await peer.response())[2].decode())
        assert scripts.messages[-1]["d"] == {"a": "d", "b": {"p": "a", "d": 7}}

    serve(test)


def test_what_comes_between_two_polls_waits_for_the_next() -> None:
    async def test(served: Served) -> None:
        peer, scripts, who = await begin(served)
        scripts.read(await get(peer, f"{who}&ser=1{carrying(encode_pieces(LISTEN, 0))}"))
        writer = await served.connect()
        for number in range(5):
            await writer.ask("PUT", "/a.json?ns=demo", str(number))
        scripts.read(await get(peer, f"{who}&ser=2"))
        assert [message["d"]["b"]["d"] for message in scripts.messages if "a" in message["d"]] == list(range(5))

    serve(test)


def test_a_newer_poll_releases_the_one_that_is_held() -> None:
    async def test(served: Served) -> None:
        older, _, who = await begin(served)
        newer = await served.connect()
        hold(older, f"{who}&ser=1")
        await settle()
        hold(newer, f"{who}&ser=2")
        assert (await older.response())[2] == b""

    serve(test)


def test_a_poll_that_is_held_for_long_is_answered_with_nothing() -> None:
    async def test(served: Served) -> None:
        peer, _, who = await begin(served)
        hold(peer, f"{who}&ser=1")
        await settle()
        served.worker.long_polls.sweep(now() + LONG_POLL_HOLD_SECONDS - 1)
        await settle()
        assert len(served.worker.sessions) == 1
        served.worker.long_polls.sweep(now() + LONG_POLL_HOLD_SECONDS + 1)
        assert (await peer.response())[2] == b""

    serve(test)


def test_a_request_that_comes_again_is_answered_again_and_counts_once() -> None:
    async def test(served: Served) -> None:
        peer, _, who = await begin(served)
        write = '{"t":"d","d":{"r":1,"a":"p","b":{"p":"/n","d":{".sv":{"increment":1}}}}}'
        query = f"{who}&ser=1{carrying(encode_pieces(write, 0))}"
        first = await get(peer, query)
        assert '"s":"ok"' in first
        assert await get(peer, query) == first
        assert json.loads((await peer.ask("GET", "/n.json?ns=demo"))[2]) == 1

    serve(test)


def test_pieces_that_overtake_each_other_are_one_message() -> None:
    async def test(served: Served) -> None:
        peer, scripts, who = await begin(served)
        text = "é" * 3000
        pieces = encode_pieces(json.dumps({"t": "d", "d": {"r": 1, "a": "p", "b": {"p": "/t", "d": text}}}), 0)
        assert len(pieces) > 3
        other = await served.connect()
        hold(other, f"{who}&ser=2{carrying(pieces[2:])}")
        await settle()
        scripts.read(await get(peer, f"{who}&ser=1{carrying(pieces[:2])}"))
        assert scripts.messages[-1]["d"]["b"]["s"] == "ok"
        assert json.loads((await peer.ask("GET", "/t.json?ns=demo"))[2]) == text

    serve(test)


def test_a_large_value_comes_whole_in_one_packet_and_slices() -> None:
    async def test(served: Served) -> None:
        peer, scripts, who = await begin(served)
        value = {f"key{number}": {"n": number, "text": "<é>" * 20} for number in range(20_000)}
        await peer.ask("PUT", "/a.json?ns=demo", json.dumps(value))
        scripts.read(await get(peer, f"{who}&ser=1{carrying(encode_pieces(LISTEN, 0))}"))
        serial = 1
        while len(scripts.messages) < 3:
            serial += 1
            scripts.read(await get(peer, f"{who}&ser={serial}"))
        assert scripts.messages[1]["d"]["b"]["d"] == value
        assert scripts.messages[2]["d"]["b"]["s"] == "ok"

    serve(test)


@pytest.mark.parametrize("wrong", ["id=x&pw=y", "id={id}&pw=x", "id={id}&pw={pw}x", "id={id}&pw=%C3%A9", "id=%C3%A9&pw={pw}"])
def test_who_does_not_know_both_secrets_is_sent_away_and_disturbs_nobody(wrong: str) -> None:
    async def test(served: Served) -> None:
        peer, scripts, who = await begin(served)
        query = wrong.format(id=scripts.id, pw=scripts.password)
        assert await get(peer, f"{query}&ser=1") == "pLPCommand('close');\n"
        assert await get(peer, f"{query}&disconn=t") == "pLPCommand('close');\n"
        status, _, body = await peer.ask("GET", f"/.lp?{query}&dframe=t&ns=demo")
        assert (status, body) == (200, b"")
        scripts.read(await get(peer, f"{who}&ser=1{carrying(encode_pieces(LISTEN, 0))}"))
        assert scripts.messages[-1]["d"]["b"]["s"] == "ok"

    serve(test)


def test_the_end_is_reported_by_a_page_and_runs_what_was_queued() -> None:
    async def test(served: Served) -> None:
        peer, _, who = await begin(served)
        queue = '{"t":"d","d":{"r":1,"a":"o","b":{"p":"/gone","d":true}}}'
        assert '"s":"ok"' in await get(peer, f"{who}&ser=1{carrying(encode_pieces(queue, 0))}")
        status, headers, body = await peer.ask("GET", f"/.lp?dframe=t&{who}&ns=demo")
        assert (status, headers["content-type"]) == (200, "text/html; charset=utf-8")
        assert f"/.lp?disconn=t&{who}&ns=demo".encode() in body
        hold(peer, f"{who}&ser=2")
        await settle()
        other = await served.connect()
        assert await get(other, f"disconn=t&{who}") == ""
        assert (await peer.response())[2] == b"pLPCommand('close');\n"
        assert json.loads((await other.ask("GET", "/gone.json?ns=demo"))[2]) is True
        assert (served.worker.sessions, len(served.worker.long_polls)) == (set(), 0)

    serve(test)


def test_a_client_that_is_silent_for_long_is_gone() -> None:
    async def test(served: Served) -> None:
        peer, _, who = await begin(served)
        [session] = served.worker.sessions
        for _ in range(LOST_SWEEPS - 1):
            session.sweep()
        assert len(served.worker.long_polls) == 1
        session.sweep()
        assert (served.worker.sessions, len(served.worker.long_polls)) == (set(), 0)
        assert await get(peer, f"{who}&ser=1") == "pLPCommand('close');\n"

    serve(test)


def test_a_client_whose_poll_is_held_is_not_silent_until_its_connection_breaks() -> None:
    async def test(served: Served) -> None:
        peer, _, who = await begin(served)
        other = await served.connect()
        hold(other, f"{who}&ser=1")
        await settle()
        [session] = served.worker.sessions
        for _ in range(2 * LOST_SWEEPS):
            served.worker.long_polls.sweep(now())
            session.sweep()
        other.close()
        await settle()
        for _ in range(LOST_SWEEPS):
            served.worker.long_polls.sweep(now())
            session.sweep()
        assert served.worker.sessions == set()
        peer.close()

    serve(test)


def test_an_upgrade_waits_for_the_end_of_a_message_that_is_being_written() -> None:
    class Upgrade:
        finished: Any = None

        def finish(self, connection: Any) -> None:
            self.finished = connection
            connection.closed()

    async def test(served: Served) -> None:
        peer, scripts, who = await begin(served)
        hold(peer, f"{who}&ser=1")
        await settle()
        [session] = served.worker.sessions
        line, upgrade, frames = session.line, Upgrade(), text_frames(b'"' + b"x" * 40_000 + b'"')
        line.begin_upgrade(upgrade)
        line.write(frames[:16_391])  # The count, and the first of three pieces.
        line.switch()
        assert upgrade.finished is None
        line.write(frames[16_391:])
        assert upgrade.finished is session
        scripts.read((await peer.response())[2].decode())
        assert scripts.messages[1:] == ["x" * 40_000, {"t": "c", "d": {"t": "n", "d": {}}}]
        assert scripts.last_packet == 1

    serve(test)


# Abuse


def test_what_waits_for_a_client_that_does_not_poll_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox, "OUTBOX_BYTES_MAX", 1_000_000)

    async def test(served: Served) -> None:
        peer, _, who = await begin(served)
        await get(peer, f"{who}&ser=1{carrying(encode_pieces(LISTEN, 0))}")
        writer, text = await served.connect(), json.dumps("x" * 100_000)
        for _ in range(13):
            await writer.ask("PUT", "/a.json?ns=demo&print=silent", text)
        await settle()
        assert (served.worker.sessions, len(served.worker.long_polls)) == (set(), 0)

    serve(test)


def test_pieces_without_their_beginning_end_the_session() -> None:
    async def test(served: Served) -> None:
        peer, scripts, who = await begin(served)
        scripts.read(await get(peer, f"{who}&ser=1&seg0={LONG_POLL_EARLY_PIECES_MAX + 1}&ts0=1&d0=eyJ9"))
        assert scripts.is_closed
        assert len(served.worker.long_polls) == 0

    serve(test)


@pytest.mark.parametrize(
    "piece", ["seg0=0&ts0=1&d0=!!!!", "seg0=0&ts0=99999999&d0=e30.", "seg0=0&ts0=1&d0=e30.", "seg0=0&ts0=0&d0="]
)
def test_nonsense_ends_its_own_session(piece: str) -> None:
    async def test(served: Served) -> None:
        peer, scripts, who = await begin(served)
        _, others, other_who = await begin(served)
        scripts.read(await get(peer, f"{who}&ser=1&seg0=0&{piece}"))
        assert scripts.is_closed
        others.read(await get(peer, f"{other_who}&ser=1{carrying(encode_pieces(LISTEN, 0))}"))
        assert others.messages[-1]["d"]["b"]["s"] == "ok"

    serve(test)


def test_polls_that_pile_up_behind_a_long_message_end_the_session() -> None:
    async def test(served: Served) -> None:
        peer, _, who = await begin(served)
        [session] = served.worker.sessions
        session.line.pause_reading()  # As while a long message is prepared.
        peers = [await served.connect() for _ in range(long_poll.LONG_POLL_WAITING_MAX + 1)]
        for serial, each in enumerate(peers):
            hold(each, f"{who}&ser={serial + 1}")
            await settle()
        for each in peers:
            assert (await each.response())[2] == b"pLPCommand('close');\n"
        assert served.worker.sessions == set()
        peer.close()

    serve(test)


def test_so_many_sessions_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(long_poll, "LONG_POLL_SESSIONS_MAX", 2)
    assert LONG_POLL_SESSIONS_MAX > 2

    async def test(served: Served) -> None:
        await begin(served)
        peer, _, who = await begin(served)
        status, headers, _ = await peer.ask("GET", "/.lp?start=t&ser=1&cb=3&ns=demo")
        assert (status, headers["retry-after"]) == (503, "5")
        await get(peer, f"disconn=t&{who}")
        await begin(served)

    serve(test)


def test_only_get_is_answered() -> None:
    async def test(served: Served) -> None:
        peer = await served.connect()
        for method in ("POST", "PUT", "DELETE", "HEAD"):
            assert (await peer.ask(method, "/.lp?start=t&cb=1&ns=demo", b"" if method != "HEAD" else None))[0] == 405
        assert len(served.worker.long_polls) == 0

    serve(test)


def test_an_unknown_database_is_told_in_the_protocols_words() -> None:
    async def test(served: Served) -> None:
        peer, scripts = await served.connect(), Scripts()
        scripts.read(await get(peer, "start=t&ser=1&cb=3"))
        assert scripts.messages == [{"t": "c", "d": {"t": "s", "d": "There is no database 'demo' here"}}]
        assert scripts.is_closed
        assert len(served.worker.long_polls) == 0

    serve(test, mode="serve")


# A real server


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("data"), workers=2) as server:
        yield server


def names_of_both_workers() -> list[str]:
    """A name for each of two workers."""
    names: dict[int, str] = {}
    while len(names) < 2:
        name = fresh_name()
        names.setdefault(owner_of(name, 2), name)
    return [names[0], names[1]]


def upgraded(client: Polling) -> tuple[Socket, int]:
    """The WebSocket of a client that has gone over to it, and the number of the last packet over polls."""
    socket = Socket(client.port, client.ns, query=f"&s={client.session}")
    assert socket.greeting == {"t": "c", "d": {"t": "a", "d": {}}}
    for _ in range(2):
        socket.send_text('{"t":"c","d":{"t":"p","d":{}}}')
        assert socket.receive() == {"t": "c", "d": {"t": "o", "d": None}}
    socket.send_text('{"t":"c","d":{"t":"a","d":{}}}')
    client.poll('{"t":"c","d":{"t":"n","d":{}}}')
    assert client.scripts.messages[-1] == {"t": "c", "d": {"t": "n", "d": {}}}
    assert client.scripts.last_packet is not None
    return socket, client.scripts.last_packet


def test_one_keep_alive_connection_serves_sessions_of_both_workers(server: Server) -> None:
    clients = [Polling(server.port, name) for name in names_of_both_workers()]
    clients[1].connection.close()
    clients[1].connection = clients[0].connection
    for round_number in range(3):
        for client in clients:
            assert client.ask("p", {"p": "/n", "d": round_number})["s"] == "ok"
            assert client.ask("g", {"p": "/n", "q": {}})["d"] == round_number
    for client in clients:
        client.close()


def test_a_message_of_a_megabyte_goes_up_and_comes_down(server: Server) -> None:
    client = Polling(server.port, fresh_name())
    text = "<ü>" * 250_000
    request, message = client.text("p", {"p": "/t", "d": text})
    pieces = encode_pieces(message, 0)
    # Two requests are on their way, as with an SDK: the newer releases the older, whichever arrives first. (More to a URL than
    # an SDK would put there.)
    connections = [client.connection, http.client.HTTPConnection("127.0.0.1", server.port, timeout=SECONDS)]
    connections[1].request("GET", f"/.lp?{client.who}&ser=0&ns={client.ns}")
    ready = connections[0]
    for start in range(0, len(pieces), 20):
        ready.request("GET", f"/.lp?{client.who}&ser={start + 1}{carrying(pieces[start : start + 20])}&ns={client.ns}")
        [answered, *_], _, _ = select.select([each.sock for each in connections], [], [], SECONDS)
        ready = next(each for each in connections if each.sock is answered)
        client.scripts.read(ready.getresponse().read().decode())
    held = next(each for each in connections if each is not ready)
    client.scripts.read(held.getresponse().read().decode())
    assert client.find_answer(request) == {"s": "ok", "d": ""}
    client._piece = client._serial = len(pieces)
    assert client.ask("g", {"p": "/t", "q": {}})["d"] == text
    for each in connections:
        each.close()


def test_a_client_that_comes_back_ends_its_old_session_at_once(server: Server) -> None:
    ns = fresh_name()
    old = Polling(server.port, ns)
    old.ask("p", {"p": "/online", "d": True})
    old.ask("o", {"p": "/online", "d": None})
    new = Polling(server.port, ns, query=f"&ls={old.session}")
    assert new.ask("g", {"p": "/online", "q": {}})["d"] is None
    assert old.poll() == "pLPCommand('close');\n"
    for client in (old, new):
        client.close()


def test_an_upgrade_keeps_the_session_its_listens_and_what_it_queued(server: Server) -> None:
    ns = fresh_name()
    witness, client = Socket(server.port, ns), Polling(server.port, ns)
    client.ask("o", {"p": "/online", "d": False})
    client.ask("q", {"p": "/n", "h": ""})
    socket, last = upgraded(client)
    assert last in client.scripts.packets
    witness.ask("p", {"p": "/n", "d": 1})
    assert socket.receive()["d"] == {"a": "d", "b": {"p": "n", "d": 1}}
    # The page of the polls goes, and says so: that ends nothing any more.
    client.get(f"disconn=t&{client.who}")
    assert client.poll() == "pLPCommand('close');\n"
    assert socket.ask("p", {"p": "/n", "d": 2})["s"] == "ok"
    assert witness.ask("g", {"p": "/online", "q": {}})["d"] is None
    socket.close()
    eventually(lambda: server.read("/online", ns=ns) is False, what="what was queued over polls, at the end of the socket")
    witness.close()
    client.close()


def test_the_windows_of_queries_are_followed_over_polls_and_through_an_upgrade(server: Server) -> None:
    ns = fresh_name()
    client = Polling(server.port, ns)
    people = {"ann": {"n": 1}, "bob": {"n": 2}, "cy": {"n": 3}}
    server.write("/people", people, ns=ns)
    first, last = {"i": "n", "l": 2, "vf": "l"}, {"i": ".key", "sp": "b", "l": 1, "vf": "r"}
    assert client.ask("q", {"p": "/people", "q": first, "t": 1, "h": ""}) == {"s": "ok", "d": {"w": ["no_index"]}}
    assert client.ask("q", {"p": "/people", "q": last, "t": 2, "h": ""}) == {"s": "ok", "d": {}}
    assert client.ask("g", {"p": "/people", "q": last})["d"] == {"cy": {"n": 3}}
    refused = client.ask("g", {"p": "/people", "q": first})
    assert refused["d"] == 'Index not defined, add ".indexOn": "n", for path "/people", to the rules'
    server.write("/people/cy/n", 0, ns=ns)
    client.poll()
    told = [
        {"p": "people", "d": {"ann": {"n": 1}, "bob": {"n": 2}}, "t": 1},
        {"p": "people", "d": {"cy": {"n": 3}}, "t": 2},
        {"p": "people", "d": {"bob": None, "cy": {"n": 0}}, "t": 1},
        {"p": "people/cy/n", "d": 0, "t": 2},
    ]
    assert [push["b"] for push in client.pushes] == told

    socket, _ = upgraded(client)
    server.write("/people/dan", {"n": -1}, ns=ns)
    assert [socket.receive()["d"]["b"] for _ in range(2)] == [
        {"p": "people", "d": {"ann": None, "dan": {"n": -1}}, "t": 1},
        {"p": "people", "d": {"cy": None, "dan": {"n": -1}}, "t": 2},
    ]
    assert socket.ask("n", {"p": "/people", "q": first, "t": 1})["s"] == "ok"
    server.write("/people/dan/n", 5, ns=ns)
    assert socket.receive()["d"]["b"] == {"p": "people/dan/n", "d": 5, "t": 2}
    for each in (socket, client):
        each.close()


def test_what_the_socket_brings_before_the_last_poll_is_carried_out_after_it(server: Server) -> None:
    ns = fresh_name()
    client = Polling(server.port, ns)
    socket = Socket(server.port, ns, query=f"&s={client.session}")
    socket.send_text('{"t":"c","d":{"t":"a","d":{}}}')
    second = socket.send("p", {"p": "/order", "d": "second"})
    long = socket.send("p", {"p": "/long", "d": "x" * 700_000})
    _, first = client.text("p", {"p": "/order", "d": "first"})
    client._request = 100
    assert server.read("/order", ns=ns) is None
    client.poll(first, '{"t":"c","d":{"t":"n","d":{}}}')
    assert socket.answer_to(second) == {"s": "ok", "d": ""}
    assert socket.answer_to(long) == {"s": "ok", "d": ""}
    assert server.read("/order", ns=ns) == "second"
    assert client.scripts.last_packet is not None
    socket.close()
    client.close()


def test_pushes_go_on_without_gap_or_repetition_through_an_upgrade(server: Server) -> None:
    ns = fresh_name()
    writer, client = Socket(server.port, ns), Polling(server.port, ns)
    client.ask("q", {"p": "/n", "h": ""})
    stopped = threading.Event()
    written = 0

    def write() -> None:
        nonlocal written
        while not stopped.is_set():
            written += 1
            writer.ask("p", {"p": "/n", "d": written})

    thread = threading.Thread(target=write)
    thread.start()
    try:
        for _ in range(10):
            client.poll()
        socket = Socket(server.port, ns, query=f"&s={client.session}")
        socket.send_text('{"t":"c","d":{"t":"a","d":{}}}')
        client.poll('{"t":"c","d":{"t":"n","d":{}}}')
        while client.scripts.last_packet is None:
            client.poll()
        told = [socket.receive()["d"]["b"]["d"] for _ in range(10)]
    finally:
        stopped.set()
        thread.join(10)
    values = [push["b"]["d"] for push in client.pushes] + told
    assert values == list(range(values[0], values[0] + len(values)))
    for each in (writer, socket, client):
        each.close()


def test_an_upgrade_of_an_unknown_session_is_sent_to_begin_anew(server: Server) -> None:
    host = f"127.0.0.1:{server.port}"
    socket = Socket(server.port, fresh_name(), query="&s=unknown")
    assert socket.greeting == {"t": "c", "d": {"t": "r", "d": host}}
    client = Polling(server.port, fresh_name())
    elsewhere = Socket(server.port, fresh_name(), query=f"&s={client.session}")
    assert elsewhere.greeting["d"]["t"] == "r", "a session of another database is unknown"
    socket.close()
    elsewhere.close()
    client.close()


def test_a_socket_that_breaks_before_it_takes_over_leaves_the_polls_alone(server: Server) -> None:
    client = Polling(server.port, fresh_name())
    socket = Socket(server.port, client.ns, query=f"&s={client.session}")
    other = Socket(server.port, client.ns, query=f"&s={client.session}")
    with pytest.raises(ConnectionClosed):
        socket.receive()  # A newer one takes its place.
    other.close()
    assert client.ask("p", {"p": "/n", "d": 1})["s"] == "ok"
    upgraded(client)[0].close()
    client.close()


def test_a_last_word_without_a_socket_ends_the_session(server: Server) -> None:
    client = Polling(server.port, fresh_name())
    client.poll('{"t":"c","d":{"t":"n","d":{}}}')
    assert client.scripts.is_closed
    client.close()


def test_a_stopping_server_tells_polls_to_close(tmp_path: Path) -> None:
    with Server(tmp_path / "data") as server:
        client = Polling(server.port, fresh_name())
        client.ask("o", {"p": "/left", "d": True})
        client.connection.request("GET", f"/.lp?{client.who}&ser=99&ns={client.ns}")
        server.read("/left", ns=client.ns)  # Asked after the poll, and answered while that is held.
        server.stop()
        assert client.connection.getresponse().read() == b"pLPCommand('close');\n"
        client.close()
        server.start()
        assert server.read("/left", ns=client.ns) is True
