"""`rules lint` and `rules test` as commands of a user's CI: what they print, with line and column, and how they end."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from meadowlark.cli import application
from tests.harness import PROJECT

WRITE = '".write": "auth != null",\n'
LINTED = {
    "open to the world": ('".read": true, // All.', "2:22: .read is true: everyone may read /a"),
    "open for a time": ('".write": "now < 1700000000000"', "2:23: .write only waits for a time: until then everyone may write"),
    "unreachable below a grant": ('".read": true, // lint: ok\n"b": {".read": "auth != null"}', "3:16: .read adds nothing to"),
    "a denial below a grant": ('".write": true, // lint: ok\n"b": {".write": false}', "3:17: .write cannot take back"),
    "a check that is never asked": ('".validate": "newData.isString()"', "2:26: .validate is never asked"),
    "shadowed": ('"lobby": {},\n"$room": {".read": "auth != null"}', "3:20: .read does not count for 'lobby'"),
    "a missing index": (
        '".read": "query.orderByChild == \'at\'"',
        "2:22: an index is missing: the rule asks for orderByChild('at')",
    ),
    "an index in vain": ('".read": "auth != null",\n".indexOn": ".key"', "3:13: '.key' needs no index"),
    "an index for admins": ('".indexOn":\n  ["at"]', "3:3: .indexOn is only of use to admins"),
    "a check that cannot hold": (
        WRITE + '".validate": "newData.isString() && newData.hasChild(\'x\')"',
        "3:14: .validate cannot hold: it wants a string and children at once",
    ),
    "a child that cannot be": (
        WRITE + '".validate": "newData.hasChild(\'x\')",\n"x": {".validate": false}',
        "3:14: the child 'x' is required here, and its own .validate is false",
    ),
    "no room below": (
        WRITE + '".validate": "newData.isString()",\n"b": {".validate": "newData.val() != 1"}',
        "4:20: .validate lets nothing in: .validate at /a (line 3) leaves no room here",
    ),
    "a check of nothing": (WRITE + '".validate": true', "3:14: .validate is true: it checks nothing"),
    "a capture as a number": ('"$b": {".read": "$b === 5"}', "2:29: a capture is a string"),
    "a missing anchor": ('".read": "auth.uid.matches(/^[a-z]+/)"', "2:22: /^[a-z]+/ is anchored at one end only"),
    "what has no meaning": ('".read": "auth.uid.matches(/^(?:a)$/)"', "2:22: '(?' has no meaning"),
}


def run(*arguments: str) -> tuple[int, str]:
    done = CliRunner().invoke(application, ["rules", *arguments])
    return done.exit_code, done.output


def program(*arguments: str) -> tuple[int, str, str]:
    made = subprocess.run(
        [sys.executable, "-m", "meadowlark.cli", "rules", *arguments], cwd=PROJECT, capture_output=True, text=True, timeout=60
    )
    return made.returncode, made.stdout, made.stderr


@pytest.mark.parametrize("kind", LINTED)
def test_lint_tells_each_kind_with_its_place_and_ends_with_1(kind: str, tmp_path: Path) -> None:
    text, finding = LINTED[kind]
    file = tmp_path / "rules.json"
    file.write_text('{"rules": {\n      "a": {' + text + "\n}}}")
    code, output = run("lint", str(file))
    assert code == 1
    assert [line for line in output.splitlines() if line.startswith(f"{file}:{finding}")], output


def test_lint_as_a_program_of_its_own(tmp_path: Path) -> None:
    file = tmp_path / "rules.json"
    file.write_text('{"rules": {\n  "a": {".read": true},\n  "b": {".write": true} // Everyone\'s. lint: ok\n}}')
    code, output, _ = program("lint", str(file))
    assert (code, output.count("\n")) == (1, 1)
    assert output.startswith(f"{file}:2:18: .read is true")
    file.write_text('{"rules": {"a": {".read": "auth != null"}}}')
    assert program("lint", str(file)) == (0, "", "")
    file.write_text('{"rules": {"a": {".read": "nobody"}}}')
    code, output, complaint = program("lint", str(file))
    assert (code, output) == (2, "")
    assert f"{file}:1:28: Unknown variable 'nobody'." in complaint


RULES = """{
  "rules": {
    "rooms": {
      "$room": {
        ".read": "auth != null && (data.child('open').val() === true ||
                   data.child('members').hasChild(auth.uid))",
        ".write": "auth.uid === 'anna' ? newData.exists() : auth.token.admin === true",
        "name": {".validate": "newData.isString()"}
      }
    },
    "log": {".write": "auth != null"}
  }
}"""
CASES: list[Any] = [
    {"as": "anna", "read": "/rooms/1", "expect": "allow"},
    {"read": "/rooms/1", "expect": "deny"},
    {"as": "anna", "set": "/rooms/1/name", "value": "x", "expect": "allow"},
    {"as": "anna", "set": "/rooms/1", "value": None, "expect": "deny"},
]
MORE: list[Any] = [
    {"as": "bert", "read": "/rooms/2", "expect": "allow"},
    {"as": "carl", "read": "/rooms/2", "expect": "deny"},
    {"as": "bert", "set": "/rooms/1/name", "value": "x", "expect": "deny"},
    {"as": {"uid": "bert", "token": {"admin": True}}, "set": "/rooms/1/name", "value": 1, "expect": "deny"},
    {"set": "/log", "value": 1, "expect": "deny"},
    {"as": "bert", "set": "/log", "value": 1, "expect": "allow"},
]


@pytest.fixture
def cases(tmp_path: Path) -> Path:
    (tmp_path / "rules.json").write_text(RULES)
    return write_cases(tmp_path / "cases.json", CASES)


def write_cases(file: Path, cases: list[Any]) -> Path:
    data = {"rooms": {"1": {"open": True}, "2": {"members": {"bert": True}}}}
    file.write_text(json.dumps({"rules": "rules.json", "data": data, "cases": cases}))
    return file


def test_what_cases_leave_untested_is_listed_with_its_place(cases: Path) -> None:
    code, output = run("test", str(cases), "--coverage")
    assert code == 0
    assert output.splitlines() == [
        "5:35: in .read at /rooms/$room: (data.child('open').val() === true || data.child('members').hasChild(auth.uid))"
        " was never false",
        "7:20: in .write at /rooms/$room: auth.uid === 'anna' was never false",
        "7:61: in .write at /rooms/$room: auth.token.admin === true was never asked",
        "8:31: .validate at /rooms/$room/name was never false",
        "11:23: .write at /log was never asked",
        "2 of 4 rules and 2 of 7 conditions in them were seen with each outcome",
        "4 of 4 cases came out as expected",
    ]


def test_coverage_can_be_required(cases: Path) -> None:
    assert run("test", str(cases))[0] == 0
    code, required = run("test", str(cases), "--require-coverage")
    assert (code, required) == (1, run("test", str(cases), "--coverage")[1])
    write_cases(cases, CASES + MORE)
    assert run("test", str(cases), "--require-coverage") == (
        0,
        "4 of 4 rules and 7 of 7 conditions in them were seen with each outcome\n10 of 10 cases came out as expected\n",
    )
    write_cases(cases, [*CASES, *MORE, {"read": "/rooms/1", "expect": "allow"}])
    code, output, _ = program("test", str(cases), "--require-coverage")
    assert (code, output.splitlines()[0]) == (1, "FAILED  nobody may read /rooms/1")


def test_what_failed_is_not_said_to_be_unasked(tmp_path: Path) -> None:
    (tmp_path / "rules.json").write_text('{"rules": {".read": "auth.uid.length > 3 && auth.uid.length < 9"}}')
    file = write_cases(
        tmp_path / "cases.json", [{"read": "/", "expect": "deny"}, {"as": "longer", "read": "/", "expect": "allow"}]
    )
    assert run("test", str(file), "--coverage")[1].splitlines() == [
        "1:22: in .read at /: auth.uid.length > 3 was never false",
        "1:45: in .read at /: auth.uid.length < 9 was never false",
        "1 of 1 rules and 0 of 2 conditions in them were seen with each outcome",
        "2 of 2 cases came out as expected",
    ]
