"""The file seam in memory, as unreliable as the promise of journal/files.py allows.

Every file and folder is kept twice: as a running process sees it, and as the disk surely has it, with the changes between the
two in order. `after_power_cut` gives the files that another start would find: what was synced, and of each later change the
whole, nothing, a part cut off anywhere, or a mixture of pieces with what was there before (zeros, where room was allocated).

Each call that changes something is a step, counted from 1. A `Fault` happens at one step, so a test can run a script once to
count its steps and then once for each of them. After a sync that failed, its changes are seen and are never written, also not
by a later sync that succeeds: this is what Linux does.
"""

from __future__ import annotations

import enum
import errno
from collections.abc import Sequence
from random import Random

_PIECE_BYTES = (16, 512, 4096)
"""Sizes of the pieces in which a change may survive in part: small ones to meet small tests, and real ones."""


class PowerCut(Exception):
    """The machine has stopped: raised by the call in which it happened and by every later one."""


class Fault(enum.Enum):
    """What happens at the chosen step."""

    FAIL = "fail"
    """OSError, and nothing is done."""
    SHORT = "short"
    """A write does half of its work, then OSError; other calls fail."""
    CUT = "cut"
    """The change is made but not synced, and the power goes. A sync has synced nothing."""


class _File:
    """`seen` by the process, `durable` on the disk, `changes` between: (offset, bytes) written, or (size, None) resized."""

    __slots__ = ("changes", "durable", "seen")

    def __init__(self, content: bytes = b"") -> None:
        self.seen = bytearray(content)
        self.durable = bytearray(content)
        self.changes: list[tuple[int, bytes | None]] = []

    def change(self, place: int, content: bytes | None) -> None:
        _apply(self.seen, place, content)
        self.changes.append((place, content))

    def sync(self) -> None:
        for place, content in self.changes:
            _apply(self.durable, place, content)
        self.changes.clear()

    def survivor(self, chance: Random) -> _File:
        content = bytearray(self.durable)
        for place, written in self.changes:
            _survive(content, place, written, chance)
        return _File(bytes(content))


class _Folder:
    """`seen` and `durable` names; `changes` between, each all or nothing: what names now stand for, None for nothing."""

    __slots__ = ("changes", "durable", "seen")

    def __init__(self) -> None:
        self.seen: dict[str, _File | _Folder] = {}
        self.durable: dict[str, _File | _Folder] = {}
        self.changes: list[dict[str, _File | _Folder | None]] = []

    def change(self, names: dict[str, _File | _Folder | None]) -> None:
        _rename(self.seen, names)
        self.changes.append(names)

    def sync(self) -> None:
        for names in self.changes:
            _rename(self.durable, names)
        self.changes.clear()

    def survivor(self, chance: Random) -> _Folder:
        found = dict(self.durable)
        for names in self.changes:
            if chance.random() < 0.5:
                _rename(found, names)
        folder = _Folder()
        folder.seen = {name: node.survivor(chance) for name, node in found.items()}
        folder.durable = dict(folder.seen)
        return folder


