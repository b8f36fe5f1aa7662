"""What is suspicious about rules, and what is not."""

from __future__ import annotations

import json

import pytest

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
        ({"a": {".validate": True}}, "checks nothing"),
        ({"a": {".validate": "newData.hasChildren(['x'])", "x": {".validate": False}}}, "nothing can be valid"),
        ({"a": {".validate": "newData.hasChildren(['y'])", "x": {}, "$other": {".validate": False}}}, "nothing can be valid"),
        ({"$a": {".read": "$a == 5"}}, "a capture is a string"),
        ({".read": "auth.uid.matches(/^(?:a)$/)"}, "no meaning"),
        ({".read": "auth.uid.matches(/^a/)"}, "one end only"),
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
        {"a": {"x": {".validate": "newData.isString()"}, "$other": {".validate": False}, ".validate": "newData.hasChild('x')"}},
    ],
)
def test_what_is_usual_is_not_found(rules):
    assert findings(rules) == []
