"""Volatile values towards clients in datagrams: numbers for paths, one encoding for all who listen, and what a client hears.

A path of a database gets a number when the first volatile value is told there to somebody who takes datagrams. It is the same for
all of them, so an update (number, sequence, length, value) is encoded once, and a datagram of one client is the bytes of updates
behind each other. The sequence counts the updates of a number: of two the later counts, whether it came in a datagram or on the
stream, and however late the other is.

What is told otherwise has no sequence: a value that lasts, the beginning of a listen. Around such a message, where it concerns a
path with a number, the stream says that datagrams are void, and then which epoch counts from there on. A datagram has the epoch
of its making, so whatever was made before the message is never taken after it, and what was made after it never before it.

A number is of one path for ever. Paths with numbers never contain one another, because sequences of different numbers say
nothing about each other: where they would, the value goes as an ordinary message. A number that is only in the way is given up.
Invariant: at most NUMBERS_MAX paths have numbers. Nothing here raises, whatever the bytes.
Source: docs/protocol.md "WebTransport"; tests/wire/test_numbering.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Protocol

from meadowlark.engine.effects import Push
from meadowlark.limits import DATAGRAM_PATHS_MAX, FRAME_BYTES_MAX, NUMBERS_MAX
from meadowlark.tree import Path, encode
from meadowlark.wire.webtransport import PATH_BYTES_MAX, encode_frame, encode_number, encode_path, read_number

NUMBERED = "numbered"
"""Key of the number in `push.encoded`; None there: the push is told by an ordinary message."""
UPDATE = "update"
"""Key of the update."""
OVERLAPPED = "overlapped"
"""Key of the numbers whose paths a push touches."""

FRAME_UPDATES_BYTES_MAX = FRAME_BYTES_MAX - 8
_EPOCH, _UPDATES, _FORGET = 2, 3, 4
CONFLICTS_MAX = 8
"""For which a number that is not used stands in the way of others."""
_LOOK_UPDATES = 8 * NUMBERS_MAX
"""Between two looks at how many of all numbers are in use."""


class Number:
    """A path's."""

    __slots__ = ("conflict_count", "is_used", "number", "path", "sequence")

    def __init__(self, number: int, path: Path) -> None:
        self.number = number
        self.path = path
        self.sequence = 0
        """Of its last update."""
        self.is_used = True
        """Whether there was one since the last look."""
        self.conflict_count = 0
        """Values since then at paths that may have no number because of this one."""


class Numbered(Protocol):
    """Who was told numbers."""

    def renumber(self) -> None:
        """No number that was told is used any more."""


class Numbering:
    """The numbers of one database."""

    __slots__ = ("_above", "_by_path", "_last", "_updates", "clients", "given_up_count")

    def __init__(self) -> None:
        self._by_path: dict[Path, Number] = {}
        self._above: dict[Path, int] = {}
        """How many of them are below a path."""
        self._last = -1
        self._updates = 0
        """Since the last look."""
        self.clients: set[Numbered] = set()
        self.given_up_count = 0
        """Numbers whose paths may get others."""

    def find(self, push: Push) -> Number | None:
        """The number by which `push` is told, which then has its update in `push.encoded`; None: it is told as others are."""
        made = push.encoded
        if made is None:
            made = push.encoded = {}
        elif NUMBERED in made:
            return made[NUMBERED]  # type: ignore[no-any-return]  # Push.encoded is Any; only this method writes the key.
        number = made[NUMBERED] = self._number(push)
        if number is not None:
            number.sequence += 1
            number.is_used = True
            number.conflict_count = 0
            self._updates += 1
            made[UPDATE] = encode_update(number.number, number.sequence, b"" if push.value is None else encode(push.value))
        return number

    def overlapped(self, push: Push) -> tuple[Number, ...]:
        """Those whose paths are at, above or below what `push` tells of."""
        made = push.encoded
        if made is None:
            made = push.encoded = {}
        found: tuple[Number, ...] | None = made.get(OVERLAPPED)
        if found is None:
            found = made[OVERLAPPED] = self._overlapped(push) if self._by_path else ()
        return found

    def _overlapped(self, push: Push) -> tuple[Number, ...]:
        if not push.merge:
            return tuple(self._touched(push.path))
        found: dict[Number, None] = {}
        for relative in push.value:
            found.update(dict.fromkeys(self._touched((*push.path, *relative.split("/")))))
        return tuple(found)

    def _touched(self, path: Path) -> list[Number]:
        found = [number for depth in range(len(path) + 1) if (number := self._by_path.get(path[:depth])) is not None]
        if path in self._above:
            found += [number for place, number in self._by_path.items() if len(place) > len(path) and place[: len(path)] == path]
        return found

    def _number(self, push: Push) -> Number | None:
        number = self._by_path.get(push.path)
        if number is not None:
            return number
        overlapped = self.overlapped(push)
        if overlapped:
            for other in overlapped:
                other.conflict_count += 1
                if other.conflict_count > CONFLICTS_MAX:
                    self._give_up(other)
            return None
        if push.value is None or len("/".join(push.path).encode()) > PATH_BYTES_MAX:
            return None
        if len(self._by_path) >= NUMBERS_MAX and not self._renew():
            return None
        self._last += 1
        number = self._by_path[push.path] = Number(self._last, push.path)
        for depth in range(len(push.path)):
            above = push.path[:depth]
            self._above[above] = self._above.get(above, 0) + 1
        return number

    def _give_up(self, number: Number) -> None:
        self.given_up_count += 1
        del self._by_path[number.path]
        for depth in range(len(number.path)):
            above = number.path[:depth]
            self._above[above] -= 1
            if not self._above[above]:
                del self._above[above]

    def _renew(self) -> bool:
        """Gives all numbers up, if most are not in use any more."""
        self._updates += 1
        if self._updates < _LOOK_UPDATES:
            return False
        self._updates = 0
        used_count = sum(number.is_used for number in self._by_path.values())
        if used_count > NUMBERS_MAX // 2:
            for number in self._by_path.values():
                number.is_used = False
            return False
        self._by_path.clear()
        self._above.clear()
        for client in list(self.clients):
            client.renumber()
        return True

    def check(self) -> None:
        """Asserts the invariants; for tests."""
        assert len(self._by_path) <= NUMBERS_MAX
        above: dict[Path, int] = {}
        for path in self._by_path:
            for depth in range(len(path)):
                assert path[:depth] not in self._by_path, "a path with a number contains another"
                above[path[:depth]] = above.get(path[:depth], 0) + 1
        assert above == self._above


