"""Every error that Meadowlark raises or sends, in one tree and one table.

    MeadowlarkError
    ├── Refused            theirs: a request that cannot be granted; becomes a reply, never a traceback
    ├── WorldError         the world's: disk, network, another process; handled at the rim
    │   ├── JournalFailed      the disk refused a write or a sync; nothing more is acknowledged
    │   ├── JournalDamaged     bytes on disk that cannot be a torn tail; nothing is skipped silently
    │   ├── DataFolderLocked   another server owns the data folder
    │   └── ConfigInvalid      a setting that cannot be used
    └── BrokenInvariant    ours: a bug; the database concerned stops

`CODES` is the table: what a refusal is called on the realtime socket, which HTTP status it has, and whether the same
request may succeed later. Texts name what happened, what was expected and where; never a token, never a value.
Source: the statuses that the official SDKs know (docs/protocol.md "Statuses").
"""

from __future__ import annotations

import enum
from typing import NamedTuple


class Code(enum.Enum):
    """Why a request was refused. Stable: clients and tests may rely on the names."""

    PERMISSION_DENIED = "permission_denied"
    STALE = "datastale"
    INVALID_TOKEN = "invalid_token"
    EXPIRED_TOKEN = "expired_token"
    INVALID_DATA = "invalid_data"
    INVALID_PATH = "invalid_path"
    INVALID_REQUEST = "invalid_request"
    INDEX_MISSING = "index_missing"
    TOO_BIG = "too_big"
    UNKNOWN_DATABASE = "unknown_database"
    UNSUPPORTED = "unsupported"
    UNAVAILABLE = "unavailable"


class Policy(NamedTuple):
    """How one code looks outside. `status`: the `s` of a socket reply; `http`: the REST status."""

    status: str
    http: int
    retry: bool


CODES: dict[Code, Policy] = {
    Code.PERMISSION_DENIED: Policy("permission_denied", 401, False),
    Code.STALE: Policy("datastale", 412, True),
    Code.INVALID_TOKEN: Policy("invalid_token", 401, False),
    Code.EXPIRED_TOKEN: Policy("expired_token", 401, False),
    Code.INVALID_DATA: Policy("failed", 400, False),
    Code.INVALID_PATH: Policy("failed", 400, False),
    Code.INVALID_REQUEST: Policy("failed", 400, False),
    Code.INDEX_MISSING: Policy("failed", 400, False),
    Code.TOO_BIG: Policy("too_big", 400, False),
    Code.UNKNOWN_DATABASE: Policy("failed", 404, False),
    Code.UNSUPPORTED: Policy("failed", 400, False),
    Code.UNAVAILABLE: Policy("unavailable", 503, True),
}


class MeadowlarkError(Exception):
    """Root of all errors of ours."""


class Refused(MeadowlarkError):
    """A request that cannot be granted: `code` for programs, `text` for people. Nothing has changed.

    debug: why rules denied it, for a client that may know.
    """

    def __init__(self, code: Code, text: str, debug: str = "") -> None:
        super().__init__(text)
        self.code = code
        self.text = text
        self.debug = debug

    def fresh(self) -> Refused:
        """The same without a traceback, whose frames would refer to whatever holds it."""
        return Refused(self.code, self.text, self.debug)

    @property
    def status(self) -> str:
        """The `s` of a reply on the realtime socket."""
        return CODES[self.code].status

    @property
    def http_status(self) -> int:
        return CODES[self.code].http


class WorldError(MeadowlarkError):
    """Something outside the server failed; the text says what an operator can do."""


class JournalFailed(WorldError):
    """A write or a sync of the journal failed; from then on nothing is acknowledged."""


class JournalDamaged(WorldError):
    """Stored bytes are wrong in a place that no crash explains; starting anyway could lose acknowledged writes."""


class DataFolderLocked(WorldError):
    """Another server owns the data folder."""


class ConfigInvalid(WorldError):
    """A setting is unknown or has a value that cannot be used."""


class BrokenInvariant(MeadowlarkError):
    """A bug of ours; the database that met it stops rather than going on wrong."""
