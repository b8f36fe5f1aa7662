"""Each exit code of docs/cli.md, and what a wrong line is told to be instead."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from meadowlark.cli.application import Exit
from tests.cli.running import SECONDS, Client, environment, run
from tests.harness import Server

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    ("line", "meant"),
    [
        (("get", "demo", "/tasks"), "meadowlark get /tasks --database demo"),
        (("get", "demo", "/tasks", "--shallow"), "meadowlark get /tasks --database demo"),
        (("set", "demo", "/tasks", '{"a b":1}'), "meadowlark set /tasks '{\"a b\":1}' --database demo"),
        (("watch", "demo", "/"), "meadowlark watch / --database demo"),
        (("import", "demo", "/", "in.json"), "meadowlark import / in.json --database demo"),
    ],
)
def test_a_database_in_the_place_of_the_path_is_told_how_it_is_named(line: tuple[str, ...], meant: str) -> None:
    done = run(*line)
    assert (done.code, done.out) == (Exit.USAGE, "")
    assert done.err.endswith(f"did you mean: {meant}\n")
    told = run(*line, "--json")
    assert told.code == Exit.USAGE
    assert json.loads(told.err) == {"error": done.err.partition("Error: ")[2].strip(), "exit": Exit.USAGE}


@pytest.mark.parametrize("line", [("get", "/a", "/b"), ("get", "a", "b", "--database", "demo"), ("version", "demo"), ("nope",)])
def test_what_was_not_meant_so_is_told_nothing_of_the_sort(line: tuple[str, ...]) -> None:
    done = run(*line)
    assert done.code == Exit.USAGE
    assert "did you mean: meadowlark" not in done.err


def test_without_a_database_it_is_said_how_to_name_one() -> None:
    for path in ("/tasks", "demo/tasks"):
        assert "meadowlark get /tasks --database demo" in run("get", path).err


def test_done_is_0(client: Client) -> None:
    for line in (
        ("set", "/a", "1"),
        ("get", "/a"),
        ("update", "/", "{}"),
        ("push", "/l", "1"),
        ("remove", "/a"),
        ("export", "/"),
    ):
        assert client(*line).code == Exit.DONE == 0


def test_unexpected_is_1() -> None:
    """A fault of the program itself: here it is given one."""
    text = "import meadowlark.cli.asking as asking, meadowlark.cli as cli; asking.read_path = None; cli.main()"
    process = subprocess.run(
        [sys.executable, "-c", text, "get", "/", "--url", "http://127.0.0.1:1", "-d", "x"],
        capture_output=True, timeout=SECONDS, check=False, env=environment(),
    )  # fmt: skip
    assert process.returncode == Exit.UNEXPECTED == 1
    assert b"Traceback" in process.stderr


@pytest.mark.parametrize(
    "line",
    [
        ("get", "/a.b"), ("get", "/", "--limit-to-first", "0"), ("get", "/", "--limit-to-first", "x"), ("get",),
        ("get", "/", "--nope"),
        ("set", "/a", "1", "--file", "x"), ("set", "/a", "--file", "missing"), ("remove", "/"), ("import", "/", "missing"),
        ("import", "/", "-", "--resume"), ("import", "/", "-", "--part-bytes", "0"), ("export", "/", "missing/folder"),
        ("watch", "/", "--count", "0"), ("get", "/", "--url", "nonsense"), ("get", "/", "--data", "/nowhere", "--config", "x"),
        ("get", "/", "--credential-file", "missing"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("way", [(), ("--json",)])
def test_usage_is_2(client: Client, line: tuple[str, ...], way: tuple[str, ...]) -> None:
    done = client(*line, *way)
    assert (done.code, done.out) == (Exit.USAGE, "")
    assert Exit.USAGE == 2
    if way:
        assert json.loads(done.err)["exit"] == Exit.USAGE


def test_refused_is_3_and_nothing_has_changed(tmp_path: Path, ns: str) -> None:
    (tmp_path / "in.json").write_text('{"a":1}')
    with Server(tmp_path / "data", mode="serve", arguments=("--databases", ns)) as server:
        client = Client(server.url, ns, tmp_path)
        lines: list[tuple[str, ...]] = [
            ("get", "/"),
            ("set", "/a", "1"),
            ("update", "/", "{}"),
            ("push", "/", "1"),
            ("remove", "/a"),
        ]
        lines += [("watch", "/"), ("export", "/"), ("export", "/", "out.json"), ("import", "/", "in.json")]
        for line in [*lines, ("import", "/", "in.json", "--resumable")]:
            for way in ((), ("--json",)):
                done = client(*line, *way)
                assert (done.code, done.out) == (Exit.REFUSED, ""), line
                assert "Permission denied" in done.err
                assert not way or json.loads(done.err)["exit"] == Exit.REFUSED == 3
        unknown = run("get", "/", "--url", server.url, "-d", "unknown")
        assert (unknown.code, "404" in unknown.err) == (Exit.REFUSED, True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data", "in.json"]


def test_what_the_server_cannot_read_or_answer_is_refused_too(client: Client) -> None:
    for line in (
        ("set", "/a", "{"),
        ("update", "/a", "1"),
        ("get", "/", "--order-by", "n"),
        ("get", "/", "--limit-to-first", "1"),
    ):
        assert client(*line).code == Exit.REFUSED, line


@pytest.mark.parametrize(
    "line",
    [
        ("get", "/"),
        ("set", "/a", "1"),
        ("push", "/", "1"),
        ("remove", "/a"),
        ("watch", "/"),
        ("export", "/", "out"),
        ("import", "/", "-"),
    ],
)
def test_unreachable_is_4(client: Client, line: tuple[str, ...]) -> None:
    done = client(*line, "--url", "http://127.0.0.1:1", stdin=b"1")
    assert (done.code, done.out) == (Exit.UNREACHABLE, "")
    assert Exit.UNREACHABLE == 4
    assert list(client.folder.iterdir()) == []


# get


PEOPLE: dict[str, Any] = {
    "ada": {"n": 2, ".priority": 2}, "bob": {"n": 1, ".priority": 1}, "cy": {"n": 3, ".priority": "p"}, "7": {"n": True},
}  # fmt: skip


@pytest.mark.parametrize(
    ("flags", "selected"),
    [
        ("--order-by n", ["7", "ada", "bob", "cy"]),
        ("--order-by n --start-at 2", ["ada", "cy"]),
        ("--order-by n --start-after 2", ["cy"]),
        ("--order-by n --end-at 2", ["7", "ada", "bob"]),
        ("--order-by n --end-before 2", ["7", "bob"]),
        ("--order-by n --equal-to true", ["7"]),
        ("--order-by n --limit-to-first 2", ["7", "bob"]),
        ("--order-by n --limit-to-last 1", ["cy"]),
        ("--order-by n --start-at 1 --end-at 2 --limit-to-last 1", ["ada"]),
        ('--order-by $key --start-at "b" --limit-to-first 1', ["bob"]),
        ("--order-by $priority --start-at 2", ["ada", "cy"]),
        ("--order-by $priority --limit-to-last 1 --export", ["cy"]),
        ("--shallow --limit-to-first 2", ["7", "ada"]),
        ('--shallow --start-after "ada"', ["bob", "cy"]),
        ("--order-by n --equal-to 9", []),
    ],
)
def test_each_flag_of_get_selects_children(client: Client, server: Server, ns: str, flags: str, selected: list[str]) -> None:
    server.write("/people", PEOPLE, ns=ns)
    rules = {"rules": {".read": True, "people": {".indexOn": "n"}}}
    assert server.rest("PUT", "/.settings/rules", rules, ns=ns).status == 200
    assert sorted(json.loads(client.ok("get", "/people", *flags.split())) or {}) == selected
