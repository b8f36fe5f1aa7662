"""A small client of the realtime protocol for tests: requests by hand, every answer and push kept in order.

It does what an SDK does on the wire and nothing more: no reconnecting, no cache. Frames of up to 16,384 characters.
"""

from __future__ import annotations

import contextlib
import json
import socket
from collections import deque
from typing import Any

from websockets.exceptions import ConnectionClosed, WebSocketException
from websockets.sync.client import ClientConnection, connect

PIECE = 16_384


class Gone(Exception):
    """The connection ended."""


class Realtime:
    """One connection to database `ns`, past its hello. Not for several threads."""

    def __init__(self, port: int, ns: str, *, credential: str = "", last_session: str = "", timeout: float = 30.0) -> None:
        self.timeout = timeout
        self.pushes: deque[dict[str, Any]] = deque()
        """Pushes that arrived while something else was waited for."""
        self._answers: dict[int, dict[str, Any]] = {}
        self._next_request = 1
        url = f"ws://127.0.0.1:{port}/.ws?v=5&ns={ns}" + (f"&ls={last_session}" if last_session else "")
        self._ending = contextlib.ExitStack()
        try:
            self._socket: ClientConnection = self._ending.enter_context(
                connect(
                    url, compression=None, proxy=None, max_size=None, ping_interval=None, open_timeout=timeout, close_timeout=10
                )
            )
            hello = self._message(timeout)
        except (OSError, EOFError, WebSocketException) as error:
            raise Gone(str(error)) from error
        assert hello["t"] == "c", hello
        assert hello["d"]["t"] == "h", hello
        self.session: str = hello["d"]["d"]["s"]
        if credential:
            answer = self.ask("gauth", {"cred": credential})
            assert answer["s"] == "ok", answer

    def send(self, action: str, body: dict[str, Any]) -> int:
        """Send a request without waiting; its number."""
        number = self._next_request
        self._next_request += 1
        text = json.dumps({"t": "d", "d": {"r": number, "a": action, "b": body}}, ensure_ascii=False)
        pieces = [text[place : place + PIECE] for place in range(0, len(text), PIECE)]
        try:
            if len(pieces) > 1:
                self._socket.send(str(len(pieces)))
            for piece in pieces:
                self._socket.send(piece)
        except (OSError, ConnectionClosed) as error:
            raise Gone(str(error)) from error
        return number

    def ask(self, action: str, body: dict[str, Any]) -> dict[str, Any]:
        """Send a request and wait for its answer: {"s": status, "d": …}."""
        return self.answer_to(self.send(action, body))

    def answer_to(self, number: int) -> dict[str, Any]:
        """The answer to a request that was sent."""
        while number not in self._answers:
            self.receive()
        return self._answers.pop(number)

    def receive(self, timeout: float | None = None) -> tuple[int, dict[str, Any]] | None:
        """Take one message; (number, answer) if it answers a request. Raises Gone, or TimeoutError."""
        try:
            message = self._message(self.timeout if timeout is None else timeout)
        except (OSError, EOFError, ConnectionClosed) as error:
            if isinstance(error, TimeoutError):
                raise
            raise Gone(str(error)) from error
        if message["t"] == "d" and "r" in message["d"]:
            number, answer = message["d"]["r"], message["d"]["b"]
            self._answers[number] = answer
            return number, answer
        if message["t"] == "d":
            self.pushes.append(message["d"])
        return None

    def push(self) -> dict[str, Any]:
        """The next push: {"a": "d" or "m", "b": {"p": path, "d": value}}."""
        while not self.pushes:
            self.receive()
        return self.pushes.popleft()

    def forget_answer(self, number: int) -> None:
        """An answer that `receive` gave is not kept for `answer_to` any more."""
        self._answers.pop(number, None)

    def close(self) -> None:
        self._ending.close()

    def vanish(self) -> None:
        """End without a closing word."""
        with contextlib.suppress(OSError):
            self._socket.socket.shutdown(socket.SHUT_RDWR)
        self._ending.close()

    def __enter__(self) -> Realtime:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _message(self, timeout: float) -> Any:
        text = self._socket.recv(timeout)
        assert isinstance(text, str)
        if len(text) <= 6 and text.isdigit():
            text = "".join(str(self._socket.recv(timeout)) for _ in range(int(text)))
        return json.loads(text)
