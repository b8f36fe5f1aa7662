"""Explanations: every rule that was asked, with its place, its outcome and what it saw; and the decision is the same."""

from __future__ import annotations

import json
from typing import Any

import pytest

from meadowlark.rules import explain_read, explain_slices, explain_write, parse_rules
from meadowlark.rules.decide import Deciding
from meadowlark.rules.explain import LAST_STEPS, SLICE_STEPS, STEPS_MAX, Explanation
from meadowlark.rules.ruleset import Rule
from tests.rules.cases import OPERATIONS, made, query_of, with_priority

NOW = 1_700_000_000_000
TEXT = """{"rules": {
  "a": {
    ".read": "auth.uid == 'anna' || data.child('open').val() === true",
    ".write": "newData.child('n').val() > data.child('n').val()",
    "n": {".validate": "newData.isNumber() && newData.val() < 10"},
    "long": {".write": "newData.val().contains('x') && auth.nothing.length > 3"}
  }
}}"""


def in_slices(rules: Any, auth: Any, writes: Any, root: Any, now: int = NOW) -> tuple[Explanation, int]:
    """An explanation, and in how many steps it was made."""
    steps, count = explain_slices(rules, auth, writes, lambda: root, now), 1
    while True:
        try:
            next(steps)
        except StopIteration as stop:
            return stop.value, count
        count += 1


def explained(path: str, value: Any = None, *, auth: Any = None, data: Any = None) -> Any:
    rules, keys = parse_rules(TEXT), tuple(key for key in path.split("/") if key)
    root = made(data, None, NOW, 0)
    if value is None:
        return explain_read(rules, auth, keys, root, NOW)
    return explain_write(rules, auth, [(keys, made(value, None, NOW, 0))], root, NOW)


def test_what_granted_is_told_with_its_place_and_its_values():
    explanation = explained("/a/b", data={"a": {"open": True}}, auth={"uid": "bert"})
    assert explanation.allowed
    assert explanation.summary() == ".read at /a (line 3, column 14) is true"
    assert explanation.steps[0].seen == [("auth.uid", "bert"), ("data.child('open').val()", True)]


def test_what_refused_is_told():
    assert explained("/b", 1).summary() == "there is no .write on the way to /b"
    assert explained("/a/n", 1, data={"a": {"n": 1}}).summary() == (
        "no .write on the way to /a/n is true: .write at /a (line 4, column 15) is false"
    )
    assert explained("/a/n", 12, data={"a": {"n": 1}}).summary() == ".validate at /a/n (line 5, column 24) is false"


def test_a_failure_is_told_with_its_reason():
    explanation = explained("/a/long", "x", data={"a": {"n": 1}})
    assert explanation.steps[-1].line() == ".write at /a/long (line 6, column 24) is false (a number was expected)"


def test_values_are_shown_as_json_and_cut_where_they_are_long():
    explanation = explained("/a/long", "x" * 1000, data={"a": {"n": 1}})
    shown = explanation.to_json()
    assert json.loads(json.dumps(shown)) == shown
    value = next(seen["value"] for step in shown["steps"] for seen in step["values"] if seen["part"] == "newData.val()")
    assert value == "x" * 80 + "…"


def test_of_an_update_the_place_that_was_refused_is_told():
    writes = [(("a", "n"), 2), (("b",), 1)]
    explanation = explain_write(parse_rules(TEXT), None, writes, {"a": {"n": 1}}, NOW)
    assert (explanation.allowed, explanation.path) == (False, ("b",))


@pytest.mark.parametrize(
    "case", [case for case in OPERATIONS if case["expect"] in ("allow", "deny")], ids=lambda case: case["id"]
)
def test_the_decision_is_the_one_that_is_explained(case):
    rules, now, root = parse_rules(json.dumps(case["rules"])), case["now"], made(case["data"], None, case["now"], 0)
    path = tuple(key for key in case["path"].split("/") if key)
    if case["op"] == "read":
        explanation = explain_read(rules, case["auth"], path, root, now, query_of(case.get("query")))
    else:
        changes = [(path, with_priority(case))]
        if case["op"] == "update":
            changes = [(path + tuple(k for k in key.split("/") if k), value) for key, value in case["patch"].items()]
        writes = [(place, made(value, None, now, len(place))) for place, value in changes]
        explanation = explain_write(rules, case["auth"], writes, root, now)
        sliced, _ = in_slices(rules, case["auth"], writes, root, now)
        assert sliced.allowed is explanation.allowed
        assert bool(sliced.deciding_step()) is bool(explanation.deciding_step())
        assert sliced.summary()
    assert explanation.allowed is (case["expect"] == "allow")
    assert explanation.summary()


