"""The ways out: export form for the socket and for backups, plain form with arrays for REST.

The form in memory is the export form, so `encode` is one call. The plain form drops priorities and turns maps whose keys
look like an array's back into arrays, as Firebase's REST API does: every key `0|[1-9][0-9]*`, the largest below twice the count.
Source: docs/semantics.md "Arrays".
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import orjson

from meadowlark.tree.node import Node, child_count, children, is_leaf, value_of
from meadowlark.tree.paths import PRIORITY, VALUE

_INDEX = re.compile(r"0|[1-9][0-9]{0,8}")

encode = orjson.dumps
"""The export form of a node as JSON; `null` for None."""


def plain(node: Node | None) -> Any:
    """`node` as REST shows it: no priorities, arrays where the keys say so. Holes are None."""
    if type(node) is not dict:
        return node
    if VALUE in node:
        return node[VALUE]
    if _looks_like_array(node):
        return _plain_array(node)
    return {
        key: child if type(child) is not dict else plain(child) for key, child in node.items() if key != PRIORITY
    }


def shallow(node: Node | None) -> Any:
    """Leaves as they are, a map as `{key: true}`."""
    if node is None or is_leaf(node):
        return value_of(node)
    return {key: True for key, _ in children(node)}


def encode_slices(node: Node | None, *, with_priorities: bool, slice_bytes: int = 65_536) -> Iterator[bytes]:
    """The JSON of `node` in pieces of about `slice_bytes`, so that a loop can do other work between them.

    with_priorities: the export form; otherwise the plain form. The node must not change meanwhile (freeze the tree).
    Joined, the pieces are the encoding of the whole. A single leaf is never cut, so a piece can be as long as a leaf.
    """
    buffer: list[bytes] = []
    size = 0
    for piece in _pieces(node, with_priorities):
        buffer.append(piece)
        size += len(piece)
        if size >= slice_bytes:
            yield b"".join(buffer)
            buffer.clear()
            size = 0
    if buffer:
        yield b"".join(buffer)


def _pieces(node: Node | None, with_priorities: bool) -> Iterator[bytes]:
    """Maps with few small children go out whole; others are opened and their children walked."""
    form = _same if with_priorities else plain
    if not _is_large(node):
        yield encode(form(node))
        return
    as_array = not with_priorities and _looks_like_array(node)
    yield b"[" if as_array else b"{"
    separator = b""
    if as_array:
        items: Any = ((b"", node.get(str(index))) for index in range(_array_length(node)))
    else:
        items = ((encode(key) + b":", child) for key, child in node.items() if with_priorities or key != PRIORITY)
    for label, child in items:
        if type(child) is not dict:
            yield separator + label + encode(child)
        elif _is_large(child):
            yield separator + label
            yield from _pieces(child, with_priorities)
        else:
            yield separator + label + encode(form(child))
        separator = b","
    yield b"]" if as_array else b"}"


def _is_large(node: Node | None, budget: int = 64) -> bool:
    """Whether `node` has more than `budget` nodes or so; looks at no more than that many."""
    todo = [node]
    while todo:
        top = todo.pop()
        if type(top) is dict and VALUE not in top:
            budget -= len(top)
            if budget < 0:
                return True
            todo.extend(top.values())
    return False


def _same(node: Node | None) -> Node | None:
    return node


def _looks_like_array(node: dict[str, Node]) -> bool:
    first = next(iter(node))
    if not first.isdecimal() and first != PRIORITY:
        return False
    return all(key == PRIORITY or _INDEX.fullmatch(key) for key in node) and _array_length(node) <= 2 * child_count(node)


def _array_length(node: dict[str, Node]) -> int:
    return 1 + max(int(key) for key in node if key != PRIORITY)


def _plain_array(node: dict[str, Node]) -> list[Any]:
    array: list[Any] = [None] * _array_length(node)
    for key, child in children(node):
        array[int(key)] = plain(child)
    return array
