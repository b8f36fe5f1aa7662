"""Node values: what stands at a path, and the way in from JSON.

A node is a leaf (`bool`, `int`, `float`, `str`) or a map of non-empty nodes by key: a `dict`, or `Pages` where it is wide.
A priority is kept as the export format writes it: `{".priority": p, "a": …}` on a map, `{".value": v, ".priority": p}` on a
leaf, so the form in memory is the export form and encoding is one call. `None` is absence and never stands inside a node; a map
is never empty.
Numbers are IEEE doubles; integral ones below 2^63 are held as `int`, so they print without a fraction; -0 is held as 0.

In Python `True == 1 == 1.0`: never compare nodes with `==` to learn whether they are the same JSON.
Recursion here and in the modules beside is bounded, because no node is deeper than limits.PATH_DEPTH_MAX.

Arrays come in as maps by index. `{".sv": …}` comes in as a ServerValue, which `resolve` replaces when the write is carried out.
Does not know: where the node will stand beyond its depth, who writes it.
Source: docs/semantics.md "Values"; the node model of the official SDKs.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator
from operator import itemgetter
from typing import Any

import msgspec

from meadowlark.errors import Code, Refused
from meadowlark.limits import PATH_DEPTH_MAX, STRING_BYTES_MAX
from meadowlark.tree.order import AFTER_ALL_KEYS, AFTER_KEY, key_order
from meadowlark.tree.pages import Page, Pages
from meadowlark.tree.paths import PRIORITY, SERVER_VALUE, VALUE, are_plain_keys, find_key_fault

Leaf = bool | int | float | str
Node = Any
"""Leaf | dict[str, Node] | Pages; a recursive alias costs mypy more than it tells."""

_LEAF_TYPES = frozenset((bool, int, float, str))

_EXACT_INTEGER_MAX = 2**53
_INT64_BOUND = 2**63

_STRING_LENGTH_SAFE = STRING_BYTES_MAX // 4
"""Characters that fit the limit of bytes whatever they are."""

_KNOWN_KEYS_MAX = 8_192
_KNOWN_KEYS_PER_MAP_MAX = 32
_KNOWN_KEY_LENGTH_MAX = 32

_LOOK_STEP = 400
"""Children looked at between two yields: half a millisecond."""
_LOOK_COST = 4
"""Of a page that is passed, in children."""

_known_keys: set[str] = set()
"""Keys found good in small maps: the names of fields, which repeat in every record, while wide maps are keyed by ids. One set
operation then checks a record. Never has a key with a dot. Emptied when full: at most about 1 MB."""


class ServerValue(msgspec.Struct, frozen=True, gc=False):
    """A value that the server makes: the time of the write, or the number there plus `delta`."""

    delta: int | float | None = None
    """None: the server's time, milliseconds since 1970."""


def from_json(raw: Any, depth: int = 0) -> tuple[Node | None, bool]:
    """The node that decoded JSON `raw` describes, and whether server values wait in it.

    raw: as a strict decoder (msgspec, orjson) gives it: string keys, no lone surrogates in strings. It is not changed or kept,
    so the same JSON may be written twice. depth: keys above the node, so that the depth limit counts from the root.
    Raises Refused: INVALID_DATA for a bad key, a misused `.value`, `.priority` or `.sv`, or a number that is no double;
    TOO_BIG for a string over the limit. The text names the place below the node.
    """
    waiting: list[ServerValue] = []
    try:
        node = parse(raw, depth, waiting)
    except Fault as fault:
        raise fault.refusal() from None
    return node, bool(waiting)


def priority_from_json(raw: Any) -> tuple[Leaf | ServerValue | None, bool]:
    """A priority alone, as written at `…/.priority`: None, a number, a string, or a server value that waits."""
    waiting: list[ServerValue] = []
    try:
        return parse_priority(raw, waiting), bool(waiting)
    except Fault as fault:
        raise fault.refusal() from None


def resolve(node: Node, existing: Node | None, now_ms: int) -> Node:
    """`node` with every server value made: times are `now_ms`, increments add to the number in `existing`.

    An increment on something absent or not a number gives its delta. Raises Refused(INVALID_DATA) when a sum is no double.
    """
    if type(node) is ServerValue:
        if node.delta is None:
            return now_ms
        base: Any = value_of(existing)
        return canonical_number(base + node.delta) if type(base) in (int, float) else node.delta
    if type(node) is not dict:
        return node
    if VALUE in node:
        return {
            VALUE: resolve(node[VALUE], existing, now_ms),
            PRIORITY: resolve(node[PRIORITY], priority_of(existing), now_ms),
        }
    return {
        key: resolve(child, priority_of(existing) if key == PRIORITY else find_child(existing, key), now_ms)
        for key, child in node.items()
    }


