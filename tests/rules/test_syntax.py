"""Expressions: what binds what, and what is said where something cannot be read."""

from __future__ import annotations

import json

import hypothesis.strategies as st
import pytest
from hypothesis import given

from meadowlark.rules.lexer import SyntaxFault
from meadowlark.rules.syntax import (
    Call,
    Chain,
    List,
    Literal,
    Member,
    Part,
    Regex,
    Ternary,
    Unary,
    Variable,
    all_parts,
    parse_expression,
)


def shown(part: Part) -> str:
    """With a bracket around everything that binds."""
    if isinstance(part, Literal):
        return json.dumps(part.value)
    if isinstance(part, Variable):
        return part.name
    if isinstance(part, Regex):
        return f"/{part.body}/{part.flags}"
    if isinstance(part, Member):
        return f"{shown(part.owner)}.{part.name}" if part.name else f"{shown(part.owner)}[{shown(part.key or part)}]"
    if isinstance(part, Call):
        return f"{shown(part.callee)}({', '.join(map(shown, part.arguments))})"
    if isinstance(part, Unary):
        return f"({part.operator}{shown(part.operand)})"
    if isinstance(part, Ternary):
        return f"({shown(part.condition)} ? {shown(part.yes)} : {shown(part.no)})"
    if isinstance(part, List):
        return f"[{', '.join(map(shown, part.items))}]"
    assert isinstance(part, Chain)
    rest = [f" {sign} {shown(operand)}" for sign, operand in zip(part.operators, part.operands[1:], strict=True)]
    return f"({shown(part.operands[0])}{''.join(rest)})"


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ("a || b && c || d", "(a || (b && c) || d)"),
        ("a && b == c < d + e * -f", "(a && (b == (c < (d + (e * (-f))))))"),
        ("a - b - c + d", "(a - b - c + d)"),
        ("a * b % c - d / e", "((a * b % c) - (d / e))"),
        ("a ? b : c ? d : e", "(a ? b : (c ? d : e))"),
        ("a || b ? c : d && e", "((a || b) ? c : (d && e))"),
        ("!a.b['c'](d)[e] && !!f", "((!a.b.c(d)[e]) && (!(!f)))"),
        ("(a)", "a"),
        ("((a || b)) && c", "((a || b) && c)"),
        ("x.matches(/a[/\\]]\\/b/i) && y", "(x.matches(/a[/\\]]\\/b/i) && y)"),
        ("a / b / c", "(a / b / c)"),
        ("a.b() / c", "(a.b() / c)"),
        ("x.hasChildren(['a', \"b\",])", 'x.hasChildren(["a", "b"])'),
        ("0x10 + .5 + 1e3 + 1.", "(16.0 + 0.5 + 1000.0 + 1.0)"),
        ("'\\x41\\u0042\\n\\q\\'\\\n' + \"\\ud83d\\ude00\"", '("AB\\nq\'" + "\\ud83d\\ude00")'),
        ("a /* b */ == // c\n d;", "(a == d)"),
        ("$a_1.delete.new", "$a_1.delete.new"),
    ],
)
def test_how_an_expression_is_read(text, form):
    assert shown(parse_expression(text)) == form


@pytest.mark.parametrize(
    ("text", "message", "at"),
    [
        ("", "syntax error", 0),
        ("a b", "missing ; before statement", 2),
        ("a == 010", "octal numbers are not supported: a number may not begin with 0", 5),
        ("a < 09.5", "octal numbers are not supported: a number may not begin with 0", 4),
        ("a == 'b'; c", "missing ; before statement", 10),
        ("a.b(c d)", "missing ) after argument list", 6),
        ("(a", "missing ) in parenthetical", 2),
        ("a[b", "missing ] in index expression", 3),
        ("[a b]", "missing ] after element list", 3),
        ("a ? b", "missing : in conditional expression", 5),
        ("a.'b'", "missing name after . operator", 2),
        ("a.b(c,)", "syntax error", 6),
        ("x == 'abc", "unterminated string literal", 5),
        ("x == 'a\nb'", "unterminated string literal", 5),
        ("x.matches(/abc)", "unterminated regular expression literal", 10),
        ("a & b", "Rule expressions may not contain operator '&'.", 2),
        ("~a", "Rule expressions may not contain operator '~'.", 0),
        ("+a", "Rule expressions may not contain operator '+'.", 0),
        ("a = b", "Rule expressions may not contain operator '='.", 2),
        ("typeof a", "Rule expressions may not contain operator 'typeof'.", 0),
        ("a in b", "Rule expressions may not contain operator 'in'.", 2),
        ("2 ** 2", "Rule expressions may not contain operator '**'.", 2),
        ("function", "syntax error", 0),
        ("a == 3px", "missing ; before statement", 6),
        ("a # b", "illegal character", 2),
        ("a == '\\u12'", "malformed escape sequence in a string", 5),
        ("(" * 200 + "a", "the expression nests more than 100 levels", 100),
        ("a" + ".b" * 200, "the expression nests more than 100 levels", 200),
    ],
)
def test_what_cannot_be_read_is_said_with_its_place(text, message, at):
    with pytest.raises(SyntaxFault) as caught:
        parse_expression(text)
    assert (caught.value.message, caught.value.at) == (message, at)


def test_long_chains_are_not_deep():
    for sign in ("&&", "||", "+", "*", "=="):
        assert len(list(all_parts(parse_expression(f" {sign} ".join(["a"] * 10_000))))) == 10_001


@given(st.text(alphabet="ab1 '\"/[](){}.,?:!&|=<>+-*%\\;\n$x", max_size=40))
def test_any_text_is_read_or_refused(text):
    places = [0]
    try:
        places = [part.at for part in all_parts(parse_expression(text))]
    except SyntaxFault as fault:
        places = [fault.at]
    assert 0 <= min(places) <= max(places) <= len(text)
