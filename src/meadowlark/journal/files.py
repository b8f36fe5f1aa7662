"""The file seam: everything the journal asks of a file system, and what may be believed after a power cut.

Two implementations: `server/disk.py` (a folder on disk) and `testing/memory_files.py` (a model with faults). One contract suite
runs on both (tests/journal/test_files.py). Paths are text with `/` between names.

What survives a power cut is promised only so far:
- bytes and size of a file, once `File.sync` returned; until then any part of them, in any mixture with what was there before;
- names in a folder (created, renamed, removed), once `sync_folder` of that folder returned; until then each or not.
A `sync` that failed says nothing about what was written before it, and a later one that succeeds does not make up for it:
whoever meets a failure stops. Every call may raise OSError.
Does not know: what is written.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

UNFINISHED = ".unfinished"
"""Ends the names of files that are being written; they mean nothing until renamed and may go at any time."""


class File(Protocol):
    """One open file. Not for two threads at once."""

    def size(self) -> int:
        """Bytes, preallocated ones included."""

    def read(self, offset: int, count: int) -> bytes:
        """At most `count` bytes from `offset`; fewer only where the file ends."""

    def write(self, offset: int, blocks: Sequence[bytes]) -> None:
        """All of `blocks`, one behind the other, stand at `offset`; not yet synced. A short write is an OSError."""

    def allocate(self, size: int) -> None:
        """The file has at least `size` bytes and room on the disk for them; new ones are zero. Not yet synced."""

    def truncate(self, size: int) -> None:
        """The file ends at `size`. Not yet synced."""

    def sync(self) -> None:
        """Bytes and size survive a power cut (the name: `sync_folder`)."""

    def close(self) -> None:
        """Gives the file back; syncs nothing."""


class Files(Protocol):
    """A tree of folders and files. May be used by several threads, on different paths."""

    def list(self, folder: str) -> list[str]:
        """Names in `folder`, sorted; FileNotFoundError if there is no such folder."""

    def exists(self, path: str) -> bool:
        """Whether a file or folder has this name."""

    def make_folder(self, folder: str) -> None:
        """`folder` exists (its parent must already; it may itself). Not yet synced: `sync_folder` of the parent."""

    def open(self, path: str, *, create: bool = False) -> File:
        """The file for reading and writing. With `create` it must not exist yet: FileExistsError."""

    def rename(self, source: str, target: str) -> None:
        """`source` has the name `target`, at once and whole; a file of that name is replaced. Not yet synced."""

    def remove(self, path: str) -> None:
        """The file is gone. Not yet synced."""

    def remove_folder(self, folder: str) -> None:
        """The empty folder is gone. Not yet synced."""

    def sync_folder(self, folder: str) -> None:
        """The names in `folder` survive a power cut (those of what is in them: their own syncs)."""


def read_whole(files: Files, path: str) -> bytes:
    """All bytes of the file at `path`."""
    file = files.open(path)
    try:
        return file.read(0, file.size())
    finally:
        file.close()


def write_whole(files: Files, path: str, content: bytes) -> None:
    """A new file at `path` holds `content`, synced; its name is not synced yet."""
    file = files.open(path, create=True)
    try:
        file.write(0, [content])
        file.sync()
    finally:
        file.close()


def replace_whole(files: Files, folder: str, name: str, content: bytes) -> None:
    """The file `name` in `folder` holds `content`, durably; a crash before that leaves it as it was."""
    unfinished = f"{folder}/{name}{UNFINISHED}"
    if files.exists(unfinished):
        files.remove(unfinished)
    write_whole(files, unfinished, content)
    files.rename(unfinished, f"{folder}/{name}")
    files.sync_folder(folder)


def ensure_folders(files: Files, base: str, *names: str) -> None:
    """Below the folder `base`, which exists, there is a folder `names[0]`, in it `names[1]` and so on; durably."""
    for name in names:
        files.make_folder(f"{base}/{name}")
        files.sync_folder(base)
        base = f"{base}/{name}"


def remove_all(files: Files, folder: str) -> None:
    """`folder` and all in it is gone; not synced, so after a crash any part of it may be back."""
    for name in files.list(folder):
        path = f"{folder}/{name}"
        try:
            files.list(path)
        except NotADirectoryError:
            files.remove(path)
        else:
            remove_all(files, path)
    files.remove_folder(folder)
