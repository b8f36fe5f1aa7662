"""What a client knows of the tree: what the server said for each listened view, and its own writes laid over it.

A view is one path with one query. Its server side is what pushes have said; its visible side is that with the pending writes
on top, which is what listeners hear: local writes at once, and a rollback when the server refuses one. The server sends the
push of a write before its answer, so taking an answered write away changes nothing that was not said.
Nodes are never changed in place here: a write copies the maps on its way, so what listeners were given stays as it was.

Does not know: sockets, requests, awaiting. `listeners` of a view are called in order, and may ask for anything.
Source: docs/semantics.md "Event order"; the events of the official SDKs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from meadowlark.client.window import Row, Window
from meadowlark.query import Query
from meadowlark.tree import (
    PRIORITY,
    Node,
    Path,
    Tree,
    find,
    find_child,
    format_path,
    from_json,
    is_map,
    parse_path,
    priority_from_json,
    priority_of,
    resolve,
)


class Event(msgspec.Struct, frozen=True, gc=False):
    """Something that a listener hears. kind: `value`, `child_added`, `child_removed`, `child_moved` or `child_changed`.

    key None: the view itself (`value`). previous_key: the sibling before it in the view's order; None: it is the first.
    """

    kind: str
    key: str | None
    node: Node | None
    previous_key: str | None = None


class Listener(msgspec.Struct, eq=False):
    """Who hears of a view. told: called with each event of `kinds`; ended: called once, when the server ends the listen."""

    kinds: frozenset[str]
    told: Callable[[Event], None]
    ended: Callable[[str, str], None]
    has_heard_all: bool = False
    """Whether it was given what was there when it came."""


class View:
    """One path with one query, as this client sees it."""

    __slots__ = (
        "_tree",
        "asked_number",
        "before",
        "is_asked",
        "is_awaited",
        "is_known",
        "is_visible",
        "listeners",
        "overlay",
        "path",
        "query",
        "tag",
        "visible",
        "window",
    )

    def __init__(self, path: Path, query: Query | None, tag: int | None) -> None:
        """query None: everything, by priority."""
        self.path = path
        self.query = query
        self.tag = tag
        """By which the server names a filtered view; None for a whole one."""
        self.listeners: list[Listener] = []
        self._tree = Tree()
        self.is_known = False
        """Whether the server has said what is there."""
        self.is_asked = False
        """Whether a listen is on its way or answered on the present link."""
        self.asked_number = 0
        """Of that request."""
        self.before: tuple[bool, Node | None] = (False, None)
        """Whether it was known, and what, when it was asked: what the answer is about, until that has come."""
        self.is_awaited = False
        """Whether the answer to that listen has not come."""
        self.is_visible = False
        """Whether there is something to tell: the server's word, or a write of ours that covers the whole view."""
        self.overlay: Node | None = None
        """The server's side with our writes on top."""
        self.visible: Node | None = None
        """What the query shows of that."""
        self.window = Window(query)

    @property
    def server(self) -> Node | None:
        return self._tree.root

    def is_touched(self, write: Write) -> bool:
        return any(_overlap(self.path, path) for path, _ in write.parts)

    def put(self, path: Path, value: Any) -> None:
        """The server says that `value` stands at `path`, relative to the view."""
        self._tree.freeze()
        self._tree.set(path, value)
        self._tree.thaw()


Parts = list[tuple[Path, Any]]
"""Places and what is written there."""


class Base(msgspec.Struct):
    """What a view is made of. is_whole: whether nothing is left out of it."""

    is_known: bool
    server: Node | None
    is_whole: bool


class Write:
    """One write of ours that the server has not answered."""

    __slots__ = ("is_hidden", "parts", "path")

    def __init__(self, path: Path, parts: Parts, *, is_hidden: bool = False) -> None:
        """parts: absolute paths with nodes whose server values wait until it is begun. is_hidden: listeners do not see it yet."""
        self.path = path
        self.parts = parts
        self.is_hidden = is_hidden


