"""Queries by REST, over real HTTP: whatever is asked of whatever value, the answer is that of sorting, cutting and limiting."""

from __future__ import annotations

import json
from collections.abc import Iterator
from http.client import HTTPConnection
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from meadowlark.tree import from_json
from tests.harness import Server, fresh_name
from tests.query.naive import answer, told
from tests.query.scenarios import spec_of
from tests.query.strategies import FIELDS, KEYS, VALUES, Constraints, constraints, parameters_of
from tests.server.sockets import SECONDS

RULES = {"rules": {".read": True, ".write": True, "$place": {".indexOn": [*FIELDS, ".value"]}}}

WIDE = {
    f"k{number:04}": {
        "a": number * 7919 % 300,
        "b": ["x", True, None, {"1": number}][number % 4],
        ".priority": number % 5 or None,
    }
    for number in range(2_000)
}
"""More than is sorted, and read, in one go."""


class Caller:
    """One kept-alive connection to a database whose places have indexes of all fields."""

    def __init__(self, server: Server) -> None:
        self._ns = fresh_name("asked")
        self._connection = HTTPConnection("127.0.0.1", server.port, timeout=SECONDS)
        assert server.rest("PUT", "/.settings/rules", RULES, ns=self._ns).status == 200

    def put(self, path: str, value: Any) -> None:
        self._ask("PUT", path, "print=silent", json.dumps(value))

    def get(self, path: str, query: str) -> Any:
        return json.loads(self._ask("GET", path, query))

    def _ask(self, method: str, path: str, query: str, body: str | None = None) -> bytes:
        self._connection.request(method, f"{path}.json?ns={self._ns}&{query}", body)
        response = self._connection.getresponse()
        content = response.read()
        assert response.status in (200, 204), (response.status, content, query)
        return content

    def close(self) -> None:
        self._connection.close()


@pytest.fixture(scope="module")
def caller(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Caller]:
    with Server(tmp_path_factory.mktemp("data")) as server:
        caller = Caller(server)
        caller.put("/wide", WIDE)
        yield caller
        caller.close()
        server.stop()


def shown(node: Any) -> Any:
    """A node as REST shows it: without priorities, as an array where whole numbers are keys and not half of them are missing."""
    if not isinstance(node, dict):
        return node
    if ".value" in node:
        return node[".value"]
    children = {key: shown(child) for key, child in node.items() if key != ".priority"}
    if all(key == str(abs(int(key))) if key.lstrip("-").isdecimal() else False for key in children):
        length = max(map(int, children)) + 1
        if length <= 2 * len(children):
            return [children.get(str(index)) for index in range(length)]
    return children


def check(caller: Caller, path: str, node: Any, asked: Constraints) -> None:
    truth, query = answer(node, spec_of(asked)), parameters_of(asked)
    assert told(caller.get(path, f"{query}&format=export")) == told(truth)
    assert told(caller.get(path, query)) == told(shown(truth))
    if asked[0] == ["orderByKey"]:
        keys = {key: True for key in truth if key != ".priority"} if isinstance(shown(truth), (dict, list)) else shown(truth)
        assert told(caller.get(path, f"{query}&shallow=true")) == told(keys)


@settings(max_examples=150, deadline=None)
@given(value=VALUES, queries=st.lists(constraints(), min_size=1, max_size=12))
def test_a_query_is_answered_as_by_sorting_cutting_and_limiting(caller: Caller, value: Any, queries: list[Constraints]) -> None:
    """Of maps, arrays, leaves and nothing."""
    caller.put("/place", value)
    node, _ = from_json(value)
    for asked in queries:
        check(caller, "/place", node, asked)


wide_keys = st.one_of(KEYS, st.sampled_from(sorted(WIDE)))


@settings(max_examples=60, deadline=None)
@given(asked=constraints(keys=wide_keys, values=st.integers(-1, 301), limits=st.integers(1, 2_001)))
def test_a_query_of_many_children_is_answered_likewise(caller: Caller, asked: Constraints) -> None:
    check(caller, "/wide", from_json(WIDE)[0], asked)
