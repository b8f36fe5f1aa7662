"""A rule set: the tree of rules that a text describes, checked whole and compiled once.

`parse_rules` gives one or raises RulesInvalid with everything that is wrong; there is nothing in between. A place of the tree
(`Level`) has the rules that stand there, its children by key, and at most one capture; a path finds the literal child first, and
where one exists, the capture beside it is never tried. Immutable afterwards, so any number of databases may share one.
Source: docs/rules.md "The file".
"""

from __future__ import annotations

from typing import Any, Literal

from meadowlark.limits import EXPRESSION_LENGTH_MAX, PATH_DEPTH_MAX
from meadowlark.rules import syntax
from meadowlark.rules.compile import Closure, Watch, compile_rule
from meadowlark.rules.document import Array, Object, Scalar, Text, Value, parse_document, plain
from meadowlark.rules.faults import Fault, RulesInvalid, Source
from meadowlark.rules.generate import Run, generate_rule
from meadowlark.rules.lexer import SyntaxFault
from meadowlark.rules.looks import Look, looks_of
from meadowlark.rules.types import check_types
from meadowlark.tree import Path, find_key_fault

Kind = Literal["read", "write", "validate"]
KINDS: dict[str, Kind] = {".read": "read", ".write": "write", ".validate": "validate"}

CHILD_ORDERS_KNOWN = frozenset([".key", ".priority"])
"""What needs no `.indexOn`."""


class Rule:
    """One rule. `run` may raise Failed; where the rule is `true` or `false`, `constant` says so and nothing need run."""

    __slots__ = (
        "_offset_of",
        "_source",
        "captures",
        "column",
        "constant",
        "expression",
        "kind",
        "line",
        "looks",
        "path",
        "run",
        "run_here",
        "text",
    )

    def __init__(
        self, kind: Kind, path: Path, value: Text | Scalar, expression: syntax.Part, captures: dict[str, int], source: Source
    ) -> None:
        self.kind = kind
        self.path = path
        """Of the place where it stands, captures by their names."""
        self.text = value.text if isinstance(value, Text) else str(value.value).lower()
        self.expression = expression
        self.captures = captures
        self._source = source
        self._offset_of = value.offset if isinstance(value, Text) else None
        self.line, self.column = source.place(value.at)
        """Of the rule's value in the file."""
        self.constant: bool | None = expression.value is True if isinstance(expression, syntax.Literal) else None
        self.run: Run = generate_rule(expression, captures, len(path))
        self.run_here: Run = self.run
        """The same where what will stand at its place is at hand."""
        if kind != "read" and any(
            isinstance(part, syntax.Variable) and part.name == "newData" for part in syntax.all_parts(expression)
        ):
            self.run_here = generate_rule(expression, captures, len(path), from_here=True)
        self.looks = looks_of(expression, len(path))
        """The places that its answer hangs on."""

    def place(self, index: int) -> tuple[int, int]:
        """Line and column in the file of the character at `index` of `text`."""
        return (self.line, self.column) if self._offset_of is None else self._source.place(self._offset_of(index))

    def watched(self, watch: Watch) -> Closure:
        """Like `run`, with `watch` told of every part's value."""
        return compile_rule(self.expression, self.captures, len(self.path), watch)


class Level:
    """One place of the tree of rules. `path`: its keys, captures with their names."""

    __slots__ = (
        "capture",
        "children",
        "index_on",
        "index_place",
        "looks_below",
        "path",
        "read",
        "reads",
        "validate",
        "validates",
        "validates_below",
        "volatile",
        "write",
        "writes",
    )

    def __init__(self, path: Path) -> None:
        self.path = path
        self.children: dict[str, Level] = {}
        self.capture: Level | None = None
        self.read: Rule | None = None
        self.write: Rule | None = None
        self.validate: Rule | None = None
        self.reads: tuple[Rule, ...] = ()
        """Every `.read` on the way from the root to here, in this order, its own included."""
        self.writes: tuple[Rule, ...] = ()
        """The same of `.write`."""
        self.validates: tuple[Rule, ...] = ()
        """Every `.validate` above this place."""
        self.validates_below = False
        """Whether any place below has a `.validate`, so that written data must be walked."""
        self.looks_below: frozenset[Look] = frozenset()
        """What any of those looks at."""
        self.index_on: frozenset[str] = frozenset()
        self.index_place: tuple[int, int] = (0, 0)
        """Line and column of `.indexOn` in the file, where there is one."""
        self.volatile: bool | str | None = None
        """"keep": volatile, and stays when its writer goes. None: as above."""

    def find(self, key: str) -> Level | None:
        """The place that a child at `key` has."""
        child = self.children.get(key)
        return self.capture if child is None else child

    def below(self) -> list[Level]:
        """The places one step down."""
        return [*self.children.values(), *([self.capture] if self.capture is not None else [])]

    def link(self, upper: Level | None) -> None:
        """What is met on the way here is that of the place above and its own, which is known now."""
        self.reads = (upper.reads if upper is not None else ()) + ((self.read,) if self.read is not None else ())
        self.writes = (upper.writes if upper is not None else ()) + ((self.write,) if self.write is not None else ())
        if upper is not None:
            self.validates = upper.validates + ((upper.validate,) if upper.validate is not None else ())
        for lower in self.below():
            lower.link(self)

    def rules(self) -> list[Rule]:
        return [rule for rule in (self.read, self.write, self.validate) if rule is not None]


