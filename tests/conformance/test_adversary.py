"""Somebody who may only do what rules allow, on every way in: nothing is read or changed that the naive interpreter denies.

A server in `serve`, with random rules in one of its databases. Each operation goes by a random way: a WebSocket, long polls, REST
in each of its forms, event streams, a volatile write, what is queued for the end of a connection. What is denied is answered with
the words for that and nothing else, and leaves the tree as it was; what is granted gives what stands there, or puts it there.
Beside it is a closed database, which no name reaches.
"""

from __future__ import annotations

import contextlib
import copy
import http.client
import json
import re
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, assume, event, given, settings

from meadowlark.engine.values import update_paths
from meadowlark.errors import Refused
from meadowlark.tree import Tree, encode, find, from_json, node_hash, plain
from tests.auth.signing import SECRET, sign
from tests.engine.test_rules_model import readable
from tests.harness import Response, Server, eventually
from tests.rules import naive
from tests.rules.test_naive import AUTHS, LEAVES, PATHS, levels, parsed, without_captures
from tests.server.polling import Polling
from tests.server.sockets import Socket

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

NS, VAULT = "arena", "vault"
CANARY = "nobody-may-see-this"
NOW = 7
"""For rules; they see a number in place of `now`, since the server's clock goes on."""
DENIED = b'{"error":"Permission denied"}'

VALUES: Any = st.recursive(
    st.one_of(LEAVES, LEAVES.map(lambda leaf: {".value": leaf, ".priority": 1})),
    lambda inner: st.dictionaries(st.sampled_from(["a", "b", "c"]), inner, max_size=3),
    max_leaves=6,
)
WHO = AUTHS.filter(lambda auth: auth != {})
READS = ("plain", "shallow", "export", "query", "etag", "none-match", "callback", "stream", "get", "listen", "window")
OPERATIONS = st.one_of(
    st.tuples(st.sampled_from(READS), PATHS, st.none()),
    st.tuples(st.sampled_from(["put", "delete", "override", "if-match", "set", "compared", "volatile", "leave"]), PATHS, VALUES),
    st.tuples(
        st.sampled_from(["patch", "merge"]),
        st.just(()),
        st.dictionaries(PATHS.filter(bool).map("/".join), VALUES, min_size=1, max_size=3),
    ),
)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("adversary")
    (folder / "secret").write_bytes(SECRET)
    (folder / "secret").chmod(0o600)
    (folder / "identity.toml").write_text('[secrets.old]\nsecret_file = "secret"\n')
    arguments = ("--identity-file", str(folder / "identity.toml"), "--databases", f"{NS},{VAULT}", "--durability", "relaxed")
    with Server(folder / "data", mode="serve", workers=2, arguments=arguments) as running:
        running.write("/", {"a": CANARY, "b": {"a": CANARY}}, ns=VAULT)
        yield running
        running.stop()


class Adversary:
    """Somebody with a token or none, and every way in."""

    def __init__(self, server: Server, auth: Any, ways: st.DataObject) -> None:
        self.server = server
        self.token = None
        if auth is not None:
            self.token = sign({"v": 0, "iat": int(time.time()), "d": auth}, SECRET, "HS256", None)
        self._connections: list[Socket | Polling] = []
        self._http = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
        self._way = ways.draw(st.sampled_from(["socket", "polls"]))
        self.connection = self._connect()

    def _connect(self) -> Socket | Polling:
        made = (Socket if self._way == "socket" else Polling)(self.server.port, NS)
        self._connections.append(made)
        if self.token is not None:
            assert made.ask("auth", {"cred": self.token})["s"] == "ok"
        return made

    def ask(self, action: str, body: Any) -> tuple[bool, Any]:
        """Whether it was granted on the connection, and what the answer had."""
        before = len(self.connection.pushes)
        answer = self.connection.ask(action, body)
        if answer["s"] not in ("ok", "datastale"):
            assert answer["s"] == "permission_denied", answer
            assert answer["d"] in (None, "", "Permission denied"), answer
            assert len(self.connection.pushes) == before
            return False, None
        pushes = self.connection.pushes[before:]
        return True, pushes[-1]["b"]["d"] if pushes else answer["d"]

    def request(self, method: str, path: Any, value: Any = None, query: str = "", **headers: str) -> Response:
        where = f"/{'/'.join(path)}.json?ns={NS}&{query}" + (f"&auth={self.token}" if self.token else "")
        body = None if method in ("GET", "DELETE") else json.dumps(value)
        self._http.request(method, where, body, {name.replace("_", "-"): text for name, text in headers.items()})
        answer = self._http.getresponse()
        if headers.get("accept") == "text/event-stream" and answer.status == 200:
            answer.readline()
            made = Response(200, answer.headers, answer.readline().removeprefix(b"data: "))
            answer.close()
            self._http.close()
            return made
        made = Response(answer.status, answer.headers, answer.read())
        if made.status == 401:
            assert made.body == DENIED
            assert not {"etag", "content-disposition", "x-firebase-auth-debug"} & {name.lower() for name in made.headers}
        return made

    def leave(self) -> None:
        self.connection.close()
        if isinstance(self.connection, Polling):
            ended = Polling(self.server.port, NS, query=f"&ls={self.connection.session}")
            ended.close()
        self.connection = self._connect()

    def close(self) -> None:
        self._http.close()
        for connection in self._connections:
            connection.close()


