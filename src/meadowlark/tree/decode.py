"""A large JSON text decoded in slices, so that a loop can do other work between them.

The text is cut at commas outside of strings, at whatever depth. What must be known at a cut is which containers are open there.
A slice becomes JSON of its own when the brackets of those open at its beginning are put before it and those of the ones open
at its end behind it; orjson decodes that, and the parts of a container that spans slices are put together. So every byte is
judged by orjson in its place: what it refuses in the whole it refuses in a slice, nesting beyond its limit too, and what it
accepts means the same. What only a cut could hide, an empty place beside its comma, is looked for here.

Open brackets are found without walking through the bytes: all but brackets and quotes is deleted, then what is between quotes,
then pairs of brackets until none is left. In the slice, the part of an object's member that began earlier needs a key, and the
innermost container that goes on must be found again (by its key it may not be: keys can repeat); both get a mark that the slice
does not have itself.

Cost: about twice that of orjson.loads on the whole, and each slice that of the containers open at its beginning.
Does not know: what the values mean, who waits. Source: RFC 8259; tests/tree/test_decode.py compares with orjson.
"""

from __future__ import annotations

import re
from collections.abc import Generator
from typing import Any, NamedTuple, NoReturn

import orjson

_BLANK = b" \t\n\r"
_NOT_STRUCTURE = bytes(set(range(256)) - set(b'"{}[]'))
_BRACKETS = b"{}[]"
_DENSE = 4
"""Where a part of this or more is brackets, all takes longer, and slices are shorter by as much."""
_BACKSLASH = 92
_REST_OF_STRING = re.compile(rb'[^"\\]*+(?:\\.[^"\\]*+)*+"', re.DOTALL)
_TO_COMMA = re.compile(rb'[^,"]*+(?:"[^"\\]*+(?:\\.[^"\\]*+)*+"[^,"]*+)*+,', re.DOTALL)
_STRING = re.compile(rb'"[^"]*+"')
_OPEN_BRACKETS = re.compile(rb"([}\]]*+)([{\[]*+)")
_PAIRINGS_MAX = 40
"""Rounds in which innermost pairs of brackets are deleted; what nests deeper is walked bracket by bracket."""
_DEPTH_MAX = 4_096
"""More than orjson nests, twice: brackets that close what was open and brackets that open."""
_MARK = b"\\u0001"
"""JSON has only this way to write the character, so looking for it is looking for these bytes."""

_CLOSER = {"{": "}", "[": "]"}

_Container = Any
"""list[Any] | dict[str, Any]"""


def decode_slices(data: bytes | bytearray | memoryview, *, slice_bytes: int = 32_768) -> Generator[None, None, Any]:
    """Yields between slices of about `slice_bytes`; returns what `orjson.loads(data)` gives.

    Raises orjson.JSONDecodeError where that does; its position is one in the slice. `data` must not change meanwhile.
    A slice is larger only where there is no comma to cut at: a long string is one piece, decoded in one go.
    """
    text = memoryview(data)
    whole = Whole()
    start = 0
    while True:
        piece = yield from cut(text, start, slice_bytes)
        whole.add(piece)
        if piece.is_last:
            return whole.root
        start = piece.end + 1
        yield


class _Piece(NamedTuple):
    """A slice of the text. `skeleton`: its quotes and brackets, escaped ones left out. `end`: where the comma behind it is."""

    text: bytes
    skeleton: bytes
    end: int
    is_last: bool


