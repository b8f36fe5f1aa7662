"""Waiting in asynchronous tests: for what comes about, and never for ever. `harness.eventually` is for those that block."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

SECONDS = 100.0
"""Far more than anything here takes on two busy cores."""


async def until(check: Callable[[], object], *, within: float = SECONDS) -> None:
    """Returns when `check` holds."""
    async with asyncio.timeout(within):
        while not check():
            await asyncio.sleep(0.005)


def run(work: Coroutine[Any, Any, None], *, within: float = SECONDS) -> None:
    """Runs a test in a loop of its own."""

    async def bounded() -> None:
        async with asyncio.timeout(within):
            await work

    asyncio.run(bounded())
