"""One WebSocket of a client: connects, keeps itself honest, and says when it is over.

A dead peer is found by pings (pulse.py). What is to be sent leaves in the order it was given. The kernel keeps little of what
it has not sent, so that the rest waits where a newer volatile value can take the place of an older one: `is_full` says that it
should.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable
from urllib.parse import parse_qs, quote, urlsplit

import msgspec
from picows import WSCloseCode, WSFrame, WSListener, WSMsgType, WSTransport, ws_connect

from meadowlark.client.protocol import Ended, Link, Said
from meadowlark.client.pulse import Pulse

CONNECT_SECONDS = 10.0
UNSENT_BYTES_MAX = 16_384
"""That the kernel may hold of what it has not sent: a ping waits behind it, which has ANSWER_SECONDS to be answered."""
FRAME_BYTES_MAX = 1024 * 1024
"""Of one frame from the server, which sends at most 16 KiB."""


class Address(msgspec.Struct, frozen=True):
    """Where a database is."""

    host: str
    """With its port, where it has one."""
    database: str | None
    """None: the host's first label names it."""
    is_secure: bool

    def url(self, host: str | None, session: str | None) -> str:
        """host: in place of the own one, as the server said. session: the last one."""
        scheme = "wss" if self.is_secure else "ws"
        last = f"&ls={quote(session, safe='')}" if session else ""
        name = f"&ns={quote(self.database, safe='')}" if self.database else ""
        return f"{scheme}://{host or self.host}/.ws?v=5{last}{name}"


def parse_address(url: str) -> Address:
    """The address in `http(s)://HOST[:PORT][?ns=DATABASE]`, or with ws, wss. Raises ValueError."""
    parts = urlsplit(url if "://" in url else f"http://{url}")
    if parts.scheme not in ("http", "https", "ws", "wss") or not parts.netloc or parts.path not in ("", "/"):
        raise ValueError(f"{url!r} is not the URL of a database: expected http://HOST:PORT?ns=DATABASE")
    names = parse_qs(parts.query).get("ns")
    return Address(parts.netloc.rpartition("@")[2], names[-1] if names else None, parts.scheme in ("https", "wss"))


class Connection(WSListener):
    """`said` is called with what the server says, `over` once at the end, `room` when it is not full any more."""

    def __init__(self, said: Callable[[Said], None], over: Callable[[str], None], room: Callable[[], None]) -> None:
        self._said = said
        self._over: Callable[[str], None] | None = over
        self._room = room
        self.is_full = False
        """Whether what is given waits for what was given before."""
        self._link = Link()
        self._transport: WSTransport | None = None
        self._pulse: Pulse | None = None
        self._fragments = bytearray()
        """Of a text message that is not whole yet."""
        self._given_bytes = 0
        self._taken_bytes: int | None = None
        """Of those, when the server was asked; None where nothing waited to be taken."""
        self._reason = "the connection was closed"

    def send(self, frames: list[bytes]) -> None:
        transport = self._transport
        if transport is not None:
            for frame in frames:
                transport.send(WSMsgType.TEXT, frame)
                self._given_bytes += len(frame)
            if self._pulse is not None:
                self._pulse.spoke()

    def close(self) -> None:
        """Ends it from our side."""
        if self._transport is not None:
            self._transport.send_close(WSCloseCode.OK)
            # Where nothing is taken, waiting for that would keep the socket for as long as the peer likes.
            self._transport.disconnect(graceful=not self.is_full)

    # picows' side

    def on_ws_connected(self, transport: WSTransport) -> None:
        self._transport = transport
        # What a server sends wrong ends the connection, which is told; picows would have it heard of here as well.
        ended = asyncio.ensure_future(transport.wait_disconnected())
        ended.add_done_callback(lambda done: done.cancelled() or done.exception())
        self._begin_pulse()
        below = transport.underlying_transport
        below.set_write_buffer_limits(high=1)  # With TLS, 0 would be reached by nothing at all.
        if hasattr(socket, "TCP_NOTSENT_LOWAT"):
            below.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT_BYTES_MAX)

    def pause_writing(self) -> None:
        self.is_full = True

    def resume_writing(self) -> None:
        self.is_full = False
        self._room()

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if self._pulse is not None:
            self._pulse.heard()
        text = self._find_text(frame)
        if text is not None:
            said = self._link.receive(text)
            if type(said) is Ended and not said.is_final:
                self._reason = said.reason
                transport.disconnect()
            elif said is not None:
                self._said(said)
        elif frame.msg_type is WSMsgType.CLOSE:
            message = frame.get_close_message()
            if message:
                self._reason = f"the server closed the connection: {message.decode(errors='replace')}"
            transport.disconnect()

    def _find_text(self, frame: WSFrame) -> bytes | None:
        """A text message that `frame` completes. Servers send them whole, but what stands between may not."""
        if frame.msg_type is WSMsgType.TEXT and frame.fin:
            return frame.get_payload_as_bytes()
        if frame.msg_type not in (WSMsgType.TEXT, WSMsgType.CONTINUATION):
            return None
        self._fragments += frame.get_payload_as_bytes()
        if len(self._fragments) > FRAME_BYTES_MAX:
            return b""  # Which is no message, and so the end.
        if not frame.fin:
            return None
        text, self._fragments = bytes(self._fragments), bytearray()
        return text

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        self._transport = None
        if self._pulse is not None:
            self._pulse.stop()
        over, self._over = self._over, None
        if over is not None:
            over(self._reason)

    # The pulse's calls

    def _begin_pulse(self) -> None:
        self._pulse = Pulse(asyncio.get_running_loop(), self._ask, self._dead)

    def _ask(self) -> None:
        if self._transport is not None:
            self._taken_bytes = self._find_taken(self._transport) if self.is_full else None
            self._transport.send_ping()

    def _dead(self) -> None:
        transport = self._transport
        if transport is None:
            return
        if self._taken_bytes is not None and self._find_taken(transport) > self._taken_bytes:
            self._begin_pulse()  # The ping stands in line behind something large, which the server is taking.
            return
        self._reason = "the server is silent"
        transport.underlying_transport.abort()  # Nobody is there to say goodbye to.

    def _find_taken(self, transport: WSTransport) -> int:
        waiting: int = transport.underlying_transport.get_write_buffer_size()
        return self._given_bytes - waiting


async def connect(
    url: str,
    tls: ssl.SSLContext | None,
    said: Callable[[Said], None],
    over: Callable[[str], None],
    room: Callable[[], None],
) -> Connection:
    """A connection to `url`. Raises OSError, TimeoutError, or what picows raises where no WebSocket is."""
    connection = Connection(said, over, room)
    async with asyncio.timeout(CONNECT_SECONDS):
        await ws_connect(
            lambda: connection,
            url,
            ssl_context=tls,
            enable_auto_ping=False,
            max_frame_size=FRAME_BYTES_MAX,
            websocket_handshake_timeout=CONNECT_SECONDS,
            logger_name="meadowlark.client",
            use_aiofastnet=False,
        )
    return connection