# What the stream says, as frames

VOID = b"\x82\x01\x02"
"""No datagram counts."""
FORGET = b"\x82\x01\x04"
"""No number means anything."""


def encode_agreement(number: Number) -> bytes:
    """The number means its path from its last update on."""
    return _frame(encode_path(number.sequence, number.number, "/".join(number.path)))


def encode_epoch(epoch: int) -> bytes:
    """Datagrams of `epoch` count, and no others."""
    return _frame(bytes([_EPOCH]) + encode_number(epoch))


def encode_updates(updates: Iterable[bytes]) -> bytes:
    """What might be lost in datagrams, where nothing is."""
    frames, parts, size = [], [bytes([_UPDATES])], 0
    for update in updates:
        if size + len(update) > FRAME_UPDATES_BYTES_MAX:
            frames.append(_frame(b"".join(parts)))
            parts, size = [bytes([_UPDATES])], 0
        parts.append(update)
        size += len(update)
    return b"".join([*frames, _frame(b"".join(parts))])


def encode_update(number: int, sequence: int, value: bytes) -> bytes:
    """value: JSON; b"": nothing stands there any more."""
    return b"".join((encode_number(number), encode_number(sequence), encode_number(len(value)), value))


def _frame(payload: bytes) -> bytes:
    return encode_frame(payload, is_text=False)


# The client's side


class _Known:
    """A number's path, and the sequence of what was last heard of it."""

    __slots__ = ("heard", "path")

    def __init__(self, path: str, heard: int) -> None:
        self.path = path
        self.heard = heard


class Heard:
    """What one client has heard. `told` is called with the path and the JSON of each value that counts, b"" for none."""

    __slots__ = ("_epoch", "_known", "_told", "dropped")

    def __init__(self, told: Callable[[str, bytes], object]) -> None:
        self._told = told
        self._known: dict[int, _Known] = {}
        self._epoch: int | None = 0
        """None while no datagram counts."""
        self.dropped = 0
        """Updates and datagrams that did not count."""

    def agree(self, payload: bytes) -> None:
        """Takes note of a binary frame of the stream; what later versions may say means nothing."""
        kind = payload[0] if payload else 0
        if kind == _UPDATES:
            self._take(payload, 1)
        elif kind == _EPOCH:
            self._epoch, _ = read_number(payload, 1)
        elif kind == _FORGET:
            self._known.clear()
        elif kind == 1:
            sequence, at = read_number(payload, 1)
            number, at = read_number(payload, at)
            if sequence is not None and number is not None and (number in self._known or len(self._known) < DATAGRAM_PATHS_MAX):
                self._known[number] = _Known(payload[at:].decode(errors="replace"), sequence - 1)

    def receive(self, datagram: bytes) -> None:
        epoch, at = read_number(datagram, 0)
        if epoch is None or epoch != self._epoch:
            self.dropped += 1
        else:
            self._take(datagram, at)

    def _take(self, data: bytes, at: int) -> None:
        while at < len(data):
            number, at = read_number(data, at)
            sequence, at = read_number(data, at)
            size, at = read_number(data, at)
            if number is None or sequence is None or size is None or at + size > len(data):
                return
            known = self._known.get(number)
            if known is None or sequence <= known.heard:
                self.dropped += 1
            else:
                known.heard = sequence
                self._told(known.path, data[at : at + size])
            at += size
