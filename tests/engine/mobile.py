"""What the mobile SDKs do with compound hashes, for tests: says what a cache has, and takes ranges over.

Written apart from the code under test, after the behaviour of the SDK for Android: a state machine over texts on one side and a
recursion over places on the other, oddities included. A priority is hashed only where a key of its map comes behind `.priority`.
Nodes are in export form, of dicts.
"""

from __future__ import annotations

import math
import struct
from base64 import b64encode
from hashlib import sha1
from typing import Any

from meadowlark.tree import Ranges, key_order, make_ranges, parse_path, with_priority

PRIORITY = ".priority"


def compound(node: Any, threshold: int | None = None) -> tuple[list[str], list[str]]:
    """`ps` and `hs` of a cache. threshold: characters of a range; None: as the SDK has it."""
    builder = _Builder(threshold or max(512, math.isqrt(100 * _size(node))))
    builder.process(node)
    builder.finish()
    return builder.ends, builder.hashes


def ranges_of(node: Any, threshold: int | None = None) -> Ranges | None:
    """What the server makes of it."""
    if node is None:
        return None
    ends, hashes = compound(node, threshold)
    return make_ranges([parse_path(end) for end in ends], hashes)


def hides_priority(node: Any) -> bool:
    """Whether somewhere in it is a priority that is in none of its hashes."""
    if node is None or _is_leaf(node):
        return False
    keys = _keys(node)
    hidden = PRIORITY in node and all(key_order(key) < key_order(PRIORITY) for key in keys)
    return hidden or any(hides_priority(node[key]) for key in keys)


class _Builder:
    def __init__(self, threshold: int) -> None:
        self.threshold = threshold
        self.ends: list[str] = []
        self.hashes: list[str] = []
        self.path: list[str] = []
        self.last_leaf: list[str] = []
        self.text: str | None = None
        self.needs_comma = False

    def process(self, node: Any) -> None:
        if _is_leaf(node):
            self.ensure()
            self.last_leaf = list(self.path)
            self.text += _leaf_text(node)
            self.needs_comma = True
            if len(self.text) > self.threshold and self.path[-1:] != [PRIORITY]:
                self.end()
            return
        keys = sorted([key for key in node if key != PRIORITY], key=key_order)
        if PRIORITY in node and key_order(keys[-1]) > key_order(PRIORITY):
            keys = sorted([*keys, PRIORITY], key=key_order)
        for key in keys:
            self.ensure()
            self.text += ("," if self.needs_comma else "") + _quoted(key) + ":("
            self.path.append(key)
            self.needs_comma = False
            self.process(node[key])
            self.path.pop()
            if self.text is not None:
                self.text += ")"
            self.needs_comma = True

    def ensure(self) -> None:
        if self.text is None:
            self.text = "(" + "".join(_quoted(key) + ":(" for key in self.path)
            self.needs_comma = False

    def end(self) -> None:
        assert self.text is not None
        text = self.text + ")" * len(self.path) + ")"
        self.hashes.append(b64encode(sha1(text.encode()).digest()).decode())
        self.ends.append("/".join(self.last_leaf))
        self.text = None

    def finish(self) -> None:
        if self.text is not None:
            self.end()
        self.hashes.append("")


def merged(node: Any, start: Any, end: Any, update: Any) -> Any:
    """The cache after one range."""
    return _merged((), node, update, None if start is None else _order(start), None if end is None else _order(end), ())


def _merged(path: Any, node: Any, update: Any, start: Any, end: Any, place: Any) -> Any:
    is_behind_start = start is None or place > start
    start_in_node = start is not None and start[: len(place)] == place
    end_in_node = end is not None and end[: len(place)] == place
    if is_behind_start and (end is None or place < end) and not end_in_node:
        return update
    if is_behind_start and end_in_node and update is not None and _is_leaf(update):
        return update
    if is_behind_start and place == end:
        return None if node is not None and _is_leaf(node) else node
    if not start_in_node and not end_in_node:
        return node
    keys = [*dict.fromkeys([*_keys(node), *_keys(update)])]
    if _child(node, PRIORITY) is not None or _child(update, PRIORITY) is not None:
        keys.append(PRIORITY)
    made = node
    for key in keys:
        before = _child(node, key)
        after = _merged((*path, key), before, _child(update, key), start, end, (*place, key_order(key)))
        if after is not before:
            made = _with_child(made, key, after)
    return made


def _with_child(node: Any, key: str, child: Any) -> Any:
    if key == PRIORITY:
        return None if node is None else with_priority(node, child)
    if node is None or _is_leaf(node):
        if child is None:
            return node
        priority = _child(node, PRIORITY)
        return {key: child} if priority is None else {key: child, PRIORITY: priority}
    made = {other: value for other, value in node.items() if other != key}
    if child is not None:
        made[key] = child
    return made if made.keys() - {PRIORITY} else None


def _is_leaf(node: Any) -> bool:
    return type(node) is not dict or ".value" in node


def _keys(node: Any) -> list[str]:
    return [] if node is None or _is_leaf(node) else [key for key in node if key != PRIORITY]


def _child(node: Any, key: str) -> Any:
    return node.get(key) if type(node) is dict and key != ".value" else None


def _order(path: str) -> tuple[str, ...]:
    return tuple(key_order(key) for key in path.split("/") if key)


def _leaf_text(node: Any) -> str:
    if type(node) is dict:
        return f"priority:{_leaf_text(node[PRIORITY])}:{_leaf_text(node['.value'])}"
    if type(node) is bool:
        return f"boolean:{str(node).lower()}"
    return f"string:{_quoted(node)}" if type(node) is str else f"number:{struct.pack('>d', node).hex()}"


def _quoted(text: str) -> str:
    return '"' + "".join("\\" + letter if letter in '\\"' else letter for letter in text) + '"'


def _size(node: Any) -> int:
    """As the SDK estimates it, more or less."""
    return (
        8
        if type(node) in (int, float, bool)
        else len(node) + 2
        if type(node) is str
        else sum(len(key) + 4 + _size(child) for key, child in node.items())
    )
