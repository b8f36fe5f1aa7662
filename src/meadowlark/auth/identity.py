"""Who asks: the outcome of checking a credential."""

from __future__ import annotations

from typing import Any

import msgspec
import orjson

_LEVELS = 16
"""More than there are above `auth` in any answer, record or snapshot."""


class Credential(msgspec.Struct, frozen=True, gc=False):
    """One named admin credential as it is kept: never itself, only its SHA-256."""

    name: str
    sha256: str
    """In hexadecimal. No salt and no stretching: what it is of are 32 bytes of chance, which nobody can try through."""
    databases: tuple[str, ...] | None = None
    """Where it counts; None: on the whole server."""
    reads_only: bool = False
    created_at: int = 0
    """Seconds since 1970."""


class Identity(msgspec.Struct, frozen=True):
    """`auth`: what rules see as `auth` (None: nobody), with `uid`, `provider` and `token`. `admin`: rules are not asked."""

    auth: dict[str, Any] | None = None
    admin: bool = False
    expires_at: float | None = None
    """Seconds since 1970 at which the credential ends; None: it does not."""
    reads_only: bool = False
    """Whatever else is permitted, it writes nothing. True of an admin, and of who an admin acts as."""
    debugs: bool = False
    """Is told why rules deny something, also in production."""
    credential: Credential | None = None
    """The named admin credential that was shown, which may be revoked while it is in use."""

    def has_rights_of(self, other: Identity) -> bool:
        """Whether rules, and the lack of them, hold the same for both."""
        return (self.auth, self.admin, self.reads_only) == (other.auth, other.admin, other.reads_only)


def is_plain(claims: Any) -> bool:
    """Whether what is said of somebody can stand in answers and records: it does not nest as deep as encoders go, and has no
    integers of more than 64 bits."""
    for _ in range(_LEVELS):
        claims = [claims]
    try:
        orjson.dumps(claims)
    except TypeError:
        return False
    return True


NOBODY = Identity()
ADMIN = Identity(admin=True)
