"""Listing and creating databases from outside the server."""

from __future__ import annotations

import fcntl
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from meadowlark.errors import DataFolderLocked, Refused, WorldError
from meadowlark.server.administration import create_database, list_databases, repair_data

CREDENTIAL = "a-credential-of-some-length"


@pytest.fixture
def data(tmp_path: Path) -> str:
    (tmp_path / "admin-credential").write_text(CREDENTIAL)
    (tmp_path / "admin-credential").chmod(0o600)
    return str(tmp_path)


def create(name: str, data: str, url: str | None = None) -> bool:
    return create_database(name, data=data, credential_file=os.path.join(data, "admin-credential"), url=url)


@contextmanager
def held(data: str, text: str) -> Iterator[None]:
    """The data folder as a server holds it, with `text` in LOCK."""
    with open(os.path.join(data, "LOCK"), "w") as lock:
        lock.write(text)
        lock.flush()
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextmanager
def server(status: int, body: bytes = b"{}") -> Iterator[tuple[str, list[tuple[str, str | None]]]]:
    """A server that answers `status` to every PUT, and what it was asked."""
    asked: list[tuple[str, str | None]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_PUT(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            asked.append((self.path, self.headers["Authorization"]))
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as listening:
        thread = threading.Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{listening.server_port}", asked
        finally:
            listening.shutdown()
            thread.join()


def test_without_a_server_the_folder_is_made_and_listed(data):
    assert create("lark", data)
    assert create("bunting", data)
    assert list_databases(data) == ["bunting", "lark"]


def test_a_database_that_exists_is_left_alone(data):
    create("lark", data)
    Path(data, "databases", "lark", "snapshot-1").write_text("kept")
    assert not create("lark", data)
    assert Path(data, "databases", "lark", "snapshot-1").read_text() == "kept"


def test_a_data_folder_without_databases_lists_none(data):
    assert list_databases(data) == []


@pytest.mark.parametrize("name", ["../lark", "", "a/b", ".hidden", "x" * 64])
def test_a_name_that_cannot_be_one_makes_nothing(data, name):
    with pytest.raises(Refused, match="is not a database name"):
        create(name, data)
    assert not Path(data, "databases").exists()


def test_a_running_server_is_asked_with_the_credential(data):
    with server(201) as (url, asked), held(data, f'{{"pid": {os.getpid()}, "urls": ["{url}"]}}'):
        assert create("lark", data)
    assert asked == [("/.meadowlark/databases/lark.json", f"Bearer {CREDENTIAL}")]
    assert list_databases(data) == []


def test_a_server_elsewhere_is_asked_by_its_url(data):
    with server(200) as (url, asked):
        assert not create("lark", data, url)
    assert len(asked) == 1


def test_what_the_server_refuses_is_told(data):
    with server(401, b'{"error":"Permission denied"}') as (url, _), pytest.raises(WorldError, match=r"401.*Permission denied"):
        create("lark", data, url)


def test_a_server_that_is_gone_is_told(data):
    with server(200) as (url, _):
        pass
    with pytest.raises(WorldError, match="did not answer"):
        create("lark", data, url)


def test_a_holder_that_does_not_say_where_it_listens_is_told(data):
    with held(data, "pid 4711"), pytest.raises(DataFolderLocked, match="--url"):
        create("lark", data)


def test_listing_a_folder_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(WorldError, match="is not a folder"):
        list_databases(str(tmp_path / "none"))


def test_repair_of_a_sound_folder_changes_nothing(data):
    assert repair_data(data) == ["Nothing is damaged; nothing was changed."]


def test_repair_is_refused_while_a_server_runs(data):
    with held(data, f'{{"pid": {os.getpid()}, "urls": ["http://127.0.0.1:1"]}}'), pytest.raises(DataFolderLocked, match="in use"):
        repair_data(data)
