"""Answers and control messages, literally."""

from __future__ import annotations

from typing import Any

import pytest

from meadowlark.auth.identity import ADMIN, NOBODY, Identity
from meadowlark.engine.client import Client
from meadowlark.engine.effects import Reply
from meadowlark.errors import Code, Refused
from meadowlark.wire import PONG, encode_redirect, encode_refusal, encode_reply, encode_shutdown
from meadowlark.wire.replies import encode_hello
from tests.wire.exchange import read_messages

CLIENT = Client("s1")


def reply(**fields: Any) -> str:
    [message] = read_messages(encode_reply(Reply(CLIENT, 3, **fields)))
    return message


def test_a_write_is_answered_with_an_empty_string_in_one_short_frame() -> None:
    assert encode_reply(Reply(CLIENT, 3)) == b'\x81\x2b{"t":"d","d":{"r":3,"b":{"s":"ok","d":""}}}'


def test_what_now_stands_there_is_not_told_to_the_writer_on_the_socket() -> None:
    assert reply(value={"a": 1}) == '{"t":"d","d":{"r":3,"b":{"s":"ok","d":""}}}'


def test_a_listen_is_answered_with_an_object() -> None:
    assert reply(detail=[]) == '{"t":"d","d":{"r":3,"b":{"s":"ok","d":{}}}}'
    assert reply(detail=["no_index"]) == '{"t":"d","d":{"r":3,"b":{"s":"ok","d":{"w":["no_index"]}}}}'


@pytest.mark.parametrize(
    ("node", "json"),
    [
        (None, "null"),
        (0, "0"),
        (False, "false"),
        ("é\n", '"é\\n"'),
        ({"a": {".value": 1.5, ".priority": "x"}}, '{"a":{".value":1.5,".priority":"x"}}'),
    ],
)
def test_a_get_is_answered_with_the_export_form(node: Any, json: str) -> None:
    assert reply(detail="get", value=node) == '{"t":"d","d":{"r":3,"b":{"s":"ok","d":' + json + "}}}"


def test_a_large_value_is_divided() -> None:
    [message] = read_messages(encode_reply(Reply(CLIENT, 3, value="é" * 20_000, detail="get")))
    assert message == '{"t":"d","d":{"r":3,"b":{"s":"ok","d":"' + "é" * 20_000 + '"}}}'


def test_an_identity_is_told_with_its_end_in_whole_seconds() -> None:
    assert reply(detail=Identity({"uid": "ada"}, expires_at=1713604863.5)) == (
        '{"t":"d","d":{"r":3,"b":{"s":"ok","d":{"auth":{"uid":"ada"},"expires":1713604863}}}}'
    )
    assert reply(detail=ADMIN) == '{"t":"d","d":{"r":3,"b":{"s":"ok","d":{"auth":null,"expires":null}}}}'


def test_nobody_is_unauthenticated() -> None:
    assert reply(detail=NOBODY) == '{"t":"d","d":{"r":3,"b":{"s":"ok","d":"unauthenticated"}}}'


def test_an_admin_who_acts_as_nobody_has_identified_all_the_same() -> None:
    assert reply(detail=Identity()) == '{"t":"d","d":{"r":3,"b":{"s":"ok","d":{"auth":null,"expires":null}}}}'


def test_claims_that_cannot_be_encoded_are_left_out() -> None:
    deep: Any = 1
    for _ in range(500):
        deep = [deep]
    for claims in ({"n": 2**70}, {"n": deep}):
        assert reply(detail=Identity(claims)) == '{"t":"d","d":{"r":3,"b":{"s":"ok","d":{"auth":null,"expires":null}}}}'


def test_a_refusal_has_a_status_and_a_text() -> None:
    refused = Refused(Code.PERMISSION_DENIED, "Permission denied")
    expected = '{"t":"d","d":{"r":3,"b":{"s":"permission_denied","d":"Permission denied"}}}'
    assert reply(refused=refused) == expected
    assert reply(refused=refused, detail="get") == expected
    assert read_messages(encode_refusal(3, refused)) == [expected]


def test_a_refusal_may_quote_half_a_surrogate_pair() -> None:
    assert read_messages(encode_refusal(3, Refused(Code.INVALID_PATH, "key '\ud800'"))) == [
        '{"t":"d","d":{"r":3,"b":{"s":"failed","d":"key \'?\'"}}}'
    ]


def test_who_asked_for_no_answer_gets_none() -> None:
    assert encode_reply(Reply(CLIENT, None)) == b""
    assert encode_reply(Reply(CLIENT, None, Refused(Code.STALE, "x"))) == b""


def test_control_messages() -> None:
    assert PONG == b'\x81\x20{"t":"c","d":{"t":"o","d":null}}'
    assert read_messages(encode_hello(1700000000000, 'a"b:9000', "s1")) == [
        '{"t":"c","d":{"t":"h","d":{"ts":1700000000000,"v":"5","h":"a\\"b:9000","s":"s1"}}}'
    ]
    assert read_messages(encode_redirect("b:9000")) == ['{"t":"c","d":{"t":"r","d":"b:9000"}}']
    assert read_messages(encode_shutdown("gone")) == ['{"t":"c","d":{"t":"s","d":"gone"}}']


def test_a_refusal_tells_whoever_debugs_why_before_it_is_answered() -> None:
    refused = Refused(Code.PERMISSION_DENIED, "Permission denied", "no .write")
    assert read_messages(encode_refusal(3, refused)) == [
        '{"t":"d","d":{"a":"sd","b":{"msg":"no .write"}}}',
        '{"t":"d","d":{"r":3,"b":{"s":"permission_denied","d":"Permission denied"}}}',
    ]
