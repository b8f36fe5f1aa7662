"""What do limited queries on a place of 100,000 children cost, and what at others that have queries?

A thousand different queries, each for twenty children from somewhere on, are open on one place, over ten connections. All is done
through sockets with the database's own client library, one thing after the other: Meadowlark and firebase-server by the same
Firebase SDK. Times are milliseconds as the client sees them; *ms of core* is what the server spent for one. *first* is the
listen that makes the index, where there is one. A phase ends after 200 operations or its seconds, and filling after 40: where
*children* or *open* are fewer than 100,000 and 1,000, more could not be had in that time, and what follows is beside those. A
*get* by the Firebase SDK, in the version that firebase-server needs, is a listen that ends with its first value.
"""

from __future__ import annotations

import json
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from bench import machine
from bench.chat import peer_target
from bench.harness import Bench, Effort, Row, main, split_cores
from bench.machine import Usage
from bench.peer import FOLDER, Absent, node_driver
from bench.ruled import put
from bench.server import Server

CHILDREN, QUERIES, OPERATIONS = 100_000, 1_000, 200
STUCK_SECONDS = 150.0
"""After so long for all phases the driver is ended; what it told until then is in the row."""
RULES = {"rules": {".read": True, ".write": True, "posts": {".indexOn": ["n"]}}}
PHASES = ("connected", "filled", "listening", "written", "moved", "read")

Target = tuple[list[str], Callable[[], Usage]]
Phases = dict[str, dict[str, Any]]


@contextmanager
def _meadowlark() -> Iterator[Target]:
    with Server(cores=split_cores()[0]) as server:
        put(server, "/.settings/rules.json", RULES)
        yield ["--host", server.host, "--port", str(server.port)], server.usage


CONTENDERS: tuple[tuple[str, str, Callable[[], Any], str], ...] = (
    ("meadowlark", "firebase", _meadowlark, ""),
    ("firebase-server", "firebase", peer_target("firebase-server"), "sends the whole place whatever the query asks"),
    ("acebase", "acebase", peer_target("acebase"), "asks its storage again at each change"),
)
"""Name, client, how it is started, what it does otherwise."""


def measure(effort: Effort) -> tuple[list[Row], list[Any]]:
    """A row for each contender: of the last run, since one is long enough to be steady."""
    rows: list[Row] = []
    details: list[Any] = []
    for name, client, start, remark in CONTENDERS:
        try:
            with start() as (target, usage):
                phases, ended = _drive(client, target, usage, effort)
        except (Absent, SystemExit) as error:
            phases, ended = {}, str(error)
        rows.append(_row(name, phases, "; ".join(filter(None, (remark, ended)))))
        details.append({"name": name, "phases": phases})
        print(".", end="", flush=True)
    print("\n")
    return rows, details


def _drive(client: str, target: list[str], usage: Callable[[], Usage], effort: Effort) -> tuple[Phases, str]:
    """All phases as far as they came, each with what the server used in it; and why they ended early, if they did."""
    node_driver(client)  # Installs.
    scale = 1.0 if effort.seconds >= 2 else 0.05  # A glance, to see that it works.
    words = ["node", "--max-old-space-size=1500", str(FOLDER / "queries.mjs"), "--peer", client, *target]
    words += ["--children", str(int(CHILDREN * scale)), "--queries", str(int(QUERIES * scale))]
    words += ["--operations", str(OPERATIONS), "--seconds", f"{effort.seconds:g}"]
    with machine.pinned(split_cores()[1]):
        driver = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    late = threading.Timer(STUCK_SECONDS, driver.kill)
    late.start()
    phases: Phases = {}
    try:
        assert driver.stdin is not None
        assert driver.stdout is not None
        assert driver.stderr is not None
        before = usage()
        for line in driver.stdout:
            after = usage()
            phase = json.loads(line)
            if phase["event"] == "failed":
                return phases, str(phase["why"])
            phase["cpu_seconds"] = after.cpu_seconds - before.cpu_seconds
            phase["resident_bytes"] = after.resident_bytes
            phases[phase["event"]] = phase
            before = after
            if phase["event"] != PHASES[-1]:
                driver.stdin.write("\n")
                driver.stdin.flush()
        if PHASES[-1] in phases:
            return phases, ""
        said = driver.stderr.read().strip()[-200:]
        missing = next(phase for phase in PHASES if phase not in phases)
        return phases, f"did not come to {missing!r} in {STUCK_SECONDS:g} s" if not said else f"before {missing!r}: {said}"
    finally:
        late.cancel()
        driver.kill()
        driver.wait()
        for pipe in (driver.stdin, driver.stdout, driver.stderr):
            if pipe is not None:
                pipe.close()


def _row(name: str, phases: Phases, remark: str) -> Row:
    filled, listening, written = (phases.get(phase) for phase in ("filled", "listening", "written"))
    moved, read = phases.get("moved"), phases.get("read")
    grown = listening["resident_bytes"] - filled["resident_bytes"] if filled and listening else None
    return {
        "server": name,
        "children": filled["children"] if filled else "",
        "fill s": _shown(filled, "seconds"),
        "MB filled": round(filled["resident_bytes"] / 1e6) if filled else "",
        "open": listening["count"] if listening else "",
        "first": _shown(listening, "first"),
        "listen p50": _shown(listening, "p50"),
        "listen p99": _shown(listening, "p99"),
        "MB for queries": round(grown / 1e6, 1) if grown is not None else "",
        "write p50": _shown(written, "p50"),
        "write p99": _shown(written, "p99"),
        "heard p50": _shown((written or {}).get("heard"), "p50"),
        "ms of core a write": _core(written),
        "move p50": _shown(moved, "p50"),
        "ms of core a move": _core(moved),
        "get p50": _shown(read, "p50"),
        "get p99": _shown(read, "p99"),
        "ms of core a get": _core(read),
        "remark": remark,
    }


def _shown(phase: dict[str, Any] | None, name: str) -> Any:
    return round(phase[name], 2) if phase and phase.get("count", 1) else ""


def _core(phase: dict[str, Any] | None) -> Any:
    return round(phase["cpu_seconds"] * 1000 / phase["count"], 2) if phase and phase["count"] else ""


BENCH = Bench(
    name="windows",
    question=(__doc__ or "").partition("\n")[0],
    not_shown="a network, many clients asking at once (chat.py), the engine alone (queries.py).",
    measure=measure,
)

if __name__ == "__main__":
    main([BENCH])
