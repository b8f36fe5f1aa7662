"""The journal as its worker uses it."""

from __future__ import annotations

import queue
from contextlib import suppress
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meadowlark.errors import BrokenInvariant, JournalDamaged, JournalFailed
from meadowlark.journal import Journal, reshard, segment
from meadowlark.journal.files import read_whole
from meadowlark.journal.group import HEADER, find_header
from meadowlark.journal.log import PART_BYTES, Log
from meadowlark.journal.scan import scan_segment
from meadowlark.limits import GROUP_BYTES_MAX, RECORD_BYTES_MAX
from meadowlark.server.disk import Disk
from meadowlark.testing import Fault
from tests.journal.scripts import FOLDER, SEGMENT, Run, body_of, call, make_files, untimed

SECONDS = 60.0


@pytest.fixture
def files():
    return make_files()


@pytest.fixture
def run(files):
    return Run(files)


# Appending and acknowledging


def test_waiters_come_back_in_the_order_appended_once_durable(run):
    run.append("a", 1)
    run.append("b", 1)
    run.append("a", 2)
    assert run.acknowledged == []
    assert not run.journal.is_durable("a")
    run.journal.drain()
    assert run.acknowledged == [("a", 1), ("b", 1), ("a", 2)]
    assert run.journal.is_durable("a")


def test_a_record_without_a_waiter_is_kept_as_well(run):
    run.journal.append("a", 1, b"[]", None)
    run.journal.drain()
    assert run.acknowledged == []
    assert list(run.journal.records("a", 0)) == [(1, b"[]")]


def test_falsy_waiters_are_waiters(run):
    run.journal.append("a", 1, b"[]", 0)
    run.journal.drain()
    assert run.acknowledged == [0]


class TestLargeRecords:
    """Records that are larger than a group may be."""

    LARGE = b'"%b"' % (b"x" * (PART_BYTES * 2 + GROUP_BYTES_MAX))

    def test_one_is_found_again_with_what_came_before_between_and_after(self, files, run):
        run.append("a", 1)
        run.append("b", 1)
        run.journal.append("a", 2, self.LARGE, ("a", 2))
        run.append("a", 3)
        run.append("b", 2, 3)
        run.journal.drain()
        assert run.acknowledged == [("a", 1), ("b", 1), ("b", 2), ("b", 3), ("a", 2), ("a", 3)]
        run.journal.close()
        again = Run(files.after_power_cut(Random(1)))
        assert again.report.cut_bytes == 0
        bodies = [body_of("a", 1), self.LARGE, body_of("a", 3)]
        assert list(again.journal.records("a", 0)) == list(enumerate(bodies, 1))
        assert again.found("b") == 3

    def test_it_begins_a_segment_in_which_others_follow(self, files, run):
        run.append("b", 1)
        run.journal.append("a", 1, self.LARGE, None)
        run.append("b", 2)
        run.journal.drain()
        run.append("b", 3)
        run.journal.drain()
        assert files.list(FOLDER) == ["segment-00000001", "segment-00000002"]
        [first, second] = [scan_segment(read_whole(files, f"{FOLDER}/{name}")) for name in files.list(FOLDER)]
        assert [found.record_count for found in (*first.groups, *second.groups)] == [2, 1, 1]

    def test_a_segment_that_it_ends_without_a_group_goes_with_the_others_after_a_restart(self, files, run, monkeypatch):
        with monkeypatch.context() as killed_before_it:
            killed_before_it.setattr(Log, "remove", lambda log, number: None)
            run.journal.append("a", 1, self.LARGE, None)
            run.journal.append("b", 1, self.LARGE, None)
            run.journal.drain()
        assert len(files.list(FOLDER)) == 3
        again = Run(files)
        again.save("a", 1)
        again.journal.drain()
        assert files.list(FOLDER) == ["segment-00000003"]
        assert Run(files).journal.databases() == {"b": 1}

    def test_needless_segments_go_while_some_wait(self, files, run):
        run.journal.append("a", 1, self.LARGE, None)
        run.journal.append("b", 1, self.LARGE, None)
        run.journal.drain()
        for name in "cd":
            run.journal.append(name, 1, self.LARGE, None)
        run.turn()
        files.steps.clear()
        run.save("a", 1)
        run.journal.drain()
        steps = [step.rpartition("/")[0] for step in files.steps if step.startswith(("remove", "rename"))]
        assert steps[-3:] == [f"remove {FOLDER}", f"rename {FOLDER}", f"rename {FOLDER}"]

    def test_what_a_crash_left_of_one_is_removed_by_the_next_start(self, files, run):
        run.append("b", 1)
        run.journal.drain()
        files.open(f"{FOLDER}/large.unfinished", create=True).write(0, [b"some of a record"])
        again = Run(files)
        assert files.list(FOLDER) == ["segment-00000001"]
        again.journal.append("a", 1, self.LARGE, ("a", 1))
        again.journal.drain()
        assert again.acknowledged == [("a", 1)]


