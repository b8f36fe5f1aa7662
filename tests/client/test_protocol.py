"""Frames of the realtime protocol as a client reads and writes them."""

from __future__ import annotations

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from meadowlark.client.protocol import Ended, Hello, Link, Moved, Response, Told, encode_request, request_frames
from meadowlark.limits import FRAME_BYTES_MAX, MESSAGE_BYTES_MAX
from meadowlark.wire.websocket import text_frames
from tests.client.pair import texts


def test_a_short_request_is_one_frame() -> None:
    assert request_frames(1, encode_request("g", {"p": "/a"})) == [b'{"t":"d","d":{"r":1,"a":"g","b":{"p":"/a"}}}']


def test_a_long_request_is_a_count_and_valid_pieces() -> None:
    frames = request_frames(1, encode_request("p", {"p": "/a", "d": "ü€😀" * 20_000}))
    assert int(frames[0]) == len(frames) - 1
    assert all(len(frame) <= FRAME_BYTES_MAX and frame.decode() for frame in frames[1:])
    assert orjson.loads(b"".join(frames[1:]))["d"]["b"]["d"] == "ü€😀" * 20_000


def test_a_request_larger_than_a_server_takes_is_refused_with_both_sizes() -> None:
    with pytest.raises(ValueError, match=str(MESSAGE_BYTES_MAX)):
        encode_request("p", {"p": "/a", "d": "x" * MESSAGE_BYTES_MAX})


@pytest.mark.parametrize(
    ("frame", "said"),
    [
        (
            b'{"t":"c","d":{"t":"h","d":{"ts":5,"v":"5","h":"a:1","s":"id"}}}',
            Hello(5, "a:1", "id"),
        ),
        (b'{"t":"c","d":{"t":"r","d":"b:2"}}', Moved("b:2")),
        (b'{"t":"c","d":{"t":"s","d":"no such database"}}', Ended("no such database", is_final=True)),
        (b'{"t":"c","d":{"t":"o","d":null}}', None),
        (b'{"t":"d","d":{"r":3,"b":{"s":"ok","d":""}}}', Response(3, "ok", "")),
        (b'{"t":"d","d":{"a":"d","b":{"p":"a","d":1}}}', Told("d", {"p": "a", "d": 1})),
    ],
)
def test_what_a_frame_says(frame: bytes, said: object) -> None:
    assert Link().receive(frame) == said


def test_a_message_in_pieces_is_one() -> None:
    link = Link()
    message = orjson.dumps({"t": "d", "d": {"a": "d", "b": {"p": "a", "d": "ü" * 40_000}}})
    said = [link.receive(frame) for frame in texts(text_frames(message))]
    assert said[:-1] == [None] * (len(said) - 1)
    assert said[-1] == Told("d", {"p": "a", "d": "ü" * 40_000})


@pytest.mark.parametrize(
    "frame",
    [
        b'{"t":"c","d":{"t":"h","d":{"ts":1e300,"v":"5","h":"a:1","s":"id"}}}',
        b'{"t":"c","d":{"t":"h","d":{"ts":-1,"v":"5","h":"a:1","s":"id"}}}',
        b'{"t":"c","d":{"t":"h","d":{"ts":5,"v":"5","h":"a:1","s":"%b"}}}' % (b"x" * 5000),
        b'{"t":"c","d":{"t":"r","d":"nowhere/else?ls="}}',
        b'{"t":"c","d":{"t":"r","d":"someone@elsewhere"}}',
        b'{"t":"c","d":{"t":"r","d":["a"]}}',
        b'{"t":"c","d":{"t":"r","d":""}}',
        b'{"t":"d","d":{"r":1e999,"b":{"s":"ok","d":""}}}',
        b'{"t":"d","d":{"r":1,"b":[]}}',
        b'{"t":"d","d":{"a":"d","b":7}}',
        b'{"t":"d","d":null}',
        b"[" * 5000,
        b"7.5e3",
        b"",
    ],
)
def test_what_is_no_message_ends_the_link(frame: bytes) -> None:
    said = Link().receive(frame)
    assert isinstance(said, Ended)
    assert not said.is_final


@given(st.binary(max_size=60))
def test_whatever_comes_ends_the_link_at_worst(frame: bytes) -> None:
    link = Link()
    said = link.receive(frame)
    if isinstance(said, Ended | Moved):
        assert link.receive(b'{"t":"d","d":{"r":3,"b":{"s":"ok","d":""}}}') is None
