"""References, queries and snapshots: how a user names a place and what comes back.

Modelled on the official SDKs, in Python's words: what they do with promises is awaited here, and listeners are callbacks or
asynchronous iterators. A reference is a value: making one asks nothing of anybody.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from meadowlark.client.mirror import Event
from meadowlark.client.window import Window
from meadowlark.errors import Code, Refused
from meadowlark.query import Query, parse_query
from meadowlark.tree import (
    Node,
    Path,
    child_count,
    find,
    find_child,
    format_path,
    parse_path,
    plain,
    priority_of,
)

if TYPE_CHECKING:
    from meadowlark.client.database import Database
    from meadowlark.client.listening import Listening

SERVER_TIMESTAMP: dict[str, Any] = {".sv": "timestamp"}
"""In a value: the server's time of the write, in milliseconds since 1970."""

CHILD_KINDS = ("child_added", "child_removed", "child_moved", "child_changed")


def increment(delta: int | float) -> dict[str, Any]:
    """In a value: the number that stands there plus `delta`."""
    return {".sv": {"increment": delta}}


class Snapshot:
    """What stands at a place, as of one moment; nothing can change it."""

    __slots__ = ("_node", "_query", "reference")

    def __init__(self, reference: Reference, node: Node | None, query: Query | None = None) -> None:
        self.reference = reference
        self._node = node
        self._query = query

    @property
    def key(self) -> str | None:
        return self.reference.key

    @property
    def value(self) -> Any:
        """JSON without priorities, arrays where the keys say so. Made anew each time: yours to change."""
        return plain(self._node)

    @property
    def export(self) -> Any:
        """JSON with priorities, for `set` elsewhere. Not to be changed."""
        return self._node

    @property
    def exists(self) -> bool:
        return self._node is not None

    @property
    def priority(self) -> int | float | str | None:
        return priority_of(self._node)

    @property
    def size(self) -> int:
        """How many children there are."""
        return child_count(self._node)

    def child(self, path: str) -> Snapshot:
        return Snapshot(self.reference.child(path), find(self._node, parse_path(path)))

    def __contains__(self, key: str) -> bool:
        return find_child(self._node, key) is not None

    def __iter__(self) -> Iterator[Snapshot]:
        """The children, in the order of the query that gave this snapshot."""
        window = Window(self._query)
        window.update(self._node, None)
        for row in window.rows():
            yield Snapshot(self.reference.child(row.key), row.node)

    def __repr__(self) -> str:
        return f"<Snapshot of {self.reference}: {self.value!r}>"


class ChildEvent(msgspec.Struct, frozen=True):
    """kind: `child_added`, `child_removed`, `child_moved` or `child_changed`; previous_key: the sibling before it."""

    kind: str
    snapshot: Snapshot
    previous_key: str | None

    @property
    def key(self) -> str:
        key = self.snapshot.key
        assert key is not None, "a child has a key"
        return key


class Readable:
    """A place with a query: what can be read and listened to."""

    __slots__ = ("_database", "_path", "_query", "_spec")

    def __init__(self, database: Database, path: Path, spec: dict[str, Any] | None = None) -> None:
        """spec: the query in the protocol's words."""
        self._database = database
        self._path = path
        self._spec = spec or {}
        self._query = parse_query(spec)

    async def get(self) -> Snapshot:
        """Reads once: from what a listener here has, else from the server."""
        return await self._database._get(self)

    def on_value(
        self, callback: Callable[[Snapshot], object], *, error: Callable[[Exception], object] | None = None
    ) -> Listening:
        """Calls back with what is there, and again after each change, until the Listening is stopped."""

        def told(event: Event) -> None:
            callback(self._snapshot(event))

        return self._database._listen(self, ("value",), told, error)

    def on_child(
        self,
        callback: Callable[[ChildEvent], object],
        *,
        kinds: tuple[str, ...] = CHILD_KINDS,
        error: Callable[[Exception], object] | None = None,
    ) -> Listening:
        """Calls back for each child that is there, and for each that comes, goes, moves or changes."""

        def told(event: Event) -> None:
            callback(self._child_event(event))

        return self._database._listen(self, kinds, told, error)

    def values(self) -> AsyncIterator[Snapshot]:
        """What is there, and again after each change. Who is slow gets the latest only. Raises what ended the listen."""
        return self._database._iterate(self, ("value",), self._snapshot, is_latest_only=True)

    def children(self, kinds: tuple[str, ...] = CHILD_KINDS) -> AsyncIterator[ChildEvent]:
        """Each event of a child, none left out. Raises TooSlow for who lets too many wait."""
        return self._database._iterate(self, kinds, self._child_event, is_latest_only=False)

    def _snapshot(self, event: Event) -> Snapshot:
        return Snapshot(Reference(self._database, self._path), event.node, self._query)

    def _child_event(self, event: Event) -> ChildEvent:
        assert event.key is not None
        reference = Reference(self._database, (*self._path, event.key))
        return ChildEvent(event.kind, Snapshot(reference, event.node), event.previous_key)

    # Queries: each gives a narrower place and leaves this one as it is. Raises Refused for what makes no query.

    def order_by_child(self, path: str) -> Readable:
        return self._refined("i", i=path)

    def order_by_key(self) -> Readable:
        return self._refined("i", i=".key")

    def order_by_value(self) -> Readable:
        return self._refined("i", i=".value")

    def order_by_priority(self) -> Readable:
        return self._refined("i", i=".priority")

    def start_at(self, value: Any, key: str | None = None) -> Readable:
        return self._refined("sp", sp=value, sn=key, sin=True)

    def start_after(self, value: Any, key: str | None = None) -> Readable:
        """Behind `value`, or behind the child with just that key and value."""
        return self._refined("sp", sp=value, sn=key or self._beyond("[MAX_NAME]"), sin=False)

    def end_at(self, value: Any, key: str | None = None) -> Readable:
        return self._refined("ep", ep=value, en=key, ein=True)

    def end_before(self, value: Any, key: str | None = None) -> Readable:
        return self._refined("ep", ep=value, en=key or self._beyond("[MIN_NAME]"), ein=False)

    def equal_to(self, value: Any, key: str | None = None) -> Readable:
        return self.start_at(value, key).end_at(value, key)

    def limit_to_first(self, count: int) -> Readable:
        return self._refined("l", l=count, vf="l")

    def limit_to_last(self, count: int) -> Readable:
        return self._refined("l", l=count, vf="r")

    def _beyond(self, key: str) -> str | None:
        """The key that leaves out all children of a bound's value; the order by key needs none."""
        return None if self._spec.get("i") == ".key" else key

    def _refined(self, what: str, **members: Any) -> Readable:
        if what in self._spec:
            raise Refused(Code.INVALID_REQUEST, f"a query has its {_PARTS[what]} once: this one has it already")
        spec = self._spec | {name: member for name, member in members.items() if member is not None or name in ("sp", "ep")}
        return Readable(self._database, self._path, spec)


