"""What one query shows of an index: the children between two cuts.

Without a limit the cuts are the query's own. With one, the cut on the far side moves to just behind the last child that is
shown, so whether a child is in the window is two comparisons, and a child outside both before and after a change, as
most are, costs no more than that. Only where a child was or is within the cuts does the far one move, past as many children as
came too many or are missing.
When children change, those that were touched are looked at one by one; any other that came or went stands between the old and
the new cut, and there are never more of them than were touched.
Invariant, where `locate` or `advance` has just run: shown are the children of the index between `low` and `high`.
Does not know: clients.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from typing import NamedTuple

from meadowlark.query.index import Touched
from meadowlark.query.key_index import AnyIndex
from meadowlark.query.positions import Position, after, before
from meadowlark.query.query import Query


class Step(NamedTuple):
    """What a change means for a window: keys of the children that left it, that came into it, and that were touched in it."""

    left: list[str]
    entered: list[str]
    stayed: list[str]


class Window:
    __slots__ = ("count", "high", "low", "query")

    def __init__(self, query: Query, index: AnyIndex | None = None) -> None:
        """index: None if `place` follows."""
        self.query = query
        self.low: Position = query.low
        self.high: Position = query.high
        self.count = 0
        """Of children shown; only where there is a limit."""
        if index is not None:
            self.locate(index)

    def locate(self, index: AnyIndex) -> None:
        """Finds the cuts for the index as it is."""
        query = self.query
        if query.limit is None:
            self.low, self.high = query.low, query.high
        else:
            self.place(*index.edge(query.low, query.high, query.limit, from_end=query.from_end))

    def place(self, count: int, edge: Position | None) -> None:
        """Shown are `count` children, of which `edge` is the last; None: there is room for whoever comes into the range."""
        query = self.query
        self.low, self.high, self.count = query.low, query.high, count
        if edge is not None:
            if query.from_end:
                self.low = before(edge)
            else:
                self.high = after(edge)

    def keys(self, index: AnyIndex) -> list[str]:
        """What is shown, in order."""
        # A range that ends before it begins shows nothing.
        return list(index.between(self.low, self.high)) if self.low < self.high else []

    def advance(self, index: AnyIndex, touched: Sequence[Touched]) -> Step | None:
        """What it means that `touched` were touched, which the index knows already; None if nothing for this window."""
        low, high = self.low, self.high
        for _, was, now in touched:
            if (was is not None and low < was < high) or (now is not None and low < now < high):
                return self._advance(index, touched)
        return None

    def _advance(self, index: AnyIndex, touched: Sequence[Touched]) -> Step:
        old_low, old_high = self.low, self.high
        if self.query.limit is not None:
            self._move(index, touched, self.query.limit)
        step = Step([], [], [])
        for key, was, now in touched:
            was_in = was is not None and old_low < was < old_high
            is_in = now is not None and self.low < now < self.high
            if was_in and is_in:
                step.stayed.append(key)
            elif is_in:
                step.entered.append(key)
            elif was_in:
                step.left.append(key)
        if (old_low, old_high) != (self.low, self.high):
            self._add_others(index, old_low, old_high, {key for key, _, _ in touched}, step)
        return step

    def _move(self, index: AnyIndex, touched: Sequence[Touched], limit: int) -> None:
        """Moves the far cut by as many children as there are too many or too few between the cuts."""
        query, low, high = self.query, self.low, self.high
        for _, was, now in touched:
            if was is not now:
                self.count += (now is not None and low < now < high) - (was is not None and low < was < high)
        if self.count > limit:
            inwards = index.walk(low, high, back=not query.from_end)
            self.place(limit, next(islice(inwards, self.count - limit, None)))
        elif self.count < limit:
            outwards = index.walk(query.low, low, back=True) if query.from_end else index.walk(high, query.high)
            further = list(islice(outwards, limit - self.count))
            count = self.count + len(further)
            self.place(count, further[-1] if count == limit else None)

    def _add_others(self, index: AnyIndex, old_low: Position, old_high: Position, touched: set[str], step: Step) -> None:
        """Those that came or went because others did: they stand between the old cut and the new one."""
        for key in (*_span(index, self.low, old_low), *_span(index, old_high, self.high)):
            if key not in touched:
                step.entered.append(key)
        for key in (*_span(index, old_low, self.low), *_span(index, self.high, old_high)):
            if key not in touched:
                step.left.append(key)


def _span(index: AnyIndex, low: Position, high: Position) -> list[str]:
    return list(index.between(low, high)) if low < high else []
