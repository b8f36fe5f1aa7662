"""What a write costs under open queries of a place with a thousand children, and with a hundred thousand: about the same.

Work is counted and not timed: every function that is called, in Python and in C, and every comparison of two positions, which
happen inside one call; and the most memory that was taken meanwhile, since one call may copy a whole map.
"""

from __future__ import annotations

import gc
import sys
import tracemalloc
from collections.abc import Callable
from typing import Any

import pytest

from meadowlark.auth.identity import NOBODY
from meadowlark.engine import Client, Command, Database, Effect, Get, Listen, Open, Push, Set, Unlisten, Update, Work
from meadowlark.query import Query, index, parse_query
from meadowlark.tree import Tree, pack_slices
from meadowlark.wire import encode_push
from tests.engine.asking import NOW
from tests.tree.test_pages_model import finish

PLACE = ("list",)
SIZES = (1_000, 10_000, 100_000)
LIMIT = 20
WINDOWS = 50
"""Further ones of the same order, each elsewhere: so many that it is kept which of them sees what."""

CALLS_MAX = 1_500
"""For one write, with ten things to tell."""
GROWTH_MAX = 1.8
"""From a thousand to a hundred thousand; the logarithm grows by 1.7."""
BYTES_MAX = 60_000
"""Taken at once; a list of 100,000 children would be 800,000."""


class Everything:
    def find(self, path: Any, query: Query) -> bool:
        return True


