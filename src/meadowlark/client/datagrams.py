"""What a client says over a WebTransport: text frames on the stream, and volatile values in datagrams beside it. No I/O.

Of datagrams some are lost, so a value that stays for a while is said once more on the stream, and so is what was last said of all
paths before anything else is. In front of it goes a fence that makes the datagrams before it void: one that is late does not undo
what the stream said. What the network does not take yet waits, and newer values take its place.
The twin of js/src/transport.ts. Source: docs/protocol.md "WebTransport".
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from meadowlark.client.protocol import VolatileFrame
from meadowlark.limits import DATAGRAM_PATHS_MAX
from meadowlark.wire.webtransport import (
    NUMBER_BYTES_MAX,
    PATH_BYTES_MAX,
    UPDATE_BYTES_MAX,
    encode_datagram,
    encode_fence,
    encode_frame,
    encode_path,
)

_HEAD_BYTES = 2 * NUMBER_BYTES_MAX


class Saying:
    """One connection's. `write` takes what is for the stream."""

    __slots__ = ("_fenced", "_fresh", "_numbers", "_older", "_sequence", "_unsettled", "_write")

    def __init__(self, write: Callable[[bytes], object]) -> None:
        self._write = write
        self._sequence = 0
        self._fenced = 0
        """Up to which datagrams are void."""
        self._numbers: dict[str, int] = {}
        self._fresh: dict[str, bytes] = {}
        """Values that go in the next datagram, by path."""
        self._unsettled: dict[str, VolatileFrame] = {}
        """What has only gone in datagrams since the last tick, and `_older` before that."""
        self._older: dict[str, VolatileFrame] = {}

    def begin(self) -> None:
        self._write(encode_frame(b"", is_text=False))

    def say(self, frame: bytes) -> None:
        """One text frame, which comes after all that was said before it."""
        if type(frame) is VolatileFrame and len(frame.value) <= UPDATE_BYTES_MAX and frame.path in self._numbers:
            self._fresh[frame.path] = frame.value
            self._older.pop(frame.path, None)
            self._unsettled[frame.path] = frame
            return
        self.settle()
        self._write(encode_frame(frame, is_text=True))
        if type(frame) is VolatileFrame:
            self._agree(frame.path)

    def next(self, room: int) -> bytes | None:
        """A datagram of at most `room` bytes, if there is something to say."""
        updates = []
        left = room - NUMBER_BYTES_MAX
        for path, value in self._fresh.items():
            left -= len(value) + _HEAD_BYTES
            if left < 0:
                break
            updates.append((path, value))
        if not updates:
            return None
        for path, _ in updates:
            del self._fresh[path]
        self._sequence += 1
        return encode_datagram(self._sequence, [(self._numbers[path], value) for path, value in updates])

    def tick(self) -> bool:
        """Once in SETTLE_SECONDS: what stood since the last time is said on the stream. Whether there will be more to say."""
        settled, self._older = self._older, self._unsettled
        self._unsettled = {}
        if settled:
            self._repeat(settled.values())
        return bool(self._older)

    def settle(self) -> None:
        """Says on the stream all that has only gone in datagrams."""
        frames = [*self._older.values(), *self._unsettled.values()]
        self._fresh.clear()
        self._older.clear()
        self._unsettled.clear()
        self._repeat(frames)

    @property
    def is_settled(self) -> bool:
        return not self._unsettled and not self._older

    def _repeat(self, frames: Iterable[bytes]) -> None:
        if self._fenced < self._sequence:
            self._fenced = self._sequence
            self._write(encode_frame(encode_fence(self._sequence), is_text=False))
        for frame in frames:
            self._write(encode_frame(frame, is_text=True))

    def _agree(self, path: str) -> None:
        """From the next datagram on, a number means `path`. It is said on the stream, which may be slower."""
        if path in self._numbers or len(path.encode()) > PATH_BYTES_MAX:
            return
        if len(self._numbers) == DATAGRAM_PATHS_MAX:
            return  # A number that meant another path would mean it for datagrams that come before the stream says so.
        number = self._numbers[path] = len(self._numbers)
        self._write(encode_frame(encode_path(self._sequence + 1, number, path), is_text=False))
