"""One asker as a database sees it: a realtime session, an event stream, or a REST call.

The rim makes subclasses that also know how to send; the engine only reads and writes the fields below.
"""

from __future__ import annotations

from typing import Any

from meadowlark.auth.identity import NOBODY, Identity
from meadowlark.tree import Path


class Client:
    """Compared and hashed by identity; one a connection."""

    __slots__ = ("id", "identity", "listens", "on_disconnect_count")

    def __init__(self, id: str, identity: Identity = NOBODY) -> None:
        self.id = id
        """The session id; unique over the server's life, since the journal names it."""
        self.identity = identity
        self.listens: dict[Path, Any] = {}
        """Paths listened to; owned by the engine."""
        self.on_disconnect_count = 0
