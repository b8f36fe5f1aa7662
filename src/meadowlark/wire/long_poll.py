"""Long polling, towards the server: what one GET of `/.lp` asks, and the messages that arrive in pieces of its query.

A browser can only load scripts from elsewhere, so a message travels as JSON in base64, cut into numbered pieces, some to a
URL. Two requests may be on their way at once and overtake each other: pieces wait for those before them. What comes out of
`Upstream` are frames as a WebSocket would have brought them (a count, then that many pieces), so the same session reads both,
with the same bounds.

`Upstream` never raises, whatever the pieces: it ends with a `fault` that says why, and takes nothing more.
Invariant: at most LONG_POLL_EARLY_PIECES_MAX pieces wait. Does not know: sessions, answers (scripts.py), who may poll.
Source: docs/protocol.md "Long polling"; tests/wire/test_long_poll.py.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable
from typing import NamedTuple

import msgspec

from meadowlark.errors import Code, Refused
from meadowlark.limits import LONG_POLL_EARLY_PIECES_MAX
from meadowlark.wire.envelope import DECODE_ERRORS, decode

NUMBER_LENGTH_MAX = 10
"""Digits of the numbers in a query: piece, count, serial, callback."""
_WORD_LENGTH_MAX = 64
"""Characters of an id or a password; ours have fewer."""
_CONTROL_BYTES_MAX = 1024


class Piece(NamedTuple):
    """`text` is a part of the base64 of a message that has `total` pieces; `number` counts all pieces of the session."""

    number: int
    total: int
    text: str


class Start(msgspec.Struct, frozen=True):
    """Begin a session; answers call functions of the page whose names end in `callback`."""

    callback: str
    last_session: str | None = None
    """That of the connection that this one continues."""


class PollRequest(msgspec.Struct, frozen=True):
    """Here are some pieces; answer when there is something to say. A `serial` that comes again is the same request again."""

    id: str
    password: str
    serial: str
    pieces: tuple[Piece, ...] = ()

    def __repr__(self) -> str:
        return f"PollRequest(serial={self.serial!r}, {len(self.pieces)} pieces)"


class PageRequest(msgspec.Struct, frozen=True):
    """The page that reports, when it is closed, that the session is over."""

    id: str
    password: str


class EndRequest(msgspec.Struct, frozen=True):
    """The session is over."""

    id: str
    password: str


Request = Start | PollRequest | PageRequest | EndRequest


def parse_long_poll(parameters: dict[str, str]) -> Request:
    """What the parameters ask. Raises Refused for what no client sends."""
    if "start" in parameters:
        return Start(_number(parameters, "cb"), parameters.get("ls") or None)
    id, password = parameters.get("id", ""), parameters.get("pw", "")
    if not 0 < len(id) <= _WORD_LENGTH_MAX or not 0 < len(password) <= _WORD_LENGTH_MAX:
        raise Refused(Code.INVALID_REQUEST, "expected start=t, or the id and pw of a session")
    if "disconn" in parameters:
        return EndRequest(id, password)
    if "dframe" in parameters:
        return PageRequest(id, password)
    return PollRequest(id, password, _number(parameters, "ser"), _pieces(parameters))


def _pieces(parameters: dict[str, str]) -> tuple[Piece, ...]:
    pieces: list[Piece] = []
    while f"seg{len(pieces)}" in parameters:
        index = len(pieces)
        number, count = _number(parameters, f"seg{index}"), _number(parameters, f"ts{index}")
        pieces.append(Piece(int(number), int(count), parameters.get(f"d{index}", "")))
    return tuple(pieces)


def _number(parameters: dict[str, str], name: str) -> str:
    """A number as it was written: some of them are put into scripts."""
    text = parameters.get(name, "")
    if not (text.isascii() and text.isdigit() and len(text) <= NUMBER_LENGTH_MAX):
        raise Refused(Code.INVALID_REQUEST, f"{name} is no number of up to {NUMBER_LENGTH_MAX} digits")
    return text


def find_control(payload: bytes | memoryview) -> str | None:
    """The kind of the control message that a frame is; None if it is anything else."""
    if len(payload) > _CONTROL_BYTES_MAX:
        return None
    try:
        message = decode(payload)
    except DECODE_ERRORS:
        return None
    return message.d.t if message.t == "c" else None


class Upstream:
    """The pieces of one session, put in order."""

    __slots__ = ("_count", "_early", "_left", "_next_number", "_rest", "fault")

    def __init__(self) -> None:
        self.fault = ""
        """Why nothing more is taken; empty while all is well."""
        self._next_number = 0
        self._early: dict[int, Piece] = {}
        """Those whose predecessors have not come."""
        self._count = 0
        """Pieces of the message that is coming in."""
        self._left = 0
        """Of them, those that have not come."""
        self._rest = ""
        """Characters that are no whole base64 group yet."""

    def receive(self, pieces: Iterable[Piece], frames: list[bytes]) -> None:
        """Appends to `frames` what is in order now; a piece that came before is dropped."""
        for piece in pieces:
            ahead = piece.number - self._next_number
            if ahead > LONG_POLL_EARLY_PIECES_MAX:
                self._end(f"piece {piece.number} came, piece {self._next_number} did not")
            elif ahead >= 0:
                self._early.setdefault(piece.number, piece)
        while not self.fault and (next_piece := self._early.pop(self._next_number, None)) is not None:
            self._next_number += 1
            self._take(next_piece, frames)

    def _take(self, piece: Piece, frames: list[bytes]) -> None:
        if not self._left:
            if not piece.total:
                self._end("a message has no pieces")
                return
            self._count = self._left = piece.total
            if piece.total > 1:
                frames.append(b"%d" % piece.total)
        elif piece.total != self._count:
            self._end(f"a message of {self._count} pieces has one that says {piece.total}")
            return
        self._left -= 1
        text = self._rest + piece.text
        whole = len(text) - len(text) % 4 if self._left else len(text)
        self._rest = text[whole:]
        try:
            frames.append(base64.b64decode(text[:whole].replace(".", "="), b"-_", validate=True))
        except (binascii.Error, ValueError):
            self._end("a piece is not base64")

    def _end(self, fault: str) -> None:
        self.fault = self.fault or fault
        self._early = {}
        self._rest = ""
