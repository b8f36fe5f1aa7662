"""Static types of a rule: what Firebase refuses when rules are uploaded.

Every part gets a type, and the rule must be `boolean`. Where a value is known only later (`auth`, priorities: `any`; `val()`:
`primitive`) the check is left to the evaluation, but `&&`, `||`, `!`, the test of `?:` and the rule itself take nothing but
what is boolean for sure. A part that is wrong is of type `wrong`, which fits everywhere, so that one mistake makes one complaint.
Captures are strings. Arithmetic on them is accepted, since it grants nothing: it fails when it is evaluated.
Source: docs/rules.md "Types"; the messages are those that users of the Realtime Database know.
"""

from __future__ import annotations

from collections.abc import Callable, Collection

from meadowlark.rules.members import OF_TYPE, STRING, Method
from meadowlark.rules.pattern import PatternFault, compile_pattern
from meadowlark.rules.syntax import Call, Chain, List, Literal, Member, Part, Regex, Ternary, Unary, Variable

Complain = Callable[[int, str], None]
"""Takes the offset in the rule's text, and the message."""

_VARIABLES = {"auth": "any", "now": "number", "root": "snapshot", "data": "snapshot", "newData": "snapshot", "query": "query"}
_FUZZY = frozenset(["any", "primitive", "wrong"])
_PRIMITIVES = frozenset(["boolean", "number", "string", "null", "primitive"])
_COMPARABLE = _PRIMITIVES | _FUZZY
_ORDERED = frozenset(["number", "string", "null"]) | _FUZZY
_ADDABLE = frozenset(["number", "string"]) | _FUZZY
_NUMERIC = frozenset(["number"]) | _FUZZY


def check_types(rule: Part, captures: Collection[str], *, is_read: bool, complain: Complain) -> None:
    """Gives every part its type, and tells `complain` what is wrong. captures: those bound where the rule stands."""
    kind = _Checker(captures, is_read, complain).check(rule)
    if kind not in ("boolean", "wrong"):
        complain(rule.start, "Expression must evaluate to a boolean.")


