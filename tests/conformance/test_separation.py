"""Databases cannot see each other: whoever has every right in one of them reads, hears and changes nothing in another.

A server in `serve` with a certificate. In `arena` the rules are open, and there is an administrator of it alone. Beside it are
`vault`, on the same worker, and `tower`, on another, whose canary nobody there may meet: not by names that are spelled, encoded,
doubled or mixed with hosts in whatever way, on no transport, and not with what one database gave out (sessions, credentials).
"""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import ssl
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest

from meadowlark.server.credentials_file import add_credential
from meadowlark.server.routing import owner_of
from tests.auth.signing import SECRET
from tests.conformance.adversary import WAYS, token_of
from tests.conformance.certificates import make_certificate
from tests.harness import Response, Server, eventually
from tests.server.event_streams import EventStream
from tests.server.polling import Polling
from tests.server.sockets import Socket
from tests.server.transports import Transport

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

NS, VAULT, TOWER = "arena", "vault", "tower"
HIDDEN = (VAULT, TOWER)
CANARY = "nobody-may-see-this"
KEY = "canary-key"
SECONDS = 30.0

assert owner_of(NS, 2) == owner_of(VAULT, 2) != owner_of(TOWER, 2)


class Prison:
    """The server, and what somebody has who is at home in `arena` alone."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.warden = add_credential(str(server.data), "warden", databases=[NS])
        """An administrator of `arena`."""
        token = token_of({"uid": "a", "admin": True})
        assert token is not None
        self.token = token
        eventually(lambda: self.rest("GET", "/.json?ns=arena", self.warden).status == 200, what="the warden is known")

    def rest(self, method: str, target: str, credential: str | None, body: Any = None, **headers: str) -> Response:
        named = {name.replace("_", "-"): text for name, text in headers.items()}
        if credential is not None:
            named["Authorization"] = f"Bearer {credential}"
        with contextlib.closing(self.server.connect(SECONDS)) as connection:
            return self.ask(connection, method, target, body, named)

    @staticmethod
    def ask(connection: Any, method: str, target: str, body: Any, headers: dict[str, str]) -> Response:
        """One answer on `connection`, which may be used again."""
        content = None if method in ("GET", "HEAD") else json.dumps(body).encode()
        try:
            connection.request(method, target, content, headers)
            answer = connection.getresponse()
        except (OSError, http.client.HTTPException):
            connection.close()
            connection.request(method, target, content, headers)
            answer = connection.getresponse()
        return Response(answer.status, answer.headers, answer.read())

    def hidden(self) -> list[bytes]:
        """All that is hidden, as its owner sees it: data, rules, and which databases there are."""
        found = [self.server.rest("GET", "/", ns=name, query="format=export").body for name in HIDDEN]
        found += [self.server.rest("GET", f"/.meadowlark/rules/{name}").body for name in HIDDEN]
        return [*found, self.server.rest("GET", "/.meadowlark/databases").body]


@pytest.fixture(scope="module")
def prison(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prison]:
    folder = tmp_path_factory.mktemp("separation")
    (folder / "secret").write_bytes(SECRET)
    (folder / "secret").chmod(0o600)
    (folder / "identity.toml").write_text(f'[secrets.old]\nsecret_file = "secret"\ndatabases = ["{NS}"]\n')
    certificate, key = make_certificate(folder, "localhost", "127.0.0.1")
    arguments = (
        "--identity-file", str(folder / "identity.toml"), "--databases", ",".join((NS, *HIDDEN)), "--durability", "relaxed",
        "--tls-certificate", str(certificate), "--tls-key", str(key),
    )  # fmt: skip
    running = Server(folder / "data", mode="serve", workers=2, arguments=arguments)
    running.certificate = certificate
    with running:
        assert running.rest("PUT", "/.settings/rules", {"rules": {".read": True, ".write": True}}, ns=NS).status == 200
        for name in HIDDEN:
            running.write("/", {"a": CANARY, KEY: {"a": CANARY}}, ns=name)
            rules = {"rules": {KEY: {".read": f"auth.uid === '{CANARY}'"}}}
            assert running.rest("PUT", "/.settings/rules", rules, ns=name).status == 200
        yield Prison(running)
        running.stop()


@pytest.fixture(autouse=True)
def unchanged(prison: Prison) -> Iterator[None]:
    before = prison.hidden()
    assert sum(CANARY.encode() in text for text in before) == 2, "there is something to be seen"
    yield
    assert prison.hidden() == before


def is_clean(text: bytes) -> bool:
    return CANARY.encode() not in text and KEY.encode() not in text


NAMES = (
    "arena/../{}", "arena%2F..%2F{}", "arena%252F..%252F{}", "../{}", "%2E%2E%2F{}", "./{}", "{}%00", "%00{}", "arena%00{}",
    "{}%20", "%20{}", "{}+", "{}.", "{}/", "/{}", "{}%2F", "{}%5C", "arena%5C..%5C{}", "%FF{}", "{}%0A", "{}%0D%0A",
    "arena%0A{}", "{}%09", "arena%26ns%3D{}", "arena&ns={}", "{}&ns=arena", "arena;ns={}", "arena&Ns={}", "arena&NS={}",
    "arena&n%73={}", "n&%6Es={}", "arena,{}", "{}#", "arena#&ns={}", "{}?ns=arena", "{}%3Fns=arena", "arena%23{}", "{}\u200b",
    "{}%E2%80%8B", "{}\u0301", "\uff56\uff41\uff55\uff4c\uff54", "t\u043ewer", "{}:9000", "{}@arena", "arena@{}", "{}.arena",
    "arena.{}", "{}.localhost", ".default", "{}/.settings/rules.json", "arena/.settings/rules.json%3Fns={}",
    "arena/.settings/rules.json?ns={}", "", "%", "%zz{}", "null", "*", "{}*", "[{}]", "['{}']", "-{}", "_{}", "{}" + "x" * 200,
    "x" * 70_000,
)  # fmt: skip
"""Of databases, as they stand in a query, but for what is no ASCII; `{}` is the one that is meant."""


def names() -> list[str]:
    """Every spelling of both, and other cases of them."""
    spelled = [name.replace("{}", hidden) for name in NAMES for hidden in HIDDEN]
    cased = [change(hidden) for hidden in HIDDEN for change in (str.upper, str.title, lambda name: name[:1].upper() + name[1:])]
    encoded = ["".join(f"%{ord(letter):02x}" for letter in hidden) for hidden in HIDDEN]
    return list(dict.fromkeys([*spelled, *cased, *encoded, *HIDDEN]))


def escaped(name: str) -> str:
    return quote(name, safe="%/&=;,#?:@.*[]'+")


PLACES = (
    "/.json", "/a.json", "/../{}/a.json", "/%2E%2E/{}/.json", "//{}/a.json", "/..%2f{}%2fa.json", "/%00{}.json",
    "/a.json/../../{}.json", "/{}:/a.json", "/.settings/rules.json", "/.settings/profile.json",
    "/.settings/defaultWriteSizeLimit.json",
)  # fmt: skip
SERVER_PLACES = (
    "/.meadowlark/rules/{}.json", "/.meadowlark/rules/{}.json.json", "/.meadowlark/rules/%2E%2E%2F{}.json",
    "/.meadowlark/rules/arena%2F..%2F{}.json", "/.meadowlark/rules/arena.json/../{}.json", "/.meadowlark/rules/{}%00.json",
    "/.meadowlark/rules.json", "/.meadowlark/profile/{}.json", "/.meadowlark/explain/{}.json",
    "/.meadowlark/databases/{}.json", "/.meadowlark/databases/arena%2F..%2F{}.json", "/.meadowlark/databases.json",
    "/.meadowlark/metrics.json", "/metrics", "/.inspect/databases.json", "/.inspect/coverage.json", "/.inspect/coverage",
    "/v1beta/projects/p/locations/-/instances", "/v1beta/projects/p/locations/-/instances/{}", "/v1beta1/projects/p",
    "/v1beta1/projects/{}",
)  # fmt: skip
"""The server's own, of which none is for who is at home in one database, and those of other databases."""


