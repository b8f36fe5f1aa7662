"""Group commit: what shares a sync, what order holds, how it ends. With a real thread where threads matter."""

from __future__ import annotations

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meadowlark.errors import JournalFailed
from meadowlark.journal import committer as module
from meadowlark.journal.committer import Chore, Committer, Group
from meadowlark.journal.log import Written
from tests.journal.scripts import untimed

SECONDS = 60.0
"""For any wait of these tests."""


class FakeLog:
    """A log that waits at its gate, keeps what it is given, and fails when told to."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.gate.set()
        self.entered = threading.Event()
        self.groups: list[list[int]] = []
        self.parts: list[int] = []
        self.error: Exception | None = None

    def append(self, records):
        self.entered.set()
        assert self.gate.wait(SECONDS)
        if self.error is not None:
            raise self.error
        self.groups.append([record[1] for record in records])
        return Written(1, 0, [0] * len(records), [0] * len(records))

    def append_slices(self, one):
        """A large record is written in as many parts as its body has hundreds of bytes."""
        for _ in range(len(one[2]) // 100):
            if self.error is not None:
                raise self.error
            self.parts.append(one[1])
            yield
        return self.append([one])


@pytest.fixture
def log():
    return FakeLog()


@pytest.fixture
def back():
    """The groups handed back."""
    return []


@pytest.fixture
def committer(log, back):
    made = Committer(log, back.append, lambda: 0.0)
    yield made
    log.gate.set()
    made.stop()


def record(sequence, body=b"[]", database="db"):
    return (database, sequence, body, sequence)


def sequences(groups: list[Group]) -> list[list[int]]:
    return [[one[1] for one in group.records] for group in groups]


def test_what_waits_together_is_synced_together(committer, log, back):
    for sequence in (1, 2, 3):
        committer.put(record(sequence))
    committer.turn_until_empty()
    assert log.groups == [[1, 2, 3]]
    assert sequences(back) == [[1, 2, 3]]


def test_while_one_group_is_synced_the_next_gathers(committer, log, back):
    log.gate.clear()
    committer.start("committer")
    committer.put(record(1))
    assert log.entered.wait(SECONDS)
    for sequence in (2, 3, 4):
        committer.put(record(sequence))
    log.gate.set()
    committer.stop()
    assert log.groups == [[1], [2, 3, 4]]


def test_a_group_ends_when_it_is_large(committer, log, monkeypatch):
    monkeypatch.setattr(module, "GROUP_BYTES_MAX", 300)
    for sequence in range(1, 8):
        committer.put(record(sequence, bytes(100 - module.RECORD_OVERHEAD_BYTES)))
    committer.turn_until_empty()
    assert log.groups == [[1, 2, 3], [4, 5, 6], [7]]


@pytest.fixture
def small_groups(monkeypatch):
    monkeypatch.setattr(module, "GROUP_BYTES_MAX", 250)


@pytest.mark.usefixtures("small_groups")
class TestLargeRecords:
    """Written in parts, between the groups of others."""

    def test_other_databases_go_on_while_one_is_written(self, committer, log, back):
        committer.put(record(1, bytes(400)))
        committer.turn()
        for sequence in (2, 3):
            committer.put(record(sequence, database="other"))
            committer.turn()
        assert log.groups == [[2], [3]]
        committer.turn_until_empty()
        assert sequences(back) == [[2], [3], [1]]

    def test_what_comes_later_of_the_same_database_waits(self, committer, log, back):
        committer.put(record(1))
        committer.put(record(2, bytes(400)))
        committer.put(record(3))
        committer.put(record(7, database="other"))
        committer.turn()
        assert log.groups == [[1, 7]]
        committer.put(record(4))
        committer.turn_until_empty()
        assert sequences(back) == [[1, 7], [2], [3, 4]]

    def test_of_two_one_is_written_at_a_time(self, committer, log, back):
        committer.put(record(1, bytes(400)))
        committer.put(record(2, bytes(300), database="other"))
        committer.put(record(3, database="other"))
        committer.put(record(4))
        committer.turn_until_empty()
        assert log.parts == [1] * 4 + [2] * 3
        assert sequences(back) == [[1], [4], [2], [3]]

    def test_an_order_waits_for_it(self, committer, log):
        seen = []
        committer.put(record(1, bytes(400)))
        committer.put(lambda failure: seen.append((failure, [*log.groups])))
        committer.put(record(2, database="other"))
        committer.turn()
        committer.turn()
        assert (seen, log.groups) == ([], [[2]])
        committer.turn_until_empty()
        assert seen == [(None, [[2], [1]])]

    def test_a_chore_does_not(self, committer, log):
        seen = []
        committer.put(record(1, bytes(400)))
        committer.put(record(2, database="other"))
        committer.put(Chore(lambda failure: seen.append((failure, [*log.groups]))))
        committer.put(record(3, bytes(400), database="third"))
        committer.turn()
        assert seen == [(None, [[2]])]
        committer.turn_until_empty()
        assert log.groups == [[2], [1], [3]]

    def test_stopping_finishes_it_and_all_that_it_holds_up(self, committer, log):
        committer.put(record(1, bytes(4000)))
        committer.put(record(2))
        committer.put(record(3, bytes(4000), database="other"))
        committer.start("committer")
        committer.stop()
        assert log.groups == [[1], [2], [3]]

    def test_it_is_no_reason_to_pause(self, log, back):
        pauses = []
        committer = Committer(log, back.append, lambda: 0.0, pauses.append)
        committer.put(record(1, bytes(400)))
        committer.put(record(2, database="other"))
        committer.turn_until_empty()
        assert pauses == []

    @pytest.mark.parametrize("fails_in", ["a part", "a group of another database"])
    def test_after_a_failure_it_and_all_that_it_holds_up_come_back_as_failed(self, committer, log, back, fails_in):
        committer.put(record(1, bytes(400)))
        committer.put(record(2))
        committer.put(record(3, bytes(400), database="other"))
        committer.turn()
        log.error = OSError("disk gone")
        if fails_in != "a part":
            committer.put(record(4, database="third"))
        committer.turn()
        log.error = None
        committer.put(record(5, bytes(400), database="fourth"))
        committer.turn_until_empty()
        assert sorted(one for group in sequences(back) for one in group) == [1, 2, 3, *([] if fails_in == "a part" else [4]), 5]
        assert {group.failure for group in back} == {committer.failure}
        assert log.groups == []

    @untimed
    @given(puts=st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from([2, 120, 300, 700]), st.integers(0, 3)), max_size=40))
    def test_the_records_of_a_database_keep_their_order_whatever_is_large(self, puts):
        log, back, seen = FakeLog(), [], []
        committer = Committer(log, back.append, lambda: 0.0)
        for sequence, (database, size, turns) in enumerate(puts):
            committer.put(record(sequence, bytes(size), database))
            if turns == 3:
                committer.put(lambda failure, upto=sequence: seen.append((upto, {one for group in log.groups for one in group})))
            if turns:
                committer.turn()  # Never waits: something was put.
        committer.turn_until_empty()
        order = [one for group in log.groups for one in group]
        assert sorted(order) == list(range(len(puts)))
        for name in "abc":
            ours = [one for one in order if puts[one][0] == name]
            assert ours == sorted(ours)
        assert [upto for upto, _ in seen] == [number for number, put in enumerate(puts) if put[2] == 3]
        assert all(set(range(upto + 1)) <= durable for upto, durable in seen), "an order comes after all before it"
        assert sequences(back) == log.groups


def test_an_order_is_obeyed_between_what_was_put_before_and_after_it(committer, log):
    seen = []
    committer.put(record(1))
    committer.put(lambda failure: seen.append((failure, list(log.groups))))
    committer.put(record(2))
    committer.turn_until_empty()
    assert seen == [(None, [[1]])]
    assert log.groups == [[1], [2]]


def test_after_a_failure_everything_comes_back_as_failed_and_nothing_is_written(committer, log, back):
    log.error = OSError("disk gone")
    committer.put(record(1))
    committer.turn_until_empty()
    log.error = None
    seen = []
    committer.put(record(2))
    committer.put(seen.append)
    committer.turn_until_empty()
    assert log.groups == []
    assert sequences(back) == [[1], [2]]
    failure = committer.failure
    assert isinstance(failure, JournalFailed)
    assert "OSError: disk gone" in str(failure)
    assert [group.written for group in back] == [None, None]
    assert [group.failure for group in back] == [failure, failure]
    assert seen == [failure]


@pytest.mark.parametrize("error", [MemoryError(), ValueError("a bug of ours")])
def test_an_error_of_any_kind_leaves_nobody_waiting(committer, log, back, error):
    log.error = error
    committer.start("committer")
    committer.put(record(1))
    committer.stop()
    assert [group.failure for group in back] == [committer.failure]
    assert committer.failure.__cause__ is error


def test_an_order_that_fails_is_a_failure(committer, log, back):
    def remove(failure):
        raise OSError("cannot remove")

    committer.put(remove)
    committer.put(record(1))
    committer.turn_until_empty()
    assert [(len(group.records), group.written) for group in back] == [(0, None), (1, None)]
    assert log.groups == []


def test_stopping_finishes_what_was_put(committer, log):
    committer.start("committer")
    for sequence in range(1000):
        committer.put(record(sequence))
    committer.stop()
    assert [one for group in log.groups for one in group] == list(range(1000))
    assert not committer.is_running
    committer.stop()


def test_groups_begin_a_little_apart_and_the_one_who_waits_was_told_before_the_pause(log, back):
    now, pauses = [0.0], []

    def pause(seconds):
        pauses.append((seconds, len(back)))
        now[0] += seconds

    class Slow(FakeLog):
        def append(self, records):
            now[0] += 0.0004 * len(records)
            return super().append(records)

    committer = Committer(Slow(), back.append, lambda: now[0], pause)
    committer.put(record(1))
    committer.turn_until_empty()
    assert pauses == [(pytest.approx(0.0006), 1)]
    for sequence in (2, 3, 4):
        committer.put(record(sequence))
    committer.turn_until_empty()
    assert pauses[1:] == [(pytest.approx(0.0008), 2)], "where several write at once, more come together"
    for sequence in range(5, 11):
        committer.put(record(sequence))
    committer.turn_until_empty()
    assert len(pauses) == 2, "a group that took longer than that is followed at once"
    assert sequences(back) == [[1], [2, 3, 4], [5, 6, 7, 8, 9, 10]]
