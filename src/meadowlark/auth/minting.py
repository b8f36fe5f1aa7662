"""Tokens made here: unsigned ones for development, and such as a backend of the operator's own would make.

The unsigned ones are what the SDKs' mock users send. The signed ones are for a token key of the identity file, with the key id
by which the server finds it.
Does not know: the clock, where keys are kept.
Source: docs/identity.md "Tokens for development".
"""

from __future__ import annotations

from base64 import urlsafe_b64encode
from typing import Any

import orjson

MOCK_PROJECT = "demo-project"


def claims_for(uid: str, added: dict[str, Any], *, now: float, seconds: float, project: str = "") -> dict[str, Any]:
    """The claims of an ID token as a Firebase project gives them. added: custom claims, which win over ours."""
    issued_at = int(now)
    project = project or MOCK_PROJECT
    return {
        "iss": f"https://securetoken.google.com/{project}",
        "aud": project,
        "auth_time": issued_at,
        "iat": issued_at,
        "exp": issued_at + int(seconds),
        "sub": uid,
        "user_id": uid,
        "firebase": {"identities": {}, "sign_in_provider": "custom"},
        **added,
    }


def mint_unsigned(claims: dict[str, Any]) -> str:
    """A token that `dev` believes and `serve` refuses."""
    return f"{_part({'alg': 'none', 'type': 'JWT'})}.{_part(claims)}."


def mint_signed(claims: dict[str, Any], key: bytes, algorithm: str, key_id: str) -> str:
    """A token signed with a private key in PEM, or a secret. Raises ValueError if `key` is none for `algorithm`."""
    import jwt  # Here, since loading it takes long and unsigned tokens need none of it.

    try:
        return jwt.encode(claims, key, algorithm, {"kid": key_id})
    except (jwt.PyJWTError, TypeError, AttributeError) as error:
        raise ValueError(f"the key cannot sign with {algorithm}: {error}") from error


def _part(value: Any) -> str:
    return urlsafe_b64encode(orjson.dumps(value)).decode().rstrip("=")
