"""Pushes, literally."""

from __future__ import annotations

import json
from collections.abc import Generator
from typing import Any

import pytest

from meadowlark.engine.client import Client
from meadowlark.engine.effects import Push
from meadowlark.errors import Code, Refused
from meadowlark.query import parse_query
from meadowlark.tree import Range
from meadowlark.wire import encode_auth_revoked, encode_push, encode_push_slices, encode_revoke
from tests.wire.exchange import read_messages

LISTENERS = (Client("s1"),)


def told(push: Push) -> str:
    [message] = read_messages(encode_push(push))
    return message


def made(steps: Generator[None, None, list[bytes]]) -> tuple[list[bytes], int]:
    """What `steps` come to, and how many they are."""
    count = 0
    while True:
        try:
            next(steps)
        except StopIteration as stop:
            return stop.value, count
        count += 1


def test_a_value_in_one_short_frame() -> None:
    assert encode_push(Push(LISTENERS, ("a", "b"), 1)) == b'\x81\x2d{"t":"d","d":{"a":"d","b":{"p":"a/b","d":1}}}'


@pytest.mark.parametrize(
    ("path", "value", "body"),
    [
        ((), None, '{"p":"","d":null}'),
        ((), {"a": 1}, '{"p":"","d":{"a":1}}'),
        (("a", ".priority"), "x", '{"p":"a/.priority","d":"x"}'),
        (('q"\\', "ü😀"), False, '{"p":"q\\"\\\\/ü😀","d":false}'),
        (("a",), {".value": 1, ".priority": 2.5}, '{"p":"a","d":{".value":1,".priority":2.5}}'),
    ],
)
def test_paths_and_values(path: tuple[str, ...], value: Any, body: str) -> None:
    assert told(Push(LISTENERS, path, value)) == '{"t":"d","d":{"a":"d","b":' + body + "}}"


def test_a_merge() -> None:
    push = Push(LISTENERS, ("a",), {"b/y": None, "c": {"d": 1}}, merge=True)
    assert told(push) == '{"t":"d","d":{"a":"m","b":{"p":"a","d":{"b/y":null,"c":{"d":1}}}}}'


def test_ranges() -> None:
    ranges = [
        Range(None, ("a", "b"), None),
        Range(("a", "b"), ("c",), {"a": {"x": 1}, "b": "é"}),
        Range(("c",), None, {"d": True}),
    ]
    parts = '{"e":"a/b","m":null},{"s":"a/b","e":"c","m":{"a":{"x":1},"b":"é"}},{"s":"c","m":{"d":true}}'
    push = Push(LISTENERS, ("p", "q"), None, ranges=ranges)
    assert told(push) == '{"t":"d","d":{"a":"rm","b":{"p":"p/q","d":[' + parts + "]}}}"


def test_large_ranges_are_left_to_be_encoded_in_slices() -> None:
    nodes = [{f"k{number}": {"n": number, "text": "é" * 40} for number in range(count)} for count in (5, 2_000, 1, 300)]
    ranges = [Range((str(index),), (str(index + 1),), node) for index, node in enumerate(nodes)]
    push = Push(LISTENERS, (), None, ranges=ranges)
    assert encode_push(push) == b""
    parts, count = made(encode_push_slices(push))
    assert count > 3
    [message] = read_messages(b"".join(parts))
    expected = [{"s": str(index), "e": str(index + 1), "m": node} for index, node in enumerate(nodes)]
    assert json.loads(message) == {"t": "d", "d": {"a": "rm", "b": {"p": "", "d": expected}}}


def test_a_push_is_encoded_once_and_stays_as_it_was() -> None:
    value = {"x": 1}
    push = Push(LISTENERS, ("a",), value)
    first = encode_push(push)
    value["x"] = 2
    assert encode_push(push) is first


def test_another_protocols_encoding_is_left_alone() -> None:
    push = Push(LISTENERS, ("a",), 1, encoded={"stream": b"event"})
    first = encode_push(push)
    assert push.encoded["stream"] == b"event"
    assert encode_push(push) is first


def test_a_large_value_is_divided_between_characters() -> None:
    text = "€" * 30_000
    assert told(Push(LISTENERS, (), text)) == '{"t":"d","d":{"a":"d","b":{"p":"","d":"' + text + '"}}}'


def test_the_end_of_a_listen_and_of_a_credential() -> None:
    assert read_messages(encode_revoke(("a", "b"))) == ['{"t":"d","d":{"a":"c","b":{"p":"a/b"}}}']
    assert read_messages(encode_revoke(())) == ['{"t":"d","d":{"a":"c","b":{"p":""}}}']
    assert read_messages(encode_auth_revoked(Refused(Code.EXPIRED_TOKEN, "Auth token is expired."))) == [
        '{"t":"d","d":{"a":"ac","b":{"s":"expired_token","d":"Auth token is expired."}}}'
    ]


def test_a_large_value_is_left_to_be_encoded_in_slices() -> None:
    value = {f"ключ{number}": {"n": number, "text": "é" * 40} for number in range(3_000)}
    for push in (Push((), ("a", "b"), value), Push((), ("a",), {"b/c": value, "d": None}, merge=True)):
        assert encode_push(push) == b""
        parts, count = made(encode_push_slices(push))
        assert count > 3
        [message] = read_messages(b"".join(parts))
        action = "m" if push.merge else "d"
        assert json.loads(message) == {"t": "d", "d": {"a": action, "b": {"p": "/".join(push.path), "d": push.value}}}


def test_a_tag_stands_last_and_the_rest_is_made_once_for_all_tags() -> None:
    room: dict[Any, Any] = {}
    first, second = (Push(LISTENERS, ("a",), {"b": 1, "c": None}, True, tag=tag, room=room) for tag in (1, 12))
    assert told(first) == '{"t":"d","d":{"a":"m","b":{"p":"a","d":{"b":1,"c":null},"t":1}}}'
    second.value = "not looked at again"
    assert told(second) == '{"t":"d","d":{"a":"m","b":{"p":"a","d":{"b":1,"c":null},"t":12}}}'


def test_a_large_value_with_a_tag() -> None:
    push = Push(LISTENERS, ("a",), {f"k{number}": "x" * 100 for number in range(2_000)}, tag=7, room={})
    assert encode_push(push) == b""
    [message] = read_messages(b"".join(made(encode_push_slices(push))[0]))
    assert message.endswith(',"t":7}}}')


def test_a_revoked_query_goes_back_as_it_came() -> None:
    query = parse_query({"l": 2, "vf": "l", "sin": True, "sp": 1, "i": "n"})
    assert read_messages(encode_revoke(("a",), query)) == [
        '{"t":"d","d":{"a":"c","b":{"p":"a","q":[{"l":2,"vf":"l","sin":true,"sp":1,"i":"n"}]}}}'
    ]
