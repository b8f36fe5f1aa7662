"""The text that Prometheus reads, and the JSON that `top` reads."""

from __future__ import annotations

import math
import re

import orjson

from meadowlark.errors import Code
from meadowlark.server.board import Published
from meadowlark.server.exposition import json_slices, text_slices
from meadowlark.server.families import FAMILIES, Operation, Transport
from meadowlark.server.metrics import Metrics, Numbers

_SAMPLE = re.compile(r'([a-z_]+)\{((?:[a-z_]+="[^"\\\n]*",?)+)\} (\S+)')
_LABEL = re.compile(r'([a-z_]+)="([^"]*)"')


def published(*workers: Metrics) -> list[Published]:
    return [Published(index, 1_500_000_000, Numbers(metrics.cells())) for index, metrics in enumerate(workers)]


def as_text(workers: list[Published]) -> bytes:
    return b"".join(text_slices(workers))


def parsed(text: bytes) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """Every sample of a text in the format, by name and labels; fails for what is none."""
    lines = text.decode().split("\n")
    assert lines.pop() == ""
    samples: dict[tuple[str, frozenset[tuple[str, str]]], float] = {}
    kind = name = ""
    for line in lines:
        if line.startswith("# HELP "):
            name = line.split(" ")[2]
        elif line.startswith("# TYPE "):
            assert line.split(" ")[2] == name, "the type follows the help"
            kind = line.split(" ")[3]
            assert kind in ("counter", "gauge", "histogram")
        else:
            match = _SAMPLE.fullmatch(line)
            assert match, line
            suffixes = ("_bucket", "_sum", "_count") if kind == "histogram" else ("",)
            assert match[1] in [name + suffix for suffix in suffixes], "samples follow their type"
            key = (match[1], frozenset(_LABEL.findall(match[2])))
            assert key not in samples, "each sample is there once"
            samples[key] = float(match[3])
    return samples


def labels(**named: str) -> frozenset[tuple[str, str]]:
    return frozenset(named.items())


def test_every_family_is_there_for_every_worker() -> None:
    samples = parsed(as_text(published(Metrics(), Metrics())))
    for family in FAMILIES:
        name = family.name + ("_count" if family.kind == "histogram" else "")
        for worker in ("0", "1"):
            for value in family.values:
                assert (name, frozenset([("worker", worker)] + [(family.label, value)] * bool(family.label))) in samples


def test_numbers_are_their_workers() -> None:
    one, two = Metrics(), Metrics()
    one.deliveries, two.deliveries = 7, 8
    two.refuse(Code.TOO_BIG)
    two.received_messages[Transport.HTTP] = 5
    samples = parsed(as_text(published(one, two)))
    assert samples["meadowlark_deliveries_total", labels(worker="0")] == 7
    assert samples["meadowlark_deliveries_total", labels(worker="1")] == 8
    assert samples["meadowlark_refused_total", labels(worker="1", code="too_big")] == 1
    assert samples["meadowlark_received_messages_total", labels(worker="1", transport="http")] == 5


def test_a_histograms_buckets_are_cumulative_and_end_with_all() -> None:
    metrics = Metrics()
    for nanoseconds in (1_000, 300_000, 300_001, 4_000_000, 10**12):
        metrics.operation[Operation.GET].record(nanoseconds)
    samples = parsed(as_text(published(metrics)))
    buckets = {
        float(dict(key)["le"]): count
        for (name, key), count in samples.items()
        if name == "meadowlark_operation_seconds_bucket" and dict(key)["operation"] == "get"
    }
    assert [buckets[le] for le in (0.00001, 0.0003, 0.0005, 0.003, 0.005, 100.0, math.inf)] == [1, 2, 3, 3, 4, 4, 5]
    assert list(buckets.values()) == sorted(buckets.values())
    assert samples["meadowlark_operation_seconds_count", labels(worker="0", operation="get")] == 5
    assert samples["meadowlark_operation_seconds_sum", labels(worker="0", operation="get")] == 1000.004601001


def test_the_bounds_of_the_text_are_round() -> None:
    text = as_text(published(Metrics())).decode()
    bounds = list(dict.fromkeys(re.findall(r'meadowlark_loop_lag_seconds_bucket\{worker="0",le="([^"]+)"', text)))
    assert bounds[:5] == ["0.00001", "0.00002", "0.00003", "0.00005", "0.0001"]
    assert bounds[-3:] == ["50", "100", "+Inf"]


def test_json_has_every_bucket_that_is_not_empty() -> None:
    metrics = Metrics()
    metrics.operation[Operation.GET].record(310_000)
    metrics.operation[Operation.GET].record(10**12)
    (worker,) = orjson.loads(b"".join(json_slices(published(metrics))))
    assert (worker["worker"], worker["published_at"]) == (0, 1.5)
    assert worker["meadowlark_operation_seconds"]["get"] == {"bounds": [0.000325, None], "counts": [1, 1], "sum": 1000.00031}
    assert worker["meadowlark_deliveries_total"] == {"": 0}
    assert set(worker) == {family.name for family in FAMILIES} | {"worker", "published_at"}
