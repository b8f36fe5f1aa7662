"""One database as a state machine: commands in, effects out. Knows neither bytes nor sockets, files nor clocks."""

from meadowlark.engine.access import Access, Counted, Declared, Locked, NothingDeclared, Open, Ruled
from meadowlark.engine.client import Client
from meadowlark.engine.commands import (
    HOUSEKEEPING,
    Command,
    Gathered,
    Get,
    Hashed,
    Identify,
    Indexed,
    Leave,
    Listen,
    OnDisconnectCancel,
    OnDisconnectSet,
    OnDisconnectUpdate,
    Recheck,
    Request,
    Set,
    Tidy,
    Unlisten,
    Update,
)
from meadowlark.engine.database import UPDATE_AT_ONCE_MAX, Database
from meadowlark.engine.effects import Commit, Drop, Effect, Push, Reply, Revoke, Work
from meadowlark.engine.preparing import STEP_PLACES, decided_record, prepare_write, record_pieces
from meadowlark.engine.values import update_paths_slices
from meadowlark.engine.volatile import without

__all__ = [
    "HOUSEKEEPING",
    "STEP_PLACES",
    "UPDATE_AT_ONCE_MAX",
    "Access",
    "Client",
    "Command",
    "Commit",
    "Counted",
    "Database",
    "Declared",
    "Drop",
    "Effect",
    "Gathered",
    "Get",
    "Hashed",
    "Identify",
    "Indexed",
    "Leave",
    "Listen",
    "Locked",
    "NothingDeclared",
    "OnDisconnectCancel",
    "OnDisconnectSet",
    "OnDisconnectUpdate",
    "Open",
    "Push",
    "Recheck",
    "Reply",
    "Request",
    "Revoke",
    "Ruled",
    "Set",
    "Tidy",
    "Unlisten",
    "Update",
    "Work",
    "decided_record",
    "prepare_write",
    "record_pieces",
    "update_paths_slices",
    "without",
]
