"""Keys and tokens for tests, made as an issuer would, and as an attacker would."""

from __future__ import annotations

import hashlib
import hmac
import json
from base64 import urlsafe_b64encode
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

NOW = 1_764_000_000.0
PROJECT = "my-project"
ISSUER = "https://login.example/realms/shop"
SECRET = b"a-database-secret-of-forty-characters-ok"


_keys: dict[Any, Any] = {}


def rsa_key(name: str = "one") -> rsa.RSAPrivateKey:
    made: rsa.RSAPrivateKey = _kept(("rsa", name), lambda: rsa.generate_private_key(65537, 2048))
    return made


def ec_key(name: str = "one") -> ec.EllipticCurvePrivateKey:
    made: ec.EllipticCurvePrivateKey = _kept(("ec", name), lambda: ec.generate_private_key(ec.SECP256R1()))
    return made


def ed_key() -> ed25519.Ed25519PrivateKey:
    made: ed25519.Ed25519PrivateKey = _kept("ed", ed25519.Ed25519PrivateKey.generate)
    return made


def _kept(name: Any, make: Callable[[], Any]) -> Any:
    """Made once a run: an RSA key takes a tenth of a second."""
    if name not in _keys:
        _keys[name] = make()
    return _keys[name]


def private_pem(key: Any) -> bytes:
    return bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))


def public_pem(key: Any) -> bytes:
    return bytes(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))


def certificate_pem(name: str = "one") -> bytes:
    """As Google publishes its keys."""
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "securetoken.test")])
    made = x509.CertificateBuilder(subject, subject, rsa_key(name).public_key(), x509.random_serial_number())
    begin = datetime(2025, 1, 1, tzinfo=UTC)
    made = made.not_valid_before(begin).not_valid_after(begin + timedelta(days=30))
    return made.sign(rsa_key(name), SHA256()).public_bytes(Encoding.PEM)


def jwk(key: Any, id: str | None, **more: Any) -> dict[str, Any]:
    readers: list[tuple[type, Any]] = [(rsa.RSAPrivateKey, RSAAlgorithm), (ec.EllipticCurvePrivateKey, ECAlgorithm)]
    reader = next((reader for kind, reader in readers if isinstance(key, kind)), OKPAlgorithm)
    made: dict[str, Any] = reader.to_jwk(key.public_key(), as_dict=True)
    return made | ({} if id is None else {"kid": id}) | {"use": "sig"} | more


def jwks(*keys: dict[str, Any]) -> bytes:
    return json.dumps({"keys": keys}).encode()


def firebase_claims(**more: Any) -> dict[str, Any]:
    return {
        "iss": f"https://securetoken.google.com/{PROJECT}",
        "aud": PROJECT,
        "auth_time": int(NOW) - 100,
        "iat": int(NOW) - 50,
        "exp": int(NOW) + 3600,
        "sub": "alice",
        "user_id": "alice",
        "firebase": {"identities": {}, "sign_in_provider": "password"},
    } | more


def sign(claims: Any, key: Any, algorithm: str = "RS256", kid: str | None = "one", **header: Any) -> str:
    """As PyJWT does. kid None: none in the header."""
    return jwt.encode(claims, key, algorithm, ({} if kid is None else {"kid": kid}) | header)


def part(value: Any) -> str:
    """One part of a token; bytes as they are, anything else as JSON."""
    text = value if isinstance(value, bytes) else json.dumps(value).encode()
    return urlsafe_b64encode(text).decode().rstrip("=")


def forge(header: Any, claims: Any, signature: bytes = b"") -> str:
    return f"{part(header)}.{part(claims)}.{part(signature)}"


def forge_hmac(header: Any, claims: Any, secret: bytes) -> str:
    """HS256 with whatever secret, which libraries refuse to use."""
    signed = f"{part(header)}.{part(claims)}"
    return f"{signed}.{part(hmac.new(secret, signed.encode(), hashlib.sha256).digest())}"


def sign_raw(header: Any, claims: Any, name: str = "one") -> str:
    """A right RS256 signature over a header and claims that need not even be JSON."""
    signed = f"{part(header)}.{part(claims)}"
    signature = RSAAlgorithm(RSAAlgorithm.SHA256).sign(signed.encode(), rsa_key(name))
    return f"{signed}.{part(signature)}"
