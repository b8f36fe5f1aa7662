"""Whom production believes, and everything that it does not: the attacks that are known of signed tokens."""

from __future__ import annotations

import json
from base64 import b64encode, urlsafe_b64encode
from typing import Any

import pytest

from meadowlark.auth.credentials import Credentials, digest_of
from meadowlark.auth.identity import ADMIN, Credential, Identity
from meadowlark.auth.issuers import FIREBASE_ISSUER, Issuer, Issuers, Secret, TokenKey
from meadowlark.auth.keyring import KeyRing
from meadowlark.auth.keys import read_key_set, read_pem, secret_key
from meadowlark.auth.tokens import Wanted
from meadowlark.auth.verifier import ServeVerifier
from meadowlark.errors import Code, Refused
from meadowlark.limits import KEYS_MISS_SECONDS, TOKENS_CACHED_MAX
from tests.auth.signing import (
    ISSUER,
    NOW,
    PROJECT,
    SECRET,
    certificate_pem,
    ec_key,
    ed_key,
    firebase_claims,
    forge,
    forge_hmac,
    jwk,
    jwks,
    part,
    private_pem,
    public_pem,
    rsa_key,
    sign,
    sign_raw,
)

HMAC_SECRET = b"a-secret-of-our-own-with-32-bytes-or-more"
OIDC = {"iss": ISSUER, "aud": ["other", "shop-web"], "iat": NOW - 5, "exp": NOW + 600, "sub": "u-1", "email": "u@shop.example"}
OWN = {"sub": "carol", "exp": NOW + 600, "tier": "gold"}
LEGACY = {"v": 0, "iat": NOW - 10, "d": {"uid": "dave", "team": 7}}


def google() -> KeyRing:
    """As fetched now, fresh for an hour."""
    text = json.dumps({"one": certificate_pem("one").decode(), "two": certificate_pem("two").decode()}).encode()
    ring = KeyRing()
    ring.put(read_key_set(text, ["RS256"]), NOW, 3600.0)
    return ring


class World:
    """A verifier with one of everything."""

    def __init__(self, **firebase: Any) -> None:
        self.ring = google()
        self.login = KeyRing(
            read_key_set(jwks(jwk(ec_key(), "e"), jwk(rsa_key("two"), "r"), jwk(ed_key(), "d")), ["ES256", "EdDSA"])
        )
        project = Issuer(FIREBASE_ISSUER + PROJECT, frozenset([PROJECT]), frozenset(["RS256"]), self.ring, **firebase)
        login = Issuer(ISSUER, frozenset(["shop-web"]), frozenset(["ES256", "EdDSA"]), self.login, provider="login")
        own = [
            TokenKey(read_pem("backend", public_pem(ec_key("backend")), ["ES256"])),
            TokenKey(read_pem("service", public_pem(rsa_key("service")), ["RS256"]), issuer="svc@x", audience="meadowlark"),
            TokenKey(secret_key("shared", HMAC_SECRET)),
        ]
        secrets = [Secret(secret_key("old", SECRET), frozenset(["shop"]))]
        named = [
            Credential("reader", digest_of("lark_reader").hex(), None, True),
            Credential("shopkeeper", digest_of("lark_shopkeeper").hex(), ("shop",)),
        ]
        self.credentials = Credentials("correct-horse-battery", named)
        self.verifier = ServeVerifier(self.credentials, Issuers([project, login], own, secrets))

    def verify(self, credential: str, *, at: float = NOW, database: str | None = "shop") -> Identity:
        found = self.verifier.verify(credential, "auth", database, at)
        assert isinstance(found, Identity)
        return found

    def refuse(self, credential: str, *, at: float = NOW, database: str | None = "shop") -> Refused:
        with pytest.raises(Refused) as caught:
            self.verifier.verify(credential, "auth", database, at)
        assert caught.value.http_status == 401
        # No part of a token stands in any text.
        assert all(len(piece) < 8 or piece not in caught.value.text for piece in credential.split("."))
        return caught.value


@pytest.fixture
def world() -> World:
    return World()


def good() -> str:
    return sign(firebase_claims(), rsa_key())


# Who comes in


def test_a_firebase_user_is_who_the_id_token_says(world: World) -> None:
    identity = world.verify(good())
    assert identity.auth == {"uid": "alice", "provider": "password", "token": firebase_claims()}
    assert (identity.admin, identity.expires_at) == (False, NOW + 3600)