class Mirror:
    """All views of one database, and the pending writes in their order."""

    def __init__(self, now_ms: Callable[[], int]) -> None:
        """now_ms: the server's time as far as it is known."""
        self._now_ms = now_ms
        self.views: dict[tuple[Path, Query | None], View] = {}
        self._tagged: dict[int, View] = {}
        self._last_tag = 0
        self.writes: dict[Write, None] = {}

    # Views

    def open(self, path: Path, query: Query | None) -> View:
        """The view, made if it is new."""
        view = self.views.get((path, query))
        if view is None:
            view = self._make(path, query)
            self._refresh(view, None)
        return view

    def _make(self, path: Path, query: Query | None) -> View:
        tag = None
        if query is not None and query.filters:
            tag = self._last_tag = self._last_tag + 1
        view = View(path, query, tag)
        if tag is not None:
            self._tagged[tag] = view
        else:
            above = self._covering(path)
            if above is not None:
                view.put((), find(above.server, path[len(above.path) :]))
                view.is_known = True
            # The server knows whole listens by their path, however they are ordered here.
            for other in self.whole_views(path):
                view.is_asked = view.is_asked or other.is_asked
                view.asked_number = other.asked_number
                view.before = other.before
        self.views[path, query] = view
        return view

    def whole_views(self, path: Path) -> list[View]:
        """Those of everything at just `path`, which share one listen."""
        return [view for view in self.views.values() if view.tag is None and view.path == path]

    def whole_views_below(self, path: Path) -> list[View]:
        """Those of everything at `path` or below it."""
        return [view for view in self.views.values() if view.tag is None and view.path[: len(path)] == path]

    def close(self, view: View) -> None:
        """Forgets the view."""
        self.views.pop((view.path, view.query), None)
        if view.tag is not None:
            self._tagged.pop(view.tag, None)
            return
        # Windows that were made of it are made of what the server said of them, again.
        for other in self._concerned(view.path, None):
            if other.tag is not None:
                self._refresh(other, None)

    def add(self, view: View, listener: Listener) -> None:
        """Tells `listener` what is visible, if anything is, and from now on what changes."""
        view.listeners.append(listener)
        if view.is_visible:
            self._greet(view, listener)

    def find_visible(self, path: Path) -> tuple[bool, Node | None]:
        """Whether what stands at `path` is known, by a whole view at it or above it, and what it is, with our writes."""
        for depth in range(len(path), -1, -1):
            view = self.views.get((path[:depth], None))
            if view is not None and view.is_visible:
                return True, find(view.visible, path[depth:])
        return False, None

    # What the server says

    def told(self, path: Path, value: Any, tag: int | None, *, is_merge: bool) -> None:
        """A push: `value` stands at `path`, or its members at the places that their keys name below it."""
        merged = [(path + parse_path(key), member) for key, member in value.items()] if is_merge else [(path, value)]
        self.stands(path, merged, tag)

    def stands(self, path: Path, parts: Parts, tag: int | None) -> None:
        """As if the server had said so. path: at or above all of `parts`."""
        concerned = self._concerned(path, tag)
        for view in concerned:
            if view.tag != tag:
                continue
            depth = len(view.path)
            for place, node in parts:
                if len(place) <= depth:
                    if view.path[: len(place)] == place:
                        view.put((), find(node, view.path[len(place) :]))
                        view.is_known = True
                elif view.is_known and place[:depth] == view.path:
                    # What another view was told of a part does not make the whole known.
                    view.put(place[depth:], node)
        for view in concerned:
            self._refresh(view, _touched(view.path, parts))

    def forget(self, views: list[View]) -> None:
        """What the server said of `views` since they were asked was said to a listen that is over: they are again what they were,
        which their answers are about. Listeners hear when it is known what is there."""
        for view in views:
            view.is_known, server = view.before
            view.put((), server)

    def confirmed(self, view: View) -> None:
        """The listen was answered without data: what we have is right, and if we have nothing, nothing is there."""
        if not view.is_known:
            view.is_known = True
            for other in self._concerned(view.path, None) if view.tag is None else [view]:
                self._refresh(other, None)

    def ended(self, view: View, status: str, text: str) -> None:
        """The server lets us listen there no more."""
        self.close(view)
        for listener in list(view.listeners):
            listener.ended(status, text)

    def find_tagged(self, tag: int) -> View | None:
        return self._tagged.get(tag)

    def _concerned(self, path: Path, tag: int | None) -> list[View]:
        if tag is not None:
            view = self._tagged.get(tag)
            return [] if view is None else [view]
        return [view for view in self._deepest_first() if _overlap(view.path, path)]

    def _covering(self, path: Path) -> View | None:
        """A view of everything at `path` or above it, of which the server has said what is there."""
        for depth in range(len(path), -1, -1):
            view = self.views.get((path[:depth], None))
            if view is not None and view.is_known:
                return view
        return next((view for view in self.whole_views(path) if view.is_known), None)

    def _deepest_first(self) -> list[View]:
        """The order in which views hear of a change, as with the official SDKs: what is below before what is above it."""
        return sorted(self.views.values(), key=lambda view: -len(view.path))

    # What we write

    def write(self, write: Write) -> None:
        """Lays `write` over what the server says, until `settle`.

        Server values are guessed once, from what stands there now: the server's word for ours is not added to.
        """
        write.parts = self.guessed(write.parts)
        self.writes[write] = None
        if not write.is_hidden:
            self._refresh_for(write)

    def settle(self, write: Write) -> None:
        """The server has answered `write`: what it says now counts."""
        if self.writes.pop(write, self) is None:
            self._refresh_for(write)

    def guessed(self, parts: Parts) -> Parts:
        """`parts` with their server values made."""
        return [(path, resolve(node, self._standing(path), self._now_ms())) for path, node in parts]

    def _standing(self, path: Path) -> Node | None:
        above = self._covering(path)
        server = None if above is None else find(above.server, path[len(above.path) :])
        return self._overlay(Base(True, server, True), path)

    def _refresh_for(self, write: Write) -> None:
        for view in self._deepest_first():
            touched = _touched(view.path, write.parts)
            if touched is None or touched:
                self._refresh(view, touched)

    # Telling

    def overlaid(self, view: View, *, with_hidden: bool = False) -> tuple[bool, Node | None]:
        """What the server says of the view with our pending writes on top, and whether all of it is known."""
        base = self._base(view)
        node = self._overlay(base, view.path, with_hidden=with_hidden)
        return base.is_known, node

    def _base(self, view: View) -> Base:
        """A window on something that is known whole is made of that, and needs not to wait for the server."""
        above = None if view.tag is None else self._covering(view.path)
        if above is not None:
            return Base(True, find(above.server, view.path[len(above.path) :]), True)
        return Base(view.is_known, view.server, view.tag is None)

    def _overlay(self, base: Base, place: Path, *, with_hidden: bool = False) -> Node | None:
        depth = len(place)
        tree: Tree | None = None
        for write in self.writes:
            if write.is_hidden and not with_hidden:
                continue
            for path, node in write.parts:
                if len(path) <= depth:
                    if place[: len(path)] != path:
                        continue
                    relative: Path = ()
                    node = find(node, place[len(path) :])
                    base.is_known = True
                elif path[:depth] == place:
                    relative = path[depth:]
                else:
                    continue
                tree = tree or Tree(base.server)
                if len(relative) > 1 and not base.is_whole and tree.get(relative[:1]) is None:
                    continue  # Part of a child that is not in the window: the server says when it comes whole.
                _put(tree, relative, node)
        return base.server if tree is None else tree.root

    def _patched(self, view: View, touched: set[str]) -> Node | None:
        """The same where only the `touched` children may differ from before; None where that does not tell."""
        if not is_map(view.overlay) or priority_of(view.overlay) is not None:
            return None  # A priority goes with the last child, so the order of what happened matters.
        base = self._base(view)
        tree = Tree(view.overlay)
        tree.freeze()
        for key in touched:
            tree.set((key,), self._overlaid_child(base, (*view.path, key)))
        tree.thaw()
        return tree.root if is_map(tree.root) else None

    def _overlaid_child(self, base: Base, place: Path) -> Node | None:
        depth = len(place)
        tree = Tree(find_child(base.server, place[-1]))
        for write in self.writes:
            if write.is_hidden:
                continue
            for path, node in write.parts:
                if len(path) <= depth:
                    if place[: len(path)] == path:
                        _put(tree, (), find(node, place[len(path) :]))
                elif path[:depth] == place and (base.is_whole or tree.root is not None):
                    _put(tree, path[depth:], node)
        return tree.root

    def _refresh(self, view: View, touched: set[str] | None) -> None:
        """Tells the listeners of `view` what differs from what they have. touched: the children that may; None: any."""
        node = self._patched(view, touched) if view.is_visible and touched is not None else None
        if node is None:
            is_known, node = self.overlaid(view)
            if not is_known:
                return
        was_visible, before = view.is_visible, view.visible
        view.is_visible, view.overlay = True, node
        removed, added, moved, changed = view.window.update(node, touched if was_visible else None)
        view.visible = view.window.shown(node)
        for listener in list(view.listeners):
            if not listener.has_heard_all:
                self._greet(view, listener)
        if not was_visible:
            return
        is_same = not (removed or added or moved or changed) and _same_beside_children(before, view.visible)
        if is_same:
            return
        events = [Event("child_removed", row.key, row.node) for row in removed]
        for kind, rows in (("child_added", added), ("child_moved", moved), ("child_changed", changed)):
            events += [Event(kind, row.key, row.node, view.window.previous(row)) for row in rows]
        events.append(Event("value", None, view.visible))
        listeners = list(view.listeners)
        for event in events:
            for listener in listeners:
                if event.kind in listener.kinds and listener in view.listeners:
                    listener.told(event)

    def _greet(self, view: View, listener: Listener) -> None:
        listener.has_heard_all = True
        if "child_added" in listener.kinds:
            previous = None
            for row in view.window.rows():
                if listener not in view.listeners:
                    return
                listener.told(Event("child_added", row.key, row.node, previous))
                previous = row.key
        if "value" in listener.kinds and listener in view.listeners:
            listener.told(Event("value", None, view.visible))


