"""The databases of one worker: opened on demand, changed by commands, their effects carried out.

`apply` is the only way in. It runs the engine and performs what comes out in order: pushes go to outboxes at once,
records to the journal, and the reply to a write waits until its record is durable. A database comes from its last
snapshot and the records after it (loading.py), gets a new snapshot when its records outgrow it (saving.py), and leaves
memory when nobody has used it for a while. When the journal fails, nothing is acknowledged any more: writes are refused,
reading goes on.

An update of many children is carried out in slices. Nobody may see half of it, so its database is *held* until it is done: what
is asked meanwhile waits in order, and so do its work in slices and its snapshots. Other databases go on.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol

import structlog

from meadowlark.engine import (
    HOUSEKEEPING,
    UPDATE_AT_ONCE_MAX,
    Access,
    Client,
    Command,
    Commit,
    Database,
    Drop,
    Effect,
    Gathered,
    Get,
    Hashed,
    Identify,
    Indexed,
    Leave,
    Listen,
    Push,
    Recheck,
    Reply,
    Request,
    Revoke,
    Tidy,
    Unlisten,
    Update,
    Work,
)
from meadowlark.errors import Code, MeadowlarkError, Refused
from meadowlark.ids import check_database_name
from meadowlark.journal import Databases, Journal, Snapshots
from meadowlark.limits import HELD_COMMANDS_MAX, JOURNAL_BACKLOG_BYTES_MAX, SNAPSHOT_BYTES_MIN
from meadowlark.server.fan_out import WHOLE_LISTENERS_MAX, FanOuts
from meadowlark.server.graveyard import Graveyard
from meadowlark.server.hosted import Hosted, Waiter
from meadowlark.server.lanes import Lanes
from meadowlark.server.loading import PACKED_BYTES_MIN, load
from meadowlark.server.saving import Saving
from meadowlark.server.slicer import Slicer, Steps
from meadowlark.server.stopwatch import Stopwatch
from meadowlark.server.watching import Carried, Told
from meadowlark.tree import encode, pack_tree_slices
from meadowlark.wire.drops import SUPERSEDED, drop_of

log = structlog.get_logger()

READS_ONLY = "Permission denied: this credential may only read"
DISK_BEHIND = "The disk does not keep up with the writes: try again in a moment"
HELD = "A large update of this database takes its time: try again in a moment"
STOPPED = "This database met an error inside the server and starts again from its journal: try again"

_READING = (Get, Listen, Unlisten, Identify, *HOUSEKEEPING)


class Settings(Protocol):
    """What a shard takes from the configuration."""

    @property
    def create_databases(self) -> bool: ...
    @property
    def durability(self) -> str: ...
    @property
    def idle_database_seconds(self) -> float: ...


class Shard:
    def __init__(
        self,
        journal: Journal,
        snapshots: Snapshots,
        databases: Databases,
        access: Access,
        settings: Settings,
        now_ms: Callable[[], int],
        stopwatch: Stopwatch | None = None,
        slicer: Slicer | None = None,
        govern: Callable[[Hosted], Awaitable[None]] | None = None,
        forget: Callable[[str], None] = lambda name: None,
        lanes: Lanes | None = None,
    ) -> None:
        """stopwatch: told what is carried out. slicer: does long work. None: one of its own.
        lanes: those of the databases; None: however many listen, they are told in one step.
        govern: gives a database that was read its rules; None: `access` holds. forget: told of a database that leaves memory.
        """
        self._journal = journal
        self._snapshots = snapshots
        self._databases = databases
        self._access = access
        self._settings = settings
        self._govern = govern
        self._forget = forget
        self._now_ms = now_ms
        self._stopwatch = stopwatch or Stopwatch()
        self._metrics = self._stopwatch.metrics
        self._slicer = slicer or Slicer()
        self._lanes = lanes
        self._graveyard = Graveyard(self._slicer)
        self._saving = Saving(journal, snapshots, self._slicer, self._graveyard, self._metrics)
        self._relaxed = settings.durability == "relaxed"
        self._hosted: dict[str, Hosted] = {}
        self._opening: dict[str, asyncio.Task[Hosted | Refused]] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        self.failure: str | None = None
        """Why nothing is acknowledged any more; None while all is well."""

    # Opening

    def find(self, name: str) -> Hosted | None:
        """The database `name`, if it is in memory already."""
        hosted = self._hosted.get(name)
        if hosted is not None:
            hosted.used_at = time.monotonic()
        return hosted

    async def open(self, name: str, *, admin: bool = False) -> Hosted:
        """The database `name`, in memory. Where databases are made on first touch, or for `create`, see `create`.

        Raises Refused: INVALID_REQUEST for a name that is none, UNKNOWN_DATABASE, UNAVAILABLE when stored bytes cannot be used.
        """
        hosted = self.find(name)
        if hosted is not None:
            return hosted
        check_database_name(name)
        task = self._opening.get(name)
        if task is None:
            task = self._opening[name] = self._start(self._load(name))
            task.add_done_callback(lambda _: self._opening.pop(name, None))
        opened = await asyncio.shield(task)
        if isinstance(opened, Refused):
            # A refusal travels as a value and is raised anew: kept in a task, its traceback would be a cycle.
            raise Refused(opened.code, opened.text)
        return opened

    def create(self, name: str) -> None:
        """The database `name` exists, durably. Raises Refused for a name that is none."""
        self._databases.create(check_database_name(name))

    @property
    def database_count(self) -> int:
        """Databases in memory."""
        return len(self._hosted)

    def used_count(self) -> int:
        """Of them, those that somebody is connected to."""
        return sum(1 for hosted in self._hosted.values() if hosted.users)

    @property
    def hosted(self) -> list[Hosted]:
        """The databases in memory."""
        return list(self._hosted.values())

    def names(self) -> list[str]:
        """Every database in the data folder, of whichever worker."""
        return self._databases.list()

    async def recover(self, names: list[str]) -> None:
        """Opens databases whose sessions a crash cut short, so that what those had queued is carried out now."""
        for name in names:
            try:
                await self.open(name)
            except Refused as refused:
                log.error("database not recovered", database=name, error=refused.text)

    async def _load(self, name: str) -> Hosted | Refused:
        if not self._databases.exists(name):
            if not self._settings.create_databases:
                return Refused(
                    Code.UNKNOWN_DATABASE,
                    f"There is no database {name!r} here: create it with 'meadowlark databases create {name}' "
                    "or list it in the configuration",
                )
            self.create(name)
        try:
            hosted = await self._read(name)
        except Exception as error:
            # Whatever it is, only this database is concerned; a bug of ours gets its traceback into the log.
            expected = isinstance(error, MeadowlarkError | OSError)
            log.error("database cannot be opened", database=name, error=str(error), exc_info=not expected)
            return Refused(Code.UNAVAILABLE, f"Database {name!r} cannot be opened: see the server's log")
        self._hosted[name] = hosted
        for session in list(hosted.database.queues):
            self.apply(hosted, Leave(Client(session)))  # The session itself is gone.
        return hosted

    async def _read(self, name: str) -> Hosted:
        database = Database(name, self._access)
        hosted = Hosted(database, self._graveyard.bury)
        hosted.snapshot_bytes, hosted.unsaved_bytes = await load(
            database, self._journal, self._snapshots, self._slicer, self._graveyard
        )
        hosted.used_at = time.monotonic()
        if self._govern is not None:
            await self._govern(hosted)
        return hosted

    # Commands

    def apply(self, hosted: Hosted, command: Command, read_at: int = 0) -> None:
        """Carries `command` out and tells everyone concerned. read_at: by the stopwatch; 0: as this turn began."""
        if hosted.held is not None or (type(command) is Update and len(command.children) > UPDATE_AT_ONCE_MAX):
            self._hold(hosted, command, read_at or self._stopwatch.begun_at or self._stopwatch.clock())
        elif not self._is_refused(hosted, command):
            # What watchers need of before; nothing when there are none.
            before = (self._stopwatch.clock(), hosted.unsaved_bytes) if hosted.watchers else None
            out: list[Effect] = []
            try:
                hosted.database.apply(command, self._now_ms(), out)
            except Exception:
                self._stop(hosted, command)
                return
            self._perform(hosted, command, out, before, read_at)

    def apply_first(self, hosted: Hosted, commands: Sequence[Recheck]) -> None:
        """Carries out `commands` before anything else of their database, which is held until that is done; others are not."""
        if hosted.held is not None:
            hosted.held.extendleft((command, 0) for command in reversed(commands))
        elif len(commands) > 1:
            hosted.held = deque((command, 0) for command in commands)
            self._slicer.begin(self._work_off(hosted))
        else:
            for command in commands:
                self.apply(hosted, command)

    def _is_refused(self, hosted: Hosted, command: Command) -> bool:
        """Whether `command` may not even be asked of the database; it is refused then."""
        if (self.failure is not None or self._journal.backlog_bytes > JOURNAL_BACKLOG_BYTES_MAX) and not isinstance(
            command, _READING
        ):
            self._refuse(command, Refused(Code.UNAVAILABLE, self.failure or DISK_BEHIND))
            return True
        if not isinstance(command, _READING) and command.client.identity.reads_only:
            self._refuse(command, Refused(Code.PERMISSION_DENIED, READS_ONLY))
            return True
        if hosted.stopped:
            self._refuse(command, Refused(Code.UNAVAILABLE, STOPPED))
            return True
        if hosted.telling is not None:
            hosted.telling.finish()  # What was said of the tree as it was.
        return False

    def _perform(self, hosted: Hosted, command: Command, out: list[Effect], before: tuple[int, int] | None, read_at: int) -> None:
        """Tells everyone concerned of `command`, which had `out`."""
        telling: FanOuts | None = None
        replied: Any = None
        superseded = self._metrics.volatile_superseded
        for effect in out:
            if type(effect) is Push:
                self._stopwatch.push_count += 1
                listeners = effect.listeners
                count = len(listeners)
                self._metrics.deliveries += count
                if count > WHOLE_LISTENERS_MAX:
                    telling = self._find_telling(hosted)
                if telling is not None:
                    telling.begin(effect, getattr(command, "client", None))
                else:
                    for listener in listeners:
                        listener.deliver(effect)  # type: ignore[attr-defined]  # the rim's clients are Receivers
            elif type(effect) is Commit:
                try:
                    self._commit(hosted, effect, read_at)
                except Exception:
                    # The next record would not join the last that the journal has.
                    self._stop(hosted, command)
                    return
            elif type(effect) is Reply:
                replied = self._reply(effect)
            elif type(effect) is Revoke:
                if telling is not None:
                    telling.finish()
                effect.client.revoke(effect)  # type: ignore[attr-defined]
            elif type(effect) is Drop:
                self._graveyard.bury(effect.node)
            elif type(effect) is Work:
                self._slicer.begin(self._work(hosted, effect))
        superseded = self._metrics.volatile_superseded - superseded
        if superseded and (author := getattr(command, "client", None)) is not None:
            author.drop(SUPERSEDED, superseded)
        if before is not None and not isinstance(command, (Indexed, Gathered, Hashed, Tidy, Recheck)):
            self._show(hosted, command, out, replied, before, read_at)

    def _find_telling(self, hosted: Hosted) -> FanOuts | None:
        if hosted.telling is None and self._lanes is not None:
            hosted.telling = FanOuts(self._lanes, hosted.lane, self._stopwatch.clock, self._metrics)
        return hosted.telling

    def _work(self, hosted: Hosted, work: Work) -> Steps:
        """What a database asked to be done in slices, and the command that this was for."""
        while hosted.held is None:
            try:
                next(work.steps)
            except StopIteration:
                break
            yield
        else:
            hosted.paused.append(work)
            return
        if work.then is not None:
            self._stopwatch.begin(self._stopwatch.clock())
            self.apply(hosted, work.then)
            self._stopwatch.handled(None)

    def _hold(self, hosted: Hosted, command: Command, read_at: int) -> None:
        """`command` waits for its turn among those of its database, which is held while a large update goes on."""
        held = hosted.held
        if held is None:
            hosted.held = deque([(command, read_at)])
            self._slicer.begin(self._work_off(hosted))
        elif len(held) < HELD_COMMANDS_MAX or isinstance(command, (Identify, *HOUSEKEEPING)):
            held.append((command, read_at))
        else:
            self._refuse(command, Refused(Code.UNAVAILABLE, HELD))

    def _work_off(self, hosted: Hosted) -> Steps:
        """A large update, and whatever came behind it: `apply` for each in turn."""
        held = hosted.held
        assert held is not None
        while held:
            command, read_at = held.popleft()
            if not self._is_refused(hosted, command):
                before = (self._stopwatch.clock(), hosted.unsaved_bytes) if hosted.watchers else None
                out: list[Effect] = []
                try:
                    yield from hosted.database.apply_slices(command, self._now_ms(), out)
                except Exception:
                    self._stop(hosted, command)
                else:
                    self._stopwatch.begin(self._stopwatch.clock())
                    self._perform(hosted, command, out, before, read_at)
                    self._stopwatch.handled(None)
            yield
        hosted.held = None
        paused, hosted.paused = hosted.paused, []
        for work in paused:
            self._slicer.begin(self._work(hosted, work))
        releases, hosted.releases = hosted.releases, []
        for release in releases:
            if not release.done():
                release.set_result(None)

    def _reply(self, reply: Reply) -> Any:
        """Sends `reply`; the form in which it was sent."""
        client: Any = reply.client
        if reply.request is None and reply.refused is None and client.is_session:
            return b""  # A volatile write that asked for no answer: most are.
        encoded = client.encode_reply(reply)
        client.send_reply(encoded)
        self._metrics.replies += 1
        if reply.refused is not None:
            self._metrics.refuse(reply.refused.code)
            if reply.request is None:
                client.drop(drop_of(reply.refused.code), text=reply.refused.text)
        return encoded

    def _show(
        self, hosted: Hosted, command: Request | Leave, out: list[Effect], replied: Any, before: tuple[int, int], read_at: int
    ) -> None:
        """Tells the watchers of `command`, which had `out`."""
        started_at, unsaved_bytes = before
        body = getattr(replied, "body", replied)
        told = []
        refused, unindexed = None, False
        for effect in out:
            if type(effect) is Push and effect.encoded:
                sizes = [len(made) for made in effect.encoded.values() if isinstance(made, bytes)]
                told.append(Told(effect.path, len(effect.listeners), max(sizes, default=0)))
            elif type(effect) is Reply:
                refused, unindexed = effect.refused, type(command) is Listen and effect.detail == ["no_index"]
        carried = Carried(
            command,
            getattr(command.client, "kind", "realtime"),
            refused,
            unindexed,
            written_bytes=hosted.unsaved_bytes - unsaved_bytes,
            replied_bytes=len(body) if isinstance(body, bytes) else 0,
            told=tuple(told),
            waited_nanoseconds=started_at - read_at if read_at else 0,
            took_nanoseconds=self._stopwatch.clock() - started_at,
        )
        for watcher in hosted.watchers:
            watcher.see(carried)

    def _commit(self, hosted: Hosted, commit: Commit, read_at: int) -> None:
        body = commit.record or encode(commit.entries)
        waiter: Waiter | None = None
        reply = commit.reply
        if reply is not None:
            client: Any = reply.client
            encoded = client.encode_reply(reply)
            if self._relaxed:
                client.send_reply(encoded)
                self._metrics.replies += 1
            else:
                holder = client.hold() if reply.holds else client
                waiter = (holder, encoded, reply.request, read_at or self._stopwatch.begun_at)
        self._journal.append(hosted.name, commit.sequence, body, waiter)
        hosted.unsaved_bytes += len(body)
        hosted.unpacked_bytes += len(body)
        if hosted.unsaved_bytes > SNAPSHOT_BYTES_MIN and hosted.unsaved_bytes > hosted.snapshot_bytes:
            self._begin_snapshot(hosted)

    def _stop(self, hosted: Hosted, command: Command) -> None:
        """A bug of ours met this database half way through a command: it goes on from what the journal has, not from here."""
        log.critical("database stopped", database=hosted.name, command=type(command).__name__, exc_info=True)
        hosted.stopped = True
        if self._hosted.get(hosted.name) is hosted:
            del self._hosted[hosted.name]
        self._refuse(command, Refused(Code.UNAVAILABLE, STOPPED))
        for client in list(hosted.clients.values()):
            asyncio.get_running_loop().call_soon(client.abandon, STOPPED)

    def _refuse(self, command: Command, refused: Refused) -> None:
        if isinstance(command, HOUSEKEEPING):
            return
        self._reply(Reply(command.client, command.request, refused))

    # The journal's answers

    def durable(self, waiters: list[Waiter]) -> None:
        """The records of `waiters` are on disk: acknowledge them."""
        for client, encoded, _, _ in waiters:
            client.send_reply(encoded)
        self._metrics.replies += len(waiters)
        self._stopwatch.acknowledge(waiters)

    def failed(self, waiters: list[Waiter], error: Exception) -> None:
        """The journal could not store; say so to everyone who waits and to everyone who writes from now on."""
        if self.failure is None:
            self.failure = "The journal cannot be written: this server acknowledges no more writes until it is restarted"
            log.critical("journal failed", error=str(error), effect="no write is acknowledged any more; reads go on")
        refused = Refused(Code.UNAVAILABLE, self.failure)
        for client, _, request, _ in waiters:
            self._reply(Reply(client, request, refused))

    # Snapshots and idle databases

    def _begin_snapshot(self, hosted: Hosted) -> None:
        if not hosted.snapshotting and self.failure is None:
            hosted.snapshotting = True
            self._start(self._saving.save(hosted))

    async def tidy(self) -> None:
        """Once in a while: snapshots for what holds the journal's oldest segments, trees that grew are packed, and idle
        databases leave memory."""
        for name in self._journal.pinning_databases():
            try:
                self._begin_snapshot(await self.open(name))
            except Refused as refused:
                log.error("database pins the journal", database=name, error=refused.text)
        for hosted in self._hosted.values():
            if hosted.unpacked_bytes > PACKED_BYTES_MIN and not hosted.packing:
                hosted.packing = True
                self._start(self._pack(hosted))
        before = time.monotonic() - self._settings.idle_database_seconds
        for hosted in list(self._hosted.values()):
            if hosted.database.wants_tidying:
                self.apply(hosted, Tidy())
            if self._is_idle(hosted, before):
                await self._put_away(hosted, before)

    async def _pack(self, hosted: Hosted) -> None:
        hosted.unpacked_bytes = 0
        try:
            count = await self._slicer.run(pack_tree_slices(hosted.database.tree, hosted.bury, least=PACKED_BYTES_MIN))
        finally:
            hosted.packing = False
        if count:
            log.info("packed", database=hosted.name, maps=count)

    def _is_idle(self, hosted: Hosted, before: float) -> bool:
        """Whether nobody has used `hosted` since `before`, and nothing is under way there or in memory alone."""
        is_busy = hosted.users or hosted.held is not None or hosted.snapshotting or hosted.database.volatile.count
        return not is_busy and hosted.used_at < before and self._hosted.get(hosted.name) is hosted

    async def _put_away(self, hosted: Hosted, before: float) -> None:
        if hosted.unsaved_bytes:
            hosted.snapshotting = True
            await self._saving.save(hosted)
        if not hosted.unsaved_bytes and self._is_idle(hosted, before):  # Still.
            del self._hosted[hosted.name]
            self._forget(hosted.name)

    def _start(self, work: Any) -> asyncio.Task[Any]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task
