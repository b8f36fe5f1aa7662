"""A checked rule as one Python closure: `rule(scope)` is True or False, or raises Failed.

Each part becomes a closure over those of its inner parts. A chain like `newData.parent().child('a')` is a path known but for its
first keys: a snapshot is never an object but a view and a path, and only a question about it (`val()`, `exists()`) looks into the
tree.
Nothing is kept from one evaluation to the next, and nothing loops, so an evaluation takes as many steps as the rule has parts.

Decisions run generated functions (generate.py), which come here for the parts that they do not know; explanations and coverage
run closures, since `watch` is told of every part and its value.
Recursion is bounded, since parts nest EXPRESSION_DEPTH_MAX levels at most. Source: docs/rules.md "Evaluation".
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from meadowlark.rules import values
from meadowlark.rules.pattern import Pattern
from meadowlark.rules.scope import Scope
from meadowlark.rules.syntax import Call, Chain, List, Literal, Member, Part, Regex, Ternary, Unary, Variable, inner_parts
from meadowlark.rules.values import Failed, Value
from meadowlark.rules.views import View
from meadowlark.tree import Path

VALUELESS = frozenset(["array", "function", "query", "regex", "snapshot"])
"""Types of parts that have no value by themselves."""

Closure = Callable[[Scope], Any]
Watch = Callable[[Scope, Part, Value], None]


def compile_rule(rule: Part, captures: dict[str, int], depth: int, watch: Watch | None = None) -> Closure:
    """rule: checked, or a part of it. captures: by name, which key of the path each is. depth: of the place where it stands."""
    return _Compiler(captures, depth, watch).value(rule)


class _Place(NamedTuple):
    """A snapshot. `is_after` None: `picks` says which. Where `path` is None, it is the first `start` keys and `keys`."""

    is_after: bool | None
    start: int = 0
    keys: Path = ()
    path: Closure | None = None
    picks: Closure | None = None


class _Compiler:
    def __init__(self, captures: dict[str, int], depth: int, watch: Watch | None) -> None:
        self._captures = captures
        self._depth = depth
        self._watch = watch

    def value(self, part: Part) -> Closure:
        """The closure of a part that has a value: no snapshot, list, pattern or method."""
        made = _COMPILES[type(part)](self, part)
        return made if self._watch is None or isinstance(part, Literal) else _watched(made, part, self._watch)

    def _literal(self, part: Literal) -> Closure:
        value = part.value
        return lambda scope: value

    def _variable(self, part: Variable) -> Closure:
        name = part.name
        if name in self._captures:
            index = self._captures[name]
            return lambda scope: scope.path[index]
        return _auth if name == "auth" else _now

    # Operators

    def _unary(self, part: Unary) -> Closure:
        operand = self.value(part.operand)
        if part.operator == "!":
            return lambda scope: not operand(scope)
        return lambda scope: -values.number(operand(scope))

    def _ternary(self, part: Ternary) -> Closure:
        condition, yes, no = self.value(part.condition), self._branch(part.yes), self._branch(part.no)
        return lambda scope: yes(scope) if condition(scope) else no(scope)

    def _branch(self, part: Part) -> Closure:
        """A branch may be no value, such as a snapshot, where the other one is none of its kind: it fits nothing then."""
        if part.type not in VALUELESS:
            return self.value(part)
        if part.type == "snapshot":
            steps: list[Closure] = [_path_of(self._place(part))]
        elif isinstance(part, Ternary):
            return self.value(part)
        else:
            steps = [self._branch(inner) for inner in inner_parts(part)]

        def branch(scope: Scope) -> Value:
            for step in steps:
                step(scope)  # Which may fail.
            return values.MAP

        return branch

    def _chain(self, part: Chain) -> Closure:
        if part.operators[0] in ("&&", "||"):
            return _logic(part.operators[0] == "&&", [self.value(operand) for operand in part.operands])
        if len(part.operands) > 2:
            return self._fold(part)
        left, right = [self.value(operand) for operand in part.operands]
        combine = _COMBINES[part.operators[0]]
        return lambda scope: combine(left(scope), right(scope), scope)

    def _fold(self, part: Chain) -> Closure:
        """A longer chain: in a loop, since as closures in each other it would be as deep as it is long."""
        first = self.value(part.operands[0])
        steps = [(_COMBINES[sign], self.value(part)) for sign, part in zip(part.operators, part.operands[1:], strict=True)]

        def fold(scope: Scope) -> Value:
            value = first(scope)
            for combine, operand in steps:
                value = combine(value, operand(scope), scope)
            return value

        return fold

    # Members

    def _member(self, part: Member) -> Closure:
        kind, name = part.owner.type, part.name
        if kind == "query":
            assert name is not None
            if isinstance(part.owner, Variable):
                return lambda scope: scope.query[name]
            # Either branch is the same query, but the test of `?:` may fail.
            picks = self._branch(part.owner)
            return lambda scope: (picks(scope), scope.query[name])[1]
        if kind in ("string", "primitive"):
            return self._length(part)
        member = values.member
        if name is None:
            assert part.key is not None
            owner, key = self.value(part.owner), self.value(part.key)
            return lambda scope: member(owner(scope), key(scope))
        if isinstance(part.owner, Variable):
            return lambda scope: None if scope.auth is None else scope.auth.get(name)
        owner = self.value(part.owner)
        return lambda scope: member(owner(scope), name)

    def _length(self, part: Member) -> Closure:
        """The one property that strings have."""
        owner = self.value(part.owner)
        return lambda scope: length_of(owner(scope), scope)

    def _call(self, part: Call) -> Closure:
        callee = part.callee
        assert isinstance(callee, Member)
        name = str(callee.name)
        if callee.owner.type == "snapshot":
            if name == "hasChildren" and part.arguments:
                names = part.arguments[0]
                assert isinstance(names, List)
                return self._has_all(self._place(callee.owner), names.items)
            if name == "hasChild":
                return self._has_all(self._place(callee.owner), part.arguments)
            return self._question(name, self._place(callee.owner))
        receiver = self.value(callee.owner)
        if name == "matches":
            regex = part.arguments[0]
            assert isinstance(regex, Regex)
            assert isinstance(regex.pattern, Pattern)
            pattern = regex.pattern
            return lambda scope: matches(pattern, receiver(scope), scope)
        return _string_call(name, receiver, [self.value(argument) for argument in part.arguments])

    # Snapshots

    def _question(self, name: str, place: _Place) -> Closure:
        """What a method without arguments answers about a place."""
        if name == "getPriority":
            view, path = _view_of(place), _path_of(place)
            return lambda scope: view(scope).priority(path(scope))
        found = _found(place)
        if name == "val":
            return found
        if name == "exists":
            return lambda scope: found(scope) is not None
        if name == "hasChildren":
            return lambda scope: found(scope) is values.MAP
        kinds: tuple[type, ...] = {"isNumber": (int, float), "isString": (str,), "isBoolean": (bool,)}[name]
        return lambda scope: type(found(scope)) in kinds

    def _has_all(self, place: _Place, parts: list[Part]) -> Closure:
        """Whether there is something at every one of the names that `parts` give, below a place."""
        view, path, keys_of = _view_of(place), _path_of(place), values.keys_of
        names = [self.value(part) for part in parts]

        def has_all(scope: Scope) -> bool:
            find, start = view(scope).value, path(scope)
            # Every name is looked at even where the first is missing: one that is no string fails the rule.
            keys = [keys_of(name(scope), scope) for name in names]
            return all(find(start + key) is not None for key in keys)

        return has_all

    def _place(self, part: Part) -> _Place:
        if isinstance(part, Ternary):
            return self._picked(part)
        if isinstance(part, Variable):
            return _Place(part.name == "newData", 0 if part.name == "root" else self._depth)
        assert isinstance(part, Call)
        assert isinstance(part.callee, Member)
        place = self._place(part.callee.owner)
        if part.callee.name == "parent":
            return _parent(place)
        name = part.arguments[0]
        if isinstance(name, Literal) and isinstance(name.value, str) and place.path is None and len(name.value) <= values.SHORT:
            return place._replace(keys=place.keys + values.keys_of(name.value, SPENDS_NOTHING))
        start, key, keys_of = _path_of(place), self.value(name), values.keys_of
        return place._replace(path=lambda scope: start(scope) + keys_of(key(scope), scope))

    def _picked(self, part: Ternary) -> _Place:
        condition, yes, no = self.value(part.condition), self._place(part.yes), self._place(part.no)
        yes_path, no_path = _path_of(yes), _path_of(no)
        picked = _Place(None, path=lambda scope: yes_path(scope) if condition(scope) else no_path(scope))
        if yes.is_after is not None and yes.is_after == no.is_after:
            return picked._replace(is_after=yes.is_after)
        yes_view, no_view = _view_of(yes), _view_of(no)
        return picked._replace(picks=lambda scope: yes_view(scope) if condition(scope) else no_view(scope))


def _auth(scope: Scope) -> Value:
    return scope.auth


def _now(scope: Scope) -> Value:
    return scope.now


def _before(scope: Scope) -> View:
    return scope.before


def _after(scope: Scope) -> View:
    return scope.after


def _watched(made: Closure, part: Part, watch: Watch) -> Closure:
    def watched(scope: Scope) -> Value:
        value = made(scope)
        watch(scope, part, value)
        return value

    return watched


def _view_of(place: _Place) -> Callable[[Scope], View]:
    if place.is_after is None:
        assert place.picks is not None
        return place.picks
    return _after if place.is_after else _before


def _path_of(place: _Place) -> Callable[[Scope], Path]:
    if place.path is not None:
        return place.path
    start, keys = place.start, place.keys
    if not start:
        return lambda scope: keys
    if not keys:
        return lambda scope: scope.path[:start]
    return lambda scope: scope.path[:start] + keys


def _found(place: _Place) -> Closure:
    """The value at a place."""
    view, path = _view_of(place), _path_of(place)
    return lambda scope: view(scope).value(path(scope))


def _parent(place: _Place) -> _Place:
    if place.path is None and place.keys:
        return place._replace(keys=place.keys[:-1])
    if place.path is None and place.start:
        return place._replace(start=place.start - 1)
    path = _path_of(place)

    def parent(scope: Scope) -> Path:
        lower = path(scope)
        if not lower:
            raise Failed("the root has no parent")
        return lower[:-1]

    return place._replace(path=parent)


class _SpendsNothing:
    characters = 0


SPENDS_NOTHING = _SpendsNothing()
"""For short texts, which cost nothing."""


def _logic(is_and: bool, operands: list[Closure]) -> Closure:
    if len(operands) == 2:
        one, two = operands
        if is_and:
            return lambda scope: one(scope) and two(scope)
        return lambda scope: one(scope) or two(scope)

    def logic(scope: Scope) -> bool:
        for operand in operands:
            if operand(scope) is not is_and:
                return not is_and
        return is_and

    return logic


_compare, _number = values.compare, values.number

_COMBINES: dict[str, Callable[[Value, Value, Scope], Value]] = {
    "==": values.same,
    "===": values.same,
    "!=": lambda one, other, scope: not values.same(one, other, scope),
    "!==": lambda one, other, scope: not values.same(one, other, scope),
    "<": lambda one, other, scope: _compare(one, other, scope) < 0,
    ">": lambda one, other, scope: _compare(one, other, scope) > 0,
    "<=": lambda one, other, scope: _compare(one, other, scope) <= 0,
    ">=": lambda one, other, scope: _compare(one, other, scope) >= 0,
    "+": values.add,
    "-": lambda one, other, scope: _number(one) - _number(other),
    "*": lambda one, other, scope: _number(one) * _number(other),
    "/": lambda one, other, scope: values.divide(_number(one), _number(other)),
    "%": lambda one, other, scope: values.remainder(_number(one), _number(other)),
}
"""What each operator makes of two values."""


def length_of(value: Value, scope: Scope) -> Value:
    """Of null it is null, as any member is."""
    return None if value is None else values.length(values.text(value), scope)


def matches(pattern: Pattern, value: Value, scope: Scope) -> bool:
    text = values.text(value)
    values.spend(scope, len(text) * pattern.weight)
    return pattern.is_in(text)


def call_string(perform: Callable[..., Value], scope: Scope, value: Value, *arguments: Value) -> Value:
    """What a method of strings gives; `perform` is one of STRING_CALLS."""
    text = values.text(value)
    taken = [values.text(argument) for argument in arguments]
    if len(text) > values.SHORT:
        values.spend(scope, len(text))
    return perform(text, *taken)


STRING_CALLS: dict[str, Callable[..., Value]] = {
    "contains": lambda value, part: part in value,
    "beginsWith": str.startswith,
    "endsWith": str.endswith,
    "toLowerCase": str.lower,
    "toUpperCase": str.upper,
}


def _string_call(name: str, receiver: Closure, arguments: list[Closure]) -> Closure:
    if name == "replace":
        old, new = arguments
        return lambda scope: values.replace(values.text(receiver(scope)), values.text(old(scope)), values.text(new(scope)), scope)
    perform = STRING_CALLS[name]
    return lambda scope: call_string(perform, scope, receiver(scope), *[argument(scope) for argument in arguments])


_COMPILES: dict[type[Part], Callable[[_Compiler, Any], Closure]] = {
    Literal: _Compiler._literal,
    Variable: _Compiler._variable,
    Unary: _Compiler._unary,
    Ternary: _Compiler._ternary,
    Chain: _Compiler._chain,
    Member: _Compiler._member,
    Call: _Compiler._call,
}