_PARTS = {"i": "order", "sp": "start", "ep": "end", "l": "limit"}


class Reference(Readable):
    """A place in the tree."""

    __slots__ = ()

    def __init__(self, database: Database, path: Path) -> None:
        super().__init__(database, path)

    @property
    def key(self) -> str | None:
        """The last key of the path; None for the root."""
        return self._path[-1] if self._path else None

    @property
    def path(self) -> str:
        return format_path(self._path)

    @property
    def parent(self) -> Reference | None:
        return Reference(self._database, self._path[:-1]) if self._path else None

    def child(self, path: str) -> Reference:
        return Reference(self._database, self._path + parse_path(path))

    def __truediv__(self, path: str) -> Reference:
        return self.child(path)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Reference) and other._database is self._database and other._path == self._path

    def __hash__(self) -> int:
        return hash(self._path)

    def __repr__(self) -> str:
        return f"<Reference {self.path}>"

    async def set(self, value: Any, *, priority: int | float | str | None = None) -> None:
        """Replaces what stands here; returns when the server has it on disk. Raises Denied, and Refused for impossible values."""
        await self._database._set(self._path, value if priority is None else with_priority(value, priority))

    async def update(self, children: Mapping[str, Any]) -> None:
        """Replaces each child, or each place below by its path, all or none."""
        await self._database._update(self._path, dict(children))

    async def remove(self) -> None:
        await self._database._set(self._path, None)

    def set_volatile(self, value: Any) -> bool:
        """A value that only matters now, such as a cursor: never on disk, and gone when this client's connection ends. Not
        answered; False if there is no connection, so that it was not sent."""
        return self._database._set_volatile(self._path, value)

    async def push(self, value: Any = None) -> Reference:
        """A new child whose key sorts behind those made before; written if there is a value."""
        made = self.child(self._database._make_push_id())
        if value is not None:
            await made.set(value)
        return made

    async def set_priority(self, priority: int | float | str | None) -> None:
        await self._database._set((*self._path, ".priority"), priority)

    async def transaction(
        self, update: Callable[[Any], Any], *, apply_locally: bool = True, attempts: int = 100
    ) -> tuple[bool, Snapshot]:
        """Sets what `update` makes of the value here, if nobody else changed it meanwhile; else `update` is called again.

        update: gets JSON as `Snapshot.value`, gives the new value (None: remove) or ABORT. apply_locally: whether listeners here
        see the value before the server has it. Returns whether it was written, and what stands here then. Raises Denied,
        Contended after so many attempts, OutcomeUnknown when the connection was lost before the answer.
        """
        return await self._database._transact(self, update, apply_locally=apply_locally, attempts=attempts)

    @property
    def on_disconnect(self) -> OnDisconnect:
        """What the server shall do here when this client's connection ends, however it does."""
        return OnDisconnect(self._database, self._path)


class OnDisconnect:
    """Each call returns when the server has taken it. They hold for the present connection; make them again on the next."""

    __slots__ = ("_database", "_path")

    def __init__(self, database: Database, path: Path) -> None:
        self._database = database
        self._path = path

    async def set(self, value: Any, *, priority: int | float | str | None = None) -> None:
        await self._ask("o", value if priority is None else with_priority(value, priority))

    async def update(self, children: Mapping[str, Any]) -> None:
        await self._ask("om", dict(children))

    async def remove(self) -> None:
        await self._ask("o", None)

    async def cancel(self) -> None:
        """Forgets what was asked here and below."""
        await self._ask("oc", None)

    async def _ask(self, action: str, value: Any) -> None:
        await self._database._on_disconnect(action, self._path, value)


def with_priority(value: Any, priority: int | float | str) -> Any:
    """`value` as JSON that says its priority too."""
    if isinstance(value, dict) and ".value" not in value and ".sv" not in value:
        return value | {".priority": priority}
    if isinstance(value, list):
        return {str(index): member for index, member in enumerate(value)} | {".priority": priority}
    return None if value is None else {".value": value, ".priority": priority}
