"""Rules over HTTP: set and read as Firebase's tools do it, in force at once, with versions and explanations."""

from __future__ import annotations

import asyncio
import json

import pytest

from meadowlark.engine import STEP_PLACES, update_paths_slices
from meadowlark.rules.explain import SLICE_STEPS
from meadowlark.server.rule_routes import Question, _write_slices
from meadowlark.server.slicer import _Work
from meadowlark.tree import Tree, child_count, find
from tests.server.rest_server import ADMIN_CREDENTIAL, Served, serve
from tests.server.test_streams import event

ADMIN = {"authorization": f"Bearer {ADMIN_CREDENTIAL}"}
RULES = "/.settings/rules.json?ns=rooms"
VERSIONS = "/.meadowlark/rules/rooms.json"
EXPLAIN = "/.meadowlark/explain/rooms.json"
TEXT = '// Mine.\n{"rules": {"a": {".read": true, ".write": "newData.isNumber()"}, "b": {".write": "auth.uid == \'anna\'"},}}\n'


def test_rules_are_set_and_given_back_as_they_came() -> None:
    async def test(served: Served) -> None:
        peer = await served.connect()
        served.worker.shard.create("rooms")
        assert (await peer.ask("PUT", "/a.json?ns=rooms", "1"))[0] == 401
        status, _, body = await peer.ask("PUT", RULES, TEXT, **ADMIN)
        assert (status, json.loads(body)) == (200, {"status": "ok"})
        assert (await peer.ask("GET", RULES, **ADMIN))[2] == TEXT.encode()
        strict = json.loads((await peer.ask("GET", f"{RULES}&format=strict", **ADMIN))[2])
        assert strict["rules"]["a"] == {".read": True, ".write": "newData.isNumber()"}
        for target, sent, wanted in (
            ("/a.json?ns=rooms", "1", 200),
            ("/a.json?ns=rooms", '"x"', 401),
            ("/b.json?ns=rooms", "1", 401),
        ):
            assert (await peer.ask("PUT", target, sent))[0] == wanted
        assert (await peer.ask("GET", "/a.json?ns=rooms"))[2] == b"1"
        status, _, body = await peer.ask("GET", "/b.json?ns=rooms")
        assert (status, json.loads(body)) == (401, {"error": "Permission denied"})

    serve(test, mode="serve")


def test_what_is_wrong_is_said_with_line_and_column_and_changes_nothing() -> None:
    async def test(served: Served) -> None:
        peer = await served.connect()
        served.worker.shard.create("rooms")
        await peer.ask("PUT", RULES, TEXT, **ADMIN)
        for target in (RULES, f"{RULES}&dryRun=true"):
            status, _, body = await peer.ask("PUT", target, '{"rules": {\n  ".read": "nobody == 1",\n  ".write": 5}}', **ADMIN)
            assert status == 400
            assert json.loads(body) == {
                "error": "2:13: Unknown variable 'nobody'.\n3:13: Expected .write to be a string or a boolean.\n"
            }
        assert (await peer.ask("PUT", RULES, b"\xff", **ADMIN))[0] == 400
        status, _, body = await peer.ask("PUT", f"{RULES}&dryRun=true", '{"rules": {}}', **ADMIN)
        assert (status, json.loads(body)) == (200, {"status": "ok"})
        assert (await peer.ask("GET", RULES, **ADMIN))[2] == TEXT.encode()
        assert (await peer.ask("GET", "/a.json?ns=rooms"))[0] == 200

    serve(test, mode="serve")


def test_only_an_admin_sees_and_sets_rules() -> None:
    async def test(served: Served) -> None:
        peer = await served.connect()
        served.worker.shard.create("rooms")
        for method, target in (("GET", RULES), ("PUT", RULES), ("GET", VERSIONS), ("POST", VERSIONS), ("POST", EXPLAIN)):
            assert (await peer.ask(method, target, "{}" if method != "GET" else None))[0] == 401

    serve(test, mode="serve")


