"""Decisions: whether rules let somebody read a place, or do writes.

Reading: some `.read` on the way from the root to the place is true. Writing: for each place written, some `.write` on the way
to it is true, and every `.validate` that is met is true, on the way and below it, wherever something stands afterwards.
Nothing of the tree is looked at but what rules name: on the way a rule asks a view by path, and below a written place only
what is written is walked, and only where there are `.validate` rules.

Which rules were asked, and what they saw, is not kept: explain.py decides again, watching.
Source: docs/rules.md "Reading and writing".
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from typing import Any

from meadowlark.errors import Code, Refused
from meadowlark.limits import EVALUATION_CHARACTERS_MAX, OPERATION_RULES_MAX
from meadowlark.rules.compile import Scope
from meadowlark.rules.ruleset import Level, Rule, RuleSet
from meadowlark.rules.values import Failed
from meadowlark.rules.views import AfterUpdate, Branch, Write
from meadowlark.tree import PRIORITY, Node, Path, children, find_child, is_map

AHEAD_STEPS = 250
"""Values looked at between two yields: some tenths of a millisecond."""


def may_read(
    rules: RuleSet,
    auth: dict[str, Any] | None,
    path: Path,
    root: Node | None,
    now: int,
    query: Mapping[str, Any] | None = None,
) -> bool:
    """Whether `auth` may read `path` of the tree `root`. query: as rules see it, where there is one."""
    return Reading(auth, path, root, now, query).decide(rules)


def may_write(
    rules: RuleSet, auth: dict[str, Any] | None, writes: list[Write], root: Node | None, now: int, *, is_validated: bool = False
) -> bool:
    """Whether `auth` may do all `writes`, resolved and none above another, to the tree `root`.

    is_validated: `validate_ahead` has said of every value written that it is valid, by these rules and for this `auth`.
    Raises Refused(TOO_BIG) where that would take more evaluations than one operation may have.
    """
    writing = Writing(auth, writes, root, now)
    writing.is_validated = is_validated
    return writing.decide(rules)


def validate_ahead(rules: RuleSet, auth: dict[str, Any] | None, path: Path, node: Node) -> Generator[None, None, bool]:
    """Whether all local `.validate` rules at and below `path` hold for `node`, whatever the tree is when it is written there.

    Yields now and then, so that others are served meanwhile; `node` must not change. Raises Refused as `may_write` does.
    """
    level = rules.find_level(path)
    deciding = Deciding(Scope(auth, 0, None, [], path, OPERATION_RULES_MAX))
    waiting = [(level, path, node)] if level is not None else []
    steps = 0
    while waiting:
        level, path, node = waiting.pop()
        if level.validate is not None and level.validate.is_local:
            deciding.scope.path = path
            if not deciding.holds_here(level.validate, node):
                return False
        if not level.validates_below or not is_map(node):
            continue
        for key, child in children(node):
            below = level.find(key)
            if below is None:
                continue
            if below.validates_below and is_map(child):
                waiting.append((below, (*path, key), child))
            elif below.validate is not None and below.validate.is_local:
                deciding.scope.path = (*path, key)
                if not deciding.holds_here(below.validate, child):
                    return False
            steps += 1
            if steps % AHEAD_STEPS == 0:
                yield
    return True


class Deciding:
    """One operation being decided. A subclass that explains overrides `holds`, which is asked about each rule once."""

    __slots__ = ("scope",)

    def __init__(self, scope: Scope) -> None:
        self.scope = scope

    def holds(self, rule: Rule) -> bool:
        """Whether `rule` is true at the scope's path."""
        if rule.constant is not None:
            return rule.constant
        scope = self.scope
        scope.rules_left -= 1
        if scope.rules_left < 0:
            raise too_many()
        scope.characters = EVALUATION_CHARACTERS_MAX
        try:
            return rule.run(scope) is True
        except Failed:
            return False

    def holds_here(self, rule: Rule, node: Node) -> bool:
        """Whether `rule` is true at the scope's path, where `node` will stand."""
        if rule.constant is not None:
            return rule.constant
        scope = self.scope
        scope.rules_left -= 1
        if scope.rules_left < 0:
            raise too_many()
        scope.characters = EVALUATION_CHARACTERS_MAX
        scope.here = node
        try:
            return rule.run_here(scope) is True
        except Failed:
            return False

    def begin(self) -> None:
        """As `holds` begins, for whoever runs a rule itself. Raises Refused."""
        self.scope.rules_left -= 1
        if self.scope.rules_left < 0:
            raise too_many()
        self.scope.characters = EVALUATION_CHARACTERS_MAX


