"""Who may not read any more hears no more, at once, on every transport: rules change, somebody signs out, a token ends, a
credential is revoked; and the official SDK calls back."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from meadowlark.server.credentials_file import add_credential, revoke_credential
from meadowlark.server.rule_sets import RECHECK_SECONDS
from tests.auth.signing import SECRET, sign
from tests.conformance.certificates import make_certificate
from tests.conformance.conftest import settings_for
from tests.harness import Script, Server, eventually
from tests.server.event_streams import EventStream
from tests.server.polling import Polling
from tests.server.sockets import Socket
from tests.server.transports import Transport

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

NS, OTHER = "revoked", "unruled"
RULES = {"rules": {"$room": {".read": "auth.uid === 'anna'", ".indexOn": "at"}}}
MEMBERS = {
    "rules": {
        "$room": {".read": "root.child('members').child(auth.uid).val() === true", ".indexOn": "at"},
        "hall": {".read": "now < root.child('closes').val()"},
    }
}
QUERY = {"i": "at", "l": 2, "vf": "l"}
CANCELLED = [{"a": "c", "b": {"p": "one"}}, {"a": "c", "b": {"p": "two", "q": [QUERY]}}]
CANCEL = ("cancel", '"Permission denied."')
SECONDS = 60.0
TOKEN_SECONDS = 8.0
"""Of a token that ends while a test watches: enough for what comes before on a busy machine."""

Connection = Socket | Polling | Transport
WAYS = pytest.mark.parametrize("transport", [Socket, Polling, Transport])


def running(folder: Path, *more: str) -> Server:
    (folder / "secret").write_bytes(SECRET)
    (folder / "secret").chmod(0o600)
    (folder / "identity.toml").write_text('[secrets.old]\nsecret_file = "secret"\n')
    arguments = ("--identity-file", str(folder / "identity.toml"), "--databases", f"{NS},{OTHER}", *more)
    return Server(folder / "data", mode="serve", workers=2, arguments=arguments)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """With a certificate, so that there is WebTransport."""
    folder = tmp_path_factory.mktemp("revocation")
    certificate, key = make_certificate(folder, "localhost", "127.0.0.1")
    made = running(folder, "--tls-certificate", str(certificate), "--tls-key", str(key))
    made.certificate = certificate
    with made:
        yield made
        made.stop()


def token(seconds: float = 600) -> str:
    now = time.time()
    return sign({"v": 0, "iat": int(now), "exp": now + seconds, "d": {"uid": "anna"}}, SECRET, "HS256", None)


def listening(
    transport: Callable[..., Connection], server: Server, ns: str = NS, seconds: float = 600, credential: str | None = None
) -> Connection:
    """Somebody who listens to a place and to a query. credential: an administrator's, in place of a token."""
    made = transport(server.port, ns, context=server.context)
    shown = ("auth", token(seconds)) if credential is None else ("gauth", credential)
    assert made.ask(shown[0], {"cred": shown[1]})["s"] == "ok"
    for body in ({"p": "/one", "h": ""}, {"p": "/two", "q": QUERY, "t": 1, "h": ""}):
        assert made.ask("q", body)["s"] == "ok"
    return made


def streaming(server: Server, credential: str, query: str = "", ns: str = NS) -> EventStream:
    made = EventStream(server.port, f"/one.json?ns={ns}&auth={credential}{query}", context=server.context)
    assert made.status == 200, made.refusal
    eventually(lambda: made.events, within=SECONDS, what="the first event")
    return made


def ending(stream: EventStream) -> tuple[str, str]:
    """The last event of a stream that has been ended."""
    eventually(lambda: stream.is_over, within=SECONDS, what="the end of the stream")
    stream.close()
    return stream.events[-1]


