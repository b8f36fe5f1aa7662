"""What does one record of a packed map cost?

The tree alone: a flat map of 580,000 small records, 51 MB of JSON, decoded straight into pages; then records are read and
written at random. The first touch of a page decodes it; a hot one is a dict. What it does not show: the same over sockets.

    python -m bench.pages
"""

from __future__ import annotations

import gc
import random
import time
from collections.abc import Callable, Generator
from typing import Any

from bench.harness import Row
from bench.memory import record_key, records
from bench.script import show
from meadowlark.tree import Tree, child_count, decode_packed_slices, encode_slices, pack_slices, unpacked

TOUCHES = 2_000


def main() -> None:
    gc.disable()  # As in a worker.
    body = records()
    rows: list[Row] = []
    steps, seconds, root = _finish(decode_packed_slices(body))
    rows.append(_row("decode into pages", [seconds], f"{len(body) / 1e6:.0f} MB in {steps:,} steps"))
    tree = Tree(root)
    count = child_count(tree.root)
    numbers = random.Random(3)
    keys = [record_key(index) for index in numbers.sample(range(count), TOUCHES)]
    rows.append(_row("get, cold page", _each(keys, lambda key: tree.get((key,)))))
    rows.append(_row("get, hot page", _each([keys[0]] * TOUCHES, lambda key: tree.get((key,)))))
    keys = [record_key(index) for index in numbers.sample(range(count), TOUCHES)]
    rows.append(_row("set a field, cold page", _each(keys, lambda key: tree.set((key, "score"), 1))))
    rows.append(_row("set a field, hot page", _each([keys[0]] * TOUCHES, lambda key: tree.set((key, "score"), 1))))
    rows.append(_row("add a record, cold page", _each(keys, lambda key: tree.set((key + "x",), {"name": "new"}))))
    steps, seconds, _ = _finish(_pieces(tree, with_priorities=True))
    rows.append(_row("export all", [seconds], f"{steps:,} slices"))
    steps, seconds, _ = _finish(_pieces(tree, with_priorities=False))
    rows.append(_row("plain form of all", [seconds], f"{steps:,} slices; the second time it is that of the export"))
    steps, seconds, _ = _finish(pack_slices(unpacked(tree.root)))
    rows.append(_row("pack dicts", [seconds], f"{steps:,} steps"))
    show(__doc__, rows)


def _pieces(tree: Tree, *, with_priorities: bool) -> Generator[None, None, None]:
    for _ in encode_slices(tree.root, with_priorities=with_priorities):
        yield


def _finish(steps: Generator[None, None, Any]) -> tuple[int, float, Any]:
    count, started = 1, time.process_time()
    while True:
        try:
            next(steps)
        except StopIteration as stop:
            return count, time.process_time() - started, stop.value
        count += 1


def _each(keys: list[str], touch: Callable[[str], Any]) -> list[float]:
    """CPU seconds of each touch, in order of size."""
    taken = []
    for key in keys:
        started = time.process_time()
        touch(key)
        taken.append(time.process_time() - started)
    return sorted(taken)


def _row(what: str, seconds: list[float], note: str = "") -> Row:
    def at(share: float) -> float:
        return round(seconds[int((len(seconds) - 1) * share)] * 1e6, 1)

    return {"what": what, "CPU µs p50": at(0.5), "p99": at(0.99), "max": at(1), "note": note}


if __name__ == "__main__":
    main()