@pytest.mark.parametrize("sequence", [1, 2, 4])
def test_a_sequence_that_does_not_follow_is_our_bug(run, sequence):
    run.append("a", 1, 2)
    with pytest.raises(BrokenInvariant, match=r"expected record 3"):
        run.append("a", sequence)
    run.append("a", 3)


def test_a_body_that_could_not_be_read_back_is_our_bug(run, monkeypatch):
    monkeypatch.setattr("meadowlark.journal.journal.RECORD_BYTES_MAX", 5)
    with pytest.raises(BrokenInvariant, match="at most 5 bytes"):
        run.journal.append("a", 1, b"[1,22]", None)
    assert RECORD_BYTES_MAX > 5


def test_backlog_is_what_is_appended_and_not_durable(run):
    run.journal.append("a", 1, b"12345", None)
    run.journal.append("a", 2, b"678", None)
    assert run.journal.backlog_bytes == 8
    run.journal.drain()
    assert run.journal.backlog_bytes == 0


def test_a_failed_sync_hands_everyone_back_and_says_why(files, run):
    files.plan(Fault.FAIL, 2)
    run.append("a", 1, 2)
    with pytest.raises(JournalFailed, match="planned failure"):
        run.journal.drain()
    assert run.refused == [("a", 1), ("a", 2)]
    assert run.journal.backlog_bytes == 0
    assert "restart" in str(run.journal.failed)


def test_counters_tell_what_was_done(files, run):
    run.append("a", 1, 2)
    run.journal.drain()
    run.append("a", 3)
    run.journal.drain()
    counters = run.journal.counters
    assert (counters.groups, counters.records) == (2, 3)
    assert counters.size == find_end(files) - 36
    assert counters.last_sync_seconds == pytest.approx(0.001)
    assert sum(counters.sync_micros_log2) == 2


def find_end(files):
    return len(read_whole(files, SEGMENT).rstrip(b"\0"))


def test_a_closed_or_unopened_journal_takes_nothing(files, run):
    run.journal.close()
    with pytest.raises(BrokenInvariant, match="before it was opened or after it was closed"):
        run.append("a", 1)
    never = Journal(files, FOLDER, worker=0, wake=call, on_durable=print, on_failed=print)
    with pytest.raises(BrokenInvariant, match="before it was opened"):
        never.append("a", 1, b"", None)
    never.close()


def test_closing_twice_and_without_draining_keeps_what_was_appended(files, run):
    run.append("a", 1)
    run.journal.close()
    run.journal.close()
    assert run.acknowledged == [("a", 1)]
    assert Run(files).found("a") == 1


# With a thread, on the disk


def test_with_its_thread_on_a_disk_the_journal_keeps_what_it_acknowledged(tmp_path):
    data = str(tmp_path)
    folder = f"{data}/{reshard(Disk(), data, 1, lambda name, workers: 0)}/0"
    calls: queue.Queue[tuple] = queue.Queue()
    acknowledged: list[int] = []
    for life in range(2):
        journal = Journal(
            Disk(), folder, worker=0, wake=lambda *call: calls.put(call), on_durable=acknowledged.extend, on_failed=print
        )
        journal.open()
        journal.start()
        for sequence in range(1 + life * 500, 501 + life * 500):
            journal.append("db", sequence, body_of("db", sequence), sequence)
            if sequence % 97 == 0:
                # As a loop does: run what the thread has called for.
                callback, *arguments = calls.get(timeout=SECONDS)
                callback(*arguments)
        journal.drain()
        while not calls.empty():
            callback, *arguments = calls.get()
            callback(*arguments)
        assert acknowledged == list(range(1, 501 + life * 500))
        assert [sequence for sequence, _ in journal.records("db", 0)] == acknowledged
        journal.close()