def test_no_name_reaches_another_database_over_rest(prison: Prison) -> None:
    """With every right in its own database, as a user and as its administrator."""
    connection = prison.server.connect(SECONDS)
    for name in names():
        for credential in (prison.token, prison.warden):
            headers = {"Authorization": f"Bearer {credential}"}
            for place in PLACES if name.startswith(("arena/..", "arena&", "vault", "tower")) else PLACES[:1]:
                for hidden in HIDDEN if "{}" in place else HIDDEN[:1]:
                    target = f"{place.replace('{}', hidden)}?ns={escaped(name)}"
                    told = prison.ask(connection, "GET", target, None, headers)
                    assert is_clean(told.body), (target, told)
            for method in ("PUT", "PATCH", "DELETE"):
                told = prison.ask(connection, method, f"/a.json?ns={escaped(name)}", {"seen": 1}, headers)
                assert is_clean(told.body)
    connection.close()


@pytest.mark.parametrize("hidden", HIDDEN)
def test_no_host_and_no_mixture_of_host_and_name_reaches_another_database(prison: Prison, hidden: str) -> None:
    hosts = [
        f"{hidden}.localhost", f"{hidden.upper()}.localhost", f"{hidden}.localhost:9", f"{hidden}.example.com",
        f"{hidden}.arena.localhost", f"arena.{hidden}.localhost", f"{hidden}%2Earena.localhost",
        f"{hidden}%00.arena.localhost", f"{hidden}/.arena.localhost", f"arena.localhost, {hidden}.localhost",
        f"[{hidden}].localhost", f"{hidden}.localhost.", "localhost", "127.0.0.1", "[::1]",
    ]  # fmt: skip
    connection = prison.server.connect(SECONDS)
    for host in hosts:
        for query in (
            "",
            "?ns=arena",
            f"?ns={hidden}",
            f"?ns=arena&ns={hidden}",
            f"?ns={hidden}&ns=arena",
            "?ns=",
            "?ns=arena&ns=",
        ):
            for credential in (prison.token, prison.warden):
                for method, place in (("GET", "/.json"), ("GET", "/.settings/rules.json"), ("PUT", "/seen.json")):
                    headers = {
                        "Authorization": f"Bearer {credential}", "Host": host, "X-Forwarded-Host": f"{hidden}.localhost",
                        "X-Original-URL": f"/.json?ns={hidden}", "Forwarded": f"host={hidden}.localhost",
                    }  # fmt: skip
                    told = prison.ask(connection, method, place + query, 1, headers)
                    assert is_clean(told.body), (method, place, query, host)
    connection.close()


