"""A database as a program sees it: connects, comes back, and turns what is awaited into requests of the core.

    async with Database("http://127.0.0.1:9000?ns=demo") as database:
        tasks = database.ref("tasks")
        await tasks.push({"title": "Buy milk"})
        async for snapshot in tasks.values():
            print(snapshot.value)

While there is no connection, writes and reads wait, and listeners see our own writes. It is tried again after
RETRY_SECONDS_MIN, then less often, with some chance in between so that a thousand clients do not come at once. Only a connection
that stood for STEADY_SECONDS makes the next one come quickly again, whatever ended the others.
"""

from __future__ import annotations

import asyncio
import logging
import random
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from picows import WSError

from meadowlark.client.connection import CONNECT_SECONDS, Connection, connect, parse_address
from meadowlark.client.core import DISCONNECTED, Core, Done
from meadowlark.client.errors import Closed, Contended, Denied, OutcomeUnknown
from meadowlark.client.listening import EventQueue, Listening, iterate
from meadowlark.client.mirror import Event, Listener, Write, parse_write
from meadowlark.client.protocol import Ended, Hello, Moved, Said
from meadowlark.client.reference import Readable, Reference, Snapshot, with_priority
from meadowlark.client.turns import Turns
from meadowlark.ids import PushIds
from meadowlark.limits import VOLATILE_RATE_MAX, VOLATILE_RATE_MIN
from meadowlark.tree import PRIORITY, Path, format_path, node_hash, parse_path, plain, priority_of

if TYPE_CHECKING:
    from meadowlark.client.webtransport import TransportConnection

_logger = logging.getLogger("meadowlark.client")

RETRY_SECONDS_MIN = 0.2
RETRY_SECONDS_MAX = 30.0
RETRY_FACTOR = 1.5
STEADY_SECONDS = 2.0
EAGER_ATTEMPTS = 5
CONTENDED_SECONDS_MAX = 0.2
"""A transaction that was overtaken more often waits some part of this, so that many at one place get out of each other's way."""
TOKEN_SECONDS = 30.0
"""For a callback that gives a token."""
HELLO_SECONDS = 10.0
"""From a connection to the server's first word."""

TRANSPORT_SECONDS = 0.6
"""For a WebTransport to be open, from asking where; then a WebSocket is tried."""
WITHOUT_TRANSPORT_SECONDS = 300.0
"""For which nothing else is, then."""

Transport = Literal["webtransport", "websocket"]

Token = str | Callable[[bool], Awaitable[str | None]]
"""A credential, or a function that gives one. It is asked at each connection, with True when the last one was refused."""


def _report(message: str, error: Exception | None = None) -> None:
    """What nobody waits for is the loop's to report."""
    context: dict[str, Any] = {"message": message}
    if error is not None:
        context["exception"] = error
    asyncio.get_running_loop().call_exception_handler(context)


class Abort:
    """See ABORT."""

    def __repr__(self) -> str:
        return "ABORT"


ABORT = Abort()
"""What a transaction's function returns to leave everything as it is."""


