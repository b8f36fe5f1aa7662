"""Operations of one database as they happen, told as events: what `firebase database:profile` makes its report of.

An event `log` for each command, and one for each change that was told to listeners; names and fields are those that Firebase's
command line reads. Like any stream it waits in an outbox and is closed when its client is too slow.
Invariant: after `close` nothing watches and nothing refers to the stream.
Source: docs/rest.md "Profiling"; the report of firebase-tools.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from meadowlark.auth.identity import Identity
from meadowlark.engine import (
    Get,
    Leave,
    Listen,
    OnDisconnectCancel,
    OnDisconnectSet,
    OnDisconnectUpdate,
    Set,
    Unlisten,
    Update,
)
from meadowlark.errors import Code
from meadowlark.limits import STREAM_KEEPALIVE_SECONDS
from meadowlark.query import Query
from meadowlark.server.hosted import Hosted
from meadowlark.server.outbox import Outbox
from meadowlark.server.watching import Carried
from meadowlark.tree import Path, encode
from meadowlark.wire import events
from meadowlark.wire.http import Response

if TYPE_CHECKING:
    from meadowlark.server.http import HttpConnection
    from meadowlark.server.worker_api import WorkerApi

_NAMES: dict[type, str] = {
    Get: "read",
    Set: "write",
    Update: "update",
    Listen: "listener-listen",
    Unlisten: "listener-unlisten",
    OnDisconnectSet: "on-disconnect-put",
    OnDisconnectUpdate: "on-disconnect-update",
    OnDisconnectCancel: "on-disconnect-cancel",
    Leave: "run-on-disconnect",
}
"""What each command is called; others are not told. Reads and writes have `rest-` or `realtime-` before it."""


class OperationStream:
    """One watcher; made by a request, then kept by its connection."""

    __slots__ = ("_admin", "_connection", "_hosted", "_kept_alive_at", "_outbox", "_worker")

    def __init__(self, worker: WorkerApi, connection: HttpConnection, hosted: Hosted, admin: Identity) -> None:
        self._worker = worker
        self._connection: HttpConnection | None = connection
        self._hosted = hosted
        self._admin = admin
        """Who watches."""
        self._outbox = Outbox(worker.turn, connection.pipe.write, self._too_slow)
        self._kept_alive_at: float | None = None

    def start(self) -> None:
        assert self._connection is not None
        self._hosted.users += 1
        self._hosted.watchers = (*self._hosted.watchers, self)
        self._connection.begin_stream(self, Response(200, content_type=events.EVENT_STREAM_TYPE))

    def close(self) -> None:
        """The connection has ended."""
        connection, self._connection = self._connection, None
        if connection is not None:
            self._outbox.close()
            self._hosted.users -= 1
            self._hosted.watchers = tuple(watcher for watcher in self._hosted.watchers if watcher is not self)

    # What the database tells

    def see(self, carried: Carried) -> None:
        name = _name(carried)
        if name is not None:
            listens = type(carried.command) is Listen
            self._put(
                name,
                carried.path,
                carried.told_bytes if listens else carried.written_bytes or carried.replied_bytes,
                millis=round(carried.took_nanoseconds / 1e6, 3),
                pendingTime=round(carried.waited_nanoseconds / 1e6, 3),
                allowed=carried.refused is None or carried.refused.code is not Code.PERMISSION_DENIED,
                **_query(carried),
            )
            if listens:
                return  # What it was told is its answer.
        for told in carried.told:
            self._put("listener-broadcast", told.path, told.bytes_each * told.listener_count)

    def see_connection(self, *, begins: bool) -> None:
        self._put("concurrent-connect" if begins else "concurrent-disconnect")

    # What the connection tells

    def pause(self) -> None:
        self._outbox.pause(asyncio.get_running_loop().time())

    def resume(self) -> None:
        self._outbox.resume()

    def sweep(self, now: float) -> None:
        if self._connection is not None and self._worker.identities.why_ended(self._admin) is not None:
            self._outbox.put(events.AUTH_REVOKED)
            self._outbox.flush_all()
            self._connection.close()
            return
        if self._kept_alive_at is None:
            self._kept_alive_at = now
        elif now - self._kept_alive_at >= STREAM_KEEPALIVE_SECONDS:
            self._kept_alive_at = now
            self._outbox.put(events.KEEP_ALIVE)
        self._outbox.check_stall(now)

    def _put(self, name: str, path: Path | None = None, size: int = 0, **more: Any) -> None:
        operation: dict[str, Any] = {"name": name, "timestamp": self._worker.now_ms()}
        if path is not None:
            operation |= {"path": path, "bytes": size, "millis": 0, **more}
        self._outbox.put(b"event: log\ndata: %b\n\n" % encode(operation))

    def _too_slow(self, reason: str) -> None:
        if self._connection is not None:
            self._connection.abort()


def _query(carried: Carried) -> dict[str, Any]:
    """What was asked of the children, and whether without an index, as the report reads it."""
    query: Query | None = getattr(carried.command, "query", None)
    if query is None:
        return {}
    index = {"path": query.order_path} if query.order_path else {}
    return {"querySet": [{"index": index} | query.spec], **({"unIndexed": True} if carried.unindexed else {})}


def _name(carried: Carried) -> str | None:
    command = carried.command
    name = _NAMES.get(type(command))
    if type(command) is Leave and (carried.kind != "realtime" or not carried.written_bytes):
        return None  # Nothing was queued.
    if type(command) is Set and command.expected is not None and carried.kind == "realtime":
        return "realtime-transaction"
    return f"{carried.kind}-{name}" if name in ("read", "write", "update") else name
