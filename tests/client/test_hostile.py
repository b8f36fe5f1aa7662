"""Servers that are broken or mean: whatever they do, the client tries again, keeps what it was given to do, and does not grow."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from meadowlark.client import Closed, Database, Denied, connection, database, protocol
from tests.client.far import GREETING, End, far_end
from tests.waiting import run

BAD_ENDS = 3
"""Connections that go wrong before one is as it should be."""


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "RETRY_SECONDS_MIN", 0.01)
    monkeypatch.setattr(database, "RETRY_SECONDS_MAX", 0.05)


def pushed(body: Any, action: str = "d") -> dict[str, Any]:
    return {"t": "d", "d": {"a": action, "b": body}}


def deep(levels: int) -> bytes:
    return b'{"t":"d","d":{"a":"d","b":{"p":"a","d":' + b'{"x":' * levels + b"1" + b"}" * levels + b"}}}"


SAID: dict[str, Any] = {
    "no JSON": b"{",
    "no object": b"[1, 2]",
    "no path": pushed({"d": 1}),
    "a path that is a number": pushed({"p": 7, "d": 1}),
    "a path that cannot be": pushed({"p": "a/b.c#", "d": 1}),
    "a tag that is a list": pushed({"p": "a", "d": 1, "t": [1]}),
    "a merge of nothing that can be": pushed({"p": "a", "d": 7}, "m"),
    "a merge at places that cannot be": pushed({"p": "a", "d": {"b.c": 1, "": 2}}, "m"),
    "a listen that is ended nowhere": pushed({}, "c"),
    "a query that is none is ended": pushed({"p": "a", "q": [{"l": "x"}]}, "c"),
    "a value as deep as none": deep(200),
    "a value deeper than can be read": deep(5000),
    "the body of an answer that is none": {"t": "d", "d": {"r": 1, "b": None}},
    "a control message that is none": {"t": "c", "d": None},
    "a database that moved nowhere": {"t": "c", "d": {"t": "r", "d": "http://[::1/"}},
    "a database that moved to where nobody is": {"t": "c", "d": {"t": "r", "d": "127.0.0.1:1"}},
}


async def says(end: End, message: Any) -> None:
    await end.shake_hands()
    end.say(GREETING)
    end.answers = False
    await asyncio.sleep(0.01)  # What is said with the greeting is not listened to: nothing was asked yet.
    end.say(message)
    await end.listen()


async def never_greets(end: End) -> None:
    await end.shake_hands()
    await end.reader.read()


async def never_shakes_hands(end: End) -> None:
    await end.reader.read(1)
    await asyncio.sleep(30)


async def is_no_web_server(end: End) -> None:
    end.writer.write(b"220 mail.example.com ESMTP\r\n\r\n" * 10)
    await end.reader.read()


async def has_endless_headers(end: End) -> None:
    end.writer.write(b"HTTP/1.1 101 Switching Protocols\r\n")
    while True:
        end.writer.write(b"X-Name: " + b"x" * 10_000 + b"\r\n")
        await end.writer.drain()


async def redirects_for_ever(end: End) -> None:
    head = f"HTTP/1.1 302 Found\r\nLocation: ws://127.0.0.1:{end.far.port}/.ws?v=5\r\nContent-Length: 0\r\n\r\n"
    end.writer.write(head.encode())
    await end.reader.read(10)
    end.writer.close()


async def redirects_to_nowhere(end: End) -> None:
    end.writer.write(b"HTTP/1.1 302 Found\r\nLocation: ws://[::1/\r\nContent-Length: 0\r\n\r\n")
    await end.reader.read(10)
    end.writer.close()


async def moves_for_ever(end: End) -> None:
    await says(end, {"t": "c", "d": {"t": "r", "d": f"127.0.0.1:{end.far.port}"}})


async def closes_in_mid_message(end: End) -> None:
    await end.shake_hands()
    end.say(GREETING)
    end.say(b"3")
    end.say(b'{"t":"d","d":')
    await end.writer.drain()


async def closes_in_mid_frame(end: End) -> None:
    await end.shake_hands()
    end.say(GREETING)
    end.writer.write(b"\x81\x7e\x40\x00{")
    await end.writer.drain()


async def announces_a_frame_of_terabytes(end: End) -> None:
    await end.shake_hands()
    end.say(GREETING)
    end.writer.write(b"\x81\x7f" + (1 << 42).to_bytes(8, "big") + b"x" * 1000)
    await end.listen()


async def frames_as_nobody_does(end: End) -> None:
    await end.shake_hands()
    end.say(GREETING)
    end.writer.write(b"\xff\x05hello\x8b\x81\x00\x00")
    await end.listen()


async def never_ends_a_fragmented_message(end: End) -> None:
    await end.shake_hands()
    end.say(GREETING)
    end.frame(0x01, b'{"t":')
    while True:
        end.frame(0x00, b" " * 60_000)
        await end.writer.drain()


async def never_ends_a_long_message(end: End) -> None:
    await end.shake_hands()
    end.say(GREETING)
    end.say(b"999999")
    while True:
        end.say(b" " * 16_000)
        await end.writer.drain()


async def floods_with_what_nobody_asked_for(end: End) -> None:
    await end.shake_hands()
    end.say(GREETING)
    for number in range(3000):
        end.say(pushed({"p": f"elsewhere/{number}", "d": "x" * 1000}))
        end.say({"t": "d", "d": {"r": number + 100_000, "b": {"s": "ok", "d": "x"}}})
        end.frame(0x82, b"binary")
        end.frame(0x89, b"ping")
        await end.writer.drain()


DOES: list[Callable[[End], Awaitable[None]]] = [
    never_greets,
    never_shakes_hands,
    is_no_web_server,
    has_endless_headers,
    redirects_for_ever,
    redirects_to_nowhere,
    moves_for_ever,
    closes_in_mid_message,
    closes_in_mid_frame,
    announces_a_frame_of_terabytes,
    frames_as_nobody_does,
    never_ends_a_fragmented_message,
    never_ends_a_long_message,
    floods_with_what_nobody_asked_for,
]


async def survives(bad: Callable[[End], Awaitable[None]], bad_ends: int = BAD_ENDS) -> list[dict[str, Any]]:
    """What the client does with servers that are bad so often and then good: a write and a listen that were asked before all that
    are as they should be. What its loop reported meanwhile."""
    reported: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: reported.append(context))

    async def talk(end: End) -> None:
        if len(end.far.ends) <= bad_ends:
            await bad(end)
            return
        await end.shake_hands()
        end.say(GREETING)
        end.before["q"] = pushed({"p": "a", "d": {"y": 2}})
        await end.listen()

    async with far_end(talk) as far, Database(far.url) as client:
        shown: list[Any] = []
        client.ref("a").on_value(lambda snapshot: shown.append(snapshot.value))
        await client.ref("b").set(1)
        while not shown or shown[-1] != {"y": 2}:
            await asyncio.sleep(0.005)
        assert len(far.ends) > bad_ends
        assert {message["a"] for message in far.ends[-1].heard} == {"q", "p"}
        assert client._core._waiting_bytes == 0
        assert not client._core._requests
    return reported


@pytest.mark.parametrize("name", SAID)
def test_whatever_a_server_says_is_survived(name: str) -> None:
    async def work() -> None:
        for context in await survives(lambda end: says(end, SAID[name])):
            assert "the server said what cannot be" in context["message"]

    run(work())


@pytest.mark.parametrize("bad", DOES, ids=lambda bad: bad.__name__)
def test_whatever_a_server_does_is_survived(bad: Callable[[End], Awaitable[None]], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "HELLO_SECONDS", 0.2)
    monkeypatch.setattr(connection, "CONNECT_SECONDS", 1.0)
    monkeypatch.setattr(protocol, "RECEIVED_BYTES_MAX", 300_000)

    async def work() -> None:
        for context in await survives(bad):
            assert "connecting failed as it never should" in context["message"]

    run(work())


@pytest.mark.parametrize("seed", range(3))
def test_messages_with_errors_in_them_are_survived(seed: int) -> None:
    chance = random.Random(seed)
    parts: list[Any] = [
        None,
        0,
        -1,
        1e300,
        "",
        "a",
        "a/b",
        "/",
        ".priority",
        [],
        [1],
        {},
        {"p": "a"},
        {".value": 1},
        {"a": {"b": None}},
        True,
    ]
    good = [
        pushed({"p": "a", "d": {"x": 1}}),
        pushed({"p": "a/x", "d": 2}),
        pushed({"p": "a", "d": {"z/y": 1}}, "m"),
        pushed({"p": "a"}, "c"),
        pushed({"p": "a", "d": 1, "t": 1}),
        pushed({"msg": "hello"}, "sd"),
        {"t": "d", "d": {"r": 1, "b": {"s": "ok", "d": {}}}},
        {"t": "c", "d": {"t": "h", "d": {"ts": 1, "v": "5", "h": "x", "s": "y"}}},
        {"t": "c", "d": {"t": "o", "d": None}},
    ]

    def wrong(value: Any) -> Any:
        if chance.random() < 0.15:
            return chance.choice(parts)
        if isinstance(value, dict):
            return {
                (key if chance.random() < 0.97 else "q"): wrong(member) for key, member in value.items() if chance.random() < 0.97
            }
        return value

    async def bad(end: End) -> None:
        await end.shake_hands()
        end.say(GREETING)
        for _ in range(100):
            message = json.dumps(wrong(chance.choice(good))).encode()
            if chance.random() < 0.1:
                at = chance.randrange(len(message))
                message = message[:at] + chance.randbytes(3) + message[at + chance.randrange(4) :]
            end.say(message)

    async def work() -> None:
        for _ in range(3):
            # By chance it says that the listen is over, or that the write was refused, which is its right.
            try:
                await survives(bad, bad_ends=10)
            except (Denied, Closed):
                continue

    run(work())
