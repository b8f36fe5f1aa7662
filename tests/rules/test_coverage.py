"""Coverage: every rule that is asked is counted with its outcome and what its parts saw, and decisions stay what they are."""

from __future__ import annotations

import pytest

from meadowlark.errors import Refused
from meadowlark.rules import Coverage, parse_rules
from meadowlark.rules.coverage import VALUES_MAX, WATCHED_MAX
from meadowlark.tree import from_json

RULES = parse_rules(
    """{"rules": {
  "notes": {"$user": {".read": "auth.uid === $user", ".write": "auth.uid.length > 3", ".validate": "newData.isString()"}},
  "many": {".write": true, "$key": {".validate": "newData.isNumber()"}},
  "open": {".read": true}
}}"""
)
ANNA = {"uid": "anna"}


def counts(coverage: Coverage) -> dict[str, tuple[int, int, int]]:
    return {
        f"{rule.kind} {'/'.join(rule.path)}": (count.true, count.false, count.failed) for rule, count in coverage.counts.items()
    }


def test_outcomes_are_counted() -> None:
    coverage = Coverage(RULES)
    assert coverage.decide_read(ANNA, ("notes", "anna"), None, 0)
    assert not coverage.decide_read({"uid": "bert"}, ("notes", "anna"), None, 0)
    assert coverage.decide_read(None, ("open", "deep"), None, 0)
    assert coverage.decide_write(ANNA, [(("notes", "anna"), "text")], None, 0)
    assert not coverage.decide_write(None, [(("notes", "anna"), "text")], None, 0)
    assert counts(coverage) == {
        "read notes/$user": (1, 1, 0),
        "write notes/$user": (1, 1, 1),
        "validate notes/$user": (1, 0, 0),
        "write many": (0, 0, 0),
        "validate many/$key": (0, 0, 0),
        "read open": (1, 0, 0),
    }
    assert [(rule.kind, rule.path, lack) for rule, lack in coverage.missing()] == [
        ("validate", ("notes", "$user"), "never false"),
        ("write", ("many",), "never asked"),
        ("validate", ("many", "$key"), "never asked"),
    ]


def test_parts_tell_what_they_saw() -> None:
    coverage = Coverage(RULES)
    for who in (ANNA, ANNA, {"uid": True}, {"uid": 1}):
        coverage.decide_read(who, ("notes", "anna"), None, 0)
    told = coverage.to_json()[0]
    assert (told["evaluations"], told["true"], told["false"], told["text"]) == (4, 2, 2, "auth.uid === $user")
    values = {part["part"]: [(seen["value"], seen["count"]) for seen in part["values"]] for part in told["parts"]}
    assert values["auth.uid"] == [("anna", 2), (True, 1), (1, 1)]
    assert values["$user"] == [("anna", 4)]


def test_what_is_kept_is_bounded() -> None:
    coverage = Coverage(RULES)
    for number in range(3 * VALUES_MAX):
        coverage.decide_read({"uid": f"u{number}"}, ("notes", "anna"), None, 0)
    seen = next(part for part in coverage.to_json()[0]["parts"] if part["part"] == "auth.uid")["values"]
    assert len(seen) == VALUES_MAX + 1
    assert sum(value["count"] for value in seen) == 3 * VALUES_MAX
    node, _ = from_json({f"k{number}": number for number in range(2 * WATCHED_MAX)}, 1)
    assert coverage.decide_write(None, [(("many",), node)], None, 0)
    told = counts(coverage)
    assert told["validate many/$key"] == (2 * WATCHED_MAX, 0, 0)
    (part,) = coverage.to_json()[4]["parts"]
    assert sum(value["count"] for value in part["values"]) == WATCHED_MAX


def test_too_many_evaluations_are_refused_while_counting(monkeypatch: pytest.MonkeyPatch) -> None:
    coverage = Coverage(RULES)
    monkeypatch.setattr("meadowlark.rules.scope.OPERATION_RULES_MAX", 5)
    node, _ = from_json({f"k{number}": number for number in range(6)}, 1)
    with pytest.raises(Refused, match="more than 5 times"):
        coverage.decide_write(None, [(("many",), node)], None, 0)