def has_increment(node: Any) -> bool:
    """Whether what `node` comes to depends on what stands there. For nodes with server values, so never packed."""
    if type(node) is ServerValue:
        return node.delta is not None
    return type(node) is dict and any(has_increment(child) for child in node.values())


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
    return VALUE in node if type(node) is dict else type(node) is not Pages


def value_of(node: Node | None) -> Leaf | None:
    """The value of a leaf, without its priority; None for a map or for nothing."""
    if type(node) is dict:
        return node.get(VALUE)
    return None if type(node) is Pages else node


def priority_of(node: Node | None) -> int | float | str | None:
    return node.get(PRIORITY) if type(node) is dict or type(node) is Pages else None


def with_priority(node: Node, priority: int | float | str | None) -> Node:
    """A node like `node` with just that priority; maps are copied one level deep."""
    if is_leaf(node):
        leaf = value_of(node)
        return leaf if priority is None else {VALUE: leaf, PRIORITY: priority}
    changed: Any = node.copy()
    if type(changed) is Pages:
        changed.priority = priority
    elif priority is None:
        changed.pop(PRIORITY, None)
    else:
        changed[PRIORITY] = priority
    return changed


def children(node: Node | None) -> Iterator[tuple[str, Node]]:
    """(key, child) pairs in no particular order; none for a leaf or for nothing."""
    if type(node) is dict and VALUE not in node:
        for key, child in node.items():
            if key != PRIORITY:
                yield key, child
    elif type(node) is Pages:
        yield from node.items()


def children_in_key_order(
    node: Node | None, start: str | None = None, end: str | None = None, *, reverse: bool = False
) -> Iterator[tuple[str, Node]]:
    """(key, child) in key order, or backwards, from the key `start` to the key `end`, both included; None: from or to the very
    first or last. Cheap from anywhere in Pages, which must not change meanwhile; a dict is sorted for each call."""
    low = "" if start is None else key_order(start)
    high = AFTER_ALL_KEYS if end is None else key_order(end) + AFTER_KEY
    return children_between(node, low, high, reverse=reverse)


def children_between(node: Node | None, low: str, high: str, *, reverse: bool = False) -> Iterator[tuple[str, Node]]:
    """The same from the order of a key, or what stands for it, `low` to before another, `high`."""
    if low >= high:
        return
    if type(node) is Pages:
        if not low and high == AFTER_ALL_KEYS and not reverse:
            yield from node.items()
            return
        pairs = node.items_before(high) if reverse else node.items_from(low)
        for pair in pairs:
            order = key_order(pair[0])
            if order < low if reverse else order >= high:
                return
            yield pair
        return
    found = [(key_order(key), key, child) for key, child in children(node)]
    found.sort(key=itemgetter(0), reverse=reverse)
    for order, key, child in found:
        if low <= order < high:
            yield key, child


def count_between(node: Node | None, low: str, high: str) -> int:
    """About how many children have keys whose orders are between `low` and `high`, without looking at them."""
    return node.count_between(low, high) if type(node) is Pages else child_count(node)


def has_priorities(node: Node | None) -> Generator[None, None, bool]:
    """Whether any child has a priority, found in steps. Quick in Pages, where most pages need no look inside."""
    budget = _LOOK_STEP
    groups = map(Page.may_have_priorities, node.pages) if type(node) is Pages else iter([[child for _, child in children(node)]])
    for group in groups:
        for child in group:
            budget -= 1
            if priority_of(child) is not None:
                return True
        budget -= _LOOK_COST
        if budget < 0:
            budget = _LOOK_STEP
            yield
    return False


def is_key_ordered(node: Node | None) -> bool:
    """Whether `children_in_key_order` costs no more than what is taken of it."""
    return type(node) is Pages


def make_map(pairs: Iterable[tuple[str, Node]]) -> Node | None:
    """A map of these children, which it shares, or None without any: a selection of another map's, to be read and let go."""
    return dict(pairs) or None


