"""Looking at every member of a set once in a while, some of them every second, so that no second has all the work.

Does not know: what the members are, what is looked for. No clock: whoever calls `next` does so once a second.
"""

from __future__ import annotations

from typing import Generic, TypeVar

Member = TypeVar("Member")


class Round(Generic[Member]):
    """Who comes after a round has begun is looked at in the next; who goes meanwhile is given out all the same."""

    __slots__ = ("_calls", "_calls_left", "_left", "_members", "_share")

    def __init__(self, members: set[Member], seconds: int) -> None:
        """seconds: how long a round over all `members` takes."""
        self._members = members
        self._calls = seconds
        self._calls_left = 0
        self._left: list[Member] = []
        self._share = 0

    def next(self) -> list[Member]:
        """Those whose turn it is in this second."""
        if not self._calls_left:
            self._calls_left = self._calls
            self._left = list(self._members)
            self._share = -(-len(self._left) // self._calls)
        self._calls_left -= 1
        share = self._left[-self._share :] if self._share else []
        del self._left[len(self._left) - len(share) :]
        return share
