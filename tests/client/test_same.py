"""Firebase's own client and ours beside each other on one tree: what each hears of the same places is the same, event by event.

Both listen to the same places and queries before anything happens. Then a third client writes at random, or both write, count and
leave; in the end the two accounts are compared, one for each listen.
"""

from __future__ import annotations

import asyncio
import json
import random
from pathlib import Path
from typing import Any

import pytest

from meadowlark.client import ChildEvent, Database, Readable, Snapshot, increment
from tests.conformance.packages import installed
from tests.harness import Script, Server, fresh_name
from tests.waiting import run, until

LISTENS: dict[str, tuple[str, list[list[Any]]]] = {
    "all": ("data", []),
    "one": ("data/a", []),
    "deep": ("data/a/x", []),
    "by a child, the first": ("data", [["orderByChild", "x"], ["limitToFirst", 2]]),
    "by what is deep": ("data", [["orderByChild", "x/y"], ["startAt", 1], ["limitToLast", 2]]),
    "equal": ("data", [["orderByChild", "x"], ["equalTo", 1]]),
    "by key, the last": ("data", [["orderByKey"], ["limitToLast", 3]]),
    "between keys": ("data", [["orderByKey"], ["startAfter", "1"], ["endBefore", "c"]]),
    "by value": ("data", [["orderByValue"], ["startAt", 1], ["endAt", "m"]]),
    "the greatest": ("data", [["orderByValue"], ["limitToLast", 1]]),
    "by priority": ("data", [["orderByPriority"], ["startAt", 1], ["limitToFirst", 2]]),
    "of a list": ("data/list", [["orderByKey"], ["startAt", "2"]]),
}
METHODS = {
    "orderByChild": "order_by_child",
    "orderByKey": "order_by_key",
    "orderByValue": "order_by_value",
    "orderByPriority": "order_by_priority",
    "startAt": "start_at",
    "startAfter": "start_after",
    "endAt": "end_at",
    "endBefore": "end_before",
    "equalTo": "equal_to",
    "limitToFirst": "limit_to_first",
    "limitToLast": "limit_to_last",
}
KEYS = ["a", "b", "c", "d-e", "1", "2", "10", "-1", "Z", "ü"]
LEAVES = [True, False, 0, 1, 2, 2.5, -3, "", "k", "z", "10"]


@pytest.fixture(scope="module")
def node() -> None:
    installed(Path(__file__).parents[1] / "conformance" / "node")


def canonical(value: Any) -> str:
    """JSON in which 1.0 is 1, as in JavaScript, and keys have an order."""

    def plain(part: Any) -> Any:
        if isinstance(part, dict):
            return {key: plain(member) for key, member in part.items()}
        if isinstance(part, list):
            return [plain(member) for member in part]
        return int(part) if isinstance(part, float) and part.is_integer() else part

    return json.dumps(plain(value), sort_keys=True, ensure_ascii=False)


class Beside:
    """The two observers and the two workers on one database."""

    def __init__(self, script: Script, observer: Any, worker: Any) -> None:
        self.script = script
        self.observer = observer
        self.worker = worker
        self.heard: dict[str, list[list[Any]]] = {name: [] for name in LISTENS}

    def listen(self) -> None:
        for name, (path, query) in LISTENS.items():
            place: Readable = self.observer.ref(path)
            for method, *rest in query:
                place = getattr(place, METHODS[method])(*rest)
            heard = self.heard[name]

            # Firebase's tells the listeners of one event one after the other, in the order of the kinds.
            def child(event: ChildEvent, heard: list[list[Any]] = heard) -> None:
                before = None if event.kind == "child_removed" else event.previous_key
                heard.append([event.kind, event.key, before, event.snapshot.export, event.snapshot.value])

            def value(snapshot: Snapshot, heard: list[list[Any]] = heard) -> None:
                heard.append(["value", snapshot.key, None, snapshot.export, snapshot.value])

            place.on_child(child)
            place.on_value(value)

    async def sdk(self, *words: Any) -> None:
        """Firebase's worker does it."""
        await asyncio.to_thread(self.script.tell, json.dumps(words))
        await asyncio.to_thread(self.script.wait_for, "done")

    async def compare(self) -> None:
        await self.sdk("settle")
        await self.observer.ref("barriers/ours").set(1)
        theirs: dict[str, list[list[Any]]] = {name: [] for name in LISTENS}
        for _, name, *event in self.script.of("event"):
            theirs[name].append(event)
        for name, ours in self.heard.items():
            mine = [canonical(event) for event in ours]
            other = [canonical(event) for event in theirs[name]]
            for place, (one, two) in enumerate(zip(mine, other, strict=False)):
                context = other[max(0, place - 4) : place + 4]
                assert one == two, f"{name}, event {place}: ours is {one}, theirs {two} among\n" + "\n".join(context)
            assert len(mine) == len(other), name
            assert other, name


