"""A checked rule as one generated Python function: `rule(auth, path, here, scope)` is True or False, or raises Failed.

It means what the closures of compile.py mean, and costs less: parts of an expression need no calls, a test of a type is one
comparison, and a place below what is at hand is a lookup. It is made of the forms that are common; any other part is asked of
its closure, and so is what nests deeper, or has more parts, than Python should be given at once.

**Nothing that a user wrote is ever in the text that is compiled.** Keys, strings, numbers and patterns are named `k0`, `k1` … and
handed over as values; of a rule only its shape becomes text. So no quote can be wrong, and rules of one shape share one code.
Source: docs/rules.md "Evaluation".
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

from meadowlark.rules import values
from meadowlark.rules.compile import SPENDS_NOTHING, STRING_CALLS, VALUELESS, call_string, compile_rule, length_of, matches
from meadowlark.rules.scope import Scope
from meadowlark.rules.syntax import Call, Chain, List, Literal, Member, Part, Regex, Ternary, Unary, Variable
from meadowlark.rules.views import BARE, value_at
from meadowlark.tree import Node, Path, find, is_map, priority_of

Run = Callable[[dict[str, Any] | None, Path, Node | None, Scope], Any]
"""Takes `scope.auth`, `scope.path`, what will stand at the rule's place if that is at hand, and the scope."""

DEPTH_MAX = 24
"""Levels of an expression; Python reads a hundred brackets in each other, and a level may need three."""
PARTS_MAX = 400
"""Of one rule. Compiling is some microseconds for each, and nothing else runs meanwhile."""
OPERANDS_MAX = 8
"""Of a sum or the like, which nests."""

_SHAPES_KEPT = 1_024
"""Of rules, over all rule sets; a kilobyte or two each."""


def generate_rule(rule: Part, captures: dict[str, int], depth: int, *, from_here: bool = False) -> Run:
    """As `compile_rule` does. from_here: whoever runs it has what will stand at its place."""

    generator = _Generator(captures, depth, from_here)
    text = generator.value(rule)
    run: Run = _shape(text, len(generator.constants))(*generator.constants)
    return run


@lru_cache(_SHAPES_KEPT)
def _shape(text: str, constants: int) -> Callable[..., Run]:
    """Takes `constants` values, as which they are named in `text`, and gives the function whose value `text` is."""
    names = ", ".join([f"k{index}" for index in range(constants)])
    made: dict[str, Any] = {}
    exec(f"def make({names}):\n def rule(a, p, h, s):\n  return {text}\n return rule", _HELPERS, made)
    return made["make"]  # type: ignore[no-any-return]


class _Place(NamedTuple):
    """A snapshot: the first `start` keys of the path, then what `keys` give, each the text of an element of a tuple.

    `is_here`: it is `known` below what is at hand. `known`: the keys after `start` as they are, if all are written out.
    """

    is_after: bool
    start: int
    keys: tuple[str, ...] = ()
    known: Path | None = ()
    is_here: bool = False