class RuleSet:
    """What decides who may do what. `text`: as it was given, byte for byte."""

    __slots__ = ("has_volatile", "levels", "reads_depend", "root", "text")

    def __init__(self, text: str, root: Level, levels: list[Level]) -> None:
        self.text = text
        self.root = root
        self.levels = levels
        """Every place, in the order of the file."""
        self.reads_depend = any(level.read is not None and _depends(level.read) for level in levels)
        """Whether any `.read` may change its answer while neither rules nor identities change."""
        self.has_volatile = any(level.volatile for level in levels)
        root.link(None)

    def to_json(self) -> Any:
        """The file as plain JSON, without comments."""
        return plain(parse_document(Source(self.text)))

    def find_level(self, path: Path) -> Level | None:
        level: Level | None = self.root
        for key in path:
            if level is None:
                return None
            level = level.find(key)
        return level

    def reach(self, path: Path) -> tuple[Level, bool]:
        """The last place that rules have on the way to `path`, and whether that is all the way."""
        level = self.root
        for key in path:
            child = level.children.get(key) or level.capture
            if child is None:
                return level, False
            level = child
        return level, True

    def could_write(self, path: Path) -> bool:
        """Whether any rule on the way to `path` might ever grant writing there."""
        for rule in self.reach(path)[0].writes:  # noqa: SIM110  # Asked for each write.
            if rule.constant is not False:
                return True
        return False

    def is_indexed(self, path: Path, order: str) -> bool:
        """Whether `.indexOn` at `path` has `order`: a child's path or `.value`; `.key` and `.priority` need none."""
        if order in CHILD_ORDERS_KNOWN:
            return True
        level = self.find_level(path)
        return level is not None and order.strip("/") in level.index_on

    def volatility(self, path: Path) -> bool | str:
        """What the deepest `.volatile` on the way to `path` says: true, false or "keep"."""
        level: Level | None = self.root
        volatile: bool | str = self.root.volatile or False
        for key in path:
            level = level.find(key) if level is not None else None
            if level is None:
                break
            if level.volatile is not None:
                volatile = level.volatile
        return volatile


def _depends(rule: Rule) -> bool:
    """Whether `rule` looks at data, or at the time."""
    names = [part.name for part in syntax.all_parts(rule.expression) if isinstance(part, syntax.Variable)]
    return not {"root", "data", "now"}.isdisjoint(names)


def parse_rules(text: str) -> RuleSet:
    """The rule set that `text` describes. Raises RulesInvalid."""
    return _Builder(text).build()