def together(server: Server, work: Any) -> None:
    ns = fresh_name("beside")
    url = f"http://127.0.0.1:{server.port}?ns={ns}"
    listens = {name: {"path": path, "query": query} for name, (path, query) in LISTENS.items()}

    async def both(script: Script) -> None:
        async with Database(url) as observer, Database(url) as worker:
            beside = Beside(script, observer, worker)
            await worker.ref("data").set({"a": {"x": {"y": 1}}, "b": {".value": 2, ".priority": 1}, "list": [0, 1, 2, None, 4]})
            await asyncio.to_thread(script.wait_for, "listens")
            beside.listen()
            await observer.ref("barriers/ours").set(0)
            await work(beside)
            await beside.compare()
            script.tell('["end"]')
            await asyncio.to_thread(script.finish)

    # The tree is there before the script begins, so that both begin with the same.
    assert (
        server.rest(
            "PUT", "/data", {"a": {"x": {"y": 1}}, "b": {".value": 2, ".priority": 1}, "list": [0, 1, 2, None, 4]}, ns=ns
        ).status
        == 200
    )
    with Script("beside.mjs", {"host": "127.0.0.1", "port": server.port, "ns": ns, "how": "url", "listens": listens}) as script:
        run(both(script))


@pytest.mark.usefixtures("node")
@pytest.mark.parametrize("seed", range(3))
def test_what_a_third_client_writes_is_heard_alike(server: Server, seed: int) -> None:
    chance = random.Random(seed)

    def value(depth: int = 0) -> Any:
        what = chance.random()
        if what < 0.15:
            return None
        if what < 0.25:
            return increment(chance.randint(-2, 2))
        if what < 0.3:
            return {".sv": "timestamp"}
        if what < 0.4:
            return {".value": chance.choice(LEAVES), ".priority": chance.choice([0, 1, 2.5, "p", "q"])}
        if what < 0.5 and depth < 2:
            return [value(2) for _ in range(chance.randint(1, 4))]
        if what < 0.8 and depth < 2:
            made = {chance.choice([*KEYS, "x", "y"]): value(depth + 1) for _ in range(chance.randint(1, 4))}
            return made | ({".priority": chance.choice([1, 2, "p"])} if chance.random() < 0.2 else {})
        return chance.choice(LEAVES)

    async def work(beside: Beside) -> None:
        for _ in range(120):
            path = "/".join(["data", *chance.choices([*KEYS, "list", "x"], k=chance.choice([0, 1, 1, 1, 2, 2]))])
            place = beside.worker.ref(path)
            what = chance.random()
            if what < 0.55:
                await place.set(value())
            elif what < 0.75:
                await place.update({key: value(1) for key in chance.sample(KEYS, chance.randint(1, 3))})
            elif what < 0.85:
                await place.set_priority(chance.choice([None, 0, 1, 2, "p"]))
            elif what < 0.95:
                await place.transaction(lambda before: chance.choice(LEAVES) if before is None else before)
            else:
                await place.remove()

    together(server, work)


@pytest.mark.usefixtures("node")
def test_what_either_writes_is_heard_alike(server: Server) -> None:
    async def work(beside: Beside) -> None:
        for number in range(12):
            key = KEYS[number % len(KEYS)]
            await beside.sdk("set", f"data/{key}", {"x": {"y": number}, ".priority": number % 3})
            await beside.worker.ref(f"data/{key}/x").update({"y": number % 4, "z": [number]})
            await beside.sdk("update", "data", {f"{key}/x/z/1": "more", "y": number})
            if number % 3 == 0:
                await beside.sdk("remove", f"data/{KEYS[number // 3]}")
        await beside.sdk("set", "data", ["a", "list", {"of": "things"}])

    together(server, work)


@pytest.mark.usefixtures("node")
def test_counting_together_loses_nothing_and_is_heard_alike(server: Server) -> None:
    async def work(beside: Beside) -> None:
        count = beside.worker.ref("data/1")
        ours = [count.transaction(lambda value: (value or 0) + 1) for _ in range(20)]
        await asyncio.gather(beside.sdk("count", "data/1", 20), *ours)
        assert (await count.get()).value == 40
        told = [event[3] for event in beside.heard["all"] if event[0] == "child_changed" and event[1] == "1"]
        assert told == sorted(told)

    together(server, work)


@pytest.mark.usefixtures("node")
def test_what_is_left_behind_at_the_end_is_heard_alike(server: Server) -> None:
    async def work(beside: Beside) -> None:
        await beside.sdk("set", "data/a/x", "theirs")
        await beside.worker.ref("data/b").set("ours")
        await beside.sdk("atTheEnd", "data/a/x", {"gone": 1}, {"at": 2, "y": 3})
        await beside.worker.ref("data/b").on_disconnect.set("gone", priority=2)
        await beside.worker.ref("data").on_disconnect.update({"c": [1, 2], "1": increment(5)})
        await beside.worker.ref("data/10").on_disconnect.set(1)
        await beside.worker.ref("data/10").on_disconnect.cancel()
        await beside.sdk("leave")
        await until(lambda: any(event[4] == {"gone": 1, "at": 2, "y": 3} for event in beside.heard["deep"]))
        beside.worker.go_offline()
        await until(lambda: beside.heard["all"][-1][4]["b"] == "gone")
        beside.worker.go_online()
        assert (await beside.worker.ref("data/1").get()).value == 5

    together(server, work)
