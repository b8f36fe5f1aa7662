"""A credential that only reads: on every way in it sees everything, and nothing is other than it was.

All that is not reading is asked for with one on every transport, over REST and on the command line, also as somebody whom it may
act as. Afterwards the data (volatile values too), the rules with their versions and the databases are what they were, also when
the connections have ended. What is reading is granted.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from meadowlark.cli.application import Exit
from meadowlark.server.credentials_file import add_credential
from meadowlark.server.routing import owner_of
from tests.conformance.adversary import WAYS
from tests.conformance.certificates import make_certificate
from tests.harness import PROJECT, Response, Server, eventually
from tests.server.event_streams import EventStream
from tests.server.polling import Polling
from tests.server.transports import Transport

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

NS, BESIDE = "shop", "chat"
"""A database of each worker."""
assert owner_of(NS, 2) != owner_of(BESIDE, 2)
RULES = {"rules": {".read": True, ".write": True, "cursors": {".volatile": True}}}
LONG = "x" * 140_000
CREDENTIALS = pytest.mark.parametrize("scope", [(NS,), ()], ids=["of-one-database", "of-all"])


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("reading")
    certificate, key = make_certificate(folder, "localhost", "127.0.0.1")
    arguments = ("--databases", f"{NS},{BESIDE}", "--tls-certificate", str(certificate), "--tls-key", str(key))
    made = Server(folder / "data", mode="serve", workers=2, arguments=arguments)
    made.certificate = certificate
    with made:
        for rules in ({"rules": {}}, RULES):
            assert made.rest("PUT", "/.settings/rules", rules, ns=NS).status == 200
        made.write("/", {"a": {"x": 1}, "n": 1}, ns=NS)
        yield made
        made.stop()


@pytest.fixture(scope="module")
def readers(server: Server) -> dict[tuple[str, ...], str]:
    made = {
        scope: add_credential(str(server.data), f"reader{len(scope)}", databases=scope, reads_only=True) for scope in ((NS,), ())
    }
    # Each worker looks at the list in its own second, and what names no database is answered by whichever is free.
    for scope, ns in (((NS,), NS), ((), NS), ((), BESIDE)):
        eventually(lambda scope=scope, ns=ns: ask(server, made[scope], "GET", f"/a.json?ns={ns}").status == 200, what="known")
    return made


def ask(server: Server, credential: str, method: str, target: str, body: Any = None, **headers: str) -> Response:
    connection = server.connect()
    named = {"Authorization": f"Bearer {credential}"} | {name.replace("_", "-"): text for name, text in headers.items()}
    try:
        connection.request(method, target, None if method in ("GET", "HEAD") else json.dumps(body), named)
        answer = connection.getresponse()
        return Response(answer.status, answer.headers, answer.read())
    finally:
        connection.close()


@pytest.fixture(autouse=True)
def unchanged(server: Server) -> Iterator[None]:
    def stands() -> list[Any]:
        found = [server.rest("GET", f"/.meadowlark/{name}").json() for name in (f"rules/{NS}", "rules", "databases")]
        return [server.rest("GET", "/", ns=NS).json(), server.rest("GET", "/", ns=NS, query="format=export").json(), *found]

    before = stands()
    yield
    assert stands() == before


QUESTION = {"operation": "read", "path": "/a", "as": "x"}
ASKED_OVER_HTTP: list[tuple[str, str, Any]] = [
    *((method, f"/{place}.json?ns={NS}{more}", {"z": 1})
      for method in ("PUT", "PATCH", "POST", "DELETE")
      for place in ("a", "new", "cursors/me")
      for more in ("", "&print=silent", '&auth_variable_override={"uid":"x"}', "&auth_variable_override=null")),
    ("PUT", f"/a.json?ns={NS}", {"long": LONG}), ("PATCH", f"/.json?ns={NS}", {"a/long": LONG}),
    ("POST", f"/a.json?ns={NS}", LONG),
    ("PUT", f"/n.json?ns={NS}", {".sv": {"increment": 1}}), ("PUT", f"/a/.priority.json?ns={NS}", 1),
    ("PUT", f"/.settings/rules.json?ns={NS}", RULES), ("PUT", f"/.settings/rules.json?ns={NS}&dryRun=true", RULES),
    ("POST", f"/.meadowlark/rules/{NS}.json", {"restore": 1}), ("DELETE", f"/.meadowlark/rules/{NS}.json", None),
    ("PUT", "/.meadowlark/rules.json", RULES), ("PUT", "/.meadowlark/rules.json?dryRun=true", RULES),
    ("POST", "/.meadowlark/rules.json", {"restore": 1}), ("DELETE", "/.meadowlark/rules.json", None),
    ("PUT", "/.meadowlark/databases/shop2.json", {}), ("PUT", f"/.meadowlark/databases/{NS}.json", {}),
    ("POST", "/v1beta/projects/p/locations/us-central1/instances?databaseId=shop2", {}),
    ("PUT", f"/.settings/strictTriggerValidation.json?ns={NS}", True),
    ("PUT", f"/.settings/defaultWriteSizeLimit.json?ns={NS}", "tiny"),
    ("POST", f"/.meadowlark/explain/{NS}.json", QUESTION),
]  # fmt: skip
"""All that is refused. A question about rules is one of them, since it is posted."""


@CREDENTIALS
def test_nothing_is_written_over_rest(server: Server, readers: dict[tuple[str, ...], str], scope: tuple[str, ...]) -> None:
    for method, target, body in ASKED_OVER_HTTP:
        for headers in ({}, {"if_match": "*"}) if method == "PUT" else ({},):
            told = ask(
                server,
                readers[scope],
                method,
                quote(target, safe="/.?&=-_"),
                body,
                **headers,
            )
            assert told.status in (400, 401, 404, 405), (method, target, told)
    for override in ("PUT", "PATCH", "DELETE"):
        told = ask(server, readers[scope], "POST", f"/a.json?ns={NS}", {"z": 1}, X_HTTP_Method_Override=override)
        assert told.status == 401, override
        told = ask(server, readers[scope], "POST", f"/a.json?ns={NS}&x-http-method-override={override}", {"z": 1})
        assert told.status == 401, override


@CREDENTIALS
def test_everything_is_read_over_rest(server: Server, readers: dict[tuple[str, ...], str], scope: tuple[str, ...]) -> None:
    for target in (
        f"/.json?ns={NS}", f"/a.json?ns={NS}&shallow=true", f"/.json?ns={NS}&format=export", f"/.settings/rules.json?ns={NS}",
        f"/.meadowlark/rules/{NS}.json", f"/.meadowlark/rules/{NS}.json?version=1",
        f"/.meadowlark/profile/{NS}.json?seconds=0.05", f"/.meadowlark/databases/{NS}.json",
    ):  # fmt: skip
        assert ask(server, readers[scope], "GET", target).status == 200, target
    for target in ("/metrics", "/.meadowlark/databases.json", "/.meadowlark/metrics.json", "/.meadowlark/rules.json"):
        assert ask(server, readers[scope], "GET", target).status == (401 if scope else 200), target
    stream = EventStream(server.port, f"/a.json?ns={NS}&auth={readers[scope]}", context=server.context)
    eventually(lambda: stream.believed == {"x": 1}, what="what is streamed")
    stream.close()


REQUESTS: list[tuple[str, Any]] = [
    ("p", {"p": "/a", "d": 2}), ("p", {"p": "/a", "d": None}), ("p", {"p": "/a/x", "d": 2, "h": "YPVfR2bXt/lcDjiQZ8pOkAd3qkQ="}),
    ("p", {"p": "/a", "d": LONG}), ("p", {"p": "/cursors/me", "d": 1}), ("m", {"p": "/", "d": {"a/x": 2, "b": 1}}),
    ("m", {"p": "/", "d": {"cursors/me": 1, "a": LONG}}), ("m", {"p": "/", "d": {f"k{number}": number for number in range(200)}}),
    ("v", {"p": "/cursors/me", "d": 1}), ("v", {"p": "/a", "d": 1}), ("o", {"p": "/left", "d": 1}), ("o", {"p": "/a", "d": None}),
    ("om", {"p": "/", "d": {"left": 1, "a": 2}}), ("oc", {"p": "/left"}), ("oc", {"p": "/"}),
]  # fmt: skip


@CREDENTIALS
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("more", [{}, {"authvar": {"uid": "x"}}, {"noauth": True}], ids=["itself", "as-somebody", "as-nobody"])
def test_nothing_is_written_on_a_connection(
    server: Server, readers: dict[tuple[str, ...], str], scope: tuple[str, ...], way: str, more: dict[str, Any]
) -> None:
    connection = WAYS[way](server.port, NS, context=server.context)
    assert connection.ask("gauth", {"cred": readers[scope], **more})["s"] == "ok"
    assert connection.ask("q", {"p": "/a", "h": ""})["s"] == "ok"
    assert connection.ask("g", {"p": "/a"}) == {"s": "ok", "d": {"x": 1}}
    told_count = len(connection.pushes)
    for action, body in REQUESTS:
        assert connection.ask(action, body)["s"] == "permission_denied", (action, body)
    if isinstance(connection, Transport):
        connection.say("/cursors/me", {"x": 1})
    elif isinstance(connection, Polling):
        connection.poll(json.dumps({"t": "d", "d": {"a": "v", "b": {"p": "/cursors/me", "d": 1}}}), connection.text("s", {})[1])
    else:
        connection.send_text(json.dumps({"t": "d", "d": {"a": "v", "b": {"p": "/cursors/me", "d": 1}}}))
    assert connection.ask("s", {"c": {}})["s"] == "ok"
    assert connection.pushes[told_count:] == []
    assert server.rest("GET", "/cursors", ns=NS).json() is None
    connection.close()


def test_nothing_is_written_by_the_command_line(server: Server, readers: dict[tuple[str, ...], str], tmp_path: Path) -> None:
    (tmp_path / "credential").write_text(readers[()])
    (tmp_path / "credential").chmod(0o600)
    (tmp_path / "value.json").write_text('{"a": 2}')
    (tmp_path / "rules.json").write_text(json.dumps(RULES))
    common = ("--data", str(server.data), "--credential-file", str(tmp_path / "credential"))
    for arguments in (
        ("import", "/", str(tmp_path / "value.json"), "--database", NS),
        ("import", "/", str(tmp_path / "value.json"), "--database", NS, "--resumable", "--retries", "0"),
        ("set", "/a", "2", "--database", NS),
        ("rules", "set", NS, str(tmp_path / "rules.json")),
        ("rules", "rollback", NS, "1"),
        ("databases", "create", "shop2"),
    ):
        made = subprocess.run(
            [sys.executable, "-m", "meadowlark.cli", *arguments, *common], cwd=PROJECT, capture_output=True, text=True, timeout=60
        )
        is_of_data = arguments[0] in ("import", "set")
        assert made.returncode == (Exit.REFUSED if is_of_data else Exit.USAGE), (arguments, made.stdout, made.stderr)
        said = "wants the admin credential" if arguments[0] == "rules" else "Permission denied"
        assert said in made.stderr, arguments
    exported = subprocess.run(
        [sys.executable, "-m", "meadowlark.cli", "get", "/a", "--database", NS, *common],
        cwd=PROJECT, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert (exported.returncode, json.loads(exported.stdout)) == (0, {"x": 1}), exported.stderr
