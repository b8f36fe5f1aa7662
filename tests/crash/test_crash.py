"""Processes die at any moment; nothing acknowledged is missing afterwards and nothing is half applied.

The choices come from one seed, printed on failure; MEADOWLARK_CRASH_SEED repeats them, MEADOWLARK_CRASH_ROUNDS asks for more.
What the schedule of the machine does in between cannot be repeated.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.crash.realtime import Gone, Realtime
from tests.crash.writers import Account, RealtimeWriter, RestWriter
from tests.harness import Server, alive, eventually

pytestmark = pytest.mark.slow

DATABASES = ("north", "south", "east")
ROUNDS = int(os.environ.get("MEADOWLARK_CRASH_ROUNDS", "30"))


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """`serve` with two workers and three databases."""
    with Server(tmp_path / "data", mode="serve", workers=2, arguments=("--databases", ",".join(DATABASES))) as running:
        yield running


class Crew:
    """Two writers for each database."""

    def __init__(self, server: Server) -> None:
        self._server = server
        credential = server.credential
        self.realtime = {name: RealtimeWriter(server.port, name, credential) for name in DATABASES}
        self.rest = {name: RestWriter(server.port, name, credential) for name in DATABASES}
        self.everyone = [*self.realtime.values(), *self.rest.values()]

    def __enter__(self) -> Crew:
        for writer in self.everyone:
            writer.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()

    def stop(self) -> None:
        for writer in self.everyone:
            writer.stop()
        for writer in self.everyone:
            writer.join(60)

    def acknowledged_count(self) -> int:
        return sum(Account(self.realtime[name], self.rest[name]).acknowledged_count for name in DATABASES)

    def check(self) -> None:
        """Every database holds what its writers were promised, as soon as it answers."""
        for name in DATABASES:
            account = Account(self.realtime[name], self.rest[name])
            value = eventually(lambda name=name: self._read(name), every=0.05, what=f"{name} readable again")
            assert account.find_faults(value) == [], name

    def _read(self, name: str) -> dict[str, Any] | None:
        try:
            answer = self._server.rest("GET", "/", ns=name, timeout=60)
        except OSError:
            return None
        return answer.json() or {"nothing": True} if answer.status == 200 else None


@pytest.mark.timeout(ROUNDS * 12 + 120)
def test_nothing_acknowledged_is_lost_however_processes_die(server: Server) -> None:
    seed = int(os.environ.get("MEADOWLARK_CRASH_SEED", random.randrange(2**32)))
    chance = random.Random(seed)
    done: list[str] = []
    try:
        with Crew(server) as crew:
            eventually(lambda: crew.acknowledged_count() > 50, what="writers at work")
            for _ in range(ROUNDS):
                before = crew.acknowledged_count()
                time.sleep(chance.uniform(0.02, 0.25))
                done.append(_strike(server, chance))
                crew.check()
                eventually(lambda before=before: crew.acknowledged_count() > before + 20, what="writers at work again")
            crew.stop()
            crew.check()
            assert all(writer.connection_count > 1 for writer in crew.everyone)
    except AssertionError as error:
        raise AssertionError(f"MEADOWLARK_CRASH_SEED={seed} after {len(done)} rounds ({', '.join(done)}):\n{error}") from error


def _strike(server: Server, chance: random.Random) -> str:
    """Kill something; the server is on its way back when this returns."""
    kind = chance.choices(["worker", "worker twice", "workers", "supervisor", "everything"], weights=[14, 2, 2, 2, 6])[0]
    if kind == "worker":
        server.kill_worker(chance.randrange(6))
    elif kind == "worker twice":
        killed = server.kill_worker(chance.randrange(6))
        server.wait_for_workers(without={killed})
        # The new one is killed while it starts, recovers, or takes its first writes.
        time.sleep(chance.uniform(0, 0.6))
        server.kill_worker(-1)
    elif kind == "workers":
        server.kill_workers()
    elif kind == "supervisor":
        orphans = server.kill_supervisor()
        eventually(lambda: not any(alive(pid) for pid in orphans), what="orphaned workers drained and gone")
        server.start()
    else:
        server.kill()
        server.workers = chance.choice([1, 2, 2, 3])
        kind += f", then {server.workers} workers"
        server.start()
    return kind


def test_the_comparison_notices_what_it_is_there_for() -> None:
    """The tester tested: each kind of loss, in values made by hand."""
    realtime, rest = RealtimeWriter(0, "", ""), RestWriter(0, "", "")
    for kind, number in (("log", 1), ("log", 2), ("pairs", 3), ("latest", 4), ("latest", 5), ("count", 6), ("count", 7)):
        realtime.attempt(kind, number)
        realtime.acknowledge(kind, number)
    realtime.attempt("log", 8)
    realtime.ended_sessions.add("s")
    pairs = {"a": {"k3": 3}, "b": {"k3": 3}}
    whole = {"log": {"k1": 1, "k2": 2}, "pairs": pairs, "latest": 5, "count": 2, "sessions": {"s": "left"}}
    account = Account(realtime, rest)
    assert account.find_faults(whole) == []
    assert account.find_faults(whole | {"log": {"k1": 1, "k2": 2, "k8": 8}}) == [], "sent and perhaps applied"
    for wrong in (
        {"log": {"k1": 1}},
        {"log": {"k1": 1, "k2": 1}},
        {"log": {"k1": 1, "k2": 2, "k9": 9}},
        {"pairs": pairs | {"b": {}}},
        {"pairs": {}},
        {"latest": 4},
        {"latest": 6},
        {"count": 1},
        {"count": 3},
        {"sessions": {"s": "here"}},
    ):
        assert len(account.find_faults(whole | wrong)) == 1, wrong


def test_sigterm_under_load_loses_nothing_and_exits_with_zero(server: Server) -> None:
    for workers in (1, 3):
        with Crew(server) as crew:
            eventually(lambda crew=crew: crew.acknowledged_count() > 300, what="writers at work")
            server.stop()
            crew.stop()
            server.workers = workers
            server.start()
            crew.check()
        # The next crew's numbers begin at nought again.
        for name in DATABASES:
            server.write("/", None, ns=name)


def test_a_large_write_is_there_whole_or_not_at_all(server: Server) -> None:
    chance = random.Random(1)
    acknowledged = attempted = 0
    for _ in range(4):
        try:
            with Realtime(server.port, "north", credential=server.credential) as client:
                killing_at = time.monotonic() + chance.uniform(0.1, 0.4)
                while not acknowledged or time.monotonic() < killing_at:
                    attempted += 1
                    number = client.send("p", {"p": "/large", "d": {f"k{i}": f"{attempted} " + "x" * 500 for i in range(400)}})
                    if client.answer_to(number)["s"] == "ok":
                        acknowledged = attempted
                attempted += 1
                client.send("p", {"p": "/large", "d": {f"k{i}": f"{attempted} " + "y" * 500 for i in range(4000)}})
                server.kill_workers()
        except Gone:
            pass
        value = server.read("/large", ns="north")
        generations = {text.split(" ")[0] for text in value.values()}
        assert len(generations) == 1, f"a mixture of writes {generations}"
        assert acknowledged <= int(generations.pop()) <= attempted


def test_what_was_deleted_stays_deleted_after_a_crash(server: Server) -> None:
    server.write("/a", {"x": 1, "y": {"z": 2}}, ns="north")
    server.write("/b", 1, ns="north")
    server.write("/a/y", None, ns="north")
    server.write("/b", None, ns="north")
    server.write("/c/.priority", 1, ns="north")
    server.write("/a/.priority", "p", ns="north")
    server.kill()
    server.start()
    assert server.rest("GET", "/", ns="north", query="format=export").json() == {"a": {"x": 1, ".priority": "p"}}


def test_server_values_are_what_they_were_after_a_crash(server: Server) -> None:
    server.write("/at", {".sv": "timestamp"}, ns="north")
    for _ in range(3):
        server.write("/count", {".sv": {"increment": 1.5}}, ns="north")
    before = server.read("/", ns="north")
    assert before["count"] == 4.5
    for _ in range(2):
        server.kill()
        server.start()
        assert server.read("/", ns="north") == before
