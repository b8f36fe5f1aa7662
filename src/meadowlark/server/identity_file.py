"""The identity file: whose tokens a server believes, beyond what a few settings can say.

TOML with four kinds of tables, `[firebase.PROJECT]`, `[issuers.NAME]`, `[tokens.NAME]` and `[secrets.NAME]`. Reading it also
reads the keys in files that it names, so everything that is wrong with them is refused before anything is served. What has to be
fetched comes out as `KeySource`s for key_fetcher.py; what stands in a file is read again when the file changes.

Imports cryptography, which takes a tenth of a second: only for those who have issuers.
Source: docs/identity.md, whose tables tests/server/test_identity_file.py reads.
"""

from __future__ import annotations

import os
import stat
import tomllib
from collections.abc import Callable
from typing import Annotated, Any

import msgspec
import orjson
from msgspec import Meta

from meadowlark.auth.issuers import FIREBASE_ALGORITHMS, FIREBASE_ISSUER, Issuer, Issuers, Secret, TokenKey
from meadowlark.auth.keyring import KeyRing
from meadowlark.auth.keys import PUBLIC_ALGORITHMS, Key, read_key_set, read_pem, secret_key
from meadowlark.auth.signed import HMAC
from meadowlark.errors import ConfigInvalid, Refused
from meadowlark.ids import check_database_name
from meadowlark.limits import KEYS_BODY_BYTES_MAX
from meadowlark.server.config import Config
from meadowlark.server.fetching import find_fault

Text = Annotated[str, Meta(min_length=1)]


class _Firebase(msgspec.Struct, forbid_unknown_fields=True):
    databases: list[str] | None = None


