"""Large writes decided before they are written: a slice at a time, so that others are served meanwhile, and in force at once.

A decision holds as long as nothing that its rules look at has been written since, and rules and asker are the same. `Decisions`
hears of every write, and marks those that do not hold any more; whoever asked for one asks again then. Its time is the one at
which it was begun: `now` of the rules, and the server's time in the value.
Does not know: what rules say, who asks. Source: docs/rules.md "Evaluation".
"""

from __future__ import annotations

import weakref
from collections.abc import Iterable

from meadowlark.auth.identity import Identity
from meadowlark.errors import Refused
from meadowlark.tree import Path, Prepared


class Decision:
    """`values`: what would be written at each of `paths`, server values made; `adding`: where there may be sums among them.
    `places`: what it hangs on, each with all below."""

    __slots__ = (
        "__weakref__",
        "_above",
        "_places",
        "access",
        "adding",
        "denial",
        "identity",
        "is_stale",
        "now_ms",
        "paths",
        "values",
    )

    def __init__(self, access: object, identity: Identity, now_ms: int, paths: list[Path]) -> None:
        self.access = access
        self.identity = identity
        self.now_ms = now_ms
        self.paths = paths
        self.values: list[Prepared] = []
        self.adding: list[Path] = []
        self.denial: Refused | None = None
        """What the client is told if it is not allowed. Never raised itself: its traceback would refer to whoever has this."""
        self.is_stale = False
        self._places: set[Path] = set()
        self._above: set[Path] = set()

    def hang_on(self, places: Iterable[Path]) -> None:
        for place in places:
            if place not in self._places:
                self._places.add(place)
                self._above.update([place[:depth] for depth in range(len(place))])

    def written(self, path: Path) -> None:
        """Something was written at `path`."""
        if path in self._above or any(path[:depth] in self._places for depth in range(len(path) + 1)):
            self.is_stale = True


class Decisions:
    """Those of one database that somebody still has, and that may be in force when it comes to it."""

    __slots__ = ("waiting",)

    def __init__(self) -> None:
        self.waiting: dict[int, weakref.ref[Decision]] = {}
        """Empty nearly always, which is all that a write looks at."""

    def add(self, decision: Decision) -> None:
        waiting, key = self.waiting, id(decision)
        waiting[key] = weakref.ref(decision, lambda _: waiting.pop(key, None))

    def carry_out(self, decision: Decision) -> None:
        """What was decided is going to be written: what that changes is nothing to it."""
        self.waiting.pop(id(decision), None)

    def written(self, path: Path) -> None:
        for key, waiting in list(self.waiting.items()):
            decision = waiting()
            if decision is not None:
                decision.written(path)
                if decision.is_stale:
                    del self.waiting[key]  # It never holds again.
