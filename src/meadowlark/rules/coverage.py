"""Coverage: how often each rule of a set was asked, with which outcomes, and what its parts saw.

`decide_read` and `decide_write` decide as decide.py does, and count; whoever does not want that asks decide.py and pays nothing.
Of one operation only the first rules are watched part by part, since a large write asks one rule very often; outcomes are all
counted. What is kept is bounded by the size of the rules: a part keeps some of its different values, and the rest as one number.
Does not know: who asks, which database it is of. Source: docs/rules.md "Coverage".
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

from meadowlark.limits import OPERATION_RULES_MAX
from meadowlark.rules.compile import Closure
from meadowlark.rules.decide import Deciding, Reading, Writing
from meadowlark.rules.explain import shown
from meadowlark.rules.faults import Fault
from meadowlark.rules.ruleset import Rule, RuleSet
from meadowlark.rules.scope import Scope
from meadowlark.rules.syntax import Call, Chain, Literal, Member, Part, Ternary, Variable, inner_parts
from meadowlark.rules.values import Failed, Value
from meadowlark.rules.views import Write
from meadowlark.tree import Node, Path, format_path

VALUES_MAX = 20
"""Different values that are kept of one part."""
WATCHED_MAX = 500
"""Rules watched part by part in one operation."""

_OTHERS = ("others", "(others)")

Seen = dict[tuple[int, int], dict[tuple[str, Any], int]]


class Count:
    """One rule. `failed`: evaluations that came to no end, which are false too."""

    __slots__ = ("failed", "false", "rule", "seen", "true", "turns", "watching")

    def __init__(self, rule: Rule) -> None:
        self.rule = rule
        self.true = 0
        self.false = 0
        self.failed = 0
        self.seen: Seen = {}
        """By start and end of a part in the rule's text: how often it had which value, by type and as shown."""
        self.turns: dict[Part, list[int]] = {part: [0, 0] for part in _turns(rule.expression)}
        """Where an evaluation goes one way or the other: how often each was false, and true."""
        self.watching: Closure | None = None
        """Made when the rule is first watched."""

    def lack(self) -> str | None:
        """What has not been seen of the rule; a constant has only one outcome."""
        if not self.true and not self.false:
            return "never asked"
        if self.rule.constant is None and not self.false:
            return "never false"
        if self.rule.constant is None and not self.true:
            return "never true"
        return None

    def lacks(self) -> list[tuple[int, int, str]]:
        """Parts of the rule that were never evaluated, or went one way alone: where they begin and end in its text, and what has
        not been seen of them. Of a rule that lacks something itself only what was never evaluated, and of that no parts."""
        found: list[tuple[int, int, str]] = []
        if not self.true and not self.false:
            return found
        is_whole = self.lack() is not None
        for part, (false, true) in self.turns.items():
            if found and part.end <= found[-1][1]:
                continue  # It is within one that is told.
            if not false and not true:
                found.append((part.start, part.end, "never true or false" if self.failed else "never asked"))
            elif not is_whole and not (false and true):
                found.append((part.start, part.end, "never true" if not true else "never false"))
        return found

    def to_json(self) -> dict[str, Any]:
        rule = self.rule
        return {
            "rule": f".{rule.kind}",
            "path": format_path(rule.path),
            "line": rule.line,
            "column": rule.column,
            "text": rule.text,
            "evaluations": self.true + self.false,
            "true": self.true,
            "false": self.false,
            "errors": self.failed,
            "lacks": self.lack(),
            "lacking": [
                {"part": rule.text[start:end], "start": start, "end": end, "lacks": lack} for start, end, lack in self.lacks()
            ],
            "parts": [
                {
                    "part": rule.text[start:end],
                    "start": start,
                    "end": end,
                    "values": [{"value": value, "count": count} for (_, value), count in values.items()],
                }
                for (start, end), values in sorted(self.seen.items())
            ],
        }


