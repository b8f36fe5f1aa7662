"""The numbers of a worker, flattened and named again."""

from __future__ import annotations

from meadowlark.errors import Code
from meadowlark.journal import Counters
from meadowlark.server.families import CELL_COUNT, FAMILIES, JOURNAL_SYNC, Connected, Family, Operation, Transport
from meadowlark.server.histogram import BOUNDS
from meadowlark.server.metrics import Metrics, Numbers


def family(field: str) -> Family:
    return next(family for family in FAMILIES if family.field == field)


def samples(metrics: Metrics, field: str) -> dict[str, list[int]]:
    return {value: list(cells) for value, cells in Numbers(metrics.cells()).samples(family(field))}


def test_names_are_prometheus_names_and_each_is_there_once() -> None:
    names = [family.name for family in FAMILIES]
    assert len(set(names)) == len(names)
    for each in FAMILIES:
        assert each.name.startswith("meadowlark_")
        assert each.name.endswith({"counter": "_total", "histogram": "_seconds", "gauge": ""}[each.kind])


def test_how_many_cells_there_are_depends_on_the_table_alone() -> None:
    metrics = Metrics()
    assert len(metrics.cells()) == CELL_COUNT
    metrics.operation[Operation.GET].record(10**12)
    metrics.take_journal(Counters())
    assert len(metrics.cells()) == CELL_COUNT


def test_every_number_comes_back_under_its_own_name() -> None:
    metrics = Metrics()
    plain = [each.field for each in FAMILIES if each.kind != "histogram" and each.values == ("",)]
    for number, field in enumerate(plain):
        setattr(metrics, field, number + 1000)
    for number, field in enumerate(plain):
        assert samples(metrics, field) == {"": [number + 1000]}


def test_labelled_numbers_come_back_by_label() -> None:
    metrics = Metrics()
    metrics.refuse(Code.STALE)
    metrics.refuse(Code.STALE)
    metrics.received_messages[Transport.HTTP] = 7
    metrics.connections[Connected.STREAM] = 3
    assert samples(metrics, "refused") == {code.value: [2 * (code is Code.STALE)] for code in Code}
    assert samples(metrics, "received_messages") == {"realtime": [0], "http": [7]}
    assert samples(metrics, "connections") == {"realtime": [0], "http": [0], "stream": [3], "long_poll": [0]}


def test_histograms_come_back_with_their_sum_behind() -> None:
    metrics = Metrics()
    metrics.operation[Operation.GET].record(BOUNDS[3])
    metrics.operation[Operation.GET].record(BOUNDS[3])
    got = samples(metrics, "operation")
    assert list(got) == [operation.name.lower() for operation in Operation]
    assert (got["get"][3], sum(got["get"][:-1]), got["get"][-1]) == (2, 2, 2 * BOUNDS[3])
    assert not any(got["set"])


def test_the_journals_counters_are_taken_over_with_their_own_buckets() -> None:
    metrics, counters = Metrics(), Counters()
    counters.count(records=3, size=100, seconds=0.003)
    metrics.take_journal(counters)
    assert samples(metrics, "journal_records") == {"": [3]}
    cells = samples(metrics, "journal_sync")[""]
    bucket = cells.index(1)
    assert JOURNAL_SYNC.bounds[bucket - 1] < 3_000_000 <= JOURNAL_SYNC.bounds[bucket]
    assert cells[-1] == 3_000_000
