"""Who may not read any more hears no more, at once, on every transport: rules change, somebody signs out, a token ends."""

from __future__ import annotations

import http.client
import time
from collections.abc import Iterator

import pytest

from tests.auth.signing import SECRET, sign
from tests.harness import Server, eventually
from tests.server.polling import Polling
from tests.server.sockets import Socket

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

NS, OTHER = "revoked", "unruled"
RULES = {"rules": {"$room": {".read": "auth.uid === 'anna'", ".indexOn": "at"}}}
QUERY = {"i": "at", "l": 2, "vf": "l"}
CANCELLED = [{"a": "c", "b": {"p": "one"}}, {"a": "c", "b": {"p": "two", "q": [QUERY]}}]
SECONDS = 15.0

Connection = Socket | Polling


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("revocation")
    (folder / "secret").write_bytes(SECRET)
    (folder / "secret").chmod(0o600)
    (folder / "identity.toml").write_text('[secrets.old]\nsecret_file = "secret"\n')
    arguments = ("--identity-file", str(folder / "identity.toml"), "--databases", f"{NS},{OTHER}")
    with Server(folder / "data", mode="serve", workers=2, arguments=arguments) as running:
        yield running
        running.stop()


def token(seconds: float = 600) -> str:
    now = time.time()
    return sign({"v": 0, "iat": int(now), "exp": now + seconds, "d": {"uid": "anna"}}, SECRET, "HS256", None)


def listening(transport: type[Connection], server: Server, ns: str = NS, seconds: float = 600) -> Connection:
    """Somebody who listens to a place and to a query."""
    made = transport(server.port, ns)
    assert made.ask("auth", {"cred": token(seconds)})["s"] == "ok"
    for body in ({"p": "/one", "h": ""}, {"p": "/two", "q": QUERY, "t": 1, "h": ""}):
        assert made.ask("q", body)["s"] == "ok"
    return made


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
        else:
            connection.pushes.append(connection.receive(within=SECONDS)["d"])


@pytest.mark.parametrize("transport", [Socket, Polling])
def test_a_change_of_rules_ends_listens(server: Server, transport: type[Connection]) -> None:
    assert server.rest("PUT", "/.settings/rules", RULES, ns=NS).status == 200
    connection = listening(transport, server)
    stream = http.client.HTTPConnection("127.0.0.1", server.port, timeout=SECONDS)
    stream.request("GET", f"/one.json?ns={NS}&auth={token()}", headers={"Accept": "text/event-stream"})
    events = stream.getresponse()
    assert events.status == 200
    assert server.rest("PUT", "/.settings/rules", {"rules": {".write": True}}, ns=NS).status == 200
    assert cancellations(connection) == sorted(CANCELLED, key=str)
    unheard = f"not for {transport.__name__}"
    server.write("/one", unheard, ns=NS)
    assert connection.ask("p", {"p": "/mine", "d": 1})["s"] == "ok"
    assert all(push["a"] != "d" or push["b"]["d"] != unheard for push in connection.pushes)
    heard = events.read()
    assert heard.endswith(b'event: cancel\ndata: "Permission denied."\n\n')
    assert unheard.encode() not in heard
    stream.close()
    connection.close()


@pytest.mark.parametrize("transport", [Socket, Polling])
def test_a_change_of_the_default_rules_ends_listens(server: Server, transport: type[Connection]) -> None:
    def may_read() -> bool:
        return server.rest("GET", "/one", ns=OTHER, admin=False, query=f"auth={token()}").status == 200

    assert server.rest("PUT", "/.meadowlark/rules", RULES).status == 200
    eventually(may_read, within=SECONDS, what="the default rules on the other worker")
    connection = listening(transport, server, OTHER)
    assert server.rest("DELETE", "/.meadowlark/rules").status == 200
    assert cancellations(connection) == sorted(CANCELLED, key=str)
    connection.close()


@pytest.mark.parametrize("transport", [Socket, Polling])
def test_signing_out_ends_listens(server: Server, transport: type[Connection]) -> None:
    assert server.rest("PUT", "/.settings/rules", RULES, ns=NS).status == 200
    connection = listening(transport, server)
    assert connection.ask("unauth", {})["s"] == "ok"
    assert cancellations(connection) == sorted(CANCELLED, key=str)
    assert connection.ask("q", {"p": "/one", "h": ""})["s"] == "permission_denied"
    connection.close()


@pytest.mark.parametrize("transport", [Socket, Polling])
def test_the_end_of_a_token_is_told_and_ends_listens(server: Server, transport: type[Connection]) -> None:
    assert server.rest("PUT", "/.settings/rules", RULES, ns=NS).status == 200
    connection = listening(transport, server, seconds=4)
    told = cancellations(connection, 3)
    assert told == sorted([{"a": "ac", "b": {"s": "expired_token", "d": "Auth token is expired."}}, *CANCELLED], key=str)
    connection.close()
