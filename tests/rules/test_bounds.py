"""No rule and no value makes one evaluation long: what it may spend is bounded, and so is what a rule set may hold.

Nothing here looks at a clock. Work is counted in characters looked at, by the same purse that evaluations spend from, in calls of
closures, which a rule has no more of than parts, and in all calls of functions that a decision makes.
"""

from __future__ import annotations

import gc
import json
import sys
from collections.abc import Callable
from contextlib import suppress
from types import FrameType
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import assume, event, given, settings

from meadowlark.errors import Code, Refused
from meadowlark.limits import EVALUATION_CHARACTERS_MAX, EXPRESSION_LENGTH_MAX, PATH_DEPTH_MAX
from meadowlark.rules import RulesInvalid, may_read, may_write, parse_rules
from meadowlark.rules.decide import Reading
from meadowlark.rules.syntax import all_parts
from meadowlark.rules.values import Failed
from tests.rules.cases import evaluate
from tests.rules.test_naive import AUTHS, EXPRESSIONS, without_captures

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


# Huge values of every kind

MEGABYTE = 1024 * 1024
HUGE: Any = {
    "letters": "a" * 4 * MEGABYTE,
    "faces": "😀" * MEGABYTE,
    "both cases": "aB" * MEGABYTE,
    "slashes": "/" * MEGABYTE,
    "a path": "a/" * MEGABYTE,
    "the longest": LONG,
    "large": 1.7976931348623157e308,
    "small": 5e-324,
    "exact": 2**53 - 1,
    "negative": -1.7976931348623157e308,
    "true": True,
}
WIDE = {f"k{number}": {"a": number} for number in range(5_000)}
"""Thousands of children; nobody who names one of them looks at the others."""


def deep(leaf: Any, depth: int = PATH_DEPTH_MAX - 1) -> Any:
    """As deep as a tree may be."""
    node = leaf
    for _ in range(depth):
        node = {"a": node}
    return node


def steps(work: Callable[[], Any]) -> int:
    """How many functions `work` calls, ours and those in C: the same on every machine."""
    count = 0

    def see(frame: FrameType, kind: str, argument: Any) -> None:
        nonlocal count
        count += kind in ("call", "c_call")

    gc.disable()  # A collection calls whoever asked to be told of it, hypothesis for one.
    sys.setprofile(see)
    try:
        with suppress(Failed):
            work()
    finally:
        sys.setprofile(None)
        gc.enable()
    return count


CALLS_OF_A_PART = 60
"""At most, on the average of an expression: a look at a place goes down its path key by key."""


@settings(deadline=None, max_examples=50)
@given(EXPRESSIONS.map(without_captures), AUTHS, st.sampled_from(sorted(HUGE)), st.sampled_from(sorted(HUGE)), st.booleans())
def test_no_value_makes_an_evaluation_of_any_rule_exceed_its_bounds(text, auth, one, other, is_deep):
    try:
        rule = read_rule(text.replace("newData", "data"))
    except RulesInvalid:
        assume(False)
    root = {
        "a": {"a": HUGE[one], "b": WIDE, "c": deep(HUGE[other], 20) if is_deep else HUGE[other]},
        "b": {".value": HUGE[other], ".priority": HUGE[one]} if not isinstance(HUGE[one], bool) else HUGE[other],
        "c": deep(HUGE[one]) if is_deep else HUGE[one],
    }
    parts = len(list(all_parts(rule.expression)))
    seen: list[Any] = []

    def generated() -> Any:
        scope = Reading(auth, ("a", "a"), root, NOW)
        value = rule.run(auth, (), None, scope)
        assert scope.characters >= 0, "what was answered was paid for"
        return value

    def closures() -> Any:
        scope = Reading(auth, ("a", "a"), root, NOW)
        value = rule.watched(lambda scope, part, value: seen.append(value))(scope)
        assert scope.characters >= 0, "what was answered was paid for"
        return value

    outcomes: list[Any] = []
    for run in (generated, closures):
        try:
            outcomes.append(run())
        except Failed:
            outcomes.append("given up")
    assert outcomes[0] == outcomes[1]
    assert outcomes[0] in (True, False, "given up")
    event(f"{outcomes[0]}")
    assert len(seen) <= 2 * parts
    assert all(len(value) <= EVALUATION_CHARACTERS_MAX for value in seen if type(value) is str), "nothing longer is ever made"
    assert steps(generated) <= CALLS_OF_A_PART * (parts + 2)


