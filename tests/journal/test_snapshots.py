"""Snapshots: written in pieces, in force whole or not at all, refused when damaged."""

from __future__ import annotations

from contextlib import suppress
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meadowlark.errors import JournalDamaged, WorldError
from meadowlark.journal import Databases, Snapshots
from meadowlark.journal.files import read_whole
from meadowlark.testing import Fault, MemoryFiles, PowerCut
from tests.journal.scripts import DATA, make_files, untimed

FOLDER = "data/databases/db"


def make() -> tuple[MemoryFiles, Snapshots]:
    files = make_files()
    Databases(files, DATA).create("db")
    files.restart()
    return files, Snapshots(files, DATA)


def write(snapshots: Snapshots, sequence: int, *chunks: bytes, sessions: object = None) -> int:
    writer = snapshots.writer("db", sequence, sessions)
    try:
        for chunk in chunks:
            writer.write(chunk)
        return writer.finish()
    finally:
        writer.abandon()


@untimed
@given(st.lists(st.binary(max_size=2000), max_size=5), st.dictionaries(st.text(), st.lists(st.integers(-9, 9))))
def test_a_snapshot_gives_back_what_was_written(chunks, sessions):
    files, snapshots = make()
    file_bytes = write(snapshots, 41, *chunks, sessions=sessions)
    assert snapshots.read("db") == (41, sessions, b"".join(chunks))
    header = snapshots.read_header("db")
    assert (header.database, header.sequence, header.sessions, header.file_bytes) == ("db", 41, sessions, file_bytes)
    assert len(read_whole(files, f"{FOLDER}/snapshot-41")) == file_bytes


def test_without_a_snapshot_there_is_none():
    _, snapshots = make()
    assert snapshots.read("db") is None
    assert snapshots.read_header("db") is None
    assert snapshots.settle("db") is None
    assert snapshots.read("no-such-database") is None


def test_a_header_longer_than_one_read_is_read_whole():
    _, snapshots = make()
    sessions = {"s": ["x" * 300_000]}
    write(snapshots, 1, b"{}", sessions=sessions)
    assert snapshots.read_header("db").sessions == sessions


def test_a_newer_snapshot_takes_the_place_of_the_older_by_number_and_not_by_text():
    files, snapshots = make()
    write(snapshots, 9, b"9")
    write(snapshots, 10, b"10")
    assert files.list(FOLDER) == ["snapshot-10"]
    assert snapshots.read("db").data == b"10"


def test_a_snapshot_of_the_same_sequence_may_be_written_again():
    _, snapshots = make()
    write(snapshots, 9, b"9")
    write(snapshots, 9, b"nine")
    assert snapshots.read("db").data == b"nine"


def test_an_abandoned_snapshot_leaves_nothing():
    files, snapshots = make()
    writer = snapshots.writer("db", 5, None)
    writer.write(b"{")
    writer.abandon()
    assert files.list(FOLDER) == []


def test_a_large_snapshot_is_synced_in_steps(monkeypatch):
    files, snapshots = make()
    monkeypatch.setattr("meadowlark.journal.snapshot_writer._SYNC_BYTES", 50_000)
    write(snapshots, 5, *(Random(seed).randbytes(200_000) for seed in range(3)))
    assert sum(step.startswith("sync data") for step in files.steps) > 3


def test_no_changed_bit_makes_another_snapshot():
    files, snapshots = make()
    size = write(snapshots, 7, b'{"a":1}', sessions={"s": []})
    path = f"{FOLDER}/snapshot-7"
    content = read_whole(files, path)
    for bit in range(8 * size):
        files.damage(path, bit // 8, bytes([content[bit // 8] ^ 1 << bit % 8]))
        # A few bits of the compressed form mean nothing; with those the snapshot reads as it was.
        with suppress(JournalDamaged):
            assert snapshots.read("db") == (7, {"s": []}, b'{"a":1}')
        files.damage(path, 0, content)


def test_a_damaged_snapshot_is_named_with_what_to_do():
    files, snapshots = make()
    size = write(snapshots, 7, b'{"a":1}')
    files.damage(f"{FOLDER}/snapshot-7", size - 40, b"?")
    with pytest.raises(JournalDamaged, match=r"databases/db/snapshot-7 is damaged: found .* or run 'meadowlark repair DATA'"):
        snapshots.read("db")


def test_a_snapshot_cut_anywhere_is_noticed():
    files, snapshots = make()
    size = write(snapshots, 7, b'{"a":1}')
    file = files.open(f"{FOLDER}/snapshot-7")
    for end in reversed(range(size)):
        file.truncate(end)
        with pytest.raises(JournalDamaged):
            snapshots.read("db")


def test_a_snapshot_under_the_name_of_another_is_noticed():
    files, snapshots = make()
    write(snapshots, 7, b"{}")
    files.rename(f"{FOLDER}/snapshot-7", f"{FOLDER}/snapshot-8")
    with pytest.raises(JournalDamaged, match="of database 'db' at sequence 7"):
        snapshots.read_header("db")
    Databases(files, DATA).create("other")
    files.rename(f"{FOLDER}/snapshot-8", "data/databases/other/snapshot-7")
    with pytest.raises(JournalDamaged, match="of database 'db' at sequence 7"):
        snapshots.read("other")


def all_steps() -> range:
    files, snapshots = make()
    write(snapshots, 1, b"old")
    files.restart()
    write(snapshots, 2, b"new", b"er")
    return range(1, len(files.steps) + 1)


@pytest.mark.parametrize("fault", list(Fault))
@pytest.mark.parametrize("then", ["restart", "power cut"])
def test_ended_at_any_step_the_old_or_the_new_snapshot_is_whole(fault, then):
    found = set()
    for step in all_steps():
        for seed in range(5):
            files, snapshots = make()
            write(snapshots, 1, b"old")
            files.plan(fault, step)
            finished = False
            try:
                write(snapshots, 2, b"new", b"er")
                finished = True
            except (WorldError, PowerCut):
                pass
            files.restart()
            if then == "power cut":
                files = files.after_power_cut(Random(f"{step} {seed}"))
            after = Snapshots(files, DATA)
            snapshot = after.read("db")
            found.add(snapshot.data)
            assert snapshot in ((1, None, b"old"), (2, None, b"newer"))
            assert not finished or snapshot.sequence == 2
            header = after.settle("db")
            assert header.sequence == snapshot.sequence
            settled = files.after_power_cut(Random(seed))
            assert Snapshots(settled, DATA).read("db") == snapshot, "once settled it stays"
            assert files.list(FOLDER) == [f"snapshot-{snapshot.sequence}"], "nothing else is left"
    assert found == {b"old", b"newer"}


def test_a_failure_says_that_nothing_is_lost():
    files, snapshots = make()
    files.plan(Fault.FAIL, 3)
    with pytest.raises(WorldError, match=r"snapshot-2 could not be written: .*planned failure.*the journal has it all"):
        write(snapshots, 2, b"{}")
