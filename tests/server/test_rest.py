"""REST calls through a connection to the engine: what official clients do, and who may do what."""

from __future__ import annotations

import asyncio
import json
from time import perf_counter_ns
from typing import Any

import pytest

from meadowlark.query import Query
from meadowlark.server.hosted import Hosted
from meadowlark.tree import Path, node_hash
from meadowlark.wire.rest import WRITE_SIZES
from tests.server.rest_server import ADMIN_CREDENTIAL, Peer, Served, serve

MOCK_USER = "eyJhbGciOiJub25lIiwidHlwZSI6IkpXVCJ9.eyJzdWIiOiJhbGljZSIsImlhdCI6MH0."
"""An unsigned token of the user alice, as the SDKs make for emulators."""


def test_a_value_goes_in_and_comes_out() -> None:
    async def test(served: Served) -> None:
        peer = await served.connect()
        sent = '{"caf\u00e9":[1,null,"\U0001f685"],"at":{".sv":"timestamp"},"n":{".sv":{"increment":2}}}'
        status, _, body = await peer.ask("PUT", "/a/b.json", sent)
        now = {"café": [1, None, "🚅"], "at": 1_700_000_000_000, "n": 2}
        assert (status, json.loads(body)) == (200, now)
        assert json.loads((await peer.ask("GET", "/.json"))[2]) == {"a": {"b": now}}
        assert (await peer.ask("GET", "/a/b/caf%C3%A9/2.json"))[2] == '"🚅"'.encode()

    serve(test)


def test_a_post_adds_under_keys_in_order_and_may_store_the_empty_string() -> None:
    async def test(served: Served) -> None:
        peer = await served.connect()
        names = [json.loads((await peer.ask("POST", "/list.json", '""'))[2])["name"] for _ in range(3)]
        assert sorted(set(names)) == names
        assert json.loads((await peer.ask("GET", "/list.json"))[2]) == dict.fromkeys(names, "")

    serve(test)


def test_a_read_that_does_not_begin_within_its_timeout_is_refused() -> None:
    async def test(served: Served) -> None:
        peer = await served.connect()
        assert (await peer.ask("GET", "/a.json?timeout=10s"))[::2] == (200, b"null")
        loaded = asyncio.Event()
        real_open = served.worker.shard.open

        async def slow_open(name: str, *, admin: bool = False) -> Hosted:
            await loaded.wait()
            return await real_open(name, admin=admin)

        served.worker.shard.open = slow_open  # type: ignore[method-assign]
        status, _, body = await peer.ask("GET", "/a.json?ns=another&timeout=5ms")
        assert (status, json.loads(body)) == (400, {"error": "the read took longer than its timeout of 0.005 s"})
        assert (await peer.ask("GET", "/a.json?timeout=5ms"))[2] == b"null", "what is in memory needs no loading"
        loaded.set()
        assert (await peer.ask("PUT", "/a.json?ns=another&timeout=5ms", "1"))[0] == 200, "a write is not given up"

    serve(test)


class Later:
    """The server's clock, as if more time had gone by than has."""

    def __init__(self, served: Served) -> None:
        self.ahead_seconds = 0.0
        served.worker.turn.stopwatch.clock = self

    def __call__(self) -> int:
        return perf_counter_ns() + int(self.ahead_seconds * 1e9)


class Slow:
    """A slicer whose work takes `seconds` longer each time."""

    def __init__(self, served: Served, seconds: float) -> None:
        self.count = 0
        self._seconds = seconds
        self._slicer = served.worker.slicer
        self._later = Later(served)
        served.worker.slicer = self  # type: ignore[assignment]

    async def run(self, steps: Any) -> Any:
        self.count += 1
        self._later.ahead_seconds += self._seconds
        return await self._slicer.run(steps)

    def begin(self, steps: Any) -> None:
        self._later.ahead_seconds += self._seconds
        self._slicer.begin(steps)


TOO_LONG = (400, {"error": "the read took longer than its timeout of 900 s"})
BIG = {f"k{number}": "x" * 1000 for number in range(1000)}


async def refusal(peer: Peer, target: str, **headers: str) -> tuple[int, Any]:
    status, _, body = await peer.ask("GET", target, **headers)
    return status, json.loads(body)


