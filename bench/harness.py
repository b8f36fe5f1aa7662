"""A benchmark: a question, measurements, a table, a result file.

Each bench file makes one `Bench`. Its `measure` starts a fresh server per measurement with `under_load`, which puts the
server and the generator on different cores and samples the workers while measuring. Runs are repeated; a row of the table
is the median over runs, with the spread of the p99 beside it. Everything measured goes to bench/results/<name>.json with the
machine, versions and commit.
Does not know: what a good figure is.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import statistics
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench import generator, machine
from bench.generator import Load, Report
from bench.server import Server

RESULTS = Path(__file__).resolve().parent / "results"

Row = dict[str, Any]
"""A line of the table: column name to text or number, in order."""


@dataclasses.dataclass(frozen=True)
class Effort:
    """How much to measure."""

    runs: int
    seconds: float
    full: bool  # also the loads that need minutes or gigabytes


@dataclasses.dataclass(frozen=True)
class Measured:
    """One load, all its runs."""

    load: Load
    runs: list[Report]

    def row(self) -> Row:
        """Load and latencies as a line of the table."""
        delivered, acknowledged = "delivered_ms", "acknowledged_ms"
        return {
            "connections": self.load.connections,
            "writes/s": self.load.writes_per_second,
            "deliveries/s": round(self.median("deliveries_per_second")),
            "delivered p50": self.median(delivered, "p50"),
            "delivered p99": self.median(delivered, "p99"),
            "p99 of runs": self.spread(delivered, "p99"),
            "delivered max": self.median(delivered, "max"),
            "acked p50": self.median(acknowledged, "p50"),
            "acked p99": self.median(acknowledged, "p99"),
            "acked max": self.median(acknowledged, "max"),
            "missing": sum(wrong(run) for run in self.runs),
            "server core": self.median("server_cores"),
            "generator": self.median("generator_cores"),
            "others": self.median("others_cores"),
            "late p99": self.median("sent_late_ms", "p99"),
            "RSS MB": round(self.median("resident_bytes") / 1e6, 1),
        }

    def median(self, *names: str) -> float:
        """The median over the runs of one figure of the report."""
        return round(statistics.median(_figure(run, names) for run in self.runs), 2)

    def spread(self, *names: str) -> str:
        """Least and most over the runs."""
        figures = [_figure(run, names) for run in self.runs]
        return f"{min(figures):.2f}-{max(figures):.2f}"


@dataclasses.dataclass(frozen=True)
class Bench:
    """One question. `measure` answers the table's rows and all that was measured."""

    name: str
    question: str
    not_shown: str
    measure: Callable[[Effort], tuple[list[Row], list[Any]]]

    def run(self, effort: Effort) -> None:
        """Measures, prints the table, writes the result."""
        described = machine.describe()
        print(f"\n{self.question}\n", flush=True)
        rows, details = self.measure(effort)
        print(table(rows))
        print(f"\nDoes not show: {self.not_shown}")
        result = {
            "question": self.question,
            "not_shown": self.not_shown,
            "command": f"python -m bench {self.name} --runs {effort.runs} --seconds {effort.seconds:g}",
            "machine": described,
            "rows": rows,
            "details": details,
        }
        RESULTS.mkdir(exist_ok=True)
        (RESULTS / f"{self.name}.json").write_text(json.dumps(result, indent=1) + "\n")


def under_load(load: Load, runs: int, *, flags: tuple[str, ...] = (), source: Path | None = None) -> Measured:
    """Runs one load several times, each against a fresh server with one worker. source: of another build than this one."""
    return Measured(load, [_one_run(load, flags, source) for _ in range(runs)])


def target_of(server: Server) -> list[str]:
    """The generator's options for a server."""
    return ["--host", server.host, "--port", str(server.port), "--auth", server.credential]


