"""Queries answered the long way: sort all children, cut the range, take the limit. What indexes and windows are compared with."""

from __future__ import annotations

from typing import Any

from meadowlark.tree import find, is_leaf, key_order, priority_of, utf16_order, value_of


def select(node: Any, spec: dict[str, Any]) -> Any:
    """The part of `node` that a listener to `spec` sees, in order; None for nothing."""
    if node is None or is_leaf(node):
        return None
    order = spec.get("i", ".priority")
    entries = sorted((rank(order, key, child), key) for key, child in node.items() if key != ".priority")
    entries = [entry for entry in entries if _is_in_range(order, entry[0], spec)]
    if "l" in spec:
        entries = entries[: spec["l"]] if spec["vf"] == "l" else entries[-spec["l"] :]
    return {key: node[key] for _, key in entries} or None


def answer(node: Any, spec: dict[str, Any]) -> Any:
    """What who reads `node` once by `spec` is answered; one that leaves nothing out shows leaves and priorities too."""
    return select(node, spec) if spec.keys() & {"l", "sp", "ep"} else node


def told(value: Any) -> str:
    """For comparing: maps by key, and 1, True and 1.0 told apart by their text."""
    return repr(_by_key(value))


def _by_key(value: Any) -> Any:
    if isinstance(value, list):
        return [_by_key(item) for item in value]
    return {key: _by_key(value[key]) for key in sorted(value)} if isinstance(value, dict) else value


def rank(order: str, key: str, child: Any) -> tuple[Any, ...]:
    """Where a child stands in an order: its value there, then its key."""
    if order == ".key":
        return (key_order(key),)
    if order == ".priority":
        ordered = priority_of(child)
    elif order == ".value":
        ordered = child
    else:
        ordered = find(child, tuple(order.split("/")))
    return (*_class(ordered), key_order(key))


def _class(ordered: Any) -> tuple[Any, ...]:
    if ordered is None:
        return (0, 0)
    if not is_leaf(ordered):
        return (5, 0)
    leaf = value_of(ordered)
    if isinstance(leaf, bool):
        return (1, int(leaf))
    return (4, utf16_order(leaf)) if isinstance(leaf, str) else (3, leaf)


def _is_in_range(order: str, rank: tuple[Any, ...], spec: dict[str, Any]) -> bool:
    return _is_past(order, rank, spec, "s", 1) and _is_past(order, rank, spec, "e", -1)


def _is_past(order: str, rank: tuple[Any, ...], spec: dict[str, Any], end: str, sign: int) -> bool:
    if f"{end}p" not in spec:
        return True
    value, inclusive, key = spec[f"{end}p"], spec.get(f"{end}in", True), spec.get(f"{end}n")
    if order == ".key":
        bound: tuple[Any, ...] = (key_order(value),)
    elif key is None:
        bound = _class(value)
        rank = rank[:2]
    elif key in ("[MIN_NAME]", "[MAX_NAME]"):
        # Never equal to a child.
        return (rank[:2] != _class(value) and (rank[:2] > _class(value)) == (sign > 0)) or (
            rank[:2] == _class(value) and (key == "[MIN_NAME]") == (sign > 0)
        )
    else:
        bound = (*_class(value), key_order(key))
    if rank == bound:
        return bool(inclusive)
    return (rank > bound) == (sign > 0)
