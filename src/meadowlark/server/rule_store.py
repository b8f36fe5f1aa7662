"""The rule sets of databases on disk, and the one that all others share: every version that was ever set, the newest in force.

`<data>/rules/<database>/<number>.json` holds one version: its text, when it was set and by whom. A version is written beside its
place, synced and renamed there, so it is there whole or not at all, and never changed afterwards. Going back to an older one
makes a new version with its text, and removing the rules one without any. What is kept is bounded: the oldest go first.
Does not know: what is in a text, or whether it is valid. Blocking: for threads beside the loop.
Source: docs/formats.md "Rules".
"""

from __future__ import annotations

from typing import Any

import msgspec

from meadowlark.errors import Code, Refused
from meadowlark.ids import check_database_name
from meadowlark.journal import Files
from meadowlark.journal.files import ensure_folders, read_whole
from meadowlark.limits import RULES_VERSIONS_MAX

FOLDER = "rules"
DEFAULT = ".default"
"""In place of a database's name: the rules of all that have none of their own. No database can be called so."""
_SUFFIX = ".json"
_BESIDE = ".new"
_DIGITS = 8


class Version(msgspec.Struct, frozen=True, kw_only=True):
    """One rule set as it was set. `restores`: the number of the older version that this one brought back."""

    number: int
    at: int
    """Milliseconds since 1970."""
    by: str
    text: str
    """Empty: from here on there were none."""
    restores: int | None = None

    def summary(self) -> dict[str, Any]:
        """All but the text."""
        made = {"version": self.number, "at": self.at, "by": self.by, "bytes": len(self.text.encode())}
        if not self.text:
            made["removed"] = True
        return made if self.restores is None else made | {"restores": self.restores}


class RuleStore:
    """The rule sets in one data folder. One worker writes those of a database, its owner; and so it is with the default."""

    __slots__ = ("_data", "_files")

    def __init__(self, files: Files, data: str) -> None:
        self._files = files
        self._data = data

    def read(self, database: str, number: int | None = None) -> Version | None:
        """Version `number`, or the one in force; None if there is none. Raises OSError, msgspec.DecodeError."""
        numbers = self._numbers(database)
        if not numbers or (number is not None and number not in numbers):
            return None
        path = f"{self._folder(database)}/{_name(numbers[-1] if number is None else number)}"
        return msgspec.json.decode(read_whole(self._files, path), type=Version)

    def newest(self, database: str) -> int:
        """The number of the version in force; 0 if there is none. Raises OSError."""
        numbers = self._numbers(database)
        return numbers[-1] if numbers else 0

    def versions(self, database: str) -> list[Version]:
        """All versions, the newest first."""
        found = [self.read(database, number) for number in reversed(self._numbers(database))]
        return [version for version in found if version is not None]

    def add(self, database: str, text: str, *, at: int, by: str, restores: int | None = None) -> Version:
        """A new version with `text`, durable and in force when this returns. Raises OSError: then nothing has changed."""
        folder = self._folder(database)
        ensure_folders(self._files, self._data, FOLDER, database)
        numbers = self._numbers(database)
        version = Version(number=numbers[-1] + 1 if numbers else 1, at=at, by=by, text=text, restores=restores)
        beside = f"{folder}/{_name(version.number)}{_BESIDE}"
        if self._files.exists(beside):
            self._files.remove(beside)  # Of a crash.
        file = self._files.open(beside, create=True)
        try:
            file.write(0, [msgspec.json.encode(version)])
            file.sync()
        finally:
            file.close()
        self._files.rename(beside, f"{folder}/{_name(version.number)}")
        self._files.sync_folder(folder)
        for number in numbers[: max(0, len(numbers) + 1 - RULES_VERSIONS_MAX)]:
            self._files.remove(f"{folder}/{_name(number)}")
        return version

    def restore(self, database: str, number: int, *, at: int, by: str) -> Version:
        """Version `number` is in force again, as a new one. Raises Refused if there is none."""
        old = self.read(database, number)
        if old is None:
            raise Refused(Code.INVALID_REQUEST, f"there is no version {number} of these rules")
        return self.add(database, old.text, at=at, by=by, restores=number)

    def _folder(self, database: str) -> str:
        return f"{self._data}/{FOLDER}/{database if database == DEFAULT else check_database_name(database)}"

    def _numbers(self, database: str) -> list[int]:
        try:
            names = self._files.list(self._folder(database))
        except FileNotFoundError:
            return []
        stems = [name.removesuffix(_SUFFIX) for name in names if name.endswith(_SUFFIX)]
        return sorted(int(stem) for stem in stems if stem.isdecimal())


def _name(number: int) -> str:
    return f"{number:0{_DIGITS}d}{_SUFFIX}"
