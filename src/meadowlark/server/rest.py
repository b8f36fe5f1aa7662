"""REST calls: one command to a database, its reply as the answer.

A large write is prepared beside everyone else's work before it is one. A write is answered when it is durable; its answer is
encoded at once, because the tree moves on, and a large value is frozen until it has been sent. An event stream begins as a
call too and then lives on in streams.py.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any, TypeVar

from meadowlark.auth.identity import Identity
from meadowlark.engine import Command, Push, Reply, Revoke
from meadowlark.limits import LARGE_BYTES
from meadowlark.server.families import Operation
from meadowlark.server.frozen import FrozenReply, FrozenSlices
from meadowlark.server.hosted import Hosted, Receiver
from meadowlark.server.reading import Reading
from meadowlark.server.slicer import Slicer, Steps
from meadowlark.server.streams import EventStream
from meadowlark.tree import hash_slices, is_leaf
from meadowlark.wire import answers
from meadowlark.wire.http import Response
from meadowlark.wire.rest import Action, RestRequest, read_command, read_slices

if TYPE_CHECKING:
    from meadowlark.server.http import HttpConnection
    from meadowlark.server.worker_api import WorkerApi

HTTP_NANOSECONDS = 100_000
"""Charged to a call's database for what is done around it: reading its request, writing its answer."""
CALL_NANOSECONDS = 50_000
"""Charged beforehand to let a call go on, so that not all that wait do so in one turn."""

Result = TypeVar("Result")


async def answer(
    worker: WorkerApi, connection: HttpConnection, database: str, request: RestRequest, body: bytes | bytearray
) -> None:
    """Carries `request` out; the connection gets its response now or when the write is durable. Raises Refused."""
    read_at = connection.read_at
    identity = await worker.identities.identify_caller(request.credential, database, request.acts_as)
    stopwatch = worker.turn.stopwatch
    reading = Reading(stopwatch.clock, read_at, request.timeout_seconds) if request.action is Action.GET else None
    hosted = worker.shard.find(database)
    if hosted is None:
        hosted = await _within(reading, worker.shard.open(database, admin=identity.admin))
    if request.streams:
        if not connection.is_answering:
            return  # The client went while the database was opened; nobody would ever end the stream.
        EventStream(worker, connection, hosted, identity, request.path, request.query).start(reading)
        return
    lanes, lane = worker.turn.lanes, hosted.lane
    if lane.is_over:
        hosted.users += 1
        try:
            await _within(reading, lanes.enter(lane, CALL_NANOSECONDS))
        finally:
            hosted.users -= 1
    pushed = worker.push_ids.make(worker.now_ms()) if request.action is Action.PUSH else ""
    call = RestCall(connection, hosted, identity, request, pushed, worker.slicer, reading)
    if len(body) > LARGE_BYTES and request.action in _LARGE_ACTIONS:
        command = await _read_large(worker, hosted, request, call, body, pushed)
        started_at = stopwatch.clock()
    else:
        started_at = stopwatch.clock()
        command = read_command(request, call, body, pushed)
    stopwatch.begin(started_at)
    worker.shard.apply(hosted, command, read_at)
    call.await_reply()
    took = stopwatch.called(_OPERATIONS[request.action], read_at, started_at, hosted.name, command, len(body))
    lanes.spend(lane, took + HTTP_NANOSECONDS)


async def _within(reading: Reading | None, waiting: Coroutine[Any, Any, Result]) -> Result:
    """What `waiting` gives, if it does while there is time to read. Raises Refused."""
    if reading is None:
        return await waiting
    try:
        async with asyncio.timeout(reading.left_seconds):
            return await waiting
    except TimeoutError:
        raise reading.refusal() from None


async def _read_large(
    worker: WorkerApi, hosted: Hosted, request: RestRequest, call: RestCall, body: bytes | bytearray, pushed: str
) -> Command:
    if request.action is Action.SET:
        hosted.database.check_write(call, request.path)  # Before any work is done; the others' places are not known yet.
    hosted.users += 1
    try:
        command = await worker.large_writes.read(read_slices(request, call, body, pushed), hosted.name, len(body))
        return await worker.large_writes.prepare(hosted, command, len(body))
    finally:
        hosted.users -= 1


_LARGE_ACTIONS = (Action.SET, Action.UPDATE, Action.PUSH)
_OPERATIONS = {action: Operation[f"REST_{action.value}"] for action in Action}


class RestCall(Receiver):
    """The client that one request is to its database."""

    __slots__ = ("_connection", "_hosted", "_pushed", "_reading", "_request", "_slicer", "_timer")
    kind = "rest"

    def __init__(
        self,
        connection: HttpConnection,
        hosted: Hosted,
        identity: Identity,
        request: RestRequest,
        pushed: str,
        slicer: Slicer,
        reading: Reading | None = None,
    ) -> None:
        """reading: what time there is, if it is a read."""
        super().__init__("rest", identity)
        self._connection: HttpConnection | None = connection
        self._hosted = hosted
        self._request = request
        self._pushed = pushed
        """The key that a POST adds."""
        self._slicer = slicer
        self._reading = reading
        self._timer: asyncio.TimerHandle | None = None
        """Runs while a read waits for its answer."""

    def await_reply(self) -> None:
        """A read whose answer was not there at once waits for it while there is time: its index is being made, or its hash."""
        if self._reading is not None and self._connection is not None:
            self._timer = asyncio.get_running_loop().call_later(self._reading.left_seconds, self._give_up)

    def _give_up(self) -> None:
        self._timer = None
        connection, self._connection = self._connection, None
        if connection is not None and self._reading is not None:
            connection.refuse(self._reading.refusal())

    def encode_reply(self, reply: Reply) -> Response | FrozenReply:
        database = self._hosted.database
        if self._request.export and self._request.query is None and database.volatile.count and reply.refused is None:
            reply.value = database.durable_part(self._request.path)
        if reply.value is None and self._request.shallow and self._request.query is not None and self.identity.admin:
            # Firebase's export of its emulators asks so for the first key, and leaves out what has none. A leaf is not nothing.
            whole = self._hosted.database.tree.get(self._request.path)
            reply.value = whole if whole is not None and is_leaf(whole) else None
        if not answers.needs_hash(self._request, reply):
            return self._answer(reply)
        whole = self._request.query is None and not self._request.export
        known = database.known_hash(self._request.path) if whole and not self._pushed else None
        return FrozenReply(self._hosted, reply) if known is None else self._answer(reply, known)

    def _answer(self, reply: Reply, hash: str | None = None) -> Response:
        response = answers.answer(self._request, reply, self._pushed, hash)
        if not isinstance(response.body, bytes):
            response.body = FrozenSlices(self._hosted, reply.value, response.body)
        return response

    def _answer_slowly(self, frozen: FrozenReply) -> Steps:
        """Finds the hash that the answer needs, beside everyone else's work, and then answers."""
        try:
            hash = yield from hash_slices(frozen.reply.value, (), lambda path: None, lambda path, hash: None)
            response = self._answer(frozen.reply, hash)
        finally:
            frozen.close()
        self.send_reply(response)

    def send_reply(self, encoded: Response | FrozenReply) -> None:
        if isinstance(encoded, FrozenReply):
            if self._connection is not None:
                self._slicer.begin(self._answer_slowly(encoded))
            return
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._reading is not None and self._reading.is_over:
            self._give_up()
            return
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.respond(encoded, self._reading)

    def deliver(self, push: Push) -> None:
        raise AssertionError("a REST call listens to nothing")

    def revoke(self, effect: Revoke) -> None:
        raise AssertionError("a REST call listens to nothing")
