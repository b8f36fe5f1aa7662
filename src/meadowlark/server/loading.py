"""Bringing a database into memory: its last snapshot, then the records after it, while others are served.

Files are read on another thread; what is in them is decoded and repeated in slices. Nobody else knows the database until
it is whole. Does not know: who asked for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import orjson

from meadowlark.engine import Database
from meadowlark.journal import Journal, Snapshots
from meadowlark.limits import LARGE_BYTES
from meadowlark.server.graveyard import Graveyard
from meadowlark.server.slicer import Slicer, Steps
from meadowlark.tree import decode_packed_slices, decode_slices, pack_tree_slices

BATCH_BYTES = 4 * 1024 * 1024
"""Of records read before they are repeated."""
BATCH_RECORDS = 2_000

PACKED_BYTES_MIN = 4 * 1024 * 1024
"""Of a tree's JSON held as dicts, from which on the wide maps in it are packed: less stays as quick as can be, and costs a
worker some tens of megabytes at most for each database."""

_WRITES = b'[["w",'
"""How a record of writes begins. The other large ones are of what sessions queue, which is no value of the tree yet."""

Record = tuple[int, bytes]


async def load(
    database: Database, journal: Journal, snapshots: Snapshots, slicer: Slicer, graveyard: Graveyard
) -> tuple[int, int]:
    """Fills `database`, which is empty. Gives the bytes of its snapshot and those of the records after it."""
    loop = asyncio.get_running_loop()
    snapshot = await loop.run_in_executor(None, snapshots.read, database.name)
    snapshot_bytes = record_bytes = 0
    if snapshot is not None:
        snapshot_bytes = len(snapshot.data)
        # The tree itself stays: whoever is told of its changes knows it already.
        database.tree.root = await slicer.run(decode_packed_slices(snapshot.data))
        database.sequence = snapshot.sequence
        database.restore(snapshot.sessions)
    records = journal.records(database.name, database.sequence)
    while batch := await loop.run_in_executor(None, _read_batch, records):
        record_bytes += sum([len(body) for _, body in batch])
        await slicer.run(_replay(database, batch, graveyard))
    await slicer.run(pack_tree_slices(database.tree, graveyard.bury, least=PACKED_BYTES_MIN))
    return snapshot_bytes, record_bytes


def _read_batch(records: Iterator[Record]) -> list[Record]:
    batch: list[Record] = []
    size = 0
    for record in records:
        batch.append(record)
        size += len(record[1])
        if size >= BATCH_BYTES or len(batch) >= BATCH_RECORDS:
            break
    return batch


def _replay(database: Database, batch: list[Record], graveyard: Graveyard) -> Steps:
    for sequence, body in batch:
        if len(body) <= LARGE_BYTES:
            entries = orjson.loads(body)
        elif body.startswith(_WRITES):
            entries = yield from decode_packed_slices(body)
        else:
            entries = yield from decode_slices(body)
        for node in database.replay(sequence, entries):
            graveyard.bury(node)
        yield
