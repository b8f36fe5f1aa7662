"""The numbers of all workers as text for Prometheus, and as JSON for `meadowlark top`.

Each sample carries its worker; sums are left to the reader (`sum without (worker) (…)`), because a sum over workers that
are replaced is only right when rates are taken first. The text has fewer buckets than memory: the bounds 1, 2, 3 and 5 of
each decade; counts and sums are exact. The JSON has all of them. Both come in slices, since a worker's numbers take
milliseconds to write down.
Source: the Prometheus text format, version 0.0.4; docs/operating.md "Metrics".
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import orjson

from meadowlark.server.board import Published
from meadowlark.server.families import FAMILIES, Family
from meadowlark.server.histogram import BOUNDS

TEXT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_SHOWN = frozenset(digit * 10**power for digit in (1, 2, 3, 5) for power in range(4, 11)) | {BOUNDS[-1]}
"""Bounds from 10 µs to 100 s that the text has; each is one of histogram.BOUNDS."""


def text_slices(workers: Sequence[Published]) -> Iterator[bytes]:
    """All numbers in the text format."""
    for family in FAMILIES:
        yield f"# HELP {family.name} {family.meaning}\n# TYPE {family.name} {family.kind}\n".encode()
        for published in workers:
            yield "".join(line + "\n" for line in _lines(family, published)).encode()


def json_slices(workers: Sequence[Published]) -> Iterator[bytes]:
    """All numbers by worker: [{"worker", "published_at" (seconds), name: {label value: number}}, …].

    A histogram is {"bounds": seconds by bucket that is not empty, "counts", "sum"}; a bound of null is beyond all.
    """
    for index, published in enumerate(workers):
        yield (b"," if index else b"[") + orjson.dumps(_as_json(published))
    yield b"]"


def _lines(family: Family, published: Published) -> Iterator[str]:
    for value, cells in published.numbers.samples(family):
        labels = f'worker="{published.worker}"' + (f',{family.label}="{value}"' if family.label else "")
        if family.kind == "histogram":
            yield from _histogram_lines(family, labels, cells)
        else:
            yield f"{family.name}{{{labels}}} {cells[0]}"


def _histogram_lines(family: Family, labels: str, cells: Sequence[int]) -> Iterator[str]:
    count = 0
    for bound, bucket in zip(family.bounds, cells, strict=False):
        count += bucket
        if bound in _SHOWN or family.bounds is not BOUNDS:
            yield f'{family.name}_bucket{{{labels},le="{_seconds(bound)}"}} {count}'
    count += cells[-2]
    yield f'{family.name}_bucket{{{labels},le="+Inf"}} {count}'
    yield f"{family.name}_sum{{{labels}}} {_seconds(cells[-1])}"
    yield f"{family.name}_count{{{labels}}} {count}"


def _as_json(published: Published) -> dict[str, Any]:
    numbers: dict[str, Any] = {"worker": published.worker, "published_at": published.published_at / 1e9}
    for family in FAMILIES:
        numbers[family.name] = {
            value: _histogram_as_json(family, cells) if family.kind == "histogram" else cells[0]
            for value, cells in published.numbers.samples(family)
        }
    return numbers


def _histogram_as_json(family: Family, cells: Sequence[int]) -> dict[str, Any]:
    bounds = (*(bound / 1e9 for bound in family.bounds), None)
    filled = [(bound, count) for bound, count in zip(bounds, cells[:-1], strict=True) if count]
    return {"bounds": [bound for bound, _ in filled], "counts": [count for _, count in filled], "sum": cells[-1] / 1e9}


def _seconds(nanoseconds: int) -> str:
    """Exact, without an exponent where it can be read without one: 0.00001, 0.25, 100."""
    return f"{nanoseconds / 1e9:.9f}".rstrip("0").rstrip(".")
