"""The rule sets that a worker's databases live by: their own, else the default of the server, else what the mode says.

A text is parsed beside the loop, since a long one takes a while, and takes effect in one assignment: before it the old rules hold
whole, after it the new ones. Then everyone who listens is asked about again, some at a time; until that is done everything else
that is asked of the database waits, so that nobody hears of a write whom the new rules do not let.

The default is the file of the configuration if there is one, else what was set. One worker sets it, the owner of its name; it
tells the others to look, and each looks once a second all the same, at the file or at the folder of the versions.

Listens are also asked about again now and then where `.read` rules look at data or at the time: what has changed there revokes a
listen within RECHECK_SECONDS, and costs no write anything.
Source: docs/rules.md "Setting rules", "Revocation".
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol, TypeVar, TypeVarTuple

import msgspec
import structlog

from meadowlark.engine import Access, Command, Counted, Locked, NothingDeclared, Open, Recheck, Ruled
from meadowlark.errors import Code, Refused
from meadowlark.rules import RuleSet, RulesInvalid, parse_rules
from meadowlark.server.hosted import Hosted
from meadowlark.server.rule_store import DEFAULT, RuleStore, Version
from meadowlark.server.stamps import Stamp, stamp_of

log = structlog.get_logger()

Given = TypeVarTuple("Given")
Made = TypeVar("Made")

RECHECK_SECONDS = 30.0
"""Between two looks at listens whose permission depends on data."""
COUNTED_MAX = 100
"""Databases whose coverage is kept when they leave memory, of those that came last."""
CLIENTS_AT_ONCE = 50
"""Asked about in one turn of the loop: a fraction of a millisecond, unless rules are long."""
_UNSEEN: Stamp = (0, 0, 0)
"""Of no file that there is."""


class Applier(Protocol):
    """What is needed of the shard."""

    def apply(self, hosted: Hosted, command: Command) -> None: ...

    def apply_first(self, hosted: Hosted, commands: Sequence[Recheck]) -> None: ...

    @property
    def hosted(self) -> Iterable[Hosted]: ...


class RuleSets:
    """One a worker."""

    def __init__(self, store: RuleStore, mode: str, file: str = "", tell_others: Callable[[], None] = lambda: None) -> None:
        """file: the rule set of databases that have none of their own; empty: the one that was set, if any.

        tell_others: the other workers are asked to `follow`.
        """
        self.store = store
        self._mode = mode
        self._file = file
        self._tell_others = tell_others
        self._stamp: Stamp | None = _UNSEEN
        """Of the file when it was looked at last; None: it was not there."""
        self.default: RuleSet | None = None
        self._default_number = 0
        """Of the version that was read last."""
        self._is_default_lost = False
        """Whether there is a default that could not be read when the worker began: then nobody may rely on there being none."""
        self._own: dict[str, RuleSet] = {}
        """By the names of the databases in memory that have one."""
        self._lost: set[str] = set()
        """The names of those in memory whose own rules could not be read: no default takes their place."""
        self._locks: dict[str, asyncio.Lock] = {}
        self._counted: dict[str, Counted] = {}
        """In dev: by name, also of databases that have left memory since; the one that came last is the last."""
        self._rechecked_at = 0.0

    # Asked by the shard

    async def govern(self, hosted: Hosted) -> None:
        """Gives a database that comes into memory its rules. What cannot be read locks it."""
        try:
            version = await _beside(self.store.read, hosted.name)
            if version is not None:
                rules = await _beside(_parse, version.text)
                if rules is not None:
                    self._own[hosted.name] = rules
        except (OSError, msgspec.DecodeError, RulesInvalid) as error:
            log.critical("rules cannot be used: only admins are let in", database=hosted.name, error=str(error))
            self._lost.add(hosted.name)
        self._install(hosted, comes_back=True)

    def forget(self, name: str) -> None:
        """A database leaves memory."""
        self._own.pop(name, None)
        self._lost.discard(name)

    # Asked by an admin

    def find(self, name: str) -> RuleSet | None:
        """What governs a database that is in memory; None: the mode alone, or nothing that can be read."""
        return None if name in self._lost else self._own.get(name) or self.default

    async def set(self, shard: Applier, hosted: Hosted, text: str, *, at: int, by: str) -> Version:
        """`text` is in force for the database, durably. Raises RulesInvalid, OSError: then the old rules are."""
        async with self._lock(hosted.name):
            rules = await _beside(parse_rules, text)
            version = await _beside(_add, self.store, hosted.name, text, at, by)
            await self._replace(shard, hosted, rules)
            return version

    async def remove(self, shard: Applier, hosted: Hosted, *, at: int, by: str) -> Version:
        """The database has no rules of its own from now on. Raises OSError."""
        async with self._lock(hosted.name):
            version = await _beside(_add, self.store, hosted.name, "", at, by)
            await self._replace(shard, hosted, None)
            return version

    async def restore(self, shard: Applier, hosted: Hosted, number: int, *, at: int, by: str) -> Version:
        """The text of an older version is in force again. Raises Refused if there is none, RulesInvalid, OSError."""
        async with self._lock(hosted.name):
            version = await _beside(_restore, self.store, hosted.name, number, at, by)
            await self._replace(shard, hosted, await _beside(_parse, version.text))
            return version

    async def set_default(self, shard: Applier, text: str, *, at: int, by: str) -> Version:
        """`text` governs all databases without rules of their own, durably; empty: nothing does. Raises as `set`, and Refused."""
        self._check_settable()
        async with self._lock(DEFAULT):
            rules = await _beside(_parse, text)
            version = await _beside(_add, self.store, DEFAULT, text, at, by)
            await self._replace_default(shard, version.number, rules)
            return version

    async def restore_default(self, shard: Applier, number: int, *, at: int, by: str) -> Version:
        """An older version of the default is in force again. Raises as `restore`."""
        self._check_settable()
        async with self._lock(DEFAULT):
            version = await _beside(_restore, self.store, DEFAULT, number, at, by)
            await self._replace_default(shard, version.number, await _beside(_parse, version.text))
            return version

    def _check_settable(self) -> None:
        if self._file:
            raise Refused(Code.INVALID_REQUEST, f"the default rules are those of the file {self._file} (rules_file): change that")

    async def versions(self, name: str) -> list[Version]:
        """All versions of a database's rules, or of the default's, the newest first. Raises OSError."""
        return await _beside(self.store.versions, name)

    async def version(self, name: str, number: int) -> Version | None:
        """One of them; None if there is none. Raises OSError."""
        return await _beside(self.store.read, name, number)

    async def check(self, text: str) -> RuleSet:
        """The rule set that `text` would be. Raises RulesInvalid."""
        return await _beside(parse_rules, text)

    async def _replace(self, shard: Applier, hosted: Hosted, rules: RuleSet | None) -> None:
        self.forget(hosted.name)
        if rules is not None:
            self._own[hosted.name] = rules
        self._install(hosted)
        log.info("rules set", database=hosted.name, bytes=len(rules.text) if rules is not None else 0)
        shard.apply_first(hosted, _rechecks(hosted))
        await hosted.released()

    async def _replace_default(self, shard: Applier, number: int, rules: RuleSet | None) -> None:
        self._default_number = number
        self._tell_others()
        log.info("default rules set", bytes=len(rules.text) if rules is not None else 0)
        await self._govern_all(shard, rules)

    # Asked by the worker

    async def look(self, shard: Applier, now: float) -> None:
        """Once a second: reads the default if it has changed, and asks about listens that may have lost their permission."""
        await self.follow(shard)
        if now - self._rechecked_at >= RECHECK_SECONDS:
            self._rechecked_at = now
            for hosted in list(shard.hosted):
                rules = self.find(hosted.name)
                if rules is not None and rules.reads_depend:
                    for command in _rechecks(hosted):
                        shard.apply(hosted, command)
                        await asyncio.sleep(0)

    async def follow(self, shard: Applier) -> None:
        """The default is what the file says, or what some worker has set."""
        if self._file:
            await self._read_file(shard)
        else:
            await self._read_set(shard)

    async def _read_set(self, shard: Applier) -> None:
        """What cannot be used leaves the rules as they are; at the start, only admins are let in."""
        async with self._lock(DEFAULT):
            try:
                number = self.store.newest(DEFAULT)
                if number == self._default_number:
                    return
                self._default_number = number
                version = await _beside(self.store.read, DEFAULT, number)
                rules = await _beside(_parse, version.text if version is not None else "")
            except (OSError, msgspec.DecodeError, RulesInvalid) as error:
                self._is_default_lost = self.default is None
                consequence = "only admins are let in" if self._is_default_lost else "the rules stay as they are"
                log.critical("default rules cannot be used", error=str(error), consequence=consequence)
                return
            log.info("default rules read", version=number)
            await self._govern_all(shard, rules)

    async def _read_file(self, shard: Applier) -> None:
        """What cannot be used leaves the rules as they are."""
        stamp = stamp_of(self._file)
        if stamp == self._stamp:
            return
        self._stamp = stamp
        try:
            rules = await _beside(parse_file, self._file)
        except (OSError, UnicodeDecodeError, RulesInvalid) as error:
            log.error("rules file not used: the rules stay as they are", file=self._file, error=str(error))
            return
        log.info("rules file in force", file=self._file, bytes=len(rules.text))
        await self._govern_all(shard, rules)

    async def _govern_all(self, shard: Applier, rules: RuleSet | None) -> None:
        """`rules` are the default. A database that is busy with something large keeps no other waiting for them."""
        self.default = rules
        self._is_default_lost = False
        governed = [hosted for hosted in shard.hosted if hosted.name not in self._own]
        for hosted in governed:
            if hosted.name not in self._own:  # Still.
                self._install(hosted)
                shard.apply_first(hosted, _rechecks(hosted))
                await asyncio.sleep(0)
        for hosted in governed:
            await hosted.released()

    def _install(self, hosted: Hosted, *, comes_back: bool = False) -> None:
        rules = self.find(hosted.name)
        if rules is None:
            is_lost = self._is_default_lost or hosted.name in self._lost
            hosted.database.access = Locked() if is_lost else open_or_locked(self._mode)
            hosted.database.indexes = NothingDeclared()
        else:
            ruled = self._counted_by(rules, hosted.name, comes_back) if self._mode == "dev" else Ruled(rules)
            hosted.database.access = hosted.database.indexes = ruled

    def _counted_by(self, rules: RuleSet, name: str, comes_back: bool) -> Counted:
        """Goes on counting where a database comes back with the rules with which it left memory."""
        counted = self._counted.pop(name, None)
        if counted is None or not comes_back or counted.rules.text != rules.text:
            counted = Counted(rules)
        self._counted[name] = counted
        if len(self._counted) > COUNTED_MAX:
            del self._counted[next(iter(self._counted))]
        return counted

    def _lock(self, name: str) -> asyncio.Lock:
        return self._locks.setdefault(name, asyncio.Lock())


def _rechecks(hosted: Hosted) -> list[Recheck]:
    """That all who listen are asked about again, some at a time."""
    clients = hosted.database.listening()
    return [Recheck(tuple(clients[start : start + CLIENTS_AT_ONCE])) for start in range(0, len(clients), CLIENTS_AT_ONCE)]


def open_or_locked(mode: str) -> Access:
    """What holds without rules."""
    return Open() if mode == "dev" else Locked()


def parse_file(file: str) -> RuleSet:
    """The rule set in a file. Raises OSError, UnicodeDecodeError, RulesInvalid."""
    with open(file, encoding="utf-8") as source:
        return parse_rules(source.read())


def _parse(text: str) -> RuleSet | None:
    """The rule set of a version; None: it has none. Raises RulesInvalid."""
    return parse_rules(text) if text else None


def _add(store: RuleStore, name: str, text: str, at: int, by: str) -> Version:
    return store.add(name, text, at=at, by=by)


def _restore(store: RuleStore, name: str, number: int, at: int, by: str) -> Version:
    return store.restore(name, number, at=at, by=by)


async def _beside(work: Callable[[*Given], Made], *given: *Given) -> Made:
    """`work`, done on another thread."""
    return await asyncio.get_running_loop().run_in_executor(None, work, *given)
