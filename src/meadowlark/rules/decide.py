"""Decisions: whether rules let somebody read a place, or do writes.

Reading: some `.read` on the way from the root to the place is true. Writing: for each place written, some `.write` on the way
to it is true, and every `.validate` that is met is true, on the way and below it, wherever something stands afterwards.
Nothing of the tree is looked at but what rules name: on the way a rule asks a view by path, and below a written place only
what is written is walked, and only where there are `.validate` rules.

Which rules were asked, and what they saw, is not kept: explain.py decides again, watching.
Source: docs/rules.md "Reading and writing".
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Generator, Iterator, Mapping
from typing import Any

from meadowlark.rules.looks import Look
from meadowlark.rules.ruleset import Level, Rule, RuleSet
from meadowlark.rules.scope import Scope
from meadowlark.rules.values import Failed
from meadowlark.rules.views import AfterUpdate, Branch, Write
from meadowlark.tree import PRIORITY, Node, Path, children, find_child, is_map

SLICE_STEPS = 250
"""Values looked at between two yields: some tenths of a millisecond."""

PLACES_STEPS = 100
"""Writes whose rules are found between two yields."""


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


def may_write(rules: RuleSet, auth: dict[str, Any] | None, writes: list[Write], root: Node | None, now: int) -> bool:
    """Whether `auth` may do all `writes`, resolved and none above another, to the tree `root`.

    Raises Refused(TOO_BIG) where that would take more evaluations than one operation may have.
    """
    return Writing(auth, writes, root, now).decide(rules)


def decide_slices(
    rules: RuleSet, writing: Writing, look: Callable[[], Node | None], slice_steps: int | None = None
) -> Generator[None, None, bool]:
    """What `writing.decide(rules)` gives, a slice of `slice_steps` values at a time, SLICE_STEPS where nothing is said. `look`:
    gives the tree, which may change meanwhile: then the outcome counts only if nothing that rules look at (`place_slices`) has
    changed. What is written must not.
    """
    slice_steps = slice_steps or SLICE_STEPS
    writes = writing.writes
    if len(writes) > 1:
        view = AfterUpdate(writing.root, [])
        for index, (path, node) in enumerate(writes):
            view.add(path, node)
            if index % slice_steps == slice_steps - 1:
                yield
        writing.look_at(look(), view)
    later: list[Iterator[bool]] = []
    writing.later = later
    try:
        if not writing.decide(rules):
            return False
        steps = 0
        while later:
            outcome = next(later[-1], None)
            if outcome is None:
                later.pop()  # It put nothing on top in the end.
            elif not outcome:
                return False
            steps += 1
            if steps % slice_steps == 0:
                yield
                writing.look_at(look())
        return True
    finally:
        # What is left refers to `writing`, and so to all that would be written: a cycle, and nobody collects.
        later.clear()


def place_slices(rules: RuleSet, writes: list[Write]) -> Generator[Collection[Path], None, None]:
    """The places of the tree that it hangs on whether `writes` may be done, each with all below it: some of them at a time."""
    places: set[Path] = set()
    looks: dict[Level, tuple[frozenset[Look], tuple[int, ...]]] = {}
    for index, (path, node) in enumerate(writes):
        bare = _bare(path)
        level, is_there = rules.reach(bare)
        known = looks.get(level)
        if known is None:
            known = looks[level] = _looks_on_the_way(level)
        on_the_way, depths = known
        for look in on_the_way | level.looks_below if is_there and node is not None else on_the_way:
            place = look.place(bare)
            if not (look.is_after and bare == path and place[: len(bare)] == bare):
                places.add(place)
        if node is None or bare != path:
            # Whether something is left there decides if they are asked.
            places.update([bare[:depth] for depth in depths])
        if index % PLACES_STEPS == PLACES_STEPS - 1:
            yield places
            places = set()
    yield places


def _looks_on_the_way(level: Level) -> tuple[frozenset[Look], tuple[int, ...]]:
    """What the rules look at that are met on the way to `level`, and at which depths something is validated."""
    validates = [*level.validates, *([level.validate] if level.validate is not None else [])]
    looks = [rule.looks for rule in (*level.writes, *validates)]
    return frozenset().union(*looks), tuple([len(rule.path) for rule in validates])


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
    __slots__ = ("later", "refused_at")

    def __init__(self, auth: dict[str, Any] | None, writes: list[Write], root: Node | None, now: int) -> None:
        super().__init__(auth, now, root, writes, _bare(writes[0][0]) if len(writes) == 1 else ())
        self.later: list[Iterator[bool]] | None = None
        """What is put off, to be done in slices; None: nothing is."""
        self.refused_at: Path | None = None
        """The place at which a refusal was decided."""

    def look_at(self, root: Node | None, after: AfterUpdate | None = None) -> None:
        """Goes on with the tree as it is now. after: the view that was made of it."""
        self.root = root
        self._after = after or self._after
        for view in (self._before, self._after):
            if view is not None:
                view.root = root

    def decide(self, rules: RuleSet) -> bool:
        """Whether all may be done, unless something that is put off `later` may not."""
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
        if not level.validates_below or not is_map(node):
            return True
        if level.capture is None:
            for key, child_level in level.children.items():
                child = find_child(node, key)
                if child is not None and not self._valid(child_level, (*path, key), child):
                    return False
            return True
        return self._all(self._each_valid(level, path, node))

    def _each_valid(self, level: Level, path: Path, node: Node) -> Iterator[bool]:
        for key, child in children(node):
            found = level.children.get(key) or level.capture
            assert found is not None, "the capture takes every key"
            yield self._valid(found, (*path, key), child)

    def _all(self, outcomes: Iterator[bool]) -> bool:
        """Whether all are true, now or `later`."""
        if self.later is None:
            return all(outcomes)
        self.later.append(outcomes)
        return True

    def _valid(self, level: Level, path: Path, node: Node) -> bool:
        if level.validate is not None:
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
        if level.validate is not None and self.after.value(path) is not None and not self.holds(level.validate):
            return self._refuse(path)
        if not granted and (branch.is_written or branch.writes_priority):
            return self._refuse(path)
        if branch.is_written:
            return branch.node is None or self._below(level, path, branch.node)
        return self._all(self._each_update(branch, level, path, granted=granted))

    def _each_update(self, branch: Branch, level: Level, path: Path, *, granted: bool) -> Iterator[bool]:
        for key, child in branch.children.items():
            yield self._update(child, level.find(key), (*path, key), granted=granted)

    def _refuse(self, path: Path) -> bool:
        self.refused_at = path
        return False


def _bare(path: Path) -> Path:
    """A priority is its node's."""
    return path[:-1] if path and path[-1] == PRIORITY else path
