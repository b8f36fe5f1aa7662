"""What latency does a client in a chat of ten see that listens to the last fifty messages?

As rooms.py, but each write adds a child to its room and each client listens with a limit, so that every delivery has a
message that came and one that left. Ten clients of a room ask the same and share one view. The rows *by SDK* are for comparison
with what else has queries: fewer clients, through the libraries of those in Node. With the Firebase SDK a client sees its own
message at once, so only the nine others count. firebase-server knows no limits and sends whole rooms.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from bench.generator import Load
from bench.harness import Bench, Effort, Measured, Row, main, split_cores, under_load, watched_run
from bench.machine import Usage
from bench.peer import PEERS, Absent, PeerServer, node_driver
from bench.ruled import OPEN, put
from bench.server import Server

LOADS = tuple([Load(workload="chat", connections=1000, writes_per_second=rate) for rate in (1000, 2000)])
COMPARED = Load(workload="chat", connections=50, writes_per_second=20, warmup=1, drain=3)

Target = tuple[list[str], Callable[[], Usage]]


@contextmanager
def _meadowlark() -> Iterator[Target]:
    with Server(cores=split_cores()[0]) as server:
        put(server, "/.settings/rules.json", OPEN)
        yield ["--host", server.host, "--port", str(server.port)], server.usage


def peer_target(name: str) -> Callable[[], Any]:
    """What starts the peer of that name: a context manager of the driver's options and the usage."""

    @contextmanager
    def start() -> Iterator[Target]:
        with PeerServer(next(peer for peer in PEERS if peer.name == name), split_cores()[0]) as server:
            yield server.target(), server.usage

    return start


CONTENDERS: tuple[tuple[str, str, Callable[[], Any]], ...] = (
    ("meadowlark, by SDK", "firebase", _meadowlark),
    ("firebase-server, by SDK", "firebase", peer_target("firebase-server")),
    ("acebase, by SDK", "acebase", peer_target("acebase")),
)
"""Name, client, how it is started."""


def measure(effort: Effort) -> tuple[list[Row], list[Any]]:
    """A row for each load, and one for each contender at the load at which all are compared."""
    measured = [("meadowlark", under_load(load.lasting(effort.seconds), effort.runs)) for load in LOADS]
    failed: list[Row] = []
    for name, client, start in CONTENDERS:
        load = COMPARED.lasting(effort.seconds)
        try:
            measured.append((name, Measured(load, [_run(client, start, load) for _ in range(effort.runs)])))
        except (Absent, SystemExit) as error:
            failed.append({"server": f"{name}: not measured: {str(error)[:200]}"})
    rows: list[Row] = [{"server": name, **one.row()} for name, one in measured]
    rows += [{**dict.fromkeys(rows[0], ""), **row} for row in failed]
    return rows, [one.runs for _, one in measured]


def _run(client: str, start: Callable[[], Any], load: Load) -> Any:
    with start() as (target, usage):
        return watched_run(load, target, usage, driver=node_driver(client))


BENCH = Bench(
    name="chat",
    question=(__doc__ or "").partition("\n")[0],
    not_shown="a network, rules, many different queries of one place (windows.py), rooms with years of messages.",
    measure=measure,
)

if __name__ == "__main__":
    main([BENCH])
