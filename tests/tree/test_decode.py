"""Decoding in slices gives what decoding in one go gives, wherever the cuts fall."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from meadowlark.tree.decode import decode_slices

Outcome = tuple[str, Any]


def sliced(text: bytes | bytearray | memoryview, slice_bytes: int) -> tuple[Any, int]:
    """What comes out, and in how many steps."""
    steps = decode_slices(text, slice_bytes=slice_bytes)
    count = 1
    while True:
        try:
            next(steps)
        except StopIteration as stop:
            return stop.value, count
        count += 1


def outcome(decode: Callable[[], Any]) -> Outcome:
    """The value with its order and types, or that it was refused."""
    try:
        return "decoded", spelled(decode())
    except orjson.JSONDecodeError:
        return "refused", None


def spelled(value: Any) -> list[str]:
    """The value in words that are equal for the same only; however deep it is."""
    words, todo = [], [value]
    while todo:
        top = todo.pop()
        if isinstance(top, dict | list):
            words.append(f"{type(top).__name__} of {len(top)}")
            todo.extend([*top, *top.values()] if isinstance(top, dict) else top)
        else:
            words.append(repr(top))
    return words


def assert_same(text: bytes, slice_bytes: int) -> None:
    expected = outcome(lambda: orjson.loads(text))
    assert outcome(lambda: sliced(text, slice_bytes)[0]) == expected


class Members(list[Any]):
    """Members of an object; keys may repeat."""


odd_keys = st.sampled_from(["", "a", "b", ",", "{", '"', "\\", "]}", "\x01", "\x01\x01", "é𝄞"])
keys = odd_keys | st.text(st.characters(exclude_categories=["Cs"]), max_size=5)
leaves = st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False, allow_infinity=False) | keys
values = st.recursive(
    leaves, lambda inner: st.lists(inner, max_size=6) | st.lists(st.tuples(keys, inner), max_size=6).map(Members), max_leaves=40
)


def write(value: Any, ascii: bool, blank: str) -> str:
    if isinstance(value, Members):
        inside = f"{blank},{blank}".join(f"{json.dumps(k, ensure_ascii=ascii)}{blank}:{write(v, ascii, blank)}" for k, v in value)
        return f"{blank}{{{blank}{inside}{blank}}}"
    if isinstance(value, list):
        return f"[{blank}" + f",{blank}".join(write(each, ascii, blank) for each in value) + f"{blank}]"
    return json.dumps(value, ensure_ascii=ascii)


texts = st.builds(write, values, st.booleans(), st.sampled_from(["", " ", "\n\t", "          "])).map(str.encode)


@given(texts, st.integers(1, 40))
@example(b'{"a":1,"b":"s","a":[1,2,3,4],"b":{"c":1,"c":{"d":[2,3]}}}', 9)
@example(b'{"\\u0001":{"\\u0001\\u0001":[1,2],"x":3,"\\u0001":4},"\\u0001":5,"y":[6,7]}', 4)
@example(b'["\\u0001",["\\u0001",["\\u0001",1,"\\u0001"],"\\u0001"],2]', 3)
@example(b'["\\\\",",\\"],[",["\\\\\\"",1,2]]', 2)
def test_every_text_decodes_as_in_one_go(text: bytes, slice_bytes: int) -> None:
    assert_same(text, slice_bytes)


@given(texts, st.integers(1, 30), st.data())
def test_a_damaged_text_is_refused_or_decoded_as_in_one_go(text: bytes, slice_bytes: int, data: st.DataObject) -> None:
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(text)))
        cut = data.draw(st.integers(0, 2))
        text = text[:at] + data.draw(st.sampled_from([b"", b",", b"]", b"[", b"}", b"{", b'"', b"\\", b":", b" ", b"1", b"\xff"]))
        text += b"" if data.draw(st.booleans()) else text[at + cut :]
        assert_same(text, slice_bytes)


@given(st.text(alphabet='[]{},:"\\ 1u0', max_size=40), st.integers(1, 8))
def test_a_soup_of_structure_is_judged_as_in_one_go(text: str, slice_bytes: int) -> None:
    assert_same(text.encode(), slice_bytes)


@pytest.mark.parametrize(
    "text",
    [
        b"", b" ", b",", b"[", b"]", b"[1,", b"[1,]", b"[,1]", b"[1,,2]", b"[[1],,2]", b"[1,[,2]]",
        b'{"a":1,}', b'{"a":[1,],"b":2}', b'{"a":{},,"b":2}', b'{"a":{"c":1},}',
        b"1,2", b"[1],[2]", b"[1,2]]", b"[1,2}", b'{"a":1,2}', b'[1,"a":2]', b"[1,2] 3", b"[1,2],", b"[1 \\\", 2]", b'{"a",1}',
        b'[1,"', b'[1,"\\', b"\xef\xbb\xbf[1,2]", b"[1,\xff]", b"[1,2]\x00", b"[1,\x0b 2]", b"[1" + b" " * 50 + b"2,3]",
    ],
)  # fmt: skip
@pytest.mark.parametrize("slice_bytes", [1, 2, 3, 100])
def test_what_is_no_json_is_refused_wherever_it_is_cut(text: bytes, slice_bytes: int) -> None:
    with pytest.raises(orjson.JSONDecodeError):
        sliced(text, slice_bytes)


@pytest.mark.parametrize("depth", [1_000, 1_024, 1_025, 5_000])
def test_nesting_is_bounded_as_in_one_go(depth: int) -> None:
    for opening, closing in (("[", "]"), ('{"a":', "}")):
        for inner in ("1", ",".join("1" * 200), '{"a":1},2'):
            text = (opening * depth + ("1" if opening != "[" and "," in inner else inner) + closing * depth).encode()
            assert_same(text, 64)
            assert_same(b'{"first":1,"second":' + text + b',"third":[3,4]}', 300)


def test_a_bytearray_and_a_view_are_texts_too() -> None:
    text = b'{"a":[1,2,3],"b":{"c":"d"}}'
    for form in (bytearray(text), memoryview(text)):
        assert sliced(form, 4)[0] == orjson.loads(text)


BLOCK = 65_536
HOSTILE = {
    "records": b"[" + b",".join([b'{"name":"a, b","at":[1.5,2],"on":true}'] * 50_000) + b"]",
    "numbers": b"[" + b",".join([b"%d" % number for number in range(300_000)]) + b"]",
    "a string of brackets and quotes": b'["' + b'[{\\"},\\\\' * 300_000 + b'",1,2]',
    "a string of backslashes": b'["' + b"\\\\" * 1_000_000 + b'",1,2]',
    "a string of commas": b'[1,"' + b"," * 3_000_000 + b'",2]',
    "blanks everywhere": b"[" + b" ,\n".join([b" " * 40 + b"[ ] "] * 50_000) + b"]",
    "one gap": b"[1" + b" " * 3_000_000 + b",2]",
    "empty arrays": b"[" + b",".join([b"[]"] * 800_000) + b"]",
    "deep and wide": (b'{"a":' * 1000 + b"[" + b",".join([b"1"] * 100_000) + b"]" + b"}" * 1000),
    "many deep ones": b"[" + b",".join([b"[" * 500 + b"]" * 500] * 2_000) + b"]",
    "brackets that open": b"[" * 2_000_000,
    "marks": b"[" + b",".join([b'"' + b"\\u0001" * number + b'"' for number in range(700)]) + b"]",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_texts_take_small_steps_and_no_more_than_their_length(name: str) -> None:
    """Steps are counted, and the whole may take a few seconds on a slow machine; quadratic work would take minutes."""
    text = HOSTILE[name]
    started_at = time.process_time()
    try:
        value, count = sliced(text, BLOCK)
    except orjson.JSONDecodeError:
        with pytest.raises(orjson.JSONDecodeError):
            orjson.loads(text)
    else:
        assert spelled(value) == spelled(orjson.loads(text))
        assert count >= len(text) // (3 * BLOCK)
    assert time.process_time() - started_at < 10.0
