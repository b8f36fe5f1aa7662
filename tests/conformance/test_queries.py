"""Queries with the official SDK: the events of every scenario in tests/specs/queries.json, and what only it can show."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conformance.conftest import Told
from tests.query.scenarios import SCENARIOS

pytestmark = pytest.mark.slow

SPEC = Path(__file__).parents[1] / "specs" / "queries.json"


@pytest.fixture
def told(perform: Callable[..., Told]) -> Told:
    return perform("queries.mjs", "emulator", scenarios=str(SPEC))


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario["name"])
def test_the_sdk_raises_the_events_of_a_scenario(told: Told, scenario: dict[str, Any]) -> None:
    expected = list(scenario["first"])
    for step in scenario["steps"]:
        expected += [["step"], *step["events"]]
    assert told(scenario["name"]) == [*expected, ["shows", scenario["shows"]]]
