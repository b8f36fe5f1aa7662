"""Who may read and write: cascades, validation on the way and below, updates as a whole, and what is looked at."""

from __future__ import annotations

import gc
import json
from typing import Any

import pytest

from meadowlark.errors import Refused
from meadowlark.rules import Coverage, explain_slices, may_read, may_write, parse_rules
from meadowlark.rules.decide import SLICE_STEPS, Writing, decide_slices, place_slices
from meadowlark.tree import from_json, parse_path

NOW = 1_700_000_000_000
ANNA = {"uid": "anna", "provider": "custom", "token": {}}


def node(value: Any) -> Any:
    return from_json(value)[0]


def reads(rules: Any, path: str, data: Any = None, auth: Any = None) -> bool:
    return may_read(parse_rules(json.dumps({"rules": rules})), auth, parse_path(path), node(data), NOW)


def writes(rules: Any, changes: dict[str, Any], data: Any = None, auth: Any = None) -> bool:
    made = [(parse_path(path), value if path.endswith(".priority") else node(value)) for path, value in changes.items()]
    return may_write(parse_rules(json.dumps({"rules": rules})), auth, made, node(data), NOW)


@pytest.mark.parametrize(
    ("rules", "path", "allowed"),
    [
        ({}, "a", False),
        ({".read": True}, "a/b", True),
        ({".read": True, "a": {".read": False}}, "a", True),
        ({".read": False, "a": {".read": True}}, "a/b", True),
        ({"a": {"b": {".read": True}}}, "a", False),
        ({"$x": {".read": "$x == 'a'"}}, "a/b", True),
        ({"a": {}, "$x": {".read": True}}, "a", False),
        ({".read": "auth.uid.length > 3", "a": {".read": True}}, "a", True),
        ({".read": "root.parent().exists()"}, "", False),
        ({"a": {".read": "data.val() == 1"}}, "a/b", False),
        ({".read": "query.orderByKey && query.limitToFirst == null"}, "a", True),
    ],
)
def test_reading(rules, path, allowed):
    assert reads(rules, path, {"a": {"b": 1}}) is allowed


@pytest.mark.parametrize(
    ("rule", "allowed"),
    [
        ("(auth == null ? query : query).limitToFirst == null", True),
        ("(auth.uid.contains('a') ? query : query).limitToFirst == null", False),
        ("(auth == null ? (auth.uid.contains('a') ? query : query) : query).orderByKey", False),
        ("(auth == null ? (auth.uid.contains('a') ? query : query) : 1) != null", False),
        ("(auth == null ? (auth == null ? query : query) : 1) != null", True),
        ("(auth == null ? [auth.uid.contains('a')] : 1) != null", False),
        ("(auth == null ? ['a', query, data.child('a')] : 1) != null", True),
        ("(auth == null ? data.parent().val : 1) != null", False),
    ],
)
def test_what_has_no_value_fails_the_rule_where_it_fails_within(rule, allowed):
    assert reads({".read": rule}, "/") is allowed
    coverage = Coverage(parse_rules(json.dumps({"rules": {".read": rule}})))
    assert coverage.decide_read(None, (), None, NOW) is allowed


