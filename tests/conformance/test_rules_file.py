"""The file of default rules of a running `serve` with two workers: read again when it changes, left alone where it is no good."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.harness import Server, eventually
from tests.server.sockets import Socket

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

NAMES = [f"filed{number}" for number in range(4)]  # On both workers, some.
OPEN = '{"rules": {"a": {".read": true}}}'
CLOSED = '{"rules": {"a": {".read": false, ".write": true}}}'
CANCELLED = {"a": "c", "b": {"p": "a"}}


class Filed:
    """The server, its file, and somebody who listens to /a of each database."""

    def __init__(self, server: Server, file: Path) -> None:
        self.server = server
        self.file = file
        self.listeners: list[Socket] = []

    def begin(self) -> None:
        self.listeners = [Socket(self.server.port, name) for name in NAMES]
        for listener in self.listeners:
            assert listener.ask("q", {"p": "/a", "h": ""})["s"] == "ok"
            listener.pushes.clear()

    def end(self) -> None:
        for listener in self.listeners:
            listener.close()

    def are(self, method: str, status: int) -> Callable[[], bool]:
        """Whether all databases answer so."""
        body = 1 if method == "PUT" else None
        return lambda: {self.server.rest(method, "/a", body, ns=name, admin=False).status for name in NAMES} == {status}

    def put(self, text: str) -> None:
        """At once: half a file would be complained of too."""
        beside = self.file.with_name("beside.json")
        beside.write_text(text)
        os.replace(beside, self.file)

    def lines(self, word: str) -> list[str]:
        return [line for line in self.server.output().splitlines() if word in line and str(self.file) in line]

    def assert_nothing_happened(self) -> None:
        """Who listens hears the next write and no cancellation before it."""
        for name, listener in zip(NAMES, self.listeners, strict=True):
            self.server.write("/a", None, ns=name)
            self.server.write("/a", 5, ns=name)
            while (push := listener.receive()["d"]) != {"a": "d", "b": {"p": "a", "d": 5}}:
                assert push["a"] == "d", push


def test_the_file_is_followed_while_the_server_runs(tmp_path: Path) -> None:
    file = tmp_path / "rules.json"
    file.write_text(OPEN)
    arguments = ("--databases", ",".join(NAMES), "--rules-file", str(file))
    with Server(tmp_path / "data", mode="serve", workers=2, arguments=arguments) as server:
        filed = Filed(server, file)
        assert filed.are("GET", 200)()
        filed.begin()

        # A file that cannot be used: the old rules stay, and the log has every fault with its place, once from each worker.
        filed.put('{"rules": {"a": {".read": "nobody"},\n "b": {".write": "1 + 1"}}}')
        eventually(lambda: len(filed.lines("rules file not used")) == 2, what="complaints")
        complaint = filed.lines("rules file not used")[0]
        assert "1:28: Unknown variable 'nobody'." in complaint
        assert "2:19: Expression must evaluate to a boolean." in complaint
        assert "the rules stay as they are" in complaint
        filed.assert_nothing_happened()
        assert filed.are("GET", 200)()
        assert filed.are("PUT", 401)()

        # A file that is gone: likewise.
        file.rename(tmp_path / "aside.json")
        eventually(lambda: len(filed.lines("No such file")) == 2, what="complaints about its absence")
        filed.assert_nothing_happened()
        assert filed.are("GET", 200)()

        # One that can be used takes effect on every worker, and ends the listens that it forbids.
        filed.put(CLOSED)
        eventually(filed.are("GET", 401), what="the new rules")
        assert filed.are("PUT", 200)()
        for listener in filed.listeners:
            while (push := listener.receive()["d"]) != CANCELLED:
                assert push["a"] == "d", push
        eventually(lambda: len(filed.lines("rules file in force")) >= 2, what="each worker has told of it")
        assert len(filed.lines("No such file")) == 2, "said once, not every second"
        refused = server.rest("PUT", "/.meadowlark/rules", {"rules": {}})
        assert (refused.status, str(file) in refused.json()["error"]) == (400, True)

        # Own rules come before the file's; without them the file's are back.
        assert server.rest("PUT", "/.settings/rules", {"rules": {"a": {".read": True}}}, ns=NAMES[0]).status == 200
        assert server.rest("GET", "/a", ns=NAMES[0], admin=False).status == 200
        assert server.rest("DELETE", f"/.meadowlark/rules/{NAMES[0]}").status == 200
        assert filed.are("GET", 401)()

        filed.end()
        server.kill()
        file.write_text(OPEN)
        server.start()
        assert filed.are("GET", 200)()
        server.stop()


def test_a_server_does_not_start_with_a_file_that_it_cannot_use(tmp_path: Path) -> None:
    file = tmp_path / "rules.json"
    server = Server(tmp_path / "data", mode="serve", arguments=("--rules-file", str(file)))
    for text, said in ((None, "cannot be read"), ('{"rules": {".read": "nobody"}}', "1:22: Unknown variable 'nobody'.")):
        if text is not None:
            file.write_text(text)
        code, output = server.run_refused()
        assert (code, said in output, str(file) in output) == (2, True, True), output
