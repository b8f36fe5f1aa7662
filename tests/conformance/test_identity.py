"""Identity against `serve` as it runs: tokens on the socket and over REST, keys from a server, credentials that come and go."""

from __future__ import annotations

import contextlib
import http.client
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import firebase_admin
import firebase_admin.auth
import pytest
from firebase_admin import credentials

from meadowlark.auth.credentials import Credentials
from meadowlark.auth.identity import Identity
from meadowlark.auth.verifier import ServeVerifier
from meadowlark.server.config import Config
from meadowlark.server.identity_file import read_identity
from meadowlark.server.routing import owner_of
from tests.auth.signing import (
    SECRET,
    certificate_pem,
    ec_key,
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
)
from tests.conformance.conftest import settings_for
from tests.harness import PROJECT as ROOT
from tests.harness import Script, Server, eventually
from tests.server.key_server import KeyServer
from tests.server.sockets import Socket

pytestmark = pytest.mark.slow

SHOP, CHAT, CLUB = "shop", "chat", "club"
assert owner_of(SHOP, 2) != owner_of(CHAT, 2), "each worker looks at the list of credentials in its own second"
ISSUERS = ("login", "club")


@pytest.fixture(scope="module")
def keys() -> Iterator[KeyServer]:
    with KeyServer() as server:
        server.answers["/google"] = json.dumps({"one": certificate_pem("one").decode()}).encode()
        for name in ISSUERS:
            document = {"issuer": f"{server.url}/{name}", "jwks_uri": server.url + "/jwks"}
            server.answers[f"/{name}/.well-known/openid-configuration"] = json.dumps(document).encode()
        server.answers["/jwks"] = jwks(jwk(ec_key(), "e"))
        yield server


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, keys: KeyServer) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("identity")
    for name, text in (("backend.pem", private_pem(ec_key("backend"))), ("secret", SECRET)):
        (folder / name).write_bytes(text)
        (folder / name).chmod(0o600)
    (folder / "identity.toml").write_text(f"""
[issuers.login]
issuer = "{keys.url}/login"
audiences = ["web"]
algorithms = ["ES256"]

[issuers.club]
issuer = "{keys.url}/club"
audiences = ["web"]
algorithms = ["ES256"]
uid = "email"
provider = "members"

[tokens.backend]
algorithm = "ES256"
key_file = "backend.pem"

[secrets.old]
secret_file = "secret"
databases = ["{SHOP}"]
""")
    arguments = (
        "--databases", f"{SHOP},{CHAT},{CLUB}", "--firebase-projects", "my-project", "--firebase-keys", keys.url + "/google",
        "--identity-file", str(folder / "identity.toml"), "--log-level", "debug",
    )  # fmt: skip
    with Server(folder / "data", mode="serve", workers=2, arguments=arguments) as running:
        yield running
        running.stop()


