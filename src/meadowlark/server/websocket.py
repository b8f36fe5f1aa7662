"""WebSockets: one kind of line under a realtime connection, and the door for those that cannot be served.

picows' protocol class is wrapped here and nowhere else: it is not part of its documented interface, so the dependency is pinned
and this file is the one to change.
Invariant: once the socket is gone, a line refers neither to its connection nor to picows' transport; no cycle is left behind.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any, Protocol

import structlog
from picows import WSCloseCode, WSFrame, WSListener, WSMsgType, WSTransport
from picows.picows import WSAutoPingStrategy, WSProtocol  # type: ignore[attr-defined]  # not in its stubs: see above

from meadowlark.limits import CLIENT_FRAME_BYTES_MAX
from meadowlark.server.line import Line
from meadowlark.wire import encode_redirect, encode_shutdown

log = structlog.get_logger()

CLOSE_REASON_BYTES_MAX = 123
"""RFC 6455 section 5.5: a control frame holds 125 bytes, two of them the code."""
ENDS_PER_TURN_MAX = 256
"""Clients of whose end their connections hear in one turn: half a millisecond."""
READ_BUFFER_BYTES = 2048
"""First size of a connection's read buffer; it grows with the frames that come."""


class Carried(Protocol):
    """Whose frames a line carries: a connection, or one that is about to change to this line."""

    def opened(self, line: Line) -> None: ...

    def received(self, payload: memoryview | bytes) -> None: ...

    def heard(self) -> None: ...

    def close(self, code: WSCloseCode, reason: str) -> None: ...

    def closed(self) -> None: ...

    def ends_later(self) -> bool: ...

    def pause(self) -> None: ...

    def resume(self) -> None: ...


class WebSocketLine(WSListener):
    """One WebSocket: whole messages for one connection, and its frames as they are."""

    __slots__ = ("_connection", "_parts", "_transport", "write")

    def __init__(self, connection: Carried) -> None:
        self._connection: Carried | None = connection
        self._parts: bytearray | None = None
        """Of a message in fragments, which no SDK sends."""
        self._transport: WSTransport | None = None
        self.write: Callable[[bytes], Any] = _drop

    # The connection's calls

    def pause_reading(self) -> None:
        if self._transport is not None:
            self._transport.underlying_transport.pause_reading()

    def resume_reading(self) -> None:
        if self._transport is not None:
            self._transport.underlying_transport.resume_reading()

    def ask(self) -> None:
        if self._transport is not None:
            self._transport.send_ping()

    def close(self, code: WSCloseCode, reason: str) -> None:
        if self._transport is not None:
            self._transport.send_close(code, _fitting(reason))
            self._transport.disconnect(graceful=True)

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.underlying_transport.abort()

    def switch(self) -> None:
        """There is no other line: as with all control messages that mean nothing here, nothing happens."""

    def carry(self, connection: Carried) -> None:
        """From now on this is the line of `connection`."""
        self._connection = connection

    # picows' calls

    def ends_later(self) -> bool:
        """The client has sent its last byte. Whether the connection will end the line when it is its turn; else it ends now."""
        return self._connection is not None and self._connection.ends_later()

    def on_ws_connected(self, transport: WSTransport) -> None:
        self._transport = transport
        self.write = transport.underlying_transport.write
        if self._connection is not None:
            self._connection.opened(self)

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        connection = self._connection
        if connection is None:
            return
        if frame.msg_type is WSMsgType.TEXT and frame.fin and self._parts is None:
            connection.received(frame.get_payload_as_memoryview())
        else:
            self._odd_frame(connection, frame)

    def _odd_frame(self, connection: Carried, frame: WSFrame) -> None:
        """Everything but a whole text message: rare."""
        connection.heard()
        kind = frame.msg_type
        if kind in (WSMsgType.TEXT, WSMsgType.CONTINUATION):
            if self._parts is None:
                self._parts = bytearray()
            self._parts += frame.get_payload_as_memoryview()
            if len(self._parts) > CLIENT_FRAME_BYTES_MAX:
                self._parts = None
                connection.close(WSCloseCode.MESSAGE_TOO_BIG, f"a message in fragments has over {CLIENT_FRAME_BYTES_MAX} bytes")
            elif frame.fin:
                whole, self._parts = bytes(self._parts), None
                connection.received(whole)
        elif kind is WSMsgType.BINARY:
            connection.close(WSCloseCode.UNSUPPORTED_DATA, "expected text frames")
        elif kind is WSMsgType.CLOSE:
            connection.close(WSCloseCode.OK, "")

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        connection, self._connection = self._connection, None
        self._transport = None
        self.write = _drop
        if connection is not None:
            connection.closed()

    def pause_writing(self) -> None:
        if self._connection is not None:
            self._connection.pause()

    def resume_writing(self) -> None:
        if self._connection is not None:
            self._connection.resume()


def _drop(data: bytes) -> None:
    """Where a line's bytes go when its socket has gone."""