def test_no_odd_request_reaches_another_database(prison: Prison) -> None:
    """Bytes that no library would send, and greetings that name another server than their requests."""
    asked = answered = 0
    for hidden in HIDDEN:
        for line, more in (
            (f"GET http://{hidden}.localhost/.json?ns=arena HTTP/1.1", ""),
            (f"GET https://{hidden}.localhost/.json HTTP/1.1", ""),
            (f"GET http://arena.localhost/.json?ns={hidden} HTTP/1.1", ""),
            (f"GET /.json?ns=arena HTTP/1.1\r\nHost: {hidden}.localhost", ""),
            ("GET /.json HTTP/1.1", f"Host: {hidden}.localhost\r\n"),
            (f"GET /.json?ns={hidden}\x00&ns=arena HTTP/1.1", ""),
            (f"GET /.json?ns=arena\x00{hidden} HTTP/1.1", ""),
            (f"GET /.json?ns=arena\t&ns={hidden} HTTP/1.1", ""),
            (f"GET /.json?ns=arena&ns={hidden} HTTP/1.0", ""),
            (f"GET /.json?ns=arena HTTP/1.1\r\nX: y\n\nGET /.json?ns={hidden} HTTP/1.1", ""),
            (f"GET {hidden}.localhost/.json?ns=arena HTTP/1.1", ""),
            (f"GET /.json?ns=arena#?ns={hidden} HTTP/1.1", ""),
            (f"CONNECT {hidden}.localhost:443 HTTP/1.1", ""),
            (f"PUT /a.json?ns={hidden} HTTP/1.1", "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n"),
        ):
            for greeting in ("arena.localhost", f"{hidden}.localhost", None):
                for credential in (prison.token, prison.warden):
                    head = f"{line}\r\nHost: arena.localhost\r\nAuthorization: Bearer {credential}\r\n{more}"
                    head += "Connection: close\r\n\r\n"
                    told = say(prison.server, head.encode("latin-1"), greeting)
                    assert is_clean(told), (line, greeting)
                    answered += told.startswith(b"HTTP/1.1 ")
                    asked += 1
    assert answered > asked / 2, "the canary could have been in most of them"


