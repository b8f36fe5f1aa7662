"""What opens a door is written nowhere: not in the log at its most talkative, not in the log of slow operations, not in metrics,
profiles or coverage, and not in the data folder, whichever way it was shown and whatever went wrong then.

Every credential is shown on every way in, in requests that are granted, denied and broken; afterwards all that the server wrote
is searched for any piece of it.
"""

from __future__ import annotations

import base64
import collections
import contextlib
import http.client
import json
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from meadowlark.server.credentials_file import add_credential
from tests.auth.signing import SECRET, ec_key, forge, private_pem, sign
from tests.harness import Server, eventually
from tests.server.event_streams import EventStream
from tests.server.polling import Polling
from tests.server.sockets import Socket
from tests.server.transports import Transport

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

NS, OTHER = "shop", "chat"
PIECE = 24
"""Characters of a credential that may not stand anywhere in a row. The head of a token is the same for all and says nothing."""
RULES = {
    "rules": {"open": {".read": True, ".write": True}, "mine": {".read": "auth.uid === 'x' && auth.token.deep === data.val()"}}
}
OWN_FILES = ("admin-credential", "credentials.json", "secret", "backend.pem")
SECONDS = 30.0


@pytest.fixture(scope="module", params=["serve", "dev"])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder: Path = tmp_path_factory.mktemp(f"secrets-{request.param}")
    for name, text in (("backend.pem", private_pem(ec_key("backend"))), ("secret", SECRET)):
        (folder / name).write_bytes(text)
        (folder / name).chmod(0o600)
    (folder / "identity.toml").write_text(
        '[tokens.backend]\nalgorithm = "ES256"\nkey_file = "backend.pem"\n\n[secrets.old]\nsecret_file = "secret"\n'
    )
    identity = ("--identity-file", str(folder / "identity.toml")) if request.param == "serve" else ()
    arguments = (*identity, "--databases", f"{NS},{OTHER}", "--log-level", "debug", "--slow-operation-seconds", "0.000001")
    running = Server(folder / "data", mode=request.param, workers=2, arguments=arguments)
    running.log = collections.deque(maxlen=1_000_000)
    with running:
        yield running
        running.stop()


def credentials(server: Server) -> dict[str, str]:
    now = time.time()
    claims = {"sub": "somebody", "exp": now + 600, "deep": "d" * 40}
    good = sign(claims, ec_key("backend"), "ES256", "backend")
    found = {
        "token": good,
        "expired token": sign(claims | {"exp": now - 60}, ec_key("backend"), "ES256", "backend"),
        "token that ends soon": sign(claims | {"exp": now + 3}, ec_key("backend"), "ES256", "backend"),
        "wrong signature": good[:-8] + "AAAAAAAA",
        "stranger's token": sign(claims, ec_key("stranger"), "ES256", "backend"),
        "unsigned token": forge({"alg": "none", "typ": "JWT"}, claims | {"user_id": "somebody"}),
        "legacy token": sign({"v": 0, "iat": int(now), "d": {"uid": "somebody"}}, SECRET, "HS256", None),
        "endless token": good.replace(".", "." + "b" * 17_000, 1),
        "broken token": good.replace(".", "..") + "\u00e9",
        "unknown credential": "lark_" + base64.urlsafe_b64encode(b"never made by this server").decode(),
    }
    if server.mode == "serve":
        found |= {"first credential": server.credential, "database secret": SECRET.decode()}
        found["named credential"] = add_credential(str(server.data), "named", databases=[NS])
        bearer = {"Authorization": f"Bearer {found['named credential']}"}
        eventually(lambda: server.rest("GET", "/x", ns=NS, admin=False, headers=bearer).status == 200, what="it is known")
    return found


