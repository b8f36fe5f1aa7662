"""Somebody who may only do what rules allow, on every way in: nothing is read, heard or changed that the naive interpreter
denies.

A server in `serve` with a certificate, so that all ways are there, and random rules in one of its databases. Each operation goes
by a random way: the one realtime connection (a WebSocket, long polls or a WebTransport, with datagrams), REST in each of its
forms, event streams. Between them the connection signs in as others and out, and the rules are replaced.
What is denied is answered with the words for that and nothing else, and leaves the tree as it was; what is granted gives what
stands there, or puts it there. Who listens believes at any time what stands there, as long as it may; when identity or rules take
that away, the listen is ended and nothing of it is told any more. (What data takes away ends within half a minute; here such
listens are given up at once.)
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, assume, currently_in_test_context, event, given, settings

from meadowlark.engine.on_disconnect import DisconnectQueue
from meadowlark.engine.values import update_paths
from meadowlark.errors import Refused
from meadowlark.tree import Tree, encode, find, from_json, node_hash, plain
from tests.auth.signing import SECRET
from tests.conformance.adversary import WAYS, WINDOW, WINDOW_ASKED, Adversary, text_of, token_of, window_of
from tests.conformance.certificates import make_certificate
from tests.engine.test_rules_model import readable
from tests.harness import Server, eventually
from tests.rules import naive
from tests.rules.test_naive import AUTHS, LEAVES, PATHS, levels, parsed, without_captures
from tests.server.polling import Polling
from tests.server.sockets import Socket
from tests.server.transports import Transport

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

NS = "arena"
NOW = 7
"""For rules; they see a number in place of `now`, since the server's clock goes on."""
PUSHED = ("-0aaaaaaaaaaaaaaaaaa", "-Ozzzzzzzzzzzzzzzzzz")
"""Keys as a POST makes them: what rules say of both, they say of the one that it made."""
LONG = "x" * 140_000
"""Makes a write large: it is prepared, and decided, in slices."""

VALUES: Any = st.recursive(
    st.one_of(LEAVES, LEAVES.map(lambda leaf: {".value": leaf, ".priority": 1})),
    lambda inner: st.dictionaries(st.sampled_from(["a", "b", "c"]), inner, max_size=3),
    max_leaves=6,
)
WHO = AUTHS.filter(lambda auth: auth != {})
SOME_RULES = levels((), (".read", ".write", ".validate")).map(without_captures).map(readable)
GUARDS = (
    "query.limitToFirst <= 2",
    "query.limitToFirst == null",
    "query.orderByKey && query.limitToFirst === 2 && query.startAt == null",
    "query.limitToFirst > 2 || query.orderByChild != null",
    "auth.uid === 'a' || query.limitToFirst === 2",
    "query.limitToFirst === 2 && data.hasChild('a')",
)
"""Where whole places, and windows, are granted or not because of what is asked for."""
ASKED = st.sampled_from(GUARDS)
RULES = st.one_of(
    SOME_RULES,
    SOME_RULES.map(lambda rules: rules | {".read": "auth.uid === 'a'"}),
    SOME_RULES.map(lambda rules: rules | {".read": "auth != null", ".write": True}),
    st.tuples(SOME_RULES, ASKED).map(lambda made: made[0] | {".read": made[1], ".write": True}),
    st.tuples(SOME_RULES, ASKED, ASKED).map(lambda made: {".write": True, "a": made[0] | {".read": made[1]}, ".read": made[2]}),
)
READS = ("plain", "shallow", "export", "query", "etag", "none-match", "callback", "get", "get-window")
LISTENS = ("listen", "window", "stream", "stream-window", "unlisten")
WRITES = (
    "put", "silent", "delete", "override", "post", "if-match", "set", "compared", "volatile", "said", "large-put", "large-set",
)  # fmt: skip
UPDATES = ("patch", "silent-patch", "merge", "large-merge", "leave-update")
CHILDREN = st.dictionaries(PATHS.filter(bool).map("/".join), VALUES, min_size=1, max_size=3)
SHORT_PATHS = st.sampled_from([(), (), ("a",), ("b",)])
OPERATIONS = st.one_of(
    st.tuples(st.sampled_from(READS), PATHS, st.none()),
    st.tuples(st.sampled_from(LISTENS), SHORT_PATHS, st.none()),
    st.tuples(st.sampled_from(WRITES), PATHS, VALUES),
    st.tuples(st.sampled_from(UPDATES), SHORT_PATHS, CHILDREN),
    st.tuples(st.sampled_from(["leave-set", "leave-cancel"]), PATHS, VALUES),
    st.tuples(st.just("leave"), st.just(()), st.none()),
    st.tuples(st.just("become"), st.just(()), WHO),
    st.tuples(st.just("rules"), st.just(()), RULES),
)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("adversary")
    (folder / "secret").write_bytes(SECRET)
    (folder / "secret").chmod(0o600)
    (folder / "identity.toml").write_text('[secrets.old]\nsecret_file = "secret"\n')
    certificate, key = make_certificate(folder, "localhost", "127.0.0.1")
    arguments = (
        "--identity-file", str(folder / "identity.toml"), "--databases", NS, "--durability", "relaxed",
        "--tls-certificate", str(certificate), "--tls-key", str(key),
    )  # fmt: skip
    running = Server(folder / "data", mode="serve", arguments=arguments)
    running.certificate = certificate
    with running:
        yield running
        running.stop()


