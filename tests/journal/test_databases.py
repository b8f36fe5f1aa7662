"""Which databases exist."""

from __future__ import annotations

from random import Random

import pytest

from meadowlark.errors import Refused
from meadowlark.journal import Databases
from tests.journal.scripts import DATA, make_files


@pytest.fixture
def files():
    return make_files()


@pytest.fixture
def databases(files):
    return Databases(files, DATA)


def test_a_database_exists_once_created_and_creating_it_again_changes_nothing(databases):
    assert databases.list() == []
    assert not databases.exists("one")
    for name in ("two", "one", "two"):
        databases.create(name)
    assert databases.list() == ["one", "two"]
    assert databases.exists("one")


def test_a_database_survives_a_power_cut_once_created(files, databases):
    databases.create("one")
    for seed in range(30):
        assert Databases(files.after_power_cut(Random(seed)), DATA).exists("one")


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "../a", "a\0", "-a", "a" * 64])
def test_what_is_no_name_never_becomes_a_path(files, databases, name):
    for act in (databases.create, databases.exists):
        with pytest.raises(Refused):
            act(name)
    assert files.steps == []
