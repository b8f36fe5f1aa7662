"""One database as a state machine: commands in, effects out. Knows neither bytes nor sockets, files nor clocks."""

from meadowlark.engine.access import Access, Locked, Open
from meadowlark.engine.client import Client
from meadowlark.engine.commands import (
    Command,
    Get,
    Identify,
    Leave,
    Listen,
    OnDisconnectCancel,
    OnDisconnectSet,
    OnDisconnectUpdate,
    Set,
    Unlisten,
    Update,
)
from meadowlark.engine.database import Database
from meadowlark.engine.effects import Commit, Drop, Effect, Push, Reply, Revoke
from meadowlark.engine.preparing import prepare_write, record_pieces

__all__ = [
    "Access",
    "Client",
    "Command",
    "Commit",
    "Database",
    "Drop",
    "Effect",
    "Get",
    "Identify",
    "Leave",
    "Listen",
    "Locked",
    "OnDisconnectCancel",
    "OnDisconnectSet",
    "OnDisconnectUpdate",
    "Open",
    "Push",
    "Reply",
    "Revoke",
    "Set",
    "Unlisten",
    "Update",
    "prepare_write",
    "record_pieces",
]