def test_of_a_large_write_the_rule_that_refused_is_found_and_few_are_watched():
    rules = parse_rules('{"rules": {".write": true, "$k": {".validate": "newData.isNumber()"}}}')
    value = {f"k{number:04d}": number for number in range(1000)} | {"z": "x"}
    explanation = explain_write(rules, None, [((), made(value, None, NOW, 0))], None, NOW)
    assert not explanation.allowed
    assert explanation.summary() == ".validate at /z (line 1, column 48) is false"
    assert len(explanation.steps) == STEPS_MAX + 1


def test_what_has_members_is_shown_whole_unless_it_is_long() -> None:
    def seen(auth: dict[str, object]) -> object:
        rules = parse_rules('{"rules": {".read": "auth != null && auth.uid == 5"}}')
        return explain_read(rules, auth, (), None, 0).to_json()["steps"][0]["values"][0]["value"]

    assert seen({"uid": "anna", "token": {"admin": True}}) == {"uid": "anna", "token": {"admin": True}}
    long = seen({"uid": "x" * 1000})
    assert isinstance(long, str)
    assert long.startswith('{"uid": "xxx')
    assert long.endswith("…")


def test_a_large_write_is_explained_in_steps_of_which_none_is_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rules asked between two yields are counted: never many, however many values are written, in one place or in many."""
    rules = parse_rules('{"rules": {".write": true, "m": {"$k": {".validate": "newData.isNumber() && $k !== auth.uid"}}}}')
    values = {f"k{number:05d}": number for number in range(20_000)}
    for writes in ([(("m",), values)], [(("m", key), value) for key, value in values.items()]):
        evaluations = counted(monkeypatch)
        steps, count = explain_slices(rules, {"uid": "k19999"}, writes, lambda: None, NOW), 0
        longest = 0
        while True:
            before = evaluations[0]
            try:
                next(steps)
            except StopIteration as stop:
                explanation = stop.value
                break
            finally:
                count += 1
                longest = max(longest, evaluations[0] - before)
        assert not explanation.allowed
        assert explanation.path == ("m", "k19999")
        assert explanation.summary() == ".validate at /m/k19999 (line 1, column 54) is false"
        assert count >= 20_000 / SLICE_STEPS
        assert 0 < longest <= SLICE_STEPS + 2
        assert evaluations[0] == 20_000


def counted(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many rules have been evaluated, watched or not, in its only place."""
    count = [0]

    def counting(closure: Any) -> Any:
        def run(*given: Any) -> Any:
            count[0] += 1
            return closure(*given)

        return run

    watched = Rule.watched
    monkeypatch.setattr(Rule, "watched", lambda rule, watch: counting(watched(rule, watch)))
    holds = Deciding.holds
    monkeypatch.setattr(Deciding, "holds", counting(holds))
    return count


def test_of_many_rules_that_are_false_the_last_are_kept() -> None:
    rules = parse_rules('{"rules": {"$a": {".write": "auth != null", "$b": {".write": "newData.val() !== 7"}}}}')
    writes = [((f"a{number}", "b"), number) for number in range(1000)]
    explanation = explain_write(rules, None, writes[:7] + writes[8:], None, NOW)
    assert explanation.allowed
    assert len(explanation.steps) == STEPS_MAX + LAST_STEPS
    refused = explain_write(rules, None, [*writes[8:], writes[7]], None, NOW)
    assert refused.path == ("a7", "b")
    assert refused.summary() == (
        "no .write on the way to /a7/b is true: "
        ".write at /a7 (line 1, column 29) is false; .write at /a7/b (line 1, column 62) is false"
    )
    assert len(refused.steps) == STEPS_MAX + LAST_STEPS


def test_what_would_take_too_many_evaluations_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    rules = parse_rules('{"rules": {".write": true, "$k": {".validate": "newData.isNumber()"}}}')
    monkeypatch.setattr("meadowlark.rules.scope.OPERATION_RULES_MAX", STEPS_MAX)
    node = {f"k{number}": number for number in range(3 * STEPS_MAX)}
    for explanation in (explain_write(rules, None, [((), node)], None, NOW), in_slices(rules, None, [((), node)], None)[0]):
        assert not explanation.allowed
        assert explanation.summary() == f"rules would be evaluated more than {STEPS_MAX} times for this operation"
