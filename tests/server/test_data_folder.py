"""One server at a time on a data folder."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from meadowlark.errors import DataFolderLocked, WorldError
from meadowlark.server import data_folder as module
from meadowlark.server.data_folder import DataFolder


def test_the_second_server_is_refused_with_the_first_named(tmp_path: Path) -> None:
    first = DataFolder(str(tmp_path))
    first.sign(["http://127.0.0.1:9000"])
    with pytest.raises(DataFolderLocked, match=rf"pid {os.getpid()} at http://127.0.0.1:9000: stop that one, or choose"):
        DataFolder(str(tmp_path))
    os.close(first.lock)
    os.close(DataFolder(str(tmp_path)).lock)


def test_the_lock_lasts_as_long_as_an_inheriting_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A dead holder's workers are waited for, and then given up on with the same message."""
    monkeypatch.setattr(module, "ORPHANS_SECONDS", 0.2)
    first = DataFolder(str(tmp_path))
    worker = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, pass_fds=[first.lock])
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait(timeout=20)
    os.pwrite(first.lock, b'{"pid": %d, "urls": []}' % gone.pid, 0)
    os.close(first.lock)
    with pytest.raises(DataFolderLocked, match=f"pid {gone.pid}"):
        DataFolder(str(tmp_path))
    monkeypatch.setattr(module, "ORPHANS_SECONDS", 20.0)
    worker.communicate(b"\n", timeout=20)
    os.close(DataFolder(str(tmp_path)).lock)


def test_a_folder_is_made_for_its_owner_only(tmp_path: Path) -> None:
    folder = DataFolder(str(tmp_path / "new" / "data"))
    assert os.stat(folder.path).st_mode & 0o077 == 0
    os.close(folder.lock)


def test_a_place_that_cannot_be_a_folder_is_refused_in_words(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(WorldError, match="cannot be used"):
        DataFolder(str(tmp_path / "file"))
