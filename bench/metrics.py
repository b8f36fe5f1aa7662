"""What do the metrics cost?

    PYTHONPATH=src python bench/metrics.py

Prints microseconds for what a message, a loop turn and an acknowledgement add, and what publishing takes once a second, the
best of many short rounds, without the collector, as in a worker. A write that has a turn for itself pays for one turn and one
acknowledgement. What it does not show: the additions to plain counters, which are scattered over the hot path (2 to 3 µs for
a write to ten listeners), and cold caches.
"""

from __future__ import annotations

import gc
import os
import platform
import timeit
from collections.abc import Callable

from meadowlark.server.board import Board, make_board
from meadowlark.server.exposition import text_slices
from meadowlark.server.families import Operation
from meadowlark.server.stopwatch import Stopwatch

ROUNDS = 200
CALLS = 1000
WORKERS = 4

STOPWATCH = Stopwatch(slow_seconds=60.0)
METRICS = STOPWATCH.metrics
SET = Operation.SET


def main() -> None:
    gc.disable()
    print(f"Python {platform.python_version()}, {platform.machine()}")
    show("a message: begin, finish", message)
    show("a turn with it: stop, record it and its push", turn)
    show("an acknowledgement: stop, record it", acknowledgement)
    show("a turn without anything: stop", STOPWATCH.stop)
    show("one record into a histogram", lambda: METRICS.loop_lag.record(1_234_567))
    descriptor = make_board(WORKERS)
    board = Board(descriptor)
    os.close(descriptor)
    show("once a second: publish all numbers", lambda: board.publish(0, METRICS.cells(), 1), calls=20)
    for worker in range(WORKERS):
        board.publish(worker, METRICS.cells(), 1)
    show(f"a scrape of {WORKERS} workers, in slices", lambda: list(text_slices(board.read(1))), calls=1)
    show("  of which reading the board", lambda: board.read(1), calls=20)


def message() -> None:
    now = STOPWATCH.clock()
    STOPWATCH.is_stopped_later = True
    STOPWATCH.begin(now)
    STOPWATCH.finished(None, now, "demo", None, 85)


def turn() -> None:
    now = STOPWATCH.clock()
    STOPWATCH.is_stopped_later = True
    STOPWATCH.begin(now)
    STOPWATCH.push_count += 1
    STOPWATCH.finished(SET, now, "demo", None, 85)
    STOPWATCH.stop()


def acknowledgement() -> None:
    STOPWATCH.is_stopped_later = True
    STOPWATCH.acknowledge([(None, None, None, 5)])
    STOPWATCH.stop()


def show(name: str, call: Callable[[], object], *, calls: int = CALLS) -> None:
    best = min(timeit.repeat(call, number=calls, repeat=ROUNDS if calls > 1 else 20)) / calls
    print(f"{name:48}{best * 1e6:8.2f} µs")


if __name__ == "__main__":
    main()