def cancellations(connection: Connection, count: int = 2) -> list[object]:
    """The next pushes that end a listen or a token."""
    end = time.monotonic() + SECONDS
    while True:
        found = [push for push in connection.pushes if push["a"] in ("c", "ac")]
        if len(found) >= count:
            return sorted(found, key=str)
        assert time.monotonic() < end, f"only {found} came"
        if isinstance(connection, Polling):
            connection.poll()
        elif isinstance(connection, Transport):
            connection.wait(lambda: len([push for push in connection.pushes if push["a"] in ("c", "ac")]) >= count, SECONDS)
        else:
            connection.pushes.append(connection.receive(within=SECONDS)["d"])


def hears_nothing(server: Server, connection: Connection, ns: str = NS) -> None:
    """Whatever is written, kept or volatile: after the end of its listens the connection is told of none of it."""
    told_count = len(connection.pushes)
    writer = Transport(server.port, ns, context=server.context)
    assert writer.ask("gauth", {"cred": server.credential})["s"] == "ok"
    for number in range(3):
        assert writer.ask("p", {"p": "/one/kept", "d": f"unheard {number}"})["s"] == "ok"
        assert writer.ask("m", {"p": "/two", "d": {f"x{number}": {"at": number}}})["s"] == "ok"
        writer.say("/one/cursor", f"unheard {number}")
        writer.say(f"/two/x{number}", f"unheard {number}")
    assert writer.ask("s", {"c": {}})["s"] == "ok"
    writer.close()  # And with it goes what was volatile, of which listeners are told.
    eventually(lambda: server.rest("GET", "/one/cursor", ns=ns).json() is None, within=SECONDS, what="the end of the writer")
    assert connection.ask("s", {"c": {}})["s"] == "ok"
    assert connection.pushes[told_count:] == []


@WAYS
def test_a_change_of_rules_ends_listens(server: Server, transport: Callable[..., Connection]) -> None:
    assert server.rest("PUT", "/.settings/rules", RULES, ns=NS).status == 200
    connection = listening(transport, server)
    streams = [streaming(server, token()), streaming(server, token(), '&orderBy="$key"&limitToFirst=2')]
    assert server.rest("PUT", "/.settings/rules", {"rules": {".write": True}}, ns=NS).status == 200
    assert cancellations(connection) == sorted(CANCELLED, key=str)
    hears_nothing(server, connection)
    for stream in streams:
        assert ending(stream) == CANCEL
        assert all("unheard" not in data for _, data in stream.events[1:])
    connection.close()


@WAYS
def test_a_change_of_the_default_rules_ends_listens(server: Server, transport: Callable[..., Connection]) -> None:
    def may_read() -> bool:
        return server.rest("GET", "/one", ns=OTHER, admin=False, query=f"auth={token()}").status == 200

    assert server.rest("PUT", "/.meadowlark/rules", RULES).status == 200
    eventually(may_read, within=SECONDS, what="the default rules on the other worker")
    connection, stream = listening(transport, server, OTHER), streaming(server, token(), ns=OTHER)
    assert server.rest("DELETE", "/.meadowlark/rules").status == 200
    assert cancellations(connection) == sorted(CANCELLED, key=str)
    assert ending(stream) == CANCEL
    hears_nothing(server, connection, OTHER)
    connection.close()


@WAYS
def test_rules_that_are_brought_back_end_listens(server: Server, transport: Callable[..., Connection]) -> None:
    assert server.rest("PUT", "/.settings/rules", {"rules": {}}, ns=NS).status == 200
    closed = server.rest("GET", f"/.meadowlark/rules/{NS}").json()[0]["version"]
    assert server.rest("PUT", "/.settings/rules", RULES, ns=NS).status == 200
    connection, stream = listening(transport, server), streaming(server, token())
    assert server.rest("POST", f"/.meadowlark/rules/{NS}", {"restore": closed}).status == 200
    assert cancellations(connection) == sorted(CANCELLED, key=str)
    assert ending(stream) == CANCEL
    hears_nothing(server, connection)
    connection.close()


