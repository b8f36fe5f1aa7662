"""Each action: literal text in, literal command out; and what a body that means nothing is told."""

from __future__ import annotations

from collections.abc import Iterator

import orjson
import pytest

from meadowlark.engine import commands as c
from meadowlark.engine.client import Client
from meadowlark.limits import KEY_BYTES_MAX, PATH_DEPTH_MAX
from meadowlark.query import parse_query
from meadowlark.tree import Ranges
from meadowlark.wire import Answer, Authenticate, Outcome, Session, SetPace, State, Unauthenticate
from meadowlark.wire.actions import ACTIONS
from tests.wire.exchange import read_messages

CLIENT = Client("s1")


def request(action: str, body: str, number: int = 4) -> bytes:
    return f'{{"t":"d","d":{{"r":{number},"a":"{action}","b":{body}}}}}'.encode()


def every_way(message: bytes) -> Iterator[list[bytes]]:
    """The text frames in which `message` may come: whole, counted alone, cut at every byte, and in single bytes."""
    yield [message]
    yield [b"1", message]
    for place in range(1, len(message)):
        yield [b"2", message[:place], message[place:]]
    yield [b"%d" % len(message), *[message[place : place + 1] for place in range(len(message))]]


def outcome_of(message: bytes) -> Outcome:
    """The one outcome, the same however the message comes."""
    found: list[Outcome] = []
    for frames in every_way(message):
        session, events = Session(CLIENT, "h"), list[Outcome]()
        for frame in frames:
            assert not events, "something happened before the last frame"
            session.receive(frame, events)
        assert session.state is State.OPEN
        found += events
        assert len(events) == 1
        assert events[0] == found[0]
    return found[0]


ASKED = [
    ("p", '{"p":"/a/b","d":{"x":[1,null]}}', c.Set(CLIENT, 4, ("a", "b"), {"x": [1, None]})),
    ("p", '{"p":"/a","d":null}', c.Set(CLIENT, 4, ("a",), None)),
    ("p", '{"p":"/a","d":1,"h":""}', c.Set(CLIENT, 4, ("a",), 1, "")),
    ("p", '{"p":"/a","d":1,"h":"xyz="}', c.Set(CLIENT, 4, ("a",), 1, "xyz=")),
    ("p", '{"p":"/a/.priority","d":3}', c.Set(CLIENT, 4, ("a", ".priority"), 3)),
    ("p", '{"p":"/weird key %20/ünï😀","d":"é"}', c.Set(CLIENT, 4, ("weird key %20", "ünï😀"), "é")),
    ("m", '{"p":"a","d":{"b/y":1,"c/.priority":2}}', c.Update(CLIENT, 4, ("a",), {"b/y": 1, "c/.priority": 2})),
    ("m", '{"p":"a","d":{"b":null}}', c.Update(CLIENT, 4, ("a",), {"b": None})),
    ("m", '{"p":"","d":{}}', c.Update(CLIENT, 4, (), {})),
    ("q", '{"p":"/a","h":"xyz="}', c.Listen(CLIENT, 4, ("a",), "xyz=")),
    ("q", '{"p":"//a//b/"}', c.Listen(CLIENT, 4, ("a", "b"), "")),
    (
        "q",
        '{"p":"/a","h":"x","ch":{"ps":["9/b","/10"],"hs":["y","z",""]}}',
        c.Listen(CLIENT, 4, ("a",), "x", ranges=Ranges((("9", "b"), ("10",)), ("y", "z", ""))),
    ),
    (
        "q",
        '{"p":"/a","q":{"l":1,"vf":"l"},"t":5,"h":"x","ch":{"ps":["9/b"],"hs":["y",""]}}',
        c.Listen(CLIENT, 4, ("a",), "x", parse_query({"l": 1, "vf": "l"}), 5, Ranges((("9", "b"),), ("y", ""))),
    ),
    ("q", '{"p":"/a","h":"","q":{}}', c.Listen(CLIENT, 4, ("a",), "")),
    ("q", '{"p":"/a","h":"","q":{"i":".value"}}', c.Listen(CLIENT, 4, ("a",), "", parse_query({"i": ".value"}))),
    ("l", '{"p":"/","h":""}', c.Listen(CLIENT, 4, (), "")),
    ("n", '{"p":"/a"}', c.Unlisten(CLIENT, 4, ("a",))),
    ("n", '{"p":"/a","q":{}}', c.Unlisten(CLIENT, 4, ("a",))),
    ("u", '{"p":"/a"}', c.Unlisten(CLIENT, 4, ("a",))),
    ("g", '{"p":"/a","q":{}}', c.Get(CLIENT, 4, ("a",))),
    ("g", '{"p":"/a"}', c.Get(CLIENT, 4, ("a",))),
    ("g", '{"p":"/a","q":{"i":"age/years"}}', c.Get(CLIENT, 4, ("a",), parse_query({"i": "age/years"}))),
    ("o", '{"p":"/a","d":{".sv":"timestamp"}}', c.OnDisconnectSet(CLIENT, 4, ("a",), {".sv": "timestamp"})),
    ("o", '{"p":"/a","d":null}', c.OnDisconnectSet(CLIENT, 4, ("a",), None)),
    ("om", '{"p":"/a","d":{"b":1}}', c.OnDisconnectUpdate(CLIENT, 4, ("a",), {"b": 1})),
    ("oc", '{"p":"/a","d":null}', c.OnDisconnectCancel(CLIENT, 4, ("a",))),
    ("oc", '{"p":"/a"}', c.OnDisconnectCancel(CLIENT, 4, ("a",))),
    ("auth", '{"cred":"a.b."}', Authenticate(4, "a.b.", "auth")),
    ("auth", '{"cred":"a.b.","authvar":{"uid":"x"}}', Authenticate(4, "a.b.", "auth", {"uid": "x"}, True)),
    ("gauth", '{"cred":"owner"}', Authenticate(4, "owner", "gauth")),
    ("gauth", '{"cred":"owner","noauth":true}', Authenticate(4, "owner", "gauth", noauth=True)),
    ("gauth", '{"cred":"owner","noauth":false}', Authenticate(4, "owner", "gauth")),
    ("gauth", '{"cred":"owner","authvar":null}', Authenticate(4, "owner", "gauth", None, True)),
    ("v", '{"p":"/a","d":{"x":1}}', c.Set(CLIENT, 4, ("a",), {"x": 1}, volatile=True)),
    ("vr", '{"d":30}', SetPace(4, 30.0)),
    ("vr", '{"d":0}', SetPace(4, 0.0)),
    ("unauth", "{}", Unauthenticate(4)),
    ("unauth", "null", Unauthenticate(4)),
    *[
        (action, body, Answer(b'\x81\x2b{"t":"d","d":{"r":4,"b":{"s":"ok","d":""}}}'))
        for action, body in [
            ("s", '{"c":{"sdk.node.12-19-0":1}}'),
            ("appcheck", '{"token":"x"}'),
            ("unappcheck", "{}"),
            ("unappeck", "{}"),
        ]
    ],
]


