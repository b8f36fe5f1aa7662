"""Identity on one realtime connection, under a clock of the test's: expiry, revocation, waiting for keys, reading only."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from picows import WSCloseCode

from meadowlark.auth.credentials import Credentials, digest_of
from meadowlark.auth.identity import Credential
from meadowlark.auth.issuers import Issuer, Issuers, TokenKey
from meadowlark.auth.keyring import KeyRing
from meadowlark.auth.keys import read_key_set, secret_key
from meadowlark.auth.verifier import ServeVerifier
from meadowlark.engine.access import Ruled
from meadowlark.errors import Code, Refused
from meadowlark.rules import parse_rules
from meadowlark.server.identities import Identities
from meadowlark.server.realtime import RealtimeConnection
from tests.auth.signing import ISSUER, NOW, ec_key, jwk, jwks, sign
from tests.server.rest_server import MemoryShard, MemoryWorker

SHARED = b"a-secret-of-our-own-with-32-bytes-or-more"


USERS = Ruled(parse_rules('{"rules": {".read": "auth != null", ".write": "auth != null"}}'))
"""Whoever is anybody may read and write; nobody may not."""


class Fetcher:
    """Brings the keys when the test lets it."""

    def __init__(self) -> None:
        self.ready = asyncio.Event()
        self.fails = False

    async def fetch(self, ring: KeyRing) -> None:
        await self.ready.wait()
        if self.fails:
            raise Refused(Code.UNAVAILABLE, "no keys")
        ring.put(read_key_set(jwks(jwk(ec_key(), "e")), ["ES256"]), NOW, 3600.0)

    def tend(self) -> None: ...


class Host(MemoryWorker):
    """A worker in memory with a verifier of production and a clock that stands still."""

    def __init__(self) -> None:
        super().__init__("serve")
        self.now = NOW
        self.shard = MemoryShard(USERS, create=True)
        self.sessions: set[RealtimeConnection] = set()
        self.fetcher = Fetcher()
        login = Issuer(ISSUER, frozenset(["shop"]), frozenset(["ES256"]), KeyRing(), provider="login")
        reader = Credential("reader", digest_of("lark_reader").hex(), None, True)
        keys = [TokenKey(secret_key("shared", SHARED))]
        self.verifier = ServeVerifier(Credentials("the-admin-credential", [reader]), Issuers([login], keys))
        self.identities = Identities(self.verifier, lambda: self.now, self.fetcher)  # type: ignore[arg-type]

    def now_ms(self) -> int:
        return int(self.now * 1000)

    def pass_time(self, seconds: float) -> None:
        """As the worker does once a second."""
        self.now += seconds
        for connection in self.expiries.take_due(self.now):
            connection.check_identity()


class Line:
    """What the client was sent, message by message."""

    def __init__(self) -> None:
        self.frames: list[bytes] = []
        self.reads = True

    def write(self, data: bytes) -> None:
        self.frames.append(data)

    def pause_reading(self) -> None:
        self.reads = False

    def resume_reading(self) -> None:
        self.reads = True

    def ask(self) -> None: ...

    def close(self, code: WSCloseCode, reason: str) -> None: ...

    def abort(self) -> None: ...

    def switch(self) -> None: ...


class Client:
    """One connection of a host."""

    def __init__(self, host: Host, hosted: Any, name: str) -> None:
        self.host = host
        self.connection = RealtimeConnection(host, hosted, name, "host")  # type: ignore[arg-type]
        self.line = Line()
        self.connection.opened(self.line)
        self._request = 0

    def send(self, action: str, body: Any) -> int:
        self._request += 1
        message = {"t": "d", "d": {"r": self._request, "a": action, "b": body}}
        self.connection.received(json.dumps(message).encode())
        return self._request

    async def heard(self) -> list[Any]:
        """The data messages since the last call, replies as (request, status)."""
        heard, turns = -1, 0
        while turns < 50:
            # Until nothing was said for so many turns of the loop: what waits has each frame in a turn of its own.
            turns = turns + 1 if heard == len(self.line.frames) else 0
            heard = len(self.line.frames)
            await asyncio.sleep(0.001 if turns % 10 == 0 else 0)
        text = b"".join(self.line.frames)
        self.line.frames.clear()
        told: list[Any] = []
        while text:
            size, start = text[1], 2
            if size == 126:
                size, start = int.from_bytes(text[2:4], "big"), 4
            message = json.loads(text[start : start + size])
            text = text[start + size :]
            if message["t"] == "d":
                inner = message["d"]
                told.append((inner["r"], inner["b"]["s"]) if "r" in inner else (inner["a"], inner["b"]))
        return told


Test = Callable[[Host, Client], Coroutine[Any, Any, None]]


def run(test: Test) -> None:
    async def main() -> None:
        host = Host()
        client = Client(host, await host.shard.open("shop"), "s1")
        async with asyncio.timeout(20):
            await test(host, client)
        client.connection.closed()
        assert len(host.expiries) == 0

    asyncio.run(main())


def token(seconds: float = 60.0, uid: str = "alice") -> str:
    return sign({"sub": uid, "exp": NOW + seconds}, SHARED, "HS256", "shared")


def login_token() -> str:
    return sign({"iss": ISSUER, "aud": "shop", "sub": "u", "iat": NOW, "exp": NOW + 60}, ec_key(), "ES256", "e")


EXPIRED = ("ac", {"s": "expired_token", "d": "Auth token is expired."})


def test_a_token_that_ends_is_told_and_takes_its_listens_along() -> None:
    async def test(host: Host, client: Client) -> None:
        client.send("auth", {"cred": token()})
        client.send("q", {"p": "/room", "h": ""})
        assert await client.heard() == [(1, "ok"), (2, "ok")]
        host.pass_time(59)
        assert await client.heard() == []
        host.pass_time(1)
        assert await client.heard() == [EXPIRED, ("c", {"p": "room"})]
        client.send("p", {"p": "/room", "d": 1})
        client.send("q", {"p": "/room", "h": ""})
        assert await client.heard() == [(3, "permission_denied"), (4, "permission_denied")]
        host.pass_time(3600)
        assert await client.heard() == [], "told once"

    run(test)


def test_a_new_token_in_time_goes_on_where_the_old_one_was() -> None:
    async def test(host: Host, client: Client) -> None:
        client.send("auth", {"cred": token(60)})
        client.send("q", {"p": "/room", "h": ""})
        client.send("auth", {"cred": token(600)})
        await client.heard()
        host.pass_time(599)
        client.send("p", {"p": "/room", "d": 1})
        assert await client.heard() == [("d", {"p": "room", "d": 1}), (4, "ok")]
        host.pass_time(1)
        assert await client.heard() == [EXPIRED, ("c", {"p": "room"})]

    run(test)


def test_who_signs_out_does_not_hear_of_an_expiry() -> None:
    async def test(host: Host, client: Client) -> None:
        client.send("auth", {"cred": token()})
        client.send("q", {"p": "/room", "h": ""})
        client.send("unauth", {})
        assert await client.heard() == [(1, "ok"), (2, "ok"), (3, "ok"), ("c", {"p": "room"})]
        host.pass_time(100)
        assert await client.heard() == []

    run(test)


def test_a_refused_token_leaves_who_the_client_was() -> None:
    async def test(host: Host, client: Client) -> None:
        client.send("auth", {"cred": token()})
        client.send("auth", {"cred": token() + "x"})
        client.send("auth", {"cred": token(-1)})
        client.send("p", {"p": "/room", "d": 1})
        assert await client.heard() == [(1, "ok"), (2, "invalid_token"), (3, "expired_token"), (4, "ok")]
        host.pass_time(60)
        assert await client.heard() == [EXPIRED]

    run(test)


def test_what_a_user_queued_is_carried_out_though_the_token_has_ended() -> None:
    async def test(host: Host, client: Client) -> None:
        client.send("auth", {"cred": token()})
        client.send("p", {"p": "/online", "d": True})
        client.send("o", {"p": "/online", "d": False})
        await client.heard()
        host.pass_time(60)
        await client.heard()
        client.connection.closed()
        await asyncio.sleep(0.01)
        assert host.shard.entries[-1][0] == ["w", "/online", False]

    run(test)


def test_what_a_revoked_credential_queued_is_not() -> None:
    async def test(host: Host, client: Client) -> None:
        admin = Credential("writer", digest_of("lark_writer").hex())
        host.verifier.credentials = Credentials(None, [admin])
        client.send("gauth", {"cred": "lark_writer"})
        client.send("o", {"p": "/online", "d": False})
        assert await client.heard() == [(1, "ok"), (2, "ok")]
        before = len(host.shard.entries)
        host.verifier.credentials = Credentials()
        client.connection.check_identity()
        assert await client.heard() == [("ac", {"s": "invalid_token", "d": "This credential has been revoked."})]
        client.connection.closed()
        await asyncio.sleep(0.01)
        assert not any(entry[0] == "w" for record in host.shard.entries[before:] for entry in record)

    run(test)


def test_an_admins_end_bounds_who_it_acts_as() -> None:
    async def test(host: Host, client: Client) -> None:
        client.send("gauth", {"cred": "lark_reader", "authvar": {"uid": "bob"}})
        client.send("q", {"p": "/room", "h": ""})
        assert await client.heard() == [(1, "ok"), (2, "ok")]
        host.verifier.credentials = Credentials()
        client.connection.check_identity()
        assert [kind for kind, _ in await client.heard()] == ["ac", "c"]

    run(test)


# Waiting for keys


def test_what_is_sent_behind_a_token_waits_for_its_keys_in_order() -> None:
    async def test(host: Host, client: Client) -> None:
        other = Client(host, await host.shard.open("shop"), "s2")
        client.send("auth", {"cred": login_token()})
        client.send("p", {"p": "/a", "d": 1})
        client.send("g", {"p": "/a"})
        client.send("auth", {"cred": token()})
        client.send("p", {"p": "/a", "d": 2})
        assert await client.heard() == []
        assert not client.line.reads
        other.send("auth", {"cred": token()})
        other.send("p", {"p": "/b", "d": 1})
        assert await other.heard() == [(1, "ok"), (2, "ok")], "nobody else waits"
        host.fetcher.ready.set()
        told = await client.heard()
        assert sorted(told) == [(1, "ok"), (2, "ok"), (3, "ok"), (4, "ok"), (5, "ok")]
        assert told[0] == (1, "ok")
        assert client.line.reads
        assert client.connection.identity.auth is not None
        assert client.connection.identity.auth["uid"] == "alice"
        other.connection.closed()

    run(test)


def test_keys_that_cannot_be_fetched_are_said_and_the_rest_goes_on_as_nobody() -> None:
    async def test(host: Host, client: Client) -> None:
        host.fetcher.fails = True
        client.send("auth", {"cred": login_token()})
        client.send("p", {"p": "/a", "d": 1})
        host.fetcher.ready.set()
        assert await client.heard() == [(1, "unavailable"), (2, "permission_denied")]

    run(test)


def test_a_client_that_goes_while_its_keys_are_fetched_has_asked_and_then_gone() -> None:
    async def test(host: Host, client: Client) -> None:
        client.send("auth", {"cred": login_token()})
        client.send("p", {"p": "/a", "d": 1})
        await client.heard()
        client.connection.closed()
        host.fetcher.ready.set()
        await asyncio.sleep(0.01)
        assert client.connection not in host.sessions
        assert len(host.expiries) == 0
        assert client.connection._hosted is None

    run(test)


def test_a_long_message_with_a_token_in_it_waits_like_any_other() -> None:
    async def test(host: Host, client: Client) -> None:
        text = json.dumps({"t": "d", "d": {"r": 1, "a": "auth", "b": {"cred": login_token(), "filler": "x" * 200_000}}})
        pieces = [text[start : start + 16384] for start in range(0, len(text), 16384)]
        client.connection.received(str(len(pieces)).encode())
        for piece in pieces:
            client.connection.received(piece.encode())
        client._request = 1
        client.send("p", {"p": "/a", "d": 1})
        assert await client.heard() == []
        host.fetcher.ready.set()
        told = await client.heard()
        assert told == [(1, "ok"), (2, "ok")]

    run(test)


@pytest.mark.parametrize("body", [{"cred": ""}, {"cred": "x" * 20_000}, {"cred": "a.b.c"}])
def test_what_is_no_credential_is_answered(body: Any) -> None:
    async def test(host: Host, client: Client) -> None:
        client.send("auth", body)
        client.send("gauth", body)
        assert await client.heard() == [(1, "invalid_token"), (2, "invalid_token")]

    run(test)
