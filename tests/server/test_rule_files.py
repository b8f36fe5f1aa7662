"""Rules and trials in files: read with every fault told by file, line and column."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from meadowlark.cli import application
from meadowlark.errors import ConfigInvalid
from meadowlark.server.rule_files import read_rules, try_file

RULES = '{"rules": {"a": {".read": "auth != null"}}}'
CASES = """{"rules": "rules.json", /* two */ "cases": [
  {"read": "/a", "expect": "deny"}, {"as": "x", "read": "/a", "expect": "allow"},
]}"""


def test_faults_are_told_with_the_file(tmp_path):
    file = tmp_path / "rules.json"
    file.write_text('{"rules": {".read": "a",\n ".write": "b"}}')
    with pytest.raises(ConfigInvalid, match=r"rules.json:1:22: Unknown variable 'a'.\n.*rules.json:2:13: Unknown variable 'b'."):
        read_rules(str(file))
    with pytest.raises(ConfigInvalid, match="cannot be read"):
        read_rules(str(tmp_path / "none.json"))


def test_trials_name_their_rules_beside_them_or_have_them_or_are_given_them(tmp_path):
    (tmp_path / "rules.json").write_text(RULES)
    (tmp_path / "cases.json").write_text(CASES)
    outcomes, _ = try_file(str(tmp_path / "cases.json"), None)
    assert [outcome.is_right for outcome in outcomes] == [True, True]
    (tmp_path / "whole.json").write_text(CASES.replace('"rules.json"', RULES))
    outcomes, _ = try_file(str(tmp_path / "whole.json"), None)
    assert [outcome.is_right for outcome in outcomes] == [True, True]
    (tmp_path / "closed.json").write_text('{"rules": {}}')
    outcomes, _ = try_file(str(tmp_path / "cases.json"), str(tmp_path / "closed.json"))
    assert [outcome.is_right for outcome in outcomes] == [True, False]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"cases": []}', "has no 'rules'"),
        ('{"cases": [{"read": "/"}]}', "expect"),
        ("{", "Parse error"),
        ('{"rules": {"rules": {".read": "x"}}, "cases": []}', "Unknown variable"),
        ('{"rules": {"rules": {}}, "data": {"a.b": 1}, "cases": []}', "any database's"),
    ],
)
def test_what_is_no_trial_file_is_said(tmp_path, text, said):
    (tmp_path / "cases.json").write_text(text)
    with pytest.raises(ConfigInvalid, match=said):
        try_file(str(tmp_path / "cases.json"), None)


def test_the_commands_that_need_no_server(tmp_path):
    (tmp_path / "rules.json").write_text(RULES)
    (tmp_path / "cases.json").write_text(CASES)
    run = lambda *arguments: CliRunner().invoke(application, ["rules", *arguments])  # noqa: E731
    done = run("test", str(tmp_path / "cases.json"), "--coverage")
    assert (done.exit_code, done.output) == (0, "1 of 1 rules were seen with each outcome\n2 of 2 cases came out as expected\n")
    (tmp_path / "closed.json").write_text('{"rules": {"a": {".read": true, "b": {".read": false}}}}')
    done = run("test", str(tmp_path / "cases.json"), "--rules", str(tmp_path / "closed.json"))
    assert done.exit_code == 1
    assert "FAILED  nobody may not read /a\n        .read at /a (line 1, column 27) is true\n" in done.output
    assert "nothing wrong" in run("check", str(tmp_path / "rules.json")).output
    assert run("lint", str(tmp_path / "rules.json")).exit_code == 0
    done = run("lint", str(tmp_path / "closed.json"))
    assert (done.exit_code, len(done.output.splitlines())) == (1, 2)


def test_cases_may_be_yaml_and_broken_yaml_is_said(tmp_path):
    pytest.importorskip("yaml")
    (tmp_path / "rules.json").write_text(RULES)
    file = tmp_path / "cases.yaml"
    file.write_text("rules: rules.json\ncases:\n- {read: /a, expect: deny}\n- {as: x, read: /a, expect: deny}\n")
    outcomes, _ = try_file(str(file), None)
    assert [outcome.is_right for outcome in outcomes] == [True, False]
    file.write_text("rules: [")
    with pytest.raises(ConfigInvalid, match="is not YAML"):
        try_file(str(file), None)
