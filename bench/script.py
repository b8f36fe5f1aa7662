"""Benches without a server: a program of its own each, because they turn the collector off and fill memory.

Such a program collects rows and ends with `show(rows)`. `python -m bench.tree` prints them; as one of the questions of
`python -m bench` it runs in a fresh process on one core, and hands its rows over as JSON.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import meadowlark
from bench import machine
from bench.harness import Bench, Effort, Row, split_cores, table

AS_JSON = "BENCH_ROWS_AS_JSON"
SECONDS_MAX = 600.0


def show(doc: str | None, rows: list[Row]) -> None:
    """Prints the rows for people, or for `python -m bench`."""
    if AS_JSON in os.environ:
        print(json.dumps(rows))
    else:
        print((doc or "").partition("\n")[0] + "\n\n" + table(rows))


def bench_of(name: str, question: str, not_shown: str) -> Bench:
    """The program bench/<name>.py as one of the questions. It repeats things itself, so the effort does not matter."""
    return Bench(name=name, question=question, not_shown=not_shown, measure=_measurer(name))


def _measurer(name: str) -> Callable[[Effort], tuple[list[Row], list[Any]]]:
    def measure(effort: Effort) -> tuple[list[Row], list[Any]]:
        environment = {**os.environ, AS_JSON: "1", "PYTHONPATH": f"{Path(meadowlark.__file__).parents[1]}:{machine.ROOT}"}
        # The journal has a thread of its own on the worker's core, so one core is what a worker has as well.
        with machine.pinned(split_cores()[0]):
            done = subprocess.run(
                [sys.executable, "-m", f"bench.{name}"],
                cwd=machine.cache_folder("bench"),
                env=environment,
                stdout=subprocess.PIPE,
                text=True,
                timeout=SECONDS_MAX,
                check=True,
            )
        return json.loads(done.stdout), []

    return measure
