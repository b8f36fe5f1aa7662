"""The command line as a script runs it: processes, pipes and exit codes."""

from __future__ import annotations

import os
import queue
import subprocess
import sys
import threading
from pathlib import Path

from meadowlark.cli.application import Exit
from tests.harness import SOURCE

SECONDS = 60.0


class Done:
    def __init__(self, process: subprocess.CompletedProcess[bytes]) -> None:
        self.code = process.returncode
        self.out = process.stdout.decode()
        self.err = process.stderr.decode()


def command(arguments: tuple[str, ...]) -> list[str]:
    return [sys.executable, "-m", "meadowlark.cli", *arguments]


def environment(**more: str) -> dict[str, str]:
    kept = {name: text for name, text in os.environ.items() if not name.startswith("MEADOWLARK_")}
    return {**kept, "PYTHONPATH": str(SOURCE), **more}


def run(*arguments: str, stdin: bytes = b"", cwd: Path | None = None, **variables: str) -> Done:
    process = subprocess.run(
        command(arguments), input=stdin, capture_output=True, timeout=SECONDS, check=False, cwd=cwd, env=environment(**variables)
    )
    return Done(process)


class Client:
    """Runs commands for one database, named by the environment."""

    def __init__(self, url: str, ns: str, folder: Path) -> None:
        self.folder = folder
        self._variables = {"MEADOWLARK_CLIENT_URL": url, "MEADOWLARK_CLIENT_DATABASE": ns}

    def __call__(self, *arguments: str, stdin: bytes = b"") -> Done:
        return run(*arguments, stdin=stdin, cwd=self.folder, **self._variables)

    def ok(self, *arguments: str, stdin: bytes = b"") -> str:
        done = self(*arguments, stdin=stdin)
        assert done.code == Exit.DONE, done.err
        return done.out


class Watching:
    """A running `watch`; `next` is its next line."""

    def __init__(self, url: str, ns: str, *arguments: str) -> None:
        self._process = subprocess.Popen(
            command(("watch", *arguments, "--url", url, "--database", ns)),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment(PYTHONUNBUFFERED="1"),
        )
        self._lines: queue.Queue[str] = queue.Queue()
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def next(self) -> str:
        return self._lines.get(timeout=SECONDS)

    def end(self) -> tuple[int, str]:
        """Waits for its end; exit code and what it said to people."""
        _, err = b"", self._process.stderr.read() if self._process.stderr else b""
        return self._process.wait(SECONDS), err.decode()

    def interrupt(self) -> None:
        self._process.send_signal(2)

    def close(self) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait(10)
        self._thread.join(5)
        for stream in (self._process.stdout, self._process.stderr):
            if stream is not None:
                stream.close()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._lines.put(line.decode().rstrip("\n"))
