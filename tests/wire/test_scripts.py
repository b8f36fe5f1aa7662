"""Answers to long polls: frames back to messages, and messages as calls that a browser runs."""

from __future__ import annotations

import json
import re

import pytest

from meadowlark.wire import text_frames
from meadowlark.wire.http import Response
from meadowlark.wire.scripts import (
    CLOSE,
    WHOLE_BYTES_MAX,
    Unframer,
    close_after,
    page,
    script,
    start_script,
    upgrade_messages,
)

PONG = b'{"t":"c","d":{"t":"o","d":null}}'


def unframed(*writes: bytes) -> list[bytes]:
    unframer, messages = Unframer(), []
    for data in writes:
        unframer.receive(data, messages)
    assert not unframer.is_inside
    return [b"".join(message) for message in messages]


def text_of(response: Response) -> bytes:
    body = response.body
    return body if isinstance(body, bytes) else b"".join(body)


# Frames


@pytest.mark.parametrize("size", [7, 125, 126, 16384, 16385, 100_000])
def test_what_was_framed_comes_back(size):
    message = b'"' + b"x" * (size - 2) + b'"'
    assert unframed(text_frames(message)) == [message]
    assert unframed(text_frames(PONG) + text_frames(message) + text_frames(PONG)) == [PONG, message, PONG]


def test_a_message_may_be_written_in_several_parts_of_whole_frames():
    message = "é".encode() * 20_000
    frames = text_frames(message)
    unframer, messages = Unframer(), []
    first = 2 + 1 + 4 + 16384  # Count and first piece.
    unframer.receive(frames[:first], messages)
    assert unframer.is_inside
    assert messages == []
    unframer.receive(frames[first:], messages)
    assert not unframer.is_inside
    assert b"".join(messages[0]) == message


# Scripts


def test_the_first_answer_defines_two_functions_and_starts():
    response = script(start_script("12", "ID", "PW"), 0, [(PONG,)])
    assert response.status == 200
    assert response.content_type == "application/javascript; charset=utf-8"
    assert ("Cache-Control", "no-store") in response.headers
    assert text_of(response) == (
        b'function pLPCommand(c,a1,a2,a3,a4){parent.window["pLPCommand12"]&&parent.window["pLPCommand12"](c,a1,a2,a3,a4);}\n'
        b'function pRTLPCB(n,d){parent.window["pRTLPCB12"]&&parent.window["pRTLPCB12"](n,d);}\n'
        b"pLPCommand('start','ID','PW');\n"
        b'pRTLPCB(0,[{"t":"c","d":{"t":"o","d":null}}]);\n'
    )


def test_later_answers_are_packets_or_nothing():
    assert text_of(script(b"", 7, [(PONG,), (b'{"t"', b":1}")])) == b'pRTLPCB(7,[{"t":"c","d":{"t":"o","d":null}},{"t":1}]);\n'
    assert text_of(script()) == b""
    assert text_of(script(after=CLOSE)) == b"pLPCommand('close');\n"


def test_an_upgrade_ends_with_its_last_word_and_the_number_of_its_packet():
    text = text_of(script(b"", 9, upgrade_messages(), close_after(9)))
    assert text == b'pRTLPCB(9,[{"t":"c","d":{"t":"n","d":{}}}]);\npLPCommand(\'close\',9);\n'


@pytest.mark.parametrize(
    ("message", "escaped"),
    [
        ('{"a":"</script><!--"}', r'{"a":"\u003c/script>\u003c!--"}'),
        ('{"a":"x\u2028y\u2029z…"}', r'{"a":"x\u2028y\u2029z…"}'),
        ('{"__proto__":{"a":1}}', '{["__proto__"]:{"a":1}}'),
        ('{"a":1,"__proto__":2}', '{"a":1,["__proto__"]:2}'),
        (r'{"a":"\"__proto__\":"}', r'{"a":"\"__proto__\":"}'),
        (r'{"a":",\"__proto__\":1"}', r'{"a":",\"__proto__\":1"}'),
        (r'{"x\"__proto__":1}', r'{"x\"__proto__":1}'),
        ('{"a":"__proto__"}', '{"a":"__proto__"}'),
    ],
)
def test_json_is_made_safe_for_scripts(message, escaped):
    assert text_of(script(b"", 0, [(message.encode(),)])) == b"pRTLPCB(0,[" + escaped.encode() + b"]);\n"


def test_a_long_script_is_made_in_slices_and_escaped_across_them():
    """Parts cut at every place around what must be escaped."""
    key = b'{"__proto__":"\xe2\x80\xa8<"}'
    filler = b'{"k":"' + b"x" * WHOLE_BYTES_MAX + b'"}'
    for cut in range(len(key) + 1):
        if cut < len(key) and key[cut] & 0xC0 == 0x80:
            continue
        shift = b" " * cut
        response = script(b"before;", 3, [(filler, shift[:0]), (shift + key[:cut], key[cut:]), (filler,), (key,)], b"after;")
        assert not isinstance(response.body, bytes)
        slices = list(response.body)
        assert all(slices), "an empty chunk is the last one"
        text = b"".join(slices)
        assert text.startswith(b"before;pRTLPCB(3,[")
        assert text.endswith(b"]);\nafter;")
        assert text.count(rb'{["__proto__"]:"\u2028\u003c"}') == 2
        inner = re.sub(rb'\["__proto__"\]:', rb'"__proto__":', text[len(b"before;pRTLPCB(3,") : -len(b");\nafter;")])
        assert [len(json.dumps(message)) > 0 for message in json.loads(inner)] == [True] * 4


def test_the_page_reports_its_own_end():
    response = page("ID", "PW", "demo")
    assert response.content_type.startswith("text/html")
    assert b'"/.lp?disconn=t&id=ID&pw=PW&ns=demo"' in text_of(response)
