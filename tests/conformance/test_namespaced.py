"""The namespaced interfaces: firebase/compat, and firebase-admin for Node, against `dev`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conformance.conftest import Told, settings_for
from tests.harness import Script, Server, fresh_name

WAYS = ["compat", "compat with emulator", "admin", "admin by environment"]
pytestmark = [pytest.mark.slow, pytest.mark.parametrize("how", WAYS)]


@pytest.fixture(scope="module")
def act(node: Path, server: Server) -> Callable[[str], Told]:
    done: dict[str, Told] = {}

    def run(how: str) -> Told:
        if how not in done:
            base, _, by = how.partition(" ")
            settings = settings_for(server, base, fresh_name(base), emulator=by == "with emulator")
            environment = {"FIREBASE_DATABASE_EMULATOR_HOST": f"127.0.0.1:{server.port}"} if by == "by environment" else {}
            with Script("namespaced.mjs", settings, environment=environment) as script:
                done[how] = Told(script.finish())
        return done[how]

    return run


@pytest.fixture
def told(act: Callable[[str], Told], how: str) -> Told:
    return act(how)


def test_writes(told: Told) -> None:
    assert told.values("writes", "b.value") == [
        None,
        {"x": 1, "y": {"z": 2}},
        {"y": {"z": 2, "q": 3}},
        None,
    ]


def test_push(told: Told) -> None:
    assert told("push") == [["same key", True, 20]]


def test_priorities(told: Told) -> None:
    exported = {"x": {".value": "v", ".priority": 0}, "y": {".value": "w", ".priority": 1}}
    assert told("priorities") == [["order", [["x", 0], ["y", 1]], exported]]


def test_children(told: Told) -> None:
    assert told("children") == [
        ["added", "k", None],
        ["added", "m", "k"],
        ["added", "l", "k"],
        ["moved", "k", "m"],
        ["changed", "k", "m"],
        ["removed", "m"],
    ]


def test_get(told: Told) -> None:
    assert told("get") == [["value", [1, 2], False]]


def test_transaction(told: Told) -> None:
    result, aborted = told("transaction")
    assert result == ["result", True, 6]
    assert aborted[:2] == ["aborted", False]


def test_server_values(told: Told) -> None:
    assert told("server_values") == [["value", True, 3.5]]


def test_on_disconnect(told: Told) -> None:
    left = {"set": {".value": "after", ".priority": 1}, "kept": "kept", "more": 1}
    assert told("on_disconnect") == [["left", left]]


def test_info(told: Told) -> None:
    assert told("info") == [["connected", True], ["offset", True]]
