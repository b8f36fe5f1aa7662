"""Freeing in slices: all of what nobody holds, none of what anybody holds."""

from __future__ import annotations

import asyncio
import copy
import random
from typing import Any

import pytest

from meadowlark.server import graveyard as module
from meadowlark.server.graveyard import Graveyard, take_apart
from meadowlark.server.slicer import Slicer
from meadowlark.tree import Tree, from_json


def large(groups: int = 30, records: int = 100) -> dict[str, Any]:
    return {f"g{group}": {f"r{record}": {"n": record} for record in range(records)} for group in range(groups)}


def finish(steps: Any) -> int:
    """In how many steps."""
    return 1 + sum(1 for _ in steps)


def test_everything_is_taken_apart_in_small_steps() -> None:
    steps = take_apart(large())
    assert finish(steps) >= 30 * 100 * 2 // module.STEP_ENTRIES


def test_what_another_holds_stays_whole_with_all_below_it() -> None:
    node = large()
    kept = [node["g1"], node["g2"]["r7"]]
    expected = copy.deepcopy(kept)
    finish(take_apart(node))
    assert node == {}
    assert kept == expected


def test_a_value_is_buried_once_its_last_holder_has_let_go() -> None:
    async def scenario() -> None:
        graveyard = Graveyard(Slicer())
        node = large()
        inner = node["g3"]
        graveyard.bury(node)
        del node
        for _ in range(200):
            await asyncio.sleep(0)
        assert not graveyard._waiting
        assert len(inner) == 100

    asyncio.run(scenario())


def test_a_value_that_is_still_held_is_left_alone() -> None:
    async def scenario() -> None:
        graveyard = Graveyard(Slicer())
        node = large()
        graveyard.bury(node)
        graveyard.bury({"small": 1})
        for _ in range(200):
            await asyncio.sleep(0)
        assert node == large()

    asyncio.run(scenario())


@pytest.mark.parametrize("seed", range(20))
def test_neither_the_tree_nor_a_frozen_view_ever_loses_anything(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Random writes and views; everything replaced and every view let go is buried. What is visible stays as it was."""
    monkeypatch.setattr(module, "STEP_ENTRIES", 3)
    monkeypatch.setattr(module, "is_large", lambda node: True)
    rng = random.Random(seed)

    async def scenario() -> None:
        graveyard = Graveyard(Slicer())
        tree = Tree()
        model: dict[str, Any] = {}
        views: list[tuple[Any, Any]] = []
        for _ in range(300):
            action = rng.random()
            keys = tuple(rng.choice("abc") for _ in range(rng.randint(1, 3)))
            if action < 0.6:
                raw = None if rng.random() < 0.3 else {key: {"x": {"n": rng.random()}} for key in "abc"[: rng.randint(1, 3)]}
                change = tree.set(keys, from_json(raw)[0])
                if change is not None:
                    graveyard.bury(change.before)
                del change
                model = _written(model, keys, raw)
            elif action < 0.75:
                views.append((tree.freeze(), copy.deepcopy(tree.root)))
            elif views:
                view, expected = views.pop(rng.randrange(len(views)))
                assert view == expected
                tree.thaw()
                graveyard.bury(view)
                del view
            await asyncio.sleep(0)
            assert (tree.root or {}) == model
            assert all(view == expected for view, expected in views)
        tree.check()

    asyncio.run(scenario())


def _written(node: Any, keys: tuple[str, ...], raw: Any) -> Any:
    """A copy of `node` with `raw` at `keys`."""
    if not keys:
        return copy.deepcopy(raw)
    made = {key: child for key, child in (node if isinstance(node, dict) else {}).items() if key != keys[0]}
    child = _written((node.get(keys[0]) if isinstance(node, dict) else None) or {}, keys[1:], raw)
    return made | ({keys[0]: child} if child else {})
