"""One realtime connection: a line, the session machine that reads it, and the outbox that writes it.

Frames arrive from the line, the session turns them into commands, the shard carries them out, and what this client must
hear comes back through `deliver` and `send_reply` into the outbox. A line is a WebSocket (websocket.py) or a series of long polls
(long_poll.py), and may change from the second to the first while the connection stays as it is.
A message too long for one turn of the loop is prepared beside everyone else's work, and frames of a database that has had its
share of a turn wait for the next (lanes.py); until what came first is carried out nothing further is received, little is read,
and the end of the connection waits too. A connection's first messages and its end are the door's, not its database's, so that a
storm of them costs those who stay nothing.
Invariant: after `closed` nothing refers to the connection any more; no cycle is left behind (workers run without a
collector).
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Coroutine
from typing import Any, Protocol, cast

import structlog
from picows import WSCloseCode

from meadowlark.auth.identity import NOBODY, Identity
from meadowlark.auth.tokens import override
from meadowlark.engine import Command, Identify, Leave, Push, Reply, Revoke, Set, Update
from meadowlark.errors import Code, Refused
from meadowlark.limits import (
    LARGE_BYTES,
    LOST_SECONDS,
    MESSAGE_BYTES_MAX,
    PING_SECONDS,
    VOLATILE_LOST_SECONDS,
    VOLATILE_PING_SECONDS,
)
from meadowlark.server.expiries import Expiries
from meadowlark.server.families import OPERATIONS, Operation, Transport
from meadowlark.server.hosted import Hosted, Receiver
from meadowlark.server.identities import Identities
from meadowlark.server.large_messages import LargeMessage
from meadowlark.server.large_writes import LargeWrites
from meadowlark.server.line import Line
from meadowlark.server.outbox import Outbox, Place, Turn
from meadowlark.server.remarks import Remarks
from meadowlark.server.shard import Shard
from meadowlark.server.slicer import Slicer
from meadowlark.server.uploads import Upload
from meadowlark.tree import is_large
from meadowlark.wire import (
    REALTIME,
    Answer,
    Authenticate,
    Close,
    Long,
    Outcome,
    Session,
    SetPace,
    Switch,
    Unauthenticate,
    encode_auth_revoked,
    encode_debug,
    encode_get_slices,
    encode_ok,
    encode_push,
    encode_push_slices,
    encode_refusal,
    encode_reply,
    encode_revoke,
)
from meadowlark.wire.assembly import KEEPALIVE
from meadowlark.wire.drops import Drop, drop_of

log = structlog.get_logger()

_REALTIME = int(Transport.REALTIME)  # Members of enumerations are slow to look up, and this is for every frame.
_LARGE = "large"
"""Key of the message of a large value in `push.encoded`."""
HELD_FRAMES = 4
"""That wait before a connection is not read any more: most wait for a turn or two, and to stop and go on costs system calls."""
DOOR_MESSAGES = 4
"""A client's first, that are the door's: an SDK shows its credential and says again what it listens to. Its first write ends
that: what a write costs is telling the others."""
READ_NANOSECONDS = 10_000
"""Charged for each message beside what is measured: the system call that read it, and taking its frame apart."""
CLOSE_NANOSECONDS = 30_000
"""Charged to the door for the end of a connection: closing its socket, and what the loop and picows do about it."""
SWEEP_SECONDS = 12
"""Between two looks at whether a connection was silent."""
PING_SWEEPS = int(PING_SECONDS / SWEEP_SECONDS) + 1
VOLATILE_PING_SWEEPS = int(VOLATILE_PING_SECONDS / SWEEP_SECONDS) + 1
"""Looks that found it silent; the first may come just after it was heard."""


class Host(Protocol):
    """What a connection needs of its worker."""

    shard: Shard
    identities: Identities
    expiries: Expiries[RealtimeConnection]
    turn: Turn
    sessions: set[RealtimeConnection]
    large_writes: LargeWrites
    slicer: Slicer

    def now_ms(self) -> int: ...

    @property
    def tells_drops(self) -> bool:
        """Whether clients are told of volatile writes that were refused, which nobody waits for: for developers."""


class RealtimeConnection(Receiver):
    """A client of the realtime protocol."""

    is_session = True

    __slots__ = (
        "_collected_bytes", "_door_messages", "_held_frames", "_host", "_hosted", "_is_gone", "_is_preparing",
        "_is_reading", "_lane", "_lanes", "_message_bytes", "_outbox", "_reads", "_remarks", "_session", "_silent_sweeps",
        "_upload", "line",
    )  # fmt: skip

    def __init__(self, host: Host, hosted: Hosted, session_id: str, host_name: str) -> None:
        super().__init__(session_id)
        self._host = host
        self._hosted: Hosted | None = hosted
        self._session: Session | None = Session(self, host_name, LARGE_BYTES)
        self._message_bytes = 0
        """Received of the message that is coming in."""
        self._collected_bytes = 0
        """Of them, those that count for the bounds on large writes, by `_upload`."""
        self._upload: Upload | None = None
        self._lanes = host.turn.lanes
        self._lane = self._lanes.door
        """Whose share of the loop its messages take."""
        self._door_messages = DOOR_MESSAGES
        """Still to come before that is its database's."""
        self._held_frames: deque[bytes] | None = None
        """Those that came while a message is prepared or others of the lane are first; None while they need not wait."""
        self._is_preparing = False
        """Whether a message is: a long one, or a credential whose keys have to be fetched."""
        self._is_gone = False
        """Whether the connection has ended, but not all that it asked has been carried out."""
        self._is_reading = True
        """Whether the line is."""
        self._reads = True
        """Whether further requests are wanted."""
        self._outbox: Outbox | None = None
        self.line: Line | None = None
        """None before `opened` and after the end."""
        self._silent_sweeps = 0
        """Since something was heard."""
        self._remarks: Remarks | None = None
        """None until there is something to remark."""

    # Receiving

    def opened(self, line: Line) -> None:
        assert self._session is not None
        assert self._hosted is not None
        self.line = line
        self._outbox = Outbox(self._host.turn, line.write, self._too_slow, self._hosted.lane)
        self._hosted.users += 1
        self._hosted.clients[self.id] = self
        for watcher in self._hosted.watchers:
            watcher.see_connection(begins=True)
        self._host.sessions.add(self)
        self._outbox.put(self._session.hello(self._host.now_ms()))

    def received(self, payload: memoryview | bytes) -> None:
        """One text frame's payload."""
        self._silent_sweeps = 0
        if self._held_frames is not None or self._lane.is_over:
            self._hold_frame(bytes(payload))
        elif len(payload) == 1 and payload == KEEPALIVE and not self._message_bytes:
            # Most of what comes from many clients that do nothing: spared the rest.
            metrics = self._host.turn.stopwatch.metrics
            metrics.received_messages[_REALTIME] += 1
            metrics.received_bytes += 1
        else:
            self._receive(payload)

    def _hold_frame(self, frame: bytes) -> None:
        """Keeps what cannot be carried out yet; a client that goes on sending is not read meanwhile."""
        frames = self._held_frames
        if frames is None:
            frames = self._held_frames = deque()
            self._lanes.wait(self._lane, self._go_on)
        frames.append(frame)
        if len(frames) >= HELD_FRAMES:
            self._stop_reading()

    def _go_on(self) -> None:
        """The lane has time for one more frame of this connection."""
        frames = self._held_frames
        if frames:
            try:
                self._receive(frames.popleft())
            except BaseException:
                self._fail()
                raise
        if not self._is_preparing:
            self._go_on_later()

    def _go_on_later(self) -> None:
        """One frame after the other, in turn with other connections; after the last, the connection reads again, or its end."""
        if self._held_frames:
            self._lanes.wait(self._lane, self._go_on)
            return
        self._held_frames = None
        if self._is_gone:
            self._leave()
        elif self._reads and not self._is_reading and self.line is not None:
            self._is_reading = True
            self.line.resume_reading()

    def _stop_reading(self) -> None:
        if self._is_reading and self.line is not None:
            self._is_reading = False
            self.line.pause_reading()

    def _receive(self, payload: memoryview | bytes) -> None:
        session, hosted = self._session, self._hosted
        if session is None or hosted is None:
            return
        stopwatch = self._host.turn.stopwatch
        started_at = stopwatch.clock()
        events: list[Any] = []
        session.receive(payload, events)
        metrics, size = stopwatch.metrics, len(payload)
        metrics.received_messages[_REALTIME] += 1
        metrics.received_bytes += size
        self._message_bytes += size
        if not events:
            if self._message_bytes - self._collected_bytes > LARGE_BYTES:
                self._collect(hosted)
            return
        if self._collected_bytes:
            self._let_go()
        stopwatch.begin(started_at)
        for event in events:
            self._perform(event, hosted)
        took = stopwatch.finished(_OPERATIONS.get(type(event)), started_at, hosted.name, event, self._message_bytes)
        self._message_bytes = 0
        if self._door_messages:
            self._come_in(event, hosted)
        self._lanes.spend(self._lane, took + READ_NANOSECONDS)

    def _come_in(self, event: Any, hosted: Hosted) -> None:
        """One of the first messages was `event`: the last of them, and whatever tells others, is the database's."""
        self._door_messages -= 1
        if not self._door_messages or isinstance(event, Set | Update):
            self._door_messages = 0
            self._lane = hosted.lane

    def _collect(self, hosted: Hosted) -> None:
        """Counts what has come of a long message."""
        if self._upload is None:
            self._upload = Upload(self._host.large_writes.uploads, hosted.name, self._end_upload)
        came_bytes = min(self._message_bytes, MESSAGE_BYTES_MAX)
        try:
            self._upload.grow(came_bytes, came_bytes)
        except Refused as refused:
            self._end_upload(refused)
            return
        self._collected_bytes = came_bytes

    def _end_upload(self, refused: Refused) -> None:
        """There is no room for the long message. The connection ends: what came last of the message would tell which request to
        refuse."""
        self._host.turn.stopwatch.metrics.refuse(refused.code)
        self.close(WSCloseCode.TRY_AGAIN_LATER, refused.text)

    def _let_go(self) -> None:
        self._collected_bytes = 0
        upload, self._upload = self._upload, None
        if upload is not None:
            upload.close()

    def heard(self) -> None:
        self._silent_sweeps = 0

    def _perform(self, event: Any, hosted: Hosted, read_at: int = 0) -> None:
        kind = type(event)
        if kind is Answer:
            self.send_reply(event.frame)
            self._count_answer(event.code)
            if not event.frame and event.code is not None:
                self.drop(drop_of(event.code), text=event.text)
        elif kind is Authenticate:
            self._authenticate(event, hosted)
        elif kind is Unauthenticate:
            self._become(NOBODY, event.request, hosted)
        elif kind is Close:
            self.close(WSCloseCode(event.code), event.reason)
        elif kind is Long:
            self._begin_long(event, hosted)
        elif kind is SetPace:
            if self._outbox is not None:
                self._outbox.keep_pace(event.per_second)
            self.send_reply(encode_ok(event.request))
            self._count_answer(None)
        elif kind is Switch:
            if self.line is not None:
                self.line.switch()
        else:
            self._host.shard.apply(hosted, cast(Command, event), read_at)

    def _begin_long(self, long: Long, hosted: Hosted) -> None:
        self._begin_preparing(self._carry_out(long, hosted))

    def _begin_preparing(self, work: Coroutine[Any, Any, None]) -> None:
        """Nothing further is received until `work` calls `_end_long`."""
        self._is_preparing = True
        if self._held_frames is None:
            self._held_frames = deque()
        self._stop_reading()
        task = asyncio.get_running_loop().create_task(work)
        _tasks.add(task)
        task.add_done_callback(_finish_task)

    async def _carry_out(self, long: Long, hosted: Hosted) -> None:
        """Prepares what a long message asks and performs it, then what came behind it."""
        stopwatch, large_writes = self._host.turn.stopwatch, self._host.large_writes
        read_at, size = stopwatch.clock(), len(long.text)
        assert self._session is not None
        try:
            event = await large_writes.read(self._session.read(long), hosted.name, size)
            if isinstance(event, Set | Update):
                event = await self._prepare(event, hosted, size)
        except BaseException:
            self._fail()
            raise
        if isinstance(event, Authenticate):
            await self._authenticate_later(event, hosted)
            return
        started_at = stopwatch.clock()
        stopwatch.begin(started_at)
        if event is not None:
            self._perform(event, hosted, read_at)
        operation = _OPERATIONS.get(type(event))
        if operation is None:
            stopwatch.handled(None)
        else:
            stopwatch.called(operation, read_at, started_at, hosted.name, event, size)
        self._end_long()

    async def _prepare(self, command: Set | Update, hosted: Hosted, size: int) -> Outcome:
        try:
            return await self._host.large_writes.prepare(hosted, command, size)
        except Refused as refused:
            frame = b"" if command.request is None else encode_refusal(command.request, refused)
            return Answer(frame, refused.code, refused.text)

    def _end_long(self) -> None:
        """What waited for the message goes on: the frames behind it, or the end of the connection."""
        self._is_preparing = False
        self._silent_sweeps = 0
        self._go_on_later()

    # Identity

    def _authenticate(self, event: Authenticate, hosted: Hosted) -> None:
        try:
            identity = self._host.identities.look(event.credential, event.kind, hosted.name)
        except Refused as refused:
            self._refuse(event.request, refused)
            return
        if identity is None:
            self._begin_preparing(self._authenticate_later(event, hosted))
        else:
            self._act_as(identity, event, hosted)

    async def _authenticate_later(self, event: Authenticate, hosted: Hosted) -> None:
        """The keys that verify the credential have to be fetched first; what the client asks meanwhile waits behind it."""
        try:
            identity = await self._host.identities.identify(event.credential, event.kind, hosted.name)
        except Refused as refused:
            self._refuse(event.request, refused)
        except BaseException:
            self._fail()
            raise
        else:
            self._act_as(identity, event, hosted)
        self._end_long()

    def _act_as(self, identity: Identity, event: Authenticate, hosted: Hosted) -> None:
        try:
            if event.noauth or event.has_authvar:
                identity = override(identity, None if event.noauth else event.authvar)
        except Refused as refused:
            self._refuse(event.request, refused)
            return
        self._become(identity, event.request, hosted)

    def _become(self, identity: Identity, request: int | None, hosted: Hosted, *, is_expiry: bool = False) -> None:
        if not self._is_gone:
            self._host.expiries.plan(self, identity.expires_at)
        self._host.shard.apply(hosted, Identify(self, request, identity, is_expiry))

    def check_identity(self) -> None:
        """The credential may have ended: then the client is told, is nobody, and loses the listens that nobody may have."""
        before, hosted = self.identity, self._hosted
        if hosted is None or self._is_gone:
            return
        refused = self._host.identities.why_ended(before)
        if refused is None:
            self._host.expiries.plan(self, before.expires_at)  # The clock was set back meanwhile.
            return
        log.debug("credential ended", session=self.id, reason=refused.text)
        self.send_reply(encode_auth_revoked(refused))
        self._become(NOBODY, None, hosted, is_expiry=refused.code is Code.EXPIRED_TOKEN)

    def _refuse(self, request: int, refused: Refused) -> None:
        self.send_reply(self.encode_reply(Reply(self, request, refused)))
        self._count_answer(refused.code)

    def _count_answer(self, code: Code | None) -> None:
        """A request was answered without the shard, refused if there is a `code`."""
        metrics = self._host.turn.stopwatch.metrics
        metrics.replies += 1
        if code is not None:
            metrics.refuse(code)

    # Sending

    def deliver(self, push: Push) -> None:
        outbox = self._outbox
        if outbox is not None:
            made = push.encoded
            # All but the first find it made, and are spared a call.
            frames = made[REALTIME] if made is not None and REALTIME in made else encode_push(push)
            if frames and not (push.volatile and outbox.conflates):
                outbox.put(frames)
            elif push.merge and push.volatile and outbox.conflates:
                for piece in push.pieces():
                    self.deliver(piece)
            elif frames:
                outbox.put_volatile(push.place, frames)
            else:
                outbox.put_large(self._find_large(push), at_once=not push.asked)

    def _find_large(self, push: Push) -> LargeMessage:
        """The message of a large value: one for all who listen."""
        large: LargeMessage | None = push.encoded.get(_LARGE)
        if large is None:
            assert self._hosted is not None
            large = LargeMessage(self._host.slicer, self._hosted, push.value, encode_push_slices(push))
            # What a listen begins with is made when its turn comes, and the client may go before. The making holds the push,
            # which must not hold it: nobody would ever let go of either, and the tree would stay frozen.
            if not push.asked:
                push.encoded[_LARGE] = large
        return large

    def encode_reply(self, reply: Reply) -> Any:
        if reply.detail == "get" and self._hosted is not None and reply.request is not None and is_large(reply.value):
            making = encode_get_slices(reply.request, reply.value)
            return LargeMessage(self._host.slicer, self._hosted, reply.value, making)
        return encode_reply(reply)

    def drop(self, kind: object, count: int = 1, text: str = "") -> None:
        if isinstance(kind, Drop):
            self._host.turn.stopwatch.metrics.volatile_dropped[kind] += count
        outbox = self._outbox
        if outbox is not None and self._host.tells_drops:
            if self._remarks is None:
                self._remarks = Remarks(self._remark, outbox.call_later)
            self._remarks.note(kind, count, text)

    def _remark(self, text: str) -> None:
        self.send_reply(encode_debug(text.encode(errors="replace").decode()))

    def send_reply(self, encoded: Any) -> None:
        if self._outbox is None:
            return
        if not encoded:
            return  # Whoever asked wants no answer.
        if type(encoded) is LargeMessage:
            self._outbox.put_large(encoded, at_once=False)
        else:
            self._outbox.put(encoded)

    def revoke(self, effect: Revoke) -> None:
        self.send_reply(encode_revoke(effect.path, effect.query))

    def hold(self) -> Receiver:
        """The SDK computes a queued transaction on its own last one, and sends it when that is answered, with the hash of what
        it has heard by then. Had it heard of someone else's write before the answer, the hash would match and that write be lost.
        """
        if self._outbox is None:
            return self
        return _Held(self, self._outbox.hold())

    def release(self, place: Place, frame: bytes) -> None:
        """The reply that the rest waits for at `place` is `frame`."""
        if self._outbox is not None:
            self._outbox.release(place, frame)

    def rest(self) -> None:
        """The line takes nothing for now, and that is no fault of the client."""
        if self._outbox is not None:
            self._outbox.pause(asyncio.get_running_loop().time())
            self._outbox.stalled_at = None

    def change_line(self, line: Line) -> None:
        """What was not written yet is written to `line`, from which everything comes now."""
        if self._outbox is not None:
            self.line = line
            self._outbox.change_writing(line.write)
            if not self._is_reading:
                line.pause_reading()

    def abandon(self, reason: str) -> None:
        self.close(WSCloseCode.INTERNAL_ERROR, reason)

    def pause(self) -> None:
        if self._outbox is not None:
            self._outbox.pause(asyncio.get_running_loop().time())

    def resume(self) -> None:
        if self._outbox is not None:
            self._outbox.resume()

    # Ending

    def stop_reading(self) -> None:
        """Takes no more requests; what was asked is still answered."""
        self._reads = False
        self._stop_reading()

    def sweep(self) -> None:
        """Called every SWEEP_SECONDS: a silent client is asked whether it is there, and closed if it does not answer."""
        if self.line is None or self._held_frames is not None:
            return  # If frames are held we do not listen.
        self._silent_sweeps += 1
        is_shown = self._hosted is not None and self._hosted.database.volatile.count_of(self) > 0
        if self._silent_sweeps > (VOLATILE_LOST_SECONDS if is_shown else LOST_SECONDS) / SWEEP_SECONDS:
            log.info("connection lost", session=self.id, reason="no answer to a ping")
            self._abort()
        elif self._silent_sweeps == (VOLATILE_PING_SWEEPS if is_shown else PING_SWEEPS):
            self.line.ask()

    def close(self, code: WSCloseCode, reason: str) -> None:
        """Says goodbye with `code`, after what is in the outbox, and ends the session now."""
        line, outbox = self.line, self._outbox
        if line is None:
            return
        if outbox is not None:
            self._host.turn.stopwatch.metrics.sent_bytes += outbox.flush_all()
        self.closed()
        line.close(code, reason)

    def closed(self) -> None:
        """The connection is gone, or ends now: runs what it queued for this moment, in its turn, and forgets everything."""
        outbox, self._outbox = self._outbox, None
        if outbox is not None:
            outbox.close()
        remarks, self._remarks = self._remarks, None
        if remarks is not None:
            remarks.close()
        self.line = None
        self._host.sessions.discard(self)
        self._host.expiries.forget(self)
        if self._is_gone:
            return
        self._is_gone = True
        if self._held_frames is not None:
            return  # What it asked before comes first.
        if self._lanes.door.is_over:
            self._lanes.wait(self._lanes.door, self._leave)
        else:
            self._leave()

    def ends_later(self) -> bool:
        """The client will send nothing more: if the door has too much to do, the line is ended when it is its turn."""
        lanes = self._lanes
        if lanes.door.is_over:
            lanes.wait(lanes.door, self._end)
            return True
        lanes.spend(lanes.door, CLOSE_NANOSECONDS)
        return False

    def _end(self) -> None:
        self._lanes.spend(self._lanes.door, CLOSE_NANOSECONDS)
        self._abort()

    def end_now(self) -> None:
        """For who takes the session over: what it asked and its end are carried out, unless a long message is being prepared."""
        while self._held_frames and not self._is_preparing:
            self._receive(self._held_frames.popleft())
        if self._is_gone and not self._is_preparing:
            self._held_frames = None
            self._leave()

    def _leave(self) -> None:
        hosted, self._hosted = self._hosted, None
        if hosted is None:
            return
        self._let_go()
        self._session = None
        hosted.users -= 1
        for watcher in hosted.watchers:
            watcher.see_connection(begins=False)
        if hosted.clients.get(self.id) is self:
            del hosted.clients[self.id]
        stopwatch, leave = self._host.turn.stopwatch, Leave(self)
        started_at = stopwatch.clock()
        stopwatch.begin(started_at)
        self._host.shard.apply(hosted, leave)
        took = stopwatch.finished(Operation.LEAVE, started_at, hosted.name, leave)
        self._lanes.spend(self._lanes.door, took + READ_NANOSECONDS)

    def _too_slow(self, reason: str) -> None:
        log.warning("connection closed", session=self.id, reason=reason)
        # Not now: a fan-out may be going through the listeners of this database.
        asyncio.get_running_loop().call_soon(self._abort)

    def _fail(self) -> None:
        """A bug of ours: the connection ends, and what still waits of it is not carried out."""
        self._is_preparing, self._held_frames = False, None
        self._abort()
        self._leave()

    def _abort(self) -> None:
        line = self.line
        self.closed()
        if line is not None:
            line.abort()