def child_count(node: Node | None) -> int:
    if type(node) is not dict:
        return node.count if type(node) is Pages else 0
    return 0 if VALUE in node else len(node) - (PRIORITY in node)


def node_count_up_to(node: Node | None, limit: int) -> int:
    """Nodes in `node`, itself included; counting stops just past `limit`. Tells cheaply whether hashing it is affordable."""
    count, todo = int(node is not None), [node]
    while todo and count <= limit:
        top = todo.pop()
        count += child_count(top)
        if count <= limit:
            todo.extend([child for _, child in children(top) if type(child) is dict or type(child) is Pages])
    return count


def is_map(node: Node | None) -> bool:
    """Whether `node` has children."""
    return VALUE not in node if type(node) is dict else type(node) is Pages


def is_same_leaf(node: Node | None, other: Node | None) -> bool:
    """Whether both are the same value without a priority; False where telling costs more than one comparison."""
    return type(node) is type(other) and type(node) in _LEAF_TYPES and bool(node == other)


def take_out(node: Node) -> Node | None:
    """Takes something out of a map that nobody needs any more: a child, or a dict of children; None if nothing is left."""
    if type(node) is dict:
        return node.popitem()[1] if node else None
    return node.take_page() if node.pages else None


def find_child(node: Node | None, key: str) -> Node | None:
    """The child of `node` at `key`, which is no pseudo-key; None if there is none."""
    if type(node) is dict:
        return node.get(key) if VALUE not in node else None
    return node.get(key) if type(node) is Pages else None


def find_present(node: Node | None, key: str, order: str | None = None) -> Node | None:
    """`find_child` for a child that there is: in Pages its neighbours are left alone, so this is for children here and there.
    order: of the key, if that is known."""
    return node.get_present(key, order or key_order(key)) if type(node) is Pages else find_child(node, key)


def find(node: Node | None, path: tuple[str, ...]) -> Node | None:
    """What stands at `path` below `node`, or None. A last `.priority` finds the priority."""
    for key in path:
        if (type(node) is not dict and type(node) is not Pages) or key == VALUE:
            return None
        node = node.get(key)
    return node


# Parsing: also for prepare.py, which does it in slices.


class Fault(Exception):
    """Why a node cannot be; keys are gathered from the inside out."""

    def __init__(self, text: str, code: Code = Code.INVALID_DATA) -> None:
        super().__init__(text)
        self.text = text
        self.code = code
        self.keys: list[str] = []

    def refusal(self) -> Refused:
        where = "/".join(reversed(self.keys))
        return Refused(self.code, f"{self.text}{f' at {where!r} in the data' if where else ''}")


def parse(raw: Any, depth: int, waiting: list[ServerValue]) -> Node | None:
    kind = type(raw)
    if kind is dict:
        return _parse_map(raw, depth, waiting)
    if kind is list:
        return _parse_array(raw, depth, waiting)
    return None if raw is None else _parse_leaf(raw)


def _parse_map(raw: dict[str, Any], depth: int, waiting: list[ServerValue]) -> Node | None:
    priority = None
    if not _known_keys.issuperset(raw):
        if VALUE in raw or SERVER_VALUE in raw:
            special = parse_special(raw, waiting)
            if special is not None:
                return special
        if PRIORITY in raw or VALUE in raw:
            priority = parse_priority(raw.get(PRIORITY), waiting)
            raw = {key: child for key, child in raw.items() if key != PRIORITY and key != VALUE}
        check_keys(raw)
    depth += 1
    if depth > PATH_DEPTH_MAX:
        check_bottom(raw.values())
    # A copy in one call, changed only where node and JSON differ: three times as fast as building it (bench/tree.py).
    node: dict[str, Node] = raw.copy()
    for key, child in raw.items():
        kind = type(child)
        if kind is str:
            if len(child) <= _STRING_LENGTH_SAFE:
                continue
        elif kind is float:
            if child % 1.0 > 0.0:  # Finite, and with a fraction.
                continue
        elif kind is bool or (kind is int and -_EXACT_INTEGER_MAX <= child <= _EXACT_INTEGER_MAX):
            continue
        try:
            parsed = _parse_map(child, depth, waiting) if kind is dict else parse(child, depth, waiting)
        except Fault as fault:
            fault.keys.append(key[:80])
            raise
        if parsed is None:
            del node[key]
        elif parsed is not child:
            node[key] = parsed
    if not node:
        return None
    if priority is not None:
        node[PRIORITY] = priority
    return node


