"""The recorded cases of tests/specs/rules, and one way to ask any of them of the rules alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from meadowlark.errors import Code, Refused
from meadowlark.rules import may_read, may_write, parse_rules
from meadowlark.rules.decide import Deciding
from meadowlark.rules.ruleset import Rule
from meadowlark.rules.scope import NO_QUERY
from meadowlark.rules.values import Failed
from meadowlark.tree import find, from_json, parse_path, resolve

Case = dict[str, Any]
SPECS = Path(__file__).parents[1] / "specs" / "rules"


def load(name: str, table: str) -> list[Case]:
    """A table of one file of cases, each with an `id`."""
    rows: list[Case] = json.loads((SPECS / name).read_text())[table]
    return rows


OPERATIONS = [case for name in ("expressions.json", "bolt.json", "production.json") for case in load(name, "operations")]


def query_of(asked: Case | None) -> Case | None:
    """`query` as rules see it, of a case that says only what differs."""
    return None if asked is None else {**NO_QUERY, "orderByKey": False, **asked}


def verdict(case: Case) -> str:
    """`allow`, `deny` or `invalid_path`, as the case's `expect`."""
    rules = parse_rules(json.dumps(case["rules"]))
    now = case["now"]
    root = made(case["data"], None, now, 0)
    try:
        path = parse_path(case["path"])
        if case["op"] == "read":
            allowed = may_read(rules, case["auth"], path, root, now, query_of(case.get("query")))
        else:
            writes = [
                (place, made(value, find(root, place), now, len(place)))
                for place, value in (
                    [(path, with_priority(case))]
                    if case["op"] == "write"
                    else [(path + parse_path(key), value) for key, value in case["patch"].items()]
                )
            ]
            allowed = may_write(rules, case["auth"], writes, root, now)
    except Refused as refused:
        return "invalid_path" if refused.code is Code.INVALID_PATH else refused.text
    return "allow" if allowed else "deny"


def with_priority(case: Case) -> Any:
    """The value that a case writes, with the priority that it gives beside it."""
    value = case.get("value")
    return {".value": value, ".priority": case["priority"]} if "priority" in case else value


def made(value: Any, existing: Any, now: int, depth: int) -> Any:
    node, waiting = from_json(value, depth)
    return resolve(node, existing, now) if waiting else node


def evaluate(rule: Rule, deciding: Deciding) -> Any:
    """What one evaluation of `rule` gives or raises, in both of its forms: as generated, and as closures."""
    characters = deciding.characters
    outcomes = []
    for run in (
        lambda: rule.watched(lambda *seen: None)(deciding),
        lambda: rule.run(deciding.auth, deciding.path, None, deciding),
    ):
        deciding.characters = characters
        try:
            outcomes.append((run(), None))
        except Failed as failed:
            outcomes.append((None, str(failed)))
    assert outcomes[0] == outcomes[1], (rule.text, outcomes)
    value, failure = outcomes[0]
    if failure is not None:
        raise Failed(failure)
    return value