class Database:
    """One client of one database. All methods belong to one event loop."""

    def __init__(
        self,
        url: str,
        *,
        token: Token | None = None,
        tls: ssl.SSLContext | None = None,
        transports: Sequence[Transport] = ("websocket",),
    ) -> None:
        """url: `http(s)://HOST[:PORT]?ns=NAME`. token: the credential. transports: what may carry the connection; with both, that
        is a WebTransport where the server has it and UDP comes through. Raises ValueError for what is no such URL."""
        self._address = parse_address(url)
        self._transports = frozenset(transports)
        if not self._transports or not self._transports <= {"webtransport", "websocket"}:
            raise ValueError(f"transports are {list(transports)}; expected webtransport, websocket, or both")
        self._without_transport_until = 0.0
        """Until when, by the monotonic clock, only WebSockets are tried, since the other did not come through."""
        self._token = token
        self._tls = tls
        self._host: str | None = None
        self._core = Core(lambda: time.time_ns() // 1_000_000)
        self._core.on_auth_revoked = self._auth_revoked
        self._core.on_remark = _report
        self._core.on_warning = _logger.warning
        self._turns = Turns()
        self._push_ids = PushIds(random.SystemRandom().randrange)
        self._connection: Connection | TransportConnection | None = None
        self._task: asyncio.Task[None] | None = None
        self._over: asyncio.Future[str] | None = None
        self._hello: asyncio.Future[Hello] | None = None
        self._is_flush_due = False
        self._must_refresh = False
        self._wants_connection = asyncio.Event()
        self._wants_connection.set()
        self._connected = asyncio.Event()
        self._state_listeners: list[Callable[[bool], object]] = []
        self._final: Exception | None = None
        """Why there will never be a connection again."""

    async def __aenter__(self) -> Database:
        self.start()
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.close()

    def start(self) -> None:
        """Begins to connect; for who does not use `async with`."""
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._stay_connected())

    async def close(self) -> None:
        """Ends the connection and everything that waits."""
        self._end(Closed("the database was closed"))
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    # Places

    def ref(self, path: str = "") -> Reference:
        return Reference(self, parse_path(path))

    # The connection

    def set_volatile_rate(self, per_second: float) -> None:
        """Asks to be told of volatile values so often a second at most, of each place the last: for who draws no faster, or has a
        thin line. 0: of each at once, as far as the server allows. Raises ValueError for a rate that no server grants."""
        if per_second and not VOLATILE_RATE_MIN <= per_second <= VOLATILE_RATE_MAX:
            raise ValueError(f"a rate is 0, or from {VOLATILE_RATE_MIN:g} to {VOLATILE_RATE_MAX:g} a second, not {per_second}")
        self._core.set_volatile_rate(per_second)
        self._flush_soon()

    @property
    def is_connected(self) -> bool:
        """Whether the server has been heard on the present connection, which is alive as of some seconds ago."""
        return self._connected.is_set()

    async def wait_connected(self) -> None:
        """Returns when there is a connection. Raises Closed if there never will be."""
        waiting = asyncio.ensure_future(self._connected.wait())
        try:
            while not self._connected.is_set():
                if self._final is not None:
                    raise self._final
                await asyncio.wait([waiting], timeout=0.2)
        finally:
            waiting.cancel()

    def on_connection(self, callback: Callable[[bool], object]) -> Callable[[], None]:
        """Calls back with whether there is a connection, now and at each change. Returns what stops that."""
        self._state_listeners.append(callback)
        callback(self.is_connected)
        return lambda: self._state_listeners.remove(callback) if callback in self._state_listeners else None

    def go_offline(self) -> None:
        """Ends the connection until `go_online`."""
        self._wants_connection.clear()
        if self._connection is not None:
            self._connection.close()

    def go_online(self) -> None:
        self._wants_connection.set()

    @property
    def server_time_ms(self) -> int:
        """The server's time, as far as the last hello tells."""
        return self._core.server_ms()

    async def authenticate(self, token: Token | None) -> None:
        """Goes on as whoever `token` names, on this connection and later ones; None: as nobody. Raises Denied."""
        self._token = token
        if self._core.is_open:
            credential = await self._credential()
            if credential is None:
                await self._ask((), self._core.unauthenticate)
            else:
                await self._ask((), lambda done: self._core.authenticate(credential, done))

    async def _stay_connected(self) -> None:
        pause = RETRY_SECONDS_MIN
        while True:
            await self._wants_connection.wait()
            try:
                if await self._connect_once() > STEADY_SECONDS:
                    pause = RETRY_SECONDS_MIN
            except Exception as error:
                self._host = None  # It may not be what it was.
                if not isinstance(error, (OSError, TimeoutError, WSError)):
                    _report("connecting failed as it never should; it is tried again", error)
            if self._final is not None:
                return
            await asyncio.sleep(pause * (0.5 + random.random()))
            pause = min(pause * RETRY_FACTOR, RETRY_SECONDS_MAX)

    async def _connect_once(self) -> float:
        """Connects, and returns when that connection is over: for how many seconds it was one."""
        loop = asyncio.get_running_loop()
        token, credential = self._token, await self._credential_in_time()
        over = self._over = loop.create_future()
        hello = self._hello = loop.create_future()
        connection = await self._open()
        try:
            await asyncio.wait([over, hello], timeout=HELLO_SECONDS, return_when=asyncio.FIRST_COMPLETED)
            if not hello.done():
                return 0.0
            while token is not self._token:  # `authenticate` was called meanwhile.
                token, credential = self._token, await self._credential_in_time()
            self._connection = connection
            if not isinstance(connection, Connection):
                self._without_transport_until = 0.0
            self._core.opened(hello.result(), credential, self._auth_answered)
            self._flush_soon()
            self._announce(True)
            began_at = loop.time()
            await over
            return loop.time() - began_at
        finally:
            self._connection = None
            connection.close()
            if self._core.is_open:
                self._core.lost()
            self._announce(False)
            if self._final is not None and not isinstance(connection, Connection):
                await connection.wait_closed()

    async def _open(self) -> Connection | TransportConnection:
        if "webtransport" in self._transports:
            connection = await self._open_transport()
            if connection is not None:
                return connection
        url = self._address.url(self._host, self._core.session)
        return await connect(url, self._tls, self._said, self._break, self._flush_soon)

    async def _open_transport(self) -> TransportConnection | None:
        """None where a WebSocket may do as well, and has to."""
        from meadowlark.client.webtransport import connect_transport, find_offer  # Only who uses it pays for it.

        may_fall_back = "websocket" in self._transports
        if may_fall_back and time.monotonic() < self._without_transport_until:
            return None
        try:
            async with asyncio.timeout(TRANSPORT_SECONDS if may_fall_back else CONNECT_SECONDS):
                offer = await find_offer(self._address, self._tls)
                if offer is not None:
                    self._without_transport_until = time.monotonic() + WITHOUT_TRANSPORT_SECONDS  # Unless it comes through.
                    return await connect_transport(
                        offer, self._core.session, self._tls, self._said, self._break, self._flush_soon
                    )
        except (OSError, TimeoutError):
            if not may_fall_back:
                raise
        if not may_fall_back:
            raise ConnectionError("the server offers no WebTransport")
        return None

    def _said(self, said: Said) -> None:
        if type(said) is Hello:
            if self._hello is not None and not self._hello.done():
                self._hello.set_result(said)
                # What follows in the same read must find the core open: it is opened by the task, one turn later.
            return
        if type(said) is Moved:
            self._host = said.host
            self._break()
        elif type(said) is Ended:
            self._end(Closed(f"the server will not serve this database: {said.reason}"))
        elif self._core.is_open:
            try:
                self._core.said(said)
            except Exception as error:
                _report("the server said what cannot be; the connection is made anew", error)
                self._core.lost()
                self._break()
            self._flush_soon()

    def _break(self, reason: str = "") -> None:
        """The present connection is over."""
        if self._over is not None and not self._over.done():
            self._over.set_result(reason)

    def _end(self, error: Exception) -> None:
        """There will be no connection any more."""
        if self._final is None:
            self._final = error
            self._core.fail_all(str(error))
        self._break()

    async def _credential(self) -> str | None:
        token = self._token
        if token is None or isinstance(token, str):
            return token
        must_refresh, self._must_refresh = self._must_refresh, False
        return await token(must_refresh)

    async def _credential_in_time(self) -> str | None:
        """Whatever becomes of a user's callback, it is asked again, and the connection's task goes on."""
        was_refused = self._must_refresh
        try:
            async with asyncio.timeout(TOKEN_SECONDS):
                return await self._credential()
        except Exception as error:
            self._must_refresh = was_refused
            _report("the callback gave no token; it is asked again", error)
            raise ConnectionError("no token") from None

    def _auth_answered(self, status: str, payload: Any) -> None:
        if status in ("ok", DISCONNECTED):
            return
        if callable(self._token):
            self._refresh()
        else:
            _report(f"the credential was refused, what follows is done as nobody: {status} {payload or ''}")

    def _auth_revoked(self, text: str) -> None:
        self._refresh()

    def _refresh(self) -> None:
        """Begins anew with another credential. Answers that come yet are to requests of nobody: those are asked again instead."""
        self._must_refresh = True
        if self._core.is_open:
            self._core.lost()
        self._break()

    def _announce(self, is_connected: bool) -> None:
        if is_connected == self._connected.is_set():
            return
        if is_connected:
            self._connected.set()
        else:
            self._connected.clear()
        for callback in list(self._state_listeners):
            self._call(callback, is_connected)

    def _flush_soon(self) -> None:
        if not self._is_flush_due:
            self._is_flush_due = True
            asyncio.get_running_loop().call_soon(self._flush)

    def _flush(self) -> None:
        self._is_flush_due = False
        connection, outgoing = self._connection, self._core.outgoing
        while connection is not None and not connection.is_full and (frames := outgoing.take()):
            connection.send(frames)

    def _call(self, callback: Callable[[Any], object], value: Any) -> None:
        """A user's callback; its faults are the loop's to report."""
        try:
            callback(value)
        except Exception as error:
            _report("a listener failed", error)

    # What references ask

    def _make_push_id(self) -> str:
        return self._push_ids.make(self._core.server_ms())

    async def _ask(self, path: Path, begin: Callable[[Done], None]) -> Any:
        """What the server answers to what `begin` asks. Raises Denied, OutcomeUnknown, Overfull, Closed."""
        if self._final is not None:
            raise self._final
        answered: asyncio.Future[tuple[str, Any]] = asyncio.get_running_loop().create_future()

        def done(status: str, payload: Any) -> None:
            if not answered.done():
                answered.set_result((status, payload))

        begin(done)
        self._flush_soon()
        try:
            status, payload = await answered
        finally:
            if not answered.done() or answered.cancelled():
                self._core.drop(done)
        if status == "ok":
            return payload
        if self._final is not None:
            raise self._final
        text = payload if isinstance(payload, str) else ""
        if status == DISCONNECTED:
            raise OutcomeUnknown(f"{format_path(path)}: {text}")
        raise Denied(status, text, format_path(path))

    async def _set(self, path: Path, value: Any) -> None:
        await self._ask(path, lambda done: self._core.set(path, value, done))

    def _set_volatile(self, path: Path, value: Any) -> bool:
        is_sent = self._core.set_volatile(path, value)
        self._flush_soon()
        return is_sent

    async def _update(self, path: Path, children: dict[str, Any]) -> None:
        await self._ask(path, lambda done: self._core.update(path, children, done))

    async def _on_disconnect(self, action: str, path: Path, value: Any) -> None:
        await self._ask(path, lambda done: self._core.on_disconnect(action, path, value, done))

    async def _get(self, place: Readable) -> Snapshot:
        reference = Reference(self, place._path)
        is_known, node = self._core.find_known(place._path, place._query)
        if not is_known:
            node = await self._ask(place._path, lambda done: self._core.get(place._path, place._query, done))
        return Snapshot(reference, node, place._query)

    def _listen(
        self,
        place: Readable,
        kinds: tuple[str, ...],
        told: Callable[[Event], None],
        error: Callable[[Exception], object] | None,
    ) -> Listening:
        def ended(status: str, text: str) -> None:
            fault = self._final or Denied(status, text, format_path(place._path))
            if error is not None:
                self._call(error, fault)
            elif not isinstance(fault, Closed):
                _report("a listen was ended by the server", fault)

        listener = Listener(frozenset(kinds), lambda event: self._call(told, event), ended)
        view = self._core.listen(place._path, place._query, listener)
        self._flush_soon()
        return Listening(self, view, listener)

    def _unlisten(self, view: Any, listener: Listener) -> None:
        self._core.unlisten(view, listener)
        if self._task is not None:
            self._flush_soon()

    def _iterate(
        self, place: Readable, kinds: tuple[str, ...], make: Callable[[Event], Any], *, is_latest_only: bool
    ) -> AsyncIterator[Any]:
        def listen(queue: EventQueue) -> Listening:
            return self._listen(place, kinds, queue.put, queue.end)

        return iterate(listen, make, is_latest_only=is_latest_only)

    async def _transact(
        self, reference: Reference, update: Callable[[Any], Any], *, apply_locally: bool, attempts: int
    ) -> tuple[bool, Snapshot]:
        path = reference._path
        async with self._turns.take(path):
            return await self._transact_alone(reference, update, apply_locally=apply_locally, attempts=attempts)

    async def _transact_alone(
        self, reference: Reference, update: Callable[[Any], Any], *, apply_locally: bool, attempts: int
    ) -> tuple[bool, Snapshot]:
        path = reference._path
        known: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def heard(event: Event) -> None:
            if not known.done():
                known.set_result(None)

        def refused(error: Exception) -> None:
            if not known.done():
                known.set_exception(error)

        with self._listen(reference, ("value",), heard, refused) as listening:
            await known
            for attempt in range(attempts):
                if attempt > EAGER_ATTEMPTS:
                    await asyncio.sleep(random.random() * CONTENDED_SECONDS_MAX)
                _, before = self._core.mirror.overlaid(listening.view, with_hidden=True)
                value = update(plain(before))
                if value is ABORT:
                    return False, Snapshot(reference, before)
                priority = priority_of(before)
                if priority is not None and not (isinstance(value, dict) and PRIORITY in value):
                    value = with_priority(value, priority)
                write = Write(path, [(path, parse_write(path, value))], is_hidden=not apply_locally)
                begin = partial(self._core.compare_and_set, write, value, node_hash(before))
                try:
                    await self._ask(path, begin)
                except Denied as denied:
                    if denied.status != "datastale":
                        raise
                    continue
                _, after = self._core.mirror.overlaid(listening.view)
                return True, Snapshot(reference, after)
        raise Contended(f"{format_path(path)}: others wrote here {attempts} times while the transaction tried to")


__all__ = ["ABORT", "Database"]