class _Builder:
    def __init__(self, text: str) -> None:
        self._source = Source(text)
        self._faults: list[Fault] = []
        self._levels: list[Level] = []

    def build(self) -> RuleSet:
        document = parse_document(self._source)
        root = Level(())
        self._levels.append(root)
        members = document.members if isinstance(document, Object) else []
        rules = [value for key, value in members if key.text == "rules"]
        if not rules:
            self._complain(document.at + isinstance(document, Object), "Expected 'rules' property.")
        for key, _ in members:
            if key.text != "rules":
                self._complain(key.at, f"Unknown property '{key.text}'. Expected 'rules' alone.")
        for value in rules:
            self._fill(root, value, {})
        if self._faults:
            raise RulesInvalid(self._faults)
        return RuleSet(self._source.text, root, self._levels)

    def _complain(self, offset: int, message: str) -> None:
        self._faults.append(self._source.fault(offset, message))

    def _fill(self, level: Level, value: Value, captures: dict[str, int]) -> None:
        """Reads the rules and children that stand at one place."""
        if not isinstance(value, Object):
            self._complain(value.at, "Expected an object with rules.")
            return
        for key, member in value.members:
            name = key.text
            if name in KINDS:
                setattr(level, KINDS[name], self._rule(KINDS[name], level, member, captures))
            elif name == ".indexOn":
                level.index_on = self._index(member)
                level.index_place = self._source.place(member.at)
            elif name == ".volatile":
                level.volatile = self._volatile(member)
            elif name.startswith("."):
                self._complain(key.at, f"Unknown rule '{name}'.")
            else:
                self._child(level, key, member, captures)
        level.validates_below = any(child.validate is not None or child.validates_below for child in level.below())
        below = [child.validate.looks for child in level.below() if child.validate is not None]
        level.looks_below = frozenset().union(*below, *[child.looks_below for child in level.below()])

    def _child(self, level: Level, key: Text, value: Value, captures: dict[str, int]) -> None:
        name = key.text
        captured = name.startswith("$")
        fault = find_key_fault(name[1:] if captured and len(name) > 1 else name.replace("$", "_") if captured else name)
        if fault is not None:
            self._complain(key.at, f"Invalid key: {fault}.")
        child = Level((*level.path, name))
        if len(child.path) > PATH_DEPTH_MAX:
            self._complain(key.at, f"Rules are deeper than data may be: {PATH_DEPTH_MAX} levels.")
            return
        self._levels.append(child)
        if not captured:
            level.children[name] = child
        else:
            if level.capture is not None:
                self._complain(key.at, f"There can be only one capture at a place: here is '{level.capture.path[-1]}'.")
            if name in captures:
                self._complain(key.at, f"The capture '{name}' stands on the way to this place already.")
            level.capture = child
            captures = {**captures, name: len(level.path)}
        self._fill(child, value, captures)

    def _rule(self, kind: Kind, level: Level, value: Value, captures: dict[str, int]) -> Rule | None:
        if isinstance(value, Scalar) and isinstance(value.value, bool):
            return Rule(kind, level.path, value, syntax.Literal(0, value.value), captures, self._source)
        if not isinstance(value, Text):
            self._complain(value.at, f"Expected .{kind} to be a string or a boolean.")
            return None
        expression = self._expression(value, captures, is_read=kind == "read")
        return None if expression is None else Rule(kind, level.path, value, expression, captures, self._source)

    def _expression(self, value: Text, captures: dict[str, int], *, is_read: bool) -> syntax.Part | None:
        """The checked expression in `value`; None if something is wrong with it."""
        if len(value.text) > EXPRESSION_LENGTH_MAX:
            self._complain(value.at, f"A rule may have {EXPRESSION_LENGTH_MAX} characters.")
            return None
        known = len(self._faults)

        def complain(at: int, message: str) -> None:
            self._complain(value.offset(at), message)

        try:
            expression = syntax.parse_expression(value.text)
        except SyntaxFault as fault:
            complain(fault.at, fault.message)
            return None
        check_types(expression, captures, is_read=is_read, complain=complain)
        return expression if len(self._faults) == known else None

    def _index(self, value: Value) -> frozenset[str]:
        items = value.items if isinstance(value, Array) else [value]
        orders: list[str] = []
        for item in items:
            if not isinstance(item, Text):
                self._complain(item.at, "Expected .indexOn to be a string or an array of strings.")
                continue
            order = item.text.strip("/")
            faults = [] if order in (".value", *CHILD_ORDERS_KNOWN) else [find_key_fault(key) for key in order.split("/")]
            if any(faults):
                self._complain(item.at, f"Invalid .indexOn '{item.text[:80]}': expected the path of a child, or '.value'.")
            orders.append(order)
        return frozenset(orders)

    def _volatile(self, value: Value) -> bool | str | None:
        if isinstance(value, Scalar) and isinstance(value.value, bool):
            return value.value
        if isinstance(value, Text) and value.text == "keep":
            return "keep"
        self._complain(value.at, 'Expected .volatile to be true, false or "keep".')
        return None
