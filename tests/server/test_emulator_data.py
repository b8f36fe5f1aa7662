"""The folder of an export: what is read of it and what is left as it is. Tried with the real thing in tests/conformance."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from meadowlark.errors import WorldError
from meadowlark.server.emulator_data import ExportFolder

ANSWERS = {
    "/.inspect/databases.json": b'[{"name":"empty"},{"name":"rooms"}]',
    "/.json?ns=empty&shallow=true&limitToFirst=1": b"null",
    "/.json?ns=rooms&shallow=true&limitToFirst=1": b'{"a":true}',
    "/.json?ns=rooms&format=export": b'{"a":1}',
}


class Scripted(BaseHTTPRequestHandler):
    puts: list[tuple[str, bytes]]

    def do_GET(self) -> None:
        body = ANSWERS.get(self.path, b"")
        self.answer(200 if body else 503, body)

    def do_PUT(self) -> None:
        self.puts.append((self.path, self.rfile.read(int(self.headers["content-length"]))))
        self.answer(400 if b"bad" in self.puts[-1][1] else 204, b"")

    def answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: object) -> None: ...


@pytest.fixture
def url() -> Iterator[str]:
    Scripted.puts = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), Scripted)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join(10)
    server.server_close()


def make(folder: Path, description: str, **files: str) -> ExportFolder:
    (folder / "firebase-export-metadata.json").write_text(description)
    (folder / "data").mkdir()
    for name, text in files.items():
        (folder / "data" / f"{name}.json").write_text(text)
    return ExportFolder(str(folder))


def test_each_database_is_loaded_whole(tmp_path: Path, url: str) -> None:
    make(tmp_path, '{"database":{"path":"data"}}', a='{"x":1}', b="2").load_into(url)
    query = "print=silent&disableTriggers=true&writeSizeLimit=unlimited"
    assert Scripted.puts == [(f"/.json?ns=a&{query}", b'{"x":1}'), (f"/.json?ns=b&{query}", b"2")]


def test_what_is_refused_says_which_file(tmp_path: Path, url: str) -> None:
    with pytest.raises(WorldError, match=r"a\.json' was not imported: 400"):
        make(tmp_path, '{"database":{"path":"data"}}', a="bad").load_into(url)


def test_what_holds_something_is_saved_and_the_exports_of_others_stay(tmp_path: Path, url: str) -> None:
    folder = make(tmp_path, '{"version":"15.0.0","auth":{"path":"auth_export"},"database":{"path":"data"}}')
    (tmp_path / "database_export").mkdir()
    (tmp_path / "database_export" / "old.json").write_text("1")
    folder.save_from(url)
    assert {file.name: file.read_text() for file in (tmp_path / "database_export").iterdir()} == {"rooms.json": '{"a":1}'}
    described = json.loads((tmp_path / "firebase-export-metadata.json").read_text())
    assert (described["version"], described["auth"]) == ("15.0.0", {"path": "auth_export"})
    assert described["database"]["path"] == "database_export"
    assert folder.files() == {"rooms": str(tmp_path / "database_export" / "rooms.json")}


def test_an_export_that_fails_leaves_what_was_there(tmp_path: Path, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = ExportFolder(str(tmp_path / "new"))
    folder.save_from(url)
    monkeypatch.delitem(ANSWERS, "/.json?ns=rooms&format=export")
    with pytest.raises(WorldError, match="rooms was answered with 503"):
        folder.save_from(url)
    assert (tmp_path / "new" / "database_export" / "rooms.json").read_text() == '{"a":1}'
    assert sorted(file.name for file in (tmp_path / "new").iterdir()) == ["database_export", "firebase-export-metadata.json"]


@pytest.mark.parametrize(
    ("description", "file", "says"),
    [
        ("{", "a", "cannot be read"),
        ("[]", "a", "is no object"),
        ('{"database":{"path":"none"}}', "a", "cannot be imported"),
        ('{"database":{"path":"data"}}', "no name", "is not a database name"),
    ],
)
def test_what_is_no_export_is_said_before_anything_is_loaded(tmp_path: Path, description: str, file: str, says: str) -> None:
    with pytest.raises(WorldError, match=says):
        make(tmp_path, description, **{file: "1"}).files()


def test_an_export_of_other_emulators_has_no_databases(tmp_path: Path) -> None:
    assert make(tmp_path, '{"auth":{"path":"auth_export"}}').files() == {}
    assert not ExportFolder(str(tmp_path / "none")).exists
    with pytest.raises(WorldError, match=r"has no firebase-export-metadata\.json"):
        ExportFolder(str(tmp_path / "none")).files()