def timeless(rules: Any) -> Any:
    if isinstance(rules, dict):
        return {key: timeless(inner) for key, inner in rules.items()}
    return re.sub(r"\bnow\b", str(NOW), rules) if isinstance(rules, str) else rules


def shown(node: Any) -> Any:
    return json.loads(encode(node))


class Arena:
    """The server's side as it should be: rules, who the adversary is, the tree, and what the connection has queued."""

    def __init__(self, server: Server, rules: Any, value: Any, auth: Any, way: str) -> None:
        self.server = server
        self.auth = auth
        self.queue = DisconnectQueue()
        self._admin = server.connect()
        self.ask_admin("PUT", "/.json", value)
        self.rule(rules)
        self.tree = Tree(from_json(self.stands())[0])
        self.adversary = Adversary(server, NS, auth, way)

    def ask_admin(self, method: str, path: str, body: Any = None, query: str = "") -> Any:
        headers = {"Authorization": f"Bearer {self.server.credential}"}
        content = json.dumps(body) if method != "GET" else None
        self._admin.request(method, f"{path}?ns={NS}&{query}", content, headers)
        answer = self._admin.getresponse()
        text = answer.read()
        assert answer.status == 200, text
        return json.loads(text)

    def stands(self) -> Any:
        """What an admin sees, priorities too."""
        return self.ask_admin("GET", "/.json", query="format=export")

    def rule(self, rules: Any) -> None:
        self.rules = rules
        self.ask_admin("PUT", "/.settings/rules.json", {"rules": rules})

    def may_read(self, path: Any, auth: Any = ..., *, is_window: bool = False) -> bool:
        query = WINDOW_ASKED if is_window else None
        return naive.may_read(self.rules, self.auth if auth is ... else auth, path, self.tree.root, NOW, query)

    def may_write(self, writes: list[tuple[Any, Any]]) -> bool:
        return naive.may_write(self.rules, self.auth, writes, self.tree.root, NOW)

    def put(self, writes: list[tuple[Any, Any]]) -> None:
        for place, node in writes:
            self.tree.set(place, copy.deepcopy(node))

    def node(self, path: Any) -> Any:
        return find(self.tree.root, path)

    def close(self) -> None:
        self.adversary.close()
        self._admin.close()

    # After each operation

    def check(self, kind: str) -> None:
        """The tree is as it should be, and so is what everybody believes of it. `kind` has just been done."""
        if kind == "leave":
            eventually(lambda: self.stands() == shown(self.tree.root), what="what was queued")
        assert self.stands() == shown(self.tree.root)
        self._check_listens(takes_away=kind in ("become", "rules"))
        self._check_streams(takes_away=kind == "rules")

    def _check_listens(self, *, takes_away: bool) -> None:
        """takes_away: identity or rules have changed, and not the data."""
        adversary, listening = self.adversary, self.adversary.listening
        expected = {(path, False) for path in listening.places} | {(path, True) for path in listening.windows}
        lost = {(path, is_window) for path, is_window in expected if not self.may_read(path, is_window=is_window)}
        heard_count = len(adversary.connection.pushes)
        ended = adversary.hear()
        if takes_away:
            assert ended == lost
            assert all(push["a"] == "c" for push in adversary.connection.pushes[heard_count:])
        assert ended <= lost
        for path, is_window in lost - ended:
            self.unlisten(path, is_window=is_window)

        def is_believed() -> bool:
            # A value may be on its way in a datagram.
            assert not adversary.hear()
            return all(shown(listening.believed(path)) == shown(self.node(path)) for path in listening.places) and all(
                shown(listening.believed_window(path)) == window_of(shown(self.node(path))) for path in listening.windows
            )

        eventually(is_believed, what="what is listened to is believed")

    def unlisten(self, path: Any, *, is_window: bool) -> None:
        listening, body = self.adversary.listening, {"p": text_of(path)}
        if is_window:
            body |= {"q": WINDOW, "t": listening.windows.pop(path)}
        else:
            del listening.places[path]
        assert self.adversary.ask("n", body)[0]

    def _check_streams(self, *, takes_away: bool) -> None:
        for place, (stream, auth) in list(self.adversary.streams.items()):
            path, is_window = place
            if self.may_read(path, auth, is_window=is_window):
                node = self.node(path)
                there = plain(from_json(window_of(shown(node)))[0]) if is_window else plain(node)
                eventually(lambda stream=stream, there=there: stream.believed == there, what="what is streamed is believed")
                assert not stream.is_over
                continue
            if takes_away:
                eventually(lambda stream=stream: stream.is_over, what="the stream ends")
                assert stream.ending == "cancel"
            self.adversary.end_stream(place)


