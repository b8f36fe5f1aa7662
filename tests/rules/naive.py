"""The security language again, as naively as it can be written: what the compiled one is compared with.

Everything is done the long way: both trees are whole, snapshots are objects, parts are interpreted one by one, and every
operation follows the words of the specification. Shares with the real one the parser, the tree, and the dialect of regular
expressions, which have tests of their own.
"""

from __future__ import annotations

import copy
import math
from typing import Any

from meadowlark.rules.pattern import compile_pattern
from meadowlark.rules.syntax import Call, Chain, List, Literal, Member, Part, Regex, Ternary, Unary, Variable, parse_expression
from meadowlark.tree import Tree, children, find, is_map, priority_of, value_of

Rules = dict[str, Any]


class Wrong(Exception):
    """A run-time error."""


class Thing:
    """A value with children."""


class Query:
    """What is asked for: only its members are values."""

    def __init__(self, members: dict[str, Any]) -> None:
        self.members = members


NOTHING_ASKED: dict[str, Any] = {
    "orderByKey": True,
    "orderByPriority": False,
    "orderByValue": False,
    "orderByChild": None,
    "startAt": None,
    "endAt": None,
    "equalTo": None,
    "limitToFirst": None,
    "limitToLast": None,
}
"""`query` without a query or an order, as the specification has it; writes see no other."""


class Snapshot:
    def __init__(self, root: Any, path: tuple[str, ...]) -> None:
        self.root = root
        self.path = path
        self.node = None if any("." in key for key in path) else find(root, path)

    def child(self, path: Any) -> Snapshot:
        if not isinstance(path, str):
            raise Wrong("path")
        return Snapshot(self.root, self.path + tuple(key for key in path.split("/") if key))

    def call(self, name: str, arguments: list[Any]) -> Any:
        if name == "child":
            return self.child(arguments[0])
        if name == "parent":
            if not self.path:
                raise Wrong("root")
            return Snapshot(self.root, self.path[:-1])
        if name == "hasChild":
            return self.child(arguments[0]).node is not None
        if name == "hasChildren" and arguments:
            found = [self.child(key) for key in arguments[0]]  # All of them: one that is no path is an error.
            return all(child.node is not None for child in found)
        if name == "hasChildren":
            return is_map(self.node)
        if name == "getPriority":
            return priority_of(self.node)
        value = Thing() if is_map(self.node) else value_of(self.node)
        answers = {
            "val": value,
            "exists": value is not None,
            "isNumber": type(value) in (int, float),
            "isString": type(value) is str,
            "isBoolean": type(value) is bool,
        }
        if name not in answers:
            raise Wrong("method")
        return answers[name]


class World:
    """What one rule sees."""

    def __init__(
        self,
        auth: Any,
        now: int,
        before: Any,
        after: Any,
        path: tuple[str, ...],
        captures: dict[str, str],
        query: dict[str, Any] | None = None,
    ) -> None:
        self.variables: dict[str, Any] = {
            "auth": auth,
            "now": now,
            "root": Snapshot(before, ()),
            "data": Snapshot(before, path),
            "newData": Snapshot(after, path),
            "query": Query(NOTHING_ASKED if query is None else query),
            **captures,
        }

    def evaluate(self, part: Part) -> Any:
        if isinstance(part, Literal):
            return part.value
        if isinstance(part, Variable):
            return self.variables[part.name]
        if isinstance(part, List):
            return [self.evaluate(item) for item in part.items]
        if isinstance(part, Regex):
            return compile_pattern(part.body, part.flags)
        if isinstance(part, Unary):
            value = self.evaluate(part.operand)
            return not value if part.operator == "!" else -numeric(value)
        if isinstance(part, Ternary):
            return self.evaluate(part.yes if self.evaluate(part.condition) else part.no)
        if isinstance(part, Chain):
            return self.chain(part)
        if isinstance(part, Call):
            assert isinstance(part.callee, Member)
            owner = self.evaluate(part.callee.owner)
            return called(owner, str(part.callee.name), [self.evaluate(argument) for argument in part.arguments])
        assert isinstance(part, Member)
        owner = self.evaluate(part.owner)
        name = part.name if part.name is not None else self.evaluate(part.key)  # type: ignore[arg-type]
        if isinstance(owner, Query):
            return owner.members[name]
        if isinstance(owner, str) and name == "length":
            return len(owner.encode("utf-16-le")) // 2
        if isinstance(owner, Thing | Snapshot):
            raise Wrong("member")
        if isinstance(owner, dict) and type(name) in (int, float):
            name = joined(name)
        if isinstance(owner, list) and isinstance(name, str) and name in [str(index) for index in range(len(owner))]:
            name = int(name)
        if isinstance(owner, list) and type(name) in (int, float):
            return owner[int(name)] if name in range(len(owner)) else None
        return owner.get(name) if isinstance(owner, dict) else None

    def chain(self, part: Chain) -> Any:
        left = self.evaluate(part.operands[0])
        for sign, right_part in zip(part.operators, part.operands[1:], strict=True):
            if sign == "&&":
                left = left and self.evaluate(right_part)
            elif sign == "||":
                left = left or self.evaluate(right_part)
            else:
                left = binary(sign, left, self.evaluate(right_part))
        return left


