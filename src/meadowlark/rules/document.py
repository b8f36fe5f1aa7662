"""The JSON of a rule set: JSON with comments, trailing commas and strings over several lines, in which every place is known.

A value is an `Object`, an `Array`, a `Text` or a `Scalar`, each with the offset at which it begins. A `Text` also knows where
each of its characters stands in the file, since its faults are found by those who read it as an expression: escapes
make the two drift apart, so a break is kept for each escape and nothing for the plain runs between.

Does not know: what any key means. Raises RulesInvalid at the first fault, since after it nothing can be told for sure.
Source: docs/rules.md "The file".
"""

from __future__ import annotations

import re
from bisect import bisect_right
from typing import Any, NamedTuple, NoReturn

from meadowlark.limits import PATH_DEPTH_MAX, RULES_BYTES_MAX, RULES_MEMBERS_MAX
from meadowlark.rules.faults import Fault, RulesInvalid, Source

NESTING_MAX = PATH_DEPTH_MAX + 4
"""Containers in containers: a tree of rules as deep as data may be, below "rules", with a list of indexes in it."""

_SPACE = re.compile(r"(?:[ \t\r\n\ufeff]+|//[^\n]*|/\*(?s:.*?)\*/)*")
_PLAIN = re.compile(r'[^"\\]*')
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
_WORDS = {"true": True, "false": False, "null": None}
_ESCAPES = {'"': '"', "\\": "\\", "/": "/", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}
_SURROGATE = re.compile("[\ud800-\udfff]")
_HEX4 = re.compile(r"[0-9a-fA-F]{4}")


class Text:
    """A string. `at`: where its opening quote stands."""

    __slots__ = ("_breaks", "at", "text")

    def __init__(self, text: str, at: int, breaks: list[tuple[int, int]]) -> None:
        self.text = text
        self.at = at
        self._breaks = breaks
        """(index in `text`, offset in the file), from each of which on the two run together."""

    def offset(self, index: int) -> int:
        """Where in the file the character at `index` begins; just past the last one, where the closing quote is."""
        start, offset = self._breaks[bisect_right(self._breaks, (index, 1 << 60)) - 1]
        return offset + index - start


class Scalar(NamedTuple):
    """A number, true, false or null."""

    value: float | bool | None
    at: int


class Array(NamedTuple):
    items: list[Value]
    at: int


class Object(NamedTuple):
    """`members` in the order of the file; no key twice."""

    members: list[tuple[Text, Value]]
    at: int


Value = Object | Array | Text | Scalar


def parse_document(source: Source) -> Value:
    """The one value in `source`. Raises RulesInvalid."""
    return _Reader(source).read_whole()


def plain(value: Value) -> Any:
    """`value` as plain JSON, without comments and places."""
    if isinstance(value, Object):
        return {key.text: plain(member) for key, member in value.members}
    if isinstance(value, Array):
        return [plain(item) for item in value.items]
    return value.text if isinstance(value, Text) else value.value


