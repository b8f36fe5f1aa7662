"""What a rule looks at beside what is written: places of the tree, as far as they can be said without evaluating it.

A `Look` stands for all that is at and below a place: the first `start` keys of the path of the rule's own place, then `keys`. It
is never less than what an evaluation looks at, and often more: of `root.child('members').child(auth.uid)` it is all members.
So whoever decided before knows by the paths that were written since whether it still holds.
"""

from __future__ import annotations

from typing import NamedTuple

from meadowlark.rules import values
from meadowlark.rules.compile import SPENDS_NOTHING
from meadowlark.rules.syntax import Call, Literal, Member, Part, Ternary, Variable, all_parts
from meadowlark.tree import Path


class Look(NamedTuple):
    """`is_after`: in the tree as it will be, so that what is written is not looked up in the tree that is."""

    is_after: bool
    start: int
    keys: Path

    def place(self, path: Path) -> Path:
        """Where it looks for a rule on the way to `path`, or below it."""
        return path if self.start > len(path) else path[: self.start] + self.keys


class _Place(NamedTuple):
    look: Look
    is_exact: bool
    """Whether further keys would name a place below; else it is somewhere below already."""


def looks_of(rule: Part, depth: int) -> frozenset[Look]:
    """rule: checked. depth: of the place where it stands."""
    found: set[Look] = set()
    for part in all_parts(rule):
        callee = part.callee if isinstance(part, Call) else None
        if isinstance(callee, Member) and callee.owner.type == "snapshot" and callee.name not in ("child", "parent"):
            found.update([place.look for place in _places(callee.owner, depth)])
    return frozenset(found)


def _places(part: Part, depth: int) -> list[_Place]:
    if isinstance(part, Ternary):
        return _places(part.yes, depth) + _places(part.no, depth)
    if isinstance(part, Variable):
        return [_Place(Look(part.name == "newData", 0 if part.name == "root" else depth, ()), True)]
    assert isinstance(part, Call)
    assert isinstance(part.callee, Member)
    owners = _places(part.callee.owner, depth)
    if part.callee.name == "parent":
        return [_Place(_parent(place.look), place.is_exact) for place in owners]
    name = part.arguments[0]
    if isinstance(name, Literal) and isinstance(name.value, str) and len(name.value) <= values.SHORT:
        keys = values.keys_of(name.value, SPENDS_NOTHING)
        return [_Place(_child(place.look, keys), True) if place.is_exact else place for place in owners]
    return [place._replace(is_exact=False) for place in owners]


def _child(look: Look, keys: Path) -> Look:
    return look._replace(keys=look.keys + keys)


def _parent(look: Look) -> Look:
    """Of somewhere below, it may be the place itself that is left."""
    if look.keys:
        return look._replace(keys=look.keys[:-1])
    return look._replace(start=max(look.start - 1, 0))
