"""Many queries open at once beside random writes: after each step what every listener has put together from pushes is what
sorting, cutting and limiting the whole place gives, and so is what is read once, in every order, by every kind of range.
"""

from __future__ import annotations

import copy
import itertools
from collections import defaultdict
from collections.abc import Generator
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from meadowlark.auth.identity import NOBODY
from meadowlark.engine import (
    Client,
    Command,
    Commit,
    Database,
    Effect,
    Get,
    Leave,
    Listen,
    OnDisconnectSet,
    Open,
    Push,
    Reply,
    Set,
    Tidy,
    Unlisten,
    Update,
    Work,
    gather,
    queries,
    views,
)
from meadowlark.errors import Code
from meadowlark.query import Query, index, parse_query
from meadowlark.tree import Tree, find, node_hash, pack_tree_slices, parse_path, unpacked
from tests.engine.asking import NOW
from tests.engine.mobile import hides_priority, merged, ranges_of
from tests.query.naive import answer, select, told
from tests.tree.test_pages_model import cool_all, small_pages

__all__ = ["small_pages"]

WIDE_KEYS = [*map(str, range(12)), *(f"k{n:02}" for n in range(44)), "é", "\uffff", "\U0001f600", "01"]
"""In an order that is not theirs."""
KEYS = st.sampled_from(["a", "b", "c", "1", "10", "01"])
PLACES = st.sampled_from([(), ("p",), ("p", "q")])
PATHS = st.lists(st.sampled_from(["p", "q", "a", "b", "1"]), max_size=4).map(tuple)
LEAVES = st.sampled_from([False, True, 0, 1, 2, 1.5, "", "x"])
VALUES = st.recursive(
    st.one_of(
        st.none(),
        LEAVES,
        st.sampled_from([{".sv": "timestamp"}, {".sv": {"increment": 1}}]),
        st.tuples(LEAVES, st.sampled_from([1, "p"])).map(lambda pair: {".value": pair[0], ".priority": pair[1]}),
    ),
    lambda inner: st.one_of(
        st.dictionaries(KEYS, inner, max_size=5),
        st.dictionaries(KEYS, inner, max_size=5).map(lambda children: children | {".priority": 2}),
    ),
    max_leaves=9,
)
PRIORITIES = st.sampled_from([None, 1, 2, "p"])
SMALL_CHANGES = st.one_of(VALUES, LEAVES, st.dictionaries(st.sampled_from("ab"), LEAVES))


ORDERS = (".key", ".value", ".priority", "a", "b", "a/b")
UNDECLARED = "b"
"""Listened to all the same, and refused to who reads once."""
ASKED_AT_ONCE = 2
WORKS_MAX = 6
"""While so much is under way, nobody else asks."""


def bounds(order: str) -> list[dict[str, Any]]:
    """Starts of ranges of every kind."""
    values: list[Any] = ["1", "a"] if order == ".key" else [None, False, 1, 1.5, "x"]
    keys = [None] if order == ".key" else [None, "1", "b", "[MIN_NAME]", "[MAX_NAME]"]
    made = itertools.product(values, keys, (True, False))
    return [{"sp": value, "sin": is_in} | ({} if key is None else {"sn": key}) for value, key, is_in in made]


def asked() -> list[dict[str, Any]]:
    """Queries in every order, with every pair of ends and every limit, in an order that mixes them."""
    found: list[dict[str, Any]] = []
    limits: list[dict[str, Any]] = [{}, {"l": 1, "vf": "l"}, {"l": 2, "vf": "r"}, {"l": 3, "vf": "l"}]
    for order in ORDERS:
        starts = bounds(order)
        ends = [{"e" + name[1:]: value for name, value in start.items()} for start in starts]
        ranges = [{}, *starts, *ends]
        found += [{"i": order} | some | limit for some in ranges for limit in limits]
        both = [*zip(starts, ends, strict=True), *list(itertools.product(starts, ends))[::7]]
        found += [{"i": order} | start | end | limits[number % 4] for number, (start, end) in enumerate(both)]
    return found


ASKED = asked()
STRIDE = 389
"""From one query that is asked to the next: another order and another kind of range."""
assert len(ASKED) % STRIDE


class AllButOne:
    def find(self, path: Any, query: Query) -> bool:
        return query.index != UNDECLARED


@st.composite
def specs(draw: st.DrawFn) -> dict[str, Any]:
    order = draw(st.sampled_from(ORDERS))
    spec: dict[str, Any] = {"i": order}
    for end in "se":
        if draw(st.integers(0, 2)) == 0:
            spec[f"{end}p"] = draw(KEYS if order == ".key" else st.one_of(st.none(), LEAVES))
            spec[f"{end}in"] = draw(st.booleans())
            if order != ".key" and draw(st.booleans()):
                spec[f"{end}n"] = draw(st.one_of(KEYS, st.sampled_from(["[MIN_NAME]", "[MAX_NAME]"])))
    if len(spec) == 1 or draw(st.booleans()):
        spec |= {"l": draw(st.integers(1, 3)), "vf": draw(st.sampled_from("lr"))}
    return spec


