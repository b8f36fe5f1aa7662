"""A real server under test: started as a user starts it, spoken to over loopback, ended by its own pid.

`Server` runs `python -m meadowlark.cli dev|serve` in its own data folder, waits for the READY line, keeps what the server
printed (shown when something goes wrong) and ends every process it knows of. `Script` runs one Node script. A broken network
between the two is made by proxy.py. Every wait is bounded; nothing here leaves loopback.
"""

from __future__ import annotations

import collections
import contextlib
import http.client
import itertools
import json
import os
import queue
import re
import signal
import ssl
import subprocess
import sys
import threading
import time
import urllib.parse
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import meadowlark

SOURCE = Path(meadowlark.__file__).parents[1]
"""Where the package is that is tested: the source, or the native build's copy of it."""
PROJECT = Path(__file__).resolve().parents[1]
START_SECONDS = 60.0
"""From exec to READY; two busy cores and two workers need about one."""
STOP_SECONDS = 60.0
REST_SECONDS = 120.0

T = TypeVar("T")
_READY = re.compile(r"^READY (?P<url>\S+) pid=(?P<pid>\d+) workers=(?P<workers>\d+) data=(?P<data>.*)$")
_names = itertools.count(1)


def fresh_name(topic: str = "room") -> str:
    """A database name that no other test of this run uses."""
    return f"{topic}-{os.getpid()}-{next(_names)}"


def eventually(check: Callable[[], T], *, within: float = 60.0, every: float = 0.02, what: str = "") -> T:
    """The first true answer of `check`, asked again and again; AssertionError with the last answer after `within` seconds."""
    deadline = time.monotonic() + within
    while True:
        answer = check()
        if answer:
            return answer
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {within} s: {what or check}; last answer {answer!r}")
        time.sleep(every)


class Response:
    """One HTTP answer, whole."""

    def __init__(self, status: int, headers: http.client.HTTPMessage, body: bytes) -> None:
        self.status = status
        self.headers = headers
        self.body = body

    def json(self) -> Any:
        return json.loads(self.body)

    def __repr__(self) -> str:
        return f"<{self.status} {self.body[:300]!r}>"


