"""How long a connection waits for its client. One coarse sweep looks at all connections, so none needs a timer of its own.

Does not know: the connection; what its owner does when it has waited enough.
"""

from __future__ import annotations

import enum
import math

from meadowlark.limits import HANDSHAKE_SECONDS, OUTBOX_STALL_SECONDS


class Phase(enum.Enum):
    """What the connection is waiting for."""

    HEAD = enum.auto()
    """A first head, or the rest of one."""
    IDLE = enum.auto()
    """Another request."""
    BODY = enum.auto()
    """Some more of an announced body; the connection says what is enough to be progress."""
    TAKING = enum.auto()
    """The client to take any more of an answer."""
    ENDING = enum.auto()
    """The client to take the last answer and close."""
    OURS = enum.auto()
    """Nothing of the client."""


PHASE_SECONDS = {
    Phase.HEAD: HANDSHAKE_SECONDS,
    # Longer than common clients and proxies keep idle connections, so that they close first and no request meets a closed one.
    Phase.IDLE: 120.0,
    Phase.BODY: 60.0,
    Phase.TAKING: OUTBOX_STALL_SECONDS,
    Phase.ENDING: OUTBOX_STALL_SECONDS,
    Phase.OURS: math.inf,
}
"""How long a connection may be in each phase without progress."""


class Patience:
    """One connection's waiting. A new phase, or progress within one, begins it anew; precise to one sweep."""

    __slots__ = ("_phase", "_since")

    def __init__(self) -> None:
        self._phase = Phase.HEAD
        self._since: float | None = None
        """When a sweep first saw the connection in its phase; None: none has since the last progress."""

    def progress(self) -> None:
        """Something that was waited for has come."""
        self._since = None

    def is_over(self, phase: Phase, now: float) -> bool:
        """Whether the connection, now in `phase`, has been in it for too long."""
        if phase is not self._phase or self._since is None:
            self._phase, self._since = phase, now
            return False
        return now - self._since > PHASE_SECONDS[phase]
