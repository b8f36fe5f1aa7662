"""Why something was allowed or denied: the decision once more, watched.

Every rule that is asked becomes a `Step`: where it stands in the file, at which place it was asked, what came out, and what
its parts saw. The decision itself is the one of decide.py; only `holds` is overridden.
Does not know: who wants to know. What values a step shows are those of the database: whoever may not see them must not get them.
Source: docs/rules.md "Explaining".
"""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Mapping
from typing import Any

from meadowlark.errors import Refused
from meadowlark.limits import EVALUATION_CHARACTERS_MAX
from meadowlark.rules.compile import Closure
from meadowlark.rules.decide import Deciding, Reading, Writing, decide_slices
from meadowlark.rules.ruleset import Rule, RuleSet
from meadowlark.rules.scope import Scope
from meadowlark.rules.syntax import Call, Member, Part, Variable
from meadowlark.rules.values import MAP, Failed, Value
from meadowlark.rules.views import Write
from meadowlark.tree import Node, Path, format_path

STEPS_MAX = 200
"""Watched at most; a large write asks one rule very often."""

LAST_STEPS = 3
"""Kept beyond those, of rules that were false."""

SLICE_STEPS = 50
"""Values looked at between two yields: a watched evaluation takes ten times as long as another."""

_SHOWN_LENGTH_MAX = 80


class Step:
    """One rule that was asked. `failure`: why it could not be evaluated to an end."""

    __slots__ = ("failure", "outcome", "path", "rule", "seen")

    def __init__(self, rule: Rule, path: Path) -> None:
        self.rule = rule
        self.path = path
        self.outcome = False
        self.failure: str | None = None
        self.seen: list[tuple[str, Value]] = []
        """Parts as they are written, with their values, in the order in which they were known."""

    def line(self) -> str:
        rule = self.rule
        outcome = "true" if self.outcome else f"false ({self.failure})" if self.failure else "false"
        return f".{rule.kind} at {format_path(self.path)} (line {rule.line}, column {rule.column}) is {outcome}"

    def to_json(self) -> dict[str, Any]:
        rule = self.rule
        return {
            "rule": f".{rule.kind}",
            "rulePath": format_path(rule.path),
            "path": format_path(self.path),
            "line": rule.line,
            "column": rule.column,
            "text": rule.text,
            "outcome": self.outcome,
            **({"error": self.failure} if self.failure else {}),
            "values": [{"part": part, "value": _whole(value)} for part, value in self.seen],
        }


class Explanation:
    """Whether it is allowed, and every rule that was asked, in order."""

    __slots__ = ("allowed", "kind", "path", "refusal", "steps")

    def __init__(self, kind: str, path: Path) -> None:
        self.kind = kind
        self.path = path
        self.allowed = False
        self.refusal = ""
        """Why nothing could be decided: too much would have to be evaluated."""
        self.steps: list[Step] = []

    def deciding_step(self) -> Step | None:
        """The rule that decided: what granted, or the `.validate` that refused; None where no `.read` or `.write` granted."""
        for step in reversed(self.steps):
            if step.outcome is self.allowed and (step.rule.kind == "validate") is not self.allowed:
                return step
        return None

    def summary(self) -> str:
        """In a line, without values: for who was denied."""
        if self.refusal:
            return self.refusal
        step = self.deciding_step()
        if step is not None:
            return step.line()
        asked = [step for step in self.steps if step.rule.kind != "validate" and self.path[: len(step.path)] == step.path]
        if not asked:
            return f"there is no .{self.kind} on the way to {format_path(self.path)}"
        said = "; ".join(step.line() for step in asked[-3:])
        return f"no .{self.kind} on the way to {format_path(self.path)} is true: {said}"

    def to_json(self) -> dict[str, Any]:
        return {
            "allowed": self.allowed,
            "operation": self.kind,
            "path": format_path(self.path),
            "summary": self.summary(),
            "steps": [step.to_json() for step in self.steps],
        }


class _WatchedReading(Reading):
    __slots__ = ("closures", "step", "steps")

    closures: dict[Rule, Closure]
    step: Step
    steps: list[Step]

    def holds(self, rule: Rule) -> bool:
        return _watched(self, rule)