def say(server: Server, head: bytes, greeting: str | None) -> bytes:
    """What is answered to `head` by a server that is greeted by that name, until it ends the connection."""
    context = server.context
    assert context is not None
    found = b""
    with (
        socket.create_connection(("127.0.0.1", server.port), timeout=SECONDS) as plain,
        contextlib.suppress(ssl.SSLError, OSError),
        context.wrap_socket(plain, server_hostname=greeting) as secure,
    ):
        secure.sendall(head + b"null")
        while piece := secure.recv(65536):
            found += piece
    return found


@pytest.mark.parametrize("hidden", HIDDEN)
def test_the_servers_own_addresses_tell_nobody_who_is_at_home_elsewhere(prison: Prison, hidden: str) -> None:
    question = {"operation": "read", "path": f"/{KEY}", "as": CANARY}
    for place in SERVER_PLACES:
        for query in ("?ns=arena", f"?ns={hidden}", f"?ns=arena&seconds=0.05&version=1&databaseId={hidden}x", ""):
            for method, body in (
                ("GET", None),
                ("PUT", {"rules": {}}),
                ("POST", question),
                ("POST", {"restore": 1}),
                ("DELETE", None),
            ):
                for credential in (prison.token, prison.warden, None):
                    target = place.replace("{}", hidden) + query
                    told = prison.rest(method, target, credential, body, Host="arena.localhost")
                    assert told.status in (400, 401, 404, 405), (method, target, told)
                    assert is_clean(told.body), told
                    # A refusal may repeat what was asked for, and says no more.
                    assert told.body.startswith(b'{"error":') or hidden.encode() not in told.body, told


def attempts(prison: Prison, name: str) -> Iterator[Any]:
    """Realtime connections that say they are for `name`, as far as they come about."""
    server = prison.server
    for way in WAYS.values():
        with contextlib.suppress(Exception):
            yield way(server.port, name, context=server.context)
    with contextlib.suppress(Exception):
        # At an address that was given out for `arena`, with another name in it.
        yield Transport(server.port, NS, context=server.context, asked_for=name)


REQUESTS: Any = (
    ("g", {"p": "/"}), ("q", {"p": "/", "h": ""}), ("q", {"p": "/", "h": "", "q": {"i": ".key", "l": 9, "vf": "l"}, "t": 1}),
    ("p", {"p": "/seen", "d": 1}), ("m", {"p": "/", "d": {"seen": 1}}), ("o", {"p": "/seen", "d": 1}),
    ("om", {"p": "/", "d": {"seen": 1}}), ("v", {"p": "/seen", "d": 1}),
)  # fmt: skip


def test_no_name_reaches_another_database_over_realtime_connections(prison: Prison) -> None:
    """Whoever comes in by an odd name comes into `arena`; under its own name a hidden database says nothing."""
    come_in: set[type] = set()
    for name in names():
        for connection in attempts(prison, escaped(name[:5000])):
            heard: list[Any] = []
            # Most are told that there is no such database, and closed.
            with contextlib.suppress(Exception):
                for kind, credential in (("auth", prison.token), ("gauth", prison.warden)):
                    heard.append(connection.ask(kind, {"cred": credential}))
                    heard += [connection.ask(action, body) for action, body in REQUESTS]
            if heard:
                come_in.add(type(connection))
            with contextlib.suppress(Exception):
                connection.close()
            assert is_clean(json.dumps([heard, connection.pushes]).encode()), name
    assert come_in == set(WAYS.values()), "by its own name at least, everybody comes in"


