"""Long polls: the other kind of line under a realtime connection, for browsers whose WebSockets do not come through.

A line writes by answering a poll. So the connection's outbox is paused while no poll is open: what must be said waits there, with
the bounds that hold for every client, and leaves with the next poll. One poll is held at a time; a newer one releases it. A
client that polls no more is silent, and is closed by the sweep that closes silent WebSockets. Who may poll is known by an id
and a password of 128 random bits each, which only the answer to the first request tells.

An upgrade changes the line under the connection: the client opens a WebSocket that names the session, says on the old line that
this was its last word there, and goes on. Frames that the WebSocket brings before that word are held.
Invariant: a closed line refers to no connection and no request.
Does not know: requests as text (wire/long_poll.py), answers as scripts (wire/scripts.py).
Source: docs/protocol.md "Long polling".
"""

from __future__ import annotations

import asyncio
import hmac
import secrets
from typing import Protocol

import structlog
from picows import WSCloseCode

from meadowlark.errors import Code, Refused
from meadowlark.limits import (
    LONG_POLL_HOLD_SECONDS,
    LONG_POLL_SESSIONS_MAX,
    LONG_POLL_UPGRADE_BYTES_MAX,
    LONG_POLL_UPGRADE_SECONDS,
    LONG_POLL_WAITING_MAX,
)
from meadowlark.server.exchange import Exchange
from meadowlark.server.hosted import Hosted
from meadowlark.server.line import Line
from meadowlark.server.realtime import Host, RealtimeConnection, take_over
from meadowlark.server.websocket import WebSocketLine
from meadowlark.wire import PONG, UPGRADE, encode_shutdown
from meadowlark.wire.http import HttpFault, Response
from meadowlark.wire.long_poll import EndRequest, PageRequest, PollRequest, Start, Upstream, find_control, parse_long_poll
from meadowlark.wire.scripts import CLOSE, Message, Unframer, close_after, page, script, start_script, upgrade_messages

log = structlog.get_logger()

REPEATED_BYTES_MAX = 65_536
"""Of an answer that is kept, in case its request comes again."""
REPEATED_MAX = 2
"""Answers that are kept: of the requests that a client may have on their way."""


class Asker(Protocol):
    """The HTTP connection of a request."""

    def is_busy_with(self, exchange: Exchange) -> bool: ...

    def respond(self, response: Response) -> None: ...


class Poll:
    """One request that may be answered later."""

    __slots__ = ("_asker", "_exchange", "held_at", "serial")

    def __init__(self, asker: Asker, exchange: Exchange, now: float, serial: str = "") -> None:
        self._asker = asker
        self._exchange = exchange
        self.serial = serial
        self.held_at = now

    @property
    def is_open(self) -> bool:
        """Whether the client still waits for the answer, or for the rest of it."""
        return self._asker.is_busy_with(self._exchange)

    def respond(self, response: Response) -> None:
        self._asker.respond(response)


