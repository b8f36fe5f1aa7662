"""Who may issue tokens here, and whom their tokens describe.

Four kinds. A Firebase project's ID tokens and an OpenID issuer's tokens are verified with keys that the issuer publishes. A token
key is one that the operator configured, for tokens that his own backend makes. A database secret is Firebase's old way: HS256,
with `auth` whole in `d`. What a token says of itself (issuer, shape) chooses among them, and only the chosen one's keys,
algorithms and claims count from then on.

`claimed_by` says who that is, `check_claims` whether its claims hold at `now`, `identity_of` who the bearer is. The signature
has been checked before the last two are asked: a text about an expiry is for bearers of real tokens only.
Does not know: how keys get here, what was verified before, databases beyond their names.
Source: docs/semantics.md "Identity"; Firebase's documentation of its ID tokens and of its legacy tokens; OpenID Connect Core
3.1.3.7.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from meadowlark.auth.identity import Identity
from meadowlark.auth.signed import HMAC, SignedToken, expired, malformed
from meadowlark.limits import CLOCK_SKEW_SECONDS

if TYPE_CHECKING:
    from meadowlark.auth.keyring import KeyRing
    from meadowlark.auth.keys import Key

FIREBASE_ISSUER = "https://securetoken.google.com/"
"""Followed by the project's id."""
FIREBASE_ALGORITHMS = ("RS256",)

UID_LENGTH_MAX = 256
LEGACY_SECONDS = 24 * 3600
"""A legacy token without `exp` ends so long after `iat`."""

_CUSTOM = "custom"

TIME_MAX = 2.0**53
"""Seconds since 1970 that a token may name: such as can be counted, so not infinity."""


class Issuer(msgspec.Struct, frozen=True, eq=False):
    """A Firebase project, or an OpenID issuer."""

    name: str
    """The `iss` of its tokens."""
    audiences: frozenset[str]
    algorithms: frozenset[str]
    ring: KeyRing
    uid_claim: str = "sub"
    provider: str | None = None
    """`auth.provider`; None: as a Firebase token says."""
    databases: frozenset[str] | None = None
    """Where its tokens count; None: everywhere."""

    @property
    def is_firebase(self) -> bool:
        return self.provider is None


class TokenKey(msgspec.Struct, frozen=True, eq=False):
    """A key of the operator's own, with what its tokens must say; None: anything or nothing."""

    key: Key
    issuer: str | None = None
    audience: str | None = None
    databases: frozenset[str] | None = None


class Secret(msgspec.Struct, frozen=True, eq=False):
    """A legacy database secret. Shown as it is, it makes an admin."""

    key: Key
    databases: frozenset[str] | None = None


Source = Issuer | TokenKey | Secret


class Issuers:
    """All that are configured."""

    __slots__ = ("_by_name", "_secrets", "_token_keys")

    def __init__(
        self, issuers: Sequence[Issuer] = (), token_keys: Sequence[TokenKey] = (), secrets: Sequence[Secret] = ()
    ) -> None:
        self._by_name = {issuer.name: issuer for issuer in issuers}
        self._token_keys = tuple(token_keys)
        self._secrets = tuple(secrets)

    @property
    def secrets(self) -> tuple[Secret, ...]:
        return self._secrets

    def claimed_by(self, token: SignedToken) -> Issuer | tuple[TokenKey, ...] | tuple[Secret, ...]:
        """Whose the token says that it is: an issuer's, or of one of several keys of one kind. Raises Refused if nobody's."""
        name = token.claims.get("iss")
        issuer = self._by_name.get(name) if type(name) is str else None
        if issuer is not None:
            if token.algorithm not in issuer.algorithms:
                raise malformed(f"its algorithm is none of those of its issuer: {', '.join(sorted(issuer.algorithms))}")
            return issuer
        if _is_legacy(token.claims):
            found: tuple[Any, ...] = self._secrets if token.algorithm == HMAC else ()
        else:
            found = tuple(each for each in self._token_keys if self._may_be_of(each, token))
        if not found:
            raise malformed("neither its issuer nor its kind of key is known here")
        return found

    @staticmethod
    def _may_be_of(candidate: TokenKey, token: SignedToken) -> bool:
        return (
            token.algorithm in candidate.key.algorithms
            and token.key_id in (None, candidate.key.id)
            and candidate.issuer in (None, token.claims.get("iss"))
        )


