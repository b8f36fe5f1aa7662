"""Snapshots of the databases of one worker, one at a time, while writing goes on.

A snapshot is a database as it was at one sequence; when it is there, the records up to that may go from the journal. It must not
hold what the journal may still lose, for the records after it would not join: so an empty record is appended when it is begun,
and it counts once that is durable, and with it all before. Encoding is cut into slices; compressing and writing runs beside the
loop. If it fails nothing is lost: the journal still has everything, and grows until a snapshot succeeds.
Invariant: none is begun of a database that was stopped, whose tree may be half changed.
Does not know: when one is due.
"""

from __future__ import annotations

import asyncio
from typing import Any

import structlog

from meadowlark.engine import Reply, without
from meadowlark.errors import MeadowlarkError, Refused
from meadowlark.journal import Journal, Snapshots
from meadowlark.server.graveyard import Graveyard
from meadowlark.server.hosted import Hosted, Receiver
from meadowlark.server.metrics import Metrics
from meadowlark.server.slicer import Slicer
from meadowlark.tree import encode_slices

log = structlog.get_logger()


class Saving:
    """Of all databases of a worker."""

    def __init__(self, journal: Journal, snapshots: Snapshots, slicer: Slicer, graveyard: Graveyard, metrics: Metrics) -> None:
        self._journal = journal
        self._snapshots = snapshots
        self._slicer = slicer
        self._graveyard = graveyard
        self._metrics = metrics
        self._lock = asyncio.Lock()

    async def save(self, hosted: Hosted) -> None:
        """A snapshot of `hosted` as it is when its turn comes; records up to then may go from the journal afterwards."""
        async with self._lock:
            try:
                await self._save(hosted)
            except (MeadowlarkError, OSError) as error:
                log.error("snapshot failed", database=hosted.name, error=str(error))
                self._metrics.snapshot_failures += 1
            finally:
                hosted.snapshotting = False

    async def _save(self, hosted: Hosted) -> None:
        await hosted.released()
        if hosted.stopped:
            return
        loop = asyncio.get_running_loop()
        database = hosted.database
        barrier = self._barrier(hosted)
        sequence, sessions, covered = database.sequence, database.sessions(), hosted.unsaved_bytes
        volatile = database.volatile.paths()
        writer = self._snapshots.writer(hosted.name, sequence, sessions)  # Which may fail: before anything is frozen.
        root = whole = database.tree.freeze()
        size = 0
        try:
            if volatile:
                root = await self._slicer.run(without(volatile, whole))
            for piece in encode_slices(root, with_priorities=True):
                size += len(piece)
                await loop.run_in_executor(None, writer.write, piece)
            await barrier.passed
            await loop.run_in_executor(None, writer.finish)
        except BaseException:
            writer.abandon()
            raise
        finally:
            database.tree.thaw()
            self._graveyard.bury(whole)
            self._graveyard.bury(root)
            del root, whole
        hosted.unsaved_bytes -= covered
        hosted.snapshot_bytes = size
        self._journal.covered(hosted.name, sequence)
        self._metrics.snapshots += 1
        self._metrics.snapshot_bytes += size
        log.info("snapshot", database=hosted.name, sequence=sequence, bytes=size)

    def _barrier(self, hosted: Hosted) -> _Barrier:
        """Appends an empty record; its `passed` is done when it and all before it are durable, or never will be."""
        barrier = _Barrier()
        hosted.database.sequence += 1
        self._journal.append(hosted.name, hosted.database.sequence, b"[]", (barrier, None, None, 0))
        return barrier


class _Barrier(Receiver):
    """A client that only waits for the journal."""

    __slots__ = ("passed",)

    def __init__(self) -> None:
        super().__init__("barrier")
        self.passed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def encode_reply(self, reply: Reply) -> Any:
        return reply.refused

    def send_reply(self, encoded: Any) -> None:
        if self.passed.done():
            return
        if isinstance(encoded, Refused):
            self.passed.set_exception(encoded)
        else:
            self.passed.set_result(None)