class Reading(Deciding):
    __slots__ = ()

    def __init__(
        self, auth: dict[str, Any] | None, path: Path, root: Node | None, now: int, query: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__(Scope(auth, now, root, [], _bare(path), OPERATION_RULES_MAX))
        if query is not None:
            self.scope.query = dict(query)

    def decide(self, rules: RuleSet) -> bool:
        level: Level | None = rules.root
        for key in (*self.scope.path, None):
            assert level is not None
            if level.read is not None and self.holds(level.read):
                return True
            level = level.find(key) if key is not None else None
            if level is None:
                break
        return False


class Writing(Deciding):
    __slots__ = ("_writes", "is_validated", "refused_at")

    def __init__(self, auth: dict[str, Any] | None, writes: list[Write], root: Node | None, now: int) -> None:
        path = _bare(writes[0][0]) if len(writes) == 1 else ()
        super().__init__(Scope(auth, now, root, writes, path, OPERATION_RULES_MAX))
        self._writes = writes
        self.is_validated = False
        """Whether local rules at and below what is written have been asked already."""
        self.refused_at: Path | None = None
        """The place at which a refusal was decided."""

    def decide(self, rules: RuleSet) -> bool:
        if not self._writes:
            return True  # Nothing is asked for.
        if len(self._writes) > 1:
            after = self.scope.after
            assert isinstance(after, AfterUpdate)
            return self._update(after.top, rules.root, (), granted=False)
        path, node = self._writes[0]
        if path and path[-1] == PRIORITY:
            node = None  # What stands there is not written: its children are as they were.
        return self._set(rules.root, self.scope.path, node)

    def _set(self, root: Level, path: Path, node: Node | None) -> bool:
        """One place. The scope stands at its path all along, since a rule on the way looks at no more than its own keys."""
        granted = False
        validates: list[Rule] = []
        level: Level | None = root
        for key in path:
            assert level is not None
            if not granted and level.write is not None:
                granted = self.holds(level.write)
            if level.validate is not None:
                validates.append(level.validate)
            child = level.children.get(key)
            level = level.capture if child is None else child
            if level is None:
                break
        if not granted and (level is None or level.write is None or not self.holds(level.write)):
            return self._refuse(path)
        for rule in validates:
            # Above something that is written, something stands.
            depth = len(rule.path)
            if (node is not None or self.scope.after.value(path[:depth]) is not None) and not self.holds(rule):
                return self._refuse(path[:depth])
        if level is None:
            return True
        if node is not None:
            return self._valid(level, path, node)
        if level.validate is not None and self.scope.after.value(path) is not None and not self.holds(level.validate):
            return self._refuse(path)
        return True

    def _below(self, level: Level, path: Path, node: Node) -> bool:
        """Whether all that is written below `path`, where `level` and `node` are, is valid."""
        if not (level.looks_around_below if self.is_validated else level.validates_below) or not is_map(node):
            return True
        if level.capture is None:
            for key, child_level in level.children.items():
                child = find_child(node, key)
                if child is not None and not self._valid(child_level, (*path, key), child):
                    return False
            return True
        for key, child in children(node):
            found = level.find(key)
            assert found is not None, "the capture takes every key"
            if not self._valid(found, (*path, key), child):
                return False
        return True

    def _valid(self, level: Level, path: Path, node: Node) -> bool:
        if level.validate is not None and not (self.is_validated and level.validate.is_local):
            self.scope.path = path
            if not self.holds_here(level.validate, node):
                return self._refuse(path)
        return not level.validates_below or self._below(level, path, node)

    def _update(self, branch: Branch, level: Level | None, path: Path, *, granted: bool) -> bool:
        """All that is written at `branch` or below. Rules above several writes are asked once."""
        if level is None:
            return granted or self._refuse(path)
        self.scope.path = path
        if not granted and level.write is not None:
            granted = self.holds(level.write)
        is_known = self.is_validated and branch.is_written and branch.node is not None
        validate = None if level.validate is None or (is_known and level.validate.is_local) else level.validate
        if validate is not None and self.scope.after.value(path) is not None and not self.holds(validate):
            return self._refuse(path)
        if not granted and (branch.is_written or branch.writes_priority):
            return self._refuse(path)
        if branch.is_written:
            return branch.node is None or self._below(level, path, branch.node)
        return all(self._update(child, level.find(key), (*path, key), granted=granted) for key, child in branch.children.items())

    def _refuse(self, path: Path) -> bool:
        self.refused_at = path
        return False


def too_many() -> Refused:
    return Refused(Code.TOO_BIG, f"rules would be evaluated more than {OPERATION_RULES_MAX} times for this operation")


def _bare(path: Path) -> Path:
    """A priority is its node's."""
    return path[:-1] if path and path[-1] == PRIORITY else path
