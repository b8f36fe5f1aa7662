"""A disk that takes no more, under a real server: the kernel lets one worker's files grow no further."""

from __future__ import annotations

import resource
from pathlib import Path

import pytest

from meadowlark.server.routing import owner_of
from tests.crash.realtime import Realtime
from tests.harness import Server, eventually

pytestmark = pytest.mark.slow

FULL, WELL = (next(name for name in map("db{}".format, range(100)) if owner_of(name, 2) == worker) for worker in (0, 1))
"""Databases of the first and of the second worker."""


@pytest.mark.parametrize("size", [5_000, 5_000_000], ids=["in a group", "in parts"])
def test_a_worker_that_cannot_write_says_so_acknowledges_nothing_and_the_other_goes_on(tmp_path: Path, size: int) -> None:
    with Server(tmp_path / "data", workers=2) as server:
        full, well = (Realtime(server.port, name) for name in (FULL, WELL))
        for client in (full, well):
            assert client.ask("p", {"p": "/kept", "d": True})["s"] == "ok"
        first, _ = server.worker_pids()
        resource.prlimit(first, resource.RLIMIT_FSIZE, (2000, 2000))
        for write in ({"p": "/lost", "d": "x" * size}, {"p": "/small", "d": 1}):
            answer = full.ask("p", write)
            assert (answer["s"], "journal cannot be written" in answer["d"]) == ("unavailable", True)
        assert full.ask("g", {"p": "/kept", "q": {}}) == {"s": "ok", "d": True}, "reads go on"
        assert server.rest("PUT", "/rest", 1, ns=FULL).status == 503
        assert well.ask("p", {"p": "/more", "d": True})["s"] == "ok"
        eventually(lambda: "journal failed" in server.output(), what="a line in the log")
        server.kill()
        server.start()
        assert server.read("/", ns=FULL) == {"kept": True}
        assert server.read("/", ns=WELL) == {"kept": True, "more": True}
        for client in (full, well):
            client.vanish()
