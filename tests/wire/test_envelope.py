"""What decodes to what, and that nothing but DECODE_ERRORS comes of bytes that do not."""

from __future__ import annotations

import math
from typing import Any

import pytest
from msgspec import UNSET

from meadowlark.errors import Code
from meadowlark.wire.envelope import DECODE_ERRORS, decode, find_request, malformed


def value(json: bytes) -> Any:
    body = decode(b'{"t":"d","d":{"r":1,"a":"p","b":{"p":"/a","d":' + json + b"}}}").d.b
    assert body is not None
    return body.d


def test_a_request() -> None:
    message = decode(b'{"t":"d","d":{"r":7,"a":"q","b":{"p":"/a","h":"xyz","q":{"l":2},"t":3,"ch":{"ps":[],"hs":["x"]}}}}')
    assert (message.t, message.d.r, message.d.a) == ("d", 7, "q")
    body = message.d.b
    assert body is not None
    assert (body.p, body.h, body.q, body.t, body.d) == ("/a", "xyz", {"l": 2}, 3, UNSET)


def test_a_control_message() -> None:
    message = decode(b'{"t":"c","d":{"t":"p","d":{}}}')
    assert (message.t, message.d.t, message.d.r) == ("c", "p", None)


def test_members_may_come_in_any_order_with_space_between_them() -> None:
    message = decode(b' {"d": {"b": {"d": 1, "p": "/a"}, "a": "p", "r": 0}, "t": "d"} ')
    assert (message.d.r, message.d.b and message.d.b.d) == (0, 1)


def test_of_repeated_members_the_last_counts() -> None:
    assert decode(b'{"t":"c","t":"d","d":{"r":1,"r":2}}').d.r == 2
    assert value(b'{"a":1,"a":2}') == {"a": 2}


def test_null_and_a_missing_value_differ() -> None:
    assert value(b"null") is None
    message = decode(b'{"t":"d","d":{"r":1,"a":"p","b":{"p":"/a"}}}')
    assert message.d.b is not None
    assert message.d.b.d is UNSET


@pytest.mark.parametrize(
    ("json", "expected"),
    [
        (b'"\\ud83d\\ude00"', "😀"),
        ('"😀"'.encode(), "😀"),
        (b'"\\u0000"', "\0"),
        (b"1.0", 1.0),
        (b"-0", 0),
        (b"5e-324", 5e-324),
        (b"18446744073709551616", 2**64),
        (b'[1,{"a":[]}]', [1, {"a": []}]),
    ],
)
def test_values(json: bytes, expected: Any) -> None:
    assert value(json) == expected
    assert type(value(json)) is type(expected)


def test_minus_zero_as_a_fraction_keeps_its_sign_for_the_tree_to_judge() -> None:
    assert math.copysign(1, value(b"-0.0")) == -1


BAD = {
    "empty": (b"", Code.INVALID_DATA),
    "no JSON": (b"hello", Code.INVALID_DATA),
    "no object": (b"[1]", Code.INVALID_REQUEST),
    "no kind": (b"{}", Code.INVALID_REQUEST),
    "a tail": (b'{"t":"c","d":{}}x', Code.INVALID_DATA),
    "a byte order mark": (b'\xef\xbb\xbf{"t":"c","d":{}}', Code.INVALID_DATA),
    "a number as text": (b'{"t":"d","d":{"r":"1"}}', Code.INVALID_REQUEST),
    "a negative number": (b'{"t":"d","d":{"r":-1}}', Code.INVALID_REQUEST),
    "a number that JavaScript cannot count to": (b'{"t":"d","d":{"r":9007199254740993}}', Code.INVALID_REQUEST),
    "a number of many digits": (b'{"t":"d","d":{"r":' + b"1" * 5000 + b"}}", Code.INVALID_REQUEST),
    "a boolean as number": (b'{"t":"d","d":{"r":true}}', Code.INVALID_REQUEST),
}
BAD_VALUES = {
    "NaN": (b"NaN", Code.INVALID_DATA),
    "infinity": (b"Infinity", Code.INVALID_DATA),
    "no double": (b"1e400", Code.INVALID_REQUEST),
    "an integer of many digits": (b"1" * 5000, Code.INVALID_REQUEST),
    "a leading zero": (b"01", Code.INVALID_DATA),
    "half a surrogate pair": (b'"\\ud800"', Code.INVALID_DATA),
    "the other half": (b'"\\ude00"', Code.INVALID_DATA),
    "half a surrogate pair as a key": (b'{"\\ud800":1}', Code.INVALID_DATA),
    "half a surrogate pair in bytes": (b'"\xed\xa0\x80"', Code.INVALID_DATA),
    "bytes that are not UTF-8": (b'"\xff"', Code.INVALID_DATA),
    "half a character": (b'"\xe2\x82"', Code.INVALID_DATA),
    "a raw control character": (b'"\n"', Code.INVALID_DATA),
    "endless nesting": (b"[" * 200_000, Code.INVALID_DATA),
    "deep nesting": (b'{"a":' * 5000 + b"1" + b"}" * 5000, Code.INVALID_DATA),
    "nothing": (b"", Code.INVALID_DATA),
}


@pytest.mark.parametrize(("payload", "code"), BAD.values(), ids=BAD)
def test_what_is_no_message(payload: bytes, code: Code) -> None:
    with pytest.raises(DECODE_ERRORS) as caught:
        decode(payload)
    assert malformed(caught.value).code is code


@pytest.mark.parametrize(("json", "code"), BAD_VALUES.values(), ids=BAD_VALUES)
def test_what_is_no_value_still_tells_its_request(json: bytes, code: Code) -> None:
    payload = b'{"t":"d","d":{"r":31,"a":"p","b":{"p":"/a","d":' + json + b"}}}"
    with pytest.raises(DECODE_ERRORS) as caught:
        decode(payload)
    assert malformed(caught.value).code is code
    assert find_request(payload) == find_request(memoryview(payload)) == find_request(bytearray(payload)) == 31


def test_texts_do_not_repeat_what_came() -> None:
    with pytest.raises(DECODE_ERRORS) as caught:
        decode(b'{"t":"d","d":{"r":1,"a":"auth","b":{"cred":["secret"]}}}')
    assert "secret" not in malformed(caught.value).text


@pytest.mark.parametrize(
    ("payload", "request_number"),
    [
        (b'{"d":{"b":[],"a":"p","r":5},"t":"d"}', 5),
        (b' { "t" : "d" , "d" : { "r" : 12 , "a" : "p" , "b" : [[', 12),
        (b'{"t":"c","d":{"r":5,"b":[]}}', None),
        (b'{"t":"d","d":{"a":"p","r":5,"b":', None),
        (b'{"t":"d","d":{"r":-5,"b":[]}}', None),
        (b'{"t":"d","d":{"r":1.5,"b":[]}}', None),
        (b'{"t":"d","d":{"r":true,"b":[]}}', None),
        (b'{"t":"d","d":{"r":9999999999999999,"b":[[', None),
        (b"\xff\xfe", None),
        (b"", None),
    ],
)
def test_the_request_that_was_meant(payload: bytes, request_number: int | None) -> None:
    assert find_request(payload) == request_number
