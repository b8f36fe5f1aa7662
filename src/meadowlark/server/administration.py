"""What an operator asks from outside: which databases are there, and a new one.

A database exists iff its folder `DATA/databases/NAME` does, so listing is reading that folder, server or not. Creating
depends on who owns the data folder: while a server holds the lock, it is asked over HTTP with the admin credential; else
the folder is made here, under the same lock, so that no server can start in between.

Does not know: what is in a database.
Source: docs/operating.md "Databases".
"""

from __future__ import annotations

import fcntl
import http.client
import os
import re
import ssl
from urllib.parse import urlsplit

from meadowlark.errors import DataFolderLocked, WorldError
from meadowlark.ids import check_database_name
from meadowlark.server.credential import read_credential

LOCK_FILE = "LOCK"
DATABASES_FOLDER = "databases"
REQUEST_SECONDS = 30.0
"""How long the server may take to create a database, which is one sync of a folder."""

_URL = re.compile(r"https?://[^\s\"',]+")


def list_databases(data: str) -> list[str]:
    """The names of the databases in the data folder, sorted."""
    try:
        return sorted(entry.name for entry in os.scandir(os.path.join(data, DATABASES_FOLDER)) if entry.is_dir())
    except FileNotFoundError:
        return []


def create_database(name: str, *, data: str, credential_file: str, url: str | None = None) -> bool:
    """True once the database exists durably because of this call; False if it existed before.

    `url`: the server to ask; None: the one that holds the data folder, as it wrote in LOCK, or none.
    Raises Refused for a name that cannot be one, WorldError when the server or the disk says no.
    """
    check_database_name(name)
    if url is None:
        lock = _take_lock(data)
        if lock is not None:
            try:
                return _create_folder(name, data)
            finally:
                os.close(lock)
        url = _url_of_owner(data)
    return _ask_server(name, url, read_credential(credential_file))


def _take_lock(data: str) -> int | None:
    """A descriptor that holds the data folder until it is closed; None if a server holds it."""
    try:
        os.makedirs(data, exist_ok=True)
        lock = os.open(os.path.join(data, LOCK_FILE), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise WorldError(f"the data folder {data} cannot be used: {error.strerror}") from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        return None
    return lock


def _url_of_owner(data: str) -> str:
    with open(os.path.join(data, LOCK_FILE), encoding="utf-8", errors="replace") as lock:
        text = lock.read()
    found = _URL.search(text)
    if found is None:
        raise DataFolderLocked(f"a server holds {data} but does not say where it listens; name it with --url http://HOST:PORT")
    return found[0]


def _create_folder(name: str, data: str) -> bool:
    parent = os.path.join(data, DATABASES_FOLDER)
    try:
        os.makedirs(parent, exist_ok=True)
        os.mkdir(os.path.join(parent, name))
        for folder in (parent, data):
            _sync_folder(folder)
    except FileExistsError:
        return False
    except OSError as error:
        raise WorldError(f"{name} cannot be created in {parent}: {error.strerror}") from error
    return True


def _ask_server(name: str, url: str, credential: str) -> bool:
    parts = urlsplit(url)
    connection = _connect(parts.scheme, parts.hostname or "127.0.0.1", parts.port)
    try:
        headers = {"Authorization": f"Bearer {credential}"}
        connection.request("PUT", f"/.meadowlark/databases/{name}.json", body=b"{}", headers=headers)
        answer = connection.getresponse()
        text = answer.read(4096).decode(errors="replace")
    except (OSError, http.client.HTTPException) as error:
        raise WorldError(f"the server at {url} did not answer: {error}") from error
    finally:
        connection.close()
    if answer.status not in (200, 201):
        raise WorldError(f"the server at {url} refused to create {name}: {answer.status} {text.strip()}")
    return answer.status == 201


def _connect(scheme: str, host: str, port: int | None) -> http.client.HTTPConnection:
    if scheme == "https":
        return http.client.HTTPSConnection(host, port, timeout=REQUEST_SECONDS, context=ssl.create_default_context())
    return http.client.HTTPConnection(host, port, timeout=REQUEST_SECONDS)


def _sync_folder(folder: str) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
