"""The server does what its own description says: requests made from it, and every answer held against it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from typing import Any

import hypothesis.strategies as st
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import checks

from meadowlark.query import PARAMETERS
from meadowlark.server.openapi import description
from tests.harness import Server, fresh_name

CHECKS = [
    checks.not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_schema_conformance,
]
ANSWER_SECONDS = 60.0
NEGATIVE_CHECKS = [*CHECKS, checks.negative_data_rejection]
"""What breaks the description is refused, as it describes refusals: with a status of 400 or more and an error in JSON."""

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def described(mode: str) -> Any:
    """The operations, to be asked as described ("positive") or not ("negative"). Left out are the profile, whose answer takes as
    many seconds as are asked for, and rules, which would change what others may do."""
    config = {"generation": {"mode": mode}, "phases": {"coverage": {"enabled": False}}, "seed": 1}
    schema = schemathesis.openapi.from_dict(json.loads(description()), config=schemathesis.Config.from_dict(config))
    return schema.exclude(operation_id=["profile", "setRules"])


def unbreakable() -> list[str]:
    """Operations of which nothing that could be sent would not be as described."""
    return [
        operation["operationId"]
        for item in json.loads(description())["paths"].values()
        for method, operation in item.items()
        if method != "parameters"
        and "requestBody" not in operation
        and all(parameter["name"] == "project" for parameter in item.get("parameters", ()))
    ]


schema, broken = described("positive"), described("negative").exclude(operation_id=unbreakable())


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """One of its own: it gets many databases."""
    with Server(None) as running:
        yield running


@schema.parametrize()
@settings(max_examples=12, derandomize=True, deadline=None, database=None, suppress_health_check=list(HealthCheck))
def test_every_answer_is_as_described(case: Any, server: Server) -> None:
    case.call_and_validate(base_url=server.url, checks=CHECKS, timeout=ANSWER_SECONDS)


EXCLUSIVE = [("startAt", "startAfter", "equalTo"), ("endAt", "endBefore", "equalTo"), ("limitToFirst", "limitToLast")]
"""Query parameters that are refused together, which OpenAPI has no words for."""


def agreeing(query: dict[str, Any], number: int) -> dict[str, Any]:
    """The parameters that make a query, less those that are refused beside others. number: decides which."""
    asked = {name: query[name] for name in PARAMETERS if name in query}
    for names in EXCLUSIVE:
        given = [name for name in names if name in asked]
        for name in given:
            if name != given[number % len(given)]:
                del asked[name]
    if json.loads(asked["orderBy"]) == "$key":
        # Its bounds are keys.
        for name in asked.keys() & {*EXCLUSIVE[0], *EXCLUSIVE[1]}:
            if [type(part) for part in json.loads(f"[{asked[name]}]")] != [str]:
                del asked[name]
    return asked


def test_queries_made_from_the_description_are_answered(server: Server) -> None:
    """Most of them, with each parameter: of values for which there is an index, and without what excludes one another."""
    ns = fresh_name("described")
    rules = {".read": True, ".write": True, "people": {".indexOn": ["age", "name/last", ".value"]}}
    assert server.rest("PUT", "/.settings/rules", {"rules": rules}, ns=ns).status == 200
    server.write("/people", {"ann": {"age": 18, "name": {"last": "x"}}, "bob": {"age": 20}, "cid": True, "dee": "ann"}, ns=ns)
    queries = schema["/{path}.json"]["GET"].as_strategy().filter(lambda case: "orderBy" in case.query)
    statuses, answered = Counter[int](), Counter[str]()

    @given(number=st.integers(0, 5), case=queries)
    @settings(max_examples=100, derandomize=True, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    def ask(number: int, case: Any) -> None:
        asked = agreeing(case.query, number)
        case.path_parameters, case.query, case.headers = {"path": "people"}, asked | {"ns": ns}, {}
        response = case.call_and_validate(base_url=server.url, checks=CHECKS, timeout=ANSWER_SECONDS)
        statuses[response.status_code] += 1
        if response.status_code == 200:
            answered.update(list(asked))

    ask()
    assert statuses[200] > statuses.total() / 2, statuses
    assert set(answered) == set(PARAMETERS), answered


@broken.parametrize()
@settings(max_examples=25, derandomize=True, deadline=None, database=None, suppress_health_check=list(HealthCheck))
def test_what_breaks_the_description_is_refused(case: Any, server: Server) -> None:
    case.call_and_validate(base_url=server.url, checks=NEGATIVE_CHECKS, timeout=ANSWER_SECONDS)