def test_versions_are_kept_and_brought_back() -> None:
    async def test(served: Served) -> None:
        peer = await served.connect()
        served.worker.shard.create("rooms")
        await peer.ask("PUT", RULES, TEXT, **ADMIN)
        await peer.ask("PUT", RULES, '{"rules": {}}', **ADMIN)
        assert (await peer.ask("GET", "/a.json?ns=rooms"))[0] == 401
        status, _, body = await peer.ask("POST", VERSIONS, '{"restore": 1}', **ADMIN)
        assert (status, json.loads(body)["restores"]) == (200, 1)
        assert (await peer.ask("GET", "/a.json?ns=rooms"))[0] == 200
        listed = json.loads((await peer.ask("GET", VERSIONS, **ADMIN))[2])
        assert [(version["version"], version["by"]) for version in listed] == [(3, "admin"), (2, "admin"), (1, "admin")]
        assert (await peer.ask("GET", f"{VERSIONS}?version=2", **ADMIN))[2] == b'{"rules": {}}'
        assert (await peer.ask("GET", f"{VERSIONS}?version=9", **ADMIN))[0] == 404
        assert (await peer.ask("POST", VERSIONS, '{"restore": 9}', **ADMIN))[0] == 400
        assert (await peer.ask("POST", VERSIONS, "[]", **ADMIN))[0] == 400

    serve(test, mode="serve")


def test_default_rules_are_set_listed_brought_back_and_removed() -> None:
    async def test(served: Served) -> None:
        peer = await served.connect()
        served.worker.shard.create("rooms")
        default, place = "/.meadowlark/rules.json", "/a.json?ns=rooms"
        for method in ("GET", "PUT", "POST", "DELETE"):
            assert (await peer.ask(method, default, "{}" if method != "GET" else None))[0] == 401
        assert (await peer.ask("GET", f"{default}?version=now", **ADMIN))[0] == 404
        assert (await peer.ask("PUT", f"{default}?dryRun=true", TEXT, **ADMIN))[0] == 200
        assert (await peer.ask("GET", place))[0] == 401
        assert (await peer.ask("PUT", default, TEXT, **ADMIN))[0] == 200
        assert (await peer.ask("GET", place))[0] == 200
        assert (await peer.ask("GET", f"{default}?version=now", **ADMIN))[2] == TEXT.encode()
        assert (await peer.ask("GET", RULES, **ADMIN))[2] == TEXT.encode()
        for wrong in ('{"rules": {".read": 5}}', "", " "):
            assert (await peer.ask("PUT", default, wrong, **ADMIN))[0] == 400
        assert (await peer.ask("PUT", default, '{"rules": {}}', **ADMIN))[0] == 200
        assert (await peer.ask("GET", place))[0] == 401
        assert json.loads((await peer.ask("POST", default, '{"restore": 1}', **ADMIN))[2])["restores"] == 1
        assert (await peer.ask("GET", place))[0] == 200
        await peer.ask("PUT", RULES, '{"rules": {}}', **ADMIN)
        assert (await peer.ask("GET", place))[0] == 401
        assert json.loads((await peer.ask("DELETE", VERSIONS, **ADMIN))[2])["removed"] is True
        assert (await peer.ask("GET", place))[0] == 200
        assert (await peer.ask("DELETE", default, **ADMIN))[0] == 200
        assert (await peer.ask("GET", place))[0] == 401
        listed = json.loads((await peer.ask("GET", default, **ADMIN))[2])
        assert [version["version"] for version in listed] == [4, 3, 2, 1]
        assert (await peer.ask("GET", f"{default}?version=1", **ADMIN))[2] == TEXT.encode()
        assert (await peer.ask("GET", f"{default}?version=4", **ADMIN))[0] == 404

    serve(test, mode="serve")