@pytest.mark.parametrize(
    ("rules", "changes", "allowed"),
    [
        ({".write": True}, {"a": 1}, True),
        ({}, {"a": 1}, False),
        ({"a": {"b": {".write": True}}}, {"a": {"b": 1}}, False),
        ({".write": True, "a": {".write": False}}, {"a": 1}, True),
        # Validation: on the way, at the place and below it, where something stands afterwards.
        ({".write": True, ".validate": "newData.hasChild('a')"}, {"a/b": 1}, True),
        ({".write": True, ".validate": "newData.hasChild('x')"}, {"a/b": 1}, False),
        ({".write": True, "a": {".validate": "newData.hasChildren(['n', 'm'])"}}, {"a/n": None}, False),
        ({".write": True, "a": {".validate": "newData.hasChildren(['n', 'm'])"}}, {"a": None}, True),
        ({".write": True, "a": {".validate": False}}, {"a/n": None, "a/m": None}, True),
        ({".write": True, "a": {"$k": {".validate": "newData.isNumber()"}}}, {"a": {"x": 1, "y": "z"}}, False),
        ({".write": True, "a": {"$k": {".validate": "newData.isNumber()"}}}, {"a": {"x": 1, "y": 2}}, True),
        (
            {".write": True, "b": {"c": {"$k": {"d": {".validate": "$k == newData.val()"}}}}},
            {"b": {"c": {"x": {"d": "x"}}}},
            True,
        ),
        (
            {".write": True, "b": {"c": {"$k": {"d": {".validate": "$k == newData.val()"}}}}},
            {"b": {"c": {"x": {"d": "y"}}}},
            False,
        ),
        ({".write": True, "a": {"n": {}, "$other": {".validate": False}}}, {"a/z": 1}, False),
        ({".write": True, "a": {"n": {}, "$other": {".validate": False}}}, {"a/n": {"deep": 1}}, True),
        # What stands beside the write is not asked about.
        ({".write": True, "a": {"n": {".validate": False}}}, {"a/z": 1}, True),
        # Before and after.
        ({"a": {".write": "data.hasChild('n') && !newData.hasChild('n')"}}, {"a/n": None}, True),
        ({"a": {".write": "newData.parent().child('b').val() == 2 && root.child('b').val() == null"}}, {"a/z": 1, "b": 2}, False),
        ({"$k": {".write": "newData.parent().child('b').val() == 2 && !root.child('b').exists()"}}, {"a/z": 1, "b": 2}, True),
        ({"$k": {".write": "newData.val() == now"}}, {"b": NOW}, True),
        # Updates: each place needs its grant, and one refusal refuses all.
        ({"a": {".write": True}}, {"a/x": 1, "a/y": 2}, True),
        ({"a": {".write": True}}, {"a/x": 1, "b": 2}, False),
        ({"a": {"x": {".write": True}}}, {"a/x": 1, "a/y": 2}, False),
        ({"a": {"$k": {".write": "newData.parent().child('x').val() == 1"}}}, {"a/x": 1, "a/y": 2}, True),
        ({".write": False}, {}, True),
        # Priorities are written with the grant of their place, and ask its own rules and those above.
        ({"a": {".write": "newData.getPriority() == 3 && data.getPriority() == null"}}, {"a/.priority": 3}, True),
        ({"a": {".write": True, ".validate": False}}, {"a/.priority": 3}, False),
        ({"a": {".write": True, "n": {".validate": False}}}, {"a/.priority": 3}, True),
        ({"b": {".write": True}}, {"a/.priority": 3}, False),
        ({"b": {".write": True}}, {"a/.priority": 3, "b": 1}, False),
        ({"a": {".write": "newData.getPriority() == 3"}}, {"a/.priority": 3, "a/q": 1}, True),
        # Removing what is not there is a write.
        ({"x": {".write": "!newData.exists()"}}, {"x": None}, True),
        ({}, {"x": None}, False),
    ],
)
def test_writing(rules, changes, allowed):
    assert writes(rules, changes, {"a": {"n": 1, "m": 2}}) is allowed
    if len(changes) == 1:
        # A set and an update of one place mean the same.
        assert writes(rules, {**changes, "other": None}, {"a": {"n": 1, "m": 2}}) is (
            allowed and writes(rules, {"other": None}, {"a": {"n": 1, "m": 2}})
        )


def test_rules_on_the_way_of_an_update_are_asked_once():
    asked: list[tuple[str, ...]] = []

    class Counting(Writing):
        def holds(self, rule: Any) -> bool:
            asked.append((rule.kind, *rule.path))
            return super().holds(rule)

    rules = parse_rules(
        '{"rules": {"a": {".write": "auth != null", ".validate": "newData.exists()", "$k": {".validate": "true"}}}}'
    )
    changes = [(("a", str(number)), number) for number in range(100)]
    assert Counting(ANNA, changes, None, NOW).decide(rules)
    assert asked.count(("write", "a")) == asked.count(("validate", "a")) == 1
    assert asked.count(("validate", "a", "$k")) == 100


def test_only_what_rules_name_is_walked():
    """A write of many children under rules that name two of them asks about these two."""
    rules = {".write": True, "a": {"x": {".validate": "newData.isNumber()"}, "y": {"z": {".validate": False}}}}
    wide = {f"k{number}": number for number in range(1000)}
    assert writes(rules, {"a": {**wide, "x": 1}})
    assert not writes(rules, {"a": {**wide, "y": {"z": 1}}})


def test_a_write_of_more_places_than_may_be_checked_is_refused(monkeypatch):
    monkeypatch.setattr("meadowlark.rules.scope.OPERATION_RULES_MAX", 10)
    rules = {".write": True, "$k": {".validate": "newData.isNumber()"}}
    assert writes(rules, {"": {str(number): number for number in range(10)}})
    with pytest.raises(Refused, match="more than 10 times"):
        writes(rules, {"": {str(number): number for number in range(11)}})


