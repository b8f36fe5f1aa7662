"""The admin credential on disk: made at the first start, read at every later one.

One line of text in a file of mode 0600, by default in the data folder. It is written beside its place, synced and linked
there, so a crash leaves either no file or a whole one, and two makers cannot both win. Whoever has it may do everything:
a file that others may read is refused with the command that mends it, and no text here or elsewhere contains it.

Does not know: who presents a credential (auth/credentials.py compares them); the named ones, which credentials_file.py keeps.
Source: docs/operating.md "Admin credentials".
"""

from __future__ import annotations

import contextlib
import os
import secrets
import stat

from meadowlark.errors import ConfigInvalid

CREDENTIAL_BYTES = 32
"""Bytes of chance in a credential that we make: 43 characters, beyond any guessing."""

CREDENTIAL_LENGTH_MIN = 16
"""Characters of a credential that an operator wrote; a shorter one is a mistake or could be guessed."""


def open_credential(file: str) -> str:
    """The credential in `file`; made there if there is no such file. Raises ConfigInvalid."""
    if not os.path.exists(file):
        _make(file)
    return read_credential(file)


def read_credential(file: str) -> str:
    """The credential in `file`. Raises ConfigInvalid if there is none, or if others may read it."""
    try:
        with open(file, encoding="ascii") as source:
            mode = stat.S_IMODE(os.fstat(source.fileno()).st_mode)
            credential = source.read().strip()
    except OSError as error:
        raise ConfigInvalid(f"the admin credential in {file} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigInvalid(f"{file} is not an admin credential: expected one line of ASCII text") from error
    if mode & 0o077:
        raise ConfigInvalid(
            f"the admin credential in {file} has mode {mode:04o}, so others on this machine may use it; "
            f"expected 0600: chmod 600 {file}"
        )
    if len(credential) < CREDENTIAL_LENGTH_MIN or not credential.isprintable() or " " in credential:
        raise ConfigInvalid(
            f"{file} is not an admin credential: expected one line of at least {CREDENTIAL_LENGTH_MIN} characters without "
            "spaces; remove the file to have one made"
        )
    return credential


def _make(file: str) -> None:
    """Put a new credential at `file`, unless somebody else just did."""
    folder = os.path.dirname(file) or "."
    beside = f"{file}.{secrets.token_hex(4)}"
    try:
        os.makedirs(folder, exist_ok=True)
        write_synced(beside, secrets.token_urlsafe(CREDENTIAL_BYTES) + "\n")
        try:
            with contextlib.suppress(FileExistsError):
                os.link(beside, file)  # Unlike a rename, never replaces a credential that is already in use.
        finally:
            os.unlink(beside)
        sync_folder(folder)
    except OSError as error:
        raise ConfigInvalid(f"the admin credential cannot be written to {file}: {error.strerror}") from error


def write_synced(file: str, text: str) -> None:
    """A new file with `text`, on disk, which only its owner may read."""
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with open(descriptor, "w", encoding="ascii") as target:
        target.write(text)
        target.flush()
        os.fsync(descriptor)


def sync_folder(folder: str) -> None:
    """What was put into the folder, or taken out of it, stays so."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
