"""The orders of the Realtime Database: keys, string values and priorities. Each function gives a sort key.

Keys that look like 32-bit integers come first, by number and then by length ("1" before "01"); all others follow by
UTF-16 code unit, which is not Python's order for characters beyond U+FFFF.
Source: docs/semantics.md "Order"; tests/specs/vectors.json.
"""

from __future__ import annotations

import re
from typing import Any

KeyOrder = str
"""Compared as text, which is several times faster than comparing tuples; nothing else may be read from it."""

AFTER_ALL_KEYS = "2"
"""Behind the order of every key: those begin with 0 or 1."""
AFTER_KEY = "\0"
"""Behind the order of a key, gives a place between it and the next: no key has a control character."""

_INTEGER_KEY = re.compile(r"(-?)0*([0-9]{1,10})")
_INT32_MAX = 2**31 - 1
_INT32_MIN = -(2**31)


def utf16_order(text: str) -> str:
    """`text` with every character beyond U+FFFF as its two surrogates: comparing these is comparing UTF-16."""
    if text.isascii() or max(text) <= "\uffff":
        return text
    units = text.encode("utf-16-be", "surrogatepass")
    return "".join([chr(units[i] << 8 | units[i + 1]) for i in range(0, len(units), 2)])


def key_order(key: str) -> KeyOrder:
    """Sort key of a child's key; different keys never have the same.

    The SDKs hold "-0" and "00" for equal; here the text decides between them, so that an order is always total.
    """
    if key[-1:] in "0123456789":  # No integer ends otherwise, and most keys do.
        integer = _INTEGER_KEY.fullmatch(key)
        if integer:
            # Of up to ten digits: a key may have more zeros before them than `int` accepts.
            number = int(integer[1] + integer[2])
            if _INT32_MIN <= number <= _INT32_MAX:
                return f"0{number - _INT32_MIN:010d}{len(key):08d}{key}"
    return "1" + (key if key.isascii() else utf16_order(key))


def priority_order(priority: Any) -> tuple[int, float, str]:
    """Sort key of a priority: none, then numbers, then strings."""
    if priority is None:
        return (0, 0, "")
    if type(priority) is str:
        return (2, 0, utf16_order(priority))
    return (1, priority, "")
