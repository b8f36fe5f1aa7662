"""What journals rely on: setting each change's `settled` path to its `after`, in order, leads to the tree after the last."""

from __future__ import annotations

import copy
from typing import Any

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from meadowlark.tree import Node, Path, Tree
from tests.tree.model import (
    LEAVES,
    NODES,
    NODES_WITHOUT_PRIORITIES,
    PATHS,
    PRIORITIES,
    PRIORITY_PATHS,
    canonical,
)

Write = tuple[Path, Node | None]

WRITES = st.lists(
    st.one_of(
        st.tuples(PATHS, st.one_of(st.none(), NODES)),
        st.tuples(PATHS, st.one_of(st.none(), LEAVES)),
        st.tuples(PRIORITY_PATHS, st.one_of(st.none(), PRIORITIES)),
    ),
    min_size=1,
    max_size=12,
)
WRITES_WITHOUT_PRIORITIES = st.lists(
    st.tuples(PATHS, st.one_of(st.none(), LEAVES, NODES_WITHOUT_PRIORITIES)), min_size=2, max_size=14
)


def run(writes: list[Write]) -> tuple[list[Node | None], list[Write]]:
    """The tree before the first write and after each, and the journal of (settled, after); all copies."""
    tree = Tree()
    states: list[Node | None] = [None]
    journal: list[Write] = []
    for path, node in writes:
        change = tree.set(path, copy.deepcopy(node))
        if change is not None:
            journal.append((change.settled, copy.deepcopy(change.after)))
            states.append(copy.deepcopy(tree.root))
    return states, journal


def replay(state: Node | None, journal: list[Write]) -> Any:
    tree = Tree(copy.deepcopy(state))
    for path, node in journal:
        tree.set(path, copy.deepcopy(node))
    tree.check()
    return canonical(tree.root)


def has_priority_on_a_map(node: Node | None) -> bool:
    if type(node) is not dict or ".value" in node:
        return False
    return ".priority" in node or any(has_priority_on_a_map(child) for child in node.values())


@st.composite
def mixtures(draw: st.DrawFn, states: list[Node | None]) -> Node | None:
    """A tree whose parts are taken from any of `states`, as a reader sees that walks while others write."""
    maps = [state for state in states if type(state) is dict and ".value" not in state]
    if not maps or draw(st.booleans()):
        return draw(st.sampled_from(states))
    mixed = {}
    for key in sorted({key for state in maps for key in state if key != ".priority"}):
        child = draw(mixtures([state.get(key) for state in maps]))
        if child is not None:
            mixed[key] = child
    return mixed or None


@given(WRITES)
def test_replaying_the_rest_from_any_state_on_the_way_gives_the_last(writes: list[Write]) -> None:
    states, journal = run(writes)
    for done, state in enumerate(states):
        assert replay(state, journal[done:]) == canonical(states[-1])


@given(WRITES)
def test_replaying_everything_twice_gives_the_last_where_it_begins_with_nothing(writes: list[Write]) -> None:
    states, journal = run([*writes, ((), None), *writes])
    assert replay(states[-1], journal) == canonical(states[-1])


@given(WRITES_WITHOUT_PRIORITIES, st.data())
def test_without_priorities_repeating_changes_already_in_the_tree_does_no_harm(writes: list[Write], data: st.DataObject) -> None:
    states, journal = run(writes)
    start = data.draw(st.integers(0, len(states) - 1))
    for state in states[start:]:
        assert replay(state, journal[start:]) == canonical(states[-1])


@given(WRITES_WITHOUT_PRIORITIES, st.data())
def test_without_priorities_any_mixture_of_the_trees_since_converges(writes: list[Write], data: st.DataObject) -> None:
    states, journal = run(writes)
    start = data.draw(st.integers(0, len(states) - 1))
    mixed = data.draw(mixtures(states[start:]))
    assert replay(mixed, journal[start:]) == canonical(states[-1])


@settings(max_examples=50)
@given(WRITES, st.data())
def test_priorities_on_leaves_alone_do_no_harm_either(writes: list[Write], data: st.DataObject) -> None:
    states, journal = run(writes)
    assume(not any(has_priority_on_a_map(state) for state in states))
    start = data.draw(st.integers(0, len(states) - 1))
    for state in states[start:]:
        assert replay(state, journal[start:]) == canonical(states[-1])


def test_with_a_priority_on_a_map_changes_must_not_be_repeated() -> None:
    """Why a replay starts exactly where its snapshot ends: here the room is empty only in the replay, and loses its priority."""
    states, journal = run(
        [
            (("room",), {"ann": 1, "bob": 2, ".priority": 7}),
            (("room", "bob"), None),
            (("room", "bob"), 3),
            (("room", "ann"), None),
        ]
    )
    assert states[-1] == {"room": {"bob": 3, ".priority": 7}}
    assert replay(states[1], journal[1:]) == canonical(states[-1])
    assert replay(states[-1], journal[1:]) == canonical({"room": {"bob": 3}})