@settings(max_examples=70, deadline=None, suppress_health_check=list(HealthCheck))
@given(RULES.map(timeless), VALUES, WHO, st.sampled_from(list(WAYS)), st.lists(OPERATIONS, min_size=5, max_size=12))
def test_no_sequence_reads_hears_or_changes_what_is_denied(
    server: Server, rules: Any, value: Any, auth: Any, way: str, operations: Any
) -> None:
    assume(parsed(json.loads(json.dumps(rules))) is not None)
    play(server, (rules, value, auth, way), operations)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("asked", GUARDS)
def test_what_is_asked_for_decides_on_every_way_in(server: Server, asked: str, way: str) -> None:
    """Each query-guarded rule, with others in its place later, whatever chance brings above."""
    reads: list[Any] = [(kind, path, None) for path in ((), ("a",)) for kind in (*READS, *LISTENS)]
    rules = [("rules", (), {".read": other, ".write": True}) for other in GUARDS if other != asked]
    value = {"a": {"a": 1, "b": 2, "c": 3}, "b": True, "c": "ab"}
    operations = [
        *reads,
        ("put", ("a", "a"), 5),
        ("become", (), {"uid": "a"}),
        *reads,
        ("become", (), None),
        rules[0],
        *reads,
        rules[-1],
    ]
    play(server, ({".read": asked, ".write": True}, value, {"uid": "b"}, way), operations)


def play(server: Server, start: tuple[Any, Any, Any, str], operations: list[Any]) -> None:
    """start: the rules, what stands there, who asks and by which connection."""
    rules, value, auth, way = start
    arena = Arena(server, rules, value or None, auth, way)
    try:
        for kind, path, given_value in operations:
            if kind in READS:
                granted = read(arena, kind, path)
            elif kind in LISTENS:
                granted = listen(arena, kind, path)
            elif kind in ("leave", "leave-set", "leave-cancel", "leave-update"):
                granted = queue(arena, kind, path, given_value)
            elif kind == "become":
                arena.auth, granted = given_value, True
                arena.adversary.become(given_value)
            elif kind == "rules":
                granted = parsed(json.loads(json.dumps(timeless(given_value)))) is not None
                if granted:
                    arena.rule(timeless(given_value))
            else:
                granted = write(arena, kind, path, given_value)
            if currently_in_test_context():
                event(f"{kind} granted: {granted}")
            arena.check(kind)
    finally:
        arena.close()


