"""One worker: a process with one loop, one journal and the databases that hash to it.

Started by the supervisor with a WorkerSpec. It verifies its journal, says that it is ready, then serves: connections that
the front accepts and keeps, and those that other workers pass on. SIGTERM, or the end of the supervisor, drains it:
nothing new is accepted, every session is ended and what it had queued is carried out, the journal is flushed,
acknowledgements leave, and the process exits. The cyclic collector is off: the tree has no cycles, and connections take
theirs apart when they close.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import random
import secrets
import signal
import socket
import ssl
import sys
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any, cast

import msgspec
import structlog
import uvloop
from picows import WSCloseCode

from meadowlark.errors import Code, JournalDamaged, MeadowlarkError, Refused
from meadowlark.ids import PushIds
from meadowlark.journal import Databases, Journal, Snapshots
from meadowlark.limits import ARRIVALS_MAX, HANDSHAKE_SECONDS
from meadowlark.server.backlog import Backlog
from meadowlark.server.board import Board, Published
from meadowlark.server.config import Config
from meadowlark.server.disk import Disk
from meadowlark.server.expiries import Expiries
from meadowlark.server.front import Front
from meadowlark.server.http import HttpConnection
from meadowlark.server.identities import Identities, make_identities
from meadowlark.server.large_writes import LargeWrites
from meadowlark.server.logs import set_up_logs
from meadowlark.server.long_poll import LongPolls, Upgrade
from meadowlark.server.observer import Observer
from meadowlark.server.outbox import Turn
from meadowlark.server.peers import Passed, Peers
from meadowlark.server.realtime import SWEEP_SECONDS, RealtimeConnection, take_over
from meadowlark.server.relay import RelaySide, make_pair
from meadowlark.server.rounds import Round
from meadowlark.server.routing import owner_of
from meadowlark.server.rule_sets import RuleSets, open_or_locked
from meadowlark.server.rule_store import RuleStore
from meadowlark.server.shard import Shard
from meadowlark.server.slicer import Slicer
from meadowlark.server.spec import SPEC_VARIABLE, WorkerSpec
from meadowlark.server.stopwatch import Stopwatch
from meadowlark.server.tls import CertificateFiles, make_context
from meadowlark.server.websocket import Carried, adopt, send_elsewhere, turn_away
from meadowlark.server.webtransport import WebTransports

log = structlog.get_logger()

DRAIN_CONNECTIONS_SECONDS = 5.0
"""For clients to take what they are owed when the worker stops."""
TIDY_SECONDS = 5.0
CONNECTION_SWEEP_SECONDS = 2
"""Between two looks at an HTTP connection's patience and a stream's keep-alive."""
MOMENT_SECONDS = 0.00003
"""Slept at the end of such a turn: for at least so long the journal's thread has the core."""
LANES_SECONDS = 10.0
"""Between two looks at whether only one database is in use."""
SWITCH_SECONDS = 0.002
"""How long one of the process's threads may keep the interpreter from another. Longer than most turns: the journal's thread,
which wants it for each group, would stop the loop in the middle of telling. In a loop that never waits it is the bound."""
WRITE_HIGH_WATER_BYTES = 65_536
"""Bytes in a transport's own buffer before our outbox keeps the rest."""

_UNAVAILABLE = b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 5\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


