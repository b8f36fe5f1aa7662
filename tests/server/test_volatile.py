"""Volatile values through a worker's real parts: who stalls, floods, dies, may not, or says too much."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from functools import partial
from itertools import count
from types import SimpleNamespace
from typing import Any

from meadowlark.engine import Ruled
from meadowlark.journal import Databases, Journal, Snapshots
from meadowlark.journal.files import ensure_folders
from meadowlark.limits import SESSION_VOLATILE_VALUES_MAX, VOLATILE_BYTES_MAX
from meadowlark.rules import parse_rules
from meadowlark.server.expiries import Expiries
from meadowlark.server.hosted import Hosted
from meadowlark.server.large_writes import LargeWrites
from meadowlark.server.outbox import Turn
from meadowlark.server.realtime import HELD_FRAMES, RealtimeConnection
from meadowlark.server.shard import Shard
from meadowlark.server.slicer import Slicer
from meadowlark.server.stopwatch import Stopwatch
from meadowlark.testing import MemoryFiles
from meadowlark.wire.drops import Drop
from tests.waiting import run

RULES = """{"rules": {".read": true, "durable": {".write": true},
  "cursors": {"$user": {".write": true, ".volatile": true, ".validate": "newData.val() !== 'denied'"}}}}"""
STEP_NANOSECONDS = 20_000
"""By which the clock is later at each look, so that shares of the loop end."""


class Loop:
    """Turns when it is told to."""

    def __init__(self) -> None:
        self.soon: list[Callable[[], Any]] = []
        self.timers: list[Callable[[], Any]] = []

    def call_later(self, seconds: float, callback: Callable[..., Any], *arguments: Any) -> Any:
        call = partial(callback, *arguments)
        self.timers.append(call)
        return SimpleNamespace(cancel=lambda: call in self.timers and self.timers.remove(call))

    def end_second(self) -> None:
        """All timers end that were begun."""
        timers, self.timers = self.timers, []
        for timer in timers:
            timer()
        self.settle()

    def call_soon(self, callback: Callable[..., Any], *arguments: Any) -> None:
        self.soon.append(lambda: callback(*arguments))

    def turn(self) -> None:
        soon, self.soon = self.soon, []
        for callback in soon:
            callback()

    def settle(self) -> None:
        for _ in range(10_000):
            if not self.soon:
                return
            self.turn()
        raise AssertionError("the loop is never done")


class Line:
    """Keeps what is written."""

    def __init__(self) -> None:
        self.written: list[bytes] = []
        self.is_read = True
        self.write = self.written.append

    def pause_reading(self) -> None:
        self.is_read = False

    def resume_reading(self) -> None:
        self.is_read = True

    @property
    def heard(self) -> bytes:
        return b"".join(self.written)


class Worker:
    """The parts of a worker that volatile values meet, without processes, sockets or a disk."""

    def __init__(self, *, is_dev: bool = False) -> None:
        self.loop: Any = Loop()
        files = MemoryFiles()
        files.make_folder("data")
        ensure_folders(files, "data", "journal-1", "0")
        self.turn = Turn(self.loop, Stopwatch(count(STEP_NANOSECONDS, STEP_NANOSECONDS).__next__))
        self.journal = Journal(
            files,
            "data/journal-1/0",
            worker=0,
            wake=lambda callback, *arguments: callback(*arguments),
            on_durable=lambda waiters: self.shard.durable(waiters),
            on_failed=lambda waiters, error: self.shard.failed(waiters, error),
        )
        self.journal.open()
        settings = SimpleNamespace(create_databases=True, durability="durable", idle_database_seconds=600.0)
        access = Ruled(parse_rules(RULES))
        self.shard = Shard(
            self.journal, Snapshots(files, "data"), Databases(files, "data"), access, settings, lambda: 7, self.turn.stopwatch
        )
        self.sessions: set[RealtimeConnection] = set()
        self.expiries: Expiries[RealtimeConnection] = Expiries()
        self.large_writes = LargeWrites(Slicer(), lambda: 7)
        self.tells_drops = is_dev
        self._last = 0

    @property
    def metrics(self) -> Any:
        return self.turn.stopwatch.metrics

    def now_ms(self) -> int:
        return 7

    def connect(self, hosted: Hosted, *, listens: str = "") -> tuple[RealtimeConnection, Line]:
        self._last += 1
        host: Any = self
        line: Any = Line()
        connection = RealtimeConnection(host, hosted, f"session {self._last}", "h")
        connection.opened(line)
        if listens:
            connection.received(b'{"t":"d","d":{"r":1,"a":"q","b":{"p":"%b","h":""}}}' % listens.encode())
        for _ in range(4):  # Past the door.
            connection.received(b'{"t":"d","d":{"r":2,"a":"s","b":{}}}')
        self.loop.settle()
        line.written.clear()
        return connection, line

    def settle(self) -> None:
        self.journal.drain()
        self.loop.settle()


def say(user: str, value: Any, request: int | None = None) -> bytes:
    """A volatile write of our own clients, or with a number, of the SDK."""
    body = {"p": f"/cursors/{user}", "d": value}
    message = {"a": "v", "b": body} if request is None else {"r": request, "a": "p", "b": body}
    return json.dumps({"t": "d", "d": message}, separators=(",", ":")).encode()


def told(user: str, value: Any) -> bytes:
    return b'"p":"cursors/%b","d":%b' % (user.encode(), json.dumps(value, separators=(",", ":")).encode())


def test_of_a_thousand_listeners_one_that_stalls_costs_the_others_nothing_and_gets_the_last_of_each() -> None:
    async def work() -> None:
        worker = Worker()
        hosted = await worker.shard.open("demo")
        listeners = [worker.connect(hosted, listens="/cursors") for _ in range(1000)]
        writer, _ = worker.connect(hosted)
        stalled, its_line = listeners[500]
        stalled.pause()
        for number in range(60):
            writer.received(say("ann" if number % 3 else "bob", {"x": number}))
            worker.loop.settle()
        assert its_line.written == []
        assert worker.turn.held_bytes < 300, "one frame for each of the two cursors"
        assert worker.metrics.volatile_superseded == 58
        for listener, line in listeners:
            if listener is not stalled:
                heard = line.heard
                assert [heard.count(told("bob" if not n % 3 else "ann", {"x": n})) for n in range(60)] == [1] * 60
        stalled.resume()
        assert its_line.heard.count(b'"a":"d"') == 2
        assert told("ann", {"x": 59}) in its_line.heard
        assert told("bob", {"x": 57}) in its_line.heard
        assert worker.turn.held_bytes == 0
        assert not worker.turn.stalled

    run(work())


def test_a_client_that_floods_is_read_no_faster_than_its_share_and_others_are_served_in_between() -> None:
    async def work() -> None:
        worker = Worker()
        flooded, quiet = await worker.shard.open("flooded"), await worker.shard.open("quiet")
        flooder, its_line = worker.connect(flooded)
        slow, _ = worker.connect(flooded, listens="/cursors")
        slow.pause()
        someone, _ = worker.connect(quiet)
        _, neighbours_line = worker.connect(quiet, listens="/cursors")
        sent = waits = 0
        for round_number in range(200):
            while its_line.is_read:  # As the kernel has it: what is not read stays in its socket.
                flooder.received(say(str(sent % 5), sent))
                sent += 1
            waits += 1
            held = flooder._held_frames
            assert held is not None
            assert len(held) <= HELD_FRAMES
            someone.received(say("calm", round_number))
            worker.loop.turn()
            assert told("calm", round_number) in neighbours_line.heard, "in the same turn"
        assert waits == 200
        worker.loop.settle()
        assert neighbours_line.heard.count(b'"a":"d"') == 200
        assert worker.turn.held_bytes < 1000, "what a listener that stalls is to hear does not grow"
        assert worker.metrics.volatile_superseded == sent - 5
        assert sum(worker.metrics.volatile_dropped) == 0

    run(work())


def test_what_is_denied_or_too_large_is_counted_and_told_where_somebody_waits_or_develops() -> None:
    async def work() -> None:
        for is_dev in (False, True):
            worker = Worker(is_dev=is_dev)
            hosted = await worker.shard.open("demo")
            writer, line = worker.connect(hosted)
            _, listens = worker.connect(hosted, listens="/cursors")
            writer.received(say("ann", "denied"))
            writer.received(say("ann", "x" * VOLATILE_BYTES_MAX))
            writer.received(b'{"t":"d","d":{"a":"v","b":{"p":"/nobody/may","d":1}}}')
            worker.loop.settle()
            assert worker.metrics.volatile_dropped[Drop.DENIED] == 2
            assert worker.metrics.volatile_dropped[Drop.TOO_BIG] == 1
            assert listens.written == []
            assert line.heard.count(b"volatile write dropped") == (2 if is_dev else 0), "the first of each kind"
            assert (f"limit is {VOLATILE_BYTES_MAX}".encode() in line.heard) == is_dev
            line.written.clear()
            writer.received(say("ann", "x" * VOLATILE_BYTES_MAX, request=9))
            writer.received(say("ann", "denied", request=10))
            worker.loop.settle()
            assert b'"r":9,"b":{"s":"too_big","d":"volatile value at /cursors/ann has 4098 bytes, limit is 4096"}' in line.heard
            assert b'"r":10,"b":{"s":"permission_denied"' in line.heard
            assert sum(worker.metrics.volatile_dropped) == 3, "those were answered"
            worker.loop.end_second()
            assert line.heard.count(b"volatile write dropped") == (1 if is_dev else 0), "and the other that was denied"

    run(work())


def remarks(line: Line) -> list[str]:
    """What a developer's console would show."""
    found = re.findall(rb'\{"t":"d","d":\{"a":"sd","b":\{"msg":"(.*?)"\}\}\}', line.heard)
    line.written.clear()
    return [text.decode() for text in found]


