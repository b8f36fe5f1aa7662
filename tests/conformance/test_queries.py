"""Queries with the official SDK: the events of every scenario in tests/specs/queries.json, and what only it can show."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conformance.conftest import Told, settings_for
from tests.harness import Script, Server, fresh_name
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


# Around queries


@pytest.fixture(params=["emulator", "url"])
def life(perform: Callable[..., Told], request: pytest.FixtureRequest) -> Told:
    return perform("query_life.mjs", request.param)


def after(events: list[list[Any]], word: str = "then") -> list[list[Any]]:
    return events[events.index([word]) + 1 :]


def shown(events: list[list[Any]]) -> list[list[Any]]:
    """The events without the values: [name, keys]."""
    return [event[:2] for event in events]


def test_several_queries_of_one_path_do_not_disturb_each_other(life: Told) -> None:
    events = life("several_on_one_path")
    assert sorted(shown(events[: events.index(["then"])])) == [
        ["equal", ["cy"]], ["first", ["ada", "bob"]], ["key", ["cy", "dan"]], ["last", ["dan"]],
    ]  # fmt: skip
    assert sorted(shown(after(events))) == [
        ["equal", ["cy", "eve"]], ["first", ["dan", "ada"]], ["key", ["cy", "dan", "eve"]], ["last", ["eve"]],
    ]  # fmt: skip


def test_one_query_ends_and_the_others_go_on(life: Told) -> None:
    events = life("one_ends_and_the_others_go_on")
    assert shown(after(events)) == [["last", ["bob", "cy"]], ["again"], ["first", ["bob", "cy"]]]


def test_a_query_beside_the_whole(life: Told) -> None:
    assert shown(life("a_query_beside_the_whole", "first")) == [["first", ["ada"]], ["first", ["bob"]], ["first", ["ada"]]]
    assert shown(life("a_query_beside_the_whole", "whole")) == [["whole", ["ada", "bob", "cy", "dan"]]] * 2


def test_who_writes_sees_its_own_window_change_and_never_back(life: Told) -> None:
    # Of what it removes it cannot know the replacement, so that comes a moment later.
    assert shown(after(life("who_writes_sees_its_own_window_change_once"))) == [
        ["first", ["ada", "cy"]],
        ["first", ["ada"]],
        ["first", ["ada", "bob"]],
    ]


def test_reading_once(life: Told) -> None:
    assert life.values("read_once", "get") == [["9", "10", "ada"], ["cy", "dan"], ["cy", "dan"], None]
    path = "/scenarios/read_once"
    assert life.values("read_once", "refused") == [f'Index not defined, add ".indexOn": "n", for path "{path}", to the rules']


def test_a_listener_without_an_index_is_warned(life: Told) -> None:
    [warning] = life.values("warned_of", "warned")
    assert "no_index" in warning or "unspecified index" in warning
    assert '".indexOn": "n"' in warning
    assert "/scenarios/warned_of" in warning


def test_coming_back_tells_only_what_changed(life: Told) -> None:
    assert shown(after(life("come_back"))) == [["removed", "ada"], ["added", "cy"], ["first", ["bob", "cy"]]]


def test_transactions_under_a_query(life: Told) -> None:
    events = life("transactions_under_a_query")
    assert events[-1] == ["in the end", {"ada": {"n": 11}, "bob": {"n": 2}, "cy": {"n": 3}, "dan": {"n": -6}}]
    assert shown(events)[-2] == ["first", ["dan", "bob"]]


def test_a_declared_index(node: Path, server: Server) -> None:
    ns = fresh_name("indexed")
    rules = {"rules": {".read": True, ".write": True, "people": {".indexOn": ["n"]}}}
    answer = server.rest("PUT", "/.settings/rules", rules, ns=ns)
    assert answer.status == 200, answer
    with Script("indexed.mjs", settings_for(server, "emulator", ns)) as script:
        events = script.finish(within=60)
    people = {"bob": {"n": 2}, "cy": {"n": 3}}
    assert events == [["get", people], ["value", people]]
