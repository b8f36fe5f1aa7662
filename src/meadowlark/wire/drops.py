"""Why a volatile write went nowhere, and how a developer is told.

Nobody waits for such a write, so nobody notices that it failed. What is counted in metrics is said in `dev` to the sender too, as
lines for the developer's console (`encode_debug`).
Source: docs/semantics.md "Volatile values".
"""

from __future__ import annotations

import enum

from meadowlark.errors import Code


class Drop(enum.IntEnum):
    """Reasons."""

    DENIED = 0
    """A rule said no."""
    TOO_BIG = 1
    """The value, or how many there would be."""
    REFUSED = 2
    """For another reason; the text of the refusal says which."""
    MALFORMED = 3
    """A request that is incomplete, or a datagram that is cut short or has what is no JSON."""
    UNKNOWN = 4
    """In a datagram, of a number that means no path (yet)."""
    LATE = 5
    """In a datagram, and what was written later has come before it; or it came twice."""
    UNREAD = 6
    """In a datagram, while the server did not read."""


SUPERSEDED = "superseded"
"""Not dropped but spared to a listener that is behind; beside the reasons, as something to tell of."""

MEANINGS: dict[object, str] = {
    Drop.MALFORMED: "in a datagram, cut short or not JSON",
    Drop.UNKNOWN: "in a datagram, by a number that means no path",
    Drop.LATE: "in a datagram, doubled or later than a newer value",
    Drop.UNREAD: "in a datagram, while the server did not read: it was busy, or inside a long message",
    SUPERSEDED: "a listener that is slow, or asked not to be told so often, hears the last of each path",
}
"""Where nothing else says more."""

_BY_CODE = {Code.PERMISSION_DENIED: Drop.DENIED, Code.TOO_BIG: Drop.TOO_BIG, Code.INVALID_REQUEST: Drop.MALFORMED}


def drop_of(code: Code) -> Drop:
    """The reason of a write that was refused with `code`."""
    return _BY_CODE.get(code, Drop.REFUSED)