def test_a_read_in_slices_has_its_time_as_a_whole_and_is_cut_when_it_is_over() -> None:
    """A quarter of an hour if it says nothing else: the clock goes on by five minutes with each slice."""

    async def test(served: Served) -> None:
        peer = await served.connect()
        await peer.ask("PUT", "/big.json?print=silent", json.dumps(BIG))
        real = served.worker.slicer
        for target, slices in (("/big.json", 3), ("/big.json?timeout=10min", 2), ("/big.json?timeout=10s", 1)):
            slow, cut = Slow(served, 300.0), await served.connect()
            with pytest.raises((asyncio.IncompleteReadError, ConnectionResetError)):
                await cut.ask("GET", target)
            assert slow.count == slices, target
            served.worker.slicer = real
        assert (await peer.ask("GET", "/big.json?timeout=10s"))[0] == 200
        while served.worker.shard.tree("fake-server")._frozen_count:
            await asyncio.sleep(0)

    serve(test)


def test_the_time_in_which_the_client_takes_nothing_is_its_own() -> None:
    async def test(served: Served) -> None:
        peer, later = await served.connect(), Later(served)
        await peer.ask("PUT", "/big.json?print=silent", json.dumps(BIG))
        (connection,) = served.worker.connections
        peer.send(b"GET /big.json?timeout=10s HTTP/1.1\r\nhost: localhost:9000\r\n\r\n")
        while not connection.pipe.is_paused:
            await asyncio.sleep(0)
        await asyncio.sleep(0)
        later.ahead_seconds += 3600.0
        assert json.loads((await peer.response())[2]) == BIG

    serve(test)


def test_an_etag_or_an_index_that_takes_too_long_is_not_waited_for() -> None:
    async def test(served: Served) -> None:
        peer = await served.connect()
        many = {f"k{number:04}": number for number in range(2_000)}
        await peer.ask("PUT", "/many.json?print=silent", json.dumps(many))
        real = served.worker.slicer
        Slow(served, 901.0)
        assert await refusal(peer, "/many.json", x_firebase_etag="true") == TOO_LONG
        assert (await peer.ask("DELETE", "/none.json", if_match="null_etag"))[0] == 200, "a write has all the time it needs"
        served.worker.slicer, later = real, Later(served)
        assert (await peer.ask("GET", "/many.json", x_firebase_etag="true"))[0] == 200
        served.worker.shard.holds = True
        waiting = asyncio.ensure_future(refusal(peer, "/many.json?orderBy=%22$key%22&limitToFirst=1"))
        (connection,) = served.worker.connections
        while not connection.is_answering:
            await asyncio.sleep(0)
        await asyncio.sleep(0.001)
        later.ahead_seconds += 901.0
        served.worker.shard.holds = False
        assert await waiting == TOO_LONG
        assert (await peer.ask("GET", "/many/k0001.json"))[2] == b"1", "the connection goes on"

    serve(test)


def test_an_answer_that_comes_after_it_was_given_up_answers_nothing_else() -> None:
    async def test(served: Served) -> None:
        peer = await served.connect()
        await peer.ask("PUT", "/many.json?print=silent", json.dumps({f"k{number:04}": number for number in range(2_000)}))
        served.worker.shard.holds = True
        assert (await peer.ask("GET", "/many.json?orderBy=%22$key%22&limitToFirst=1&timeout=1ms"))[0] == 400
        written = asyncio.ensure_future(peer.ask("PUT", "/other.json", '"mine"'))
        while not served.worker.shard.waiting_count:
            await asyncio.sleep(0)
        served.worker.shard.holds = False
        other = await served.connect()
        assert (await other.ask("GET", "/many.json?orderBy=%22$key%22&limitToFirst=1"))[2] == b'{"k0000":0}', "it is there now"
        served.worker.shard.release()
        assert (await written)[::2] == (200, b'"mine"')

    serve(test)


def test_a_read_whose_database_has_had_its_share_waits_no_longer_than_it_may() -> None:
    async def test(served: Served) -> None:
        peer = await served.connect()
        assert (await peer.ask("GET", "/a.json"))[0] == 200
        hosted = served.worker.shard.find("fake-server")
        assert hosted is not None
        served.worker.turn.lanes.spend(hosted.lane, 3600 * 1_000_000_000)
        status, text = await refusal(peer, "/a.json?timeout=5ms")
        assert (status, text) == (400, {"error": "the read took longer than its timeout of 0.005 s"})
        assert hosted.users == 0

    serve(test)