class _Generator:
    """Writes the text of one rule. Every method gives an expression in brackets, or a name."""

    def __init__(self, captures: dict[str, int], depth: int, from_here: bool) -> None:
        self.constants: list[Any] = []
        self._captures = captures
        self._depth = depth
        self._from_here = from_here
        self._parts_left = PARTS_MAX
        self._variables = 0

    def value(self, part: Part) -> str:
        """The text of a part that has a value."""
        self._parts_left -= 1
        made = None
        if part.depth <= DEPTH_MAX and self._parts_left > 0:
            made = _GENERATES[type(part)](self, part)
        return made or self._closed(part)

    def _closed(self, part: Part) -> str:
        return f"{self._constant(compile_rule(part, self._captures, self._depth))}(s)"

    def _constant(self, value: Any) -> str:
        self.constants.append(value)
        return f"k{len(self.constants) - 1}"

    def _variable(self) -> str:
        self._variables += 1
        return f"v{self._variables}"

    def _literal(self, part: Literal) -> str | None:
        return str(part.value) if part.value is None or isinstance(part.value, bool) else self._constant(part.value)

    def _named(self, part: Variable) -> str | None:
        if part.name in self._captures:
            return f"p[{self._captures[part.name]}]"
        return "a" if part.name == "auth" else "s.now"

    # Operators

    def _unary(self, part: Unary) -> str | None:
        operand = self.value(part.operand)
        return f"(not {operand})" if part.operator == "!" else f"(-number({operand}))"

    def _ternary(self, part: Ternary) -> str | None:
        if part.yes.type in VALUELESS or part.no.type in VALUELESS:
            return None
        condition, yes, no = self.value(part.condition), self.value(part.yes), self.value(part.no)
        return f"({yes} if {condition} else {no})"

    def _chain(self, part: Chain) -> str | None:
        sign = part.operators[0]
        if sign in ("&&", "||"):
            word = " and " if sign == "&&" else " or "
            return f"({word.join([self.value(operand) for operand in part.operands])})"
        if len(part.operands) > OPERANDS_MAX:
            return None
        if len(part.operands) == 2 and sign in ("==", "===", "!=", "!=="):
            return self._equality(part.operands[0], part.operands[1], "" if sign[0] == "=" else "not ")
        if len(part.operands) == 2 and sign in ("<", ">", "<=", ">="):
            return self._order(part.operands[0], part.operands[1], sign)
        text = self.value(part.operands[0])
        for sign, operand in zip(part.operators, part.operands[1:], strict=True):
            template = _COMBINES.get(sign)
            if template is None:
                return None  # Comparisons of comparisons.
            text = template.format(text, self.value(operand))
        return text

    def _equality(self, one: Part, other: Part, prefix: str) -> str:
        for constant, operand in ((other, one), (one, other)):
            if isinstance(constant, Literal):
                return self._equality_with(constant.value, self.value(operand), prefix)
        left, right = self.value(one), self.value(other)
        if self._is_capture(one) or self._is_capture(other):
            return f"({prefix}{left} == {right})"  # Nothing else is equal to a string, and a key is short.
        return f"({prefix}same({left}, {right}, s))"

    def _equality_with(self, constant: float | str | bool | None, text: str, prefix: str) -> str:
        if constant is None or isinstance(constant, bool):
            return f"({text} is {prefix}{constant})"
        if isinstance(constant, str):
            return f"({prefix}{text} == {self._constant(constant)})"
        name = self._variable()
        return f"({prefix}(({name} == {self._constant(constant)}) if {_is_number(name, text)} else False))"

    def _is_capture(self, part: Part) -> bool:
        return isinstance(part, Variable) and part.name in self._captures

    def _order(self, one: Part, other: Part, sign: str) -> str:
        left, right = self.value(one), self.value(other)
        if isinstance(other, Literal) and isinstance(other.value, float) and _is_double(one):
            name = self._variable()
            return f"({name} {sign} {right} if {_is_number(name, left)} else compare({name}, {right}, s) {sign} 0)"
        return f"(compare({left}, {right}, s) {sign} 0)"

    # Members

    def _member(self, part: Member) -> str | None:
        kind = part.owner.type
        if kind == "query":
            return f"s.query[{self._constant(part.name)}]" if isinstance(part.owner, Variable) else None
        if kind in ("string", "primitive"):
            name, owner = self._variable(), self.value(part.owner)
            return f"(len({name}) if type({name} := {owner}) is str and {name}.isascii() else length({name}, s))"
        if part.name is None:
            return None
        key = self._constant(part.name)
        if isinstance(part.owner, Variable):
            return f"(None if a is None else a.get({key}))"
        return f"member({self.value(part.owner)}, {key})"

    def _call(self, part: Call) -> str | None:
        callee = part.callee
        assert isinstance(callee, Member)
        name = str(callee.name)
        if callee.owner.type == "snapshot":
            place = self._place(callee.owner)
            return None if place is None else self._question(name, place, part.arguments)
        receiver = self.value(callee.owner)
        if name == "matches":
            regex = part.arguments[0]
            assert isinstance(regex, Regex)
            return f"matches({self._constant(regex.pattern)}, {receiver}, s)"
        if name in STRING_CALLS:
            arguments = "".join([f", {self.value(argument)}" for argument in part.arguments])
            return f"call({self._constant(STRING_CALLS[name])}, s, {receiver}{arguments})"
        return None

    # Snapshots

    def _place(self, part: Part) -> _Place | None:
        """Where a snapshot is; None where only a closure can tell."""
        if isinstance(part, Variable):
            is_after = part.name == "newData"
            return _Place(is_after, 0 if part.name == "root" else self._depth, is_here=is_after and self._from_here)
        if not isinstance(part, Call):
            return None
        assert isinstance(part.callee, Member)
        place = self._place(part.callee.owner)
        if place is None:
            return None
        if part.callee.name == "parent":
            return _parent(place)
        name = part.arguments[0]
        if isinstance(name, Literal) and isinstance(name.value, str):
            if len(name.value) > values.SHORT:
                return None
            keys = values.keys_of(name.value, SPENDS_NOTHING)
            names = tuple([self._constant(key) for key in keys])
            return place._replace(keys=place.keys + names, known=None if place.known is None else place.known + keys)
        if self._is_capture(name):
            return place._replace(keys=(*place.keys, self.value(name)), known=None, is_here=False)
        return place._replace(keys=(*place.keys, f"*keys_of({self.value(name)}, s)"), known=None, is_here=False)

    def _path(self, place: _Place, more: Path = ()) -> str:
        """The text of a path from the root. more: further keys."""
        start = f"p[:{place.start}]" if place.start else ""
        if place.known is not None:
            known = place.known + more
            return f"{start} + {self._constant(known)}" if start and known else start or self._constant(known)
        keys = [*([f"*{start}"] if start else []), *place.keys, *[self._constant(key) for key in more]]
        return f"({', '.join(keys)},)" if keys else "()"

    def _node(self, place: _Place, more: Path = ()) -> str:
        """The text of the node at a place of the tree before, or at hand."""
        if not place.is_here:
            return f"find(s.root, {self._path(place, more)})"
        assert place.known is not None
        keys = place.known + more
        if not keys:
            return "h"
        if len(keys) == 1:
            return f"(h.get({self._constant(keys[0])}) if type(h) is dict else find(h, {self._constant(keys)}))"
        return f"find(h, {self._constant(keys)})"

    def _question(self, name: str, place: _Place, arguments: list[Part]) -> str | None:
        """What a method answers about a place."""
        if arguments:
            return self._has_all(name, place, arguments)
        if place.is_after and not place.is_here:
            return self._question_after(name, place)
        node, found = self._node(place), self._variable()
        if name == "val":
            return f"({found} if type({found} := {node}) in BARE else value_at({found}))"
        if name == "exists":
            return f"({node} is not None)"
        if name == "hasChildren":
            return f"is_map({node})"
        if name == "getPriority":
            return None if place.is_here else f"priority_of({node})"
        return (
            f"(type({found} := {node}) in {_KINDS[name]} or type({found}) is dict and type(value_at({found})) in {_KINDS[name]})"
        )

    def _question_after(self, name: str, place: _Place) -> str | None:
        value = f"s.after.value({self._path(place)})"
        if name == "val":
            return value
        if name == "exists":
            return f"({value} is not None)"
        if name == "hasChildren":
            return f"({value} is MAP)"
        return f"(type({value}) in {_KINDS[name]})" if name in _KINDS else None

    def _has_all(self, name: str, place: _Place, arguments: list[Part]) -> str | None:
        """Whether there is something at every one of the names, below a place."""
        parts = arguments
        if name == "hasChildren":
            assert isinstance(arguments[0], List)
            parts = arguments[0].items
        texts = [part.value for part in parts if isinstance(part, Literal) and isinstance(part.value, str)]
        if len(texts) < len(parts):
            if len(parts) > 1 or place.is_here:
                return None
            below = place._replace(keys=(*place.keys, f"*keys_of({self.value(parts[0])}, s)"), known=None)
            return self._question("exists", below, [])
        if any(len(text) > values.SHORT for text in texts) or len(texts) > OPERANDS_MAX:
            return None
        known = [values.keys_of(text, SPENDS_NOTHING) for text in texts]
        if place.is_after and not place.is_here:
            return f"({' and '.join([f's.after.value({self._path(place, keys)}) is not None' for keys in known])})"
        if not place.is_here and len(known) > 1:
            return f"has_all({self._node(place)}, {self._constant(known)})"
        return f"({' and '.join([f'{self._node(place, keys)} is not None' for keys in known])})"


