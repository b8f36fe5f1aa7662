"""What do people get from what they would use instead?

Rooms of ten, each client listens to its room and writes into its own seat of it; 64-byte values, rising rates of writes, the same
machine, the same run, one core for the server and one for the driver. *held* is the highest rate at which delivered p99
stayed under 50 ms and nothing went missing; between the steps of the scale it is narrowed down. p50, p99 and max
are those at 50 writes a second, which all should hold. *x less* is Meadowlark's held rate divided by the peer's, through the
same driver. *others* is what else used the machine, in cores: a row where it is more than about 0.15 says nothing. C drives what
speaks a simple protocol (bench/load.c), Node with the peer's own client library the others; Meadowlark is driven by both, so
that the driver's part can be seen. *limit* names what gave in: a driver that sent late says nothing about the server.
"""

from __future__ import annotations

import dataclasses
import math
import statistics
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from bench.generator import Load, Report
from bench.harness import Bench, Effort, Row, main, split_cores, target_of, watched_run, wrong
from bench.machine import Usage
from bench.peer import PEERS, Absent, Peer, PeerServer, node_driver
from bench.server import Server

CONNECTIONS = 200
RATES = (50, 200, 500, 1000, 2000, 5000, 10_000, 20_000, 50_000)
RATES_FULL = (100_000,)
P99_MS_MAX = 50.0
LATE_MS_MAX = 10.0
"""A driver that sends later than this at p99, and than half of what it measures, is what is measured."""
NARROWINGS = 2


@dataclasses.dataclass(frozen=True)
class Contender:
    """One line of the comparison: who, driven by what."""

    name: str
    version: str
    keeps: str
    lacks: str
    dialect: str
    driver: tuple[str, ...]
    start: Callable[[], Any]
    """A context manager: (generator's target options, usage)."""


@dataclasses.dataclass
class Climb:
    """One ascent through the rates."""

    steps: list[Report]

    def held(self) -> float:
        """The highest rate held, 0 if none."""
        return max((step["writes_per_second_asked"] for step in self.steps if step["held"]), default=0)

    def limit(self) -> str:
        """What gave in first."""
        failed = [step for step in self.steps if not step["held"]]
        if not failed:
            return "not reached"
        first = min(failed, key=lambda step: step["writes_per_second_asked"])
        if first["failed"] or first["lost"]:
            return f"connections: {first['first_error'][:60]}"
        if first["sent_late_ms"]["p99"] > max(LATE_MS_MAX, first["delivered_ms"]["p99"] / 2):
            return "the driver"
        return "late" if first["delivered_ms"]["p99"] > P99_MS_MAX else f"{wrong(first)} wrong"


def measure(effort: Effort) -> tuple[list[Row], list[Any]]:
    """A row for each contender, those that are absent with their reason."""
    contenders, absent = _contenders()
    climbs: dict[str, list[Climb]] = {contender.name: [] for contender in contenders}
    for _ in range(effort.runs):  # In turn, so that a slow hour of the machine is shared by all.
        for contender in list(contenders):
            try:
                climbs[contender.name].append(_climb(contender, effort))
            except (Absent, SystemExit) as error:
                contenders.remove(contender)
                absent[contender.name] = str(error)
            print(".", end="", flush=True)
    print("\n")
    best = {bool(one.driver): _held(climbs[one.name]) for one in contenders if one.name.startswith("meadowlark")}
    rows = [_row(one, climbs[one.name], best.get(bool(one.driver), 0)) for one in contenders]
    columns = list(rows[0]) if rows else ["peer"]
    rows += [{**dict.fromkeys(columns, ""), "peer": name, "does not do": f"not measured: {why}"} for name, why in absent.items()]
    return rows, [{"peer": name, "climbs": [climb.steps for climb in some]} for name, some in climbs.items()]