class _WatchedWriting(Writing):
    __slots__ = ("closures", "step", "steps")

    closures: dict[Rule, Closure]
    """Of the rules that were watched; compiled once for all places at which they are asked."""
    step: Step
    """The one that is being evaluated."""
    steps: list[Step]

    def holds(self, rule: Rule) -> bool:
        return _watched(self, rule)

    def holds_here(self, rule: Rule, node: Node | None) -> bool:
        return self.holds(rule)


def explain_read(
    rules: RuleSet,
    auth: dict[str, Any] | None,
    path: Path,
    root: Node | None,
    now: int,
    query: Mapping[str, Any] | None = None,
) -> Explanation:
    explanation = Explanation("read", path)
    reading = _WatchedReading(auth, path, root, now, query)
    reading.steps, reading.closures = explanation.steps, {}
    explanation.allowed = reading.decide(rules)
    return explanation


def explain_write(rules: RuleSet, auth: dict[str, Any] | None, writes: list[Write], root: Node | None, now: int) -> Explanation:
    """Of several writes the path is the first that is refused alone, or the first."""
    explanation, writing = _watch_writes(auth, writes, root, now)
    try:
        explanation.allowed = writing.decide(rules)
    except Refused as refused:
        explanation.refusal = refused.text
    explanation.path = writing.refused_at or explanation.path
    return explanation


def explain_slices(
    rules: RuleSet, auth: dict[str, Any] | None, writes: list[Write], look: Callable[[], Node | None], now: int
) -> Generator[None, None, Explanation]:
    """The same, a slice at a time. `look`: gives the tree; what changes in it meanwhile may be seen or not."""
    explanation, writing = _watch_writes(auth, writes, look(), now)
    try:
        explanation.allowed = yield from decide_slices(rules, writing, look, SLICE_STEPS)
    except Refused as refused:
        explanation.refusal = refused.text
    explanation.path = writing.refused_at or explanation.path
    return explanation


def _watch_writes(
    auth: dict[str, Any] | None, writes: list[Write], root: Node | None, now: int
) -> tuple[Explanation, _WatchedWriting]:
    explanation = Explanation("write", writes[0][0] if writes else ())
    writing = _WatchedWriting(auth, writes, root, now)
    writing.steps, writing.closures = explanation.steps, {}
    return explanation, writing


def _watched(deciding: _WatchedReading | _WatchedWriting, rule: Rule) -> bool:
    steps = deciding.steps
    step = Step(rule, deciding.path[: len(rule.path)])
    if len(steps) >= STEPS_MAX:
        # What is false here may be what decides.
        step.outcome = Deciding.holds(deciding, rule)
        if not step.outcome:
            steps.append(step)
            del steps[STEPS_MAX:-LAST_STEPS]
        return step.outcome
    steps.append(step)
    if rule.constant is not None:
        step.outcome = rule.constant
        return rule.constant
    closure = deciding.closures.get(rule)
    if closure is None:
        closure = deciding.closures[rule] = rule.watched(_see)
    deciding.step = step
    deciding.characters = EVALUATION_CHARACTERS_MAX
    try:
        step.outcome = closure(deciding) is True
    except Failed as failed:
        step.failure = str(failed)
    return step.outcome


def _see(scope: Scope, part: Part, value: Value) -> None:
    if isinstance(part, Variable | Member | Call):
        assert isinstance(scope, _WatchedReading | _WatchedWriting)
        scope.step.seen.append((scope.step.rule.text[part.start : part.end], value))


def shown(value: Value) -> Any:
    """A value as JSON, cut where it is long; what has members as the text of it."""
    if value is MAP:
        return "(children)"
    if isinstance(value, str) and len(value) > _SHOWN_LENGTH_MAX:
        return value[:_SHOWN_LENGTH_MAX] + "…"
    if isinstance(value, dict | list):
        text = json.dumps(value, ensure_ascii=False)
        return text if len(text) <= _SHOWN_LENGTH_MAX else text[:_SHOWN_LENGTH_MAX] + "…"
    return value


def _whole(value: Value) -> Any:
    """As `shown`; what has members whole, unless that is long."""
    is_short = isinstance(value, dict | list) and len(json.dumps(value, ensure_ascii=False)) <= _SHOWN_LENGTH_MAX
    return value if is_short else shown(value)
