"""One asker as a database sees it: a realtime session, an event stream, or a REST call.

The rim makes subclasses that also know how to send; the engine only reads and writes the fields below.
"""

from __future__ import annotations

from typing import Any

from meadowlark.auth.identity import NOBODY, Identity
from meadowlark.query import Query
from meadowlark.tree import Path


class Client:
    """Compared and hashed by identity; one a connection."""

    __slots__ = ("has_left", "id", "identity", "listens", "on_disconnect_count", "queries")

    is_session = False
    """Whether it has an end, of which the engine is told by Leave: then its volatile values go with it."""

    def __init__(self, id: str, identity: Identity = NOBODY) -> None:
        self.id = id
        """The session id; unique over the server's life, since the journal names it."""
        self.identity = identity
        self.listens: dict[Path, Any] = {}
        """Paths listened to as they are; owned by the engine, as is `queries`."""
        self.queries: dict[tuple[Path, str], tuple[int | None, Query]] = {}
        """Listens to queries, with their tags, by path and the identity of the query."""
        self.has_left = False
        """What it asked and waits for need not be answered any more."""
        self.on_disconnect_count = 0