def read(arena: Arena, kind: str, path: Any) -> bool:
    """Whether it was granted; what was read is what stands there."""
    adversary, node = arena.adversary, arena.node(path)
    granted = arena.may_read(path, is_window=kind in ("get-window", "query"))
    if kind in ("get", "get-window"):
        told, found = adversary.ask("g", {"p": text_of(path), **({"q": WINDOW} if kind == "get-window" else {})})
        assert told is granted
        if granted:
            assert found == (shown(node) if kind == "get" else window_of(shown(node)))
        return granted
    hash = node_hash(node) or "null_etag"
    query, headers = {
        "shallow": ("shallow=true", {}),
        "export": ("format=export", {}),
        "query": ('orderBy="$key"&limitToFirst=2', {}),
        "etag": ("", {"X_Firebase_ETag": "true"}),
        "none-match": ("", {"if_none_match": hash}),
        "callback": ("callback=f&download=f", {}),
    }.get(kind, ("", {}))
    answer = adversary.request("GET", path, query=quote(query, safe="=&"), **headers)
    if kind == "callback" and answer.status != 401:
        assert answer.body == b"/**/f(" + json.dumps(plain(node), separators=(",", ":"), ensure_ascii=False).encode() + b");"
        return granted
    assert answer.status == ((304 if kind == "none-match" else 200) if granted else 401), answer
    if granted and kind != "none-match":
        whole = plain(node)
        there = {
            "shallow": dict.fromkeys(whole, True) if isinstance(whole, dict) else whole,
            "export": shown(node),
            "query": plain(from_json(window_of(shown(node)))[0]),
        }.get(kind, whole)
        assert answer.json() == there
        assert kind != "etag" or answer.headers["ETag"] == hash
    return granted


def listen(arena: Arena, kind: str, path: Any) -> bool:
    """Whether it was granted; it goes on, and what it is told is looked at after each operation from now on."""
    adversary, listening = arena.adversary, arena.adversary.listening
    is_window = kind in ("window", "stream-window")
    granted = arena.may_read(path, is_window=is_window)
    if kind == "unlisten":
        if path in listening.places:
            arena.unlisten(path, is_window=False)
        return True
    if kind in ("stream", "stream-window"):
        assert adversary.stream(path, arena.auth, is_window=is_window) is granted
        return granted
    if path in (listening.windows if is_window else listening.places):
        arena.unlisten(path, is_window=is_window)
    body = {"p": text_of(path), "h": "", **({"q": WINDOW, "t": listening.begin_window(path)} if is_window else {})}
    if not is_window:
        listening.begin(path)
    before = len(adversary.connection.pushes)
    told, _ = adversary.ask("q", body)
    assert told is granted
    if not granted:
        assert len(adversary.connection.pushes) == before
        del (listening.windows if is_window else listening.places)[path]
    return granted


def queue(arena: Arena, kind: str, path: Any, value: Any) -> bool:
    """Operations for the end of the connection, and that end: whether what it does was granted."""
    adversary, queue = arena.adversary, arena.queue
    if kind == "leave":
        arena.queue = DisconnectQueue()
        granted = True
        for writes in queue.batches():
            if arena.may_write(writes):
                arena.put(writes)
            else:
                granted = False
        adversary.leave()
        return granted
    if kind == "leave-cancel":
        assert adversary.ask("oc", {"p": text_of(path)})[0]
        queue.cancel(path)
        return True
    writes = writes_of(path, value) if kind == "leave-update" else [(path, from_json(value, len(path))[0])]
    if writes is None:
        return False
    told, _ = adversary.ask("om" if kind == "leave-update" else "o", {"p": text_of(path), "d": value})
    granted = arena.may_write(writes)
    assert told is granted
    if granted:
        batch = queue.new_batch() if len(writes) > 1 else None
        for place, node in writes:
            queue.set(place, node, batch)
    return granted


def writes_of(path: Any, children: Any) -> list[tuple[Any, Any]] | None:
    """The places of an update, or None where it contradicts itself."""
    try:
        paths = update_paths(path, children)
    except Refused:
        return None
    return [(place, from_json(value, len(place))[0]) for place, value in zip(paths, children.values(), strict=True)]


