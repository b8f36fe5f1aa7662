"""Queries as REST writes them: `orderBy="age"&startAt=18&limitToFirst=10`, every value as JSON.

A bound may have a key behind its value: `startAt=18,"ann"`. The order is a JSON string: `"$key"`, `"$value"`, `"$priority"` or a
path below each child.
Source: docs/rest.md; the texts that clients compare are those of Firebase.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NoReturn

import orjson

from meadowlark.errors import Code, Refused
from meadowlark.query.positions import KEY, MAX_NAME, MIN_NAME, PRIORITY, VALUE
from meadowlark.query.query import Bound, Query, make_query

PARAMETERS = ("orderBy", "startAt", "startAfter", "endAt", "endBefore", "equalTo", "limitToFirst", "limitToLast")

ORDER_MISSING = "orderBy must be defined when other query parameters are defined"
ORDER_INVALID = "orderBy must be a valid JSON encoded path"

_ORDERS = {"$key": KEY, "$value": VALUE, "$priority": PRIORITY}
_STARTS = ("startAt", "startAfter", "equalTo")
_ENDS = ("endAt", "endBefore", "equalTo")


def parse_parameters(parameters: Mapping[str, str], *, default_order: str | None = None) -> Query | None:
    """The query in the parameters of a request, of which others are ignored; None if it asks for everything by priority.

    default_order: where a range or a limit may come without orderBy, what that means. Raises Refused(INVALID_REQUEST).
    """
    if not any(name in parameters for name in PARAMETERS):
        return None
    text = parameters.get("orderBy")
    if text is not None:
        order = _parse_order(text)
    elif default_order is not None:
        order = default_order
    else:
        raise Refused(Code.INVALID_REQUEST, ORDER_MISSING)
    first, last = (_parse_limit(name, parameters.get(name)) for name in ("limitToFirst", "limitToLast"))
    if first is not None and last is not None:
        _refuse("limitToFirst and limitToLast cannot be combined")
    start = _parse_bound(order, parameters, _STARTS)
    end = _parse_bound(order, parameters, _ENDS)
    return make_query(order, start, end, last if first is None else first, from_end=last is not None)


def _parse_order(text: str) -> str:
    try:
        name = orjson.loads(text)
    except orjson.JSONDecodeError:
        name = None
    if type(name) is not str:
        raise Refused(Code.INVALID_REQUEST, ORDER_INVALID)
    order = _ORDERS.get(name, name)
    try:
        make_query(order, None, None, None, from_end=False)
    except Refused:
        raise Refused(Code.INVALID_REQUEST, ORDER_INVALID) from None
    return order


def _parse_limit(name: str, text: str | None) -> int | None:
    if text is None:
        return None
    if not (text.isascii() and text.isdecimal() and len(text) <= 15 and int(text) > 0):
        _refuse(f"{name} must be a whole number above 0")
    return int(text)


def _parse_bound(order: str, parameters: Mapping[str, str], names: tuple[str, ...]) -> Bound | None:
    given = [name for name in names if name in parameters]
    if not given:
        return None
    if len(given) > 1:
        _refuse(f"{given[0]} and {given[1]} cannot be combined")
    name = given[0]
    value, key = _parse_value(name, parameters[name])
    inclusive = name in ("startAt", "endAt", "equalTo")
    if not inclusive and key is None and order != KEY:
        # Without a key, what is left out is all children of that value.
        key = MAX_NAME if name == "startAfter" else MIN_NAME
    return Bound(value, key, inclusive)


def _parse_value(name: str, text: str) -> tuple[Any, str | None]:
    try:
        parts = orjson.loads(f"[{text}]")
    except orjson.JSONDecodeError:
        parts = []
    if len(parts) not in (1, 2) or (len(parts) == 2 and type(parts[1]) is not str) or type(parts[0]) in (list, dict):
        _refuse(f"{name} must be a JSON string, number, true, false or null, with a comma and a JSON string for a key if wanted")
    return parts[0], parts[1] if len(parts) == 2 else None


def _refuse(text: str) -> NoReturn:
    raise Refused(Code.INVALID_REQUEST, text)
