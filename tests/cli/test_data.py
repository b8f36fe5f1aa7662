"""The commands that work with data, as a script runs them: processes, pipes and exit codes, against a running server."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from meadowlark.cli.application import Exit
from tests.cli.running import SECONDS, Client, Done, command, environment, run
from tests.harness import PROJECT, Server, eventually
from tests.proxy import Proxy

pytestmark = pytest.mark.slow

# Small things


def test_a_value_is_set_read_changed_added_to_and_removed(client: Client, server: Server, ns: str) -> None:
    assert client.ok("set", "/rooms/7", '{"name":"seven","n":1}') == ""
    assert client.ok("get", "/rooms/7") == '{"name":"seven","n":1}\n'
    client.ok("update", "rooms/7", '{"n":null,"deep/er":true}')
    assert json.loads(client.ok("get", "rooms")) == {"7": {"name": "seven", "deep": {"er": True}}}
    key = client.ok("push", "/list", '"é"').strip()
    assert server.read("/list", ns=ns) == {key: "é"}
    client.ok("remove", "/rooms")
    assert client.ok("get", "/rooms") == "null\n"
    assert json.loads(client.ok("get", "/", "--shallow")) == {"list": True}


def test_values_come_from_standard_input_and_files(client: Client, server: Server, ns: str) -> None:
    client.ok("set", "/a", stdin=b'{"x":1}')
    client.ok("set", "/b", "-", stdin=b"2")
    (client.folder / "value.json").write_text("[3]")
    client.ok("set", "/c", "--file", "value.json")
    assert server.read("/", ns=ns) == {"a": {"x": 1}, "b": 2, "c": [3]}
    assert client("set", "/d", "1", "--file", "value.json").code == Exit.USAGE
    assert client("set", "/d", "--file", "missing.json").code == Exit.USAGE


def test_keys_of_every_kind_and_a_pretty_answer(client: Client) -> None:
    client.ok("set", "/café 京?&=%2F+", '{"a":1}')
    assert client.ok("get", "/café 京?&=%2F+", "--pretty") == '{\n  "a": 1\n}\n'


def test_json_says_what_was_done(client: Client) -> None:
    assert json.loads(client.ok("set", "/a", "1", "--json")) == {"done": "set", "path": "/a", "bytes": 1}
    pushed = json.loads(client.ok("push", "/l", "1", "--json"))
    assert (pushed["done"], len(pushed["name"])) == ("push", 20)
    assert json.loads(client.ok("remove", "/a", "--json")) == {"done": "remove", "path": "/a"}
    done = client("set", "/a", "{", "--json")
    assert done.code == Exit.REFUSED
    assert json.loads(done.err)["exit"] == Exit.REFUSED


def test_a_database_is_found_by_the_data_folder_of_its_server(server: Server, ns: str) -> None:
    done = run("set", "/a", "1", "--data", str(server.data), "--database", ns)
    assert done.code == Exit.DONE, done.err
    assert server.read("/a", ns=ns) == 1


def test_the_transcript_of_the_document_is_true(server: Server, ns: str, tmp_path: Path) -> None:
    block = re.search(r"```console\n(.*?)```", (PROJECT / "docs" / "cli.md").read_text(), re.DOTALL)
    assert block
    commands = [line[2:] for line in block[1].splitlines() if line.startswith("$ ")]
    expected = [line for line in block[1].splitlines() if not line.startswith("$ ")]
    script = f'meadowlark() {{ {sys.executable} -m meadowlark.cli "$@"; }}\n' + "\n".join(commands)
    variables = {"MEADOWLARK_CLIENT_URL": server.url, "MEADOWLARK_CLIENT_DATABASE": ns}
    done = subprocess.run(
        ["bash", "-e", "-c", script],
        capture_output=True,
        timeout=SECONDS,
        check=False,
        env=environment(**variables),
        cwd=tmp_path,
    )
    assert done.stdout.decode().splitlines() == expected, done.stderr.decode()


# What goes wrong


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("get", "/a.b"), "a.b"),
        (("remove", "/"), "--force"),
        (("import", "/", "missing.json"), "missing.json"),
        (("import", "/", "-", "--resume"), "name a file"),
        (("get", "/", "--url", "nonsense"), "nonsense"),
    ],
)
def test_wrong_usage_changes_nothing(client: Client, arguments: tuple[str, ...], complaint: str) -> None:
    done = client(*arguments)
    assert (done.code, done.out) == (Exit.USAGE, "")
    assert complaint in done.err
    assert done.err.count("\n") == 1


def test_a_data_folder_that_is_not_there_is_no_server() -> None:
    done = run("get", "/", "--data", "/nowhere", "--database", "x")
    assert done.code == Exit.USAGE
    assert "/nowhere" in done.err


def test_a_database_must_be_named(server: Server) -> None:
    done = run("get", "/", "--url", server.url)
    assert done.code == Exit.USAGE
    assert "--database" in done.err


def test_what_a_server_refuses_and_one_that_is_not_there(client: Client, server: Server) -> None:
    refused = client("set", "/a", "{")
    assert (refused.code, refused.out) == (Exit.REFUSED, "")
    assert "400" in refused.err
    gone = client("get", "/", "--url", "http://127.0.0.1:1")
    assert gone.code == Exit.UNREACHABLE
    assert "did not answer" in gone.err


def test_in_serve_the_credential_comes_from_folder_file_or_environment(tmp_path: Path, ns: str) -> None:
    with Server(tmp_path / "data", mode="serve", arguments=("--databases", ns)) as server:
        denied = run("get", "/", "--url", server.url, "-d", ns)
        assert denied.code == Exit.REFUSED
        assert "401" in denied.err
        file = tmp_path / "data" / "admin-credential"
        for more, variables in (
            (("--data", str(server.data)), {}),
            (("--url", server.url, "--credential-file", str(file)), {}),
            (("--url", server.url), {"MEADOWLARK_CLIENT_CREDENTIAL": file.read_text().strip()}),
        ):
            done = run("get", "/", "-d", ns, *more, **variables)
            assert (done.code, done.out) == (Exit.DONE, "null\n"), done.err


# Import and export


def test_a_file_is_imported_in_one_step_and_exported_as_it_was(client: Client) -> None:
    value = {"a": {".value": 1, ".priority": 2}, "list": {"0": "x", "1": "<é>"}, ".priority": "p"}
    (client.folder / "in.json").write_text(json.dumps(value))
    done = client("import", "/place", "in.json")
    assert (done.code, done.out) == (Exit.DONE, "")
    assert "all or nothing" in done.err
    assert json.loads(client.ok("export", "/place")) == value
    told = json.loads(client.ok("export", "/place", "out.json", "--json"))
    assert json.loads((client.folder / "out.json").read_text()) == value
    assert told["bytes"] == (client.folder / "out.json").stat().st_size
    assert sorted(path.name for path in client.folder.iterdir()) == ["in.json", "out.json"]
    client.ok("import", "/again", "-", stdin=(client.folder / "out.json").read_bytes())
    assert json.loads(client.ok("export", "/again")) == value


def test_an_import_that_is_refused_changes_nothing(client: Client, server: Server, ns: str) -> None:
    server.write("/a", 1, ns=ns)
    for name, text in (("cut.json", '{"b":{"c":1'), ("key.json", '{"b":{"c.d":1}}'), ("word.json", '{"b":{"c":treu}}')):
        (client.folder / name).write_text(text)
        assert client("import", "/", name).code == Exit.REFUSED
    for name in ("cut.json", "word.json"):  # In parts it is judged before anything is written, too.
        assert client("import", "/", name, "--resumable").code == Exit.REFUSED
    assert server.read("/", ns=ns) == {"a": 1}


def test_an_import_in_parts_that_may_not_begin_leaves_nothing(tmp_path: Path, ns: str) -> None:
    (tmp_path / "in.json").write_text('{"a":1}')
    with Server(tmp_path / "data", mode="serve", arguments=("--databases", ns)) as server:
        done = run("import", "/", str(tmp_path / "in.json"), "--resumable", "--url", server.url, "-d", ns)
    assert done.code == Exit.REFUSED, done.err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data", "in.json"]


def test_an_import_in_parts_replaces_what_was_there(client: Client, server: Server, ns: str) -> None:
    server.write("/place", {"old": True}, ns=ns)
    value: dict[str, Any] = {
        f"k{number}": {"n": number, "text": "é" * 30, "more": {"deep": [1, 2]}, ".priority": number} for number in range(200)
    }
    value["one"] = {".value": "x" * 100, ".priority": 1}
    value[".priority"] = "root"
    (client.folder / "in.json").write_text(json.dumps(value, ensure_ascii=False))
    told = json.loads(client.ok("import", "/place", "in.json", "--resumable", "--part-bytes", "90", "--json"))
    assert (told["way"], told["bytes"]) == ("resumable", (client.folder / "in.json").stat().st_size)
    assert told["parts"] > 100
    exported = json.loads(client.ok("export", "/place"))
    for number in range(200):
        value[f"k{number}"]["more"]["deep"] = {"0": 1, "1": 2}
    assert exported == value
    assert [path.name for path in client.folder.iterdir()] == ["in.json"]


def test_an_import_that_was_interrupted_goes_on_where_it_stopped(server: Server, ns: str, tmp_path: Path) -> None:
    value = {f"k{number}": {"n": number} for number in range(400)}
    file = tmp_path / "in.json"
    file.write_text(json.dumps(value))
    arguments = ("import", "/", str(file), "--part-bytes", "40", "--retries", "0", "--json")
    with Proxy(server.port) as proxy:
        client = Client(f"http://127.0.0.1:{proxy.port}", ns, tmp_path)
        proxy.lets_in = 20  # Each part is a connection.
        broken = client(*arguments, "--resumable")
        assert broken.code == Exit.INCOMPLETE, broken.err
        assert "--resume" in json.loads(broken.err)["error"]
        kept = json.loads((tmp_path / "in.json.import").read_text())["done"]
        assert 0 < kept < 400

        proxy.allow()
        assert client(*arguments).code == Exit.DONE, "a file that fits is imported in one step whatever was begun before"
        server.write("/k0", "kept", ns=ns)
        assert client(*arguments, "--resumable").code == Exit.USAGE, "neither --resume nor --restart"
        count = proxy.connection_count
        assert client(*arguments, "--resume").code == Exit.DONE
        assert proxy.connection_count - count < 400 - kept + 5
    assert server.read("/", ns=ns) == value | {"k0": "kept"}
    assert not (tmp_path / "in.json.import").exists()


def test_an_import_whose_process_was_killed_goes_on_where_it_stopped(server: Server, ns: str, tmp_path: Path) -> None:
    value = {f"k{number}": {"n": number} for number in range(400)}
    (tmp_path / "in.json").write_text(json.dumps(value))
    state = tmp_path / "in.json.import"
    arguments = ("import", "/", "in.json", "--part-bytes", "40")
    with Proxy(server.port) as proxy:
        proxy.lets_in = 20  # So that it is not done before it can be killed; it tries again and again.
        url = f"http://127.0.0.1:{proxy.port}"
        variables = {"MEADOWLARK_CLIENT_URL": url, "MEADOWLARK_CLIENT_DATABASE": ns}
        process = subprocess.Popen(
            command((*arguments, "--resumable", "--quiet", "--retries", "50")), cwd=tmp_path, env=environment(**variables)
        )
        try:
            eventually(lambda: state.exists() and written_parts(state) > 10, what="some parts written")
            assert process.poll() is None
        finally:
            process.kill()
            assert process.wait(SECONDS) == -signal.SIGKILL
        kept = written_parts(state)
        stands = server.read("/", ns=ns)
        assert value.items() >= stands.items()
        assert kept <= len(stands) < len(value)
        server.write("/k0", "kept", ns=ns)
        proxy.allow()
        count, client = proxy.connection_count, Client(url, ns, tmp_path)
        done = client(*arguments, "--resume", "--json")
        assert done.code == Exit.DONE, done.err
        assert proxy.connection_count - count == json.loads(done.out)["parts"] - kept
        assert server.read("/", ns=ns) == value | {"k0": "kept"}
        assert client("import", "/", "in.json", "--resume").code == Exit.USAGE, "it is over"


def written_parts(state: Path) -> int:
    return int(json.loads(state.read_text())["done"])


def test_a_file_too_large_for_one_request_is_imported_in_parts_by_itself(server: Server, ns: str, tmp_path: Path) -> None:
    """With a bound of a hundred kilobytes instead of 256 MiB."""
    value = {f"k{number}": {"text": "x" * 100} for number in range(2_000)}
    (tmp_path / "in.json").write_text(json.dumps(value))
    (tmp_path / "small.json").write_text(json.dumps({"k": "x" * 90_000}))
    lowered = (
        "import meadowlark.cli.importing as importing, meadowlark.cli as cli; importing.BODY_BYTES_MAX = 100_000; cli.main()"
    )

    def imported(*more: str, stdin: bytes = b"") -> Done:
        arguments = ("import", "/", *more, "--url", server.url, "-d", ns, "--part-bytes", "20000", "--json")
        return Done(
            subprocess.run(
                [sys.executable, "-c", lowered, *arguments],
                input=stdin, capture_output=True, timeout=SECONDS, check=False, cwd=tmp_path, env=environment(),
            )
        )  # fmt: skip

    done = imported("in.json")
    assert done.code == Exit.DONE, done.err
    told = json.loads(done.out)
    assert (told["way"], told["bytes"], told["parts"] > 10) == ("resumable", (tmp_path / "in.json").stat().st_size, True)
    assert server.read("/", ns=ns) == value
    assert json.loads(imported("small.json").out)["way"] == "all-or-nothing"
    assert server.read("/", ns=ns) == {"k": "x" * 90_000}
    refused = imported("-", stdin=json.dumps(value).encode())
    assert (refused.code, "import a file" in json.loads(refused.err)["error"]) == (Exit.USAGE, True)
    assert server.read("/", ns=ns) == {"k": "x" * 90_000}


def test_an_import_of_another_file_is_not_resumed(client: Client) -> None:
    file = client.folder / "in.json"
    file.write_text('{"a":1}')
    (client.folder / "in.json.import").write_text(
        '{"database":"x","path":"/","text_bytes":7,"changed_ns":1,"part_bytes":9,"done":3}'
    )
    done = client("import", "/", "in.json", "--resume")
    assert done.code == Exit.USAGE
    assert "cannot resume" in done.err
    assert client("import", "/", "in.json", "--restart").code == Exit.DONE
    assert client("import", "/", "in.json", "--resume").code == Exit.USAGE


# Watch


def test_every_change_is_a_line(server: Server, ns: str, watch: Any) -> None:
    people, programs = watch(server.url, "/a"), watch(server.url, "/a", "--json", "--count", "3")
    assert people.next() == "put\t/\tnull"
    assert json.loads(programs.next()) == {"event": "put", "path": "/", "data": None}
    server.write("/a/b", {"é": 1}, ns=ns)
    assert people.next() == 'put\t/b\t{"é":1}'
    server.rest("PATCH", "/a", {"c": 1, "b": None}, ns=ns)
    assert people.next() == 'patch\t/\t{"c":1,"b":null}'
    assert json.loads(programs.next()) == {"event": "put", "path": "/b", "data": {"é": 1}}
    assert json.loads(programs.next()) == {"event": "patch", "path": "/", "data": {"c": 1, "b": None}}
    assert programs.end() == (Exit.DONE, "")
    people.interrupt()
    assert people.end()[0] == Exit.DONE


def test_a_lost_connection_is_made_again(server: Server, ns: str, watch: Any) -> None:
    with Proxy(server.port) as proxy:
        watching = watch(f"http://127.0.0.1:{proxy.port}", "/a", "--count", "3")
        assert watching.next() == "put\t/\tnull"
        proxy.refuse()
        server.write("/a", 1, ns=ns)
        proxy.allow()
        assert watching.next() == "put\t/\t1"
        server.write("/a", 2, ns=ns)
        assert watching.next() == "put\t/\t2"
        code, said = watching.end()
        assert code == Exit.DONE
        assert "coming back" in said


def test_a_watch_that_may_not_read_any_more_ends_and_says_why(server: Server, ns: str, watch: Any) -> None:
    people, programs = watch(server.url, "/a"), watch(server.url, "/a", "--json")
    for watching in (people, programs):
        watching.next()
    rules = {"rules": {".read": False, ".write": True}}
    assert server.rest("PUT", "/.settings/rules", rules, ns=ns).status == 200
    code, said = people.end()
    assert (code, 'cancel: "Permission denied."' in said) == (Exit.REFUSED, True), said
    code, said = programs.end()
    assert (code, json.loads(said)["exit"]) == (Exit.REFUSED, Exit.REFUSED), said


def test_a_watch_that_is_refused_or_not_answered_ends(watch: Any, tmp_path: Path, ns: str) -> None:
    assert watch("http://127.0.0.1:1", "/").end()[0] == Exit.UNREACHABLE
    with Server(tmp_path / "data", mode="serve", arguments=("--databases", ns)) as server:
        assert watch(server.url, "/").end()[0] == Exit.REFUSED


def test_a_reader_that_has_had_enough_is_no_error(client: Client, server: Server, ns: str) -> None:
    server.write("/", {f"k{number}": "x" * 100 for number in range(10_000)}, ns=ns)
    pipeline = (
        f"{sys.executable} -m meadowlark.cli get / --url {server.url} --database {ns} | head -c 10; exit ${{PIPESTATUS[0]}}"
    )
    process = subprocess.run(["bash", "-c", pipeline], capture_output=True, timeout=SECONDS, check=False, env=environment())
    assert (process.returncode, len(process.stdout), process.stderr) == (0, 10, b"")
