"""Large writes on their way in: collected, read and prepared beside everyone else's work, then written in one step.

Their bytes are bounded for the worker and for each database (uploads.py), since each client alone may send up to BODY_BYTES_MAX
and what is being prepared takes several times its bytes.
Does not know: connections, what the values mean.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator
from functools import partial
from typing import TypeVar

from msgspec.structs import replace

from meadowlark.engine import Set, Update, decided_record, prepare_write
from meadowlark.errors import Code, Refused
from meadowlark.limits import RECORD_BYTES_MAX
from meadowlark.server.hosted import Hosted
from meadowlark.server.slicer import Slicer
from meadowlark.server.uploads import Uploads
from meadowlark.wire.rest import WRITE_TOO_BIG

DECISIONS_MAX = 3
"""For one write; if none of them holds to its end, the write is refused."""

JOIN_BYTES_MAX = 1024 * 1024
"""Joined on the loop; what is larger on another thread: from here on bytes.join lets others have the interpreter meanwhile."""

Asked = TypeVar("Asked")


class LargeWrites:
    """One a worker."""

    __slots__ = ("_now_ms", "_slicer", "uploads")

    def __init__(self, slicer: Slicer, now_ms: Callable[[], int]) -> None:
        self._slicer = slicer
        self._now_ms = now_ms
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
        """The command with its values ready and decided, to be applied to `hosted` at once; `command` is used up.

        Raises Refused where the write cannot be granted.
        """
        database, client = hosted.database, command.client
        self.uploads.count(hosted.name, size)
        try:
            await hosted.released()  # Who the client is may be waiting behind a large update.
            prepared, pieces = await self._slicer.run(prepare_write(command, partial(database.check_write, client)))
            record = None if pieces is None else await _join(pieces)
            for _ in range(DECISIONS_MAX):
                decision = await self._slicer.run(database.decide_ahead(prepared, self._now_ms()))
                if decision is None:
                    return replace(prepared, record=record)
                made = record
                if made is None and (pieces := decided_record(decision)) is not None:
                    made = await _join(pieces)
                if database.holds(decision, client):
                    break
            return replace(prepared, record=made, decision=decision)
        finally:
            self.uploads.count(hosted.name, -size)


async def _join(pieces: list[bytes]) -> bytes:
    """The record. It may be many times as long as the text it came as: `[1,1]` stands as `{"0":1,"1":1}`. Raises Refused."""
    size = sum(map(len, pieces))
    if size > RECORD_BYTES_MAX:
        raise Refused(Code.TOO_BIG, WRITE_TOO_BIG)
    if size <= JOIN_BYTES_MAX:
        return b"".join(pieces)
    return await asyncio.get_running_loop().run_in_executor(None, b"".join, pieces)
