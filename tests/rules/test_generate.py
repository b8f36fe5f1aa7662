"""Generated rules: nothing that a user wrote is in their text, what is too much for Python is asked of closures, shapes are one.

That they mean what closures mean is in test_cases.py (`evaluate`), test_bounds.py and test_naive.py."""

from __future__ import annotations

import json
from typing import Any

import pytest

from meadowlark.rules import generate as generating
from meadowlark.rules import parse_rules
from meadowlark.rules.decide import Reading
from meadowlark.rules.ruleset import Rule
from meadowlark.tree import from_json
from tests.rules.cases import evaluate

DATA = from_json({"a": {".value": "x", ".priority": 2}, "b": {"c": 1, "d": True}, "e": 5, "f": "é😀"})[0]


def read_rule(text: str) -> Rule:
    rule = parse_rules(json.dumps({"rules": {".read": text}})).root.read
    assert rule is not None
    return rule


def value(text: str, auth: Any = None) -> Any:
    return evaluate(read_rule(text), Reading(auth, (), DATA, 7))


@pytest.mark.parametrize("hostile", ["');import os#", "{0}{p}", "\\\\' + k0 + '", '"""', "k1", "a\n  raise", "%s"])
def test_nothing_of_a_user_is_in_the_text_that_is_compiled(hostile: str, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = []
    shape = generating._shape
    monkeypatch.setattr(generating, "_shape", lambda text, constants: (texts.append(text), shape(text, constants))[1])
    for text in ("x", hostile):
        quoted = json.dumps(text)
        same = f"auth.token[{quoted}] === {quoted} && data.child('f').val() !== {quoted} && {quoted}.contains({quoted})"
        assert evaluate(read_rule(same), Reading({"token": {text: text}}, (), DATA, 7)) is True
    assert texts[0] == texts[1]


def test_rules_of_one_shape_share_their_code() -> None:
    one, other = read_rule("auth.uid === 'anna'"), read_rule("auth.name == 'bert'")
    assert one.run.__code__ is other.run.__code__  # type: ignore[attr-defined]
    assert evaluate(one, Reading({"uid": "anna"}, (), None, 7)) is True
    assert evaluate(other, Reading({"name": "anna"}, (), None, 7)) is False


@pytest.mark.parametrize(
    "rule",
    [
        "!" * 80 + "(auth == null)",
        "(" * 60 + "auth == null" + " || auth == null)" * 60,
        " || ".join(["auth.uid == 'x'"] * 3000) + " || true",
        "1" + " + 1" * 500 + " == 501",
        "auth == null" + " ? (auth == null" * 40 + ") : false" * 40,
        "(data.child('b').child('c').val() > 0) == true == true",
        "data.hasChildren([" + ", ".join(["'b'"] * 300) + "])",
    ],
)
def test_what_is_too_much_for_one_function_is_asked_of_closures(rule: str) -> None:
    assert value(rule) is True


@pytest.mark.parametrize(
    "rule",
    [
        "data.child('a').val() == 'x' && data.child('a').isString() && data.child('a').getPriority() == 2",
        "data.child('b').isNumber() == false && data.child('b/c').isNumber() && data.child('b').child('d').isBoolean()",
        "data.child('b').hasChildren() && data.hasChildren(['a', 'b/c', 'e']) && !data.hasChildren(['a', 'z'])",
        "data.child('f').val().length == 3 && data.child('f').val() < 'ê'",
        "data.child('b/c').parent().parent().child('e').val() >= 5 && data.child('e').val() < 5.5",
        "!(data.child('a').val() == 5) && data.child('e').val() == 5 && data.child('b/d').val() != 1",
        "root.child('').exists() && root.child('/').hasChild('b') && data.child('').hasChildren(['', 'b'])",
        "data.child('a').val() + 1 == 'x1' && data.child('e').val() % 3 == 2 && -data.child('e').val() == -5",
        "root.child(data.child('a').val()).parent().exists() && root.child(data.child('f').val()).parent().child('e').val() == 5",
    ],
)
def test_questions_about_places(rule: str) -> None:
    assert value(rule) is True