def test_admin_as_a_custom_claim_opens_nothing(world: World) -> None:
    identity = world.verify(sign(firebase_claims(admin=True), rsa_key()))
    assert not identity.admin
    assert identity.auth is not None
    assert identity.auth["token"]["admin"] is True


@pytest.mark.parametrize(("key", "algorithm", "kid"), [(ec_key, "ES256", "e"), (ed_key, "EdDSA", "d")])
def test_a_user_of_an_openid_issuer_comes_in_by_its_algorithms(world: World, key: Any, algorithm: str, kid: str) -> None:
    assert world.verify(sign(OIDC, key(), algorithm, kid)).auth == {"uid": "u-1", "provider": "login", "token": OIDC}


def test_another_claim_may_be_the_uid() -> None:
    ring = KeyRing(read_key_set(jwks(jwk(ec_key(), "e")), ["ES256"]))
    issuer = Issuer(ISSUER, frozenset(["shop-web"]), frozenset(["ES256"]), ring, uid_claim="email", provider="mail")
    verifier = ServeVerifier(Credentials(), Issuers([issuer]))
    found = verifier.verify(sign(OIDC, ec_key(), "ES256", "e"), "rest", "shop", NOW)
    assert isinstance(found, Identity)
    assert found.auth == {"uid": "u@shop.example", "provider": "mail", "token": OIDC}


def test_an_issuer_with_one_key_need_not_name_it() -> None:
    ring = KeyRing(read_key_set(jwks(jwk(ec_key(), None)), ["ES256"]))
    issuer = Issuer(ISSUER, frozenset(["shop-web"]), frozenset(["ES256"]), ring, provider="login")
    verifier = ServeVerifier(Credentials(), Issuers([issuer]))
    assert isinstance(verifier.verify(sign(OIDC, ec_key(), "ES256", None), "rest", "shop", NOW), Identity)


def test_a_token_of_our_own_key_is_seen_as_it_is(world: World) -> None:
    for kid in ("backend", None):
        token = sign(OWN, ec_key("backend"), "ES256", kid)
        assert world.verify(token).auth == {"uid": "carol", "provider": "custom", "token": OWN}


def test_a_custom_token_is_seen_as_the_id_token_that_firebase_would_give_for_it(world: World) -> None:
    custom = {
        "iss": "svc@x",
        "sub": "svc@x",
        "aud": "meadowlark",
        "iat": NOW,
        "exp": NOW + 60,
        "uid": "erin",
        "claims": {"vip": True},
    }
    assert world.verify(sign(custom, rsa_key("service"), kid=None)).auth == {
        "uid": "erin",
        "provider": "custom",
        "token": {
            "vip": True,
            "iss": "svc@x",
            "aud": "meadowlark",
            "iat": NOW,
            "exp": NOW + 60,
            "sub": "erin",
            "user_id": "erin",
            "firebase": {"identities": {}, "sign_in_provider": "custom"},
        },
    }


def test_claims_of_a_custom_token_do_not_replace_who_it_is_for(world: World) -> None:
    custom = {"iss": "svc@x", "aud": "meadowlark", "exp": NOW + 60, "uid": "erin", "claims": {"sub": "root", "user_id": "root"}}
    identity = world.verify(sign(custom, rsa_key("service"), kid="service"))
    assert identity.auth is not None
    assert (identity.auth["uid"], identity.auth["token"]["sub"], identity.auth["token"]["user_id"]) == ("erin", "erin", "erin")


def test_a_legacy_token_carries_auth_whole_and_ends_after_a_day(world: World) -> None:
    identity = world.verify(sign(LEGACY, SECRET, "HS256", None))
    assert identity == Identity(auth={"uid": "dave", "team": 7}, expires_at=NOW - 10 + 86400)
    assert world.verify(sign(LEGACY | {"exp": NOW + 5}, SECRET, "HS256", None)).expires_at == NOW + 5
    assert world.verify(sign(LEGACY | {"debug": True}, SECRET, "HS256", None)).debugs
    assert not world.verify(sign(LEGACY | {"debug": "yes"}, SECRET, "HS256", None)).debugs


def test_a_legacy_token_may_make_an_admin_and_the_secret_itself_does(world: World) -> None:
    assert world.verify(sign({"v": 0, "iat": NOW, "admin": True}, SECRET, "HS256", None)).admin
    assert world.verify(SECRET.decode()) == ADMIN
    assert world.refuse(SECRET.decode(), database="other").code is Code.INVALID_TOKEN
    assert world.refuse(SECRET.decode(), database=None).code is Code.INVALID_TOKEN


