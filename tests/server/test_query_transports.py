"""Queries over every transport at once: what each client has put together, or reads, after each write is what the query shows."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from meadowlark.query import parse_query
from meadowlark.server.realtime import RealtimeConnection
from meadowlark.wire import events, pushes
from tests.harness import Server, fresh_name
from tests.query.naive import answer, told
from tests.query.scenarios import spec_of
from tests.query.strategies import KEYS, LEAVES, PRIORITIES, VALUES, Constraints, constraints
from tests.server.following import Follower, Line, StreamFollower
from tests.server.polling import Polling, Scripts, carrying, encode_pieces
from tests.server.rest_server import Served, serve
from tests.server.sockets import Socket
from tests.server.test_rest_queries import RULES
from tests.server.test_streams import event, stream

NUMBERS = st.integers(0, 5)
RECORDS = st.dictionaries(st.sampled_from("abcdef"), st.fixed_dictionaries({"a": NUMBERS}, optional={"b": NUMBERS}), min_size=3)
"""So that windows are full and the next stands behind their edges."""
PARTS = st.one_of(KEYS, st.sampled_from("abcdef"))
PATHS = st.lists(PARTS, max_size=4).map("/".join)
SUMS = st.sampled_from([{".sv": {"increment": 1}}, {".sv": {"increment": -2.5}}])
WRITES = st.one_of(
    st.tuples(st.just("p"), st.tuples(st.sampled_from("abcdef"), st.sampled_from("ab")).map("/".join), NUMBERS),
    st.tuples(st.just("p"), st.sampled_from(["a/a", "b/a", "c/a"]), NUMBERS),
    st.tuples(st.just("m"), st.just(""), st.dictionaries(st.sampled_from(["a/a", "b/a", "c/b", "d", "e/.priority"]), NUMBERS)),
    st.tuples(st.just("p"), PATHS, st.one_of(VALUES, LEAVES, SUMS)),
    st.tuples(st.just("p"), st.lists(PARTS, max_size=2).map(lambda keys: "/".join([*keys, ".priority"])), PRIORITIES),
    st.tuples(st.just("m"), st.lists(PARTS, max_size=1).map("/".join), st.dictionaries(PATHS.filter(bool), VALUES, max_size=4)),
)
"""Sets, also of sums and priorities, and updates of several paths, below a place."""


class Room:
    """One database with a client on each transport; `place` is another each time."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self.ns = fresh_name("followed")
        assert server.rest("PUT", "/.settings/rules", RULES, ns=self.ns).status == 200
        self.writer = Socket(server.port, self.ns)
        self.followers = [Follower(Socket(server.port, self.ns)), Follower(Polling(server.port, self.ns))]
        self._places = 0

    def new_place(self) -> tuple[str]:
        self._places += 1
        return (f"place{self._places}",)

    def stream(self, place: tuple[str], asked: Constraints) -> StreamFollower:
        return StreamFollower(self._server.port, self.ns, place, asked)

    def there(self, place: tuple[str]) -> Any:
        return self._server.rest("GET", f"/{place[0]}", ns=self.ns, query="format=export").json()

    def close(self) -> None:
        for line in (self.writer, *self.followers):
            line.close()


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Room]:
    with Server(tmp_path_factory.mktemp("data")) as server:
        room = Room(server)
        yield room
        room.close()
        server.stop()


EDGES = constraints(keys=st.sampled_from("abcdef"), values=NUMBERS, orders=[["orderByChild", "a"]])


def identity_of(asked: Constraints) -> str:
    """On one connection, the same query again would take the place of the first."""
    query = parse_query(spec_of(asked))
    assert query is not None
    return query.identity