@pytest.mark.parametrize("size", list(WRITE_SIZES))
def test_a_removal_has_no_size_whatever_its_limit(size: str) -> None:
    async def test(served: Served) -> None:
        peer = await served.connect()
        text = json.dumps("x" * 9_000_000)
        assert len(text) > WRITE_SIZES["tiny"]
        for method, body in (("DELETE", None), ("PATCH", "null"), ("PATCH", '{"b":null}'), ("PUT", "null")):
            await peer.ask("PUT", "/a/b.json?print=silent", text)
            status, _, answered = await peer.ask(method, f"/a.json?writeSizeLimit={size}", body)
            assert (status, json.loads(answered)) == (200, {"b": None} if body == '{"b":null}' else None)
            assert (await peer.ask("GET", "/a.json"))[2] == b"null"

    serve(test)


@pytest.mark.parametrize("method", ["PUT", "PATCH", "POST"])
def test_a_write_larger_than_its_limit_is_refused_in_the_words_of_firebase_and_changes_nothing(method: str) -> None:
    async def test(served: Served) -> None:
        peer = await served.connect()
        text = json.dumps({"b": "x" * 9_000_000})
        status, _, body = await peer.ask(method, "/a.json?writeSizeLimit=tiny", text)
        assert (status, json.loads(body)) == (
            400, {"error": "Data to write exceeds the maximum size that can be modified with a single request."}
        )  # fmt: skip
        assert (await peer.ask("GET", "/a.json"))[2] == b"null"
        for size in ("small", "medium", "large", "unlimited"):
            assert (await peer.ask(method, f"/a.json?print=silent&writeSizeLimit={size}", text))[0] == 204, size

    serve(test)