# Reading back


def test_records_are_read_back_after_a_sequence(run):
    run.append("a", *range(1, 30))
    run.append("b", 1)
    run.journal.drain()
    assert list(run.journal.records("a", 26)) == [(number, body_of("a", number)) for number in (27, 28, 29)]
    assert list(run.journal.records("a", 29)) == []
    assert list(run.journal.records("nobody", 0)) == []


@pytest.mark.usefixtures("small_segments")
def test_records_are_read_back_across_segments_and_windows(run, monkeypatch):
    monkeypatch.setattr("meadowlark.journal.reader.WINDOW_BYTES", 100)
    for sequence in range(1, 60):
        run.append("a", sequence)
        run.append("b", sequence)
        if sequence % 3 == 0:
            run.journal.drain()
    run.journal.drain()
    assert (run.found("a"), run.found("b")) == (59, 59)


def test_records_that_wait_for_the_disk_are_not_read_back_by_halves(run):
    run.append("a", 1)
    with pytest.raises(BrokenInvariant, match="before they are durable"):
        run.journal.records("a", 0)


def test_a_missing_first_record_is_said_when_its_database_is_read(files, run):
    run.append("a", 1, 2, 3)
    run.journal.drain()
    run.save("a", 2)
    run.journal.close()
    files.remove("data/databases/a/snapshot-2")
    again = Run(files)
    assert list(again.journal.records("a", 0)) == [(number, body_of("a", number)) for number in (1, 2, 3)]
    again.journal.covered("a", 2)
    with pytest.raises(
        JournalDamaged, match=r"record 1 of database 'a' is missing.*begins with record 3.*meadowlark repair DATA"
    ):
        again.journal.records("a", 0)


@pytest.mark.parametrize("what", ["another byte", "another record"])
def test_bytes_that_go_bad_while_running_are_noticed_when_read_back(files, run, what):
    run.append("a", 1, 2)
    run.append("b", 1)
    run.journal.drain()
    content = read_whole(files, SEGMENT)
    at = content.index(body_of("a", 2)) - 18
    if what == "another byte":
        files.damage(SEGMENT, at + 30, b"!")
    else:
        # A record of the same size and a right checksum, but of another sequence.
        files.damage(SEGMENT, at + 8, (9).to_bytes(8, "little"))
    records = run.journal.records("a", 0)
    assert next(records)[0] == 1
    with pytest.raises(JournalDamaged, match=rf"{SEGMENT} is damaged at offset {at}"):
        next(records)


# Recovery


def test_a_new_journal_is_empty(run):
    assert (run.report.segments, run.report.groups, run.report.records, run.report.cut_bytes) == (0, 0, 0, 0)
    assert run.journal.databases() == {}


def test_a_journal_goes_on_where_it_ended(files, run):
    run.append("a", 1, 2)
    run.append("b", 1)
    run.journal.close()
    again = Run(files)
    assert (again.report.segments, again.report.groups, again.report.records) == (1, 2, 3)
    assert again.journal.databases() == {"a": 2, "b": 1}
    with pytest.raises(BrokenInvariant, match="expected record 3"):
        again.append("a", 2)
    again.append("a", 3)
    again.journal.drain()
    assert Run(files).found("a") == 3


def test_a_torn_tail_is_cut_and_reported(files, run):
    run.append("a", 1)
    run.journal.drain()
    end = find_end(files)
    run.append("a", 2)
    run.journal.drain()
    files.damage(SEGMENT, end + 40, b"?")
    torn_bytes = find_end(files) - end
    again = Run(files)
    assert again.found("a") == 1
    assert again.report.cut_bytes == torn_bytes
    assert (
        again.report.cut_at
        == f"{FOLDER} segment 1 at offset {end}: group 2, whose checksum does not match its {torn_bytes - 36} bytes"
    )
    again.append("a", 2)
    again.journal.close()
    last = Run(files)
    assert (last.found("a"), last.report.cut_bytes) == (2, 0)


