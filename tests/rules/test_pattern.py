"""Firebase's regular expressions: what they match, what is refused, and that nothing takes long."""

from __future__ import annotations

import re

import hypothesis.strategies as st
import pytest
from hypothesis import given

from meadowlark.rules.pattern import PatternFault, compile_pattern


@pytest.mark.parametrize(
    ("body", "text", "matches"),
    [
        ("abc", "xabcx", True),
        ("^abc", "xabc", False),
        ("abc$", "abcx", False),
        ("^abc$", "abc\n", False),
        ("^a|b$", "ab", False),
        ("^.$", "\n", True),
        ("^.$", "😀", False),
        ("^..$", "😀", True),
        ("^😀$", "😀", True),
        ("^[^a]$", "é", True),
        ("^\\d\\D\\s\\S\\w\\W$", "1a b_-", True),
        ("^[\\d\\-x]+$", "1-x", True),
        ("^[\\W]$", "é", True),
        ("^\\n\\t\\u$", "ntu", True),
        ("^a{2}b{2,}c{0,1}$", "aabbb", True),
        ("^(ab|cd)+$", "abcdab", True),
        ("(?:ab)", "?:ab", True),
        ("(?:ab)", "ab", False),
        ("^*a$", "*a", True),
        ("^a**$", "aaa", True),
        ("^a\\$$", "a$", True),
        ("^a\\\\$", "a\\", True),
        ("^[]a]$", "]", True),
        ("^[a-]$", "-", True),
        ("^$", "", True),
        ("^$", "x", False),
        ("^()$", "", True),
        ('^& ~@#"<>,:=-}]$', '& ~@#"<>,:=-}]', True),
        ("^[A-Z0-9._%+-]+@[A-Z0-9.-]+\\.[A-Z]{2,4}$", "ANNA@EXAMPLE.ORG", True),
    ],
)
def test_what_matches(body, text, matches):
    assert compile_pattern(body, "").is_in(text) is matches


def test_case_is_ignored_for_ascii_letters_only():
    assert compile_pattern("^[a-c]X$", "i").is_in("Bx")
    assert not compile_pattern("^[^a-c]$", "i").is_in("B")
    assert not compile_pattern("^\\w$", "i").is_in("\u212a"), "the sign of Kelvin is no k"


@pytest.mark.parametrize(
    ("body", "flags", "message"),
    [
        ("(up|down|)", "", "expected ')' at position 10"),
        ("^(foo|)$", "", "expected ')' at position 6"),
        ("(^foo$|bar)", "", "unexpected '^' at position 1"),
        ("a{x}", "", "integer expected at position 2"),
        ("a{3", "", "expected '}' at position 3"),
        ("a{3,2}", "", "repetition out of range at position 6"),
        ("a{1001}", "", "repetition out of range at position 7"),
        ("[a", "", "unexpected end-of-string"),
        ("[b-a]", "", "range out of order at position 4"),
        ("a)b", "", "end-of-string expected at position 1"),
        ("a|", "", "unexpected end-of-string"),
        ("((a{1000}){1000}){1000}", "", "it is too large"),
        ("(" * 200 + "a" + ")" * 200, "", "it nests too deep"),
        ("a", "g", "unsupported flags 'g'"),
        ("a", "ii", "unsupported flags 'ii'"),
    ],
)
def test_what_is_refused(body, flags, message):
    with pytest.raises(PatternFault, match=re.escape(f"Illegal regular expression, {message}")):
        compile_pattern(body, flags)


def test_the_larger_a_pattern_the_more_a_match_costs():
    assert compile_pattern("a", "").weight == 1
    assert compile_pattern("(x+x+)+y", "").weight < 10
    assert compile_pattern("^.{0,1000}$", "").weight > 500


@given(st.text(alphabet="ab^$()[]{}*+?|\\.-1,\ndé😀", max_size=15), st.text(alphabet="ab-1\né😀", max_size=10))
def test_any_pattern_is_refused_or_answers(body, text):
    try:
        pattern = compile_pattern(body, "")
    except PatternFault:
        return
    assert isinstance(pattern.is_in(text), bool)


@given(
    st.lists(st.sampled_from(["a", "b", ".", "[ab]", "[^a]", "(ab|b)", "\\d"]).flatmap(
        lambda atom: st.sampled_from(["", "*", "+", "?", "{2}", "{1,2}"]).map(lambda times: atom + times)
    ), min_size=1, max_size=5),
    st.booleans(),
    st.booleans(),
    st.text(alphabet="ab1\n", max_size=8),
)  # fmt: skip
def test_where_the_dialects_agree_pythons_engine_agrees(atoms, starts, ends, text):
    body = "".join(atoms)
    ours = compile_pattern(("^" if starts else "") + body + ("$" if ends else ""), "")
    theirs = re.compile(("\\A" if starts else "") + f"(?:{body})" + ("\\Z" if ends else ""), re.DOTALL | re.ASCII)
    assert ours.is_in(text) is bool(theirs.search(text))
