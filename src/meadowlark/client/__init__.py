"""A client for Python programs: the tree of a database, kept in step over the realtime protocol. Start with `Database`."""

from meadowlark.client.database import ABORT, Database
from meadowlark.client.errors import ClientError, Closed, Contended, Denied, OutcomeUnknown, Overfull, TooSlow
from meadowlark.client.listening import Listening
from meadowlark.client.reference import (
    SERVER_TIMESTAMP,
    ChildEvent,
    OnDisconnect,
    Readable,
    Reference,
    Snapshot,
    increment,
)

__all__ = [
    "ABORT",
    "SERVER_TIMESTAMP",
    "ChildEvent",
    "ClientError",
    "Closed",
    "Contended",
    "Database",
    "Denied",
    "Listening",
    "OnDisconnect",
    "OutcomeUnknown",
    "Overfull",
    "Readable",
    "Reference",
    "Snapshot",
    "TooSlow",
    "increment",
]
