"""The admin credential on disk."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from meadowlark.errors import ConfigInvalid
from meadowlark.server import credential
from meadowlark.server.credential import open_credential, read_credential


def written(folder: Path, text: str, mode: int = 0o600) -> str:
    file = folder / "admin-credential"
    file.write_text(text)
    file.chmod(mode)
    return str(file)


def test_first_start_makes_a_credential_that_only_its_owner_may_read(tmp_path):
    file = tmp_path / "new" / "admin-credential"
    made = open_credential(str(file))
    assert len(made) >= 43
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [entry.name for entry in file.parent.iterdir()] == ["admin-credential"]


def test_every_later_start_reads_the_same(tmp_path):
    file = str(tmp_path / "admin-credential")
    assert open_credential(file) == open_credential(file) == read_credential(file)


def test_two_servers_have_different_credentials(tmp_path):
    assert open_credential(str(tmp_path / "one")) != open_credential(str(tmp_path / "two"))


def test_a_narrow_umask_is_not_needed(tmp_path):
    before = os.umask(0)
    try:
        open_credential(str(tmp_path / "admin-credential"))
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "admin-credential").stat().st_mode) == 0o600


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o666, 0o601])
def test_a_credential_that_others_may_use_is_refused_with_the_remedy(tmp_path, mode):
    file = written(tmp_path, "a-credential-of-some-length\n", mode)
    with pytest.raises(ConfigInvalid, match=rf"mode {mode:04o}.*chmod 600 {file}") as caught:
        open_credential(file)
    assert "a-credential" not in str(caught.value)


@pytest.mark.parametrize(
    "text", ["", "\n", "short\n", "two words in one credential\n", "two-lines-of-it\nand-another-one\n", "größer-als-sechzehn\n"]
)
def test_what_is_no_credential_is_refused(tmp_path, text):
    with pytest.raises(ConfigInvalid, match="expected one line of"):
        open_credential(written(tmp_path, text))


def test_an_operators_own_credential_is_taken_without_its_line_end(tmp_path):
    assert open_credential(written(tmp_path, "chosen-by-the-operator\n")) == "chosen-by-the-operator"


def test_a_maker_that_comes_second_takes_the_first_ones_credential(tmp_path, monkeypatch):
    file = written(tmp_path, "made-by-the-other-one\n")
    monkeypatch.setattr(credential.os.path, "exists", lambda _: False)
    assert open_credential(file) == "made-by-the-other-one"


def test_a_missing_credential_is_not_made_by_reading(tmp_path):
    with pytest.raises(ConfigInvalid, match="cannot be read"):
        read_credential(str(tmp_path / "admin-credential"))
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_is_said(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigInvalid, match="cannot be written"):
        open_credential(str(tmp_path / "file" / "admin-credential"))
