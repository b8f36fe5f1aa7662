"""About how many bytes a node is as JSON: what is large, and what is heavy enough to be packed.

An estimate that looks no further than it must. Does not know: what is done with the answer.
"""

from __future__ import annotations

from typing import Any

LARGE_WEIGHT = 65_536
"""About the bytes from which on a value is encoded in slices."""

_FEW_ENTRIES = 64
_SHORT_TEXT = 256

_ENTRY_WEIGHT = 16
"""Bytes that an entry is taken to need beside its key and text, when the size of JSON is estimated."""

_UNWEIGHED = frozenset((bool, int, float, type(None)))


class Weighed:
    """A map that knows its own weight."""

    __slots__ = ()

    def weight_up_to(self, limit: int) -> int:
        """As below."""
        raise NotImplementedError


def is_large(node: Any) -> bool:
    """Whether encoding `node`, or freeing it, takes a good part of a millisecond. Quick for records, which mostly are not."""
    kind = type(node)
    if kind is not dict:
        return isinstance(node, Weighed) and weight_up_to(node, LARGE_WEIGHT) > LARGE_WEIGHT
    if len(node) <= _FEW_ENTRIES:
        for child in node.values():
            kind = type(child)
            if (kind is str and len(child) > _SHORT_TEXT) or (kind is not str and kind not in _UNWEIGHED):
                break
        else:
            return False
    return weight_up_to(node, LARGE_WEIGHT) > LARGE_WEIGHT


def weight_up_to(node: Any, limit: int) -> int:
    """About the bytes of `node` as JSON; looks no further than what makes it more than `limit`."""
    kind = type(node)
    if kind is not dict:
        if kind is str:
            return len(node) + _ENTRY_WEIGHT
        return node.weight_up_to(limit) if isinstance(node, Weighed) else _ENTRY_WEIGHT
    weight, todo = 0, [node]
    while todo:
        top = todo.pop()
        weight += len(top) * _ENTRY_WEIGHT
        if weight > limit:
            break
        weight += len("".join(top))
        for child in top.values():
            kind = type(child)
            if kind is str:
                weight += len(child)
            elif kind is dict:
                todo.append(child)
            elif kind not in _UNWEIGHED and isinstance(child, Weighed):
                weight += child.weight_up_to(limit)
    return weight