class Server:
    """One `meadowlark` with its supervisor and workers. Use as a context manager, or `start` and `stop`."""

    def __init__(
        self,
        data: Path | None,
        *,
        mode: str = "dev",
        workers: int = 1,
        arguments: tuple[str, ...] = (),
        environment: dict[str, str] | None = None,
    ) -> None:
        self.data = data or Path("/nowhere")
        """The data folder. Made with None (`dev` only): the throw-away one that READY names."""
        self._throw_away = data is None
        self.mode = mode
        self.workers = workers
        self.arguments = arguments
        self.environment = environment or {}
        self.url = ""
        """`http://127.0.0.1:PORT` once started."""
        self.port = 0
        """Of the last start; a later start takes the same, as a restarted service does."""
        self.certificate: Path | None = None
        """What TLS clients should trust, if the server was started with a certificate."""
        self.log: collections.deque[str] = collections.deque(maxlen=2000)
        self._process: subprocess.Popen[str] | None = None
        self._reader: threading.Thread | None = None
        self._ready = threading.Event()
        self._known_pids: set[int] = set()

    # Starting and ending

    def start(self) -> Server:
        """Returns when every worker accepts. Raises AssertionError with the server's output when it does not get there."""
        assert self._process is None, "already started"
        self._ready.clear()
        self._process = self._spawn()
        self._reader = threading.Thread(target=self._read_output, args=(self._process,), daemon=True)
        self._reader.start()
        deadline = time.monotonic() + START_SECONDS
        while not self._ready.wait(0.02):
            if self._process.poll() is not None:
                self._reader.join(5)
                raise AssertionError(f"the server exited with {self._process.returncode} before READY:\n{self.output()}")
            if time.monotonic() > deadline:
                self.kill()
                raise AssertionError(f"no READY line within {START_SECONDS} s:\n{self.output()}")
        self.worker_pids()
        return self

    def run_refused(self) -> tuple[int, str]:
        """Start a server that is expected to refuse: its exit code and what it printed."""
        process = self._spawn()
        try:
            output, _ = process.communicate(timeout=START_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            output, _ = process.communicate(timeout=30)
            raise AssertionError(f"the server did not refuse to start:\n{output}") from None
        return process.returncode, output

    def stop(self) -> None:
        """SIGTERM; the server drains and exits 0, and none of its workers stays behind."""
        process = self._running()
        pids = self.worker_pids()
        process.send_signal(signal.SIGTERM)
        try:
            code = process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"SIGTERM was not followed by an exit within {STOP_SECONDS} s:\n{self.output()}") from None
        self._forget()
        assert code == 0, f"SIGTERM was answered with exit code {code}:\n{self.output()}"
        eventually(lambda: not any(_alive(pid) for pid in pids), what="workers gone after the supervisor's clean exit")

    def kill(self) -> None:
        """SIGKILL for the supervisor and each worker, as a crash of the machine's processes would be."""
        process = self._running()
        pids = self.worker_pids()
        _kill(process.pid)
        for pid in pids:
            _kill(pid)
        process.wait(30)
        self._forget()
        eventually(lambda: not any(_alive(pid) for pid in pids), what="killed workers gone")

    def kill_supervisor(self) -> list[int]:
        """SIGKILL for the supervisor alone; the pids of the workers that it left."""
        process = self._running()
        pids = self.worker_pids()
        _kill(process.pid)
        process.wait(30)
        self._forget()
        return pids

    def kill_worker(self, index: int = 0) -> int:
        """SIGKILL for one worker, counted round among those alive; its pid."""
        pids = eventually(self.worker_pids, what="a worker to kill")
        pid = pids[index % len(pids)]
        _kill(pid)
        return pid

    def kill_workers(self) -> None:
        """SIGKILL for every worker; the supervisor lives."""
        for pid in self.worker_pids():
            _kill(pid)

    def wait_for_workers(self, *, without: set[int] = frozenset()) -> None:  # type: ignore[assignment]
        """Returns when as many workers as asked for live, none of them of `without`."""
        eventually(
            lambda: len(pids := self.worker_pids()) == self.workers and not without & set(pids),
            within=START_SECONDS,
            what=f"{self.workers} workers again",
        )

    def close(self) -> None:
        """End whatever still runs; for the end of a test, whatever its outcome."""
        if self._process is not None:
            self.kill()
        for pid in self._known_pids:
            # A pid may have been given to a stranger by now.
            if _is_ours(pid):
                _kill(pid)

    def __enter__(self) -> Server:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        if kind is not None:
            sys.stderr.write(f"\n--- the server printed:\n{self.output()}\n---\n")
        self.close()

    # Looking

    @property
    def pid(self) -> int:
        return self._running().pid

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def worker_pids(self) -> list[int]:
        """The supervisor's children that are alive, oldest first."""
        pids = sorted(_children(self._running().pid))
        self._known_pids.update(pids)
        return pids

    def output(self) -> str:
        return "\n".join(self.log)

    @property
    def credential(self) -> str:
        """The admin credential: what `serve` generated, or `owner` in `dev`."""
        return "owner" if self.mode == "dev" else (self.data / "admin-credential").read_text().strip()

    # Asking

    @property
    def context(self) -> ssl.SSLContext | None:
        """What clients on this machine go by, if the server has a certificate."""
        if self.certificate is None:
            return None
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        return context

    def connect(self, timeout: float = REST_SECONDS) -> http.client.HTTPConnection:
        context = self.context
        if context is None:
            return http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        return http.client.HTTPSConnection("127.0.0.1", self.port, timeout=timeout, context=context)

    def rest(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        ns: str = "",
        headers: dict[str, str] | None = None,
        query: str = "",
        admin: bool = True,
        raw: bytes | None = None,
        timeout: float = REST_SECONDS,
    ) -> Response:
        """One REST call on a connection of its own. `path` like "/a/b" (percent-encoded here); ".json" is added."""
        target = urllib.parse.quote(path, safe="/") + ".json"
        parameters = "&".join(part for part in (query, f"ns={ns}" if ns else "") if part)
        if parameters:
            target += "?" + parameters
        payload = raw if raw is not None else None if body is None else json.dumps(body, ensure_ascii=False).encode()
        all_headers = {"Authorization": f"Bearer {self.credential}"} if admin else {}
        all_headers.update(headers or {})
        with contextlib.closing(self.connect(timeout)) as connection:
            connection.request(method, target, body=payload, headers=all_headers)
            answer = connection.getresponse()
            return Response(answer.status, answer.headers, answer.read())

    def read(self, path: str, *, ns: str) -> Any:
        """What stands at `path`, over REST."""
        answer = self.rest("GET", path, ns=ns)
        assert answer.status == 200, answer
        return answer.json()

    def write(self, path: str, value: Any, *, ns: str) -> None:
        """Set `path`, over REST."""
        method = "DELETE" if value is None else "PUT"
        answer = self.rest(method, path, value, ns=ns, query="print=silent")
        assert answer.status in (200, 204), answer

    def create(self, name: str) -> None:
        """Make a database in `serve`; in `dev` the first touch does."""
        answer = self.rest("PUT", f"/.meadowlark/databases/{name}", {})
        assert answer.status in (200, 201), answer

    # Inside

    def _spawn(self) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "meadowlark.cli", self.mode, "--host", "127.0.0.1", "--port", str(self.port)]
        command += [] if self._throw_away else ["--data", str(self.data)]
        command += ["--workers", str(self.workers), *self.arguments]
        environment = {name: text for name, text in os.environ.items() if not name.startswith(("MEADOWLARK_", "FIREBASE_"))}
        environment |= {"PYTHONPATH": str(SOURCE), "PYTHONUNBUFFERED": "1"} | self.environment
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            env=environment,
            cwd=PROJECT,
        )

    def _read_output(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        with process.stdout:
            for line in process.stdout:
                self.log.append(line.rstrip("\n"))
                if ready := _READY.match(line.strip()):
                    self.url = ready["url"].rstrip("/")
                    self.data = Path(ready["data"])
                    self.port = int(self.url.rsplit(":", 1)[1])
                    self._ready.set()

    def _running(self) -> subprocess.Popen[str]:
        assert self._process is not None, "the server is not running"
        return self._process

    def _forget(self) -> None:
        self._process = None
        if self._reader is not None:
            # Orphaned workers may hold the pipe for a moment; the reader is a daemon, ends with them, and closes it.
            self._reader.join(0.5)


class Script:
    """A Node script of tests/conformance/node that prints one JSON line an event: [name, detail, …]."""

    def __init__(self, name: str, settings: dict[str, Any], *, environment: dict[str, str] | None = None) -> None:
        folder = PROJECT / "tests" / "conformance" / "node"
        inherited = {name: text for name, text in os.environ.items() if not name.startswith(("MEADOWLARK_", "FIREBASE_"))}
        self.name = name
        self.events: list[list[Any]] = []
        self.complaints: list[str] = []
        """What it printed to stderr: the SDK's warnings land there."""
        self._arrived: queue.Queue[list[Any] | None] = queue.Queue()
        self._process = subprocess.Popen(
            ["node", name, json.dumps(settings)],
            cwd=folder,
            env=inherited | (environment or {}),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
        )
        self._threads = [
            threading.Thread(target=self._read_events, daemon=True),
            threading.Thread(target=self._read_complaints, daemon=True),
        ]
        for thread in self._threads:
            thread.start()

    def wait_for(self, name: str, *, within: float = 120.0) -> list[Any]:
        """The next event called `name`; those before it are kept in `events` all the same."""
        deadline = time.monotonic() + within
        while True:
            event = self._next(deadline, f"waiting for {name!r}")
            if event is None:
                raise AssertionError(f"{self.name} ended before {name!r}:\n{self.account()}")
            if event[0] == name:
                return event

    def tell(self, word: str) -> None:
        """Send a line to the script's `told()`."""
        assert self._process.stdin is not None
        self._process.stdin.write(word + "\n")
        self._process.stdin.flush()

    def finish(self, *, within: float = 90.0) -> list[list[Any]]:
        """Wait for the end of the script, expect exit code 0; every event it printed."""
        deadline = time.monotonic() + within
        while self._next(deadline, "waiting for its end") is not None:
            pass
        code = self._process.wait(30)
        self._close()
        assert code == 0, f"{self.name} exited with {code}:\n{self.account()}"
        return self.events

    def kill(self) -> None:
        """SIGKILL: what a client that vanishes looks like."""
        if self._process.poll() is None:
            _kill(self._process.pid)
            self._process.wait(30)
        self._close()

    def signal(self, number: int) -> None:
        """SIGSTOP freezes the client where it is; `kill` ends it all the same."""
        self._process.send_signal(number)

    def of(self, *names: str) -> list[list[Any]]:
        """The events so far with one of these names, in order."""
        return [event for event in self.events if event[0] in names]

    def account(self) -> str:
        lines = [json.dumps(event, ensure_ascii=False)[:300] for event in self.events[-40:]]
        return "\n".join(["events:", *lines, "stderr:", *self.complaints[-40:]])

    def __enter__(self) -> Script:
        return self

    def __exit__(self, *error: object) -> None:
        self.kill()

    def _next(self, deadline: float, doing: str) -> list[Any] | None:
        try:
            event = self._arrived.get(timeout=max(0.0, deadline - time.monotonic()))
        except queue.Empty:
            self.kill()
            raise AssertionError(f"{self.name} took too long, {doing}:\n{self.account()}") from None
        if event is not None:
            self.events.append(event)
        return event

    def _read_events(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            try:
                self._arrived.put(json.loads(line))
            except json.JSONDecodeError:
                self.complaints.append(f"(stdout) {line.rstrip()}")
        self._arrived.put(None)

    def _read_complaints(self) -> None:
        assert self._process.stderr is not None
        for line in self._process.stderr:
            self.complaints.append(line.rstrip("\n"))

    def _close(self) -> None:
        for thread in self._threads:
            thread.join(5)
        for stream in (self._process.stdin, self._process.stdout, self._process.stderr):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()


def _children(pid: int) -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError, ValueError, IndexError):
                state, parent = (entry / "stat").read_text().rpartition(")")[2].split()[:2]
                if int(parent) == pid and state != "Z":
                    found.append(int(entry.name))
    return found


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (OSError, IndexError):
        return False


def _is_ours(pid: int) -> bool:
    try:
        return b"meadowlark" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


def alive(pid: int) -> bool:
    """Does a process with this pid run (not as a zombie)?"""
    return _alive(pid)


def _kill(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