def timeless(rules: Any) -> Any:
    if isinstance(rules, dict):
        return {key: timeless(inner) for key, inner in rules.items()}
    return re.sub(r"\bnow\b", str(NOW), rules) if isinstance(rules, str) else rules


def text_of(path: Any) -> str:
    return "/" + "/".join(path)


def shown(node: Any) -> Any:
    return json.loads(encode(node))


def stands(server: Server) -> Any:
    """What an admin sees, priorities too."""
    return server.rest("GET", "/", ns=NS, query="format=export").json()


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    levels((), (".read", ".write", ".validate")).map(without_captures).map(readable).map(timeless),
    VALUES,
    WHO,
    st.lists(OPERATIONS, min_size=1, max_size=6),
    st.data(),
)
def test_no_way_in_reads_or_changes_what_is_denied(
    server: Server, rules: Any, value: Any, auth: Any, operations: Any, ways: st.DataObject
) -> None:
    assume(parsed(json.loads(json.dumps(rules))) is not None)
    server.write("/", value or None, ns=NS)
    assert server.rest("PUT", "/.settings/rules", {"rules": rules}, ns=NS).status == 200
    adversary = Adversary(server, auth, ways)
    tree = Tree(from_json(stands(server))[0])
    try:
        for kind, path, given_value in operations:
            if kind in READS:
                granted = naive.may_read(rules, auth, path, tree.root, NOW)
                assert read(adversary, kind, path, find(tree.root, path)) is granted
            else:
                granted = write(adversary, rules, auth, tree, kind, path, given_value)
            event(f"{kind} granted: {granted}")
            if kind == "volatile" and granted:
                # Exports leave such values out, and they go with the connection: so that it stays, all is written again.
                assert server.read(text_of(path), ns=NS) == plain(find(tree.root, path))
                server.write("/", shown(tree.root), ns=NS)
            if kind != "leave":
                assert stands(server) == shown(tree.root)
            else:
                eventually(lambda: stands(server) == shown(tree.root), what="what was queued")
    finally:
        adversary.close()


def read(adversary: Adversary, kind: str, path: Any, node: Any) -> bool:
    """Whether it was granted; what was read is what stands there."""
    if kind in ("get", "listen", "window"):
        query = {"i": ".key", "l": 5, "vf": "l"} if kind == "window" else {}
        body = {"p": text_of(path), **({"q": query, "t": 9} if query else {}), **({} if kind == "get" else {"h": ""})}
        granted, found = adversary.ask("g" if kind == "get" else "q", body)
        if granted and kind == "get":
            assert found == shown(node)
        if kind != "get" and granted:
            adversary.ask("n", {name: body[name] for name in ("p", "q", "t") if name in body})
        return granted
    query, headers = {
        "shallow": ("shallow=true", {}),
        "export": ("format=export", {}),
        "query": ('orderBy="$key"&limitToFirst=5', {}),
        "etag": ("", {"X_Firebase_ETag": "true"}),
        "none-match": ("", {"if_none_match": node_hash(node) or "null_etag"}),
        "callback": ("callback=f&download=f", {}),
        "stream": ("", {"accept": "text/event-stream"}),
    }.get(kind, ("", {}))
    answer = adversary.request("GET", path, query=quote(query, safe="=&"), **headers)
    assert answer.status in (200, 304, 401)
    if answer.status == 200 and kind == "export":
        assert answer.json() == shown(node)
    return answer.status != 401