@pytest.mark.parametrize(
    "rule",
    [
        "auth.uid.contains('n')",
        "(auth != null ? data : newData).child('n').val() == 1",
        "(auth == null ? data : newData).child('n').val() == 9",
        "(auth != null ? newData : newData.parent()).child('n').parent().hasChildren(['n', 'm'])",
        "newData.child('m/../..').exists() == false",
        "data.child('').val() == data.val() || data.child('').exists()",
        "data.child('/n/').val() + '' + (2 * 3 - 1) == '15'",
        "data.child('.priority').exists() == false && data.child('n/.value').exists() == false",
        "'abc'['length'] == 3 && 'a' < 'b' && 'A'.toLowerCase() + 'b'.toUpperCase() == 'aB'",
        "1 / 0 + '' == 'NaN' && !(1 / 0 > 0) && 5 % 3 == 2 && -5 % 3 == -2",
        "true || auth.nothing.length > 3",
        "(data.hasChild('n') ? 'a' : 3) == 'a'",
        "data.val() != null && data.val() != 'x' && !(data.val() == data.val())",
        "auth.token.list[1] == 'two' && auth.token['deep'].x == true && auth.token.a.b.c == null",
    ],
)
def test_expressions_that_are_true(rule):
    auth = {"uid": "anna", "token": {"list": ["one", "two"], "deep": {"x": True}}}
    assert writes({"a": {".write": rule}}, {"a/n": 9}, {"a": {"n": 1, "m": 2}}, auth)


@pytest.mark.parametrize(
    "rule",
    [
        "auth.nothing.length > 3 || true",
        "!(auth.nothing > 3)",
        "data.val().length > 0 || true",
        "data.child(auth.nothing).exists() == false",
        "data.hasChildren(['zzz', auth.nothing]) == false",
        "root.parent().exists() == false",
        "newData.parent().parent().exists() == false",
        "auth.nothing + 1 == 1 || true",
        "data.getPriority().length > 0 || true",
        "$a > 3 || true",
    ],
)
def test_a_rule_that_fails_is_false_whatever_stands_around_the_failure(rule):
    assert not writes({"$a": {".write": rule}}, {"a/n": 9}, {"a": {"n": 1}}, ANNA)


def test_what_is_at_hand_and_what_is_asked_from_the_root_are_the_same() -> None:
    """`newData` below what is written, and above it again, in one rule."""
    rule = (
        "newData.isNumber() && newData.parent().child('y').val() === 2 && newData.parent().parent().hasChildren(['a'])"
        " && newData.parent().hasChild('x') && newData.getPriority() === null && newData.val() === data.parent().child('y').val()"
    )
    rules = parse_rules(json.dumps({"rules": {"m": {".write": True, "$k": {"x": {".validate": rule}}}}}))
    root = {"m": {"a": {"y": 1}}}
    assert may_write(rules, None, [(("m", "a"), {"x": 1, "y": 2})], root, 0)
    assert may_write(rules, None, [(("m",), {"a": {"x": 1, "y": 2}})], root, 0)
    assert not may_write(rules, None, [(("m",), {"a": {"x": 1, "y": 3}})], root, 0)
    assert not may_write(rules, None, [(("m", "a", "x"), 1)], root, 0)
    assert not may_write(rules, None, [(("m", "a"), {"x": {".value": 1, ".priority": 5}, "y": 2})], root, 0)


SLICED = {
    "m": {
        ".write": "auth != null",
        "$k": {
            ".validate": "newData.hasChildren(['x']) && $k !== 'bad' && auth.uid === 'anna'",
            "x": {".validate": "newData.isNumber()"},
            "y": {".validate": "newData.val() === data.parent().child('x').val()"},
        },
    }
}


def in_slices(rules: Any, writes: list[tuple[str, Any]], auth: Any = ANNA, root: Any = None) -> tuple[bool, int]:
    """What is decided, and in how many steps."""
    parsed = [(parse_path(path), node(value)) for path, value in writes]
    steps, count = decide_slices(rules, Writing(auth, parsed, root, NOW), lambda: root), 1
    while True:
        try:
            next(steps)
        except StopIteration as stopped:
            outcome = bool(stopped.value)
            break
        count += 1
    assert outcome is may_write(rules, auth, parsed, root, NOW)
    return outcome, count