class LongPolls:
    """The long-poll sessions of one worker, by id."""

    def __init__(self, host: Host, public_host: str = "") -> None:
        """public_host: what clients are told to call us; empty: what they called us."""
        self._host = host
        self._public_host = public_host
        self._lines: dict[str, LongPollLine] = {}
        self._loop = asyncio.get_running_loop()

    def __len__(self) -> int:
        return len(self._lines)

    async def answer(self, asker: Asker, exchange: Exchange) -> None:
        """Answers `exchange`, or keeps it until there is something to say. Raises Refused."""
        if exchange.head.method != "GET":
            raise HttpFault(405, "this address answers GET")
        request = parse_long_poll(exchange.target.parameters)
        if isinstance(request, Start):
            await self._begin(asker, exchange, request)
            return
        poll = Poll(asker, exchange, self._loop.time())
        line = self._find(request)
        if isinstance(request, PageRequest):
            assert exchange.database is not None
            poll.respond(page(request.id, request.password, exchange.database) if line else script())
        elif line is None:
            poll.respond(script(after=CLOSE))
        elif isinstance(request, EndRequest):
            line.end("the client has closed")
            poll.respond(script())
        else:
            poll.serial = request.serial
            line.receive(poll, request)

    def find_line(self, hosted: Hosted, session_id: str) -> LongPollLine | None:
        """The line of a session of `hosted`, if it has one of this kind."""
        connection = hosted.clients.get(session_id)
        line = connection.line if isinstance(connection, RealtimeConnection) else None
        return line if isinstance(line, LongPollLine) else None

    def forget(self, line: LongPollLine) -> None:
        self._lines.pop(line.id, None)

    def sweep(self, now: float) -> None:
        """Once a second: polls that were held for long are answered, upgrades that do not come are given up."""
        for line in list(self._lines.values()):
            line.sweep(now)

    def _find(self, request: PollRequest | PageRequest | EndRequest) -> LongPollLine | None:
        line = self._lines.get(request.id)
        password = line.password if line is not None else ""
        # Compared in any case, and in the same time whatever is in it, so that answers tell nothing by how long they take.
        is_right = hmac.compare_digest(request.password.encode(), password.encode())
        return line if is_right else None

    async def _begin(self, asker: Asker, exchange: Exchange, request: Start) -> None:
        assert exchange.database is not None
        if len(self._lines) >= LONG_POLL_SESSIONS_MAX:
            raise Refused(Code.UNAVAILABLE, "this worker has as many sessions over long polls as it may: try again later")
        id, password = secrets.token_urlsafe(16), secrets.token_urlsafe(16)
        poll = Poll(asker, exchange, self._loop.time())
        before = start_script(request.callback, id, password)
        try:
            hosted = await self._host.shard.open(exchange.database)
        except Refused as refused:
            if refused.code is Code.UNAVAILABLE:
                raise
            poll.respond(_turned_away(before, refused.text))
            return
        if not poll.is_open:
            return
        take_over(hosted, request.last_session)
        called = self._public_host or exchange.head.headers.get("host", "")
        connection = RealtimeConnection(self._host, hosted, secrets.token_urlsafe(16), called)
        line = self._lines[id] = LongPollLine(self, id, password, connection)
        line.begin(poll, before)


def _turned_away(before: bytes, text: str) -> Response:
    """The only packet of a session that can never be: the client is told why, and does not come back."""
    messages: list[Message] = []
    Unframer().receive(encode_shutdown(text), messages)
    return script(before, 0, messages, CLOSE)


