"""A Meadowlark under load: started as users start it, in a process of its own, on a core of its own.

Production mode, durable acknowledgements, the data folder on a disk (a memory file system is refused: a sync would cost
nothing there). The processes' core is set before they start; workers pin themselves inside what they are given.
Ended by its own pid. Does not know: what is asked of it.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from http.client import HTTPConnection
from pathlib import Path
from types import TracebackType

import meadowlark
from bench import machine

START_SECONDS_MAX = 30.0
STOP_SECONDS_MAX = 30.0
REST_SECONDS_MAX = 120.0
READY = re.compile(r"READY https?://([\d.]+):(\d+) pid=(\d+) workers=(\d+) data=(.*)")


class Server:
    """One server with an empty data folder. A context manager: running inside, gone after."""

    def __init__(self, *, workers: int = 1, cores: set[int], flags: tuple[str, ...] = (), source: Path | None = None) -> None:
        self.cores = cores
        # The source that measures, or the native build.
        self._source = source or Path(meadowlark.__file__).parents[1]
        self._arguments = ["--host", "127.0.0.1", "--port", "0", "--workers", str(workers), "--create-databases", *flags]
        self._folder = Path()
        self._process: subprocess.Popen[str] | None = None
        self.host, self.port = "", 0
        self.credential = ""
        self.workers: list[int] = []  # pids

    def __enter__(self) -> Server:
        # Beside the checkout, because /tmp is memory on many machines.
        self._folder = Path(tempfile.mkdtemp(dir=machine.cache_folder("bench")))
        if machine.is_memory_file_system(self._folder):
            raise SystemExit(f"{self._folder} is in memory, and durable figures need a disk: set the checkout on one")
        try:
            self._start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()

    def usage(self) -> machine.Usage:
        """What the workers have used so far; the supervisor only waits."""
        return machine.usage(self.workers)

    def ask(self, method: str, target: str, body: bytes | None = None) -> bytes:
        """What is answered over REST to an administrator. Raises SystemExit for what is refused."""
        connection = HTTPConnection(self.host, self.port, timeout=REST_SECONDS_MAX)
        try:
            connection.request(method, target, body, {"Authorization": f"Bearer {self.credential}"})
            answer = connection.getresponse()
            said = answer.read()
        finally:
            connection.close()
        if answer.status >= 300:
            raise SystemExit(f"{method} {target} was answered {answer.status}: {said[:300]!r}\n{self.log()}")
        return said

    def log(self) -> str:
        """The end of what the server said, for error messages."""
        file = self._folder / "log"
        return file.read_text(errors="replace")[-3000:] if file.exists() else ""

    def restart(self) -> None:
        """Ends it and starts it again on the same data, on another port."""
        self._end()
        self._start()

    def stop(self) -> None:
        """Ends the server and removes its data."""
        self._end()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _end(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(STOP_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdout is not None:
            process.stdout.close()

    def _start(self) -> None:
        data = self._folder / "data"
        command = [sys.executable, "-m", "meadowlark.cli", "serve", "--data", str(data), *self._arguments]
        environment = {name: value for name, value in os.environ.items() if not name.startswith("MEADOWLARK_")}
        environment["PYTHONPATH"] = str(self._source)
        with (self._folder / "log").open("w") as log:
            self._process = subprocess.Popen(
                command, env=environment, stdout=subprocess.PIPE, stderr=log, text=True, cwd=machine.ROOT
            )
        # Before any worker can exist: Python needs far longer to import itself.
        os.sched_setaffinity(self._process.pid, self.cores)
        ready = self._wait_until_ready(self._process)
        self.host, self.port = ready[1], int(ready[2])
        self.workers = machine.children(int(ready[3]))
        self.credential = (data / "admin-credential").read_text().strip()

    def _wait_until_ready(self, process: subprocess.Popen[str]) -> re.Match[str]:
        assert process.stdout is not None
        late = threading.Timer(START_SECONDS_MAX, process.kill)
        late.start()
        try:
            for line in process.stdout:
                if ready := READY.match(line):
                    return ready
        finally:
            late.cancel()
        raise SystemExit(f"the server was not ready within {START_SECONDS_MAX:g} s; it said:\n{self.log()}")
