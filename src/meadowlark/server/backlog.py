"""Whether the journal's thread gets on.

It gives way to the loop. Where the loop waits now and then, that is enough, and to wait for the thread as well would only be time
lost; where it never does, records would wait for ever.
Does not know: the journal, and what a moment is.
"""

from __future__ import annotations

STARVED_NANOSECONDS = 3_000_000
"""For which records have been waiting and none has become durable before the thread needs a moment."""
FULL_NANOSECONDS = 20_000_000
"""For which a core counts as full after that: the thread gets on by its moments then, and need not be starved for each."""
MOMENTS_NANOSECONDS = 1_000_000
"""Between two moments: on a slow disk the thread waits for that, and needs none."""


class Backlog:
    """Asked at the end of each turn."""

    __slots__ = ("_durable_bytes", "_full_until", "_last", "_since")

    def __init__(self) -> None:
        self._durable_bytes = 0
        self._since = 0
        """When records became durable last, or none waited."""
        self._full_until = 0
        self._last = -MOMENTS_NANOSECONDS
        """When there was a moment last."""

    def needs_moment(self, now: int, waiting_bytes: int, durable_bytes: int) -> bool:
        """Whether the thread needs one `now` (nanoseconds of any clock), with `waiting_bytes` of records to make durable, and
        `durable_bytes` made so since the start."""
        if durable_bytes != self._durable_bytes or not waiting_bytes:
            self._durable_bytes = durable_bytes
            self._since = now
        elif now - self._since >= STARVED_NANOSECONDS:
            self._full_until = now + FULL_NANOSECONDS
        if now >= self._full_until or not waiting_bytes or now - self._last < MOMENTS_NANOSECONDS:
            return False
        self._last = now
        return True
