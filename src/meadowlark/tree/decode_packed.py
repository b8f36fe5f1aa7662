"""Trusted JSON in export form, decoded in slices straight into packed form: what a snapshot or a large record is read with.

Between two slices, containers that go on hold members that are complete. Those of a map that has become heavy are gathered
(gathering.py) at once, so that there are never many more dicts than one slice makes, and memory does not grow to several times
what is left in the end.
Does not know: JSON that came from others, in which a key can repeat. Source: tests/tree/test_decode_packed.py.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from meadowlark.tree.decode import Whole, cut
from meadowlark.tree.gathering import HELD_WEIGHT, Gathering
from meadowlark.tree.packing import pack_slices
from meadowlark.tree.paths import PRIORITY, VALUE
from meadowlark.tree.weight import weight_up_to


class _Opened:
    """A map that goes on, with its members so far gathered."""

    __slots__ = ("gathering", "key", "parent")

    def __init__(self, parent: Any, key: Any) -> None:
        """Where the map stands; no parent: it is the whole."""
        self.parent = parent
        self.key = key
        self.gathering = Gathering()


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
                yield from ended.gathering.take(container, _complete(container, None))
                node = yield from ended.gathering.finish(container.get(PRIORITY))
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
                yield from found.gathering.take(container, _complete(container, inner))
        parent, place = container, inner


def _complete(container: dict[str, Any], inner: Any) -> list[str]:
    return [key for key in container if key != inner and key != PRIORITY]
