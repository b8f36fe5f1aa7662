"""Random commands beside what every listener believes: after each step its mirror equals the tree where it listens."""

from __future__ import annotations

import copy
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from meadowlark.engine import Database, Leave, Listen, OnDisconnectCancel, OnDisconnectSet, Open, Set, Unlisten, Update, resume
from meadowlark.tree import find, known_hashes, node_hash
from tests.engine.asking import Asking, Believer
from tests.engine.mobile import hides_priority, ranges_of

KEYS = st.sampled_from(["a", "b", "c", "1"])
PATHS = st.lists(KEYS, max_size=4).map(tuple)
LEAVES = st.one_of(st.booleans(), st.integers(-3, 3), st.sampled_from(["", "x"]), st.just(1.5))
SERVER_VALUES = st.sampled_from([{".sv": "timestamp"}, {".sv": {"increment": 2}}])
VALUES = st.recursive(
    st.one_of(st.none(), LEAVES, SERVER_VALUES, LEAVES.map(lambda leaf: {".value": leaf, ".priority": 1})),
    lambda inner: st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=5,
)
PRIORITIES = st.sampled_from([None, 1, "p"])


class Database_(RuleBasedStateMachine):
    """Two writers and three listeners on one small tree."""

    @initialize()
    def begin(self) -> None:
        self.asking = Asking()
        self.clients = [Believer(str(number)) for number in range(3)]

    def client(self, number: int) -> Believer:
        return self.clients[number]

    @rule(path=PATHS, value=VALUES)
    def set(self, path: Any, value: Any) -> None:
        self.asking.do(Set(self.clients[0], 1, path, value))

    @rule(path=PATHS, value=PRIORITIES)
    def set_priority(self, path: Any, value: Any) -> None:
        self.asking.do(Set(self.clients[0], 1, (*path, ".priority"), value))

    @rule(path=PATHS, children=st.dictionaries(st.lists(KEYS, min_size=1, max_size=3).map("/".join), VALUES, max_size=3))
    def update(self, path: Any, children: Any) -> None:
        self.asking.do(Update(self.clients[0], 1, path, children))

    @rule(number=st.integers(0, 2), path=PATHS, with_hash=st.booleans(), with_ranges=st.booleans())
    def listen(self, number: int, path: Any, with_hash: bool, with_ranges: bool) -> None:
        client = self.clients[number]
        hash = node_hash(client.mirror.get(path)) if with_hash else ""
        if hash == "":
            client.mirror.set(path, None)
        cache = copy.deepcopy(client.mirror.get(path))
        ranges = ranges_of(cache, 1) if with_ranges and not hides_priority(cache) else None
        self.asking.do(Listen(client, 1, path, hash, ranges=ranges))

    @rule(number=st.integers(0, 2), path=PATHS)
    def unlisten(self, number: int, path: Any) -> None:
        self.asking.do(Unlisten(self.clients[number], 1, path))

    @rule(number=st.integers(0, 2), path=PATHS, value=VALUES)
    def queue(self, number: int, path: Any, value: Any) -> None:
        self.asking.do(OnDisconnectSet(self.clients[number], 1, path, value))

    @rule(number=st.integers(0, 2), path=PATHS)
    def cancel(self, number: int, path: Any) -> None:
        self.asking.do(OnDisconnectCancel(self.clients[number], 1, path))

    @rule(number=st.integers(0, 2))
    def leave(self, number: int) -> None:
        self.asking.do(Leave(self.clients[number]))
        self.clients[number] = Believer(f"{number}-{len(self.asking.commits)}")

    @invariant()
    def every_listener_believes_the_truth(self) -> None:
        for client in self.clients:
            for path in client.listens:
                truth = find(self.asking.database.tree.root, path)
                assert repr(_sorted(client.mirror.get(path))) == repr(_sorted(truth))

    def teardown(self) -> None:
        again = Database("test", Open())
        for commit in self.asking.commits:
            again.replay(commit.sequence, copy.deepcopy(commit.entries))
        assert again.tree.root == self.asking.database.tree.root
        assert again.sessions() == self.asking.database.sessions()


def _sorted(node: Any) -> Any:
    """Maps by key, and 1, True and 1.0 told apart by their text."""
    return {key: _sorted(node[key]) for key in sorted(node)} if isinstance(node, dict) else node


class Slowly(Database_):
    """Every hash of a listener that comes back is found a value at a time, while everything else goes on."""

    @initialize()
    def begin(self) -> None:
        super().begin()
        self.asking.works = []

    @precondition(lambda self: self.asking.works)
    @rule(data=st.data(), count=st.integers(1, 4))
    def work(self, data: st.DataObject, count: int) -> None:
        work = data.draw(st.sampled_from(self.asking.works))
        for _ in range(count):
            try:
                next(work.steps)
            except StopIteration:
                self.asking.works.remove(work)
                if work.then is not None:
                    self.asking.do(work.then)
                return

    def teardown(self) -> None:
        while self.asking.works:
            self.asking.finish(self.asking.works.pop(0))
        self.every_listener_believes_the_truth()
        assert not self.asking.database._resume._searches
        assert self.asking.database.tree._frozen_count == 0
        super().teardown()


class TestResumeInSlices(Slowly.TestCase):  # type: ignore[name-defined,misc]
    settings = settings(max_examples=120, stateful_step_count=30, deadline=None)

    @pytest.fixture(autouse=True)
    def small_is_large(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(resume, "HASHED_AT_ONCE_NODES_MAX", 0)
        monkeypatch.setattr(resume, "MISSED_MAX", 2)
        monkeypatch.setattr(known_hashes, "PIECE_NODES", 1)
        monkeypatch.setattr(known_hashes, "SORTED_KEYS", 1)
        monkeypatch.setattr(known_hashes, "KEPT_MAX", 5)


TestDatabase = Database_.TestCase
TestDatabase.settings = settings(max_examples=80, stateful_step_count=25, deadline=None)