def take_over(hosted: Hosted, last_session: str | None) -> None:
    """The client says that it comes back from `last_session`: if that is still open, it ends now."""
    old = hosted.clients.get(last_session) if last_session else None
    if isinstance(old, RealtimeConnection):
        old.close(WSCloseCode.OK, "the session goes on in another connection")
        old.end_now()


_tasks: set[asyncio.Task[None]] = set()
"""The loop itself holds tasks weakly."""


def _finish_task(task: asyncio.Task[None]) -> None:
    _tasks.discard(task)
    if not task.cancelled() and task.exception() is not None:
        log.error("message failed", exc_info=task.exception())


_OPERATIONS: dict[type, Operation] = OPERATIONS | {Authenticate: Operation.AUTH, Unauthenticate: Operation.AUTH}
"""What the outcomes of messages are measured as; the others are not operations."""


class _Held(Receiver):
    """Where a reply goes that has a place kept in a connection's outbox."""

    __slots__ = ("_connection", "_place")

    def __init__(self, connection: RealtimeConnection, place: Place) -> None:
        super().__init__(connection.id)
        self._connection = connection
        self._place = place

    def encode_reply(self, reply: Reply) -> Any:
        return encode_reply(reply)

    def send_reply(self, encoded: Any) -> None:
        self._connection.release(self._place, encoded)
