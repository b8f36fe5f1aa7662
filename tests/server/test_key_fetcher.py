"""Keys that are fetched: once for all who wait, again before they are stale, and never too often."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest

from meadowlark.auth.keyring import REFRESH_SHARE, KeyRing
from meadowlark.auth.keys import read_key_set
from meadowlark.errors import Code, Refused
from meadowlark.limits import KEYS_FRESH_SECONDS_MAX, KEYS_FRESH_SECONDS_MIN, KEYS_RETRY_SECONDS, KEYS_STALE_SECONDS
from meadowlark.server.identity_file import KeySource
from meadowlark.server.key_fetcher import DISCOVERY, FRESH_SECONDS, KeyFetcher, fresh_seconds
from tests.auth.signing import NOW, certificate_pem, ec_key, jwk, jwks
from tests.server.key_server import KeyServer, dribble, flood, raw, redirect

ALGORITHMS = frozenset(["RS256", "ES256"])
ONE = json.dumps({"one": certificate_pem("one").decode()}).encode()


class Clock:
    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def keys() -> Iterator[KeyServer]:
    with KeyServer() as server:
        server.answers["/keys"] = ONE
        yield server


@pytest.fixture
def clock() -> Clock:
    return Clock()


Test = Callable[[KeyFetcher, KeyRing], Coroutine[Any, Any, None]]


def run(test: Test, keys: KeyServer, clock: Clock, *, path: str = "/keys", seconds: float = 10.0) -> KeyRing:
    """path "": by discovery."""
    ring = KeyRing()

    async def main() -> None:
        source = KeySource(ring, ALGORITHMS, keys.url, url=keys.url + path if path else "")
        fetcher = KeyFetcher([source], clock, seconds=seconds)
        async with asyncio.timeout(20):
            await test(fetcher, ring)
        fetcher.close()

    asyncio.run(main())
    return ring


async def fail(fetcher: KeyFetcher, ring: KeyRing) -> None:
    with pytest.raises(Refused) as caught:
        await fetcher.fetch(ring)
    assert caught.value.code is Code.UNAVAILABLE


async def settled(ready: Callable[[], bool]) -> None:
    for _ in range(1000):
        if ready():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("did not happen")


def test_keys_are_found_when_they_have_been_fetched(keys: KeyServer, clock: Clock) -> None:
    async def test(fetcher: KeyFetcher, ring: KeyRing) -> None:
        assert ring.find("one", clock()) is None
        assert ring.may_bring(clock())
        await fetcher.fetch(ring)
        assert ring.find("one", clock()) is not None
        assert not ring.may_bring(clock())

    run(test, keys, clock)


def test_a_hundred_who_wait_are_one_fetch(keys: KeyServer, clock: Clock) -> None:
    async def test(fetcher: KeyFetcher, ring: KeyRing) -> None:
        keys.holds.clear()
        waiting = [asyncio.create_task(fetcher.fetch(ring)) for _ in range(100)]
        await settled(lambda: bool(keys.asked))
        waiting[0].cancel()
        keys.holds.set()
        await asyncio.gather(*waiting[1:])

    run(test, keys, clock)
    assert keys.asked == ["/keys"]


@pytest.mark.parametrize(
    "answer",
    [
        b"", b"not json", b"[]", b"{}", b'{"keys":[]}', b'{"keys":{}}', b'{"one":"no certificate"}',
        b'{"keys":[{"kty":"oct","k":"c2VjcmV0"}]}',
        raw(b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n"), raw(b"nonsense\r\n\r\n"), redirect("/other"), flood,
    ],
)  # fmt: skip
def test_an_answer_without_keys_is_unavailable_and_is_not_repeated_at_once(keys: KeyServer, clock: Clock, answer: Any) -> None:
    keys.answers["/keys"] = answer

    async def test(fetcher: KeyFetcher, ring: KeyRing) -> None:
        await fail(fetcher, ring)
        await fail(fetcher, ring)
        assert keys.asked == ["/keys"]
        keys.answers["/keys"] = ONE
        clock.now += KEYS_RETRY_SECONDS
        await fetcher.fetch(ring)
        assert set(ring.keys) == {"one"}

    run(test, keys, clock)


def test_a_key_server_that_never_answers_keeps_nobody_longer_than_the_deadline(keys: KeyServer, clock: Clock) -> None:
    keys.answers["/keys"] = dribble
    run(fail, keys, clock, seconds=0.3)


def test_keys_in_use_are_fetched_again_before_they_are_stale(keys: KeyServer, clock: Clock) -> None:
    async def test(fetcher: KeyFetcher, ring: KeyRing) -> None:
        await fetcher.fetch(ring)
        clock.now += 3600 * REFRESH_SHARE
        fetcher.tend()
        await asyncio.sleep(0)
        assert len(keys.asked) == 1, "nobody uses them"
        assert ring.find("one", clock()) is not None
        fetcher.tend()
        fetcher.tend()
        await settled(lambda: ring.fetched_at == clock.now)
        assert len(keys.asked) == 2

    run(test, keys, clock)


def test_keys_that_cannot_be_fetched_again_count_for_an_hour_more(keys: KeyServer, clock: Clock) -> None:
    async def test(fetcher: KeyFetcher, ring: KeyRing) -> None:
        await fetcher.fetch(ring)
        del keys.answers["/keys"]
        clock.now += 3600 + KEYS_STALE_SECONDS - 1
        assert ring.find("one", clock()) is not None
        fetcher.tend()
        await settled(lambda: len(keys.asked) == 2 and not fetcher._flights)
        assert ring.find("one", clock()) is not None
        clock.now += 1
        assert ring.find("one", clock()) is None

    run(test, keys, clock)


def test_a_key_that_is_gone_is_gone_with_the_next_fetch(keys: KeyServer, clock: Clock) -> None:
    async def test(fetcher: KeyFetcher, ring: KeyRing) -> None:
        await fetcher.fetch(ring)
        keys.answers["/keys"] = json.dumps({"two": certificate_pem("two").decode()}).encode()
        await fetcher.fetch(ring)
        assert set(ring.keys) == {"two"}

    run(test, keys, clock)


# Discovery


def test_an_issuer_says_where_its_keys_are(keys: KeyServer, clock: Clock) -> None:
    keys.answers[DISCOVERY] = json.dumps({"issuer": keys.url, "jwks_uri": keys.url + "/jwks"}).encode()
    keys.answers["/jwks"] = jwks(jwk(ec_key(), "e"))

    async def test(fetcher: KeyFetcher, ring: KeyRing) -> None:
        await fetcher.fetch(ring)

    assert set(run(test, keys, clock, path="").keys) == {"e"}
    assert keys.asked == [DISCOVERY, "/jwks"]


@pytest.mark.parametrize(
    "document",
    [
        {}, {"issuer": "https://other.example", "jwks_uri": "URL/jwks"}, {"issuer": "URL"}, {"issuer": "URL", "jwks_uri": 7},
        {"issuer": "URL", "jwks_uri": "file:///etc/passwd"}, {"issuer": "URL", "jwks_uri": "http://login.example/jwks"},
        {"issuer": "URL/", "jwks_uri": "URL/jwks"}, [], "text",
    ],
)  # fmt: skip
def test_a_discovery_document_that_leads_elsewhere_is_not_followed(keys: KeyServer, clock: Clock, document: Any) -> None:
    keys.answers[DISCOVERY] = json.dumps(document).replace("URL", keys.url).encode()
    keys.answers["/jwks"] = jwks(jwk(ec_key(), "e"))
    run(fail, keys, clock, path="")
    assert keys.asked == [DISCOVERY]


# Files


def test_a_file_that_changes_is_read_again_and_a_broken_one_is_not(tmp_path: Path, clock: Clock) -> None:
    file = tmp_path / "keys.json"
    file.write_bytes(ONE)
    ring = KeyRing(read_key_set(ONE, ALGORITHMS))

    async def main() -> None:
        fetcher = KeyFetcher([KeySource(ring, ALGORITHMS, "issuer", file=str(file))], clock)
        file.write_bytes(b"half a fi")
        fetcher.tend()
        assert set(ring.keys) == {"one"}
        file.unlink()
        fetcher.tend()
        assert set(ring.keys) == {"one"}
        file.write_bytes(json.dumps({"two": certificate_pem("two").decode()}).encode())
        fetcher.tend()
        assert set(ring.keys) == {"two"}
        assert not ring.may_bring(clock.now + 1e9), "nothing to fetch"

    asyncio.run(main())


# Freshness


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"cache-control": "public, max-age=19204, must-revalidate, no-transform"}, 19204),
        ({"cache-control": "max-age=100", "age": "40"}, 60),
        ({"cache-control": "max-age=100", "age": "400"}, 0),
        ({"cache-control": 'Max-Age="100"'}, 100),
        ({"cache-control": "s-maxage=7"}, FRESH_SECONDS),
        ({"cache-control": "no-store, max-age=100"}, KEYS_FRESH_SECONDS_MIN),
        ({"cache-control": "max-age=-5"}, FRESH_SECONDS),
        ({"cache-control": "max-age=99999999999999"}, 9_999_999_999),
        ({}, FRESH_SECONDS),
    ],
)
def test_an_answer_says_how_long_it_is_fresh(headers: dict[str, str], seconds: float) -> None:
    assert fresh_seconds(headers) == seconds


@pytest.mark.parametrize(("said", "held"), [(0.0, KEYS_FRESH_SECONDS_MIN), (100.0, 100.0), (1e10, KEYS_FRESH_SECONDS_MAX)])
def test_what_an_issuer_says_is_bounded(said: float, held: float) -> None:
    ring = KeyRing()
    ring.put({}, NOW, said)
    assert ring.usable_until == NOW + held + KEYS_STALE_SECONDS