def test_no_name_reaches_another_database_over_event_streams(prison: Prison) -> None:
    for name in names():
        if len(name) > 1000:
            continue
        for credential in (prison.token, prison.warden):
            stream = EventStream(
                prison.server.port, f"/.json?ns={escaped(name)}&auth={credential}", context=prison.server.context
            )
            if not stream.is_over:
                eventually(lambda stream=stream: stream.events, what="its first event")
            assert is_clean(json.dumps([stream.believed, stream.refusal.decode()]).encode()), name
            stream.close()


@pytest.mark.parametrize("hidden", HIDDEN)
def test_credentials_count_where_they_are_for_alone(prison: Prison, hidden: str) -> None:
    """And nothing that comes of them: a session, a poll, an identity that was taken on before."""
    server = prison.server
    reader = add_credential(str(server.data), f"reader-{hidden}", databases=[hidden], reads_only=True)
    eventually(lambda: prison.rest("GET", f"/.json?ns={hidden}", reader).status == 200, what="the reader is known")
    assert CANARY in prison.rest("GET", f"/.json?ns={hidden}", reader).body.decode(), "the test could see it"
    for name in HIDDEN:
        assert (prison.rest("GET", f"/.json?ns={name}", reader).status == 200) is (name == hidden)
    for way in WAYS.values():
        connection = way(server.port, hidden, context=server.context)
        for kind in ("auth", "gauth"):
            for credential in (prison.token, prison.warden):
                for more in ({}, {"noauth": True}, {"authvar": {"uid": CANARY}}):
                    answer = connection.ask(kind, {"cred": credential, **more})
                    assert answer["s"] == "invalid_token", answer
        assert connection.ask("g", {"p": f"/{KEY}"})["s"] == "permission_denied"
        connection.close()
    for credential in (prison.token, prison.warden):
        for query in (
            f"auth={credential}",
            f"access_token={credential}",
            f'auth={credential}&auth_variable_override={{"uid":"{CANARY}"}}',
        ):
            told = prison.rest("GET", f"/{KEY}.json?ns={hidden}&{quote(query, safe='=&.-_')}", None)
            assert told.status == 401, told
            assert is_clean(told.body)


def test_a_session_of_one_database_is_of_no_use_in_another(prison: Prison) -> None:
    server = prison.server
    for hidden in HIDDEN:
        polling = Polling(server.port, NS, context=server.context)
        asking = Polling(server.port, NS, context=server.context)
        assert asking.ask("gauth", {"cred": prison.warden})["s"] == "ok"
        asking.ns = hidden
        with contextlib.suppress(AssertionError):
            # It may be told that there is no such session, or be answered from its own database.
            asking.ask("g", {"p": "/"})
        assert is_clean(json.dumps(asking.scripts.messages).encode())
        asking.close()
        ending = Socket(server.port, hidden, query=f"&ls={polling.session}", context=server.context)
        for action, body in (
            ("g", {"p": "/"}), ("q", {"p": "/", "h": ""}), ("p", {"p": "/a", "d": 1}), ("m", {"p": "/", "d": {"a": 1}}),
            ("o", {"p": "/a", "d": 1}), ("om", {"p": "/", "d": {"a": 1}}), ("oc", {"p": "/a"}), ("v", {"p": "/a", "d": 1}),
        ):  # fmt: skip
            answer = ending.ask(action, body)
            assert is_clean(json.dumps(answer).encode())
            assert answer["s"] == "permission_denied" or action == "oc", action
        assert ending.pushes == []
        assert polling.ask("g", {"p": "/"})["s"] == "ok", "the session of the other database is still there"
        ending.close()
        polling.close()