class _Farewell(WSListener):
    """A client that cannot be served here: it is told why in the protocol's own words."""

    def __init__(self, frame: bytes, reason: str) -> None:
        self._frame = frame
        self._reason = reason

    def on_ws_connected(self, transport: WSTransport) -> None:
        transport.underlying_transport.write(self._frame)
        transport.send_close(WSCloseCode.POLICY_VIOLATION, _fitting(self._reason))
        transport.disconnect(graceful=True)


class _Quiet:
    """A logger for picows, which would otherwise make one per connection: its warnings are ours to report."""

    def isEnabledFor(self, level: int) -> bool:
        return False

    def log(self, *args: Any, **kwargs: Any) -> None: ...

    def debug(self, *args: Any, **kwargs: Any) -> None: ...

    def info(self, *args: Any, **kwargs: Any) -> None: ...

    def warning(self, message: str, *args: Any, **kwargs: Any) -> None:
        log.debug("websocket", message=message % args if args else message)

    def error(self, message: str, *args: Any, **kwargs: Any) -> None:
        # What a client sends wrong comes once a read, from whoever likes: that must not fill the log.
        report = log.debug if message.startswith("WS parser error") else log.warning
        report("websocket", message=message % args if args else message)

    def exception(self, message: str, *args: Any, **kwargs: Any) -> None:
        log.exception("websocket", message=message % args if args else message)


_quiet = _Quiet()


def adopt(transport: asyncio.Transport, connection: Carried, replay: bytes) -> None:
    """Gives `transport`, whose client asked for a WebSocket in `replay` (request head and what followed), to `connection`."""
    _make_websocket(transport, WebSocketLine(connection), replay)


def turn_away(transport: asyncio.Transport, text: str, replay: bytes) -> None:
    """Makes the WebSocket that the client asked for, says `text` in it, and closes: for names that can never be served."""
    _make_websocket(transport, _Farewell(encode_shutdown(text), text), replay)


def send_elsewhere(transport: asyncio.Transport, host: str, replay: bytes) -> None:
    """Makes the WebSocket that the client asked for, tells it to connect to `host` anew, and closes."""
    _make_websocket(transport, _Farewell(encode_redirect(host), "there is no such session any more"), replay)


def _fitting(reason: str) -> bytes:
    """As much of `reason` as a close frame holds, cut between characters."""
    return reason.encode()[:CLOSE_REASON_BYTES_MAX].decode(errors="ignore").encode()


class _Ends:
    """Clients that have sent their last byte, in the order in which the loop was told: some are ended in each of its turns.

    The loop tells of all in one turn, however many, so being told must take next to nothing: 3.5 microseconds, nearly all the
    loop's own and the kernel's. It was 6 when each connection was asked at once.
    """

    __slots__ = ("_waiting", "loop")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._waiting: deque[_Protocol] = deque()

    def add(self, protocol: _Protocol) -> None:
        if not self._waiting:
            self.loop.call_soon(self._end_some)
        self._waiting.append(protocol)

    def _end_some(self) -> None:
        waiting = self._waiting
        for _ in range(min(len(waiting), ENDS_PER_TURN_MAX)):
            protocol = waiting.popleft()
            line, transport = protocol.listener, protocol.transport
            if not (isinstance(line, WebSocketLine) and line.ends_later()) and transport is not None:
                transport.underlying_transport.close()
        if waiting:
            self.loop.call_soon(self._end_some)


_ends: _Ends | None = None
"""Of the loop that runs."""


def _find_ends() -> _Ends:
    global _ends
    loop = asyncio.get_running_loop()
    if _ends is None or _ends.loop is not loop:
        _ends = _Ends(loop)
    return _ends


class _Protocol(WSProtocol):  # type: ignore[misc]  # Any, for want of stubs
    """picows' protocol, but that a client's end waits: closing thousands of sockets in one turn would stop everyone else. Not for
    TLS, which has no half: its transport closes whatever it is told."""

    __slots__ = ("ends",)

    def eof_received(self) -> bool:
        self.ends.add(self)
        return True


def _make_websocket(transport: asyncio.Transport, listener: WSListener, replay: bytes) -> None:
    is_secure = transport.get_extra_info("sslcontext") is not None
    protocol = (WSProtocol if is_secure else _Protocol)(
        None,  # host and path: only a client needs them
        None,
        False,  # is_client_side
        lambda request: listener,
        _quiet,
        True,  # disconnect_on_exception
        10.0,  # handshake timeout, over at once since the head is here
        False,  # enable_auto_ping: one sweep for all connections instead of a task each
        None,
        None,
        WSAutoPingStrategy.PING_WHEN_IDLE,
        True,  # enable_auto_pong
        CLIENT_FRAME_BYTES_MAX,
        None,  # extra headers
        READ_BUFFER_BYTES,
    )
    if not is_secure:
        protocol.ends = _find_ends()
    transport.set_protocol(protocol)
    protocol.connection_made(transport)
    rest = memoryview(replay)
    while rest and not transport.is_closing():
        buffer = protocol.get_buffer(-1)
        count = min(len(buffer), len(rest))
        buffer[:count] = rest[:count]
        protocol.buffer_updated(count)
        rest = rest[count:]
