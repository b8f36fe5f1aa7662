"""Random writes and freezes on a Tree beside the naive model, compared after every step."""

from __future__ import annotations

import copy
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from meadowlark.tree import Change, Node, Path, Tree, unpacked
from tests.tree.model import LEAVES, NODES, PATHS, PRIORITIES, PRIORITY_PATHS, Model, canonical


class TreeBesideModel(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.tree = Tree()
        self.model = Model()
        self.views: list[tuple[Node | None, Any]] = []
        """Frozen views, each with what it showed when it was taken."""
        self.replaced: list[tuple[Node | None, Any]] = []
        """What changes gave as `before`, each with what it showed then."""
        self.last: Change | None = None

    @rule(path=PATHS, leaf=LEAVES)
    def set_leaf(self, path: Path, leaf: Any) -> None:
        self.write(path, leaf)

    @rule(path=PATHS, node=NODES)
    def set_node(self, path: Path, node: Node) -> None:
        self.write(path, node)

    @rule(path=PATHS)
    def remove(self, path: Path) -> None:
        self.write(path, None)

    @rule(path=PRIORITY_PATHS, priority=st.none() | PRIORITIES)
    def set_priority(self, path: Path, priority: Any) -> None:
        self.write(path, priority)

    @precondition(lambda self: self.model.leaves)
    @rule(data=st.data(), key=st.sampled_from(["a", "b"]), leaf=LEAVES)
    def set_under_a_leaf(self, data: st.DataObject, key: str, leaf: Any) -> None:
        self.write((*data.draw(st.sampled_from(sorted(self.model.leaves))), key), leaf)

    @precondition(lambda self: self.model.leaves)
    @rule(data=st.data())
    def remove_something_there(self, data: st.DataObject) -> None:
        path = data.draw(st.sampled_from(sorted(self.model.leaves)))
        self.write(path[: data.draw(st.integers(0, len(path)))], None)

    @precondition(lambda self: self.last is not None)
    @rule()
    def put_back_what_the_last_write_replaced(self) -> None:
        change = self.last
        assert change is not None
        self.replaced = [(node, shown) for node, shown in self.replaced if node is not change.before]
        self.write(change.path, change.before, own=True)

    @rule()
    def freeze(self) -> None:
        view = self.tree.freeze()
        self.views.append((view, canonical(view)))

    @precondition(lambda self: self.views)
    @rule(data=st.data())
    def thaw(self, data: st.DataObject) -> None:
        self.views.pop(data.draw(st.integers(0, len(self.views) - 1)))
        self.tree.thaw()

    @invariant()
    def the_tree_equals_the_model(self) -> None:
        assert canonical(self.tree.root) == canonical(self.model.build())
        self.tree.check()

    @invariant()
    def frozen_views_stay_as_they_were(self) -> None:
        for view, shown in self.views:
            assert canonical(view) == shown

    @invariant()
    def replaced_nodes_stay_as_they_were(self) -> None:
        for node, shown in self.replaced:
            assert canonical(node) == shown

    def write(self, path: Path, node: Node | None, *, own: bool = False, stored: Node | None = None) -> None:
        """One write on both, with its Change compared. own: `node` is given, not a copy. stored: another form of it."""
        before = canonical(self.model.build(path))
        settled = self.model.set(path, unpacked(node))
        change = self.tree.set(path, stored or (node if own else copy.deepcopy(node)))
        self.last = change
        if settled is None:
            assert change is None
            return
        assert change is not None
        assert (change.path, change.settled) == (path, settled)
        assert canonical(change.before) == before
        assert canonical(change.after) == canonical(node)
        assert canonical(self.tree.get(path)) == canonical(node)
        self.replaced.append((change.before, before))


TestTreeBesideModel = TreeBesideModel.TestCase
TestTreeBesideModel.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
