"""Whether a file is still the one that was looked at before: for those that an operator changes while a server runs."""

from __future__ import annotations

import os

Stamp = tuple[int, int, int]
"""When it was written, which file it is, and how long."""


def stamp_of(file: str) -> Stamp | None:
    """None where there is no file at the moment, or it cannot be seen."""
    try:
        found = os.stat(file)
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ino, found.st_size
