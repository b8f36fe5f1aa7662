"""A thin blocking face of the client, for scripts: the same database on a loop in a thread of its own.

    with Database("http://127.0.0.1:9000?ns=demo") as database:
        database.ref("visits").transaction(lambda count: (count or 0) + 1)

Listeners are called on that thread, and must not wait there for what only it can bring: a call that would is refused. Whoever
needs many things at once is better served by the asynchronous client.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from meadowlark.client import database as asynchronous
from meadowlark.client.database import Transport
from meadowlark.client.listening import Listening
from meadowlark.client.reference import CHILD_KINDS, ChildEvent, Readable, Snapshot
from meadowlark.client.reference import OnDisconnect as AsyncOnDisconnect
from meadowlark.client.reference import Reference as AsyncReference

Result = TypeVar("Result")

Token = str | Callable[[bool], str | None]
"""A credential, or a function that gives one, called on a thread of its own with True when the last one was refused."""


class Database:
    """One client of one database."""

    def __init__(
        self,
        url: str,
        *,
        token: Token | None = None,
        tls: ssl.SSLContext | None = None,
        transports: Sequence[Transport] = ("websocket",),
        timeout: float | None = 30.0,
    ) -> None:
        """timeout: seconds that each call may take, after which it raises TimeoutError; None: as long as it takes. The others are
        those of the asynchronous client."""
        self._timeout = timeout
        self._database = asynchronous.Database(url, token=_asynchronous(token), tls=tls, transports=transports)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="meadowlark client", daemon=True)
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

    def authenticate(self, token: Token | None) -> None:
        """Goes on as whoever `token` names; None: as nobody. Raises Denied."""
        self._run(self._database.authenticate(_asynchronous(token)))

    @property
    def is_connected(self) -> bool:
        return self._database.is_connected

    def wait_connected(self) -> None:
        """Returns when there is a connection. Raises Closed if there never will be."""
        self._run(self._database.wait_connected())

    def on_connection(self, callback: Callable[[bool], object]) -> Callable[[], None]:
        """Calls back with whether there is a connection, now and at each change. Returns what stops that."""
        stop = self._call(lambda: self._database.on_connection(callback))
        return lambda: self._call(stop)

    def go_offline(self) -> None:
        """Ends the connection until `go_online`."""
        self._call(self._database.go_offline)

    def go_online(self) -> None:
        self._call(self._database.go_online)

    def set_volatile_rate(self, per_second: float) -> None:
        """Asks to be told of volatile values so often a second at most; 0: of each at once."""
        self._call(lambda: self._database.set_volatile_rate(per_second))

    @property
    def server_time_ms(self) -> int:
        return self._database.server_time_ms

    def _run(self, work: Coroutine[Any, Any, Result], *, is_bounded: bool = True) -> Result:
        if threading.current_thread() is self._thread:
            work.close()
            raise RuntimeError("called from a listener, which would wait for itself: do it on another thread")

        async def bounded() -> Result:
            async with asyncio.timeout(self._timeout if is_bounded else None):
                return await work

        running = asyncio.run_coroutine_threadsafe(bounded(), self._loop)
        try:
            return running.result()
        finally:
            running.cancel()  # Where this thread was interrupted: nobody waits for it any more. Else it is done.

    def _call(self, function: Callable[[], Result]) -> Result:
        """What `function` gives on the loop's thread, to which the client belongs."""
        if threading.current_thread() is self._thread:
            return function()

        async def call() -> Result:
            return function()

        return self._run(call())

    def _iterate(self, iterator: AsyncIterator[Result]) -> Iterator[Result]:
        async def take() -> Result:
            return await anext(iterator)

        try:
            while True:
                yield self._run(take(), is_bounded=False)
        finally:
            if not self._is_closed:
                self._run(iterator.aclose())  # type: ignore[attr-defined]  # it is an asynchronous generator


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

    @property
    def parent(self) -> Reference | None:
        parent = self._place.parent
        return None if parent is None else Reference(self._database, parent)

    def child(self, path: str) -> Reference:
        return Reference(self._database, self._place.child(path))

    def __truediv__(self, path: str) -> Reference:
        return self.child(path)

    def where(self, refine: Callable[[Readable], Readable]) -> Reference:
        """The same place with a query: `.where(lambda scores: scores.order_by_value().limit_to_last(3))`."""
        return Reference(self._database, self._place, refine(self._query))

    def get(self) -> Snapshot:
        return self._database._run(self._query.get())

    def set(self, value: Any, *, priority: int | float | str | None = None) -> None:
        self._database._run(self._place.set(value, priority=priority))

    def set_priority(self, priority: int | float | str | None) -> None:
        self._database._run(self._place.set_priority(priority))

    def set_volatile(self, value: Any) -> bool:
        """A value that only matters now; False where it is not sent."""
        return self._database._call(lambda: self._place.set_volatile(value))

    def update(self, children: Mapping[str, Any]) -> None:
        self._database._run(self._place.update(children))

    def remove(self) -> None:
        self._database._run(self._place.remove())

    def push(self, value: Any = None) -> Reference:
        return Reference(self._database, self._database._run(self._place.push(value)))

    def transaction(
        self, update: Callable[[Any], Any], *, apply_locally: bool = True, attempts: int = 100
    ) -> tuple[bool, Snapshot]:
        """`update` is called on the client's thread."""
        return self._database._run(self._place.transaction(update, apply_locally=apply_locally, attempts=attempts))

    @property
    def on_disconnect(self) -> OnDisconnect:
        """What the server shall do here when this client's connection ends, however it does."""
        return OnDisconnect(self._database, self._place.on_disconnect)

    def on_value(self, callback: Callable[[Snapshot], object], *, error: Callable[[Exception], object] | None = None) -> Stopper:
        return Stopper(self._database, self._database._call(lambda: self._query.on_value(callback, error=error)))

    def on_child(
        self,
        callback: Callable[[ChildEvent], object],
        *,
        kinds: tuple[str, ...] = CHILD_KINDS,
        error: Callable[[Exception], object] | None = None,
    ) -> Stopper:
        return Stopper(self._database, self._database._call(lambda: self._query.on_child(callback, kinds=kinds, error=error)))

    def values(self) -> Iterator[Snapshot]:
        """What is there, and again after each change; waits as long as it takes."""
        return self._database._iterate(self._query.values())

    def children(self, kinds: tuple[str, ...] = CHILD_KINDS) -> Iterator[ChildEvent]:
        """Each event of a child, none left out; waits as long as it takes. Raises TooSlow for who lets too many wait."""
        return self._database._iterate(self._query.children(kinds))


