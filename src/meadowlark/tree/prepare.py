"""A large value made ready to be written, in slices: decoded, checked, brought into its one form, packed, and encoded.

All of it happens off the tree, so that writing what came out is one step however large it is. What is refused is refused with
the words that `from_json` has for it.

JSON text is parsed and packed while it is decoded (parse_packed.py), so that it never stands as dicts, nine times its bytes, of
which the allocator would keep a part. What that is not sure of is decoded whole.
In step with node.py: `_fill_map` and `_fill_array` are `_parse_map` and `_parse_array` there, but change what was decoded in
place.
Does not know: where the value will stand beyond its depth, who waits.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from itertools import islice
from typing import Any

import msgspec

from meadowlark.limits import PATH_DEPTH_MAX
from meadowlark.tree.decode import decode_slices
from meadowlark.tree.export import encode, encode_slices
from meadowlark.tree.node import (
    Fault,
    Node,
    ServerValue,
    check_bottom,
    check_keys,
    find_child,
    parse,
    parse_priority,
    parse_special,
    priority_of,
    resolve,
)
from meadowlark.tree.packing import pack_slices
from meadowlark.tree.pages import PAGE_BYTES
from meadowlark.tree.parse_packed import Unsure, parse_members_slices, parse_packed_slices
from meadowlark.tree.paths import PRIORITY, SERVER_VALUE, VALUE, are_plain_keys

STEP_NODES = 1_500
"""Checked between two yields: about a millisecond."""

SMALL_NODES = 100
"""Values that are prepared in one go: some ten microseconds."""

_STEP_KEYS = 4_096

_Steps = Generator[None, None, Node | None]


class Prepared(msgspec.Struct, frozen=True, gc=False):
    """A value that is ready. It belongs to whoever writes it, once."""

    node: Node | None
    waits: bool
    """Whether server values wait in it, to be resolved where it is written."""
    pieces: list[bytes]
    """Its export form, in order; none if it waits."""


def prepare_slices(data: bytes | bytearray | memoryview, depth: int = 0) -> Generator[None, None, Prepared]:
    """Yields after each millisecond or so; returns the value that the JSON `data` describes, for `depth` keys below the root.

    Raises what `orjson.loads` and `from_json` raise.
    """
    try:
        node = yield from parse_packed_slices(data, depth)
    except Unsure:
        pass
    else:
        return Prepared(node, False, (yield from _encode(node)))
    raw = yield from decode_slices(data)
    return (yield from prepare_decoded(raw, depth))


def resolve_slices(prepared: Prepared, existing: Node | None, now_ms: int) -> Generator[None, None, Prepared]:
    """The same value with every server value made, as `resolve` makes them; `prepared` stays as it is.

    What is written to `existing` meanwhile may be seen or not. Raises what `resolve` raises.
    """
    node = yield from _resolve(prepared.node, existing, now_ms)
    node = yield from pack_slices(node)
    return Prepared(node, False, (yield from _encode(node)))


def _resolve(node: Node | None, existing: Node | None, now_ms: int) -> _Steps:
    if type(node) is not dict or VALUE in node or _count_up_to(node, STEP_NODES) <= STEP_NODES:
        return resolve(node, existing, now_ms)
    made: dict[str, Node] = {}
    budget = STEP_NODES
    for key, child in node.items():
        count = _count_up_to(child, STEP_NODES)
        budget -= count
        if budget < 0:
            yield
            budget = STEP_NODES
        below = priority_of(existing) if key == PRIORITY else find_child(existing, key)
        made[key] = (yield from _resolve(child, below, now_ms)) if count > STEP_NODES else resolve(child, below, now_ms)
    return made


def prepare_update_slices(data: bytes | bytearray | memoryview, depth: int = 0) -> Generator[None, None, Any]:
    """What `decode_slices` gives of an update's JSON, but its values may be Prepared. depth: of the place that is updated."""
    try:
        members: dict[str, Any] = yield from parse_members_slices(data, depth)
    except Unsure:
        return (yield from decode_slices(data))
    for key, node in members.items():  # No key comes or goes.
        members[key] = Prepared(node, False, (yield from _encode(node)))
    return members


