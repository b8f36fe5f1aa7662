"""Values and queries for hypothesis, small enough that ranges hit and miss, and how a query is written for each way of asking.

A query is a list of calls as a program makes them, `[["orderByChild", "a"], ["startAt", 1, "k"], ["limitToFirst", 2]]`: every
combination that the SDKs and REST can express. `spec_of` (scenarios.py) gives what the socket carries, `parameters_of` the URL.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import product
from typing import Any
from urllib.parse import quote

import hypothesis.strategies as st

Constraints = list[list[Any]]

KEYS = st.sampled_from(["a", "b", "c", "1", "2", "10", "01", "-3", "é", "\uffff", "\U0001f600"])
FIELDS = ["a", "b", "a/b", "b/1", "c/a/b"]
LEAVES = st.sampled_from([False, True, -1.5, 0, 1, 2, "", "x", 'q",', "é", "\uffff", "\U0001f600"])
LIMITS = st.integers(1, 3)
PRIORITIES = st.sampled_from([None, 1, 2, "p"])
VALUES = st.recursive(
    st.one_of(
        st.none(),
        LEAVES,
        st.tuples(LEAVES, st.sampled_from([1, "p"])).map(lambda pair: {".value": pair[0], ".priority": pair[1]}),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(KEYS, inner, max_size=5),
        st.dictionaries(KEYS, inner, max_size=5).map(lambda children: children | {".priority": 2}),
    ),
    max_leaves=12,
)

_ORDERS = {"orderByKey": "$key", "orderByValue": "$value", "orderByPriority": "$priority"}


ALL_ORDERS = [[name] for name in _ORDERS] + [["orderByChild", field] for field in FIELDS]
_STARTS = (None, "startAt", "startAfter")
_ENDS = (None, "endAt", "endBefore")
_RANGES = [("equalTo",), *(tuple(filter(None, ends)) for ends in product(_STARTS, _ENDS))]


@st.composite
def constraints(
    draw: st.DrawFn,
    keys: st.SearchStrategy[str] = KEYS,
    values: st.SearchStrategy[Any] = LEAVES,
    limits: st.SearchStrategy[int] = LIMITS,
    orders: Sequence[list[str]] = ALL_ORDERS,
) -> Constraints:
    """An order, a range with any kind of ends or none, a limit from either end or none."""
    order = draw(st.sampled_from(orders))
    made: Constraints = [order]
    for name in draw(st.sampled_from(_RANGES)):
        if order == ["orderByKey"]:
            made.append([name, draw(keys)])
        else:
            made.append([name, draw(st.one_of(st.none(), values)), *draw(st.lists(keys, max_size=1))])
    limit = draw(st.sampled_from([None, "limitToFirst", "limitToLast"]))
    if limit is not None:
        made.append([limit, draw(limits)])
    return made


def parameters_of(asked: Constraints) -> str:
    """The query as a part of a URL."""
    parts = []
    for name, *arguments in asked:
        if name.startswith("orderBy"):
            name, arguments = "orderBy", [_ORDERS.get(name) or arguments[0]]
        parts.append(f"{name}={quote(','.join(json.dumps(argument) for argument in arguments))}")
    return "&".join(parts)
