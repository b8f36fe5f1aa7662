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

from meadowlark.rules.ruleset import Level, Rule, RuleSet
from meadowlark.rules.scope import Scope
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
    deciding = Deciding(auth, 0, None, [], path)
    waiting = [(level, path, node)] if level is not None else []
    steps = 0
    while waiting:
        level, path, node = waiting.pop()
        if level.validate is not None and level.validate.is_local:
            deciding.path = path
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
                deciding.path = (*path, key)
                if not deciding.holds_here(below.validate, child):
                    return False
            steps += 1
            if steps % AHEAD_STEPS == 0:
                yield
    return True


class Deciding(Scope):
    """One operation being decided, which is what its rules see. A subclass that explains overrides `holds` and `holds_here`,
    which are asked about each rule once."""

    __slots__ = ()

    def holds(self, rule: Rule) -> bool:
        """Whether `rule` is true at `path`."""
        if rule.constant is not None:
            return rule.constant
        self.begin()
        try:
            return rule.run(self.auth, self.path, None, self) is True
        except Failed:
            return False

    def holds_here(self, rule: Rule, node: Node | None) -> bool:
        """Whether `rule` is true at `path`, where `node` will stand."""
        if rule.constant is not None:
            return rule.constant
        self.begin()
        try:
            return rule.run_here(self.auth, self.path, node, self) is True
        except Failed:
            return False


class Reading(Deciding):
    __slots__ = ()

    def __init__(
        self, auth: dict[str, Any] | None, path: Path, root: Node | None, now: int, query: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__(auth, now, root, [], _bare(path))
        if query is not None:
            self.query = dict(query)

    def decide(self, rules: RuleSet) -> bool:
        level, _ = rules.reach(self.path)
        for rule in level.reads:  # noqa: SIM110  # A generator would cost as much as the rules.
            if self.holds(rule):
                return True
        return False


class Writing(Deciding):
    __slots__ = ("is_validated", "refused_at")

    def __init__(self, auth: dict[str, Any] | None, writes: list[Write], root: Node | None, now: int) -> None:
        super().__init__(auth, now, root, writes, _bare(writes[0][0]) if len(writes) == 1 else ())
        self.is_validated = False
        """Whether local rules at and below what is written have been asked already."""
        self.refused_at: Path | None = None
        """The place at which a refusal was decided."""

    def decide(self, rules: RuleSet) -> bool:
        writes = self.writes
        if len(writes) == 1:
            return self._set(rules)
        if not writes:
            return True  # Nothing is asked for.
        after = self.after
        assert isinstance(after, AfterUpdate)
        return self._update(after.top, rules.root, (), granted=False)

    def _set(self, rules: RuleSet) -> bool:
        """One place. `path` is its path all along, since a rule on the way looks at no more than its own keys."""
        where, node = self.writes[0]
        path = self.path
        level, is_there = rules.reach(path)
        # A priority leaves what stands there as it is.
        is_priority = len(path) < len(where)
        for rule in level.writes:
            if self.holds_here(rule, node) if rule is level.write and is_there and not is_priority else self.holds(rule):
                break
        else:
            return self._refuse(path)
        gives = node is not None and not is_priority
        for above in level.validates if is_there else (*level.validates, level.validate):
            # Above something that is written, something stands.
            if above is not None:
                depth = len(above.path)
                if (gives or self.after.value(path[:depth]) is not None) and not self.holds(above):
                    return self._refuse(path[:depth])
        if not is_there:
            return True
        if gives:
            return self._valid(level, path, node)
        if level.validate is not None and self.after.value(path) is not None and not self.holds(level.validate):
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
            self.path = path
            if not self.holds_here(level.validate, node):
                return self._refuse(path)
        return not level.validates_below or self._below(level, path, node)

    def _update(self, branch: Branch, level: Level | None, path: Path, *, granted: bool) -> bool:
        """All that is written at `branch` or below. Rules above several writes are asked once."""
        if level is None:
            return granted or self._refuse(path)
        self.path = path
        if not granted and level.write is not None:
            granted = self.holds(level.write)
        is_known = self.is_validated and branch.is_written and branch.node is not None
        validate = None if level.validate is None or (is_known and level.validate.is_local) else level.validate
        if validate is not None and self.after.value(path) is not None and not self.holds(validate):
            return self._refuse(path)
        if not granted and (branch.is_written or branch.writes_priority):
            return self._refuse(path)
        if branch.is_written:
            return branch.node is None or self._below(level, path, branch.node)
        return all(self._update(child, level.find(key), (*path, key), granted=granted) for key, child in branch.children.items())

    def _refuse(self, path: Path) -> bool:
        self.refused_at = path
        return False


def _bare(path: Path) -> Path:
    """A priority is its node's."""
    return path[:-1] if path and path[-1] == PRIORITY else path
