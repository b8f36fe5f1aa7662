"""The children that a query shows of a node, in its order, and how that changes.

All children in the query's range are kept sorted, so that one that comes, goes or moves costs a search rather than sorting anew;
what is shown is the first or the last of them, as many as the limit says.
Source: docs/semantics.md "Queries"; the order of events of the official SDKs.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterable

import msgspec

from meadowlark.query import Position, Query, position_reader
from meadowlark.tree import Node, children, encode, find_child, is_leaf, is_map, priority_of


class Row(msgspec.Struct, frozen=True, gc=False):
    """One child. order: where it stands among the others; two are never equal."""

    key: str
    node: Node
    order: Position


Changes = tuple[list[Row], list[Row], list[Row], list[Row]]
"""Removed (as they were), added, moved and changed (as they are), each in the query's order."""


class Window:
    """What is shown of one node by one query."""

    __slots__ = ("_is_by_value", "_orders", "_position", "_query", "_rows", "_shown")

    def __init__(self, query: Query | None) -> None:
        """query None: everything, by priority."""
        self._query = query
        self._is_by_value = query is not None and query.order == ".value"
        self._position = position_reader(".priority") if query is None else position_reader(query.order, query.order_path)
        self._rows: dict[str, Row] = {}
        """All children in range, by key."""
        self._orders: list[tuple[Position, str]] = []
        """The same in order; the key is part of the position, and beside it to be found quickly."""
        self._shown: dict[str, Row] = {}

    def rows(self) -> list[Row]:
        """What is shown, in order."""
        return [self._rows[key] for _, key in self._visible_orders()]

    def previous(self, row: Row) -> str | None:
        """The key shown before `row`, which is shown; None if it is the first."""
        place = bisect_left(self._orders, (row.order, row.key))
        return self._orders[place - 1][1] if place > self._first_place() else None

    def update(self, node: Node | None, touched: Iterable[str] | None) -> Changes:
        """Takes over what is now at `node`. touched: the only children that may differ; None: any may."""
        if touched is None:
            self._rebuild(node)
            candidates = None
        else:
            candidates = set(touched)
            for key in candidates:
                self._replace(key, find_child(node, key))
            if self._query is not None and self._query.limit is not None:
                candidates = None  # Others may have come in or gone out at the edge; a window is small.
        return self._compare(candidates)

    def shown(self, node: Node | None) -> Node | None:
        """`node` with only the children that are shown. A part has no priority."""
        if self._query is None or not self._query.filters:
            return node
        if not self._shown:
            return None
        return {key: row.node for key, row in self._shown.items()}

    def _rebuild(self, node: Node | None) -> None:
        self._rows = {}
        for key, child in children(node):
            row = self._row(key, child)
            if row is not None:
                self._rows[key] = row
        self._orders = sorted([(row.order, row.key) for row in self._rows.values()])

    def _replace(self, key: str, child: Node | None) -> None:
        old = self._rows.get(key)
        row = None if child is None else self._row(key, child)
        if old is not None and row is not None and old.order == row.order:
            self._rows[key] = row
            return
        if old is not None:
            del self._orders[bisect_left(self._orders, (old.order, key))]
            del self._rows[key]
        if row is not None:
            insort(self._orders, (row.order, key))
            self._rows[key] = row

    def _row(self, key: str, child: Node) -> Row | None:
        order, query = self._position(key, child), self._query
        return Row(key, child, order) if query is None or query.low < order < query.high else None

    def _first_place(self) -> int:
        """Where in `_orders` the shown ones begin."""
        query = self._query
        if query is None or query.limit is None or not query.from_end:
            return 0
        return max(0, len(self._orders) - query.limit)

    def _visible_orders(self) -> list[tuple[Position, str]]:
        query = self._query
        if query is None or query.limit is None:
            return self._orders
        return self._orders[-query.limit :] if query.from_end else self._orders[: query.limit]

    def _compare(self, candidates: set[str] | None) -> Changes:
        before = self._shown
        if candidates is None:
            after = {key: self._rows[key] for _, key in self._visible_orders()}
            keys: Iterable[str] = before.keys() | after.keys()
        else:
            # No limit, so exactly these may differ.
            after = before
            before = {key: after[key] for key in candidates if key in after}
            for key in candidates:
                row = self._rows.get(key)
                if row is None:
                    after.pop(key, None)
                else:
                    after[key] = row
            keys = candidates
        self._shown = after
        removed, added, moved, changed = [], [], [], []
        for key in keys:
            old, new = before.get(key), after.get(key)
            if old is new:
                continue
            if new is None:
                if old is not None:
                    removed.append(old)
            elif old is None:
                added.append(new)
            else:
                has_changed = not is_same(old.node, new.node)
                # By value, whatever changes counts as a move, as in the official SDKs: also a priority, or what is in a map.
                if old.order != new.order or (has_changed and self._is_by_value):
                    moved.append(new)
                if has_changed:
                    changed.append(new)
        for rows in (removed, added, moved, changed):
            rows.sort(key=lambda row: (row.order, row.key))
        return removed, added, moved, changed


def is_same(one: Node | None, other: Node | None) -> bool:
    """Whether two nodes are the same JSON: `True` and `1` are not."""
    if one is other:
        return True
    if is_map(one) and is_map(other):
        mine, theirs = dict(children(one)), dict(children(other))
        return (
            mine.keys() == theirs.keys()
            and priority_of(one) == priority_of(other)
            and all(is_same(child, theirs[key]) for key, child in mine.items())
        )
    if one is None or other is None or is_leaf(one) != is_leaf(other):
        return False
    return bool(one == other) and encode(one) == encode(other)
