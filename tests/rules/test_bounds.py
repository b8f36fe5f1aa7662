"""No rule and no value makes one evaluation long: what it may spend is bounded, and so is what a rule set may hold.

Nothing here looks at a clock. Work is counted in characters looked at, by the same purse that evaluations spend from, and in
calls of closures, which a rule has no more of than parts.
"""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from meadowlark.limits import EVALUATION_CHARACTERS_MAX, EXPRESSION_LENGTH_MAX
from meadowlark.rules import RulesInvalid, parse_rules
from meadowlark.rules.decide import Reading
from meadowlark.rules.syntax import all_parts
from meadowlark.rules.values import Failed
from tests.rules.cases import evaluate

LONG = "a" * (10 * 1024 * 1024)
NOW = 1_700_000_000_000


def read_rule(rule: str) -> Any:
    parsed = parse_rules(json.dumps({"rules": {".read": rule}})).root.read
    assert parsed is not None
    return parsed


def reading(data: Any) -> Any:
    return Reading({"uid": "anna"}, (), data, NOW)


@pytest.mark.parametrize(
    "rule",
    [
        "data.val().matches(/^(a+a+)+b$/) || data.val().matches(/^(a+a+)+c$/)",
        "data.val().matches(/(a|aa|aaa){1,200}$/)",
        "data.val().replace('a', data.val()) == ''",
        "data.val().replace('', data.val()) == ''",
        "data.val() + data.val() + data.val() == ''",
        "data.val().toUpperCase().toLowerCase() == ''",
        "data.child(data.val()).exists() || data.child(data.val()).exists()",
        "data.hasChildren([data.val(), data.val()])",
        " && ".join(["data.val().contains('aaaab') == false"] * 1000),
        " && ".join(["data.val().matches(/a$/)"] * 1000),
        " && ".join(["data.val() <= data.val()"] * 1000),
        " && ".join(["data.val() == data.val()"] * 1000),
    ],
)
def test_long_values_end_an_evaluation_rather_than_prolong_it(rule):
    scope = reading(LONG)
    scope.characters = EVALUATION_CHARACTERS_MAX
    with pytest.raises(Failed):
        evaluate(read_rule(rule), scope)
    assert scope.characters < 0


def test_one_look_at_the_longest_string_is_possible():
    assert evaluate(read_rule("data.isString() && data.val().length > 100 && !data.val().contains('b')"), reading(LONG)) is True


def test_every_part_is_evaluated_at_most_once():
    """But for the test of a `?:` between places of both trees, which is asked once for the tree and once for the path."""
    rule = read_rule(" && ".join(["(auth.uid == 'anna' ? data.child('a') : root).parent().exists() == false"] * 50))
    seen: list[Any] = []
    rule.watched(lambda scope, part, value: seen.append(part))(reading(None))
    assert len(seen) <= len(list(all_parts(rule.expression)))


@pytest.mark.parametrize(
    "rule",
    [
        "!" * 5000 + "true",
        "-" * 5000 + "1 == 1",
        "(" * 5000 + "true" + ")" * 5000,
        "data" + ".parent()" * 5000 + ".exists()",
        "auth" + ".a" * 5000 + " == 1",
        "true" + " ? true : false" * 5000,
        "true ? " * 5000 + "true" + " : false" * 5000,
        "data.hasChildren(" + "[" * 5000,
        "true" + " && true" * EXPRESSION_LENGTH_MAX,
        "'a'.matches(/" + "(" * 5000 + "a" + ")" * 5000 + "/)",
    ],
)
def test_what_nests_without_end_is_refused(rule):
    with pytest.raises(RulesInvalid):
        read_rule(rule)


def test_what_is_as_large_as_may_be_works():
    assert evaluate(read_rule(" && ".join(["true"] * 8000)), reading(None)) is True
    assert evaluate(read_rule("'' + " * 10_000 + "'a' == 'a'"), reading(None)) is True
    assert evaluate(read_rule("(" * 90 + "true" + ")" * 90), reading(None)) is True
    assert evaluate(read_rule("true" + " ? (true" * 40 + ") : false" * 40), reading(None)) is True


TEXTS = st.sampled_from(["", "a", "ab" * 200, "é" * 300, "😀" * 300, "/" * 400, "a/" * 300])


@settings(deadline=None)
@given(
    TEXTS,
    st.lists(
        st.sampled_from(
            [
                ".toUpperCase()",
                ".replace('a', data.val())",
                ".replace('', data.val())",
                ".replace(data.val(), 'x')",
                ".toLowerCase()",
            ]
        ),
        max_size=8,
    ),
    st.sampled_from(
        [".length > 1", ".matches(/^(a|b)*$/)", ".contains(data.val())", " < data.val() + 'a'", " + data.val() == data.val()"]
    ),
)
def test_texts_of_any_kind_are_answered_or_given_up(text, calls, end):
    scope = reading(text)
    rule = read_rule("data.val()" + "".join(calls) + end)
    with suppress(Failed):
        assert isinstance(evaluate(rule, scope), bool)
    assert scope.characters <= EVALUATION_CHARACTERS_MAX