def pieces(credential: str) -> set[bytes]:
    """Its long parts, cut so that whatever has one of them in it has one of these; also as long polls write them."""
    parts = credential.split(".")
    secret = parts[1:] if len(parts) >= 3 else parts
    found: set[bytes] = set()
    for part in secret:
        for written in (part, base64.b64encode(part.encode(), b"-_").decode(), quote(part, safe="")):
            found |= {written[start : start + PIECE].encode() for start in range(0, max(1, len(written) - PIECE + 1), 8)}
    return {piece for piece in found if len(piece) >= PIECE and len(set(piece)) > 3}


def show_over_http(server: Server, credential: str) -> None:
    escaped = quote(credential, safe="")
    targets: list[tuple[str, str, Any]] = [
        ("GET", f"/open.json?ns={NS}", None), ("PUT", f"/open/x.json?ns={NS}", {"a": 1}), ("GET", f"/mine.json?ns={NS}", None),
        ("PUT", f"/mine.json?ns={NS}", 1), ("GET", f"/.settings/rules.json?ns={NS}", None), ("GET", "/nothing-here?x=1", None),
        ("GET", "/open.json?ns=..%2F..", None), ("GET", "/open.json?ns=nobody", None), ("GET", f"/a%00b.json?ns={NS}", None),
        ("GET", f'/open.json?ns={NS}&orderBy="x"', None), ("GET", f"/open.json?ns={NS}&timeout=never", None),
        ("PUT", f"/open.json?ns={NS}&print=loudly", 1), ("BREW", f"/open.json?ns={NS}", None), ("POST", "/metrics?x=1", None),
        ("GET", "/.meadowlark/databases.json?x=1", None),
        ("POST", f"/.meadowlark/explain/{NS}.json?x=1", {"as": "x", "path": "/mine"}),
        ("GET", "/.lp?start=t&ser=1&cb=1&v=5&ns=shop", None), ("GET", f"/.ws?v=5&ns={NS}", None),
        ("GET", f"/.wt?v=5&ns={NS}", None), ("GET", f"/open.json?ns={NS}&auth_variable_override=nonsense", None),
        ("GET", "/.inspect/coverage.json?x=1", None), ("PUT", "/.meadowlark/rules.json?dryRun=true", {"rules": 1}),
    ]  # fmt: skip
    for method, target, body in targets:
        for where in ("auth", "access_token", "Authorization"):
            headers = {"Authorization": f"Bearer {credential}".encode()} if where == "Authorization" else {}
            shown = target if where == "Authorization" else f"{target}&{where}={escaped}"
            with (
                contextlib.closing(server.connect(SECONDS)) as connection,
                contextlib.suppress(http.client.HTTPException, OSError),
            ):
                connection.request(method, shown, None if body is None else json.dumps(body), headers)  # type: ignore[arg-type]
                connection.getresponse().read()
    for raw in (
        f"GET /open.json?ns={NS}&auth={escaped} HTTP/9.9\r\n\r\n",
        f"GET /open.json?ns={NS}&auth={escaped} \x00 HTTP/1.1\r\nHost: x\r\n\r\n",
        f"GET /open.json?ns={NS} HTTP/1.1\r\nAuthorization {escaped}\r\n\r\n",
        f"GET /open.json?ns={NS} HTTP/1.1\r\nHost: x\r\nAuthorization: Basic {escaped}\r\n\r\n",
        f"{escaped}\r\n\r\n",
        f"GET /open.json?ns={NS}&auth={escaped}&{'y' * 70_000} HTTP/1.1\r\nHost: x\r\n\r\n",
        f"PUT /open.json?ns={NS}&auth={escaped} HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nnot JSON!",
    ):
        with socket.create_connection(("127.0.0.1", server.port), timeout=SECONDS) as connection, contextlib.suppress(OSError):
            connection.sendall(raw.encode())
            connection.shutdown(socket.SHUT_WR)
            while connection.recv(65536):
                pass
    stream = EventStream(server.port, f"/open.json?ns={NS}&auth={escaped}")
    if not stream.is_over:
        eventually(lambda: stream.events, what="the first event")
    stream.close()


