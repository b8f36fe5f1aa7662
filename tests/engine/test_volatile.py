"""Volatile values: told like all others, never recorded, gone with who wrote them; what is on disk beside them stays right."""

from __future__ import annotations

import copy
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from meadowlark.engine import Commit, Get, Leave, Listen, OnDisconnectSet, Push, Ruled, Set, Update
from meadowlark.engine.database import Database
from meadowlark.engine.values import finish
from meadowlark.engine.volatile import VolatileValues, without
from meadowlark.errors import Code
from meadowlark.limits import SESSION_VOLATILE_VALUES_MAX, VOLATILE_BYTES_MAX
from meadowlark.query import parse_query
from meadowlark.rules import parse_rules
from meadowlark.tree import Path, Tree, encode, find, plain
from tests.engine.asking import Asking, Believer

RULES = """{"rules": {".read": true, ".write": true,
  "cursors": {".volatile": true, "$user": {"name": {".volatile": false}}},
  "kept": {".volatile": "keep"},
  "guarded": {".volatile": true, ".validate": "newData.isNumber()"}}}"""


class Session(Believer):
    __slots__ = ()
    is_session = True


@pytest.fixture
def asking() -> Asking:
    return Asking(Ruled(parse_rules(RULES)))


def durable(asking: Asking) -> Any:
    """What the records say, replayed from nothing."""
    replayed = Database("replay", asking.database.access)
    for commit in asking.commits:
        replayed.replay(commit.sequence, copy.deepcopy(commit.entries))
    return replayed.tree.root


def test_a_large_update_takes_steps_also_where_some_of_it_is_volatile(asking: Asking) -> None:
    writer, out = Session("w"), list[Any]()
    many = {f"k{number:04}": number for number in range(2_000)}
    asking.do(Set(writer, 1, ("cursors", "ann"), {"x": 1}))
    steps = sum(1 for _ in asking.database.apply_slices(Update(writer, 2, (), {"cursors/ann": {"x": 2}, **many}), 0, out))
    durable_alone = sum(1 for _ in asking.database.apply_slices(Update(writer, 3, (), many), 0, list[Any]()))
    assert steps >= durable_alone
    (commit,) = [effect for effect in out if isinstance(effect, Commit)]
    assert commit.record == encode(commit.entries)
    assert commit.entries == [["w", f"/{key}", value] for key, value in many.items()]
    assert plain(asking.database.tree.root) == {"cursors": {"ann": {"x": 2}}, **many}


def test_a_volatile_value_is_told_and_read_and_not_recorded(asking: Asking) -> None:
    writer, listener = Session("w"), Session("l")
    asking.do(Listen(listener, 1, ("cursors",)))
    reply = asking.do(Set(writer, 2, ("cursors", "ann"), {"x": 1}))
    assert reply is not None
    assert reply.refused is None
    assert listener.take()[-1] == ("set", "/cursors/ann", {"x": 1})
    assert listener.mirror.get(("cursors", "ann")) == {"x": 1}
    read = asking.do(Get(listener, 3, ("cursors",)))
    assert read is not None
    assert read.value == {"ann": {"x": 1}}
    assert asking.commits == []
    assert asking.database.durable_part(()) is None


def test_it_goes_when_its_writer_goes(asking: Asking) -> None:
    writer, listener = Session("w"), Session("l")
    asking.do(Listen(listener, 1, ()))
    asking.do(Set(writer, 2, ("cursors", "ann"), 1))
    asking.do(Set(writer, 3, ("cursors", "bob"), 2))
    asking.do(Leave(writer))
    assert asking.database.tree.root is None
    assert listener.mirror.root is None
    assert asking.database.volatile.count == 0


def pushes(asking: Asking, client: Session) -> list[Push]:
    return [effect for effect in asking.out if isinstance(effect, Push) and client in effect.listeners]


def test_an_update_of_volatile_places_is_told_whole_and_can_be_told_place_by_place(asking: Asking) -> None:
    writer, root, at, below = Session("w"), Session("r"), Session("a"), Session("b")
    for listener, path in ((root, ()), (at, ("cursors", "ann")), (below, ("cursors", "ann", "x"))):
        asking.do(Listen(listener, 1, path))
    asking.do(Update(writer, 2, (), {"cursors/ann": {"x": 1}, "cursors/bob": 2}))
    [told] = pushes(asking, root)
    assert (told.merge, told.volatile) == (True, True)
    assert [(piece.path, piece.value, piece.volatile) for piece in told.pieces()] == [
        (("cursors", "ann"), {"x": 1}, True),
        (("cursors", "bob"), 2, True),
    ]
    assert told.pieces() is told.pieces(), "made once for all who are behind"
    assert [push.volatile for push in pushes(asking, at) + pushes(asking, below)] == [True, True]


