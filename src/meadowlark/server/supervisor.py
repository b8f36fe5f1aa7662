"""The supervisor: one process that owns what must outlive workers, and the workers themselves.

It locks the data folder, fits the journal to the number of workers, binds the listening sockets, makes every worker's
inbox, and starts the workers by exec, each with a control socket. A worker that ends unasked is replaced at once (later
and later if it keeps dying at its start); what was sent to its inbox waits for the replacement. SIGTERM and SIGINT drain:
every worker finishes and exits, then the supervisor exits 0. If the supervisor itself is killed, workers see their
control socket close and drain as well. Blocking code without an event loop: it does next to nothing.
Does not know: databases, protocols, clients.
Source: docs/architecture.md "Processes".
"""

from __future__ import annotations

import os
import selectors
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable

import msgspec
import structlog

from meadowlark.errors import ConfigInvalid, WorldError
from meadowlark.journal import Databases, reshard
from meadowlark.server.banner import banner
from meadowlark.server.board import Board, make_board
from meadowlark.server.config import Config
from meadowlark.server.credential import open_credential
from meadowlark.server.data_folder import DataFolder
from meadowlark.server.disk import Disk
from meadowlark.server.identities import check_identity
from meadowlark.server.logs import set_up_logs
from meadowlark.server.routing import owner_of
from meadowlark.server.spec import SPEC_VARIABLE, WorkerSpec

log = structlog.get_logger()

LISTEN_BACKLOG = 4096
START_SECONDS = 120.0
"""For all workers to accept at the start: they verify their journals first."""
DRAIN_SECONDS = 30.0
"""From SIGTERM until workers that still run are killed; everything acknowledged is on disk long before."""
STEADY_SECONDS = 5.0
"""A worker that lived this long is replaced at once when it dies."""
QUICK_DEATHS_FORGIVEN = 3
"""Deaths soon after the start, one after the other, that do not slow the next start down."""
RESTART_SECONDS_MAX = 5.0


_ALLOCATION = {"MALLOC_MMAP_THRESHOLD_": "131072", "MALLOC_TRIM_THRESHOLD_": "1048576", "MALLOC_ARENA_MAX": "2"}
"""For glibc in workers. Left to itself it learns from the first large buffer that is freed to keep tens of megabytes for the
next, and gives each thread a heap of its own: after loading 17 MB of JSON, 24 MB more stayed resident (bench/memory.py)."""


class Errands(msgspec.Struct, frozen=True):
    """What is to be done with the server, given its URL, while its workers accept and before others know or any is stopped.

    Each may raise WorldError; the server then stops, and its exit code is 1.
    """

    at_start: Callable[[str], None] | None = None
    at_end: Callable[[str], None] | None = None


def run(config: Config, errands: Errands = Errands()) -> int:  # noqa: B008  # It is immutable.
    """Serves until a signal ends it; the exit code. Raises WorldError when nothing could be started."""
    set_up_logs(config.log_level, config.log_format)
    temporary = tempfile.mkdtemp(prefix="meadowlark-") if not config.data else None
    try:
        folder = DataFolder(temporary or config.data)
        return _Supervisor(config, folder, errands).run()
    finally:
        if temporary is not None:
            shutil.rmtree(temporary, ignore_errors=True)


class _Worker:
    """One place for a worker; its process changes, its index and inbox stay."""

    def __init__(self, index: int) -> None:
        self.index = index
        self.inbox, self.way_in = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.child: subprocess.Popen[bytes] | None = None
        self.control: socket.socket | None = None
        self.ready = False
        self.started_at = 0.0
        self.restart_at: float | None = None
        self.quick_deaths = 0


