"""What an HTTP connection needs of its worker: the seam between the two. Worker is the real one; tests have one in memory."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

from meadowlark.engine import Command, Recheck
from meadowlark.ids import PushIds
from meadowlark.server.board import Published
from meadowlark.server.hosted import Hosted
from meadowlark.server.identities import Identities
from meadowlark.server.large_writes import LargeWrites
from meadowlark.server.outbox import Turn
from meadowlark.server.rule_sets import RuleSets
from meadowlark.server.slicer import Slicer

if TYPE_CHECKING:
    from meadowlark.server.exchange import Exchange
    from meadowlark.server.http import HttpConnection


class Shard(Protocol):
    """What is asked of server/shard.py."""

    @property
    def failure(self) -> str | None: ...

    def find(self, name: str) -> Hosted | None: ...
    async def open(self, name: str, *, admin: bool = False) -> Hosted: ...

    def create(self, name: str) -> None: ...

    def names(self) -> list[str]: ...

    @property
    def hosted(self) -> list[Hosted]: ...

    def apply(self, hosted: Hosted, command: Command, read_at: int = 0) -> None: ...
    def apply_first(self, hosted: Hosted, commands: Sequence[Recheck]) -> None: ...


class Settings(Protocol):
    @property
    def mode(self) -> str: ...

    @property
    def databases(self) -> list[str]: ...


class LongPolls(Protocol):
    """What is asked of server/long_poll.py."""

    async def answer(self, asker: HttpConnection, exchange: Exchange) -> None: ...


class WebTransports(Protocol):
    """What is asked of server/webtransport.py."""

    async def offer(self, host: str, database: str) -> dict[str, Any]: ...


class WorkerApi(Protocol):
    """What a connection needs of its worker."""

    draining: bool
    """No new requests are wanted: each connection ends with its next answer."""
    connections: set[Any]
    """The open ones, for sweeps and draining; a connection adds and removes itself."""
    push_ids: PushIds
    turn: Turn
    large_writes: LargeWrites
    slicer: Slicer

    @property
    def long_polls(self) -> LongPolls: ...

    @property
    def webtransports(self) -> WebTransports: ...

    @property
    def config(self) -> Settings: ...

    @property
    def shard(self) -> Shard: ...

    @property
    def rules(self) -> RuleSets: ...

    @property
    def identities(self) -> Identities: ...

    def now_ms(self) -> int: ...

    def owns(self, database: str) -> bool: ...

    def read_metrics(self) -> list[Published]:
        """The numbers of every worker."""

    def pass_on(self, transport: asyncio.Transport, data: bytes, database: str, *, secure: bool) -> None:
        """Takes over the connection, whose last read bytes are `data`, for the owner of `database`."""

    def upgrade(
        self, transport: asyncio.Transport, head: bytes, rest: bytes, database: str, parameters: dict[str, str], host: str
    ) -> None:
        """Takes over the connection, which asked for a WebSocket with `head`; `rest` came behind it."""
