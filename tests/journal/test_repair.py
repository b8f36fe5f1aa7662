"""Repair: what it keeps, what it says is lost, and that nothing else changes."""

from __future__ import annotations

from random import Random

import pytest

from meadowlark.errors import JournalDamaged
from meadowlark.journal import Loss, read_layout, repair, reshard, segment
from meadowlark.journal.files import read_whole, replace_whole
from meadowlark.journal.group import find_header
from meadowlark.testing import Fault, MemoryFiles, PowerCut
from tests.journal.scripts import DATA, FOLDER, SEGMENT, Run, body_of, make_files

REPAIRED = "data/journal-2/0"


def make() -> MemoryFiles:
    """One group for each record: a 1, b 1, a 2, b 2, a 3."""
    files = make_files()
    replace_whole(files, DATA, "layout.json", b'{"workers":1,"journal":"journal-1"}')
    run = Run(files)
    for name, sequence in (("a", 1), ("b", 1), ("a", 2), ("b", 2), ("a", 3)):
        run.append(name, sequence)
        run.journal.drain()
    run.journal.close()
    files.restart()
    return files


def damage_group(files: MemoryFiles, rank: int, path: str = SEGMENT) -> None:
    """A byte in the body of the group of this rank, from 0."""
    content = read_whole(files, path)
    offset = find_header(content, 0)
    for _ in range(rank):
        offset = find_header(content, offset + 1)
    files.damage(path, offset + 40, b"?")


def found(files: MemoryFiles, folder: str = REPAIRED) -> dict[str, int]:
    """What another start finds."""
    generation = reshard(files, DATA, 1, lambda name, workers: 0)
    assert folder == f"{DATA}/{generation}/0"
    run = Run(files, folder=folder)
    return {name: run.found(name) for name in ("a", "b")}


def test_nothing_damaged_changes_nothing():
    files = make()
    report = repair(files, DATA)
    assert report.lines() == ["Nothing is damaged; nothing was changed."]
    assert files.steps == []
    assert repair(MemoryFiles(), "").faults == []


def test_a_torn_tail_is_not_damage():
    files = make()
    content = read_whole(files, SEGMENT)
    files.damage(SEGMENT, len(content.rstrip(b"\0")), b"\xffMLG torn")
    assert repair(files, DATA).faults == []


def test_records_before_and_behind_the_damage_are_kept_if_nothing_they_build_on_is_lost():
    files = make()
    damage_group(files, 2)
    with pytest.raises(JournalDamaged):
        Run(files)
    report = repair(files, DATA)
    assert report.losses == [Loss("a", 2, 3)]
    assert report.kept_records == 3
    assert found(files) == {"a": 1, "b": 2}


def test_what_was_damaged_is_copied_aside_first():
    files = make()
    damage_group(files, 0)
    before = read_whole(files, SEGMENT)
    report = repair(files, DATA)
    assert report.copies == ["data/damaged/journal-1-0-segment-00000001"]
    assert read_whole(files, report.copies[0]) == before
    assert files.list(DATA) == ["damaged", "journal-2", "layout.json"]


def test_the_report_tells_an_operator_what_is_lost():
    files = make()
    damage_group(files, 2)
    lines = repair(files, DATA).lines()
    assert lines[0].startswith("damaged: data/journal-1/0/segment-00000001 is damaged at offset ")
    assert "lost: database 'a', records 2 to 3: damaged, or building on damaged ones" in lines
    assert "kept: every intact snapshot, and 3 records that follow on them" in lines
    assert lines[-1] == "copy of what was damaged: data/damaged/journal-1-0-segment-00000001"


def test_damage_at_the_end_loses_what_nobody_can_name():
    files = make()
    damage_group(files, 4)
    report = repair(files, DATA)
    assert report.losses == []
    assert any("no record that can be named" in line for line in report.lines())
    assert found(files) == {"a": 2, "b": 2}


