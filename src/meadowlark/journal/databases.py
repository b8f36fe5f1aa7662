"""Which databases exist: the folders in `<data>/databases`. A folder without a snapshot is a database whose records are all in
the journal, or that nobody has written to.

Source: docs/formats.md "Data folder".
"""

from __future__ import annotations

from meadowlark.ids import check_database_name
from meadowlark.journal.files import Files, ensure_folders

FOLDER = "databases"


def database_folder(data: str, name: str) -> str:
    """The folder of one database. Raises Refused for what is no name, so that no name reaches outside the data folder."""
    return f"{data}/{FOLDER}/{check_database_name(name)}"


class Databases:
    """The databases in a data folder. Reads the disk each time, since other workers create databases too."""

    __slots__ = ("_data", "_files")

    def __init__(self, files: Files, data: str) -> None:
        """data: the data folder, which exists."""
        self._files = files
        self._data = data

    def list(self) -> list[str]:
        """Names, sorted."""
        try:
            return self._files.list(f"{self._data}/{FOLDER}")
        except FileNotFoundError:
            return []

    def exists(self, name: str) -> bool:
        """Whether there is such a database. Raises Refused for what is no name."""
        return self._files.exists(database_folder(self._data, name))

    def create(self, name: str) -> None:
        """The database exists, durably; it may have before. Raises Refused for what is no name, OSError."""
        ensure_folders(self._files, self._data, FOLDER, check_database_name(name))
