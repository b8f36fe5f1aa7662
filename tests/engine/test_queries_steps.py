"""Whatever queries of a wide place have to do is done in steps that are short: counted in pages and children, not in time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from meadowlark.auth.identity import NOBODY
from meadowlark.engine import Client, Command, Database, Effect, Get, Listen, Open, Push, Set, Unlisten, Update, Work
from meadowlark.query import parse_query
from meadowlark.tree import Tree, find, pack_slices, unpacked
from meadowlark.tree import pages as pages_module
from tests.engine.asking import NOW
from tests.tree.test_pages_model import cool_all, finish

PLACE = ("list",)
COUNT = 10_000
READ_MAX = 250
"""Children read from the bytes of their pages, each some microseconds, or pages decoded, each as much as ten of them."""


class Everything:
    def find(self, path: Any, query: Any) -> bool:
        return True


def records(offset: int) -> dict[str, Any]:
    return {f"k{number:05}": {"n": (number * 7919 + offset) % COUNT, "text": "x" * 60} for number in range(COUNT)}


class Counting:
    """A database of which every step is counted."""

    def __init__(self) -> None:
        self.read = 0
        self.most = 0
        self.steps = 0
        node = finish(pack_slices({"list": records(0)}))
        self.database = Database("test", Open(), Tree(node), indexes=Everything())
        self.told: dict[int | None, Any] = {}
        cool_all()

    def step(self, call: Any) -> None:
        self.read = 0
        try:
            call()
        finally:
            self.most = max(self.most, self.read)
            self.steps += 1

    def do(self, command: Command) -> None:
        out: list[Effect] = []
        if isinstance(command, Update):
            self.do_steps(self.database.apply_slices(command, NOW, out))
        else:
            self.step(lambda: self.database.apply(command, NOW, out))
        for effect in out:
            if isinstance(effect, Push):
                self.told[effect.tag] = unpacked(effect.value)
            elif isinstance(effect, Work):
                self.do_steps(effect.steps)
                if effect.then is not None:
                    self.do(effect.then)

    def do_steps(self, steps: Iterator[None]) -> None:
        going = True
        while going:
            try:
                self.step(lambda: next(steps))
            except StopIteration:
                going = False


@pytest.fixture
def counting(monkeypatch: pytest.MonkeyPatch) -> Counting:
    counting = Counting()
    decode, peek = pages_module.Page._decode, pages_module.Page.peek

    def counted_decode(page: Any) -> Any:
        counting.read += 10
        return decode(page)

    def counted_peek(page: Any, key: str) -> Any:
        counting.read += 1
        return peek(page, key)

    monkeypatch.setattr(pages_module.Page, "_decode", counted_decode)
    monkeypatch.setattr(pages_module.Page, "peek", counted_peek)
    return counting


SPECS: list[dict[str, Any]] = [
    {"i": ".key", "l": 3, "vf": "r"},
    {"i": ".key", "l": 4_000, "vf": "l"},
    {"i": ".key", "sp": "k04000"},
    {"i": ".priority", "l": 100, "vf": "r"},
    {"i": "n", "l": 100, "vf": "l"},
    {"i": "n", "sp": 2_000, "l": 3_000, "vf": "l"},
    {"i": "n", "sp": 4_000, "ep": 9_000},
]


def shown(database: Database, spec: dict[str, Any]) -> Any:
    from tests.query.naive import select

    return select(unpacked(find(database.tree.root, PLACE)), spec)


def test_listening_reading_replacing_and_updating_go_in_short_steps(counting: Counting) -> None:
    client = Client("one", NOBODY)
    for tag, spec in enumerate(SPECS):
        counting.do(Listen(client, 1, PLACE, "", parse_query(spec), tag))
        counting.do(Get(client, 2, PLACE, parse_query(spec)))
        assert counting.told[tag] == shown(counting.database, spec)
    many = Client("many", NOBODY)
    for tag in range(200):
        counting.do(Listen(many, 1, PLACE, "", parse_query({"i": "n", "sp": tag * 10, "l": 20, "vf": "l"}), 100 + tag))
    assert counting.most <= READ_MAX
    counting.do(Update(client, 3, PLACE, {f"k{number * 3 % COUNT:05}/n": number for number in range(5_000)}))
    for tag, spec in enumerate(SPECS):
        assert counting.told[tag] == shown(counting.database, spec)
    assert counting.most <= READ_MAX
    counting.do(Set(client, 4, PLACE, records(5)))
    for tag, spec in enumerate(SPECS):
        assert counting.told[tag] == shown(counting.database, spec)
    counting.do(Unlisten(client, 5, PLACE, parse_query(SPECS[0]), 0))
    counting.database.check()
    assert counting.most <= READ_MAX
    assert counting.steps > 1_000


def test_a_priority_makes_the_index_that_its_order_needs(counting: Counting) -> None:
    client = Client("one", NOBODY)
    spec = {"i": ".priority", "l": 2, "vf": "r"}
    counting.do(Listen(client, 1, PLACE, "", parse_query(spec), 1))
    ordering = counting.database._queries.find(PLACE, ".priority")
    assert ordering is not None
    assert type(ordering.index).__name__ == "KeyIndex"
    counting.do(Set(client, 2, (*PLACE, "k00007", ".priority"), 5))
    assert type(ordering.index).__name__ == "Index"
    assert list(counting.told[1]) == ["k09999", "k00007"]
    assert counting.most <= READ_MAX
