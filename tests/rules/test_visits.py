"""Evaluation never walks more of the tree than the rule names: what it does is counted, and is the same beside ten siblings and
beside thousands, above a leaf and above thousands of nodes.

Counted is all that Python does for one decision (`Work`): the nodes whose methods are called, the pages that are decoded, calls
of functions in C, and instructions of the interpreter, of which a loop over children would need some for each child. What it
allocates is measured too.
"""

from __future__ import annotations

import gc
import json
import sys
import tracemalloc
from collections.abc import Callable
from functools import partial
from types import FrameType
from typing import Any, NamedTuple

import pytest

from meadowlark.rules import explain_read, explain_write, may_read, may_write, parse_rules
from meadowlark.rules.ruleset import RuleSet
from meadowlark.tree import Node, from_json, is_map, pack_slices
from meadowlark.tree.pages import Page, Pages
from tests.tree.test_pages_model import finish

NOW = 1_700_000_000_000
ANNA: dict[str, Any] = {"uid": "u0007", "token": {"level": 3}}

ROOMS = {
    "members": {"$room": {".read": "data.child(auth.uid).exists()"}},
    "rooms": {
        "$room": {
            ".read": "root.child('members').child($room).child(auth.uid).val() === true && data.hasChildren()",
            ".write": "data.exists() && newData.exists() && root.child('members/' + $room).hasChildren([auth.uid, 'u0008'])",
            ".validate": "newData.child('title').isString() && newData.getPriority() == null && newData.val() != data.val()",
            "title": {".validate": "newData.val().length < 40 && newData.parent().hasChild('seats')"},
            "seats": {
                "$seat": {
                    ".write": "data.parent().parent().child('title').exists()",
                    ".validate": "newData.parent().parent().hasChildren(['seats', 'title']) && data.parent().val() != null",
                    "at": {".validate": "newData.isNumber() && root.child('rooms').child($room).getPriority() == null"},
                }
            },
        }
    },
}
RULES = parse_rules(json.dumps({"rules": ROOMS}))

OPERATIONS: dict[str, Callable[[RuleSet, Node], bool]] = {
    "read a map": lambda rules, root: may_read(rules, ANNA, ("members", "r0007"), root, NOW),
    "read with data elsewhere": lambda rules, root: may_read(rules, ANNA, ("rooms", "r0007"), root, NOW),
    "read deep below": lambda rules, root: may_read(rules, ANNA, ("rooms", "r0007", "seats", "s0003", "at"), root, NOW),
    "set a leaf": lambda rules, root: may_write(rules, ANNA, [(("rooms", "r0007", "title"), "new")], root, NOW),
    "set a record": lambda rules, root: may_write(rules, ANNA, [(("rooms", "r0007", "seats", "s9999"), {"at": 4})], root, NOW),
    "replace a room": lambda rules, root: may_write(
        rules, ANNA, [(("rooms", "r0007"), {"title": "x", "seats": {"s0001": {"at": 1}}})], root, NOW
    ),
    "remove a leaf": lambda rules, root: may_write(rules, ANNA, [(("rooms", "r0007", "seats", "s0003", "at"), None)], root, NOW),
    "remove a seat": lambda rules, root: may_write(rules, ANNA, [(("rooms", "r0007", "seats", "s0003"), None)], root, NOW),
    "update two places": lambda rules, root: may_write(
        rules,
        ANNA,
        [(("rooms", "r0007", "title"), "new"), (("rooms", "r0007", "seats", "s0003"), None)],
        root,
        NOW,
    ),
    "set a priority": lambda rules, root: may_write(rules, ANNA, [(("rooms", "r0007", "seats", ".priority"), 5)], root, NOW),
    "explain a read": lambda rules, root: explain_read(rules, ANNA, ("rooms", "r0007"), root, NOW).allowed,
    "explain a write": lambda rules, root: explain_write(rules, ANNA, [(("rooms", "r0007", "title"), "new")], root, NOW).allowed,
}


def tree_of(siblings: int, below: int) -> Node:
    """Rooms with seats and members, `siblings` of each; every seat with `below` children that no rule names."""
    seat = {"at": 1, "more": {f"m{n:04d}": {"x": n} for n in range(below)}}
    seats = {f"s{n:04d}": seat if n < 9 else {"at": n} for n in range(siblings)}
    few = {"title": "few", "seats": {"s0001": {"at": 1}}}
    members = {f"u{n:04d}": True for n in range(siblings)}
    return {
        "members": {f"r{n:04d}": members if n == 7 else {"u0001": True} for n in range(siblings)},
        "rooms": {f"r{n:04d}": {"title": "t", "seats": seats} if n == 7 else few for n in range(siblings)},
    }


def packed(node: Node) -> Node:
    return finish(pack_slices(from_json(json.loads(json.dumps(node)))[0]))


class Work(NamedTuple):
    """What one decision took."""

    nodes: int
    """Maps of the tree that were asked something."""
    pages: int
    """Decoded."""
    calls: int
    """Of functions written in C."""
    instructions: int


