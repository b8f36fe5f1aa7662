"""Credentials to identities: what a client presents, and who it then is.

`Verifier` is what the rim asks; verifier.py is production. `DevVerifier` here believes everything, as the emulator does: `owner`
and whatever else is no JWT make an admin, and a JWT says who its bearer is whether or not it is signed or has expired (the SDKs'
mock users carry tokens that expired in 1970). So nothing that it accepts expires.

Does not know: connections, what databases hold.
Source: docs/semantics.md "Identity"; the shapes are those that the official SDKs send.
"""

from __future__ import annotations

import binascii
from base64 import urlsafe_b64decode
from typing import TYPE_CHECKING, Any, Literal, Protocol

import msgspec

from meadowlark.auth.identity import ADMIN, Identity, is_plain
from meadowlark.auth.signed import expired
from meadowlark.errors import Code, Refused

if TYPE_CHECKING:
    from meadowlark.auth.keyring import KeyRing

Kind = Literal["auth", "gauth", "rest"]
"""How a credential came: as the socket's `auth` (the SDK saw a JWT in it), its `gauth` (anything else), or over REST."""

NOT_A_TOKEN = "Could not parse auth token."
OVERRIDE_NEEDS_ADMIN = "Permission denied: only an admin credential may act as somebody else."


class Wanted(msgspec.Struct, frozen=True):
    """Nothing can be said before the keys of `ring` have been fetched."""

    ring: KeyRing


class Verifier(Protocol):
    """What the rim asks when a credential arrives."""

    def verify(self, credential: str, kind: Kind, database: str | None, now: float) -> Identity | Wanted:
        """Who presents `credential` to `database` (None: to the server as a whole), at `now` in seconds since 1970.

        Raises Refused. Wanted: ask again when the keys have been fetched, or fetching them has failed.
        """
        ...

    def why_ended(self, identity: Identity, now: float) -> Refused | None:
        """Why `identity`, which was verified before, counts no more; None: it does."""
        ...


class DevVerifier:
    """Development: believes every credential."""

    __slots__ = ()

    def verify(self, credential: str, kind: Kind, database: str | None = None, now: float = 0.0) -> Identity:
        claims = None if kind == "gauth" else find_claims(credential)
        if claims is not None:
            return identity_of(claims)
        if kind == "auth" and credential != "owner":
            raise Refused(Code.INVALID_TOKEN, NOT_A_TOKEN)
        return ADMIN

    def why_ended(self, identity: Identity, now: float) -> Refused | None:
        return expired() if identity.expires_at is not None and now >= identity.expires_at else None


def override(identity: Identity, auth: dict[str, Any] | None) -> Identity:
    """The identity that an admin asked to act as: `auth` as rules see it, no longer an admin. None: nobody.

    The socket's `authvar` and `noauth`, and `auth_variable_override` over REST. What bounds the admin (its end, its revocation,
    that it only reads) bounds who it acts as. Since an admin may see all rules and data, it is told why it is denied.
    Raises Refused(PERMISSION_DENIED) unless `identity` is an admin, Refused(INVALID_REQUEST) if `auth` is no object.
    """
    if not identity.admin:
        raise Refused(Code.PERMISSION_DENIED, OVERRIDE_NEEDS_ADMIN)
    if auth is not None and not isinstance(auth, dict):
        raise Refused(Code.INVALID_REQUEST, "The auth variable override must be a JSON object or null.")
    return msgspec.structs.replace(identity, auth=auth, admin=False, debugs=True)


def find_claims(token: str) -> dict[str, Any] | None:
    """The claims of a JWT, its signature not looked at; None if `token` is no JWT."""
    parts = token.split(".")
    if len(parts) != 3 or _find_object(parts[0]) is None:
        return None
    return _find_object(parts[1])


def identity_of(claims: dict[str, Any]) -> Identity:
    """Who the claims of a believed token describe.

    An ID token names its user in `sub` (or `user_id`). A legacy token has no `sub`: it carries `auth` whole as `d`, and may
    say `admin`. In an ID token `admin` is a custom claim like any other, which rules may read and which opens nothing.
    """
    user = claims.get("sub") or claims.get("user_id")
    if user is None:
        if claims.get("admin") is True:
            return ADMIN
        legacy = claims.get("d")
        return Identity(auth=legacy if isinstance(legacy, dict) else None, debugs=claims.get("debug") is True)
    firebase = claims.get("firebase")
    provider = firebase.get("sign_in_provider") if isinstance(firebase, dict) else None
    return Identity(auth={"uid": user, "provider": provider, "token": claims})


def _find_object(part: str) -> dict[str, Any] | None:
    """The JSON object in one base64url part of a token; None if it is none, or none of use."""
    try:
        found = msgspec.json.decode(urlsafe_b64decode(part + "=" * (-len(part) % 4)), type=dict[str, Any])
    except (binascii.Error, ValueError, RecursionError):
        return None
    return found if is_plain(found) else None
