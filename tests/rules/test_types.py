"""What is refused when rules are uploaded: the words that users know, at the line and column of the file."""

from __future__ import annotations

import json

import pytest

from meadowlark.rules import RulesInvalid, parse_rules


def faults(rule: str, *, kind: str = ".write", key: str = "$x") -> list[str]:
    """What is said of `rule`, which begins at column 1 of the last line."""
    text = json.dumps({"rules": {key: {kind: "RULE"}}}).replace('"RULE"', '\n"' + json.dumps(rule)[1:-1] + '"')
    try:
        parse_rules(text)
    except RulesInvalid as invalid:
        # The opening quote is column 1.
        return [f"{fault.column - 2}: {fault.message}" for fault in invalid.faults if fault.line == 2]
    return []


@pytest.mark.parametrize(
    "rule",
    [
        "true",
        "auth != null && auth.uid == $x",
        "auth.token['admin'][$x] == true",
        "auth.uid.length > 3",
        "newData.val() + 1 === data.val()",
        "data.child($x).parent().hasChildren(['a', 'b/' + $x, auth.uid])",
        "root['exists']()",
        "$x > 1000 && $x % 2 == 0 && -$x < 3",
        "$x.length < 10 && $x.matches(/^a/i)",
        "data.val() < 3 ? data.exists() : newData.isString()",
        "(auth == null ? data : newData).exists()",
        "(auth == null ? 1 : 'a') == 1",
        "data.getPriority() == 3 && data.getPriority().length == 2",
        "query.limitToFirst <= 10 && query.orderByChild == 'a'",
        "now < 1600000000000 + 5 * 1000",
        "auth.token.email.matches(/x/) && auth.uid.replace('a', 'b') == 'c'",
        "data.val() <= null",
        "data.val().length == 3",
        "(auth == null ? data : 'a') == 'a'",
        "(auth == null ? null : data) != null && (auth == null ? query : auth.uid).length < 3",
    ],
)
def test_what_is_accepted(rule):
    assert faults(rule) == []


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        ("'a'", ["0: Expression must evaluate to a boolean."]),
        ("data.val()", ["0: Expression must evaluate to a boolean."]),
        ("auth.admin", ["0: Expression must evaluate to a boolean."]),
        ("data.exists", ["0: Expression must evaluate to a boolean."]),
        ("auth && true", ["0: Left operand of && must be boolean."]),
        ("true || data.val() || 1 < 2", ["8: Right operand of || must be boolean."]),
        ("true && auth.token.admin", ["8: Right operand of && must be boolean."]),
        ("!data.val()", ["1: ! only operates on booleans."]),
        ("-'a' == 1", ["1: - only operates on numbers."]),
        ("auth ? true : false", ["0: condition of ? must be boolean."]),
        ("(true ? data : 'a').exists()", ["20: No such method/property 'exists'."]),
        ("true ? data : 'a'", ["0: Expression must evaluate to a boolean."]),
        ("data == null", ["0: Invalid == expression: left operand is not a number, boolean, string, or null."]),
        ("1 != /a/", ["5: Invalid != expression: right operand is not a number, boolean, string, or null."]),
        ("data.val() > true", ["13: Invalid > expression: right operand is not a number or string."]),
        ("1 < 'a'", ["4: Invalid < expression: left and right operands are of different types."]),
        ("1 + true == 2", ["4: Invalid + expression: right operand is not a number or string."]),
        ("null + 'a' == 'a'", ["0: Invalid + expression: left operand is not a number or string."]),
        ("1 - 'a' == 2", ["4: Invalid - expression: right operand is not a number."]),
        ("$y == 'a'", ["0: Unknown variable '$y'."]),
        ("firebase == 1 && undefined == 2", ["0: Unknown variable 'firebase'.", "17: Unknown variable 'undefined'."]),
        ("data.isArray()", ["5: No such method/property 'isArray'."]),
        ("data.val().foo == 1", ["11: No such method/property 'foo'."]),
        ("data.val()['k'] == 1", ["10: No such method/property 'k'."]),
        ("root['exi' + 'sts']()", ["4: Invalid property access."]),
        ("auth.foo.bar() == 1", ["9: No such method/property 'bar'."]),
        ("auth.uid.length() == 1", ["9: No such method/property 'length'."]),
        ("'abc'.length() == 1", ["6: Only methods can be called."]),
        ("exists()", ["0: Unknown variable 'exists'."]),
        ("data.exists(1)", ["11: method expects 0 arguments, but got 1."]),
        ("data.child('a', 'b').exists()", ["10: method expects 1 argument, but got 2."]),
        ("data.child(1).exists()", ["11: method expects argument 1 to be a string, but got number."]),
        ("'a'.replace('b', 1) == 'c'", ["17: method expects argument 2 to be a string, but got number."]),
        ("data.hasChildren('a')", ["17: hasChildren takes 1 argument: an array of strings."]),
        ("data.hasChildren([])", ["17: hasChildren takes 1 argument: an array of strings."]),
        ("data.hasChildren(['a', 1])", ["23: hasChildren takes 1 argument: an array of strings."]),
        ("'a'.matches('b')", ["11: matches takes 1 argument: a regular expression literal."]),
        ("'a'.matches(/(b|)/)", ["12: Illegal regular expression, expected ')' at position 4"]),
        ("['a'] == 1", ["0: Invalid == expression: left operand is not a number, boolean, string, or null."]),
    ],
)
def test_what_is_refused_where_and_in_which_words(rule, said):
    assert faults(rule) == said


def test_new_data_is_not_known_where_nothing_is_written():
    assert faults("newData.exists()", kind=".read") == ["0: Unknown variable 'newData'."]
    assert faults("newData.exists()", kind=".validate") == []


def test_a_mistake_is_said_once_however_far_it_reaches():
    assert faults("!(foo.bar('x', nothing)[1] + 2 > 3) && $x == foo") == [
        "2: Unknown variable 'foo'.",
        "15: Unknown variable 'nothing'.",
        "45: Unknown variable 'foo'.",
    ]