def test_what_lasts_in_an_update_stays_together(asking: Asking) -> None:
    writer, listener = Session("w"), Session("l")
    asking.do(Listen(listener, 1, ()))
    asking.do(Update(writer, 2, (), {"score/a": 1, "cursors/ann": 2, "score/b": 3}))
    [told] = pushes(asking, listener)
    assert told.volatile
    assert [(piece.path, piece.value, piece.volatile) for piece in told.pieces()] == [
        ((), {"score/a": 1, "score/b": 3}, False),
        (("cursors", "ann"), 2, True),
    ]
    asking.do(Update(writer, 3, (), {"score/a": 4, "score/b": 5}))
    [told] = pushes(asking, listener)
    assert not told.volatile


def test_what_queries_are_told_of_volatile_values_is_volatile_under_their_tags(asking: Asking) -> None:
    writer, listener = Session("w"), Session("l")
    asking.do(Listen(listener, 1, ("cursors",)))
    last = parse_query({"i": "x", "l": 1, "vf": "r"})
    asking.do(Listen(listener, 2, ("cursors",), query=last, tag=7))
    asking.do(Set(writer, 3, ("cursors", "ann"), {"x": 1}))
    asking.do(Set(writer, 4, ("cursors", "ann", "x"), 2))
    places = [push.place for push in pushes(asking, listener)]
    assert places == [("cursors", "ann", "x"), (7, ("cursors", "ann", "x"))]
    assert all(push.volatile for push in pushes(asking, listener))
    asking.do(Set(writer, 5, ("cursors", "bob"), {"x": 3}))
    [plain_push, window] = pushes(asking, listener)
    assert (window.merge, window.volatile) == (True, True)
    assert [(piece.place, piece.value) for piece in window.pieces()] == [
        ((7, ("cursors", "ann")), None),
        ((7, ("cursors", "bob")), {"x": 3}),
    ]
    asking.do(Update(writer, 6, ("cursors",), {"bob/x": 4, "ann/x": 1}))
    assert all(push.volatile for push in pushes(asking, listener))
    asking.do(Update(writer, 7, ("cursors",), {"bob/x": 5, "bob/name": "Bob"}))
    plain_push, window = pushes(asking, listener)
    assert plain_push.lasting == {"bob/name"}
    assert not window.volatile, "what a window shows of both lasts"


def test_the_last_writer_owns_it(asking: Asking) -> None:
    first, last = Session("1"), Session("2")
    asking.do(Set(first, 1, ("cursors", "ann"), 1))
    asking.do(Set(last, 1, ("cursors", "ann"), 2))
    asking.do(Leave(first))
    assert asking.database.tree.root == {"cursors": {"ann": 2}}
    asking.do(Leave(last))
    assert asking.database.tree.root is None


@pytest.mark.parametrize("path", [("kept", "x"), ("cursors", "x")])
def test_what_is_kept_or_was_not_written_by_a_session_stays(asking: Asking, path: Path) -> None:
    writer: Believer = Session("w") if path[0] == "kept" else Believer("rest")
    asking.do(Set(writer, 1, path, 1))
    asking.do(Leave(writer))
    assert find(asking.database.tree.root, path) == 1
    assert asking.database.durable_part(()) is None


def test_a_client_may_ask_for_it_where_no_rule_does(asking: Asking) -> None:
    writer = Session("w")
    assert asking.do(Set(writer, None, ("anywhere",), 1, volatile=True)) is not None
    assert asking.commits == []
    asking.do(Leave(writer))
    assert asking.database.tree.root is None


def test_rules_are_asked(asking: Asking) -> None:
    writer = Session("w")
    assert "denied" in asking.refusal(Set(writer, None, ("guarded",), "no number", volatile=True))
    asking.do(Set(writer, 1, ("guarded",), 7))
    assert asking.database.tree.root == {"guarded": 7}


def test_too_large_and_too_many_are_refused_with_the_limit(asking: Asking) -> None:
    writer = Session("w")
    assert str(VOLATILE_BYTES_MAX) in asking.refusal(Set(writer, 1, ("cursors", "a"), "x" * VOLATILE_BYTES_MAX))
    for number in range(SESSION_VOLATILE_VALUES_MAX):
        asking.database.volatile.mark(("cursors", str(number)), writer)
    out: list[Any] = []
    asking.database.apply(Set(writer, 1, ("cursors", "one more"), 1), asking.now, out)
    assert out[0].refused.code is Code.TOO_BIG


