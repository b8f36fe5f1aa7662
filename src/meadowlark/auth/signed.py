"""A signed token, taken apart: what it says of itself, before anybody believes it.

Strict where JWTs are usually read leniently: base64url without padding or anything else in it, JSON objects with each member
once, nothing nested without end, no extension that must be understood. Two readers that understand the same bytes differently
are how forged tokens get through, so what could be read in two ways is refused. What a token says about keys (`jwk`, `jku`,
`x5c`, `x5u`) is never looked at: its key is one of those configured, or it has none.

Does not know: keys, times, who may issue tokens.
Source: docs/semantics.md "Identity"; RFC 7515 (JWS), RFC 7519 (JWT), RFC 8725 (what goes wrong with them).
"""

from __future__ import annotations

import json
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Any

import msgspec
import orjson

from meadowlark.auth.identity import is_plain
from meadowlark.errors import Code, Refused
from meadowlark.limits import TOKEN_LENGTH_MAX

_SHAPE = re.compile(r"([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]*)", re.ASCII)
_TYPES = frozenset(["jwt", "at+jwt", "application/at+jwt"])
"""A token of another type, such as a logout token, has the same issuer and subject and another meaning."""
KEY_ID_LENGTH_MAX = 256

HMAC = "HS256"
"""The one algorithm whose key is a shared secret."""


class SignedToken(msgspec.Struct, frozen=True):
    """`claims` as JSON gives them; `signature` is over `signed`, if anybody checks it."""

    algorithm: str
    key_id: str | None
    claims: dict[str, Any]
    signed: bytes
    signature: bytes


def malformed(reason: str) -> Refused:
    """A token that is refused for `reason`, in the words that clients know. `reason` never quotes the token."""
    return Refused(Code.INVALID_TOKEN, f"Could not parse auth token: {reason}")


def expired() -> Refused:
    """A token that was good once."""
    return Refused(Code.EXPIRED_TOKEN, "Auth token is expired.")


def parse_token(text: str) -> SignedToken | None:
    """None if `text` does not have the shape of a token at all. Raises Refused for one that cannot be read in one way only."""
    if len(text) > TOKEN_LENGTH_MAX:
        raise malformed(f"it has {len(text)} characters, limit is {TOKEN_LENGTH_MAX}")
    shape = _SHAPE.fullmatch(text)
    if shape is None:
        return None
    header = _decode_object(shape[1], "header")
    algorithm, key_id, kind = header.get("alg"), header.get("kid"), header.get("typ", "JWT")
    if type(algorithm) is not str:
        raise malformed("its header names no algorithm")
    if key_id is not None and (type(key_id) is not str or len(key_id) > KEY_ID_LENGTH_MAX):
        raise malformed("the 'kid' in its header is no text of a reasonable length")
    if "crit" in header or "b64" in header:
        raise malformed("its header asks for an extension, and none is supported")
    if type(kind) is not str or kind.lower() not in _TYPES:
        raise malformed("its header says that it is not for access: expected 'JWT' as its type")
    claims = _decode_object(shape[2], "payload")
    signed = f"{shape[1]}.{shape[2]}".encode()
    return SignedToken(algorithm, key_id, claims, signed, _decode_part(shape[3], "signature"))


def _decode_part(part: str, what: str) -> bytes:
    if len(part) % 4 == 1:
        raise malformed(f"its {what} is not base64url")
    decoded = urlsafe_b64decode(part + "=" * (-len(part) % 4))
    # The last character may have bits that stand for nothing: all but one way to set them are other spellings of the same.
    if urlsafe_b64encode(decoded).rstrip(b"=") != part.encode():
        raise malformed(f"its {what} is not base64url")
    return decoded


def _decode_object(part: str, what: str) -> dict[str, Any]:
    """Decoded by orjson, which refuses bad Unicode and numbers that are none; then read again to see that no member repeats."""
    text = _decode_part(part, what)
    try:
        value = orjson.loads(text)
        json.loads(text, object_pairs_hook=_check_members)
    except (ValueError, RecursionError):
        raise malformed(f"its {what} is not JSON in which every member stands once") from None
    if type(value) is not dict:
        raise malformed(f"its {what} is no JSON object")
    if not is_plain(value):
        raise malformed(f"its {what} nests too deeply")
    return value


def _check_members(members: list[tuple[str, Any]]) -> None:
    if len({name for name, _ in members}) != len(members):
        raise ValueError("a member repeats")
