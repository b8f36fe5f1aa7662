"""Node hashes: what a client sends to say "this is what I have", in transactions and when it listens again.

SHA-1 in base64 over text: a leaf is `[priority:P:]TYPE:VALUE`, a map `[priority:P:]` and `:KEY:HASH` for each child in
priority order; numbers are the 16 hex digits of the double; nothing hashes to "".
The JavaScript SDK works out the exponent of a double with floating logarithms and so gets a few values wrong (2^53-1 is one);
`matches` accepts that form too, or transactions on such values could never succeed.
Source: docs/protocol.md "Hashes"; tests/specs/vectors.json.
"""

from __future__ import annotations

import math
import struct
from base64 import b64encode
from collections.abc import Callable
from hashlib import sha1
from typing import Any

from meadowlark.tree.node import Leaf, Node, priority_of
from meadowlark.tree.order import key_order, priority_order
from meadowlark.tree.pages import Pages
from meadowlark.tree.paths import PRIORITY, VALUE

NumberHex = Callable[[int | float], str]


def node_hash(node: Node | None) -> str:
    """The hash of `node`; "" for None. Cost: every node below, about 2 µs each."""
    return _hash(node, double_hex)


def matches(node: Node | None, expected: str) -> bool:
    """Whether a client that holds `node` could have sent `expected`."""
    if node is None or not expected:
        return node is None and not expected
    return node_hash(node) == expected or _hash(node, _javascript_hex) == expected


def _hash(node: Node | None, number_hex: NumberHex) -> str:
    if node is None:
        return ""
    if type(node) is dict:
        text = _dict_text(node, number_hex)
    else:
        text = _pages_text(node, number_hex) if type(node) is Pages else _leaf_text(node, number_hex)
    return b64encode(sha1(text.encode(), usedforsecurity=False).digest()).decode()


def _dict_text(node: dict[str, Node], number_hex: NumberHex) -> str:
    text = priority_text(node.get(PRIORITY), number_hex)
    if VALUE in node:
        return text + _leaf_text(node[VALUE], number_hex)
    return text + "".join([f":{key}:{_hash(node[key], number_hex)}" for key in _hash_order(node)])


def _pages_text(node: Pages, number_hex: NumberHex) -> str:
    text = priority_text(node.priority, number_hex)
    hashed = [(priority_order(priority_of(child)), f":{key}:{_hash(child, number_hex)}") for key, child in node.items()]
    hashed.sort(key=lambda pair: pair[0])  # Those of one priority stay in key order.
    return text + "".join([part for _, part in hashed])


def priority_text(priority: Leaf | None, number_hex: NumberHex | None = None) -> str:
    """What the text of a node with this priority begins with."""
    return "" if priority is None else f"priority:{_leaf_text(priority, number_hex or double_hex)}:"


def _hash_order(node: dict[str, Node]) -> list[str]:
    """Keys of the children by priority, then by key."""
    keys = sorted(node.keys() - {PRIORITY} if PRIORITY in node else node, key=key_order)
    if any((type(child) is dict and PRIORITY in child) or type(child) is Pages for child in node.values()):
        keys.sort(key=lambda key: priority_order(priority_of(node[key])))
    return keys


def _leaf_text(leaf: Any, number_hex: NumberHex) -> str:
    if type(leaf) is str:
        return "string:" + leaf
    if type(leaf) is bool:
        return "boolean:true" if leaf else "boolean:false"
    return "number:" + number_hex(leaf)


def double_hex(number: int | float) -> str:
    return struct.pack(">d", number).hex()


def _javascript_hex(number: int | float) -> str:
    """The hex that the JavaScript SDK writes; equal to `double_hex` but for its rounding of the exponent."""
    size = abs(float(number))
    if size == 0.0:
        return double_hex(number)
    sign = 1 if number < 0 else 0
    if size >= 2.0**-1022:
        power = min(math.floor(math.log(size) / math.log(2)), 1023)
        exponent = power + 1023
        # JavaScript's 2^(52 - power) is infinite for the smallest numbers, and of infinity it takes no bit.
        fraction = math.ldexp(size, 52 - power) - 2.0**52 if 52 - power < 1024 else 0.0
    else:
        exponent = 0
        fraction = math.ldexp(size, 1074)
    mantissa = math.floor(fraction + 0.5) if fraction % 1 else int(fraction)
    bits = sign << 63 | (exponent & 0x7FF) << 52 | (mantissa & (2**52 - 1))
    return f"{bits:016x}"
