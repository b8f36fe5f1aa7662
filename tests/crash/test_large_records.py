"""Records so large that the journal writes them in parts, under a real server that is killed in the middle of them."""

from __future__ import annotations

import contextlib
import http.client
import json
import random
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from tests.harness import Server, eventually

pytestmark = pytest.mark.slow

LARGE_CHILDREN = 200
LARGE_CHILD = "x" * 100_000
ROUNDS = 4
DATABASES = ("small", "large", "larger")
"""All of one worker; small ones are written in all of them, large ones in the last two."""


class Writer(threading.Thread):
    """Writes the next number, as often as it can, until the server is gone."""

    def __init__(self, server: Server, database: str, key: str, number: int) -> None:
        super().__init__(daemon=True)
        self.database, self.key = database, key
        self.acknowledged = self.attempted = number
        self.strange: list[int] = []
        """Other answers than those of a server that is well, or gone."""
        self._connection = server.connect()

    def run(self) -> None:
        with contextlib.closing(self._connection), contextlib.suppress(OSError, http.client.HTTPException):
            while not self.strange:
                self.attempted += 1
                body = json.dumps(self._value(self.attempted))
                self._connection.request("PUT", f"/{self.key}.json?ns={self.database}&print=silent", body=body)
                answer = self._connection.getresponse()
                answer.read()
                if answer.status == 204:
                    self.acknowledged = self.attempted
                else:
                    self.strange.append(answer.status)

    def check(self, server: Server) -> None:
        """What is there is whole, and as new as was promised."""
        value = server.read(f"/{self.key}", ns=self.database) or self._value(0)
        number = value["number"]
        assert self.acknowledged <= number <= self.attempted, (self.database, self.key)
        assert value == self._value(number)
        assert self.strange == []
        self.acknowledged = number

    def _value(self, number: int) -> dict[str, Any]:
        count = LARGE_CHILDREN if self.key == "large" else 1
        return {"number": number} | {f"k{child}": f"{number} {LARGE_CHILD}" for child in range(count - 1)}


def start_writers(server: Server, numbers: dict[tuple[str, str], int]) -> list[Writer]:
    crew = [Writer(server, database, key, number) for (database, key), number in numbers.items()]
    for writer in crew:
        writer.start()
    return crew


@pytest.mark.timeout(300)
def test_a_server_killed_in_the_middle_of_large_writes_has_all_that_it_acknowledged(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    chance = random.Random(5)
    numbers = dict.fromkeys([*((name, "small") for name in DATABASES), *((name, "large") for name in DATABASES[1:])], 0)
    with Server(folder, workers=1) as server:
        for killing in range(ROUNDS):
            crew = start_writers(server, numbers)
            if killing % 2:
                eventually(lambda: any(folder.glob("journal-*/*/large.unfinished")), every=0.002, what="a record in parts")
            time.sleep(chance.uniform(0, 0.02) if killing % 2 else chance.uniform(0.3, 1.5))
            server.kill()
            for writer in crew:
                writer.join(60)
            server.workers = chance.choice([1, 1, 2])
            server.start()
            for writer in crew:
                writer.check(server)
                numbers[writer.database, writer.key] = writer.acknowledged
    assert numbers["small", "small"] > 0
    assert numbers["large", "large"] + numbers["larger", "large"] > 0


def test_a_server_that_is_stopped_in_the_middle_of_large_writes_finishes_them(tmp_path: Path) -> None:
    numbers = dict.fromkeys([(name, key) for name in DATABASES[1:] for key in ("small", "large")], 0)
    with Server(tmp_path / "data", workers=1) as server:
        crew = start_writers(server, numbers)
        time.sleep(1.5)
        server.stop()
        for writer in crew:
            writer.join(60)
        server.start()
        for writer in crew:
            writer.strange = [status for status in writer.strange if status != 503]
            writer.check(server)
        assert "cut_bytes=0" in server.output()
