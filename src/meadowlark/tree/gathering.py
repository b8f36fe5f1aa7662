"""The children of one map on their way into pages while they are still coming, in whatever order.

Those that come in key order go straight into pages. The others wait, and when they are many are sorted and made a run: bytes as
pages have them, so there never are many dicts. In the end the runs are merged, or, if few came out of order, these are put into
the pages one by one. A key may come again, and None may come for what came before: the last counts. One that came again is never
in order, so among the runs that came in order are the oldest.
Does not know: where children come from (decode_packed.py, prepare_packed.py).
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from heapq import merge
from itertools import chain
from typing import Any

from meadowlark.tree.node import Node
from meadowlark.tree.order import key_order
from meadowlark.tree.packing import ENTRY_COST, STEP_WEIGHT, PagesBuilder, pack_slices
from meadowlark.tree.pages import PAGE_BYTES_MAX, is_heavy
from meadowlark.tree.paths import PRIORITY
from meadowlark.tree.weight import weight_up_to

HELD_WEIGHT = 4 * PAGE_BYTES_MAX
"""Bytes that a map may hold as a dict before its children are gathered."""

RUN_WEIGHT = 524_288
"""Bytes out of order that wait at a time. A page of each run is decoded while runs are merged."""

_FEW = 8
"""One in so many children may be out of order before all are sorted."""

_PUT_STEP = 10
_DECODE_STEP = 10

_Steps = Generator[None, None, None]


class Gathering:
    """One map that goes on."""

    __slots__ = ("_budget", "_builder", "_last", "_late", "_late_weight", "_runs")

    def __init__(self) -> None:
        self._builder = PagesBuilder()
        self._last = ""
        """The order of the last key in `_builder`."""
        self._late: dict[str, tuple[str, Node | None]] = {}
        """Children out of order, with their keys, by the orders of these."""
        self._late_weight = 0
        self._runs: list[PagesBuilder] = []
        """Earlier ones, each in order."""
        self._budget = STEP_WEIGHT

    def take(self, container: dict[str, Any], keys: list[str]) -> _Steps:
        """Takes the children at `keys` out of `container`; a child may be None."""
        for key in keys:
            child = container.pop(key)
            if type(child) is dict and is_heavy(child):
                child = yield from pack_slices(child)
            self._budget -= ENTRY_COST + self._add(key, child)
            del child
            if self._late_weight > RUN_WEIGHT:
                yield from self._end_run()
            if self._budget < 0:
                self._budget = STEP_WEIGHT
                yield

    def finish(self, priority: Any) -> Generator[None, None, Node | None]:
        """The map of all that was taken, with that priority, or None if nothing is left."""
        late, builder = self._late, self._builder
        if not self._runs and len(late) * _FEW < builder.count and builder.is_worth_it:
            pages = yield from builder.finish(priority)
            for done, (key, child) in enumerate(late.values()):
                if child is not None:
                    pages.put(key, child, None)
                elif pages.get(key) is not None:
                    pages.remove(key, None)
                if done % _PUT_STEP == 0:
                    yield
            return pages
        if late:
            yield from self._end_run()
        if self._runs:
            builder = yield from _merged([run for run in (builder, *self._runs) if run.count])
        if builder.is_worth_it:
            return (yield from builder.finish(priority))
        node = dict(builder.emptying())
        if node and priority is not None:
            node[PRIORITY] = priority
        return node or None

    def _add(self, key: str, child: Node | None) -> int:
        order = key_order(key)
        if order <= self._last:
            weight = len(key) + weight_up_to(child, PAGE_BYTES_MAX)
            self._late[order] = (key, child)
            self._late_weight += ENTRY_COST + weight
            return weight
        if child is None:
            return 0  # What is not in order has not been there.
        self._last = order
        return self._builder.add(order, key, child)

    def _end_run(self) -> _Steps:
        late, self._late, self._late_weight = self._late, {}, 0
        run = PagesBuilder()
        orders = sorted(late)
        yield
        budget = STEP_WEIGHT
        for order in orders:
            key, child = late.pop(order)
            budget -= ENTRY_COST + run.add(order, key, child)
            if budget < 0:
                budget = STEP_WEIGHT
                yield
        run.end()
        self._runs.append(run)


def _merged(runs: list[PagesBuilder]) -> Generator[None, None, PagesBuilder]:
    """One of all; where a key is in several, that of the last run counts."""
    streams = []
    for number, run in enumerate(runs):
        stream = _numbered(run, -number)
        streams.append(chain([next(stream)], stream))  # Else the first pages of all would be decoded in one step.
        if number % _DECODE_STEP == 0:
            yield
    made = PagesBuilder()
    behind = ""
    budget = STEP_WEIGHT
    for order, _, key, child in merge(*streams):
        if order == behind:
            continue
        behind = order
        budget -= ENTRY_COST
        if child is not None:
            budget -= made.add(order, key, child)
        if budget < 0:
            budget = STEP_WEIGHT
            yield
    return made


def _numbered(run: PagesBuilder, number: int) -> Iterator[tuple[str, int, str, Node | None]]:
    for key, child in run.emptying():
        yield key_order(key), number, key, child
