"""Reads a running server's metrics again and again and prints them: the loop of `meadowlark top`.

On a terminal each table replaces the one before; elsewhere they follow each other. A server that does not answer is said to
and asked again, since it may be restarting; with `once` it ends with the error.
Does not know: what is in a table (top.py), where the server is.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

import msgspec

from meadowlark.errors import WorldError
from meadowlark.server import top

_CLEAR = "\x1b[H\x1b[J"
"""Cursor to the corner, and everything after it gone."""


def watch(read: Callable[[], list[top.Reading]], *, interval: float, once: bool, as_json: bool) -> None:
    """Prints a table, or a line of JSON, for every `interval` seconds until interrupted. Raises WorldError with `once`."""
    before: list[top.Reading] | None = None
    try:
        while True:
            try:
                after = read()
            except WorldError as error:
                if once:
                    raise
                _show(str(error), as_json=as_json)
                before = None
            else:
                if before is not None:
                    _show_lines(top.lines(before, after), as_json=as_json)
                    if once:
                        return
                before = after
            time.sleep(interval)
    except KeyboardInterrupt:
        return


def _show_lines(lines: list[top.Line], *, as_json: bool) -> None:
    if as_json:
        print(msgspec.json.encode(lines).decode(), flush=True)
    else:
        _show(top.table(lines), as_json=False)


def _show(text: str, *, as_json: bool) -> None:
    """For people: on standard error where standard output is for programs."""
    clear = _CLEAR if sys.stdout.isatty() and not as_json else ""
    print(clear + text, file=sys.stderr if as_json else sys.stdout, flush=True)
