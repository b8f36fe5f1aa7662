"""The official clients, installed as published, and one development server for all tests that do not need their own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conformance.packages import installed
from tests.harness import Script, Server, fresh_name

NODE_FOLDER = Path(__file__).parent / "node"


@pytest.fixture(scope="session")
def node() -> Path:
    """The folder of the Node scripts with the packages of its lock file installed."""
    installed(NODE_FOLDER)
    return NODE_FOLDER


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A `dev` server with two workers, shared by the tests that use databases of their own and kill nothing."""
    with Server(tmp_path_factory.mktemp("data"), workers=2) as running:
        yield running
        running.stop()


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[Server]:
    """A `dev` server with one worker that the test may kill."""
    with Server(tmp_path / "data") as running:
        yield running


def settings_for(server: Server, how: str, ns: str, **more: Any) -> dict[str, Any]:
    """What a script is told: `how` is "emulator" (connectDatabaseEmulator), "url", "compat" or "admin"."""
    return {"host": "127.0.0.1", "port": server.port, "ns": ns, "how": how} | more


class Told:
    """What a script with scenarios printed: scenario name → its events in order."""

    def __init__(self, events: list[list[Any]]) -> None:
        self._by_scenario: dict[str, list[list[Any]]] = {}
        current: list[list[Any]] = []
        for event in events:
            if event[0] == "scenario":
                current = self._by_scenario.setdefault(event[1], [])
            else:
                current.append(event)

    def __call__(self, scenario: str, *names: str) -> list[list[Any]]:
        """The events of one scenario; with `names` only those called so (a name stands for "name.…" too)."""
        events = self._by_scenario[scenario]
        failures = [event for event in events if event[0] in ("failed", "took too long")]
        assert not failures, f"{scenario}: {failures}, after {events}"
        if not names:
            return events
        return [event for event in events if event[0] in names or event[0].partition(".")[0] in names]

    def values(self, scenario: str, name: str) -> list[Any]:
        """The first detail of each event called `name`."""
        return [event[1] for event in self(scenario, name)]


@pytest.fixture(scope="session")
def perform(node: Path, server: Server) -> Callable[..., Told]:
    """Run a script with scenarios once per way of connecting; the tests of a topic look at different scenarios of it."""
    performed: dict[tuple[str, str], Told] = {}

    def run(script: str, how: str, **more: Any) -> Told:
        if (script, how) not in performed:
            topic = script.removesuffix(".mjs").replace("_", "-")
            with Script(script, settings_for(server, how, fresh_name(f"{topic}-{how}"), **more)) as running:
                performed[script, how] = Told(running.finish(within=90))
        return performed[script, how]

    return run
