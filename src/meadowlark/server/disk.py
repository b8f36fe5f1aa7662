"""The file seam on a real file system (journal/files.py says what each call promises).

Names are relative to the process's folder or absolute. Files are 0600 and folders 0700: they hold everybody's values.
Nothing is retried: an error of the system is the caller's to act on.
Contract: tests/journal/test_files.py.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

_BLOCKS_MAX = 1000
"""Blocks in one write call; Linux takes 1,024."""


class DiskFile:
    """An open file descriptor."""

    __slots__ = ("_fd", "_path")

    def __init__(self, fd: int, path: str) -> None:
        self._fd = fd
        self._path = path

    def size(self) -> int:
        return os.fstat(self._fd).st_size

    def read(self, offset: int, count: int) -> bytes:
        parts: list[bytes] = []
        while count > 0:
            # One call gives at most 2 GB, and may give less.
            part = os.pread(self._fd, count, offset)
            if not part:
                break
            parts.append(part)
            offset += len(part)
            count -= len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def write(self, offset: int, blocks: Sequence[bytes]) -> None:
        for start in range(0, len(blocks), _BLOCKS_MAX):
            some = blocks[start : start + _BLOCKS_MAX]
            size = sum(map(len, some))
            written = os.pwritev(self._fd, some, offset)
            if written != size:
                # The disk is full, most likely; the next call would say so, but nothing may be written behind a gap.
                raise OSError(f"short write to {self._path}: {written} of {size} bytes at offset {offset}")
            offset += size

    def allocate(self, size: int) -> None:
        os.posix_fallocate(self._fd, 0, size)

    def truncate(self, size: int) -> None:
        os.ftruncate(self._fd, size)

    def sync(self) -> None:
        # fdatasync writes the size too when it has changed: without it the bytes could not be read.
        os.fdatasync(self._fd)

    def close(self) -> None:
        os.close(self._fd)


class Disk:
    """Files and folders of this machine."""

    __slots__ = ()

    def list(self, folder: str) -> list[str]:
        return sorted(os.listdir(folder))

    def exists(self, path: str) -> bool:
        return os.path.lexists(path)

    def make_folder(self, folder: str) -> None:
        try:
            os.mkdir(folder, 0o700)
        except FileExistsError:
            if not os.path.isdir(folder):
                raise

    def open(self, path: str, *, create: bool = False) -> DiskFile:
        flags = os.O_RDWR | os.O_CLOEXEC | (os.O_CREAT | os.O_EXCL if create else 0)
        return DiskFile(os.open(path, flags, 0o600), path)

    def rename(self, source: str, target: str) -> None:
        os.rename(source, target)

    def remove(self, path: str) -> None:
        os.unlink(path)

    def remove_folder(self, folder: str) -> None:
        os.rmdir(folder)

    def sync_folder(self, folder: str) -> None:
        fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)
