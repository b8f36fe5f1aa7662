"""The real server that a file of client tests shares, and a database on it for each test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.harness import Server, fresh_name


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("server") / "data") as running:
        yield running


@pytest.fixture
def url(server: Server) -> str:
    return f"http://127.0.0.1:{server.port}?ns={fresh_name('client')}"
