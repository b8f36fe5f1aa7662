"""Values while a rule is evaluated, and what operators and methods make of them.

A value is None, a bool, a number (int or float, both meaning the IEEE double), a str, `MAP` for a place with children, or, only
within `auth`, a dict or a list. Anything that does not fit raises Failed, which ends the evaluation: the rule is then false.
In Python `True == 1`, strings compare by code point and division by zero raises; here nothing does.

Whatever looks at long texts or makes them spends of the scope's `characters`, so that no rule can work for ever on a long value.
Source: docs/rules.md "Values"; ECMAScript for numbers as texts.
"""

from __future__ import annotations

import math
from typing import Any, Protocol

from meadowlark.limits import KEY_BYTES_MAX, PATH_DEPTH_MAX
from meadowlark.tree import PRIORITY, VALUE, Path

SHORT = 256
"""Characters of a text that costs nothing: a rule has at most some thousand parts that could look at one."""

_PATH_LENGTH_MAX = (KEY_BYTES_MAX + 1) * PATH_DEPTH_MAX + 1

NOWHERE: Path = (".",)
"""A path at which nothing can be: "." is no key."""

_EXACT_INTEGER_MAX = 2**53

_INTEGER_MAX = 2**1000
"""Claims of a token may hold integers that are no doubles at all."""


class Failed(Exception):
    """The rule cannot be evaluated to an end, and so is false."""


class _Map:
    """What `val()` gives of a place with children: not null, and equal to nothing, not even to itself."""

    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        return False

    def __hash__(self) -> int:
        return 0

    def __repr__(self) -> str:
        return "{…}"


MAP = _Map()

Value = Any
"""None | bool | int | float | str | _Map | dict | list; a union would have to be narrowed at every step."""


class Purse(Protocol):
    """What an evaluation may still spend; the scope is one."""

    characters: int


def spend(purse: Purse, characters: int) -> None:
    purse.characters -= characters
    if purse.characters < 0:
        raise Failed("the rule looks at more text than one evaluation may")


def same(one: Value, other: Value, purse: Purse) -> bool:
    """`===`: never an error, and never true for what is no primitive."""
    kind, other_kind = type(one), type(other)
    if kind is other_kind:
        if kind is str and len(one) > SHORT:
            spend(purse, min(len(one), len(other)))
        return kind is not dict and kind is not list and one == other
    return ((kind is int and other_kind is float) or (kind is float and other_kind is int)) and one == other


def compare(one: Value, other: Value, purse: Purse) -> float:
    """Negative, zero or positive as `one` is below, equal to or above `other`; NaN if they have no order."""
    if type(one) is str and type(other) is str:
        if not (one.isascii() and other.isascii()):
            spend(purse, len(one) + len(other))
            one, other = one.encode("utf-16-be", "surrogatepass"), other.encode("utf-16-be", "surrogatepass")
        elif len(one) > SHORT:
            spend(purse, min(len(one), len(other)))
        return -1.0 if one < other else float(one > other)
    one, other = number(one), number(other)
    return -1.0 if one < other else 1.0 if one > other else 0.0 if one == other else math.nan


def number(value: Value) -> float:
    """`value`, which must be a number."""
    if type(value) is float:
        return value
    if type(value) is int and abs(value) < _INTEGER_MAX:
        return float(value)
    raise Failed("a number was expected")


def text(value: Value) -> str:
    """`value`, which must be a string."""
    if type(value) is str:
        return value
    raise Failed("a string was expected")


def add(one: Value, other: Value, purse: Purse) -> Value:
    if type(one) is str:
        joined = one + (other if type(other) is str else number_text(number(other)))
    elif type(other) is str:
        joined = number_text(number(one)) + other
    else:
        return number(one) + number(other)
    if len(joined) > SHORT:
        spend(purse, len(joined))
    return joined


def divide(one: float, other: float) -> float:
    return one / other if other else math.nan


def remainder(one: float, other: float) -> float:
    """With the sign of `one`; NaN where there is none."""
    return math.fmod(one, other) if other and not math.isinf(one) else math.nan


def number_text(value: float) -> str:
    """A number as JavaScript writes it."""
    if type(value) is int and -_EXACT_INTEGER_MAX <= value <= _EXACT_INTEGER_MAX:
        return str(value)
    value = float(value)
    if value != value:
        return "NaN"
    if math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    if value == 0:
        return "0"
    return ("-" if value < 0 else "") + _shortest(abs(value))


def _shortest(value: float) -> str:
    """ECMAScript, Number::toString. `repr` gives the same digits, but places the point and the exponent otherwise."""
    mantissa, _, exponent = repr(value).partition("e")
    whole, _, fraction = mantissa.partition(".")
    digits = (whole + fraction).lstrip("0")
    point = len(whole) + int(exponent or 0) - (len(whole + fraction) - len(digits))
    digits = digits.rstrip("0")
    if len(digits) <= point <= 21:
        return digits + "0" * (point - len(digits))
    if 0 < point <= 21:
        return f"{digits[:point]}.{digits[point:]}"
    if -6 < point <= 0:
        return f"0.{'0' * -point}{digits}"
    rest = f".{digits[1:]}" if len(digits) > 1 else ""
    return f"{digits[0]}{rest}e{'+' if point > 0 else '-'}{abs(point - 1)}"


def utf16_length(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-16-le", "surrogatepass")) // 2


def length(value: str, purse: Purse) -> int:
    """In UTF-16 units."""
    if value.isascii():
        return len(value)
    if len(value) > SHORT:
        spend(purse, len(value))
    return utf16_length(value)


def replace(value: str, old: str, new: str, purse: Purse) -> str:
    """Every occurrence of `old`, which is no pattern."""
    if len(value) > SHORT or len(new) > SHORT:
        spend(purse, len(value))
        spend(purse, len(value) + value.count(old) * (len(new) - len(old)))
    return value.replace(old, new)


def member(owner: Value, name: Value) -> Value:
    """`owner.name` or `owner[name]` within `auth`; None where there is nothing."""
    if owner is MAP:
        raise Failed("a place has no such member")
    if type(owner) is dict:
        if type(name) in (int, float):
            name = number_text(name)  # As in JavaScript, where all keys are texts.
        return owner.get(name) if type(name) is str else None
    if type(owner) is str:
        return utf16_length(owner) if name == "length" else None
    if type(owner) is list:
        if name == "length":
            return len(owner)
        if type(name) is str:
            name = int(name) if len(name) < 10 and name.isdecimal() and str(int(name)) == name else None
        if type(name) in (int, float) and 0 <= name < len(owner) and name == int(name):
            return owner[int(name)]
    return None


def keys_of(path: Value, purse: Purse) -> Path:
    """The keys of a relative path. What can be no key names a place where nothing is."""
    if type(path) is not str:
        raise Failed("a path was expected")
    if len(path) > SHORT:
        spend(purse, len(path))
        if len(path) > _PATH_LENGTH_MAX:
            return NOWHERE
    if "/" not in path and "." not in path:
        return (path,) if path else ()
    keys = tuple([key for key in path.split("/") if key])
    # The tree keeps priorities under keys of their own, which no path of a rule may reach.
    return NOWHERE if PRIORITY in keys or VALUE in keys else keys