@WAYS
def test_signing_out_ends_listens(server: Server, transport: Callable[..., Connection]) -> None:
    assert server.rest("PUT", "/.settings/rules", RULES, ns=NS).status == 200
    connection = listening(transport, server)
    assert connection.ask("unauth", {})["s"] == "ok"
    assert cancellations(connection) == sorted(CANCELLED, key=str)
    assert connection.ask("q", {"p": "/one", "h": ""})["s"] == "permission_denied"
    hears_nothing(server, connection)
    connection.close()


@WAYS
def test_signing_in_as_somebody_else_ends_listens(server: Server, transport: Callable[..., Connection]) -> None:
    assert server.rest("PUT", "/.settings/rules", RULES, ns=NS).status == 200
    connection = listening(transport, server)
    other = sign({"v": 0, "iat": int(time.time()), "d": {"uid": "bert"}}, SECRET, "HS256", None)
    assert connection.ask("auth", {"cred": other})["s"] == "ok"
    assert cancellations(connection) == sorted(CANCELLED, key=str)
    hears_nothing(server, connection)
    connection.close()


@WAYS
def test_the_end_of_a_token_is_told_and_ends_listens(server: Server, transport: Callable[..., Connection]) -> None:
    assert server.rest("PUT", "/.settings/rules", RULES, ns=NS).status == 200
    connection = listening(transport, server, seconds=TOKEN_SECONDS)
    stream = streaming(server, token(TOKEN_SECONDS))
    told = cancellations(connection, 3)
    assert told == sorted([{"a": "ac", "b": {"s": "expired_token", "d": "Auth token is expired."}}, *CANCELLED], key=str)
    assert ending(stream) == ("auth_revoked", "credential is no longer valid")
    hears_nothing(server, connection)
    connection.close()


@WAYS
def test_a_credential_that_is_revoked_ends_listens(server: Server, transport: Callable[..., Connection]) -> None:
    assert server.rest("PUT", "/.settings/rules", RULES, ns=NS).status == 200
    name = f"for-{transport.__name__}"  # type: ignore[attr-defined]
    credential = add_credential(str(server.data), name, databases=[NS])
    bearer = {"Authorization": f"Bearer {credential}"}

    def is_known() -> bool:
        return server.rest("GET", "/one", ns=NS, admin=False, headers=bearer).status == 200

    eventually(is_known, within=SECONDS, what="the credential is known")
    connection, stream = listening(transport, server, credential=credential), streaming(server, credential)
    revoke_credential(str(server.data), name)
    told = cancellations(connection, 3)
    revoked = {"a": "ac", "b": {"s": "invalid_token", "d": "This credential has been revoked."}}
    assert told == sorted([revoked, *CANCELLED], key=str)
    assert ending(stream) == ("auth_revoked", "credential is no longer valid")
    hears_nothing(server, connection)
    assert not is_known()
    connection.close()


def test_data_and_time_that_a_read_rule_looks_at_end_listens(server: Server) -> None:
    """On every way in at once, so that the next look is waited for once."""
    assert server.rest("PUT", "/.settings/rules", MEMBERS, ns=NS).status == 200
    server.write("/", {"members": {"anna": True}, "closes": 1000 * (time.time() + TOKEN_SECONDS)}, ns=NS)
    visitor = Socket(server.port, NS, context=server.context)
    assert visitor.ask("q", {"p": "/hall", "h": ""})["s"] == "ok"
    connections = [listening(transport, server) for transport in (Socket, Polling, Transport)]
    streams = [streaming(server, token()), streaming(server, token(), '&orderBy="$key"&limitToFirst=2')]
    server.write("/members/anna", None, ns=NS)
    newcomer = Socket(server.port, NS, context=server.context)
    assert newcomer.ask("auth", {"cred": token()})["s"] == "ok"
    assert newcomer.ask("q", {"p": "/one", "h": ""})["s"] == "permission_denied", "what is asked anew is refused at once"
    newcomer.close()

    def all_are_told() -> bool:
        for connection in (*connections, visitor):  # To ask is to hear what has been pushed until now.
            assert connection.ask("s", {"c": {}})["s"] == "ok"
        return bool(visitor.pushes) and all(len(connection.pushes) >= 2 for connection in connections)

    eventually(all_are_told, within=RECHECK_SECONDS + TOKEN_SECONDS + SECONDS, every=0.5, what="the next look at listens")
    assert visitor.pushes == [{"a": "c", "b": {"p": "hall"}}]
    for connection in connections:
        assert sorted(connection.pushes, key=str) == sorted(CANCELLED, key=str)
    for stream in streams:
        assert ending(stream) == CANCEL
    for connection in connections:
        hears_nothing(server, connection)
        connection.close()
    assert all("unheard" not in data for stream in streams for _, data in stream.events[1:])
    visitor.close()