def work_of(decide: Callable[[], object], root: Node) -> Work:
    """A decision that was made once before: what is compiled when first needed does not count."""
    known = maps_of(root)
    asked: set[int] = set()
    pages = calls = instructions = 0

    def see(node: object) -> None:
        if id(node) in known:
            asked.add(id(node))

    def profile(frame: FrameType, event: str, told: Any) -> None:
        nonlocal pages, calls
        if event == "call":
            pages += frame.f_code is Page._decode.__code__
            for value in frame.f_locals.values():
                see(value)
        elif event == "c_call":
            calls += 1
            see(getattr(told, "__self__", None))

    def trace(frame: FrameType, event: str, told: Any) -> Any:
        nonlocal instructions
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        instructions += event == "opcode"
        return trace

    watching = sys.gettrace(), sys.getprofile()
    gc.disable()  # What it finds of other tests is not this one's work.
    try:
        sys.setprofile(profile)
        decide()
        sys.setprofile(watching[1])
        sys.settrace(trace)
        decide()
    finally:
        sys.settrace(watching[0])
        sys.setprofile(watching[1])
        gc.enable()
    return Work(len(asked), pages, calls, instructions)


def maps_of(root: Node) -> set[int]:
    """All maps that are there as objects: those in a page that is not decoded are not."""
    found, todo = set(), [root]
    while todo:
        node = todo.pop()
        if is_map(node) and id(node) not in found:
            found.add(id(node))
            if isinstance(node, dict):
                todo.extend(node.values())
            else:
                todo.extend(child for page in node.pages for child in ((page.children or {}) | (page.kept or {})).values())
    return found


@pytest.mark.parametrize("name", OPERATIONS)
def test_more_siblings_and_more_below_make_no_more_work(name: str) -> None:
    operation = OPERATIONS[name]
    works = []
    for root in (tree_of(10, 1), tree_of(3000, 1), tree_of(10, 3000), tree_of(1000, 1000)):
        allowed = operation(RULES, root)  # What is compiled when first needed is, now.
        works.append((allowed, work_of(partial(operation, RULES, root), root)))
    assert works[0][1].nodes <= NODES_MAX, "more than rules name"
    assert all(work == works[0] for work in works), works


NODES_MAX = 16
"""Maps on the ways that the rules of one of these operations name: most four deep, and none of them wide."""


@pytest.mark.parametrize("name", OPERATIONS)
def test_they_make_no_more_over_packed_pages(name: str) -> None:
    operation = OPERATIONS[name]
    works = []
    for siblings, below in ((2000, 1), (8000, 1), (2000, 4000)):
        root = packed(tree_of(siblings, below))
        assert isinstance(root["rooms"], Pages)
        fresh = work_of(partial(operation, RULES, root), root)
        assert fresh.pages <= PAGES_MAX, "a page for each wide map on the way, where it has none at hand"
        works.append((operation(RULES, root), work_of(partial(operation, RULES, root), root)))
    few = works[0][1]
    assert few.pages == 0, "they are decoded by now"
    assert all(more <= least for _, work in works for more, least in zip(work, few, strict=True)), works


PAGES_MAX = 6
"""Of the rooms, of the members, of one room's seats and one room's members, in two of which two children are named."""


def allocated_by(decide: Callable[[], object]) -> int:
    """The most bytes that it holds at once, beyond what there was before; what is made when first needed is by now."""

    def peak() -> int:
        tracemalloc.reset_peak()
        before = tracemalloc.get_traced_memory()[0]
        decide()
        return tracemalloc.get_traced_memory()[1] - before

    decide()
    gc.disable()  # What it finds of other tests is not this one's memory.
    tracemalloc.start()
    try:
        return min(peak() for _ in range(3))
    finally:
        tracemalloc.stop()
        gc.enable()


@pytest.fixture(scope="module")
def families() -> list[list[Node]]:
    """Small and large trees of maps, and such of pages."""
    maps = [tree_of(10, 1), tree_of(3000, 1), tree_of(10, 3000)]
    return [maps, [packed(tree_of(siblings, below)) for siblings, below in ((2000, 1), (8000, 1), (2000, 4000))]]


@pytest.mark.parametrize("name", OPERATIONS)
def test_little_is_allocated_and_no_more_in_a_large_tree(families: list[list[Node]], name: str) -> None:
    decide, bound = OPERATIONS[name], EXPLAINED_BYTES_MAX if "explain" in name else DECIDED_BYTES_MAX
    for roots in families:
        peaks = [allocated_by(partial(decide, RULES, root)) for root in roots]
        assert max(peaks) <= bound, peaks
        assert max(peaks) - min(peaks) <= SAME_BYTES, peaks


DECIDED_BYTES_MAX = 5_000
"""Frames, the snapshots that an expression names, and the path: most takes an update of two places in pages, 3,400."""
EXPLAINED_BYTES_MAX = 24_000
"""With the text of every rule that was asked and the values that it saw: 17,200 for a write."""
SAME_BYTES = 256
"""Of the size of numbers and free lists; a pointer to each of three thousand children takes a hundred times that."""


def test_a_copy_would_be_noticed() -> None:
    few, many = [allocated_by(lambda root=root: list(root["rooms"])) for root in (tree_of(10, 1), tree_of(3000, 1))]
    assert many > few + SAME_BYTES


def test_a_walk_would_be_noticed() -> None:
    """The measure itself: what looks at every child costs more where there are more."""

    def walk(root: Node) -> Work:
        return work_of(lambda: [child for child in root["rooms"].values() if child], root)

    few, many = walk(tree_of(10, 1)), walk(tree_of(1000, 1))
    assert many.instructions > few.instructions + 1000