class LongPollLine:
    """The polls of one session. It exists until the connection ends, or has changed to a WebSocket and the client knows."""

    __slots__ = (
        "_answers", "_before", "_connection", "_is_reading", "_is_switching", "_messages", "_packet_number", "_poll",
        "_polls", "_sending", "_unframer", "_upgrade", "_upstream", "_waiting", "id", "password", "switched_at",
    )  # fmt: skip

    def __init__(self, polls: LongPolls, id: str, password: str, connection: RealtimeConnection) -> None:
        self._polls = polls
        self.id = id
        self.password = password
        self._connection: RealtimeConnection | None = connection
        """None once it has ended or has another line."""
        self._upstream = Upstream()
        self._unframer = Unframer()
        self._messages: list[Message] = []
        """Written, and not yet in an answer: what no poll was there for after all, or what a large message is behind."""
        self._packet_number = 0
        """Of the next packet."""
        self._before = b""
        """What the first answer begins with."""
        self._poll: Poll | None = None
        """The one that is held."""
        self._sending: Poll | None = None
        """The one whose answer is on its way, as far as we know: the client is not silent meanwhile."""
        self._answers: dict[str, bytes] = {}
        """The last ones, by serial: a browser may send a request again when its connection broke."""
        self._is_reading = True
        self._waiting: list[tuple[Poll, PollRequest]] = []
        """Those that came while nothing was read."""
        self._upgrade: Upgrade | None = None
        self._is_switching = False
        """Whether the client has sent its last frame here; it is told so between two messages."""
        self.switched_at: float | None = None

    # Requests

    def begin(self, poll: Poll, before: bytes) -> None:
        """The session begins, and `poll` is its first, whose answer begins with `before`."""
        assert self._connection is not None
        self._poll, self._before = poll, before
        self._connection.opened(self)

    def receive(self, poll: Poll, request: PollRequest) -> None:
        """Takes what `request` brings; `poll` is answered when there is something to say."""
        if request.serial in self._answers:
            poll.respond(script(self._answers[request.serial]))
        elif self._is_reading:
            self._take(poll, request)
        elif len(self._waiting) < LONG_POLL_WAITING_MAX:
            self._waiting.append((poll, request))
        else:
            poll.respond(script(after=CLOSE))
            self.end(f"{LONG_POLL_WAITING_MAX} polls wait, which is the limit")

    def _take(self, poll: Poll, request: PollRequest) -> None:
        older, self._poll = self._poll, poll
        if older is not None and older.is_open:
            self._respond(older, script())
        connection = self._connection
        if connection is None:
            self._answer()  # With the last words, after a switch.
            return
        connection.heard()
        frames: list[bytes] = []
        self._upstream.receive(request.pieces, frames)
        for frame in frames:
            connection.received(frame)
            if self._connection is None:
                return  # It has ended, or goes on with another line.
        if self._upstream.fault:
            connection.close(WSCloseCode.PROTOCOL_ERROR, self._upstream.fault)
            return
        connection.resume()  # Writes what has waited.
        self._answer()

    def sweep(self, now: float) -> None:
        """Once a second."""
        connection, poll, upgrade = self._connection, self._poll, self._upgrade
        if self._sending is not None:
            if not self._sending.is_open:
                self._sending = None
            elif connection is not None:
                connection.heard()  # As long as it takes what it is sent; whether it does, its HTTP connection watches.
        if poll is not None and not poll.is_open:
            self._poll = None
            self._rest()
        elif poll is not None:
            if connection is not None:
                connection.heard()
            if now - poll.held_at > LONG_POLL_HOLD_SECONDS:
                self._poll = None
                self._respond(poll, script())
                self._rest()
        if upgrade is not None and now - upgrade.began_at > LONG_POLL_UPGRADE_SECONDS:
            upgrade.close(WSCloseCode.POLICY_VIOLATION, "the upgrade was not finished")
        if self.switched_at is not None and now - self.switched_at > LONG_POLL_HOLD_SECONDS:
            self._polls.forget(self)  # The client has the WebSocket, and does not ask for the last words.

    def end(self, reason: str) -> None:
        """The client is gone, or to be sent away. Nothing if the session goes on over a WebSocket."""
        if self._connection is not None:
            self._connection.close(WSCloseCode.POLICY_VIOLATION, reason)

    # The connection's calls

    def write(self, data: bytes) -> None:
        self._unframer.receive(data, self._messages)
        self._answer()

    def pause_reading(self) -> None:
        self._is_reading = False

    def resume_reading(self) -> None:
        self._is_reading = True
        waiting, self._waiting = self._waiting, []
        for poll, request in waiting:
            self.receive(poll, request)

    def ask(self) -> None:
        """There is no way to ask: a client that is there polls."""

    def close(self, code: WSCloseCode, reason: str) -> None:
        log.debug("long polls closed", reason=reason)
        self._close(self._messages)

    def abort(self) -> None:
        self._close([])

    def switch(self) -> None:
        if self._upgrade is None or self._connection is None:
            self.end("there is no WebSocket to go on with")
            return
        self._is_switching = True
        if not self._unframer.is_inside:
            self._finish_switch()

    # Answers

    def _answer(self) -> None:
        """Answers the poll that is held, if there is something to say."""
        if self._is_switching and not self._unframer.is_inside:
            self._finish_switch()
            return
        messages = self._messages
        if messages and (poll := self._take_poll()) is not None:
            self._messages = []
            before, self._before = self._before, b""
            number = self._packet_number
            self._packet_number += 1
            after = b""
            if self.switched_at is not None:
                after = close_after(number)
                self._polls.forget(self)
            self._respond(poll, script(before, number, messages, after))
            self._sending = poll
        self._rest()

    def _take_poll(self) -> Poll | None:
        """The one that is held, if its client still waits."""
        poll, self._poll = self._poll, None
        return poll if poll is not None and poll.is_open else None

    def _respond(self, poll: Poll, response: Response) -> None:
        if poll.serial and isinstance(response.body, bytes) and len(response.body) <= REPEATED_BYTES_MAX:
            if len(self._answers) >= REPEATED_MAX:
                del self._answers[next(iter(self._answers))]
            self._answers[poll.serial] = response.body
        poll.respond(response)

    def _rest(self) -> None:
        """Nothing more is written until there is a poll; but a message that was begun is written to its end."""
        if self._connection is not None and self._poll is None and not self._unframer.is_inside:
            self._connection.rest()

    def _close(self, messages: list[Message]) -> None:
        """Says `messages` as the last ones, if anyone listens, and forgets everyone."""
        poll = self._take_poll()
        if poll is not None:
            poll.respond(script(self._before, self._packet_number, messages, CLOSE))
        for waiting, _ in self._waiting:
            waiting.respond(script(after=CLOSE))
        upgrade, self._upgrade = self._upgrade, None
        self._forget()
        self._polls.forget(self)
        if upgrade is not None:
            upgrade.close(WSCloseCode.GOING_AWAY, "the session has ended")

    def _forget(self) -> None:
        self._connection = self._sending = None
        self._waiting = []

    # The upgrade

    def begin_upgrade(self, upgrade: Upgrade) -> None:
        """The client has opened a WebSocket for this session; another one that it had opened for it is given up."""
        older, self._upgrade = self._upgrade, upgrade
        if older is not None:
            older.close(WSCloseCode.POLICY_VIOLATION, "another WebSocket was opened for the session")

    def forget_upgrade(self, upgrade: Upgrade) -> None:
        if self._upgrade is upgrade:
            self._upgrade = None
            if self._is_switching:
                self.end("the WebSocket was lost")

    def _finish_switch(self) -> None:
        """The connection has the WebSocket from now on. What waits here still leaves here, and behind it the last word."""
        upgrade, connection = self._upgrade, self._connection
        if upgrade is None or connection is None:
            return
        self._is_switching = False
        self._upgrade = None
        self.switched_at = asyncio.get_running_loop().time()
        self._forget()
        self._messages += upgrade_messages()
        upgrade.finish(connection)
        self._answer()