class _Supervisor:
    def __init__(self, config: Config, folder: DataFolder, errands: Errands) -> None:
        self._config = config
        self._errands = errands
        self._folder = folder
        self._selector = selectors.DefaultSelector()
        self._workers = [_Worker(index) for index in range(config.workers)]
        self._listeners: list[socket.socket] = []
        self._board_descriptor = make_board(config.workers)
        self._board = Board(self._board_descriptor)
        self._journal = ""
        self._stopping_at: float | None = None
        self._announced = False
        self._failed = False
        self._is_asked_to_stop = False

    def run(self) -> int:
        wake = self._catch_signals()
        self._prepare()
        for worker in self._workers:
            self._start(worker)
        deadline = time.monotonic() + START_SECONDS
        while any(worker.child is not None for worker in self._workers) or self._stopping_at is None:
            for key, _ in self._selector.select(self._until_next()):
                if key.fileobj is wake:
                    wake.recv(64)
                else:
                    self._heard(key.data)
            if self._is_asked_to_stop and self._stopping_at is None:
                if self._announced:
                    self._run_errand(self._errands.at_end)
                self._stop()
            if not self._announced and self._stopping_at is None and time.monotonic() > deadline:
                log.critical("workers did not start", seconds=START_SECONDS)
                self._failed = True
                self._stop()
            self._act_on_time()
        log.info("stopped")
        return 1 if self._failed else 0

    # Starting

    def _prepare(self) -> None:
        """All that can be refused, before anything is served."""
        config, path = self._config, self._folder.path
        if config.mode == "serve":
            open_credential(config.credential_file(path))
            check_identity(config, path)
        _check_tls(config)
        _check_rules(config)
        disk = Disk()
        databases = Databases(disk, path)
        for name in config.databases:
            databases.create(name)
        self._journal = reshard(disk, path, config.workers, owner_of)
        self._listeners = _bind(config.host, config.port)
        self._folder.sign(self._urls())

    def _start(self, worker: _Worker) -> None:
        control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        spec = WorkerSpec(
            index=worker.index,
            config=self._config,
            data=self._folder.path,
            journal=self._journal,
            listeners=[listener.fileno() for listener in self._listeners],
            inbox=worker.inbox.fileno(),
            others=[other.way_in.fileno() for other in self._workers],
            control=theirs.fileno(),
            board=self._board_descriptor,
            lock=self._folder.lock,
        )
        descriptors = [*spec.listeners, spec.inbox, *spec.others, spec.control, spec.board, spec.lock]
        worker.child = subprocess.Popen(
            [sys.executable, "-m", "meadowlark.server.worker"],
            pass_fds=descriptors,
            stdin=subprocess.DEVNULL,
            env={**_ALLOCATION, **os.environ, SPEC_VARIABLE: msgspec.json.encode(spec).decode()},
        )
        theirs.close()
        control.setblocking(False)
        worker.control, worker.ready = control, False
        worker.started_at, worker.restart_at = time.monotonic(), None
        self._selector.register(control, selectors.EVENT_READ, worker)

    def _run_errand(self, errand: Callable[[str], None] | None) -> None:
        if errand is not None:
            try:
                errand(self._urls()[0])
            except WorldError as error:
                log.error("stopping", reason=str(error))
                self._failed = True
                self._stop()

    def _announce(self) -> None:
        self._run_errand(self._errands.at_start)
        if self._failed:
            return
        self._announced = True
        urls = self._urls()
        print(banner(self._config, urls, data=self._folder.path), flush=True)
        print(f"READY {urls[0]} pid={os.getpid()} workers={len(self._workers)} data={self._folder.path}", flush=True)

    def _urls(self) -> list[str]:
        scheme = "https" if self._config.tls_certificate else "http"
        addresses = [listener.getsockname()[:2] for listener in self._listeners]
        return [f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}" for host, port in addresses]

    # Watching

    def _heard(self, worker: _Worker) -> None:
        """A worker said that it is ready, or its control socket closed because it ended."""
        assert worker.control is not None
        try:
            said = worker.control.recv(64)
        except OSError:
            said = b""
        if said:
            worker.ready = True
            if not self._announced and all(each.ready for each in self._workers):
                self._announce()
            return
        self._selector.unregister(worker.control)
        worker.control.close()
        worker.control = None
        assert worker.child is not None
        code = worker.child.wait()
        worker.child = None
        if self._stopping_at is not None:
            self._failed = self._failed or code != 0
            return
        self._plan_restart(worker, code)

    def _plan_restart(self, worker: _Worker, code: int) -> None:
        now = time.monotonic()
        steady = now - worker.started_at > STEADY_SECONDS
        worker.quick_deaths = 0 if steady else worker.quick_deaths + 1
        if worker.quick_deaths and not self._announced:
            # It says itself why; a start that fails is not repeated until somebody looks.
            log.critical("worker did not start", worker=worker.index, code=code)
            self._failed = True
            self._stop()
            return
        excess = worker.quick_deaths - QUICK_DEATHS_FORGIVEN
        wait = 0.0 if excess <= 0 else min(0.1 * 2**excess, RESTART_SECONDS_MAX)
        worker.restart_at = now + wait
        log.error("worker ended", worker=worker.index, code=code, restart_seconds=wait)

    def _act_on_time(self) -> None:
        now = time.monotonic()
        if self._stopping_at is not None:
            if now - self._stopping_at > DRAIN_SECONDS:
                for worker in self._workers:
                    if worker.child is not None:
                        log.error("worker killed", worker=worker.index, reason=f"still running after {DRAIN_SECONDS:.0f} s")
                        worker.child.kill()
                self._stopping_at = now
            return
        for worker in self._workers:
            if worker.restart_at is not None and now >= worker.restart_at:
                self._board.count_restart(worker.index)
                self._start(worker)

    def _until_next(self) -> float:
        times = [worker.restart_at for worker in self._workers if worker.restart_at is not None]
        return max(0.0, min([1.0, *(at - time.monotonic() for at in times)]))

    # Stopping

    def _catch_signals(self) -> socket.socket:
        wake, theirs = socket.socketpair()
        wake.setblocking(False)
        theirs.setblocking(False)
        self._wake_keeper = theirs
        signal.set_wakeup_fd(theirs.fileno(), warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._hear_signal)
        self._selector.register(wake, selectors.EVENT_READ)
        return wake

    def _hear_signal(self, number: int, frame: object) -> None:
        """It only takes note: whatever is being done is finished first."""
        self._is_asked_to_stop = True

    def _stop(self) -> None:
        """Workers drain when they get SIGTERM; the loop in `run` ends when the last is gone."""
        if self._stopping_at is not None:
            return
        self._stopping_at = time.monotonic()
        log.info("stopping")
        for worker in self._workers:
            worker.restart_at = None
            if worker.child is not None:
                worker.child.terminate()


