"""Maps brought into pages: at the end of a large write, on loading, and where a tree grew by small writes.

A map becomes Pages when it is heavier than a page and either wide or has children that a page can hold. What is small stays a
dict, and so does a map with a few heavy children: its children are packed, and it is nothing beside them. Packing goes from the
inside out, in slices, and lets go of dicts as it goes, so that their memory serves what comes next.

Detached values (`pack_slices`) are used up. In a live tree (`pack_tree_slices`) writing goes on: a map stays as it is while its
pages are made beside it, the tree notes which children are written meanwhile (`Tree.watch`), those are done again, and then one
reference is replaced. A map of which much is written meanwhile is hot and stays a dict.
Does not know: when the tree should be packed, who waits.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Generator, Iterator
from itertools import islice, pairwise
from typing import Any

import orjson

from meadowlark.tree.node import Node, find_child, is_map
from meadowlark.tree.order import key_order
from meadowlark.tree.pages import PAGE_BYTES, PAGE_BYTES_MAX, Page, Pages, is_heavy, is_index, page_bytes
from meadowlark.tree.paths import PRIORITY, VALUE, Path
from meadowlark.tree.tree import Tree
from meadowlark.tree.weight import weight_up_to

WIDE = 64
"""Children from which on a heavy map is paged though all of them are heavy."""

STEP_WEIGHT = 32_768
"""Bytes packed between two yields: about half a millisecond."""

_STEP_KEYS = 1_000
"""Sorted between two yields."""

_STEP_PAGES = 500
"""Made between two yields."""

ENTRY_COST = 64
"""Bytes that an entry counts for beside its own, in steps."""

_SAMPLES_PER_RUN = 4

_HOT_SHARE = 8
"""A map of whose children more than one in so many were written while it was packed is hot."""

_LATE_MAX = 100
"""Children done again in the last step."""

Put = tuple[str, str]
"""A key behind its order."""


class PagesBuilder:
    """Pages made of children that come in key order.

    Until the end only bytes are kept. Small objects made meanwhile would lie here and there among the dicts that are being
    decoded and taken apart, and hold the memory of all those around them.
    """

    __slots__ = ("_group", "_group_weight", "_orders", "_parts", "count", "has_light", "other_count")

    def __init__(self) -> None:
        self._parts: list[bytes | dict[str, Node]] = []
        """What each page will have: JSON, or one child that is kept beside."""
        self._orders = bytearray()
        """That of the first key of each page, and a line feed behind each: no key has one."""
        self._group: dict[str, Node] = {}
        """Children of the page that is being filled."""
        self._group_weight = 0
        self.count = 0
        self.other_count = 0
        self.has_light = False
        """Whether a map was added that lies in a page."""

    def add(self, order: str, key: str, child: Node) -> int:
        """order: of the key. Gives about the bytes of the child, counted up to what a page holds."""
        weight = len(key) + weight_up_to(child, PAGE_BYTES_MAX)
        self.count += 1
        if not is_index(key):
            self.other_count += 1
        if weight > PAGE_BYTES_MAX:
            self.end()
            self._orders += b"%b\n" % order.encode("utf-8", "surrogatepass")
            self._parts.append({key: child})
            return weight
        if not self._group:
            self._orders += b"%b\n" % order.encode("utf-8", "surrogatepass")
        self.has_light = self.has_light or type(child) is dict
        self._group[key] = child
        self._group_weight += weight
        if self._group_weight >= PAGE_BYTES:
            self.end()
        return weight

    def finish(self, priority: Any) -> Generator[None, None, Pages]:
        """The Pages of all that was added, which was something."""
        self.end()
        made = Pages()
        made.priority, made.count, made.other_count = priority, self.count, self.other_count
        made.pages.clear()
        made.starts = self._orders.decode("utf-8", "surrogatepass").split("\n")[:-1]
        made.starts[0] = ""
        self._parts.reverse()
        while self._parts:
            part = self._parts.pop()
            made.pages.append(Page(part, None) if type(part) is bytes else Page(b"{}", part))  # type: ignore[arg-type]
            if len(self._parts) % _STEP_PAGES == 0:
                yield
        return made

    @property
    def is_worth_it(self) -> bool:
        """Whether what was added should be Pages, rather than only its heavy children."""
        return self.has_light or self.count > WIDE

    def end(self) -> None:
        """Makes a page of what waits for more."""
        if self._group:
            self._parts.append(page_bytes(self._group))
            self._group = {}
            self._group_weight = 0

    def emptying(self) -> Iterator[tuple[str, Node]]:
        """(key, child) of all that was added, page by page, each let go when its turn has come."""
        self.end()
        self._parts.reverse()
        while self._parts:
            part = self._parts.pop()
            yield from (orjson.loads(part) if type(part) is bytes else part).items()  # type: ignore[union-attr]


def pack_slices(node: Node | None) -> Generator[None, None, Node | None]:
    """`node` with its wide and heavy maps as Pages. It is used up: it belongs to nobody else."""
    if type(node) is not dict or VALUE in node or not is_heavy(node):
        return node
    if not (yield from _is_worth_it(node)):
        for key in list(node):
            child, node[key] = node[key], None  # Else two would hold it while it is taken apart.
            node[key] = yield from pack_slices(child)
        return node
    priority = node.pop(PRIORITY, None)
    builder = PagesBuilder()
    budget = STEP_WEIGHT
    for order, key in (yield from _sorted_keys(list(node))):
        child = node.pop(key)
        if type(child) is dict and is_heavy(child):
            child = yield from pack_slices(child)
        budget -= ENTRY_COST + builder.add(order, key, child)
        del child
        if budget < 0:
            budget = STEP_WEIGHT
            yield
    return (yield from builder.finish(priority))


def _is_worth_it(node: Node) -> Generator[None, None, bool]:
    """Whether a heavy dict should be Pages, rather than only its children."""
    if len(node) > WIDE:
        return True
    for child in list(node.values()):
        if is_map(child) and not is_heavy(child):
            return True
        yield
    return False


def _sorted_keys(keys: list[str]) -> Generator[None, None, Iterator[Put]]:
    """The keys but `.priority`, each behind its order, sorted in steps; by looking only if they come in order."""
    runs: list[list[Put]] = []
    for at in range(0, len(keys), _STEP_KEYS):
        runs.append(sorted([(key_order(key), key) for key in keys[at : at + _STEP_KEYS] if key != PRIORITY]))
        yield
    runs = [run for run in runs if run]
    if all(run[-1] < following[0] for run, following in pairwise(runs)):
        return _emptying(runs)
    samples = [run[len(run) * part // _SAMPLES_PER_RUN] for run in runs for part in range(_SAMPLES_PER_RUN)]
    cuts = sorted(samples)[_SAMPLES_PER_RUN // 2 :: _SAMPLES_PER_RUN]
    yield
    buckets: list[list[Put]] = [[] for _ in range(len(cuts) + 1)]
    for run in runs:
        for put in run:
            buckets[bisect_right(cuts, put)].append(put)
        run.clear()
        yield
    return _emptying(buckets)


def _emptying(runs: list[list[Put]]) -> Iterator[Put]:
    """All of the runs, each sorted and let go when its turn is over."""
    runs.reverse()
    while runs:
        yield from sorted(runs.pop())


def pack_tree_slices(tree: Tree, let_go: Callable[[Node], None], *, least: int = 0) -> Generator[None, None, int]:
    """Packs what is wide and heavy in a live tree; gives the number of maps packed.

    let_go: takes the dicts that are replaced. least: where all dicts together have about fewer bytes of JSON, all stay dicts.
    """
    if (yield from _reaches(tree, least)):
        return (yield from _pack_live(tree, (), let_go))
    return 0


def _reaches(tree: Tree, least: int) -> Generator[None, None, bool]:
    """Whether what is held as dicts weighs `least` or more, about: writing goes on meanwhile."""
    weight, todo = 0, [[tree.root]]
    budget = STEP_WEIGHT
    while todo and weight < least:
        nodes = todo[-1]
        if not nodes:
            todo.pop()
            continue
        node = nodes.pop()
        cost = weight_up_to(node, STEP_WEIGHT)
        if is_map(node) and cost > STEP_WEIGHT:
            todo.append([find_child(node, key) for key in _live_keys(node)])
        elif type(node) is not Pages:
            weight += cost
        budget -= ENTRY_COST + cost
        if budget < 0:
            budget = STEP_WEIGHT
            del node
            yield
    return weight >= least


def _pack_live(tree: Tree, path: Path, let_go: Callable[[Node], None]) -> Generator[None, None, int]:
    """Packs the map at `path` and below. Whatever was at hand is looked up again after each yield: writing goes on."""
    packed = 0
    node = tree.get(path)
    if not is_map(node) or not is_heavy(node):
        return 0
    budget = STEP_WEIGHT
    for key in _live_keys(node):
        child = find_child(node, key)
        weight = 0 if child is None else weight_up_to(child, PAGE_BYTES_MAX)
        if weight > PAGE_BYTES_MAX and is_map(child):
            del node, child  # While writing goes on, what is held here could not be freed where it is let go.
            packed += yield from _pack_live(tree, (*path, key), let_go)
            node = tree.get(path)
        budget -= ENTRY_COST + weight
        if budget < 0:
            budget = STEP_WEIGHT
            node = child = None
            yield
            node = tree.get(path)
    if type(node) is dict and VALUE not in node and is_heavy(node) and (yield from _is_worth_it(node)):
        del node
        packed += yield from _replace_live(tree, path, let_go)
    return packed


def _live_keys(node: Node) -> list[str]:
    """Keys of children that may have to be packed: all of a dict, of Pages those that no page holds as bytes."""
    if type(node) is Pages:
        return [key for page in node.pages if page.written or page.kept for key in page.written or page.kept or ()]
    return list(node)


def _replace_live(tree: Tree, path: Path, let_go: Callable[[Node], None]) -> Generator[None, None, int]:
    """Puts Pages in place of the dict at `path`; 1, or 0 where writes have made that pointless."""
    found = tree.get(path)
    if type(found) is not dict:
        return 0
    node: dict[str, Node] = found
    del found
    written = tree.watch(path)
    try:
        builder = PagesBuilder()
        budget = STEP_WEIGHT
        for order, key in (yield from _sorted_keys(list(node))):
            child = node.get(key)
            if child is not None:
                budget -= ENTRY_COST + builder.add(order, key, child)
            del child
            if budget < 0:
                budget = STEP_WEIGHT
                yield
                if tree.get(path) is not node:
                    return 0
        if tree.get(path) is not node or len(written) * _HOT_SHARE > len(node):
            return 0
        pages = yield from builder.finish(None)
        if tree.get(path) is not node:
            return 0
        while len(written) > _LATE_MAX:
            for key in list(islice(written, _LATE_MAX)):
                written.discard(key)
                _put_again(pages, node, key)
            yield
            if tree.get(path) is not node:
                return 0
        for key in written:
            _put_again(pages, node, key)
        pages.priority = node.get(PRIORITY)
        tree.replace(path, pages)
    finally:
        tree.unwatch()
    let_go(node)
    return 1


def _put_again(pages: Pages, node: dict[str, Node], key: str) -> None:
    """Brings the child at `key` up to what `node` has."""
    child = node.get(key)
    if child is not None:
        pages.put(key, child, None)
    elif pages.get(key) is not None:
        pages.remove(key, None)
