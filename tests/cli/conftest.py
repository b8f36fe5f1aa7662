"""A server for the commands, and a database of its own for each test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cli.running import Client, Watching
from tests.harness import Server, fresh_name


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("data")) as server:
        yield server


@pytest.fixture
def ns() -> str:
    return fresh_name("cli")


@pytest.fixture
def client(server: Server, ns: str, tmp_path: Path) -> Client:
    return Client(server.url, ns, tmp_path)


@pytest.fixture
def watch(ns: str) -> Iterator[Any]:
    watching: list[Watching] = []

    def start(url: str, *arguments: str) -> Watching:
        watching.append(Watching(url, ns, *arguments))
        return watching[-1]

    yield start
    for each in watching:
        each.close()
