"""A checked rule as one Python closure: `rule(scope)` is True or False, or raises Failed.

Each part becomes a closure over those of its inner parts, with what is known beforehand worked out: comparisons with a
constant compare with it, members have their function, and a chain like `newData.parent().child('a')` is a path known but for
its first keys. A snapshot is never an object: it is a view and a path, and only a question about it (`val()`, `exists()`) looks
into the tree.
Nothing is kept from one evaluation to the next, and nothing loops, so an evaluation takes as many steps as the rule has parts.

`watch` is told of every part and its value, for explaining; without it nothing is paid for that.
Recursion is bounded, since parts nest EXPRESSION_DEPTH_MAX levels at most. Source: docs/rules.md "Evaluation".
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from meadowlark.limits import EVALUATION_CHARACTERS_MAX
from meadowlark.rules import values
from meadowlark.rules.members import QUERY
from meadowlark.rules.pattern import Pattern
from meadowlark.rules.syntax import Call, Chain, List, Literal, Member, Part, Regex, Ternary, Unary, Variable
from meadowlark.rules.values import Failed, Value
from meadowlark.rules.views import Before, View, Write, after_writes, value_at
from meadowlark.tree import Node, Path, find

NO_QUERY: dict[str, Any] = {name: False if name.startswith("orderBy") else None for name in QUERY} | {
    "orderByKey": True,
    "orderByChild": None,
}
"""`query` where nothing is asked for, or no order."""


class Scope:
    """What rules see of one operation. `path`: of the place whose rule is evaluated, or below it; views start at the root.

    `before` and `after` are made when a rule first looks at them: many only look at who asks, or at what is written.
    """

    __slots__ = ("after", "auth", "before", "characters", "here", "now", "path", "query", "root", "rules_left", "writes")

    before: View
    after: View

    def __init__(
        self, auth: dict[str, Any] | None, now: int, root: Node | None, writes: list[Write], path: Path, rules_left: int
    ) -> None:
        self.auth = auth
        self.now = now
        self.root = root
        self.writes = writes
        self.path = path
        self.here: Node | None = None
        """For rules that are compiled to look there: what will stand at their place."""
        self.query = NO_QUERY
        self.characters = EVALUATION_CHARACTERS_MAX
        """Left to this evaluation."""
        self.rules_left = rules_left
        """Evaluations left to this operation."""

    def __getattr__(self, name: str) -> View:
        """Called for a slot that is empty."""
        view: View
        if name == "before":
            self.before = view = Before(self.root)
        elif name == "after":
            self.after = view = after_writes(self.root, self.writes) if self.writes else self.before
        else:
            raise AttributeError(name)
        return view


Closure = Callable[[Scope], Any]
Watch = Callable[[Scope, Part, Value], None]


def compile_rule(
    rule: Part, captures: dict[str, int], depth: int, watch: Watch | None = None, *, from_here: bool = False
) -> Closure:
    """rule: checked. captures: by name, which key of the path each is. depth: of the place where the rule stands.

    from_here: whoever runs it sets `scope.here`, and `newData` is looked for there instead of from the root.
    """
    return _Compiler(captures, depth, watch, from_here).value(rule)


class _Place(NamedTuple):
    """A snapshot. `is_after` None: `picks` says which. Where `path` is None, it is the first `start` keys and `keys`.

    `is_here`: it is `keys` below `scope.here`, too.
    """

    is_after: bool | None
    start: int = 0
    keys: Path = ()
    path: Closure | None = None
    picks: Closure | None = None
    is_here: bool = False


class _Compiler:
    def __init__(self, captures: dict[str, int], depth: int, watch: Watch | None, from_here: bool) -> None:
        self._from_here = from_here
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
        condition, yes, no = self.value(part.condition), self.value(part.yes), self.value(part.no)
        return lambda scope: yes(scope) if condition(scope) else no(scope)

    def _chain(self, part: Chain) -> Closure:
        if part.operators[0] in ("&&", "||"):
            return _logic(part.operators[0] == "&&", [self.value(operand) for operand in part.operands])
        if len(part.operands) > 2:
            return self._fold(part)
        one, other = part.operands
        sign = part.operators[0]
        if sign in ("==", "===", "!=", "!=="):
            for constant, operand in ((other, one), (one, other)):
                if isinstance(constant, Literal):
                    return _equality_with(self.value(operand), constant.value, equal=sign[0] == "=")
        left, right, combine = self.value(one), self.value(other), _COMBINES[sign]
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
            return lambda scope: scope.query[name]
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
        """The one property that strings have. Of null it is null, as any member is."""
        owner = self.value(part.owner)

        def length(scope: Scope) -> Value:
            value = owner(scope)
            return None if value is None else values.length(values.text(value), scope)

        return length

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
            return _matches(receiver, regex.pattern)
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
        if place.is_here and not place.keys:
            # A leaf without a priority is itself.
            return lambda scope: type(scope.here) in kinds or type(found(scope)) in kinds
        return lambda scope: type(found(scope)) in kinds

    def _has_all(self, place: _Place, parts: list[Part]) -> Closure:
        """Whether there is something at every one of the names that `parts` give, below a place."""
        view, path, keys_of = _view_of(place), _path_of(place), values.keys_of
        texts = [part.value for part in parts if isinstance(part, Literal) and isinstance(part.value, str)]
        if len(texts) == len(parts) and all(len(text) <= values.SHORT for text in texts):
            known = [keys_of(text, _SPENDS_NOTHING) for text in texts]
            if place.is_here:
                from_here = [place.keys + keys for keys in known]

                def has_all_here(scope: Scope) -> bool:
                    here = scope.here
                    for keys in from_here:  # noqa: SIM110  # As below.
                        if find(here, keys) is None:
                            return False
                    return True

                return has_all_here

            def has_all_known(scope: Scope) -> bool:
                find, start = view(scope).value, path(scope)
                for keys in known:  # noqa: SIM110  # A generator would cost as much as the questions.
                    if find(start + keys) is None:
                        return False
                return True

            return has_all_known
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
            is_after = part.name == "newData"
            return _Place(is_after, 0 if part.name == "root" else self._depth, is_here=is_after and self._from_here)
        assert isinstance(part, Call)
        assert isinstance(part.callee, Member)
        place = self._place(part.callee.owner)
        if part.callee.name == "parent":
            return _parent(place)
        name = part.arguments[0]
        if isinstance(name, Literal) and isinstance(name.value, str) and place.path is None and len(name.value) <= values.SHORT:
            return place._replace(keys=place.keys + values.keys_of(name.value, _SPENDS_NOTHING))
        start, key, keys_of = _path_of(place), self.value(name), values.keys_of
        return place._replace(path=lambda scope: start(scope) + keys_of(key(scope), scope), is_here=False)

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


def _value_here(scope: Scope) -> Value:
    return value_at(scope.here)


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
    """The value at a place: the commonest question, so each kind of place has its shortest way."""
    path = place.path
    start, keys = place.start, place.keys
    if place.is_here:
        if not keys:
            return _value_here
        return lambda scope: value_at(find(scope.here, keys))
    if place.is_after is None:
        view, path = _view_of(place), _path_of(place)
        return lambda scope: view(scope).value(path(scope))
    if place.is_after:
        if path is not None:
            return lambda scope: scope.after.value(path(scope))
        if not keys:
            return lambda scope: scope.after.value(scope.path[:start])
        return lambda scope: scope.after.value(scope.path[:start] + keys)
    if path is not None:
        return lambda scope: scope.before.value(path(scope))
    if not keys:
        return lambda scope: scope.before.value(scope.path[:start])
    return lambda scope: scope.before.value(scope.path[:start] + keys)


def _parent(place: _Place) -> _Place:
    if place.path is None and place.keys:
        return place._replace(keys=place.keys[:-1])
    if place.path is None and place.start:
        return place._replace(start=place.start - 1, is_here=False)
    path = _path_of(place)

    def parent(scope: Scope) -> Path:
        lower = path(scope)
        if not lower:
            raise Failed("the root has no parent")
        return lower[:-1]

    return place._replace(path=parent, is_here=False)


class _SpendsNothing:
    characters = 0


_SPENDS_NOTHING = _SpendsNothing()
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


def _equality_with(operand: Closure, constant: float | str | bool | None, *, equal: bool) -> Closure:
    if constant is None or isinstance(constant, bool):
        if equal:
            return lambda scope: operand(scope) is constant
        return lambda scope: operand(scope) is not constant
    if isinstance(constant, str):
        # Nothing else is equal to a string, in Python too.
        if equal:
            return lambda scope: bool(operand(scope) == constant)
        return lambda scope: bool(operand(scope) != constant)
    same = values.same
    if equal:
        return lambda scope: same(operand(scope), constant, scope)
    return lambda scope: not same(operand(scope), constant, scope)


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


def _matches(receiver: Closure, pattern: Pattern) -> Closure:
    is_in, weight = pattern.is_in, pattern.weight

    def matches(scope: Scope) -> bool:
        text = values.text(receiver(scope))
        values.spend(scope, len(text) * weight)
        return is_in(text)

    return matches


_STRING_CALLS: dict[str, Callable[..., Value]] = {
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
    perform = _STRING_CALLS[name]

    def call(scope: Scope) -> Value:
        value = values.text(receiver(scope))
        taken = [values.text(argument(scope)) for argument in arguments]
        if len(value) > values.SHORT:
            values.spend(scope, len(value))
        return perform(value, *taken)

    return call


_COMPILES: dict[type[Part], Callable[[_Compiler, Any], Closure]] = {
    Literal: _Compiler._literal,
    Variable: _Compiler._variable,
    Unary: _Compiler._unary,
    Ternary: _Compiler._ternary,
    Chain: _Compiler._chain,
    Member: _Compiler._member,
    Call: _Compiler._call,
}
