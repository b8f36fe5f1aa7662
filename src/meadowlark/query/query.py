"""What one query asks for: an order, a range in it, and how many children from which end. From the realtime protocol's form.

`{"i": order, "sp"/"ep": value, "sn"/"en": key, "sin"/"ein": inclusive, "l": limit, "vf": "l" or "r"}`: order is `.key`, `.value`,
a path below each child, or absent for priorities. A bound without a key takes in, or leaves out, all children of its value.
Two queries are equal when they ask for the same, however they were written; `spec` keeps how.
Source: docs/protocol.md "Queries"; the query parameters of the official SDKs.
"""

from __future__ import annotations

from typing import Any, NoReturn

import msgspec

from meadowlark.errors import Code, Refused
from meadowlark.query.positions import END, KEY, MAX_NAME, MIN_NAME, PRIORITY, START, VALUE, Position, cut
from meadowlark.tree import Path, canonical_number, encode, parse_path

LIMIT_MAX = 2**53
_MEMBERS = frozenset(["i", "sp", "sn", "sin", "ep", "en", "ein", "l", "vf"])


class Query(msgspec.Struct, frozen=True, eq=False, gc=False):
    """Children between the cuts `low` and `high` of `order`, at most `limit` of them from the start or from the end."""

    identity: str
    """JSON of the query in its one form."""
    order: str
    order_path: Path
    """Of an order by a path below each child."""
    low: Position
    high: Position
    limit: int | None
    from_end: bool
    spec: dict[str, Any]
    """As it came."""

    @property
    def index(self) -> str:
        """What `.indexOn` must name for this query; "" for the orders that need no index."""
        return "" if self.order in (KEY, PRIORITY) else self.order

    @property
    def filters(self) -> bool:
        """Whether anything may be left out."""
        return self.limit is not None or self.low != START or self.high != END

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Query) and self.identity == other.identity

    def __hash__(self) -> int:
        return hash(self.identity)


class Bound(msgspec.Struct, frozen=True, gc=False):
    """One end of a range."""

    value: Any
    """A Leaf or None, once it is checked."""
    key: str | None
    inclusive: bool


def parse_query(spec: dict[str, Any] | None) -> Query | None:
    """The query that the realtime protocol's `spec` describes; None where it asks for everything by priority, as no query does.

    Raises Refused(INVALID_REQUEST), saying which member is wrong and what was expected.
    """
    if not spec:
        return None
    if not _MEMBERS.issuperset(spec):
        _refuse(f"unknown member {min(spec.keys() - _MEMBERS)[:40]!r}")
    order = spec.get("i", PRIORITY)
    if type(order) is not str:
        _refuse("expected the name of an order in 'i'")
    limit, view_from = spec.get("l"), spec.get("vf")
    if view_from not in (None, "", "l", "r"):
        _refuse("expected 'l' or 'r' in 'vf'")
    # Where a client does not say, a limit counts from the start of its range if that has one, else from its end.
    from_end = view_from == "r" or (not view_from and "sp" not in spec)
    start, end = (_read_bound(spec, *names) for names in (("sp", "sn", "sin"), ("ep", "en", "ein")))
    return make_query(order, start, end, limit, from_end=from_end, spec=spec)


def make_query(
    order: str, start: Bound | None, end: Bound | None, limit: Any, *, from_end: bool, spec: dict[str, Any] | None = None
) -> Query | None:
    """The query of these parts, checked; None where it is as good as none. spec: how it was written, if that matters."""
    order, order_path = _check_order(order)
    if limit is not None and (type(limit) is not int or not 0 < limit <= LIMIT_MAX):
        _refuse("expected a whole number above 0 as the limit")
    start, end = _check_bound(order, start), _check_bound(order, end)
    if order == PRIORITY and start is end is limit is None:
        return None
    canonical: dict[str, Any] = {"i": order}
    if start is not None:
        canonical["s"] = [start.value, start.key, start.inclusive]
    if end is not None:
        canonical["e"] = [end.value, end.key, end.inclusive]
    if limit is not None:
        canonical["l"] = [limit, from_end]
    return Query(
        identity=encode(canonical).decode(),
        order=order,
        order_path=order_path,
        low=START if start is None else cut(order, start.value, start.key, after=not start.inclusive),
        high=END if end is None else cut(order, end.value, end.key, after=end.inclusive),
        limit=limit,
        from_end=limit is not None and from_end,
        spec={} if spec is None else spec,
    )


def index_missing(path: Path, query: Query) -> Refused:
    """Why a query is not answered whose index nobody declared. Clients and people know it in these words."""
    index = encode(query.index).decode()
    return Refused(Code.INDEX_MISSING, f'Index not defined, add ".indexOn": {index}, for path "/{"/".join(path)}", to the rules')


def _read_bound(spec: dict[str, Any], value: str, key: str, inclusive: str) -> Bound | None:
    if value not in spec:
        if key in spec:
            _refuse(f"expected a value in {value!r} beside the key in {key!r}")
        return None
    given_key, given_inclusive = spec.get(key), spec.get(inclusive, True)
    if given_key is not None and type(given_key) is not str:
        _refuse(f"expected a key in {key!r}")
    if type(given_inclusive) is not bool:
        _refuse(f"expected true or false in {inclusive!r}")
    return Bound(spec[value], given_key, given_inclusive)


def _check_bound(order: str, bound: Bound | None) -> Bound | None:
    """The bound in its one form: numbers as the tree has them, and no key where it says no more than the rest does."""
    if bound is None:
        return None
    value, key, inclusive = bound.value, bound.key, bound.inclusive
    if type(value) in (dict, list):
        _refuse("expected a string, a number, true, false or null as a bound")
    if order == KEY:
        if type(value) is not str:
            _refuse("expected a key, which is a string, as a bound of the order by key")
        if key is not None and key not in (MIN_NAME, MAX_NAME):
            _refuse("a bound of the order by key has no second key")
        key = None
    elif type(value) in (int, float):
        value = canonical_number(value)
    return Bound(value, key, inclusive)


def _check_order(order: str) -> tuple[str, Path]:
    if order in (KEY, VALUE, PRIORITY):
        return order, ()
    path = parse_path(order)
    if not path or path[-1] == PRIORITY:
        _refuse("expected '.key', '.value', '.priority' or a path below each child as the order")
    return "/".join(path), path


def _refuse(text: str) -> NoReturn:
    raise Refused(Code.INVALID_REQUEST, f"a query has the wrong form: {text}")
