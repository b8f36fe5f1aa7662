"""Durability: records, groups and segments on disk, snapshots, recovery, and moving to another number of workers.

One worker has one `Journal`; the shard above it speaks of databases, sequences and bodies only, so a replicated log can stand
in its place later: append → durable, records after a sequence, snapshots beside. Files are reached through the seam in files.py.
"""

from meadowlark.journal.counters import Counters
from meadowlark.journal.databases import Databases
from meadowlark.journal.files import File, Files
from meadowlark.journal.journal import Journal, Recovery
from meadowlark.journal.layout import Layout, read_layout, reshard
from meadowlark.journal.repair import Loss, Report, repair
from meadowlark.journal.snapshot import Header, Snapshot
from meadowlark.journal.snapshot_writer import SnapshotWriter
from meadowlark.journal.snapshots import Snapshots

__all__ = [
    "Counters",
    "Databases",
    "File",
    "Files",
    "Header",
    "Journal",
    "Layout",
    "Loss",
    "Recovery",
    "Report",
    "Snapshot",
    "SnapshotWriter",
    "Snapshots",
    "read_layout",
    "repair",
    "reshard",
]