def test_a_legacy_token_that_only_simulates_is_refused(world: World) -> None:
    assert "simulated" in world.refuse(sign(LEGACY | {"simulate": True}, SECRET, "HS256", None)).text


# Admin credentials


def test_the_first_credential_is_admin_everywhere(world: World) -> None:
    for database in ("shop", "other", None):
        assert world.verify("correct-horse-battery", database=database) == ADMIN


@pytest.mark.parametrize(
    "credential", ["", "owner", "correct-horse-batter", "correct-horse-battery ", "lark_other", "\ud800", "a.b", "ya29.x"]
)
def test_what_is_neither_credential_nor_token_is_refused(world: World, credential: str) -> None:
    error = world.refuse(credential)
    assert error.code is Code.INVALID_TOKEN
    assert error.text.startswith("Could not parse auth token")
    assert "correct-horse" not in error.text


def test_a_named_credential_is_bound_to_what_it_is_for(world: World) -> None:
    assert world.verify("lark_reader", database=None).reads_only
    assert world.verify("lark_shopkeeper").admin
    for database in ("other", None):
        assert world.refuse("lark_shopkeeper", database=database).code is Code.INVALID_TOKEN


def test_a_revoked_credential_is_refused_and_ends_what_it_opened(world: World) -> None:
    identity = world.verify("lark_shopkeeper")
    assert world.verifier.why_ended(identity, NOW + 1e9) is None
    world.verifier.credentials = Credentials("correct-horse-battery")
    ended = world.verifier.why_ended(identity, NOW)
    assert ended is not None
    assert ended.code is Code.INVALID_TOKEN
    world.refuse("lark_shopkeeper")


def test_a_credential_of_the_same_name_is_another(world: World) -> None:
    identity = world.verify("lark_shopkeeper")
    world.verifier.credentials = Credentials(None, [Credential("shopkeeper", digest_of("lark_new").hex(), ("shop",))])
    assert world.verifier.why_ended(identity, NOW) is not None


# Attacks


@pytest.mark.parametrize("algorithm", ["none", "None", "NONE", "nOnE", "", "RS256 "])
def test_an_unsigned_token_is_refused_however_it_spells_it(world: World, algorithm: str) -> None:
    header, claims = {"alg": algorithm, "kid": "one", "typ": "JWT"}, firebase_claims()
    for signature in (b"", b"x", b"\0" * 256):
        assert world.refuse(forge(header, claims, signature)).code is Code.INVALID_TOKEN
    for claims in (OIDC, OWN, LEGACY):
        world.refuse(forge(header | {"kid": "backend"}, claims))
    signature_of_another = good().rsplit(".", 1)[1]
    world.refuse(f"{part(header)}.{part(claims)}.{signature_of_another}")


def test_a_public_key_is_no_hmac_secret(world: World) -> None:
    """The classic: HS256 with the text of the public key, in every form in which one may have it."""
    texts = [certificate_pem("one"), public_pem(rsa_key()), public_pem(ec_key("backend")), public_pem(ec_key())]
    forms = [form for text in texts for form in (text, text.strip(), text.replace(b"\n", b""), text + b"\n")]
    ders = [b64 for text in texts for b64 in (b"".join(text.splitlines()[1:-1]),)]
    for secret in [*forms, *ders]:
        for kid in ("one", "backend", "e", "shared", "old"):
            for claims in (firebase_claims(), OIDC, OWN, LEGACY):
                world.refuse(forge_hmac({"alg": "HS256", "kid": kid}, claims, secret))


def test_a_secret_for_one_thing_signs_nothing_else(world: World) -> None:
    """Database secrets and token keys are kept apart, though both are HS256."""
    world.refuse(sign(OWN, SECRET, "HS256", None))
    world.refuse(sign(LEGACY, HMAC_SECRET, "HS256", None))
    world.refuse(sign(firebase_claims(), HMAC_SECRET, "HS256", "shared"))
    world.refuse(sign(firebase_claims(), SECRET, "HS256", None))
    assert world.verify(sign(OWN, HMAC_SECRET, "HS256", "shared")).auth is not None