def cut(text: memoryview, start: int, slice_bytes: int) -> Generator[None, None, _Piece]:
    """The text from `start` to a comma outside of strings, or to the end. Yields between blocks without such a comma."""
    blocks: list[bytes] = []
    skeletons: list[bytes] = []
    is_inside = False
    while True:
        block = _block(text, start, start + slice_bytes)
        if len(block) - len(block.translate(None, _BRACKETS)) > slice_bytes // _DENSE:
            block = _block(text, start, start + max(1, slice_bytes // _DENSE))
        end = start + len(block)
        if block.isspace() and not is_inside and not block.strip(_BLANK):
            block = b" "  # Else a gap without an end would be one slice.
        skeleton = _skeleton(block)
        is_inside ^= skeleton.count(b'"') % 2 == 1
        blocks.append(block)
        skeletons.append(skeleton)
        comma = _find_comma(text, end, slice_bytes, is_inside=is_inside)
        if comma is not None:
            block = bytes(text[end:comma])
            return _Piece(b"".join([*blocks, block]), b"".join([*skeletons, _skeleton(block)]), comma, False)
        if end == len(text):
            return _Piece(b"".join(blocks), b"".join(skeletons), end, True)
        start = end
        yield


def _block(text: memoryview, start: int, end: int) -> bytes:
    """The text from `start` to `end`, and one byte more where that would be between a backslash and what it escapes."""
    block = bytes(text[start:end])
    is_split = (len(block) - len(block.rstrip(b"\\"))) & 1
    return block + bytes(text[end : end + 1]) if is_split else block


def _find_comma(text: memoryview, start: int, length: int, *, is_inside: bool) -> int | None:
    """Where the next comma outside of strings is, if it is not too far. is_inside: whether `start` is in a string."""
    limit = start + length
    if is_inside:
        rest = _REST_OF_STRING.match(text, start, limit)
        if rest is None:
            return None
        start = rest.end()
    found = _TO_COMMA.match(text, start, limit)
    return None if found is None else found.end() - 1


def _skeleton(block: bytes) -> bytes:
    if _BACKSLASH in block:
        block = block.replace(b"\\\\", b"--").replace(b'\\"', b"--")
    return block.translate(None, _NOT_STRUCTURE)


class Whole:
    """What has been put together so far. `root` is complete after the last piece. Complete members may be taken out of `open`."""

    __slots__ = ("_kinds", "open", "root")

    def __init__(self) -> None:
        self.root: Any = None
        self._kinds = ""
        """Opening brackets of the containers that go on, outermost first."""
        self.open: list[_Container] = []
        """Those containers. Never changed itself."""

    def add(self, piece: _Piece) -> None:
        """Takes the next piece. Raises JSONDecodeError."""
        closers, openers = _open_brackets(piece.skeleton)
        kept = len(self._kinds) - len(closers)
        kinds = self._kinds[: max(kept, 0)] + openers
        if kept < 0 or bool(kinds) == piece.is_last:
            _refuse("brackets do not match")
        mark = _find_mark(piece.text)
        text = b"".join([self._before(mark), piece.text, _after(kinds, openers, mark)])
        part = orjson.loads(text)
        name = "\x01" * (len(mark) // len(_MARK))
        if self._kinds:
            parts = self._take_apart(part, name)
        else:
            self.root = part
            parts = []
        begun = _find_begun(parts[kept - 1] if parts else [part], openers, name) if openers else []
        for container, more in zip(self.open, parts, strict=True):
            if type(container) is list:
                container.extend(more)
            else:
                container.update(more)
        self._kinds = kinds
        self.open = self.open[:kept] + begun

    def _before(self, mark: bytes) -> bytes:
        """Brackets that put a piece in its place."""
        if not self._kinds:
            return b""
        above = self._kinds[:-1].encode().replace(b"{", b'{"%b":' % mark)
        return above + self._kinds[-1:].encode()

    def _take_apart(self, part: _Container, name: str) -> list[_Container]:
        """What each open container gets, outermost first."""
        parts = [part]
        for kind in self._kinds[:-1]:
            part = part.pop(name) if kind == "{" else part.pop(0)
            parts.append(part)
        if not part:
            _refuse("a value is missing behind a comma")
        return parts


def _after(kinds: str, openers: str, mark: bytes) -> bytes:
    """Brackets that close what goes on behind a piece; the innermost gets the mark if it began there."""
    closing = "".join([_CLOSER[kind] for kind in reversed(kinds)]).encode()
    if not openers:
        return closing
    return (b',"%b":0' if openers[-1] == "{" else b',"%b"') % mark + closing


def _open_brackets(skeleton: bytes) -> tuple[str, str]:
    """The brackets that close what was open before, and those that open what stays open. Raises JSONDecodeError."""
    brackets = skeleton.replace(b'""', b"")  # The quotes of a string without brackets, or of two strings side by side.
    if b'"' in brackets:
        brackets = _STRING.sub(b"", brackets)
    for _ in range(_PAIRINGS_MAX):
        fewer = brackets.replace(b"{}", b"").replace(b"[]", b"")
        if len(fewer) == len(brackets):
            break
        brackets = fewer
    else:
        brackets = _walk_brackets(brackets)
    match = _OPEN_BRACKETS.fullmatch(brackets)
    if match is None:
        _refuse("brackets do not match")
    return match[1].decode(), match[2].decode()


def _walk_brackets(brackets: bytes) -> bytes:
    left = bytearray()
    for bracket in brackets:
        if left and bracket - left[-1] == 2:  # So far apart are the two of a pair in ASCII.
            left.pop()
        else:
            left.append(bracket)
            if len(left) > _DEPTH_MAX:
                _refuse("brackets nest too deeply")
    return bytes(left)


def _find_mark(text: bytes) -> bytes:
    """A key that `text` does not have, as JSON without its quotes."""
    mark = _MARK
    while mark in text and b'"%b"' % mark in text:
        mark += _MARK
    return mark


def _find_begun(container: _Container, openers: str, name: str) -> list[_Container]:
    """The containers below `container` that have begun and go on, outermost first; the mark is taken out of the innermost."""
    begun = []
    inner = container
    for kind in openers:
        # Not so if the last key has been there before, which leaves it at its first place.
        inner = inner[-1] if type(inner) is list else next(reversed(inner.values()), None)
        if type(inner) is not (dict if kind == "{" else list):
            break
        begun.append(inner)
    if len(begun) < len(openers) or not _take_mark(begun[-1], name):
        begun = _search_begun(container, name)
    return begun


def _search_begun(container: _Container, name: str) -> list[_Container]:
    """The same for sure, by looking everywhere."""
    todo: list[tuple[_Container, Any]] = [(container, None)]
    while todo:
        inner, way = todo.pop()
        if way is not None and _take_mark(inner, name):
            begun = []
            while way is not None:
                begun.append(inner)
                inner, way = way
            return begun[::-1]
        for child in inner.values() if type(inner) is dict else inner:
            if type(child) is dict or type(child) is list:
                todo.append((child, (inner, way)))
    raise AssertionError("what a piece leaves open is in it")


def _take_mark(container: _Container, name: str) -> bool:
    if type(container) is list:
        return bool(container) and container[-1] == name and container.pop() == name
    return type(container) is dict and container.pop(name, None) is not None


def _refuse(text: str) -> NoReturn:
    raise orjson.JSONDecodeError(text, "", 0)
