"""Which journals are in force, and moving to another number of workers.

    <data>/layout.json                      {"workers": N, "journal": "journal-<generation>"}
    <data>/journal-<generation>/<worker>/   one journal for each worker

A new number of workers means a new generation: all records are routed to their new owners' journals, those are synced, then
layout.json changes in one step, then the old generation goes. A crash leaves either the old layout with a part of a new
generation, or the new one with a part of the old; whatever layout.json does not name is removed at the next start.
Runs in the supervisor, before any worker.
Source: docs/formats.md "Layout"; crash cases: tests/journal/test_layout.py.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator

import msgspec

from meadowlark.errors import JournalDamaged, JournalFailed
from meadowlark.journal import recovery
from meadowlark.journal.files import UNFINISHED, Files, ensure_folders, read_whole, remove_all, replace_whole
from meadowlark.journal.log import Log
from meadowlark.journal.record import Record, Waiting
from meadowlark.journal.recovery import Tail
from meadowlark.limits import GROUP_BYTES_MAX

LAYOUT_FILE = "layout.json"
_GENERATION = re.compile(r"journal-([0-9]+)")

Owner = Callable[[str, int], int]
"""(database, workers) → the worker that owns it, 0..workers-1."""


class Layout(msgspec.Struct, frozen=True):
    """The journals in force: `journal` is their folder's name in the data folder."""

    workers: int
    journal: str

    def folder(self, data: str, worker: int) -> str:
        """The journal folder of one worker."""
        return f"{data}/{self.journal}/{worker}"


def reshard(files: Files, data: str, workers: int, owner: Owner) -> str:
    """The name of the generation in force, for `workers` workers; records have moved to their owners if the number is new.

    Durable, and nothing but it is left of earlier generations. Raises JournalDamaged, JournalFailed.
    """
    try:
        layout = read_layout(files, data)
        if layout is not None:
            _check_folders(files, data, layout)
        if layout is None:
            return switch(files, data, None, Layout(workers, "journal-1"), [])
        if layout.workers == workers:
            _remove_strays(files, data, layout)
            return layout.journal
        routed = ((owner(record.database, workers), record) for record in _all_records(files, data, layout))
        return switch(files, data, layout, Layout(workers, next_generation(layout)), routed)
    except OSError as error:
        raise JournalFailed(f"the journals in {data} could not be made ready for {workers} workers: {error}") from error


def read_layout(files: Files, data: str) -> Layout | None:
    """The layout in force; None in a new data folder. Raises JournalDamaged."""
    path = f"{data}/{LAYOUT_FILE}"
    if not files.exists(path):
        _check_new(files, data)
        return None
    content = read_whole(files, path)
    try:
        layout = msgspec.json.decode(content, type=Layout)
    except msgspec.MsgspecError as error:
        raise JournalDamaged(f"{path} cannot be read ({error}): restore it from a copy") from error
    if layout.workers < 1 or not _GENERATION.fullmatch(layout.journal):
        raise JournalDamaged(f"{path} says {layout}: expected a number of workers and the name of a generation of journals")
    return layout


def next_generation(layout: Layout) -> str:
    """The folder name of the generation after the one in force."""
    match = _GENERATION.fullmatch(layout.journal)
    assert match is not None, "read_layout has looked"
    return f"journal-{int(match[1]) + 1}"


def switch(files: Files, data: str, before: Layout | None, after: Layout, routed: Iterable[tuple[int, Record]]) -> str:
    """`after` is in force and its journals hold `routed`, (worker, record) in order; then those of `before` are gone.

    Gives the name of the generation now in force.
    """
    _remove_strays(files, data, before)
    for worker in range(after.workers):
        ensure_folders(files, data, after.journal, str(worker))
    _write_all(files, data, after, routed)
    replace_whole(files, data, LAYOUT_FILE, msgspec.json.encode(after) + b"\n")
    if before is not None:
        remove_all(files, f"{data}/{before.journal}")
        files.sync_folder(data)
    return after.journal


def _write_all(files: Files, data: str, layout: Layout, routed: Iterable[tuple[int, Record]]) -> None:
    writers: dict[int, _Writer] = {}
    for worker, record in routed:
        if worker not in writers:
            writers[worker] = _Writer(Log(files, layout.folder(data, worker), worker))
        writers[worker].append(record)
    for writer in writers.values():
        writer.close()


class _Writer:
    """A log fed record by record, in large groups."""

    __slots__ = ("_log", "_records", "_size")

    def __init__(self, log: Log) -> None:
        self._log = log
        self._log.resume(Tail())
        self._records: list[Waiting] = []
        self._size = 0

    def append(self, record: Record) -> None:
        self._records.append((record.database, record.sequence, record.body, None))
        self._size += record.size
        if self._size >= GROUP_BYTES_MAX:
            self._flush()

    def close(self) -> None:
        self._flush()
        self._log.close()

    def _flush(self) -> None:
        self._log.append(self._records)
        self._records.clear()
        self._size = 0


def _all_records(files: Files, data: str, layout: Layout) -> Iterator[Record]:
    """Every record of the generation. A database is in one worker's journal only, so its records come in order."""
    last: dict[str, int] = {}
    for worker in range(layout.workers):
        folder = layout.folder(data, worker)
        for path, record in recovery.walk_records(files, folder, worker):
            expected = last.get(record.database, record.sequence - 1) + 1
            if record.sequence != expected:
                found = f"record {record.sequence} of database {record.database!r} where record {expected} was expected"
                raise recovery.damaged(path, record.offset, found)
            last[record.database] = record.sequence
            yield record


def _check_folders(files: Files, data: str, layout: Layout) -> None:
    for worker in range(layout.workers):
        folder = layout.folder(data, worker)
        if not files.exists(folder):
            raise JournalDamaged(f"{folder} is missing, though {data}/{LAYOUT_FILE} names it: put it back from a copy")


def _check_new(files: Files, data: str) -> None:
    """Raises unless a data folder without a layout holds no journal: a first start cut short leaves empty folders."""
    for generation in _generations(files, data):
        for worker in files.list(f"{data}/{generation}"):
            if files.list(f"{data}/{generation}/{worker}"):
                raise JournalDamaged(
                    f"{data}/{LAYOUT_FILE} is missing, though {data}/{generation} holds journals: put it back from a copy, "
                    f'or write it: {{"workers": <the number of folders in {generation}>, "journal": "{generation}"}}'
                )


def _remove_strays(files: Files, data: str, layout: Layout | None) -> None:
    """What a crash has left unfinished, or half removed, is gone."""
    for name in _generations(files, data):
        if layout is None or name != layout.journal:
            remove_all(files, f"{data}/{name}")
            files.sync_folder(data)
    if files.exists(f"{data}/{LAYOUT_FILE}{UNFINISHED}"):
        files.remove(f"{data}/{LAYOUT_FILE}{UNFINISHED}")


def _generations(files: Files, data: str) -> list[str]:
    return [name for name in files.list(data) if _GENERATION.fullmatch(name)]
