"""A thin blocking face of the client, for scripts: the same database on a loop in a thread of its own.

    with Database("http://127.0.0.1:9000?ns=demo") as database:
        database.ref("visits").transaction(lambda count: (count or 0) + 1)

Listeners are called on that thread. Whoever needs many things at once is better served by the asynchronous client.
"""

from __future__ import annotations

import asyncio
import ssl
import threading
from collections.abc import Callable, Coroutine, Iterator, Mapping
from typing import Any, TypeVar

from meadowlark.client import database as asynchronous
from meadowlark.client.listening import Listening
from meadowlark.client.reference import ChildEvent, Readable, Snapshot
from meadowlark.client.reference import Reference as AsyncReference

Result = TypeVar("Result")


class Database:
    """One client of one database."""

    def __init__(
        self, url: str, *, token: str | None = None, tls: ssl.SSLContext | None = None, timeout: float | None = 30.0
    ) -> None:
        """timeout: seconds that each call may take, after which it raises TimeoutError; None: as long as it takes."""
        self._timeout = timeout
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="meadowlark client", daemon=True)
        self._database = asynchronous.Database(url, token=token, tls=tls)
        self._is_closed = False
        self._thread.start()
        self._loop.call_soon_threadsafe(self._database.start)

    def __enter__(self) -> Database:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Ends the connection and the thread."""
        if self._is_closed:
            return
        self._is_closed = True
        self._run(self._database.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5.0)
        self._loop.close()

    def ref(self, path: str = "") -> Reference:
        return Reference(self, self._database.ref(path))

    def _run(self, work: Coroutine[Any, Any, Result]) -> Result:
        async def bounded() -> Result:
            async with asyncio.timeout(self._timeout):
                return await work

        return asyncio.run_coroutine_threadsafe(bounded(), self._loop).result()

    def _call(self, function: Callable[[], Result]) -> Result:
        """What `function` gives on the loop's thread, to which the client belongs."""

        async def call() -> Result:
            return function()

        return self._run(call())


class Reference:
    """A place in the tree, or a query of one (`where`)."""

    def __init__(self, database: Database, place: AsyncReference, query: Readable | None = None) -> None:
        self._database = database
        self._place = place
        self._query = query or place

    @property
    def key(self) -> str | None:
        return self._place.key

    @property
    def path(self) -> str:
        return self._place.path

    def child(self, path: str) -> Reference:
        return Reference(self._database, self._place.child(path))

    def where(self, refine: Callable[[Readable], Readable]) -> Reference:
        """The same place with a query: `.where(lambda scores: scores.order_by_value().limit_to_last(3))`."""
        return Reference(self._database, self._place, refine(self._query))

    def get(self) -> Snapshot:
        return self._database._run(self._query.get())

    def set(self, value: Any, *, priority: int | float | str | None = None) -> None:
        self._database._run(self._place.set(value, priority=priority))

    def update(self, children: Mapping[str, Any]) -> None:
        self._database._run(self._place.update(children))

    def remove(self) -> None:
        self._database._run(self._place.remove())

    def push(self, value: Any = None) -> Reference:
        return Reference(self._database, self._database._run(self._place.push(value)))

    def transaction(self, update: Callable[[Any], Any], *, attempts: int = 100) -> tuple[bool, Snapshot]:
        return self._database._run(self._place.transaction(update, attempts=attempts))

    def on_value(self, callback: Callable[[Snapshot], object]) -> Stopper:
        return Stopper(self._database, self._database._call(lambda: self._query.on_value(callback)))

    def on_child(self, callback: Callable[[ChildEvent], object]) -> Stopper:
        return Stopper(self._database, self._database._call(lambda: self._query.on_child(callback)))

    def values(self) -> Iterator[Snapshot]:
        """What is there, and again after each change; waits as long as it takes."""
        waiting = self._query.values()
        try:
            while True:
                yield asyncio.run_coroutine_threadsafe(_next(waiting), self._database._loop).result()
        finally:
            if not self._database._is_closed:
                self._database._run(waiting.aclose())  # type: ignore[attr-defined]  # it is an asynchronous generator


class Stopper:
    """A listener at work."""

    def __init__(self, database: Database, listening: Listening) -> None:
        self._database = database
        self._listening = listening

    def stop(self) -> None:
        self._database._call(self._listening.stop)

    def __enter__(self) -> Stopper:
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()


async def _next(iterator: Any) -> Any:
    return await anext(iterator)
