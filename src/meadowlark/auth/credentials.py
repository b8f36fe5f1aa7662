"""The admin credentials that a server knows, by their hashes.

The first one is written in a file of its own, shown as often as its operator likes and good for everything. The others have
names, are shown once when they are made, and can be bound to databases, to reading, and revoked. They are looked up by the
SHA-256 of what was shown: how long that takes tells nothing about them, since nobody can choose what his guess hashes to.

Does not know: where the list is kept (server/credentials_file.py), who shows what when.
Source: docs/operating.md "Admin credentials".
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence

import msgspec

from meadowlark.auth.identity import ADMIN, Credential, Identity
from meadowlark.limits import CREDENTIALS_MAX

PREFIX = "lark_"
"""Begins every credential that we make, so that people and scanners know one where it should not be. It has no dot: what has two
looks like a token to SDKs."""
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}", re.ASCII)


class _Listed(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    credentials: list[Credential]


def digest_of(credential: str) -> bytes:
    """What a credential is remembered as."""
    # "replace": text from the socket may hold lone surrogates, which have no bytes; they match nothing anyway.
    return hashlib.sha256(credential.encode(errors="replace")).digest()


class Credentials:
    """All that make an admin at one moment. Immutable; a change makes another."""

    __slots__ = ("_identities",)

    def __init__(self, first: str | None = None, named: Iterable[Credential] = ()) -> None:
        """first: the one that may do everything."""
        self._identities: dict[bytes, Identity] = {
            bytes.fromhex(each.sha256): Identity(admin=True, reads_only=each.reads_only, credential=each) for each in named
        }
        if first is not None:
            assert first, "an empty credential would let everyone in"
            self._identities[digest_of(first)] = ADMIN

    def find(self, digest: bytes) -> Identity | None:
        """Whose it is."""
        return self._identities.get(digest)

    def holds(self, credential: Credential) -> bool:
        """Whether it is as good as when it was shown."""
        identity = self._identities.get(bytes.fromhex(credential.sha256))
        return identity is not None and identity.credential == credential


def encode_credentials(named: Sequence[Credential]) -> bytes:
    """The list as it is kept, for people to read if they like."""
    return msgspec.json.format(msgspec.json.encode(_Listed(list(named))), indent=2) + b"\n"


def decode_credentials(text: bytes) -> list[Credential]:
    """Raises ValueError for what `encode_credentials` does not make."""
    named = msgspec.json.decode(text, type=_Listed).credentials
    if len(named) > CREDENTIALS_MAX:
        raise ValueError(f"{len(named)} credentials; limit is {CREDENTIALS_MAX}")
    for each in named:
        if not NAME.fullmatch(each.name):
            raise ValueError("a credential has a name that is none")
        if not re.fullmatch(r"[0-9a-f]{64}", each.sha256):
            raise ValueError(f"the sha256 of {each.name} is none")
    if len({each.name for each in named}) < len(named):
        raise ValueError("a name stands twice")
    return named
