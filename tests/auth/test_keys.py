"""Keys as issuers publish them: which can be used, for what, and which are left out."""

from __future__ import annotations

import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import dsa, ec, rsa
from jwt.algorithms import RSAAlgorithm

from meadowlark.auth.keys import PUBLIC_ALGORITHMS, public_key, read_key_set, read_pem, secret_key
from meadowlark.limits import KEYS_OF_ISSUER_MAX
from tests.auth.signing import certificate_pem, ec_key, ed_key, jwk, jwks, private_pem, public_pem, rsa_key


def test_a_key_of_a_set_is_for_the_algorithms_of_its_kind_that_its_issuer_may_use() -> None:
    keys = read_key_set(jwks(jwk(rsa_key(), "r"), jwk(ec_key(), "e"), jwk(ed_key(), "d")), PUBLIC_ALGORITHMS)
    assert {id: sorted(key.algorithms) for id, key in keys.items()} == {
        "r": ["PS256", "PS384", "PS512", "RS256", "RS384", "RS512"],
        "e": ["ES256"],
        "d": ["EdDSA"],
    }
    assert set(read_key_set(jwks(jwk(rsa_key(), "r"), jwk(ec_key(), "e")), ["ES256"])) == {"e"}


def test_a_key_that_names_its_algorithm_is_for_that_one() -> None:
    keys = read_key_set(jwks(jwk(rsa_key(), "r", alg="RS512"), jwk(rsa_key("two"), "x", alg="RS256")), ["RS256", "RS512"])
    assert {id: set(key.algorithms) for id, key in keys.items()} == {"r": {"RS512"}, "x": {"RS256"}}


@pytest.mark.parametrize(
    "odd",
    [
        None, 7, "key", [], {}, {"kty": "oct", "k": "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LXNlY3JldA", "kid": "odd"},
        {"kty": "RSA", "kid": "odd"}, {"kty": "RSA", "n": "AQAB", "e": "AQAB", "kid": "odd"},
        {"kty": "RSA", "n": 7, "e": [], "kid": "odd"},
        {"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA", "kid": "odd"}, {"kty": "EC", "crv": "P-999", "kid": "odd"},
        {"kty": "OKP", "crv": "X25519", "x": "AA", "kid": "odd"}, {"kty": ["RSA"], "kid": "odd"}, {"kty": {}, "kid": "odd"},
    ],
)  # fmt: skip
def test_a_key_that_cannot_be_used_is_left_out_and_the_others_stay(odd: Any) -> None:
    assert set(read_key_set(jwks(odd, jwk(ec_key(), "good")), PUBLIC_ALGORITHMS)) == {"good"}


def test_keys_for_other_uses_and_private_keys_are_left_out() -> None:
    whole: dict[str, Any] = RSAAlgorithm.to_jwk(rsa_key(), as_dict=True)
    sealing = jwk(ec_key(), "ops", key_ops=["wrapKey"])
    odd = [sealing, jwk(ec_key(), "enc") | {"use": "enc"}, whole | {"kid": "private"}, jwk(ec_key(), "n") | {"kid": 7}]
    assert set(read_key_set(jwks(*odd, jwk(ec_key(), "good")), PUBLIC_ALGORITHMS)) == {"good"}


def test_weak_keys_are_left_out() -> None:
    weak = rsa.generate_private_key(65537, 1024)
    assert set(read_key_set(jwks(jwk(weak, "weak"), jwk(rsa_key(), "good")), ["RS256"])) == {"good"}
    curve = ec.generate_private_key(ec.SECP256K1())
    with pytest.raises(ValueError, match="for none of"):
        public_key("k", curve.public_key(), PUBLIC_ALGORITHMS)
    with pytest.raises(ValueError, match="neither RSA"):
        public_key("k", dsa.generate_private_key(1024).public_key(), PUBLIC_ALGORITHMS)


def test_of_two_keys_with_one_id_the_first_counts() -> None:
    keys = read_key_set(jwks(jwk(ec_key("one"), "k"), jwk(ec_key("two"), "k")), ["ES256"])
    assert keys["k"].same_as(read_key_set(jwks(jwk(ec_key("one"), "k")), ["ES256"])["k"])


def test_no_more_keys_are_taken_than_anybody_needs() -> None:
    many = {f"k{number}": certificate_pem().decode() for number in range(KEYS_OF_ISSUER_MAX + 50)}
    assert len(read_key_set(json.dumps(many).encode(), ["RS256"])) == KEYS_OF_ISSUER_MAX


@pytest.mark.parametrize("text", [public_pem, private_pem])
def test_pem_is_read_in_every_form(text: Any) -> None:
    assert read_pem("k", text(ec_key()), ["ES256"]).same_as(read_pem("k", public_pem(ec_key()), ["ES256"]))


def test_a_certificate_has_the_key_that_it_certifies() -> None:
    assert read_pem("k", certificate_pem("one"), ["RS256"]).same_as(read_pem("k", public_pem(rsa_key("one")), ["RS256"]))


@pytest.mark.parametrize("secret", [b"", b"x" * 31, public_pem(ec_key()), private_pem(ec_key())])
def test_what_is_no_secret_is_refused(secret: bytes) -> None:
    with pytest.raises(ValueError, match=r"expected"):
        secret_key("k", secret)


def test_a_key_does_not_verify_by_an_algorithm_that_is_not_its_own() -> None:
    key = read_pem("k", public_pem(rsa_key()), ["RS256"])
    signature = RSAAlgorithm(RSAAlgorithm.SHA512).sign(b"text", rsa_key())
    assert not key.verifies("RS512", b"text", signature)
    assert not key.verifies("HS256", b"text", signature)
    assert not key.verifies("none", b"text", b"")
    assert key.verifies("RS256", b"text", RSAAlgorithm(RSAAlgorithm.SHA256).sign(b"text", rsa_key()))