def write(adversary: Adversary, rules: Any, auth: Any, tree: Tree, kind: str, path: Any, value: Any) -> bool:
    """Whether it was granted; `tree` has it then."""
    if kind == "delete":
        value = None
    if kind in ("patch", "merge"):
        try:
            changes = list(zip(update_paths(path, value), value.values(), strict=True))
        except Refused:
            return False
    else:
        changes = [(path, value)]
    writes = [(place, from_json(each, len(place))[0]) for place, each in changes]
    granted = naive.may_write(rules, auth, writes, tree.root, NOW)
    compared = kind in ("if-match", "compared")
    if compared and not naive.may_read(rules, auth, path, tree.root, NOW):
        granted = False
    current = node_hash(find(tree.root, path))
    if kind in ("set", "compared", "merge", "volatile", "leave"):
        body = {"p": text_of(path), "d": value, **({"h": current} if kind == "compared" else {})}
        told, _ = adversary.ask({"merge": "m", "volatile": "v", "leave": "o"}.get(kind, "p"), body)
        if compared and not naive.may_read(rules, auth, path, tree.root, NOW):
            # A wrong guess is answered like a right one.
            assert adversary.ask("p", body | {"h": "d3Jvbmc="}) == (False, None)
        if kind == "leave" and granted:
            adversary.leave()
    else:
        if compared and not naive.may_read(rules, auth, path, tree.root, NOW):
            assert adversary.request("PUT", path, value, if_match="d3Jvbmc=").status == 401
        method = {"put": "PUT", "if-match": "PUT", "override": "POST"}.get(kind, kind.upper())
        headers = {"if-match": {"if_match": current or "null_etag"}, "override": {"X_HTTP_Method_Override": "PUT"}}.get(kind, {})
        answer = adversary.request(method, path, value, **headers)
        told = answer.status == 200
        assert answer.status in (200, 401), answer
    assert told is granted
    if granted:
        for place, node in writes:
            tree.set(place, copy.deepcopy(node))
    return granted


def test_an_admin_who_acts_as_somebody_is_asked_about_and_nobody_else_may_act(server: Server) -> None:
    rules = {"rules": {"a": {".read": "auth.uid === 'anna'", ".write": "auth.uid === 'anna'"}}}
    assert server.rest("PUT", "/.settings/rules", rules, ns=NS).status == 200
    anna = sign({"v": 0, "iat": int(time.time()), "d": {"uid": "anna"}}, SECRET, "HS256", None)
    bert = {"uid": "bert"}
    for transport in (Socket, Polling):
        for more, allowed in (
            ({}, True),
            ({"noauth": True}, False),
            ({"authvar": bert}, False),
            ({"authvar": {"uid": "anna"}}, True),
        ):
            acting = transport(server.port, NS)
            assert acting.ask("gauth", {"cred": server.credential, **more})["s"] == "ok"
            for action, body in (("g", {"p": "/a"}), ("p", {"p": "/a", "d": 1}), ("o", {"p": "/a", "d": 2})):
                assert (acting.ask(action, body)["s"] == "ok") is allowed, (more, action)
            acting.close()
        for kind in ("auth", "gauth"):
            user = transport(server.port, NS)
            for more in ({"noauth": True}, {"authvar": {"uid": "anna"}}):
                assert user.ask(kind, {"cred": anna, **more})["s"] == "permission_denied"
            assert user.ask("g", {"p": "/a"})["s"] == "permission_denied"
            user.close()
    for override, status in (("null", 401), (json.dumps(bert), 401), ('{"uid":"anna"}', 200)):
        query = f"auth_variable_override={quote(override)}"
        assert server.rest("GET", "/a", ns=NS, query=query).status == status
        assert server.rest("GET", "/a", ns=NS, query=f"{query}&auth={anna}", admin=False).status == 401


