"""The rules that databases live by: their own, the file's, or the mode's; replaced whole, and asked about again."""

from __future__ import annotations

import asyncio
import os
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from meadowlark.auth.identity import NOBODY
from meadowlark.engine import Client, Counted, Database, Effect, Listen, Locked, Open, Revoke, Ruled, Set
from meadowlark.errors import Refused
from meadowlark.rules import RulesInvalid
from meadowlark.server.hosted import Hosted
from meadowlark.server.rule_sets import CLIENTS_AT_ONCE, RECHECK_SECONDS, RuleSets
from meadowlark.server.rule_store import DEFAULT, RuleStore
from meadowlark.testing import MemoryFiles

OPEN, CLOSED = '{"rules": {".read": true}}', '{"rules": {}}'


class Applied:
    """A shard that only applies, and keeps who was revoked."""

    def __init__(self) -> None:
        self.hosted: list[Hosted] = []
        self.revoked: list[Client] = []

    def add(self, name: str) -> Hosted:
        hosted = Hosted(Database(name, Locked()))
        self.hosted.append(hosted)
        return hosted

    def apply_first(self, hosted: Hosted, commands: Sequence[Any]) -> None:
        for command in commands:
            self.apply(hosted, command)

    def apply(self, hosted: Hosted, command: Any) -> None:
        out: list[Effect] = []
        hosted.database.apply(command, 1_700_000_000_000, out)
        self.revoked += [effect.client for effect in out if isinstance(effect, Revoke)]


def make_store() -> RuleStore:
    files = MemoryFiles()
    files.make_folder("data")
    return RuleStore(files, "data")


