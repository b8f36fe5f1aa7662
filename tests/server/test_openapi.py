"""The description of what can be asked: that it names every address, and what it says of some of them."""

from __future__ import annotations

import json
import re
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import example, given

from meadowlark.errors import Refused
from meadowlark.query import parse_parameters
from meadowlark.server.openapi import description
from meadowlark.server.routes import _ROUTES, _ROUTES_OF_DATABASES
from meadowlark.wire.http import _REASONS
from tests.server.rest_server import Served, serve

DOCUMENT: Any = json.loads(description())
OPERATIONS = [(path, method) for path, item in DOCUMENT["paths"].items() for method in item if method != "parameters"]


def test_anybody_may_read_it() -> None:
    async def test(served: Served) -> None:
        peer = await served.connect()
        assert (await peer.ask("GET", "/.meadowlark/openapi.json"))[::2] == (200, description())

    serve(test, mode="serve")


def test_every_address_of_the_server_is_in_it() -> None:
    expected = {"/" + "/".join(segments): route for segments, route in _ROUTES.items()}
    expected |= {"/" + "/".join(segments) + "/{name}.json": route for segments, route in _ROUTES_OF_DATABASES.items()}
    for path, route in expected.items():
        described = {method.upper() for method in DOCUMENT["paths"][path] if method != "parameters"}
        assert described == set(route.methods), path


@pytest.mark.parametrize(("path", "method"), OPERATIONS)
def test_every_answer_has_a_status_that_the_server_knows(path: str, method: str) -> None:
    operation = DOCUMENT["paths"][path][method]
    assert {int(status) for status in operation["responses"]} <= set(_REASONS)
    assert operation["summary"]


def test_each_operation_has_a_name_of_its_own() -> None:
    names = [DOCUMENT["paths"][path][method]["operationId"] for path, method in OPERATIONS]
    assert len(set(names)) == len(names) == len(OPERATIONS)


def test_a_value_is_read_with_the_parameters_of_rest() -> None:
    read = DOCUMENT["paths"]["/{path}.json"]["get"]
    assert [parameter["name"] for parameter in read["parameters"]] == [
            "print", "auth_variable_override", "ac", "disableTriggers", "shallow", "format", "timeout", "callback", "download",
            "orderBy", "startAt", "startAfter", "endAt", "endBefore", "equalTo", "limitToFirst", "limitToLast", "X-Firebase-ETag",
            "If-None-Match",
        ]  # fmt: skip
    assert sorted(read["responses"]) == ["200", "204", "304", "400", "401", "404", "503"]
    assert sorted(DOCUMENT["paths"]["/{path}.json"]["put"]["responses"]) == ["200", "204", "400", "401", "404", "412", "503"]


READ: dict[str, Any] = {
    parameter["name"]: parameter["schema"] for parameter in DOCUMENT["paths"]["/{path}.json"]["get"]["parameters"]
}
TEXTS = st.one_of(
    st.text('"\\$key/u04a1-.eE+,[ \t\x7f'),
    st.lists(st.sampled_from(['"', '"a', "\\u00", "41", "1", ".5", "e9", "true", "null", ",", '"k"', "$value"])).map("".join),
)


@given(name=st.sampled_from(["orderBy", "startAt", "startAfter", "endAt", "endBefore", "equalTo"]), text=TEXTS)
@example("orderBy", '"\\u0024key"')
@example("orderBy", ' "a\\/b//c" ')
@example("startAt", '1E+2 , "\\u00e9\x7f"')
def test_what_a_query_is_answered_for_is_as_described(name: str, text: str) -> None:
    """So that what is not as described is refused; what is may still be, such as half of a pair of surrogates."""
    try:
        parse_parameters({"orderBy": '"a"', name: text})
    except Refused:
        return
    assert re.search(READ[name]["pattern"], text)


def test_the_examples_of_queries_are_as_described_and_accepted() -> None:
    for name, schema in READ.items():
        for text in schema.get("examples", ()):
            assert re.search(schema["pattern"], text)
            parse_parameters({"orderBy": '"a"', name: text})
    assert len(READ["orderBy"]["examples"]) == len(READ["equalTo"]["examples"]) == 5
