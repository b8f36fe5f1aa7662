"""REST requests: what is asked, and what is refused because it could not be answered as asked."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from meadowlark.engine.client import Client
from meadowlark.engine.commands import Command, Get, Set, Update
from meadowlark.errors import Code, Refused
from meadowlark.query import PARAMETERS as QUERY_PARAMETERS
from meadowlark.wire.rest import (
    WRITE_SIZES,
    Action,
    RestRequest,
    parse_body,
    parse_rest,
    read_command,
    read_slices,
)
from meadowlark.wire.targets import parse_target

ASKER = Client("rest")


def parse(method: str, target: str, **headers: str) -> RestRequest:
    return parse_rest(method, parse_target(target), {name.replace("_", "-"): value for name, value in headers.items()})


def command(method: str, target: str, body: bytes = b"", **headers: str) -> Command:
    return read_command(parse(method, target, **headers), ASKER, body, "-Pushed")


def refused(method: str, target: str, body: bytes | None = None, **headers: str) -> Refused:
    with pytest.raises(Refused) as raised:
        command(method, target, body or b"", **headers)
    return raised.value


# Paths


@pytest.mark.parametrize(
    ("target", "path"),
    [
        ("/.json", ()),
        ("/a.json", ("a",)),
        ("/a/b.json?ns=x", ("a", "b")),
        ("/a/.json", ("a",)),
        ("//a//b.json", ("a", "b")),
        ("/a/.priority.json", ("a", ".priority")),
        ("/caf%C3%A9/%E4%BA%AC%F0%9F%9A%85.json", ("café", "京🚅")),
        ("/weird%20key%20%2520.json", ("weird key %20",)),
        ("/a%2Ejson", ("a",)),
    ],
)
def test_a_path_is_the_segments_before_json(target: str, path: tuple[str, ...]) -> None:
    assert parse("GET", target).path == path


@pytest.mark.parametrize("target", ["/", "/a", "/a.jsonx", "/a.json/b"])
def test_a_path_without_json_is_404_and_says_what_to_append(target: str) -> None:
    answer = refused("GET", target)
    assert (answer.http_status, answer.text) == (404, "append .json to your request URI to use the REST API")


@pytest.mark.parametrize("target", ["/a%2Fb.json", "/a.b.json", "/%23.json", "/%5B.json", "/a%00.json", "/.info/x.json"])
def test_a_key_that_cannot_be_is_refused(target: str) -> None:
    assert refused("GET", target).code is Code.INVALID_PATH


def test_a_path_over_32_levels_is_refused() -> None:
    assert len(parse("GET", "/a" * 32 + ".json").path) == 32
    assert refused("GET", "/a" * 33 + ".json").code is Code.INVALID_PATH
    assert refused("POST", "/a" * 32 + ".json", b"1").code is Code.INVALID_PATH, "the pushed key is a level too"


# Methods


def test_each_method_is_its_command() -> None:
    assert command("GET", "/a.json") == Get(ASKER, 0, ("a",))
    assert command("HEAD", "/a.json") == Get(ASKER, 0, ("a",))
    assert command("PUT", "/a.json", b'{"x":1}') == Set(ASKER, 0, ("a",), {"x": 1})
    assert command("PATCH", "/a.json", b'{"x/y":1}') == Update(ASKER, 0, ("a",), {"x/y": 1})
    assert command("POST", "/a.json", b'""') == Set(ASKER, 0, ("a", "-Pushed"), "")
    assert command("DELETE", "/a.json", b"ignored") == Set(ASKER, 0, ("a",), None)


def test_a_patch_of_null_removes_as_firebase_tools_expects() -> None:
    assert command("PATCH", "/a.json?print=silent&writeSizeLimit=tiny", b"null") == Set(ASKER, 0, ("a",), None)


def test_a_post_may_name_another_method() -> None:
    assert parse("POST", "/a.json", x_http_method_override="PATCH").action is Action.UPDATE
    assert parse("POST", "/a.json?x-http-method-override=delete").action is Action.DELETE
    assert parse("PUT", "/a.json?x-http-method-override=DELETE").action is Action.SET


def test_an_unknown_method_is_refused() -> None:
    assert refused("TRACE", "/a.json").code is Code.INVALID_REQUEST
    assert refused("POST", "/a.json", b"1", x_http_method_override="TRACE").code is Code.INVALID_REQUEST


# Bodies


@pytest.mark.parametrize("body", [b"{", b"nonsense", b"[1,]", b"{}x", b"\xff", b"NaN", b"'x'", b"[" * 5000, b'"\\ud800"'])
def test_what_is_not_json_is_refused_with_firebase_s_text(body: bytes) -> None:
    answer = refused("PUT", "/a.json", body)
    assert (answer.http_status, answer.text) == (400, "Invalid data; couldn't parse JSON object, array, or value.")


@pytest.mark.parametrize("method", ["PUT", "PATCH", "POST"])
def test_a_write_without_a_body_is_refused_with_firebase_s_text(method: str) -> None:
    answer = refused(method, "/a.json")
    assert (answer.http_status, answer.text) == (400, "Error: No data supplied.")


@pytest.mark.parametrize("body", [b"1", b'"x"', b"[1]", b"true"])
def test_a_patch_must_be_an_object(body: bytes) -> None:
    assert "couldn't parse JSON object." in refused("PATCH", "/a.json", body).text


def test_a_body_may_be_any_json() -> None:
    assert parse_body(bytearray(b' {"a":[1,null,"\xc3\xa9"]} ')) == {"a": [1, None, "é"]}


# Credentials


def test_a_credential_comes_in_a_header_or_a_parameter() -> None:
    assert parse("GET", "/.json").credential is None
    assert parse("GET", "/.json", authorization="Bearer owner").credential == "owner"
    assert parse("GET", "/.json", authorization="bearer  a.b.c ").credential == "a.b.c"
    assert parse("GET", "/.json?auth=secret").credential == "secret"
    assert parse("GET", "/.json?access_token=token&auth=").credential == "token"
    assert parse("GET", "/.json?auth=one", authorization="Bearer two").credential == "two"


def test_a_credential_of_another_kind_is_refused() -> None:
    answer = refused("GET", "/.json", authorization="Basic dTpw")
    assert (answer.http_status, answer.text[:27]) == (401, "Could not parse auth token:")


@pytest.mark.parametrize(("text", "meant"), [("null", None), ("%7B%22uid%22%3A%22u%22%7D", {"uid": "u"})])
def test_an_override_is_json_and_null_is_somebody(text: str, meant: Any) -> None:
    assert parse("GET", f"/.json?auth_variable_override={text}").acts_as == meant
    assert parse("GET", "/.json").acts_as is msgspec.UNSET
    assert refused("GET", "/.json?auth_variable_override=%7B").code is Code.INVALID_REQUEST


# Ways of showing


def test_a_request_says_how_the_answer_is_shown() -> None:
    request = parse("GET", "/a.json?print=pretty&shallow=true&callback=f.g&download=a.json&timeout=3s")
    assert (request.pretty, request.silent, request.shallow, request.export) == (True, False, True, False)
    assert (request.callback, request.download) == ("f.g", "a.json")
    assert parse("PUT", "/a.json?print=silent").silent
    assert parse("GET", "/a.json?format=export").export


def test_only_a_get_may_ask_for_a_stream() -> None:
    assert parse("GET", "/a.json", accept="text/event-stream").streams
    assert parse("GET", "/a.json", accept="*/*, text/event-stream;q=0.9").streams
    assert not parse("HEAD", "/a.json", accept="text/event-stream").streams
    assert not parse("PUT", "/a.json", accept="text/event-stream").streams


def test_a_query_is_what_its_parameters_say() -> None:
    asked = command("GET", "/a.json?orderBy=%22n%22&startAt=2&limitToFirst=3")
    assert isinstance(asked, Get)
    assert asked.query is not None
    assert asked.query.identity == '{"i":"n","s":[2,null,true],"l":[3,false]}'
    assert command("GET", "/a.json?orderBy=%22$priority%22") == Get(ASKER, 0, ("a",)), "all, in the order of every read"
    assert parse("GET", "/a.json?orderBy=%22$key%22", accept="text/event-stream").query is not None


@pytest.mark.parametrize("name", [name for name in QUERY_PARAMETERS if name != "orderBy"])
def test_a_query_without_an_order_is_refused_in_the_words_that_clients_know(name: str) -> None:
    answer = refused("GET", f"/a.json?{name}=1")
    assert (answer.http_status, answer.text) == (400, "orderBy must be defined when other query parameters are defined")


@pytest.mark.parametrize("method", ["PUT", "PATCH", "POST", "DELETE"])
def test_a_query_is_for_reading(method: str) -> None:
    answer = refused(method, "/a.json?orderBy=%22$key%22", b"{}")
    assert (answer.http_status, answer.text) == (400, "orderBy is supported with GET only")


def test_shallow_takes_a_range_or_a_limit_of_keys() -> None:
    """Without the order's name, as Firebase's command line and the export of its emulators ask."""
    request = parse("GET", "/a.json?shallow=true&limitToFirst=100&startAfter=%22k%22")
    assert request.query == parse("GET", "/a.json?orderBy=%22$key%22&limitToFirst=100&startAfter=%22k%22").query
    assert refused("GET", "/a.json?shallow=true&orderBy=%22n%22").http_status == 400
    assert refused("GET", "/a.json?shallow=true&orderBy=%22$priority%22").http_status == 400


@pytest.mark.parametrize(
    "query",
    [
        "print=loud", "shallow=yes", "format=strict", "writeSizeLimit=huge", "timeout=0s", "timeout=16min", "timeout=5",
        "timeout=-1s", "timeout=", "timeout=901s", "timeout=1h", "shallow=true&format=export", "callback=alert(1)", "callback=",
        "disableTriggers=1", "dryRun=true", "orderby=%22n%22", "limittofirst=1", "writesizelimit=tiny",
    ],
)  # fmt: skip
def test_a_parameter_that_cannot_be_observed_is_refused(query: str) -> None:
    assert refused("GET", f"/a.json?{query}").http_status == 400


def test_a_callback_is_for_reading() -> None:
    assert refused("PUT", "/a.json?callback=f", b"1").code is Code.INVALID_REQUEST


@pytest.mark.parametrize(("text", "seconds"), [("300ms", 0.3), ("10s", 10.0), ("15min", 900.0)])
def test_a_timeout_is_a_number_and_a_unit(text: str, seconds: float) -> None:
    assert parse("GET", f"/a.json?timeout={text}").timeout_seconds == seconds
    assert parse("GET", "/a.json").timeout_seconds == 900.0, "what Firebase documents"


@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "POST", "DELETE"])
def test_what_has_no_meaning_here_is_taken_and_what_nobody_knows_too(method: str) -> None:
    """`ac` from SDKs with App Check, `disableTriggers` from Firebase's command line, anything to get past a cache."""
    asked = parse(method, "/a.json?ac=token&disableTriggers=false&_=1&ns=x")
    assert asked == parse(method, "/a.json?disableTriggers=true") == parse(method, "/a.json")


