"""Node values: what stands at a path, and the way in from JSON.

A node is a leaf (`bool`, `int`, `float`, `str`) or a `dict` of non-empty nodes by key. A priority is kept as the export
format writes it: `{".priority": p, "a": …}` on a map, `{".value": v, ".priority": p}` on a leaf, so the form in
memory is the export form and encoding is one call. `None` is absence and never stands inside a node; a map is never empty.
Numbers are IEEE doubles; integral ones below 2^63 are held as `int`, so they print without a fraction.

Arrays come in as maps by index. `{".sv": …}` comes in as a ServerValue, which `resolve` replaces when the write is carried out.
Does not know: where the node will stand beyond its depth, who writes it.
Source: docs/semantics.md "Values"; the node model of the official SDKs.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from meadowlark.errors import Code, Refused
from meadowlark.limits import PATH_DEPTH_MAX, STRING_BYTES_MAX
from meadowlark.tree.paths import PRIORITY, SERVER_VALUE, VALUE, find_key_fault

Leaf = bool | int | float | str
Node = Any
"""Leaf | dict[str, Node]; a recursive alias costs mypy more than it tells."""

_EXACT_INTEGER_MAX = 2**53
_INT64_BOUND = 2**63


class ServerValue(msgspec.Struct, frozen=True, gc=False):
    """A value that the server makes: the time of the write, or the number there plus `delta`."""

    delta: int | float | None = None
    """None: the server's time, milliseconds since 1970."""


def from_json(raw: Any, depth: int = 0) -> tuple[Node | None, bool]:
    """The node that decoded JSON `raw` describes, and whether server values wait in it.

    depth: keys above the node, so that the depth limit counts from the root.
    Raises Refused: INVALID_DATA for a bad key, a misused `.value`, `.priority` or `.sv`, or a number that is no double;
    TOO_BIG for a string over the limit. The text names the place below the node.
    """
    waiting: list[ServerValue] = []
    try:
        node = _parse(raw, depth, waiting)
    except _Fault as fault:
        where = "/".join(reversed(fault.keys))
        raise Refused(fault.code, f"{fault.text}{f' at {where!r} in the data' if where else ''}") from None
    return node, bool(waiting)


def priority_from_json(raw: Any) -> tuple[Leaf | ServerValue | None, bool]:
    """A priority alone, as written at `…/.priority`: None, a number, a string, or a server value that waits."""
    waiting: list[ServerValue] = []
    try:
        return _parse_priority(raw, waiting), bool(waiting)
    except _Fault as fault:
        raise Refused(fault.code, fault.text) from None


def resolve(node: Node, existing: Node | None, now_ms: int) -> Node:
    """`node` with every server value made: times are `now_ms`, increments add to the number in `existing`.

    An increment on something absent or not a number gives its delta. Raises Refused(INVALID_DATA) when a sum is no double.
    """
    if type(node) is ServerValue:
        if node.delta is None:
            return now_ms
        base = value_of(existing)
        return canonical_number(base + node.delta) if type(base) in (int, float) else node.delta
    if type(node) is not dict:
        return node
    if VALUE in node:
        return {
            VALUE: resolve(node[VALUE], existing, now_ms),
            PRIORITY: resolve(node[PRIORITY], priority_of(existing), now_ms),
        }
    get = existing.get if type(existing) is dict else {}.get
    return {key: resolve(child, get(key), now_ms) for key, child in node.items()}


def canonical_number(number: int | float) -> int | float:
    """The double that `number` is, held as `int` where it is integral and below 2^63. Raises Refused(INVALID_DATA)."""
    if type(number) is int and -_EXACT_INTEGER_MAX <= number <= _EXACT_INTEGER_MAX:
        return number
    try:
        double = float(number)
    except OverflowError:
        double = float("inf")
    if double - double != 0.0:
        raise Refused(Code.INVALID_DATA, "a number is not finite as an IEEE double")
    return int(double) if double.is_integer() and -_INT64_BOUND < double < _INT64_BOUND else double


def is_leaf(node: Node) -> bool:
    """Whether `node` (not None) has a value of its own rather than children."""
    return type(node) is not dict or VALUE in node


def value_of(node: Node | None) -> Leaf | None:
    """The value of a leaf, without its priority; None for a map or for nothing."""
    if type(node) is dict:
        return node.get(VALUE)
    return node  # type: ignore[no-any-return]  # Node is Any


def priority_of(node: Node | None) -> int | float | str | None:
    return node.get(PRIORITY) if type(node) is dict else None


def with_priority(node: Node, priority: int | float | str | None) -> Node:
    """A node like `node` with just that priority; maps are copied one level deep."""
    if is_leaf(node):
        leaf = value_of(node)
        return leaf if priority is None else {VALUE: leaf, PRIORITY: priority}
    changed = {key: child for key, child in node.items() if key != PRIORITY}
    if priority is not None:
        changed[PRIORITY] = priority
    return changed


