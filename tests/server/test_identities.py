"""The rim around the verifier: credentials that change on disk, and who may do what to the server."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from meadowlark.auth.identity import ADMIN, NOBODY, Identity
from meadowlark.errors import Code, ConfigInvalid, Refused
from meadowlark.server.config import Config
from meadowlark.server.credential import open_credential
from meadowlark.server.credentials_file import CREDENTIALS_FILE, add_credential, revoke_credential
from meadowlark.server.exchange import Exchange
from meadowlark.server.identities import Identities, check_identity, make_identities
from meadowlark.wire.http import RequestReader
from tests.auth.signing import NOW

CONFIG = Config(mode="serve")


class Folder:
    """A data folder of `serve`, with what a worker makes of it."""

    def __init__(self, path: Path) -> None:
        self.data = str(path)
        self.file = path / CREDENTIALS_FILE
        self.first = open_credential(CONFIG.credential_file(self.data))
        self.identities = make_identities(CONFIG, self.data, lambda: NOW)

    def ask(self, credential: str | None, database: str | None = "shop", *more: Any) -> Identity | Code:
        try:
            return asyncio.run(self.identities.identify_caller(credential, database, *more))
        except Refused as refused:
            return refused.code

    def administer(self, credential: str, method: str, target: str) -> bool:
        """Whether `credential` makes an admin for this request."""
        reader = RequestReader()
        reader.receive(f"{method} {target} HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer {credential}\r\n\r\n".encode())
        head = reader.read_head()
        assert head is not None
        exchange = Exchange(head)
        exchange.look("serve")
        try:
            return asyncio.run(self.identities.check_admin(exchange)).admin
        except Refused:
            return False


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


def test_who_shows_nothing_is_nobody_and_who_shows_nonsense_is_refused(folder: Folder) -> None:
    assert folder.ask(None) == NOBODY
    assert folder.ask(folder.first) == ADMIN
    assert folder.ask("owner") is Code.INVALID_TOKEN
    assert folder.ask(None, "shop", {"uid": "x"}) is Code.PERMISSION_DENIED
    assert folder.ask(folder.first, "shop", {"uid": "x"}) == Identity(auth={"uid": "x"}, debugs=True)


def test_a_change_of_the_list_is_in_force_when_it_is_noticed(folder: Folder) -> None:
    assert not folder.identities.tend()
    made = add_credential(folder.data, "ops")
    assert folder.ask(made) is Code.INVALID_TOKEN
    assert folder.identities.tend()
    identity = folder.ask(made)
    assert isinstance(identity, Identity)
    assert folder.identities.why_ended(identity) is None
    revoke_credential(folder.data, "ops")
    assert folder.identities.tend()
    assert folder.ask(made) is Code.INVALID_TOKEN
    assert folder.identities.why_ended(identity) is not None
    assert folder.ask(folder.first) == ADMIN


def test_a_list_that_cannot_be_read_changes_nothing_while_serving_and_refuses_a_start(folder: Folder) -> None:
    made = add_credential(folder.data, "ops")
    folder.identities.tend()
    folder.file.write_text("{")
    assert not folder.identities.tend()
    assert isinstance(folder.ask(made), Identity)
    with pytest.raises(ConfigInvalid, match="cannot be used"):
        check_identity(CONFIG, folder.data)


def test_a_list_that_is_gone_opens_nothing(folder: Folder) -> None:
    made = add_credential(folder.data, "ops")
    folder.identities.tend()
    folder.file.unlink()
    assert folder.identities.tend()
    assert folder.ask(made) is Code.INVALID_TOKEN


def test_an_admin_of_a_database_administers_that_one(folder: Folder) -> None:
    shop = add_credential(folder.data, "shop", databases=["shop"])
    reader = add_credential(folder.data, "reader", reads_only=True)
    folder.identities.tend()
    allowed = {
        (name, method, target)
        for name, credential in (("first", folder.first), ("shop", shop), ("reader", reader))
        for method, target in (
            ("GET", "/metrics"),
            ("GET", "/.meadowlark/databases/shop.json"),
            ("PUT", "/.meadowlark/databases/shop.json"),
            ("PUT", "/.meadowlark/databases/chat.json"),
            ("PUT", "/.settings/rules.json?ns=shop"),
            ("GET", "/.settings/rules.json?ns=chat"),
        )
        if folder.administer(credential, method, target)
    }
    assert {entry for entry in allowed if entry[0] == "shop"} == {
        ("shop", "GET", "/.meadowlark/databases/shop.json"),
        ("shop", "PUT", "/.meadowlark/databases/shop.json"),
        ("shop", "PUT", "/.settings/rules.json?ns=shop"),
    }
    assert {entry for entry in allowed if entry[0] == "reader"} == {
        ("reader", "GET", "/metrics"),
        ("reader", "GET", "/.meadowlark/databases/shop.json"),
        ("reader", "GET", "/.settings/rules.json?ns=chat"),
    }
    assert len({entry for entry in allowed if entry[0] == "first"}) == 6


def test_development_believes_everything(tmp_path: Path) -> None:
    identities = make_identities(Config(mode="dev", data=str(tmp_path)), str(tmp_path), lambda: NOW)
    assert type(identities) is Identities
    assert asyncio.run(identities.identify_caller("owner", "any")) == ADMIN
    assert not identities.tend()
