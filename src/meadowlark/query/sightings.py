"""Which windows see which children: finds the few that a change may concern among thousands, without asking each.

A window shows a run of neighbours. So if a child comes to stand between its cuts, the window sees one of the neighbours there
already, or it sees nothing. Kept are therefore, for each child, the windows that see it, and apart from them those that see
nothing or very many: these are asked each time.
When several children were touched at once this holds for all of them together: between a touched child and one that the window
sees there are only others that it sees, and touched ones, whose neighbours are looked at as well.
Does not know: what a window stands for.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Generic, TypeVar

from meadowlark.query.index import Touched
from meadowlark.query.key_index import AnyIndex
from meadowlark.query.window import Step, Window

KEYS_SEEN_MAX = 1_000
"""Children up to which it is kept what a window sees."""

Seer = TypeVar("Seer")


class Sightings(Generic[Seer]):
    """`Seer` is what has a window."""

    __slots__ = ("_loose", "_seen", "_seers")

    def __init__(self) -> None:
        self._seers: dict[str, dict[Seer, None]] = {}
        """By key. Dicts, because their order is that of coming and the same every time."""
        self._seen: dict[Seer, int] = {}
        """How many children each sees, of those whose children are kept."""
        self._loose: dict[Seer, None] = {}

    def add(self, seer: Seer, window: Window, index: AnyIndex) -> None:
        """`seer` has that window now; it was not here."""
        if window.query.limit is None or window.query.limit > KEYS_SEEN_MAX:
            self._loose[seer] = None
            return
        keys = window.keys(index)
        for key in keys:
            self._see(seer, key)
        self._count(seer, len(keys))

    def remove(self, seer: Seer, shown: Iterable[str]) -> None:
        """`seer` has gone; `shown` is what it saw."""
        self._loose.pop(seer, None)
        if self._seen.pop(seer, None) is not None:
            for key in shown:
                self._unsee(seer, key)

    def move(self, seer: Seer, step: Step) -> None:
        """The window of `seer` has made a step."""
        count = self._seen.get(seer)
        if count is None:
            return
        for key in step.left:
            self._unsee(seer, key)
        for key in step.entered:
            self._see(seer, key)
        self._count(seer, count + len(step.entered) - len(step.left))

    def near(self, index: AnyIndex, touched: Sequence[Touched]) -> list[Seer]:
        """All whose windows `touched`, which the index knows already, may concern."""
        found = dict(self._loose)
        seers = self._seers
        for key, was, now in touched:
            if key in seers:
                found.update(seers[key])
            if now is not None and now != was:
                for neighbour in index.neighbours(now):
                    if neighbour in seers:
                        found.update(seers[neighbour])
        return list(found)

    __hash__ = None  # type: ignore[assignment]  # it changes

    def __eq__(self, other: object) -> bool:
        """For tests."""
        return isinstance(other, Sightings) and (self._seers, self._seen, self._loose) == (
            other._seers,
            other._seen,
            other._loose,
        )

    def _see(self, seer: Seer, key: str) -> None:
        self._seers.setdefault(key, {})[seer] = None

    def _unsee(self, seer: Seer, key: str) -> None:
        seers = self._seers[key]
        del seers[seer]
        if not seers:
            del self._seers[key]

    def _count(self, seer: Seer, count: int) -> None:
        self._seen[seer] = count
        if count:
            self._loose.pop(seer, None)
        else:
            self._loose[seer] = None
