"""What an operator does from outside: sees which databases there are, creates one, repairs a data folder, reads the metrics.

A database exists iff its folder does, so listing is reading folders, server or not. Creating depends on who owns the data
folder: while a server holds the lock, it is asked over HTTP with the admin credential; else the folder is made here, under
the same lock, so that no server can start in between. Repair needs the lock: a server must not run meanwhile.

Does not know: what is in a database.
Source: docs/operating.md "Databases", "Repair".
"""

from __future__ import annotations

import http.client
import json
import os
import re
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

from meadowlark.errors import DataFolderLocked, WorldError
from meadowlark.ids import check_database_name
from meadowlark.journal import Databases, repair
from meadowlark.server.credential import read_credential
from meadowlark.server.data_folder import LOCK_FILE, DataFolder
from meadowlark.server.disk import Disk

REQUEST_SECONDS = 30.0
"""How long the server may take to answer; creating a database, for one, is a sync of a folder."""

_URL = re.compile(r"https?://[^\s\"',]+")


def list_databases(data: str) -> list[str]:
    """The names of the databases in the data folder, sorted. Raises WorldError if there is no such folder."""
    _check_folder(data)
    return sorted(Databases(Disk(), data).list())


def create_database(name: str, *, data: str, credential_file: str, url: str | None = None) -> bool:
    """True once the database exists durably because of this call; False if it existed before.

    `url`: the server to ask; None: the one that holds the data folder, as it wrote in LOCK, or none.
    Raises Refused for a name that cannot be one, WorldError when the server or the disk says no.
    """
    check_database_name(name)
    if url is not None:
        return _ask_server(name, url, read_credential(credential_file), ssl.create_default_context())
    try:
        with _held(data) as path:
            return _create_folder(name, path)
    except DataFolderLocked:
        return _ask_server(name, _url_of_holder(data), read_credential(credential_file), same_machine())


def read_metrics(*, data: str, credential_file: str, url: str | None = None) -> list[dict[str, Any]]:
    """The numbers of every worker of a running server, as exposition.py describes.

    `url`: the server to ask; None: the one that holds the data folder. In dev no credential is needed. Raises WorldError.
    """
    credential = read_credential(credential_file) if os.path.exists(credential_file) else None
    tls = ssl.create_default_context() if url is not None else same_machine()
    if url is None:
        url = find_url(data)
    status, answer = _request("GET", url, "/.meadowlark/metrics.json", credential, tls)
    if status == 401:
        raise WorldError(f"the server at {url} wants the admin credential: name its file with --credential-file")
    if status != 200:
        raise WorldError(f"the server at {url} has no metrics: {status} {answer[:4096].decode(errors='replace').strip()}")
    try:
        return list(json.loads(answer))
    except ValueError as error:
        raise WorldError(f"the server at {url} answered with what are no metrics: {error}") from error


def ask_server(
    method: str, target: str, *, data: str, credential_file: str, url: str | None = None, body: bytes | None = None
) -> tuple[int, bytes]:
    """Status and body of what a running server answers an admin. `url`: the server to ask; None: the one that holds the folder.

    Raises WorldError when there is no answer, ConfigInvalid for a credential that cannot be used.
    """
    credential = read_credential(credential_file) if os.path.exists(credential_file) else None
    tls = ssl.create_default_context() if url is not None else same_machine()
    if url is None:
        url = find_url(data)
    status, answer = _request(method, url, target, credential, tls, body=body)
    if status == 401:
        raise WorldError(f"the server at {url} wants the admin credential: name its file with --credential-file")
    return status, answer


def repair_data(data: str) -> list[str]:
    """The data folder can be started again; what was found, done and lost, in lines. Raises WorldError."""
    _check_folder(data)
    with _held(data) as path:
        try:
            return repair(Disk(), path).lines()
        except OSError as error:
            raise WorldError(f"{data} cannot be repaired: {error}") from error


@contextmanager
def _held(data: str) -> Iterator[str]:
    """The data folder, locked against servers. Raises DataFolderLocked if one has it."""
    folder = DataFolder(data)
    try:
        yield folder.path
    finally:
        os.close(folder.lock)


def find_url(data: str) -> str:
    """The address of the server that holds the data folder, or held it last. Raises WorldError."""
    _check_folder(data)
    return _url_of_holder(data)


def _check_folder(data: str) -> None:
    if not os.path.isdir(data):
        raise WorldError(f"{data!r} is not a folder; expected a server's data folder")


def _url_of_holder(data: str) -> str:
    try:
        with open(os.path.join(data, LOCK_FILE), encoding="utf-8", errors="replace") as lock:
            found = _URL.search(lock.read())
    except FileNotFoundError as error:
        raise WorldError(f"no server has ever run on {data}: name one with --url http://HOST:PORT") from error
    if found is None:
        raise DataFolderLocked(f"a server holds {data} but does not say where it listens; name it with --url http://HOST:PORT")
    return found[0]


def same_machine() -> ssl.SSLContext:
    """For the address in LOCK: its certificate is for a name, not for that address, and who holds the lock is who is asked."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _create_folder(name: str, data: str) -> bool:
    folders = Databases(Disk(), data)
    try:
        known = folders.exists(name)
        folders.create(name)
    except OSError as error:
        raise WorldError(f"{name} cannot be created in {data}: {error.strerror}") from error
    return not known


def _ask_server(name: str, url: str, credential: str, tls: ssl.SSLContext) -> bool:
    status, answer = _request("PUT", url, f"/.meadowlark/databases/{name}.json", credential, tls, body=b"{}")
    if status not in (200, 201):
        text = answer[:4096].decode(errors="replace").strip()
        raise WorldError(f"the server at {url} refused to create {name}: {status} {text}")
    return status == 201


def _request(
    method: str, url: str, target: str, credential: str | None, tls: ssl.SSLContext, *, body: bytes | None = None
) -> tuple[int, bytes]:
    """Status and body of one answer. Raises WorldError when there is none."""
    parts = urlsplit(url)
    connection = _connect(parts.scheme, parts.hostname or "127.0.0.1", parts.port, tls)
    try:
        headers = {"Authorization": f"Bearer {credential}"} if credential else {}
        connection.request(method, target, body=body, headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.read()
    except (OSError, http.client.HTTPException) as error:
        raise WorldError(f"the server at {url} did not answer: {error}") from error
    finally:
        connection.close()


def _connect(scheme: str, host: str, port: int | None, tls: ssl.SSLContext) -> http.client.HTTPConnection:
    if scheme == "https":
        return http.client.HTTPSConnection(host, port, timeout=REQUEST_SECONDS, context=tls)
    return http.client.HTTPConnection(host, port, timeout=REQUEST_SECONDS)
