"""One listener of a user: how it hears, and how it stops."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, Any

from meadowlark.client.errors import ClientError, TooSlow
from meadowlark.client.mirror import Event, Listener, View

if TYPE_CHECKING:
    from meadowlark.client.database import Database

WAITING_EVENTS_MAX = 100_000
"""Events of children that may wait for one iterator."""


class Listening:
    """A listener at work. `stop` ends it; so does leaving a `with` block."""

    __slots__ = ("_database", "_listener", "view")

    def __init__(self, database: Database, view: View, listener: Listener) -> None:
        self._database = database
        self.view = view
        self._listener = listener

    def stop(self) -> None:
        """Nothing is heard any more. Stopping twice is allowed."""
        self._database._unlisten(self.view, self._listener)

    def __enter__(self) -> Listening:
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()


class EventQueue:
    """Events on their way to an iterator: all of them, or only the latest."""

    def __init__(self, *, is_latest_only: bool) -> None:
        self._waiting: deque[Event] = deque(maxlen=1 if is_latest_only else None)
        self._error: Exception | None = None
        self._wake = asyncio.Event()

    def put(self, event: Event) -> None:
        if len(self._waiting) >= WAITING_EVENTS_MAX:
            self.end(TooSlow(f"more than {WAITING_EVENTS_MAX} events wait: take them faster, or listen to values"))
        elif self._error is None:
            self._waiting.append(event)
            self._wake.set()

    def end(self, error: Exception) -> None:
        """Nothing comes any more; what waits is still taken, then `error` is raised."""
        self._error = self._error or error
        self._wake.set()

    async def take(self) -> Event:
        while not self._waiting:
            if self._error is not None:
                raise self._error
            self._wake.clear()
            await self._wake.wait()
        return self._waiting.popleft()


async def iterate(
    listen: Callable[[EventQueue], Listening], make: Callable[[Event], Any], *, is_latest_only: bool
) -> AsyncIterator[Any]:
    """Listens while somebody iterates."""
    queue = EventQueue(is_latest_only=is_latest_only)
    listening = listen(queue)
    try:
        while True:
            yield make(await queue.take())
    finally:
        listening.stop()


__all__ = ["ClientError", "EventQueue", "Listening", "iterate"]
