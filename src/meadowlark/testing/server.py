"""A server for tests: `meadowlark dev` on a free port of loopback, with data that is thrown away.

Started as a user starts it, in a process of its own, and ended by its own pid. Every wait is bounded. What it prints is kept, so
that a failed test can show it. Databases cost nothing until they are touched, so one server is enough for all tests, and
each takes a `database` with a name of its own.
Source: docs/testing.md.
"""

from __future__ import annotations

import collections
import contextlib
import itertools
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import meadowlark
from meadowlark.testing.database import Database

START_SECONDS = 60.0
"""From exec to READY: about one, and more on a machine that is busy."""
STOP_SECONDS = 20.0
LINES_KEPT = 2000
NAME_CHARACTERS_MAX = 63
"""Of a database, see docs/semantics.md "Databases"."""

_READY = re.compile(r"^READY (?P<url>\S+) pid=\d+ ")


class NotStarted(Exception):
    """The server did not come to where it answers; the text is what it printed."""


class DevServer:
    """One server. Use it in `with`, or `start` and `stop`."""

    def __init__(self, *arguments: str) -> None:
        """arguments: more of those of `meadowlark dev`, such as "--rules-file", "rules.json"."""
        self.url = ""
        """`http://127.0.0.1:PORT` once started."""
        self.lines_printed = 0
        self._arguments = arguments
        self._lines: collections.deque[str] = collections.deque(maxlen=LINES_KEPT)
        self._folder: Path | None = None
        self._process: subprocess.Popen[str] | None = None
        self._reader: threading.Thread | None = None
        self._is_ready = threading.Event()
        self._names = itertools.count(1)

    def __enter__(self) -> DevServer:
        return self.start()

    def __exit__(self, *error: object) -> None:
        self.stop()

    def start(self) -> DevServer:
        """Returns when it answers. Raises NotStarted."""
        assert self._process is None, "already started"
        self._is_ready.clear()
        self._folder = Path(tempfile.mkdtemp(prefix="meadowlark-test-"))
        self._process = process = self._spawn(self._folder)
        self._reader = threading.Thread(target=self._read, args=(process,), name="meadowlark server", daemon=True)
        self._reader.start()
        try:
            self._wait_until_ready(process)
        except BaseException:
            # Also when the user interrupts: what was started is ended.
            self.stop()
            raise
        return self

    def stop(self) -> None:
        """It is gone, with its data. Stopping twice is allowed."""
        process, self._process = self._process, None
        if process is None:
            return
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(STOP_SECONDS)
        if process.poll() is None:
            # Its workers end by themselves when they miss it.
            process.kill()
            process.wait(STOP_SECONDS)
        if self._reader is not None:
            self._reader.join(STOP_SECONDS)
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)

    def database(self, topic: str = "test") -> Database:
        """A database that nobody has touched. topic: what its name begins with, whatever characters it has."""
        ending = f"-{next(self._names)}"
        beginning = re.sub(r"[^0-9A-Za-z]+", "-", topic).strip("-") or "test"
        return Database(self.url, beginning[: NAME_CHARACTERS_MAX - len(ending)] + ending)

    @property
    def pid(self) -> int:
        assert self._process is not None, "the server is not running"
        return self._process.pid

    def output(self, *, since: int = 0) -> str:
        """What it printed last. since: after so many lines, see `lines_printed`."""
        lines = list(self._lines)
        return "\n".join(lines[max(0, len(lines) - (self.lines_printed - since)) :])

    # Inside

    def _spawn(self, folder: Path) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "meadowlark.cli", "dev", "--host", "127.0.0.1", "--port", "0", "--workers", "1"]
        # Settings of the user's shell are not those of the test, and the server is of the package that is imported here.
        environment = {name: text for name, text in os.environ.items() if not name.startswith(("MEADOWLARK_", "FIREBASE_"))}
        source = str(Path(meadowlark.__file__).parents[1])
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, [source, environment.get("PYTHONPATH")]))
        return subprocess.Popen(
            [*command, "--data", str(folder / "data"), *self._arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
            errors="replace",
            env=environment | {"PYTHONUNBUFFERED": "1"},
        )

    def _wait_until_ready(self, process: subprocess.Popen[str]) -> None:
        deadline = time.monotonic() + START_SECONDS
        while not self._is_ready.wait(0.02):
            if process.poll() is not None:
                assert self._reader is not None
                self._reader.join(STOP_SECONDS)
                raise NotStarted(f"the server ended with {process.returncode} before it was ready:\n{self.output()}")
            if time.monotonic() > deadline:
                raise NotStarted(f"the server was not ready within {START_SECONDS} s:\n{self.output()}")

    def _read(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        with process.stdout:
            for line in process.stdout:
                self._lines.append(line.rstrip("\n"))
                self.lines_printed += 1
                if ready := _READY.match(line):
                    self.url = ready["url"].rstrip("/")
                    self._is_ready.set()


@contextlib.contextmanager
def fresh_database(topic: str = "test", *arguments: str) -> Iterator[Database]:
    """A database on a server of its own, for who has no pytest. Many of them: one `DevServer`, and its `database`."""
    with DevServer(*arguments) as server, server.database(topic) as database:
        yield database