@pytest.mark.parametrize(
    "hash",
    [
        "null",
        "[]",
        '"x"',
        "{}",
        '{"ps":[],"hs":[""]}',
        '{"ps":["b"],"hs":["y"]}',
        '{"ps":["b"],"hs":["y","z",""]}',
        '{"ps":["b"],"hs":["y",1]}',
        '{"ps":[1],"hs":["y",""]}',
        '{"ps":"b","hs":["y",""]}',
        '{"ps":["b.c"],"hs":["y",""]}',
        '{"ps":["10","9"],"hs":["x","y",""]}',
        '{"ps":["b","/b/"],"hs":["x","y",""]}',
        '{"ps":["' + "b/" * 20_000 + '"],"hs":["y",""]}',
        '{"ps":[' + ",".join([f'"{number}"' for number in range(2_049)]) + '],"hs":[' + '"",' * 2_049 + '""]}',
    ],
)
def test_a_compound_hash_that_is_none_counts_as_none(hash: str) -> None:
    [outcome] = received(request("q", f'{{"p":"/a","h":"x","ch":{hash}}}'))
    assert outcome == c.Listen(CLIENT, 4, ("a",), "x")


def received(message: bytes) -> list[Outcome]:
    """The outcomes of one that comes whole."""
    found: list[Outcome] = []
    Session(CLIENT, "h").receive(message, found)
    return found


@pytest.mark.parametrize(("action", "body", "outcome"), ASKED, ids=[f"{action} {body}"[:60] for action, body, _ in ASKED])
def test_what_a_request_asks(action: str, body: str, outcome: Outcome) -> None:
    assert outcome_of(request(action, body)) == outcome


def test_every_action_has_a_case() -> None:
    assert {action for action, _, _ in ASKED} == ACTIONS.keys()


def test_request_numbers_start_at_zero_on_android() -> None:
    assert outcome_of(request("unauth", "{}", 0)) == Unauthenticate(0)