# With the official SDK

SIGNED_RULES = {"rules": {"one": {".read": "auth.uid === 'anna'"}, "two": {".read": True}, "barriers": {".write": True}}}
DENIED = {
    "code": "PERMISSION_DENIED",
    "message": "permission_denied at /one: Client doesn't have permission to access the desired data.",
}


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(tmp_path_factory.mktemp("plain")) as made:
        yield made
        made.stop()


class Signing:
    """The SDK with an authentication that the test holds in its hands, signed in and listening."""

    def __init__(self, server: Server, ns: str, *, seconds: float = 600, next: str | None = None) -> None:
        self._server, self._ns = server, ns
        assert server.rest("PUT", "/.settings/rules", SIGNED_RULES, ns=ns).status == 200
        server.write("/", {"one": 1, "two": 1}, ns=ns)
        self.script = Script("signing.mjs", settings_for(server, "url", ns))
        self._listen("two")
        # Only now, since the script takes its time to begin.
        self.tell(sign=token(seconds), next=next)
        self._listen("one")

    def _listen(self, path: str) -> None:
        self.tell(listen=path)
        assert self.script.wait_for("value")[1:] == [path, 1]

    def tell(self, **line: object) -> None:
        self.script.tell(json.dumps(line))

    def heard_later(self, count: int) -> list[object]:
        """The last of `count` values of the open place, and all of the other that came before it."""
        self._server.write("/", {"one": "unheard", "two": count}, ns=self._ns)
        while self.script.wait_for("value")[1:] != ["two", count]:
            pass
        self.tell(settle=True)
        self.script.wait_for("settled")
        return [event for event in self.script.of("value") if event[1] == "one"]

    def finish(self) -> None:
        self.tell(end=True)
        self.script.finish()


def test_the_sdk_calls_back_who_signs_out(node: Path, plain: Server) -> None:
    signing = Signing(plain, NS)
    with signing.script as script:
        signing.tell(sign=None)
        assert script.wait_for("cancelled", within=SECONDS)[1:] == ["one", DENIED]
        assert signing.heard_later(2) == [["value", "one", 1]]
        signing.tell(sign=token())
        signing.tell(listen="one")
        assert script.wait_for("value")[1:] == ["one", "unheard"]
        signing.finish()
    assert len(script.of("cancelled")) == 1


def test_the_sdk_calls_back_whose_token_has_ended_by_the_clock_of_the_server(node: Path, plain: Server) -> None:
    signing = Signing(plain, NS, seconds=TOKEN_SECONDS)
    with signing.script as script:
        assert script.wait_for("refreshed", within=SECONDS) == ["refreshed", False]
        assert script.wait_for("cancelled", within=SECONDS)[1:] == ["one", DENIED]
        assert signing.heard_later(2) == [["value", "one", 1]]
        signing.finish()


def test_the_sdk_goes_on_with_the_token_that_takes_the_place_of_the_one_that_ended(node: Path, plain: Server) -> None:
    signing = Signing(plain, NS, seconds=TOKEN_SECONDS, next=token())
    with signing.script as script:
        assert script.wait_for("refreshed", within=SECONDS) == ["refreshed", True]
        assert signing.heard_later(2)[-1] == ["value", "one", "unheard"]
        signing.finish()
    assert script.of("cancelled") == []
