"""The keys that one issuer publishes, as of when they were last fetched.

Keys are fresh for as long as the issuer said, and are fetched anew before that is over. If that fails they still count for an
hour, so that an issuer's bad minute is not everybody's, and no longer. A token that names an unknown key makes them be fetched,
but not more often than every KEYS_MISS_SECONDS, whatever tokens come. A ring that was read from a file has no times.

Does not know: how keys are fetched (server/key_fetcher.py); whose they are.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from meadowlark.limits import KEYS_FRESH_SECONDS_MAX, KEYS_FRESH_SECONDS_MIN, KEYS_MISS_SECONDS, KEYS_STALE_SECONDS

if TYPE_CHECKING:
    from meadowlark.auth.keys import Key

REFRESH_SHARE = 0.8
"""Of its freshness after which a ring in use is fetched anew."""


class KeyRing:
    """Of one issuer. Compared by identity."""

    __slots__ = ("fetched_at", "is_used", "keys", "refresh_at", "usable_until")

    def __init__(self, keys: dict[str, Key] | None = None) -> None:
        """keys: from a file; None: they have to be fetched."""
        self.keys: dict[str, Key] = keys or {}
        self.fetched_at = -math.inf
        self.refresh_at = math.inf
        self.usable_until = math.inf if keys else -math.inf
        self.is_used = False
        """Whether a token asked for a key since they were fetched; nobody refreshes what nobody uses."""

    def put(self, keys: dict[str, Key], now: float, fresh_seconds: float) -> None:
        """`keys` were fetched at `now`, and their issuer says that they are fresh for so long."""
        fresh_seconds = min(max(fresh_seconds, KEYS_FRESH_SECONDS_MIN), KEYS_FRESH_SECONDS_MAX)
        self.keys = keys
        self.fetched_at = now
        self.refresh_at = now + fresh_seconds * REFRESH_SHARE
        self.usable_until = now + fresh_seconds + KEYS_STALE_SECONDS
        self.is_used = False

    def replace(self, keys: dict[str, Key]) -> None:
        """The file has changed."""
        self.keys = keys

    def find(self, id: str, now: float) -> Key | None:
        """The key with this id, if it counts now."""
        self.is_used = True
        return self.keys.get(id) if now < self.usable_until else None

    def find_only(self, now: float) -> Key | None:
        """The key of an issuer that has one key, for tokens that do not name it."""
        self.is_used = True
        return next(iter(self.keys.values())) if len(self.keys) == 1 and now < self.usable_until else None

    def may_bring(self, now: float) -> bool:
        """Whether it is worth fetching them for a key that was not found."""
        return now >= self.usable_until or (self.usable_until < math.inf and now - self.fetched_at >= KEYS_MISS_SECONDS)

    def is_due(self, now: float) -> bool:
        """Whether they should be fetched anew although nobody waits."""
        return self.is_used and now >= self.refresh_at

    def holds(self, key: Key, now: float) -> bool:
        """Whether what `key` verified still counts."""
        return now < self.usable_until and key.same_as(self.keys.get(key.id))
