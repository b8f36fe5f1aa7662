"""Values that need care: arrays, any script of the world, and the largest that the SDK sends."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conformance.conftest import Told, settings_for
from tests.harness import Script, Server, fresh_name

pytestmark = pytest.mark.slow
both_ways = pytest.mark.parametrize("how", ["emulator", "url"])

TEXTS = [
    "plain", "with space", " leading", "trailing ", "ünï", "Ωμέγα", "кириллица", "עברית", "العربية", "فارسی", "中文", "日本語",
    "한국어", "हिन्दी", "தமிழ்", "ไทย", "ქართული", "አማርኛ", "😀", "👩‍👩‍👧‍👦", "🏳️‍🌈", "𐀀", "𠜎",
    "\uffff", "\uff5e", "\ud7ff", "\ue000",
    "é", "e\u0301", "\u2028line", "\u2029paragraph", "\u200bzero",
    "\u202eoverride", "\ufeffbom", "\u0080", "\u00a0", "percent%41", "100%",
    "plus+and&eq=", "semi;colon", "quest?ion", "quo\"te", "apo'strophe", "back\\slash", "<tag>", "a:b", "a,b", "~tilde", "`tick`",
    "{brace}", "(paren)", "|pipe|", "^caret", "*", "@", "!", "--", "_", "-", "0", "-0", "1", "01", "001", "-1", "2147483647",
    "2147483648", "-2147483648", "-2147483649", "1,5", "1e5", "true", "null", "__proto__x", "constructor",
    "toString", "length",
]  # fmt: skip
"""Keys and texts. `hasOwnProperty` as a key is missing here only because the SDK itself throws a TypeError on it."""


@pytest.fixture
def arrays(perform: Callable[..., Told], how: str) -> Told:
    return perform("arrays.mjs", how)


@pytest.fixture
def alphabets(perform: Callable[..., Told], how: str) -> Told:
    return perform("alphabets.mjs", how, texts=TEXTS)


# Arrays


@both_ways
def test_arrays_come_back_as_arrays(arrays: Told) -> None:
    expected = {"flat": ["x", "y", "z"], "nested": [[1, 2], [3]], "objects": [{"n": 1}, {"n": 2}]}
    assert arrays("arrays_come_back_as_arrays") == [["value", expected]]


@both_ways
def test_holes_stay_holes_and_empty_arrays_are_nothing(arrays: Told) -> None:
    assert arrays("holes_and_nulls") == [["value", {"holes": ["x", None, "z"], "leading": {"2": "c"}}]]


@both_ways
def test_sparse_or_padded_keys_make_an_object(arrays: Told) -> None:
    expected = {
        "dense": ["a", "b", None, "d"],
        "sparse": {"0": "a", "10": "k"},
        "mixed": {"0": "a", "x": "b"},
        "padded": {"00": 1, "01": 2},
    }
    assert arrays("sparse_keys_are_an_object") == [["value", expected]]


@both_ways
def test_elements_are_paths(arrays: Told) -> None:
    assert arrays.values("elements_are_paths", "b.value") == [["a", "b", "c"], ["a", "B", "c"], [None, "B", "c", "d"]]


@both_ways
def test_update_and_push_take_arrays(arrays: Told) -> None:
    assert arrays("update_takes_arrays_as_values") == [["value", [["p"]], [1, 2, 3], {"list": [True]}]]


@both_ways
def test_an_array_may_be_all_that_is_listened_to(arrays: Told) -> None:
    assert arrays.values("arrays_at_the_root_of_a_listen", "b.value") == [None, [0, 1], [0, 1, 2]]


# Scripts of the world


@both_ways
def test_strings_in_any_script_come_back(alphabets: Told) -> None:
    assert alphabets("strings") == [["differ", []]]


@both_ways
def test_keys_in_any_script_come_back(alphabets: Told) -> None:
    assert alphabets("keys") == [["differ", [], len(TEXTS)]]


@both_ways
def test_paths_in_any_script_are_listened_to_and_written(alphabets: Told) -> None:
    assert alphabets("paths") == [["heard", len(TEXTS), []]]


@both_ways
def test_update_paths_in_any_script(alphabets: Told) -> None:
    assert alphabets("updates") == [["differ", []]]


@both_ways
def test_keys_sort_integers_first_then_by_utf_16_code_units(alphabets: Told) -> None:
    assert alphabets("order") == [["keys", sorted(TEXTS, key=documented_order)]]


@both_ways
def test_a_transaction_over_keys_in_any_script_runs_once(alphabets: Told) -> None:
    assert alphabets("transactions") == [["result", True, 1, 1]]


@both_ways
def test_half_a_surrogate_pair_harms_nobody(alphabets: Told) -> None:
    before, outcome, value = alphabets("half_a_surrogate_pair_harms_nobody")
    assert before == ["before"]
    assert outcome[0] in ("stored", "refused")
    assert value == ["value", "after", False]


def test_keys_in_any_script_over_rest(server: Server) -> None:
    ns = fresh_name("alphabets")
    texts = [*TEXTS, "hasOwnProperty"]
    for index, text in enumerate(texts):
        answer = server.rest("PUT", f"/keys/{text}/x", {"text": text, text: index}, ns=ns)
        assert (answer.status, answer.json()) == (200, {"text": text, text: index}), text
    assert server.read("/keys", ns=ns) == {text: {"x": {"text": text, text: index}} for index, text in enumerate(texts)}
    for text in texts:
        assert server.read(f"/keys/{text}/x/text", ns=ns) == text


def documented_order(key: str) -> tuple[Any, ...]:
    """Keys that are 32-bit integers by number, then by length; after them the others by UTF-16 code units."""
    digits = key.removeprefix("-")
    if digits.isascii() and digits.isdigit() and len(digits.lstrip("0")) <= 10 and -(2**31) <= int(key) < 2**31:
        return (0, int(key), len(key), b"")
    return (1, 0, 0, key.encode("utf-16-be"))


# Size


def test_sixteen_megabytes_in_one_write_and_strings_of_ten(node: Path, server: Server) -> None:
    with Script("big.mjs", settings_for(server, "url", fresh_name("big"))) as script:
        told = {name: details for name, *details in script.finish(within=100)}
    assert 16 * 2**20 - 1000 < told["bytes"][0] <= 16 * 2**20
    assert told["16 MB heard"][0] is True
    assert told["16 MB read"][0] is True
    assert told["10 MB string"] == [True]
    assert told["100,000 children heard"] == [100_000]
    assert told["18 MB"][0] == "refused"
    assert told["18 MB"][1]["code"] == "TOO_BIG"
    assert told["after it"] == [False]
    assert told["one of them changed"] == [{"n": -5, "text": "number 5"}]


def test_a_string_beyond_ten_megabytes_is_refused_with_a_text_that_says_so(server: Server) -> None:
    ns = fresh_name("limits")
    server.write("/place", "kept", ns=ns)
    answer = server.rest("PUT", "/place", raw=b'"' + b"x" * (10 * 2**20 + 1) + b'"', ns=ns)
    assert answer.status == 400
    assert "10 MB" in answer.json()["error"] or "10485760" in answer.json()["error"].replace(",", "")
    assert server.read("/place", ns=ns) == "kept"


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("/place/" + "k" * 769, 1),
        ("/place/" + "é" * 385, 1),
        ("/place/" + "/".join("d" * 33), 1),
        ("/place", {"k" * 769: 1}),
        ("/place", {"bad.key": 1}),
        ("/place", {"bad/key": 1}),
        ("/place", {"": 1}),
        ("/place", {"bell\u0007": 1}),
        ("/place", json.loads('{"d":' * 40 + "1" + "}" * 40)),
        ("/place", {".sv": "unknown"}),
        ("/place", {".value": 1, "child": 2}),
        ("/place", {".priority": {"no": "object"}, "x": 1}),
    ],
    ids=[
        "long key in the path", "long key of two-byte letters", "deep path", "long key", "dot", "slash", "empty key",
        "control character", "deep value", "unknown server value", "value beside children", "object as priority",
    ],
)  # fmt: skip
def test_what_is_beyond_a_limit_is_refused_and_changes_nothing(server: Server, path: str, value: Any) -> None:
    ns = fresh_name("limits")
    server.write("/place", "kept", ns=ns)
    answer = server.rest("PUT", path, value, ns=ns)
    assert answer.status == 400, answer
    assert len(answer.json()["error"]) > 10
    assert server.read("/place", ns=ns) == "kept"


def test_a_key_of_exactly_768_bytes_is_stored(server: Server) -> None:
    ns = fresh_name("limits")
    server.write("/" + "é" * 384, "here", ns=ns)
    assert server.read("/", ns=ns) == {"é" * 384: "here"}
