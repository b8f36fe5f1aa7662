"""Production mode before rules: nobody may do anything, the admin credential may do everything, and TLS carries both."""

from __future__ import annotations

import contextlib
import http.client
import socket
import ssl
import stat
import urllib.parse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import firebase_admin
import google.auth.exceptions
import google.oauth2.credentials
import pytest
from firebase_admin import credentials, db, exceptions

from meadowlark.server.credentials_file import add_credential
from tests.conformance.certificates import make_certificate
from tests.conformance.conftest import settings_for
from tests.harness import Script, Server, eventually

pytestmark = pytest.mark.slow

NS = "served"


@pytest.fixture(scope="module")
def production(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """`serve` as it is by default, with one database."""
    folder = tmp_path_factory.mktemp("serve")
    with Server(folder, mode="serve", workers=2, arguments=("--databases", NS)) as running:
        yield running
        running.stop()


@pytest.fixture(scope="module")
def secure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """`serve` with a certificate for localhost and served.localhost."""
    folder = tmp_path_factory.mktemp("tls")
    certificate, key = make_certificate(folder, "localhost", f"{NS}.localhost", "127.0.0.1")
    arguments = ("--databases", NS, "--tls-certificate", str(certificate), "--tls-key", str(key))
    with Server(folder / "data", mode="serve", workers=2, arguments=arguments) as running:
        running.certificate = certificate
        yield running
        running.stop()


# Plain


@pytest.mark.parametrize("how", ["emulator", "url"])
def test_the_sdk_is_denied_everything_in_its_own_words(node: Path, production: Server, how: str) -> None:
    with Script("denied.mjs", settings_for(production, how, NS)) as script:
        told = {name: details for name, *details in script.finish()}
    assert set(told) == {
        "set", "update", "push", "remove", "setPriority", "get", "onValue", "transaction", "onDisconnect",
    }  # fmt: skip
    assert {name for name, details in told.items() if details[0] != "refused"} == set()
    denied = {"code": "PERMISSION_DENIED", "message": "PERMISSION_DENIED: Permission denied"}
    for name in ("set", "update", "push", "remove", "setPriority", "onDisconnect"):
        assert told[name][1] == denied, name
    assert told["onValue"][1] == {
        "code": "PERMISSION_DENIED",
        "message": "permission_denied at /place: Client doesn't have permission to access the desired data.",
    }
    assert "Permission denied" in told["get"][1]["message"]
    assert told["transaction"][1]["message"] == "permission_denied"


def test_the_sdk_with_the_admin_credential_may_do_everything(node: Path, production: Server) -> None:
    with Script("denied.mjs", settings_for(production, "emulator", NS, credential=production.credential)) as script:
        told = {name: details for name, *details in script.finish()}
    assert {name: details[0] for name, details in told.items()} == dict.fromkeys(told, "granted")


def test_rest_without_a_credential_is_denied_and_with_a_wrong_one_too(production: Server) -> None:
    for method, body in (("GET", None), ("PUT", 1), ("PATCH", {"a": 1}), ("POST", 1), ("DELETE", None)):
        answer = production.rest(method, "/place", body, ns=NS, admin=False)
        assert (answer.status, answer.json()) == (401, {"error": "Permission denied"}), method
        for credential in ("owner", "wrong", production.credential + "x", production.credential[:-1]):
            answer = production.rest(method, "/place", body, ns=NS, headers={"Authorization": f"Bearer {credential}"})
            assert answer.status == 401, (method, credential)


def test_the_credential_is_taken_from_header_and_from_either_parameter(production: Server) -> None:
    production.write("/kept", "here", ns=NS)
    assert production.read("/kept", ns=NS) == "here"
    for parameter in ("auth", "access_token"):
        answer = production.rest("GET", "/kept", ns=NS, admin=False, query=f"{parameter}={production.credential}")
        assert (answer.status, answer.json()) == (200, "here"), parameter


def test_the_credential_file_is_for_the_owner_alone(production: Server) -> None:
    mode = (production.data / "admin-credential").stat().st_mode
    assert stat.S_IMODE(mode) == 0o600
    assert len(production.credential) >= 32
    assert production.credential not in production.output()


def test_an_unknown_database_is_not_made_by_touching_it(production: Server) -> None:
    assert production.rest("GET", "/", ns="nobody-made-me").status == 404
    assert production.rest("PUT", "/x", 1, ns="nobody-made-me").status == 404
    assert not (production.data / "databases" / "nobody-made-me").exists()


def test_an_admin_makes_a_database_while_the_server_runs(production: Server) -> None:
    assert production.rest("PUT", "/.meadowlark/databases/made-later", {}, admin=False).status == 401
    production.create("made-later")
    production.write("/x", 1, ns="made-later")
    assert production.read("/", ns="made-later") == {"x": 1}


@pytest.mark.parametrize("name", ["..", "../outside", "a/b", ".hidden", "", "a" * 64, "ünï", "a%2fb", "-x"])
def test_a_name_that_is_no_name_is_refused(production: Server, name: str) -> None:
    before = sorted(path.name for path in production.data.parent.rglob("*") if path.is_dir())
    answer = production.rest("PUT", "/x", 1, query=f"ns={urllib.parse.quote(name, safe='')}")
    assert answer.status in (400, 404)
    assert sorted(path.name for path in production.data.parent.rglob("*") if path.is_dir()) == before


# TLS


def test_firebase_admin_for_node_with_the_credential_as_its_access_token(node: Path, secure: Server) -> None:
    settings = settings_for(secure, "admin", NS, credential=secure.credential, wrong="ya29.some-other-token")
    environment = {"NODE_EXTRA_CA_CERTS": str(secure.certificate)}
    with Script("admin_serve.mjs", settings, environment=environment) as script:
        events = script.finish()
    assert [event for event in events if event[0] == "transaction"] == [["transaction", True, 1]]
    values = [event[1] for event in events if event[0] == "value"]
    assert values == [None, {"by": "admin"}, {"by": "admin", "more": 1}, {"by": "admin", "more": 1, "n": 1}]
    ((_, outcome, *_rest),) = (event for event in events if event[0] == "stranger")
    assert outcome in ("refused", "waits")


def test_firebase_admin_for_python_over_tls(secure: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """It names the database by the host, so `served.localhost` has to lead to loopback."""
    look_up = socket.getaddrinfo

    def loopback(host: Any, *rest: Any, **more: Any) -> Any:
        return look_up("127.0.0.1" if host == f"{NS}.localhost" else host, *rest, **more)

    monkeypatch.setattr(socket, "getaddrinfo", loopback)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(secure.certificate))

    class Token(credentials.Base):
        def __init__(self, token: str) -> None:
            super().__init__()
            self._token = token

        def get_credential(self) -> Any:
            return google.oauth2.credentials.Credentials(self._token)

    options = {"databaseURL": f"https://{NS}.localhost:{secure.port}"}
    trusted = firebase_admin.initialize_app(Token(secure.credential), options, name="trusted")
    made = add_credential(str(secure.data), "python", databases=[NS], reads_only=True)
    reader = firebase_admin.initialize_app(Token(made), options, name="reader")
    stranger = firebase_admin.initialize_app(Token("wrong"), options, name="stranger")
    try:
        reference = db.reference("/python", trusted)
        reference.set({"a": [1, 2]})
        assert reference.get() == {"a": [1, 2]}
        with pytest.raises((exceptions.UnauthenticatedError, google.auth.exceptions.RefreshError)):
            db.reference("/python", stranger).get()
        bounded = db.reference("/python", reader)
        eventually(lambda: _reads(bounded), what="the new credential is known")
        with pytest.raises((exceptions.UnauthenticatedError, google.auth.exceptions.RefreshError)):
            bounded.set(1)
        assert reference.get() == {"a": [1, 2]}
    finally:
        firebase_admin.delete_app(reader)
        firebase_admin.delete_app(trusted)
        firebase_admin.delete_app(stranger)


def _reads(reference: db.Reference) -> bool:
    with contextlib.suppress(exceptions.UnauthenticatedError, google.auth.exceptions.RefreshError):
        return bool(reference.get() == {"a": [1, 2]})
    return False


def test_plain_http_to_the_tls_port_does_no_harm(secure: Server) -> None:
    with socket.create_connection(("127.0.0.1", secure.port), timeout=30) as plain:
        plain.sendall(b"GET /.json?ns=served HTTP/1.1\r\nHost: localhost\r\n\r\n")
        try:
            said = plain.recv(1000)
        except ConnectionResetError:
            said = b""
    assert b"200 OK" not in said
    context = ssl.create_default_context(cafile=str(secure.certificate))
    with contextlib.closing(http.client.HTTPSConnection("localhost", secure.port, timeout=30, context=context)) as good:
        good.request("GET", f"/.json?ns={NS}&auth={secure.credential}&print=silent")
        assert good.getresponse().status == 204
