"""Views: one query at one place, with all who listen to it, whichever connection they are on.

An `Ordering` is the children of one place in one order: an index and the views over it. A write re-reads the children it
touched, once for all views; each view then finds out with two comparisons a child whether that concerns it, and what it tells
is made once for all its listeners. Clients give their listens tags, so there is one push a tag, and these share their encoding.

What is told of one command is one message: children that left as nothing, those that came whole, and of those that stayed
just what was written. Where the place itself was replaced, the whole window is. The place's own priority is no part of it: the
SDKs drop it from what a query shows, and their hashes are without it.

An index of many children is filled in slices. Until then its listeners and readers wait (`waiting`), and so do the views that
it had when the place was replaced as a whole; what is written meanwhile is read again at the end. So is a window of many
children gathered, for those who begin to listen or read once.
Does not know: permissions, how anyone is told.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from typing import Any

from meadowlark.engine.client import Client
from meadowlark.engine.commands import Get, Listen
from meadowlark.engine.effects import Effect, Push
from meadowlark.engine.resume import hash_if_small
from meadowlark.query import Index, Query, Sightings, Step, Touched, Window
from meadowlark.tree import (
    Node,
    Path,
    Tree,
    child_count,
    children,
    find,
    find_child,
    is_large,
    key_order,
    make_map,
)

INDEX_AT_ONCE_CHILDREN_MAX = 500
"""Children of which an index is made in one go: about a millisecond."""

SCANNED_VIEWS_MAX = 32
"""Views of one ordering that are asked each about every change; with more, it is kept who sees whom. Asking costs 0.3 µs."""

WINDOW_AT_ONCE_CHILDREN_MAX = 500
"""Children of a window that is read in one go."""

GATHERED_AT_ONCE = 20
"""Children: each may lie in another page, which is half a millisecond then."""

GATHERED_SHARE = 16

FEW_CHILDREN = 50

Write = tuple[Path, Node | None]
Writes = dict[str, list[Write]]
"""By the child that they touch."""
Room = dict[Any, Any]
"""`Push.room`."""


class View:
    """One query. `listeners` by tag; None for those who gave none."""

    __slots__ = ("_hash", "_room", "listeners", "query", "window")

    def __init__(self, query: Query, index: Index) -> None:
        self.query = query
        self.window = Window(query, index)
        self.listeners: dict[int | None, dict[Client, None]] = {}
        self._room: Room | None = None
        self._hash: str | None = None
        """Of the whole window, as is the room, until it changes: many may come at once to listen to the same."""

    def whole(self, index: Index, node: Node | None) -> Node | None:
        """What the view shows of `node`; few children in their order, many in that of their keys."""
        keys = self.window.keys(index)
        if len(keys) > FEW_CHILDREN:
            # A map of many may be kept in pages of neighbouring keys, of which each is opened once then.
            keys.sort(key=key_order)
        return make_map([(key, find_child(node, key)) for key in keys])

    def begin(self, client: Client, tag: int | None, path: Path, hash: str | None, whole: Node | None) -> Push | None:
        """`client` listens from now on. The push that tells it the whole window, unless that is what `hash` says it has."""
        self.listeners.setdefault(tag, {})[client] = None
        if whole is None:
            if hash == "":
                return None
        elif hash and self._whole_hash(whole) == hash:
            return None
        return Push((client,), path, whole, asked=True, tag=tag, room=self._room_for(whole))

    def end(self, client: Client, tag: int | None) -> None:
        of_tag = self.listeners.get(tag)
        if of_tag is not None:
            of_tag.pop(client, None)
            if not of_tag:
                del self.listeners[tag]

    def tell_whole(self, path: Path, node: Node | None, index: Index, out: list[Effect]) -> None:
        """The place is another than before."""
        self.window.locate(index)
        self._room = self._hash = None
        whole = self.whole(index, node)
        self._push(path, whole, out, self._room_for(whole))

    def tell(
        self,
        path: Path,
        node: Node | None,
        index: Index,
        touched: Sequence[Touched],
        writes: Writes,
        rooms: dict[Path, Room],
        out: list[Effect],
    ) -> Step | None:
        """Some children were touched. rooms: by place, for writes that many views tell as they are."""
        step = self.window.advance(index, touched)
        if step is None:
            return None
        self._room = self._hash = None
        told = _told(step, node, writes, len(path))
        if len(told) > 1:
            self._push(path, told, out, {}, merge=True)
        elif step.stayed:
            [(place, value)] = writes[step.stayed[0]]
            self._push(place, value, out, rooms.setdefault(place, {}))
        else:
            for key, value in told.items():
                self._push((*path, key), value, out, {})
        return step

    def _push(self, path: Path, value: Any, out: list[Effect], room: Room, *, merge: bool = False) -> None:
        for tag, clients in self.listeners.items():
            out.append(Push(clients, path, value, merge, tag=tag, room=room))

    def _room_for(self, whole: Node | None) -> Room:
        """Where the encoding of the whole window is kept; not that of a large one, which is made as it leaves."""
        if is_large(whole):
            return {}
        if self._room is None:
            self._room = {}
        return self._room

    def _whole_hash(self, whole: Node) -> str:
        if self._hash is None:
            self._hash = hash_if_small(whole)
        return self._hash


class Gather:
    """A window of many children, read from a frozen view in slices for all who `waiting` ask for it."""

    __slots__ = ("_values", "_whole", "is_void", "missed", "query", "waiting")

    def __init__(self, query: Query) -> None:
        self.query = query
        self.waiting: list[Listen | Get] = []
        self.missed: set[str] = set()
        """Children that were written meanwhile."""
        self.is_void = False
        """Whether the place was replaced meanwhile."""
        self._values: dict[str, Node] = {}
        self._whole: Node | None = None

    def steps(self, ordering: Ordering, tree: Tree) -> Generator[None, None, None]:
        index = ordering.index
        if index is None:
            return
        root = tree.freeze()
        try:
            for count, (key, child) in enumerate(self._pairs(index, find(root, ordering.path))):
                self._values[key] = child
                if count % GATHERED_AT_ONCE == 0:
                    yield
        finally:
            del root
            tree.thaw()

    def _pairs(self, index: Index, node: Node | None) -> Iterator[tuple[str, Node]]:
        """Of most of a place all is read, in the order in which it is kept; of a small part just that."""
        query = self.query
        if query.limit is None and (index.rank(query.high) - index.rank(query.low)) * GATHERED_SHARE > child_count(node):
            return ((key, child) for key, child in children(node) if index.has_between(key, query.low, query.high))
        return ((key, find_child(node, key)) for key in Window(query, index).keys(index))

    def whole(self, ordering: Ordering, node: Node | None) -> Node | None:
        """What the query shows of `node` now; to be asked in one turn only."""
        index, query = ordering.index, self.query
        assert index is not None
        if self._whole is None:
            values = {} if self.is_void else self._values
            if query.limit is None and not self.is_void:
                for key in self.missed:
                    values.pop(key, None)
                    if index.has_between(key, query.low, query.high):
                        values[key] = find_child(node, key)
            else:
                for key in self.missed:
                    values.pop(key, None)
                keys = Window(query, index).keys(index)
                values = {key: values[key] if key in values else find_child(node, key) for key in keys}
            self._whole = make_map(values.items())
        return self._whole


class Ordering:
    """The children of the place `path` in one order, and who looks at them so."""

    __slots__ = (
        "_fill",
        "_missed",
        "_sightings",
        "gathers",
        "index",
        "is_behind",
        "order",
        "order_path",
        "path",
        "views",
        "waiting",
    )

    def __init__(self, path: Path, query: Query) -> None:
        self.path = path
        self.order = query.order
        self.order_path = query.order_path
        self.index: Index | None = None
        """None until it has been filled."""
        self.views: dict[str, View] = {}
        """By the identity of the query."""
        self._sightings: Sightings[View] | None = None
        """While there are many views."""
        self.waiting: list[Listen | Get] = []
        """What is to be carried out once the index is there."""
        self.gathers: dict[str, Gather] = {}
        """By the identity of the query."""
        self.is_behind = False
        """Whether the views have not been told what they show now, because the index is being filled."""
        self._missed: set[str] = set()
        """Children that were written while the index was filled."""
        self._fill: object = None
        """Stands for the filling that counts; another begins when the place is replaced as a whole."""

    @property
    def is_used(self) -> bool:
        return bool(self.views or self.waiting or self.gathers)

    def is_wide(self, query: Query) -> bool:
        """Whether `query` shows so many children that they are gathered in slices."""
        if query.limit is not None and query.limit <= WINDOW_AT_ONCE_CHILDREN_MAX:
            return False
        assert self.index is not None
        return self.index.rank(query.high) - self.index.rank(query.low) > WINDOW_AT_ONCE_CHILDREN_MAX

    def view(self, query: Query) -> View:
        """The view of `query`, made if there is none; it must get a listener."""
        index = self.index
        assert index is not None
        view = self.views.get(query.identity)
        if view is None:
            view = self.views[query.identity] = View(query, index)
            if self._sightings is not None:
                self._sightings.add(view, view.window, index)
            elif len(self.views) > SCANNED_VIEWS_MAX:
                self._look_around(index)
        return view

    def end(self, view: View) -> None:
        """Nobody listens to `view` any more."""
        del self.views[view.query.identity]
        if self._sightings is not None:
            if len(self.views) <= SCANNED_VIEWS_MAX // 2 or self.index is None:
                self._sightings = None
            else:
                self._sightings.remove(view, view.window.keys(self.index))

    def read(self, query: Query, node: Node | None) -> Node | None:
        """What `query` shows of `node` now."""
        assert self.index is not None
        return View(query, self.index).whole(self.index, node)

    def make_index(self, tree: Tree) -> Generator[None, None, None] | None:
        """Makes the index; None, or the steps that must still be done where that takes long."""
        node = tree.get(self.path)
        self._missed.clear()
        for gather in self.gathers.values():
            gather.is_void = True
        if child_count(node) <= INDEX_AT_ONCE_CHILDREN_MAX:
            self.stop()
            self.index = Index(self.order, self.order_path, children(node))
            return None
        self.index = None
        self.is_behind = True
        self._fill = token = object()
        return self._fill_slices(tree, token)

    def stop(self) -> None:
        """Ends a filling that is under way."""
        self._fill = None

    def _fill_slices(self, tree: Tree, token: object) -> Generator[None, None, None]:
        index = Index(self.order, self.order_path)
        root = tree.freeze()
        try:
            for _ in index.fill(children(find(root, self.path))):
                if self._fill is not token:
                    return
                yield
        finally:
            del root
            tree.thaw()
        while self._missed and self._fill is token:
            node = tree.get(self.path)
            for _ in range(min(len(self._missed), INDEX_AT_ONCE_CHILDREN_MAX)):
                key = self._missed.pop()
                index.touch(key, find_child(node, key))
            if self._missed:
                yield
        if self._fill is token:
            self._fill = None
            self.index = index

    def tell(self, node: Node | None, writes: Writes, rooms: dict[Path, Room], out: list[Effect]) -> None:
        """Children of the place, which is `node` now, were written."""
        index = self.index
        for gather in self.gathers.values():
            gather.missed.update(writes)
        if index is None:
            self._missed.update(writes)
            return
        touched = [index.touch(key, find_child(node, key)) for key in writes]
        sightings = self._sightings
        if sightings is None:
            for view in self.views.values():
                view.tell(self.path, node, index, touched, writes, rooms, out)
        else:
            for view in sightings.near(index, touched):
                step = view.tell(self.path, node, index, touched, writes, rooms, out)
                if step is not None:
                    sightings.move(view, step)

    def tell_whole(self, node: Node | None, out: list[Effect]) -> None:
        """The place was replaced, and the index made anew: all views show something else."""
        assert self.index is not None
        self.is_behind = False
        for view in self.views.values():
            view.tell_whole(self.path, node, self.index, out)
        self._sightings = None
        if len(self.views) > SCANNED_VIEWS_MAX:
            self._look_around(self.index)

    def _look_around(self, index: Index) -> None:
        self._sightings = Sightings()
        for view in self.views.values():
            self._sightings.add(view, view.window, index)

    def check(self, node: Node | None) -> None:
        """Asserts the invariants; for tests."""
        if self.index is not None:
            self.index.check(children(node))
            for view in self.views.values():
                assert view.listeners, "a view has no listeners"
                fresh = Window(view.query, self.index)
                assert view.window.keys(self.index) == fresh.keys(self.index), "a window is out of date"
            if self._sightings is not None:
                anew: Sightings[View] = Sightings()
                for view in self.views.values():
                    anew.add(view, view.window, self.index)
                assert self._sightings == anew, "what a view sees is out of date"


def _told(step: Step, node: Node | None, writes: Writes, depth: int) -> dict[str, Node | None]:
    """What a step says, as paths relative to the place."""
    told: dict[str, Node | None] = dict.fromkeys(step.left)
    for key in step.entered:
        told[key] = find_child(node, key)
    for key in step.stayed:
        for path, value in writes[key]:
            told["/".join(path[depth:])] = value
    return told
