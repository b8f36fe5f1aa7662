"""Credentials to identities: what a client presents, and who it then is.

Two verifiers with one method. `DevVerifier` believes everything, as the emulator does: `owner` and whatever else is no
JWT make an admin, and a JWT says who its bearer is whether or not it is signed or has expired (the SDKs' mock users
carry tokens that expired in 1970). `ServeVerifier` knows one credential, the admin's; everything else is refused.
Neither looks at a clock: nothing that they accept today expires.

Does not know: connections, databases, where the admin credential is kept.
Source: docs/semantics.md "Identity"; the shapes are those that the official SDKs send.
"""

from __future__ import annotations

import binascii
import hmac
from base64 import urlsafe_b64decode
from typing import Any, Literal, Protocol

import msgspec

from meadowlark.auth.identity import ADMIN, Identity
from meadowlark.errors import Code, Refused

Kind = Literal["auth", "gauth", "rest"]
"""How a credential came: as the socket's `auth` (the SDK saw a JWT in it), its `gauth` (anything else), or over REST."""

NOT_A_TOKEN = "Could not parse auth token."
NOT_THE_CREDENTIAL = (
    "Could not parse auth token: it is not this server's admin credential, and tokens of users are not verified yet."
)
OVERRIDE_NEEDS_ADMIN = "Permission denied: only an admin credential may act as somebody else."


class Verifier(Protocol):
    """What the rim asks when a credential arrives."""

    def verify(self, credential: str, kind: Kind) -> Identity:
        """Who presents `credential`. Raises Refused(INVALID_TOKEN)."""
        ...


class DevVerifier:
    """Development: believes every credential."""

    __slots__ = ()

    def verify(self, credential: str, kind: Kind) -> Identity:
        claims = None if kind == "gauth" else find_claims(credential)
        if claims is not None:
            return identity_of(claims)
        if kind == "auth" and credential != "owner":
            raise Refused(Code.INVALID_TOKEN, NOT_A_TOKEN)
        return ADMIN


class ServeVerifier:
    """Production so far: the admin credential, compared in constant time, or nothing."""

    __slots__ = ("_credential",)

    def __init__(self, credential: str) -> None:
        assert credential, "an empty credential would let everyone in"
        self._credential = credential.encode()

    def verify(self, credential: str, kind: Kind) -> Identity:
        # "replace": text from the socket may hold lone surrogates, which have no bytes; they match nothing anyway.
        if hmac.compare_digest(credential.encode(errors="replace"), self._credential):
            return ADMIN
        raise Refused(Code.INVALID_TOKEN, NOT_THE_CREDENTIAL)


def override(identity: Identity, auth: dict[str, Any] | None) -> Identity:
    """The identity that an admin asked to act as: `auth` as rules see it, no longer an admin. None: nobody.

    The socket's `authvar` and `noauth`, and `auth_variable_override` over REST.
    Raises Refused(PERMISSION_DENIED) unless `identity` is an admin, Refused(INVALID_REQUEST) if `auth` is no object.
    """
    if not identity.admin:
        raise Refused(Code.PERMISSION_DENIED, OVERRIDE_NEEDS_ADMIN)
    if auth is not None and not isinstance(auth, dict):
        raise Refused(Code.INVALID_REQUEST, "The auth variable override must be a JSON object or null.")
    return Identity(auth=auth, expires_at=identity.expires_at)


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
        return Identity(auth=legacy if isinstance(legacy, dict) else None)
    firebase = claims.get("firebase")
    provider = firebase.get("sign_in_provider") if isinstance(firebase, dict) else None
    return Identity(auth={"uid": user, "provider": provider, "token": claims})


def _find_object(part: str) -> dict[str, Any] | None:
    """The JSON object in one base64url part of a token."""
    try:
        return msgspec.json.decode(urlsafe_b64decode(part + "=" * (-len(part) % 4)), type=dict[str, Any])
    except (binascii.Error, ValueError, RecursionError):
        return None
