"""Firebase's own command line against a development server: each command as a process, as a person or a script runs it.

It is told by its environment where everything is, all of it on loopback. Without an emulator's address it takes the server for
the real one, which is how the commands run that it does not offer for emulators.
"""

from __future__ import annotations

import json
import os
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.conformance.packages import installed
from tests.harness import Server

FOLDER = Path(__file__).parent / "command_line"
DATABASE = "fake-server"
"""What the commands reach that leave the database out of their addresses."""
COMMAND_SECONDS = 100.0
"""A command loads 600 packages: two seconds on an idle core, many more on one that is not."""

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


class Done(NamedTuple):
    code: int
    out: str


Firebase = Callable[..., Done]


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with Server(None) as running:
        yield running


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the commands run."""
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def firebase(server: Server, home: Path) -> Firebase:
    """Runs one command; `emulator=False` for those that it does not offer for emulators."""
    program = installed(FOLDER) / "firebase-tools" / "lib" / "bin" / "firebase.js"

    def run(*arguments: str, emulator: bool = True, stdin: str = "") -> Done:
        environment = {"PATH": os.environ["PATH"], "HOME": str(home), "CI": "1", "NO_UPDATE_NOTIFIER": "1", "NO_COLOR": "1"}
        environment["FIREBASE_TOKEN"] = "owner"
        environment["FIREBASE_DATABASE_EMULATOR_HOST" if emulator else "FIREBASE_REALTIME_URL"] = server.url
        # What it would ask of Google it asks of the server, which has no such address.
        for name in ("RTDB_MANAGEMENT", "RESOURCEMANAGER", "API", "AUTHPROXY", "TOKEN", "AUTH"):
            environment[f"FIREBASE_{name}_URL"] = server.url
        command = ["node", str(program), "--non-interactive", "--project", "demo-lark", *arguments]
        done = subprocess.run(
            command, cwd=home, env=environment, text=True, timeout=COMMAND_SECONDS, check=False,
            input=stdin, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        return Done(done.returncode, done.stdout)

    return run


def granted(done: Done) -> str:
    assert done.code == 0, done
    return done.out


def answered(done: Done) -> Any:
    """What a command with --json prints below its notices."""
    out = granted(done)
    return json.loads(out[out.index("{") :])["result"]


def at(*arguments: str) -> tuple[str, ...]:
    return (*arguments, "--instance", DATABASE)


def test_a_value_is_set_updated_and_got_in_every_way(firebase: Firebase, server: Server, tmp_path: Path) -> None:
    granted(firebase(*at("database:set", "/shelf", "-f", "-d", '{"a":{"n":1},"list":["x","y"]}')))
    granted(firebase(*at("database:update", "/shelf", "-f", "-d", '{"a/n":2,"b":{".value":3,".priority":4}}')))
    assert server.read("/shelf", ns=DATABASE) == {"a": {"n": 2}, "list": ["x", "y"], "b": 3}
    file = tmp_path / "got.json"

    def got(path: str, *how: str) -> str:
        granted(firebase(*at("database:get", path, "-o", str(file), *how)))
        return file.read_text()

    assert got("/shelf") == '{"a":{"n":2},"list":["x","y"],"b":3}\n'
    assert got("/shelf/a", "--pretty") == '{\n  "n": 2\n}\n'
    assert json.loads(got("/shelf", "--shallow")) == {"a": True, "list": True, "b": True}
    exported = {"a": {"n": 2}, "list": {"0": "x", "1": "y"}, "b": {".value": 3, ".priority": 4}}
    assert json.loads(got("/shelf", "--export")) == exported
    assert json.loads(got("/shelf", "--order-by-key", "--start-at", "b", "--limit-to-first", "1")) == {"b": 3}


LISTED = {"ada": {"n": 2, ".priority": 2}, "bob": {"n": 1, ".priority": "p"}, "cy": {"n": 3}, "7": {"n": True}, "10": "leaf"}


@pytest.fixture(scope="module")
def listed(server: Server) -> None:
    """There is something to query, and its indexes are declared."""
    server.write("/people", LISTED, ns=DATABASE)
    server.write("/values", {"a": 3, "b": "x", "c": True, "d": 1}, ns=DATABASE)
    rules = {".read": True, ".write": True, "people": {".indexOn": "n"}, "values": {".indexOn": ".value"}}
    assert server.rest("PUT", "/.settings/rules", {"rules": rules}, ns=DATABASE).status == 200


@pytest.mark.parametrize(
    ("path", "flags", "selected"),
    [
        ("/people", ["--order-by", "n"], ["10", "7", "ada", "bob", "cy"]),
        ("/people", ["--order-by", "n", "--start-at", "2"], ["ada", "cy"]),
        ("/people", ["--order-by", "n", "--start-at", "1", "--end-at", "2"], ["ada", "bob"]),
        ("/people", ["--order-by", "n", "--equal-to", "3"], ["cy"]),
        ("/people", ["--order-by", "n", "--equal-to", "true"], ["7"]),
        ("/people", ["--order-by", "n", "--limit-to-first", "1"], ["10"]),
        ("/people", ["--order-by", "n", "--limit-to-last", "2"], ["ada", "cy"]),
        ("/people", ["--order-by-key", "--limit-to-last", "2"], ["bob", "cy"]),
        ("/people", ["--order-by-key", "--start-at", "b", "--end-at", "c"], ["bob"]),
        ("/people", ["--order-by-key", "--equal-to", "cy"], ["cy"]),
        ("/people", ["--order-by", "$priority", "--limit-to-last", "1"], ["bob"]),
        ("/values", ["--order-by-value", "--start-at", "1", "--limit-to-first", "2"], ["a", "d"]),
        ("/values", ["--order-by-value", "--equal-to", "x"], ["b"]),
        ("/people", ["--shallow", "--limit-to-first", "2"], ["10", "7"]),
    ],
)
def test_each_flag_of_get_selects_children(
    firebase: Firebase, listed: None, tmp_path: Path, path: str, flags: list[str], selected: list[str]
) -> None:
    file = tmp_path / "got.json"
    granted(firebase(*at("database:get", path, "-o", str(file), *flags)))
    assert sorted(json.loads(file.read_text())) == selected


def test_get_prints_what_it_does_not_write_to_a_file(firebase: Firebase, listed: None) -> None:
    flags = at("--order-by", "n", "--equal-to", "3")
    assert '{"cy":{"n":3}}\n' in granted(firebase("database:get", "/people", *flags))
    assert '{\n  "cy": {\n    "n": 3\n  }\n}\n' in granted(firebase("database:get", "/people", "--pretty", *flags))
    exported = granted(firebase("database:get", "/people", "--export", *at("--order-by", "n", "--equal-to", "2")))
    assert '{"ada":{"n":2,".priority":2}}\n' in exported
    refused = firebase(*at("database:get", "/people", "--order-by", "name"))
    assert (refused.code, 'Index not defined, add ".indexOn": "name", for path "/people"' in refused.out) == (1, True), refused


def test_values_come_from_arguments_files_and_standard_input(firebase: Firebase, server: Server, tmp_path: Path) -> None:
    file = tmp_path / "value.json"
    file.write_text('{"from":"a file"}')
    granted(firebase(*at("database:set", "/given/file", str(file), "-f", "--disable-triggers")))
    granted(firebase(*at("database:update", "/given", str(file), "-f", "--disable-triggers")))
    pushed = answered(firebase("--json", *at("database:push", "/given/list", str(file), "--disable-triggers")))["key"]
    granted(firebase(*at("database:set", "/given/input", "-f"), stdin='{"from":"standard input"}'))
    of_file = {"from": "a file"}
    assert server.read("/given", ns=DATABASE) == {
        "file": of_file, "from": "a file", "list": {pushed: of_file}, "input": {"from": "standard input"},
    }  # fmt: skip
    bad = firebase(*at("database:set", "/given/bad", "-f", "-d", "{"))
    assert bad.code != 0, bad
    assert "Invalid data; couldn't parse JSON object, array, or value." in bad.out, bad
    assert server.read("/given/bad", ns=DATABASE) is None


def test_a_pushed_value_has_the_key_that_is_told(firebase: Firebase, server: Server) -> None:
    done = answered(firebase("--json", *at("database:push", "/list", "-d", '"hi"')))
    assert server.read("/list", ns=DATABASE) == {done["key"]: "hi"}


def test_a_file_is_imported_into_an_empty_place_and_removed_again(firebase: Firebase, server: Server, tmp_path: Path) -> None:
    value = {"users": {f"u{number}": {"name": "x" * 200, "n": number} for number in range(6_000)}, "list": [1, 2]}
    file = tmp_path / "data.json"
    file.write_text(json.dumps(value))
    assert file.stat().st_size > 1.2e6, "more than one chunk"
    granted(firebase(*at("database:import", "/imported", str(file), "-f")))
    assert server.read("/imported", ns=DATABASE) == value
    again = firebase(*at("database:import", "/imported", str(file), "-f"))
    assert (again.code, "only allowed for an empty location" in again.out) == (2, True), again
    granted(firebase(*at("database:remove", "/imported", "-f"), emulator=False))
    assert server.read("/imported", ns=DATABASE) is None
    file.write_text(json.dumps({"outer": {"kept": {"a": [1]}, "left": 1}}))
    how = ("--filter", "outer/kept", "--chunk-size", "1", "--concurrency", "2", "--disable-triggers")
    granted(firebase(*at("database:import", "/imported", str(file), "-f", *how)))
    assert server.read("/imported", ns=DATABASE) == {"outer": {"kept": {"a": [1]}}}
    (tmp_path / "cut.json").write_text('{"a":')
    broken = firebase(*at("database:import", "/cut", str(tmp_path / "cut.json"), "-f"))
    assert broken.code != 0, broken
    assert server.read("/cut", ns=DATABASE) is None


def test_a_refusal_is_shown_in_the_server_s_words(firebase: Firebase) -> None:
    done = firebase(*at("database:get", "/bad.key"))
    assert (done.code, "HTTP Error: 400, Invalid path: key 'bad.key'" in done.out) == (1, True), done


def test_databases_are_listed(firebase: Firebase, server: Server) -> None:
    server.write("/a", 1, ns=DATABASE)
    server.write("/a", 1, ns="another")
    listed = answered(firebase("--json", "database:instances:list", emulator=False))
    assert {"another", DATABASE} <= {instance["name"] for instance in listed}
    assert {instance["state"] for instance in listed} == {"ACTIVE"}


def test_settings_are_read_and_set_to_what_they_are(firebase: Firebase) -> None:
    read = granted(firebase(*at("database:settings:get", "defaultWriteSizeLimit"), emulator=False))
    assert "defaultWriteSizeLimit = unlimited" in read
    granted(firebase(*at("database:settings:set", "strictTriggerValidation", "false"), emulator=False))
    assert firebase(*at("database:settings:set", "strictTriggerValidation", "true"), emulator=False).code == 2


def test_rules_are_deployed_and_faults_shown(firebase: Firebase, server: Server, home: Path) -> None:
    rules = '// Mine.\n{"rules": {"open": {".read": true}}}\n'
    (home / "firebase.json").write_text('{"database": {"rules": "database.rules.json"}}')
    (home / "database.rules.json").write_text(rules)
    granted(firebase("deploy", "--only", "database", "--dry-run", emulator=False))
    assert server.rest("GET", "/.settings/rules", ns="demo-lark-default-rtdb").body != rules.encode()
    assert "Deploy complete!" in granted(firebase("deploy", "--only", "database", emulator=False))
    assert server.rest("GET", "/.settings/rules", ns="demo-lark-default-rtdb").body == rules.encode()
    (home / "firebase.json").write_text('{"database": [{"instance": "chosen", "rules": "database.rules.json"}]}')
    granted(firebase("deploy", "--only", "database", emulator=False))
    assert server.rest("GET", "/.settings/rules", ns="chosen").body == rules.encode()
    (home / "database.rules.json").write_text('{"rules": {".read": "nobody"}}')
    failed = firebase("deploy", "--only", "database", emulator=False)
    assert failed.code != 0
    assert "1:22: Unknown variable 'nobody'." in failed.out


def test_a_profile_reports_what_was_done_meanwhile(firebase: Firebase, server: Server) -> None:
    over = threading.Event()

    def write() -> None:
        while not over.wait(0.1):
            server.write("/profiled/place", {"n": 1}, ns=DATABASE)
            server.read("/profiled", ns=DATABASE)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        report = answered(firebase("--json", *at("database:profile", "--duration", "3"), emulator=False))
    finally:
        over.set()
        writer.join(30)
    writes = {row[0]: row for row in report["writeSpeed"]["data"]}
    reads = {row[0]: row for row in report["readSpeed"]["data"]}
    assert writes["/profiled/place"][1] > 1
    assert reads["/profiled"][1] > 1
    assert writes["/profiled/place"][-1] == "0", "none was denied"


def test_the_packages_are_those_that_were_locked() -> None:
    lock: Any = json.loads((FOLDER / "package-lock.json").read_text())["packages"]
    assert lock["node_modules/firebase-tools"]["version"] == "15.34.2"
    assert not [name for name, package in lock.items() if "resolved" in package], "packages come from whatever registry is set up"