@pytest.fixture
def few_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (queries, views):
        monkeypatch.setattr(module, "INDEX_AT_ONCE_CHILDREN_MAX", 1)
    for name, most in {"WINDOW_AT_ONCE_CHILDREN_MAX": 1, "TOLD_AT_ONCE_CHILDREN": 1, "TOUCHED_AT_ONCE_MAX": 2}.items():
        monkeypatch.setattr(views, name, most)
    monkeypatch.setattr(index, "SLICE_CHILDREN", 1)
    for name in ("STEP_CHILDREN", "STEP_SCATTERED"):
        monkeypatch.setattr(gather, name, 1)
    monkeypatch.setattr(gather, "SHARE", 2)


class Watcher(Client):
    """A client that keeps what each of its listens was told; a tag stands for a listen."""

    __slots__ = ("mirrors",)

    def __init__(self, id: str) -> None:
        super().__init__(id, NOBODY)
        self.mirrors: defaultdict[int | None, Tree] = defaultdict(Tree)

    def hear(self, push: Push, place: tuple[str, ...]) -> None:
        mirror = self.mirrors[push.tag]
        if push.ranges is not None:
            assert push.path == place
            node = mirror.get(place)
            for one in push.ranges:
                start, end = (None if path is None else "/".join(path) for path in (one.start, one.end))
                node = merged(node, start, end, copy.deepcopy(unpacked(one.node)))
            mirror.set(place, node)
            return
        for relative, node in push.value.items() if push.merge else [("", push.value)]:
            path = push.path + parse_path(relative)
            assert path[: len(place)] == place, "nothing above a listen is told"
            if len(path) > len(place) + 1 and node is not None:
                assert find(mirror.root, path[: len(place) + 1]) is not None, "an SDK forgets what is deep in an unknown child"
            mirror.set(path, copy.deepcopy(unpacked(node)))


