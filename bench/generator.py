"""The load generator (load.c) as Python sees it: what to do, one or several processes of it, one merged report.

Another program may take its place (`driver`) if it takes the same options and prints the same lines, as peers/driver.mjs does.

A `Load` is the row of a table: each field is the generator's option of that name. All processes connect, then wait; `run` tells
them to go together, and calls back at "connected", "measuring" and "measured" so that the server's memory and CPU are
sampled at those moments. Histograms are merged before percentiles are taken.
Does not know: what the server is.
"""

from __future__ import annotations

import dataclasses
import json
import math
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench import machine

HERE = Path(__file__).resolve().parent
BINARY = HERE / "bin" / "load"
HISTOGRAMS = (
    "delivered_ms",
    "acknowledged_ms",
    "sent_late_ms",
    "connect_ms",
    "listen_ms",
    "left_ms",
    "joined_ms",
    "back_ms",
)
SUMS = (
    "connections",
    "ready",
    "failed",
    "lost",
    "rooms",
    "writes",
    "writes_unsent",
    "acknowledged",
    "refused",
    "unacknowledged",
    "deliveries",
    "deliveries_missing",
    "deliveries_extra",
    "listeners_mixed_up",
    "deliveries_foreign",
    "deliveries_early",
    "departures",
    "retries",
    "away",
    "unknown_messages",
    "writes_per_second",
    "acknowledged_per_second",
    "deliveries_per_second",
    "reads",
    "read_bytes",
    "cpu_seconds",
)

Report = dict[str, Any]
Watch = Callable[[str], None]
"""Called with "connected", "measuring" and "measured" as the load reaches these moments."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Load:
    """What clients do. See `bench/bin/load --help`."""

    workload: str = "rooms"
    connections: int = 1000
    room_size: int = 10
    writes_per_second: float = 2000
    value_bytes: int = 64
    databases: int = 1
    warmup: float = 2
    seconds: float = 10
    drain: float = 5
    connect_rate: int = 1500
    keepalive: float = 45
    away: float = 2
    dialect: str = "firebase"
    arrivals: str = "even"
    idle: bool = False

    def arguments(self) -> list[str]:
        """As options of the generator."""
        words = []
        for name, value in dataclasses.asdict(self).items():
            option = "--" + name.replace("_", "-")
            if value is True:
                words.append(option)
            elif value is not False:
                words += [option, str(value)]
        return words

    def lasting(self, seconds: float) -> Load:
        """The same, measured for so long."""
        return dataclasses.replace(self, seconds=seconds)

    def share(self, index: int, count: int) -> Load:
        """The part of process `index` of `count`: whole rooms, and its share of the writes."""
        rooms = math.ceil(self.connections / self.room_size)
        first, last = rooms * index // count, rooms * (index + 1) // count
        connections = min(last * self.room_size, self.connections) - first * self.room_size
        part = connections / self.connections
        return dataclasses.replace(
            self,
            connections=connections,
            writes_per_second=self.writes_per_second * part,
            connect_rate=max(1, self.connect_rate // count),
        )

    def time_max(self) -> float:
        """Seconds after which a run that has not ended is stuck."""
        return 120 + self.connections / self.connect_rate * 4 + self.warmup + self.seconds + self.drain


def build() -> None:
    """Compiles the generator if its source is newer."""
    subprocess.run([str(HERE / "build")], check=True, timeout=120)


def run(
    load: Load,
    target: list[str],
    *,
    cores: set[int],
    processes: int = 1,
    spin: bool = False,
    watch: Watch | None = None,
    driver: tuple[str, ...] = (),
) -> Report:
    """Runs the load to its end and answers the merged report.

    target: the generator's options that say where the server is. `spin`: poll, for generators with a core each.
    driver: the command to run in place of load.c.
    Raises SystemExit with what the generator said if it could not do its work.
    """
    build()
    started = [
        Process(load.share(index, processes), target, index=index, cores=cores, spin=spin, driver=driver)
        for index in range(processes)
    ]
    try:
        for process in started:
            process.wait_for("connected")
        if watch:
            watch("connected")
        for process in started:
            process.go()
        for moment in ("measuring", "measured"):
            started[0].wait_for(moment)
            if watch:
                watch(moment)
        return merge([process.wait_for("report") for process in started])
    finally:
        for process in started:
            process.end()


def merge(reports: list[Report]) -> Report:
    """One report of several: counts added, histograms merged, shares of a core added."""
    merged = {**reports[0], **{name: sum(report[name] for report in reports) for name in SUMS}}
    merged["generator_cores"] = round(sum(report["busy_share"] for report in reports), 3)
    merged["processes"] = len(reports)
    merged["worst_second_p99"] = max(report.get("worst_second_p99", 0.0) for report in reports)
    merged["first_error"] = next((report["first_error"] for report in reports if report["first_error"]), "")
    for name in HISTOGRAMS:
        merged[name] = _merge_histograms([report[name] for report in reports])
    return merged


def _merge_histograms(histograms: list[Report]) -> Report:
    counts: dict[int, int] = {}
    for histogram in histograms:
        for top, count in histogram["buckets"]:
            counts[top] = counts.get(top, 0) + count
    total = sum(counts.values())
    most = max(histogram["max"] for histogram in histograms)
    merged: Report = {"count": total, "max": most}
    for name, share in (("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p999", 0.999)):
        merged[name] = min(_percentile(counts, share * total), most)
    return merged


def _percentile(counts: dict[int, int], rank: float) -> float:
    seen = 0
    for top in sorted(counts):
        seen += counts[top]
        if seen >= rank:
            return round(top / 1e6, 4)
    return 0.0


class Process:
    """One generator: started, told to go, read line by line, ended by its pid, killed when it takes too long.

    For loads that `run` cannot tell; `build` first.
    """

    def __init__(
        self,
        load: Load,
        target: list[str],
        *,
        index: int = 0,
        cores: set[int],
        spin: bool = False,
        driver: tuple[str, ...] = (),
    ) -> None:
        own = ["--pause", "--buckets", "--process", str(index), "--first-source", str(1 + index * 8)]
        own += ["--first-room", str(index * 1_000_000), *(["--spin"] if spin else [])]
        with machine.pinned(cores):
            self._process = subprocess.Popen(
                [*(driver or (str(BINARY),)), *target, *load.arguments(), *own],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
        self.pid = self._process.pid
        self._late = threading.Timer(load.time_max(), self._process.kill)
        self._late.start()

    def wait_for(self, moment: str) -> Report:
        """The line of that moment. Lines before it are passed over."""
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        for line in self._process.stdout:
            report: Report = json.loads(line)
            if report["event"] == moment:
                return report
        said = self._process.stderr.read()
        raise SystemExit(
            f"the load generator ended (exit {self._process.wait()}) before {moment!r}: {said or 'stopped as too slow'}"
        )

    def go(self) -> None:
        """Ends the pause."""
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()

    def kill(self) -> None:
        """Gone after this, without a report."""
        self._process.kill()
        self.end()

    def end(self) -> None:
        """Gone after this, its pipes closed; kills it if it still runs."""
        self._late.cancel()
        if self._process.poll() is None and self._process.stdout is not None and not self._process.stdout.closed:
            try:
                self._process.wait(1)
            except subprocess.TimeoutExpired:
                self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout, self._process.stderr):
            if pipe is not None:
                pipe.close()