def test_a_parameter_whose_case_is_wrong_is_refused_by_its_right_name() -> None:
    assert refused("GET", "/a.json?OrderBy=%22n%22").text == "there is no parameter 'OrderBy': did you mean orderBy?"


@pytest.mark.parametrize("method", ["PUT", "PATCH", "POST"])
def test_a_write_larger_than_the_size_it_was_given_is_refused(method: str) -> None:
    """What a second, or ten, are enough for; a removal takes no time, and `unlimited` is the bound of every body."""
    too_big = b'{"a":"' + b"x" * WRITE_SIZES["tiny"] + b'"}'
    answer = refused(method, "/a.json?writeSizeLimit=tiny", too_big)
    assert (answer.http_status, answer.text) == (
        400,
        "Data to write exceeds the maximum size that can be modified with a single request.",
    )
    with pytest.raises(Refused, match="Data to write exceeds"):
        next(read_slices(parse(method, "/a.json?writeSizeLimit=tiny"), ASKER, too_big, ""))
    assert parse(method, "/a.json?writeSizeLimit=small").write_bytes_max == 80 << 20
    assert (
        parse(method, "/a.json").write_bytes_max == parse(method, "/a.json?writeSizeLimit=unlimited").write_bytes_max == 256 << 20
    )
    assert command("DELETE", "/a.json?writeSizeLimit=tiny") == Set(ASKER, 0, ("a",), None)


