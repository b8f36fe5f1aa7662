"""The shard on a disk in memory: what is acknowledged when, what comes back after an end, what a failing disk means."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Awaitable, Callable
from random import Random
from typing import Any

import msgspec
import pytest

from meadowlark.auth.identity import ADMIN, NOBODY, Identity
from meadowlark.engine import (
    Get,
    Identify,
    Leave,
    Listen,
    Locked,
    OnDisconnectSet,
    Open,
    Push,
    Recheck,
    Reply,
    Revoke,
    Set,
    Unlisten,
    Update,
)
from meadowlark.errors import Code, JournalFailed, Refused, WorldError
from meadowlark.journal import Databases, Journal, Snapshots
from meadowlark.journal.files import ensure_folders
from meadowlark.journal.snapshot_writer import SnapshotWriter
from meadowlark.limits import INDEX_IDLE_SECONDS, SNAPSHOT_BYTES_MIN
from meadowlark.query import parse_query
from meadowlark.server import loading
from meadowlark.server import shard as module
from meadowlark.server.graveyard import Graveyard
from meadowlark.server.hosted import Hosted, Receiver
from meadowlark.server.profile import Profile
from meadowlark.server.shard import Shard
from meadowlark.server.slicer import Slicer
from meadowlark.testing import Fault, MemoryFiles
from meadowlark.tree import unpacked

NOW = 1_700_000_000_000


class Settings(msgspec.Struct):
    create_databases: bool = True
    durability: str = "durable"
    idle_database_seconds: float = 600.0


class Caller(Receiver):
    """Keeps what it is told, in order."""

    __slots__ = ("told",)

    def __init__(self, id: str = "one") -> None:
        super().__init__(id, ADMIN)
        self.told: list[Any] = []

    def deliver(self, push: Push) -> None:
        self.told.append(("push", push.value))

    def encode_reply(self, reply: Reply) -> Any:
        return reply.refused.code if reply.refused else ("ok", reply.request)

    def send_reply(self, encoded: Any) -> None:
        self.told.append(encoded)

    def revoke(self, effect: Revoke) -> None:
        self.told.append(("revoked", effect.path))


ENCODED_BYTES = 7


class Encoding(Caller):
    """One to whom all is told in seven bytes."""

    __slots__ = ()

    def deliver(self, push: Push) -> None:
        push.encoded = {"form": bytes(ENCODED_BYTES)}

    def encode_reply(self, reply: Reply) -> Any:
        return bytes(ENCODED_BYTES)


class Life:
    """One run of a worker's shard; without the journal's thread, so records become durable at `commit`."""

    def __init__(self, files: MemoryFiles, settings: Settings | None = None, slicer: Slicer | None = None) -> None:
        self.files = files
        self.now_ms = NOW
        ensure_folders(files, "data", "journal-1", "0")
        loop = asyncio.get_running_loop()
        self.snapshots = Snapshots(files, "data")
        self.journal = Journal(
            files,
            "data/journal-1/0",
            worker=0,
            wake=loop.call_soon,
            on_durable=lambda waiters: self.shard.durable(waiters),
            on_failed=lambda waiters, error: self.shard.failed(waiters, error),
            clock=lambda: 0.0,
        )
        self.journal.open(self.snapshots)
        databases = Databases(files, "data")
        self.shard = Shard(
            self.journal, self.snapshots, databases, Open(), settings or Settings(), lambda: self.now_ms, slicer=slicer
        )

    async def commit(self) -> None:
        """What was appended is durable, or has failed, and everyone has been told."""
        with contextlib.suppress(JournalFailed):
            self.journal.drain()
        await asyncio.sleep(0)

    async def finish_snapshot(self, hosted: Hosted) -> None:
        for _ in range(2000):
            if not hosted.snapshotting:
                return
            self.journal.drain()
            await asyncio.sleep(0.001)
        raise AssertionError("the snapshot does not end")

    async def read(self, name: str, path: tuple[str, ...] = ()) -> Any:
        return unpacked((await self.shard.open(name)).database.tree.get(path))


def run(scenario: Callable[[MemoryFiles], Awaitable[None]]) -> None:
    async def bounded() -> None:
        files = MemoryFiles()
        files.make_folder("data")
        files.sync_folder("")
        await asyncio.wait_for(scenario(files), 60)

    asyncio.run(bounded())


def test_listeners_hear_at_once_and_the_writer_is_acknowledged_when_durable() -> None:
    async def scenario(files: MemoryFiles) -> None:
        life, writer, listener = Life(files), Caller(), Caller("two")
        hosted = await life.shard.open("demo")
        life.shard.apply(hosted, Listen(listener, 1, ()))
        life.shard.apply(hosted, Set(writer, 7, ("a",), 1))
        await asyncio.sleep(0)
        assert listener.told == [("ok", 1), ("push", 1)]
        assert writer.told == []
        await life.commit()
        assert writer.told == [("ok", 7)]

    run(scenario)


def test_a_profile_sees_every_command_with_what_it_wrote_and_sent() -> None:
    async def scenario(files: MemoryFiles) -> None:
        life, writer, listener = Life(files), Caller(), Encoding("two")
        hosted = await life.shard.open("demo")
        life.shard.apply(hosted, Listen(listener, 1, ("a",)))
        profile = Profile()
        hosted.watchers = (profile,)
        for number in range(3):
            life.shard.apply(hosted, Set(writer, number, ("a",), "x" * 100))
        life.shard.apply(hosted, Get(Encoding("three"), 9, ("a",)))
        life.shard.apply(hosted, Leave(listener))
        lines = {line["path"]: line for line in profile.report()}
        assert {path: line["operations"] for path, line in lines.items()} == {"/a": {"set": 3, "get": 1}, "/": {"leave": 1}}
        assert 330 < lines["/a"]["written_bytes"] < 400
        assert lines["/a"]["sent_bytes"] == 3 * ENCODED_BYTES + ENCODED_BYTES
        assert lines["/a"]["milliseconds"] > 0

    run(scenario)


def test_nobody_hears_of_a_write_between_new_rules_and_being_asked_about_again() -> None:
    async def scenario(files: MemoryFiles) -> None:
        life, writer = Life(files), Caller()
        hosted, other = await life.shard.open("demo"), await life.shard.open("other")
        listeners = [Caller(str(number)) for number in range(5)]
        for listener in listeners:
            listener.identity = NOBODY
            life.shard.apply(hosted, Listen(listener, 1, ("a",)))
        hosted.database.access = Locked()
        life.shard.apply_first(hosted, [Recheck((listener,)) for listener in listeners])
        life.shard.apply(hosted, Set(writer, 7, ("a",), "unheard"))
        life.shard.apply(other, Set(writer, 8, ("a",), 1))
        await hosted.released()
        assert [listener.told for listener in listeners] == [[("ok", 1), ("revoked", ("a",))]] * len(listeners)
        await life.commit()
        assert sorted(writer.told) == [("ok", 7), ("ok", 8)]
        assert hosted.held is None

    run(scenario)


def test_new_rules_go_before_what_waits_behind_a_large_update() -> None:
    async def scenario(files: MemoryFiles) -> None:
        life, writer, listener = Life(files), Caller(), Caller("two")
        hosted = await life.shard.open("demo")
        listener.identity = NOBODY
        life.shard.apply(hosted, Listen(listener, 1, ("a",)))
        life.shard.apply(hosted, Update(writer, 2, ("p",), dict(MANY)))
        life.shard.apply(hosted, Set(writer, 3, ("a",), "unheard"))
        hosted.database.access = Locked()
        life.shard.apply_first(hosted, [Recheck((listener,))])
        await hosted.released()
        assert listener.told == [("ok", 1), ("revoked", ("a",))]
        assert await life.read("demo", ("a",)) == "unheard"

    run(scenario)


MANY = {f"k{number:04}": number for number in range(2_000)}


def test_nobody_sees_half_of_a_large_update_and_other_databases_do_not_wait() -> None:
    async def scenario(files: MemoryFiles) -> None:
        life, writer, reader = Life(files), Caller(), Caller("two")
        hosted, other = await life.shard.open("demo"), await life.shard.open("other")
        life.shard.apply(hosted, Listen(reader, 1, ("p",)))
        life.shard.apply(hosted, Update(writer, 2, ("p",), dict(MANY)))
        life.shard.apply(hosted, Get(reader, 3, ("p", "k1999")))
        life.shard.apply(hosted, Set(writer, 4, ("p", "k0000"), "later"))
        life.shard.apply(other, Get(reader, 5, ()))
        assert hosted.held is not None
        assert reader.told == [("ok", 1), ("ok", 5)]
        steps = 0
        while hosted.held is not None:
            steps += 1
            await asyncio.sleep(0)
        assert steps > 2
        assert reader.told[2:] == [("push", MANY), ("ok", 3), ("push", "later")]
        assert writer.told == []
        await life.commit()
        assert writer.told == [("ok", 2), ("ok", 4)]
        assert await Life(files.after_power_cut(Random(1))).read("demo", ("p",)) == MANY | {"k0000": "later"}

    run(scenario)


def test_a_snapshot_and_an_index_wait_for_a_large_update() -> None:
    async def scenario(files: MemoryFiles) -> None:
        life, writer, reader = Life(files), Caller(), Caller("two")
        hosted = await life.shard.open("demo")
        life.shard.apply(hosted, Set(writer, 1, ("p",), {f"k{number}": {"n": number} for number in range(1_000)}))
        life.shard.apply(hosted, Listen(reader, 2, ("p",), None, parse_query({"i": "n", "l": 1, "vf": "r"}), 7))
        life.shard.apply(hosted, Update(writer, 3, ("p",), {f"k{number}/n": number + 5_000 for number in range(900)}))
        life.shard._begin_snapshot(hosted)
        await hosted.released()
        await life.finish_snapshot(hosted)
        while len(reader.told) < 2:
            await asyncio.sleep(0)
        assert reader.told == [("push", {"k899": {"n": 5_899}}), ("ok", 2)]
        again = await Life(files.after_power_cut(Random(1))).read("demo", ("p",))
        assert {child["n"] for child in again.values()} == {*range(900, 1_000), *range(5_000, 5_900)}

    run(scenario)


def test_what_waits_for_a_large_update_is_bounded_but_for_who_leaves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "HELD_COMMANDS_MAX", 2)

    async def scenario(files: MemoryFiles) -> None:
        life, writer, reader = Life(files), Caller(), Caller("two")
        hosted = await life.shard.open("demo")
        life.shard.apply(hosted, Update(writer, 1, ("p",), dict(MANY)))
        for request in (2, 3, 4):
            life.shard.apply(hosted, Get(reader, request, ()))
        life.shard.apply(hosted, Identify(reader, 5, ADMIN))
        life.shard.apply(hosted, Leave(reader))
        await hosted.released()
        assert reader.told == [Code.UNAVAILABLE, Code.UNAVAILABLE, ("ok", 2), ("ok", 5)]
        assert reader.has_left

    run(scenario)


def test_relaxed_acknowledges_at_once_and_still_stores() -> None:
    async def scenario(files: MemoryFiles) -> None:
        life, writer = Life(files, Settings(durability="relaxed")), Caller()
        life.shard.apply(await life.shard.open("demo"), Set(writer, 1, ("a",), 1))
        assert writer.told == [("ok", 1)]
        await life.commit()
        assert await Life(files.after_power_cut(Random(1))).read("demo") == {"a": 1}

    run(scenario)


def test_an_acknowledged_write_is_there_after_a_power_cut() -> None:
    async def scenario(files: MemoryFiles) -> None:
        life, writer = Life(files), Caller()
        hosted = await life.shard.open("demo")
        for number in range(20):
            life.shard.apply(hosted, Set(writer, number, ("n", str(number)), number))
            await life.commit()
        assert len(writer.told) == 20
        for seed in range(20):
            again = await Life(files.after_power_cut(Random(seed))).read("demo", ("n",))
            assert again == {str(number): number for number in range(20)}

    run(scenario)


@pytest.mark.parametrize("fault", [Fault.FAIL, Fault.SHORT])
@pytest.mark.parametrize("step", [1, 2])
def test_a_failing_disk_refuses_writes_and_goes_on_reading(fault: Fault, step: int) -> None:
    """Steps of a group are its write and its sync."""

    async def scenario(files: MemoryFiles) -> None:
        life, writer = Life(files), Caller()
        hosted = await life.shard.open("demo")
        life.shard.apply(hosted, Set(writer, 1, ("a",), 1))
        await life.commit()
        files.plan(fault, step)
        life.shard.apply(hosted, Set(writer, 2, ("a",), 2))
        await life.commit()
        life.shard.apply(hosted, Set(writer, 3, ("a",), 3))
        life.shard.apply(hosted, Get(writer, 4, ("a",)))
        assert writer.told == [("ok", 1), Code.UNAVAILABLE, Code.UNAVAILABLE, ("ok", 4)]
        assert life.shard.failure is not None
        assert "restarted" in life.shard.failure

    run(scenario)


def test_what_sessions_had_queued_runs_at_the_next_start() -> None:
    async def scenario(files: MemoryFiles) -> None:
        life, one = Life(files), Caller()
        hosted = await life.shard.open("demo")
        life.shard.apply(hosted, Set(one, 1, ("online",), True))
        life.shard.apply(hosted, OnDisconnectSet(one, 2, ("online",), None))
        life.shard.apply(hosted, OnDisconnectSet(one, 3, ("count",), {".sv": {"increment": 1}}))
        await life.commit()
        after = files.after_power_cut(Random(3))
        life = Life(after)
        assert life.journal.databases().keys() == {"demo"}
        await life.shard.recover(["demo"])
        assert await life.read("demo") == {"count": 1}
        await life.commit()
        assert await Life(after.after_power_cut(Random(4))).read("demo") == {"count": 1}

    run(scenario)


def test_a_query_after_a_restart_from_a_snapshot_finds_what_the_snapshot_had() -> None:
    async def scenario(files: MemoryFiles) -> None:
        life, writer = Life(files), Caller()
        hosted = await life.shard.open("demo")
        value = {str(number): {"n": number, "x": "x" * 1000} for number in range(SNAPSHOT_BYTES_MIN // 1000)}
        life.shard.apply(hosted, Set(writer, 1, ("big",), value))
        await life.finish_snapshot(hosted)
        await life.commit()
        again, reader = Life(files.after_power_cut(Random(5))), Caller("reader")
        opened = await again.shard.open("demo")
        query = parse_query({"i": ".key", "l": 2, "vf": "l"})
        again.shard.apply(opened, Listen(reader, 1, ("big",), "", query, 1))
        while ("ok", 1) not in reader.told:
            await asyncio.sleep(0)
        [(_, window)] = [told for told in reader.told if told[0] == "push"]
        assert list(unpacked(window)) == ["0", "1"]
        again.shard.apply(opened, Set(writer, 2, ("big", "1"), None))
        assert reader.told[-1] == ("push", {"1": None, "2": value["2"]})

    run(scenario)


def test_a_database_that_outgrows_its_snapshot_gets_a_new_one_and_comes_back_from_it() -> None:
    async def scenario(files: MemoryFiles) -> None:
        life, writer = Life(files), Caller()
        hosted = await life.shard.open("demo")
        life.shard.apply(hosted, OnDisconnectSet(Caller("away"), 1, ("away",), True))
        life.shard.apply(
            hosted, Set(writer, 1, ("big",), {str(number): "x" * 1000 for number in range(SNAPSHOT_BYTES_MIN // 1000)})
        )
        assert hosted.snapshotting
        life.shard.apply(hosted, Set(writer, 2, ("big", "0"), "changed meanwhile"))
        await life.finish_snapshot(hosted)
        header = life.snapshots.read_header("demo")
        assert header is not None
        life.shard.apply(hosted, Set(writer, 3, ("after",), 1))
        await life.commit()
        again = Life(files.after_power_cut(Random(5)))
        tree = await again.read("demo")
        assert tree["big"]["0"] == "changed meanwhile"
        assert (tree["after"], tree["away"], len(tree["big"])) == (1, True, SNAPSHOT_BYTES_MIN // 1000)
        assert not again.shard._hosted["demo"].database.queues

    run(scenario)


def test_a_snapshot_has_nothing_that_is_volatile_and_what_moves_meanwhile_goes_on_moving() -> None:
    async def scenario(files: MemoryFiles) -> None:
        life, writer = Life(files), Caller()
        hosted = await life.shard.open("demo")
        life.shard.apply(hosted, Set(writer, 1, ("room",), {"name": "red", "at": {"ann": 1, "bob": 2}}))
        for number in range(300):  # More than are left out in one slice.
            life.shard.apply(hosted, Set(writer, None, ("room", "at", f"guest {number}"), {"x": number}, volatile=True))
        life.shard.apply(hosted, Set(writer, None, ("room", "at", "bob"), {"x": 0}, volatile=True))
        life.shard._begin_snapshot(hosted)
        await asyncio.sleep(0)
        life.shard.apply(hosted, Set(writer, None, ("room", "at", "bob"), {"x": 1}, volatile=True))
        life.shard.apply(hosted, Set(writer, None, ("new",), "only now", volatile=True))
        await life.finish_snapshot(hosted)
        snapshot = life.snapshots.read("demo")
        assert snapshot is not None
        assert msgspec.json.decode(snapshot.data) == {"room": {"name": "red", "at": {"ann": 1}}}
        assert (await life.read("demo", ("room", "at", "bob")), await life.read("demo", ("new",))) == ({"x": 1}, "only now")
        again = Life(files.after_power_cut(Random(5)))
        assert await again.read("demo") == {"room": {"name": "red", "at": {"ann": 1}}}

    run(scenario)


def test_a_snapshot_is_of_one_moment_while_writing_goes_on() -> None:
    async def scenario(files: MemoryFiles) -> None:
        life, writer = Life(files), Caller()
        hosted = await life.shard.open("demo")
        size = SNAPSHOT_BYTES_MIN // 1000
        life.shard.apply(
            hosted, Set(writer, 1, ("big",), {f"{number:05}": {"v": 0, "pad": "x" * 1000} for number in range(size)})
        )
        for round in range(1, 30):
            life.shard.apply(hosted, Set(writer, 2, ("big", f"{round:05}", "v"), round))
            life.shard.apply(hosted, Set(writer, 3, ("big", f"{size - round:05}", "v"), round))
            await asyncio.sleep(0)
        await life.finish_snapshot(hosted)
        snapshot = life.snapshots.read("demo")
        assert snapshot is not None
        big = msgspec.json.decode(snapshot.data)["big"]
        pairs = [(big[f"{round:05}"]["v"], big[f"{size - round:05}"]["v"]) for round in range(1, 30)]
        first_missing = next((index for index, pair in enumerate(pairs) if pair == (0, 0)), len(pairs))
        assert all(pair == (0, 0) for pair in pairs[first_missing:])
        assert all(pair == (index + 1, index + 1) for index, pair in enumerate(pairs[:first_missing]))

    run(scenario)


def test_an_index_that_nobody_uses_any_more_is_tidied_away() -> None:
    async def scenario(files: MemoryFiles) -> None:
        life, one = Life(files), Caller()
        hosted = await life.shard.open("demo")
        life.shard.apply(hosted, Set(one, 1, ("a",), {f"k{number}": number for number in range(2_000)}))
        query = parse_query({"i": ".value", "l": 2, "vf": "r"})
        life.shard.apply(hosted, Listen(one, 2, ("a",), "", query, 1))
        while ("ok", 2) not in one.told:
            await asyncio.sleep(0.001)
        assert one.told == [("push", {"k1998": 1998, "k1999": 1999}), ("ok", 2)]
        await life.shard.tidy()
        assert hosted.database._queries.ordering_count == 1, "it is in use"
        life.shard.apply(hosted, Unlisten(one, 3, ("a",), query, 1))
        await life.shard.tidy()
        assert hosted.database._queries.ordering_count == 1, "who left may be about to come back"
        life.now_ms += INDEX_IDLE_SECONDS * 1000
        await life.shard.tidy()
        assert hosted.database._queries.ordering_count == 0
        await life.commit()

    run(scenario)


def test_an_idle_database_leaves_memory_and_comes_back() -> None:
    async def scenario(files: MemoryFiles) -> None:
        life, writer = Life(files, Settings(idle_database_seconds=0.0)), Caller()
        hosted = await life.shard.open("demo")
        hosted.users += 1
        life.shard.apply(hosted, Set(writer, 1, ("a",), 1))
        await life.commit()
        await life.shard.tidy()
        assert "demo" in life.shard._hosted, "somebody uses it"
        hosted.users -= 1
        hosted.used_at = -1.0
        tidying = asyncio.create_task(life.shard.tidy())
        while not tidying.done():
            await life.commit()
            await asyncio.sleep(0.001)
        assert "demo" not in life.shard._hosted
        hosted = await life.shard.open("demo")
        assert hosted.database.tree.root == {"a": 1}
        life.shard.apply(hosted, Set(writer, 2, ("b",), 2))
        await life.commit()
        assert await Life(files.after_power_cut(Random(6))).read("demo") == {"a": 1, "b": 2}

    run(scenario)


def test_two_that_open_at_once_get_one_database() -> None:
    async def scenario(files: MemoryFiles) -> None:
        life = Life(files)
        first, second = await asyncio.gather(life.shard.open("demo"), life.shard.open("demo"))
        assert first is second

    run(scenario)


@pytest.mark.parametrize("name", ["", "..", "../up", "a/b", "a.b", ".hidden", "-dash", "a" * 64, "ns\x00", "é"])
def test_a_name_that_is_none_touches_nothing(name: str) -> None:
    async def scenario(files: MemoryFiles) -> None:
        life = Life(files)
        before = files.list("data")
        with pytest.raises(Refused, match="not a database name"):
            await life.shard.open(name)
        assert files.list("data") == before

    run(scenario)


def test_an_unknown_database_is_not_made_where_touching_does_not_make_it() -> None:
    async def scenario(files: MemoryFiles) -> None:
        life = Life(files, Settings(create_databases=False))
        with pytest.raises(Refused, match="meadowlark databases create demo"):
            await life.shard.open("demo")
        life.shard.create("demo")
        assert await life.read("demo") is None

    run(scenario)


def test_a_bug_in_the_engine_stops_one_database_which_goes_on_from_its_journal(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(files: MemoryFiles) -> None:
        life, one = Life(files), Caller()
        hosted, other = await life.shard.open("demo"), await life.shard.open("other")
        life.shard.apply(hosted, Set(one, 1, ("a",), 1))
        await life.commit()

        def half_a_write(path: Any, node: Any) -> None:
            hosted.database.tree.root = {"half": True}
            raise ZeroDivisionError

        monkeypatch.setattr(type(hosted.database.tree), "set", lambda tree, path, node: half_a_write(path, node))
        life.shard.apply(hosted, Set(one, 2, ("b",), 2))
        monkeypatch.undo()
        life.shard.apply(hosted, Set(one, 3, ("c",), 3))
        life.shard.apply(hosted, Leave(one))
        assert one.told == [("ok", 1), Code.UNAVAILABLE, Code.UNAVAILABLE]
        assert await life.read("demo") == {"a": 1}
        life.shard.apply(other, Set(one, 4, ("d",), 4))
        await life.commit()
        assert one.told[-1] == ("ok", 4)

    run(scenario)


def test_a_record_that_cannot_be_made_stops_the_database_before_the_journal_has_a_gap() -> None:
    async def scenario(files: MemoryFiles) -> None:
        life, one, two = Life(files), Caller(), Caller("two")
        hosted = await life.shard.open("demo")
        life.shard.apply(hosted, Set(two, 1, ("a",), 1))
        one.identity = Identity({"uid": "one", "token": {"n": 2**64}})
        life.shard.apply(hosted, OnDisconnectSet(one, 2, ("b",), 2))
        life.shard.apply(hosted, Set(two, 3, ("c",), 3))
        await life.commit()
        assert one.told == [Code.UNAVAILABLE]
        assert two.told == [Code.UNAVAILABLE, ("ok", 1)]
        assert await life.read("demo") == {"a": 1}

    run(scenario)


def test_no_snapshot_is_made_of_a_database_that_was_stopped_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(files: MemoryFiles) -> None:
        life, one = Life(files), Caller()
        hosted = await life.shard.open("demo")
        life.shard.apply(hosted, Set(one, 1, ("a",), 1))
        life.shard._begin_snapshot(hosted)
        stop_halfway(life, hosted, one, monkeypatch)
        await life.finish_snapshot(hosted)
        assert life.snapshots.read("demo") is None
        assert await life.read("demo") == {"a": 1}

    run(scenario)


def test_a_database_that_starts_again_is_not_put_away_for_the_one_before(monkeypatch: pytest.MonkeyPatch) -> None:
    may_finish, finish = threading.Event(), SnapshotWriter.finish

    def finish_late(writer: SnapshotWriter) -> None:
        assert may_finish.wait(30)
        finish(writer)

    monkeypatch.setattr(SnapshotWriter, "finish", finish_late)

    async def scenario(files: MemoryFiles) -> None:
        life, one = Life(files, Settings(idle_database_seconds=0.0)), Caller()
        hosted = await life.shard.open("demo")
        life.shard.apply(hosted, Set(one, 1, ("a",), 1))
        hosted.used_at = -1.0
        tidying = asyncio.create_task(life.shard.tidy())
        while not hosted.snapshotting or hosted.database.sequence < 2:
            await asyncio.sleep(0)
        stop_halfway(life, hosted, one, monkeypatch)
        await life.commit()
        again = await life.shard.open("demo")
        again.users += 1
        may_finish.set()
        await end(tidying, life)
        assert await life.shard.open("demo") is again

    run(scenario)


def test_a_database_that_is_used_while_it_is_put_away_stays() -> None:
    async def scenario(files: MemoryFiles) -> None:
        life, one = Life(files, Settings(idle_database_seconds=0.0)), Caller()
        hosted = await life.shard.open("demo")
        life.shard.apply(hosted, Set(one, 1, ("a",), 1))
        hosted.used_at = -1.0
        tidying = asyncio.create_task(life.shard.tidy())
        while not hosted.snapshotting:
            await asyncio.sleep(0)
        life.shard.apply(hosted, Set(one, None, ("kept",), 2, volatile=True))
        await end(tidying, life)
        assert await life.read("demo") == {"a": 1, "kept": 2}

    run(scenario)


def test_a_snapshot_that_cannot_be_begun_leaves_nothing_frozen(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(files: MemoryFiles) -> None:
        life, one = Life(files), Caller()
        hosted = await life.shard.open("demo")
        life.shard.apply(hosted, Set(one, 1, ("a",), 1))
        with monkeypatch.context() as patch:
            patch.setattr(Snapshots, "writer", refuse)
            life.shard._begin_snapshot(hosted)
            await life.finish_snapshot(hosted)
        root = hosted.database.tree.root
        life.shard.apply(hosted, Set(one, 2, ("a",), 2))
        assert hosted.database.tree.root is root, "a tree that is frozen is copied"
        await life.commit()

    run(scenario)


def refuse(snapshots: Snapshots, database: str, sequence: int, sessions: Any) -> Any:
    raise WorldError("the disk is full")


def stop_halfway(life: Life, hosted: Hosted, client: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bug of ours meets `hosted` in the middle of a write."""

    def half_a_write(tree: Any, path: Any, node: Any) -> None:
        tree.root = {"half": True}
        raise RuntimeError("a bug")

    with monkeypatch.context() as patch:
        patch.setattr(type(hosted.database.tree), "set", half_a_write)
        life.shard.apply(hosted, Set(client, 9, ("b",), 2))


