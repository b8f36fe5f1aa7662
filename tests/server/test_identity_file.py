"""The identity file: what can be written in it, and what is refused before anything is served."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from meadowlark.auth.credentials import Credentials
from meadowlark.auth.identity import Identity
from meadowlark.auth.verifier import ServeVerifier
from meadowlark.errors import ConfigInvalid
from meadowlark.server.config import Config
from meadowlark.server.identity_file import Configured, read_identity, read_token_key
from tests.auth.signing import (
    ISSUER,
    NOW,
    PROJECT,
    SECRET,
    certificate_pem,
    ec_key,
    firebase_claims,
    jwk,
    jwks,
    private_pem,
    public_pem,
    rsa_key,
    sign,
)

DOCUMENT = Path(__file__).parents[2] / "docs" / "identity.md"


class Folder:
    """A folder with an identity file and what it names."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.put("google.json", json.dumps({"one": certificate_pem().decode()}).encode())
        self.put("login.json", jwks(jwk(ec_key(), "e")))
        self.put("backend.pub.pem", public_pem(ec_key("backend")))
        self.put("backend.pem", private_pem(ec_key("backend")), 0o600)
        self.put("old-secret", SECRET + b"\n", 0o600)

    def put(self, name: str, text: bytes, mode: int = 0o644) -> None:
        file = self.path / name
        file.write_bytes(text)
        file.chmod(mode)

    def config(self, text: str, **more: Any) -> Config:
        self.put("identity.toml", text.encode())
        more.setdefault("firebase_keys", str(self.path / "google.json"))
        return Config(mode="serve", identity_file=str(self.path / "identity.toml"), **more)

    def read(self, text: str, **more: Any) -> Configured:
        return read_identity(self.config(text, **more))

    def refuse(self, text: str, **more: Any) -> str:
        with pytest.raises(ConfigInvalid) as caught:
            self.read(text, **more)
        return str(caught.value)

    def auth_of(self, configured: Configured, token: str, database: str = "shop") -> Any:
        found = ServeVerifier(Credentials(), configured.issuers).verify(token, "rest", database, NOW)
        assert isinstance(found, Identity)
        return found.auth


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