class MemoryFile:
    """An open file of `MemoryFiles`."""

    __slots__ = ("_file", "_files", "_path")

    def __init__(self, files: MemoryFiles, file: _File, path: str) -> None:
        self._files = files
        self._file = file
        self._path = path

    def size(self) -> int:
        self._files.check_power()
        return len(self._file.seen)

    def read(self, offset: int, count: int) -> bytes:
        self._files.check_power()
        return bytes(self._file.seen[offset : offset + count])

    def write(self, offset: int, blocks: Sequence[bytes]) -> None:
        content = b"".join(blocks)
        fault = self._files.step("write", self._path)
        self._file.change(offset, content[: len(content) // 2] if fault is Fault.SHORT else content)
        self._files.end_step(fault, self._path)

    def allocate(self, size: int) -> None:
        fault = self._files.step("allocate", self._path)
        if size > len(self._file.seen):
            self._file.change(size, None)
        self._files.end_step(fault, self._path)

    def truncate(self, size: int) -> None:
        fault = self._files.step("truncate", self._path)
        self._file.change(size, None)
        self._files.end_step(fault, self._path)

    def sync(self) -> None:
        try:
            fault = self._files.step("sync", self._path)
        except OSError:
            self._file.changes.clear()
            raise
        self._files.end_step(fault, self._path)
        self._file.sync()

    def close(self) -> None:
        return


class MemoryFiles:
    """Files and folders in memory, below one root that always exists."""

    def __init__(self) -> None:
        self._root = _Folder()
        self._fault: Fault | None = None
        self._fault_step = 0
        self._is_cut = False
        self.steps: list[str] = []
        """What was done, one text a step, e.g. "sync data/journal-1/0/segment-00000001"."""

    # Faults

    def plan(self, fault: Fault, step: int) -> None:
        """`fault` will happen at the step of this number, counted from now on."""
        self.steps.clear()
        self._fault, self._fault_step = fault, step

    def restart(self) -> None:
        """The process has ended and another one begins on the same machine: all that was seen is there; no fault is planned."""
        self._fault, self._is_cut = None, False
        self.steps.clear()

    def after_power_cut(self, chance: Random) -> MemoryFiles:
        """What the next start finds, one possibility of many, and durable: the next cut does not change it again."""
        files = MemoryFiles()
        files._root = self._root.survivor(chance)
        return files

    def damage(self, path: str, offset: int, content: bytes) -> None:
        """Other bytes stand there, on the disk too; no step."""
        file = self._file(path)
        for copy in (file.seen, file.durable):
            _apply(copy, offset, content)

    def step(self, name: str, path: str) -> Fault | None:
        """One step begins; raises if it must fail before doing anything."""
        self.check_power()
        self.steps.append(f"{name} {path}")
        if self._fault is None or len(self.steps) != self._fault_step:
            return None
        if self._fault is Fault.FAIL or (self._fault is Fault.SHORT and name != "write"):
            raise OSError(errno.EIO, "planned failure", path)
        return self._fault

    def end_step(self, fault: Fault | None, path: str) -> None:
        """The step is done; raises if it was cut short."""
        if fault is Fault.SHORT:
            raise OSError(errno.ENOSPC, "planned short write", path)
        if fault is Fault.CUT:
            self._is_cut = True
            raise PowerCut(path)

    def check_power(self) -> None:
        """Raises PowerCut if the machine has stopped."""
        if self._is_cut:
            raise PowerCut

    # The seam

    def list(self, folder: str) -> list[str]:
        self.check_power()
        return sorted(self._folder(folder).seen)

    def exists(self, path: str) -> bool:
        self.check_power()
        return self._find(path) is not None

    def make_folder(self, folder: str) -> None:
        parent, name = self._parent(folder)
        fault = self.step("make_folder", folder)
        found = parent.seen.get(name)
        if isinstance(found, _File):
            raise FileExistsError(folder)
        if found is None:
            parent.change({name: _Folder()})
        self.end_step(fault, folder)

    def open(self, path: str, *, create: bool = False) -> MemoryFile:
        if not create:
            self.check_power()
            return MemoryFile(self, self._file(path), path)
        parent, name = self._parent(path)
        fault = self.step("create", path)
        if name in parent.seen:
            raise FileExistsError(path)
        file = _File()
        parent.change({name: file})
        self.end_step(fault, path)
        return MemoryFile(self, file, path)

    def rename(self, source: str, target: str) -> None:
        (before, old), (after, new) = self._parent(source), self._parent(target)
        fault = self.step("rename", source)
        node = before.seen.get(old)
        if node is None:
            raise FileNotFoundError(source)
        if before is after:
            before.change({old: None, new: node})
        else:
            after.change({new: node})
            before.change({old: None})
        self.end_step(fault, source)

    def remove(self, path: str) -> None:
        parent, name = self._parent(path)
        fault = self.step("remove", path)
        self._file(path)
        parent.change({name: None})
        self.end_step(fault, path)

    def remove_folder(self, folder: str) -> None:
        parent, name = self._parent(folder)
        fault = self.step("remove_folder", folder)
        if self._folder(folder).seen:
            raise OSError(errno.ENOTEMPTY, "folder is not empty", folder)
        parent.change({name: None})
        self.end_step(fault, folder)

    def sync_folder(self, folder: str) -> None:
        fault = self.step("sync_folder", folder)
        self.end_step(fault, folder)
        self._folder(folder).sync()

    # Paths

    def _find(self, path: str) -> _File | _Folder | None:
        node: _File | _Folder | None = self._root
        for name in filter(None, path.split("/")):
            node = node.seen.get(name) if isinstance(node, _Folder) else None
        return node

    def _folder(self, path: str) -> _Folder:
        node = self._find(path)
        if node is None:
            raise FileNotFoundError(path)
        if isinstance(node, _File):
            raise NotADirectoryError(path)
        return node

    def _file(self, path: str) -> _File:
        node = self._find(path)
        if node is None:
            raise FileNotFoundError(path)
        if isinstance(node, _Folder):
            raise IsADirectoryError(path)
        return node

    def _parent(self, path: str) -> tuple[_Folder, str]:
        self.check_power()
        parent, _, name = path.rpartition("/")
        return self._folder(parent), name


def _apply(content: bytearray, place: int, written: bytes | None) -> None:
    size = place if written is None else place + len(written)
    if written is None:
        del content[size:]
    if size > len(content):
        content.extend(bytes(size - len(content)))
    if written is not None:
        content[place:size] = written


def _survive(content: bytearray, place: int, written: bytes | None, chance: Random) -> None:
    """Applies to `content` what chance leaves of one change."""
    fate = chance.randrange(4)
    if fate == 0:
        return
    if fate == 1 or written is None:
        _apply(content, place, written)
    elif fate == 2:
        _apply(content, place, written[: chance.randrange(len(written) + 1)])
    else:
        piece = chance.choice(_PIECE_BYTES)
        for start in range(0, len(written), piece):
            if chance.random() < 0.5:
                _apply(content, place + start, written[start : start + piece])


def _rename(names: dict[str, _File | _Folder], change: dict[str, _File | _Folder | None]) -> None:
    for name, node in change.items():
        if node is None:
            names.pop(name, None)
        else:
            names[name] = node
