"""What an SDK tells a program that listens to a query, worked out from the windows before and after; and how scenarios are read.

Source: docs/semantics.md "Event order". The scenarios are tests/specs/queries.json, whose README says what is in them.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.query.naive import rank, select

SCENARIOS: list[dict[str, Any]] = json.loads((Path(__file__).parents[1] / "specs" / "queries.json").read_bytes())

_BOUNDS = {
    "startAt": [("s", True)],
    "startAfter": [("s", False)],
    "endAt": [("e", True)],
    "endBefore": [("e", False)],
    "equalTo": [("s", True), ("e", True)],
}


def spec_of(constraints: list[list[Any]]) -> dict[str, Any]:
    """The query as the SDK sends it, from the calls that a program makes."""
    spec: dict[str, Any] = {}
    for name, *arguments in constraints:
        if name == "orderByChild":
            spec["i"] = arguments[0]
        elif name in ("orderByKey", "orderByValue"):
            spec["i"] = "." + name[len("orderBy") :].lower()
        elif name in ("limitToFirst", "limitToLast"):
            spec |= {"l": arguments[0], "vf": "l" if name == "limitToFirst" else "r"}
        elif name in _BOUNDS:
            for end, inclusive in _BOUNDS[name]:
                spec[f"{end}p"] = arguments[0]
                spec[f"{end}in"] = inclusive
                if len(arguments) > 1:
                    spec[f"{end}n"] = arguments[1]
                elif not inclusive and spec.get("i") != ".key":
                    spec[f"{end}n"] = "[MAX_NAME]" if end == "s" else "[MIN_NAME]"
    return spec


def events_between(before: Any, after: Any, spec: dict[str, Any], *, is_first: bool = False) -> list[list[Any]]:
    """Events by which an SDK tells of `after` a program that has heard of `before`: windows, as `select` gives them."""
    old, new = _children(before), _children(after)
    keys = list(new)
    previous = dict(zip(keys, [None, *keys], strict=False))
    order = spec.get("i", ".priority")
    changed = [key for key in keys if key in old and repr(_sorted(old[key])) != repr(_sorted(new[key]))]
    moved = [key for key in changed if order != ".key" and rank(order, key, old[key]) != rank(order, key, new[key])]
    events: list[list[Any]] = [["removed", key] for key in old if key not in new]
    events += [["added", key, previous[key]] for key in keys if key not in old]
    events += [["moved", key, previous[key]] for key in moved]
    events += [["changed", key, previous[key]] for key in changed]
    if events or is_first:
        events.append(["value", keys])
    return events


def window(root: Any, place: tuple[str, ...], spec: dict[str, Any]) -> Any:
    """What stands at `place`, as a listener sees it, in order."""
    for key in place:
        root = root.get(key) if isinstance(root, dict) else None
    return select(root, spec)


def _children(node: Any) -> dict[str, Any]:
    return node or {}


def _sorted(node: Any) -> Any:
    return {key: _sorted(node[key]) for key in sorted(node)} if isinstance(node, dict) else node