def numeric(value: Any) -> float:
    if type(value) not in (int, float):
        raise Wrong("number")
    return float(value)


def equal(one: Any, other: Any) -> bool:
    if isinstance(one, Thing | Query | Snapshot | dict | list) or isinstance(other, Thing | Query | Snapshot | dict | list):
        return False
    kinds = [float if type(value) is int else type(value) for value in (one, other)]
    return kinds[0] is kinds[1] and one == other


def binary(sign: str, one: Any, other: Any) -> Any:
    if sign in ("==", "==="):
        return equal(one, other)
    if sign in ("!=", "!=="):
        return not equal(one, other)
    if sign in ("<", ">", "<=", ">="):
        if type(one) is str and type(other) is str:
            one, other = one.encode("utf-16-be"), other.encode("utf-16-be")
        else:
            one, other = numeric(one), numeric(other)
        return {"<": one < other, ">": one > other, "<=": one <= other, ">=": one >= other}[sign]
    if sign == "+" and (type(one) is str or type(other) is str):
        return joined(one) + joined(other)
    one, other = numeric(one), numeric(other)
    if sign == "+":
        return one + other
    if sign == "-":
        return one - other
    if sign == "*":
        return one * other
    if other == 0:
        return math.nan
    return one / other if sign == "/" else math.fmod(one, other)


def joined(value: Any) -> str:
    """A side of `+` as text; only small numbers, whose text is plain, come here in tests."""
    if type(value) is str:
        return str(value)
    number = numeric(value)
    return "NaN" if math.isnan(number) else str(int(number)) if number.is_integer() else repr(number)


def called(owner: Any, name: str, arguments: list[Any]) -> Any:
    if isinstance(owner, Snapshot):
        return owner.call(name, arguments)
    if type(owner) is not str or (name != "matches" and any(type(argument) is not str for argument in arguments)):
        raise Wrong("string")
    if name == "matches":
        return arguments[0].is_in(owner)
    return {
        "contains": lambda: arguments[0] in owner,
        "beginsWith": lambda: owner.startswith(arguments[0]),
        "endsWith": lambda: owner.endswith(arguments[0]),
        "replace": lambda: owner.replace(arguments[0], arguments[1]),
        "toLowerCase": owner.lower,
        "toUpperCase": owner.upper,
    }[name]()


def holds(rule: Any, world: World) -> bool:
    if isinstance(rule, bool):
        return rule
    try:
        return world.evaluate(parse_expression(rule)) is True
    except Wrong:
        return False


def matched(rules: Rules, path: tuple[str, ...]) -> list[tuple[Rules, tuple[str, ...], dict[str, str]]]:
    """The places of the rules on the way to `path`, with theirs paths and captures."""
    found: list[tuple[Rules, tuple[str, ...], dict[str, str]]] = [(rules, (), {})]
    for index, key in enumerate(path):
        level, _, captures = found[-1]
        if key in level:
            found.append((level[key], path[: index + 1], captures))
            continue
        names = [name for name in level if name.startswith("$")]
        if not names:
            break
        found.append((level[names[0]], path[: index + 1], {**captures, names[0]: key}))
    return found


def may_read(rules: Rules, auth: Any, path: tuple[str, ...], root: Any, now: int, query: dict[str, Any] | None = None) -> bool:
    """query: all its members, as rules see them."""
    places = matched(rules, path)
    return any(
        holds(level.get(".read", False), World(auth, now, root, root, place, captures, query))
        for level, place, captures in places
    )


def may_write(rules: Rules, auth: Any, writes: list[tuple[tuple[str, ...], Any]], root: Any, now: int) -> bool:
    tree = Tree(copy.deepcopy(root))
    for path, node in writes:
        tree.set(path, copy.deepcopy(node))
    return all(write_ok(rules, auth, path, root, tree.root, now) for path, _ in writes)


def write_ok(rules: Rules, auth: Any, path: tuple[str, ...], before: Any, after: Any, now: int) -> bool:
    bare = path[:-1] if path[-1:] == (".priority",) else path
    places = matched(rules, bare)
    granted = False
    for level, place, captures in places:
        world = World(auth, now, before, after, place, captures)
        granted = granted or holds(level.get(".write", False), world)
        if find(after, place) is not None and not holds(level.get(".validate", True), world):
            return False
    if not granted:
        return False
    if bare != path or len(places) <= len(bare):
        return True
    return below_ok(places[-1], auth, before, after, now)


def below_ok(place: tuple[Rules, tuple[str, ...], dict[str, str]], auth: Any, before: Any, after: Any, now: int) -> bool:
    rules, path, captures = place
    for key, _ in children(find(after, path)):
        found = matched(rules, (key,))
        if len(found) < 2:
            continue
        level, _, more = found[1]
        lower = (level, (*path, key), {**captures, **more})
        world = World(auth, now, before, after, lower[1], lower[2])
        if not holds(level.get(".validate", True), world) or not below_ok(lower, auth, before, after, now):
            return False
    return True
