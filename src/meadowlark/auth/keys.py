"""Keys that verify tokens, and the forms in which issuers publish them.

A key belongs to the algorithms that it was configured or published for, and to no others: which one is used is the key's
affair, and a token whose header names another is refused. A public key can therefore never serve as the secret of an HMAC, and
secrets come only from `secret_key`. Read are JWK sets (`{"keys": […]}`), maps from key ids to PEM certificates or public keys,
as Google publishes them, and single keys in PEM. A key in a set that we cannot use is left out; a set without any is refused.

Does not know: where keys come from, how long they count, what tokens say.
Source: docs/identity.md; RFC 7517 (JWK), RFC 7518 (algorithms). The mathematics is cryptography's, called through PyJWT.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from functools import partial
from typing import Any

import msgspec
import orjson
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, SECP384R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)
from cryptography.x509 import load_pem_x509_certificate
from jwt.algorithms import Algorithm, ECAlgorithm, HMACAlgorithm, OKPAlgorithm, RSAAlgorithm, RSAPSSAlgorithm
from jwt.exceptions import PyJWTError

from meadowlark.auth.signed import HMAC
from meadowlark.limits import KEYS_OF_ISSUER_MAX

RSA_BITS_MIN, RSA_BITS_MAX = 2048, 8192
"""RFC 7518 section 3.3 asks for the one; the other keeps a hostile key from making each verification expensive."""
SECRET_BYTES_MIN = 32
"""RFC 7518 section 3.2: as long as the hash. Firebase's database secrets have 40 characters."""

_RSA: dict[str, Algorithm] = {
    "RS256": RSAAlgorithm(RSAAlgorithm.SHA256),
    "RS384": RSAAlgorithm(RSAAlgorithm.SHA384),
    "RS512": RSAAlgorithm(RSAAlgorithm.SHA512),
    "PS256": RSAPSSAlgorithm(RSAPSSAlgorithm.SHA256),
    "PS384": RSAPSSAlgorithm(RSAPSSAlgorithm.SHA384),
    "PS512": RSAPSSAlgorithm(RSAPSSAlgorithm.SHA512),
}
_EC: dict[str, Algorithm] = {"ES256": ECAlgorithm(ECAlgorithm.SHA256), "ES384": ECAlgorithm(ECAlgorithm.SHA384)}
_ED: dict[str, Algorithm] = {"EdDSA": OKPAlgorithm()}
_CURVES: dict[str, type] = {"ES256": SECP256R1, "ES384": SECP384R1}

_ALGORITHMS: dict[str, Algorithm] = _RSA | _EC | _ED | {HMAC: HMACAlgorithm(HMACAlgorithm.SHA256)}

_JWK_READERS: dict[str, Callable[[Any], Any]] = {
    "RSA": RSAAlgorithm.from_jwk,
    "EC": ECAlgorithm.from_jwk,
    "OKP": OKPAlgorithm.from_jwk,
}

PUBLIC_ALGORITHMS = (*_RSA, *_EC, *_ED)
"""Those whose keys may be published."""


class Key(msgspec.Struct, frozen=True, eq=False):
    """One key, for tokens of `algorithms`. Two are the same if `same_as` says so."""

    id: str
    algorithms: frozenset[str]
    material: bytes
    """The key itself, in a form to compare."""
    prepared: Any
    """As its algorithm wants it."""

    def same_as(self, other: Key | None) -> bool:
        return (
            other is not None and self.id == other.id and self.material == other.material and self.algorithms == other.algorithms
        )

    def verifies(self, algorithm: str, signed: bytes, signature: bytes) -> bool:
        """Whether `signature` over `signed` was made with this key by `algorithm`, which has to be one of its own."""
        return algorithm in self.algorithms and _ALGORITHMS[algorithm].verify(signed, self.prepared, signature)


