"""Node hashes: what a client sends to say "this is what I have", in transactions and when it listens again.

SHA-1 in base64 over text: a leaf is `[priority:P:]TYPE:VALUE`, a map `[priority:P:]` and `:KEY:HASH` for each child in
priority order; numbers are the 16 hex digits of the double; nothing hashes to "".
The JavaScript SDK works out the exponent of a double with floating logarithms and so gets a few values wrong (2^53-1 is one);
`matches` accepts that form too, or transactions on such values could never succeed.
Source: docs/protocol.md "Hashes"; tests/specs/vectors.json.
"""

from __future__ import annotations

import hashlib
import math
import struct
from base64 import b64encode
from collections.abc import Callable
from typing import Any

from meadowlark.tree.node import Node, child_count, children, is_leaf, priority_of, value_of
from meadowlark.tree.order import key_order, priority_order

NumberHex = Callable[[int | float], str]


def node_hash(node: Node | None) -> str:
    """The hash of `node`; "" for None. Cost: every node below, about 2 µs each."""
    return _hash(node, _double_hex)


def matches(node: Node | None, expected: str) -> bool:
    """Whether a client that holds `node` could have sent `expected`."""
    if node is None or not expected:
        return node is None and not expected
    return node_hash(node) == expected or _hash(node, _javascript_hex) == expected


def node_count_up_to(node: Node | None, limit: int) -> int:
    """Nodes in `node`, counted no further than just past `limit`: tells cheaply whether hashing it is affordable."""
    count, todo = 0, [node]
    while todo and count <= limit:
        top = todo.pop()
        count += 1
        if type(top) is dict:
            count += child_count(top)
            if count <= limit:
                todo.extend([child for _, child in children(top) if type(child) is dict])
    return count


def _hash(node: Node | None, number_hex: NumberHex) -> str:
    if node is None:
        return ""
    priority = priority_of(node)
    text = "" if priority is None else f"priority:{_leaf_text(priority, number_hex)}:"
    if is_leaf(node):
        text += _leaf_text(value_of(node), number_hex)
    else:
        ordered = sorted(children(node), key=_child_order)
        text += "".join([f":{key}:{_hash(child, number_hex)}" for key, child in ordered])
    return b64encode(hashlib.sha1(text.encode(), usedforsecurity=False).digest()).decode()


def _child_order(child: tuple[str, Node]) -> tuple[Any, ...]:
    return priority_order(priority_of(child[1])), key_order(child[0])


def _leaf_text(leaf: Any, number_hex: NumberHex) -> str:
    if type(leaf) is str:
        return "string:" + leaf
    if type(leaf) is bool:
        return "boolean:true" if leaf else "boolean:false"
    return "number:" + number_hex(leaf)


def _double_hex(number: int | float) -> str:
    return struct.pack(">d", number).hex()


def _javascript_hex(number: int | float) -> str:
    """The hex that the JavaScript SDK writes; equal to `_double_hex` but for its rounding of the exponent."""
    size = abs(float(number))
    if size == 0.0:
        return _double_hex(number)
    sign = 1 if number < 0 else 0
    if size >= 2.0**-1022:
        power = min(math.floor(math.log(size) / math.log(2)), 1023)
        exponent = power + 1023
        fraction = math.ldexp(size, 52 - power) - 2.0**52
    else:
        exponent = 0
        fraction = math.ldexp(size, 1074)
    mantissa = math.floor(fraction + 0.5) if fraction % 1 else int(fraction)
    bits = sign << 63 | (exponent & 0x7FF) << 52 | (mantissa & (2**52 - 1))
    return f"{bits:016x}"
