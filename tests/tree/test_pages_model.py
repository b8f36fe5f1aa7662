"""The random programs of test_tree_model.py on a tree whose maps become Pages at any time, with pages so small that all happens:
cuts, joins, evictions, children beside their page, Pages in Pages, packing while writing goes on."""

from __future__ import annotations

import copy
from collections.abc import Generator, Iterator
from typing import Any

import orjson
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from meadowlark.tree import (
    Node,
    Path,
    child_count,
    children_in_key_order,
    encode,
    encode_slices,
    find_child,
    key_order,
    node_count_up_to,
    node_hash,
    pack_slices,
    pack_tree_slices,
    plain,
    unpacked,
)
from meadowlark.tree import packing as packing_module
from meadowlark.tree import pages as pages_module
from meadowlark.tree.pages import Pages
from tests.tree.model import LEAVES, NODES, PRIORITIES, canonical
from tests.tree.test_tree_model import TreeBesideModel

SMALL = {"PAGE_BYTES": 60, "PAGE_BYTES_MAX": 120, "PAGE_BYTES_MIN": 30, "HOT_PAGES_MAX": 3, "_COMINGS_MAX": 2}
WIDE_KEYS = st.sampled_from(
    [*map(str, range(12)), *(f"k{n:02}" for n in range(12)), "-1", "007", "z", "é", "\uffff", "\U0001f600", "2147483648"]
)


@pytest.fixture(autouse=True, scope="module")
def small_pages() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in SMALL.items():
            patch.setattr(pages_module, name, value)
            if hasattr(packing_module, name):
                patch.setattr(packing_module, name, value)
        for name, value in {"WIDE": 3, "STEP_WEIGHT": 100, "_STEP_KEYS": 5, "_HOT_SHARE": 1, "_LATE_MAX": 2}.items():
            patch.setattr(packing_module, name, value)
        yield


def finish(steps: Generator[None, None, Any]) -> Any:
    while True:
        try:
            next(steps)
        except StopIteration as stop:
            return stop.value


def cool_all() -> None:
    """What many reads elsewhere would do."""
    while pages_module._hot:
        page = pages_module._hot.popleft()
        page.is_hot = False
        page.cool()


class PagesBesideModel(TreeBesideModel):
    def __init__(self) -> None:
        super().__init__()
        self.packing: Generator[None, None, int] | None = None

    @rule(path=st.lists(st.sampled_from(["a", "b"]), max_size=2).map(tuple), key=WIDE_KEYS, node=NODES)
    def set_in_a_wide_map(self, path: Path, key: str, node: Node) -> None:
        self.write((*path, key), node)

    @rule(
        path=st.lists(st.sampled_from(["a", "b"]), max_size=2).map(tuple),
        children=st.dictionaries(WIDE_KEYS, LEAVES | NODES, min_size=5, max_size=25),
        priority=st.none() | PRIORITIES,
    )
    def set_packed(self, path: Path, children: dict[str, Any], priority: Any) -> None:
        node = children if priority is None else {".priority": priority, **children}
        self.write(path, node, stored=finish(pack_slices(copy.deepcopy(node))))

    @rule()
    def pack_all(self) -> None:
        if self.packing is None:
            finish(pack_tree_slices(self.tree, lambda node: None))

    @precondition(lambda self: self.packing is None)
    @rule()
    def begin_to_pack(self) -> None:
        self.packing = pack_tree_slices(self.tree, lambda node: None)

    @precondition(lambda self: self.packing is not None)
    @rule(steps=st.integers(1, 20))
    def go_on_packing(self, steps: int) -> None:
        assert self.packing is not None
        for _ in range(steps):
            if next(self.packing, "over") == "over":
                self.packing = None
                break

    @rule()
    def cool(self) -> None:
        cool_all()

    @precondition(lambda self: self.model.leaves)
    @rule(data=st.data(), upper=st.booleans())
    def look(self, data: st.DataObject, upper: bool) -> None:
        """Everything that can be asked, of Pages and of the dicts that they stand for."""
        path = data.draw(st.sampled_from(sorted(self.model.leaves)))
        path = path[: data.draw(st.integers(0, len(path)))]
        node = self.tree.get(path)
        expected = unpacked(node)
        assert canonical(orjson.loads(encode(node))) == canonical(expected)
        assert plain(node) == plain(expected)
        assert orjson.loads(b"".join(encode_slices(node, with_priorities=True, slice_bytes=100))) == expected
        for _ in range(2):
            assert orjson.loads(b"".join(encode_slices(node, with_priorities=False, slice_bytes=100))) == plain(expected)
        assert node_hash(node) == node_hash(expected)
        assert child_count(node) == child_count(expected)
        assert node_count_up_to(node, 1_000) == node_count_up_to(expected, 1_000)
        for key in ["a", "0", "nothing"]:
            assert canonical(find_child(node, key)) == canonical(find_child(expected, key))
        start, end = (data.draw(st.none() | WIDE_KEYS) for _ in range(2))
        for reverse in (False, True):
            keys = [key for key, _ in children_in_key_order(node, start, end, reverse=reverse)]
            assert keys == [key for key, _ in children_in_key_order(expected, start, end, reverse=reverse)]
            assert keys == sorted(keys, key=key_order, reverse=reverse)


TestPagesBesideModel = PagesBesideModel.TestCase
TestPagesBesideModel.settings = settings(max_examples=40, stateful_step_count=40, deadline=None)


def test_all_of_it_happens() -> None:
    """The pages here are small enough for the model to meet every case."""
    node = finish(pack_slices({f"k{n:03}": {"a": "b" * (n % 7)} for n in range(200)} | {"deep": {f"k{n}": n for n in range(40)}}))
    assert type(node) is Pages
    assert len(node.pages) > 20
    assert any(page.kept for page in node.pages)
