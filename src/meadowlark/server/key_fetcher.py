"""Keeps key rings filled: fetches what is wanted, refreshes what is used, reads files again that have changed.

One fetch at a time for each ring, however many wait for it, and whoever waits does so at most KEYS_FETCH_SECONDS. After a
failure the next attempt comes no sooner than KEYS_RETRY_SECONDS later; until then waiting for one is refused at once as
unavailable. What has been fetched before goes on to count meanwhile, as keyring.py says.
Does not know: who waits, or what for.
Source: docs/identity.md "Keys".
"""

from __future__ import annotations

import asyncio
import re
import ssl
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import orjson
import structlog

from meadowlark.errors import Code, Refused
from meadowlark.limits import (
    KEYS_BODY_BYTES_MAX,
    KEYS_FETCH_SECONDS,
    KEYS_FRESH_SECONDS_MIN,
    KEYS_MISS_SECONDS,
    KEYS_RETRY_SECONDS,
)
from meadowlark.server.fetching import Document, FetchFailed, fetch, find_fault
from meadowlark.server.stamps import stamp_of

if TYPE_CHECKING:
    from meadowlark.auth.keyring import KeyRing
    from meadowlark.server.identity_file import KeySource

log = structlog.get_logger()

DISCOVERY = "/.well-known/openid-configuration"
UNAVAILABLE = "The keys that verify this token cannot be fetched now: try again in a moment"
FRESH_SECONDS = 3600.0
"""For keys whose issuer says nothing about it."""
_MAX_AGE = re.compile(r"(?:^|[,\s])max-age\s*=\s*\"?([0-9]{1,10})", re.IGNORECASE)
_NEVER = re.compile(r"(?:^|[,\s])no-(?:store|cache)\b", re.IGNORECASE)


class KeyFetcher:
    """One a worker."""

    def __init__(self, sources: Sequence[KeySource], clock: Callable[[], float], *, seconds: float = KEYS_FETCH_SECONDS) -> None:
        """clock: seconds since 1970."""
        self._clock = clock
        self._seconds = seconds
        self._sources = {source.ring: source for source in sources if not source.file}
        self._files = {source: stamp_of(source.file) for source in sources if source.file}
        self._flights: dict[KeyRing, asyncio.Task[bool]] = {}
        self._retry_at: dict[KeyRing, float] = {}
        self._tls = ssl.create_default_context() if self._sources else None

    async def fetch(self, ring: KeyRing) -> None:
        """The keys of `ring` have been fetched since this was called, or a moment before. Raises Refused(UNAVAILABLE)."""
        flight = self._flights.get(ring)
        if flight is None:
            if self._clock() < self._retry_at.get(ring, 0.0):
                raise Refused(Code.UNAVAILABLE, UNAVAILABLE)
            flight = self._start(ring)
        # Shielded: whoever gives up waiting leaves the others their fetch.
        if not await asyncio.shield(flight):
            raise Refused(Code.UNAVAILABLE, UNAVAILABLE)

    def tend(self) -> None:
        """Once a second: begins what is due, and reads what has changed on disk."""
        now = self._clock()
        for ring in self._sources:
            if ring.is_due(now) and ring not in self._flights and now >= self._retry_at.get(ring, 0.0):
                self._start(ring)
        for source, version in self._files.items():
            found = stamp_of(source.file)
            if found != version and found is not None:
                self._files[source] = found
                self._read_again(source)

    def close(self) -> None:
        for flight in self._flights.values():
            flight.cancel()

    def _start(self, ring: KeyRing) -> asyncio.Task[bool]:
        flight = asyncio.get_running_loop().create_task(self._fly(ring))
        self._flights[ring] = flight
        flight.add_done_callback(lambda _: self._flights.pop(ring, None))
        return flight

    async def _fly(self, ring: KeyRing) -> bool:
        source = self._sources[ring]
        try:
            async with asyncio.timeout(self._seconds):
                document = await self._get(source.url or await self._discover(source))
            keys = source.read(bytes(document.body))
        except (FetchFailed, TimeoutError, ValueError) as error:
            self._retry_at[ring] = self._clock() + KEYS_RETRY_SECONDS
            reason = f"no answer within {self._seconds:g} s" if isinstance(error, TimeoutError) else str(error)
            log.warning("keys not fetched", issuer=source.issuer, reason=reason[:200])
            return False
        ring.put(keys, self._clock(), fresh_seconds(document.headers))
        log.debug("keys fetched", issuer=source.issuer, count=len(keys))
        return True

    async def _discover(self, source: KeySource) -> str:
        """Where the issuer says that its keys are. Raises FetchFailed."""
        document = await self._get(source.issuer.rstrip("/") + DISCOVERY)
        try:
            said = orjson.loads(bytes(document.body))
        except orjson.JSONDecodeError:
            raise FetchFailed("its discovery document is not JSON") from None
        if type(said) is not dict or said.get("issuer") != source.issuer:
            raise FetchFailed("its discovery document is of another issuer")
        url: Any = said.get("jwks_uri")
        # Never from https to what anybody on the way may change, nor to an address of this machine.
        must_begin = "https://" if source.issuer.startswith("https://") else "http"
        if type(url) is not str or not url.startswith(must_begin) or find_fault(url):
            raise FetchFailed("its discovery document names no address of keys that is as safe as its own")
        return url

    async def _get(self, url: str) -> Document:
        return await fetch(url, seconds=self._seconds, bytes_max=KEYS_BODY_BYTES_MAX, tls=self._tls)

    def _read_again(self, source: KeySource) -> None:
        try:
            with open(source.file, "rb") as file:
                source.ring.replace(source.read(file.read(KEYS_BODY_BYTES_MAX)))
        except (OSError, ValueError) as error:
            log.error("keys not read", file=source.file, reason=str(error)[:200], consequence="the keys read before still count")
            return
        log.info("keys read again", file=source.file, count=len(source.ring.keys))


def fresh_seconds(headers: dict[str, str]) -> float:
    """For how long an answer says that it is fresh; bounded by the ring (KEYS_FRESH_SECONDS_MIN and _MAX)."""
    control = headers.get("cache-control", "")
    if _NEVER.search(control):
        return KEYS_FRESH_SECONDS_MIN
    found = _MAX_AGE.search(control)
    if found is None:
        return FRESH_SECONDS
    age = headers.get("age", "")
    passed = int(age) if age.isascii() and age.isdigit() and len(age) <= 10 else 0
    return float(max(0, int(found[1]) - passed))


assert KEYS_RETRY_SECONDS <= KEYS_MISS_SECONDS