class Queried(RuleBasedStateMachine):
    """One writer, three watchers with any number of queries each."""

    @initialize(turn=st.integers(0, len(ASKED)))
    def begin(self, turn: int) -> None:
        self.make(turn)

    def make(self, turn: int) -> None:
        self.database = Database("test", Open(), indexes=AllButOne())
        self.turn = turn
        self.clients = [Watcher(str(number)) for number in range(3)]
        self.specs: dict[tuple[Watcher, int], tuple[tuple[str, ...], dict[str, Any]]] = {}
        self.tags = 0
        self.works: list[tuple[Generator[None, None, None], Any]] = []
        self.gets: dict[int, tuple[tuple[str, ...], dict[str, Any]]] = {}
        """Asked by the first client and not answered yet."""

    def do(self, command: Command) -> list[Effect]:
        out: list[Effect] = []
        self.database.apply(command, NOW, out)
        for effect in out:
            if isinstance(effect, Push):
                assert effect.listeners
                for client in effect.listeners:
                    assert isinstance(client, Watcher)
                    assert effect.tag is not None
                    client.hear(effect, self.specs[client, effect.tag][0])
            elif isinstance(effect, Work):
                self.works.append((effect.steps, effect.then))
            elif isinstance(effect, Commit):
                effect.entries.clear()
            elif isinstance(effect, Reply) and effect.detail == "get":
                place, spec = self.gets.pop(effect.request or 0)
                truth = answer(unpacked(self.database.tree.get(place)), spec)
                assert told(unpacked(effect.value)) == told(truth), (place, spec)
        self.database.check()
        return out

    @rule(path=PATHS, value=VALUES)
    def set(self, path: Any, value: Any) -> None:
        self.do(Set(self.clients[0], 1, path, value))

    @rule(place=PLACES, key=KEYS, field=st.sampled_from([(), ("a",), ("b",), ("a", "b")]), value=SMALL_CHANGES)
    def set_child(self, place: Any, key: str, field: Any, value: Any) -> None:
        self.do(Set(self.clients[0], 1, (*place, key, *field), value))

    @rule(path=PATHS, value=PRIORITIES)
    def set_priority(self, path: Any, value: Any) -> None:
        self.do(Set(self.clients[0], 1, (*path, ".priority"), value))

    @rule(path=PLACES, children=st.dictionaries(st.lists(KEYS, min_size=1, max_size=3).map("/".join), SMALL_CHANGES, max_size=4))
    def update(self, path: Any, children: Any) -> None:
        self.do(Update(self.clients[0], 1, path, children))

    @rule(number=st.integers(0, 2), place=PLACES, spec=specs(), with_hash=st.booleans(), missed=st.one_of(st.none(), VALUES))
    def listen(self, number: int, place: Any, spec: dict[str, Any], with_hash: bool, missed: Any = None) -> None:
        """with_hash: by a client that has it already. missed: what was written to one child behind its back; then it says by
        ranges what it has."""
        client, query = self.clients[number], parse_query(spec)
        assert query is not None
        self.tags += 1
        self.specs[client, self.tags] = (place, spec)
        mirror = client.mirrors[self.tags] = Tree()
        hash, ranges = "", None
        if with_hash:
            mirror.set(place, copy.deepcopy(select(unpacked(self.database.tree.get(place)), spec)))
            has = mirror.get(place)
            # A priority that no hash has would stay with the client, as docs/decisions.md says.
            hash, ranges = node_hash(has), None if hides_priority(has) else ranges_of(has, threshold=1)
            if missed is not None:
                self.do(Set(self.clients[0], 1, (*place, "a"), missed))
        out = self.do(Listen(client, 1, place, hash, query, self.tags, ranges))
        if with_hash and missed is None and not self.works:
            assert not [effect for effect in out if isinstance(effect, Push)], "what a client has is not sent again"

    @rule(number=st.integers(0, 2), data=st.data())
    def unlisten(self, number: int, data: st.DataObject) -> None:
        client = self.clients[number]
        if client.queries:
            (place, _), (tag, query) = data.draw(st.sampled_from(list(client.queries.items())))
            self.do(Unlisten(client, 1, place, query, tag))

    @rule(place=PLACES, spec=specs())
    def get(self, place: Any, spec: dict[str, Any]) -> None:
        self.tags += 1
        command = Get(self.clients[0], self.tags, place, parse_query(spec))
        if spec["i"] == UNDECLARED:
            [refused] = self.do(command)
            assert isinstance(refused, Reply)
            assert refused.refused is not None
            assert refused.refused.code is Code.INDEX_MISSING
            return
        self.gets[self.tags] = (place, spec)
        self.do(command)

    @rule(number=st.integers(0, 2), path=PATHS, value=VALUES)
    def queue(self, number: int, path: Any, value: Any) -> None:
        self.do(OnDisconnectSet(self.clients[number], 1, path, value))

    @rule(number=st.integers(0, 2))
    def leave(self, number: int) -> None:
        self.do(Leave(self.clients[number]))
        assert not self.clients[number].queries
        if number == 0:
            self.gets.clear()  # Nobody waits for them any more.
        self.clients[number] = Watcher(f"{number}-{self.database.sequence}")

    @rule()
    def tidy(self) -> None:
        self.do(Tidy())

    @precondition(lambda self: self.works)
    @rule(data=st.data(), count=st.integers(1, 6))
    def work(self, data: st.DataObject, count: int) -> None:
        number = data.draw(st.integers(0, len(self.works) - 1))
        steps, then = self.works[number]
        for _ in range(count):
            try:
                next(steps)
            except StopIteration:
                del self.works[number]
                if then is not None:
                    self.do(then)
                return

    @invariant()
    def every_listener_has_its_window(self) -> None:
        for client in self.clients:
            for (place, _), (tag, query) in client.queries.items():
                ordering = self.database._queries.find(place, query.order)
                assert ordering is not None
                if ordering.index is None or ordering.views[query.identity] in ordering.behind:
                    continue
                assert tag is not None
                truth = select(unpacked(self.database.tree.get(place)), self.specs[client, tag][1])
                assert told(client.mirrors[tag].get(place)) == told(truth), (place, self.specs[client, tag][1])

    @invariant()
    def whoever_asks_is_told_what_is_there(self) -> None:
        for _ in range(ASKED_AT_ONCE):
            if len(self.works) > WORKS_MAX:
                break
            self.turn += 1
            self.get([(), ("p",), ("p", "q"), ("a",)][self.turn % 4], ASKED[self.turn * STRIDE % len(ASKED)])

    def teardown(self) -> None:
        while self.works:
            steps, then = self.works.pop(0)
            for _ in steps:
                pass
            if then is not None:
                self.do(then)
        self.every_listener_has_its_window()
        assert not self.gets, "whoever waits for an index is answered"
        assert self.database.tree._frozen_count == 0
        for client in self.clients:
            self.do(Leave(client))
        out: list[Effect] = []
        self.database.apply(Tidy(), NOW + 1_000_000, out)
        assert self.database._queries.ordering_count == 0
        assert not self.database._listeners.root.children


