"""What a developer's client is told of its volatile writes that went nowhere: of each kind at most one line a second.

The first of a kind is told at once. Those that come within a second after a line are counted, and told together at its end: a
client that floods, or that a rule denies everything, hears of it and not thousandfold.
Does not know: loops; `call_later` comes in.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Protocol

from meadowlark.wire.drops import MEANINGS, SUPERSEDED

INTERVAL_NANOSECONDS = 1_000_000_000


class Timer(Protocol):
    def cancel(self) -> object: ...


class _Kind:
    """What was noted since the last line."""

    __slots__ = ("count", "text", "timer")

    def __init__(self) -> None:
        self.count = 0
        self.text = ""
        self.timer: Timer | None = None


class Remarks:
    """To one client."""

    __slots__ = ("_call_later", "_kinds", "_say")

    def __init__(self, say: Callable[[str], None], call_later: Callable[[int, Callable[[], object]], Timer]) -> None:
        self._say = say
        self._call_later = call_later
        self._kinds: dict[object, _Kind] = {}
        """Those of which a line was said less than a second ago."""

    def note(self, kind: object, count: int = 1, text: str = "") -> None:
        """`count` more writes of the client went nowhere. text: why, where that says more than the kind."""
        noted = self._kinds.get(kind)
        text = text or MEANINGS[kind]
        if noted is not None:
            noted.count += count
            noted.text = text
            return
        self._say(_line(kind, count, text))
        noted = self._kinds[kind] = _Kind()
        noted.timer = self._call_later(INTERVAL_NANOSECONDS, partial(self._end_interval, kind))

    def close(self) -> None:
        """Nothing is said any more."""
        for noted in self._kinds.values():
            if noted.timer is not None:
                noted.timer.cancel()
        self._kinds.clear()

    def _end_interval(self, kind: object) -> None:
        noted = self._kinds.pop(kind, None)
        if noted is not None and noted.count:
            self.note(kind, noted.count, noted.text)


def _line(kind: object, count: int, text: str) -> str:
    what = "superseded" if kind is SUPERSEDED else "dropped"
    return f"volatile write {what}: {text}" if count == 1 else f"{count} volatile writes {what}: {text}"
