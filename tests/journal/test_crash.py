"""A scripted run of a journal, ended at each of its steps in each way; then another start. What holds, whatever happened:

everything acknowledged is there, nothing is there in part, sequences have no gap, and the next run goes on as usual.
"""

from __future__ import annotations

from contextlib import suppress
from random import Random

import pytest

from meadowlark.errors import JournalDamaged, JournalFailed, WorldError
from meadowlark.journal import committer, log
from meadowlark.journal.log import Log
from meadowlark.testing import Fault, MemoryFiles, PowerCut
from meadowlark.testing.memory_files import MemoryFile
from tests.journal.scripts import FOLDER, Run, make_files


@pytest.fixture(autouse=True, params=["in groups", "in parts"])
def sizes(request: pytest.FixtureRequest, small_segments: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether records are small, or half of them so large that they are written in parts."""
    if request.param == "in parts":
        monkeypatch.setattr(committer, "GROUP_BYTES_MAX", 130)
        monkeypatch.setattr(log, "PART_BYTES", 60)


def script(run: Run) -> None:
    """Groups of several databases, rotation, snapshots, trimming, a clean end."""
    journal = run.journal
    run.append("a", 1, 2)
    journal.drain()
    run.append("b", 1)
    run.append("a", 3, 4, 5)
    journal.drain()
    run.append("a", *range(6, 16))
    journal.drain()
    run.save("a", 12)
    run.append("b", 2, 3)
    run.append("a", 16)
    journal.drain()
    run.save("b", 3)
    run.append("a", *range(17, 26))
    journal.drain()
    run.save("a", 25)
    run.append("b", 4)
    journal.close()


APPENDED = {"a": 25, "b": 4}


def play(files: MemoryFiles, fault: Fault | None = None, step: int = 0) -> dict[str, int]:
    """Runs the script until it ends or `fault` ends it; the last sequence acknowledged of each database."""
    if fault is not None:
        files.plan(fault, step)
    acknowledged: list[tuple[str, int]] = []
    with suppress(PowerCut, WorldError, OSError):
        script(Run(files, acknowledged))
    return {name: max((sequence for one, sequence in acknowledged if one == name), default=0) for name in APPENDED}


def check(files: MemoryFiles, acknowledged: dict[str, int]) -> None:
    """Starts again and looks; then goes on, is cut once more, and looks again."""
    run = Run(files)
    found = {name: run.found(name) for name in APPENDED}
    for name, last in found.items():
        assert acknowledged[name] <= last <= APPENDED[name]
        run.append(name, *range(last + 1, last + 4))
    run.journal.drain()
    again = Run(files.after_power_cut(Random(0)))
    assert {name: again.found(name) for name in APPENDED} == {name: last + 3 for name, last in found.items()}
    assert again.report.cut_bytes == 0


def all_steps() -> range:
    """The numbers of the script's steps."""
    files = make_files()
    assert play(files) == APPENDED
    return range(1, len(files.steps) + 1)


def test_the_script_meets_what_can_go_wrong():
    files = make_files()
    script(Run(files))
    done = " ".join(files.steps)
    for step in ("allocate", "truncate", "rename data/databases/a/snapshot-12", "remove data/journal-1/0/segment-00000001"):
        assert step in done
    begun = done.count("create data/journal-1/0/segment") + done.count("rename data/journal-1/0/large")
    assert begun >= 4, "segments are begun"


@pytest.mark.parametrize("seed", range(6))
def test_a_power_cut_at_any_step_loses_nothing_acknowledged(seed):
    for step in all_steps():
        files = make_files()
        acknowledged = play(files, Fault.CUT, step)
        check(files.after_power_cut(Random(f"{seed} {step}")), acknowledged)


def test_a_process_killed_at_any_step_loses_nothing_acknowledged():
    for step in all_steps():
        files = make_files()
        acknowledged = play(files, Fault.CUT, step)
        files.restart()
        check(files, acknowledged)


@pytest.mark.parametrize("fault", [Fault.FAIL, Fault.SHORT])
@pytest.mark.parametrize("then", ["restart", "power cut"])
def test_a_failure_at_any_step_loses_nothing_acknowledged(fault, then):
    for step in all_steps():
        files = make_files()
        acknowledged = play(files, fault, step)
        files.restart()
        check(files.after_power_cut(Random(step)) if then == "power cut" else files, acknowledged)


def test_a_power_cut_during_recovery_loses_nothing_either():
    for step in all_steps():
        files = make_files()
        acknowledged = play(files, Fault.CUT, step)
        files.restart()
        for recovery_step in range(1, 5):
            files.plan(Fault.CUT, recovery_step)
            with suppress(PowerCut):
                Run(files)
            files = files.after_power_cut(Random(recovery_step))
        check(files, acknowledged)


def test_what_was_found_after_a_failed_sync_is_made_durable_by_the_next_start():
    """After a failed sync the system may take the pages for clean: another sync would succeed and write nothing."""
    files = make_files()
    run = Run(files)
    run.append("a", 1)
    run.journal.drain()
    run.append("a", 2)
    files.plan(Fault.FAIL, 2)
    with pytest.raises(JournalFailed):
        run.journal.drain()
    assert files.steps[-1].startswith("sync")
    files.restart()
    again = Run(files)
    assert again.found("a") == 2, "the process sees it, and clients will"
    for seed in range(20):
        assert Run(files.after_power_cut(Random(seed))).found("a") == 2


# Many lives one after the other: what one leaves (segments that were begun, emptied, about to be removed) the next goes on from.

LIVES = 8


@pytest.mark.parametrize("seed", range(40))
def test_many_lives_of_any_kind_lose_nothing_acknowledged(seed):
    chance = Random(seed)
    files = make_files()
    acknowledged, appended = dict.fromkeys("abc", 0), dict.fromkeys("abc", 0)
    for _ in range(LIVES):
        run = Run(files)
        for name, found in [(name, run.found(name)) for name in "abc"]:
            assert acknowledged[name] <= found <= appended[name]
            acknowledged[name] = appended[name] = found
        if chance.random() < 0.6:
            files.plan(chance.choice(list(Fault)), chance.randrange(1, 120))
        with suppress(PowerCut, WorldError, OSError):
            live(run, chance, appended)
        acknowledged |= dict(run.acknowledged)
        files.restart()
        if chance.random() < 0.5:
            files = files.after_power_cut(chance)


def live(run: Run, chance: Random, appended: dict[str, int]) -> None:
    """Writes, some of them committed at once, some snapshots, and perhaps a clean end."""
    for _ in range(chance.randrange(60)):
        name = chance.choice("aabc")
        act = chance.choice(["append", "append", "append and turn", "drain", "save"])
        if act.startswith("append"):
            appended[name] += 1
            run.append(name, appended[name])
        if act == "append and turn":
            run.turn()
        if act == "drain":
            run.journal.drain()
        if act == "save" and run.journal.is_durable(name) and run.journal.bytes_since_snapshot(name):
            run.save(name, run.found(name))
    if chance.random() < 0.4:
        run.journal.close()


# The tester is tested: a journal that acknowledges too early, or does not sync where it must, is caught.


def test_a_journal_that_does_not_sync_would_be_caught(monkeypatch):
    monkeypatch.setattr(MemoryFile, "sync", lambda file: None)
    with pytest.raises((AssertionError, JournalDamaged)):
        test_a_power_cut_at_any_step_loses_nothing_acknowledged(0)


def test_a_journal_that_does_not_sync_the_names_of_its_segments_would_be_caught(monkeypatch):
    sync_folder = MemoryFiles.sync_folder
    monkeypatch.setattr(MemoryFiles, "sync_folder", lambda files, folder: folder == FOLDER or sync_folder(files, folder))
    with pytest.raises((AssertionError, JournalDamaged)):
        test_a_power_cut_at_any_step_loses_nothing_acknowledged(0)


def test_a_journal_that_trusts_what_a_failed_sync_left_would_be_caught(monkeypatch):
    monkeypatch.setattr(Log, "_write_again", lambda log, file, tail: None)
    with pytest.raises(AssertionError):
        test_what_was_found_after_a_failed_sync_is_made_durable_by_the_next_start()


def test_nothing_is_acknowledged_after_a_failure():
    files = make_files()
    run = Run(files)
    files.plan(Fault.FAIL, 2)
    run.append("a", 1)
    with pytest.raises(JournalFailed, match="planned failure"):
        run.journal.drain()
    run.append("a", 2, 3)
    with pytest.raises(JournalFailed):
        run.journal.drain()
    steps = len(files.steps)
    run.append("b", 1)
    run.journal.close()
    assert run.acknowledged == []
    assert run.refused == [("a", 1), ("a", 2), ("a", 3), ("b", 1)]
    assert len(files.steps) == steps, "nothing is written or synced again"
    assert run.journal.failed is run.errors[0]
