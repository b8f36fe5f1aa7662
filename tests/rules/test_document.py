"""The JSON of rules: its liberties, its refusals, and the place of every character."""

from __future__ import annotations

from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import given

from meadowlark.rules.document import Array, Object, Scalar, Text, parse_document, plain
from meadowlark.rules.faults import RulesInvalid, Source


def parse(text: str) -> Any:
    return plain(parse_document(Source(text)))


def refusal(text: str) -> str:
    with pytest.raises(RulesInvalid) as caught:
        parse_document(Source(text))
    return str(caught.value.faults[0])


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('{"a": [1, -2.5e1, true, false, null, "x"]}', {"a": [1, -25, True, False, None, "x"]}),
        ('// first\n/* and */ {"a": /* here */ 1, // and here\n}', {"a": 1}),
        ('{"a": [1, 2,],}', {"a": [1, 2]}),
        ('{"a": "one\n\ttwo"}', {"a": "one\n\ttwo"}),
        ('{"a": "\\"\\\\\\/\\b\\f\\n\\r\\t\\u0041\\ud83d\\ude00"}', {"a": '"\\/\b\f\n\r\tA😀'}),
        ('\ufeff{"a": "// no comment"}', {"a": "// no comment"}),
        ("{}", {}),
        ('"alone"', "alone"),
    ],
)
def test_what_may_be_written(text, value):
    assert parse(text) == value


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("", "1:1: Parse error. Expected a value."),
        ('{"a": 1', "1:8: Parse error. Expected ',' or '}'."),
        ('{"a": 1}\n x', "2:2: Parse error. The document ends before this."),
        ("{\n  a: 1}", "2:3: Parse error. Expected a key in quotes, or '}'."),
        ('{"a" 1}', "1:6: Parse error. Expected ':' after a key."),
        ('{"a": "b', "1:7: Parse error. A string has no end."),
        ('{"a": "\\x"}', "1:8: Parse error. Unknown escape in a string."),
        ('{"a": "\\u12"}', "1:8: Parse error. Expected four hexadecimal digits."),
        ('{"a": 1, "a": 2}', "1:10: Parse error. The key 'a' stands here twice."),
        ("[" * 60, "1:37: Parse error. Rules are nested more than 36 levels deep."),
        ("/* never", "1:1: Parse error. Expected a value."),
    ],
)
def test_what_is_refused_and_where(text, where):
    assert refusal(text) == where


def test_a_rule_set_that_is_too_large_is_refused_whole():
    assert refusal('{"rules": {}}' + " " * 1024 * 1024) == "1:1: The rules have more than 1048576 bytes."


@given(st.lists(st.tuples(st.sampled_from(["a", "é", "\n", "😀"]), st.booleans()), max_size=20))
def test_every_character_of_a_string_knows_its_place(characters):
    source = '  "'
    places = []
    for character, escaped in characters:
        places.append(len(source))
        units = character.encode("utf-16-be")
        escapes = "".join(f"\\u{units[i] << 8 | units[i + 1]:04x}" for i in range(0, len(units), 2))
        source += escapes if escaped else character
    text = parse_document(Source(source + '"'))
    assert isinstance(text, Text)
    assert text.text == "".join(character for character, _ in characters)
    assert [text.offset(index) for index in range(len(text.text) + 1)] == [*places, len(source)]


def test_values_know_where_they_begin():
    document = parse_document(Source('{"a": [true, "x"]}'))
    assert isinstance(document, Object)
    key, value = document.members[0]
    assert (document.at, key.at, value.at) == (0, 1, 6)
    assert isinstance(value, Array)
    assert [item.at for item in value.items] == [7, 13]
    assert isinstance(value.items[0], Scalar)
