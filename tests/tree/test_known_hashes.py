"""Hashes in slices and kept: the same as at once, and never one that is no longer true."""

from __future__ import annotations

from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from meadowlark.tree import KnownHashes, Tree, hash_slices, known_hashes, node_hash
from tests.tree.model import NODES, PATHS


@pytest.fixture(autouse=True)
def small_is_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(known_hashes, "PIECE_NODES", 3)
    monkeypatch.setattr(known_hashes, "SORTED_KEYS", 2)


def hash_of(node: Any, known: KnownHashes, path: tuple[str, ...] = ()) -> tuple[str, int]:
    """The hash, and how many steps it took."""
    steps, count = hash_slices(node, path, known.get, known.put), 0
    while True:
        try:
            next(steps)
            count += 1
        except StopIteration as stop:
            return stop.value, count


def test_a_hash_in_slices_is_the_hash() -> None:
    node = {f"k{number}": {"n": number, ".priority": number % 3} for number in range(100)} | {"10": 1, "9": 2, ".priority": "p"}
    hash, count = hash_of(node, KnownHashes())
    assert hash == node_hash(node)
    assert count > 50


def test_what_is_known_is_not_hashed_again_until_it_is_written() -> None:
    known = KnownHashes()
    node = {f"room{room}": {f"k{number}": number for number in range(50)} for room in range(20)}
    _, first = hash_of(node, known)
    assert hash_of(node, known) == (node_hash(node), 0)
    node["room3"]["k7"] = -1
    known.forget(("room3", "k7"))
    hash, again = hash_of(node, known)
    assert hash == node_hash(node)
    assert again < first / 5


def test_when_there_are_too_many_all_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(known_hashes, "KEPT_MAX", 2)
    known = KnownHashes()
    for key in "abc":
        known.put((key,), key)
    assert [known.get((key,)) for key in "abc"] == [None, None, "c"]
    assert known.count == 1


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(PATHS, st.none() | NODES), max_size=12))
def test_whatever_is_written_what_is_kept_is_true(writes: list[tuple[Any, Any]]) -> None:
    tree, known = Tree(), KnownHashes()
    for path, value in writes:
        tree.set(path, value)
        known.forget(path)
        assert hash_of(tree.root, known)[0] == node_hash(tree.root)
        todo = [((), known._root)]
        count = 0
        while todo:
            where, place = todo.pop()
            if place.hash is not None:
                count += 1
                assert place.hash == node_hash(tree.get(where))
            todo += [((*where, key), child) for key, child in place.children.items()]
        assert count == known.count
