"""Numbers of several workers in shared memory, as each of them sees it."""

from __future__ import annotations

import os
from array import array
from collections.abc import Iterator

import pytest

from meadowlark.server.board import UP_NANOSECONDS, Board, Published, make_board
from meadowlark.server.families import FAMILIES
from meadowlark.server.metrics import Metrics

NOW = 10_000_000_000


@pytest.fixture
def boards() -> Iterator[list[Board]]:
    """What the supervisor and two workers have of one board."""
    descriptor = make_board(2)
    made = [Board(descriptor) for _ in range(3)]
    os.close(descriptor)
    yield made
    for board in made:
        board.close()


def numbers(published: Published) -> dict[str, int]:
    """The unlabelled numbers, by field."""
    plain = [family for family in FAMILIES if family.kind != "histogram" and family.values == ("",)]
    return {family.field: cells[0] for family in plain for _, cells in published.numbers.samples(family)}


def cells(deliveries: int) -> array[int]:
    metrics = Metrics()
    metrics.deliveries = deliveries
    return metrics.cells()


def test_who_has_not_published_is_not_up_and_has_nothing(boards: list[Board]) -> None:
    assert [any(numbers(each).values()) for each in boards[1].read(NOW)] == [False, False]


def test_what_one_worker_publishes_every_process_reads(boards: list[Board]) -> None:
    boards[1].publish(0, cells(7), NOW)
    boards[2].publish(1, cells(9), NOW)
    for board in boards:
        assert [numbers(each)["deliveries"] for each in board.read(NOW)] == [7, 9]
        assert [(each.worker, each.published_at) for each in board.read(NOW)] == [(0, NOW), (1, NOW)]


def test_the_last_numbers_of_a_worker_that_publishes_no_more_stay_and_it_is_not_up(boards: list[Board]) -> None:
    boards[1].publish(0, cells(7), NOW)
    assert numbers(boards[2].read(NOW + UP_NANOSECONDS)[0])["up"] == 1
    late = numbers(boards[2].read(NOW + UP_NANOSECONDS + 1)[0])
    assert (late["up"], late["deliveries"]) == (0, 7)


def test_restarts_are_the_supervisors_and_outlive_a_worker(boards: list[Board]) -> None:
    boards[1].publish(0, cells(7), NOW)
    boards[0].count_restart(0)
    boards[0].count_restart(0)
    boards[1].publish(0, cells(8), NOW)
    assert [numbers(each)["restarts"] for each in boards[2].read(NOW)] == [2, 0]


def test_a_worker_that_died_while_publishing_is_read_all_the_same_and_its_successor_publishes(boards: list[Board]) -> None:
    boards[1].publish(0, cells(7), NOW)
    boards[1]._words[1] = 5
    assert numbers(boards[2].read(NOW)[0])["deliveries"] == 7
    boards[1].publish(0, cells(8), NOW)
    assert boards[1]._words[1] % 2 == 0
    assert numbers(boards[2].read(NOW)[0])["deliveries"] == 8
