"""Trials: cases come out as expected or say why not, and what they leave untested is known."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from meadowlark.rules import parse_rules
from meadowlark.rules.trials import parse_trials, try_all

RULES = parse_rules(
    """{"rules": {
  "notes": {"$user": {".read": "auth.uid === $user", ".write": "auth.uid === $user && newData.isString()"}},
  "few": {".read": "query.limitToFirst <= 10"},
  "open": {".read": true}
}}"""
)


def tried(*cases: Any, data: Any = None) -> Any:
    return try_all(RULES, parse_trials({"cases": list(cases), "data": data}))


@pytest.mark.parametrize(
    "case",
    [
        {"as": "anna", "read": "/notes/anna", "expect": "allow"},
        {"as": {"uid": "bert"}, "read": "/notes/anna", "expect": "deny"},
        {"read": "/open", "expect": "allow"},
        {"as": "anna", "set": "/notes/anna", "value": "x", "expect": "allow"},
        {"as": "anna", "set": "/notes/anna", "value": 1, "expect": "deny"},
        {"as": "anna", "update": "/notes", "value": {"anna": "x", "bert": "y"}, "expect": "deny"},
        {"read": "/few", "query": {"limitToFirst": 5}, "expect": "allow"},
        {"read": "/few", "expect": "deny"},
    ],
)
def test_a_case_comes_out_as_the_rules_say(case):
    (outcome,), _ = tried(case)
    assert outcome.is_right
    (opposite,), _ = tried({**case, "expect": "deny" if case["expect"] == "allow" else "allow"})
    assert not opposite.is_right


def test_cases_have_titles():
    (outcome, named), _ = tried(
        {"as": "anna", "read": "/open", "expect": "allow"}, {"name": "mine", "read": "/", "expect": "deny"}
    )
    assert (outcome.case.title(), named.case.title()) == ("anna may read /open", "mine")


def test_a_case_that_no_database_would_take_is_wrong():
    (outcome,), _ = tried({"as": "anna", "set": "/notes/a.b", "value": "x", "expect": "deny"})
    assert not outcome.is_right
    assert "a.b" in outcome.refusal


@pytest.mark.parametrize(
    "case",
    [
        {"expect": "allow"},
        {"read": "/", "set": "/", "expect": "allow"},
        {"read": "/", "expect": "maybe"},
        {"update": "/", "value": 1, "expect": "deny"},
        {"read": "/", "expect": "allow", "wat": 1},
    ],
)
def test_what_is_no_case_is_refused(case):
    with pytest.raises(msgspec.ValidationError):
        parse_trials({"cases": [case]})


def test_rules_that_no_case_asked_are_known():
    _, coverage = tried({"as": "anna", "read": "/notes/anna", "expect": "allow"}, {"read": "/open", "expect": "allow"})
    assert [(rule.kind, rule.path, lack) for rule, lack in coverage.missing()] == [
        ("read", ("notes", "$user"), "never false"),
        ("write", ("notes", "$user"), "never asked"),
        ("read", ("few",), "never asked"),
    ]