SPARED = "a listener that is slow, or asked not to be told so often, hears the last of each path"


def test_of_each_kind_of_drop_a_developer_hears_a_line_a_second_with_how_many() -> None:
    async def work() -> None:
        worker = Worker(is_dev=True)
        hosted = await worker.shard.open("demo")
        writer, line = worker.connect(hosted)
        slow, _ = worker.connect(hosted, listens="/cursors")
        slow.pause()
        for number in range(100):
            writer.received(b'{"t":"d","d":{"a":"v","b":{"p":"/cursors/ann"}}}')
            writer.received(b'{"t":"d","d":{"a":"v","b":{"p":"/cursors/a.n","d":1}}}')
            writer.received(say("ann", number))
            worker.loop.settle()
        missing = "the request is incomplete: expected a value in 'd' of its body"
        first = [f"volatile write dropped: {missing}", f"volatile write superseded: {SPARED}"]
        said = remarks(line)
        assert len(said) == 3
        assert set(first) < set(said)
        worker.loop.end_second()
        said = remarks(line)
        assert len(said) == 3
        assert {f"99 volatile writes dropped: {missing}", f"98 volatile writes superseded: {SPARED}"} < set(said)
        assert worker.metrics.volatile_dropped[Drop.MALFORMED] == 100
        assert worker.metrics.volatile_dropped[Drop.REFUSED] == 100
        assert worker.metrics.volatile_superseded == 99
        worker.loop.end_second()
        assert remarks(line) == []
        assert worker.loop.timers == [], "nothing is looked at once all is said"
        writer.received(say("ann", 1))
        worker.loop.settle()
        assert remarks(line) == [f"volatile write superseded: {SPARED}"]
        writer.closed()
        assert worker.loop.timers == []

    run(work())


