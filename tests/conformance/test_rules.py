"""Rules against a running `dev` server with the official SDK: what apps see of grants, denials and changes of rules."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from meadowlark.cli import application
from tests.conformance.adversary import WAYS
from tests.conformance.certificates import make_certificate
from tests.conformance.conftest import settings_for
from tests.harness import Script, Server, eventually, fresh_name
from tests.server.event_streams import EventStream

pytestmark = pytest.mark.slow

RULES: dict[str, Any] = {
    "rules": {
        "notes": {
            "$user": {
                ".read": "auth.uid === $user",
                ".write": "auth.uid === $user",
                ".validate": "newData.isString() && newData.val().length <= 5",
            }
        },
        "levels": {"$user": {".write": "newData.val() === auth.token.level"}},
        "times": {"$user": {".write": "auth != null", ".validate": "newData.val() === now"}},
        "feed": {".read": "query.orderByChild === 'at' && query.limitToLast <= 10", ".indexOn": ["at", "by"]},
        "counter": {".read": True, ".write": "newData.val() === (data.exists() ? data.val() : 0) + 1"},
    }
}
FEED = {f"m{number:02}": {"at": number, "by": "anna"} for number in range(12)}


def last_of_feed(count: int) -> dict[str, Any]:
    return dict(list(FEED.items())[-count:])


def test_an_app_meets_rules(node: Path, server: Server) -> None:
    ns = fresh_name("rules")
    assert server.rest("PUT", "/.settings/rules", RULES, ns=ns).status == 200
    server.write("/feed", FEED, ns=ns)
    with Script("rules.mjs", settings_for(server, "emulator", ns)) as script:
        script.wait_for("ready")
        told = {name: details for name, *details in script.of(*NAMES)}
        assert {name for name, details in told.items() if details[0] == "granted"} == {
            "write", "level", "time", "counter", "queue", "get the last", "listen to the last",
        }  # fmt: skip
        for name, details in told.items():
            if details[0] == "refused":
                assert "permission_denied" in details[1]["message"].lower().replace(" ", "_"), name
                assert EXPLAINED.get(name, "") in details[1]["message"], name
        assert [told["get the last"][1], told["listen to the last"][1]] == [last_of_feed(10), last_of_feed(2)]
        # The rule is named to the program; the SDK's own warnings are as they are at Firebase.
        warnings = [event[1].partition("FIREBASE WARNING: ")[2].strip() for event in script.of("warned")]
        assert warnings == [f"{what} failed: permission_denied" for what in WARNED]
        # What was shown at once is taken back when it is denied, and nothing else is ever shown.
        notes = [event[1] for event in script.of("note")]
        assert notes == [None, "good", "much too long", "good", "fine", "good"]
        assert server.read("/", ns=ns) == {
            "notes": {"anna": "good"},
            "levels": {"anna": 3},
            "times": {"anna": server.read("/times/anna", ns=ns)},
            "counter": 1,
            "feed": FEED,
        }
        closed = {"rules": {**RULES["rules"], "notes": {"$user": {".write": True}}}}
        assert server.rest("PUT", "/.settings/rules", closed, ns=ns).status == 200
        cancelled = script.wait_for("cancelled")
        assert cancelled[1]["code"] == "PERMISSION_DENIED"
        assert cancelled[1]["message"].startswith("permission_denied at /notes/anna")
        server.write("/notes/anna", "unheard", ns=ns)
        script.tell("end")
        script.finish()
    eventually(lambda: server.read("/notes/anna", ns=ns) == "gone", what="the queued operation")
    assert [event[1] for event in script.of("note")] == notes


NAMES = (
    "write", "too long", "not mine", "update", "level", "wrong level", "time", "made-up time", "counter", "counter by two",
    "queue", "queue for bert", "read", "nobody writes", "nobody listens",
    "get the last", "get too many", "get by another child", "get all",
    "listen to the last", "listen to too many", "listen by another child", "listen to all",
)  # fmt: skip
EXPLAINED = {
    "too long": ": .validate at /notes/anna (line 1, column 108) is false",
    "not mine": ": no .write on the way to /notes/bert is true: .write at /notes/bert (line 1, column 73) is false",
    "update": ": no .write on the way to /notes/bert is true: .write at /notes/bert (line ",
    "wrong level": ": no .write on the way to /levels/anna is true: .write at /levels/anna (line ",
    "made-up time": ": .validate at /times/anna (line ",
    "queue for bert": ": no .write on the way to /notes/bert is true: .write at /notes/bert (line ",
    "read": ": no .read on the way to /notes/bert is true: .read at /notes/bert (line 1, column 41) is false",
    "nobody writes": ": no .write on the way to /notes/anna is true: .write at /notes/anna (line ",
    "get too many": ": no .read on the way to /feed is true: .read at /feed (line ",
}
"""In the message of a denial. The SDK makes those of a listen and a transaction itself, of the code alone."""
WARNED = (
    "set at /notes/anna", "set at /notes/bert", "update at /", "set at /levels/anna", "set at /times/anna",
    "transaction at /counter", "set at /notes/anna",
)  # fmt: skip


# Rules of queries on each way in

LAST = {"i": "at", "l": 10, "vf": "r"}
REFUSED_QUERIES = {
    "one more": LAST | {"l": 11},
    "the first": LAST | {"vf": "l"},
    "by another child": LAST | {"i": "by"},
    "by key": LAST | {"i": ".key"},
}
READ_DENIED = "Permission denied: no .read on the way to /feed is true: .read at /feed (line 1, column "


@pytest.fixture(scope="module")
def secure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """With a certificate, so that there is WebTransport."""
    folder = tmp_path_factory.mktemp("query-rules")
    certificate, key = make_certificate(folder, "localhost", "127.0.0.1")
    arguments = ("--tls-certificate", str(certificate), "--tls-key", str(key))
    made = Server(folder / "data", workers=2, arguments=arguments)
    made.certificate = certificate
    with made:
        yield made
        made.stop()


@pytest.fixture
def feed(secure: Server) -> str:
    """The name of a database with rules about queries."""
    ns = fresh_name("feed")
    assert secure.rest("PUT", "/.settings/rules", RULES, ns=ns).status == 200
    secure.write("/feed", FEED, ns=ns)
    return ns


@pytest.mark.parametrize("way", WAYS)
def test_a_rule_about_queries_decides_listens_and_gets(secure: Server, feed: str, way: str) -> None:
    connection = WAYS[way](secure.port, feed, context=secure.context)
    for name, query in REFUSED_QUERIES.items():
        for action, body in (("q", {"t": 7, "h": ""}), ("g", {})):
            answer = connection.ask(action, {"p": "/feed", "q": query, **body})
            assert (answer["s"], answer["d"].startswith(READ_DENIED)) == ("permission_denied", True), (name, action, answer)
    for action in ("q", "g"):
        for query in ({}, {"q": {"i": "at"}}):
            assert connection.ask(action, {"p": "/feed", "h": "", **query})["s"] == "permission_denied", (action, query)
    assert connection.pushes == []
    assert connection.ask("g", {"p": "/feed", "q": LAST}) == {"s": "ok", "d": last_of_feed(10)}
    assert connection.ask("q", {"p": "/feed", "q": LAST, "t": 8, "h": ""})["s"] == "ok"
    assert connection.ask("g", {"p": "/feed", "q": LAST | {"l": 11}})["s"] == "permission_denied", "listening grants no more"
    told = [(push["a"], push["b"]["p"], push["b"]["d"]) for push in connection.pushes]
    connection.close()
    assert told[:1] == [("d", "feed", last_of_feed(10))]


def test_a_rule_about_queries_decides_streams_and_requests(secure: Server, feed: str) -> None:
    def ask(query: str) -> tuple[int, Any]:
        answer = secure.rest("GET", "/feed", ns=feed, admin=False, query=query)
        return answer.status, answer.json()

    for query in (
        'orderBy="at"&limitToLast=11', 'orderBy="at"&limitToFirst=10', 'orderBy="at"', 'orderBy="by"&limitToLast=10',
        'orderBy="$key"&limitToLast=10', "",
    ):  # fmt: skip
        stream = EventStream(secure.port, f"/feed.json?ns={feed}&{query}", context=secure.context)
        assert stream.status == 401, query
        assert READ_DENIED.encode() in stream.refusal, query
        stream.close()
        status, answer = ask(query)
        assert (status, answer["error"].startswith(READ_DENIED)) == (401, True), query
    assert ask("shallow=true")[0] == 401
    allowed = 'orderBy="at"&limitToLast=10'
    assert ask(allowed) == (200, last_of_feed(10))
    stream = EventStream(secure.port, f"/feed.json?ns={feed}&{allowed}", context=secure.context)
    assert stream.status == 200, stream.refusal
    eventually(lambda: stream.believed == last_of_feed(10), what="the first event")
    secure.write("/feed/m99", {"at": 99, "by": "bert"}, ns=feed)
    eventually(lambda: stream.believed == last_of_feed(9) | {"m99": {"at": 99, "by": "bert"}}, what="the window moves")
    stream.close()


# Rules on disk


def test_rules_outlive_the_server_and_its_crash(tmp_path: Path) -> None:
    with Server(tmp_path / "data", mode="serve", workers=2, arguments=("--databases", "kept")) as server:
        assert server.rest("GET", "/a", ns="kept", admin=False).status == 401
        assert server.rest("PUT", "/.settings/rules", {"rules": {".read": True}}, ns="kept").status == 200
        assert server.rest("GET", "/a", ns="kept", admin=False).status == 200
        server.kill()
        server.start()
        assert server.rest("GET", "/a", ns="kept", admin=False).status == 200
        server.stop()


def test_default_rules_are_in_force_on_every_worker_and_outlive_the_server(tmp_path: Path) -> None:
    names = [f"room{number}" for number in range(8)]  # On both workers, some.
    file = tmp_path / "rules.json"
    file.write_text('{"rules": {".read": true}}')
    with Server(tmp_path / "data", mode="serve", workers=2, arguments=("--databases", ",".join(names))) as server:

        def run(*arguments: str) -> str:
            done = CliRunner().invoke(application, ["rules", *arguments, "--data", str(tmp_path / "data")])
            assert done.exit_code == 0, (done.output, done.exception)
            return done.output

        def all_answer(status: int) -> None:
            def agree() -> bool:
                return {server.rest("GET", "/a", ns=name, admin=False).status for name in names} == {status}

            eventually(agree, what=f"{status} everywhere")

        all_answer(401)
        run("set", "--default", str(file))
        all_answer(200)
        assert run("get", "--default") == file.read_text()
        server.kill()
        server.start()
        all_answer(200)
        run("unset", "--default")
        all_answer(401)
        assert "as version 3" in run("rollback", "--default", "1")
        all_answer(200)
        assert [line.split("\t")[0] for line in run("versions", "--default").splitlines()] == ["3", "2", "1"]
        server.stop()


def test_the_admin_sdk_reads_and_sets_rules(node: Path, server: Server) -> None:
    environment = {"FIREBASE_DATABASE_EMULATOR_HOST": f"127.0.0.1:{server.port}"}
    ns = fresh_name("admin-rules")
    with Script("admin_rules.mjs", settings_for(server, "admin", ns), environment=environment) as script:
        told = {name: details for name, *details in script.finish()}
    assert told["text"] == ['{"rules": {".read": true, /* why */ ".write": "auth != null"}}']
    assert told["json"] == [{"rules": {".read": True, ".write": "auth != null"}}]
    assert told["object"] == [{"rules": {".read": False}}]
    assert told["wrong"][0] == "refused"
    assert "1:22: Unknown variable 'nobody'." in told["wrong"][1]


def test_the_command_line_sets_explains_and_brings_back(server: Server, tmp_path: Path) -> None:
    ns = fresh_name("commanded")
    file = tmp_path / "rules.json"
    file.write_text('// Mine.\n{"rules": {"a": {".read": "auth.uid === \'anna\'"}}}\n')
    (tmp_path / "owner").write_text("owner-of-everything-here\n")
    (tmp_path / "owner").chmod(0o600)

    def run(*arguments: str, code: int = 0) -> str:
        flags = ["--url", f"http://127.0.0.1:{server.port}", "--credential-file", str(tmp_path / "owner")]
        done = CliRunner().invoke(application, ["rules", *arguments, *flags])
        assert done.exit_code == code, (done.output, done.exception)
        return done.output

    assert "has the rules" in run("set", ns, str(file))
    assert run("get", ns) == file.read_text()
    explained = run("explain", ns, "read", "/a/b", "--as", "bert")
    assert explained.startswith("denied: no .read on the way to /a/b is true: .read at /a (line 2, column 27) is false")
    assert 'auth.uid = "bert"' in explained
    assert run("explain", ns, "read", "/a", "--as", "anna").startswith("allowed")
    file.write_text('{"rules": {}}')
    run("set", ns, str(file))
    assert "as version 3" in run("rollback", ns, "1")
    assert [line.split("\t")[0] for line in run("versions", ns).splitlines()] == ["3", "2", "1"]
    assert run("get", ns, "--version", "2") == '{"rules": {}}'
    run("rollback", ns, "9", code=1)


def test_the_official_test_library_works(node: Path, server: Server) -> None:
    with Script("rules_unit_testing.mjs", settings_for(server, "emulator", fresh_name("unit"))) as script:
        told = script.finish()
    outcomes = {name: details for name, *details in told if name not in ("seeded", "left")}
    assert len(outcomes) == 10
    assert {name: details for name, details in outcomes.items() if details != ["holds"]} == {}
    assert [event for event in told if event[0] in ("seeded", "left")] == [["seeded", "seeded"], ["left", None]]