class Upgrade:
    """A WebSocket that is going to be the line of a connection, until it is."""

    __slots__ = ("_connection", "_frames", "_held_bytes", "_is_paused", "_line", "_socket", "began_at")

    def __init__(self, line: LongPollLine) -> None:
        self._line: LongPollLine | None = line
        self._socket: WebSocketLine | None = None
        self._connection: RealtimeConnection | None = None
        """Whose line it is going to be in a moment."""
        self._frames: list[bytes] = []
        self._held_bytes = 0
        self._is_paused = False
        self.began_at = asyncio.get_running_loop().time()

    def opened(self, line: Line) -> None:
        assert isinstance(line, WebSocketLine)
        self._socket = line
        if self._line is not None:
            self._line.begin_upgrade(self)
            line.write(UPGRADE)

    def received(self, payload: memoryview | bytes) -> None:
        """The client tries the socket with pings, which are answered at once; whatever else comes is for later."""
        socket = self._socket
        if socket is None:
            return
        kind = None if self._frames else find_control(payload)
        if kind == "p":
            socket.write(PONG)
        elif kind is None:
            self._frames.append(bytes(payload))
            self._held_bytes += len(payload)
            if self._held_bytes > LONG_POLL_UPGRADE_BYTES_MAX and self._line is not None:
                socket.pause_reading()

    def heard(self) -> None: ...

    def pause(self) -> None:
        self._is_paused = True

    def resume(self) -> None:
        self._is_paused = False

    def close(self, code: WSCloseCode, reason: str) -> None:
        socket = self._socket
        self.closed()
        if socket is not None:
            socket.close(code, reason)

    def ends_later(self) -> bool:
        return False

    def closed(self) -> None:
        """The socket has gone; a session that was on its way to it ends."""
        line, self._line = self._line, None
        connection, self._connection = self._connection, None
        self._socket = None
        if line is not None:
            line.forget_upgrade(self)
        if connection is not None:
            connection.closed()

    def finish(self, connection: RealtimeConnection) -> None:
        """The socket is the line of `connection`; what it brought is received when the old line's frame has been dealt with."""
        assert self._socket is not None
        self._line = None
        self._connection = connection
        if self._held_bytes > LONG_POLL_UPGRADE_BYTES_MAX:
            self._socket.resume_reading()  # The connection pauses it if it does not read.
        connection.change_line(self._socket)
        asyncio.get_running_loop().call_soon(self._hand_over)

    def _hand_over(self) -> None:
        connection, socket = self._connection, self._socket
        self._connection = self._socket = None
        if connection is None or socket is None:
            return
        if connection.line is not socket:
            socket.abort()  # The connection has ended meanwhile.
            return
        socket.carry(connection)
        if self._is_paused:
            connection.pause()
        else:
            connection.resume()
        for frame in self._frames:
            connection.received(frame)