def children(node: Node | None) -> Iterator[tuple[str, Node]]:
    """(key, child) pairs in no particular order; none for a leaf or for nothing."""
    if type(node) is dict and VALUE not in node:
        for key, child in node.items():
            if key != PRIORITY:
                yield key, child


def child_count(node: Node | None) -> int:
    if type(node) is not dict or VALUE in node:
        return 0
    return len(node) - (PRIORITY in node)


def find(node: Node | None, path: tuple[str, ...]) -> Node | None:
    """What stands at `path` below `node`, or None. A last `.priority` finds the priority."""
    for key in path:
        if type(node) is not dict or key == VALUE:
            return None
        node = node.get(key)
    return node


class _Fault(Exception):
    """Why a node cannot be; keys are gathered from the inside out."""

    def __init__(self, text: str, code: Code = Code.INVALID_DATA) -> None:
        super().__init__(text)
        self.text = text
        self.code = code
        self.keys: list[str] = []


def _parse(raw: Any, depth: int, waiting: list[ServerValue]) -> Node | None:
    kind = type(raw)
    if kind is str:
        if len(raw) > STRING_BYTES_MAX // 4:
            _check_string(raw)
        return raw
    if kind is dict:
        return _parse_map(raw, depth, waiting)
    if raw is None or kind is bool:
        return raw
    if kind is int or kind is float:
        try:
            return canonical_number(raw)
        except Refused as refused:
            raise _Fault(refused.text) from None
    if kind is list:
        return _parse_map({str(index): child for index, child in enumerate(raw)}, depth, waiting)
    raise _Fault(f"expected JSON, got {kind.__name__}")


def _parse_map(raw: dict[str, Any], depth: int, waiting: list[ServerValue]) -> Node | None:
    if SERVER_VALUE in raw or VALUE in raw:
        special = _parse_special(raw, waiting)
        if special is not None:
            return special
    depth += 1
    node: dict[str, Node] = {}
    for key, child in raw.items():
        if not key.isalnum() or len(key) > 100:
            if key == PRIORITY or key == VALUE:
                continue
            fault = find_key_fault(key)
            if fault:
                raise _Fault(f"Invalid data: {fault}")
        if depth > PATH_DEPTH_MAX and child is not None:
            raise _Fault(f"data is deeper than {PATH_DEPTH_MAX} levels")
        try:
            parsed = _parse(child, depth, waiting)
        except _Fault as inner:
            inner.keys.append(key[:80])
            raise
        if parsed is not None:
            node[key] = parsed
    if not node:
        return None
    if PRIORITY in raw:
        priority = _parse_priority(raw[PRIORITY], waiting)
        if priority is not None:
            node[PRIORITY] = priority
    return node


def _parse_special(raw: dict[str, Any], waiting: list[ServerValue]) -> Node | None:
    """A leaf written as `.value`, or a server value; None if `.value` is null, which counts as not there."""
    others = [key for key in raw if key not in (VALUE, PRIORITY, SERVER_VALUE) and raw[key] is not None]
    if SERVER_VALUE in raw:
        if others or VALUE in raw:
            raise _Fault("'.sv' may not stand beside other keys")
        leaf: Any = _parse_server_value(raw[SERVER_VALUE], waiting)
    else:
        leaf = raw[VALUE]
        if leaf is None:
            return None
        if others:
            raise _Fault("'.value' may not stand beside children")
        leaf = _parse(leaf, 0, waiting)
        if leaf is None or type(leaf) is dict:
            raise _Fault("'.value' must be a string, a number or a boolean")
    priority = _parse_priority(raw.get(PRIORITY), waiting)
    return leaf if priority is None else {VALUE: leaf, PRIORITY: priority}


def _parse_priority(raw: Any, waiting: list[ServerValue]) -> Leaf | ServerValue | None:
    if type(raw) is dict and SERVER_VALUE in raw and len(raw) == 1:
        return _parse_server_value(raw[SERVER_VALUE], waiting)
    if raw is None or type(raw) in (str, int, float):
        return _parse(raw, 0, waiting)  # type: ignore[no-any-return]  # a leaf in, a leaf out
    raise _Fault("a priority must be a number, a string or null")


def _parse_server_value(raw: Any, waiting: list[ServerValue]) -> ServerValue:
    if raw == "timestamp":
        made = ServerValue()
    elif type(raw) is dict and len(raw) == 1 and type(raw.get("increment")) in (int, float):
        made = ServerValue(_parse(raw["increment"], 0, waiting))
    else:
        raise _Fault('unknown server value: expected {".sv": "timestamp"} or {".sv": {"increment": number}}')
    waiting.append(made)
    return made


def _check_string(text: str) -> None:
    size = len(text.encode())
    if size > STRING_BYTES_MAX:
        raise _Fault(f"a string has {size} bytes, limit is {STRING_BYTES_MAX}", Code.TOO_BIG)
