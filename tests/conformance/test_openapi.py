"""The server does what its own description says: requests made from it, and every answer held against it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis import checks

from meadowlark.server.openapi import description
from tests.harness import Server

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


@broken.parametrize()
@settings(max_examples=25, derandomize=True, deadline=None, database=None, suppress_health_check=list(HealthCheck))
def test_what_breaks_the_description_is_refused(case: Any, server: Server) -> None:
    case.call_and_validate(base_url=server.url, checks=NEGATIVE_CHECKS, timeout=ANSWER_SECONDS)
