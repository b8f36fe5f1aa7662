"""The log of what took too long: one line for each slow operation or piece of a loop turn, at most ten a second.

A line says what it was, where, how long it took and how much it moved; never a value. Keys longer than KEY_LENGTH_MAX are
written `$key`: they are ids, would name somebody, and make lines that cannot be grouped. What the bound suppresses is
counted, and the count is told with the next line or at the next `tell_suppressed`.
Does not know: what is measured; callers compare with `threshold` themselves, so that a fast operation costs a comparison.
"""

from __future__ import annotations

from collections.abc import Iterable

import structlog

from meadowlark.server.metrics import Metrics

log = structlog.get_logger()

LINES_PER_SECOND_MAX = 10
KEY_LENGTH_MAX = 16
"""Words fit; push ids (20), uuids and hashes do not."""

_SECOND = 1_000_000_000


class SlowLog:
    """One a worker. Times are nanoseconds."""

    __slots__ = ("_line_count", "_metrics", "_second", "_suppressed_count", "threshold")

    def __init__(self, metrics: Metrics, threshold_seconds: float) -> None:
        self.threshold = int(threshold_seconds * _SECOND)
        """What takes longer is slow."""
        self._metrics = metrics
        self._second = 0
        self._line_count = 0
        """Of lines written in `_second`."""
        self._suppressed_count = 0

    def report(
        self, kind: str, now: int, took: int, *, database: str = "", path: Iterable[str] | None = None, size: int = 0
    ) -> None:
        """What `kind` names has just taken `took`. size: bytes read, encoded or written; 0 if there is no saying."""
        self._metrics.slow_operations += 1
        if now // _SECOND != self._second:
            self._second, self._line_count = now // _SECOND, 0
        self._line_count += 1
        if self._line_count > LINES_PER_SECOND_MAX:
            self._suppressed_count += 1
            return
        fields: dict[str, object] = {"kind": kind, "milliseconds": round(took / 1e6, 1)}
        if database:
            fields["database"] = database
        if path is not None:
            fields["path"] = short_path(path)
        if size:
            fields["bytes"] = size
        if self._suppressed_count:
            fields["suppressed"], self._suppressed_count = self._suppressed_count, 0
        log.warning("slow", **fields)

    def tell_suppressed(self, now: int) -> None:
        """For a timer: says how many lines were left out, once the second in which they were is over."""
        if self._suppressed_count and now // _SECOND != self._second:
            log.warning("slow", kind="others", suppressed=self._suppressed_count)
            self._suppressed_count = 0


def short_path(path: Iterable[str]) -> str:
    """The path as text, with `$key` for long keys: "/rooms/$key/name"."""
    return "/" + "/".join([key if len(key) <= KEY_LENGTH_MAX else "$key" for key in path])
