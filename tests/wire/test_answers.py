"""REST answers: status, headers and body of each, and that large ones come in slices that say the same."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from meadowlark.engine.client import Client
from meadowlark.engine.effects import Reply
from meadowlark.errors import CODES, Code, Refused
from meadowlark.tree import encode, node_hash, plain
from meadowlark.wire.answers import ETAG_NODES_MAX, answer, cors_headers, needs_hash, preflight, refusal
from meadowlark.wire.http import Response
from meadowlark.wire.rest import parse_rest
from meadowlark.wire.targets import parse_target

LARGE = {f"key{number}": {"n": number, ".priority": 1} for number in range(3_000)}


def ask(method: str, query: str, value: Any, *, refused: Refused | None = None, **headers: str) -> Response:
    named = {name.replace("_", "-"): text for name, text in headers.items()}
    request = parse_rest(method, parse_target(f"/a.json?{query}"), named)
    return answer(request, Reply(Client("rest"), 0, refused, value), "-Pushed")


def body(response: Response) -> bytes:
    return response.body if isinstance(response.body, bytes) else b"".join(response.body)


def headers(response: Response) -> dict[str, str]:
    return dict(response.headers)


# Reading


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, b"null"),
        ({"x": 1, ".priority": 2}, b'{"x":1}'),
        ({".value": "v", ".priority": 2}, b'"v"'),
        ({"0": "a", "2": "c"}, b'["a",null,"c"]'),
        ({"0": "a", "9": "c"}, b'{"0":"a","9":"c"}'),
        ("é\u2028", '"é\u2028"'.encode()),
    ],
)
def test_a_value_is_shown_without_priorities_and_with_arrays(value: Any, shown: bytes) -> None:
    response = ask("GET", "", value)
    assert (response.status, body(response)) == (200, shown)


def test_export_shows_all_there_is() -> None:
    value = {"0": {".value": 1, ".priority": 2}, "1": 2}
    assert body(ask("GET", "format=export", value)) == b'{"0":{".value":1,".priority":2},"1":2}'


def test_shallow_shows_keys() -> None:
    assert body(ask("GET", "shallow=true", {"a": {"b": 1}, "c": 0, ".priority": 1})) == b'{"a":true,"c":true}'
    assert body(ask("GET", "shallow=true", {".value": 7, ".priority": 1})) == b"7"
    assert body(ask("GET", "shallow=true", None)) == b"null"


def test_pretty_is_indented_and_silent_is_nothing() -> None:
    assert body(ask("GET", "print=pretty", {"a": [1]})) == b'{\n  "a": [\n    1\n  ]\n}'
    for method in ("GET", "PUT", "PATCH", "POST", "DELETE"):
        response = ask(method, "print=silent", {"a": 1} if method == "PATCH" else 1)
        assert (response.status, body(response)) == (204, b"")


def test_a_callback_wraps_the_value_as_a_script() -> None:
    response = ask("GET", "callback=f", {"a": 1})
    assert body(response) == b'/**/f({"a":1});'
    assert response.content_type.startswith("application/javascript")


def test_a_download_has_a_safe_name() -> None:
    assert headers(ask("GET", "download=a%22%0D%0Ab.json", 1))["Content-Disposition"] == 'attachment; filename="a___b.json"'


def test_an_etag_is_the_hash_of_the_value() -> None:
    assert headers(ask("GET", "", {"a": 1}, x_firebase_etag="true"))["ETag"] == "gIphxiFGusLh2VwSNVKSvNu90m4="
    assert headers(ask("GET", "", None, x_firebase_etag="true"))["ETag"] == "null_etag"
    assert "ETag" not in headers(ask("GET", "", {"a": 1}))


def test_a_value_that_the_client_has_is_304() -> None:
    response = ask("GET", "", 1, if_none_match="YPVfR2bXt/lcDjiQZ8pOkAd3qkQ=")
    assert (response.status, body(response), headers(response)["ETag"]) == (304, b"", "YPVfR2bXt/lcDjiQZ8pOkAd3qkQ=")
    assert ask("GET", "", 2, if_none_match="YPVfR2bXt/lcDjiQZ8pOkAd3qkQ=").status == 200
    assert ask("GET", "", None, if_none_match="null_etag").status == 304


def test_a_large_value_is_answered_with_the_hash_that_was_found_for_it() -> None:
    value = {f"k{number}": number for number in range(ETAG_NODES_MAX)}
    request = parse_rest("GET", parse_target("/a.json"), {"x-firebase-etag": "true"})
    reply = Reply(Client("rest"), 0, None, value)
    assert needs_hash(request, reply)
    assert dict(answer(request, reply, hash="abc=").headers)["ETag"] == "abc="
    assert not needs_hash(parse_rest("GET", parse_target("/a.json"), {}), reply)
    assert not needs_hash(request, Reply(Client("rest"), 0, None, {"k": 1}))


# Writing


def test_a_put_is_answered_with_what_now_stands_there() -> None:
    response = ask("PUT", "", {"at": 1700000000000, "0": {".value": 1, ".priority": 1}})
    assert (response.status, body(response)) == (200, b'{"at":1700000000000,"0":1}')


def test_a_patch_is_answered_with_what_was_sent_resolved_never_as_an_array() -> None:
    assert body(ask("PATCH", "", {"0": 1, "a/b": None, "c": {"0": "x"}})) == b'{"0":1,"a/b":null,"c":["x"]}'


def test_a_post_is_answered_with_the_key() -> None:
    assert body(ask("POST", "", "v")) == b'{"name":"-Pushed"}'


def test_a_delete_is_answered_with_null() -> None:
    assert body(ask("DELETE", "", None)) == b"null"


def test_a_write_gives_the_new_etag_if_asked_or_guarded() -> None:
    assert headers(ask("PUT", "", 1, x_firebase_etag="true"))["ETag"] == node_hash(1)
    assert headers(ask("PUT", "", 1, if_match="null_etag"))["ETag"] == node_hash(1)
    assert headers(ask("DELETE", "", None, if_match="abc="))["ETag"] == "null_etag"
    assert headers(ask("POST", "", "v", x_firebase_etag="true"))["ETag"] == node_hash("v")
    assert "ETag" not in headers(ask("PUT", "", 1))


def test_a_stale_guard_is_412_with_the_value_and_its_etag() -> None:
    stale = Refused(Code.STALE, "Transaction hash does not match")
    response = ask("PUT", "print=silent", {"a": 1}, refused=stale, if_match="abc=")
    assert (response.status, body(response), headers(response)["ETag"]) == (412, b'{"a":1}', "gIphxiFGusLh2VwSNVKSvNu90m4=")


# Refusals


def test_a_denial_is_401_with_the_text_that_python_compares() -> None:
    response = ask("GET", "", None, refused=Refused(Code.PERMISSION_DENIED, "Permission denied"))
    assert (response.status, body(response)) == (401, b'{"error":"Permission denied"}')


@pytest.mark.parametrize("code", Code)
def test_every_refusal_is_json_with_its_status_and_never_500(code: Code) -> None:
    response = refusal(Refused(code, "why"))
    assert (response.status, body(response)) == (CODES[code].http, b'{"error":"why"}')
    assert response.status != 500, "official clients repeat a 500"


# Large values


@pytest.mark.parametrize("query", ["", "format=export", "shallow=true", "print=pretty", "callback=f"])
def test_a_large_value_in_slices_is_the_same_value(query: str) -> None:
    large = ask("GET", query, LARGE)
    if query != "shallow=true":
        assert not isinstance(large.body, bytes)
    shown = body(large).removeprefix(b"/**/f(").removesuffix(b");")
    expected = {
        "format=export": LARGE,
        "shallow=true": dict.fromkeys(LARGE, True),
    }.get(query, {key: {"n": child["n"]} for key, child in LARGE.items()})
    assert orjson.loads(shown) == expected


@pytest.mark.parametrize("count", [4096, 4097, 8192, 10_000])
def test_many_keys_are_shown_shallow_in_slices(count: int) -> None:
    value = {f"k{number}": {"x": 1} for number in range(count)}
    assert orjson.loads(body(ask("GET", "shallow=true", value))) == dict.fromkeys(value, True)


def test_a_large_value_that_was_written_comes_back_in_slices() -> None:
    assert not isinstance(ask("PUT", "", LARGE).body, bytes)
    assert ask("PUT", "print=silent", LARGE).body == b""


# Browsers


def test_any_origin_is_answered_by_name() -> None:
    assert dict(cors_headers("http://app.example"))["Access-Control-Allow-Origin"] == "http://app.example"
    assert cors_headers(None) == ()
    assert "X-Firebase-ETag" in headers(preflight())["Access-Control-Allow-Headers"]


def test_a_page_may_send_whatever_headers_it_asks_for() -> None:
    allowed = headers(preflight("x-trace, if-match,x-a:b\r\nc"))["Access-Control-Allow-Headers"].split(", ")
    assert allowed[-5:] == ["x-trace", "if-match", "x-a", "b", "c"]
    assert len(headers(preflight("h," * 1_000))["Access-Control-Allow-Headers"]) < 200


def test_a_large_update_is_answered_in_slices() -> None:
    written = {"a": LARGE, "b/c": None, "0": {"0": 1, "1": LARGE}, **{f"n{number}": "x" * 100 for number in range(2_000)}}
    response = ask("PATCH", "", written)
    assert not isinstance(response.body, bytes)
    pieces = list(response.body)
    assert b"".join(pieces) == encode({key: plain(node) for key, node in written.items()})
    assert 3 < len(pieces) < 30
    assert ask("PATCH", "print=silent", written).body == b""
