"""The server for users' tests: on a free port, with data that is thrown away, and surely gone afterwards."""

from __future__ import annotations

from pathlib import Path

import pytest

from meadowlark.testing import DevServer, NotStarted, fresh_database
from tests.harness import alive

pytestmark = pytest.mark.slow


def test_a_database_without_pytest_ends_with_its_server(monkeypatch):
    monkeypatch.setenv("MEADOWLARK_PORT", "1")  # Settings of the shell are not those of the test.
    with fresh_database("shop") as database:
        database.set("/a", 1)
        assert database.get() == {"a": 1}
        assert database.name.startswith("shop-")


def test_a_server_is_gone_when_it_was_stopped_with_its_data():
    server = DevServer().start()
    pid, folder = server.pid, server._folder
    assert folder is not None
    assert server.url.startswith("http://127.0.0.1:")
    assert "READY" in server.output()
    assert server.output(since=server.lines_printed) == ""
    server.stop()
    server.stop()
    assert not alive(pid)
    assert not Path(folder).exists()


def test_who_interrupts_the_start_leaves_no_server_behind(monkeypatch):
    server = DevServer()
    started = []

    def interrupted(process):
        started.append(process)
        raise KeyboardInterrupt

    monkeypatch.setattr(server, "_wait_until_ready", interrupted)
    with pytest.raises(KeyboardInterrupt):
        server.start()
    (process,) = started
    assert process.poll() is not None
    assert not alive(process.pid)


def test_a_server_that_cannot_start_shows_why():
    server = DevServer("--workers", "none")
    with pytest.raises(NotStarted, match=r"(?s)before it was ready.*none"):
        server.start()
    assert server._folder is not None
    assert not server._folder.exists()