def refusal(action: str, body: str) -> tuple[str, str]:
    """Status and text of the answer to a request that is refused."""
    session, events = Session(CLIENT, "h"), list[Outcome]()
    session.receive(request(action, body), events)
    assert session.state is State.OPEN
    [answer] = events
    assert isinstance(answer, Answer)
    [message] = read_messages(answer.frame)
    message = orjson.loads(message)
    assert message["t"] == "d"
    assert message["d"]["r"] == 4
    return message["d"]["b"]["s"], message["d"]["b"]["d"]


LONG_KEY = "k" * (KEY_BYTES_MAX + 1)
REFUSED: list[tuple[str, str, str]] = [
    ("p", '{"p":"/a"}', "expected a value in 'd'"),
    ("o", '{"p":"/a"}', "expected a value in 'd'"),
    ("p", '{"d":1}', "expected a path in 'p'"),
    ("g", "{}", "expected a path in 'p'"),
    ("q", "null", "expected a path in 'p'"),
    ("p", '{"p":"/.info/connected","d":1}', "/.info belongs to the client"),
    ("q", '{"p":"/.info","h":""}', "/.info belongs to the client"),
    ("p", '{"p":"/a.b","d":1}', "has one of . # $ / [ ]"),
    ("p", '{"p":"/a/.value","d":1}', "has one of . # $ / [ ]"),
    ("p", f'{{"p":"/{LONG_KEY}","d":1}}', "a key has 769 bytes, limit is 768"),
    ("p", f'{{"p":"{"/k" * (PATH_DEPTH_MAX + 1)}","d":1}}', "path has 33 levels, limit is 32"),
    ("p", f'{{"p":"{"/" * 40_000}","d":1}}', "path has 40000 characters, limit is 26146"),
    ("p", '{"p":7,"d":1}', "Expected `str | null`, got `int`"),
    ("p", '["/a",1]', "Expected `object | null`, got `array`"),
    ("m", '{"p":"/a","d":[1]}', "expected an object of paths"),
    ("m", '{"p":"/a","d":null}', "expected an object of paths"),
    ("om", '{"p":"/a"}', "expected an object of paths"),
    ("auth", "{}", "expected a credential in 'cred'"),
    ("auth", '{"cred":null}', "expected a credential in 'cred'"),
    ("gauth", '{"cred":"owner","authvar":"ada"}', "expected an object or null"),
    ("gauth", '{"cred":"owner","authvar":{"n":' + "[" * 300 + "]" * 300 + "}}", "nests too deeply"),
    ("gauth", '{"cred":"owner","authvar":{"n":' + "9" * 30 + "}}", "more than 64 bits"),
    ("fly", "{}", "unknown action 'fly'"),
    ("", "{}", "unknown action ''"),
]


@pytest.mark.parametrize(("action", "body", "text"), REFUSED, ids=[f"{action} {body}"[:60] for action, body, _ in REFUSED])
def test_what_is_refused_and_why(action: str, body: str, text: str) -> None:
    status, why = refusal(action, body)
    assert status == "failed"
    assert text in why


def test_queries_come_as_one_value() -> None:
    query = parse_query({"i": "age", "l": 2, "vf": "l"})
    body = '"p":"/a","q":{"i":"age","l":2,"vf":"l"}'
    assert outcome_of(request("q", f'{{{body},"t":7,"h":""}}')) == c.Listen(CLIENT, 4, ("a",), "", query, 7)
    assert outcome_of(request("n", f'{{{body},"t":7}}')) == c.Unlisten(CLIENT, 4, ("a",), query, 7)
    assert outcome_of(request("g", f"{{{body}}}")) == c.Get(CLIENT, 4, ("a",), query)


@pytest.mark.parametrize("query", ["", ',"q":{}', ',"q":{"i":"a"}'])
def test_a_tag_without_a_filter_is_refused_since_pushes_will_not_carry_it(query: str) -> None:
    assert refusal("q", f'{{"p":"/a","h":""{query},"t":1}}')[1].startswith("expected a tag in 't' beside a query that filters")


def test_a_filter_without_a_tag_is_refused_since_the_client_could_not_tell_its_pushes() -> None:
    assert refusal("q", '{"p":"/a","h":"","q":{"l":1}}')[1].startswith("expected a tag in 't' beside a query that filters")


@pytest.mark.parametrize("query", ['{"i":5}', '{"i":null}', "[]", '"x"'])
def test_a_query_of_the_wrong_form_is_refused(query: str) -> None:
    status, why = refusal("g", f'{{"p":"/a","q":{query}}}')
    assert status == "failed"
    assert "expected" in why.lower()


def test_a_credential_is_not_shown() -> None:
    assert "secret" not in repr(Authenticate(4, "secret", "gauth", {"uid": "secret"}, True))
