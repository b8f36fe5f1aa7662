"""Exports of Firebase's emulators: what its command line writes begins a server of ours, and what ours writes it reads."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conformance.packages import installed
from tests.harness import Server

FOLDER = Path(__file__).parent / "command_line"
SECONDS = 100.0
ROOMS: dict[str, Any] = {"a": {".value": 1, ".priority": 2}, "list": {"0": "x", "1": "y"}, "é": {"deep": True}}

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

Official = Callable[[str, Server, Path], None]


@pytest.fixture
def official(tmp_path: Path) -> Official:
    """Runs Firebase's import or export against a server."""
    installed(FOLDER)

    def run(what: str, server: Server, folder: Path) -> None:
        environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "CI": "1"}
        command = ["node", str(FOLDER / "emulator.cjs"), what, "127.0.0.1", str(server.port), str(folder)]
        done = subprocess.run(
            command, cwd=tmp_path, env=environment, text=True, timeout=SECONDS, check=False,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout

    return run


def exported(server: Server, ns: str) -> Any:
    return server.rest("GET", "/", ns=ns, query="format=export").json()


def test_what_firebase_exports_a_server_begins_with_and_exports_at_its_end(official: Official, tmp_path: Path) -> None:
    folder = tmp_path / "saved"
    with Server(None) as first:
        first.write("/", ROOMS, ns="rooms")
        first.write("/", "leaf", ns="other")
        first.write("/gone", 1, ns="empty")
        first.write("/gone", None, ns="empty")
        official("export", first, folder)
    assert sorted(os.listdir(folder / "database_export")) == ["other.json", "rooms.json"]
    with Server(None, arguments=("--import", str(folder), "--export-on-exit")) as second:
        assert exported(second, "rooms") == ROOMS
        assert exported(second, "other") == "leaf"
        second.write("/a", 5, ns="rooms")
        second.write("/", None, ns="other")
        second.stop()
    assert os.listdir(folder / "database_export") == ["rooms.json"]
    assert json.loads((folder / "database_export" / "rooms.json").read_text()) == ROOMS | {"a": 5}


def test_what_a_server_exports_firebase_imports(official: Official, tmp_path: Path) -> None:
    folder = tmp_path / "made-here"
    with Server(None, arguments=("--import", str(folder), "--export-on-exit")) as first:
        first.write("/", ROOMS, ns="rooms")
        first.stop()
    with Server(None) as second:
        official("import", second, folder)
        assert exported(second, "rooms") == ROOMS


def test_a_server_that_cannot_import_does_not_start(tmp_path: Path) -> None:
    refused = Server(None, arguments=("--import", str(tmp_path)))
    code, output = refused.run_refused()
    assert (code != 0, "firebase-export-metadata.json" in output) == (True, True)
    (tmp_path / "firebase-export-metadata.json").write_text('{"database":{"path":"database_export"}}')
    (tmp_path / "database_export").mkdir()
    (tmp_path / "database_export" / "rooms.json").write_text('{"bad.key":1}')
    code, output = Server(None, arguments=("--import", str(tmp_path))).run_refused()
    assert (code, "rooms.json" in output, "READY" in output) == (1, True, False)
