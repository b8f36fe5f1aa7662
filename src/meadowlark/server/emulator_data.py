"""Data as Firebase's emulators export and import it: a folder with a description, and in it a file for each database.

    firebase-export-metadata.json     {"version": …, "database": {"version": …, "path": "database_export"}}
    database_export/NAME.json         the database in export form

A folder may hold exports of other emulators, described in the same file; they are left as they are. What is written stands beside
the old until it is whole, so an export that is cut short leaves the old one.
Does not know: the server but by its URL; it is asked like by any client.
Source: docs/start.md "Data in and out"; firebase-tools, `emulators:export`.
"""

from __future__ import annotations

import http.client
import json
import os
import shutil
from contextlib import closing
from typing import IO, Any
from urllib.parse import urlsplit

from meadowlark import __version__
from meadowlark.errors import Refused, WorldError
from meadowlark.ids import check_database_name

DESCRIPTION = "firebase-export-metadata.json"
DATABASES = "database_export"
"""Where an export of ours has its databases."""

REQUEST_SECONDS = 600.0
_OWNER = {"Authorization": "Bearer owner"}
_PIECE_BYTES = 1024 * 1024


class ExportFolder:
    """One folder, which need not exist."""

    def __init__(self, path: str) -> None:
        self.path = path

    @property
    def exists(self) -> bool:
        return os.path.exists(os.path.join(self.path, DESCRIPTION))

    def files(self) -> dict[str, str]:
        """The files of its databases, by name. Raises WorldError if it is no export, or its names are no databases'."""
        if not self.exists:
            raise WorldError(f"{self.path!r} has no {DESCRIPTION}; expected a folder made by 'firebase emulators:export'")
        described = self._described().get("database")
        if described is None:
            return {}
        folder = os.path.join(self.path, str(described.get("path", DATABASES) if isinstance(described, dict) else DATABASES))
        try:
            names = sorted(name.removesuffix(".json") for name in os.listdir(folder) if name.endswith(".json"))
            return {check_database_name(name): os.path.join(folder, f"{name}.json") for name in names}
        except (OSError, Refused) as error:
            raise WorldError(f"the databases in {folder!r} cannot be imported: {error}") from error

    def load_into(self, url: str) -> None:
        """Every database is on the server at `url` as it is here. Raises WorldError."""
        for name, file in self.files().items():
            with open(file, "rb") as source:
                status, answer = _put(url, name, source)
            if status >= 400:
                raise WorldError(f"{file!r} was not imported: {status} {answer[:400].decode(errors='replace')}")

    def save_from(self, url: str) -> None:
        """It has every database that the server at `url` holds something in. Raises WorldError."""
        os.makedirs(self.path, exist_ok=True)
        described = self._described() if self.exists else {}
        beside = os.path.join(self.path, f".{DATABASES}-{os.getpid()}")
        try:
            os.mkdir(beside)
            for name in _names(url):
                _fetch(url, name, os.path.join(beside, f"{name}.json"))
            target = os.path.join(self.path, DATABASES)
            shutil.rmtree(target, ignore_errors=True)
            os.rename(beside, target)
        except (OSError, http.client.HTTPException) as error:
            raise WorldError(f"nothing was exported to {self.path!r}: {error}") from error
        finally:
            shutil.rmtree(beside, ignore_errors=True)
        version = {"version": __version__}
        self._describe(version | described | {"database": version | {"path": DATABASES}})

    def _described(self) -> dict[str, Any]:
        try:
            with open(os.path.join(self.path, DESCRIPTION), encoding="utf-8") as source:
                described = json.load(source)
        except (OSError, ValueError) as error:
            raise WorldError(f"{DESCRIPTION} in {self.path!r} cannot be read: {error}") from error
        if not isinstance(described, dict):
            raise WorldError(f"{DESCRIPTION} in {self.path!r} is no object; expected one with a member 'database'")
        return described

    def _describe(self, described: dict[str, Any]) -> None:
        file = os.path.join(self.path, DESCRIPTION)
        with open(f"{file}.new", "w", encoding="utf-8") as target:
            json.dump(described, target, indent=2)
        os.replace(f"{file}.new", file)


def _connect(url: str) -> http.client.HTTPConnection:
    parts = urlsplit(url)
    return http.client.HTTPConnection(parts.hostname or "127.0.0.1", parts.port, timeout=REQUEST_SECONDS)


def _put(url: str, name: str, source: IO[bytes]) -> tuple[int, bytes]:
    size = os.fstat(source.fileno()).st_size
    with closing(_connect(url)) as connection:
        try:
            target = f"/.json?ns={name}&print=silent&disableTriggers=true&writeSizeLimit=unlimited"
            connection.request("PUT", target, source, _OWNER | {"Content-Length": str(size)})
            answer = connection.getresponse()
            return answer.status, answer.read()
        except (OSError, http.client.HTTPException) as error:
            raise WorldError(f"{name!r} was not imported: {error}") from error


def _names(url: str) -> list[str]:
    """Of the databases that hold something."""
    listed = json.loads(_get(url, "/.inspect/databases.json"))
    names = [str(database["name"]) for database in listed]
    return [name for name in names if _get(url, f"/.json?ns={name}&shallow=true&limitToFirst=1") != b"null"]


def _get(url: str, target: str) -> bytes:
    with closing(_connect(url)) as connection:
        connection.request("GET", target, headers=_OWNER)
        answer = connection.getresponse()
        body = answer.read()
    if answer.status != 200:
        raise OSError(f"{target} was answered with {answer.status}")
    return body


def _fetch(url: str, name: str, file: str) -> None:
    with closing(_connect(url)) as connection, open(file, "wb") as target:
        connection.request("GET", f"/.json?ns={name}&format=export", headers=_OWNER)
        answer = connection.getresponse()
        if answer.status != 200:
            raise OSError(f"{name} was answered with {answer.status}")
        while piece := answer.read(_PIECE_BYTES):
            target.write(piece)