class Paged(Queried):
    """Maps become pages at any time, and go back to bytes; one is wide enough to lie in many."""

    @initialize(turn=st.integers(0, len(ASKED)), count=st.sampled_from([0, 1, 12, 60]), priorities=st.booleans())
    def begin(self, turn: int, count: int, priorities: bool) -> None:  # type: ignore[override]
        self.make(turn)
        wide = {key: {"a": number % 5, "b": "x" * 20} for number, key in enumerate(WIDE_KEYS[:count])}
        if priorities:
            wide = {
                key: child | {".priority": number % 3} if number % 4 == 0 else child
                for number, (key, child) in enumerate(wide.items())
            }
        self.do(Set(self.clients[0], 1, ("p",), wide))
        self.pack()

    @rule()
    def pack(self) -> None:
        for _ in pack_tree_slices(self.database.tree, lambda node: None):
            pass

    @rule()
    def cool(self) -> None:
        cool_all()

    @rule(key=st.sampled_from(WIDE_KEYS), field=st.sampled_from([(), ("a",), (".priority",)]), value=st.one_of(st.none(), LEAVES))
    def set_in_the_wide_map(self, key: str, field: Any, value: Any) -> None:
        if field != (".priority",) or type(value) is not bool:
            self.do(Set(self.clients[0], 1, ("p", key, *field), value))

    @rule(
        place=st.sampled_from([(), ("p",)]),
        keys=st.sets(st.sampled_from(WIDE_KEYS), max_size=40),
        value=st.one_of(st.none(), LEAVES, st.just({"a": 1}), st.just({"a": 2, ".priority": 1})),
    )
    def update_many(self, place: Any, keys: set[str], value: Any) -> None:
        self.do(Update(self.clients[0], 1, place, {"/".join((*("p",)[len(place) :], key)): value for key in sorted(keys)}))

    @rule(wide=st.booleans())
    def replace(self, wide: bool) -> None:
        keys = WIDE_KEYS[5:50] if wide else WIDE_KEYS[:3]
        self.do(Set(self.clients[0], 1, ("p",), {key: {"a": len(key), "b": "y" * 20} for key in keys}))

    @rule(
        order=st.sampled_from([".key", ".priority", "a"]),
        key=st.sampled_from(WIDE_KEYS),
        limit=st.integers(1, 30),
        end=st.sampled_from("lr"),
    )
    def listen_in_the_wide_map(self, order: str, key: str, limit: int, end: str) -> None:
        spec: dict[str, Any] = {"i": order, "l": limit, "vf": end}
        if limit % 2:
            spec["sp" if end == "l" else "ep"] = key if order == ".key" else limit % 5 or None
        self.listen(1, ("p",), spec, False)

    @rule(order=st.sampled_from([".key", ".priority"]), limit=st.integers(1, 30), end=st.sampled_from("lr"))
    def get_from_the_wide_map(self, order: str, limit: int, end: str) -> None:
        self.get(("p",), {"i": order, "l": limit, "vf": end})


class TestQueriesOnPages(Paged.TestCase):  # type: ignore[name-defined,misc]
    """Everything in slices: what may be done at once is next to nothing."""

    settings = settings(max_examples=60, stateful_step_count=30, deadline=None)

    @pytest.fixture(autouse=True)
    def pages(self, small_pages: None, few_at_once: None) -> None: ...


class TestManyQueriesOnPages(Paged.TestCase):  # type: ignore[name-defined,misc]
    """Windows that are told at once, and kept by who sees what."""

    settings = settings(max_examples=60, stateful_step_count=30, deadline=None)

    @pytest.fixture(autouse=True)
    def pages(self, small_pages: None, monkeypatch: pytest.MonkeyPatch) -> None:
        for module in (queries, views):
            monkeypatch.setattr(module, "INDEX_AT_ONCE_CHILDREN_MAX", 1)
        monkeypatch.setattr(views, "SCANNED_VIEWS_MAX", 1)


class TestQueries(Queried.TestCase):  # type: ignore[name-defined,misc]
    """Indexes made at once."""

    settings = settings(max_examples=60, stateful_step_count=30, deadline=None)


class TestManyQueries(Queried.TestCase):  # type: ignore[name-defined,misc]
    """As if there were so many that it is kept which of them sees what."""

    settings = settings(max_examples=60, stateful_step_count=40, deadline=None)

    @pytest.fixture(autouse=True)
    def few_are_many(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(views, "SCANNED_VIEWS_MAX", 1)


class TestQueriesInSlices(Queried.TestCase):  # type: ignore[name-defined,misc]
    """Indexes filled a child at a time, while everything else goes on."""

    settings = settings(max_examples=60, stateful_step_count=40, deadline=None)

    @pytest.fixture(autouse=True)
    def slices(self, few_at_once: None) -> None: ...