def split_cores() -> tuple[set[int], set[int]]:
    """Cores for the server and for the generator: the first, and the others; the same one on a one-core machine."""
    cores = sorted(os.sched_getaffinity(0))
    return {cores[0]}, set(cores[1:]) or {cores[0]}


def wrong(report: Report) -> int:
    """How many writes and deliveries did not go as they must; 0 in every run that counts."""
    names = (
        "deliveries_missing",
        "deliveries_extra",
        "listeners_mixed_up",
        "unacknowledged",
        "refused",
        "writes_unsent",
        "failed",
        "lost",
    )
    return sum(int(report[name]) for name in names)


def table(rows: list[Row]) -> str:
    """Rows as aligned text."""
    if not rows:
        return "(nothing measured)"
    lines = [list(rows[0])] + [
        [f"{value:,}" if isinstance(value, int | float) else str(value) for value in row.values()] for row in rows
    ]
    widths = [max(len(line[index]) for line in lines) for index in range(len(lines[0]))]
    return "\n".join("  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True)) for line in lines)


def main(benches: list[Bench]) -> None:
    """The command line: which questions, and how much effort."""
    names = [bench.name for bench in benches]
    parser = argparse.ArgumentParser(prog="python -m bench", description="Measure; see docs/performance.md.")
    parser.add_argument("questions", nargs="*", metavar="QUESTION", help=f"some of: {', '.join(names)} (all)")
    parser.add_argument("--runs", type=int, default=3, help="how often each load is run (3)")
    parser.add_argument("--seconds", type=float, default=10, help="measured seconds of a run (10)")
    parser.add_argument("--full", action="store_true", help="also the loads that need minutes or gigabytes")
    chosen = parser.parse_args()
    if unknown := set(chosen.questions) - set(names):
        parser.error(f"no question is called {', '.join(sorted(unknown))}; there are {', '.join(names)}")
    if machine.other_load() > 0.3:
        print("warning: the machine is busy with something else; the figures will show it", file=sys.stderr)
    with machine.ahead_of_others():
        for bench in benches:
            if bench.name in (chosen.questions or names):
                bench.run(Effort(chosen.runs, chosen.seconds, chosen.full))


def _one_run(load: Load, flags: tuple[str, ...], source: Path | None) -> Report:
    with Server(cores=split_cores()[0], flags=flags, source=source) as server:
        return watched_run(load, target_of(server), server.usage)


def watched_run(
    load: Load, target: list[str], usage: Callable[[], machine.Usage], *, processes: int = 1, driver: tuple[str, ...] = ()
) -> Report:
    """Runs a load once against what runs already; the report has what the server used meanwhile, by `usage`."""
    server_cores, generator_cores = split_cores()
    samples: dict[str, machine.Usage] = {"started": usage()}
    busy: dict[str, float] = {}

    def sample(moment: str) -> None:
        samples[moment] = usage()
        busy[moment] = machine.busy_seconds()

    # Spinning spares the server the cost of waking a halted core, which clients on other machines would not cause.
    spin = server_cores.isdisjoint(generator_cores) and processes <= len(generator_cores)
    report = generator.run(load, target, cores=generator_cores, processes=processes, spin=spin, watch=sample, driver=driver)
    spent = samples["measured"].cpu_seconds - samples["measuring"].cpu_seconds
    others = busy["measured"] - busy["measuring"] - spent - report["cpu_seconds"]
    # Below zero it shows the error of the kernel's tick accounting, which is therefore not cut off.
    report["others_cores"] = round(others / load.seconds, 3)
    report["server_cores"] = round(spent / load.seconds, 3)
    report["resident_bytes"] = samples["measured"].resident_bytes
    report["resident_bytes_before"] = samples["started"].resident_bytes
    report["resident_bytes_connected"] = samples["connected"].resident_bytes
    for name in generator.HISTOGRAMS:
        report[name].pop("buckets", None)
    return report


def _figure(run: Report, names: tuple[str, ...]) -> float:
    value: Any = run
    for name in names:
        value = value[name]
    return float(value)