async def end(task: asyncio.Task[None], life: Life) -> None:
    for _ in range(2000):
        if task.done():
            return task.result()
        await life.commit()
        await asyncio.sleep(0.001)
    raise AssertionError("it does not end")


def test_a_disk_that_falls_behind_is_given_no_more_to_write(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(files: MemoryFiles) -> None:
        life, one = Life(files), Caller()
        hosted = await life.shard.open("demo")
        monkeypatch.setattr(module, "JOURNAL_BACKLOG_BYTES_MAX", 1000)
        for number in range(3):
            life.shard.apply(hosted, Set(one, number, ("a",), "x" * 600))
        assert one.told == [Code.UNAVAILABLE]
        await life.commit()
        life.shard.apply(hosted, Set(one, 3, ("a",), 1))
        await life.commit()
        assert one.told == [Code.UNAVAILABLE, ("ok", 0), ("ok", 1), ("ok", 3)]

    run(scenario)


def test_a_client_that_left_hears_nothing_more() -> None:
    async def scenario(files: MemoryFiles) -> None:
        life, one, two = Life(files), Caller("one"), Caller("two")
        hosted = await life.shard.open("demo")
        life.shard.apply(hosted, Listen(one, 1, ()))
        life.shard.apply(hosted, Leave(one))
        life.shard.apply(hosted, Set(two, 1, (), 1))
        assert one.told == [("ok", 1)]

    run(scenario)


def test_large_values_let_go_are_buried(monkeypatch: pytest.MonkeyPatch) -> None:
    buried: list[Any] = []
    monkeypatch.setattr(Graveyard, "bury", lambda graveyard, node: buried.append(node))

    async def scenario(files: MemoryFiles) -> None:
        life, writer = Life(files, Settings(idle_database_seconds=-1.0)), Caller()
        hosted = await life.shard.open("demo")
        value = {str(number): {"n": number} for number in range(2_000)}
        for number in range(3):
            life.shard.apply(hosted, Set(writer, number, ("a",), value))
        assert len(buried) == 2
        root = hosted.database.tree.root
        del hosted
        await life.commit()
        tidying = asyncio.create_task(life.shard.tidy())
        while not tidying.done():
            await life.commit()
            await asyncio.sleep(0.001)
        assert buried[-1] is root
        again = Life(files.after_power_cut(Random(7)))
        assert (await again.read("demo")) == root

    run(scenario)


def test_large_records_come_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loading, "LARGE_BYTES", 100)
    monkeypatch.setattr(loading, "BATCH_RECORDS", 3)

    async def scenario(files: MemoryFiles) -> None:
        life, writer = Life(files), Caller()
        hosted = await life.shard.open("demo")
        for number in range(10):
            life.shard.apply(hosted, Set(writer, number, (str(number % 4),), {"text": "x" * number * 20}))
        await life.commit()
        assert await Life(files.after_power_cut(Random(8))).read("demo") == hosted.database.tree.root

    run(scenario)
