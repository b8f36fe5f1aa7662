"""Slices of a value as it was when they were asked for."""

from __future__ import annotations

import orjson

from meadowlark.engine import Database, Open
from meadowlark.server.frozen import FrozenSlices
from meadowlark.server.hosted import Hosted
from meadowlark.tree import Node, Tree, encode_slices


def frozen(tree: Tree) -> FrozenSlices:
    hosted = Hosted(Database("demo", Open(), tree), lambda node: buried.append(node))
    return FrozenSlices(hosted, tree.root, encode_slices(tree.root, with_priorities=True, slice_bytes=1))


buried: list[Node | None] = []


def test_changes_meanwhile_are_not_seen_and_the_tree_is_free_at_the_end() -> None:
    tree = Tree({f"k{number}": {"n": number} for number in range(200)})
    slices = frozen(tree)
    pieces = [next(slices)]
    tree.set(("k199", "n"), "changed")
    pieces += slices
    assert orjson.loads(b"".join(pieces)) == {f"k{number}": {"n": number} for number in range(200)}
    assert tree._frozen_count == 0


def test_slices_that_nobody_takes_to_the_end_free_the_tree() -> None:
    tree = Tree({"a": 1})
    untouched, begun, closed = frozen(tree), frozen(tree), frozen(tree)
    next(begun)
    closed.close()
    closed.close()
    assert tree._frozen_count == 2
    assert list(closed) == []
    del untouched, begun
    assert tree._frozen_count == 0


def test_the_value_is_buried_when_the_slices_are_let_go() -> None:
    tree = Tree({"a": {"b": 1}})
    for let_go in (list, FrozenSlices.close, lambda slices: next(slices)):
        node, slices = tree.root, frozen(tree)
        buried.clear()
        let_go(slices)  # type: ignore[operator]  # three ways of no common type
        del slices
        assert buried[0] is node