class OnDisconnect:
    """Each call returns when the server has taken it. They hold for the present connection; make them again on the next."""

    def __init__(self, database: Database, there: AsyncOnDisconnect) -> None:
        self._database = database
        self._there = there

    def set(self, value: Any, *, priority: int | float | str | None = None) -> None:
        self._database._run(self._there.set(value, priority=priority))

    def update(self, children: Mapping[str, Any]) -> None:
        self._database._run(self._there.update(children))

    def remove(self) -> None:
        self._database._run(self._there.remove())

    def cancel(self) -> None:
        """Forgets what was asked here and below."""
        self._database._run(self._there.cancel())


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


def _asynchronous(token: Token | None) -> asynchronous.Token | None:
    """`token` as the loop can wait for it: not even one that hangs keeps it, or the program's end, waiting."""
    if token is None or isinstance(token, str):
        return token

    def ask(must_refresh: bool) -> Awaitable[str | None]:
        loop = asyncio.get_running_loop()
        given: asyncio.Future[str | None] = loop.create_future()

        def give(result: str | None, error: Exception | None) -> None:
            if given.done():
                return  # Nobody waits any more.
            if error is None:
                given.set_result(result)
            else:
                given.set_exception(error)

        def work() -> None:
            result, error = None, None
            try:
                result = token(must_refresh)
            except Exception as fault:
                error = fault
            with contextlib.suppress(RuntimeError):  # The loop was closed meanwhile.
                loop.call_soon_threadsafe(give, result, error)

        threading.Thread(target=work, name="meadowlark token", daemon=True).start()
        return given

    return ask
