"""Writes made ready before they are commands for a database: their values prepared, and the record that they will make.

A record made here is the one that the database would make itself. That can be known beforehand where something is put at
every place of the write (removing a value may empty the maps above it) and no server value waits.
Does not know: the tree that will be written to. Source: `Commit.entries` in effects.py.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any

from msgspec.structs import replace

from meadowlark.engine.ahead import Decision
from meadowlark.engine.commands import Set, Update
from meadowlark.engine.values import update_paths_slices
from meadowlark.tree import PRIORITY, Path, Prepared, encode, format_path, prepare_decoded, prepare_small

STEP_PLACES = 32
"""Small values prepared between two yields: a third of a millisecond."""

STEP_ENTRIES = 200
"""Encoded between two yields."""

Preparing = Generator[None, None, tuple[Set | Update, list[bytes] | None]]
"""Gives a command whose values are prepared, and the pieces of its record if that is known already."""


def prepare_write(command: Set | Update, check: Callable[[Path], None]) -> Preparing:
    """Yields after each millisecond or so of work. The value in `command` is used up; it may be prepared already.

    check: raises Refused where the client may not write; asked before the work is done.
    Raises what `from_json` raises.
    """
    if isinstance(command, Update):
        return (yield from _prepare_update(command, check))
    path = command.path
    check(path)
    if path[-1:] == (PRIORITY,):
        return command, None
    value = command.value
    if type(value) is not Prepared:
        value = yield from prepare_decoded(value, len(path))
    return replace(command, value=value), record_pieces([(path, value)])


def _prepare_update(command: Update, check: Callable[[Path], None]) -> Preparing:
    children = command.children
    pieces: list[bytes] | None = []
    paths = yield from update_paths_slices(command.path, children)
    for number, (key, path) in enumerate(zip(children, paths, strict=True)):
        if number % STEP_PLACES == 0:
            yield
        check(path)
        if path[-1] == PRIORITY:
            pieces = None
            continue
        value = children[key]
        if type(value) is not Prepared:
            value = prepare_small(children[key], len(path)) or (yield from prepare_decoded(children[key], len(path)))
            children[key] = value
        if pieces is not None and not _add_pieces(pieces, path, value):
            pieces = None
    return replace(command, paths=paths), _closed(pieces)


def record_pieces(writes: list[tuple[Path, Prepared]]) -> list[bytes] | None:
    """The pieces of the record that puts each value at its path, in order; None if the database must make it."""
    pieces: list[bytes] = []
    return _closed(pieces) if all(_add_pieces(pieces, path, value) for path, value in writes) else None


def _add_pieces(pieces: list[bytes], path: Path, value: Prepared) -> bool:
    """Adds the entry that puts `value` at `path`; False if the database must make it."""
    if value.node is None or value.waits:
        return False
    pieces.append(b'%b["w",%b,' % (b"," if pieces else b"[", encode(format_path(path))))
    pieces += value.pieces
    pieces.append(b"]")
    return True


def _closed(pieces: list[bytes] | None) -> list[bytes] | None:
    return [*pieces, b"]"] if pieces else None


def decided_record(decision: Decision) -> list[bytes] | None:
    """The pieces of the record of a write whose server values were made ahead; None as above."""
    is_ready = all(value.pieces for value in decision.values)
    return record_pieces(list(zip(decision.paths, decision.values, strict=True))) if is_ready else None


def record_slices(entries: list[list[Any]]) -> Generator[None, None, bytes]:
    """The record of many `entries` that nobody could know beforehand, in steps."""
    pieces = []
    for start in range(0, len(entries), STEP_ENTRIES):
        pieces.append(encode(entries[start : start + STEP_ENTRIES])[1:-1])
        yield
    return b"[%b]" % b",".join(pieces)
