"""Whose turn it is among the transactions of one client: of those whose places overlap, only the first is under way.

The others would compute on what it has written and is not answered, and would all be stale with it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from meadowlark.tree import Path


class Turns:
    """In the order in which they were asked for."""

    def __init__(self) -> None:
        self._taken: list[tuple[Path, asyncio.Event]] = []

    @asynccontextmanager
    async def take(self, path: Path) -> AsyncIterator[None]:
        """Inside, nobody else has a turn at a place that overlaps `path`."""
        before = [over for other, over in self._taken if _overlap(other, path)]
        over = asyncio.Event()
        self._taken.append((path, over))
        try:
            for other in before:
                await other.wait()
            yield
        finally:
            self._taken.remove((path, over))
            over.set()


def _overlap(one: Path, other: Path) -> bool:
    length = min(len(one), len(other))
    return one[:length] == other[:length]
