"""How far long work is, on one line of a terminal; nothing where standard error is not one."""

from __future__ import annotations

import sys
import time

_EVERY_SECONDS = 0.1
_BAR_LENGTH = 24


class Progress:
    """`advance` as bytes are done; `end` leaves the line clean for what follows."""

    def __init__(self, label: str, total_bytes: int | None = None, *, quiet: bool = False) -> None:
        self._label = label
        self._total_bytes = total_bytes
        self._done_bytes = 0
        self._began_at = time.monotonic()
        self._shown_at = 0.0
        self._is_shown = not quiet and sys.stderr.isatty()

    def advance(self, size: int) -> None:
        self.reach(self._done_bytes + size)

    def reach(self, done_bytes: int) -> None:
        self._done_bytes = done_bytes
        now = time.monotonic()
        if self._is_shown and now - self._shown_at >= _EVERY_SECONDS:
            self._shown_at = now
            sys.stderr.write("\r\x1b[K" + self._line(now - self._began_at))
            sys.stderr.flush()

    def end(self) -> None:
        if self._is_shown and self._shown_at:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()

    def _line(self, seconds: float) -> str:
        rate = f"{self._done_bytes / 1e6 / max(seconds, 0.001):.1f} MB/s"
        if not self._total_bytes:
            return f"{self._label} {self._done_bytes / 1e6:.1f} MB, {rate}"
        share = min(1.0, self._done_bytes / self._total_bytes)
        bar = "#" * int(share * _BAR_LENGTH)
        return f"{self._label} [{bar:<{_BAR_LENGTH}}] {share:4.0%} of {self._total_bytes / 1e6:.1f} MB, {rate}"
