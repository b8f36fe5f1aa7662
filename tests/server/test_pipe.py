"""The writing half of a connection."""

from __future__ import annotations

import asyncio
from typing import cast

from meadowlark.server.pipe import Pipe


class _Transport:
    def __init__(self) -> None:
        self.written: list[bytes] = []

    def write(self, data: bytes) -> None:
        self.written.append(data)


def opened() -> tuple[Pipe, _Transport]:
    pipe, transport = Pipe(), _Transport()
    pipe.open(cast(asyncio.Transport, transport))
    return pipe, transport


def test_writing_slowly_waits_while_the_transport_is_paused() -> None:
    async def test() -> None:
        pipe, transport = opened()
        assert await pipe.write_slowly(b"a")
        pipe.pause()
        waiting = asyncio.ensure_future(pipe.write_slowly(b"b"))
        for _ in range(5):
            await asyncio.sleep(0)
        assert (transport.written, waiting.done()) == ([b"a", b"b"], False)
        pipe.resume()
        assert await waiting

    asyncio.run(test())


def test_whoever_waits_learns_that_the_connection_has_gone() -> None:
    async def test() -> None:
        pipe, transport = opened()
        pipe.pause()
        waiting = asyncio.ensure_future(pipe.write_slowly(b"a"))
        await asyncio.sleep(0)
        pipe.forget()
        assert not await waiting
        assert not await pipe.write_slowly(b"b")
        assert transport.written == [b"a"]

    asyncio.run(test())
