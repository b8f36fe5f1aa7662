"""The writing half of a connection: what is written leaves as fast as the client takes it.

Does not know: what is written. Invariant: `write_slowly` returns however the connection ends.
"""

from __future__ import annotations

import asyncio


class Pipe:
    """Writes to one transport, from `open` until `forget`."""

    __slots__ = ("_transport", "_writable", "is_paused")

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._writable: asyncio.Future[None] | None = None
        """Done when the transport takes again or is gone; made by who waits for it."""
        self.is_paused = False
        """Whether the transport wants nothing more for now."""

    def open(self, transport: asyncio.Transport) -> None:
        self._transport = transport

    def forget(self) -> None:
        """There is no transport any more: what is written from now on is dropped."""
        self._transport = None
        self._wake()

    def write(self, data: bytes) -> None:
        if self._transport is not None:
            self._transport.write(data)

    async def write_slowly(self, data: bytes) -> bool:
        """Writes, then waits until the transport takes more, a loop turn at least. False: the connection has gone."""
        self.write(data)
        if self.is_paused and self._transport is not None:
            self._writable = asyncio.get_running_loop().create_future()
            await self._writable
            self._writable = None
        else:
            await asyncio.sleep(0)
        return self._transport is not None

    def pause(self) -> None:
        self.is_paused = True

    def resume(self) -> None:
        self.is_paused = False
        self._wake()

    def _wake(self) -> None:
        if self._writable is not None and not self._writable.done():
            self._writable.set_result(None)
