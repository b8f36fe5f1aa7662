"""What is suspicious about a valid rule set: rules that let everyone in, that can never count, or that cannot hold.

Each finding is a place and a sentence. Nothing here is a fault: a set with findings can be in force.
Source: docs/rules.md "Linting".
"""

from __future__ import annotations

from collections.abc import Iterator

from meadowlark.rules.faults import Fault
from meadowlark.rules.ruleset import Level, Rule, RuleSet
from meadowlark.rules.syntax import Call, Chain, Literal, Member, Part, Regex, Variable, all_parts
from meadowlark.tree import format_path


def lint(rules: RuleSet) -> list[Fault]:
    """Findings in the order of the file."""
    found = [Fault(rule.line, rule.column, message) for level in rules.levels for rule, message in _of_level(level)]
    found += [Fault(rule.line, rule.column, message) for rule, message in _granted_above(rules.root, {})]
    return sorted(set(found))


def _of_level(level: Level) -> Iterator[tuple[Rule, str]]:
    where = format_path(level.path)
    for rule in (level.read, level.write):
        if rule is not None and rule.constant is True:
            yield rule, f".{rule.kind} is true: everyone may {rule.kind} {where} and all below it, signed in or not"
    if level.write is not None and _mentions(level.write, "now") and not _mentions(level.write, "auth"):
        yield level.write, ".write only waits for a time: until then everyone may write"
    if level.validate is not None:
        yield from _of_validate(level, level.validate)
    for rule in level.rules():
        yield from _of_expression(rule)


def _of_validate(level: Level, rule: Rule) -> Iterator[tuple[Rule, str]]:
    if rule.constant is True:
        yield rule, ".validate is true: it checks nothing"
    required = {name for part in _conjuncts(rule.expression) for name in _required_children(part)}
    for name in sorted(required):
        child = level.find(name.split("/")[0])
        if child is not None and "/" not in name and child.validate is not None and child.validate.constant is False:
            yield rule, f"the child {name!r} is required here, and its own .validate is false: nothing can be valid"


def _of_expression(rule: Rule) -> Iterator[tuple[Rule, str]]:
    for part in all_parts(rule.expression):
        if isinstance(part, Regex) and any(text in part.body for text in ("(?:", "(?=", "(?!")):
            yield rule, "'(?' has no meaning in Firebase's regular expressions: the text '?' is matched"
        if isinstance(part, Regex) and part.body.startswith("^") != part.body.endswith("$"):
            yield rule, f"/{part.body}/ is anchored at one end only: anything may stand at the other"
        if isinstance(part, Chain) and part.operators[0] in ("==", "!=", "===", "!==") and len(part.operands) == 2:
            one, other = part.operands
            for capture, constant in ((one, other), (other, one)):
                if _is_capture(capture) and isinstance(constant, Literal) and not isinstance(constant.value, str):
                    yield rule, "a capture is a string, and equal to nothing else: compare it with a string"


def _granted_above(level: Level, above: dict[str, Rule]) -> Iterator[tuple[Rule, str]]:
    """Grants that cannot matter, since one above grants everyone already; and denials, which revoke nothing."""
    granted = dict(above)
    for rule in (level.read, level.write):
        if rule is None:
            continue
        upper = above.get(rule.kind)
        if upper is not None:
            what = "cannot take back" if rule.constant is False else "adds nothing to"
            yield rule, f".{rule.kind} {what} what .{rule.kind} at {format_path(upper.path)} (line {upper.line}) grants"
        elif rule.constant is True:
            granted[rule.kind] = rule
    for child in [*level.children.values(), *([level.capture] if level.capture is not None else [])]:
        yield from _granted_above(child, granted)


def _conjuncts(part: Part) -> list[Part]:
    if isinstance(part, Chain) and part.operators[0] == "&&":
        return [inner for operand in part.operands for inner in _conjuncts(operand)]
    return [part]


def _required_children(part: Part) -> list[str]:
    """The children of `newData` that must be there for `part` to be true."""
    if not isinstance(part, Call) or not isinstance(part.callee, Member):
        return []
    owner = part.callee.owner
    if not isinstance(owner, Variable) or owner.name != "newData" or part.callee.name not in ("hasChild", "hasChildren"):
        return []
    literals = [inner.value for argument in part.arguments for inner in all_parts(argument) if isinstance(inner, Literal)]
    return [value for value in literals if isinstance(value, str)]


def _mentions(rule: Rule, *names: str) -> bool:
    return any(isinstance(part, Variable) and part.name in names for part in all_parts(rule.expression))


def _is_capture(part: Part) -> bool:
    return isinstance(part, Variable) and part.name.startswith("$")
