"""Writers that remember what was acknowledged, and the comparison of that with what a recovered server says.

A write is attempted (may or may not be there after a crash) and then perhaps acknowledged (must be there). Each kind of
write has its own place in the database, so that the comparison is exact:

    log/k<n> = n                    every write a key of its own
    pairs/a/k<n>, pairs/b/k<n> = n  written by one update of both: both or neither
    latest = n                      overwritten in order: never older than the last acknowledged
    count                           raised by one with a server value: each counts once
    sessions/<id>                   "here", and "left" by onDisconnect when the connection has ended
    filler                          large, so that segments and snapshots come and go
    rest/k<n> = n, restpairs/…      the same over plain HTTP
"""

from __future__ import annotations

import contextlib
import http.client
import json
import threading
import time
from typing import Any

from tests.crash.realtime import Gone, Realtime

WINDOW = 24
"""Writes in flight on one socket."""
FILLER = "f" * 24_000
PACE_SECONDS = 0.004
"""Between two looks at the socket: all writers together make a few thousand writes a second, and leave the cores some air."""


class Writer(threading.Thread):
    """Writes until `stop`; comes back when its connection ends."""

    def __init__(self, port: int, ns: str, credential: str) -> None:
        super().__init__(daemon=True)
        self.port = port
        self.ns = ns
        self.credential = credential
        self.attempted: dict[str, set[int]] = {}
        """Kind of write → numbers sent at least once."""
        self.acknowledged: dict[str, set[int]] = {}
        self.refused: list[Any] = []
        """Answers that were neither an acknowledgement nor a sign of a server on its way out."""
        self.connection_count = 0
        self._stopping = threading.Event()

    def stop(self) -> None:
        self._stopping.set()

    def run(self) -> None:
        while not self._stopping.is_set():
            try:
                self._write()
            except (Gone, OSError, http.client.HTTPException, TimeoutError):
                time.sleep(0.02)

    def attempt(self, kind: str, number: int) -> None:
        self.attempted.setdefault(kind, set()).add(number)

    def acknowledge(self, kind: str, number: int) -> None:
        self.acknowledged.setdefault(kind, set()).add(number)

    def _write(self) -> None:
        raise NotImplementedError


