"""Our JavaScript client, built from js/, and the means to put it in the place of Firebase's in scripts written for that."""

from __future__ import annotations

import functools
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conformance.conftest import Told, node, own_server, server, settings_for
from tests.conformance.packages import installed
from tests.harness import PROJECT, Script, Server, fresh_name

FOLDER = PROJECT / "js"
BUILD_SECONDS = 120
OPTIONS = f"--experimental-websocket --no-warnings --import={(FOLDER / 'test' / 'register.mjs').as_uri()}"
"""Of node: a WebSocket of its own, and imports of `firebase/…` that lead to our client."""

__all__ = ["built", "in_its_place", "node", "own_server", "perform", "server"]


@functools.cache
def build() -> str:
    """Makes js/dist; what the build printed."""
    installed(FOLDER)
    done = subprocess.run(["node", "build.mjs"], cwd=FOLDER, capture_output=True, text=True, timeout=BUILD_SECONDS, check=False)
    assert done.returncode == 0, f"the build failed:\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="session")
def built() -> str:
    return build()


@pytest.fixture(autouse=True)
def in_its_place(built: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Scripts that a test of this folder starts run with our client."""
    monkeypatch.setenv("NODE_OPTIONS", OPTIONS)


@pytest.fixture(scope="session")
def perform(built: str, node: Path, server: Server) -> Callable[..., Told]:
    """The fixture of the conformance tests, with our client."""
    performed: dict[tuple[str, str], Told] = {}

    def run(script: str, how: str, **more: Any) -> Told:
        if (script, how) not in performed:
            settings = settings_for(server, how, fresh_name(f"ours-{script.removesuffix('.mjs')}-{how}"), **more)
            with Script(script, settings, environment={"NODE_OPTIONS": OPTIONS}) as running:
                performed[script, how] = Told(running.finish(within=90))
        return performed[script, how]

    return run