def parse_write(path: Path, value: Any) -> Node | None:
    """The node to be laid over the tree for writing `value` at `path`; server values wait in it. Raises Refused."""
    if path and path[-1] == PRIORITY:
        return priority_from_json(value)[0]
    return from_json(value, len(path))[0]


def _touched(view: Path, parts: Parts) -> set[str] | None:
    """The children of a view that writes at these places may have changed; None: any."""
    depth = len(view)
    touched: set[str] = set()
    for path, _ in parts:
        if len(path) <= depth:
            if view[: len(path)] == path:
                return None
        elif path[:depth] == view:
            if path[depth] == PRIORITY:
                return None
            touched.add(path[depth])
    return touched


def _put(tree: Tree, path: Path, node: Node | None) -> None:
    """What was read of the tree before stays as it was."""
    tree.freeze()
    tree.set(path, node)
    tree.thaw()


def _overlap(one: Path, other: Path) -> bool:
    length = min(len(one), len(other))
    return one[:length] == other[:length]


def _same_beside_children(before: Node | None, after: Node | None) -> bool:
    """Whether two nodes whose children are the same are the same."""
    if is_map(before) and is_map(after):
        return bool(find(before, (PRIORITY,)) == find(after, (PRIORITY,)))
    return type(before) is type(after) and bool(before == after)


def describe(view: View) -> str:
    """For errors."""
    return format_path(view.path)


__all__ = ["Event", "Listener", "Mirror", "Parts", "Row", "View", "Write", "describe", "parse_write"]
