"""Production: admin credentials by their hash, tokens by their signature, and everything else refused.

A token that was verified is remembered by its hash, so that a connection that comes back and each REST call cost a look-up
instead of a signature. What is remembered counts only while the token, the key that verified it and its source do, which is
looked at each time: a rotated key or a passed expiry ends it at once.

A key may have to be fetched first. Then `verify` says which ring wants it, and is asked again when that has been tried.
Does not know: the clock (`now` comes with each question), how keys are fetched, connections.
Source: docs/semantics.md "Identity".
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

import msgspec

from meadowlark.auth.credentials import Credentials, digest_of
from meadowlark.auth.identity import Identity
from meadowlark.auth.issuers import Issuer, Issuers, Secret, Source, check_claims, identity_of
from meadowlark.auth.signed import SignedToken, expired, malformed, parse_token
from meadowlark.auth.tokens import Kind, Wanted
from meadowlark.errors import Code, Refused
from meadowlark.limits import TOKENS_CACHED_MAX

if TYPE_CHECKING:
    from meadowlark.auth.keyring import KeyRing
    from meadowlark.auth.keys import Key

NOT_A_CREDENTIAL = malformed("it is neither an admin credential of this server nor a token").text
REVOKED = "This credential has been revoked."


class _Verified(msgspec.Struct, frozen=True, gc=False):
    """What is remembered of a token."""

    identity: Identity
    key: Key
    ring: KeyRing | None
    """None where the key was configured and counts as long as we run."""
    databases: frozenset[str] | None


class ServeVerifier:
    """One a worker."""

    __slots__ = ("_issuers", "_secrets", "_verified", "credentials")

    def __init__(self, credentials: Credentials, issuers: Issuers | None = None) -> None:
        self.credentials = credentials
        """Replaced when the list changes."""
        self._issuers = issuers or Issuers()
        self._secrets: dict[bytes, Secret] = {
            digest_of(secret.key.prepared.decode(errors="replace")): secret for secret in self._issuers.secrets
        }
        self._verified: OrderedDict[bytes, _Verified] = OrderedDict()
        """By the hash of the token, the least lately used first."""

    def verify(self, credential: str, kind: Kind, database: str | None, now: float) -> Identity | Wanted:
        """Who presents `credential` to `database` (None: to the server). Raises Refused."""
        digest = digest_of(credential)
        admin = self.credentials.find(digest)
        if admin is not None:
            if admin.credential is not None:
                _check_scope(admin.credential.databases, database)
            return admin
        secret = self._secrets.get(digest)
        if secret is not None:
            _check_scope(secret.databases, database)
            return Identity(admin=True)
        verified = self._find_verified(digest, now)
        if verified is None:
            token = parse_token(credential)
            if token is None:
                raise Refused(Code.INVALID_TOKEN, NOT_A_CREDENTIAL)
            found = self._verify_token(token, now)
            if type(found) is Wanted:
                return found
            assert isinstance(found, _Verified)
            verified = found
            self._remember(digest, verified)
        _check_scope(verified.databases, database)
        return verified.identity

    def why_ended(self, identity: Identity, now: float) -> Refused | None:
        """Why `identity`, verified before, counts no more; None: it does."""
        if identity.expires_at is not None and now >= identity.expires_at:
            return expired()
        if identity.credential is not None and not self.credentials.holds(identity.credential):
            return Refused(Code.INVALID_TOKEN, REVOKED)
        return None

    # Tokens

    def _verify_token(self, token: SignedToken, now: float) -> _Verified | Wanted:
        claimed = self._issuers.claimed_by(token)
        if isinstance(claimed, Issuer):
            ring = claimed.ring
            key = self._find_key(claimed, token, now)
            if key is None:
                if ring.may_bring(now):
                    return Wanted(ring)
                raise malformed("it is signed with a key that its issuer does not publish")
            if not key.verifies(token.algorithm, token.signed, token.signature):
                raise malformed("its signature is wrong")
            return _accept(claimed, key, ring, token, now)
        for source in claimed:
            if source.key.verifies(token.algorithm, token.signed, token.signature):
                return _accept(source, source.key, None, token, now)
        raise malformed("its signature is wrong")

    @staticmethod
    def _find_key(issuer: Issuer, token: SignedToken, now: float) -> Key | None:
        if token.key_id is not None:
            return issuer.ring.find(token.key_id, now)
        if issuer.is_firebase:
            raise malformed("its header has no 'kid'")
        return issuer.ring.find_only(now)

    def _find_verified(self, digest: bytes, now: float) -> _Verified | None:
        verified = self._verified.get(digest)
        if verified is None:
            return None
        expires_at = verified.identity.expires_at
        assert expires_at is not None, "every token ends"
        if now >= expires_at:
            del self._verified[digest]
            raise expired()
        if verified.ring is not None:
            if not verified.ring.holds(verified.key, now):
                del self._verified[digest]
                return None
            verified.ring.is_used = True
        self._verified.move_to_end(digest)
        return verified

    def _remember(self, digest: bytes, verified: _Verified) -> None:
        self._verified[digest] = verified
        if len(self._verified) > TOKENS_CACHED_MAX:
            self._verified.popitem(last=False)


def _accept(source: Source, key: Key, ring: KeyRing | None, token: SignedToken, now: float) -> _Verified:
    expires_at = check_claims(source, token.claims, now)
    return _Verified(identity_of(source, token.claims, expires_at), key, ring, source.databases)


def _check_scope(databases: frozenset[str] | tuple[str, ...] | None, database: str | None) -> None:
    if databases is not None and database not in databases:
        where = "the whole server" if database is None else "this database"
        raise malformed(f"it does not count for {where}")
