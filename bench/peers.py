"""What do people get from what they would use instead?

Rooms of ten, each client listens to its room and writes into its own seat of it; 64-byte values, rising rates of writes, the
same machine, the same run, one core for the server and one for the driver. *held* is the highest rate at which delivered p99
stayed under 50 ms and nothing went missing; between the steps of the scale it is narrowed down. p50, p99 and max are those at
50 writes a second, which all should hold. *x less* is Meadowlark's held rate divided by the peer's, through the same driver
and at most the peer's durability: synced beside those that sync, else the better of synced and relaxed; *native* is the same
for the compiled build. *bar* is what we set out for: five times the rate of a peer that keeps a tree or records as Meadowlark
does, and never behind Socket.IO. *µs a write* is the server's processor time for a write with its ten deliveries, at the
highest rate that held: it says what the driver's limit hides. *others* is what else used the machine, in cores: a row where
it is more than about 0.15 says nothing. C drives what speaks a simple protocol (bench/load.c), Node with the peer's own
client library the others; Meadowlark is driven by both, so that the driver's part can be seen. *limit* names what gave in: a
driver that sent late says nothing about the server.

`--runs 1 --seconds 2` takes about nine minutes, `--seconds 4` fifteen.
"""

from __future__ import annotations

import dataclasses
import math
import statistics
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench.generator import Load, Report
from bench.harness import Bench, Effort, Row, main, split_cores, target_of, watched_run, wrong
from bench.machine import Usage
from bench.native import NAME as NATIVE
from bench.native import source
from bench.peer import PEERS, Absent, Peer, PeerServer, node_driver
from bench.server import Server

CONNECTIONS = 200
RATES = (50, 500, 2000, 5000, 10_000, 20_000, 50_000)
RATES_FULL = (100_000,)
OURS = "meadowlark"
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
    synced: bool = False
    """Whether what it acknowledges survives a power cut."""
    bar: float = 0
    """How many times its rate we set out to hold; 0: nothing was said."""
    is_native: bool = False

    @property
    def is_ours(self) -> bool:
        return self.name.startswith(OURS)


@dataclasses.dataclass
class Climb:
    """One ascent through the rates."""

    steps: list[Report]

    def held(self) -> float:
        """The highest rate held, 0 if none."""
        return max((step["writes_per_second_asked"] for step in self.steps if step["held"]), default=0)

    def last_held(self) -> Report:
        """The step at that rate; the first if none was held."""
        held = [step for step in self.steps if step["held"]]
        return max(held, key=lambda step: float(step["writes_per_second_asked"])) if held else self.steps[0]

    def limit(self) -> str:
        """What gave in first."""
        held = self.held()
        failed = [step for step in self.steps if not step["held"] and step["writes_per_second_asked"] > held]
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
    ours = [one for one in contenders if one.is_ours]
    rows = []
    for one in contenders:
        # At the peer's durability or more, through the same driver.
        equal = [mine for mine in ours if bool(mine.driver) == bool(one.driver) and mine.synced >= one.synced]
        pure, built = (
            max((_held(climbs[mine.name]) for mine in equal if mine.is_native is is_native), default=0)
            for is_native in (False, True)
        )
        rows.append(_row(one, climbs[one.name], pure, built))
    columns = list(rows[0]) if rows else ["peer"]
    rows += [{**dict.fromkeys(columns, ""), "peer": name, "does not do": f"not measured: {why}"} for name, why in absent.items()]
    return rows, [{"peer": name, "climbs": [climb.steps for climb in some]} for name, some in climbs.items()]


def _climb(contender: Contender, effort: Effort) -> Climb:
    """Up the scale on one server until a rate is too much, then twice half way between."""
    climb = Climb([])
    with contender.start() as (target, usage):

        def holds(rate: float) -> bool:
            # Again where it does not: one bad moment of the machine would end the climb.
            return attempt(rate) or attempt(rate)

        def attempt(rate: float) -> bool:
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


def _row(contender: Contender, climbs: list[Climb], pure: float, native: float) -> Row:
    """pure, native: what Meadowlark holds in either build; 0 if that was not tried."""
    first = [climb.steps[0] for climb in climbs]
    held = _held(climbs)
    ratio, native_ratio = (ours / held if held and not contender.is_ours else 0.0 for ours in (pure, native))
    bar = f"{contender.bar:g}x: {'yes' if max(ratio, native_ratio) >= contender.bar else 'no'}" if contender.bar else ""

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
        "x less": round(ratio, 2) or "",
        "native": round(native_ratio, 2) or "",
        "bar": bar,
        "µs a write": round(statistics.median(_write_microseconds(climb.last_held()) for climb in climbs)),
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


def _write_microseconds(step: Report) -> float:
    return float(step["server_cores"]) * 1e6 / max(float(step["writes_per_second"]), 1)


def _figure(step: Report, names: tuple[str, ...]) -> float:
    value: Any = step
    for name in names:
        value = value[name]
    return float(value)


def _contenders() -> tuple[list[Contender], dict[str, str]]:
    relaxed = ("--durability", "relaxed")
    found = [_meadowlark(OURS), _meadowlark(f"{OURS}, relaxed", flags=relaxed)]
    if built := source():
        found += [_meadowlark(NATIVE, built=built), _meadowlark(f"{NATIVE}, relaxed", flags=relaxed, built=built)]
    absent: dict[str, str] = {}
    for name, make in {f"{OURS}, node driver": _meadowlark_by_node, **{one.name: _maker(one) for one in PEERS}}.items():
        try:
            found.append(make())
        except Absent as error:
            absent[name] = str(error)
    return found, absent


def _meadowlark_by_node() -> Contender:
    return _meadowlark(f"{OURS}, node driver", driver=node_driver(OURS))


def _meadowlark(name: str, *, driver: tuple[str, ...] = (), flags: tuple[str, ...] = (), built: Path | None = None) -> Contender:
    """built: the native build's source; None: the pure one."""

    @contextmanager
    def start() -> Iterator[tuple[list[str], Callable[[], Usage]]]:
        with Server(cores=split_cores()[0], flags=flags, source=built) as server:
            yield target_of(server), server.usage

    keeps = "disk, synced soon after the answer" if flags else "disk, synced before the answer"
    lacks = "more than one machine, so far"
    return Contender(
        name, "this checkout", keeps, lacks, "firebase", driver, start, synced=not flags, is_native=built is not None
    )


def _maker(peer: Peer) -> Callable[[], Contender]:
    @contextmanager
    def start() -> Iterator[tuple[list[str], Callable[[], Usage]]]:
        with PeerServer(peer, split_cores()[0]) as server:
            yield server.target(), server.usage

    def make() -> Contender:
        version = f"{peer.package} {peer.version()}"
        return Contender(
            peer.name, version, peer.keeps, peer.lacks, peer.dialect, peer.driver(), start, synced=peer.synced, bar=peer.bar
        )

    return make


BENCH = Bench(
    name="peers",
    question=(__doc__ or "").partition("\n")[0],
    not_shown="several cores (nats and pocketbase would use them), networks, TLS, peers that are not packaged for npm or PyPI.",
    measure=measure,
)

if __name__ == "__main__":
    main([BENCH])
