"""The named admin credentials of a data folder: their list on disk, changed by commands, read again by a running server.

The list holds hashes. It is written beside its place, synced and renamed, so a reader sees the old one or the new one; commands
take turns by a lock on the folder. A server looks every second whether the file has changed, so a revoked credential ends within
about that, in all its workers, and no command has to find the server.

Does not know: what a credential opens (auth/credentials.py, auth/verifier.py).
Source: docs/operating.md "Admin credentials".
"""

from __future__ import annotations

import fcntl
import os
import secrets
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from meadowlark.auth.credentials import NAME, PREFIX, decode_credentials, digest_of, encode_credentials
from meadowlark.auth.identity import Credential
from meadowlark.errors import ConfigInvalid, WorldError
from meadowlark.ids import check_database_name
from meadowlark.limits import CREDENTIALS_MAX
from meadowlark.server.credential import CREDENTIAL_BYTES, sync_folder, write_synced
from meadowlark.server.stamps import stamp_of

CREDENTIALS_FILE = "credentials.json"
"""Name of the list in the data folder."""


def list_credentials(data: str) -> list[Credential]:
    """Those in force, in the order of making. Raises ConfigInvalid if the list cannot be read."""
    file = os.path.join(data, CREDENTIALS_FILE)
    try:
        with open(file, "rb") as source:
            return decode_credentials(source.read())
    except FileNotFoundError:
        return []
    except OSError as error:
        raise ConfigInvalid(f"the list of credentials {file} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise ConfigInvalid(f"the list of credentials {file} cannot be used: {error}") from error


def add_credential(data: str, name: str, *, databases: Sequence[str] = (), reads_only: bool = False) -> str:
    """A new credential, which is kept nowhere. databases: where it counts; none: everywhere. Raises WorldError."""
    if not NAME.fullmatch(name):
        raise ConfigInvalid(f"{name!r} is no name for a credential: expected 1 to 63 letters, digits, '.', '-' or '_'")
    scope = tuple(check_database_name(database) for database in databases) or None
    made = PREFIX + secrets.token_urlsafe(CREDENTIAL_BYTES)
    with _locked(data):
        named = list_credentials(data)
        if any(each.name == name for each in named):
            raise ConfigInvalid(f"there is a credential {name!r} already: revoke it first, or choose another name")
        if len(named) >= CREDENTIALS_MAX:
            raise ConfigInvalid(f"there are {len(named)} credentials, which is the limit: revoke one first")
        _write(data, [*named, Credential(name, digest_of(made).hex(), scope, reads_only, int(time.time()))])
    return made


def revoke_credential(data: str, name: str) -> None:
    """The credential opens nothing any more, in a running server within about a second. Raises WorldError if there is none."""
    with _locked(data):
        named = list_credentials(data)
        kept = [each for each in named if each.name != name]
        if len(kept) == len(named):
            raise ConfigInvalid(f"there is no credential {name!r}: `meadowlark credentials list` shows those that there are")
        _write(data, kept)


class CredentialsWatch:
    """Notices that the list has changed."""

    def __init__(self, data: str) -> None:
        self._file = os.path.join(data, CREDENTIALS_FILE)
        self._seen = stamp_of(self._file)

    def has_changed(self) -> bool:
        """Whether it has since the last call."""
        before, self._seen = self._seen, stamp_of(self._file)
        return self._seen != before  # Also if it is gone: whoever reads it finds out.


@contextmanager
def _locked(data: str) -> Iterator[None]:
    """One command at a time; not the lock that a server holds, which it may."""
    try:
        folder = os.open(data, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise WorldError(f"{data!r} is not a folder; expected a server's data folder") from error
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


def _write(data: str, named: list[Credential]) -> None:
    file = os.path.join(data, CREDENTIALS_FILE)
    beside = f"{file}.{secrets.token_hex(4)}"
    try:
        try:
            write_synced(beside, encode_credentials(named).decode())
            os.replace(beside, file)
        except BaseException:
            if os.path.exists(beside):
                os.unlink(beside)
            raise
        sync_folder(data)
    except OSError as error:
        raise WorldError(f"the list of credentials {file} cannot be written: {error.strerror}") from error
