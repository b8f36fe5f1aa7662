"""What a client may ask of a database. Each becomes effects (effects.py) through `Database.apply(command, now, out)`.

`client` is who asks (client.py); `request` comes back in the Reply untouched (the socket's `r`; None asks for no reply).
Paths are parsed; values are decoded JSON, not yet checked, or `Prepared`, which belong to the database afterwards. Immutable, so
that they can be logged, kept and replayed.
Source: docs/protocol.md "Requests".
"""

from __future__ import annotations

from typing import Any

import msgspec

from meadowlark.auth.identity import Identity
from meadowlark.engine.ahead import Decision
from meadowlark.engine.client import Client
from meadowlark.query import Query
from meadowlark.tree import Path, Ranges


class Set(msgspec.Struct, frozen=True, gc=False):
    """Replace what stands at `path`. `expected`: only if the value there has this hash (a transaction)."""

    client: Client
    request: int | None
    path: Path
    value: Any
    expected: str | None = None
    record: bytes | None = None
    """The record that this write makes (preparing.py), where it was prepared too."""
    decision: Decision | None = None
    """Whether it may be done, where that was decided ahead (`Database.decide_ahead`)."""
    volatile: bool = False
    """Whether the client asks that it be never on disk; rules may say so anyway."""
    searches: int = 0
    """How often the hash to compare with was found for it in slices, because the value is large."""


class Update(msgspec.Struct, frozen=True, gc=False):
    """Replace each of `children` (relative path text → value) below `path`, all or none."""

    client: Client
    request: int | None
    path: Path
    children: dict[str, Any]
    record: bytes | None = None
    decision: Decision | None = None
    paths: list[Path] | None = None
    """Those of `children`, in their order, if they are known already."""


class Get(msgspec.Struct, frozen=True, gc=False):
    """Read once. `query`: which children, in which order; None: all."""

    client: Client
    request: int | None
    path: Path
    query: Query | None = None


class Listen(msgspec.Struct, frozen=True, gc=False):
    """Read, and be told of every change until Unlisten.

    hash: of what the client has already; "" for nothing; None: send it whatever it is. tag: comes back in every push of a
    listen to a query. Listening to the same again takes the place of the earlier listen. ranges: what it has, in more detail:
    then it may be told by ranges what it lacks.
    """

    client: Client
    request: int | None
    path: Path
    hash: str | None = ""
    query: Query | None = None
    tag: int | None = None
    ranges: Ranges | None = None


class Unlisten(msgspec.Struct, frozen=True, gc=False):
    client: Client
    request: int | None
    path: Path
    query: Query | None = None
    tag: int | None = None


class OnDisconnectSet(msgspec.Struct, frozen=True, gc=False):
    """Set `path` to `value` when the client's connection ends; replaces what is queued at and below `path`."""

    client: Client
    request: int | None
    path: Path
    value: Any


class OnDisconnectUpdate(msgspec.Struct, frozen=True, gc=False):
    client: Client
    request: int | None
    path: Path
    children: dict[str, Any]


class OnDisconnectCancel(msgspec.Struct, frozen=True, gc=False):
    """Forget what is queued at and below `path`; what an operation above would write there is cut out of it."""

    client: Client
    request: int | None
    path: Path


class Identify(msgspec.Struct, frozen=True, gc=False):
    """The client is now `identity`; listens it may no longer have are revoked."""

    client: Client
    request: int | None
    identity: Identity
    is_expiry: bool = False
    """It has become so because its credential expired: what it has queued is still of who queued it."""


class Leave(msgspec.Struct, frozen=True, gc=False):
    """The client's connection has ended: its listens go and its queued operations are carried out."""

    client: Client


class Indexed(msgspec.Struct, frozen=True, gc=False):
    """The steps of a Work have been done, and the index of `path` by `order` is there. Asked by the rim, of itself."""

    path: Path
    order: str


class Gathered(msgspec.Struct, frozen=True, gc=False):
    """The steps of a Work have been done, and what `query` shows of `path` is read. Asked by the rim, of itself."""

    path: Path
    query: Query


class Hashed(msgspec.Struct, frozen=True, gc=False):
    """The steps of a Work have been done, and the hash of `path`, or what differs of its `ranges`, is known. Asked by the rim, of
    itself."""

    path: Path
    ranges: Ranges | None = None


class Tidy(msgspec.Struct, frozen=True, gc=False):
    """Let go what has not been used for long. Asked by the rim, now and then."""


class Recheck(msgspec.Struct, frozen=True, gc=False):
    """What decides who may read has changed: listens that `clients` may not have any more are revoked. Asked by the rim."""

    clients: tuple[Client, ...]


Request = Set | Update | Get | Listen | Unlisten | OnDisconnectSet | OnDisconnectUpdate | OnDisconnectCancel | Identify
Command = Request | Leave | Indexed | Gathered | Hashed | Tidy | Recheck

HOUSEKEEPING = (Leave, Indexed, Gathered, Hashed, Tidy, Recheck)
"""Commands that are never refused, since nobody waits for an answer."""