def _parent(place: _Place) -> _Place | None:
    if place.keys:
        if place.keys[-1].startswith("*"):
            return None
        keys = place.keys[:-1]
        return place._replace(keys=keys, known=() if not keys else None if place.known is None else place.known[:-1])
    return place._replace(start=place.start - 1, is_here=False) if place.start else None


def _is_number(name: str, text: str) -> str:
    return f"(type({name} := {text}) is int or type({name}) is float)"


def _is_double(part: Part) -> bool:
    """Whether a number that `part` gives is a double for sure, as those of the tree are; claims in `auth` may be any."""
    if isinstance(part, Call):
        return isinstance(part.callee, Member) and part.callee.owner.type == "snapshot" and part.callee.name == "val"
    return isinstance(part, Member) and part.owner.type in ("string", "primitive")


# What generated text calls.


def _has_every(node: Node | None, names: list[Path]) -> bool:
    for keys in names:  # noqa: SIM110  # A generator would cost as much as the questions.
        if find(node, keys) is None:
            return False
    return True


_KINDS = {"isNumber": "NUMBER", "isString": "STRING", "isBoolean": "BOOLEAN"}

_HELPERS: dict[str, Any] = {
    "BARE": BARE,
    "BOOLEAN": (bool,),
    "MAP": values.MAP,
    "NUMBER": (int, float),
    "STRING": (str,),
    "__builtins__": {"dict": dict, "float": float, "int": int, "len": len, "str": str, "type": type},
    "add": values.add,
    "call": call_string,
    "compare": values.compare,
    "divide": values.divide,
    "find": find,
    "has_all": _has_every,
    "is_map": is_map,
    "keys_of": values.keys_of,
    "length": length_of,
    "matches": matches,
    "member": values.member,
    "number": values.number,
    "priority_of": priority_of,
    "remainder": values.remainder,
    "same": values.same,
    "value_at": value_at,
}
"""All that generated text can name; of Python itself it can name nothing else."""

_COMBINES = {
    "+": "add({}, {}, s)",
    "-": "(number({}) - number({}))",
    "*": "(number({}) * number({}))",
    "/": "divide(number({}), number({}))",
    "%": "remainder(number({}), number({}))",
}

_GENERATES: dict[type[Part], Callable[[_Generator, Any], str | None]] = {
    Literal: _Generator._literal,
    Variable: _Generator._named,
    Unary: _Generator._unary,
    Ternary: _Generator._ternary,
    Chain: _Generator._chain,
    Member: _Generator._member,
    Call: _Generator._call,
}
