"""Two readings become a table."""

from __future__ import annotations

import json
from typing import Any

import orjson
import pytest

from meadowlark.errors import WorldError
from meadowlark.server import monitor
from meadowlark.server.board import Published
from meadowlark.server.exposition import json_slices
from meadowlark.server.families import Connected, Operation, Transport
from meadowlark.server.metrics import Metrics, Numbers
from meadowlark.server.top import Line, Reading, lines, table

MILLISECOND = 1_000_000


def reading(*workers: tuple[float, Metrics]) -> list[Reading]:
    """What a server answers when its workers have published these numbers at these seconds."""
    published = [
        Published(index, int(seconds * 1e9), Numbers(metrics.cells())) for index, (seconds, metrics) in enumerate(workers)
    ]
    answer: list[Reading] = orjson.loads(b"".join(json_slices(published)))
    return answer


def test_rates_are_of_the_time_between_a_worker_s_own_publications() -> None:
    one, two = Metrics(), Metrics()
    before = reading((10.0, one), (10.5, two))
    one.received_messages[Transport.REALTIME], one.received_messages[Transport.HTTP] = 150, 50
    one.deliveries, two.deliveries = 2000, 300
    shown = lines(before, reading((12.0, one), (11.5, two)))
    assert [line.worker for line in shown] == [0, 1, None]
    assert [line.messages_per_second for line in shown] == [100, 0, 100]
    assert [line.deliveries_per_second for line in shown] == [1000, 300, 1300]


def test_quantiles_are_of_what_happened_between_and_of_all_workers_together() -> None:
    one, two = Metrics(), Metrics()
    one.operation[Operation.GET].record(5_000 * MILLISECOND)
    before = reading((1.0, one), (1.0, two))
    for _ in range(98):
        one.operation[Operation.SET].record(MILLISECOND)
    for _ in range(2):
        two.operation[Operation.GET].record(20 * MILLISECOND)
    first, second, both = lines(before, reading((2.0, one), (2.0, two)))
    assert (first.internal_p50, first.internal_p99) == (1.0, 1.0)
    assert (second.internal_p50, second.internal_p99) == (20.0, 20.0)
    assert (both.internal_p50, both.internal_p99) == (1.0, 20.0)
    assert (both.acknowledged_p50, both.loop_lag_p99) == (None, None)


def test_what_is_now_is_that_of_the_second_reading() -> None:
    metrics = Metrics()
    before = reading((1.0, metrics))
    metrics.connections[Connected.REALTIME], metrics.connections[Connected.HTTP], metrics.connections[Connected.STREAM] = 5, 3, 2
    metrics.outbox_bytes, metrics.memory_bytes = 1234, 56_000_000
    (line,) = lines(before, reading((2.0, metrics)))
    assert (line.up, line.connections, line.outbox_bytes, line.memory_bytes) == (1, 8, 1234, 56_000_000)


def test_a_worker_that_was_replaced_counts_from_nothing() -> None:
    old, new = Metrics(), Metrics()
    old.deliveries, new.deliveries = 1_000_000, 40
    for _ in range(10):
        old.operation[Operation.SET].record(MILLISECOND)
    new.operation[Operation.SET].record(2 * MILLISECOND)
    (line,) = lines(reading((1.0, old)), reading((2.0, new)))
    assert (line.deliveries_per_second, line.internal_p50) == (40, 2.0)


def test_a_worker_that_published_nothing_new_has_no_rate() -> None:
    metrics = Metrics()
    (line,) = lines(reading((1.0, metrics)), reading((1.0, metrics)))
    assert (line.deliveries_per_second, line.internal_p99) == (0, None)


def test_a_table_is_aligned_and_says_what_is_not_known() -> None:
    metrics = Metrics()
    before = reading((1.0, metrics), (1.0, Metrics()))
    metrics.operation[Operation.SET].record(300_000)
    metrics.outbox_bytes, metrics.memory_bytes = 999, 56_400_000
    shown = lines(before, reading((2.0, metrics), (2.0, Metrics())))
    shown[1].up = 0
    text = table(shown).splitlines()
    assert len({len(line) for line in text}) == 1
    assert [line.split()[0] for line in text] == ["worker", "0", "1", "all"]
    assert "0.3 / 0.3" in text[1]
    assert text[1].endswith("999 B   56 MB")
    assert "1 (down)" in text[2]
    assert "- / -" in text[2]


# The loop that prints


class Readings:
    """Answers in order; an error is raised. After the last, the person presses Ctrl-C."""

    def __init__(self, *answers: list[Reading] | WorldError) -> None:
        self.answers = list(answers)

    def __call__(self) -> list[Reading]:
        if not self.answers:
            raise KeyboardInterrupt
        answer = self.answers.pop(0)
        if isinstance(answer, WorldError):
            raise answer
        return answer


def test_once_prints_one_table_of_two_readings(capsys: Any) -> None:
    monitor.watch(Readings(*[reading((1.0, Metrics()))] * 2), interval=0, once=True, as_json=False)
    assert capsys.readouterr().out.count("deliveries/s") == 1


def test_json_is_a_line_for_each_table(capsys: Any) -> None:
    monitor.watch(Readings(*[reading((1.0, Metrics()))] * 4), interval=0, once=False, as_json=True)
    printed = capsys.readouterr().out.splitlines()
    assert len(printed) == 3
    assert [set(line) for line in json.loads(printed[0])] == [set(Line.__struct_fields__)]


def test_a_server_that_does_not_answer_is_asked_again_and_compared_with_itself_only(capsys: Any) -> None:
    answers: list[Any] = [reading((1.0, Metrics())), WorldError("it is away"), *[reading((2.0, Metrics()))] * 2]
    monitor.watch(Readings(*answers), interval=0, once=False, as_json=False)
    out = capsys.readouterr().out
    assert "it is away" in out
    assert out.count("deliveries/s") == 1


def test_once_ends_with_the_error() -> None:
    with pytest.raises(WorldError, match="it is away"):
        monitor.watch(Readings(WorldError("it is away")), interval=0, once=True, as_json=False)