def test_after_a_clean_end_damage_to_the_last_record_is_told_from_a_torn_write(files, run):
    run.append("a", 1)
    run.journal.close()
    files.damage(SEGMENT, 36 + 40, b"?")
    with pytest.raises(JournalDamaged, match=rf"{SEGMENT} is damaged at offset 36: .*meadowlark repair DATA"):
        Run(files)


def test_damage_before_the_end_is_refused_and_nothing_is_changed(files, run):
    for sequence in (1, 2, 3):
        run.append("a", sequence)
        run.journal.drain()
    second = find_header(read_whole(files, SEGMENT), 37)
    files.damage(SEGMENT, second + HEADER.size + 3, b"?")
    before = read_whole(files, SEGMENT)
    files.restart()
    with pytest.raises(JournalDamaged, match=f"damaged at offset {second}: found group 2, whose checksum does not match"):
        Run(files)
    assert read_whole(files, SEGMENT) == before
    assert files.steps == []


@pytest.mark.usefixtures("small_segments")
class TestSegments:
    @pytest.fixture
    def several(self, files, run):
        """Three segments or more."""
        for sequence in range(1, 20):
            run.append("a", sequence)
            run.journal.drain()
        assert files.exists(f"{FOLDER}/segment-00000003")
        return files

    def test_a_tail_that_is_torn_before_the_last_segment_is_damage(self, several):
        content = read_whole(several, SEGMENT)
        several.damage(SEGMENT, len(content) - 1, bytes([content[-1] ^ 1]))
        with pytest.raises(JournalDamaged, match=r"segment-00000001 is damaged at offset .* though a later segment was begun"):
            Run(several)

    def test_a_missing_segment_is_damage(self, several):
        several.remove(f"{FOLDER}/segment-00000002")
        with pytest.raises(JournalDamaged, match="segment-00000002 is missing"):
            Run(several)

    def test_a_segment_that_lacks_its_end_is_damage(self, several):
        content = read_whole(several, SEGMENT)
        last = max(place for place in range(len(content)) if find_header(content, place) == place)
        several.open(SEGMENT).truncate(last)
        with pytest.raises(JournalDamaged, match="segment-00000002 is damaged at offset 0: found first group"):
            Run(several)

    def test_a_segment_in_the_place_of_another_is_damage(self, several):
        several.damage(SEGMENT, 0, read_whole(several, f"{FOLDER}/segment-00000002"))
        with pytest.raises(JournalDamaged, match="found segment 2 of worker 0 where segment 1 of worker 0 was expected"):
            Run(several)

    def test_a_segment_of_another_worker_is_damage(self, several):
        files = several
        journal = Journal(files, FOLDER, worker=3, wake=call, on_durable=print, on_failed=print)
        with pytest.raises(JournalDamaged, match="found segment 1 of worker 0 where segment 1 of worker 3 was expected"):
            journal.open()

    def test_segments_go_once_snapshots_have_all_they_hold(self, several):
        run = Run(several)
        run.append("b", 1)
        run.journal.drain()
        run.save("a", 19)
        run.journal.drain()
        assert several.list(FOLDER)[0] != "segment-00000001"
        assert run.journal.databases() == {"b": 1}
        assert (Run(several).found("a"), run.found("b")) == (19, 1)

    def test_a_snapshot_found_at_the_start_lets_segments_go_too(self, several):
        run = Run(several)
        writer = run.snapshots
        run.databases.create("a")
        made = writer.writer("a", 19, {"upTo": 19})
        made.write(b"".join(body_of("a", one) for one in range(1, 20)))
        made.finish()
        again = Run(several)
        again.journal.drain()
        assert len(several.list(FOLDER)) == 1
        again.append("a", 20)
        again.journal.drain()
        assert Run(several).found("a") == 20

    def test_they_go_one_at_a_time_and_between_two_others_are_made_durable(self, several):
        run = Run(several)
        run.save("a", 19)
        several.steps.clear()
        run.append("b", 1)
        run.journal.drain()
        removed = [rank for rank, step in enumerate(several.steps) if step.startswith("remove ")]
        written = [rank for rank, step in enumerate(several.steps) if step.startswith("write ")]
        assert len(removed) > 1
        assert removed[0] < written[-1] < removed[1]

    def test_databases_that_pin_old_segments_are_named(self, several, monkeypatch):
        run = Run(several)
        assert run.journal.pinning_databases() == []
        monkeypatch.setattr("meadowlark.journal.journal.JOURNAL_SEALED_BYTES_MAX", 600)
        assert run.journal.pinning_databases() == ["a"]

    def test_a_newer_format_is_not_touched(self, several):
        number = int(several.list(FOLDER)[-1][-8:])
        path = f"{FOLDER}/segment-{number:08d}"
        header = segment.parse_header(read_whole(several, path))._replace(version=2)
        several.damage(path, 0, segment.encode_header(header))
        several.open(path).truncate(segment.HEADER.size)
        with pytest.raises(JournalDamaged, match="has format 2, and this version of Meadowlark reads format 1"):
            Run(several)
        assert several.exists(path)