def check_claims(source: Source, claims: dict[str, Any], now: float) -> float:
    """When a token with these claims ends, in seconds since 1970. Raises Refused if they do not hold now."""
    issued_at = _time(claims, "iat", required=not isinstance(source, TokenKey))
    if isinstance(source, Secret):
        assert issued_at is not None
        expires_at = _time(claims, "exp")
        if expires_at is None:
            expires_at = issued_at + LEGACY_SECONDS
    else:
        found = _time(claims, "exp", required=True)
        assert found is not None
        expires_at = found
    if now >= expires_at:
        raise expired()
    begins = [issued_at, _time(claims, "nbf")]
    if isinstance(source, Issuer) and source.is_firebase:
        begins.append(_time(claims, "auth_time", required=True))
    if any(begin is not None and begin > now + CLOCK_SKEW_SECONDS for begin in begins):
        raise malformed("it is not valid yet; are both clocks right?")
    if isinstance(source, Issuer):
        _check_audience(claims, source.audiences)
    elif isinstance(source, TokenKey) and source.audience is not None:
        _check_audience(claims, frozenset([source.audience]))
    return expires_at


def identity_of(source: Source, claims: dict[str, Any], expires_at: float) -> Identity:
    """Whom the claims of a verified token describe. Raises Refused if nobody."""
    if isinstance(source, Secret):
        return _identity_of_legacy(claims, expires_at)
    if isinstance(source, TokenKey):
        return _identity_of_custom(claims, expires_at)
    uid = _uid(claims, source.uid_claim)
    provider = source.provider
    if provider is None:
        firebase = claims.get("firebase")
        found = firebase.get("sign_in_provider") if type(firebase) is dict else None
        provider = found if type(found) is str else None
    return Identity(auth={"uid": uid, "provider": provider, "token": claims}, expires_at=expires_at)


def _identity_of_custom(claims: dict[str, Any], expires_at: float) -> Identity:
    """A token with `uid` is made as Firebase's admin SDKs make custom tokens: what its maker adds is in `claims`, and `sub` is
    the maker. Rules see it as they would see the ID token that Firebase gives in exchange. Any other token is seen as it is.
    """
    if "uid" not in claims:
        uid = _uid(claims, "sub")
        return Identity(auth={"uid": uid, "provider": _CUSTOM, "token": claims}, expires_at=expires_at)
    uid = _uid(claims, "uid")
    added = claims.get("claims", {})
    if type(added) is not dict:
        raise malformed("its 'claims' are no object")
    kept = {name: claims[name] for name in ("iss", "aud", "iat", "exp") if name in claims}
    firebase = {"identities": {}, "sign_in_provider": _CUSTOM}
    token = {**added, **kept, "sub": uid, "user_id": uid, "firebase": firebase}
    return Identity(auth={"uid": uid, "provider": _CUSTOM, "token": token}, expires_at=expires_at)


def _identity_of_legacy(claims: dict[str, Any], expires_at: float) -> Identity:
    if claims.get("simulate"):
        raise malformed("it asks that writes be simulated, which is not supported")
    if claims.get("admin") is True:
        return Identity(admin=True, expires_at=expires_at)
    auth = claims.get("d")
    assert type(auth) is dict, "as _is_legacy saw"
    if "uid" in auth:
        _uid(auth, "uid")
    return Identity(auth=auth, expires_at=expires_at, debugs=claims.get("debug") is True)


def _is_legacy(claims: dict[str, Any]) -> bool:
    version = claims.get("v")
    return type(version) is int and version == 0 and (type(claims.get("d")) is dict or claims.get("admin") is True)


def _uid(claims: dict[str, Any], name: str) -> str:
    uid = claims.get(name)
    if type(uid) is not str or not 0 < len(uid) <= UID_LENGTH_MAX:
        raise malformed(f"its {name!r}, which names the user, is no text of 1 to {UID_LENGTH_MAX} characters")
    return uid


def _time(claims: dict[str, Any], name: str, *, required: bool = False) -> float | None:
    value = claims.get(name)
    if value is None and not required:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < TIME_MAX:
        raise malformed(f"its {name!r} is no time in seconds since 1970")
    return value


def _check_audience(claims: dict[str, Any], audiences: frozenset[str]) -> None:
    named = claims.get("aud")
    several = named if type(named) is list else [named]
    if not any(type(audience) is str and audience in audiences for audience in several):
        raise malformed("it is for another audience")