def _bind(host: str, port: int) -> list[socket.socket]:
    """Listening sockets for every address of `host`; with port 0 all of them get the same free one."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError as error:
        raise ConfigInvalid(f"host {host!r} is not an address of this machine: {error}") from error
    listeners: list[socket.socket] = []
    for family, _, _, _, address in _with_loopback_twin(found):
        try:
            chosen = listeners[0].getsockname()[1] if listeners and not port else port
            listeners.append(_listen(family, (str(address[0]), chosen, *address[2:])))
        except OSError as error:
            if listeners:
                continue  # The other family of the same name; the first is what counts.
            raise WorldError(
                f"cannot listen on {address[0]} port {address[1]}: {error.strerror}; choose another with --port"
            ) from error
    return listeners


def _with_loopback_twin(found: list) -> list:  # type: ignore[type-arg]  # getaddrinfo's rows
    """On loopback both families are served, since clients that are told `localhost` may use either."""
    rows = list(dict.fromkeys(found))
    if [row[4][0] for row in rows] == ["127.0.0.1"]:
        rows.append((socket.AF_INET6, socket.SOCK_STREAM, 0, "", ("::1", rows[0][4][1], 0, 0)))
    return sorted(rows, key=lambda row: row[0] != socket.AF_INET)


def _listen(family: int, address: tuple) -> socket.socket:  # type: ignore[type-arg]
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listener.bind(address)
        listener.listen(LISTEN_BACKLOG)
    except OSError:
        listener.close()
        raise
    return listener


def _check_tls(config: Config) -> None:
    """A certificate that cannot be used is refused here rather than by every worker."""
    if config.tls_certificate:
        from meadowlark.server.tls import make_context

        make_context(config)


def _check_rules(config: Config) -> None:
    """Rules that cannot be used at the start are refused; later ones leave those before in force."""
    if config.rules_file:
        from meadowlark.rules import RulesInvalid
        from meadowlark.server.rule_sets import parse_file

        try:
            parse_file(config.rules_file)
        except RulesInvalid as invalid:
            raise ConfigInvalid(f"the rules in {config.rules_file} cannot be used:\n{invalid}") from None
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigInvalid(f"the rules in {config.rules_file} cannot be read: {error}") from error
