"""Any bytes whatever: a session ends in a named state, never raises, and what it hands over can be carried out.

Three sources: bytes of chance, messages of the protocol with pieces changed, and JSON of chance in the shape of requests.
What comes out is applied to a database, whose answers and pushes must be readable.
"""

from __future__ import annotations

import json
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from meadowlark.engine import Get, Listen, OnDisconnectSet, Set, Update
from meadowlark.errors import Refused
from meadowlark.wire import Answer, Authenticate, Outcome, State
from meadowlark.wire.actions import ACTIONS
from tests.wire.exchange import Exchange, Peer

EXAMPLES = settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])

VALID = [
    b'{"t":"c","d":{"t":"p","d":{}}}',
    b'{"t":"d","d":{"r":1,"a":"s","b":{"c":{"sdk.js.12-0-0":1}}}}',
    b'{"t":"d","d":{"r":2,"a":"q","b":{"p":"/a/b","h":""}}}',
    b'{"t":"d","d":{"r":3,"a":"p","b":{"p":"/a/b","d":{"x":[1,2.5,true,null,"\xc3\xa9\\ud83d\\ude00"]}}}}',
    b'{"t":"d","d":{"r":4,"a":"m","b":{"p":"/a","d":{"b/x":null,"c":{".sv":{"increment":1}}}}}}',
    b'{"t":"d","d":{"r":5,"a":"o","b":{"p":"/a/c","d":{".value":1,".priority":2}}}}',
    b'{"t":"d","d":{"r":6,"a":"g","b":{"p":"/a","q":{"i":"x","l":3,"vf":"l"}}}}',
    b'{"t":"d","d":{"r":7,"a":"gauth","b":{"cred":"owner","authvar":{"uid":"x"},"noauth":false}}}',
    b"0", b"2", b"3", b"16384", b"999999",
]  # fmt: skip

TOKENS = [
    b"", b'"', b"\\", b"{", b"}", b"[", b"]", b",", b":", b"null", b"true", b"\\ud800", b"\xff", b"\xed\xa0\x80", b"\0",
    b"NaN", b"1e999", b"9" * 40, b"[" * 50, b'{"a":' * 50, b"/", b".info",
    b'"t"', b'"d"', b'"r"', b'"a"', b'"b"', b'"p"', b'".sv"', b'".value"', b'".priority"',
]  # fmt: skip


@st.composite
def changed_messages(draw: st.DrawFn) -> bytes:
    """A message of the protocol with a few pieces cut out, doubled, or replaced."""
    message = draw(st.sampled_from(VALID))
    for _ in range(draw(st.integers(0, 3))):
        start = draw(st.integers(0, len(message)))
        end = min(len(message), start + draw(st.integers(0, 12)))
        message = message[:start] + draw(st.sampled_from(TOKENS) | st.binary(max_size=4)) + message[end:]
    return message


@st.composite
def divided_messages(draw: st.DrawFn) -> list[bytes]:
    """A message, perhaps changed, with a count that may be wrong."""
    message = draw(changed_messages())
    places = sorted(draw(st.lists(st.integers(0, len(message)), max_size=4)))
    pieces = [message[start:end] for start, end in zip([0, *places], [*places, len(message)], strict=True)]
    return [b"%d" % max(0, len(pieces) + draw(st.sampled_from([0, 0, 0, -1, 1]))), *pieces]


NUMBERS = st.integers(-(2**70), 2**70) | st.floats(allow_nan=False, allow_infinity=False)
KEYS = st.sampled_from(["a", "b", "a/b", ".sv", ".value", ".priority", "", "1", "$", "ü"]) | st.text(max_size=3)
JSON = st.recursive(
    st.none() | st.booleans() | NUMBERS | st.text(max_size=5) | st.sampled_from(["timestamp", "/a"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
)
MEMBERS = st.fixed_dictionaries(
    {},
    optional={
        "p": st.sampled_from(["/a", "/a/b", "", "/", "/a/.priority", "/.info/x", "a//b"]) | JSON,
        "d": JSON,
        "h": st.sampled_from(["", "x"]) | JSON,
        "q": JSON | st.dictionaries(st.sampled_from(["i", "l", "sp"]), JSON, max_size=2),
        "t": JSON,
        "cred": st.sampled_from(["owner", "a.b.c", "eyJhbGciOiJub25lIn0.eyJzdWIiOiJ4In0."]) | JSON,
        "authvar": JSON,
        "noauth": JSON,
        "ch": JSON,
    },
)
REQUESTS = st.fixed_dictionaries(
    {"t": st.sampled_from(["d", "d", "d", "c"]) | JSON},
    optional={
        "d": st.fixed_dictionaries(
            {},
            optional={
                "r": st.integers(0, 99) | JSON,
                "a": st.sampled_from(sorted(ACTIONS)) | JSON,
                "b": MEMBERS | JSON,
                "t": JSON,
            },
        )
    },
)


def encode(value: Any) -> bytes:
    """Any JSON of Python's, with integers and surrogates that orjson would not write."""
    return json.dumps(value).encode()


def carry_out(exchange: Exchange, peer: Peer, frame: bytes) -> list[Outcome]:
    """As the rim does; the test's verifier may refuse a credential."""
    try:
        return exchange.receive(peer, frame)
    except Refused:
        return []


def check(frames: list[bytes]) -> None:
    exchange, peer, other = Exchange({"a": {"b": 1}}), Peer("one"), Peer("two")
    exchange.receive(other, b'{"t":"d","d":{"r":1,"a":"q","b":{"p":"/","h":""}}}')
    for frame in frames:
        was_closed = peer.session.state is State.CLOSED
        outcomes = carry_out(exchange, peer, frame)
        assert len(outcomes) <= 1
        assert not (was_closed and outcomes), "a closed session did something"
    assert (peer.session.state is State.CLOSED) == (peer.closed is not None) == bool(peer.session.reason)
    for message in peer.sent + other.sent:
        assert orjson.loads(message)["t"] in ("c", "d")


@EXAMPLES
@given(st.lists(st.binary(max_size=60), max_size=6))
def test_bytes_of_chance(frames: list[bytes]) -> None:
    check(frames)


@EXAMPLES
@given(st.lists(changed_messages(), max_size=6))
@example([VALID[2].replace(b'"/a/b"', b'"/a' + b"/" * 30_000 + b'"')])
def test_changed_messages(frames: list[bytes]) -> None:
    check(frames)


@EXAMPLES
@given(st.lists(divided_messages(), max_size=4))
def test_divided_messages(messages: list[list[bytes]]) -> None:
    check([frame for frames in messages for frame in frames])


@EXAMPLES
@given(st.lists(REQUESTS, min_size=1, max_size=5))
def test_requests_of_chance(requests: list[Any]) -> None:
    check([encode(request) for request in requests])


@pytest.mark.parametrize("frame", VALID, ids=range(len(VALID)))
def test_every_part_of_a_message_alone(frame: bytes) -> None:
    for place in range(len(frame)):
        check([frame[:place]])
        check([frame[place:]])


def test_the_sources_reach_the_tree() -> None:
    """The tester tested: unchanged messages are understood, and change the tree."""
    exchange, peer = Exchange(), Peer("one")
    kinds = [type(outcome) for frame in VALID[:8] for outcome in exchange.receive(peer, frame)]
    assert kinds == [Answer, Answer, Listen, Set, Update, OnDisconnectSet, Get, Authenticate]
    assert exchange.database.tree.root == {"a": {"c": 1}}
