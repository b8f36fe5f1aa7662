"""A client of the realtime protocol over WebTransport for tests, with the face of `Socket`; its loop has a thread of its own."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import threading
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from meadowlark.client.connection import Address
from meadowlark.client.protocol import Hello, Response, Told, encode_request, request_frames, volatile_frames
from meadowlark.client.webtransport import TransportConnection, connect_transport, find_offer

SECONDS = 60.0

Made = TypeVar("Made")


class Transport:
    """One realtime connection that takes datagrams. `ask` sends a request and gives its reply; `pushes` has what was told."""

    def __init__(self, port: int, ns: str, *, context: ssl.SSLContext | None = None, asked_for: str = "") -> None:
        """asked_for: in place of `ns`, as it stands in a query, at the address that is offered for that."""
        self.pushes: list[dict[str, Any]] = []
        self.session = ""
        self.is_over = False
        self._answers: dict[int, dict[str, Any]] = {}
        self._request = 0
        self._heard = threading.Condition()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        try:
            self.connection: TransportConnection = self._run(self._open(port, ns, context, asked_for))
            self.wait(lambda: self.session)
        except BaseException:
            self._stop()
            raise

    async def _open(self, port: int, ns: str, context: ssl.SSLContext | None, asked_for: str) -> TransportConnection:
        offer = await find_offer(Address(f"127.0.0.1:{port}", ns, context is not None), context)
        assert offer is not None, "no WebTransport is offered"
        if asked_for:
            offer.target = offer.target.replace(f"ns={ns}", f"ns={asked_for}")
        return await connect_transport(offer, None, context, self._said, self._over, lambda: None)

    def wait(self, check: Callable[[], Made], seconds: float = SECONDS) -> Made:
        """The first true answer of `check`, asked whenever something was heard."""
        found: list[Made] = []

        def look() -> Made:
            found[:] = [check()]
            return found[0]

        with self._heard:
            assert self._heard.wait_for(look, seconds), f"not within {seconds} s; heard {self.pushes[-3:]}"
        return found[0]

    def ask(self, action: str, body: Any) -> dict[str, Any]:
        self._request += 1
        number = self._request
        self._loop.call_soon_threadsafe(self.connection.send, request_frames(number, encode_request(action, body)))
        self.wait(lambda: number in self._answers or self.is_over)
        return self._answers[number]

    def say(self, path: str, value: Any) -> None:
        """A volatile value twice, over the stream and then in a datagram, which has left when this returns."""

        async def said() -> None:
            for _ in range(2):
                self.connection.send(volatile_frames(path, value))
            assert self.connection._quic is not None
            self.connection._quic.transmit()

        self._run(said())

    def close(self) -> None:
        if self._loop.is_closed():
            return
        self._loop.call_soon_threadsafe(self.connection.close)
        self._run(self.connection.wait_closed())
        self._stop()

    def _run(self, work: Coroutine[Any, Any, Made]) -> Made:
        return asyncio.run_coroutine_threadsafe(asyncio.wait_for(work, SECONDS), self._loop).result(SECONDS)

    def _stop(self) -> None:
        async def settled() -> None:
            """Nothing is open but the loop's own pipe: not even the connection that asked for the offer."""
            while len(self._loop._selector.get_map()) > 1:  # type: ignore[attr-defined]
                await asyncio.sleep(0.001)

        with contextlib.suppress(TimeoutError):
            self._run(settled())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(SECONDS)
        self._loop.close()

    # The connection's calls

    def _said(self, said: Any) -> None:
        with self._heard:
            if isinstance(said, Hello):
                self.session = said.session
            elif isinstance(said, Response):
                self._answers[said.number] = {"s": said.status, "d": said.payload}
            elif isinstance(said, Told):
                self.pushes.append({"a": said.action, "b": said.body})
            self._heard.notify_all()

    def _over(self, reason: str) -> None:
        with self._heard:
            self.is_over = True
            self._heard.notify_all()