def run(scenario: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(asyncio.wait_for(scenario(), 20))


@pytest.mark.parametrize(("mode", "access"), [("dev", Open), ("serve", Locked)])
def test_without_rules_the_mode_decides(mode: str, access: type) -> None:
    async def scenario() -> None:
        rules, shard = RuleSets(make_store(), mode), Applied()
        hosted = shard.add("rooms")
        await rules.govern(hosted)
        assert type(hosted.database.access) is access

    run(scenario)


def test_what_was_set_is_there_when_the_database_comes_back() -> None:
    async def scenario() -> None:
        store, shard = make_store(), Applied()
        await RuleSets(store, "serve").set(shard, shard.add("rooms"), OPEN, at=1, by="admin")
        later, hosted = RuleSets(store, "serve"), shard.add("rooms")
        await later.govern(hosted)
        assert hosted.database.access.may_read(NOBODY, ("a",), None, None, 0)
        found = later.find("rooms")
        assert found is not None
        assert found.text == OPEN

    run(scenario)


def test_stored_rules_that_cannot_be_used_let_only_admins_in() -> None:
    async def scenario() -> None:
        store, shard = make_store(), Applied()
        store.add("rooms", "{", at=1, by="somebody with an editor")
        hosted = shard.add("rooms")
        await RuleSets(store, "dev").govern(hosted)
        assert type(hosted.database.access) is Locked

    run(scenario)


def test_rules_with_a_fault_leave_the_old_ones() -> None:
    async def scenario() -> None:
        store, shard = make_store(), Applied()
        rules, hosted = RuleSets(store, "serve"), shard.add("rooms")
        await rules.set(shard, hosted, OPEN, at=1, by="admin")
        with pytest.raises(RulesInvalid):
            await rules.set(shard, hosted, '{"rules": {".read": "x"}}', at=2, by="admin")
        assert hosted.database.access.may_read(NOBODY, (), None, None, 0)
        assert len(store.versions("rooms")) == 1

    run(scenario)


def test_everyone_who_listens_is_asked_about_again() -> None:
    async def scenario() -> None:
        shard = Applied()
        rules, hosted = RuleSets(make_store(), "serve"), shard.add("rooms")
        await rules.set(shard, hosted, OPEN, at=1, by="admin")
        clients = [Client(str(number)) for number in range(CLIENTS_AT_ONCE * 2 + 1)]
        for client in clients:
            shard.apply(hosted, Listen(client, 1, ("a",)))
        await rules.set(shard, hosted, CLOSED, at=2, by="admin")
        assert set(shard.revoked) == set(clients)

    run(scenario)


def test_new_default_rules_do_not_wait_for_a_database_that_is_busy() -> None:
    async def scenario() -> None:
        shard = Applied()
        rules, busy, other = RuleSets(make_store(), "serve"), shard.add("busy"), shard.add("other")
        busy.held = deque()
        setting = asyncio.create_task(rules.set_default(shard, OPEN, at=1, by="admin"))
        while not isinstance(other.database.access, Ruled):
            await asyncio.sleep(0.001)
        assert isinstance(busy.database.access, Ruled)
        assert not setting.done(), "whoever sets them hears that all have been asked about again"
        busy.held = None
        for release in busy.releases:
            release.set_result(None)
        await setting

    run(scenario)


def test_the_file_is_read_when_it_changes_and_a_bad_one_changes_nothing(tmp_path: Path) -> None:
    async def scenario() -> None:
        file, shard = tmp_path / "rules.json", Applied()
        file.write_text(OPEN)
        rules = RuleSets(make_store(), "serve", str(file))
        await rules.look(shard, 0.0)
        hosted, other = shard.add("rooms"), shard.add("own")
        await rules.govern(hosted)
        await rules.set(shard, other, CLOSED, at=1, by="admin")
        assert hosted.database.access.may_read(NOBODY, (), None, None, 0)
        client = Client("one")
        shard.apply(hosted, Listen(client, 1, ("a",)))
        for number, (text, allowed) in enumerate([('{"rules": {".read": "x"}}', True), (CLOSED, False), (OPEN, True)], 1):
            file.write_text(text)
            os.utime(file, ns=(number, number))
            await rules.look(shard, 0.0)
            assert hosted.database.access.may_read(NOBODY, (), None, None, 0) is allowed
        assert shard.revoked == [client]
        assert not other.database.access.may_read(NOBODY, (), None, None, 0)
        file.unlink()
        await rules.look(shard, 0.0)
        assert isinstance(hosted.database.access, Ruled)

    run(scenario)


def test_data_that_a_read_rule_looks_at_revokes_soon_after_it_changed() -> None:
    async def scenario() -> None:
        shard = Applied()
        rules, hosted = RuleSets(make_store(), "serve"), shard.add("rooms")
        text = '{"rules": {"a": {".read": "root.child(\'open\').val() === true", ".write": true}, "open": {".write": true}}}'
        await rules.set(shard, hosted, text, at=1, by="admin")
        client = Client("one")
        shard.apply(hosted, Set(client, 1, ("open",), True))
        shard.apply(hosted, Listen(client, 1, ("a",)))
        shard.apply(hosted, Set(client, 1, ("open",), False))
        assert shard.revoked == []
        await rules.look(shard, RECHECK_SECONDS)
        assert shard.revoked == [client]

    run(scenario)


def test_coverage_goes_on_when_a_database_comes_back_and_begins_anew_with_new_rules(monkeypatch: pytest.MonkeyPatch) -> None:
    def counts(hosted: Hosted) -> list[int]:
        assert isinstance(hosted.database.access, Counted)
        hosted.database.access.may_read(NOBODY, ("a",), None, None, 0)
        return [count.true for count in hosted.database.access.coverage.counts.values()]

    async def scenario() -> None:
        shard = Applied()
        rules = RuleSets(make_store(), "dev")
        await rules.set(shard, shard.add("rooms"), OPEN, at=1, by="admin")
        found = [counts(shard.hosted[0])]
        for _ in range(2):
            rules.forget("rooms")
            back = shard.add("rooms")
            await rules.govern(back)
            found.append(counts(back))
        await rules.set(shard, back, OPEN, at=2, by="admin")
        found.append(counts(back))
        monkeypatch.setattr("meadowlark.server.rule_sets.COUNTED_MAX", 1)
        await rules.set(shard, shard.add("other"), OPEN, at=3, by="admin")
        rules.forget("rooms")
        await rules.govern(back)
        assert [*found, counts(back)] == [[1], [2], [3], [1], [1]]

    run(scenario)


def test_the_default_that_was_set_governs_whoever_has_no_rules_of_their_own() -> None:
    async def scenario() -> None:
        store, shard, told = make_store(), Applied(), [0]

        def tell() -> None:
            told[0] += 1

        rules = RuleSets(store, "serve", tell_others=tell)
        own, other = shard.add("own"), shard.add("other")
        await rules.set(shard, own, CLOSED, at=1, by="admin")
        await rules.govern(other)
        await rules.set_default(shard, OPEN, at=2, by="ci")
        assert told == [1]
        assert other.database.access.may_read(NOBODY, (), None, None, 0)
        assert not own.database.access.may_read(NOBODY, (), None, None, 0)
        listener = Client("a")
        shard.apply(other, Listen(listener, 1, ("a",)))
        await rules.set_default(shard, CLOSED, at=3, by="ci")
        assert shard.revoked == [listener]
        await rules.restore_default(shard, 1, at=4, by="ci")
        assert other.database.access.may_read(NOBODY, (), None, None, 0)
        await rules.remove(shard, own, at=5, by="admin")
        assert own.database.access.may_read(NOBODY, (), None, None, 0)
        await rules.set_default(shard, "", at=6, by="ci")
        assert [type(hosted.database.access) for hosted in (own, other)] == [Locked, Locked]
        assert [version.by for version in await rules.versions(DEFAULT)] == ["ci"] * 4

    run(scenario)


def test_the_other_workers_follow_and_so_does_who_starts_later() -> None:
    async def scenario() -> None:
        store, shard = make_store(), Applied()
        setting, following = RuleSets(store, "serve"), RuleSets(store, "serve")
        hosted = shard.add("rooms")
        await following.govern(hosted)
        await setting.set_default(Applied(), OPEN, at=1, by="admin")
        assert type(hosted.database.access) is Locked
        await following.look(shard, 1.0)
        assert hosted.database.access.may_read(NOBODY, (), None, None, 0)
        await setting.set_default(Applied(), "", at=2, by="admin")
        await following.follow(shard)
        assert type(hosted.database.access) is Locked
        with pytest.raises(RulesInvalid):
            await setting.set_default(Applied(), "{", at=3, by="admin")
        assert len(store.versions(DEFAULT)) == 2

    run(scenario)


def test_a_default_that_cannot_be_read_leaves_the_one_before_and_at_the_start_locks() -> None:
    async def scenario() -> None:
        store, shard = make_store(), Applied()
        rules, hosted = RuleSets(store, "dev"), shard.add("rooms")
        await rules.set_default(shard, OPEN, at=1, by="admin")
        await rules.govern(hosted)
        store.add(DEFAULT, "{", at=2, by="somebody with an editor")
        await rules.follow(shard)
        assert hosted.database.access.may_read(NOBODY, (), None, None, 0)
        later = RuleSets(store, "dev")
        await later.follow(shard)
        await later.govern(hosted)
        assert type(hosted.database.access) is Locked

    run(scenario)


def test_no_default_takes_the_place_of_rules_that_cannot_be_read() -> None:
    async def scenario() -> None:
        store, shard = make_store(), Applied()
        store.add("rooms", "{", at=1, by="somebody with an editor")
        rules, hosted = RuleSets(store, "serve"), shard.add("rooms")
        await rules.govern(hosted)
        await rules.set_default(shard, OPEN, at=2, by="admin")
        assert type(hosted.database.access) is Locked

    run(scenario)


def test_beside_a_file_no_default_is_set(tmp_path: Path) -> None:
    async def scenario() -> None:
        file = tmp_path / "rules.json"
        file.write_text(OPEN)
        with pytest.raises(Refused, match="rules_file"):
            await RuleSets(make_store(), "serve", str(file)).set_default(Applied(), CLOSED, at=1, by="admin")

    run(scenario)
