"""JSON from others, decoded, checked and packed in slices in one go, where nothing in it needs to be looked at as a whole.

Between two slices, what is complete in the containers that go on is parsed as `node.parse` does and moved out of them: to a dict
while that is light, then to pages (gathering.py). So there are never many more dicts than one slice makes. Arrays become maps
by index on the way.
Whatever is wrong or special is for the plain way, which has all of it at hand: `Unsure` says to start again there. So what is
refused, and in which words, is decided in one place only. Keys may repeat: the last counts, as for a decoder.
Does not know: what else a write needs (prepare.py). Source: tests/tree/test_parse_packed.py compares with `from_json`.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from meadowlark.limits import PATH_DEPTH_MAX
from meadowlark.tree.decode import Whole, cut
from meadowlark.tree.gathering import HELD_WEIGHT, Gathering
from meadowlark.tree.node import Fault, Node, ServerValue, parse, parse_priority
from meadowlark.tree.packing import pack_slices
from meadowlark.tree.paths import PRIORITY, SERVER_VALUE, VALUE, are_plain_keys
from meadowlark.tree.weight import weight_up_to

_SPECIAL = frozenset((PRIORITY, VALUE, SERVER_VALUE))
_STEP_MEMBERS = 150
"""Parsed between two yields; few containers have so many in one slice."""
_NOTHING = object()
"""Is no member."""

_Ended = dict[int, tuple[Any, Node | None]]
"""Containers that ended in this slice, by id, and the nodes they became."""


class Unsure(Exception):
    """The value may be refused, or holds server values."""


def parse_packed_slices(
    data: bytes | bytearray | memoryview, depth: int, *, slice_bytes: int = 24_576
) -> Generator[None, None, Node | None]:
    """Yields after each millisecond or so; returns the packed node that the JSON `data` describes, `depth` keys below the root.

    Raises Unsure, and JSONDecodeError where `orjson.loads` does.
    """
    node: Node | None = yield from _parse_slices(data, depth, slice_bytes, None)
    return (yield from pack_slices(node))


def parse_members_slices(
    data: bytes | bytearray | memoryview, depth: int, *, slice_bytes: int = 24_576
) -> Generator[None, None, dict[str, Node | None]]:
    """The same for what an update says of a place `depth` keys below the root: values by path, packed each for itself."""
    members = _Members(depth)
    yield from _parse_slices(data, depth, slice_bytes, members)
    return members.nodes


def _parse_slices(
    data: bytes | bytearray | memoryview, depth: int, slice_bytes: int, members: _Members | None
) -> Generator[None, None, Node | None]:
    """members: takes those of the outermost container, if they are wanted."""
    text = memoryview(data)
    whole = Whole()
    opened: list[_Opened] = []
    start = 0
    while True:
        piece = yield from cut(text, start, slice_bytes)
        before = whole.open
        whole.add(piece)
        yield
        shared = 0
        while shared < min(len(before), len(whole.open)) and before[shared] is whole.open[shared]:
            shared += 1
        ended: _Ended = {}
        for container in reversed(before[shared:]):
            ending = opened.pop()
            yield from ending.take(container, _NOTHING, ended)
            ended[id(container)] = (container, (yield from ending.end(container)))
        if piece.is_last:
            if members is not None and not ended:
                raise Unsure  # It is no map, or one of next to nothing.
            return ended[id(whole.root)][1] if ended else _parse(whole.root, depth)
        for level in range(shared, len(whole.open)):
            if members is None:
                opened.append(_Opened(depth + level))
            elif level == 0:
                opened.append(members)
            else:
                opened.append(_Opened(members.depth_of(whole.open) + level))
        for level, container in enumerate(whole.open):
            inner = whole.open[level + 1] if level + 1 < len(whole.open) else _NOTHING
            yield from opened[level].take(container, inner, ended)
        start = piece.end + 1
        yield


class _Opened:
    """A map or array that goes on."""

    __slots__ = ("_depth", "_gathering", "_had_any", "_held", "_length")

    def __init__(self, depth: int) -> None:
        self._depth = depth
        self._held: dict[str, Node] = {}
        """Its nodes so far, while they are light."""
        self._gathering: Gathering | None = None
        """Has them from then on."""
        self._length = 0
        """Of an array so far."""
        self._had_any = False
        """Whether it had members, though they may have been nothing."""

    def take(self, container: Any, inner: Any, ended: _Ended) -> Generator[None, None, None]:
        """Moves all complete members out of `container`; `inner`: its member that goes on."""
        if self._depth >= PATH_DEPTH_MAX and container:
            raise Unsure
        members = self._take_map(container, inner) if type(container) is dict else self._take_array(container, inner)
        self._had_any = self._had_any or bool(members)
        nodes: dict[str, Node | None] = {}
        for done, (key, child) in enumerate(members.items()):
            kind = type(child)
            found = ended.get(id(child)) if kind is dict or kind is list else None
            nodes[key] = _parse(child, self._depth + 1) if found is None else found[1]
            if done % _STEP_MEMBERS == _STEP_MEMBERS - 1:
                yield
        del members
        if self._gathering is None:
            self._held.update(nodes)
            for key, node in nodes.items():
                if node is None:
                    del self._held[key]
            if weight_up_to(self._held, HELD_WEIGHT) <= HELD_WEIGHT:
                return
            self._gathering = Gathering()
            nodes, self._held = self._held, {}
        yield from self._gathering.take(nodes, list(nodes))

    def end(self, container: Any) -> Generator[None, None, Node | None]:
        """The node; only `.priority` and the like are in `container` still."""
        priority = None
        if type(container) is dict and container:
            if VALUE in container or SERVER_VALUE in container:
                if self._had_any:
                    raise Unsure
                return _parse(container, self._depth)
            priority = _priority(container[PRIORITY])
        if self._gathering is not None:
            return (yield from self._gathering.finish(priority))
        if self._held and priority is not None:
            self._held[PRIORITY] = priority
        return self._held or None

    def _take_map(self, container: dict[str, Any], inner: Any) -> dict[str, Any]:
        members = {key: child for key, child in container.items() if child is not inner and key not in _SPECIAL}
        if not are_plain_keys(list(members)):
            raise Unsure
        for key in members:
            del container[key]
        for key in _SPECIAL:
            if type(container.get(key)) in (dict, list):
                raise Unsure  # It may be what goes on, and is complete nowhere.
        return members

    def _take_array(self, container: list[Any], inner: Any) -> dict[str, Any]:
        count = len(container) - (bool(container) and container[-1] is inner)
        members = {str(self._length + index): container[index] for index in range(count)}
        del container[:count]
        self._length += count
        return members


class _Members(_Opened):
    """The outermost map of an update."""

    __slots__ = ("nodes",)

    def __init__(self, depth: int) -> None:
        super().__init__(depth)
        self.nodes: dict[str, Node | None] = {}

    def take(self, container: Any, inner: Any, ended: _Ended) -> Generator[None, None, None]:
        if type(container) is not dict:
            raise Unsure
        for done, key in enumerate([key for key, child in container.items() if child is not inner]):
            child = container.pop(key)
            found = ended.get(id(child)) if type(child) is dict or type(child) is list else None
            if found is not None:
                self.nodes[key] = found[1]
            elif key.endswith(PRIORITY):
                raise Unsure  # It is not a value.
            else:
                self.nodes[key] = yield from pack_slices(_parse(child, self._depth + _length(key)))
            if done % _STEP_MEMBERS == _STEP_MEMBERS - 1:
                yield

    def end(self, container: Any) -> Generator[None, None, Node | None]:
        yield from ()
        return None

    def depth_of(self, open_: list[Any]) -> int:
        """That of the outermost map, as it is for the member that goes on."""
        for key, child in open_[0].items() if type(open_[0]) is dict else ():
            if child is open_[1]:
                if key.endswith(PRIORITY):
                    raise Unsure
                return self._depth + _length(key) - 1
        raise Unsure


def _length(key: str) -> int:
    """Keys in the path that `key` is, at least: slashes that mean nothing make it look longer, and so unsure."""
    return key.count("/") + 1


def _parse(raw: Any, depth: int) -> Node | None:
    waiting: list[ServerValue] = []
    try:
        node = parse(raw, depth, waiting)
    except Fault:
        raise Unsure from None
    if waiting:
        raise Unsure
    return node


def _priority(raw: Any) -> Any:
    waiting: list[ServerValue] = []
    try:
        priority = parse_priority(raw, waiting)
    except Fault:
        raise Unsure from None
    if waiting:
        raise Unsure
    return priority
