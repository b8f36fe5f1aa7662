"""Keys that an issuer rotates, from a request to its answer: a server on loopback, whose clock is ours, and a key server beside.

Each request comes over HTTP, its token is verified by keys that are fetched over HTTP, and what is answered is what a user sees.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest

from meadowlark.auth.credentials import Credentials
from meadowlark.auth.issuers import Issuer, Issuers
from meadowlark.auth.keyring import KeyRing
from meadowlark.auth.verifier import ServeVerifier
from meadowlark.limits import KEYS_FRESH_SECONDS_MIN, KEYS_MISS_SECONDS, KEYS_RETRY_SECONDS, KEYS_STALE_SECONDS
from meadowlark.server.identities import Identities
from meadowlark.server.identity_file import KeySource
from meadowlark.server.key_fetcher import KeyFetcher
from tests.auth.signing import NOW, ec_key, jwk, jwks, sign
from tests.server.key_server import KeyServer
from tests.server.rest_server import ADMIN_CREDENTIAL, Peer, Served, serve

ISSUER = "https://login.example"
OPEN = '{"rules": {".read": "auth.uid === \'anna\'"}}'
LONG = 10 * KEYS_STALE_SECONDS


@pytest.fixture
def keys() -> Iterator[KeyServer]:
    with KeyServer() as server:
        server.cache_control = "max-age=300"
        server.answers["/jwks"] = jwks(jwk(ec_key("old"), "old"))
        yield server


class House:
    """A server that believes the issuer, and its clock."""

    def __init__(self, served: Served, keys: KeyServer) -> None:
        self.served = served
        self.keys = keys
        self.now = NOW
        ring = KeyRing()
        algorithms = frozenset(["ES256"])
        issuer = Issuer(ISSUER, frozenset(["web"]), algorithms, ring, provider="login")
        self.fetcher = KeyFetcher([KeySource(ring, algorithms, ISSUER, url=keys.url + "/jwks")], lambda: self.now)
        verifier = ServeVerifier(Credentials(ADMIN_CREDENTIAL), Issuers([issuer]))
        served.worker.identities = Identities(verifier, lambda: self.now, self.fetcher)
        served.worker.shard.create("demo")

    async def open(self) -> House:
        hosted = await self.served.worker.shard.open("demo")
        await self.served.worker.rules.set(self.served.worker.shard, hosted, OPEN, at=1, by="admin")
        return self

    async def ask(self, token: str, peer: Peer | None = None) -> int:
        asking = peer or await self.served.connect()
        status, _, _ = await asking.ask("GET", "/a.json?ns=demo", authorization=f"Bearer {token}")
        return status

    async def tended(self, count: int) -> None:
        """What `tend` began has been done: the key server has been asked `count` times, and its answer is there."""
        self.fetcher.tend()
        async with asyncio.timeout(20):
            while len(self.keys.asked) < count or self.fetcher._flights:
                await asyncio.sleep(0.005)

    def pass_time(self, seconds: float) -> None:
        self.now += seconds


def token(name: str, *, at: float = NOW) -> str:
    claims = {"iss": ISSUER, "aud": "web", "sub": "anna", "iat": int(at), "exp": int(at + LONG)}
    return sign(claims, ec_key(name), "ES256", name)


def run(keys: KeyServer, scenario: Callable[[House], Awaitable[None]]) -> None:
    async def test(served: Served) -> None:
        house = await House(served, keys).open()
        try:
            await scenario(house)
        finally:
            house.fetcher.close()

    serve(test, mode="serve")


def test_the_old_key_ends_with_the_time_that_its_set_was_for_and_the_new_one_is_believed(keys: KeyServer) -> None:
    async def scenario(house: House) -> None:
        old, new = token("old"), token("new")
        assert [await house.ask(old), await house.ask(old)] == [200, 200]
        assert len(keys.asked) == 1
        keys.answers["/jwks"] = jwks(jwk(ec_key("new"), "new"))
        house.pass_time(100)
        await house.tended(1)
        assert await house.ask(old) == 200, "nobody has said yet that it is withdrawn"
        house.pass_time(200)  # Keys that are in use are asked for again before the 300 seconds are over.
        await house.tended(2)
        assert [await house.ask(old), await house.ask(new), await house.ask(old)] == [401, 200, 401]
        assert len(keys.asked) == 2, "the old key's name is not asked for again and again"

    run(keys, scenario)


def test_a_new_key_is_believed_as_soon_as_it_is_asked_for_and_the_old_one_ends_then(keys: KeyServer) -> None:
    async def scenario(house: House) -> None:
        assert await house.ask(token("old")) == 200
        keys.answers["/jwks"] = jwks(jwk(ec_key("new"), "new"))
        assert await house.ask(token("new")) == 401, "unknown key ids are not asked for more often"
        house.pass_time(KEYS_MISS_SECONDS + 1)
        assert [await house.ask(token("new")), await house.ask(token("old"))] == [200, 401]
        assert len(keys.asked) == 2

    run(keys, scenario)


@pytest.mark.parametrize("asked_for", ["old", "new"])
def test_fifty_who_ask_at_once_are_one_fetch(keys: KeyServer, asked_for: str) -> None:
    """At the start, and after the rotation."""

    async def scenario(house: House) -> None:
        if asked_for == "new":
            assert await house.ask(token("old")) == 200
            keys.answers["/jwks"] = jwks(jwk(ec_key("new"), "new"))
            house.pass_time(KEYS_MISS_SECONDS + 1)
        before = len(keys.asked)
        peers = [await house.served.connect() for _ in range(50)]
        keys.holds.clear()
        tokens = [token(asked_for, at=NOW - number) for number in range(50)]
        asking = [asyncio.ensure_future(house.ask(each, peer)) for each, peer in zip(tokens, peers, strict=True)]
        async with asyncio.timeout(20):
            while len(keys.asked) == before:
                await asyncio.sleep(0.005)
        assert not any(each.done() for each in asking), "all wait for the keys"
        keys.holds.set()
        assert await asyncio.gather(*asking) == [200] * 50
        assert len(keys.asked) == before + 1

    run(keys, scenario)


def test_while_the_key_server_is_down_known_keys_count_for_an_hour_more_and_then_nobody_comes_in(keys: KeyServer) -> None:
    """As docs/identity.md says under "Keys"."""

    async def scenario(house: House) -> None:
        old = token("old")
        assert await house.ask(old) == 200
        del keys.answers["/jwks"]
        house.pass_time(300)
        await house.tended(2)
        assert await house.ask(old) == 200
        assert await house.ask(token("new")) == 503, "whether there is such a key cannot be said"
        house.pass_time(KEYS_STALE_SECONDS - 10)
        assert await house.ask(old) == 200
        house.pass_time(20)
        assert await house.ask(old) == 503
        keys.answers["/jwks"] = jwks(jwk(ec_key("new"), "new"))
        house.pass_time(KEYS_RETRY_SECONDS + 1)
        assert [await house.ask(token("new", at=house.now)), await house.ask(old)] == [200, 401]

    run(keys, scenario)


def test_a_stream_and_those_who_came_before_live_until_their_token_ends(keys: KeyServer) -> None:
    """Withdrawn keys let nobody in; who is in is told by the end of the token."""

    async def scenario(house: House) -> None:
        streaming = await house.served.connect()
        head = f"GET /a.json?ns=demo HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token('old')}\r\n"
        head += "Accept: text/event-stream\r\n\r\n"
        streaming.send(head.encode())
        assert b"200" in await streaming.line()
        keys.answers["/jwks"] = jwks(jwk(ec_key("new"), "new"))
        house.pass_time(300)
        await house.tended(2)
        assert await house.ask(token("old")) == 401
        found: list[bytes] = []
        house.pass_time(LONG)
        connections: list[Any] = list(house.served.worker.connections)
        for connection in connections:
            connection.sweep(0.0)
        while not found or not found[-1].startswith(b"data: credential is no longer valid"):
            found.append(await streaming.line())
        assert b"event: auth_revoked" in found

    run(keys, scenario)


def test_keys_are_not_asked_for_more_often_than_once_a_minute_however_short_they_are_fresh(keys: KeyServer) -> None:
    async def scenario(house: House) -> None:
        keys.cache_control = "max-age=1"
        assert await house.ask(token("old")) == 200
        house.pass_time(KEYS_FRESH_SECONDS_MIN / 4)
        await house.tended(1)
        assert await house.ask(token("old")) == 200
        assert len(keys.asked) == 1

    run(keys, scenario)
