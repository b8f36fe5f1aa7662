"""`query`, as `.read` rules see it, of how a client asked for children.

A query comes in its one form, as made by the layer of queries: `{"i": order, "s": start, "e": end, "l": [limit, from end]}`,
where a bound is `[value, key, whether it is included]`. Two equal bounds are what SDKs make of `equalTo`.
Source: docs/rules.md "Expressions".
"""

from __future__ import annotations

from typing import Any

from meadowlark.rules.scope import NO_QUERY

_ORDERS = {".key": "orderByKey", ".value": "orderByValue", ".priority": "orderByPriority"}


def query_values(form: dict[str, Any], *, names_order: bool) -> dict[str, Any]:
    """The members of `query`. names_order: whether the client named an order; for rules, one that did not ordered by key."""
    seen: dict[str, Any] = dict(NO_QUERY)
    if names_order:
        order = form["i"]
        seen["orderByKey"] = False
        if order in _ORDERS:
            seen[_ORDERS[order]] = True
        else:
            seen["orderByChild"] = order
    start, end = form.get("s"), form.get("e")
    if start is not None and start == end and start[2]:
        seen["equalTo"] = start[0]
    else:
        seen["startAt"] = None if start is None else start[0]
        seen["endAt"] = None if end is None else end[0]
    if "l" in form:
        limit, from_end = form["l"]
        seen["limitToLast" if from_end else "limitToFirst"] = limit
    return seen
