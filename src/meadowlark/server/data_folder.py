"""The data folder's lock: one server at a time, for as long as any of its processes lives.

The lock is on an open file (flock), and workers inherit that file, so it is held until the last of them is gone, however
the supervisor ended: a journal never has two writers. The file says who holds it, for the message that the second server
gives and for `meadowlark databases`.
Source: docs/operating.md "Data folder".
"""

from __future__ import annotations

import fcntl
import json
import os
import time

from meadowlark.errors import DataFolderLocked, WorldError

LOCK_FILE = "LOCK"
ORPHANS_SECONDS = 10.0
"""How long to wait for workers whose supervisor is gone: they stop by themselves when they notice."""


class DataFolder:
    """A locked data folder. `lock` is the descriptor that workers inherit."""

    def __init__(self, path: str) -> None:
        """Takes the folder, made if need be. Raises DataFolderLocked naming the holder, WorldError if it cannot be used."""
        self.path = os.path.abspath(path)
        try:
            _make_folder(self.path)
            self.lock = os.open(os.path.join(self.path, LOCK_FILE), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise WorldError(f"the data folder {self.path} cannot be used: {error.strerror}; name another with --data") from error
        try:
            self._take()
        except BaseException:
            os.close(self.lock)
            raise

    def sign(self, urls: list[str]) -> None:
        """Writes into the lock who holds it and where it listens."""
        text = json.dumps({"pid": os.getpid(), "urls": urls}) + "\n"
        os.ftruncate(self.lock, 0)
        os.pwrite(self.lock, text.encode(), 0)

    def _take(self) -> None:
        deadline = time.monotonic() + ORPHANS_SECONDS
        while True:
            try:
                fcntl.flock(self.lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except BlockingIOError:
                holder = self._holder()
            if holder is None or _is_alive(holder[0]) or time.monotonic() > deadline:
                pid, urls = holder or (0, [])
                where = f" at {' '.join(urls)}" if urls else ""
                raise DataFolderLocked(
                    f"the data folder {self.path} is in use by another server, pid {pid}{where}: "
                    "stop that one, or choose another folder with --data"
                )
            time.sleep(0.02)

    def _holder(self) -> tuple[int, list[str]] | None:
        try:
            held = json.loads(os.pread(self.lock, 4096, 0))
            return int(held["pid"]), list(held["urls"])
        except (ValueError, KeyError, TypeError):
            return None


def _make_folder(path: str) -> None:
    """The folder is there, and so is its name in its parent after a power cut."""
    if os.path.isdir(path):
        return
    os.makedirs(path, mode=0o700, exist_ok=True)
    parent = os.open(os.path.dirname(path), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(parent)
    finally:
        os.close(parent)


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    try:
        # A zombie holds nothing and will never act again.
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as stat:
            return stat.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return True
