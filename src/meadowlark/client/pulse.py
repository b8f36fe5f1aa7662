"""When a server that says nothing is asked whether it is there, and when it is taken for dead. One a connection.

Who only listens asks after QUIET_SECONDS of silence: that is all that an idle connection costs. Who has said something since it
last heard anything wants to know sooner, and asks after SPOKEN_SECONDS. Whoever asks gives ANSWER_SECONDS, and anything that is
heard is an answer. A look that comes late says that this program was busy, not that the server was silent: then all begins anew.
Time and timers come in. Does not know: what asking is.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

QUIET_SECONDS = 5.0
SPOKEN_SECONDS = 2.0
ANSWER_SECONDS = 3.0
"""For a ping: many round trips, and what a lost packet costs where they are slow."""
SUSPECT_SECONDS = 1.0
"""The same where the network has said that nobody is there."""
LATE_SECONDS = 1.0


class Timers(Protocol):
    """What is needed of an event loop."""

    def time(self) -> float: ...

    def call_at(self, when: float, callback: Callable[[], object], /) -> Any:
        """What is returned has `cancel`."""


class Pulse:
    """`ask` is called when the server is to be asked, `dead` once when it has not answered, after which nothing comes."""

    __slots__ = ("_ask", "_dead", "_dead_at", "_due", "_heard_at", "_spoke_at", "_timer", "_timers")

    def __init__(self, timers: Timers, ask: Callable[[], object], dead: Callable[[], object]) -> None:
        self._timers = timers
        self._ask = ask
        self._dead = dead
        self._heard_at = timers.time()
        self._spoke_at: float | None = None
        """When something was said first since something was heard."""
        self._dead_at: float | None = None
        """Until when the server, which is asked, has to answer."""
        self._due = 0.0
        self._timer: Any = None
        self._look_at(self._heard_at + QUIET_SECONDS)

    def heard(self) -> None:
        self._heard_at = self._timers.time()
        self._spoke_at = self._dead_at = None

    def spoke(self) -> None:
        if self._spoke_at is None and self._timer is not None:
            self._spoke_at = self._timers.time()
            if self._due > self._spoke_at + SPOKEN_SECONDS and self._dead_at is None:
                self._look_at(self._spoke_at + SPOKEN_SECONDS)

    def suspect(self) -> None:
        """The network says that nobody is there, which may be so."""
        if self._dead_at is None and self._timer is not None:
            self._ask_now(self._timers.time(), SUSPECT_SECONDS)

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look_at(self, when: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._due = when
        self._timer = self._timers.call_at(when, self._look)

    def _look(self) -> None:
        now = self._timers.time()
        if now > self._due + LATE_SECONDS:
            self._heard_at, self._spoke_at, self._dead_at = now, None, None
        if self._dead_at is not None:
            if now >= self._dead_at:
                self.stop()
                self._dead()
            else:
                self._look_at(self._dead_at)
            return
        ask_at = self._heard_at + QUIET_SECONDS
        if self._spoke_at is not None:
            ask_at = min(ask_at, self._spoke_at + SPOKEN_SECONDS)
        if now >= ask_at:
            self._ask_now(now, ANSWER_SECONDS)
        else:
            self._look_at(ask_at)

    def _ask_now(self, now: float, seconds: float) -> None:
        self._dead_at = now + seconds
        self._look_at(self._dead_at)
        self._ask()