def test_in_production_nobody_is_told_of_drops() -> None:
    async def work() -> None:
        worker = Worker()
        hosted = await worker.shard.open("demo")
        writer, line = worker.connect(hosted)
        slow, _ = worker.connect(hosted, listens="/cursors")
        slow.pause()
        for number in range(3):
            writer.received(b'{"t":"d","d":{"a":"v","b":{"p":"/cursors/ann"}}}')
            writer.received(say("ann", number))
            worker.loop.settle()
        assert line.heard == b""
        assert worker.loop.timers == []
        assert worker.metrics.volatile_dropped[Drop.MALFORMED] == 3

    run(work())


def test_values_go_with_their_writer_whatever_it_wrote_them_by_and_were_never_recorded() -> None:
    async def work() -> None:
        worker = Worker()
        hosted = await worker.shard.open("demo")
        _, line = worker.connect(hosted, listens="/cursors")
        writer, _ = worker.connect(hosted)
        stays, _ = worker.connect(hosted)
        before = hosted.database.sequence
        writer.received(say("ann", 1))
        writer.received(say("bob", 2, request=3))
        stays.received(say("eve", 3))
        worker.settle()
        line.written.clear()
        writer.closed()
        worker.settle()
        assert sorted(part.split(b'"p":"')[1][:14] for part in line.heard.split(b'"a":"d"')[1:]) == [
            b'cursors/ann","',
            b'cursors/bob","',
        ]
        assert hosted.database.tree.root == {"cursors": {"eve": 3}}
        assert hosted.database.sequence == before
        assert hosted.database.durable_part(()) is None
        hosted.database.check()

    run(work())


def test_one_connection_cannot_fill_the_database() -> None:
    async def work() -> None:
        worker = Worker()
        hosted = await worker.shard.open("demo")
        writer, _ = worker.connect(hosted)
        for number in range(SESSION_VOLATILE_VALUES_MAX + 10):
            writer.received(say(str(number), 1))
            worker.loop.settle()
        assert hosted.database.volatile.count == SESSION_VOLATILE_VALUES_MAX
        assert worker.metrics.volatile_dropped[Drop.TOO_BIG] == 10
        writer.closed()
        worker.settle()
        assert hosted.database.tree.root is None

    run(work())


def test_a_client_says_how_often_it_wants_to_hear() -> None:
    async def work() -> None:
        worker = Worker()
        hosted = await worker.shard.open("demo")
        listener, line = worker.connect(hosted, listens="/cursors")
        listener.received(b'{"t":"d","d":{"r":7,"a":"vr","b":{"d":20}}}')
        listener.received(b'{"t":"d","d":{"r":8,"a":"vr","b":{"d":0.01}}}')
        listener.received(b'{"t":"d","d":{"r":9,"a":"vr","b":{"d":true}}}')
        worker.loop.settle()
        assert b'{"r":7,"b":{"s":"ok","d":""}}' in line.heard
        assert b'{"r":8,"b":{"s":"failed","d":"expected in \'d\' how often a second, from 0.1 to 1000, or 0"}}' in line.heard
        assert b'{"r":9,"b":{"s":"failed"' in line.heard
        outbox = listener._outbox
        assert outbox is not None
        assert outbox.conflates
        listener.received(b'{"t":"d","d":{"r":10,"a":"vr","b":{"d":0}}}')
        assert not outbox.conflates

    run(work())