def test_what_was_on_disk_there_is_removed_from_the_disk(asking: Asking) -> None:
    writer = Session("w")
    asking.database.access = Ruled(parse_rules('{"rules": {".read": true, ".write": true}}'))
    asking.do(Set(writer, 1, ("cursors",), "a leaf"))
    asking.database.access = Ruled(parse_rules(RULES))
    asking.do(Set(writer, 2, ("cursors", "ann"), 1))
    assert durable(asking) is None
    asking.do(Leave(writer))
    assert asking.database.tree.root is None


def test_a_durable_write_takes_the_place_of_what_was_volatile(asking: Asking) -> None:
    writer = Session("w")
    asking.do(Set(writer, 1, ("cursors", "ann"), {"x": 1, "y": 2}))
    asking.do(Set(writer, 2, ("cursors", "ann", "name"), "Ann"))
    assert durable(asking) == {"cursors": {"ann": {"name": "Ann"}}}
    assert asking.database.durable_part(()) == {"cursors": {"ann": {"name": "Ann"}}}
    asking.do(Leave(writer))
    assert asking.database.tree.root == {"cursors": {"ann": {"name": "Ann"}}}
    asking.do(Set(writer, 3, ("cursors", "bob"), 5))
    asking.do(Set(writer, 4, (), {"cursors": {"bob": 5}}))
    assert asking.database.durable_part(()) == {"cursors": {"bob": 5}}, "the place that was written is the root, which is durable"


def test_an_update_may_be_volatile_in_part(asking: Asking) -> None:
    writer, listener = Session("w"), Session("l")
    asking.do(Listen(listener, 1, ()))
    listener.take()
    asking.do(Update(writer, 2, (), {"cursors/ann": 1, "score": 2}))
    assert listener.take() == [("merge", "/", {"cursors/ann": 1, "score": 2})]
    assert durable(asking) == {"score": 2}
    commits = len(asking.commits)
    asking.do(Update(writer, 3, ("cursors",), {"ann": 2, "bob": 3}))
    assert len(asking.commits) == commits
    assert asking.database.tree.root == {"cursors": {"ann": 2, "bob": 3}, "score": 2}


def test_pushes_say_that_only_the_last_matters(asking: Asking) -> None:
    writer, listener = Session("w"), Session("l")
    asking.do(Listen(listener, 1, ("cursors",)))
    asking.do(Set(writer, 2, ("cursors", "ann"), 1))
    assert [effect.volatile for effect in asking.out if hasattr(effect, "volatile")] == [True]
    asking.do(Set(writer, 3, ("cursors", "ann", "name"), "A"))
    assert [effect.volatile for effect in asking.out if hasattr(effect, "volatile")] == [False]


def test_what_was_queued_for_the_end_of_a_connection_stays(asking: Asking) -> None:
    writer = Session("w")
    asking.do(Set(writer, 1, ("cursors", "ann"), 1))
    asking.do(OnDisconnectSet(writer, 2, ("cursors", "ann"), "gone"))
    asking.do(Leave(writer))
    assert asking.database.tree.root == {"cursors": {"ann": "gone"}}
    assert asking.database.durable_part(()) is None


def test_a_priority_of_a_volatile_value_is_volatile(asking: Asking) -> None:
    writer = Session("w")
    asking.do(Set(writer, 1, ("cursors", "ann"), 1))
    asking.do(Set(writer, 2, ("cursors", "ann", ".priority"), 5))
    assert durable(asking) is None
    asking.do(Leave(writer))
    assert asking.database.tree.root is None


def test_a_priority_does_not_outlive_the_volatile_value_that_had_it(asking: Asking) -> None:
    writer, listener = Session("w"), Session("l")
    asking.do(Listen(listener, 1, ()))
    for value in (1, {"x": 1}):
        asking.do(
            Set(writer, 2, ("cursors", "ann"), {".priority": 5, **(value if isinstance(value, dict) else {".value": value})})
        )
        asking.do(Set(writer, 3, ("cursors", "ann", "name"), "Ann"))
        on_disk = {"cursors": {"ann": {"name": "Ann"}}}
        assert durable(asking) == asking.database.durable_part(()) == on_disk
        assert listener.mirror.root == asking.database.tree.root
        asking.do(Set(writer, 4, ("cursors",), None))
    asking.do(Set(writer, 5, ("room", "topic"), "red"))
    asking.do(Set(writer, 5, ("room", ".priority"), 5))
    asking.do(Set(writer, 6, ("room", "x"), 1, volatile=True))
    asking.do(Set(writer, 7, ("room", "topic"), None))
    asking.do(Update(writer, 8, ("room",), {".priority": 6, "topic": "blue"}))
    assert durable(asking) == asking.database.durable_part(()) == {"room": {"topic": "blue", ".priority": 6}}
    assert listener.mirror.root == asking.database.tree.root


