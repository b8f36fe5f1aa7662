"""What is suspicious about rules, and what is not."""

from __future__ import annotations

import json

import pytest

from bench.rules import APPS, App
from meadowlark.rules import parse_rules
from meadowlark.rules.lint import lint


def findings(rules: object) -> list[str]:
    return [finding.message for finding in lint(parse_rules(json.dumps({"rules": rules})))]


@pytest.mark.parametrize(
    ("rules", "word"),
    [
        ({"a": {".read": True}}, "everyone may read /a"),
        ({".write": "now < 1700000000000"}, "only waits for a time"),
        ({"a": {".read": True, "b": {".read": False}}}, "cannot take back"),
        ({"a": {".write": True, "$b": {"c": {".write": "auth != null"}}}}, "adds nothing to"),
        ({"a": {".write": "auth != null", ".validate": True}}, "checks nothing"),
        ({"a": {".validate": "newData.hasChildren(['x'])", "x": {".validate": False}}}, "nothing can be valid"),
        ({"a": {".validate": "newData.hasChildren(['y'])", "x": {}, "$other": {".validate": False}}}, "nothing can be valid"),
        ({"$a": {".read": "$a == 5"}}, "a capture is a string"),
        ({".read": "auth.uid.matches(/^(?:a)$/)"}, "no meaning"),
        ({".read": "auth.uid.matches(/^[a-z]+/)"}, "add $"),
        ({".read": "auth.uid.matches(/[0-9]{3}x$/)"}, "add ^"),
        ({".read": "now < 1700000000000"}, "everyone may read"),
        ({"a": {".read": "query.orderByChild === 'at' && query.limitToLast <= 9"}}, "asks for orderByChild('at')"),
        ({"a": {".read": "'/at' == query.orderByChild", ".indexOn": "by"}}, "asks for orderByChild('/at')"),
        ({"a": {".read": "query.orderByValue && query.limitToLast <= 9"}}, "asks for orderByValue"),
        ({"a": {".read": False, ".indexOn": "at"}}, "only of use to admins"),
        ({"a": {".indexOn": ".value", "b": {".read": "auth != null"}}}, "only of use to admins"),
        ({"a": {".read": "auth != null", ".indexOn": [".priority", "at"]}}, "'.priority' needs no index"),
        ({"a": {".read": "auth != null", ".indexOn": "x/y", "$b": {"x": {".validate": False}}}}, "no child can have 'x/y'"),
        (
            {"a": {".write": "auth != null", ".validate": "newData.isString() && newData.hasChild('x')"}},
            "cannot hold: it wants a s",
        ),
        ({"a": {".write": "auth != null", ".validate": "!newData.exists()"}}, "wants nothing to be here"),
        ({"a": {".write": "auth != null", ".validate": "null === newData.val()"}}, "wants nothing to be here"),
        ({"a": {".write": "auth != null", ".validate": "newData.isString()", "b": {".write": "auth != null"}}}, "leaves no room"),
        (
            {"a": {".write": "auth != null", ".validate": False, "b": {"c": {".validate": "newData.isString()"}}}},
            "leaves no room",
        ),
        ({"a": {".write": False, ".validate": "newData.isString()"}}, "never asked"),
        ({"lobby": {}, "$room": {".write": "auth != null"}}, "does not count for 'lobby'"),
    ],
)
def test_what_is_found(rules, word):
    assert [message for message in findings(rules) if word in message], findings(rules)


@pytest.mark.parametrize(
    "rules",
    [
        {},
        {".read": False, "users": {"$user": {".read": "auth.uid === $user", ".write": "auth.uid === $user"}}},
        {"a": {".read": "auth != null", "b": {".read": "auth.token.admin === true"}}},
        {"a": {".write": "auth != null && now > data.val()", ".validate": "newData.hasChildren(['x', 'y'])", "x": {}, "y": {}}},
        {"a": {".read": "query.orderByChild == 'at' || query.orderByKey", "$b": {".indexOn": "at"}}},
        {"a": {".read": "auth != null", ".indexOn": ["x/y", ".value"], "$b": {"x": {"y": {}}, "z": {".validate": False}}}},
        {"a": {".validate": "newData.hasChildren()", "$b": {".write": "auth.uid == $b", ".validate": "newData.isString()"}}},
        {"lobby": {".write": False}, "$room": {".write": "auth != null"}},
        {"a": {".write": "auth != null", ".validate": "newData.val().matches(/^https:/) && newData.val().matches(/x\\+*.png$/)"}},
        {"a": {".read": "auth != null", "$b": {".write": "now < data.child('until').val()"}}},
        {
            "a": {
                ".write": "auth != null",
                "x": {".validate": "newData.isString()"},
                "$other": {".validate": False},
                ".validate": "newData.hasChild('x')",
            }
        },
    ],
)
def test_what_is_usual_is_not_found(rules):
    assert findings(rules) == []


@pytest.mark.parametrize("app", APPS, ids=lambda app: app.name)
def test_real_applications_hear_only_of_what_everyone_may_read(app: App) -> None:
    assert [message for message in findings(app.rules) if "everyone may read" not in message] == []


def test_every_finding_has_a_place_and_says_what_to_do() -> None:
    text = """{"rules": {
      "a": {".read": true, ".validate": true},
      "b": {".write": true, "c": {".write": false}, ".validate": "newData.isString() && newData.isNumber()"}
    }}"""
    found = lint(parse_rules(text))
    assert [(finding.line, finding.column) for finding in found] == [(2, 22), (2, 41), (2, 41), (3, 23), (3, 45), (3, 66)]
    assert all("; " in finding.message for finding in found)


def test_what_is_meant_is_said_so_on_its_line() -> None:
    open_to_all = '{"rules": {"a": {\n".read": true,%s\n".write": true\n}}}'
    assert [finding.line for finding in lint(parse_rules(open_to_all % ""))] == [2, 3]
    assert [finding.line for finding in lint(parse_rules(open_to_all % " // Everyone's. lint: ok"))] == [3]