class RealtimeWriter(Writer):
    """Over the socket, many writes in flight."""

    KINDS = ("log", "pairs", "latest", "count", "log", "pairs", "latest", "count", "log", "filler")

    def __init__(self, port: int, ns: str, credential: str) -> None:
        super().__init__(port, ns, credential)
        self._number = 0
        self.ended_sessions: set[str] = set()
        """Sessions whose end the server was told to mark, and whose connection is gone."""
        self.current_session = ""

    def _write(self) -> None:
        client = Realtime(self.port, self.ns, credential=self.credential)
        self.connection_count += 1
        waiting: dict[int, tuple[str, int]] = {}
        marked = False
        try:
            self.current_session = client.session
            place = f"/sessions/s{client.session.replace('-', '_')}"
            marks = [client.ask("p", {"p": place, "d": "here"}), client.ask("o", {"p": place, "d": "left"})]
            marked = all(answer["s"] == "ok" for answer in marks)
            while not self._stopping.is_set():
                while len(waiting) < WINDOW:
                    kind = self.KINDS[self._number % len(self.KINDS)]
                    self.attempt(kind, self._number)
                    waiting[client.send(*self._request(kind, self._number))] = (kind, self._number)
                    self._number += 1
                for _ in range(WINDOW // 2):
                    self._take(client, waiting)
                time.sleep(PACE_SECONDS)
            while waiting:
                self._take(client, waiting)
        finally:
            with contextlib.suppress(Exception):
                client.close()
            if marked:
                self.ended_sessions.add(place.rpartition("/")[2])
            self.current_session = ""

    def _take(self, client: Realtime, waiting: dict[int, tuple[str, int]]) -> None:
        received = client.receive()
        if received is None:
            return
        request, answer = received
        client.forget_answer(request)
        kind, number = waiting.pop(request)
        if answer["s"] == "ok":
            self.acknowledge(kind, number)
        elif answer["s"] != "unavailable":
            self.refused.append((kind, number, answer))

    def _request(self, kind: str, number: int) -> tuple[str, dict[str, Any]]:
        if kind == "log":
            return "p", {"p": f"/log/k{number}", "d": number}
        if kind == "pairs":
            return "m", {"p": "/pairs", "d": {f"a/k{number}": number, f"b/k{number}": number}}
        if kind == "latest":
            return "p", {"p": "/latest", "d": number}
        if kind == "count":
            return "p", {"p": "/count", "d": {".sv": {"increment": 1}}}
        return "p", {"p": "/filler", "d": FILLER}


class RestWriter(Writer):
    """Over plain HTTP, one write at a time on a connection that is kept."""

    def __init__(self, port: int, ns: str, credential: str) -> None:
        super().__init__(port, ns, credential)
        self._number = 0

    def _write(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        with contextlib.closing(connection):
            self.connection_count += 1
            while not self._stopping.is_set():
                number, self._number = self._number, self._number + 1
                if number % 2:
                    self._send(connection, "rest", number, "PUT", f"/rest/k{number}", number)
                else:
                    both = {f"a/k{number}": number, f"b/k{number}": number}
                    self._send(connection, "restpairs", number, "PATCH", "/restpairs", both)
                time.sleep(PACE_SECONDS)

    def _send(self, connection: http.client.HTTPConnection, kind: str, number: int, method: str, path: str, value: Any) -> None:
        self.attempt(kind, number)
        headers = {"Authorization": f"Bearer {self.credential}"}
        connection.request(method, f"{path}.json?ns={self.ns}&print=silent", body=json.dumps(value), headers=headers)
        answer = connection.getresponse()
        body = answer.read()
        if answer.status in (200, 204):
            self.acknowledge(kind, number)
        elif answer.status != 503:
            self.refused.append((kind, number, answer.status, body))


class Account:
    """What one database's writers know at one moment: taken before reading, completed after."""

    def __init__(self, realtime: RealtimeWriter, rest: RestWriter) -> None:
        self._writers = (realtime, rest)
        self._ended_sessions = set(realtime.ended_sessions)
        self._acknowledged: dict[str, set[int]] = {}
        for writer in self._writers:
            # A copy of a set that another thread adds to, as one operation of the interpreter.
            self._acknowledged |= {kind: set(numbers.copy()) for kind, numbers in list(writer.acknowledged.items())}

    @property
    def acknowledged_count(self) -> int:
        return sum(len(numbers) for numbers in self._acknowledged.values())

    def find_faults(self, value: dict[str, Any]) -> list[str]:
        """What is wrong with `value`, read after this account was opened. Writers may have gone on since."""
        attempted: dict[str, set[int]] = {}
        for writer in self._writers:
            attempted |= {kind: set(numbers.copy()) for kind, numbers in list(writer.attempted.items())}
        faults: list[str] = []

        def compare(kind: str, place: str, found: dict[str, int]) -> None:
            numbers = {int(key[1:]) for key in found}
            if any(found[f"k{number}"] != number for number in numbers):
                faults.append(f"{place} has values that nobody wrote there")
            if missing := self._acknowledged.get(kind, set()) - numbers:
                faults.append(f"{place} lacks {len(missing)} acknowledged writes, such as {sorted(missing)[:5]}")
            if strange := numbers - attempted.get(kind, set()):
                faults.append(f"{place} has {len(strange)} writes that nobody made, such as {sorted(strange)[:5]}")

        compare("log", "log", value.get("log", {}))
        compare("rest", "rest", value.get("rest", {}))
        for kind in ("pairs", "restpairs"):
            pairs = value.get(kind, {})
            a, b = pairs.get("a", {}), pairs.get("b", {})
            compare(kind, kind, a)
            if a != b:
                faults.append(f"{kind}: half of an update, {sorted(set(a) ^ set(b))[:5]}")
        latest = self._acknowledged.get("latest", set())
        if latest and not max(latest) <= value.get("latest", -1) <= max(attempted["latest"]):
            faults.append(f"latest is {value.get('latest')}, acknowledged was {max(latest)}")
        count, counted = value.get("count", 0), len(self._acknowledged.get("count", ()))
        if not counted <= count <= len(attempted.get("count", ())):
            faults.append(f"count is {count}, acknowledged were {counted}")
        if self._acknowledged.get("filler") and value.get("filler") != FILLER:
            faults.append("the filler is damaged")
        sessions = value.get("sessions", {})
        if waiting := [key for key in self._ended_sessions if sessions.get(key) != "left"]:
            faults.append(f"onDisconnect was not carried out for {waiting[:5]}: {[sessions.get(key) for key in waiting[:5]]}")
        faults += [f"refused: {refusal}" for writer in self._writers for refusal in writer.refused[:3]]
        return faults
