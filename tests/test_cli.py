"""The command line as a person meets it. The commands that start a server are tried in tests/conformance."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from meadowlark import __version__, cli
from meadowlark.auth.tokens import find_claims
from meadowlark.server.config import SETTINGS, Config, flag_of


def run(*arguments: str) -> Result:
    return CliRunner().invoke(cli.application, arguments)


@pytest.fixture
def started(monkeypatch):
    """The configurations that the supervisor was asked to run, instead of running them."""
    configs: list[Config] = []

    class Supervisor:
        @staticmethod
        def run(config: Config) -> int:
            configs.append(config)
            return 0

    monkeypatch.setitem(sys.modules, "meadowlark.server.supervisor", Supervisor)
    monkeypatch.setattr("meadowlark.server.supervisor", Supervisor, raising=False)
    return configs


def meadowlark(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """The command in a process of its own, in `cwd`."""
    return subprocess.run(
        [sys.executable, "-m", "meadowlark.cli", *arguments],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_version_is_the_packages():
    assert run("version").output == f"meadowlark {__version__}\n"


@pytest.mark.parametrize("mode", ["serve", "dev"])
@pytest.mark.parametrize("name", SETTINGS)
def test_help_names_every_setting(mode, name):
    assert flag_of(name) in run(mode, "--help").output


def test_flags_become_the_configuration(started, tmp_path):
    result = run("dev", "--port", "0", "--data", str(tmp_path), "--workers", "2", "--no-create-databases", "--databases", "a,b")
    assert result.exit_code == 0, result.output
    config = started[0]
    assert (config.mode, config.port, config.data, config.workers) == ("dev", 0, str(tmp_path), 2)
    assert (config.create_databases, config.databases) == (False, ["a", "b"])


def test_the_configuration_file_is_read(started, tmp_path):
    (tmp_path / "meadowlark.toml").write_text("port = 4321\n")
    run("serve", "--config", str(tmp_path / "meadowlark.toml"))
    assert started[0].port == 4321


def test_the_environment_is_read(started, monkeypatch):
    monkeypatch.setenv("MEADOWLARK_LOG_LEVEL", "debug")
    run("serve")
    assert started[0].log_level == "debug"


def test_the_supervisors_exit_code_is_ours(started, monkeypatch):
    monkeypatch.setattr(sys.modules["meadowlark.server.supervisor"], "run", lambda config: 3)
    assert run("dev").exit_code == 3


def test_a_refused_setting_is_one_line_on_stderr_and_exit_code_2(tmp_path):
    done = meadowlark("dev", "--port", "http", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "meadowlark: --port is 'http'; expected whole number\n"
    assert list(tmp_path.iterdir()) == []


def test_databases_are_created_and_listed_without_a_server(tmp_path):
    assert run("databases", "create", "lark", "--data", str(tmp_path)).output == "lark created\n"
    assert run("databases", "create", "lark", "--data", str(tmp_path)).output == "lark already exists\n"
    assert run("databases", "list", "--data", str(tmp_path)).output == "lark\n"


def test_a_bad_database_name_is_refused(tmp_path):
    done = meadowlark("databases", "create", "../lark", "--data", str(tmp_path), cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith("meadowlark: '../lark' is not a database name")


def test_a_data_folder_that_is_not_there_is_not_listed_as_empty(tmp_path):
    done = meadowlark("databases", "list", "--data", str(tmp_path / "none"), cwd=tmp_path)
    assert done.returncode == 2
    assert "is not a folder" in done.stderr


def test_repair_says_what_it_found(tmp_path):
    assert run("repair", str(tmp_path)).output == "Nothing is damaged; nothing was changed.\n"


# Identity


def test_credentials_are_added_listed_and_revoked(tmp_path):
    data = ("--data", str(tmp_path))
    added = run("credentials", "add", "backup", "--database", "shop", "--read-only", *data)
    assert added.exit_code == 0
    listed = run("credentials", "list", *data).output
    assert listed.startswith("backup\tshop\tread only\tsince 20")
    assert added.output.strip() not in listed
    assert run("credentials", "revoke", "backup", *data).output == "backup revoked\n"
    assert run("credentials", "list", *data).output == ""


def test_a_token_for_development_is_printed_alone():
    made = run("token", "alice", "--claims", '{"tier": "gold"}', "--expires", "2h")
    claims = find_claims(made.output.strip())
    assert claims is not None
    assert (claims["sub"], claims["tier"], claims["exp"] - claims["iat"]) == ("alice", "gold", 7200)


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("--claims", "[]"), "no object"),
        (("--claims", "{"), "not JSON"),
        (("--expires", "0s"), "--expires"),
        (("--expires", "soon"), "--expires"),
        (("--key", "backend"), "identity_file is not set"),
    ],
)
def test_a_token_that_cannot_be_made_is_refused_with_the_reason(arguments, reason, tmp_path):
    made = meadowlark("token", "alice", *arguments, cwd=tmp_path)
    assert made.returncode == 2
    assert reason in made.stderr
