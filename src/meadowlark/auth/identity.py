"""Who asks: the outcome of checking a credential."""

from __future__ import annotations

from typing import Any

import msgspec


class Identity(msgspec.Struct, frozen=True):
    """`auth`: what rules see as `auth` (None: nobody). `admin`: rules are not asked."""

    auth: dict[str, Any] | None = None
    admin: bool = False
    expires_at: float | None = None
    """Seconds since 1970 at which the credential ends; None: it does not."""


NOBODY = Identity()
ADMIN = Identity(admin=True)
