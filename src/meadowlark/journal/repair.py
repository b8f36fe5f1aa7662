"""Getting a damaged data folder to start again, by an operator's order: keeps all that can be kept and says what is lost.

Every intact record of every segment is read, also behind damage. Of each database those records are kept that follow on its
snapshot, or on each other, without a gap; a record behind a gap cannot be applied, since what it builds on is lost. What is
kept is written as a new generation of journals, the way resharding does it. Before that, every segment from which something
is missing is copied to `<data>/damaged/`, and a damaged snapshot is moved there, so nothing an expert could use is thrown away.

Runs while no server does (the caller holds the lock). A crash leaves the old state or the new, and repair may be run again.
Source: docs/formats.md "Repair".
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from meadowlark.errors import JournalDamaged
from meadowlark.journal import layout, recovery, scan, segment
from meadowlark.journal.databases import Databases, database_folder
from meadowlark.journal.files import Files, ensure_folders, read_whole, replace_whole
from meadowlark.journal.layout import Layout
from meadowlark.journal.record import Record
from meadowlark.journal.recovery import Found, Tail
from meadowlark.journal.snapshot import snapshot_name
from meadowlark.journal.snapshots import Snapshots, find_sequences

DAMAGED_FOLDER = "damaged"


class Loss(msgspec.Struct, frozen=True):
    """Records `first` to `last` of one database, by sequence, are gone."""

    database: str
    first: int
    last: int


class Report(msgspec.Struct):
    """What repair found and did. No `faults`: nothing was done."""

    faults: list[str] = []
    """Damaged places, one text each."""
    losses: list[Loss] = []
    kept_records: int = 0
    copies: list[str] = []
    """Files that hold what was damaged."""

    def lines(self) -> list[str]:
        """The report for an operator."""
        if not self.faults:
            return ["Nothing is damaged; nothing was changed."]
        losses = [
            f"lost: database {loss.database!r}, records {loss.first} to {loss.last}: damaged, or building on damaged ones"
            for loss in self.losses
        ]
        return [
            *(f"damaged: {fault}" for fault in self.faults),
            *(losses or ["lost: no record that can be named; the last writes before the damage may be missing"]),
            f"kept: every intact snapshot, and {self.kept_records} records that follow on them",
            *(f"copy of what was damaged: {path}" for path in self.copies),
        ]


def repair(files: Files, data: str) -> Report:
    """The data folder can be started again.

    Raises JournalDamaged when layout.json itself is of no use or a newer version wrote the journal; OSError.
    """
    report = Report()
    before = layout.read_layout(files, data)
    if before is None:
        return report
    plans = _plan_from_snapshots(files, data, report)
    incomplete = _plan_records(files, data, before, plans, report)
    if not report.faults:
        return report
    for name, plan in sorted(plans.items()):
        if plan.seen > plan.kept:
            report.losses.append(Loss(name, plan.kept + 1, plan.seen))
        report.kept_records += max(0, plan.kept - plan.snapshot)
    report.copies += [_copy_aside(files, data, path) for path in sorted(incomplete)]
    routed = _kept_records(files, data, before, plans)
    layout.switch(files, data, before, Layout(before.workers, layout.next_generation(before)), routed)
    return report


class _Plan:
    """What of one database is kept: a snapshot, and the records after it up to `kept`."""

    __slots__ = ("kept", "seen", "snapshot")

    def __init__(self, snapshot: int, seen: int) -> None:
        self.snapshot = snapshot
        self.kept = snapshot
        self.seen = seen
        """The highest sequence of which there is a trace; more than `kept` when there is a gap behind that."""

    def take(self, sequence: int) -> bool:
        """Whether the record may be kept, or is not needed."""
        if sequence <= self.snapshot:
            return True
        follows = sequence == self.kept + 1
        if follows:
            self.kept = sequence
        self.seen = max(self.seen, sequence)
        return follows


def _plan_from_snapshots(files: Files, data: str, report: Report) -> dict[str, _Plan]:
    """Every database begins with its newest intact snapshot; damaged ones are moved aside."""
    plans: dict[str, _Plan] = {}
    for name in Databases(files, data).list():
        folder = database_folder(data, name)
        seen = 0
        while sequences := find_sequences(files, folder):
            try:
                Snapshots(files, data).read(name)
            except JournalDamaged as error:
                path = f"{folder}/{snapshot_name(sequences[-1])}"
                report.faults.append(str(error))
                seen = max(seen, sequences[-1])
                report.copies.append(_copy_aside(files, data, path))
                files.remove(path)
                files.sync_folder(folder)
            else:
                break
        snapshot = sequences[-1] if sequences else 0
        plans[name] = _Plan(snapshot, max(seen, snapshot))
    return plans


def _plan_records(files: Files, data: str, before: Layout, plans: dict[str, _Plan], report: Report) -> set[str]:
    """Plans what is kept of every journal; the files from which something is not."""
    incomplete: set[str] = set()
    said: set[str] = set()
    for worker in range(before.workers):
        folder = before.folder(data, worker)
        for path, fault in _find_faults(files, folder, worker):
            report.faults.append(fault)
            incomplete.add(path)
        for path, record in _salvage(files, folder):
            plan = plans.setdefault(record.database, _Plan(0, 0))
            if plan.take(record.sequence):
                continue
            incomplete.add(path)
            if record.database not in said:
                said.add(record.database)
                found = f"record {record.sequence} of database {record.database!r} where record {plan.kept + 1} was expected"
                report.faults.append(f"{path} at offset {record.offset}: {found}")
    return {path for path in incomplete if files.exists(path)}


def _find_faults(files: Files, folder: str, worker: int) -> Iterator[tuple[str, str]]:
    """Every damaged segment of one journal, with what is wrong."""
    numbers = recovery.find_segments(files, folder)
    previous, tail = 0, Tail()
    for number in numbers:
        path = f"{folder}/{segment.segment_name(number)}"
        last = number == numbers[-1]
        findings = scan.scan_segment(read_whole(files, path))
        if last and recovery.is_unfinished(findings):
            return
        if findings.header is not None and findings.header.version != segment.VERSION:
            raise JournalDamaged(f"{path} has format {findings.header.version}: start the version of Meadowlark that wrote it")
        if previous and number != previous + 1:
            yield path, str(recovery.missing(folder, previous + 1))
            tail = Tail()
        damage = recovery.find_damage(path, findings, number, worker, tail, last=last)
        if damage is not None:
            yield path, str(damage)
            # The next segment is judged by itself: what this one lacks has been said.
            tail = Tail()
        else:
            recovery.advance(tail, number, findings)
        previous = number


def _salvage(files: Files, folder: str) -> Iterator[tuple[str, Record]]:
    """Every intact record of one journal, in order."""
    for number in recovery.find_segments(files, folder):
        path = f"{folder}/{segment.segment_name(number)}"
        content = read_whole(files, path)
        for found in scan.salvage(content):
            for record in Found(number, path, content, found).records():
                yield path, record


def _kept_records(files: Files, data: str, before: Layout, plans: dict[str, _Plan]) -> Iterator[tuple[int, Record]]:
    """The records that the plans keep, each once, with the worker that has them."""
    written = {name: plan.snapshot for name, plan in plans.items()}
    for worker in range(before.workers):
        for _, record in _salvage(files, before.folder(data, worker)):
            name = record.database
            if record.sequence == written[name] + 1 and record.sequence <= plans[name].kept:
                written[name] = record.sequence
                yield worker, record


def _copy_aside(files: Files, data: str, path: str) -> str:
    """A durable copy in the folder of damaged files; its path."""
    ensure_folders(files, data, DAMAGED_FOLDER)
    name = path.removeprefix(f"{data}/").replace("/", "-")
    replace_whole(files, f"{data}/{DAMAGED_FOLDER}", name, read_whole(files, path))
    return f"{data}/{DAMAGED_FOLDER}/{name}"