class _Checker:
    def __init__(self, captures: Collection[str], is_read: bool, complain: Complain) -> None:
        self._captures = captures
        self._is_read = is_read
        self._complain = complain

    def check(self, part: Part) -> str:
        kind = part.type = _CHECKS[type(part)](self, part)
        return kind

    def _wrong(self, at: int, message: str) -> str:
        self._complain(at, message)
        return "wrong"

    def _literal(self, part: Literal) -> str:
        value = part.value
        if isinstance(value, bool):
            return "boolean"
        return "null" if value is None else "string" if isinstance(value, str) else "number"

    def _regex(self, part: Regex) -> str:
        try:
            part.pattern = compile_pattern(part.body, part.flags)
        except PatternFault as fault:
            return self._wrong(part.at, str(fault))
        return "regex"

    def _variable(self, part: Variable) -> str:
        name = part.name
        if name.startswith("$") and name in self._captures:
            return "string"
        if name not in _VARIABLES or (name == "newData" and self._is_read):
            return self._wrong(part.at, f"Unknown variable '{name}'.")
        return _VARIABLES[name]

    def _list(self, part: List) -> str:
        for item in part.items:
            self.check(item)
        return "array"

    # Operators

    def _unary(self, part: Unary) -> str:
        kind = self.check(part.operand)
        if part.operator == "!":
            if kind not in ("boolean", "wrong"):
                self._complain(part.operand.start, "! only operates on booleans.")
            return "boolean"
        if _loosely(part.operand) not in _NUMERIC:
            self._complain(part.operand.start, "- only operates on numbers.")
        return "number"

    def _chain(self, part: Chain) -> str:
        for operand in part.operands:
            self.check(operand)
        left = part.operands[0].type
        left_loosely = _loosely(part.operands[0])
        for operator, right in zip(part.operators, part.operands[1:], strict=True):
            check = _OPERATORS.get(operator, _Checker._arithmetic)
            left = left_loosely = check(self, part.operands[0].start, operator, (left, left_loosely), right)
        return left

    def _logic(self, at: int, operator: str, left: tuple[str, str], right: Part) -> str:
        for side, place, kind in (("Left", at, left[0]), ("Right", right.start, right.type)):
            if kind not in ("boolean", "wrong"):
                self._complain(place, f"{side} operand of {operator} must be boolean.")
        return "boolean"

    def _equality(self, at: int, operator: str, left: tuple[str, str], right: Part) -> str:
        self._sides(at, operator, left[0], right.start, right.type, _COMPARABLE, "number, boolean, string, or null")
        return "boolean"

    def _order(self, at: int, operator: str, left: tuple[str, str], right: Part) -> str:
        one, other = left[1], _loosely(right)
        fit = self._sides(at, operator, one, right.start, other, _ORDERED, "number or string")
        if fit and one not in _FUZZY and other not in _FUZZY and one != other:
            self._complain(right.start, f"Invalid {operator} expression: left and right operands are of different types.")
        return "boolean"

    def _plus(self, at: int, operator: str, left: tuple[str, str], right: Part) -> str:
        self._sides(at, operator, left[0], right.start, right.type, _ADDABLE, "number or string")
        kinds = (left[0], right.type)
        if "wrong" in kinds:
            return "wrong"
        return "string" if "string" in kinds else "number" if kinds == ("number", "number") else "primitive"

    def _arithmetic(self, at: int, operator: str, left: tuple[str, str], right: Part) -> str:
        self._sides(at, operator, left[1], right.start, _loosely(right), _NUMERIC, "number")
        return "number"

    def _sides(
        self, at: int, operator: str, left: str, right_at: int, right: str, fitting: frozenset[str], expected: str
    ) -> bool:
        fit = True
        for side, place, kind in (("left", at, left), ("right", right_at, right)):
            if kind not in fitting:
                self._complain(place, f"Invalid {operator} expression: {side} operand is not a {expected}.")
                fit = False
        return fit

    def _ternary(self, part: Ternary) -> str:
        if self.check(part.condition) not in ("boolean", "wrong"):
            self._complain(part.condition.start, "condition of ? must be boolean.")
        yes, no = self.check(part.yes), self.check(part.no)
        if yes == no or "wrong" in (yes, no):
            return yes if yes == no else "wrong"
        if yes in _PRIMITIVES and no in _PRIMITIVES:
            return "primitive"
        return "any"

    # Members

    def _member(self, part: Member) -> str:
        owner = self.check(part.owner)
        if part.key is not None:
            self.check(part.key)
        if owner == "any" or owner == "wrong":
            return owner
        method = self._find_method(owner, part)
        if method is None:
            return "wrong"
        return "function" if method.takes is not None else method.gives

    def _find_method(self, owner: str, part: Member) -> Method | None:
        if part.name is None:
            self._complain(part.at, "Invalid property access.")
            return None
        method = OF_TYPE.get(owner, {}).get(part.name)
        if method is None:
            self._complain(part.at, f"No such method/property '{part.name}'.")
        return method

    def _call(self, part: Call) -> str:
        for argument in part.arguments:
            self.check(argument)
        callee = part.callee
        kind = self.check(callee)
        if kind == "wrong":
            return "wrong"
        method: Method | None = None
        if isinstance(callee, Member):
            owner = callee.owner.type
            method = STRING.get(callee.name or "") if owner == "any" else OF_TYPE.get(owner, {}).get(callee.name or "")
            if owner == "any" and (method is None or method.takes is None):
                return self._wrong(callee.at, f"No such method/property '{callee.name or ''}'.")
        if method is None or method.takes is None:
            return self._wrong(callee.at, "Only methods can be called.")
        assert isinstance(callee, Member)
        self._arguments(part, callee, method.takes)
        return method.gives

    def _arguments(self, part: Call, callee: Member, takes: tuple[str, ...]) -> None:
        arguments = part.arguments
        if callee.name == "hasChildren" and arguments:
            self._child_names(part)
        elif callee.name == "matches":
            if len(arguments) != 1 or not isinstance(arguments[0], Regex):
                self._complain(part.at, "matches takes 1 argument: a regular expression literal.")
        elif len(arguments) != len(takes):
            count = f"{len(takes)} argument{'' if len(takes) == 1 else 's'}"
            self._complain(part.at, f"method expects {count}, but got {len(arguments)}.")
        else:
            for number, (argument, kind) in enumerate(zip(arguments, takes, strict=True), 1):
                if argument.type != kind and argument.type not in _FUZZY:
                    message = f"method expects argument {number} to be a {kind}, but got {argument.type}."
                    self._complain(argument.start, message)

    def _child_names(self, part: Call) -> None:
        names = part.arguments[0]
        if len(part.arguments) != 1 or not isinstance(names, List) or not names.items:
            self._complain(names.at, "hasChildren takes 1 argument: an array of strings.")
            return
        for item in names.items:
            if item.type != "string" and item.type not in _FUZZY:
                self._complain(item.start, "hasChildren takes 1 argument: an array of strings.")


def _loosely(part: Part) -> str:
    """The type of `part` for arithmetic and order: a capture may be anything there."""
    return "primitive" if isinstance(part, Variable) and part.name.startswith("$") and part.type == "string" else part.type


_CHECKS: dict[type[Part], Callable[[_Checker, Part], str]] = {
    Literal: _Checker._literal,  # type: ignore[dict-item]  # each takes the kind of its row
    Regex: _Checker._regex,  # type: ignore[dict-item]
    Variable: _Checker._variable,  # type: ignore[dict-item]
    List: _Checker._list,  # type: ignore[dict-item]
    Unary: _Checker._unary,  # type: ignore[dict-item]
    Chain: _Checker._chain,  # type: ignore[dict-item]
    Ternary: _Checker._ternary,  # type: ignore[dict-item]
    Member: _Checker._member,  # type: ignore[dict-item]
    Call: _Checker._call,  # type: ignore[dict-item]
}

_OPERATORS: dict[str, Callable[[_Checker, int, str, tuple[str, str], Part], str]] = {
    "&&": _Checker._logic,
    "||": _Checker._logic,
    "==": _Checker._equality,
    "!=": _Checker._equality,
    "===": _Checker._equality,
    "!==": _Checker._equality,
    "<": _Checker._order,
    ">": _Checker._order,
    "<=": _Checker._order,
    ">=": _Checker._order,
    "+": _Checker._plus,
}
