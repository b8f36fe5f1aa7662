"""Transactions of the SDK: compare and set by hash, again until nobody was faster."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.conformance.conftest import Told, settings_for
from tests.harness import Script, Server, fresh_name

pytestmark = pytest.mark.slow
both_ways = pytest.mark.parametrize("how", ["emulator", "url"])


@pytest.fixture
def told(perform: Callable[..., Told], how: str) -> Told:
    return perform("transactions.mjs", how)


@both_ways
def test_on_nothing_it_runs_once(told: Told) -> None:
    assert told("on_nothing") == [["ran with", None], ["result", True, 1], ["b.value", 1]]


@both_ways
def test_on_a_value_never_seen_it_starts_from_null_and_is_corrected(told: Told) -> None:
    assert told("on_a_value_never_seen_starts_from_null") == [
        ["ran with", None],
        ["ran with", 41],
        ["result", True, 42],
        ["b.value", 42],
    ]


@both_ways
def test_on_a_known_value_it_runs_once(told: Told) -> None:
    assert told("on_a_known_value_runs_once") == [["ran with", 41], ["result", True, 42]]


@both_ways
def test_undefined_aborts_and_changes_nothing(told: Told) -> None:
    assert told("undefined_aborts") == [["result", False, "taken"], ["b.value", "taken"]]


@both_ways
def test_it_may_remove(told: Told) -> None:
    assert told("may_remove") == [["result", True, None], ["b.value", None]]


@both_ways
def test_not_applied_locally_only_the_outcome_shows(told: Told) -> None:
    assert told.values("not_applied_locally_shows_only_the_outcome", "a.value") == [1, 2]


@both_ways
def test_applied_locally_the_guess_shows_once(told: Told) -> None:
    assert told.values("applied_locally_shows_its_guess", "a.value") == [1, 2]


@both_ways
def test_a_set_over_it_wins(told: Told) -> None:
    outcome, value = told("a_set_over_it_cancels_it")
    assert outcome in (["result", True, "transaction"], ["error", "set"])
    assert value == ["value", "set"]


@both_ways
def test_it_takes_server_values(told: Told) -> None:
    ((_, committed, before, estimate, own, others, after, offset),) = told("takes_server_values")
    assert committed
    # The SDK resolves with its own clock and the server's offset, our client tells what the server made of it.
    slack = 100 + abs(offset)
    assert before - slack <= estimate <= after + slack
    assert own == others
    assert before - 5 <= own <= after + 5


@both_ways
def test_the_priority_is_part_of_what_is_compared_and_set(told: Told) -> None:
    assert told("minds_the_priority") == [["ran with", {"x": 1}], ["result", True, {"x": 2, ".priority": "q"}]]


@both_ways
def test_hashes_agree_on_every_kind_of_value(told: Told) -> None:
    assert told("hashes_agree_on_every_kind_of_value") == [["tried", 39]]


@both_ways
def test_hashes_agree_on_random_trees(told: Told) -> None:
    assert told("hashes_agree_on_random_trees") == [["tried", 60]]


@both_ways
def test_transactions_on_different_paths_do_not_meet(told: Told) -> None:
    assert told("two_on_different_paths_do_not_meet") == [["value", {"left": 20, "right": 20}]]


@both_ways
def test_transactions_queued_from_two_sides_on_one_counter_all_count(told: Told) -> None:
    assert told("queued_from_two_sides_on_one_counter") == [["value", 100]]


@both_ways
def test_transactions_on_parent_and_child_both_count(told: Told) -> None:
    assert told("parent_and_child_together") == [["value", {"sum": 10, "parts": {"x": 10}}]]


def test_twenty_clients_that_add_one_at_the_same_time_all_succeed(node: Path, server: Server) -> None:
    ns = fresh_name("contention")
    with Script("contention.mjs", settings_for(server, "url", ns, clients=20, each=1, first=0)) as script:
        script.wait_for("ready")
        script.tell("go")
        # The last of twenty is beaten nineteen times, fewer than the SDK's 25.
        assert script.wait_for("done", within=60) == ["done", 20, 0]
        script.finish()
    assert server.read("/counter", ns=ns) == 20


def test_twenty_clients_in_four_processes_count_to_one_hundred_exactly(node: Path, server: Server) -> None:
    ns = fresh_name("contention")
    with ExitStack() as stack:
        scripts = [
            stack.enter_context(
                Script("contention.mjs", settings_for(server, "emulator", ns, clients=5, each=5, first=5 * index))
            )
            for index in range(4)
        ]
        for script in scripts:
            script.wait_for("ready")
        for script in scripts:
            script.tell("go")
        for script in scripts:
            assert script.wait_for("done", within=60)[1] == 25
            script.finish()
    assert server.read("/counter", ns=ns) == 100