def write(arena: Arena, kind: str, path: Any, value: Any) -> bool:
    """Whether it was granted; the tree has it then."""
    adversary = arena.adversary
    if kind == "delete":
        value = None
    if kind.startswith("large"):
        value = {**value, "c": LONG} if isinstance(value, dict) and ".value" not in value else {"a": value, "c": LONG}
    if kind == "post":
        return post(arena, path, value)
    writes = writes_of(path, value) if kind in UPDATES else [(path, from_json(value, len(path))[0])]
    if writes is None:
        return False
    granted = arena.may_write(writes)
    compared = kind in ("if-match", "compared")
    is_blind = compared and not arena.may_read(path)
    granted = granted and not is_blind
    current = node_hash(arena.node(path))
    action = {
        "set": "p", "compared": "p", "large-set": "p", "merge": "m", "large-merge": "m", "volatile": "v",
    }.get(kind)  # fmt: skip
    if kind == "said":
        adversary.say(path, value)
    elif action is not None:
        body = {"p": text_of(path), "d": value}
        if is_blind:
            # A wrong guess is answered like a right one.
            assert adversary.ask(action, body | {"h": "d3Jvbmc="}) == (False, None)
        assert adversary.ask(action, body | ({"h": current} if compared else {}))[0] is granted
    else:
        if is_blind:
            assert adversary.request("PUT", path, value, if_match="d3Jvbmc=").status == 401
        method = {"delete": "DELETE", "override": "POST", "patch": "PATCH", "silent-patch": "PATCH"}.get(kind, "PUT")
        headers = {"if-match": {"if_match": current or "null_etag"}, "override": {"X_HTTP_Method_Override": "PUT"}}.get(kind, {})
        silent = kind.startswith("silent")
        answer = adversary.request(method, path, value, "print=silent" if silent else "", **headers)
        assert answer.status == ((204 if silent else 200) if granted else 401), answer
        assert not (silent and granted and answer.body)
    if granted:
        arena.put(writes)
    if kind in ("volatile", "said") and granted:
        # Exports leave such values out, and they go with the connection: so that it stays, all is written again.
        assert arena.ask_admin("GET", f"{text_of(path)}.json") == plain(arena.node(path))
        arena.ask_admin("PUT", "/.json", shown(arena.tree.root))
    return granted


def post(arena: Arena, path: Any, value: Any) -> bool:
    node = from_json(value, len(path) + 1)[0]
    foretold = {arena.may_write([((*path, key), node)]) for key in PUSHED}
    answer = arena.adversary.request("POST", path, value)
    granted = answer.status == 200
    assert answer.status in (200, 401), answer
    assert len(foretold) > 1 or granted in foretold
    if granted:
        arena.put([((*path, answer.json()["name"]), node)])
    return granted


def test_an_admin_who_acts_as_somebody_is_asked_about_and_nobody_else_may_act(server: Server) -> None:
    rules = {"rules": {"a": {".read": "auth.uid === 'anna'", ".write": "auth.uid === 'anna'"}}}
    assert server.rest("PUT", "/.settings/rules", rules, ns=NS).status == 200
    anna = token_of({"uid": "anna"})
    bert = {"uid": "bert"}
    for transport in (Socket, Polling, Transport):
        for more, allowed in (
            ({}, True),
            ({"noauth": True}, False),
            ({"authvar": bert}, False),
            ({"authvar": {"uid": "anna"}}, True),
        ):
            acting = transport(server.port, NS, context=server.context)
            assert acting.ask("gauth", {"cred": server.credential, **more})["s"] == "ok"
            for action, body in (("g", {"p": "/a"}), ("p", {"p": "/a", "d": 1}), ("o", {"p": "/a", "d": 2})):
                assert (acting.ask(action, body)["s"] == "ok") is allowed, (more, action)
            acting.close()
        for kind in ("auth", "gauth"):
            user = transport(server.port, NS, context=server.context)
            for more in ({"noauth": True}, {"authvar": {"uid": "anna"}}):
                assert user.ask(kind, {"cred": anna, **more})["s"] == "permission_denied"
            assert user.ask("g", {"p": "/a"})["s"] == "permission_denied"
            user.close()
    for override, status in (("null", 401), (json.dumps(bert), 401), ('{"uid":"anna"}', 200)):
        query = f"auth_variable_override={quote(override)}"
        assert server.rest("GET", "/a", ns=NS, query=query).status == status
        assert server.rest("GET", "/a", ns=NS, query=f"{query}&auth={anna}", admin=False).status == 401
