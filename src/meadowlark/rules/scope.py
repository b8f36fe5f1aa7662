"""What rules see of one operation, and what its evaluations may still spend."""

from __future__ import annotations

from typing import Any

from meadowlark.errors import Code, Refused
from meadowlark.limits import EVALUATION_CHARACTERS_MAX, OPERATION_RULES_MAX
from meadowlark.rules.members import QUERY
from meadowlark.rules.views import Before, View, Write, after_writes
from meadowlark.tree import Node, Path

NO_QUERY: dict[str, Any] = {name: False if name.startswith("orderBy") else None for name in QUERY} | {
    "orderByKey": True,
    "orderByChild": None,
}
"""`query` where nothing is asked for, or no order."""


class Scope:
    """What rules see of one operation. `path`: of the place whose rule is evaluated, or below it; views start at the root."""

    __slots__ = ("_after", "_before", "auth", "characters", "now", "path", "query", "root", "rules_left", "writes")

    def __init__(self, auth: dict[str, Any] | None, now: int, root: Node | None, writes: list[Write], path: Path) -> None:
        self.auth = auth
        self.now = now
        self.root = root
        self.writes = writes
        self.path = path
        self.query = NO_QUERY
        self.characters = EVALUATION_CHARACTERS_MAX
        """Left to this evaluation."""
        self.rules_left = OPERATION_RULES_MAX
        """Evaluations left to this operation."""
        self._before: View | None = None
        self._after: View | None = None

    # Made when a rule first looks: many only look at who asks, or at what is written.

    @property
    def before(self) -> View:
        view = self._before
        if view is None:
            view = self._before = Before(self.root)
        return view

    @property
    def after(self) -> View:
        view = self._after
        if view is None:
            view = self._after = after_writes(self.root, self.writes) if self.writes else self.before
        return view

    def begin(self) -> None:
        """One more evaluation begins. Raises Refused."""
        self.rules_left -= 1
        if self.rules_left < 0:
            raise too_many()
        self.characters = EVALUATION_CHARACTERS_MAX


def too_many() -> Refused:
    return Refused(Code.TOO_BIG, f"rules would be evaluated more than {OPERATION_RULES_MAX} times for this operation")