def test_a_write_that_would_be_too_long_for_the_journal_is_refused_before_anything_is_changed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Arrays are written with their keys, so a text within the bounds of a body may become a record that is not."""
    monkeypatch.setattr("meadowlark.server.large_writes.RECORD_BYTES_MAX", 700_000)

    async def test(served: Served) -> None:
        peer = await served.connect()
        ones, bumps = json.dumps([1] * 100_000), json.dumps([{".sv": {"increment": 1}}] * 30_000 + [1] * 90_000)
        for method, body in (("PUT", ones), ("POST", ones), ("PATCH", f'{{"a":{ones},"b":1}}'), ("PUT", bumps)):
            status, _, answered = await peer.ask(method, "/list.json", body)
            assert (status, answered[:31]) == (400, b'{"error":"Data to write exceeds'), (method, len(body))
        assert (await peer.ask("GET", "/list.json"))[2] == b"null"
        assert (await peer.ask("PUT", "/list.json?print=silent", json.dumps([1] * 50_000)))[0] == 204

    serve(test)


PEOPLE = {
    "ada": {"age": 36, "name": "Ada"},
    "bob": {"age": 41, "name": "Bob"},
    "cy": {"age": 36, "name": "Cy"},
    "7": {"name": "Seven"},
}


class ByAge:
    """An index of ages is declared at /people."""

    def find(self, path: Path, query: Query) -> bool:
        return path == ("people",) and query.index == "age"


@pytest.mark.parametrize(
    ("asked", "keys"),
    [
        ("orderBy=%22$key%22&limitToFirst=2", ["7", "ada"]),
        ("orderBy=%22$key%22&limitToLast=1", ["cy"]),
        ("orderBy=%22$key%22&startAt=%22ada%22&endBefore=%22cy%22", ["ada", "bob"]),
        ("orderBy=%22$key%22&startAfter=%22ada%22", ["bob", "cy"]),
        ("orderBy=%22$priority%22&limitToLast=2", ["bob", "cy"]),
        ("orderBy=%22age%22&equalTo=36", ["ada", "cy"]),
        ("orderBy=%22age%22&startAt=36,%22b%22", ["cy", "bob"]),
        ("orderBy=%22age%22&startAfter=36", ["bob"]),
        ("orderBy=%22age%22&endAt=36&limitToLast=1", ["cy"]),
        ("orderBy=%22age%22&equalTo=null", ["7"]),
        ("orderBy=%22age%22&equalTo=5", []),
        ("orderBy=%22age%22", ["7", "ada", "bob", "cy"]),
    ],
)
def test_a_query_is_answered_with_the_children_it_selects(asked: str, keys: list[str]) -> None:
    async def test(served: Served) -> None:
        peer = await served.connect()
        await peer.ask("PUT", "/people.json", json.dumps(PEOPLE))
        (await served.worker.shard.open("fake-server")).database.indexes = ByAge()
        status, _, body = await peer.ask("GET", f"/people.json?{asked}")
        assert (status, json.loads(body)) == (200, {key: PEOPLE[key] for key in keys} or None)
        _, _, body = await peer.ask("GET", f"/people.json?{asked}&format=export&print=pretty")
        assert json.loads(body) == ({key: PEOPLE[key] for key in keys} or None)

    serve(test)


def test_a_query_whose_index_is_not_declared_is_refused_in_the_words_that_clients_know() -> None:
    async def test(served: Served) -> None:
        peer = await served.connect()
        await peer.ask("PUT", "/people.json", json.dumps(PEOPLE))
        for order, index in (("age", "age"), ("$value", ".value")):
            status, _, body = await peer.ask("GET", f"/people.json?orderBy=%22{order}%22&limitToFirst=1")
            text = f'Index not defined, add ".indexOn": "{index}", for path "/people", to the rules'
            assert (status, json.loads(body)) == (400, {"error": text})

    serve(test)


def test_who_may_not_read_is_not_told_which_index_is_missing() -> None:
    async def test(served: Served) -> None:
        served.worker.shard.create("rooms")
        peer = await served.connect()
        for accept in ("*/*", "text/event-stream"):
            status, _, body = await peer.ask("GET", "/people.json?ns=rooms&orderBy=%22age%22", accept=accept)
            assert (status, json.loads(body)) == (401, {"error": "Permission denied"})

    serve(test, mode="serve")


def test_shallow_shows_the_keys_of_a_range() -> None:
    async def test(served: Served) -> None:
        peer = await served.connect()
        await peer.ask("PUT", "/people.json", json.dumps(PEOPLE))
        assert (await peer.ask("GET", "/people.json?shallow=true&limitToFirst=2"))[2] == b'{"7":true,"ada":true}'
        assert (await peer.ask("GET", "/people.json?shallow=true&startAfter=%22bob%22"))[2] == b'{"cy":true}'
        assert (await peer.ask("GET", "/none.json?shallow=true&limitToFirst=1"))[2] == b"null"
        leaf = "/people/ada/age.json?shallow=true&limitToFirst=1"
        assert (await peer.ask("GET", leaf))[2] == b"null"
        assert (await peer.ask("GET", leaf, authorization="Bearer owner"))[2] == b"36", "an export must not leave it out"

    serve(test)


def test_a_query_that_waits_for_its_index_is_answered_when_it_is_there_or_given_up() -> None:
    async def test(served: Served) -> None:
        peer, other = await served.connect(), await served.connect()
        await peer.ask("PUT", "/many.json?print=silent", json.dumps({f"k{number:04}": number for number in range(2_000)}))
        served.worker.shard.holds = True
        asked = "/many.json?orderBy=%22$key%22&limitToFirst=1"
        status, _, body = await peer.ask("GET", f"{asked}&timeout=5ms")
        assert (status, json.loads(body)) == (400, {"error": "the read took longer than its timeout of 0.005 s"})
        waiting = asyncio.ensure_future(peer.ask("GET", f"{asked}&timeout=10s"))
        assert (await other.ask("GET", "/many/k0001.json"))[2] == b"1", "others do not wait"
        served.worker.shard.holds = False
        assert (await waiting)[::2] == (200, b'{"k0000":0}')

    serve(test)


def test_a_multi_path_patch_is_all_or_nothing() -> None:
    async def test(served: Served) -> None:
        peer = await served.connect()
        assert (await peer.ask("PATCH", "/.json", '{"a/x":1,"b":{"y":{".sv":"timestamp"}}}'))[2] == (
            b'{"a/x":1,"b":{"y":1700000000000}}'
        )
        assert (await peer.ask("PATCH", "/.json", '{"a/x":2,"bad.key":1}'))[0] == 400
        assert (await peer.ask("GET", "/a/x.json"))[2] == b"1"

    serve(test)


def test_a_removed_value_may_be_removed_again() -> None:
    async def test(served: Served) -> None:
        peer = await served.connect()
        await peer.ask("PUT", "/a.json", "1")
        for _ in range(2):
            assert (await peer.ask("DELETE", "/a.json"))[::2] == (200, b"null")
        await peer.ask("PUT", "/a.json", "1")
        assert (await peer.ask("PATCH", "/a.json?print=silent&writeSizeLimit=tiny", "null"))[0] == 204
        assert (await peer.ask("GET", "/.json?shallow=true&timeout=10s"))[2] == b"null"

    serve(test)


def test_a_priority_is_read_and_written_at_its_own_path() -> None:
    async def test(served: Served) -> None:
        peer = await served.connect()
        await peer.ask("PUT", "/a.json", '{".value":1,".priority":2}')
        assert (await peer.ask("GET", "/a/.priority.json"))[2] == b"2"
        assert (await peer.ask("PUT", "/a/.priority.json", '"p"'))[2] == b'"p"'
        assert (await peer.ask("GET", "/a.json?format=export"))[2] == b'{".value":1,".priority":"p"}'
        assert (await peer.ask("GET", "/a.json"))[2] == b"1"

    serve(test)


def test_a_transaction_over_rest_is_a_guarded_put() -> None:
    """As firebase-admin for Python runs one: read with an ETag, put with if-match, on 412 go on from body and ETag."""

    async def test(served: Served) -> None:
        peer = await served.connect()
        _, headers, body = await peer.ask("GET", "/n.json", x_firebase_etag="true")
        assert (headers["etag"], body) == ("null_etag", b"null")
        await peer.ask("PUT", "/n.json", "5")
        status, headers, body = await peer.ask("PUT", "/n.json", "1", if_match="null_etag")
        assert (status, body) == (412, b"5")
        status, again, body = await peer.ask("PUT", "/n.json", "6", if_match=headers["etag"])
        assert (status, body) == (200, b"6")
        assert again["etag"] != headers["etag"]
        assert (await peer.ask("DELETE", "/n.json", if_match=headers["etag"]))[0] == 412
        assert (await peer.ask("DELETE", "/n.json", if_match=again["etag"]))[0] == 200
        assert (await peer.ask("GET", "/n.json", if_none_match="null_etag"))[0] == 304

    serve(test)


def test_a_large_value_has_an_etag_and_can_be_written_by_it() -> None:
    async def test(served: Served) -> None:
        peer = await served.connect()
        large = {f"k{number}": {"n": number} for number in range(6_000)}
        status, written, _ = await peer.ask("PUT", "/n.json", json.dumps(large), x_firebase_etag="true")
        assert status == 200
        status, read, body = await peer.ask("GET", "/n.json", x_firebase_etag="true")
        assert (status, json.loads(body)) == (200, large)
        assert read["etag"] == written["etag"] == node_hash(large)
        assert (await peer.ask("GET", "/n.json", if_none_match=read["etag"]))[0] == 304
        await peer.ask("PUT", "/n/k7.json", "7")
        status, stale, body = await peer.ask("PUT", "/n.json", "1", if_match=read["etag"])
        assert (status, json.loads(body)["k7"]) == (412, 7)
        assert stale["etag"] == node_hash(large | {"k7": 7})
        assert (await peer.ask("PUT", "/n.json", "1", if_match=stale["etag"]))[0] == 200
        assert served.worker.shard.tree("fake-server")._frozen_count == 0

    serve(test)


def test_a_deep_value_is_refused_with_nothing_changed() -> None:
    async def test(served: Served) -> None:
        peer = await served.connect()
        assert (await peer.ask("PUT", "/a.json", '{"x":' * 33 + "1" + "}" * 33))[0] == 400
        assert (await peer.ask("PUT", "/a.json", "[" * 900 + "]" * 900))[0] in (200, 400), "empty, or too deep"
        assert (await peer.ask("GET", "/.json"))[2] == b"null"

    serve(test)


# Who may do what


async def denied(peer: Peer, target: str, **headers: str) -> tuple[int, Any]:
    status, _, body = await peer.ask("GET", target, **headers)
    return status, json.loads(body)["error"]


def test_in_serve_only_the_admin_may_read_and_write() -> None:
    async def test(served: Served) -> None:
        served.worker.shard.create("rooms")
        peer = await served.connect()
        for credential in ({"authorization": f"Bearer {ADMIN_CREDENTIAL}"}, {}):
            query = "" if credential else f"&auth={ADMIN_CREDENTIAL}"
            assert (await peer.ask("PUT", f"/a.json?ns=rooms{query}", "1", **credential))[0] == 200
        assert (await peer.ask("GET", f"/a.json?ns=rooms&access_token={ADMIN_CREDENTIAL}"))[2] == b"1"
        # Python's google-auth repeats a 401 twice on one connection, and compares the text.
        for _ in range(3):
            assert await denied(peer, "/a.json?ns=rooms") == (401, "Permission denied")
        assert (await peer.ask("PUT", "/a.json?ns=rooms", "2"))[0] == 401

    serve(test, mode="serve")


@pytest.mark.parametrize("credential", ["owner", MOCK_USER, "wrong"])
def test_in_serve_any_other_credential_is_401(credential: str) -> None:
    async def test(served: Served) -> None:
        served.worker.shard.create("rooms")
        peer = await served.connect()
        status, text = await denied(peer, "/a.json?ns=rooms", authorization=f"Bearer {credential}")
        assert status == 401
        assert text.startswith("Could not parse auth token")
        assert credential not in text

    serve(test, mode="serve")


def test_an_admin_may_act_as_somebody_and_is_then_bound_by_the_rules() -> None:
    async def test(served: Served) -> None:
        served.worker.shard.create("rooms")
        peer = await served.connect()
        admin = {"authorization": f"Bearer {ADMIN_CREDENTIAL}"}
        for override in ("null", "%7B%22uid%22%3A%22alice%22%7D"):
            target = f"/a.json?ns=rooms&auth_variable_override={override}"
            assert await denied(peer, target, **admin) == (401, "Permission denied")
            assert (await peer.ask("GET", target))[0] == 401, "and nobody else may"

    serve(test, mode="serve")


def test_in_dev_every_credential_is_believed() -> None:
    async def test(served: Served) -> None:
        peer = await served.connect()
        for credential in ("owner", MOCK_USER, "anything"):
            assert (await peer.ask("GET", "/a.json", authorization=f"Bearer {credential}"))[0] == 200

    serve(test)


# Which database


def test_in_dev_a_request_without_a_name_means_the_database_of_the_tools() -> None:
    async def test(served: Served) -> None:
        peer = await served.connect()
        await peer.ask("PUT", "/a.json", "1")
        assert (await peer.ask("GET", "/a.json?ns=fake-server"))[2] == b"1"
        assert (await peer.ask("GET", "/a.json", host="127.0.0.1:9000"))[2] == b"1"
        assert (await peer.ask("GET", "/a.json", host="[::1]:9000"))[2] == b"1"
        assert (await peer.ask("GET", "/a.json?ns=other"))[2] == b"null"

    serve(test)


def test_the_first_label_of_the_host_names_a_database_and_ns_comes_before_it() -> None:
    async def test(served: Served) -> None:
        peer = await served.connect()
        await peer.ask("PUT", "/a.json", "1", host="Rooms.example.com")
        assert (await peer.ask("GET", "/a.json?ns=rooms"))[2] == b"1"
        assert (await peer.ask("GET", "/a.json?ns=rooms", host="others.example.com"))[2] == b"1"
        assert (await peer.ask("GET", "http://rooms.example.com/a.json", host="others.example.com"))[2] == b"1"

    serve(test)


def test_in_serve_a_request_must_name_a_database_that_is_there() -> None:
    async def test(served: Served) -> None:
        peer = await served.connect()
        status, text = await denied(peer, "/a.json")
        assert status == 404
        assert "?ns=NAME" in text
        assert (await denied(peer, "/a.json?ns=unknown"))[0] == 404

    serve(test, mode="serve")


@pytest.mark.parametrize("name", ["..", "a%2Fb", "..%2F..%2Fetc", "%00", "-a", "a" * 64, "a.b"])
def test_a_name_that_could_be_a_path_is_refused(name: str) -> None:
    async def test(served: Served) -> None:
        peer = await served.connect()
        status, text = await denied(peer, f"/a.json?ns={name}")
        assert status == 400
        assert "is not a database name" in text

    serve(test)


def test_many_large_answers_make_no_turn_longer_than_one() -> None:
    """Thousands of slices, of which a turn makes one: made by each answer in each turn, they left ten answers for others."""

    async def test(served: Served) -> None:
        small = await served.connect()
        await small.ask("PUT", "/big.json?print=silent", json.dumps({f"k{number}": "x" * 1000 for number in range(1000)}))
        large = [await served.connect() for _ in range(50)]
        waiting = asyncio.gather(*(peer.ask("GET", "/big.json") for peer in large))
        answered = 0
        while not waiting.done():
            assert (await small.ask("GET", "/small.json"))[0] == 200
            answered += 1
        assert {(status, len(body)) for status, _, body in await waiting} == {(200, 1_009_891)}
        assert answered > 100

    serve(test)