def test_a_decision_is_explained_with_the_values_that_rules_saw() -> None:
    async def test(served: Served) -> None:
        peer = await served.connect()
        served.worker.shard.create("rooms")
        await peer.ask("PUT", RULES, TEXT, **ADMIN)

        async def explained(question: object) -> dict:
            status, _, body = await peer.ask("POST", EXPLAIN, json.dumps(question), **ADMIN)
            assert status == 200, body
            return json.loads(body)

        answer = await explained({"operation": "set", "path": "/b", "value": 1, "as": "bert"})
        assert answer["allowed"] is False
        assert answer["summary"] == "no .write on the way to /b is true: .write at /b (line 2, column 82) is false"
        assert answer["steps"][0]["values"] == [{"part": "auth.uid", "value": "bert"}]
        assert (await explained({"operation": "set", "path": "/b", "value": 1, "as": "anna"}))["allowed"] is True
        assert (await explained({"path": "/a"}))["summary"] == ".read at /a (line 2, column 27) is true"
        update = await explained({"operation": "update", "path": "/", "value": {"a": 1, "b": 2}, "as": {"uid": "x"}})
        assert (update["allowed"], update["path"]) == (False, "/b")
        assert (await peer.ask("POST", EXPLAIN, '{"operation": "fly"}', **ADMIN))[0] == 400
        assert (await peer.ask("POST", EXPLAIN, '{"operation": "update", "value": 1}', **ADMIN))[0] == 400

    serve(test, mode="serve")


def test_a_large_write_is_explained_beside_everyone_else(monkeypatch: pytest.MonkeyPatch) -> None:
    """In many steps, between which others are answered; all that comes before the rules included."""

    async def test(served: Served) -> None:
        peer, other = await served.connect(), await served.connect()
        served.worker.shard.create("rooms")
        rules = '{"rules": {".write": true, "m": {"$k": {".validate": "newData.child(\'n\').isNumber()", "n": {}}}}}'
        assert (await peer.ask("PUT", RULES, rules, **ADMIN))[0] == 200
        steps = 0
        take_step = _Work.step

        def counted(work: _Work) -> bool:
            nonlocal steps
            steps += work.name == "explain_slices"
            return take_step(work)

        monkeypatch.setattr(_Work, "step", counted)
        many = {f"k{number:05d}": {"n": number, "at": {".sv": "timestamp"}} for number in range(20_000)} | {"z": {"n": "x"}}
        for question in (
            {"operation": "set", "path": "/m", "value": many, "as": "anna"},
            {"operation": "update", "path": "/m", "value": many, "as": "anna"},
        ):
            steps, answered = 0, 0
            asked = asyncio.create_task(peer.ask("POST", EXPLAIN, json.dumps(question), **ADMIN))
            while not asked.done():
                assert (await other.ask("GET", "/n.json?ns=rooms"))[0] == 401
                answered += 1
            status, _, body = await asked
            told = json.loads(body)
            assert (status, told["allowed"], told["path"]) == (200, False, "/m/z"), told
            assert told["summary"] == ".validate at /m/z (line 1, column 54) is false"
            assert steps > 20_000 / SLICE_STEPS
            assert answered > 20
        assert served.worker.large_writes.held_bytes == 0

    serve(test, mode="serve")


def test_many_priorities_of_a_write_that_is_explained_are_made_in_steps_too() -> None:
    values = {f"k{number}/.priority": number for number in range(STEP_PLACES * 10)}
    finding = sum(1 for _ in update_paths_slices((), values))
    making = sum(1 for _ in _write_slices(Question(operation="update", value=values), (), Tree(), 0))
    assert making == finding + 10


def test_a_denied_developer_is_told_which_rule_said_no() -> None:
    async def test(served: Served) -> None:
        peer = await served.connect()
        assert (await peer.ask("PUT", RULES, TEXT, authorization="Bearer owner"))[0] == 200
        body = (await peer.ask("PUT", "/a.json?ns=rooms", '"x"'))[2]
        assert json.loads(body)["error"].startswith("Permission denied: no .write on the way to /a is true")

    serve(test)


def test_streams_end_when_rules_forbid_them() -> None:
    async def test(served: Served) -> None:
        peer, other = await served.connect(), await served.connect()
        served.worker.shard.create("rooms")
        await peer.ask("PUT", RULES, TEXT, **ADMIN)
        hosted = await served.worker.shard.open("rooms")
        assert (await other.ask("GET", "/a.json?ns=rooms", accept="text/event-stream"))[0] == 200
        assert (await event(other))[0] == "put"
        assert len(hosted.database.listening()) == 1
        await peer.ask("PUT", RULES, '{"rules": {}}', **ADMIN)
        assert (await event(other))[0] == "cancel"
        assert hosted.database.listening() == []

    serve(test, mode="serve")