def _climb(contender: Contender, effort: Effort) -> Climb:
    """Up the scale on one server until a rate is too much, then twice half way between."""
    climb = Climb([])
    with contender.start() as (target, usage):

        def holds(rate: float) -> bool:
            load = Load(
                connections=CONNECTIONS,
                writes_per_second=rate,
                warmup=1,
                seconds=effort.seconds,
                drain=3,
                dialect=contender.dialect or "firebase",
            )
            step = watched_run(load, target, usage, driver=contender.driver)
            step["held"] = step["delivered_ms"]["p99"] <= P99_MS_MAX and not wrong(step)
            climb.steps.append(step)
            return bool(step["held"])

        low, high = 0.0, 0.0
        for rate in RATES + (RATES_FULL if effort.full else ()):
            if not holds(rate):
                high = rate
                break
            low = rate
        for _ in range(NARROWINGS if low and high else 0):
            middle = round(math.sqrt(low * high), -2)
            if holds(middle):
                low = middle
            else:
                high = middle
    return climb


def _row(contender: Contender, climbs: list[Climb], meadowlark: float) -> Row:
    first = [climb.steps[0] for climb in climbs]
    held = _held(climbs)

    def median(*names: str) -> float:
        return round(statistics.median(_figure(step, names) for step in first), 2)

    return {
        "peer": contender.name,
        "version": contender.version,
        "driver": "node" if contender.driver else "C",
        "p50": median("delivered_ms", "p50"),
        "p99": median("delivered_ms", "p99"),
        "max": median("delivered_ms", "max"),
        "acked p99": median("acknowledged_ms", "p99") or "",
        "held writes/s": held,
        "of runs": f"{min(climb.held() for climb in climbs):,.0f}-{max(climb.held() for climb in climbs):,.0f}",
        "x less": round(meadowlark / held, 2) if held else "",
        "limit": climbs[0].limit(),
        "RSS MB": round(median("resident_bytes") / 1e6, 1),
        "server core": median("server_cores"),
        "late p99": median("sent_late_ms", "p99"),
        "others": round(statistics.median(step["others_cores"] for climb in climbs for step in climb.steps), 2),
        "kept": contender.keeps,
        "does not do": contender.lacks,
    }


def _held(climbs: list[Climb]) -> float:
    return statistics.median(climb.held() for climb in climbs) if climbs else 0


def _figure(step: Report, names: tuple[str, ...]) -> float:
    value: Any = step
    for name in names:
        value = value[name]
    return float(value)


def _contenders() -> tuple[list[Contender], dict[str, str]]:
    found, absent = [_meadowlark("meadowlark", ())], {}
    for name, make in {"meadowlark, node driver": _meadowlark_by_node, **{one.name: _maker(one) for one in PEERS}}.items():
        try:
            found.append(make())
        except Absent as error:
            absent[name] = str(error)
    return found, absent


def _meadowlark_by_node() -> Contender:
    return _meadowlark("meadowlark, node driver", node_driver("meadowlark"))


def _meadowlark(name: str, driver: tuple[str, ...]) -> Contender:
    @contextmanager
    def start() -> Iterator[tuple[list[str], Callable[[], Usage]]]:
        with Server(cores=split_cores()[0]) as server:
            yield target_of(server), server.usage

    lacks = "queries with a range and rules, so far"
    return Contender(name, "this checkout", "disk, synced before the answer", lacks, "firebase", driver, start)


def _maker(peer: Peer) -> Callable[[], Contender]:
    @contextmanager
    def start() -> Iterator[tuple[list[str], Callable[[], Usage]]]:
        with PeerServer(peer, split_cores()[0]) as server:
            yield server.target(), server.usage

    def make() -> Contender:
        driver = peer.driver()
        with PeerServer(peer, split_cores()[0]):  # That it starts here at all.
            version = f"{peer.package} {peer.version()}"
        return Contender(peer.name, version, peer.keeps, peer.lacks, peer.dialect, driver, start)

    return make


BENCH = Bench(
    name="peers",
    question=(__doc__ or "").partition("\n")[0],
    not_shown="several cores (nats and pocketbase would use them), networks, TLS, peers that are not packaged for npm or PyPI.",
    measure=measure,
)

if __name__ == "__main__":
    main([BENCH])
