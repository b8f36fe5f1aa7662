"""How long does a durable append take?

The journal alone, as a worker uses it: a thread that appends, the committer's thread, a real folder on a disk, 200-byte bodies.
First what the loop pays for each append. Then the time from append to "durable", with one record at a time, and with records
due at a fixed rate whatever the disk does (the time counts from when a record was due). What it does not show: a loop busy with
other things, which then takes longer to hear that a record is durable; other programs that sync on the same disk.

    python -m bench.journal [FOLDER]
"""

from __future__ import annotations

import gc
import queue
import sys
import tempfile
import time
from typing import Any

from bench.harness import Row
from bench.script import show
from meadowlark.journal import Journal, reshard
from meadowlark.server.disk import Disk

BODY = b'[["w","/rooms/42/messages/-Nabcdefghijklmnopqr",{"text":"%s"}]]' % (b"x" * 136)
APPENDS = 100_000
ROUNDS = 2_000
SECONDS = 5.0
RATES = (500, 2_000, 10_000, 50_000)
FIGURES = ("p50 ms", "p99 ms", "max ms", "records a group")


class Bench:
    """A journal and the calls that its thread has made; `run_calls` plays the loop."""

    def __init__(self, data: str) -> None:
        self.calls: queue.SimpleQueue[tuple[Any, ...]] = queue.SimpleQueue()
        self.durable: list[Any] = []
        self.sequence = 0
        folder = f"{data}/{reshard(Disk(), data, 1, lambda name, workers: 0)}/0"
        self.journal = Journal(
            Disk(),
            folder,
            worker=0,
            wake=lambda *call: self.calls.put(call),
            on_durable=self._note,
            on_failed=lambda waiters, error: sys.exit(str(error)),
            clock=time.perf_counter,
        )
        self.journal.open()
        self.journal.start()
        self.latencies: list[float] = []

    def _note(self, waiters: list[float]) -> None:
        now = time.perf_counter()
        self.latencies += [now - due for due in waiters]

    def append(self, due: float) -> None:
        self.sequence += 1
        self.journal.append("bench", self.sequence, BODY, due)

    def run_calls(self, seconds: float) -> None:
        """Waits at most so long for a call, and runs all there are."""
        try:
            callback, *arguments = self.calls.get(timeout=seconds)
        except queue.Empty:
            return
        callback(*arguments)

    def settle(self) -> list[float]:
        """Everything is durable; the latencies since the last time."""
        self.journal.drain()
        while not self.calls.empty():
            self.run_calls(0)
        taken, self.latencies = sorted(self.latencies), []
        return taken


def main() -> None:
    gc.disable()  # As in a worker.
    with tempfile.TemporaryDirectory(dir=sys.argv[1] if len(sys.argv) > 1 else ".") as data:
        bench = Bench(data)
        rows: list[Row] = [
            {"load": "append alone", "caller pays µs": round(append_cost(bench), 2), **dict.fromkeys(FIGURES, "")},
            report(bench, "one at a time", one_at_a_time),
            *(report(bench, f"{rate:,} a second", lambda bench, rate=rate: at_rate(bench, rate)) for rate in RATES),
        ]
        bench.journal.close()
    show(__doc__, rows)


def append_cost(bench: Bench) -> float:
    """Microseconds of CPU that one append takes on the caller's thread, while the committer's thread works beside it."""
    append, first = bench.journal.append, bench.sequence + 1
    bench.sequence += APPENDS
    started_at = time.thread_time()
    for sequence in range(first, first + APPENDS):
        append("bench", sequence, BODY, 0.0)
    taken = time.thread_time() - started_at
    bench.settle()
    return taken / APPENDS * 1e6


def one_at_a_time(bench: Bench) -> None:
    for _ in range(ROUNDS):
        bench.append(time.perf_counter())
        bench.run_calls(10.0)


def at_rate(bench: Bench, rate: int) -> None:
    started_at = time.perf_counter()
    count = 0
    while (now := time.perf_counter()) < started_at + SECONDS:
        while count < (now - started_at) * rate:
            bench.append(started_at + count / rate)
            count += 1
        bench.run_calls(max(0.0, started_at + count / rate - time.perf_counter()))


def report(bench: Bench, name: str, load: Any) -> Row:
    counters = bench.journal.counters
    before = counters.groups, counters.records
    load(bench)
    taken = bench.settle()
    p50, p99, most = (taken[min(int(len(taken) * part), len(taken) - 1)] * 1000 for part in (0.5, 0.99, 1.0))
    records = (counters.records - before[1]) / max(1, counters.groups - before[0])
    figures = (round(p50, 2), round(p99, 2), round(most, 2), round(records, 1))
    return {"load": name, "caller pays µs": "", **dict(zip(FIGURES, figures, strict=True))}


if __name__ == "__main__":
    main()