class Worker:
    """Everything of one process; also what connections know of it."""

    def __init__(self, spec: WorkerSpec) -> None:
        config = spec.config
        self._spec = spec
        self._loop = asyncio.get_running_loop()
        self._tls: ssl.SSLContext | None = make_context(config)
        self._certificate_files = CertificateFiles(config)
        self._tasks: set[asyncio.Task[Any]] = set()
        self._stopping = asyncio.Event()
        disk = Disk()
        self._journal = Journal(
            disk,
            os.path.join(spec.data, spec.journal, str(spec.index)),
            worker=spec.index,
            wake=self._loop.call_soon_threadsafe,
            on_durable=self._durable,
            on_failed=self._failed,
            clock=time.perf_counter,
            pause=time.sleep,
        )
        self._snapshots = Snapshots(disk, spec.data)
        self.config: Config = config
        self.identities: Identities = make_identities(config, spec.data, time.time)
        stopwatch = Stopwatch(slow_seconds=config.slow_operation_seconds)
        self._metrics = stopwatch.metrics
        self.turn = Turn(self._loop, stopwatch, volatile_rate=config.volatile_rate)
        self.turn.written = self._let_journal_run
        self._lanes_due = 0.0
        self._backlog = Backlog()
        self.slicer = Slicer(
            lambda: self.turn.is_due, overran=self._overran, sliced=lambda: self._let_journal_run(stopwatch.clock())
        )
        self.large_writes = LargeWrites(self.slicer, self.now_ms)
        self.push_ids = PushIds(random.SystemRandom().randrange)
        self.connections: set[HttpConnection] = set()
        self.sessions: set[RealtimeConnection] = set()
        self.expiries: Expiries[RealtimeConnection] = Expiries()
        self.draining = False
        self.rules = RuleSets(RuleStore(disk, spec.data), config.mode, config.rules_file, self._ask_others_to_look)
        self.shard = Shard(
            self._journal,
            self._snapshots,
            Databases(disk, spec.data),
            open_or_locked(config.mode),
            config,
            self.now_ms,
            stopwatch,
            self.slicer,
            govern=self.rules.govern,
            forget=self.rules.forget,
            lanes=self.turn.lanes,
        )
        self.long_polls = LongPolls(self, config.public_host)
        self.webtransports = WebTransports(self, config, spec.index, self._start)
        self._observer = Observer(self, spec.index, self._journal, Board(spec.board), loop=self._loop)
        self._connection_round = Round(self.connections, CONNECTION_SWEEP_SECONDS)
        self._session_round = Round(self.sessions, SWEEP_SECONDS)
        self._front: Front | None = None
        self._peers: Peers | None = None

    # Living

    async def run(self) -> None:
        """Serves until told to stop."""
        report = self._journal.open(self._snapshots)
        log.info("journal open", report=str(report))
        _pin(self._spec.index)
        self._journal.start(_give_way)
        self._loop.set_default_executor(ThreadPoolExecutor(2, "beside", _unpin))
        self._loop.add_signal_handler(signal.SIGTERM, self._stopping.set)
        control = socket.socket(fileno=self._spec.control)
        control.setblocking(False)
        self._loop.add_reader(control.fileno(), self._supervisor_gone, control)
        self._peers = Peers(
            socket.socket(fileno=self._spec.inbox),
            [socket.socket(fileno=number) for number in self._spec.others],
            self._arrived,
            b"" if self._tls else _UNAVAILABLE,
            self._asked_to_look,
        )
        several = len(self._spec.others) > 1
        listeners = [socket.socket(fileno=number) for number in self._spec.listeners]
        pass_on = self._pass_untouched if several else None
        await self._look_at_rules()
        self._front = Front(listeners, self._metrics, self.turn.lanes, serve=self._serve, pass_on=pass_on)
        self.webtransports.open(listeners)
        self._start(self.shard.recover(self._interrupted()))
        _freeze_heap()
        self._observer.start()
        control.send(b"ready\n")
        periodic = [
            self._start(self._every(1.0, self._sweep)),
            self._start(self._every(1.0, self._look_at_rules)),
            self._start(self._every(TIDY_SECONDS, self.shard.tidy)),
        ]
        await self._stopping.wait()
        for task in periodic:
            task.cancel()
        await self._drain()

    def _supervisor_gone(self, control: socket.socket) -> None:
        with contextlib.suppress(BlockingIOError):
            if not control.recv(64):
                self._loop.remove_reader(control.fileno())
                self._stopping.set()

    def _interrupted(self) -> list[str]:
        """Databases of ours where sessions may have been cut short: those with records since their snapshot, and those
        whose snapshot kept queued operations."""
        names = set(self._journal.databases())
        for name in self.shard.names():
            if name not in names and self.owns(name):
                try:
                    header = self._snapshots.read_header(name)
                except JournalDamaged as error:
                    log.error("snapshot damaged", database=name, error=str(error))
                    continue
                if header is not None and header.sessions:
                    names.add(name)
        return sorted(names)

    async def _every(self, seconds: float, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Does `work` again and again, whatever happens in it."""
        while True:
            await asyncio.sleep(seconds)
            try:
                await work()
            except Exception:
                log.exception("periodic work failed", work=work.__name__)

    async def _sweep(self) -> None:
        """Once a second: silent connections, slow clients, keep-alives; of connections and sessions a share."""
        now = self._loop.time()
        assert self._front is not None
        self._front.sweep(now)
        self.turn.check_stalls(now)
        self._look_at_lanes(now)
        if context := self._certificate_files.renewed():
            self._tls = context
            self.webtransports.renew()
        self.long_polls.sweep(now)
        self.webtransports.sweep(now)
        self.large_writes.uploads.sweep(now)
        for connection in self._connection_round.next():
            connection.sweep(now)
        self._end_identities()
        for session in self._session_round.next():
            session.sweep()

    def _look_at_lanes(self, now: float) -> None:
        """Whether one database may have the worker for itself; there may be thousands, so now and then."""
        if now >= self._lanes_due:
            self._lanes_due = now + LANES_SECONDS
            self.turn.lanes.sweep(others=self.shard.used_count() > 1)

    def _let_journal_run(self, now: int) -> None:
        """A full core: the loop never waits, so that the journal's thread, which gives way to it, must be given a moment."""
        if self._backlog.needs_moment(now, self._journal.backlog_bytes, self._journal.durable_bytes):
            time.sleep(MOMENT_SECONDS)

    async def _look_at_rules(self) -> None:
        await self.rules.look(self.shard, self._loop.time())

    def _ask_others_to_look(self) -> None:
        assert self._peers is not None
        for worker in range(len(self._spec.others)):
            if worker != self._spec.index:
                self._peers.ask_to_look(worker)

    def _asked_to_look(self) -> None:
        self._start(self.rules.follow(self.shard))

    def _end_identities(self) -> None:
        """Tells clients whose credentials have ended; streams look at their own when they are swept."""
        due = self.expiries.take_due(time.time())
        if self.identities.tend():
            due += [session for session in self.sessions if session.identity.credential is not None]
        for session in due:
            session.check_identity()

    async def _drain(self) -> None:
        """Ends everything in order; what was acknowledged is on disk, what was not is answered or never was."""
        self.draining = True
        assert self._front is not None
        assert self._peers is not None
        self._front.close()
        self._peers.close()
        log.info("draining", sessions=len(self.sessions), connections=len(self.connections))
        for session in self.sessions:
            session.stop_reading()
        for connection in list(self.connections):
            connection.drain()
        # First what was read, and its acknowledgements; then the ends of the sessions, with what they had queued.
        await self._let_waiting_go_on()
        await self._loop.run_in_executor(None, self._journal.drain)
        await asyncio.sleep(0)
        for session in list(self.sessions):
            session.close(WSCloseCode.GOING_AWAY, "the server stops: come back")
        await self._let_waiting_go_on()
        await self._loop.run_in_executor(None, self._journal.drain)
        deadline = self._loop.time() + DRAIN_CONNECTIONS_SECONDS
        while self.connections and self._loop.time() < deadline:
            await asyncio.sleep(0.02)
        await asyncio.sleep(0)
        self.webtransports.close()
        self._observer.stop()
        self._journal.close()

    async def _let_waiting_go_on(self) -> None:
        """What waits for its share of the loop is done; with nothing new coming in that takes a moment."""
        deadline = self._loop.time() + DRAIN_CONNECTIONS_SECONDS
        while self.turn.lanes.has_waiting and self._loop.time() < deadline:
            await asyncio.sleep(0)

    # What connections know of their worker

    def now_ms(self) -> int:
        return int(time.time() * 1000)

    @property
    def tells_drops(self) -> bool:
        return self.config.mode == "dev"

    def read_metrics(self) -> list[Published]:
        return self._observer.read()

    def owns(self, database: str) -> bool:
        return owner_of(database, len(self._spec.others)) == self._spec.index

    def pass_on(self, transport: asyncio.Transport, data: bytes, database: str, *, secure: bool = False) -> None:
        """Gives a connection from which `data` was read to the worker that owns `database`; the caller forgets it."""
        assert self._peers is not None
        transport.pause_reading()
        self._metrics.passed_connections += 1
        owner = owner_of(database, len(self._spec.others))
        if secure:
            self._start(self._relay(transport, data, owner))
            return
        connection = cast(socket.socket, transport.get_extra_info("socket"))
        self._peers.send(owner, os.dup(connection.fileno()), data)
        transport.abort()

    async def _relay(self, transport: asyncio.Transport, data: bytes, owner: int) -> None:
        assert self._peers is not None
        try:
            near, far = make_pair()
        except OSError as error:
            log.error("cannot relay", error=str(error))
            transport.abort()
            return
        if not self._peers.send(owner, far.detach(), b"", Passed(secure=True)):
            near.close()
            transport.abort()
            return
        client_side, owner_side = RelaySide(), RelaySide()
        client_side.join(owner_side)
        await self._loop.connect_accepted_socket(lambda: owner_side, near)
        owner_side.write(data)
        transport.set_protocol(client_side)
        client_side.connection_made(transport)
        if transport.is_closing():
            client_side.connection_lost(None)  # It went meanwhile, which only the protocol before heard of.
        else:
            transport.resume_reading()

    def upgrade(
        self,
        transport: asyncio.Transport,
        head: bytes,
        rest: bytes,
        database: str,
        parameters: dict[str, str],
        host: str,
    ) -> None:
        """Makes a WebSocket of a connection whose request was `head`, with `rest` read after it, for `database`."""
        transport.pause_reading()
        self._start(self._upgrade(transport, head + rest, database, parameters, self.config.public_host or host))

    async def _upgrade(
        self, transport: asyncio.Transport, replay: bytes, database: str, parameters: dict[str, str], host: str
    ) -> None:
        try:
            hosted = await self.shard.open(database)
        except Refused as refused:
            if refused.code is Code.UNAVAILABLE:
                transport.write(_UNAVAILABLE)
                transport.close()
            elif not transport.is_closing():
                turn_away(transport, refused.text, replay)
            return
        if transport.is_closing() or self.draining:
            transport.abort()
            return
        carried: Carried
        if session := parameters.get("s"):
            line = self.long_polls.find_line(hosted, session)
            if line is None:
                send_elsewhere(transport, host, replay)
                return
            carried = Upgrade(line)
        else:
            take_over(hosted, parameters.get("ls"))
            carried = RealtimeConnection(self, hosted, secrets.token_urlsafe(16), host)
        transport.set_write_buffer_limits(high=WRITE_HIGH_WATER_BYTES)
        adopt(transport, carried, replay)
        if not transport.is_closing():
            transport.resume_reading()

    # Connections

    def _pass_untouched(self, database: str, connection: socket.socket) -> bool:
        """Whether `connection`, of which nothing was read, went to the worker that owns `database`."""
        owner = owner_of(database, len(self._spec.others))
        if owner == self._spec.index:
            return False
        assert self._peers is not None
        self._metrics.passed_connections += 1
        self._peers.send(owner, connection.detach())
        return True

    def _arrived(self, connection: socket.socket, consumed: bytes, passed: Passed) -> None:
        """Another worker passed `connection` on, of which it had read `consumed`."""
        connection.setblocking(False)
        # A relayed connection is plain between the workers; a passed one that nobody read from still has its TLS to do.
        tls = None if passed.secure or consumed else self._tls
        assert self._front is not None
        if self._front.is_full:
            self._refuse(connection, tls)
        else:
            self._front.enter(
                connection, lambda connection: self._start(self._open(connection, consumed, tls, secure=passed.secure))
            )

    def _refuse(self, connection: socket.socket, tls: ssl.SSLContext | None) -> None:
        """So many wait already that this one is told to come back; before a TLS handshake that cannot be said."""
        log.warning("connection refused", reason=f"{ARRIVALS_MAX} wait to be let in")
        with contextlib.suppress(OSError):
            if tls is None:
                connection.send(_UNAVAILABLE)
        connection.close()

    def _serve(self, connection: socket.socket) -> None:
        self._start(self._open(connection, b"", self._tls, secure=False))

    async def _open(self, connection: socket.socket, consumed: bytes, tls: ssl.SSLContext | None, *, secure: bool) -> None:
        def make() -> HttpConnection:
            protocol = HttpConnection(self, secure=secure or tls is not None)
            if consumed:
                # Before the transport exists, which may read what comes next as soon as it does.
                protocol.replay(consumed)
            return protocol

        try:
            timeout = HANDSHAKE_SECONDS if tls is not None else None
            await self._loop.connect_accepted_socket(make, connection, ssl=tls, ssl_handshake_timeout=timeout)
        except (OSError, ssl.SSLError) as error:
            log.debug("connection not opened", error=str(error))
            connection.close()

    # The journal's answers

    def _durable(self, waiters: list[Any]) -> None:
        self.shard.durable(waiters)

    def _failed(self, waiters: list[Any], error: Exception) -> None:
        self.shard.failed(waiters, error)

    def _overran(self, work: str, seconds: float) -> None:
        """A slice took long; what is over the threshold of the slow log is in it, under the name of the work."""
        slow = self.turn.stopwatch.slow
        took = int(seconds * 1e9)
        if took > slow.threshold:
            slow.report(f"slice of {work}", self.turn.stopwatch.clock(), took)

    def _start(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._finished)
        return task

    def _finished(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            log.error("task failed", exc_info=task.exception())


def _freeze_heap() -> None:
    """What is loaded now stays for good; nothing later is collected by searching."""
    gc.collect()
    gc.freeze()
    gc.disable()


def _pin(index: int) -> None:
    """One core a worker, in turn. The journal's thread, started after this, shares it: elsewhere it could be interrupted by
    another process while it holds the interpreter, and the loop would wait for both (tens of milliseconds on a busy machine)."""
    with contextlib.suppress(OSError, AttributeError):
        cores = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, {cores[index % len(cores)]})


def _give_way() -> None:
    """For the journal's thread: what wakes it is no reason to interrupt the loop, which has the interpreter."""
    with contextlib.suppress(OSError, AttributeError):
        os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))


def _unpin() -> None:
    """For threads beside the loop: any core, so that they do not take turns with it."""
    with contextlib.suppress(OSError, AttributeError):
        os.sched_setaffinity(0, range(os.cpu_count() or 1))


async def _main(spec: WorkerSpec) -> None:
    await Worker(spec).run()


def main() -> int:
    """The worker process."""
    spec = msgspec.json.decode(os.environ.pop(SPEC_VARIABLE), type=WorkerSpec)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the supervisor decides.
    set_up_logs(spec.config.log_level, spec.config.log_format, worker=spec.index)
    sys.setswitchinterval(SWITCH_SECONDS)
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_main(spec))
    except MeadowlarkError as error:
        log.critical("worker cannot run", error=str(error))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
