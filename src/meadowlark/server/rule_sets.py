"""The rule sets that a worker's databases live by: their own, else the one of the configuration, else what the mode says.

A text is parsed beside the loop, since a long one takes a while, and takes effect in one assignment: before it the old rules hold
whole, after it the new ones. Then everyone who listens is asked about again, some at a time; whoever writes or begins to listen
meanwhile meets the new rules already. The file of the configuration is looked at once a second.

Listens are also asked about again now and then where `.read` rules look at data or at the time: what has changed there revokes a
listen within RECHECK_SECONDS, and costs no write anything.
Source: docs/rules.md "Setting rules", "Revocation".
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterable
from typing import Protocol, TypeVar, TypeVarTuple

import msgspec
import structlog

from meadowlark.engine import Access, Command, Counted, Locked, NothingDeclared, Open, Recheck, Ruled
from meadowlark.rules import RuleSet, RulesInvalid, parse_rules
from meadowlark.server.rule_store import RuleStore, Version
from meadowlark.server.shard import Hosted

log = structlog.get_logger()

Given = TypeVarTuple("Given")
Made = TypeVar("Made")

RECHECK_SECONDS = 30.0
"""Between two looks at listens whose permission depends on data."""
CLIENTS_AT_ONCE = 50
"""Asked about in one turn of the loop: a fraction of a millisecond, unless rules are long."""


class Applier(Protocol):
    """What is needed of the shard."""

    def apply(self, hosted: Hosted, command: Command) -> None: ...

    @property
    def hosted(self) -> Iterable[Hosted]: ...


class RuleSets:
    """One a worker."""

    def __init__(self, store: RuleStore, mode: str, file: str = "") -> None:
        """file: the rule set of databases that have none of their own; empty: there is none."""
        self.store = store
        self._mode = mode
        self._file = file
        self._stamp: tuple[int, int] | None = None
        """Of the file when it was read last."""
        self.default: RuleSet | None = None
        self._own: dict[str, RuleSet] = {}
        """By the names of the databases in memory that have one."""
        self._locks: dict[str, asyncio.Lock] = {}
        self._rechecked_at = 0.0

    # Asked by the shard

    async def govern(self, hosted: Hosted) -> None:
        """Gives a database that comes into memory its rules. What cannot be read locks it."""
        try:
            version = await _beside(self.store.read, hosted.name)
            if version is not None:
                self._own[hosted.name] = await _beside(parse_rules, version.text)
        except (OSError, msgspec.DecodeError, RulesInvalid) as error:
            log.critical("rules cannot be used: only admins are let in", database=hosted.name, error=str(error))
            hosted.database.access = Locked()
            return
        self._install(hosted)

    def forget(self, name: str) -> None:
        """A database leaves memory."""
        self._own.pop(name, None)

    # Asked by an admin

    def find(self, name: str) -> RuleSet | None:
        """What governs a database that is in memory; None: the mode alone."""
        return self._own.get(name) or self.default

    async def set(self, shard: Applier, hosted: Hosted, text: str, *, at: int, by: str) -> Version:
        """`text` is in force for the database, durably. Raises RulesInvalid, OSError: then the old rules are."""
        async with self._lock(hosted.name):
            rules = await _beside(parse_rules, text)
            version = await _beside(_add, self.store, hosted.name, text, at, by)
            await self._replace(shard, hosted, rules)
            return version

    async def restore(self, shard: Applier, hosted: Hosted, number: int, *, at: int, by: str) -> Version:
        """The text of an older version is in force again. Raises Refused if there is none, RulesInvalid, OSError."""
        async with self._lock(hosted.name):
            version = await _beside(_restore, self.store, hosted.name, number, at, by)
            await self._replace(shard, hosted, await _beside(parse_rules, version.text))
            return version

    async def versions(self, name: str) -> list[Version]:
        """All versions of a database's rules, the newest first. Raises OSError."""
        return await _beside(self.store.versions, name)

    async def version(self, name: str, number: int) -> Version | None:
        """One of them; None if there is none. Raises OSError."""
        return await _beside(self.store.read, name, number)

    async def check(self, text: str) -> RuleSet:
        """The rule set that `text` would be. Raises RulesInvalid."""
        return await _beside(parse_rules, text)

    async def _replace(self, shard: Applier, hosted: Hosted, rules: RuleSet) -> None:
        self._own[hosted.name] = rules
        self._install(hosted)
        log.info("rules set", database=hosted.name, bytes=len(rules.text))
        await self._recheck(shard, hosted)

    # Asked by the worker

    async def look(self, shard: Applier, now: float) -> None:
        """Once a second: reads the file if it has changed, and asks about listens that may have lost their permission."""
        if self._file:
            await self._read_file(shard)
        if now - self._rechecked_at >= RECHECK_SECONDS:
            self._rechecked_at = now
            for hosted in list(shard.hosted):
                rules = self.find(hosted.name)
                if rules is not None and rules.reads_depend:
                    await self._recheck(shard, hosted)

    async def _read_file(self, shard: Applier) -> None:
        """What cannot be used leaves the rules as they are."""
        try:
            stat = os.stat(self._file)
            stamp = (stat.st_mtime_ns, stat.st_size)
            if stamp == self._stamp:
                return
            self._stamp = stamp
            rules = await _beside(parse_file, self._file)
        except (OSError, UnicodeDecodeError, RulesInvalid) as error:
            log.error("rules file not used: the rules stay as they are", file=self._file, error=str(error))
            return
        self.default = rules
        log.info("rules file in force", file=self._file, bytes=len(rules.text))
        for hosted in list(shard.hosted):
            if hosted.name not in self._own:
                self._install(hosted)
                await self._recheck(shard, hosted)

    async def _recheck(self, shard: Applier, hosted: Hosted) -> None:
        clients = hosted.database.listening()
        for start in range(0, len(clients), CLIENTS_AT_ONCE):
            if start:
                await asyncio.sleep(0)
            shard.apply(hosted, Recheck(tuple(clients[start : start + CLIENTS_AT_ONCE])))

    def _install(self, hosted: Hosted) -> None:
        rules = self.find(hosted.name)
        if rules is None:
            hosted.database.access = open_or_locked(self._mode)
            hosted.database.indexes = NothingDeclared()
        else:
            hosted.database.access = hosted.database.indexes = Counted(rules) if self._mode == "dev" else Ruled(rules)

    def _lock(self, name: str) -> asyncio.Lock:
        return self._locks.setdefault(name, asyncio.Lock())


def open_or_locked(mode: str) -> Access:
    """What holds without rules."""
    return Open() if mode == "dev" else Locked()


def parse_file(file: str) -> RuleSet:
    """The rule set in a file. Raises OSError, UnicodeDecodeError, RulesInvalid."""
    with open(file, encoding="utf-8") as source:
        return parse_rules(source.read())


def _add(store: RuleStore, name: str, text: str, at: int, by: str) -> Version:
    return store.add(name, text, at=at, by=by)


def _restore(store: RuleStore, name: str, number: int, at: int, by: str) -> Version:
    return store.restore(name, number, at=at, by=by)


async def _beside(work: Callable[[*Given], Made], *given: *Given) -> Made:
    """`work`, done on another thread."""
    return await asyncio.get_running_loop().run_in_executor(None, work, *given)
