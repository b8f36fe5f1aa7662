"""Where a server may be reached by WebTransport, as it says over HTTP: whole, in pieces, and as no server says it."""

from __future__ import annotations

import asyncio
import json

import pytest

from meadowlark.client.connection import Address
from meadowlark.client.webtransport import Offer, find_offer
from tests.waiting import run

URL = "https://127.0.0.1:4433/.wt?v=5&ns=a"


async def ask(*pieces: bytes, is_endless: bool = False) -> Offer | None:
    """What is made of these pieces, which come one after the other."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        try:
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
                await asyncio.sleep(0.005)
            while is_endless:
                writer.write(b" " * 10_000)
                await writer.drain()
        except ConnectionError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        return await find_offer(Address(f"127.0.0.1:{port}", "a", False), None)


def told(offer: object, status: str = "200 OK") -> bytes:
    return f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\n\r\n{json.dumps(offer)}".encode()


def test_an_offer_may_come_in_any_pieces() -> None:
    async def work() -> None:
        whole = told({"url": URL, "hashes": ["AAEC"]})
        for at in (0, 1, 20, whole.index(b"{"), len(whole) - 1):
            offer = await ask(whole[:at], whole[at:])
            assert offer is not None
            assert (offer.host, offer.port, offer.authority) == ("127.0.0.1", 4433, "127.0.0.1:4433")
            assert (offer.target, offer.hashes) == ("/.wt?v=5&ns=a", [b"\x00\x01\x02"])

    run(work())


@pytest.mark.parametrize(
    "answer",
    [
        told({}),
        told({"url": ""}),
        told({"url": 7}),
        told({"url": ["a"]}),
        told({"url": "https://127.0.0.1:port/"}),
        told({"url": "https://[::1/"}),
        told({"url": "https://127.0.0.1:99999/"}),
        told({"url": URL, "hashes": 7}),
        told({"url": URL, "hashes": ["not base64!"]}),
        told([URL]),
        told({"url": URL}, "404 Not Found"),
        b"HTTP/1.1 200 OK\r\n\r\n{",
        b"HTTP/1.1 200 OK\r\n",
        b"220 mail.example.com ESMTP\r\n",
        b"",
    ],
)
def test_what_is_no_offer_is_none(answer: bytes) -> None:
    async def work() -> None:
        assert await ask(answer) is None

    run(work())


def test_an_answer_without_end_is_not_read_to_it() -> None:
    async def work() -> None:
        assert await ask(b"HTTP/1.1 200 OK\r\n\r\n", is_endless=True) is None
        assert await ask(b"HTTP/1.1 200 OK\r\nX: ", is_endless=True) is None

    run(work())
