"""A small client of the realtime protocol for tests: whole messages in and out over one WebSocket."""

from __future__ import annotations

import json
import socket
import ssl
from typing import Any

from websockets.sync.client import ClientConnection, connect

from tests.server.secured import secured

SECONDS = 60.0


class Socket:
    """One realtime connection. `ask` sends a request and gives its reply; pushes met on the way are kept."""

    def __init__(self, port: int, ns: str, *, query: str = "", host: str = "", context: ssl.SSLContext | None = None) -> None:
        host = host or f"127.0.0.1:{port}"
        plain = socket.create_connection(("127.0.0.1", port), timeout=SECONDS)
        try:
            if context:
                plain = secured(plain, context, host.rpartition(":")[0] or host)
            self.connection: ClientConnection = connect(
                f"ws://{host}/.ws?v=5&ns={ns}{query}",
                sock=plain,
                compression=None,
                max_size=None,
                open_timeout=SECONDS,
                close_timeout=1,
                ping_interval=None,
                legacy=True,
            )
        except BaseException:
            plain.close()
            raise
        self.pushes: list[dict[str, Any]] = []
        self.greeting = self.receive()
        self._request = 0

    @property
    def session(self) -> str:
        return str(self.greeting["d"]["d"]["s"])

    def receive(self, *, within: float = SECONDS) -> Any:
        """The next whole message."""
        text = self.connection.recv(timeout=within)
        assert isinstance(text, str)
        if len(text) <= 6 and text.isdigit():
            text = "".join(str(self.connection.recv(timeout=within)) for _ in range(int(text)))
        return json.loads(text)

    def send(self, action: str, body: Any) -> int:
        self._request += 1
        self.send_text(json.dumps({"t": "d", "d": {"r": self._request, "a": action, "b": body}}))
        return self._request

    def send_text(self, text: str) -> None:
        """As the SDKs send: in pieces of 16,384 with their number first."""
        pieces = [text[start : start + 16384] for start in range(0, len(text), 16384)]
        if len(pieces) > 1:
            self.connection.send(str(len(pieces)))
        for piece in pieces:
            self.connection.send(piece)

    def answer_to(self, request: int) -> dict[str, Any]:
        while True:
            message = self.receive()
            if message["t"] == "d" and message["d"].get("r") == request:
                return dict(message["d"]["b"])
            if message["t"] == "d":
                self.pushes.append(message["d"])

    def ask(self, action: str, body: Any) -> dict[str, Any]:
        return self.answer_to(self.send(action, body))

    def close(self) -> None:
        self.connection.close()
