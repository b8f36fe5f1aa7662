"""Where children stand in each order: one sort key a child, and cuts between children for the bounds of queries.

A position is the tuple (class, value, key order, key). Classes: 0 nothing, 1 false, 2 true, 3 numbers, 4 strings, 5 maps, which
are all equal; what is equal is ordered by key. A cut is a tuple of the same form, shorter or longer, so that it is never equal to
a position and every child stands on one side of it: (class, value, key order) is just before that key, a fifth member just
after it, and () and END are the two ends.
Source: docs/semantics.md "Order"; tests/specs/vectors.json.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from meadowlark.tree import (
    AFTER_ALL_KEYS,
    Leaf,
    Node,
    Path,
    find,
    find_child,
    is_leaf,
    key_order,
    priority_of,
    utf16_order,
    value_of,
)

Position = tuple[Any, ...]
Reader = Callable[[str, Node], Position]

KEY = ".key"
VALUE = ".value"
PRIORITY = ".priority"

START: Position = ()
END: Position = (9,)

_BEFORE_ALL_KEYS = ""

MIN_NAME = "[MIN_NAME]"
MAX_NAME = "[MAX_NAME]"
"""What the SDKs write for a key before, or after, all others."""


def position_reader(order: str, path: Path = ()) -> Reader:
    """The function that finds the position of a child from its key and node. path: of the order, where it is one."""
    if order == KEY:
        return _by_key
    if order == PRIORITY:
        return _by_priority
    if order == VALUE:
        return _by_value
    if len(path) == 1:
        name = path[0]

        def by_child(key: str, child: Node) -> Position:
            return (*classify(find_child(child, name)), key_order(key), key)

        return by_child

    def by_path(key: str, child: Node) -> Position:
        return (*classify(find(child, path)), key_order(key), key)

    return by_path


def classify(node: Node | None) -> tuple[int, Leaf]:
    """The class of a value, and what orders it among its class."""
    kind = type(node)
    if kind is str:
        return (4, utf16_order(node))  # type: ignore[arg-type]  # a string, as just seen
    if kind is int or kind is float:
        return (3, node)  # type: ignore[return-value]  # a number, as just seen
    if node is None:
        return (0, 0)
    if kind is bool:
        return (2, 0) if node else (1, 0)
    return classify(value_of(node)) if is_leaf(node) else (5, 0)


def cut(order: str, value: Leaf | None, key: str | None, *, after: bool) -> Position:
    """The place just before, or just after, the child with `key` and `value`; key None: before or after all of that value."""
    if order == KEY:
        assert type(value) is str, "bounds are checked when a query is read"
        return _cut_at_key(0, 0, value, after)
    rank, ordered = classify(value)
    if key is None:
        return (rank, ordered, AFTER_ALL_KEYS if after else _BEFORE_ALL_KEYS)
    return _cut_at_key(rank, ordered, key, after)


def _cut_at_key(rank: int, ordered: Leaf, key: str, after: bool) -> Position:
    if key == MIN_NAME:
        return (rank, ordered, _BEFORE_ALL_KEYS)
    if key == MAX_NAME:
        return (rank, ordered, AFTER_ALL_KEYS)
    return (rank, ordered, key_order(key), key, 0) if after else (rank, ordered, key_order(key))


def before(position: Position) -> Position:
    """The cut just before a child's position."""
    return position[:3]


def after(position: Position) -> Position:
    """The cut just after it."""
    return (*position, 0)


def _by_key(key: str, child: Node) -> Position:
    return (0, 0, key_order(key), key)


def _by_priority(key: str, child: Node) -> Position:
    return (*classify(priority_of(child)), key_order(key), key)


def _by_value(key: str, child: Node) -> Position:
    return (*classify(child), key_order(key), key)
