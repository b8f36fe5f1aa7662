"""What clients present, and who they then are."""

from __future__ import annotations

import json
from base64 import urlsafe_b64encode

import pytest

from meadowlark.auth.identity import ADMIN, NOBODY, Identity
from meadowlark.auth.tokens import DevVerifier, find_claims, override
from meadowlark.errors import Code, Refused


def part(value: object) -> str:
    return urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


def unsigned(claims: object, header: object = {"alg": "none", "type": "JWT"}) -> str:
    return f"{part(header)}.{part(claims)}."


MOCK_USER = {
    "iss": "https://securetoken.google.com/demo-project",
    "aud": "demo-project",
    "iat": 0,
    "exp": 3600,
    "auth_time": 0,
    "sub": "alice",
    "user_id": "alice",
    "firebase": {"sign_in_provider": "custom", "identities": {}},
}

ALICE = Identity(auth={"uid": "alice", "provider": "custom", "token": MOCK_USER})


def refusal(verify, *arguments) -> Refused:
    with pytest.raises(Refused) as caught:
        verify(*arguments)
    return caught.value


# Development


@pytest.mark.parametrize("kind", ["auth", "gauth", "rest"])
def test_owner_is_admin_in_development(kind):
    assert DevVerifier().verify("owner", kind) == ADMIN


@pytest.mark.parametrize("credential", ["owner", "anything", "", unsigned(MOCK_USER), "ya29.c.b0Aaeki"])
def test_every_gauth_credential_is_admin_in_development(credential):
    assert DevVerifier().verify(credential, "gauth") == ADMIN


@pytest.mark.parametrize("kind", ["auth", "rest"])
def test_an_unsigned_token_names_its_user_though_it_expired_in_1970(kind):
    assert DevVerifier().verify(unsigned(MOCK_USER), kind) == ALICE


def test_a_signed_token_is_believed_without_its_key():
    token = f"{part({'alg': 'RS256', 'kid': 'k'})}.{part(MOCK_USER)}.c2lnbmF0dXJl"
    assert DevVerifier().verify(token, "auth") == ALICE


def test_a_user_without_provider_has_none():
    assert DevVerifier().verify(unsigned({"sub": "bob"}), "auth").auth == {
        "uid": "bob",
        "provider": None,
        "token": {"sub": "bob"},
    }


def test_admin_as_a_custom_claim_of_a_user_is_no_admin():
    identity = DevVerifier().verify(unsigned(MOCK_USER | {"admin": True}), "auth")
    assert not identity.admin
    assert identity.auth is not None
    assert identity.auth["token"]["admin"] is True


def test_a_legacy_token_with_admin_is_admin():
    assert DevVerifier().verify(unsigned({"v": 0, "iat": 1, "admin": True, "d": {"uid": "x"}}), "auth") == ADMIN


def test_a_legacy_token_carries_auth_whole():
    assert DevVerifier().verify(unsigned({"v": 0, "iat": 1, "d": {"uid": "x", "team": 7}}), "auth").auth == {
        "uid": "x",
        "team": 7,
    }


@pytest.mark.parametrize("token", ["", "a.b", "a.b.c", "....", "a.b.c.d", f"{part({})}.{part([1])}.", f"{part({})}.!!!.", "é.ü."])
def test_what_is_no_token_is_refused_as_auth(token):
    error = refusal(DevVerifier().verify, token, "auth")
    assert error.code is Code.INVALID_TOKEN
    assert error.text == "Could not parse auth token."


def test_a_token_nested_beyond_any_use_is_refused_not_followed():
    deep = urlsafe_b64encode(b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}").decode().rstrip("=")
    assert find_claims(f"{part({})}.{deep}.") is None


@pytest.mark.parametrize("number", ["9" * 30, "[" * 250 + "]" * 250])
def test_claims_that_no_record_can_hold_are_refused(number):
    claims = urlsafe_b64encode(f'{{"sub":"anna","n":{number}}}'.encode()).decode().rstrip("=")
    assert refusal(DevVerifier().verify, f"{part({})}.{claims}.", "auth").code is Code.INVALID_TOKEN


# Acting as somebody else


def test_an_admin_who_acts_as_somebody_is_no_admin_then():
    assert override(ADMIN, {"uid": "alice"}) == Identity(auth={"uid": "alice"}, admin=False, debugs=True)


def test_an_admin_who_acts_as_nobody_is_nobody():
    assert override(ADMIN, None) == Identity(debugs=True)


@pytest.mark.parametrize("identity", [NOBODY, ALICE])
def test_only_an_admin_may_act_as_somebody(identity):
    assert refusal(override, identity, {"uid": "bob"}).code is Code.PERMISSION_DENIED


def test_an_override_that_is_no_object_is_refused():
    assert refusal(override, ADMIN, "alice").code is Code.INVALID_REQUEST


def test_what_bounds_an_admin_bounds_who_it_acts_as():
    bounded = Identity(admin=True, expires_at=1e9, reads_only=True)
    assert override(bounded, {"uid": "alice"}) == Identity(auth={"uid": "alice"}, expires_at=1e9, reads_only=True, debugs=True)
