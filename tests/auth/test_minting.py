"""Tokens that we make, as those who read them see them."""

from __future__ import annotations

import pytest

from meadowlark.auth.minting import claims_for, mint_signed, mint_unsigned
from meadowlark.auth.signed import parse_token
from meadowlark.auth.tokens import DevVerifier
from tests.auth.signing import NOW, ec_key, private_pem, public_pem


def test_an_unsigned_token_is_a_mock_users() -> None:
    claims = claims_for("alice", {"tier": "gold"}, now=NOW, seconds=60)
    identity = DevVerifier().verify(mint_unsigned(claims), "auth")
    assert identity.auth == {"uid": "alice", "provider": "custom", "token": claims}
    assert (claims["aud"], claims["exp"], claims["tier"]) == ("demo-project", NOW + 60, "gold")


def test_custom_claims_win() -> None:
    assert claims_for("a", {"sub": "b", "exp": 1}, now=NOW, seconds=60, project="p")["sub"] == "b"


def test_a_signed_token_names_its_key() -> None:
    token = parse_token(mint_signed({"sub": "a"}, private_pem(ec_key()), "ES256", "backend"))
    assert token is not None
    assert (token.algorithm, token.key_id, token.claims) == ("ES256", "backend", {"sub": "a"})


def test_a_key_that_cannot_sign_is_said() -> None:
    with pytest.raises(ValueError, match="cannot sign"):
        mint_signed({}, public_pem(ec_key()), "ES256", "k")
    with pytest.raises(ValueError, match="cannot sign"):
        mint_signed({}, private_pem(ec_key()), "RS256", "k")