def test_an_issuers_algorithms_are_the_only_ones(world: World) -> None:
    for algorithm in ("RS384", "RS512", "PS256"):
        assert "algorithm" in world.refuse(sign(firebase_claims(), rsa_key(), algorithm)).text
    assert "algorithm" in world.refuse(sign(OIDC, rsa_key("two"), "RS256", "r")).text


def test_a_key_of_one_kind_is_not_used_for_another_algorithm_of_its_issuer(world: World) -> None:
    world.refuse(sign(OIDC, ed_key(), "EdDSA", "e"))
    world.refuse(sign(OIDC, ec_key(), "ES256", "d"))


def test_the_wrong_key_is_refused_whatever_key_it_names(world: World) -> None:
    assert "signature" in world.refuse(sign(firebase_claims(), rsa_key("stranger"))).text
    assert "signature" in world.refuse(sign(firebase_claims(), rsa_key("one"), kid="two")).text
    world.refuse(sign(OIDC, ec_key("stranger"), "ES256", "e"))
    world.refuse(sign(OWN, ec_key("stranger"), "ES256", "backend"))
    world.refuse(sign(OWN, rsa_key("one"), "RS256", "service"))


def test_an_issuer_signs_for_itself_only(world: World) -> None:
    """Our own backend cannot make tokens of a Firebase project, nor one issuer another's."""
    world.refuse(sign(firebase_claims(), ec_key("backend"), "ES256", "backend"))
    world.refuse(sign(firebase_claims(), ec_key(), "ES256", "e"))
    world.refuse(sign(OIDC, rsa_key(), "RS256", "one"))


@pytest.mark.parametrize(
    "kid",
    [
        "",
        "three",
        "../../../../dev/null",
        "/etc/passwd",
        "one\0",
        "One",
        " one",
        "one' OR '1'='1",
        "__proto__",
        "http://127.0.0.1/k",
        "x" * 256,
    ],
)
def test_an_unknown_key_id_is_a_name_and_nothing_else(world: World, kid: str) -> None:
    token = sign(firebase_claims(), rsa_key(), kid=kid)
    assert "does not publish" in world.refuse(token).text
    later = world.verifier.verify(token, "auth", "shop", NOW + KEYS_MISS_SECONDS)
    assert later == Wanted(world.ring), "worth a fetch, now and then"


@pytest.mark.parametrize("kid", [1, None, True, ["one"], {"a": 1}, "x" * 257])
def test_a_key_id_that_is_no_text_is_refused(world: World, kid: Any) -> None:
    token = sign_raw({"alg": "RS256", "kid": kid, "typ": "JWT"}, firebase_claims())
    assert "'kid'" in world.refuse(token).text


def test_a_firebase_token_names_its_key(world: World) -> None:
    assert "has no 'kid'" in world.refuse(sign(firebase_claims(), rsa_key(), kid=None)).text


@pytest.mark.parametrize("kid", ["one", "stranger"])
def test_keys_that_a_token_brings_are_not_looked_at(world: World, kid: str) -> None:
    mine = rsa_key("stranger")
    x5c = [b64encode(b"certificate").decode(), b"".join(certificate_pem("stranger").splitlines()[1:-1]).decode()]
    for extra in (
        {"jwk": jwk(mine, kid)},
        {"jku": "http://127.0.0.1:1/keys.json"},
        {"x5u": "http://127.0.0.1:1/key.pem"},
        {"x5c": x5c},
        {"x5t": "c2hhMQ", "x5t#S256": "c2hhMjU2"},
        {"jwk": jwk(mine, kid), "jku": "file:///dev/null", "x5c": x5c},
    ):
        world.refuse(sign(firebase_claims(), mine, kid=kid, **extra))
    assert world.verify(sign(firebase_claims(), rsa_key(), jku="http://127.0.0.1:1/keys.json")).auth is not None


@pytest.mark.parametrize(
    "header", [{"crit": ["exp"]}, {"crit": []}, {"b64": False, "crit": ["b64"]}, {"typ": "logout+jwt"}, {"typ": 7}]
)
def test_extensions_and_other_types_are_refused(world: World, header: dict[str, Any]) -> None:
    world.refuse(sign_raw({"alg": "RS256", "kid": "one"} | header, firebase_claims()))


# Times


def test_a_token_ends_by_our_clock_without_grace(world: World) -> None:
    token = sign(firebase_claims(exp=NOW + 10), rsa_key())
    assert world.verify(token, at=NOW + 9.9).expires_at == NOW + 10
    for at in (NOW + 10, NOW + 11, NOW + 7000):
        error = world.refuse(token, at=at)
        assert (error.code, error.text) == (Code.EXPIRED_TOKEN, "Auth token is expired.")
    fresh = World()
    assert fresh.refuse(token, at=NOW + 10).code is Code.EXPIRED_TOKEN, "remembered or not"