class _Issuer(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    issuer: Text
    audiences: Annotated[list[Text], Meta(min_length=1)]
    algorithms: Annotated[list[Text], Meta(min_length=1)] = msgspec.field(default_factory=lambda: ["RS256"])
    keys: str = ""
    uid: Text = "sub"
    provider: str = ""
    databases: list[str] | None = None


class _TokenKey(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    algorithm: Text
    key_file: Text
    issuer: str = ""
    audience: str = ""
    databases: list[str] | None = None


class _Secret(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    secret_file: Text
    databases: list[str] | None = None


class _File(msgspec.Struct, forbid_unknown_fields=True):
    firebase: dict[str, _Firebase] = {}
    issuers: dict[str, _Issuer] = {}
    tokens: dict[str, _TokenKey] = {}
    secrets: dict[str, _Secret] = {}


class KeySource(msgspec.Struct, frozen=True, eq=False):
    """Where the keys of `ring` come from: a file, a URL, or a URL that an issuer's discovery document names."""

    ring: KeyRing
    algorithms: frozenset[str]
    issuer: str
    file: str = ""
    url: str = ""
    """Empty, without a file too: as the issuer's discovery document says."""

    def read(self, text: bytes) -> dict[str, Key]:
        """The keys in what was fetched. Raises ValueError."""
        return read_key_set(text, self.algorithms)


class Configured(msgspec.Struct, frozen=True, eq=False):
    """What a server is to believe, and where it gets the keys."""

    issuers: Issuers
    sources: list[KeySource]


def read_identity(config: Config) -> Configured:
    """What the settings say, with all keys that are in files. Raises ConfigInvalid."""
    written = _read_file(config.identity_file) if config.identity_file else _File()
    folder = os.path.dirname(config.identity_file)
    sources: list[KeySource] = []
    issuers = [*_firebase_issuers(config, written, sources)]
    for name, table in written.issuers.items():
        issuers.append(_open_issuer(name, table, folder, sources, _place(config, "issuers", name)))
    names = [issuer.name for issuer in issuers]
    for name in names:
        if names.count(name) > 1:
            raise ConfigInvalid(f"the issuer {name} is configured twice; expected one table with all its audiences")
    tokens = [_token_key(name, table, folder, _place(config, "tokens", name)) for name, table in written.tokens.items()]
    secrets = [_secret(name, table, folder, _place(config, "secrets", name)) for name, table in written.secrets.items()]
    return Configured(Issuers(issuers, tokens, secrets), sources)


class SigningKey(msgspec.Struct, frozen=True):
    """What makes tokens for a token key."""

    key: bytes
    """A private key in PEM, or a secret."""
    algorithm: str
    claims: dict[str, str]
    """What every one of its tokens has to say."""


def read_token_key(config: Config, name: str, key_file: str | None) -> SigningKey:
    """The key of `[tokens.NAME]` to sign with; key_file: it is there instead. Raises ConfigInvalid."""
    if not config.identity_file:
        raise ConfigInvalid("identity_file is not set; expected a file with the key in a table [tokens.NAME]")
    place = _place(config, "tokens", name)
    table = _read_file(config.identity_file).tokens.get(name)
    if table is None:
        raise ConfigInvalid(f"there is no {place}")
    file = key_file or _resolve(table.key_file, os.path.dirname(config.identity_file))
    text = _read_private(file, place) if key_file or table.algorithm == HMAC else _read_bytes(file, place)
    if table.algorithm != HMAC and b"PRIVATE KEY-----" not in text:
        raise ConfigInvalid(f"{file} of {place} has no private key, so nothing can be signed with it; name one with --key-file")
    said = {"iss": table.issuer, "aud": table.audience}
    return SigningKey(text.strip(), table.algorithm, {claim: text for claim, text in said.items() if text})


# Tables


def _firebase_issuers(config: Config, written: _File, sources: list[KeySource]) -> list[Issuer]:
    projects: dict[str, list[str] | None] = {project: table.databases for project, table in written.firebase.items()}
    for project in config.firebase_projects:
        projects.setdefault(project, None)
    if not projects:
        return []
    algorithms = frozenset(FIREBASE_ALGORITHMS)
    ring = _open_ring(config.firebase_keys, "", algorithms, FIREBASE_ISSUER, sources, "firebase_keys")
    issuers = []
    for project, databases in projects.items():
        place = f"the project {project!r}"
        if not project or "/" in project:
            raise ConfigInvalid(f"{place} is no id of a Firebase project")
        name = FIREBASE_ISSUER + project
        issuers.append(Issuer(name, frozenset([project]), algorithms, ring, databases=_databases(databases, place)))
    return issuers


def _open_issuer(name: str, table: _Issuer, folder: str, sources: list[KeySource], place: str) -> Issuer:
    for algorithm in table.algorithms:
        if algorithm not in PUBLIC_ALGORITHMS:
            raise ConfigInvalid(f"{place}: {algorithm!r} is not one of the algorithms {', '.join(PUBLIC_ALGORITHMS)}")
    algorithms = frozenset(table.algorithms)
    ring = _open_ring(table.keys, folder, algorithms, table.issuer, sources, place)
    return Issuer(
        name=table.issuer,
        audiences=frozenset(table.audiences),
        algorithms=algorithms,
        ring=ring,
        uid_claim=table.uid,
        provider=table.provider or name,
        databases=_databases(table.databases, place),
    )


def _token_key(name: str, table: _TokenKey, folder: str, place: str) -> TokenKey:
    if table.algorithm != HMAC and table.algorithm not in PUBLIC_ALGORITHMS:
        raise ConfigInvalid(f"{place}: {table.algorithm!r} is not one of {', '.join((*PUBLIC_ALGORITHMS, HMAC))}")
    file = _resolve(table.key_file, folder)
    if table.algorithm == HMAC:
        key = _checked(lambda: secret_key(name, _read_private(file, place).strip()), file, place)
    else:
        text = _read_bytes(file, place)
        if b"PRIVATE KEY-----" in text:
            text = _read_private(file, place)
        key = _checked(lambda: read_pem(name, text, [table.algorithm]), file, place)
    databases = _databases(table.databases, place)
    return TokenKey(key, table.issuer or None, table.audience or None, databases)


def _secret(name: str, table: _Secret, folder: str, place: str) -> Secret:
    file = _resolve(table.secret_file, folder)
    key = _checked(lambda: secret_key(name, _read_private(file, place).strip()), file, place)
    return Secret(key, _databases(table.databases, place))


def _open_ring(keys: str, folder: str, algorithms: frozenset[str], issuer: str, sources: list[KeySource], place: str) -> KeyRing:
    """The ring for `keys`, which names a file or a URL; empty: the issuer's own discovery is asked."""
    if not keys or "://" in keys:
        _check_url(keys or issuer, place)
        ring = KeyRing()
        sources.append(KeySource(ring, algorithms, issuer, url=keys))
        return ring
    file = _resolve(keys, folder)
    ring = KeyRing(_checked(lambda: read_key_set(_read_bytes(file, place), algorithms), file, place))
    sources.append(KeySource(ring, algorithms, issuer, file=file))
    return ring


def _check_url(url: str, place: str) -> None:
    reason = find_fault(url)
    if reason:
        raise ConfigInvalid(f"{place}: {url!r} {reason}")


def _databases(names: list[str] | None, place: str) -> frozenset[str] | None:
    if names is None:
        return None
    try:
        return frozenset(check_database_name(name) for name in names)
    except Refused as refused:
        raise ConfigInvalid(f"{place}: databases: {refused.text}") from refused


# Files


def _read_file(file: str) -> _File:
    try:
        with open(file, "rb") as source:
            tables = tomllib.load(source)
    except OSError as error:
        raise ConfigInvalid(f"the identity file {file} cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigInvalid(f"the identity file {file} is not TOML: {error}") from error
    try:
        return msgspec.convert(tables, _File)
    except msgspec.ValidationError as error:
        raise ConfigInvalid(f"the identity file {file} cannot be used: {error}") from error


def _read_bytes(file: str, place: str) -> bytes:
    try:
        with open(file, "rb") as source:
            text = source.read(KEYS_BODY_BYTES_MAX + 1)
    except OSError as error:
        raise ConfigInvalid(f"{file} of {place} cannot be read: {error.strerror}") from error
    if len(text) > KEYS_BODY_BYTES_MAX:
        raise ConfigInvalid(f"{file} of {place} has more than {KEYS_BODY_BYTES_MAX} bytes; expected keys")
    return text


def _read_private(file: str, place: str) -> bytes:
    """A file with a secret in it, which nobody else may read. Its content stands in no text."""
    text = _read_bytes(file, place)
    mode = stat.S_IMODE(os.stat(file).st_mode)
    if mode & 0o077:
        raise ConfigInvalid(f"{file} of {place} has mode {mode:04o}, so others on this machine may use it; chmod 600 {file}")
    return text


def _checked(read: Callable[[], Any], file: str, place: str) -> Any:
    try:
        return read()
    except orjson.JSONDecodeError as error:
        raise ConfigInvalid(f"{file} of {place} cannot be used: it is not JSON") from error
    except ValueError as error:
        raise ConfigInvalid(f"{file} of {place} cannot be used: {error}") from error


def _resolve(file: str, folder: str) -> str:
    """Names in the identity file are relative to it."""
    return os.path.join(folder, file)


def _place(config: Config, kind: str, name: str) -> str:
    return f"[{kind}.{name}] in {config.identity_file}"
