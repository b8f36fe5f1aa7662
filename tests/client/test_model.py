"""Several clients of one database at random: whatever they write and however their connections break, once all is said each
listener holds what the server's tree has, and has heard it in events that make sense."""

from __future__ import annotations

from typing import Any

import hypothesis.strategies as st
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from meadowlark.client.core import Core
from meadowlark.tree import children, find
from tests.client.pair import Answers, Ear, Served, Wire

CLIENTS = st.integers(0, 2)
KEYS = st.sampled_from(["a", "b", "1", "10"])
PATHS = st.lists(KEYS, max_size=3).map(tuple)
LEAVES = st.one_of(st.booleans(), st.integers(-2, 2), st.sampled_from(["", "x"]))
VALUES = st.recursive(
    st.one_of(st.none(), LEAVES, LEAVES.map(lambda leaf: {".value": leaf, ".priority": 1})),
    lambda inner: st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=5,
)
SERVER_VALUES = st.sampled_from([{".sv": "timestamp"}, {".sv": {"increment": 1}}])


class Clients(RuleBasedStateMachine):
    @initialize()
    def begin(self) -> None:
        self.served = Served()
        self.cores = [Core(lambda: self.served.now_ms) for _ in range(3)]
        self.wires: list[Wire | None] = [self.served.connect(core) for core in self.cores]
        self.ears: list[tuple[int, tuple[str, ...], Ear]] = []

    @rule(number=CLIENTS, path=PATHS, value=VALUES | SERVER_VALUES)
    def set(self, number: int, path: Any, value: Any) -> None:
        self.cores[number].set(path, value, Answers())

    @rule(number=CLIENTS, path=PATHS, members=st.dictionaries(KEYS, VALUES, min_size=1, max_size=3))
    def update(self, number: int, path: Any, members: Any) -> None:
        self.cores[number].update(path, members, Answers())

    @rule(number=CLIENTS, path=PATHS)
    def listen(self, number: int, path: Any) -> None:
        ear = Ear()
        ear.view = self.cores[number].listen(path, None, ear.listener)
        self.ears.append((number, path, ear))

    @rule(place=st.integers(0, 5))
    def unlisten(self, place: int) -> None:
        if place < len(self.ears):
            number, _, ear = self.ears.pop(place)
            assert ear.view is not None
            self.cores[number].unlisten(ear.view, ear.listener)

    @rule(number=CLIENTS)
    def send(self, number: int) -> None:
        wire = self.wires[number]
        if wire is not None:
            wire.send()

    @rule(number=CLIENTS, count=st.integers(1, 4))
    def receive(self, number: int, count: int) -> None:
        wire = self.wires[number]
        if wire is not None:
            wire.receive(count)

    @rule(number=CLIENTS)
    def cut(self, number: int) -> None:
        wire, self.wires[number] = self.wires[number], None
        if wire is not None:
            wire.cut()

    @rule()
    def everything_is_said(self) -> None:
        for number, core in enumerate(self.cores):
            if self.wires[number] is None:
                self.wires[number] = self.served.connect(core)
        wires = [wire for wire in self.wires if wire is not None]
        for _ in range(3):
            for wire in wires:
                wire.settle()
        root = self.served.root
        for _, path, ear in self.ears:
            there = find(root, path)
            assert repr(ear.value) == repr(there) or (ear.value == there and type(ear.value) is type(there))
            assert dict(ear.children) == dict(children(there))
            assert ear.value_count > 0
        assert all(not core.mirror.writes for core in self.cores), "a write is answered once and then forgotten"

    def teardown(self) -> None:
        if hasattr(self, "served"):
            self.everything_is_said()


TestClients = Clients.TestCase
TestClients.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
