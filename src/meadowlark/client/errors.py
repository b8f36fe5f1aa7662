"""What a client raises, beside Refused for values and paths that can never be written."""

from __future__ import annotations

from meadowlark.errors import MeadowlarkError


class ClientError(MeadowlarkError):
    """Root of the client's errors."""


class Denied(ClientError):
    """The server refused: `status` is its word (`permission_denied`, `too_big`, `failed`, …), the text its reason."""

    def __init__(self, status: str, text: str, path: str) -> None:
        super().__init__(f"{status} at {path}: {text or 'no reason given'}")
        self.status = status
        self.path = path


class OutcomeUnknown(ClientError):
    """The connection was lost after the request was sent and before its answer: it may or may not have been carried out."""


class Contended(ClientError):
    """A transaction was overtaken by others as often as it was allowed to try."""


class Overfull(ClientError):
    """So much waits for the server, or for a connection to it, that nothing more is taken. Nothing was sent of this."""


class TooSlow(ClientError):
    """An iterator of events had so many waiting that it was ended rather than growing or leaving some out."""


class Closed(ClientError):
    """The database was closed, or its server said that it will never serve it; the text says which."""