@settings(max_examples=60, deadline=None)
@given(
    first=st.one_of(RECORDS, VALUES),
    queries=st.lists(
        st.one_of(EDGES, constraints()).filter(lambda asked: len(asked) > 1), min_size=1, max_size=4, unique_by=identity_of
    ),
    whole=constraints().map(lambda asked: asked[:1]),
    writes=st.lists(WRITES, min_size=1, max_size=8),
)
def test_a_window_is_the_same_over_sockets_polls_and_streams(
    room: Room, first: Any, queries: list[Constraints], whole: Constraints, writes: list[tuple[str, str, Any]]
) -> None:
    """And that of sorting, cutting and limiting what is there; an order without a range shows all there is. A `get` says the same
    at that moment, beside the listeners."""
    place = room.new_place()
    room.writer.ask("p", {"p": place[0], "d": first})
    tags = [(follower, follower.follow(place, asked), asked) for asked in queries for follower in room.followers]
    streams = [(room.stream(place, asked), asked) for asked in [*queries, whole]]
    try:
        for action, path, value in [("p", "there/is/none", None), *writes]:
            # An update of a path and of one below it is refused, and then nothing may be told.
            room.writer.ask(action, {"p": f"{place[0]}/{path}".rstrip("/"), "d": value})
            there = room.there(place)
            for follower in room.followers:
                follower.catch_up()
            for follower, tag, asked in tags:
                assert told(follower.shown(tag)) == told(answer(there, spec_of(asked))), (follower, asked, action, path, value)
            for follower in room.followers:
                for asked in [*queries, whole]:
                    read = follower.get(place, asked)
                    assert told(read) == told(answer(there, spec_of(asked))), (follower, asked, action, path, value)
            for stream, asked in streams:
                stream.read_until(without_priorities(answer(there, spec_of(asked))))
    finally:
        for follower in room.followers:
            follower.stop()
        for stream, _ in streams:
            stream.close()


def without_priorities(node: Any) -> Any:
    if not isinstance(node, dict):
        return node
    if ".value" in node:
        return node[".value"]
    return {key: without_priorities(child) for key, child in node.items() if key != ".priority"}


def listen_with(tag: int) -> str:
    asked = {"p": "/list", "q": {"i": ".key", "l": 2, "vf": "l"}, "t": tag, "h": ""}
    return json.dumps({"t": "d", "d": {"r": 1, "a": "q", "b": asked}})


def test_a_socket_a_poll_and_two_streams_share_one_view_and_what_it_says_is_encoded_once_a_form(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    encoded: list[str] = []
    for module, name in ((pushes, "_body"), (events, "_event")):
        make = getattr(module, name)
        monkeypatch.setattr(module, name, lambda *given, _name=name, _make=make: (encoded.append(_name), _make(*given))[1])

    async def test(served: Served) -> None:
        writer = await served.connect()
        await writer.ask("PUT", "/list.json?ns=demo", '{"b":1,"c":2,"d":3}')
        host: Any = served.worker
        hosted = await host.shard.open("demo")

        line, connection = Line(), RealtimeConnection(host, hosted, "socket", "h")
        connection.opened(line)  # type: ignore[arg-type]
        connection.received(listen_with(7).encode())
        peer, scripts = await served.connect(), Scripts()
        scripts.read((await peer.ask("GET", "/.lp?start=t&ser=1&cb=3&v=5&ns=demo"))[2].decode())
        poll = f"/.lp?id={scripts.id}&pw={scripts.password}&ns=demo&ser="
        scripts.read((await peer.ask("GET", f"{poll}2{carrying(encode_pieces(listen_with(8), 0))}"))[2].decode())
        query = "orderBy=%22$key%22&limitToFirst=2"
        streams = [await stream(served, "/list", f"ns=demo&{query}") for _ in range(2)]
        first = {"b": 1, "c": 2}
        assert [await event(each) for each in streams] == [("put", {"path": "/", "data": first})] * 2

        encoded.clear()
        await writer.ask("PUT", "/list/a.json?ns=demo", "0")
        scripts.read((await peer.ask("GET", f"{poll}3"))[2].decode())
        told = {"c": None, "a": 0}
        assert [await event(each) for each in streams] == [("patch", {"path": "/", "data": told})] * 2
        polled = [message["d"]["b"] for message in scripts.messages if message["d"].get("a")]
        for pushed, tag in ((line.told, 7), (polled, 8)):
            assert pushed == [{"p": "list", "d": first, "t": tag}, {"p": "list", "d": told, "t": tag}]
        assert sorted(encoded) == ["_body", "_event"]
        ordering = hosted.database._queries.find(("list",), ".key")
        assert ordering is not None
        [view] = ordering.views.values()
        assert sum(map(len, view.listeners.values())) == 4
        connection.closed()

    serve(test)
