"""All queries of one database: which orderings of which places are kept, and which of them a write concerns.

Orderings stand in the same trie as the listeners (listeners.py), so a write finds on its way down those whose child it touches,
and below it those whose place it replaces. Whose index takes long to make is answered later: an effect `Work` has the steps,
and the command `Indexed` comes back when they are done.

An index that nobody uses any more is kept for a while, since the next to ask may be about to come back; then it goes. So
reading with the same query again and again costs what the result costs.
Does not know: permissions, who is told how.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Sequence

from meadowlark.engine.client import Client
from meadowlark.engine.commands import Gathered, Get, Indexed, Listen
from meadowlark.engine.effects import Effect, Work
from meadowlark.engine.gather import Gather
from meadowlark.engine.listeners import Listeners, Spot
from meadowlark.engine.views import INDEX_AT_ONCE_CHILDREN_MAX, Ordering, Room, Write, Writes
from meadowlark.errors import Code, Refused
from meadowlark.limits import INDEX_IDLE_SECONDS, INDEXES_IDLE_MAX, ORDERING_WAITERS_MAX, PLACE_ORDERS_MAX
from meadowlark.query import KEY, AnyIndex, Index, KeyIndex, Query
from meadowlark.tree import PRIORITY, Node, Path, Tree, child_count, find, is_key_ordered

STEP_WRITES = 200
"""Of one command, between two yields."""


class Queries:
    __slots__ = ("_idle", "_listeners", "_tree", "ordering_count")

    def __init__(self, tree: Tree, listeners: Listeners) -> None:
        self._tree = tree
        self._listeners = listeners
        self._idle: dict[Ordering, int] = {}
        """Orderings that nobody uses, with when that began, the longest idle first."""
        self.ordering_count = 0

    @property
    def has_idle(self) -> bool:
        return bool(self._idle)

    def read(self, command: Get, now_ms: int, out: list[Effect]) -> tuple[bool, Node | None]:
        """Whether the query of `command` can be answered now, and with what. If not it waits, and `Indexed` will say when."""
        path, query = command.path, command.query
        assert query is not None
        node = self._tree.get(path)
        ordering = self.find(path, query.order)
        if ordering is None:
            ordering = Ordering(path, query, self._tree)
            if child_count(node) <= INDEX_AT_ONCE_CHILDREN_MAX or (query.order == KEY and is_key_ordered(node)):
                ordering.make_index()
                if not ordering.is_wide(query):
                    return True, ordering.read(query, node)
            self._keep(ordering, out)
        if ordering.index is None:
            self._wait(ordering, command)
            return False, None
        if ordering.is_wide(query):
            self._gather(ordering, query, command, out)
            return False, None
        value = ordering.read(query, node)
        self._release(ordering, now_ms, out)
        return True, value

    def open(self, command: Listen, out: list[Effect], gather: Gather | None = None) -> Ordering | None:
        """The ordering that a listen needs; None if its index must be made, or its window gathered: then the listen waits."""
        path, query = command.path, command.query
        assert query is not None
        ordering = self.find(path, query.order)
        if ordering is None:
            ordering = Ordering(path, query, self._tree)
            self._keep(ordering, out)
        if ordering.index is None:
            self._wait(ordering, command)
            return None
        _let_go(ordering.lighten(), out)
        if gather is None and ordering.is_wide(query):
            self._gather(ordering, query, command, out)
            return None
        view = ordering.views.get(query.identity)
        if view is not None and view in ordering.behind:
            ordering.tell_view(view, self._tree.get(path), out)  # All who listen to it begin anew from here.
        self._idle.pop(ordering, None)
        return ordering

    def gather(self, ordering: Ordering, command: Listen, out: list[Effect]) -> None:
        """A window of few children is large: `command` waits until it has been read in slices."""
        assert command.query is not None
        self._gather(ordering, command.query, command, out)

    def find(self, path: Path, order: str) -> Ordering | None:
        spot = self._listeners.find(path)
        return None if spot is None or spot.orderings is None else spot.orderings.get(order)

    def end(self, client: Client, path: Path, query: Query, tag: int | None, now_ms: int, out: list[Effect]) -> None:
        """`client` listens to `query` no longer."""
        ordering = self.find(path, query.order)
        view = None if ordering is None else ordering.views.get(query.identity)
        if ordering is not None and view is not None:
            view.end(client, tag)
            if not view.listeners:
                ordering.end(view)
                self._release(ordering, now_ms, out)

    def withdraw(self, client: Client, path: Path, query: Query, now_ms: int, out: list[Effect]) -> list[Listen | Get]:
        """The listens of `client` to `query` that wait; they do no longer."""
        ordering = self.find(path, query.order)
        if ordering is None:
            return []

        def is_meant(command: Listen | Get) -> bool:
            return type(command) is Listen and command.client is client and command.query == query

        withdrawn: list[Listen | Get] = []
        rows: list[Ordering | Gather] = [ordering, *ordering.gathers.values()]
        for row in rows:
            withdrawn += [command for command in row.waiting if is_meant(command)]
            row.waiting = [command for command in row.waiting if not is_meant(command)]
        self._release(ordering, now_ms, out)
        return withdrawn

    def release(self, path: Path, order: str, now_ms: int, out: list[Effect]) -> None:
        """Whoever waited for an ordering has been answered."""
        ordering = self.find(path, order)
        if ordering is not None and ordering.index is not None:
            self._release(ordering, now_ms, out)

    def _release(self, ordering: Ordering, now_ms: int, out: list[Effect]) -> None:
        if not ordering.is_used:
            self._rest(ordering, now_ms, out)

    def sweep(self, now_ms: int, out: list[Effect]) -> None:
        """Lets go the indexes that have been idle for long."""
        before = now_ms - INDEX_IDLE_SECONDS * 1000
        for ordering in [ordering for ordering, since in self._idle.items() if since <= before]:
            self._drop(ordering, out)

    def indexed(self, path: Path, order: str, out: list[Effect]) -> list[Listen | Get]:
        """The index of an ordering is there: tells views what they show, and gives what waited. Comes again while views are
        behind."""
        ordering = self.find(path, order)
        if ordering is None or ordering.index is None:
            return []  # The place was replaced meanwhile: another filling is under way.
        self._tell_behind(ordering, out)
        waiting, ordering.waiting = ordering.waiting, []
        return waiting

    def gathered(self, path: Path, query: Query, out: list[Effect]) -> tuple[Gather, Ordering] | None:
        """A window has been gathered, for those who wait for it. None: in vain; they wait on, or are told otherwise."""
        ordering = self.find(path, query.order)
        gather = None if ordering is None else ordering.gathers.pop(query.identity, None)
        if ordering is None or gather is None:
            return None
        if ordering.index is None:
            ordering.waiting += gather.waiting  # The index is being made again.
            return None
        view = ordering.views.get(query.identity)
        is_behind = view is not None and view in ordering.behind
        if gather.is_void:
            for command in gather.waiting:
                self._gather(ordering, query, command, out)
            if is_behind:
                self._tell_behind(ordering, out)
            return None
        if view is not None and is_behind:
            ordering.tell_view(view, self._tree.get(path), out, gather)
        return gather, ordering

    def _tell_behind(self, ordering: Ordering, out: list[Effect]) -> None:
        """Tells views that are behind, some now and the others in later steps."""
        for query in ordering.tell_behind(self._tree.get(ordering.path), out):
            self._begin_gather(ordering, query, out)
        if ordering.has_narrow_behind():
            out.append(Work(_nothing(), Indexed(ordering.path, ordering.order)))

    # Writes

    def tell(self, writes: Sequence[Write], stood: Sequence[int], out: list[Effect]) -> Generator[None, None, None]:
        """Tells all views of what one command wrote, which the tree has already. stood: `Change.stood` of each. In steps."""
        touched: dict[Spot, tuple[Path, Writes, dict[str, bool]]] = {}
        replaced: dict[Spot, Path] = {}
        for count, (write, known) in enumerate(zip(writes, stood, strict=True), 1):
            if count % STEP_WRITES == 0:
                yield
            path = write[0]
            spot: Spot | None = self._listeners.root
            for depth, key in enumerate(path):
                assert spot is not None
                if spot.orderings is not None and key != PRIORITY:
                    place = touched.get(spot) or touched.setdefault(spot, (path[:depth], {}, {}))
                    place[1].setdefault(key, []).append(write)
                    place[2].setdefault(key, depth < known)
                spot = spot.children.get(key)
                if spot is None:
                    break
            if spot is not None:
                if spot.orderings is not None:
                    replaced[spot] = path
                for relative, lower in self._listeners.below(spot):
                    if lower.orderings is not None:
                        replaced[lower] = path + relative
        root = self._tree.root
        rooms: dict[Path, Room] = {}
        for spot, (path, by_child, existed) in touched.items():
            node = find(root, path)
            for ordering in _orderings(spot):
                if ordering.is_outdated(node, by_child):
                    self._replace(ordering, node, out)
                    continue
                steps = ordering.tell(node, by_child, existed, rooms, out)
                if steps is not None:
                    out.append(Work(steps, Indexed(path, ordering.order)))
        for spot, path in replaced.items():
            for ordering in _orderings(spot):
                self._replace(ordering, find(root, path), out)

    def _replace(self, ordering: Ordering, node: Node | None, out: list[Effect]) -> None:
        """The place was written as a whole: the index is made anew, and every view told what it shows now."""
        old = ordering.index
        if type(old) is Index and not len(old) and not child_count(node):
            return
        steps = ordering.make_index()
        _let_go(old, out)
        if steps is None:
            self._tell_behind(ordering, out)
        else:
            out.append(Work(steps, Indexed(ordering.path, ordering.order)))

    def check(self) -> None:
        """Asserts the invariants; for tests."""
        count = 0
        todo: list[tuple[Path, Spot]] = [((), self._listeners.root)]
        while todo:
            path, spot = todo.pop()
            for ordering in _orderings(spot):
                count += 1
                assert ordering.path == path, "an ordering stands elsewhere"
                assert ordering.is_used != (ordering in self._idle), "an ordering is neither used nor idle"
                ordering.check(self._tree.get(path))
            todo += [((*path, key), child) for key, child in spot.children.items()]
        assert count == self.ordering_count, "orderings are miscounted"

    # Keeping

    def _keep(self, ordering: Ordering, out: list[Effect]) -> None:
        self._make_room(ordering.path, out)
        spot = self._listeners.open(ordering.path)
        if spot.orderings is None:
            spot.orderings = {}
        spot.orderings[ordering.order] = ordering
        self.ordering_count += 1
        steps = ordering.make_index()
        if steps is not None:
            out.append(Work(steps, Indexed(ordering.path, ordering.order)))

    def _make_room(self, path: Path, out: list[Effect]) -> None:
        """For one more ordering at `path`, in place of one that nobody uses if there are many."""
        spot = self._listeners.find(path)
        kept = [] if spot is None else list(_orderings(spot))
        if len(kept) >= PLACE_ORDERS_MAX:
            idle = next((ordering for ordering in kept if ordering in self._idle), None)
            if idle is None:
                raise Refused(Code.TOO_BIG, f"a location may be queried in {PLACE_ORDERS_MAX} orders at a time")
            self._drop(idle, out)

    def _wait(self, ordering: Ordering, command: Listen | Get) -> None:
        _check_waiters(ordering.waiting)
        self._idle.pop(ordering, None)
        ordering.waiting.append(command)

    def _gather(self, ordering: Ordering, query: Query, command: Listen | Get, out: list[Effect]) -> None:
        gather = ordering.gathers.get(query.identity) or self._begin_gather(ordering, query, out)
        _check_waiters(gather.waiting)
        self._idle.pop(ordering, None)
        gather.waiting.append(command)

    def _begin_gather(self, ordering: Ordering, query: Query, out: list[Effect]) -> Gather:
        assert ordering.index is not None
        gather = ordering.gathers[query.identity] = Gather(query)
        out.append(Work(gather.steps(ordering.path, ordering.index, self._tree), Gathered(ordering.path, query)))
        return gather

    def _rest(self, ordering: Ordering, now_ms: int, out: list[Effect]) -> None:
        """Nobody uses `ordering` now. A small index is as soon made as kept, and so is none."""
        self._idle.pop(ordering, None)
        self._idle[ordering] = now_ms
        index = ordering.index
        if index is not None and (
            (ordering.order == KEY and type(index) is KeyIndex) or len(index) <= INDEX_AT_ONCE_CHILDREN_MAX
        ):
            self._drop(ordering, out)
        elif len(self._idle) > INDEXES_IDLE_MAX:
            self._drop(next(iter(self._idle)), out)

    def _drop(self, ordering: Ordering, out: list[Effect]) -> None:
        del self._idle[ordering]
        spot = self._listeners.open(ordering.path)
        if spot.orderings is not None:
            del spot.orderings[ordering.order]
            spot.orderings = spot.orderings or None
        self._listeners.prune(ordering.path)
        self.ordering_count -= 1
        ordering.stop()
        _let_go(ordering.index, out)


def _check_waiters(waiting: list[Listen | Get]) -> None:
    if len(waiting) >= ORDERING_WAITERS_MAX:
        raise Refused(Code.UNAVAILABLE, "too many wait for queries of this location: try again in a moment")


def _orderings(spot: Spot) -> Iterable[Ordering]:
    return () if spot.orderings is None else spot.orderings.values()


def _nothing() -> Generator[None, None, None]:
    """No steps: for what is to be gone on with in another turn."""
    yield


def _let_go(index: AnyIndex | None, out: list[Effect]) -> None:
    """Frees a large index in slices."""
    if isinstance(index, Index) and len(index) > INDEX_AT_ONCE_CHILDREN_MAX:
        out.append(Work(index.empty(), None))
