"""Large writes on their way in: collected, read and prepared beside everyone else's work, then written in one step.

Their bytes are bounded for the whole worker, since each client alone may send up to BODY_BYTES_MAX and what is being
prepared takes several times its bytes.
Does not know: connections, what the values mean.
"""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from functools import partial
from typing import TypeVar

from msgspec.structs import replace

from meadowlark.engine import Set, Update, prepare_write
from meadowlark.errors import Code, Refused
from meadowlark.limits import LARGE_WRITES_BYTES_MAX
from meadowlark.server.shard import Hosted
from meadowlark.server.slicer import Slicer

TOO_MANY = f"the server is busy with large writes: more than {LARGE_WRITES_BYTES_MAX} bytes are coming in; try again in a moment"

JOIN_BYTES_MAX = 1024 * 1024
"""Joined on the loop; what is larger on another thread: from here on bytes.join lets others have the interpreter meanwhile."""

Asked = TypeVar("Asked")


class LargeWrites:
    """One a worker."""

    __slots__ = ("_slicer", "held_bytes")

    def __init__(self, slicer: Slicer) -> None:
        self._slicer = slicer
        self.held_bytes = 0
        """Of large bodies being collected or prepared."""

    def hold(self, size: int) -> None:
        """Room for `size` more bytes, until `let_go`. Raises Refused when there is none."""
        if self.held_bytes + size > LARGE_WRITES_BYTES_MAX:
            raise Refused(Code.UNAVAILABLE, TOO_MANY)
        self.held_bytes += size

    def let_go(self, size: int) -> None:
        self.held_bytes -= size

    async def read(self, reading: Generator[None, None, Asked], size: int) -> Asked:
        """What `reading` makes of `size` bytes. Raises what it raises."""
        self.held_bytes += size
        try:
            return await self._slicer.run(reading)
        finally:
            self.held_bytes -= size

    async def prepare(self, hosted: Hosted, command: Set | Update, size: int) -> Set | Update:
        """The command with its values ready, to be applied to `hosted` at once; `command` is used up.

        Raises Refused where the write cannot be granted.
        """
        self.held_bytes += size
        try:
            check = partial(hosted.database.check_write, command.client)
            steps = prepare_write(command, check, partial(hosted.database.validate_ahead, command.client))
            prepared, pieces = await self._slicer.run(steps)
            return prepared if pieces is None else replace(prepared, record=await _join(pieces))
        finally:
            self.held_bytes -= size


async def _join(pieces: list[bytes]) -> bytes:
    if sum(map(len, pieces)) <= JOIN_BYTES_MAX:
        return b"".join(pieces)
    return await asyncio.get_running_loop().run_in_executor(None, b"".join, pieces)