def command(*arguments: str) -> str:
    made = subprocess.run(
        [sys.executable, "-m", "meadowlark.cli", *arguments], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert made.returncode == 0, made.stderr
    return made.stdout.strip()


def now_claims(**more: Any) -> dict[str, Any]:
    now = int(time.time())
    return firebase_claims(iat=now, auth_time=now, exp=now + 3600, **more)


def own(seconds: float = 600, **more: Any) -> str:
    return sign({"sub": "carol", "exp": time.time() + seconds, **more}, ec_key("backend"), "ES256", "backend")


def auth(server: Server, credential: str, ns: str = SHOP) -> tuple[str, Any]:
    one = Socket(server.port, ns)
    answer = one.ask("auth", {"cred": credential})
    one.close()
    return answer["s"], answer["d"]


def get(server: Server, credential: str, ns: str = SHOP, path: str = "/x") -> tuple[int, Any]:
    answer = server.rest("GET", path, ns=ns, admin=False, headers={"Authorization": f"Bearer {credential}"})
    return answer.status, answer.json()


DENIED = (401, {"error": "Permission denied"})
"""A user who is known, where rules do not exist yet."""


def test_a_firebase_user_is_told_who_it_is(server: Server, keys: KeyServer) -> None:
    token = sign(now_claims(), rsa_key())
    status, told = auth(server, token)
    assert status == "ok"
    assert told["auth"]["uid"] == "alice"
    assert told["auth"]["token"]["user_id"] == "alice"
    assert told["expires"] == now_claims()["exp"] or told["expires"] > time.time()
    assert get(server, token) == DENIED
    assert server.rest("GET", "/x", ns=SHOP, admin=False, query=f"auth={token}").status == 401
    assert keys.asked.count("/google") <= server.workers, "once a worker"


def test_a_user_of_an_openid_issuer_is_found_by_discovery(server: Server, keys: KeyServer) -> None:
    now = int(time.time())
    claims = {"iss": keys.url + "/login", "aud": "web", "sub": "u-7", "iat": now, "exp": now + 60}
    assert auth(server, sign(claims, ec_key(), "ES256", "e"), CHAT)[1]["auth"]["provider"] == "login"


def test_the_claim_that_is_configured_is_the_uid(server: Server, keys: KeyServer) -> None:
    def token(issuer: str, **more: Any) -> str:
        now = int(time.time())
        claims = {"iss": f"{keys.url}/{issuer}", "aud": "web", "sub": "u-7", "iat": now, "exp": now + 60, **more}
        return sign(claims, ec_key(), "ES256", "e")

    rules = {"rules": {"$user": {".read": "auth.uid.replace('.', ',') === $user && auth.token.sub === 'u-7'"}}}
    assert server.rest("PUT", "/.settings/rules", rules, ns=CLUB).status == 200
    status, told = auth(server, token("club", email="zoe@club.example"), CLUB)
    assert (status, told["auth"]["uid"], told["auth"]["provider"]) == ("ok", "zoe@club.example", "members")
    assert told["auth"]["token"]["sub"] == "u-7"
    assert get(server, token("club", email="zoe@club.example"), CLUB, "/zoe@club,example") == (200, None)
    assert get(server, token("club", email="yan@club.example"), CLUB, "/zoe@club,example") == DENIED
    assert get(server, token("club", email="zoe@club.example"), CLUB, "/u-7") == DENIED
    # Another issuer's users are whom that one's table says, whatever else their tokens claim.
    assert get(server, token("login", email="zoe@club.example"), CLUB, "/zoe@club,example") == DENIED
    assert get(server, token("login", email="zoe@club.example"), CLUB, "/u-7") == (200, None)
    for wrong in ({}, {"email": ""}, {"email": 7}, {"email": ["zoe@club.example"]}, {"email": "z" * 257}):
        assert auth(server, token("club", **wrong), CLUB)[0] == "invalid_token", wrong
        assert get(server, token("club", **wrong), CLUB)[0] == 401, wrong


def test_a_token_of_the_command_is_believed(server: Server, tmp_path: Path) -> None:
    identity = str(server.data.parent / "identity.toml")
    token = command(
        "token", "dora", "--claims", '{"tier":"gold"}', "--expires", "5m", "--key", "backend", "--identity-file", identity
    )
    status, told = auth(server, token)
    assert (status, told["auth"]["uid"], told["auth"]["token"]["tier"]) == ("ok", "dora", "gold")
    assert auth(server, command("token", "dora"))[0] == "invalid_token"


def test_a_database_secret_counts_in_its_database_only(server: Server) -> None:
    token = sign({"v": 0, "iat": int(time.time()), "d": {"uid": "old"}}, SECRET, "HS256", None)
    assert auth(server, token) == (
        "ok",
        {"auth": {"uid": "old"}, "expires": json.loads(json.dumps(auth(server, token)[1]["expires"]))},
    )
    assert auth(server, token, CHAT)[0] == "invalid_token"
    assert get(server, SECRET.decode())[0] == 200
    assert get(server, SECRET.decode(), CHAT)[0] == 401


def test_attacks_are_refused_on_both_ways_in_and_logged_nowhere(server: Server, keys: KeyServer) -> None:
    assert auth(server, sign(now_claims(), rsa_key()))[0] == "ok", "the key is known that attackers know too"
    served = json.loads(keys.answers["/google"])["one"].encode()  # type: ignore[arg-type]
    public = [public_pem(rsa_key()), served]
    attacks = [
        *(forge_hmac({"alg": "HS256", "kid": "one"}, now_claims(), text) for pem in public for text in (pem, pem.strip())),
        forge({"alg": "none", "type": "JWT"}, now_claims()),
        forge({"alg": "none", "kid": "one"}, now_claims(), b"x"),
        sign(now_claims(), rsa_key("stranger")),
        sign(now_claims(), rsa_key("stranger"), jwk=jwk(rsa_key("stranger"), "one"), jku="http://127.0.0.1:1/"),
        sign(now_claims(aud="other"), rsa_key()),
        sign(now_claims(iss="https://securetoken.google.com/other"), rsa_key()),
        sign(now_claims(), rsa_key(), kid="../../dev/null"),
        sign({"sub": "x", "exp": time.time() + 60}, SECRET, "HS256", None),
        sign(now_claims() | {"nbf": int(time.time()) + 3600}, rsa_key()),
        sign(now_claims() | {"iat": int(time.time()) + 3600}, rsa_key()),
        f"{part(b'not JSON')}.{part(b'[1]')}.{part(bytes(256))}",
        own()[:-4] + "AAAA",
        "x" * 20_000,
        "owner",
    ]
    for attack in attacks:
        assert auth(server, attack)[0] == "invalid_token"
        status, answer = get(server, attack)
        assert (status, answer["error"].startswith("Could not parse auth token")) == (401, True)
    expired = own(-5)
    assert auth(server, expired) == ("expired_token", "Auth token is expired.")
    assert get(server, expired) == (401, {"error": "Auth token is expired."})
    output = server.output()
    for attack in [*attacks, expired]:
        assert attack == "owner" or attack not in output
        assert all(len(piece) < 30 or piece not in output for piece in attack.split("."))


def test_the_sdk_shows_a_signed_token_and_is_who_it_says(node: Path, server: Server) -> None:
    """npm firebase sends a text for `mockUserToken` as it is, on the socket."""
    admin = sign({"v": 0, "iat": int(time.time()), "admin": True}, SECRET, "HS256", None)
    for token, told in ((admin, "granted"), (own(iat=int(time.time())), "refused")):
        with Script("denied.mjs", settings_for(server, "emulator", SHOP, credential=token)) as script:
            events = {name: details for name, *details in script.finish()}
        assert {details[0] for details in events.values()} == {told}


def test_an_expiry_is_pushed(server: Server) -> None:
    one = Socket(server.port, SHOP)
    assert one.ask("auth", {"cred": own(5)})["s"] == "ok"
    message = one.receive()
    assert message["d"] == {"a": "ac", "b": {"s": "expired_token", "d": "Auth token is expired."}}
    one.close()


def test_a_slow_key_server_keeps_only_those_waiting_who_need_it(server: Server, keys: KeyServer) -> None:
    """A token with a key that is not known yet, past the time in which that may not be asked again."""
    keys.answers["/google"] = json.dumps({name: certificate_pem(name).decode() for name in ("one", "two")}).encode()
    server.stop()
    server.start()
    keys.holds.clear()
    waiting = Socket(server.port, SHOP)
    asked = [
        waiting.send("auth", {"cred": sign(now_claims(), rsa_key("two"), kid="two")}),
        waiting.send("g", {"p": "/x", "q": {}}),
    ]
    other = Socket(server.port, SHOP)
    for _ in range(20):
        assert other.ask("auth", {"cred": own()})["s"] == "ok"
    with pytest.raises(TimeoutError):
        waiting.receive(within=0.2)
    keys.holds.set()
    assert waiting.answer_to(asked[0])["s"] == "ok"
    assert waiting.answer_to(asked[1])["s"] == "permission_denied"
    waiting.close()
    other.close()


def test_a_machine_without_a_way_to_google_goes_by_the_file_as_it_is_now(tmp_path: Path) -> None:
    file = tmp_path / "certificates.json"

    def put(text: bytes) -> None:
        (tmp_path / "new").write_bytes(text)
        (tmp_path / "new").replace(file)

    def published(*names: str) -> bytes:
        return json.dumps({name: certificate_pem(name).decode() for name in names}).encode()

    def statuses(running: Server, token: str) -> set[tuple[str, bool]]:
        """Of some connections each: on both workers, some."""
        return {(auth(running, token)[0], get(running, token)[1]["error"] == "Permission denied") for _ in range(6)}

    known, unknown = {("ok", True)}, {("invalid_token", False)}
    old, new = sign(now_claims(), rsa_key()), sign(now_claims(), rsa_key("two"), kid="two")
    put(published("one"))
    arguments = ("--databases", SHOP, "--firebase-projects", "my-project", "--firebase-keys", str(file))
    with Server(tmp_path / "data", mode="serve", workers=2, arguments=arguments) as running:
        assert statuses(running, old) == known
        assert statuses(running, new) == unknown
        put(published("one", "two"))
        eventually(lambda: statuses(running, new) == known, what="the new key is known")
        assert statuses(running, old) == known
        put(published("two"))
        eventually(lambda: statuses(running, old) == unknown, what="the old key is not believed any more")
        assert statuses(running, sign(now_claims(sub="bert"), rsa_key())) == unknown
        assert statuses(running, new) == known
        put(b"no keys")
        eventually(lambda: "keys not read" in running.output(), what="the file that cannot be used is told of")
        assert statuses(running, new) == known
        running.stop()
        code, output = running.run_refused()
        assert code == 2
        assert "certificates.json of firebase_keys cannot be used: it is not JSON" in output


def test_credentials_come_and_go_while_the_server_runs(server: Server) -> None:
    data = ("--data", str(server.data))
    everywhere = command("credentials", "add", "ops", *data)
    reader = command("credentials", "add", "reader", "--database", CHAT, "--read-only", *data)
    eventually(lambda: get(server, reader, CHAT)[0] == 200, what="the new credential is known")
    eventually(lambda: get(server, everywhere)[0] == 200, what="the other worker has looked too")
    assert get(server, reader, SHOP)[0] == 401
    bearer = {"Authorization": f"Bearer {reader}"}
    for method, path in (("PUT", "/x"), ("PATCH", "/"), ("POST", "/x"), ("DELETE", "/x")):
        body = {"a": 1} if method != "DELETE" else None
        answer = server.rest(method, path, body, ns=CHAT, admin=False, headers=bearer)
        assert answer.status == 401, method
    override = server.rest("PUT", "/x", 1, ns=CHAT, admin=False, headers=bearer, query='auth_variable_override={"uid":"x"}')
    assert override.status == 401
    assert server.rest("PUT", "/.settings/rules", {}, ns=CHAT, admin=False, headers=bearer).status == 401
    assert server.rest("GET", "/.meadowlark/databases", ns=CHAT, admin=False, headers=bearer).status == 401
    assert (
        server.rest("GET", "/.meadowlark/databases", admin=False, headers={"Authorization": f"Bearer {everywhere}"}).status == 200
    )
    one = Socket(server.port, CHAT)
    assert one.ask("gauth", {"cred": reader})["s"] == "ok"
    assert one.ask("q", {"p": "/room", "h": ""})["s"] == "ok"
    for action, more in (("p", {"d": 1}), ("m", {"d": {"a": 1}}), ("o", {"d": 1}), ("om", {"d": {"a": 1}})):
        assert one.ask(action, {"p": "/room", **more})["s"] == "permission_denied", action
    listed = command("credentials", "list", *data)
    assert [line.split("\t")[:3] for line in listed.splitlines()] == [
        ["ops", "all databases", "read and write"],
        ["reader", CHAT, "read only"],
    ]
    assert reader not in listed
    command("credentials", "revoke", "reader", *data)
    heard = [one.receive()["d"] for _ in range(2)]
    assert heard[0] == {"a": "ac", "b": {"s": "invalid_token", "d": "This credential has been revoked."}}
    assert heard[1] == {"a": "c", "b": {"p": "room"}}
    assert get(server, reader, CHAT)[0] == 401
    assert get(server, everywhere, CHAT)[0] == 200
    assert reader not in server.output()
    with contextlib.suppress(Exception):
        one.close()


def test_a_stream_ends_with_its_token(server: Server) -> None:
    reader = command("credentials", "add", "streamer", "--data", str(server.data))
    eventually(lambda: get(server, reader)[0] == 200, what="the new credential is known")
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    connection.request("GET", f"/x.json?ns={SHOP}&auth={reader}", headers={"Accept": "text/event-stream"})
    answer = connection.getresponse()
    assert answer.readline() == b"event: put\n"
    command("credentials", "revoke", "streamer", "--data", str(server.data))
    assert b"event: auth_revoked\ndata: credential is no longer valid\n" in answer.read()
    connection.close()


def test_a_server_with_an_identity_file_that_cannot_be_used_does_not_start(tmp_path: Path) -> None:
    (tmp_path / "identity.toml").write_text('[tokens.a]\nalgorithm = "none"\nkey_file = "x"\n')
    refused = Server(tmp_path / "data", mode="serve", arguments=("--identity-file", str(tmp_path / "identity.toml")))
    code, output = refused.run_refused()
    assert code == 2
    assert "'none' is not one of" in output


def test_a_custom_token_of_the_admin_sdk_is_believed_as_it_is_made(tmp_path: Path) -> None:
    """By its service account's key, without the exchange at Google that makes an ID token of it."""
    account = {
        "type": "service_account",
        "project_id": "my-project",
        "private_key": private_pem(rsa_key("service")).decode(),
        "client_email": "backend@my-project.iam.gserviceaccount.com",
        "token_uri": "http://127.0.0.1:1/never-asked",
    }
    application = firebase_admin.initialize_app(credentials.Certificate(account), name="maker")
    try:
        token = firebase_admin.auth.create_custom_token("erin", {"vip": True}, application).decode()
    finally:
        firebase_admin.delete_app(application)
    (tmp_path / "service.pem").write_bytes(public_pem(rsa_key("service")))
    (tmp_path / "identity.toml").write_text(f"""
[tokens.service]
algorithm = "RS256"
key_file = "service.pem"
issuer = "{account["client_email"]}"
audience = "https://identitytoolkit.googleapis.com/google.identity.identitytoolkit.v1.IdentityToolkit"
""")
    configured = read_identity(Config(mode="serve", identity_file=str(tmp_path / "identity.toml")))
    found = ServeVerifier(Credentials(), configured.issuers).verify(token, "auth", SHOP, time.time())
    assert isinstance(found, Identity)
    assert found.auth is not None
    assert (found.auth["uid"], found.auth["provider"], found.auth["token"]["vip"]) == ("erin", "custom", True)