def _parse_array(raw: list[Any], depth: int, waiting: list[ServerValue]) -> Node | None:
    depth += 1
    if depth > PATH_DEPTH_MAX:
        check_bottom(raw)
    node: dict[str, Node] = {}
    for index, child in enumerate(raw):
        try:
            parsed = _parse_map(child, depth, waiting) if type(child) is dict else parse(child, depth, waiting)
        except Fault as fault:
            fault.keys.append(str(index))
            raise
        if parsed is not None:
            node[str(index)] = parsed
    return node or None


def check_keys(raw: dict[str, Any]) -> None:
    if not are_plain_keys(raw):
        for key in raw:
            fault = find_key_fault(key)
            if fault:
                raise Fault(f"Invalid data: {fault}")
    elif len(raw) <= _KNOWN_KEYS_PER_MAP_MAX:
        if len(_known_keys) >= _KNOWN_KEYS_MAX:
            _known_keys.clear()
        _known_keys.update([key for key in raw if len(key) <= _KNOWN_KEY_LENGTH_MAX])


def check_bottom(children_below: Iterable[Any]) -> None:
    """Before descending, so that recursion is bounded too."""
    if any(child is not None for child in children_below):
        raise Fault(f"data is deeper than {PATH_DEPTH_MAX} levels")


def _parse_leaf(raw: Any) -> Leaf:
    kind = type(raw)
    if kind is str:
        if len(raw) > _STRING_LENGTH_SAFE:
            _check_string(raw)
        return raw  # type: ignore[no-any-return]  # a string, as just seen
    if kind is bool:
        return raw  # type: ignore[no-any-return]  # a boolean, as just seen
    if kind is int or kind is float:
        try:
            return canonical_number(raw)
        except Refused as refused:
            raise Fault(refused.text) from None
    raise Fault(f"expected JSON, got {kind.__name__}")


def parse_special(raw: dict[str, Any], waiting: list[ServerValue]) -> Node | None:
    """A leaf written as `.value`, or a server value; None if `.value` is null, which counts as not there."""
    others = [key for key in raw if key not in (VALUE, PRIORITY, SERVER_VALUE) and raw[key] is not None]
    if SERVER_VALUE in raw:
        if others or VALUE in raw:
            raise Fault("'.sv' may not stand beside other keys")
        leaf: Any = _parse_server_value(raw[SERVER_VALUE], waiting)
    else:
        leaf = raw[VALUE]
        if leaf is None:
            return None
        if others:
            raise Fault("'.value' may not stand beside children")
        leaf = _parse_bare_leaf(leaf, waiting)
    priority = parse_priority(raw.get(PRIORITY), waiting)
    return leaf if priority is None else {VALUE: leaf, PRIORITY: priority}


def _parse_bare_leaf(raw: Any, waiting: list[ServerValue]) -> Leaf | ServerValue:
    """What may stand at `.value`. No container is descended into, or `.value` in `.value` would recurse without a bound."""
    if type(raw) is dict and SERVER_VALUE in raw and len(raw) == 1:
        return _parse_server_value(raw[SERVER_VALUE], waiting)
    if type(raw) in (dict, list):
        raise Fault("'.value' must be a string, a number or a boolean")
    return _parse_leaf(raw)


def parse_priority(raw: Any, waiting: list[ServerValue]) -> Leaf | ServerValue | None:
    if raw is None:
        return None
    if type(raw) is bool or type(raw) is list or (type(raw) is dict and raw.keys() != {SERVER_VALUE}):
        raise Fault("a priority must be a number, a string or null")
    return _parse_bare_leaf(raw, waiting)


def _parse_server_value(raw: Any, waiting: list[ServerValue]) -> ServerValue:
    if raw == "timestamp":
        made = ServerValue()
    elif type(raw) is dict and len(raw) == 1 and type(raw.get("increment")) in (int, float):
        made = ServerValue(_parse_leaf(raw["increment"]))  # type: ignore[arg-type]  # a number in, a number out
    else:
        raise Fault('unknown server value: expected {".sv": "timestamp"} or {".sv": {"increment": number}}')
    waiting.append(made)
    return made


def _check_string(text: str) -> None:
    size = len(text.encode("utf-8", "surrogatepass"))
    if size > STRING_BYTES_MAX:
        raise Fault(f"a string has {size} bytes, limit is {STRING_BYTES_MAX}", Code.TOO_BIG)
