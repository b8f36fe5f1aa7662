"""Large writes on their way in: collected, read and prepared beside everyone else's work, then written in one step.

Their bytes are bounded for the worker and for each database (uploads.py), since each client alone may send up to BODY_BYTES_MAX
and what is being prepared takes several times its bytes.
Does not know: connections, what the values mean.
"""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from functools import partial
from typing import TypeVar

from msgspec.structs import replace

from meadowlark.engine import Set, Update, prepare_write
from meadowlark.server.shard import Hosted
from meadowlark.server.slicer import Slicer
from meadowlark.server.uploads import Uploads

JOIN_BYTES_MAX = 1024 * 1024
"""Joined on the loop; what is larger on another thread: from here on bytes.join lets others have the interpreter meanwhile."""

Asked = TypeVar("Asked")


class LargeWrites:
    """One a worker."""

    __slots__ = ("_slicer", "uploads")

    def __init__(self, slicer: Slicer) -> None:
        self._slicer = slicer
        self.uploads = Uploads()
        """Those coming in; what is prepared counts there too."""

    @property
    def held_bytes(self) -> int:
        """Of large writes being collected or prepared."""
        return self.uploads.held_bytes

    async def read(self, reading: Generator[None, None, Asked], database: str, size: int) -> Asked:
        """What `reading` makes of `size` bytes for `database`. Raises what it raises."""
        self.uploads.count(database, size)
        try:
            return await self._slicer.run(reading)
        finally:
            self.uploads.count(database, -size)

    async def prepare(self, hosted: Hosted, command: Set | Update, size: int) -> Set | Update:
        """The command with its values ready, to be applied to `hosted` at once; `command` is used up.

        Raises Refused where the write cannot be granted.
        """
        self.uploads.count(hosted.name, size)
        try:
            check = partial(hosted.database.check_write, command.client)
            steps = prepare_write(command, check, partial(hosted.database.validate_ahead, command.client))
            prepared, pieces = await self._slicer.run(steps)
            return prepared if pieces is None else replace(prepared, record=await _join(pieces))
        finally:
            self.uploads.count(hosted.name, -size)


async def _join(pieces: list[bytes]) -> bytes:
    if sum(map(len, pieces)) <= JOIN_BYTES_MAX:
        return b"".join(pieces)
    return await asyncio.get_running_loop().run_in_executor(None, b"".join, pieces)
