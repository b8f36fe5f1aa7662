"""What a server says at its start."""

from __future__ import annotations

from meadowlark.server.banner import banner
from meadowlark.server.build import BUILD
from meadowlark.server.config import Mode, load


def said(mode: Mode, url: str = "http://127.0.0.1:9000", **flags: object) -> str:
    return banner(load(mode, file=None, environment={}, flags=flags), [url], data="/srv/lark")


def test_the_build_that_runs_is_named():
    assert f"1 worker · {BUILD}\n" in said("dev")


def test_dev_gives_lines_to_paste_and_warns():
    words = said("dev", "http://127.0.0.1:4321")
    assert 'connectDatabaseEmulator(getDatabase(app), "127.0.0.1", 4321)' in words
    assert "FIREBASE_DATABASE_EMULATOR_HOST=127.0.0.1:4321" in words
    assert "EVERYTHING IS OPEN" in words


def test_dev_says_whether_the_data_is_kept():
    assert "/srv/lark (thrown away at the end" in said("dev")
    assert "/srv/lark (kept)" in said("dev", data="/srv/lark")


def test_serve_says_where_the_credential_is_and_that_all_is_denied():
    words = said("serve", data="/srv/lark")
    assert "credential in /srv/lark/admin-credential" in words
    assert "meadowlark databases create NAME --data /srv/lark" in words
    assert "Everything is denied without the admin credential" in words


def test_serve_without_tls_warns_only_where_others_can_listen_in():
    assert "No TLS" not in said("serve")
    assert "No TLS" in said("serve", "http://0.0.0.0:9000", host="0.0.0.0")


def test_every_address_is_named():
    words = banner(load("dev", file=None, environment={}, flags={}), ["http://127.0.0.1:1", "http://[::1]:1"], data="/d")
    assert "http://127.0.0.1:1 http://[::1]:1" in words


def test_one_worker_is_singular():
    assert "1 worker ·" in said("dev")
    assert "3 workers ·" in said("dev", workers="3")


def test_the_command_to_paste_is_the_one_that_was_called(monkeypatch):
    monkeypatch.setattr("sys.argv", ["/srv/lark/.venv/bin/meadowlark"])
    monkeypatch.setenv("PATH", "/nowhere")
    assert "/srv/lark/.venv/bin/meadowlark databases create NAME" in said("serve")
