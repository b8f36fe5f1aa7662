"""`import`: a file becomes what stands at a path; all or nothing where a request takes it, else in parts, resumably.

A text of up to BODY_BYTES_MAX is one PUT: the server writes it in one step or not at all. A larger one is checked from end to end
first, then the place is cleared and the text written in parts, each of them all or nothing and durable when it is answered. How
many were is kept in a small file beside the text, so that an import that was interrupted goes on where it stopped; meanwhile
readers see what has been written so far.
Does not know: how a text is cut (parts.py), where the server is (asking.py).
Source: docs/cli.md "Import".
"""

from __future__ import annotations

import mmap
import os
import sys
import time
from collections.abc import Iterator
from typing import IO, Any

import msgspec
import orjson

from meadowlark.cli.application import Exit, Failed
from meadowlark.cli.asking import Server
from meadowlark.cli.parts import CUTTING, Malformed, Part, cut
from meadowlark.cli.progress import Progress
from meadowlark.limits import BODY_BYTES_MAX
from meadowlark.tree import Path, format_path

STATE_SUFFIX = ".import"
_BLOCK_BYTES = 262_144
_RETRY_SECONDS_MAX = 30.0


class State(msgspec.Struct, frozen=True):
    """Which import this is, and how many of its parts are written. Equal in all but that: the same import."""

    database: str
    path: str
    text_bytes: int
    changed_ns: int
    part_bytes: int
    cutting: int = 1
    done: int = 0


class Done(msgspec.Struct, frozen=True):
    """What an import has done."""

    way: str
    """all-or-nothing or resumable."""
    text_bytes: int
    parts: int


def import_stream(server: Server, path: Path, source: IO[bytes]) -> Done:
    """What `source` has is written, all or nothing. Raises Failed."""
    text = source.read(BODY_BYTES_MAX + 1)
    if len(text) > BODY_BYTES_MAX:
        raise Failed(Exit.USAGE, f"standard input has more than {BODY_BYTES_MAX} bytes: import a file, which can be resumed")
    server.ask("PUT", path, parameters={"print": "silent"}, body=text).close()
    return Done("all-or-nothing", len(text), 1)


