"""What one query shows of an index: the children between two cuts.

Without a limit the cuts are the query's own. With one, the cut on the far side moves to just behind the last child that is
shown, so whether a child is in the window is two comparisons, and a child outside both before and after a change, as
most are, costs no more than that. Only where a child was or is within the cuts are they found anew, in O(log n).
When children change, those that were touched are looked at one by one; any other that came or went stands between the old and
the new cut, and there are never more of them than were touched.
Invariant, where `locate` or `advance` has just run: shown are the children of the index between `low` and `high`.
Does not know: clients.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from meadowlark.query.index import Index, Touched
from meadowlark.query.positions import Position, after, before
from meadowlark.query.query import Query
from meadowlark.tree import Node, children_in_key_order, key_order, make_map


class Step(NamedTuple):
    """What a change means for a window: keys of the children that left it, that came into it, and that were touched in it."""

    left: list[str]
    entered: list[str]
    stayed: list[str]


class Window:
    __slots__ = ("high", "low", "query")

    def __init__(self, query: Query, index: Index) -> None:
        self.query = query
        self.low: Position = query.low
        self.high: Position = query.high
        self.locate(index)

    def locate(self, index: Index) -> None:
        """Finds the cuts for the index as it is."""
        query = self.query
        self.low, self.high = query.low, query.high
        limit = query.limit
        if limit is None:
            return
        first, end = index.rank(query.low), index.rank(query.high)
        if end - first < limit:
            return  # There is room: whoever comes into the range comes into the window.
        if query.from_end:
            self.low = before(index.at(end - limit))
        else:
            self.high = after(index.at(first + limit - 1))

    def keys(self, index: Index) -> list[str]:
        """What is shown, in order."""
        # A range that ends before it begins shows nothing.
        return list(index.between(self.low, self.high)) if self.low < self.high else []

    def advance(self, index: Index, touched: Sequence[Touched]) -> Step | None:
        """What it means that `touched` were touched, which the index knows already; None if nothing for this window."""
        low, high = self.low, self.high
        for _, was, now in touched:
            if (was is not None and low < was < high) or (now is not None and low < now < high):
                return self._advance(index, touched)
        return None

    def _advance(self, index: Index, touched: Sequence[Touched]) -> Step:
        old_low, old_high = self.low, self.high
        if self.query.limit is not None and any(was != now for _, was, now in touched):
            self.locate(index)
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

    def _add_others(self, index: Index, old_low: Position, old_high: Position, touched: set[str], step: Step) -> None:
        """Those that came or went because others did: they stand between the old cut and the new one."""
        for key in (*_span(index, self.low, old_low), *_span(index, old_high, self.high)):
            if key not in touched:
                step.entered.append(key)
        for key in (*_span(index, old_low, self.low), *_span(index, self.high, old_high)):
            if key not in touched:
                step.left.append(key)


def _span(index: Index, low: Position, high: Position) -> list[str]:
    return list(index.between(low, high)) if low < high else []


def read_by_key(query: Query, node: Node | None) -> Node | None:
    """What a query by key shows of a map that is kept in that order: its children are taken from there, without an index."""
    found = []
    for key, child in children_in_key_order(node, *query.keys, reverse=query.from_end):
        if query.low < (0, 0, key_order(key), key) < query.high:
            found.append((key, child))
            if len(found) == query.limit:
                break
    return make_map(reversed(found) if query.from_end else found)
