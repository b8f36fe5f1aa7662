"""A long message put together: a count, then that many text frames that are one JSON text.

One Assembly is one announced message; `add` is called with each piece. A message over limits.MESSAGE_BYTES_MAX is not kept but
counted to its end, so that it can be refused by its request number and the connection goes on: a client whose connection is
closed instead would send the same write again for ever.

Invariant: at most MESSAGE_BYTES_MAX bytes are held, whatever was announced.
Source: docs/protocol.md "Frames".
"""

from __future__ import annotations

from meadowlark.limits import MESSAGE_BYTES_MAX

COUNT_LENGTH_MAX = 6
"""A frame of up to six bytes may be a count; no message is as short."""

KEEPALIVE = b"0"
"""The frame that says that a client is still there: between two messages it means nothing else."""

_HEAD_BYTES = 128
"""Kept of a message that is too big, to find its request number."""


def find_count(frame: bytes | memoryview) -> int | None:
    """The count that a short frame announces (0: a keepalive), or None if it is no number."""
    digits = bytes(frame)
    return int(digits) if len(digits) <= COUNT_LENGTH_MAX and digits.isdigit() else None


class Assembly:
    """`text` is the message so far, or only its head once `is_too_big`."""

    __slots__ = ("frames_left", "is_too_big", "text")

    def __init__(self, frame_count: int) -> None:
        self.frames_left = frame_count
        self.text = bytearray()
        self.is_too_big = False

    def add(self, frame: bytes | memoryview) -> bool:
        """Takes a copy of the next piece; True when it was the last."""
        self.frames_left -= 1
        if not self.is_too_big:
            self.text += frame
            if len(self.text) > MESSAGE_BYTES_MAX:
                self.is_too_big = True
                self.text = self.text[:_HEAD_BYTES]
        return not self.frames_left