class _Reader:
    __slots__ = ("_at", "_depth", "_member_count", "_source", "_text")

    def __init__(self, source: Source) -> None:
        self._source = source
        self._text = source.text
        self._at = 0
        self._depth = 0
        self._member_count = 0

    def read_whole(self) -> Value:
        if len(self._text) > RULES_BYTES_MAX or len(self._text.encode(errors="replace")) > RULES_BYTES_MAX:
            raise RulesInvalid([Fault(1, 1, f"The rules have more than {RULES_BYTES_MAX} bytes.")])
        self._skip()
        value = self._value()
        self._skip()
        if self._at < len(self._text):
            self._fail("the document ends before this")
        return value

    def _skip(self) -> None:
        space = _SPACE.match(self._text, self._at)
        assert space is not None, "it matches nothing too"
        self._at = space.end()

    def _fail(self, detail: str, at: int | None = None) -> NoReturn:
        raise RulesInvalid([self._source.fault(self._at if at is None else at, f"Parse error. {detail[0].upper()}{detail[1:]}.")])

    def _next(self) -> str:
        return self._text[self._at : self._at + 1]

    def _value(self) -> Value:
        start, first = self._at, self._next()
        if first == '"':
            return self._string()
        if first == "{" or first == "[":
            self._depth += 1
            if self._depth > NESTING_MAX:
                self._fail(f"rules are nested more than {NESTING_MAX} levels deep")
            container: Value = self._object() if first == "{" else self._array()
            self._depth -= 1
            return container
        for word, value in _WORDS.items():
            if self._text.startswith(word, start):
                self._at += len(word)
                return Scalar(value, start)
        number = _NUMBER.match(self._text, start)
        if number is None:
            self._fail("expected a value")
        self._at = number.end()
        return Scalar(float(number[0]), start)

    def _object(self) -> Object:
        start = self._at
        members: list[tuple[Text, Value]] = []
        known: set[str] = set()
        self._at += 1
        self._skip()
        while self._next() != "}":
            if self._next() != '"':
                self._fail("expected a key in quotes, or '}'")
            key = self._string()
            if key.text in known:
                self._fail(f"the key {key.text[:80]!r} stands here twice", key.at)
            known.add(key.text)
            self._member_count += 1
            if self._member_count > RULES_MEMBERS_MAX:
                self._fail(f"there are more than {RULES_MEMBERS_MAX} keys", key.at)
            self._skip()
            if self._next() != ":":
                self._fail("expected ':' after a key")
            self._at += 1
            self._skip()
            members.append((key, self._value()))
            self._separate("}")
        self._at += 1
        return Object(members, start)

    def _array(self) -> Array:
        start = self._at
        items: list[Value] = []
        self._at += 1
        self._skip()
        while self._next() != "]":
            items.append(self._value())
            self._separate("]")
        self._at += 1
        return Array(items, start)

    def _separate(self, end: str) -> None:
        """After a member or an item: a comma, which may be the last, or the end."""
        self._skip()
        if self._next() == ",":
            self._at += 1
            self._skip()
        elif self._next() != end:
            self._fail(f"expected ',' or '{end}'")

    def _string(self) -> Text:
        start, text = self._at, self._text
        at = start + 1
        parts: list[str] = []
        breaks = [(0, at)]
        length = 0
        while True:
            plain = _PLAIN.match(text, at)
            assert plain is not None, "it matches nothing too"
            parts.append(plain[0])
            length += len(plain[0])
            at = plain.end()
            stop = text[at : at + 1]
            if stop == '"':
                self._at = at + 1
                return Text(_joined("".join(parts)), start, breaks)
            if not stop:
                self._fail("a string has no end", start)
            part, at = self._escape(at)
            parts.append(part)
            length += len(part)
            breaks.append((length, at))

    def _escape(self, at: int) -> tuple[str, int]:
        """What the escape at `at` stands for, and where it ends."""
        kind = self._text[at + 1 : at + 2]
        if kind != "u":
            if kind not in _ESCAPES:
                self._fail("unknown escape in a string", at)
            return _ESCAPES[kind], at + 2
        digits = _HEX4.match(self._text, at + 2)
        if digits is None:
            self._fail("expected four hexadecimal digits", at)
        unit = int(digits[0], 16)
        low = _HEX4.match(self._text, at + 8) if self._text.startswith("\\u", at + 6) else None
        if 0xD800 <= unit < 0xDC00 and low is not None and 0xDC00 <= int(low[0], 16) < 0xE000:
            return chr(0x10000 + ((unit - 0xD800) << 10) + int(low[0], 16) - 0xDC00), at + 12
        return chr(unit), at + 6


def _joined(text: str) -> str:
    """Lone surrogates can be no part of any value: as a replacement character they match nothing and can be encoded."""
    return text if text.isascii() else _SURROGATE.sub("\ufffd", text)
