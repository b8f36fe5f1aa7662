"""Trials: what a rule set should allow and deny, written down and tried, for users' own tests.

A trial file has rules, data and cases; each case is somebody who reads, sets or updates, and what is expected. Cases do not
change the data: each is tried on the same.
Does not know: files, where the rules come from. Source: docs/rules.md "Testing rules".
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from meadowlark.errors import Refused
from meadowlark.rules.coverage import Coverage
from meadowlark.rules.explain import Explanation, explain_read, explain_write
from meadowlark.rules.ruleset import RuleSet
from meadowlark.rules.scope import NO_QUERY
from meadowlark.tree import Node, Path, find, from_json, parse_path, resolve

NOW = 1_700_000_000_000
"""What `now` is where a file does not say."""


class Case(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One of `read`, `set` and `update` names the place. `who`: a uid, `auth` whole, or null for nobody."""

    expect: Literal["allow", "deny"]
    name: str = ""
    who: str | dict[str, Any] | None = msgspec.field(default=None, name="as")
    read: str | None = None
    set: str | None = None
    update: str | None = None
    value: Any = None
    """To set, or by path to update."""
    query: dict[str, Any] | None = None
    """Members of the rules' `query` that are not as without a query."""

    def __post_init__(self) -> None:
        if sum(place is not None for place in (self.read, self.set, self.update)) != 1:
            raise ValueError("a case needs exactly one of 'read', 'set' and 'update'")
        if self.update is not None and not isinstance(self.value, dict):
            raise ValueError("an update needs an object of paths and values as 'value'")

    def title(self) -> str:
        operation = "read" if self.read is not None else "set" if self.set is not None else "update"
        place = self.read or self.set or self.update or "/"
        who = "nobody" if self.who is None else self.who if isinstance(self.who, str) else str(self.who.get("uid", "somebody"))
        return self.name or f"{who} may {'' if self.expect == 'allow' else 'not '}{operation} {place}"


class Trials(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A trial file. `rules`: a rule set itself, or the name of its file."""

    cases: list[Case]
    rules: dict[str, Any] | str | None = None
    data: Any = None
    now: int = NOW


class Outcome(msgspec.Struct, frozen=True):
    """What came of one case. `explanation` None: it was refused before rules were asked, as `refusal` says."""

    case: Case
    explanation: Explanation | None
    refusal: str = ""

    @property
    def is_right(self) -> bool:
        return self.explanation is not None and self.explanation.allowed is (self.case.expect == "allow")


def parse_trials(raw: Any) -> Trials:
    """The trials in decoded JSON or YAML. Raises msgspec.ValidationError, saying where."""
    return msgspec.convert(raw, Trials)


def try_all(rules: RuleSet, trials: Trials) -> tuple[list[Outcome], Coverage]:
    """Raises Refused for data that no database could have."""
    root = _made(trials.data, None, 0, trials.now)
    coverage = Coverage(rules)
    outcomes = []
    for case in trials.cases:
        try:
            outcomes.append(Outcome(case, _try(coverage, case, root, trials.now)))
        except Refused as refused:
            outcomes.append(Outcome(case, None, refused.text))
    return outcomes, coverage


def _try(coverage: Coverage, case: Case, root: Node | None, now: int) -> Explanation:
    """Decided twice: once to count, and once to tell."""
    rules = coverage.rules
    auth = {"uid": case.who, "provider": "custom", "token": {"sub": case.who}} if isinstance(case.who, str) else case.who
    if case.read is not None:
        query = None if case.query is None else {**NO_QUERY, "orderByKey": False, **case.query}
        path = parse_path(case.read)
        coverage.decide_read(auth, path, root, now, query)
        return explain_read(rules, auth, path, root, now, query)
    if case.set is not None:
        changes: list[tuple[Path, Any]] = [(parse_path(case.set), case.value)]
    else:
        base = parse_path(case.update or "/")
        changes = [(base + parse_path(key), value) for key, value in case.value.items()]
    writes = [(path, _made(value, find(root, path), len(path), now)) for path, value in changes]
    coverage.decide_write(auth, writes, root, now)
    return explain_write(rules, auth, writes, root, now)


def _made(value: Any, existing: Node | None, depth: int, now: int) -> Node | None:
    node, waits = from_json(value, depth)
    return resolve(node, existing, now) if waits else node