def test_an_expired_token_of_a_stranger_is_not_told_that_it_expired(world: World) -> None:
    assert world.refuse(sign(firebase_claims(exp=1), rsa_key("stranger"))).code is Code.INVALID_TOKEN


@pytest.mark.parametrize("claim", ["iat", "auth_time", "nbf"])
def test_a_token_may_begin_a_minute_ahead_and_no_more(world: World, claim: str) -> None:
    assert world.verify(sign(firebase_claims(**{claim: NOW + 60}), rsa_key())).auth is not None
    assert "not valid yet" in world.refuse(sign(firebase_claims(**{claim: NOW + 61}), rsa_key())).text


@pytest.mark.parametrize("claim", ["iat", "exp", "auth_time"])
@pytest.mark.parametrize("value", [None, "1764000000", True, [], {}, -1, 1e300, 2**53])
def test_times_that_are_none_are_refused(world: World, claim: str, value: Any) -> None:
    assert claim in world.refuse(sign_raw({"alg": "RS256", "kid": "one"}, firebase_claims(**{claim: value}))).text


def test_a_token_without_an_end_is_refused(world: World) -> None:
    claims = dict(OWN)
    del claims["exp"]
    assert "'exp'" in world.refuse(sign(claims, ec_key("backend"), "ES256", "backend")).text


# For whom and by whom


@pytest.mark.parametrize("audience", ["other", "", None, [], ["other"], PROJECT.upper(), f"{PROJECT} ", {"a": PROJECT}, 7])
def test_another_audience_is_refused(world: World, audience: Any) -> None:
    assert "audience" in world.refuse(sign_raw({"alg": "RS256", "kid": "one"}, firebase_claims(aud=audience))).text


@pytest.mark.parametrize(
    "issuer",
    [
        "https://securetoken.google.com/other",
        f"https://securetoken.google.com/{PROJECT}/",
        f"http://securetoken.google.com/{PROJECT}",
        f"https://securetoken.google.com.evil.example/{PROJECT}",
        "https://session.firebase.google.com/" + PROJECT,
        None,
        7,
        ["https://securetoken.google.com/" + PROJECT],
    ],
)
def test_another_issuer_is_refused(world: World, issuer: Any) -> None:
    world.refuse(sign_raw({"alg": "RS256", "kid": "one"}, firebase_claims(iss=issuer)))


@pytest.mark.parametrize("uid", ["", None, 7, True, ["alice"], {"a": "alice"}, "x" * 257])
def test_a_token_that_names_nobody_is_refused(world: World, uid: Any) -> None:
    assert "'sub'" in world.refuse(sign_raw({"alg": "RS256", "kid": "one"}, firebase_claims(sub=uid))).text


def test_what_a_token_key_must_say_is_checked(world: World) -> None:
    claims = {"iss": "svc@x", "aud": "meadowlark", "sub": "x", "exp": NOW + 60}
    assert world.verify(sign(claims, rsa_key("service"), kid=None)).auth is not None
    for wrong in ({"iss": "other"}, {"aud": "other"}, {"iss": None}, {"aud": None}):
        world.refuse(sign_raw_with(claims | wrong))


def sign_raw_with(claims: Any) -> str:
    return sign_raw({"alg": "RS256"}, claims, "service")


def test_an_issuer_bound_to_databases_counts_nowhere_else() -> None:
    world = World(databases=frozenset(["shop"]))
    assert world.verify(good()).auth is not None
    for database in ("other", None):
        assert "does not count" in world.refuse(good(), database=database).text


# Form


def test_a_token_beyond_any_size_is_refused_unread(world: World) -> None:
    assert "limit is" in world.refuse(sign(firebase_claims(filler="x" * 20_000), rsa_key())).text
    world.refuse("x" * 1_000_000)


@pytest.mark.parametrize(
    "claims",
    [
        b"", b"{", b"[]", b"null", b'"text"', b"7", b"{}x", b"\xff\xfe", b'{"sub":"\\ud800"}', b'{"exp":NaN}', b'{"exp":1e999}',
        b"\xef\xbb\xbf{}", b'{"a":' * 5000 + b"1" + b"}" * 5000, b"[" * 10_000,
    ],
)  # fmt: skip
def test_a_payload_that_is_no_object_is_refused(world: World, claims: bytes) -> None:
    assert world.refuse(sign_raw({"alg": "RS256", "kid": "one"}, claims)).code is Code.INVALID_TOKEN


