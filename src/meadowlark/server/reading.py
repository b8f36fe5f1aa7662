"""How long a read over REST may still take: what its `timeout` says, or READ_SECONDS_MAX.

What counts is the time from its request to its whole answer: while its database is loaded, its index or hash is made, its turn
comes, and its slices are encoded. What does not is the time in which the server waits for the client to take the answer.
Time is passed in as a clock. Does not know: connections, what is read, what happens when the time is over.
Source: docs/rest.md "How a value is shown".
"""

from __future__ import annotations

from collections.abc import Callable

from meadowlark.errors import Code, Refused


class Reading:
    """The time of one read."""

    __slots__ = ("_clock", "_ends_at", "_seconds")

    def __init__(self, clock: Callable[[], int], begun_at: int, seconds: float) -> None:
        """clock: gives nanoseconds; `begun_at` is of it."""
        self._clock = clock
        self._seconds = seconds
        self._ends_at = begun_at + int(seconds * 1e9)

    @property
    def left_seconds(self) -> float:
        """0 when the time is over."""
        return max(0, self._ends_at - self._clock()) / 1e9

    @property
    def is_over(self) -> bool:
        return self._clock() >= self._ends_at

    def pause(self) -> int:
        """From now on the client is waited for; what to `go_on` with."""
        return self._clock()

    def go_on(self, paused_at: int) -> None:
        self._ends_at += self._clock() - paused_at

    def refusal(self) -> Refused:
        return Refused(Code.INVALID_REQUEST, f"the read took longer than its timeout of {self._seconds:g} s")