def test_large_writes_are_decided_in_steps() -> None:
    rules = parse_rules(json.dumps({"rules": SLICED}))
    many = {f"k{number}": {"x": number} for number in range(1000)}
    for writes in ([("/m", many)], [(f"/m/{key}", value) for key, value in many.items()]):
        allowed, steps = in_slices(rules, writes)
        assert allowed
        assert steps > 1000 / SLICE_STEPS
        for path, value, auth, expected in (
            ("/m/bad", {"x": 1}, ANNA, False),
            ("/m/k1000", {"x": "text"}, ANNA, False),
            ("/m/k1000", {"x": 1}, {"uid": "bert"}, False),
            ("/m/k1000", {"x": 1, "y": 2}, ANNA, False),
            ("/m/k1000", {"x": 1, "y": 7}, ANNA, True),
            ("/elsewhere", "text", ANNA, False),
        ):
            asked = [*writes, (path, value)] if len(writes) > 1 else [(path, value)]
            assert in_slices(rules, asked, auth, {"m": {"k1000": {"x": 7}}})[0] is expected, path


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("newData.child('a/b').val() == auth.uid && $k.length > 2 && newData.hasChildren(['a', 'b'])", []),
        ("newData.val() == now && newData.getPriority() == 1 && newData.child(auth.uid).exists()", []),
        ("newData.val() != data.val()", ["/w/k"]),
        ("data.child('a').hasChild($k) || data.child('b').exists()", ["/w/k/a", "/w/k/b"]),
        ("root.exists()", ["/"]),
        ("root.child('x/y').child(auth.uid).child('z').exists()", ["/x/y"]),
        ("root.child('x/y').child(auth.uid).parent().exists()", ["/x"]),
        ("newData.parent().child('n').exists()", ["/w/n"]),
        ("(auth == null ? data.parent().parent() : newData.child('a')).child('c').exists()", ["/c"]),
        ("newData.child(data.val()).parent().parent().exists()", ["/", "/w/k"]),
    ],
)
def test_which_places_a_decision_hangs_on(rule: str, expected: list[str]) -> None:
    rules = parse_rules(json.dumps({"rules": {"w": {"$k": {".write": True, ".validate": rule}}}}))
    assert set().union(*place_slices(rules, [(("w", "k"), 1)])) == {parse_path(path) for path in expected}
    # Of what is written below a place it may be anywhere in it.
    above = set().union(*place_slices(rules, [(("w",), {"k": 1})]))
    if "newData" not in rule:
        assert all(any(parse_path(path)[: len(place)] == place for place in above) for path in expected)


def test_a_branch_that_is_no_value_is_something_that_equals_nothing() -> None:
    """`(auth == null ? data : 'a')` may be either, and is known when it is evaluated."""
    rule = "(auth.uid === 'anna' ? 'a' : data)"
    for asked, nobody, anna in (
        (f"{rule} === 'a'", False, True),
        (f"{rule} !== null", True, True),
        (f"{rule}.length === 1", False, True),
        (f"{rule}.length === 1 || true", False, True),  # Failed.
        (f"{rule}.contains('a') || true", False, True),
        (f"{rule} == {rule}", False, True),
        ("(auth == null ? root.child(auth.uid) : 'a') !== null", False, True),
        ("(auth == null ? root.parent() : 'a') !== null", False, True),
        ("(auth == null ? query : 'a') !== null", True, True),
    ):
        for auth, expected in ((None, nobody), (ANNA, anna)):
            assert reads({".read": asked}, "/", {"x": 1}, auth) is expected, (asked, auth)


def test_members_of_claims_are_found_as_in_javascript() -> None:
    auth = {"uid": "anna", "token": {"list": ["a", "b"], "map": {"0": "zero", "1.5": "more"}}}
    for asked, expected in (
        ("auth.token.list[1] === 'b'", True),
        ("auth.token.list['1'] === 'b'", True),
        ("auth.token.list['01'] === null", True),
        ("auth.token.list[2] === null && auth.token.list['-1'] === null && auth.token.list.length === 2", True),
        ("auth.token.map[0] === 'zero' && auth.token.map[1.5] === 'more' && auth.token.map['0'] === 'zero'", True),
        ("auth.token.map[true] === null", True),
    ):
        assert reads({".read": asked}, "/", None, auth) is expected, asked


@pytest.mark.parametrize("how", ["denied", "allowed", "given up", "explained"])
def test_nothing_stays_of_a_decision_in_slices(how: str) -> None:
    """Workers run without a collector, and a decision refers to all that would be written."""
    rules = parse_rules(json.dumps({"rules": SLICED}))
    many = {f"k{number}": {"x": "text" if how in ("denied", "explained") and number == 500 else number} for number in range(1000)}
    gc.collect()
    gc.disable()
    try:
        for writes in ([(("m",), many)], [(("m", key), value) for key, value in many.items()]):
            if how == "explained":
                steps: Any = explain_slices(rules, ANNA, writes, lambda: None, NOW)
            else:
                steps = decide_slices(rules, Writing(ANNA, writes, None, NOW), lambda: None)
            next(steps)
            if how == "given up":
                steps.close()
            for _ in steps:
                pass
            del steps
            # Not the count of a collection, which does not tell of generators that it closes.
            assert [left for left in gc.get_objects() if isinstance(left, Writing)] == []
    finally:
        gc.enable()