def test_damaged_records_that_a_snapshot_covers_are_no_loss():
    files = make()
    run = Run(files)
    run.save("a", 2)
    run.journal.close()
    damage_group(files, 2)
    report = repair(files, DATA)
    assert report.losses == []
    assert report.kept_records == 3
    assert found(files) == {"a": 3, "b": 2}


def test_a_damaged_snapshot_is_moved_aside_and_the_journal_used_if_it_still_has_all():
    files = make()
    run = Run(files)
    run.save("a", 2)
    run.journal.close()
    files.damage("data/databases/a/snapshot-2", 5, b"?")
    report = repair(files, DATA)
    assert report.losses == []
    assert report.copies == ["data/damaged/databases-a-snapshot-2"]
    assert files.list("data/databases/a") == []
    assert found(files) == {"a": 3, "b": 2}


@pytest.mark.usefixtures("small_segments")
def test_a_damaged_snapshot_that_nothing_replaces_is_a_loss():
    files = make()
    run = Run(files)
    for sequence in range(4, 20):
        run.append("a", sequence)
        run.journal.drain()
    run.save("b", 2)
    run.save("a", 15)
    run.journal.drain()
    assert not files.exists(SEGMENT)
    run.journal.close()
    files.damage("data/databases/a/snapshot-15", 5, b"?")
    report = repair(files, DATA)
    assert report.losses == [Loss("a", 1, 19)]
    assert found(files) == {"a": 0, "b": 2}


@pytest.mark.usefixtures("small_segments")
def test_a_missing_segment_loses_what_builds_on_it():
    files = make()
    run = Run(files)
    for sequence in range(4, 20):
        run.append("a", sequence)
        run.journal.drain()
    run.append("b", 3)
    run.journal.close()
    files.remove(f"{FOLDER}/segment-00000002")
    report = repair(files, DATA)
    assert "segment-00000002 is missing" in report.faults[0]
    assert [(loss.database, loss.last) for loss in report.losses] == [("a", 19)]
    assert found(files) == {"a": report.losses[0].first - 1, "b": 3}


def test_a_bad_segment_header_loses_nothing():
    files = make()
    files.damage(SEGMENT, 9, b"?")
    report = repair(files, DATA)
    assert report.losses == []
    assert found(files) == {"a": 3, "b": 2}


def test_after_repair_the_journal_goes_on():
    files = make()
    damage_group(files, 2)
    repair(files, DATA)
    reshard(files, DATA, 1, lambda name, workers: 0)
    run = Run(files, folder=REPAIRED)
    run.append("a", 2, 3, 4)
    run.journal.close()
    assert found(files) == {"a": 4, "b": 2}
    assert repair(files, DATA).faults == []


@pytest.mark.parametrize("seed", range(3))
def test_ended_at_any_step_repair_may_be_run_again(seed):
    for step in range(1, 200):
        files = make()
        run = Run(files)
        run.save("b", 1)
        run.journal.close()
        files.damage("data/databases/b/snapshot-1", 5, b"?")
        damage_group(files, 2)
        files.plan(Fault.CUT, step)
        try:
            repair(files, DATA)
        except PowerCut:
            files.restart()
            files = files.after_power_cut(Random(f"{seed} {step}"))
            repair(files, DATA)
            assert found(files) == {"a": 1, "b": 2}
            assert "journal-1-0-segment-00000001" in files.list("data/damaged")
        else:
            assert step > 20
            return
    raise AssertionError("the script never ended")


def test_a_newer_format_is_left_to_the_version_that_wrote_it():
    files = make()
    header = segment.parse_header(read_whole(files, SEGMENT))._replace(version=2)
    files.damage(SEGMENT, 0, segment.encode_header(header))
    with pytest.raises(JournalDamaged, match="start the version of Meadowlark that wrote it"):
        repair(files, DATA)
    assert read_layout(files, DATA).journal == "journal-1"
    assert body_of("a", 1) in read_whole(files, SEGMENT)
