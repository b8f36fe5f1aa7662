"""What the supervisor tells a worker at its start: JSON in an environment variable, descriptors by number."""

from __future__ import annotations

import msgspec

from meadowlark.server.config import Config

SPEC_VARIABLE = "MEADOWLARK_SERVICE_WORKER"


class WorkerSpec(msgspec.Struct, frozen=True, kw_only=True):
    index: int
    config: Config
    data: str
    journal: str
    """Folder of the current generation of journals, below `data`."""
    listeners: list[int]
    inbox: int
    others: list[int]
    """Ways into every worker's inbox, by index."""
    control: int
    """Says "ready" once; its closing tells either side that the other is gone."""
    board: int
    """Memory in which all workers have their numbers (board.py)."""
    lock: int
    """The data folder's lock, held by being open."""
