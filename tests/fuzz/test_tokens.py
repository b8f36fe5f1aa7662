"""Whatever text comes as a credential: it is refused, or it is the token that was signed; nothing else ever happens."""

from __future__ import annotations

import json
from base64 import urlsafe_b64decode
from collections.abc import Callable
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from meadowlark.auth.credentials import Credentials
from meadowlark.auth.identity import Identity
from meadowlark.auth.issuers import FIREBASE_ISSUER, Issuer, Issuers, Secret, TokenKey
from meadowlark.auth.keyring import KeyRing
from meadowlark.auth.keys import read_key_set, read_pem, secret_key
from meadowlark.auth.signed import parse_token
from meadowlark.auth.tokens import DevVerifier
from meadowlark.auth.verifier import ServeVerifier
from meadowlark.errors import Code, Refused
from meadowlark.server.key_fetcher import fresh_seconds
from tests.auth.signing import (
    NOW,
    PROJECT,
    SECRET,
    certificate_pem,
    ec_key,
    firebase_claims,
    forge,
    part,
    public_pem,
    rsa_key,
    sign,
    sign_raw,
)

SHARED = b"a-secret-of-our-own-with-32-bytes-or-more"
ALLOWED = (Code.INVALID_TOKEN, Code.EXPIRED_TOKEN)
RING = KeyRing(read_key_set(json.dumps({"one": certificate_pem("one").decode()}).encode(), ["RS256"]))
ISSUERS = Issuers(
    [Issuer(FIREBASE_ISSUER + PROJECT, frozenset([PROJECT]), frozenset(["RS256"]), RING)],
    [TokenKey(read_pem("backend", public_pem(ec_key()), ["ES256"])), TokenKey(secret_key("shared", SHARED))],
    [Secret(secret_key("old", SECRET))],
)
GOOD = {
    sign(firebase_claims(), rsa_key()): "alice",
    sign({"sub": "carol", "exp": NOW + 60}, ec_key(), "ES256", "backend"): "carol",
    sign({"sub": "dora", "exp": NOW + 60}, SHARED, "HS256", "shared"): "dora",
    sign({"v": 0, "iat": NOW, "d": {"uid": "dave"}}, SECRET, "HS256", None): "dave",
}

JSON: Any = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=True) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
HEADERS = st.dictionaries(st.sampled_from(["alg", "kid", "typ", "crit", "jwk", "jku", "x5c", "b64"]), JSON)
ALGORITHMS = st.sampled_from(["none", "HS256", "HS512", "RS256", "RS384", "PS256", "ES256", "ES384", "EdDSA", "ES256K", ""])
CLAIMS = st.fixed_dictionaries(
    {},
    optional={
        name: JSON | st.sampled_from([*firebase_claims().values(), NOW + 60, NOW - 60, 0])
        for name in ("iss", "aud", "sub", "exp", "iat", "nbf", "auth_time", "firebase", "uid", "claims", "v", "d", "admin")
    },
)


def outcome(call: Callable[..., Any], *arguments: Any) -> Any:
    """What `call` gives, or how it refuses."""
    try:
        return call(*arguments)
    except Refused as refused:
        return refused


def ask(credential: str) -> Identity | None:
    """None: refused, in one of the two ways."""
    verifier = ServeVerifier(Credentials("correct-horse-battery"), ISSUERS)
    found = outcome(verifier.verify, credential, "auth", "shop", NOW)
    if isinstance(found, Refused):
        assert found.code in ALLOWED
        assert len(found.text) < 200
        return None
    assert isinstance(found, Identity)
    return found


@given(st.text(max_size=300) | st.text("aA0_-.=+/ey", max_size=100))
def test_text_is_refused(text: str) -> None:
    assert ask(text) is None or text == "correct-horse-battery"


@settings(max_examples=300)
@given(st.sampled_from(sorted(GOOD)), st.data())
def test_a_changed_token_is_refused(token: str, data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(token) - 1))
    kind = data.draw(st.sampled_from(["replace", "remove", "insert", "cut", "swap"]))
    other = data.draw(st.characters(codec="utf-8") | st.sampled_from("AB01_-."))
    changed = {
        "replace": token[:place] + other + token[place + 1 :],
        "remove": token[:place] + token[place + 1 :],
        "insert": token[:place] + other + token[place:],
        "cut": token[:place],
        "swap": ".".join(data.draw(st.permutations(token.split(".")))),
    }[kind]
    identity = ask(changed)
    if changed != token:
        assert identity is None
    else:
        assert identity is not None
        assert identity.auth is not None
        assert identity.auth["uid"] == GOOD[token]


@settings(max_examples=300)
@given(HEADERS, ALGORITHMS, CLAIMS, st.binary(max_size=300) | st.sampled_from([bytes(256), bytes(64), bytes(32)]))
def test_a_forged_token_is_refused_whatever_it_says(header: Any, algorithm: str, claims: Any, signature: bytes) -> None:
    assert ask(forge({"alg": algorithm} | header, claims, signature)) is None


@settings(max_examples=150, deadline=None)
@given(HEADERS, CLAIMS)
def test_a_signed_token_with_odd_claims_names_somebody_or_is_refused(header: Any, claims: Any) -> None:
    for usual in ({}, firebase_claims()):
        identity = ask(sign_raw({"alg": "RS256", "kid": "one"} | header, usual | claims))
        if identity is not None:
            assert not identity.admin
            assert identity.auth is not None
            assert isinstance(identity.auth["uid"], str)
            assert identity.auth["uid"]
            assert identity.expires_at is not None
            assert identity.expires_at > NOW


@given(st.binary(max_size=200), st.binary(max_size=200))
def test_parts_of_any_bytes_are_no_token_or_are_read(header: bytes, claims: bytes) -> None:
    text = f"{part(header)}.{part(claims)}."
    token = outcome(parse_token, text)
    if isinstance(token, Refused):
        assert token.code is Code.INVALID_TOKEN
        return
    assert token is None or json.loads(urlsafe_b64decode(part(claims) + "==")) == token.claims


@given(st.text(max_size=200), st.sampled_from(["auth", "gauth", "rest"]))
def test_development_refuses_or_believes_and_never_fails(text: str, kind: Any) -> None:
    found = outcome(DevVerifier().verify, text, kind)
    assert isinstance(found, Identity) or found.code is Code.INVALID_TOKEN


@given(st.binary(max_size=300) | JSON.map(lambda value: json.dumps({"keys": [value]}).encode()))
def test_whatever_an_issuer_publishes_is_keys_or_a_value_error(text: bytes) -> None:
    try:
        keys = read_key_set(text, ["RS256", "ES256", "EdDSA"])
    except ValueError:
        return
    assert keys


@given(st.text(max_size=80), st.text(max_size=20))
def test_whatever_an_issuer_says_of_freshness_is_a_time(control: str, age: str) -> None:
    assert fresh_seconds({"cache-control": control, "age": age}) >= 0
