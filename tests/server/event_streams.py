"""A reader of one event stream for tests: what it was told stands at its place, and how it ended."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import ssl
import threading
from typing import Any

from meadowlark.tree import Tree, from_json, parse_path, plain

SECONDS = 60.0


class EventStream:
    """Reads in a thread until the stream ends. `status` tells whether it began; `refusal` why not."""

    def __init__(self, port: int, target: str, *, context: ssl.SSLContext | None = None) -> None:
        """target: with the query, as `/a.json?ns=x`."""
        if context is None:
            self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=SECONDS)
        else:
            self._connection = http.client.HTTPSConnection("127.0.0.1", port, timeout=SECONDS, context=context)
        self._connection.connect()
        self._socket = self._connection.sock
        self._connection.request("GET", target, headers={"Accept": "text/event-stream"})
        self._answer = self._connection.getresponse()
        self.status = self._answer.status
        self.refusal = b"" if self.status == 200 else self._answer.read()
        self.events: list[tuple[str, Any]] = []
        self.is_over = self.status != 200
        self._tree = Tree()
        self._thread = threading.Thread(target=self._read, daemon=True)
        if not self.is_over:
            self._thread.start()

    @property
    def believed(self) -> Any:
        """What stands at the place, after what was told."""
        return plain(self._tree.root)

    @property
    def ending(self) -> str | None:
        """The event by which it ended; None: none, or it goes on."""
        return self.events[-1][0] if self.is_over and self.events else None

    def close(self) -> None:
        if self._thread.ident is not None:
            with contextlib.suppress(OSError):
                socket.socket.shutdown(self._socket, socket.SHUT_RDWR)  # Ends the thread's read.
            self._thread.join(SECONDS)
        self._answer.close()
        self._connection.close()
        self._socket.close()

    def _read(self) -> None:
        name = ""
        try:
            while line := self._answer.readline():
                word, _, rest = line.decode().rstrip("\n").partition(": ")
                if word == "event":
                    name = rest
                elif word == "data":
                    self._hear(name, rest)
        except (OSError, ValueError, http.client.HTTPException):
            pass  # It was closed while it was read.
        self.is_over = True

    def _hear(self, name: str, data: str) -> None:
        if name in ("put", "patch"):
            told = json.loads(data)
            base = parse_path(told["path"])
            writes = told["data"].items() if name == "patch" else [("", told["data"])]
            for relative, value in writes:
                path = (*base, *parse_path(relative))
                self._tree.set(path, from_json(value, len(path))[0])
        if name != "keep-alive":
            self.events.append((name, data))