def test_who_has_all_the_values_that_one_may_have_can_still_move_them(asking: Asking) -> None:
    writer = Session("w")
    asking.do(Update(writer, None, ("cursors",), {str(number): 1 for number in range(SESSION_VOLATILE_VALUES_MAX)}))
    reply = asking.do(Set(writer, None, ("cursors", "7"), 2))
    assert reply is not None
    assert reply.refused is None
    assert "may have" in asking.refusal(Set(writer, None, ("cursors", "more"), 1))


def watched(steps: Any, yielded: list[Any]) -> Any:
    """The same steps, counted."""
    while True:
        try:
            yielded.append(next(steps))
        except StopIteration as stop:
            return stop.value
        yield


def test_leaving_out_yields_and_changes_nothing_that_is_frozen() -> None:
    tree = Tree({"a": {str(number): number for number in range(500)}, "b": 1})
    root = tree.freeze()
    yielded: list[Any] = []

    def collect() -> Any:
        return (yield from without([("a", str(number)) for number in range(500)], root))

    left = finish(watched(collect(), yielded))
    assert left == {"b": 1}
    assert len(yielded) > 1
    assert len(plain(root)["a"]) == 500


KEYS = st.sampled_from(["a", "b", "cursors"])
PATHS = st.lists(KEYS, min_size=1, max_size=4).map(tuple)
PRIORITIES = st.sampled_from([{}, {}, {".priority": 1}, {".priority": 2}])
VALUES = st.recursive(
    st.one_of(
        st.none(),
        st.integers(0, 3),
        st.builds(lambda leaf, priority: {".value": leaf, **priority}, st.integers(0, 3), PRIORITIES),
    ),
    lambda inner: st.builds(
        lambda members, priority: {**members, **priority}, st.dictionaries(KEYS, inner, max_size=2), PRIORITIES
    ),
    max_leaves=3,
)


class Both(RuleBasedStateMachine):
    """Durable and volatile writes at random: replaying the records gives the tree less what is marked as volatile."""

    @initialize()
    def begin(self) -> None:
        self.asking = Asking(Ruled(parse_rules(RULES)))
        self.replayed = Database("replay", self.asking.database.access)
        self.sessions = [Session(str(number)) for number in range(2)]
        self.listener = Session("listener")
        self.asking.do(Listen(self.listener, 1, ()))

    @rule(number=st.integers(0, 1), path=PATHS, value=VALUES, volatile=st.booleans())
    def set(self, number: int, path: Path, value: Any, volatile: bool) -> None:
        self.asking.do(Set(self.sessions[number], 1, path, value, volatile=volatile))

    @rule(number=st.integers(0, 1), path=PATHS, value=st.sampled_from([None, 3, 4]), volatile=st.booleans())
    def set_priority(self, number: int, path: Path, value: Any, volatile: bool) -> None:
        self.asking.do(Set(self.sessions[number], 1, (*path, ".priority"), value, volatile=volatile))

    @rule(number=st.integers(0, 1), members=st.dictionaries(PATHS.map("/".join), VALUES, min_size=1, max_size=3))
    def update(self, number: int, members: Any) -> None:
        self.asking.do(Update(self.sessions[number], 1, (), members))

    @rule(number=st.integers(0, 1))
    def leave(self, number: int) -> None:
        self.asking.do(Leave(self.sessions[number]))
        assert self.asking.database.volatile.of(self.sessions[number]) == []
        self.sessions[number] = Session(f"next {number}")

    @invariant()
    def records_say_what_is_durable(self) -> None:
        if hasattr(self, "asking"):
            # At once, as records are encoded at once: what they refer to is the live tree.
            for commit in self.asking.commits[self.replayed.sequence :]:
                self.replayed.replay(commit.sequence, copy.deepcopy(commit.entries))
            assert self.replayed.tree.root == self.asking.database.durable_part(())
            assert self.listener.mirror.root == self.asking.database.tree.root


TestBoth = Both.TestCase
TestBoth.settings = settings(max_examples=80, stateful_step_count=20, deadline=None)


def test_marks_are_split_around_what_becomes_durable() -> None:
    marks, owner = VolatileValues(), Session("w")
    marks.mark(("c",), owner)
    marks.unmark(("c", "x", "y"), {"c": {"x": {"y": 1, "z": 2}, "w": 3}})
    assert sorted(marks.paths()) == [("c", "w"), ("c", "x", "z")]
    assert marks.covers(("c", "w", "deeper"))
    assert not marks.covers(("c", "x"))
    marks.check(None)
