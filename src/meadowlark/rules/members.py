"""What values have: the methods and properties of snapshots, strings and queries, as one table for checker and compiler."""

from __future__ import annotations

from typing import NamedTuple


class Method(NamedTuple):
    """`takes`: the types of its arguments; None: it is no method but a property. `gives`: the type of its value."""

    takes: tuple[str, ...] | None
    gives: str


SNAPSHOT: dict[str, Method] = {
    "val": Method((), "primitive"),
    "child": Method(("string",), "snapshot"),
    "parent": Method((), "snapshot"),
    "hasChild": Method(("string",), "boolean"),
    "hasChildren": Method((), "boolean"),  # Or one list of strings, which the checker knows.
    "exists": Method((), "boolean"),
    "getPriority": Method((), "any"),
    "isNumber": Method((), "boolean"),
    "isString": Method((), "boolean"),
    "isBoolean": Method((), "boolean"),
}

STRING: dict[str, Method] = {
    "length": Method(None, "number"),
    "contains": Method(("string",), "boolean"),
    "beginsWith": Method(("string",), "boolean"),
    "endsWith": Method(("string",), "boolean"),
    "replace": Method(("string", "string"), "string"),
    "toLowerCase": Method((), "string"),
    "toUpperCase": Method((), "string"),
    "matches": Method(("regex",), "boolean"),
}

QUERY: dict[str, Method] = {
    "orderByKey": Method(None, "boolean"),
    "orderByPriority": Method(None, "boolean"),
    "orderByValue": Method(None, "boolean"),
    "orderByChild": Method(None, "primitive"),
    "startAt": Method(None, "primitive"),
    "endAt": Method(None, "primitive"),
    "equalTo": Method(None, "primitive"),
    "limitToFirst": Method(None, "primitive"),
    "limitToLast": Method(None, "primitive"),
}

OF_TYPE: dict[str, dict[str, Method]] = {
    "snapshot": SNAPSHOT,
    "string": STRING,
    "query": QUERY,
    "primitive": STRING,
}
"""What is read from a `primitive` makes it a string."""
