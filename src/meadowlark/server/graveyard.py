"""Where large values go that nobody needs any more, to be freed in slices.

Dropping the last reference to a tree of a million maps frees all of them at once, which takes as long as making them. So
whoever lets go of a large value (a write that replaced it, a frozen view that was read, a database that leaves memory) gives
it here, and it is taken apart map by map. A map that anyone else still refers to is left alone with all below it: a view, or
the tree itself, may share parts of what another lets go, and will bring them when its own time comes.
Invariant: nothing that can be reached from anywhere else is changed.
"""

from __future__ import annotations

import sys
from collections import deque

from meadowlark.server.slicer import Slicer, Steps
from meadowlark.tree import Node, is_large, is_map, take_out

STEP_ENTRIES = 1_000
"""Taken out of maps between two yields: about a millisecond."""

_ALONE = 2
"""References to a map that only a local variable holds, as `sys.getrefcount` counts them."""


class Graveyard:
    """One a worker."""

    __slots__ = ("_slicer", "_waiting")

    def __init__(self, slicer: Slicer) -> None:
        self._slicer = slicer
        self._waiting: deque[Node] = deque()

    def bury(self, node: Node | None) -> None:
        """Whoever calls lets go of `node`, at the latest when this turn ends. What is small is left to itself."""
        if is_large(node) and not self._slicer.is_closed:
            if not self._waiting:
                self._slicer.begin(self._empty())
            self._waiting.append(node)

    def _empty(self) -> Steps:
        waiting = self._waiting
        yield  # Until the caller has let go.
        while waiting:
            node = waiting[0]
            # Beside the variable, the queue holds it until it is done, so that `bury` sees that this is going on.
            if sys.getrefcount(node) <= _ALONE + 1:
                yield from take_apart(node)
            waiting.popleft()
            del node


def take_apart(node: Node) -> Steps:
    """Empties `node`, which only the caller holds, and every map below it that nothing else holds."""
    todo = [node]
    del node
    budget = STEP_ENTRIES
    while todo:
        top = todo[-1]
        child = take_out(top)
        if child is None:
            todo.pop()
            continue
        if is_map(child) and sys.getrefcount(child) <= _ALONE:
            todo.append(child)
        del child
        budget -= 1
        if not budget:
            budget = STEP_ENTRIES
            yield