class Counted(tuple[Any, ...]):
    """A position that counts what it is compared with."""

    __slots__ = ()
    count = 0

    def __lt__(self, other: Any) -> bool:
        Counted.count += 1
        return tuple.__lt__(self, other)

    def __gt__(self, other: Any) -> bool:
        Counted.count += 1
        return tuple.__gt__(self, other)


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Positions count, and the children are noted that were read for one."""
    keys: list[str] = []
    make = index.position_reader

    def counted(order: str, path: Any = ()) -> Callable[[str, Any], Counted]:
        reader = make(order, path)

        def position(key: str, child: Any) -> Counted:
            keys.append(key)
            return Counted(reader(key, child))

        return position

    monkeypatch.setattr(index, "position_reader", counted)
    return keys


class Place:
    """`count` records, of which `n` goes by sevens so that neighbours lie apart, with queries open on them."""

    def __init__(self, count: int, *, packed: bool) -> None:
        self.count = count
        node: Any = {"list": {f"k{number:06}": {"n": number * 7 % count, "text": "x" * 60} for number in range(count)}}
        if packed:
            node = finish(pack_slices(node))
            assert type(node["list"]) is not dict
        self.database = Database("test", Open(), Tree(node), indexes=Everything())
        self.client = Client("one", NOBODY)
        self.told: list[Push] = []

    def do(self, command: Command) -> None:
        """With all that is to be done in slices, and all that would be sent."""
        out: list[Effect] = []
        self.database.apply(command, NOW, out)
        for effect in out:
            if isinstance(effect, Push):
                encode_push(effect)
                self.told.append(effect)
            elif isinstance(effect, Work):
                for _ in effect.steps:
                    pass
                if effect.then is not None:
                    self.do(effect.then)

    def listen(self, **spec: Any) -> None:
        self.do(Listen(self.client, 1, PLACE, "", parse_query(spec), len(self.client.queries) + 1))

    def set(self, number: int, field: str, value: Any) -> None:
        self.do(Set(self.client, 1, (*PLACE, f"k{number:06}", *([field] if field else [])), value))


def number_of(n: int, count: int) -> int:
    """The child that stands at `n` in the beginning."""
    return n * pow(7, -1, count) % count


def work_of(action: Callable[[], object]) -> tuple[int, int]:
    """Calls and comparisons, and bytes taken at once."""
    calls = 0

    def note(frame: Any, event: str, argument: Any) -> None:
        nonlocal calls
        calls += event in ("call", "c_call")

    Counted.count = 0
    gc.disable()  # A collection calls whoever asked to be told of it, hypothesis for one.
    sys.setprofile(note)
    try:
        action()
    finally:
        sys.setprofile(None)
        gc.enable()
    work = calls + Counted.count
    tracemalloc.start()
    try:
        action()
        return work, tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


ORDERS: list[tuple[str, dict[str, Any]]] = [
    ("n", {"l": LIMIT, "vf": "l"}),
    ("n", {"l": LIMIT, "vf": "r"}),
    ("n", {"sp": 100, "ep": 100 + LIMIT}),
    (".key", {"l": LIMIT, "vf": "l"}),
    (".key", {"sp": "k000100", "l": LIMIT, "vf": "l"}),
    (".priority", {"l": LIMIT, "vf": "r"}),
]


def writes(place: Place) -> list[Callable[[], None]]:
    """One child's changes: in windows, outside all of them, from one place to another, out, in, and gone. Each is done twice."""
    count = place.count
    first, hundredth, somewhere = number_of(3, count), number_of(105, count), number_of(count // 2 + 1, count)
    turn = iter(range(1_000_000))
    return [
        lambda: place.set(first, "text", f"t{next(turn)}"),
        lambda: place.set(somewhere, "text", f"t{next(turn)}"),
        lambda: place.set(somewhere, "n", count // 3 + next(turn)),
        lambda: place.set(somewhere, "n", -1 - next(turn)),
        lambda: place.set(somewhere, "n", 110.5 + next(turn)),
        lambda: place.set(hundredth, "n", 111.5 + next(turn)),
        lambda: place.set(next(turn) + 3, "", None),
        lambda: place.set(count + next(turn), "", {"n": 7.5 + next(turn)}),
        lambda: place.set(0, "", {"n": 2.5 + next(turn)}),
        lambda: place.do(Update(place.client, 1, PLACE, {f"k{101 + next(turn):06}": None, f"k{first:06}/n": 3.5 + next(turn)})),
        lambda: place.set(somewhere, ".priority", 1 + next(turn)),
    ]


@pytest.mark.slow
@pytest.mark.parametrize("packed", [False, True], ids=["dicts", "pages"])
@pytest.mark.parametrize("many", [False, True], ids=["one window", "many windows"])
def test_one_childs_change_costs_about_the_same_among_a_hundred_thousand(read: list[str], packed: bool, many: bool) -> None:
    works: list[list[int]] = []
    for count in SIZES:
        place = Place(count, packed=packed)
        for order, spec in ORDERS:
            place.listen(i=order, **spec)
        for number in range(WINDOWS if many else 0):
            place.listen(i="n", sp=200 + number * (count - 200) // WINDOWS, l=LIMIT, vf="l")
        # The first priority makes an index of its order, once.
        place.set(number_of(5, count), ".priority", 1)
        done = []
        for write in writes(place):
            place.told.clear()
            read.clear()
            work, taken = work_of(write)
            assert len(read) <= 8, "a child that was not written is not read again"
            assert taken < BYTES_MAX
            done.append(work)
        assert place.told, "the last write is seen"
        works.append(done)
        place.database.check()
    few, _, most = works
    assert max(most) < CALLS_MAX, works
    for less, more in zip(few, most, strict=True):
        assert more <= GROWTH_MAX * less + LIMIT, works


def test_what_a_place_holds_is_read_once_for_all_who_ask_in_one_order(read: list[str]) -> None:
    """Whoever comes first, whoever comes while the index is made, whoever listens to another range or reads once."""
    place = Place(10_000, packed=False)
    out: list[Effect] = []
    listens = [
        Listen(place.client, tag, PLACE, "", parse_query({"i": "n", "sp": tag, "l": LIMIT, "vf": "l"}), tag) for tag in range(9)
    ]
    for command in (Get(place.client, 99, PLACE, parse_query({"i": "n", "l": 3, "vf": "r"})), *listens):
        place.database.apply(command, NOW, out)
    [work] = out
    assert isinstance(work, Work)
    for _ in work.steps:
        pass
    assert work.then is not None
    place.do(work.then)
    assert len(place.told) == len(listens)
    assert sorted(read) == sorted(f"k{number:06}" for number in range(10_000))
    read.clear()
    for command in listens:
        place.do(Unlisten(place.client, 1, PLACE, command.query, command.tag))
    place.listen(i="n", ep=500, l=5, vf="r")
    place.do(Get(place.client, 2, PLACE, parse_query({"i": "n", "l": 3, "vf": "r"})))
    assert read == [], "an index stays for those who are about to come back"
    place.listen(i=".key", l=5, vf="r")
    assert len(read) == 10_000
