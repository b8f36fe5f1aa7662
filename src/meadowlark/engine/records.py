"""The record of a write made ready before its command: what the journal will be given, encoded while others work.

A record prepared here is the one that the database would make itself. That can be known beforehand where something is put
at every place of the write (removing a value may empty the maps above it) and no server value waits.
Source: `Commit.entries` in effects.py.
"""

from __future__ import annotations

from meadowlark.tree import Path, Prepared, encode, format_path


def record_pieces(writes: list[tuple[Path, Prepared]]) -> list[bytes] | None:
    """The pieces of the record that puts each value at its path, in order; None if the database must make it."""
    pieces: list[bytes] = []
    for path, value in writes:
        if value.node is None or value.waits:
            return None
        pieces.append(b'%b["w",%b,' % (b"," if pieces else b"[", encode(format_path(path))))
        pieces += value.pieces
        pieces.append(b"]")
    return [*pieces, b"]"]
