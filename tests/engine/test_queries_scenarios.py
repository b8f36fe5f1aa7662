"""The scenarios of tests/specs/queries.json, on the engine: what a listener has put together makes exactly these events.

tests/conformance/test_queries.py has the official SDK raise them.
"""

from __future__ import annotations

import copy
from typing import Any

import pytest

from meadowlark.engine import Database, Listen, Open, Push, Set, Update
from meadowlark.query import parse_query
from meadowlark.tree import parse_path
from tests.engine.asking import NOW
from tests.engine.test_queries_model import Watcher
from tests.query.naive import select, told
from tests.query.scenarios import SCENARIOS, events_between, spec_of

PLACE = ("list",)


def test_there_are_two_hundred_scenarios() -> None:
    assert len(SCENARIOS) >= 200
    assert len({scenario["name"] for scenario in SCENARIOS}) == len(SCENARIOS)


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario["name"])
def test_a_scenario_happens_as_written(scenario: dict[str, Any]) -> None:
    database, writer, watcher = Database("test", Open()), Watcher("writer"), Watcher("watcher")
    spec = spec_of(scenario["query"])
    mirror = watcher.mirrors[1]
    shown: Any = None

    def do(command: Any) -> Any:
        """Carries `command` out; what the watcher sees then, in order."""
        out: list[Any] = []
        database.apply(command, NOW, out)
        database.check()
        pushes = [effect for effect in out if isinstance(effect, Push)]
        assert len(pushes) <= 1, "one command is told in one message"
        for push in pushes:
            watcher.hear(push, PLACE)
        return copy.deepcopy(select(mirror.get(PLACE), {"i": spec.get("i", ".priority")}))

    do(Set(writer, 1, PLACE, scenario["tree"]))
    shown = do(Listen(watcher, 1, PLACE, "", parse_query(spec), 1))
    assert events_between(None, shown, spec, is_first=True) == scenario["first"]
    for step in scenario["steps"]:
        kind, path, value = step["do"]
        before, command = shown, Set if kind == "set" else Update
        shown = do(command(writer, 1, parse_path(path), value))
        assert events_between(before, shown, spec) == step["events"], step["do"]
    assert told(shown) == told(scenario["shows"])
