"""Regular expressions of rules: Firebase's dialect, matched in linear time.

The dialect is that of an automaton library: no captures, no look-around, no lazy quantifiers; `^` and `$` only as the first
and the last character of the whole; `.` is any character. The first character of the pattern, of a group and of a branch is
taken as it stands even if it means something elsewhere, so `(?:a)` matches the text "?:a". A character is a UTF-16 unit.

A pattern is read here, with the dialect's own complaints, and written again for RE2, which sees nothing that the user wrote:
every character as a number. Surrogates, which UTF-8 does not have, are moved to a place in the private planes, both in patterns
and in texts; every character that could stand there is itself two surrogates, so nothing else is ever there.
Source: docs/rules.md "Regular expressions".
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, NamedTuple

import re2  # type: ignore[import-untyped]

from meadowlark.limits import PATTERN_INSTRUCTIONS_MAX, PATTERN_REPEAT_MAX
from meadowlark.tree import utf16_order

_MEMORY_BYTES_MAX = 4 * 1024 * 1024
"""What RE2 may use to be fast; beyond it is slower, and still linear."""

_ANY = [(0, 0x10FFFF)]
_CLASSES: dict[str, list[tuple[int, int]]] = {
    "d": [(48, 57)],
    "w": [(48, 57), (65, 90), (95, 95), (97, 122)],
    "s": [(9, 13), (32, 32), (0xA0, 0xA0), (0x2028, 0x2029), (0xFEFF, 0xFEFF)],
}
_SURROGATES = {unit: unit + 0x100000 for unit in range(0xD800, 0xE000)}
_PLANES = bytes([0x10 if 0xD8 <= high <= 0xDF else 0 for high in range(256)])
"""By the higher byte of a UTF-16 unit, the plane of the character that it becomes: the same as `_SURROGATES`."""
_COUNT = re.compile("[0-9]+")
_NESTING_MAX = 100

Ranges = list[tuple[int, int]]


class PatternFault(Exception):
    """The pattern is not of the dialect, or too large."""


class Pattern(NamedTuple):
    """A compiled pattern. `find`: whether it matches encoded text. `weight`: what that costs for each character, at least 1."""

    find: Callable[[bytes], bool]
    weight: int

    def is_in(self, text: str) -> bool:
        """Whether the pattern matches `text`, anywhere in it unless anchored."""
        return self.find(text.encode() if text.isascii() else _units(text))


def compile_pattern(body: str, flags: str) -> Pattern:
    """The pattern of the literal `/body/flags`. Raises PatternFault with the message for the user."""
    if flags not in ("", "i"):
        raise PatternFault(f"Illegal regular expression, unsupported flags '{flags}'")
    starts = body.startswith("^")
    body = body[1:] if starts else body
    ends = body.endswith("$") and (len(body) - len(body[:-1].rstrip("\\"))) % 2 == 1
    body = body[:-1] if ends else body
    written = _Reader(utf16_order(body), flags == "i").read_whole() if body else ""
    options = re2.Options()
    options.max_mem, options.log_errors, options.never_capture = _MEMORY_BYTES_MAX, False, True
    text = f"{chr(92) + 'A' if starts else ''}(?:{written}){chr(92) + 'z' if ends else ''}"
    try:
        regexp = re2.compile(text.encode(), options)
    except re2.error:
        raise PatternFault("Illegal regular expression, it is too large") from None
    if regexp.programsize > PATTERN_INSTRUCTIONS_MAX:
        raise PatternFault("Illegal regular expression, it is too large")
    return Pattern(_finder(regexp), 1 + regexp.programsize // 8)


def _units(text: str) -> bytes:
    """`text` in UTF-8, with each surrogate as the character that stands for it in patterns (`_SURROGATES`)."""
    units = text.encode("utf-16-be", "surrogatepass")
    # As code points of four bytes, put there by bytes of one kind at a time: a loop over the characters of a long text would take
    # seconds, and an evaluation may look at millions of them.
    high = units[0::2]
    points = bytearray(2 * len(units))
    points[1::4], points[2::4], points[3::4] = high.translate(_PLANES), high, units[1::2]
    return points.decode("utf-32-be").encode()


def _finder(regexp: Any) -> Callable[[bytes], bool]:
    """`search`, without the object that says what was found: making it takes twice as long as finding. How that is left out is no
    promise of the library, so where it cannot be, it is not."""
    match = getattr(getattr(regexp, "_regexp", None), "Match", None)
    anchor = getattr(getattr(re2, "_Anchor", None), "UNANCHORED", None)
    if match is None or anchor is None:
        return lambda text: regexp.search(text) is not None
    return lambda text: bool(match(anchor, text, 0, len(text))[0][0] >= 0)


class _Reader:
    """Reads by the grammar of the dialect and gives RE2's form. Positions in complaints count from the `^`."""

    def __init__(self, body: str, ignores_case: bool) -> None:
        self._body = body
        self._at = 0
        self._ignores_case = ignores_case
        self._depth = 0

    def read_whole(self) -> str:
        written = self._union()
        if self._at < len(self._body):
            raise PatternFault(f"Illegal regular expression, end-of-string expected at position {self._at}")
        return written

    def _peek(self, characters: str) -> bool:
        return self._at < len(self._body) and self._body[self._at] in characters

    def _match(self, character: str) -> bool:
        if self._peek(character):
            self._at += 1
            return True
        return False

    def _next(self) -> str:
        if self._at == len(self._body):
            raise PatternFault("Illegal regular expression, unexpected end-of-string")
        self._at += 1
        return self._body[self._at - 1]

    def _union(self) -> str:
        branches = [self._concatenation()]
        while self._match("|"):
            branches.append(self._concatenation())
        return "|".join(branches)

    def _concatenation(self) -> str:
        parts = [self._repeat()]
        while self._at < len(self._body) and not self._peek(")|"):
            parts.append(self._repeat())
        return "".join(parts)

    def _repeat(self) -> str:
        atom = self._atom()
        while self._peek("?*+{"):
            quantifier = self._next()
            if quantifier == "{":
                quantifier = self._counts()
            # In a group, since stacked quantifiers mean something else to RE2.
            atom = f"(?:{atom}){quantifier}"
        return atom

    def _counts(self) -> str:
        least = self._count()
        most: int | None = least
        if self._match(","):
            most = self._count() if self._peek("0123456789") else None
        if not self._match("}"):
            raise PatternFault(f"Illegal regular expression, expected '}}' at position {self._at}")
        if max(least, most or 0) > PATTERN_REPEAT_MAX or (most is not None and most < least):
            raise PatternFault(f"Illegal regular expression, repetition out of range at position {self._at}")
        return f"{{{least},{'' if most is None else most}}}"

    def _count(self) -> int:
        digits = _COUNT.match(self._body, self._at)
        if digits is None or len(digits[0]) > 9:
            raise PatternFault(f"Illegal regular expression, integer expected at position {self._at}")
        self._at = digits.end()
        return int(digits[0])

    def _atom(self) -> str:
        if self._match("("):
            if self._match(")"):
                return "(?:)"
            self._depth += 1
            if self._depth > _NESTING_MAX:
                raise PatternFault("Illegal regular expression, it nests too deep")
            inner = self._union()
            self._depth -= 1
            if not self._match(")"):
                raise PatternFault(f"Illegal regular expression, expected ')' at position {self._at}")
            return f"(?:{inner})"
        if self._match("["):
            return self._set()
        if self._match("."):
            return _written(_ANY)
        if self._peek("^$"):
            raise PatternFault(f"Illegal regular expression, unexpected '{self._body[self._at]}' at position {self._at}")
        return _written(self._folded(self._character()))

    def _character(self) -> Ranges:
        """One character, taken as it stands, or a class."""
        character = self._next()
        if character != "\\":
            return [(ord(character), ord(character))]
        escaped = self._next()
        if escaped.lower() in _CLASSES:
            ranges = _CLASSES[escaped.lower()]
            return ranges if escaped.islower() else _inverted(ranges)
        return [(ord(escaped), ord(escaped))]

    def _set(self) -> str:
        inverts = self._match("^")
        ranges = self._range()
        while not self._peek("]"):
            ranges = ranges + self._range()  # Anew: a class must not be added to.
        self._next()
        ranges = self._folded(ranges)
        return _written(_inverted(ranges) if inverts else ranges)

    def _range(self) -> Ranges:
        first = self._character()
        if not self._match("-"):
            return first
        if self._peek("]"):
            return [*first, (45, 45)]
        last = self._character()
        if len(first) > 1 or len(last) > 1 or first[0][0] != first[0][1] or last[0][0] != last[0][1]:
            return [*first, (45, 45), *last]
        if last[0][0] < first[0][0]:
            raise PatternFault(f"Illegal regular expression, range out of order at position {self._at}")
        return [(first[0][0], last[0][0])]

    def _folded(self, ranges: Ranges) -> Ranges:
        """With the other case of every ASCII letter, if case is ignored."""
        if not self._ignores_case:
            return ranges
        more = [(max(low, 65) + 32, min(high, 90) + 32) for low, high in ranges if low <= 90 and high >= 65]
        more += [(max(low, 97) - 32, min(high, 122) - 32) for low, high in ranges if low <= 122 and high >= 97]
        return ranges + more


def _inverted(ranges: Ranges) -> Ranges:
    found: Ranges = []
    start = 0
    for low, high in sorted(ranges):
        if low > start:
            found.append((start, low - 1))
        start = max(start, high + 1)
    return [*found, (start, 0x10FFFF)] if start <= 0x10FFFF else found


def _written(ranges: Ranges) -> str:
    """A set for RE2 of these UTF-16 units, surrogates where texts have them too."""
    moved: Ranges = []
    for low, high in ranges:
        if low < 0xD800:
            moved.append((low, min(high, 0xD7FF)))
        if low < 0xE000 and high >= 0xD800:
            moved.append((max(low, 0xD800) + 0x100000, min(high, 0xDFFF) + 0x100000))
        if high >= 0xE000:
            moved.append((max(low, 0xE000), high))
    if not moved:
        return "[^\\x{0}-\\x{10FFFF}]"
    return "[" + "".join([f"\\x{{{low:x}}}-\\x{{{high:x}}}" for low, high in moved]) + "]"
