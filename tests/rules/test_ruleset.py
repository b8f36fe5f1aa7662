"""Rule sets: what makes one, where its rules are found, and that a refused one is refused whole."""

from __future__ import annotations

import gc
import json

import pytest

from meadowlark.rules import RulesInvalid, parse_rules

FORBIDDEN = ". # $ / [ ], a control character or a lone surrogate."


def faults(text: str) -> list[str]:
    with pytest.raises(RulesInvalid) as caught:
        parse_rules(text)
    return [str(fault) for fault in caught.value.faults]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[]", ["1:1: Expected 'rules' property."]),
        ("{}", ["1:2: Expected 'rules' property."]),
        ('{"rules": {}, "x": 1}', ["1:15: Unknown property 'x'. Expected 'rules' alone."]),
        ('{"rules": 1}', ["1:11: Expected an object with rules."]),
        ('{"rules": {"a": true}}', ["1:17: Expected an object with rules."]),
        ('{"rules": {".read": 1}}', ["1:21: Expected .read to be a string or a boolean."]),
        ('{"rules": {".reed": true}}', ["1:12: Unknown rule '.reed'."]),
        ('{"rules": {"a.b": {}}}', ["1:12: Invalid key: key 'a.b' has one of " + FORBIDDEN]),
        ('{"rules": {"$a/b": {}}}', ["1:12: Invalid key: key 'a/b' has one of " + FORBIDDEN]),
        ('{"rules": {"$a": {}, "$b": {}}}', ["1:22: There can be only one capture at a place: here is '$a'."]),
        ('{"rules": {"$a": {"$a": {}}}}', ["1:19: The capture '$a' stands on the way to this place already."]),
        ('{"rules": {".indexOn": [1]}}', ["1:25: Expected .indexOn to be a string or an array of strings."]),
        ('{"rules": {".indexOn": "a//b"}}', ["1:24: Invalid .indexOn 'a//b': expected the path of a child, or '.value'."]),
        ('{"rules": {".volatile": "yes"}}', ['1:25: Expected .volatile to be true, false or "keep".']),
        ('{"rules": {".read": "a", ".write": "true &&"}}', ["1:22: Unknown variable 'a'.", "1:44: syntax error"]),
        ('{"rules": {\n  "a": {".read": "auth != null &&\n    x == \\"\\" && y"}\n}}',
         ["3:5: Unknown variable 'x'.", "3:18: Unknown variable 'y'."]),
    ],
)  # fmt: skip
def test_what_is_refused_and_where(text, said):
    assert faults(text) == said


def test_all_faults_are_told_a_line_each():
    with pytest.raises(RulesInvalid) as caught:
        parse_rules('{"rules": {".read": "a",\n".write": "b"}}')
    assert str(caught.value) == "1:22: Unknown variable 'a'.\n2:12: Unknown variable 'b'.\n"


def test_rules_deeper_than_data_are_refused():
    text = json.dumps({"rules": nested({".read": True}, 33)})
    assert faults(text)[0].endswith("Rules are deeper than data may be: 32 levels.")
    parse_rules(json.dumps({"rules": nested({".read": True}, 32)}))


def nested(inner: object, levels: int) -> object:
    for _ in range(levels):
        inner = {"k": inner}
    return inner


def test_the_text_is_kept_as_it_came():
    text = '// mine\n{"rules": {".read": true,},}\n'
    assert parse_rules(text).text == text


def test_a_literal_child_hides_the_capture_beside_it():
    rules = parse_rules('{"rules": {"a": {"x": {}, "$k": {".read": true}, "y": {"z": {}}}}}')
    for path, found in (("a", "a"), ("a/x", "a/x"), ("a/q", "a/$k"), ("a/y/z", "a/y/z"), ("a/x/q", None), ("b", None)):
        level = rules.find_level(tuple(path.split("/")))
        assert (None if level is None else "/".join(level.path)) == found


def test_keys_that_mean_something_elsewhere_are_plain_keys():
    rules = parse_rules('{"rules": {"$other": {".read": true}}}')
    assert rules.find_level(("constructor",)) is rules.root.capture
    assert rules.find_level(("__class__",)) is rules.root.capture


def test_where_an_order_is_declared():
    rules = parse_rules('{"rules": {"rooms": {"$room": {".indexOn": ["at", "by/name", ".value"]}}, "flat": {".indexOn": "x"}}}')
    assert rules.is_indexed(("rooms", "7"), "at")
    assert rules.is_indexed(("rooms", "7"), "by/name")
    assert rules.is_indexed(("rooms", "7"), ".value")
    assert rules.is_indexed(("flat",), "x")
    assert not rules.is_indexed(("rooms",), "at")
    assert not rules.is_indexed(("rooms", "7", "8"), "at")
    assert not rules.is_indexed(("flat",), ".value")
    assert rules.is_indexed(("nowhere",), ".key")
    assert rules.is_indexed(("nowhere",), ".priority")


def test_the_deepest_word_on_volatile_counts():
    rules = parse_rules('{"rules": {"cursors": {".volatile": true, "$user": {"name": {".volatile": false}}}}}')
    assert rules.has_volatile
    assert rules.volatility(("cursors", "anna", "x")) is True
    assert rules.volatility(("cursors",)) is True
    assert rules.volatility(("cursors", "anna", "name")) is False
    assert rules.volatility(()) is False


def test_volatile_values_may_be_kept():
    rules = parse_rules('{"rules": {"cursors": {".volatile": "keep"}}}')
    assert rules.volatility(("cursors", "anna")) == "keep"


def test_a_rule_knows_its_place_in_the_file():
    rules = parse_rules('{"rules": {\n  "a": {\n    ".read": "true",\n    ".write": false}}}')
    level = rules.find_level(("a",))
    assert level is not None
    assert [(rule.kind, rule.line, rule.column, rule.constant) for rule in level.rules()] == [
        ("read", 3, 14, True),
        ("write", 4, 15, False),
    ]


def test_a_rule_set_is_let_go_without_a_collector():
    gc.collect()
    gc.disable()
    try:
        parse_rules('{"rules": {"$a": {".read": "auth.uid == $a && data.child($a).parent().exists()", ".validate": true}}}')
        for text in ('{"rules": {".read": "x"}}', '{"rules": {".read": "("}}', "{", '{"rules": {".read": "\'a\'.matches(/(/)"}}'):
            with pytest.raises(RulesInvalid):
                parse_rules(text)
        del text
        assert gc.collect() == 0
    finally:
        gc.enable()


def test_a_byte_order_mark_is_not_counted() -> None:
    for text in ('{"rules": {".read": "x",\n ".write": "y"}}', "[]", '{"a": 1}'):
        with pytest.raises(RulesInvalid) as plain:
            parse_rules(text)
        with pytest.raises(RulesInvalid) as marked:
            parse_rules("\ufeff" + text)
        assert marked.value.faults == plain.value.faults