def public_key(id: str, key: Any, algorithms: Collection[str]) -> Key:
    """A key for those of `algorithms` that are of its kind. Raises ValueError if none is, or if the key is too weak."""
    if isinstance(key, RSAPublicKey):
        if not RSA_BITS_MIN <= key.key_size <= RSA_BITS_MAX:
            raise ValueError(f"an RSA key of {key.key_size} bits; expected {RSA_BITS_MIN} to {RSA_BITS_MAX}")
        fitting = set(_RSA)
    elif isinstance(key, EllipticCurvePublicKey):
        fitting = {name for name, curve in _CURVES.items() if isinstance(key.curve, curve)}
    elif isinstance(key, Ed25519PublicKey):
        fitting = set(_ED)
    else:
        raise ValueError("a key that is neither RSA nor EC nor Ed25519")
    usable = frozenset(algorithms) & fitting
    if not usable:
        raise ValueError(f"a key for none of {', '.join(sorted(algorithms))}")
    return Key(id, usable, key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo), key)


def secret_key(id: str, secret: bytes) -> Key:
    """The key that a shared secret is, for HS256 alone. Raises ValueError if it is too short or no secret."""
    if len(secret) < SECRET_BYTES_MIN:
        raise ValueError(f"a secret of {len(secret)} bytes; expected at least {SECRET_BYTES_MIN}")
    if b"-----BEGIN" in secret:
        raise ValueError("a key in PEM where a secret is expected")
    return Key(id, frozenset([HMAC]), secret, secret)


def read_pem(id: str, text: bytes, algorithms: Collection[str]) -> Key:
    """The key in a PEM certificate, public key or private key (of which only the public half is kept). Raises ValueError."""
    try:
        if b"-----BEGIN CERTIFICATE-----" in text:
            return public_key(id, load_pem_x509_certificate(text).public_key(), algorithms)
        if b"PRIVATE KEY-----" in text:
            return public_key(id, load_pem_private_key(text, None).public_key(), algorithms)
        return public_key(id, load_pem_public_key(text), algorithms)
    except (UnsupportedAlgorithm, TypeError) as error:
        raise ValueError(f"a key that cannot be used: {error}") from error


def read_key_set(text: bytes, algorithms: Collection[str]) -> dict[str, Key]:
    """What an issuer publishes, by key id, as far as it is for `algorithms`. Raises ValueError if nothing in it is."""
    value = orjson.loads(text)
    if type(value) is not dict:
        raise ValueError("expected a JSON object: a JWK set, or a map from key ids to certificates")
    published = value.get("keys")
    keys: dict[str, Key] = {}
    if type(published) is list:
        for jwk in published[:KEYS_OF_ISSUER_MAX]:
            _add(keys, partial(_read_jwk, jwk, algorithms))
    else:
        for id, pem in list(value.items())[:KEYS_OF_ISSUER_MAX]:
            if type(pem) is str:
                _add(keys, partial(read_pem, id, pem.encode(), algorithms))
    if not keys:
        raise ValueError(f"none of its keys is for {', '.join(sorted(algorithms))}")
    return keys


def _add(keys: dict[str, Key], read: Callable[[], Key]) -> None:
    """Issuers publish keys of many kinds; one that we cannot use is nobody's fault."""
    try:
        key = read()
    except (ValueError, TypeError, AttributeError, PyJWTError, UnsupportedAlgorithm):
        return
    # Of two with one id the first stays: which is meant cannot be told.
    keys.setdefault(key.id, key)


def _read_jwk(jwk: Any, algorithms: Collection[str]) -> Key:
    if type(jwk) is not dict or jwk.get("use", "sig") != "sig" or "d" in jwk:
        raise ValueError("no public key for signatures")
    operations = jwk.get("key_ops")
    if type(operations) is list and "verify" not in operations:
        raise ValueError("a key for other operations")
    id, own = jwk.get("kid", ""), jwk.get("alg")
    if type(id) is not str:
        raise ValueError("a key id that is no text")
    wanted = [name for name in algorithms if own is None or name == own]
    read = _JWK_READERS.get(jwk.get("kty", ""))
    if read is None:
        raise ValueError("neither RSA nor EC nor OKP")  # "oct" above all: a secret that is published is none.
    return public_key(id, read(jwk), wanted)
