"""Trusted JSON in export form, decoded in slices straight into packed form: what a snapshot or a large record is read with.

Between two slices, containers that go on hold members that are complete. Those of a map that has become heavy move into pages
at once, so that there are never many more dicts than one slice makes, and memory does not grow to several times what is left
in the end. Members come in key order where the map was packed when it was written; where they do not, the map is made a dict
first, or, if only a few are out of order, those are put into the pages one by one.
Does not know: JSON that came from others, in which a key can repeat. Source: tests/tree/test_decode_packed.py.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from meadowlark.tree.decode import Whole, cut
from meadowlark.tree.node import Node
from meadowlark.tree.order import key_order
from meadowlark.tree.packing import WIDE, PagesBuilder, pack_slices
from meadowlark.tree.pages import PAGE_BYTES_MAX, is_heavy
from meadowlark.tree.paths import PRIORITY, VALUE
from meadowlark.tree.weight import weight_up_to

HELD_WEIGHT = 4 * PAGE_BYTES_MAX
"""Bytes that a map may hold as a dict before its members move into pages."""

_FEW = 8
"""One in so many children may be out of order before all are sorted."""

_PUT_STEP = 10


class _Opened:
    """A map that goes on, with its members so far in pages."""

    __slots__ = ("builder", "key", "last", "parent", "rest")

    def __init__(self, parent: Any, key: Any) -> None:
        """Where the map stands; no parent: it is the whole."""
        self.parent = parent
        self.key = key
        self.builder = PagesBuilder()
        self.last = ""
        """The order of the last key."""
        self.rest: dict[str, Node] = {}
        """Members out of order."""


def decode_packed_slices(data: bytes | bytearray | memoryview, *, slice_bytes: int = 32_768) -> Generator[None, None, Any]:
    """Yields between slices; returns the value of `data` with its wide and heavy maps as Pages, where it has maps."""
    text = memoryview(data)
    whole = Whole()
    opened: dict[int, _Opened] = {}
    start = 0
    while True:
        piece = yield from cut(text, start, slice_bytes)
        before = whole.open
        whole.add(piece)
        shared = 0
        while shared < min(len(before), len(whole.open)) and before[shared] is whole.open[shared]:
            shared += 1
        for container in reversed(before[shared:]):
            ended = opened.pop(id(container), None)
            if ended is not None:
                yield from _drain(ended, container, None)
                node = yield from _end(ended, container)
                if ended.parent is None:
                    whole.root = node
                else:
                    ended.parent[ended.key] = node
        if piece.is_last:
            return (yield from pack_slices(whole.root)) if type(whole.root) is dict else whole.root
        yield from _move(whole, opened)
        start = piece.end + 1
        yield


def _move(whole: Whole, opened: dict[int, _Opened]) -> Generator[None, None, None]:
    """Moves the complete members of maps that go on into pages."""
    parent, place = None, None
    last = len(whole.open) - 1
    for level, container in enumerate(whole.open):
        is_map = type(container) is dict
        # The last member of a container is the next one, which goes on; of the innermost all are complete.
        inner = None if level == last else next(reversed(container)) if is_map else len(container) - 1
        if is_map and VALUE not in container:
            found = opened.get(id(container))
            if found is None and weight_up_to(container, HELD_WEIGHT) > HELD_WEIGHT:
                found = opened[id(container)] = _Opened(parent, place)
            if found is not None:
                yield from _drain(found, container, inner)
        parent, place = container, inner


def _drain(opened: _Opened, container: dict[str, Any], inner: Any) -> Generator[None, None, None]:
    for key in list(container):
        if key in (inner, PRIORITY):
            continue
        child = container.pop(key)
        if type(child) is dict and is_heavy(child):
            child = yield from pack_slices(child)
        order = key_order(key)
        if order > opened.last:
            opened.builder.add(order, key, child)
            opened.last = order
        else:
            opened.rest[key] = child


def _end(opened: _Opened, container: dict[str, Any]) -> Generator[None, None, Node]:
    """The map, of which `container` has only the priority still."""
    rest, builder = opened.rest, opened.builder
    pages = yield from builder.finish(container.get(PRIORITY))
    if len(rest) * _FEW < pages.count and (builder.has_light or pages.count > WIDE):
        for done, key in enumerate(sorted(rest, key=key_order)):
            pages.put(key, rest.pop(key), None)
            if done % _PUT_STEP == 0:
                yield
        return pages
    for done, (key, child) in enumerate(pages.items()):
        rest[key] = child
        if done % (_PUT_STEP * 10) == 0:
            yield
    if pages.priority is not None:
        rest[PRIORITY] = pages.priority
    del pages
    return (yield from pack_slices(rest))
