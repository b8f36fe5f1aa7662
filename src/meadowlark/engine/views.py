"""Views: one query at one place, with all who listen to it, whichever connection they are on.

An `Ordering` is the children of one place in one order: an index and the views over it. A write re-reads the children it
touched, once for all views; each view then finds out with two comparisons a child whether that concerns it, and what it tells
is made once for all its listeners. Clients give their listens tags, so there is one push a tag, and these share their encoding.

What is told of one command is one message: children that left as nothing, those that came whole, and of those that stayed
just what was written. Where the place itself was replaced, the whole window is. The place's own priority is no part of it: the
SDKs drop it from what a query shows, and their hashes are without it.

An index of many children is filled in slices. Until then its listeners and readers wait (`waiting`); what is written meanwhile is
read again at the end. So it is where one command writes many children of a place. Views whose place was replaced, or so many of
whose children were written, are *behind*: what they show is told later, a few views at a time, and until then nothing is. So is a
window of many children gathered (gather.py), for those who begin to listen or read once, and for views that are behind.
Does not know: permissions, how anyone is told.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Sequence
from functools import partial
from typing import Any

from sortedcontainers import SortedList

from meadowlark.engine.client import Client
from meadowlark.engine.commands import Get, Listen
from meadowlark.engine.effects import Effect, Push
from meadowlark.engine.gather import Gather, shown
from meadowlark.engine.resume import WHOLE, lacking_at_once
from meadowlark.query import KEY, AnyIndex, Index, KeyIndex, Query, Sightings, Step, Touched, Window
from meadowlark.query.positions import PRIORITY
from meadowlark.tree import (
    Node,
    Path,
    Tree,
    child_count,
    children,
    find,
    find_child,
    find_present,
    has_priorities,
    is_key_ordered,
    is_large,
    make_map,
    node_hash,
)

INDEX_AT_ONCE_CHILDREN_MAX = 500
"""Children of which an index is made in one go: about a millisecond."""

TOUCHED_AT_ONCE_MAX = 100
"""Children of one place that may be written by one command, for its views to be told at once."""

SCANNED_VIEWS_MAX = 32
"""Views of one ordering that are asked each about every change; with more, it is kept who sees whom. Asking costs 0.3 µs."""

WINDOW_AT_ONCE_CHILDREN_MAX = 200
"""Children of a window that is read in one go: about a millisecond where they are scattered."""

CAUGHT_UP_AT_ONCE = 20
"""Children that an index reads again in one go: each may lie in another page."""

TOLD_AT_ONCE_CHILDREN = 200
"""Of views that are behind, told in one go."""

Write = tuple[Path, Node | None]
Writes = dict[str, list[Write]]
"""By the child that they touch."""
Room = dict[Any, Any]
"""`Push.room`."""


class View:
    """One query. `listeners` by tag; None for those who gave none."""

    __slots__ = ("_hash", "_room", "listeners", "query", "window")

    def __init__(self, query: Query, window: Window) -> None:
        self.query = query
        self.window = window
        self.listeners: dict[int | None, dict[Client, None]] = {}
        self._room: Room | None = None
        self._hash: str | None = None
        """Of the whole window, as is the room, until it changes: many may come at once to listen to the same."""

    @property
    def has_hash(self) -> bool:
        return self._hash is not None

    def whole(self, index: AnyIndex, node: Node | None) -> Node | None:
        """What the view shows of `node`; few children in their order, many in that of their keys."""
        return make_map(shown(self.window, index, node))

    def begin(self, command: Listen, whole: Node | None, gather: Gather | None = None) -> Push | None:
        """Who asks `command` listens from now on. The push that tells it the whole window, or the ranges in which it is wrong,
        unless the window is what it has by its hash.

        gather: has found the hash of a large window, if that could be."""
        client, tag, path, hash = command.client, command.tag, command.path, command.hash
        self.listeners.setdefault(tag, {})[client] = None
        if whole is None:
            if hash == "":
                return None
        elif hash:
            if (self._whole_hash(whole) if gather is None else gather.hash) == hash:
                return None
            lacking = lacking_at_once(whole, command.ranges)
            if lacking is not WHOLE:
                return Push((client,), path, None, asked=True, tag=tag, ranges=lacking)
        return Push((client,), path, whole, asked=True, tag=tag, room=self._room_for(whole))

    def end(self, client: Client, tag: int | None) -> None:
        of_tag = self.listeners.get(tag)
        if of_tag is not None:
            of_tag.pop(client, None)
            if not of_tag:
                del self.listeners[tag]

    def tell_whole(self, path: Path, whole: Node | None, out: list[Effect]) -> None:
        """It is another than before; `window` is where it is already."""
        self._room = self._hash = None
        self._push(path, whole, out, self._room_for(whole))

    def tell(
        self,
        path: Path,
        node: Node | None,
        index: AnyIndex,
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
            self._hash = node_hash(whole)
        return self._hash


class Ordering:
    """The children of the place `path` in one order, and who looks at them so."""

    __slots__ = (
        "_fill",
        "_late",
        "_moved",
        "_sightings",
        "_tree",
        "behind",
        "gathers",
        "index",
        "order",
        "order_path",
        "path",
        "views",
        "waiting",
    )

    def __init__(self, path: Path, query: Query, tree: Tree) -> None:
        self.path = path
        self.order = query.order
        self.order_path = query.order_path
        self._tree = tree
        self.index: AnyIndex | None = None
        """None until it has been filled, or has caught up with many writes."""
        self.views: dict[str, View] = {}
        """By the identity of the query."""
        self._sightings: Sightings[View] | None = None
        """While there are many views. Has those that are not behind."""
        self.waiting: list[Listen | Get] = []
        """What is to be carried out once the index is there."""
        self.gathers: dict[str, Gather] = {}
        """By the identity of the query."""
        self.behind: dict[View, bool] = {}
        """Views that have not been told what they show now; True: whatever it is, False: if `_moved` concerns them."""
        self._moved: SortedList = SortedList()
        """Positions of what was written since views fell behind, before and after."""
        self._late: dict[str, None] = {}
        """Children that were written while there was no index."""
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
        return self.index.is_wider(query.low, query.high, WINDOW_AT_ONCE_CHILDREN_MAX)

    def view(self, query: Query, window: Window | None = None) -> View:
        """The view of `query`, made if there is none, with its `window` if that is known; it must get a listener."""
        index = self.index
        assert index is not None
        view = self.views.get(query.identity)
        if view is None:
            view = self.views[query.identity] = View(query, window or Window(query, index))
            if self._sightings is not None:
                self._sightings.add(view, view.window, index)
            elif len(self.views) > SCANNED_VIEWS_MAX:
                self._look_around(index)
        return view

    def end(self, view: View) -> None:
        """Nobody listens to `view` any more."""
        del self.views[view.query.identity]
        is_behind = self.behind.pop(view, None) is not None
        if self._sightings is not None:
            if len(self.views) <= SCANNED_VIEWS_MAX // 2 or self.index is None:
                self._sightings = None
            elif not is_behind:
                self._sightings.remove(view, view.window.keys(self.index))

    def read(self, query: Query, node: Node | None) -> Node | None:
        """What `query` shows of `node` now."""
        assert self.index is not None
        return View(query, Window(query, self.index)).whole(self.index, node)

    # The index

    def make_index(self) -> Generator[None, None, None] | None:
        """Makes the index, and all views are behind; None, or the steps that must still be done where that takes long."""
        node = self._tree.get(self.path)
        self._late.clear()
        self._fill = None
        for gather in self.gathers.values():
            gather.is_void = True
        self._fall_behind(is_new=True)
        if child_count(node) <= INDEX_AT_ONCE_CHILDREN_MAX:
            self.index = Index(self.order, self.order_path, children(node))
            return None
        if self.order == KEY and is_key_ordered(node):
            self.index = self._key_index()
            return None
        self.index = None
        self._fill = token = object()
        return self._fill_slices(token)

    def lighten(self) -> AnyIndex | None:
        """Where the map has come to be kept in the order itself, that is used from now on; the index that is needed no more."""
        index = self.index
        if self.order != KEY or type(index) is not Index or self.gathers or not is_key_ordered(self._tree.get(self.path)):
            return None
        self.index = self._key_index()
        return index

    def stop(self) -> None:
        """Ends a filling that is under way."""
        self._fill = None

    def _key_index(self) -> KeyIndex:
        return KeyIndex(self.order, partial(self._tree.get, self.path))

    def _fill_slices(self, token: object) -> Generator[None, None, None]:
        tree, index = self._tree, Index(self.order, self.order_path)
        root = tree.freeze()
        try:
            node = find(root, self.path)
            made: AnyIndex = index
            if self.order in (KEY, PRIORITY) and is_key_ordered(node) and not (yield from self._needs_index(node)):
                made = self._key_index()
            else:
                for _ in index.fill(children(node)):
                    if self._fill is not token:
                        return
                    yield
        finally:
            node = None
            del root
            tree.thaw()
        yield from self._catch_up(made, token)

    def _needs_index(self, node: Node | None) -> Generator[None, None, bool]:
        """Whether the order is another than that of the keys."""
        return self.order != KEY and (yield from has_priorities(node))

    def _catch_up(self, index: AnyIndex, token: object) -> Generator[None, None, None]:
        """Tells the index what was written while it was made, or by one command; then it is there."""
        late = self._late
        while late and self._fill is token:
            node = self._tree.get(self.path)
            some = [late.popitem()[0] for _ in range(min(len(late), CAUGHT_UP_AT_ONCE))]
            written = [find_child(node, key) for key in some]
            if isinstance(index, KeyIndex) and not index.serves(written):
                self._fall_behind(is_new=True)
                yield from self._fill_slices(token)
                return
            touched = [index.touch(key, child) for key, child in zip(some, written, strict=True)]
            self._note(touched)
            if late:
                yield
        if self._fill is token:
            self._fill = None
            self.index = index

    # Telling

    def tell(
        self, node: Node | None, writes: Writes, stood: dict[str, bool], rooms: dict[Path, Room], out: list[Effect]
    ) -> Generator[None, None, None] | None:
        """Children of the place, which is `node` now, were written. stood: by child, whether there was one before.

        The steps that must be done where that takes long; `is_outdated` is asked before."""
        index = self.index
        if index is None:
            self._late.update(dict.fromkeys(writes))
            return None
        if len(writes) > TOUCHED_AT_ONCE_MAX:
            self._late.update(dict.fromkeys(writes))
            self.index = None
            self._fall_behind(is_new=False)
            for gather in self.gathers.values():
                gather.is_void = True
            self._fill = token = object()
            return self._catch_up(index, token)
        touched = [index.touch(key, find_child(node, key), stood=stood[key]) for key in writes]
        self._note(touched)
        behind, sightings = self.behind, self._sightings
        if sightings is None:
            for view in self.views.values():
                if view not in behind:
                    view.tell(self.path, node, index, touched, writes, rooms, out)
        else:
            for view in sightings.near(index, touched):
                step = view.tell(self.path, node, index, touched, writes, rooms, out)
                if step is not None:
                    sightings.move(view, step)
        return None

    def is_outdated(self, node: Node | None, writes: Writes) -> bool:
        """Whether those writes, which are few, have left the index without its order."""
        index = self.index
        if not isinstance(index, KeyIndex):
            return False
        return not index.serves(find_child(node, key) for key in writes) if len(writes) <= TOUCHED_AT_ONCE_MAX else False

    def _note(self, touched: list[Touched]) -> None:
        for gather in self.gathers.values():
            gather.note(touched)
        if self.behind:
            for _, was, now in touched:
                if was is not None:
                    self._moved.add(was)
                if now is not None and now != was:
                    self._moved.add(now)

    # Views that are behind

    def _fall_behind(self, *, is_new: bool) -> None:
        """All views are told later what they show; is_new: whatever was written."""
        for view in self.views.values():
            self.behind[view] = is_new or self.behind.get(view, False)
        self._sightings = None

    def tell_behind(self, node: Node | None, out: list[Effect]) -> Iterable[Query]:
        """Tells some of the views that are behind what they show now. Those of many children must be gathered: gives their
        queries. If then others are behind, this must be called again."""
        index = self.index
        assert index is not None
        if self._sightings is None and len(self.views) > SCANNED_VIEWS_MAX:
            self._look_around(index)
        budget = TOLD_AT_ONCE_CHILDREN
        wide: list[Query] = []
        for view, is_new in list(self.behind.items()):
            if budget < 0:
                break
            budget -= 1
            if not is_new and not self._is_concerned(view.window):
                self._has_caught_up(view, index)
            elif self.is_wide(view.query):
                if view.query.identity not in self.gathers:
                    wide.append(view.query)
            else:
                budget -= 10 + self.tell_view(view, node, out)
        return wide

    def has_narrow_behind(self) -> bool:
        """Whether `tell_behind` has anything to do."""
        return any(view.query.identity not in self.gathers for view in self.behind)

    def tell_view(self, view: View, node: Node | None, out: list[Effect], gather: Gather | None = None) -> int:
        """Tells a view that is behind what it shows now, which `gather` has read if it is much; how many children that are."""
        index = self.index
        assert index is not None
        if gather is None:
            view.window.locate(index)
            whole = view.whole(index, node)
        else:
            view.window = gather.window
            whole = gather.finish(index, node)
        self._has_caught_up(view, index)
        view.tell_whole(self.path, whole, out)
        return child_count(whole)

    def _has_caught_up(self, view: View, index: AnyIndex) -> None:
        del self.behind[view]
        if self._sightings is not None:
            self._sightings.add(view, view.window, index)
        if not self.behind:
            self._moved.clear()

    def _is_concerned(self, window: Window) -> bool:
        moved = self._moved
        return bool(moved.bisect_left(window.low) < moved.bisect_left(window.high))

    def _look_around(self, index: AnyIndex) -> None:
        self._sightings = Sightings()
        for view in self.views.values():
            if view not in self.behind:
                self._sightings.add(view, view.window, index)

    def check(self, node: Node | None) -> None:
        """Asserts the invariants; for tests."""
        assert self.behind.keys() <= set(self.views.values()), "a view that has ended is behind"
        if self.index is not None:
            self.index.check(children(node))
            for view in self.views.values():
                assert view.listeners, "a view has no listeners"
                if view in self.behind:
                    continue
                shows = view.window.keys(self.index)
                assert shows == Window(view.query, self.index).keys(self.index), "a window is out of date"
                assert view.query.limit is None or view.window.count == len(shows), "a window has lost count"
            if self._sightings is not None:
                anew: Sightings[View] = Sightings()
                for view in self.views.values():
                    if view not in self.behind:
                        anew.add(view, view.window, self.index)
                assert self._sightings == anew, "what a view sees is out of date"


def _told(step: Step, node: Node | None, writes: Writes, depth: int) -> dict[str, Node | None]:
    """What a step says, as paths relative to the place."""
    told: dict[str, Node | None] = dict.fromkeys(step.left)
    for key in step.entered:
        told[key] = find_present(node, key)
    for key in step.stayed:
        for path, value in writes[key]:
            told["/".join(path[depth:])] = value
    return told
