"""Every recorded case agrees: what live Firebase databases were seen to do, and what others' simulators agree on."""

from __future__ import annotations

import json

import pytest

from meadowlark.rules import RulesInvalid, parse_rules
from meadowlark.rules.decide import Reading
from meadowlark.rules.pattern import PatternFault, compile_pattern
from meadowlark.rules.values import Failed
from meadowlark.tree import from_json
from tests.rules.cases import OPERATIONS, Case, evaluate, load, query_of, verdict

EXPRESSIONS = load("expressions.json", "expressions")
NOW = 1_700_000_000_000


def named(case: Case) -> str:
    return str(case["id"])


@pytest.mark.parametrize("case", OPERATIONS, ids=named)
def test_an_operation_is_allowed_or_denied(case):
    assert verdict(case) == case["expect"]


@pytest.mark.parametrize("case", load("expressions.json", "rulesets"), ids=named)
def test_a_rule_set_is_accepted_or_refused(case):
    if case["expect"] == "accept":
        parse_rules(json.dumps(case["rules"]))
    else:
        with pytest.raises(RulesInvalid):
            parse_rules(json.dumps(case["rules"]))


@pytest.mark.parametrize("case", EXPRESSIONS, ids=named)
def test_an_expression_has_its_value_or_fails(case):
    rules, path = {".read": case["rule"]}, []
    for name, key in case.get("wildcards", {}).items():
        rules, path = {name: rules}, [key, *path]
    text = json.dumps({"rules": rules})
    if not case["expect_valid"]:
        with pytest.raises(RulesInvalid):
            parse_rules(text)
        return
    level = parse_rules(text).find_level(tuple(path))
    assert level is not None
    assert level.read is not None
    scope = Reading(case["auth"], tuple(path), from_json(case.get("data"))[0], NOW, query_of(case.get("query")))
    if case["expect_runtime_error"]:
        with pytest.raises(Failed):
            evaluate(level.read, scope)
    else:
        assert evaluate(level.read, scope) is case["expect_value"]


@pytest.mark.parametrize("case", load("expressions.json", "regexes"), ids=lambda case: case["source"])
def test_a_regular_expression_is_accepted_or_refused(case):
    if case["expect"] == "accept":
        compile_pattern(case["source"], case["flags"])
    else:
        with pytest.raises(PatternFault):
            compile_pattern(case["source"], case["flags"])


@pytest.mark.parametrize("case", load("expressions.json", "strings"), ids=str)
def test_a_method_of_strings_gives_what_it_gave(case):
    arguments = ", ".join(text if text.startswith("/") else f"'{text}'" for text in case["args"])
    wanted = f"'{case['expect']}'" if isinstance(case["expect"], str) else str(case["expect"]).lower()
    rules = parse_rules(json.dumps({"rules": {".read": f"'{case['receiver']}'.{case['method']}({arguments}) == {wanted}"}}))
    assert rules.root.read is not None
    assert evaluate(rules.root.read, Reading(None, (), None, NOW))