class Coverage:
    """The counts of every rule of a set, in the order of the file."""

    def __init__(self, rules: RuleSet) -> None:
        self.rules = rules
        self.counts: dict[Rule, Count] = {rule: Count(rule) for level in rules.levels for rule in level.rules()}

    def missing(self) -> list[tuple[Rule, str]]:
        """Rules that were not asked, or never had one of their outcomes."""
        return [(rule, lack) for rule, count in self.counts.items() if (lack := count.lack()) is not None]

    def findings(self) -> list[Fault]:
        """The same with the parts of rules that lack something, in the order of the file."""
        found: list[Fault] = []
        for rule, count in self.counts.items():
            where = f".{rule.kind} at {format_path(rule.path)}"
            lack = count.lack()
            if lack is not None:
                found.append(Fault(rule.line, rule.column, f"{where} was {lack}"))
            for start, end, lacking in count.lacks():
                found.append(Fault(*rule.place(start), f"in {where}: {' '.join(rule.text[start:end].split())} was {lacking}"))
        return sorted(found)

    def summary(self) -> str:
        """How much was seen, in a line."""
        counts = list(self.counts.values())
        turns = [ways for count in counts for ways in count.turns.values()]
        rules, parts = len(counts) - len(self.missing()), sum(bool(false and true) for false, true in turns)
        conditions = f" and {parts} of {len(turns)} conditions in them" if turns else ""
        return f"{rules} of {len(counts)} rules{conditions} were seen with each outcome"

    def to_json(self) -> list[dict[str, Any]]:
        return [count.to_json() for count in self.counts.values()]

    def decide_read(
        self, auth: dict[str, Any] | None, path: Path, root: Node | None, now: int, query: Mapping[str, Any] | None = None
    ) -> bool:
        reading = _CountedReading(auth, path, root, now, query)
        reading.coverage = self
        return reading.decide(self.rules)

    def decide_write(self, auth: dict[str, Any] | None, writes: list[Write], root: Node | None, now: int) -> bool:
        """Raises Refused as `may_write` does."""
        return self.writing(auth, writes, root, now).decide(self.rules)

    def writing(self, auth: dict[str, Any] | None, writes: list[Write], root: Node | None, now: int) -> Writing:
        """What counts when it decides."""
        writing = _CountedWriting(auth, writes, root, now)
        writing.coverage = self
        return writing


class _CountedReading(Reading):
    __slots__ = ("coverage",)

    coverage: Coverage

    def holds(self, rule: Rule) -> bool:
        return _counted(self, rule, self.coverage.counts[rule])


class _CountedWriting(Writing):
    __slots__ = ("coverage",)

    coverage: Coverage

    def holds(self, rule: Rule) -> bool:
        return _counted(self, rule, self.coverage.counts[rule])

    def holds_here(self, rule: Rule, node: Node | None) -> bool:
        return self.holds(rule)


def _counted(deciding: Deciding, rule: Rule, count: Count) -> bool:
    if rule.constant is not None or OPERATION_RULES_MAX - deciding.rules_left >= WATCHED_MAX:
        outcome = Deciding.holds(deciding, rule)
    else:
        if count.watching is None:
            count.watching = rule.watched(partial(_see, count.seen, count.turns))
        deciding.begin()
        try:
            outcome = count.watching(deciding) is True
        except Failed:
            outcome = False
            count.failed += 1
    count.true += outcome
    count.false += not outcome
    return outcome


def _turns(part: Part) -> Iterator[Part]:
    """The parts of an expression by which it turns: operands of `&&` and `||`, tests of `?:` and what is behind them; in order of
    the text, what is within a part after it."""
    for inner in inner_parts(part):
        is_turn = isinstance(part, Ternary) or (isinstance(part, Chain) and part.operators[0] in ("&&", "||"))
        if is_turn and inner.type == "boolean" and not isinstance(inner, Literal):
            yield inner
        yield from _turns(inner)


def _see(seen: Seen, turns: dict[Part, list[int]], scope: Scope, part: Part, value: Value) -> None:
    ways = turns.get(part)
    if ways is not None:
        ways[value is True] += 1
    if isinstance(part, Variable | Member | Call):
        values = seen.setdefault((part.start, part.end), {})
        told = (type(value).__name__, shown(value))
        if told not in values and len(values) >= VALUES_MAX:
            told = _OTHERS
        values[told] = values.get(told, 0) + 1