def test_a_member_that_stands_twice_is_refused_wherever_it_is(world: World) -> None:
    text = json.dumps(firebase_claims())
    for twice in (text[:-1] + ',"sub":"root"}', text[:-1] + ',"s\\u0075b":"root"}', text[:-1] + ',"x":{"a":1,"a":2}}'):
        assert "once" in world.refuse(sign_raw({"alg": "RS256", "kid": "one"}, twice.encode())).text
    world.refuse(sign_raw(b'{"alg":"none","alg":"RS256","kid":"one"}', firebase_claims()))


def test_base64_has_one_spelling(world: World) -> None:
    token = good()
    header, claims, signature = token.split(".")
    for changed in (
        f"{header}.{claims}=.{signature}", f"{header}\n.{claims}.{signature}", f" {token}", f"{token} ", f"{token}=",
        f"{token}\n",
        f"{header}.{claims}.{signature}.", f".{header}.{claims}.{signature}", f"{header}.{claims}", f"{header}..{signature}",
        f"{header}.{claims}.{signature[:-1]}+", f"{header}.{claims}.{signature}A" , f"{header}.!{claims}.{signature}",
    ):  # fmt: skip
        world.refuse(changed)
    plain = urlsafe_b64encode(json.dumps(firebase_claims()).encode()).decode()
    world.refuse(f"{header}.{plain.rstrip('=')}x.{signature}")


def test_every_byte_of_a_signature_counts(world: World) -> None:
    token = sign(OIDC, ec_key(), "ES256", "e")
    head, _, signature = token.rpartition(".")
    for place in range(0, len(signature) - 1, 5):
        other = "A" if signature[place] != "A" else "B"
        world.refuse(f"{head}.{signature[:place]}{other}{signature[place + 1 :]}")
    world.refuse(f"{head}.{part(bytes(64))}")
    world.refuse(f"{head}.")


# What is remembered


def test_a_known_token_is_not_verified_again_and_not_after_its_end(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    first = world.verify(good())
    monkeypatch.setattr("meadowlark.auth.verifier.parse_token", lambda text: pytest.fail("verified again"))
    assert world.verify(good()) is first
    assert world.refuse(good(), at=NOW + 3600).code is Code.EXPIRED_TOKEN


def test_a_token_does_not_outlive_its_key(world: World) -> None:
    token = good()
    assert world.verify(token).auth is not None
    rotated = {id: key for id, key in world.ring.keys.items() if id != "one"}
    world.ring.put(rotated, NOW + 10, 3600.0)
    assert "does not publish" in world.refuse(token, at=NOW + 11).text


def test_a_key_that_is_replaced_under_its_id_ends_its_tokens(world: World) -> None:
    token = good()
    world.verify(token)
    swapped = read_key_set(json.dumps({"one": certificate_pem("two").decode()}).encode(), ["RS256"])
    world.ring.put(swapped, NOW + 10, 3600.0)
    assert "signature" in world.refuse(token, at=NOW + 11).text


def test_the_same_key_fetched_again_goes_on(world: World) -> None:
    token = good()
    first = world.verify(token)
    world.ring.put(google().keys, NOW + 10, 3600.0)
    assert world.verify(token, at=NOW + 11) is first


def test_a_token_does_not_outlive_keys_that_nobody_could_fetch_for_too_long(world: World) -> None:
    token = sign(firebase_claims(exp=NOW + 1e6), rsa_key())
    world.verify(token)
    assert world.verify(token, at=NOW + 7199).auth is not None
    assert world.verifier.verify(token, "auth", "shop", NOW + 7200) == Wanted(world.ring)


def test_remembering_is_bounded(world: World) -> None:
    for number in range(TOKENS_CACHED_MAX + 10):
        world.verifier._remember(number.to_bytes(4, "big"), None)  # type: ignore[arg-type]
    assert len(world.verifier._verified) == TOKENS_CACHED_MAX


def test_a_private_key_in_pem_verifies_by_its_public_half() -> None:
    key = read_pem("k", private_pem(ec_key("backend")), ["ES256"])
    assert key.same_as(read_pem("k", public_pem(ec_key("backend")), ["ES256"]))
