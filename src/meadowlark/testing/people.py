"""Who asks in a test: an administrator, nobody, or a user with claims, and the credential that makes a `dev` server believe it.

A user is given as a uid, or as a `User` where claims matter. What rules see as `auth` is computed from the very token that a
client would show, so an assertion about somebody is one about what that client may do.
Source: docs/testing.md "Who asks".
"""

from __future__ import annotations

import enum
import time
from typing import Any, Final, TypeAlias

TOKEN_SECONDS = 3600.0
"""`dev` never lets a token end; clients that look at `exp` see an hour."""


class Standing(enum.Enum):
    """Of who is no user."""

    ADMIN = "an administrator"
    NOBODY = "nobody"


ADMIN: Final = Standing.ADMIN
NOBODY: Final = Standing.NOBODY


class User:
    """Somebody with a token: `User("anna", admin=True)` is `auth.uid === 'anna'` with `auth.token.admin === true`."""

    __slots__ = ("claims", "uid")

    def __init__(self, uid: str, /, **claims: Any) -> None:
        self.uid = uid
        self.claims = claims

    def __repr__(self) -> str:
        return ", ".join([repr(self.uid), *(f"{name}={value!r}" for name, value in self.claims.items())])


Person: TypeAlias = Standing | User | str


def credential_of(person: Person) -> str | None:
    """What a client of `person` shows to a `dev` server; None: nothing."""
    if person is NOBODY:
        return None
    if person is ADMIN:
        return "owner"
    # Not above: who only has the plugin installed should not pay for what they do not use.
    from meadowlark.auth.minting import mint_unsigned

    return mint_unsigned(_claims(person))


def auth_of(person: Person) -> dict[str, Any] | None:
    """What rules see as `auth`. Of an administrator they are never asked."""
    assert person is not ADMIN, "rules are not asked about an administrator"
    if person is NOBODY:
        return None
    from meadowlark.auth.tokens import identity_of

    return identity_of(_claims(person)).auth


def name_of(person: Person) -> str:
    return person.value if isinstance(person, Standing) else repr(person)


def _claims(person: Person) -> dict[str, Any]:
    from meadowlark.auth.minting import claims_for

    assert not isinstance(person, Standing)
    user = User(person) if isinstance(person, str) else person
    return claims_for(user.uid, user.claims, now=time.time(), seconds=TOKEN_SECONDS)