def test_large_writes_meet_rules_too() -> None:
    async def test(served: Served) -> None:
        peer = await served.connect()
        served.worker.shard.create("rooms")
        rules = {"rules": {"a": {".write": True, "$k": {".validate": "newData.isNumber()"}}}}
        await peer.ask("PUT", RULES, json.dumps(rules), **ADMIN)
        large = {f"key{number}": number for number in range(20_000)}
        assert (await peer.ask("PUT", "/a.json?ns=rooms", json.dumps(large)))[0] == 200
        assert (await peer.ask("PUT", "/a.json?ns=rooms", json.dumps(large | {"last": "x"})))[0] == 401
        assert (await peer.ask("PATCH", "/.json?ns=rooms", json.dumps({"a": large, "b": 1})))[0] == 401
        assert (await peer.ask("PUT", "/b.json?ns=rooms", json.dumps(large)))[0] == 401
        hosted = await served.worker.shard.open("rooms")
        root = hosted.database.tree.root
        assert (child_count(root), child_count(find(root, ("a",)))) == (1, 20_000)

    serve(test, mode="serve")


def test_dev_counts_which_rules_are_asked() -> None:
    async def test(served: Served) -> None:
        peer = await served.connect()
        owner = {"authorization": "Bearer owner"}
        coverage = "/.inspect/coverage.json?ns=rooms"
        served.worker.shard.create("rooms")
        assert json.loads((await peer.ask("GET", coverage))[2]) == {"database": "rooms", "text": None, "rules": []}
        assert b"no rules" in (await peer.ask("GET", "/.inspect/coverage?ns=rooms"))[2]
        await peer.ask("PUT", RULES, TEXT, **owner)
        assert (await peer.ask("PUT", "/a.json?ns=rooms", "1"))[0] == 200
        assert (await peer.ask("PUT", "/a.json?ns=rooms", '"<x>"'))[0] == 401
        told = json.loads((await peer.ask("GET", coverage))[2])
        assert told["text"] == TEXT
        assert [(rule["rule"], rule["path"], rule["true"], rule["false"]) for rule in told["rules"]] == [
            (".read", "/a", 0, 0),
            (".write", "/a", 1, 1),
            (".write", "/b", 0, 0),
        ]
        await peer.ask("PUT", "/b.json?ns=rooms", '"<x>"')
        status, headers, page = await peer.ask("GET", "/.inspect/coverage?ns=rooms")
        assert (status, headers["content-type"]) == (200, "text/html; charset=utf-8")
        assert '<span title="1 times null">auth.uid</span> == &#x27;anna&#x27;' in page.decode()
        assert page.decode().count("never") == 2

    serve(test)


def test_serve_counts_nothing() -> None:
    async def test(served: Served) -> None:
        peer = await served.connect()
        served.worker.shard.create("rooms")
        for target in ("/.inspect/coverage.json?ns=rooms", "/.inspect/coverage?ns=rooms"):
            assert (await peer.ask("GET", target))[0] == 401
            assert (await peer.ask("GET", target, **ADMIN))[0] == 404

    serve(test, mode="serve")


def test_in_serve_only_whoever_debugs_is_told_why() -> None:
    async def test(served: Served) -> None:
        peer = await served.connect()
        served.worker.shard.create("rooms")
        await peer.ask("PUT", RULES, TEXT, **ADMIN)
        status, headers, body = await peer.ask("PUT", "/b.json?ns=rooms", "1")
        assert (status, headers.get("x-firebase-auth-debug")) == (401, None)
        as_bert = "auth_variable_override=%7B%22uid%22:%22bert%22%7D"
        for method, target, word in (
            ("PUT", "/b.json", "no .write on the way to /b is true: .write at /b (line 2, column 82) is false"),
            ("GET", "/b/%C3%A9.json", "there is no .read on the way to /b/\\xe9"),
            ("DELETE", "/none.json", "there is no .write on the way to /none"),
        ):
            sent = "1" if method == "PUT" else None
            status, headers, body = await peer.ask(method, f"{target}?ns=rooms&{as_bert}", sent, **ADMIN)
            assert (status, json.loads(body)) == (401, {"error": "Permission denied"})
            assert headers["x-firebase-auth-debug"] == word

    serve(test, mode="serve")
