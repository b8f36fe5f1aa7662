"""Named credentials on disk: made, listed, revoked, and noticed."""

from __future__ import annotations

import stat
import threading
from pathlib import Path

import pytest

from meadowlark.auth.credentials import Credentials, decode_credentials, digest_of
from meadowlark.errors import ConfigInvalid, Refused, WorldError
from meadowlark.server.credentials_file import (
    CREDENTIALS_FILE,
    CredentialsWatch,
    add_credential,
    list_credentials,
    revoke_credential,
)


def test_a_credential_is_kept_as_its_hash_for_its_owner_alone(tmp_path: Path) -> None:
    made = add_credential(str(tmp_path), "backup", databases=["shop", "chat"], reads_only=True)
    text = (tmp_path / CREDENTIALS_FILE).read_text()
    assert made.startswith("lark_")
    assert len(made) > 40
    assert made not in text
    assert made[5:] not in text
    assert stat.S_IMODE((tmp_path / CREDENTIALS_FILE).stat().st_mode) == 0o600
    (kept,) = list_credentials(str(tmp_path))
    assert (kept.name, kept.databases, kept.reads_only) == ("backup", ("shop", "chat"), True)
    identity = Credentials(None, [kept]).find(digest_of(made))
    assert identity is not None
    assert (identity.admin, identity.reads_only) == (True, True)
    assert [entry.name for entry in tmp_path.iterdir()] == [CREDENTIALS_FILE]


def test_a_revoked_one_is_gone_and_the_others_stay(tmp_path: Path) -> None:
    data = str(tmp_path)
    for name in ("one", "two", "three"):
        add_credential(data, name)
    revoke_credential(data, "two")
    assert [each.name for each in list_credentials(data)] == ["one", "three"]
    with pytest.raises(ConfigInvalid, match="no credential 'two'"):
        revoke_credential(data, "two")


def test_no_list_is_an_empty_one(tmp_path: Path) -> None:
    assert list_credentials(str(tmp_path)) == []


def test_commands_at_the_same_time_lose_nothing(tmp_path: Path) -> None:
    threads = [threading.Thread(target=add_credential, args=(str(tmp_path), f"c{number}")) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert sorted(each.name for each in list_credentials(str(tmp_path))) == sorted(f"c{number}" for number in range(20))


@pytest.mark.parametrize("name", ["", ".hidden", "a b", "a/b", "x" * 64, "ünï", "-x", "a\n"])
def test_what_is_no_name_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigInvalid, match="no name for a credential"):
        add_credential(str(tmp_path), name)


def test_a_name_stands_for_one_credential(tmp_path: Path) -> None:
    add_credential(str(tmp_path), "backup")
    with pytest.raises(ConfigInvalid, match="already"):
        add_credential(str(tmp_path), "backup")


def test_a_database_that_cannot_be_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Refused):
        add_credential(str(tmp_path), "backup", databases=["../shop"])


def test_a_folder_that_is_none_is_said(tmp_path: Path) -> None:
    with pytest.raises(WorldError, match="data folder"):
        add_credential(str(tmp_path / "nowhere"), "backup")


@pytest.mark.parametrize(
    "text",
    [
        "", "{", "[]", '{"credentials":{}}', '{"credentials":[{"name":"a","sha256":"00"}]}', '{"credentials":[],"more":1}',
        f'{{"credentials":[{{"name":"../a","sha256":"{"0" * 64}"}}]}}',
        f'{{"credentials":[{{"name":"a","sha256":"{"0" * 64}"}},{{"name":"a","sha256":"{"1" * 64}"}}]}}',
    ],
)  # fmt: skip
def test_a_list_that_we_did_not_write_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / CREDENTIALS_FILE).write_text(text)
    with pytest.raises(ConfigInvalid, match="cannot be used"):
        list_credentials(str(tmp_path))
    with pytest.raises(ValueError, match=r"."):
        decode_credentials(text.encode())


def test_a_change_is_noticed_once(tmp_path: Path) -> None:
    watch = CredentialsWatch(str(tmp_path))
    assert not watch.has_changed()
    add_credential(str(tmp_path), "one")
    assert watch.has_changed()
    assert not watch.has_changed()
    revoke_credential(str(tmp_path), "one")
    assert watch.has_changed()
    (tmp_path / CREDENTIALS_FILE).unlink()
    assert watch.has_changed()
    assert not watch.has_changed()
