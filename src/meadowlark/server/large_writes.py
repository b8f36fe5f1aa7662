"""Large writes on their way in: collected, then prepared beside everyone else's work, then written in one step.

Their bytes are bounded for the whole worker, since each client alone may send up to BODY_BYTES_MAX and what is being
prepared takes several times its bytes.
Does not know: connections, what the values mean.
"""

from __future__ import annotations

import asyncio
from collections.abc import Generator

import msgspec

from meadowlark.engine import Command, Set, Update
from meadowlark.errors import Code, Refused
from meadowlark.limits import LARGE_WRITES_BYTES_MAX
from meadowlark.server.shard import Hosted
from meadowlark.server.slicer import Slicer

TOO_MANY = f"the server is busy with large writes: more than {LARGE_WRITES_BYTES_MAX} bytes are coming in; try again in a moment"

JOIN_BYTES_MAX = 1024 * 1024
"""Joined on the loop; what is larger on another thread: from here on bytes.join lets others have the interpreter meanwhile."""

Preparing = Generator[None, None, tuple[Command, list[bytes] | None]]
"""Gives a command whose values are prepared, and the pieces of its record if that is known already."""


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

    async def prepare(self, hosted: Hosted, steps: Preparing, size: int) -> Command:
        """The command that `steps` make of `size` bytes, ready to be applied at once. Raises what they raise."""
        self.held_bytes += size
        hosted.users += 1
        try:
            command, pieces = await self._slicer.run(steps)
            if pieces is None:
                return command
            assert isinstance(command, Set | Update)
            return msgspec.structs.replace(command, record=await _join(pieces))
        finally:
            hosted.users -= 1
            self.held_bytes -= size


async def _join(pieces: list[bytes]) -> bytes:
    if sum(map(len, pieces)) <= JOIN_BYTES_MAX:
        return b"".join(pieces)
    return await asyncio.get_running_loop().run_in_executor(None, b"".join, pieces)