def test_bytes_since_the_snapshot_grow_and_shrink(run):
    assert run.journal.bytes_since_snapshot("a") == 0
    run.append("a", 1, 2, 3)
    run.journal.drain()
    whole = run.journal.bytes_since_snapshot("a")
    run.save("a", 2)
    assert run.journal.bytes_since_snapshot("a") == len(body_of("a", 3)) + 18
    assert whole == sum(len(body_of("a", number)) + 18 for number in (1, 2, 3))


def test_a_snapshot_ahead_of_the_journal_is_our_bug(run):
    run.append("a", 1)
    run.journal.drain()
    run.append("a", 2)
    for sequence in (2, 3):
        with pytest.raises(BrokenInvariant, match=f"holds record {sequence}, not durable in the journal"):
            run.journal.covered("a", sequence)
    run.append("new", 1)
    with pytest.raises(BrokenInvariant, match="database 'new' holds record 1"):
        run.journal.covered("new", 1)
    run.journal.drain()
    run.journal.covered("a", 2)
    run.journal.covered("elsewhere", 5)


def test_one_damaged_snapshot_does_not_keep_the_worker_from_starting(files, run):
    run.append("a", 1)
    run.append("b", 1)
    run.journal.drain()
    run.save("a", 1)
    files.damage("data/databases/a/snapshot-1", 3, b"?")
    again = Run(files)
    assert again.found("b") == 1
    with pytest.raises(JournalDamaged, match="snapshot-1 is damaged"):
        again.found("a")


# Any records, any damage


RECORDS = st.lists(
    st.tuples(st.sampled_from("abc"), st.text(max_size=40).map(str.encode), st.booleans()), min_size=1, max_size=25
)


@untimed
@given(RECORDS, st.data())
def test_any_damage_is_refused_or_cut_and_never_read_as_something_else(records, data):
    files = make_files()
    run = Run(files)
    bodies: dict[str, list[bytes]] = {"a": [], "b": [], "c": []}
    for name, body, drained in records:
        bodies[name].append(body)
        run.journal.append(name, len(bodies[name]), body, None)
        if drained:
            run.journal.drain()
    run.journal.drain()
    content = read_whole(files, SEGMENT)
    end = len(content.rstrip(b"\0"))
    last_group = max(place for place in range(36, end) if find_header(content, place) == place)
    place = data.draw(st.integers(0, end - 1))
    files.damage(SEGMENT, place, bytes([content[place] ^ 1 << data.draw(st.integers(0, 7))]))
    try:
        again = Run(files)
    except JournalDamaged:
        assert place < last_group, "the last group may always be a torn one"
        return
    assert place >= last_group
    for name, written in bodies.items():
        found = [body for _, body in again.journal.records(name, 0)]
        assert found == written[: len(found)]


@untimed
@given(RECORDS, st.integers(0, 2**32))
def test_any_records_survive_any_power_cut_as_far_as_they_were_acknowledged(records, seed):
    files = make_files()
    run = Run(files)
    bodies: dict[str, list[bytes]] = {"a": [], "b": [], "c": []}
    for name, body, drained in records:
        bodies[name].append(body)
        run.journal.append(name, len(bodies[name]), body, name)
        if drained:
            run.journal.drain()
    files.plan(Fault.CUT, 2)
    with suppress(JournalFailed):
        run.journal.drain()
    files.restart()
    again = Run(files.after_power_cut(Random(seed)))
    for name, written in bodies.items():
        found = [body for _, body in again.journal.records(name, 0)]
        assert found == written[: len(found)]
        assert len(found) >= run.acknowledged.count(name)