def show_over_connections(server: Server, credential: str) -> None:
    ways: list[Any] = [Socket, Polling, *([Transport] if server.mode == "dev" else [])]
    for way in ways:
        connection = way(server.port, NS)
        for kind in ("auth", "gauth"):
            connection.ask(kind, {"cred": credential})
            connection.ask("q", {"p": "/open", "h": ""})
            connection.ask("g", {"p": "/mine"})
            connection.ask("p", {"p": "/open/x", "d": 1})
            connection.ask("o", {"p": "/open/left", "d": 1})
            connection.ask(kind, {"cred": credential, "authvar": {"uid": "x"}})
            connection.ask(kind, {"cred": [credential]} if way is Socket else {"cred": credential, "noauth": True})
        connection.ask("unauth", {})
        connection.close()
    texts = (
        json.dumps({"t": "d", "d": {"r": 1, "a": "auth", "b": {"cred": credential}}})[:-2],
        json.dumps({"t": "d", "d": {"r": 1, "a": credential[:100], "b": {"cred": credential}}}),
        json.dumps({"t": credential, "d": {"r": 1, "a": "auth", "b": {"cred": credential}}}),
        json.dumps({"t": "d", "d": {"a": "auth", "b": {"cred": credential}}}),
        credential,
    )
    for text in texts:
        broken = Socket(server.port, NS)
        with contextlib.suppress(Exception):
            broken.send_text(text)
            broken.receive(within=1.0)
        with contextlib.suppress(Exception):
            broken.close()


def written(server: Server, *more: bytes) -> bytes:
    """All that the server wrote: its output, and every file of its own that is not there to keep a credential."""
    files = [file for file in server.data.rglob("*") if file.is_file() and file.name not in OWN_FILES]
    return b"\n".join([server.output().encode(), *more, *(file.read_bytes() for file in files)])


def test_credentials_are_written_nowhere_however_they_are_shown(server: Server) -> None:
    admin = {"Authorization": f"Bearer {server.credential}"}
    assert server.rest("PUT", "/.settings/rules", RULES, ns=NS).status == 200
    shown = credentials(server)
    watched: list[bytes] = []
    profiling = threading.Thread(
        target=lambda: watched.append(server.rest("GET", f"/.meadowlark/profile/{NS}", query="seconds=8").body), daemon=True
    )
    profiling.start()
    operations = http.client.HTTPConnection("127.0.0.1", server.port, timeout=SECONDS)
    operations.request("GET", f"/.settings/profile.json?ns={NS}", headers={**admin, "Accept": "text/event-stream"})
    events = operations.getresponse()
    assert events.status == 200
    for credential in shown.values():
        show_over_http(server, credential)
        show_over_connections(server, credential)
    soon = Socket(server.port, NS)
    soon.ask("auth", {"cred": shown["token that ends soon"]})
    assert soon.ask("g", {"p": "/open"})["s"] == "ok"
    soon.close()
    profiling.join(SECONDS)
    assert watched
    pages = [server.rest("GET", "/.meadowlark/metrics").body]
    with contextlib.closing(server.connect()) as connection:
        for page in ("/metrics", f"/.inspect/coverage?ns={NS}"):
            connection.request("GET", page, headers=admin)
            pages.append(connection.getresponse().read())
    events.fp.raw._sock.settimeout(0.5)  # type: ignore[attr-defined]
    told = b""
    with contextlib.suppress(OSError):
        while line := events.readline():
            told += line
    operations.close()
    text = written(server, *pages, *watched, told)
    assert text.count(b"slow") > 20, "slow operations were logged"
    for name, credential in shown.items():
        if server.mode == "dev" and credential == "owner":
            continue
        looked_for = pieces(credential)
        assert looked_for, name
        assert any(piece in text + credential.encode() for piece in looked_for), "the search would find it"
        found = [piece for piece in looked_for if piece in text]
        assert not found, f"{name}: {found[:3]} stands in {text[max(0, text.find(found[0]) - 200) :][:400]!r}"