def prepare_decoded(raw: Any, depth: int = 0) -> Generator[None, None, Prepared]:
    """The same for JSON that is decoded already. `raw` is used up."""
    waiting: list[ServerValue] = []
    try:
        node = yield from _fill(raw, depth, waiting)
    except Fault as fault:
        raise fault.refusal() from None
    pieces: list[bytes] = []
    if not waiting:
        node = yield from pack_slices(node)
        pieces = yield from _encode(node)
    return Prepared(node, bool(waiting), pieces)


def prepare_small(raw: Any, depth: int = 0) -> Prepared | None:
    """The same in one go; None for what is not small: more than SMALL_NODES values, or a page of bytes."""
    if _count_up_to(raw, SMALL_NODES) > SMALL_NODES:
        return None
    waiting: list[ServerValue] = []
    try:
        node = parse(raw, depth, waiting)
    except Fault as fault:
        raise fault.refusal() from None
    if waiting:
        return Prepared(node, True, [])
    encoded = encode(node)
    return Prepared(node, False, [encoded]) if len(encoded) <= PAGE_BYTES else None


def _encode(node: Node | None) -> Generator[None, None, list[bytes]]:
    pieces: list[bytes] = []
    for piece in encode_slices(node, with_priorities=True):
        pieces.append(piece)
        yield
    return pieces


def _fill(raw: Any, depth: int, waiting: list[ServerValue]) -> _Steps:
    """`node.parse` in steps."""
    if type(raw) is dict:
        return (yield from _fill_map(raw, depth, waiting))
    if type(raw) is list:
        return (yield from _fill_array(raw, depth, waiting))
    return parse(raw, depth, waiting)


def _fill_map(raw: dict[str, Any], depth: int, waiting: list[ServerValue]) -> _Steps:
    if VALUE in raw or SERVER_VALUE in raw:
        special = parse_special(raw, waiting)
        if special is not None:
            return special
    priority = parse_priority(raw.pop(PRIORITY, None), waiting)
    raw.pop(VALUE, None)
    keys: Iterator[str] = iter(raw)
    while some := list(islice(keys, _STEP_KEYS)):
        if not are_plain_keys(some):
            check_keys(dict.fromkeys(some))
        yield
    depth += 1
    if depth > PATH_DEPTH_MAX:
        check_bottom(raw.values())
    gone: list[str] = []
    budget = STEP_NODES
    # No key comes or goes in the loop.
    for key, child in raw.items():
        count = _count_up_to(child, STEP_NODES)
        budget -= count
        if budget < 0:
            yield
            budget = STEP_NODES
        try:
            parsed = (yield from _fill(child, depth, waiting)) if count > STEP_NODES else parse(child, depth, waiting)
        except Fault as fault:
            fault.keys.append(key[:80])
            raise
        if parsed is None:
            gone.append(key)
        elif parsed is not child:
            raw[key] = parsed
    for key in gone:
        del raw[key]
    if not raw:
        return None
    if priority is not None:
        raw[PRIORITY] = priority
    return raw


def _fill_array(raw: list[Any], depth: int, waiting: list[ServerValue]) -> _Steps:
    depth += 1
    if depth > PATH_DEPTH_MAX:
        check_bottom(raw)
    node: dict[str, Node] = {}
    budget = STEP_NODES
    for index, child in enumerate(raw):
        count = _count_up_to(child, STEP_NODES)
        budget -= count
        if budget < 0:
            yield
            budget = STEP_NODES
        try:
            parsed = (yield from _fill(child, depth, waiting)) if count > STEP_NODES else parse(child, depth, waiting)
        except Fault as fault:
            fault.keys.append(str(index))
            raise
        if parsed is not None:
            node[str(index)] = parsed
        raw[index] = None  # So that it is freed now rather than all at once.
    return node or None


def _count_up_to(raw: Any, limit: int) -> int:
    """Values in decoded JSON, itself included; counting stops past `limit`."""
    if type(raw) is not dict and type(raw) is not list:
        return 1
    count, todo = 1, [raw]
    while todo and count <= limit:
        top = todo.pop()
        count += len(top)
        if count <= limit:
            todo.extend([child for child in (top.values() if type(top) is dict else top) if type(child) in (dict, list)])
    return count
