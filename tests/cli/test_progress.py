"""Progress of long work: a bar on a terminal, and nothing where standard error is none."""

from __future__ import annotations

import json
import os
import pty
import select
import subprocess
import time
from pathlib import Path

import pytest

from meadowlark.cli.application import Exit
from tests.cli.running import SECONDS, Client, command, environment
from tests.harness import Server

LARGE = {f"k{number:05}": "x" * 200 for number in range(40_000)}

pytestmark = pytest.mark.slow


def on_a_terminal(server: Server, ns: str, folder: Path, *arguments: str) -> tuple[int, str]:
    """Exit code, and what a terminal was told. Standard output is none."""
    master, slave = pty.openpty()
    variables = {"MEADOWLARK_CLIENT_URL": server.url, "MEADOWLARK_CLIENT_DATABASE": ns}
    process = subprocess.Popen(
        command(arguments),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=slave,
        cwd=folder,
        env=environment(**variables),
    )
    os.close(slave)
    told, ends_at = b"", time.monotonic() + SECONDS
    try:
        while time.monotonic() < ends_at:
            if not select.select([master], [], [], 1.0)[0]:
                continue
            try:
                piece = os.read(master, 65_536)
            except OSError:  # The other end is closed.
                break
            if not piece:
                break
            told += piece
        return process.wait(SECONDS), told.decode()
    finally:
        os.close(master)
        if process.poll() is None:
            process.kill()
            process.wait(SECONDS)


def test_import_and_export_show_how_far_they_are_on_a_terminal(server: Server, ns: str, tmp_path: Path) -> None:
    (tmp_path / "in.json").write_text(json.dumps(LARGE))
    code, told = on_a_terminal(server, ns, tmp_path, "import", "/", "in.json")
    assert code == Exit.DONE
    assert "\r\x1b[Kimport [" in told
    assert "% of 8.6 MB, " in told
    assert told.endswith("\r\x1b[K" + f"{(tmp_path / 'in.json').stat().st_size} bytes imported in one step, all or nothing\r\n")
    code, told = on_a_terminal(server, ns, tmp_path, "import", "/", "in.json", "--resumable", "--part-bytes", "100000")
    assert code == Exit.DONE
    assert "\r\x1b[Kcheck [" in told
    assert "\r\x1b[Kimport [" in told
    code, told = on_a_terminal(server, ns, tmp_path, "export", "/", "out.json")
    assert code == Exit.DONE
    assert "\r\x1b[Kexport " in told
    assert " MB/s" in told
    assert told.endswith("\r\x1b[K")
    assert json.loads((tmp_path / "out.json").read_text()) == LARGE


@pytest.mark.parametrize("flag", ["--quiet", "--json"])
def test_nothing_is_shown_where_it_is_not_wanted(server: Server, ns: str, tmp_path: Path, flag: str) -> None:
    (tmp_path / "in.json").write_text(json.dumps(LARGE))
    assert on_a_terminal(server, ns, tmp_path, "import", "/", "in.json", "--resumable", flag) == (Exit.DONE, "")
    assert on_a_terminal(server, ns, tmp_path, "export", "/", "out.json", flag) == (Exit.DONE, "")


def test_nothing_is_shown_in_a_pipe(client: Client) -> None:
    (client.folder / "in.json").write_text(json.dumps(LARGE))
    done = client("import", "/", "in.json", "--resumable")
    assert done.code == Exit.DONE
    assert done.err.splitlines()[0].endswith("parts, resumably")
    assert done.err.count("\n") == 1
    done = client("export", "/", "out.json")
    assert (done.code, done.out, done.err) == (Exit.DONE, "", "")
