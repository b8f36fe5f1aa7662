"""What sessions queue for their end: in order, replaced and cancelled by place, and as quick for the last as for the first."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meadowlark.engine import on_disconnect
from meadowlark.engine.on_disconnect import INDEXED_FROM, DisconnectQueue
from meadowlark.tree import Node, Path


def filled(*writes: tuple[str, Node | None]) -> DisconnectQueue:
    queue = DisconnectQueue()
    for path, node in writes:
        queue.set(tuple(path), node)
    return queue


def texts(queue: DisconnectQueue) -> list[tuple[str, Node | None]]:
    return [("".join(path), node) for path, node in queue]


def test_operations_come_in_the_order_in_which_they_were_queued() -> None:
    assert texts(filled(("b", 1), ("a", 2), ("cd", None))) == [("b", 1), ("a", 2), ("cd", None)]


def test_one_above_takes_the_place_of_those_below() -> None:
    assert texts(filled(("ab", 1), ("ac", 2), ("d", 3), ("a", 4))) == [("d", 3), ("a", 4)]


def test_cancelling_below_a_value_keeps_its_siblings() -> None:
    queue = filled(("a", {"x": {"p": 1, "q": 2}, "y": 3}))
    queue.cancel(tuple("axp"))
    assert texts(queue) == [("axq", 2), ("ay", 3)]


def test_what_was_queued_later_is_still_written_over_what_is_left_of_an_earlier_value() -> None:
    queue = filled(("a", {"x": 1, "y": {"p": 2, "q": 3}, "z": 4}), ("ay", 5), ("azr", 6), ("b", 7))
    queue.cancel(tuple("ax"))
    assert texts(queue) == [("az", 4), ("ay", 5), ("azr", 6), ("b", 7)]


def test_what_one_update_queued_is_carried_out_together_as_far_as_it_is_still_queued() -> None:
    queue = filled(("n", 0))
    for number, paths in ((queue.new_batch(), ("a", "b", "c")), (queue.new_batch() + 1, ("d", "e"))):
        for path in paths:
            queue.set((path,), {"x": 1, "y": 2}, number)
    queue.set(("e",), 5)
    queue.cancel(("c",))
    queue.cancel(("a", "x"))
    assert queue.new_batch() == 3
    found = [["".join(path) for path, _ in batch] for batch in queue.batches()]
    assert found == [["n"], ["ay", "b"], ["d"], ["e"]]


def test_cancelling_at_the_root_forgets_all() -> None:
    queue = filled(("a", 1), ("bc", 2))
    queue.cancel(())
    assert texts(queue) == []


@given(
    st.lists(
        st.tuples(
            st.booleans(),
            st.lists(st.sampled_from("abc"), max_size=4).map(tuple),
            st.sampled_from([None, 1, {"a": 1}, {"a": {"b": 2, "c": 3}, "b": 4}]),
        ),
        max_size=30,
    )
)
def test_an_indexed_queue_is_like_one_that_is_looked_through(operations: list[tuple[bool, Path, Node | None]]) -> None:
    plain, indexed = DisconnectQueue(), DisconnectQueue()
    with pytest.MonkeyPatch.context() as patch:
        for is_cancel, path, node in operations:
            for queue in (plain, indexed):
                patch.setattr(on_disconnect, "INDEXED_FROM", 1 if queue is indexed else 1000)
                if is_cancel:
                    queue.cancel(path)
                else:
                    queue.set(path, node)
            assert list(indexed) == list(plain)


def test_a_long_queue_is_not_looked_through_for_each_operation() -> None:
    queue = DisconnectQueue()
    for number in range(INDEXED_FROM * 10):
        queue.set(("users", str(number), "online"), None)

    class Watched(dict[Path, Node | None]):
        def __iter__(self) -> object:  # type: ignore[override]
            raise AssertionError("looked through")

    queue._writes = Watched(queue._writes)
    queue.set(("users", "7"), None)
    queue.cancel(("users", "8", "online"))
    assert len(queue) == INDEXED_FROM * 10 - 1
