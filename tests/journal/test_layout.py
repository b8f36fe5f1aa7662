"""Another number of workers: every record moves to its owner, or none does."""

from __future__ import annotations

from random import Random

import pytest

from meadowlark.errors import JournalDamaged, JournalFailed
from meadowlark.journal import Journal, Layout, read_layout, reshard
from meadowlark.journal.files import write_whole
from meadowlark.testing import Fault, MemoryFiles, PowerCut
from tests.journal.scripts import DATA, body_of, call

NAMES = {"a": 7, "b": 3, "c": 1, "d": 12}
"""Databases and how many records each has."""


def owner(name: str, workers: int) -> int:
    return ord(name) % workers


def open_journal(files: MemoryFiles, journal: str, worker: int) -> Journal:
    opened = Journal(files, f"{DATA}/{journal}/{worker}", worker=worker, wake=call, on_durable=print, on_failed=print)
    opened.open()
    return opened


def make(workers: int) -> MemoryFiles:
    """A data folder whose journals hold NAMES."""
    files = MemoryFiles()
    files.make_folder(DATA)
    files.sync_folder("")
    journal = reshard(files, DATA, workers, owner)
    for worker in range(workers):
        opened = open_journal(files, journal, worker)
        for name, count in NAMES.items():
            if owner(name, workers) == worker:
                for sequence in range(1, count + 1):
                    opened.append(name, sequence, body_of(name, sequence), None)
                    if sequence % 4 == 0:
                        opened.drain()
        opened.close()
    files.restart()
    return files


def check(files: MemoryFiles, workers: int) -> None:
    """The journals for `workers` workers hold NAMES, each with its owner, and nothing else is there."""
    journal = reshard(files, DATA, workers, owner)
    assert read_layout(files, DATA) == Layout(workers, journal)
    assert files.list(DATA) == [journal, "layout.json"]
    assert files.list(f"{DATA}/{journal}") == sorted(str(worker) for worker in range(workers))
    for worker in range(workers):
        opened = open_journal(files, journal, worker)
        assert opened.databases() == {name: count for name, count in NAMES.items() if owner(name, workers) == worker}
        for name in opened.databases():
            assert list(opened.records(name, 0)) == [(one, body_of(name, one)) for one in range(1, NAMES[name] + 1)]
        opened.close()


def test_a_new_data_folder_gets_its_first_generation():
    files = MemoryFiles()
    files.make_folder(DATA)
    assert reshard(files, DATA, 2, owner) == "journal-1"
    assert read_layout(files, DATA) == Layout(2, "journal-1")


def test_the_same_number_of_workers_changes_nothing():
    files = make(2)
    assert reshard(files, DATA, 2, owner) == "journal-1"
    assert files.steps == []
    check(files, 2)


@pytest.mark.parametrize(("before", "after"), [(1, 2), (2, 1), (2, 5), (3, 2), (4, 64)])
def test_records_move_to_their_owners(before, after):
    files = make(before)
    assert reshard(files, DATA, after, owner) == "journal-2"
    check(files, after)
    assert reshard(files, DATA, before, owner) == "journal-3"
    check(files, before)


def test_records_go_in_groups_of_bounded_size(monkeypatch):
    monkeypatch.setattr("meadowlark.journal.layout.GROUP_BYTES_MAX", 300)
    files = make(2)
    reshard(files, DATA, 3, owner)
    assert sum(step.startswith("sync data/journal-2/") for step in files.steps) > 6
    check(files, 3)


@pytest.mark.parametrize("workers", [1, 2])
def test_what_was_written_of_a_large_record_is_gone_with_any_number_of_workers(workers):
    files = make(1)
    write_whole(files, f"{DATA}/journal-1/0/large.unfinished", b"some of a record")
    check(files, workers)
    assert "large.unfinished" not in files.list(f"{DATA}/{read_layout(files, DATA).journal}/0")


def test_a_torn_tail_stays_behind():
    files = make(1)
    path = f"{DATA}/journal-1/0/segment-00000001"
    file = files.open(path)
    end = len(file.read(0, file.size()).rstrip(b"\0"))
    file.write(end, [b"\xffMLG torn"])
    check(files, 2)


@pytest.mark.parametrize("fault", list(Fault))
@pytest.mark.parametrize("then", ["restart", "power cut"])
def test_ended_at_any_step_another_start_has_it_all(fault, then):
    files = make(2)
    reshard(files, DATA, 3, owner)
    step_count = len(files.steps)
    assert step_count > 30
    for step in range(1, step_count + 1):
        files = make(2)
        files.plan(fault, step)
        with pytest.raises((JournalFailed, PowerCut)):
            reshard(files, DATA, 3, owner)
        files.restart()
        if then == "power cut":
            files = files.after_power_cut(Random(step))
        check(files, (2, 3, 4)[step % 3])


@pytest.mark.parametrize("seed", range(3))
def test_a_first_start_ended_at_any_step_may_be_made_again(seed):
    for step in range(1, 20):
        files = MemoryFiles()
        files.make_folder(DATA)
        files.sync_folder("")
        files.plan(Fault.CUT, step)
        try:
            reshard(files, DATA, 2, owner)
        except PowerCut:
            files.restart()
            files = files.after_power_cut(Random(f"{seed} {step}"))
            assert reshard(files, DATA, 3, owner).startswith("journal-")
        else:
            assert step > 8
            return


def test_damage_in_any_journal_stops_the_move_and_nothing_is_changed():
    files = make(2)
    path = f"{DATA}/journal-1/1/segment-00000001"
    files.damage(path, 80, b"?")
    with pytest.raises(JournalDamaged, match=f"{path} is damaged at offset 36"):
        reshard(files, DATA, 3, owner)
    assert read_layout(files, DATA) == Layout(2, "journal-1")
    files.damage(path, 80, b"!")
    assert "journal-1" in files.list(DATA)


def test_a_missing_layout_beside_journals_is_not_taken_for_a_new_folder():
    files = make(2)
    files.remove(f"{DATA}/layout.json")
    with pytest.raises(JournalDamaged, match=r"layout.json is missing, though data/journal-1 holds journals"):
        reshard(files, DATA, 2, owner)
    assert files.list(f"{DATA}/journal-1/0") == ["segment-00000001"]


def test_a_missing_journal_beside_a_layout_is_not_taken_for_an_empty_one():
    files = make(2)
    files.remove(f"{DATA}/journal-1/1/segment-00000001")
    files.remove_folder(f"{DATA}/journal-1/1")
    with pytest.raises(JournalDamaged, match="data/journal-1/1 is missing"):
        reshard(files, DATA, 2, owner)


@pytest.mark.parametrize("text", [b"", b"{}", b'{"workers":0,"journal":"journal-1"}', b'{"workers":2,"journal":"../x"}', b"\xff"])
def test_a_layout_that_is_none_is_refused(text):
    files = make(2)
    files.open(f"{DATA}/layout.json").truncate(0)
    files.damage(f"{DATA}/layout.json", 0, text)
    with pytest.raises(JournalDamaged, match=r"data/layout.json"):
        reshard(files, DATA, 2, owner)


def test_a_database_in_two_journals_is_damage():
    files = make(2)
    other = open_journal(files, "journal-1", 0)
    other.append("a", 1, b"[]", None)
    other.close()
    with pytest.raises(JournalDamaged, match="record 1 of database 'a' where record"):
        reshard(files, DATA, 3, owner)
