"""Names and identifiers: database names and push ids. Pure: chance and time come in as arguments."""

from __future__ import annotations

import re
from collections.abc import Callable

from meadowlark.errors import Code, Refused
from meadowlark.limits import DATABASE_NAME_LENGTH_MAX

DATABASE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")
"""With no more than DATABASE_NAME_LENGTH_MAX characters."""
_PUSH_ALPHABET = "-0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz"


def check_database_name(name: str) -> str:
    """`name`, if it is one: letters, digits, `-` and `_`, 1 to 63, not starting with `-` or `_`.

    Nothing that a file system or a URL treats specially can pass, so a name never reaches outside the data folder.
    Raises Refused(INVALID_REQUEST).
    """
    if len(name) <= DATABASE_NAME_LENGTH_MAX and DATABASE_NAME.fullmatch(name):
        return name
    raise Refused(
        Code.INVALID_REQUEST,
        f"{name[:80]!r} is not a database name: expected 1 to {DATABASE_NAME_LENGTH_MAX} letters, digits, '-' or '_', "
        "the first a letter or digit",
    )


class PushIds:
    """Makes keys that sort in the order they were made: 8 characters of time, 12 of chance.

    Within one millisecond (and if the clock goes back) the chance part counts up by one, so order holds for one maker.
    Source: docs/protocol.md "Push ids".
    """

    __slots__ = ("_chance", "_digits", "_last_ms")

    def __init__(self, chance: Callable[[int], int]) -> None:
        self._chance = chance
        """Called with n, gives an integer in 0..n-1."""
        self._last_ms = -1
        self._digits = [0] * 12

    def make(self, now_ms: int) -> str:
        """The next id, 20 characters."""
        if now_ms > self._last_ms:
            self._last_ms = now_ms
            self._digits = [self._chance(64) for _ in range(12)]
        else:
            self._count_up()
        time_part = "".join(_PUSH_ALPHABET[(self._last_ms >> shift) & 63] for shift in range(42, -6, -6))
        return time_part + "".join(_PUSH_ALPHABET[digit] for digit in self._digits)

    def _count_up(self) -> None:
        for place in range(11, -1, -1):
            if self._digits[place] < 63:
                self._digits[place] += 1
                return
            self._digits[place] = 0
        self._last_ms += 1
