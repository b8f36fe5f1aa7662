"""The words of a rule: numbers, strings, regular expressions, names and operators, each with its place in the rule's text.

A `/` begins a regular expression only where an operand is expected; that is known from the word before, so no parser is asked.
Operators of JavaScript that rules do not have become words too, so that the parser can name them in its complaint.
Source: docs/rules.md "Expressions"; ECMAScript 5, section 7.
"""

from __future__ import annotations

import re
from typing import Literal, NamedTuple

Kind = Literal["number", "string", "regex", "name", "operator", "end"]


class Word(NamedTuple):
    """`value`: a number's double, a string's characters, a regex' (body, flags), a name, an operator; "" at the end."""

    kind: Kind
    value: float | str | tuple[str, str]
    at: int
    end: int


class SyntaxFault(Exception):
    """The rule cannot be read; `at`: where in its text."""

    def __init__(self, message: str, at: int) -> None:
        super().__init__(message)
        self.message = message
        self.at = at


_SPACE = re.compile(r"(?:\s+|\ufeff|//[^\n\r\u2028\u2029]*|/\*(?s:.*?)\*/)*")
_NUMBER = re.compile(r"0[xX][0-9a-fA-F]+|(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_NAME = re.compile(r"[A-Za-z_$][A-Za-z0-9_$]*")
_STRINGS = {
    "'": re.compile(r"'([^'\\\n\r]*(?:\\(?s:.)[^'\\\n\r]*)*)'"),
    '"': re.compile(r'"([^"\\\n\r]*(?:\\(?s:.)[^"\\\n\r]*)*)"'),
}
_REGEX = re.compile(r"/(?![*/])((?:[^/\\\[\n\r]|\\[^\n\r]|\[(?:[^\]\\\n\r]|\\[^\n\r])*\])+)/([A-Za-z]*)")
_OPERATOR = re.compile(r">>>=?|===|!==|<<=?|>>=?|\*\*|\+\+|--|=>|&&|\|\||[=!<>+\-*/%&|^]=|[()\[\]{}.,;:?=!<>+\-*/%&|^~]")
_ESCAPE = re.compile(r"\\(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|\r\n|((?s:.)))")
_ESCAPES = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v", "0": "\0", "\n": "", "\r": ""}
_ENDS_OPERAND = frozenset([")", "]", "}"])
_BEYOND = {"typeof", "void", "delete", "in", "instanceof", "new"}
"""Operators of JavaScript that look like names."""


def words(text: str) -> list[Word]:
    """All words of `text` and an end. Raises SyntaxFault."""
    found: list[Word] = []
    at, wants_operand = 0, True
    while True:
        space = _SPACE.match(text, at)
        assert space is not None, "it matches nothing too"
        at = space.end()
        if at == len(text):
            found.append(Word("end", "", at, at))
            return found
        word = _word(text, at, wants_operand)
        at = word.end
        wants_operand = word.kind == "operator" and word.value not in _ENDS_OPERAND
        found.append(word)


def _word(text: str, at: int, wants_operand: bool) -> Word:
    """The word at `at`."""
    first = text[at]
    name = _NAME.match(text, at)
    if name is not None:
        kind: Kind = "operator" if name[0] in _BEYOND and text[at - 1 : at] != "." else "name"
        return Word(kind, name[0], at, name.end())
    if first in _STRINGS:
        string = _STRINGS[first].match(text, at)
        if string is None:
            raise SyntaxFault("unterminated string literal", at)
        return Word("string", _unescaped(string[1], at), at, string.end())
    number = _NUMBER.match(text, at)
    if number is not None:
        if _NAME.match(text, number.end()):
            raise SyntaxFault("missing ; before statement", number.end())
        digits = number[0]
        if digits[0] == "0" and digits[1:2].isdigit():
            raise SyntaxFault("octal numbers are not supported: a number may not begin with 0", at)
        value = float(int(digits, 16)) if digits[:2] in ("0x", "0X") else float(digits)
        return Word("number", value, at, number.end())
    if first == "/" and wants_operand:
        regex = _REGEX.match(text, at)
        if regex is None:
            raise SyntaxFault("unterminated regular expression literal", at)
        return Word("regex", (regex[1], regex[2]), at, regex.end())
    operator = _OPERATOR.match(text, at)
    if operator is None:
        raise SyntaxFault("illegal character", at)
    return Word("operator", operator[0], at, operator.end())


def _unescaped(body: str, at: int) -> str:
    if "\\" not in body:
        return body

    def replace(escape: re.Match[str]) -> str:
        digits = escape[1] or escape[2]
        if digits:
            return chr(int(digits, 16))
        if escape[3] in ("x", "u"):
            raise SyntaxFault("malformed escape sequence in a string", at)
        return _ESCAPES.get(escape[3], escape[3]) if escape[3] else ""

    text = _ESCAPE.sub(replace, body)
    # Two escapes may make one character beyond U+FFFF; what is left alone is in no value and is kept from none.
    return text if text.isascii() else text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