NAMES = (
    "arena/../vault", "arena%2F..%2Fvault", "../vault", "%2E%2E%2Fvault", "./vault", "vault%00", "vault%20", "vault.", "vault/",
    "VAULT", "vault%0A", "arena%26ns%3Dvault", "arena&ns=vault", "vault&ns=arena", "arena;ns=vault", "va%75lt", "vau\u200blt",
    ".default", "vault/.settings/rules.json", "",
)  # fmt: skip
PLACES = (
    "/.json", "/a.json", "/../vault/a.json", "/%2E%2E/vault/.json", "//vault/a.json", "/.settings/rules.json",
    "/.settings/profile.json",
    "/.meadowlark/rules/vault.json", "/.meadowlark/rules.json", "/.meadowlark/profile/vault.json", "/.meadowlark/databases.json",
    "/.meadowlark/metrics.json", "/metrics", "/.inspect/databases.json", "/.inspect/coverage.json", "/.inspect/coverage",
    "/v1beta/projects/p/locations/-/instances", "/v1beta/projects/p/locations/-/instances/vault", "/v1beta1/projects/p",
)  # fmt: skip


def test_no_name_and_no_address_reaches_another_database(server: Server) -> None:
    assert server.rest("PUT", "/.settings/rules", {"rules": {".read": True, ".write": True}}, ns=NS).status == 200
    before = server.rest("GET", "/", ns=VAULT, query="format=export").body
    token = sign({"v": 0, "iat": int(time.time()), "d": {"uid": "a", "admin": True}}, SECRET, "HS256", None)
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)

    def answered(method: str, target: str, **headers: str) -> Response:
        connection.request(method, target, None if method == "GET" else '"seen"', headers)
        found = connection.getresponse()
        return Response(found.status, found.headers, found.read())

    for method in ("GET", "PUT", "POST", "DELETE"):
        for place in PLACES:
            for name in NAMES if place in PLACES[:7] else ("arena", "vault"):
                for host in ("localhost", "vault.localhost", "arena.localhost"):
                    target = f"{place}?ns={quote(name, safe='%/&=;')}&auth={token}"
                    told = answered(method, target, Host=host)
                    assert CANARY.encode() not in told.body, (method, target, host)
                    assert b"vault" not in told.body or told.status in (400, 404), (method, target, told)
                    if not place.startswith(PLACES[:5]):
                        assert told.status in (400, 401, 404, 405), (method, target, told)
    connection.close()
    assert server.rest("GET", "/", ns=VAULT, query="format=export").body == before


def test_a_session_of_one_database_is_of_no_use_in_another(server: Server) -> None:
    assert server.rest("PUT", "/.settings/rules", {"rules": {".read": True, ".write": True}}, ns=NS).status == 200
    polling = Polling(server.port, NS)
    asking = Polling(server.port, NS)
    asking.ns = VAULT
    with contextlib.suppress(
        AssertionError
    ):  # It may be told that there is no such session, or be answered from its own database.
        asking.ask("g", {"p": "/"})
    assert CANARY not in json.dumps(asking.scripts.messages)
    asking.close()
    socket = Socket(server.port, VAULT, query=f"&ls={polling.session}")
    for action, body in (
        ("g", {"p": "/"}), ("q", {"p": "/", "h": ""}), ("p", {"p": "/a", "d": 1}), ("m", {"p": "/", "d": {"a": 1}}),
        ("o", {"p": "/a", "d": 1}), ("om", {"p": "/", "d": {"a": 1}}), ("oc", {"p": "/a"}), ("v", {"p": "/a", "d": 1}),
    ):  # fmt: skip
        answer = socket.ask(action, body)
        assert CANARY not in json.dumps(answer)
        assert answer["s"] == "permission_denied" or action == "oc", action
    assert socket.pushes == []
    assert polling.ask("g", {"p": "/"})["s"] == "ok", "the session of the other database is still there"
    socket.close()
    polling.close()