PATTERNS = st.recursive(
    st.sampled_from(["a", ".", "[ab]", "[^b]", "a|b", "\\\\w", "(a|aa)", "b?"]),
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from(["*", "+", "?", "{2,9}", "{1,90}", "{30}"])).map(lambda made: f"({made[0]}){made[1]}"),
        st.tuples(inner, inner).map("".join),
        st.tuples(inner, inner).map(lambda made: f"({'|'.join(made)})"),
    ),
    max_leaves=6,
)


@settings(deadline=None, max_examples=40)
@given(PATTERNS, st.sampled_from(["letters", "faces", "both cases", "the longest"]), st.booleans())
def test_no_pattern_makes_a_match_exceed_its_bounds(pattern, text, is_whole):
    """However its repetitions nest: a match costs the text, weighed by the pattern, and is given up before it costs more."""
    try:
        rule = read_rule(f"data.val().matches(/{'^' * is_whole}{pattern}{'$' * is_whole}/)")
    except RulesInvalid:
        event("refused")
        return
    scope = reading(HUGE[text])
    before = scope.characters = EVALUATION_CHARACTERS_MAX
    try:
        assert evaluate(rule, scope) in (True, False)
        event("answered")
        assert 0 <= scope.characters <= before - len(HUGE[text])
    except Failed:
        event("given up")
        assert scope.characters < 0
    assert steps(lambda: evaluate(rule, reading(HUGE[text]))) <= 100


@pytest.mark.parametrize(
    "rule",
    [
        "data.exists()", "data.hasChildren()", "data.child('k7/a').val() == 7", "data.hasChild('k7')",
        "root.hasChildren(['k1', 'k2'])", "data.parent().exists() || true", "data.val() != null",
        "data.getPriority() == null", "data.child('nowhere/at/all').exists()",
    ],
)  # fmt: skip
def test_a_rule_takes_the_same_steps_however_many_children_there_are(rule):
    rules = parse_rules(json.dumps({"rules": {".read": rule, "$k": {".read": rule}}}))
    few, many = ({f"k{number}": {"a": number} for number in range(count)} for count in (10, 20_000))
    for path in ((), ("k7",), ("k7", "a")):
        taken = [steps(lambda root=root, path=path: may_read(rules, None, path, root, NOW)) for root in (few, many)]
        assert taken[0] == taken[1]


def test_a_write_takes_steps_for_what_is_written_and_none_for_what_stands_there():
    rules = parse_rules(json.dumps({"rules": {".write": True, "$k": {".validate": "newData.hasChild('a')"}}}))

    def taken(written: int, standing: int) -> int:
        node, root = ({f"k{number}": {"a": 1} for number in range(count)} for count in (written, standing))
        return steps(lambda: may_write(rules, None, [(("k1",), {"a": 1})] if written == 1 else [((), node)], root, NOW))

    assert taken(1, 10) == taken(1, 20_000)
    assert taken(100, 0) == taken(100, 20_000)
    assert taken(2_000, 0) < 2.1 * taken(1_000, 0)


def test_an_operation_that_would_ask_too_many_rules_is_refused_after_as_many(monkeypatch):
    monkeypatch.setattr("meadowlark.rules.scope.OPERATION_RULES_MAX", 50)
    rules = parse_rules(json.dumps({"rules": {".write": True, "$k": {"$j": {".validate": "newData.isNumber()"}}}}))
    few, many, more = ({f"k{number}": {"a": 1} for number in range(count)} for count in (40, 1_000, 20_000))
    assert may_write(rules, None, [((), few)], None, NOW) is True
    taken = []
    for node in (many, more):

        def refused(node: Any = node) -> None:
            with pytest.raises(Refused) as caught:
                may_write(rules, None, [((), node)], None, NOW)
            assert caught.value.code is Code.TOO_BIG

        taken.append(steps(refused))
    assert taken[1] <= taken[0] + 100


@pytest.mark.parametrize("rule", ["data.val().matches(/^(a|.)*b$/)", "data.val() < data.val() + 'a'", "data.val().length > 7"])
@pytest.mark.parametrize("text", ["😀" * 2 * MEGABYTE, "é" * 4 * MEGABYTE, "é😀" * MEGABYTE])
def test_long_texts_of_any_alphabet_are_looked_at_in_few_steps(rule, text):
    """All at once, and not a character at a time."""
    assert steps(lambda: evaluate(read_rule(rule), reading(text))) <= 1_000
