"""Rules on a running `serve`, by the real command line and the admin's addresses: explained, signed, checked without effect, and
never half replaced."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.auth.signing import SECRET, sign
from tests.harness import PROJECT, Server, eventually
from tests.server.sockets import Socket

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

NS, SIGNED, DRY, FAILED, STORED = "explained", "signed", "dry", "failed", "stored"
TEXT = """{
  // Rooms have members.
  "rules": {
    "rooms": {
      "$room": {
        ".read": "data.child('members').child(auth.uid).val() === true",
        ".write": "auth.token.level >= 2",
        "title": {".validate": "newData.isString() && newData.val().length <= 5"}
      }
    },
    "feed": {".read": "query.orderByChild === 'at' && query.limitToLast <= 10"}
  }
}
"""
DATA = {"rooms": {"7": {"members": {"anna": True}, "title": "old"}}}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("rules-tools")
    (folder / "secret").write_bytes(SECRET)
    (folder / "secret").chmod(0o600)
    (folder / "identity.toml").write_text('[secrets.old]\nsecret_file = "secret"\n')
    databases = ",".join((NS, SIGNED, DRY, FAILED, STORED))
    arguments = ("--identity-file", str(folder / "identity.toml"), "--databases", databases)
    with Server(folder / "data", mode="serve", workers=2, arguments=arguments) as running:
        assert running.rest("PUT", "/.settings/rules", ns=NS, raw=TEXT.encode()).status == 200
        running.write("/", DATA, ns=NS)
        yield running
        running.stop()


def token(uid: str = "anna", **more: Any) -> str:
    now = int(time.time())
    return sign({"v": 0, "iat": now, "exp": now + 600, "d": {"uid": uid}} | more, SECRET, "HS256", None)


def command(server: Server, *arguments: str, code: int = 0) -> str:
    """What `meadowlark` prints, run as a program of its own."""
    made = subprocess.run(
        [sys.executable, "-m", "meadowlark.cli", *arguments, "--data", str(server.data)],
        cwd=PROJECT, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert made.returncode == code, (made.stdout, made.stderr)
    return made.stdout if code == 0 else made.stdout + made.stderr


def explain(server: Server, *arguments: str, code: int = 0) -> list[str]:
    return command(server, "rules", "explain", *arguments, code=code).splitlines()


# Explaining


def test_a_read_is_explained_on_the_command_line(server: Server) -> None:
    assert explain(server, "--as", "anna", NS, "read", "/rooms/7") == [
        "allowed: .read at /rooms/7 (line 6, column 18) is true",
        "",
        "6:18  .read at /rooms/7 is true",
        "    data.child('members').child(auth.uid).val() === true",
        '    auth.uid = "anna"',
        "    data.child('members').child(auth.uid).val() = true",
    ]
    denied = explain(server, NS, "read", "/rooms/7/title", "--as", "bert")
    assert denied[0] == "denied: no .read on the way to /rooms/7/title is true: .read at /rooms/7 (line 6, column 18) is false"
    assert denied[-1] == "    data.child('members').child(auth.uid).val() = null"
    nobody = explain(server, NS, "read", "/rooms/7")
    assert nobody[2] == "6:18  .read at /rooms/7 is false, a path was expected"
    assert explain(server, NS, "read", "/else") == ["denied: there is no .read on the way to /else"]


def test_a_query_is_explained_as_rules_see_it(server: Server) -> None:
    allowed = explain(server, NS, "read", "/feed", "--query", '{"i": "at", "l": 5, "vf": "r"}')
    assert allowed[0] == "allowed: .read at /feed (line 11, column 23) is true"
    assert allowed[-2:] == ['    query.orderByChild = "at"', "    query.limitToLast = 5"]
    assert explain(server, NS, "read", "/feed")[0].startswith("denied")
    assert "is not JSON" in "".join(explain(server, NS, "read", "/feed", "--query", "at", code=2))


def test_a_set_and_an_update_are_explained_with_the_claims_of_who_does_them(server: Server) -> None:
    leader, other = (json.dumps({"uid": "anna", "token": {"level": level}}) for level in (2, 1))
    allowed = explain(server, NS, "set", "/rooms/7/title", '"new"', "--as", leader)
    assert allowed[0] == "allowed: .write at /rooms/7 (line 7, column 19) is true"
    assert [line for line in allowed if " = " in line] == [
        '    auth.token = {"level": 2}',
        "    auth.token.level = 2",
        "    newData.isString() = true",
        '    newData.val() = "new"',
        "    newData.val().length = 3",
    ]
    assert explain(server, NS, "set", "/rooms/7/title", '"new"', "--as", other)[0].endswith("(line 7, column 19) is false")
    long = explain(server, NS, "update", "/rooms", '{"7/title": "much too long", "8": {"title": "x"}}', "--as", leader)
    assert long[0] == "denied: .validate at /rooms/7/title (line 8, column 32) is false"
    assert explain(server, NS, "update", "/rooms", '{"8/title": "x"}', "--as", leader)[0].startswith("allowed")
    assert server.read("/", ns=NS) == DATA, "nothing is written"


def test_what_cannot_be_asked_is_refused_with_an_exit_code(server: Server) -> None:
    assert "Invalid enum value 'delete'" in "".join(explain(server, NS, "delete", "/rooms", code=3))
    assert "an update needs an object" in "".join(explain(server, NS, "update", "/rooms", "5", code=3))
    assert "is not JSON" in "".join(explain(server, NS, "set", "/rooms", "{", code=2))
    assert "Invalid path" in "".join(explain(server, NS, "read", "/a.b", code=3))


@pytest.mark.parametrize(
    ("question", "allowed", "outcomes"),
    [
        ({"path": "/rooms/7", "as": "anna"}, True, [True]),
        ({"path": "/rooms/7", "as": None}, False, [False]),
        (
            {"operation": "set", "path": "/rooms/7/title", "value": "x", "as": {"uid": "a", "token": {"level": 3}}},
            True,
            [True] * 2,
        ),
        ({"operation": "set", "path": "/rooms/7/title", "value": 1, "as": {"token": {"level": 3}}}, False, [True, False]),
        ({"operation": "update", "path": "/rooms", "value": {"7/title": None}, "as": {"token": {"level": 3}}}, True, [True]),
    ],
)
def test_the_admins_address_explains_the_same(server: Server, question: Any, allowed: bool, outcomes: list[bool]) -> None:
    answer = server.rest("POST", f"/.meadowlark/explain/{NS}", question)
    assert answer.status == 200, answer
    told = answer.json()
    assert (told["allowed"], [step["outcome"] for step in told["steps"]]) == (allowed, outcomes)
    assert server.rest("POST", f"/.meadowlark/explain/{NS}", question, admin=False).status == 401
    user = {"Authorization": f"Bearer {token()}"}
    assert server.rest("POST", f"/.meadowlark/explain/{NS}", question, admin=False, headers=user).status == 401


def test_on_a_socket_only_a_debug_token_is_told_which_rule_denied(server: Server) -> None:
    """Neither is told a value, and the answer itself is the same to both."""
    asked = [("p", {"p": "/rooms/7/title", "d": "x"}), ("q", {"p": "/rooms", "h": ""}), ("m", {"p": "/", "d": {"else": 1}})]
    reasons = [
        "no .write on the way to /rooms/7/title is true: .write at /rooms/7 (line 7, column 19) is false (a number was expected)",
        "there is no .read on the way to /rooms",
        "there is no .write on the way to /else",
    ]
    for debugs in (False, True):
        connection = Socket(server.port, NS)
        assert connection.ask("auth", {"cred": token(debug=debugs)})["s"] == "ok"
        for (action, body), reason in zip(asked, reasons, strict=True):
            connection.pushes.clear()
            assert connection.ask(action, body) == {"s": "permission_denied", "d": "Permission denied"}
            assert connection.pushes == ([{"a": "sd", "b": {"msg": reason}}] if debugs else [])
        connection.close()


# Setting


def test_versions_say_which_credential_set_them(server: Server) -> None:
    for name, flags in (("deploy", []), ("bound", ["--database", SIGNED])):
        credential = command(server, "credentials", "add", name, *flags).strip()
        header = {"Authorization": f"Bearer {credential}"}

        def put(header: dict[str, str] = header) -> bool:
            body = {"rules": {".read": len(header) > 5}}
            return server.rest("PUT", "/.settings/rules", body, ns=SIGNED, admin=False, headers=header).status == 200

        eventually(put, what=f"the credential {name} to count")
    assert server.rest("PUT", "/.settings/rules", {"rules": {}}, ns=SIGNED).status == 200
    (server.data.parent / "deploy.json").write_text('{"rules": {"a": {}}}')
    command(server, "rules", "set", SIGNED, str(server.data.parent / "deploy.json"))
    told = [line.split("\t") for line in command(server, "rules", "versions", SIGNED).splitlines()]
    assert [(number, by) for number, _, by, *_ in told] == [
        ("4", "by admin"), ("3", "by admin"), ("2", "by bound"), ("1", "by deploy"),
    ]  # fmt: skip
    listed = server.rest("GET", f"/.meadowlark/rules/{SIGNED}").json()
    assert [(version["version"], version["by"]) for version in listed] == [
        (4, "admin"),
        (3, "admin"),
        (2, "bound"),
        (1, "deploy"),
    ]
    assert all(abs(version["at"] / 1000 - time.time()) < 300 for version in listed)
    restored = server.rest("POST", f"/.meadowlark/rules/{SIGNED}", {"restore": 1}, admin=False, headers=header)
    assert restored.json()["by"] == "bound"
    assert server.rest("PUT", "/.settings/rules", {"rules": {}}, ns=NS, admin=False, headers=header).status == 401


OPEN = '{"rules": {"a": {".read": true}}} // As it was.'


def listening(server: Server, ns: str) -> Socket:
    """Somebody who listens to /a, which `OPEN` allows."""
    assert server.rest("PUT", "/.settings/rules", ns=ns, raw=OPEN.encode()).status == 200
    connection = Socket(server.port, ns)
    assert connection.ask("q", {"p": "/a", "h": ""})["s"] == "ok"
    connection.pushes.clear()
    return connection


def assert_all_is_as_it_was(server: Server, ns: str, listener: Socket) -> None:
    """The listener hears what is written, and nothing else; the text is there to the byte, and no version more."""
    server.write("/a", "heard", ns=ns)
    assert listener.receive()["d"] == {"a": "d", "b": {"p": "a", "d": "heard"}}
    listener.send("s", {"c": {}})
    assert "a" not in listener.receive()["d"], "no cancellation"
    assert server.rest("GET", "/.settings/rules", ns=ns).body.decode() == OPEN
    assert server.rest("GET", "/a", ns=ns, admin=False).status == 200
    assert server.rest("GET", "/b", ns=ns, admin=False).status == 401


def test_a_dry_run_revokes_and_replaces_nothing(server: Server) -> None:
    listener = listening(server, DRY)
    closing = {"rules": {"a": {".read": False}, "b": {".read": True}}}
    assert server.rest("PUT", "/.settings/rules", closing, ns=DRY, query="dryRun=true").json() == {"status": "ok"}
    assert_all_is_as_it_was(server, DRY, listener)
    wrong = server.rest("PUT", "/.settings/rules", {"rules": {".read": "nobody"}}, ns=DRY, query="dryRun=true")
    assert (wrong.status, wrong.json()) == (400, {"error": "1:22: Unknown variable 'nobody'.\n"})
    assert_all_is_as_it_was(server, DRY, listener)
    assert len(server.rest("GET", f"/.meadowlark/rules/{DRY}").json()) == 1
    listener.close()


@pytest.mark.parametrize(
    "text",
    [
        '{"rules": {"a": {".read": false}, "b": {".read": "nobody"}}}',
        '{"rules": {"b": {".read": true}, "a": {".read": "auth.uid === 1 +"}}}',
        '{"rules": {"b": {".read": true}, "a": ',
        '{"rules": {"a": {".read": false}}, "b": 1}',
        '{"rules": {"a": {".read": "\xff"}}}',
    ],
)
def test_an_upload_that_fails_leaves_the_old_rules_whole(server: Server, text: str) -> None:
    listener = listening(server, FAILED)
    before = len(server.rest("GET", f"/.meadowlark/rules/{FAILED}").json())
    answer = server.rest("PUT", "/.settings/rules", ns=FAILED, raw=text.encode("latin-1"))
    assert answer.status == 400, answer
    assert answer.json()["error"][:2] == "1:", answer
    assert_all_is_as_it_was(server, FAILED, listener)
    assert len(server.rest("GET", f"/.meadowlark/rules/{FAILED}").json()) == before
    listener.close()


def test_rules_that_cannot_be_stored_are_not_in_force(server: Server, tmp_path: Path) -> None:
    listener = listening(server, STORED)
    folder = server.data / "rules" / STORED
    folder.rename(tmp_path / "aside")
    folder.write_text("a file in its place")
    try:
        answer = server.rest("PUT", "/.settings/rules", {"rules": {"b": {".read": True}}}, ns=STORED)
        assert answer.status == 503, answer
        assert "cannot be stored" in answer.json()["error"]
        assert_all_is_as_it_was(server, STORED, listener)
    finally:
        folder.unlink()
        (tmp_path / "aside").rename(folder)
    assert server.rest("PUT", "/.settings/rules", {"rules": {"b": {".read": True}}}, ns=STORED).status == 200
    assert listener.receive()["d"] == {"a": "c", "b": {"p": "a"}}
    listener.close()


def test_explanations_are_json_too(server: Server) -> None:
    question = {"path": "/rooms/7", "as": "anna"}
    (step,) = server.rest("POST", f"/.meadowlark/explain/{NS}", question).json()["steps"]
    assert json.dumps(step["values"]) == (
        '[{"part": "auth.uid", "value": "anna"}, {"part": "data.child(\'members\').child(auth.uid).val()", "value": true}]'
    )
