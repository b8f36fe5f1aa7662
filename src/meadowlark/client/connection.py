"""One WebSocket of a client: connects, keeps itself honest, and says when it is over.

A dead peer is found by pings: after SILENCE_SECONDS without a byte one is sent, and without an answer in as many seconds the
connection counts as lost. What is to be sent leaves in the order it was given.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from urllib.parse import parse_qs, quote, urlsplit

import msgspec
from picows import WSAutoPingStrategy, WSCloseCode, WSFrame, WSListener, WSMsgType, WSTransport, ws_connect

from meadowlark.client.protocol import KEEPALIVE, Ended, Link, Said

SILENCE_SECONDS = 5.0
CONNECT_SECONDS = 10.0
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
    """`said` is called with what the server says, `over` once at the end."""

    def __init__(self, said: Callable[[Said], None], over: Callable[[str], None]) -> None:
        self._said = said
        self._over: Callable[[str], None] | None = over
        self._link = Link()
        self._transport: WSTransport | None = None
        self._reason = "the connection was closed"

    def send(self, frames: list[bytes]) -> None:
        transport = self._transport
        if transport is not None:
            for frame in frames:
                transport.send(WSMsgType.TEXT, frame)

    def keep_alive(self) -> None:
        self.send([KEEPALIVE])

    def close(self) -> None:
        """Ends it from our side."""
        if self._transport is not None:
            self._transport.send_close(WSCloseCode.OK)
            self._transport.disconnect()

    # picows' side

    def on_ws_connected(self, transport: WSTransport) -> None:
        self._transport = transport

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type is WSMsgType.TEXT:
            said = self._link.receive(frame.get_payload_as_bytes())
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

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        self._transport = None
        over, self._over = self._over, None
        if over is not None:
            over(self._reason)


async def connect(url: str, tls: ssl.SSLContext | None, said: Callable[[Said], None], over: Callable[[str], None]) -> Connection:
    """A connection to `url`. Raises OSError, TimeoutError, or what picows raises where no WebSocket is."""
    connection = Connection(said, over)
    async with asyncio.timeout(CONNECT_SECONDS):
        await ws_connect(
            lambda: connection,
            url,
            ssl_context=tls,
            enable_auto_ping=True,
            auto_ping_idle_timeout=SILENCE_SECONDS,
            auto_ping_reply_timeout=SILENCE_SECONDS,
            auto_ping_strategy=WSAutoPingStrategy.PING_WHEN_IDLE,
            max_frame_size=FRAME_BYTES_MAX,
            websocket_handshake_timeout=CONNECT_SECONDS,
            logger_name="meadowlark.client",
            use_aiofastnet=False,
        )
    return connection