# Conditions


def test_an_etag_guards_a_write() -> None:
    assert command("PUT", "/a.json", b"1", if_match="abc=") == Set(ASKER, 0, ("a",), 1, "abc=")
    assert command("DELETE", "/a.json", if_match='"abc="') == Set(ASKER, 0, ("a",), None, "abc=")
    assert command("PUT", "/a.json", b"1", if_match="null_etag") == Set(ASKER, 0, ("a",), 1, "")


def test_an_etag_saves_a_read() -> None:
    assert parse("GET", "/a.json", if_none_match="abc=").if_none_match == "abc="
    assert parse("GET", "/a.json", if_none_match="null_etag").if_none_match == ""


@pytest.mark.parametrize("method", ["GET", "POST", "PATCH"])
def test_if_match_where_it_guards_nothing_is_refused(method: str) -> None:
    assert refused(method, "/a.json", b"{}", if_match="abc=").http_status == 400


@pytest.mark.parametrize("method", ["PUT", "POST", "PATCH", "DELETE"])
def test_if_none_match_with_a_write_is_refused(method: str) -> None:
    assert refused(method, "/a.json", b"{}", if_none_match="*").http_status == 400


@pytest.mark.parametrize("etag", ["*", "a, b", "", '""'])
def test_a_condition_is_exactly_one_etag(etag: str) -> None:
    assert refused("PUT", "/a.json", b"1", if_match=etag).http_status == 400


def test_an_etag_is_not_given_with_patch() -> None:
    assert refused("PATCH", "/a.json", b"{}", x_firebase_etag="true").http_status == 400
    assert parse("PUT", "/a.json", x_firebase_etag="true").etag_wanted
    assert not parse("PUT", "/a.json", x_firebase_etag="false").etag_wanted
