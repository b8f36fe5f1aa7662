"""What is wrong with a rule set, and where: lines and columns of the file that the user wrote.

A place is an offset into the file's text until somebody must be told; `Source` makes line and column of it. Both count
from 1, columns in characters.
Source: the messages of the Realtime Database, `LINE:COL: message`, one a line.
"""

from __future__ import annotations

from bisect import bisect_right
from typing import NamedTuple

from meadowlark.errors import MeadowlarkError

BYTE_ORDER_MARK = "\ufeff"
"""What some editors begin a file with, and none of them shows or counts."""

FAULTS_MAX = 100
"""Told at once; whoever has more begins with these."""


class Fault(NamedTuple):
    """One thing that is wrong. Sorted by place."""

    line: int
    column: int
    message: str

    def __str__(self) -> str:
        return f"{self.line}:{self.column}: {self.message}"


class RulesInvalid(MeadowlarkError):
    """A rule set that cannot be used, with all that is wrong in it."""

    def __init__(self, faults: list[Fault]) -> None:
        self.faults = sorted(set(faults))[:FAULTS_MAX]
        super().__init__("".join([f"{fault}\n" for fault in self.faults]))


class Source:
    """A text of which places are told."""

    __slots__ = ("_starts", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        self._starts = [0]
        at = text.find("\n")
        while at >= 0:
            self._starts.append(at + 1)
            at = text.find("\n", at + 1)

    def place(self, offset: int) -> tuple[int, int]:
        """Line and column of the character at `offset`."""
        line = bisect_right(self._starts, offset)
        mark = line == 1 and self.text.startswith(BYTE_ORDER_MARK)
        return line, max(offset - self._starts[line - 1] + 1 - mark, 1)

    def fault(self, offset: int, message: str) -> Fault:
        return Fault(*self.place(offset), message)