class Import:
    """One file on its way to one place. `run` does all of it, or as much as it can."""

    def __init__(self, server: Server, path: Path, file: str, *, part_bytes: int, retries: int, quiet: bool) -> None:
        self._server = server
        self._path = path
        self._file = file
        self._part_bytes = part_bytes
        self._retries = retries
        self._quiet = quiet
        self._state_file = file + STATE_SUFFIX

    def run(self, *, resumable: bool, resume: bool, restart: bool) -> Done:
        """Raises Failed: INCOMPLETE when parts have been written and others not."""
        if not os.access(self._file, os.R_OK) or os.path.isdir(self._file):
            raise Failed(Exit.USAGE, f"{self._file} cannot be read; expected a file with JSON")
        with open(self._file, "rb") as source:
            found = os.fstat(source.fileno())
            if found.st_size <= BODY_BYTES_MAX and not (resumable or resume or restart):
                return self._write_whole(source, found.st_size)
            state = State(
                self._server.database, format_path(self._path), found.st_size, found.st_mtime_ns, self._part_bytes, CUTTING
            )
            return self._write_parts(source, state, resume=resume, restart=restart)

    # All or nothing

    def _write_whole(self, source: IO[bytes], size: int) -> Done:
        progress = Progress("import", size, quiet=self._quiet)
        try:
            body = _blocks(source, progress)
            self._server.ask("PUT", self._path, parameters={"print": "silent"}, body=body, body_bytes=size).close()
        finally:
            progress.end()
        return Done("all-or-nothing", size, 1)

    # In parts

    def _write_parts(self, source: IO[bytes], state: State, *, resume: bool, restart: bool) -> Done:
        done = self._find_done(state, resume=resume, restart=restart)
        if not state.text_bytes:
            raise Failed(Exit.USAGE, f"{self._file} is empty; expected JSON")
        with mmap.mmap(source.fileno(), 0, access=mmap.ACCESS_READ) as text:
            total = self._check(text, state)
            if not resume:
                self._keep(state)  # Before anything changes, so that a folder that cannot be written to stops us here.
                self._clear(total)
            progress = Progress("import", state.text_bytes, quiet=self._quiet)
            try:
                for number, part in enumerate(cut(text, part_bytes=state.part_bytes), 1):
                    if number > done:
                        self._send("PATCH", part.path, part.body, number - 1, total)
                        self._keep(msgspec.structs.replace(state, done=number))
                    progress.reach(part.end)
            finally:
                progress.end()
        os.unlink(self._state_file)
        return Done("resumable", state.text_bytes, total)

    def _find_done(self, state: State, *, resume: bool, restart: bool) -> int:
        kept = self._read_state()
        if kept is None:
            if resume:
                raise Failed(Exit.USAGE, f"there is nothing to resume: {self._state_file} tells of no import")
            return 0
        if restart:
            return 0
        if not resume:
            raise Failed(
                Exit.USAGE,
                f"an import of {self._file} stopped after part {kept.done}: go on with --resume, or begin anew with --restart",
            )
        if msgspec.structs.replace(kept, done=0) != state:
            raise Failed(Exit.USAGE, "cannot resume: the file, the database, the path or the way of cutting is not what it was")
        return kept.done

    def _check(self, text: mmap.mmap, state: State) -> int:
        """How many parts there are. Raises Failed if one of them is no JSON: nothing has changed then."""
        progress = Progress("check", state.text_bytes, quiet=self._quiet)
        total = 0
        try:
            for part in cut(text, part_bytes=state.part_bytes):
                self._check_part(part)
                total += 1
                progress.reach(part.end)
        except (Malformed, orjson.JSONDecodeError) as error:
            raise Failed(Exit.REFUSED, f"{self._file} cannot be imported: {error}") from error
        finally:
            progress.end()
        return total

    def _check_part(self, part: Part) -> None:
        orjson.loads(part.body)
        if len(part.body) > BODY_BYTES_MAX:
            raise Malformed(part.end, f"one value alone has more than {BODY_BYTES_MAX} bytes")

    def _clear(self, total: int) -> None:
        try:
            self._send("PUT", (), b"null", 0, total)
        except Failed as failed:
            if isinstance(failed.__cause__, Failed) and failed.__cause__.exit_code is Exit.REFUSED:
                os.unlink(self._state_file)
                raise failed.__cause__ from None  # Nothing has changed.
            raise

    def _send(self, method: str, below: Path, body: bytes, done: int, total: int) -> None:
        """One request, again if the server does not answer: what it writes is the same however often it is written."""
        for attempt in range(self._retries + 1):
            try:
                self._server.ask(method, self._path + below, parameters={"print": "silent"}, body=body).close()
                return
            except Failed as failed:
                if failed.exit_code is Exit.UNREACHABLE and attempt < self._retries:
                    wait = min(2.0**attempt, _RETRY_SECONDS_MAX)
                    if not self._quiet:
                        print(f"meadowlark: {failed}; trying again in {wait:.0f} s", file=sys.stderr, flush=True)
                    time.sleep(wait)
                    continue
                raise Failed(Exit.INCOMPLETE, f"{failed}; written are {done} parts of {total}: go on with --resume") from failed

    def _read_state(self) -> State | None:
        try:
            with open(self._state_file, "rb") as source:
                return msgspec.json.decode(source.read(), type=State)
        except (FileNotFoundError, msgspec.DecodeError):
            return None

    def _keep(self, state: State) -> None:
        beside = self._state_file + ".new"
        try:
            with open(beside, "wb") as target:
                target.write(msgspec.json.encode(state))
            os.replace(beside, self._state_file)
        except OSError as error:
            code = Exit.INCOMPLETE if state.done else Exit.USAGE
            raise Failed(code, f"{self._state_file} cannot be written, which resuming needs: {error.strerror}") from error


def _blocks(source: IO[bytes], progress: Progress) -> Iterator[bytes]:
    while block := source.read(_BLOCK_BYTES):
        yield block
        progress.advance(len(block))


def as_line(done: Done) -> dict[str, Any]:
    return {"done": "import", "way": done.way, "bytes": done.text_bytes, "parts": done.parts}
