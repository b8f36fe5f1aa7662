"""What carries a realtime connection, as the connection sees it: a WebSocket, a series of long polls, a WebTransport's stream.

A line calls its connection when something comes (`opened`, `received`, `heard`, `pause`, `resume`, `closed`), and the connection
calls what is here. A connection may change its line, and has one at a time.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from picows import WSCloseCode


class Line(Protocol):
    """What carries a connection's frames. What is written has been framed for a WebSocket."""

    @property
    def write(self) -> Callable[[bytes], Any]: ...

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...

    def ask(self) -> None:
        """Asks a client that was silent whether it is there."""

    def close(self, code: WSCloseCode, reason: str) -> None:
        """Says goodbye, after what was written."""

    def abort(self) -> None:
        """Ends now."""

    def switch(self) -> None:
        """The client has sent its last frame on this line, and goes on with another."""
