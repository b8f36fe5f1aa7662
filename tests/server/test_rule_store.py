"""Rule sets on disk: versions that are there whole or not at all, whenever the power goes."""

from __future__ import annotations

from contextlib import suppress
from random import Random

import pytest

from meadowlark.errors import Refused
from meadowlark.server import rule_store
from meadowlark.server.rule_store import RuleStore
from meadowlark.testing import Fault, MemoryFiles, PowerCut


def store() -> RuleStore:
    files = MemoryFiles()
    files.make_folder("data")
    return RuleStore(files, "data")


def test_a_version_is_what_was_set_by_whom_and_when():
    rules = store()
    assert rules.read("rooms") is None
    rules.add("rooms", "one", at=1, by="admin")
    rules.add("rooms", "two é", at=2, by="ci")
    found = rules.read("rooms")
    assert found is not None
    assert (found.number, found.text) == (2, "two é")
    assert [version.summary() for version in rules.versions("rooms")] == [
        {"version": 2, "at": 2, "by": "ci", "bytes": 6},
        {"version": 1, "at": 1, "by": "admin", "bytes": 3},
    ]
    assert rules.read("rooms", 3) is None
    assert rules.read("other") is None


def test_going_back_makes_a_new_version():
    rules = store()
    rules.add("rooms", "one", at=1, by="admin")
    rules.add("rooms", "two", at=2, by="admin")
    restored = rules.restore("rooms", 1, at=3, by="admin")
    assert (restored.number, restored.text, restored.restores) == (3, "one", 1)
    with pytest.raises(Refused, match="no version 9"):
        rules.restore("rooms", 9, at=4, by="admin")


def test_the_oldest_go_when_there_are_too_many(monkeypatch):
    monkeypatch.setattr(rule_store, "RULES_VERSIONS_MAX", 3)
    rules = store()
    for number in range(1, 7):
        rules.add("rooms", str(number), at=number, by="admin")
    assert [version.number for version in rules.versions("rooms")] == [6, 5, 4]


def test_no_name_reaches_outside():
    with pytest.raises(Refused):
        store().add("../databases", "x", at=1, by="admin")


@pytest.mark.parametrize("fault", [Fault.CUT, Fault.FAIL], ids=lambda fault: fault.value)
def test_whenever_it_ends_the_old_rules_are_there_or_the_new(fault):
    for step in range(1, 20):
        files = MemoryFiles()
        files.make_folder("data")
        files.sync_folder("")
        rules = RuleStore(files, "data")
        rules.add("rooms", "old", at=1, by="admin")
        files.plan(fault, step)
        added = False
        with suppress(PowerCut, OSError):
            rules.add("rooms", "new", at=2, by="admin")
            added = True
        for seed in range(5):
            found = RuleStore(files.after_power_cut(Random(seed)), "data").read("rooms")
            assert found is not None
            assert found.text == "new" if added else found.text in ("old", "new")