def test_the_example_of_the_documents_can_be_used(folder: Folder) -> None:
    example = re.search(r"## The identity file\n.*?```toml\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)
    assert example
    configured = folder.read(example[1])
    assert folder.auth_of(configured, sign(firebase_claims(), rsa_key()))["uid"] == "alice"
    assert folder.auth_of(configured, sign({"sub": "bob", "exp": NOW + 9}, ec_key("backend"), "ES256", "backend"))["uid"] == "bob"
    assert folder.auth_of(configured, sign({"v": 0, "iat": NOW, "d": {"uid": "c"}}, SECRET, "HS256", None)) == {"uid": "c"}
    assert [source.issuer for source in configured.sources if not source.file] == ["https://login.example.com/realms/shop"]


def test_the_tables_of_the_documents_are_the_tables_of_the_file() -> None:
    from meadowlark.server import identity_file

    for kind, struct in (("issuers", "_Issuer"), ("tokens", "_TokenKey"), ("secrets", "_Secret")):
        table = re.search(rf"\| in `\[{kind}\.NAME\]`.*?\n\n", DOCUMENT.read_text(), re.DOTALL)
        assert table, kind
        named = re.findall(r"^\| `([a-z_]+)` \|", table[0], re.MULTILINE)
        assert set(named) == set(getattr(identity_file, struct).__struct_fields__), kind


def test_projects_of_the_settings_count_everywhere_and_those_of_the_file_where_it_says(folder: Folder) -> None:
    configured = folder.read(f'[firebase.{PROJECT}]\ndatabases = ["shop"]', firebase_projects=["other"])
    verifier = ServeVerifier(Credentials(), configured.issuers)
    other = firebase_claims(iss="https://securetoken.google.com/other", aud="other")
    assert isinstance(verifier.verify(sign(other, rsa_key()), "rest", "chat", NOW), Identity)
    with pytest.raises(Exception, match="does not count"):
        verifier.verify(sign(firebase_claims(), rsa_key()), "rest", "chat", NOW)


def test_keys_of_an_issuer_may_be_a_file_beside_it(folder: Folder) -> None:
    text = f'[issuers.login]\nissuer = "{ISSUER}"\naudiences = ["a"]\nalgorithms = ["ES256"]\nkeys = "login.json"'
    token = sign({"iss": ISSUER, "aud": "a", "iat": NOW, "exp": NOW + 9, "sub": "u"}, ec_key(), "ES256", "e")
    assert folder.auth_of(folder.read(text), token)["provider"] == "login"


LOGIN = f'[issuers.login]\nissuer = "{ISSUER}"\naudiences = ["a"]\n'
OWN = '[tokens.backend]\nalgorithm = "ES256"\n'


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[issuers", "not TOML"),
        ("[isuers.login]", "isuers"),
        ("[issuers.login]\nissuer = 7\naudiences = ['a']", "issuer"),
        (f"[issuers.login]\nissuer = '{ISSUER}'", "audiences"),
        (f"[issuers.login]\nissuer = '{ISSUER}'\naudiences = []", "audiences"),
        (LOGIN + "algorithm = ['ES256']", "algorithm"),
        (LOGIN + "algorithms = ['HS256']", "'HS256' is not one"),
        (LOGIN + "algorithms = ['none']", "'none' is not one"),
        (LOGIN + "keys = 'http://login.example/keys'", "not https"),
        (LOGIN + "keys = 'nowhere.json'", "cannot be read"),
        (LOGIN + "keys = 'login.json'", "none of its keys is for RS256"),
        (LOGIN + "keys = 'backend.pub.pem'", "not JSON"),
        (LOGIN + "databases = ['../x']", "databases"),
        ("[issuers.login]\nissuer = 'http://login.example'\naudiences = ['a']", "not https"),
        ("[issuers.login]\nissuer = 'login'\naudiences = ['a']", "neither a file nor a URL"),
        (LOGIN + LOGIN.replace("login]", "again]"), "configured twice"),
        (OWN, "key_file"),
        (OWN + "key_file = 'nowhere.pem'", "cannot be read"),
        (OWN + "key_file = 'old-secret'", "cannot be used"),
        (OWN.replace("ES256", "RS256") + "key_file = 'backend.pub.pem'", "a key for none of RS256"),
        (OWN.replace("ES256", "none") + "key_file = 'backend.pub.pem'", "'none' is not one"),
        (OWN.replace("ES256", "HS256") + "key_file = 'backend.pem'", "PEM where a secret"),
        ("[secrets.old]\nsecret_file = 'nowhere'", "cannot be read"),
        ("[firebase.'a/b']", "no id of a Firebase project"),
    ],
)
def test_what_cannot_be_used_is_refused_with_its_place(folder: Folder, text: str, reason: str) -> None:
    refused = folder.refuse(text)
    assert reason in refused
    assert SECRET.decode() not in refused


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o666])
def test_secrets_and_private_keys_are_for_their_owner_alone(folder: Folder, mode: int) -> None:
    folder.put("old-secret", SECRET, mode)
    assert "chmod 600" in folder.refuse("[secrets.old]\nsecret_file = 'old-secret'")
    folder.put("backend.pem", private_pem(ec_key("backend")), mode)
    assert "chmod 600" in folder.refuse(OWN + "key_file = 'backend.pem'")


def test_a_short_secret_is_refused(folder: Folder) -> None:
    folder.put("old-secret", b"x" * 31, 0o600)
    assert "31 bytes" in folder.refuse("[secrets.old]\nsecret_file = 'old-secret'")


def test_no_file_is_said(tmp_path: Path) -> None:
    with pytest.raises(ConfigInvalid, match="cannot be read"):
        read_identity(Config(mode="serve", identity_file=str(tmp_path / "nowhere.toml")))


def test_a_key_to_sign_with_has_to_be_private(folder: Folder) -> None:
    config = folder.config(OWN + "key_file = 'backend.pub.pem'\nissuer = 'us'")
    with pytest.raises(ConfigInvalid, match="no private key"):
        read_token_key(config, "backend", None)
    found = read_token_key(config, "backend", str(folder.path / "backend.pem"))
    assert (found.algorithm, found.claims) == ("ES256", {"iss": "us"})
    with pytest.raises(ConfigInvalid, match=r"there is no \[tokens.other\]"):
        read_token_key(config, "other", None)
