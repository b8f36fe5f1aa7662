"""What is suspicious about a valid rule set: rules that let everyone in, that can never count or hold, and indexes that are
missing or in vain.

Each finding is a place and a sentence that ends with what to do. Nothing here is a fault: a set with findings can be in force.
What is meant as it is gets a comment on its line, and is not found again.
Source: docs/rules.md "Linting".
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from meadowlark.rules.faults import Fault
from meadowlark.rules.ruleset import CHILD_ORDERS_KNOWN, Level, Rule, RuleSet
from meadowlark.rules.syntax import Call, Chain, Literal, Member, Part, Regex, Unary, Variable, all_parts
from meadowlark.tree import format_path

MEANT = "lint: ok"
"""In a comment, says that what is on the line is meant."""


def lint(rules: RuleSet) -> list[Fault]:
    """Findings in the order of the file."""
    found = [Fault(rule.line, rule.column, message) for level in rules.levels for rule, message in _of_level(level)]
    found += [Fault(rule.line, rule.column, message) for rule, message in _granted_above(rules.root, {})]
    found += [Fault(rule.line, rule.column, message) for rule, message in _never_asked(rules.root, None, may_write=False)]
    found += [Fault(*place, message) for place, message in _useless_indexes(rules.root, may_read=False)]
    lines = rules.text.split("\n")
    return sorted({fault for fault in found if MEANT not in lines[fault.line - 1].partition("//")[2]})


def _of_level(level: Level) -> Iterator[tuple[Rule, str]]:
    where = format_path(level.path)
    for rule in (level.read, level.write):
        if rule is not None and rule.constant is True:
            text = f".{rule.kind} is true: everyone may {rule.kind} {where} and all below it, signed in or not"
            yield rule, f"{text}; ask for auth != null, or if that is meant end the line with // {MEANT}"
        if rule is not None and _mentions(rule, "now") and not _mentions(rule, "auth", "data", "newData", "root", "query"):
            yield rule, f".{rule.kind} only waits for a time: until then everyone may {rule.kind}; ask for auth too"
    if level.validate is not None:
        yield from _of_validate(level, level.validate)
    if level.read is not None:
        yield from _missing_indexes(level, level.read)
    if level.capture is not None:
        yield from _shadowed(level, level.capture)
    for rule in level.rules():
        yield from _of_expression(rule)


def _of_validate(level: Level, rule: Rule) -> Iterator[tuple[Rule, str]]:
    if rule.constant is True:
        yield rule, ".validate is true: it checks nothing; remove it, or say what data must be like"
    demands = {demand for part in _conjuncts(rule.expression) if (demand := _demand(part)) is not None}
    if _NOTHING in demands:
        yield (
            rule,
            ".validate cannot hold: it wants nothing to be here, but is asked if something is; say in .write who may remove",
        )
    elif len(demands) > 1:
        yield rule, f".validate cannot hold: it wants {' and '.join(sorted(demands))} at once; join them with ||, or drop one"
    required = {name for part in _conjuncts(rule.expression) for name in _required_children(part)}
    for name in sorted(required):
        child = level.find(name.split("/")[0])
        if child is not None and "/" not in name and child.validate is not None and child.validate.constant is False:
            yield (
                rule,
                f"the child {name!r} is required here, and its own .validate is false: nothing can be valid; drop one of the two",
            )


def _of_expression(rule: Rule) -> Iterator[tuple[Rule, str]]:
    for part in all_parts(rule.expression):
        if isinstance(part, Regex) and any(text in part.body for text in ("(?:", "(?=", "(?!")):
            yield rule, "'(?' has no meaning in Firebase's regular expressions: the text '?' is matched; write '(' alone"
        if isinstance(part, Regex) and (anchor := _missing_anchor(part.body)):
            yield rule, f"/{part.body}/ is anchored at one end only: anything may stand at the other; add {anchor}"
        if isinstance(part, Chain) and part.operators[0] in ("==", "!=", "===", "!==") and len(part.operands) == 2:
            one, other = part.operands
            for capture, constant in ((one, other), (other, one)):
                if _is_capture(capture) and isinstance(constant, Literal) and not isinstance(constant.value, str):
                    yield rule, "a capture is a string, and equal to nothing else: compare it with a string"


def _missing_anchor(body: str) -> str:
    """The anchor that is likely forgotten: beside what is repeated, for at an open end once is as good as many times. A literal
    there, as in /^https:/, is how one asks for a beginning."""
    if body.startswith("^") and not body.endswith("$"):
        return "$" if _REPEATED_AT_END.search(body) else ""
    if body.endswith("$") and not body.startswith("^"):
        return "^" if _REPEATED_AT_START.match(body) else ""
    return ""


_REPEATED_AT_END = re.compile(r"(?<!\\)[+*}]$")
_REPEATED_AT_START = re.compile(r"(\[[^\]]*\]|\\.|\([^)]*\)|[^\\(\[])[+*{]")


def _granted_above(level: Level, above: dict[str, Rule]) -> Iterator[tuple[Rule, str]]:
    """Grants that cannot matter, since one above grants everyone already; and denials, which revoke nothing."""
    granted = dict(above)
    for rule in (level.read, level.write):
        if rule is None:
            continue
        upper = above.get(rule.kind)
        if upper is not None:
            what = "cannot take back" if rule.constant is False else "adds nothing to"
            text = f".{rule.kind} {what} what .{rule.kind} at {format_path(upper.path)} (line {upper.line}) grants"
            yield rule, f"{text}; " + ("move that grant further down" if rule.constant is False else "remove one of the two")
        elif rule.constant is True:
            granted[rule.kind] = rule
    for child in level.below():
        yield from _granted_above(child, granted)


def _never_asked(level: Level, barred: Rule | None, *, may_write: bool) -> Iterator[tuple[Rule, str]]:
    """Rules about writing where no write can succeed. barred: a `.validate` above that leaves no room for anything here."""
    may_write = may_write or (level.write is not None and level.write.constant is not False)
    for rule in (level.write, level.validate):
        if rule is not None and barred is not None and rule.constant is not False:
            where = f"{format_path(barred.path)} (line {barred.line})"
            yield rule, f".{rule.kind} lets nothing in: .validate at {where} leaves no room here; loosen that, or remove this"
    if level.validate is not None and level.validate.constant is not False and not may_write and not _grants_writing(level):
        yield level.validate, ".validate is never asked: no .write grants anything here, above or below; add one, or remove this"
    if level.validate is not None and barred is None and _bars_children(level.validate):
        barred = level.validate
    for child in level.below():
        yield from _never_asked(child, barred, may_write=may_write)


def _grants_writing(level: Level) -> bool:
    """Whether any place below may be written by itself."""
    below = level.below()
    return any(child.write is not None and child.write.constant is not False for child in below) or any(
        map(_grants_writing, below)
    )


def _bars_children(rule: Rule) -> bool:
    demands = {_demand(part) for part in _conjuncts(rule.expression)}
    return rule.constant is False or not demands.isdisjoint(_LEAVES)


def _shadowed(level: Level, capture: Level) -> Iterator[tuple[Rule, str]]:
    """Children with an empty place of their own: what the capture grants does not count there."""
    for key, child in level.children.items():
        if not child.rules() and not child.below():
            for rule in (capture.read, capture.write):
                if rule is not None and rule.constant is not False:
                    yield (
                        rule,
                        f".{rule.kind} does not count for {key!r}, which has an empty place; give it rules, or remove it",
                    )


def _missing_indexes(level: Level, rule: Rule) -> Iterator[tuple[Rule, str]]:
    """Orders that a rule names, with no index for them at its place or below: a query may be made at either."""
    declared = set(_indexes(level))
    for part in all_parts(rule.expression):
        if isinstance(part, Chain) and part.operators[0] in ("==", "===") and len(part.operands) == 2:
            one, other = part.operands
            for asked, named in ((one, other), (other, one)):
                order = named.value if _is_order(asked, "orderByChild") and isinstance(named, Literal) else None
                if isinstance(order, str) and order.strip("/") not in declared:
                    yield (
                        rule,
                        f"an index is missing: the rule asks for orderByChild({order!r}), and no .indexOn has it; add it there",
                    )
    if ".value" not in declared and any(_is_order(part, "orderByValue") for part in _conjuncts(rule.expression)):
        yield rule, "an index is missing: the rule asks for orderByValue, and no .indexOn has '.value'; add it there"


def _indexes(level: Level) -> Iterator[str]:
    yield from level.index_on
    for child in level.below():
        yield from _indexes(child)


def _useless_indexes(level: Level, *, may_read: bool) -> Iterator[tuple[tuple[int, int], str]]:
    may_read = may_read or (level.read is not None and level.read.constant is not False)
    if level.index_on and not may_read:
        yield (
            level.index_place,
            ".indexOn is only of use to admins: no .read grants anything here or above; grant reading, or remove it",
        )
    for order in sorted(level.index_on):
        if order in CHILD_ORDERS_KNOWN:
            yield level.index_place, f"{order!r} needs no index; remove it"
        elif order != ".value" and level.below() and all(_never_has(child, order.split("/")) for child in level.below()):
            yield level.index_place, f"no child can have {order!r}, so its index stays empty: .validate is false there; remove it"
    for child in level.below():
        yield from _useless_indexes(child, may_read=may_read)


def _never_has(level: Level, keys: list[str]) -> bool:
    """Whether a `.validate` that is false stands on the way down `keys`."""
    below: Level | None = level
    for key in keys:
        below = below.find(key) if below is not None else None
        if below is not None and below.validate is not None and below.validate.constant is False:
            return True
    return False


def _is_order(part: Part, name: str) -> bool:
    return isinstance(part, Member) and isinstance(part.owner, Variable) and part.owner.name == "query" and part.name == name


_NOTHING = "nothing"
_DEMANDS = {
    "isString": "a string",
    "isNumber": "a number",
    "isBoolean": "a boolean",
    "hasChildren": "children",
    "hasChild": "children",
}
_LEAVES = frozenset(["a string", "a number", "a boolean"])


def _demand(part: Part) -> str | None:
    """What `part` needs the new value itself to be."""
    if isinstance(part, Unary) and part.operator == "!":
        return _NOTHING if _asked_of_new(part.operand) == "exists" else None
    if isinstance(part, Chain) and part.operators[0] in ("==", "===") and len(part.operands) == 2:
        values = [operand.value for operand in part.operands if isinstance(operand, Literal)]
        return _NOTHING if values == [None] and "val" in map(_asked_of_new, part.operands) else None
    return _DEMANDS.get(_asked_of_new(part))


def _asked_of_new(part: Part) -> str:
    """The method that is called of `newData`; empty if none is."""
    if isinstance(part, Call) and isinstance(part.callee, Member):
        owner = part.callee.owner
        if isinstance(owner, Variable) and owner.name == "newData":
            return str(part.callee.name)
    return ""


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
