"""The ways out: export form for the socket and for backups, plain form with arrays for REST.

The form in memory is the export form, so `encode` is one call, in which Pages are joined as they are. The plain form drops
priorities and turns maps whose keys look like an array's back into arrays, as Firebase's REST API does: every key
`0|[1-9][0-9]*`, the largest below twice the count.
Source: docs/semantics.md "Arrays".
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import orjson

from meadowlark.tree.node import Node, children, is_leaf, is_map, value_of, with_priority
from meadowlark.tree.pages import PAGE_BYTES_MAX, Pages
from meadowlark.tree.paths import PRIORITY, VALUE
from meadowlark.tree.weight import weight_up_to

Form = Callable[[Node | None], Any]


def encode(node: Node | None) -> bytes:
    """The export form of a node as JSON; `null` for None. `node` may also be JSON that has nodes in it."""
    return orjson.dumps(node, _fragment)


def _fragment(node: Any) -> orjson.Fragment:
    if type(node) is not Pages:
        raise TypeError
    return orjson.Fragment(b"".join(_parts_of_pages(node, _same, PAGE_BYTES_MAX)))


def unpacked(node: Node | None) -> Node | None:
    """`node` with a dict in place of each Pages."""
    if type(node) is Pages:
        shown = {key: unpacked(child) for key, child in node.items()}
        return shown if node.priority is None else {PRIORITY: node.priority, **shown}
    return {key: unpacked(child) for key, child in node.items()} if type(node) is dict else node


def plain(node: Node | None) -> Any:
    """`node` as REST shows it: no priorities, arrays where the keys say so. Holes are None. Shares nothing with the tree."""
    if type(node) is Pages:
        node = dict(node.items())
    if type(node) is not dict:
        return node
    if PRIORITY in node:
        return node[VALUE] if VALUE in node else plain(with_priority(node, None))
    length = _array_length(node)
    if length is not None:
        array: list[Any] = [None] * length
        for key, child in node.items():
            array[int(key)] = plain(child)
        return array
    shown = node.copy()
    for key, child in node.items():
        if type(child) is dict or type(child) is Pages:
            shown[key] = plain(child)
    return shown


def shallow(node: Node | None) -> Any:
    """Leaves as they are, a map as `{key: true}`."""
    if node is None or is_leaf(node):
        return value_of(node)
    return {key: True for key, _ in children(node)}


def encode_slices(node: Node | None, *, with_priorities: bool, slice_bytes: int = 32_768) -> Iterator[bytes]:
    """The JSON of `node` in pieces of about `slice_bytes`, so that a loop can do other work between them.

    with_priorities: the export form; otherwise the plain form. The node must not change meanwhile (freeze the tree).
    Joined, the pieces are the encoding of the whole. A single leaf is never cut, so a piece can be longer by one leaf; apart
    from that none is longer than three times `slice_bytes` (every character escaped), and few are longer than one and a half.
    """
    form = _same if with_priorities else plain
    part_weight = slice_bytes // 4
    buffer: list[bytes] = []
    size = 0
    for part in _parts(node, form, part_weight):
        buffer.append(part)
        size += len(part)
        if size >= slice_bytes:
            yield b"".join(buffer)
            buffer.clear()
            size = 0
    if buffer:
        yield b"".join(buffer)


def _parts(node: Node | None, form: Form, part_weight: int) -> Iterator[bytes]:
    if is_map(node) and weight_up_to(node, part_weight) > part_weight:
        yield from _parts_of_map(node, form, part_weight)
    else:
        yield encode(form(node))


def _parts_of_pages(node: Pages, form: Form, part_weight: int) -> Iterator[bytes]:
    """A page goes out as it is where its form is that of memory, which is seen once and remembered until it changes."""
    if form is plain and _pages_array_length(node) is not None:
        yield from _parts_of_map(node, form, part_weight)
        return
    separator = b"{"
    if form is not plain and node.priority is not None:
        yield b'{".priority":' + encode(node.priority)
        separator = b","
    for page in node.pages:
        data = page.encoded()
        if len(data) > 2:
            if form is plain and not page.is_plain:
                shown = encode({key: plain(child) for key, child in orjson.loads(data).items()})
                page.is_plain = shown == data
                data = shown
            yield separator + data[1:-1]
            separator = b","
        for key, child in list(page.kept.items()) if page.kept else ():
            yield separator + encode(key) + b":"
            yield from _parts(child, form, part_weight)
            separator = b","
    yield b"}"


def _parts_of_map(node: Node, form: Form, part_weight: int) -> Iterator[bytes]:
    """Light children go out together, as many as one part holds; heavy ones are opened in their turn."""
    length = None
    if type(node) is Pages:
        length = _pages_array_length(node) if form is plain else None
        if length is None:
            yield from _parts_of_pages(node, form, part_weight)
            return
    elif form is plain:
        length = _array_length(node)
    yield b"{" if length is None else b"["
    separator = b""
    group: dict[str, Any] = {}
    group_weight = 0
    for key, child in _entries(node, form, length):
        weight = len(key) + weight_up_to(child, part_weight)
        if group and group_weight + weight > part_weight:
            yield separator + _encode_group(group, length)
            separator = b","
            group, group_weight = {}, 0
        if weight > part_weight and is_map(child):
            yield separator + (encode(key) + b":" if length is None else b"")
            yield from _parts_of_map(child, form, part_weight)
            separator = b","
        else:
            group[key] = form(child)
            group_weight += weight
    if group:
        yield separator + _encode_group(group, length)
    yield b"}" if length is None else b"]"


def _entries(node: Node, form: Form, length: int | None) -> Iterable[tuple[str, Node | None]]:
    """(key, child) pairs to be shown, in order; those of an array of `length` with its holes."""
    if type(node) is Pages:
        return _array_entries(node)
    if length is not None:
        return ((key, node.get(key)) for key in map(str, range(length)))
    return children(node) if form is plain else node.items()


def _array_entries(node: Pages) -> Iterator[tuple[str, Node | None]]:
    expected = 0
    for key, child in node.items():
        for hole in range(expected, int(key)):
            yield str(hole), None
        yield key, child
        expected = int(key) + 1


def _encode_group(group: dict[str, Any], length: int | None) -> bytes:
    """The entries without the brackets around them."""
    return encode(group if length is None else list(group.values()))[1:-1]


def _same(node: Node | None) -> Node | None:
    return node


def _pages_array_length(node: Pages) -> int | None:
    """`_array_length` for Pages: the last key in their order is the largest."""
    if node.other_count:
        return None
    last = node.last_key()
    return 1 + int(last) if len(last) <= len(str(2 * node.count)) and int(last) < 2 * node.count else None


def _array_length(node: dict[str, Node]) -> int | None:
    """The length of the array that the keys describe, or None if they do not.

    They do when each is the decimal form of an index and the largest is below twice their count.
    """
    first = next(iter(node))
    if not first.isdecimal() and first != PRIORITY:
        return None  # Nearly every map of records ends here.
    keys = node.keys() - {PRIORITY} if PRIORITY in node else node.keys()
    # All keys at once, because this is the one long step of `encode_slices`: 0.2 µs a key (bench/tree.py).
    digit_count = max(map(len, keys))
    if digit_count > len(str(2 * len(keys))):
        return None  # Also because `int` refuses thousands of digits.
    # Nothing but digits, and no key but "0" begins with a zero.
    digits = "".join(keys)
    if not (digits.isascii() and digits.isdecimal()) or ("," + ",".join(keys)).count(",0") != ("0" in node):
        return None
    length = 1 + int(max([key for key in keys if len(key) == digit_count]))
    return length if length <= 2 * len(keys) else None
