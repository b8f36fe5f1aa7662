"""A JSON text of any size cut into updates, without reading it into memory.

The text is walked once. A container whose text is larger than a part is entered; its members make updates of its place, each
with as many of them, one after the other as they stand in the text, as a part holds. So the parts together write what the
whole says, in any order but that of priorities, which come after the children they belong to (a place where nothing stands
has none). Where the text is cut depends on the text and the bounds only: part 7 is the same each time.

What is between brackets is not judged here beyond finding its end: whoever takes a part decodes it.
Does not know: servers, files. Source: docs/cli.md "Import"; tests/cli/test_parts.py.
"""

from __future__ import annotations

import json
import re
from collections.abc import Generator, Iterator
from typing import NamedTuple, Protocol, overload

from meadowlark.limits import PATH_DEPTH_MAX
from meadowlark.tree import Path

PART_BYTES = 4 * 1024 * 1024
"""Of a part, about: some tens of milliseconds of a server's work, in slices."""
PART_PATHS_MAX = 256
"""Places that one part writes: the server holds its database while it puts them into the tree, 15 µs each where it is packed."""
CUTTING = 2
"""Which way of cutting this is: part 7 of another is not the same."""

_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"', re.DOTALL)
_TO_BRACKET = re.compile(rb'[^"{}\[\]]*+(?:"[^"\\]*+(?:\\.[^"\\]*+)*+"[^"{}\[\]]*+)*+[{}\[\]]', re.DOTALL)
"""Up to the next bracket that is in no string: one step of the walk for all that is between two brackets."""
_OTHER = re.compile(rb"[^\s,:\]}\[{\"]+")
_SPACE = re.compile(rb"[ \t\r\n]*+")
_OPENING = b"{["
_CLOSING = b"}]"
_SHALLOW_LEVELS = 4


def _shallow(levels: int) -> bytes:
    """What matches the inside of a container with at most so many levels of containers below it."""
    inside = rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"'
    if levels:
        inside = rb"(?:" + inside + rb"|[{\[]" + _shallow(levels - 1) + rb"[}\]])"
    return rb'[^"{}\[\]]*+(?:' + inside + rb'[^"{}\[\]]*+)*+'


_MEMBER = re.compile(
    rb'[ \t\r\n]*+"(?!\.)([^"\\/\x00-\x1f]++)"[ \t\r\n]*+:[ \t\r\n]*+'
    rb'(?:"[^"\\]*+(?:\\.[^"\\]*+)*+"|[{\[]' + _shallow(_SHALLOW_LEVELS) + rb"[}\]]|[^\s,:\]}\[{\"]++)"
    rb"[ \t\r\n]*+([,}])",
    re.DOTALL,
)
"""A member of an object as most are, in one step: a plain key, a value of few levels, and what comes behind."""


class Text(Protocol):
    """bytes, or a mapped file."""

    @overload
    def __getitem__(self, index: int, /) -> int: ...
    @overload
    def __getitem__(self, index: slice, /) -> bytes: ...
    def __len__(self) -> int: ...


class Malformed(ValueError):
    """The text is no JSON, or says what no database can hold."""

    def __init__(self, place: int, what: str) -> None:
        super().__init__(f"byte {place}: {what}")


class Part(NamedTuple):
    """`body` is an update of `path` below what is written; `end`: how much of the text it and those before it are."""

    path: Path
    body: bytes
    end: int


def cut(text: Text, *, part_bytes: int = PART_BYTES, paths_max: int = PART_PATHS_MAX) -> Iterator[Part]:
    """The updates that write `text`, an object or an array. Raises Malformed."""
    place = _skip(text, 0)
    if _at(text, place) not in _OPENING:
        raise Malformed(place, "expected an object or an array")
    walk = _Walk(text, part_bytes, paths_max)
    yield from walk.enter(place, ())
    rest = _skip(text, walk.end)
    if rest != len(text):
        raise Malformed(rest, "expected the end")


class _Gathered:
    """Members of one container on their way into a part."""

    __slots__ = ("_path", "_pieces", "count", "size")

    def __init__(self, path: Path) -> None:
        self._path = path
        self._pieces: list[bytes] = []
        self.count = self.size = 0

    def add(self, piece: bytes, count: int) -> None:
        """piece: `count` members, with commas between them."""
        self._pieces.append(piece)
        self.count += count
        self.size += len(piece)

    def take(self, end: int) -> Iterator[Part]:
        """The part of what was added, if anything was."""
        if self.count:
            yield Part(self._path, b"{" + b",".join(self._pieces) + b"}", end)
            self._pieces.clear()
            self.count = self.size = 0


class _Walk:
    def __init__(self, text: Text, part_bytes: int, paths_max: int) -> None:
        self._text = text
        self._part_bytes = part_bytes
        self._paths_max = paths_max
        self.end = 0
        """Where the last container that was entered ends."""

    def enter(self, place: int, path: Path) -> Generator[Part, None, None]:
        """The parts of the container that begins at `place`, and of those in it that are too large for one."""
        text = self._text
        is_map = text[place] == _OPENING[0]
        closing = _CLOSING[0] if is_map else _CLOSING[1]
        place = _skip(text, place + 1)
        gathered = _Gathered(path)
        own: dict[str, bytes] = {}
        """Priority and value of the container itself."""
        index = 0
        if _at(text, place) == closing:
            self.end = place + 1
            return
        while True:
            if is_map:
                place, is_over = self._take_plain(place, gathered)
                if self._is_full(gathered):
                    yield from gathered.take(place)
                if is_over:
                    break
            key = str(index)
            if is_map:
                key, place = _read_key(text, place)
            end = _find_end(text, place, self._part_bytes)
            if key in (".priority", ".value"):
                if end is None:
                    raise Malformed(place, f"{key} is not a leaf")
                own[key] = text[place:end]
            elif end is None and len(path) >= PATH_DEPTH_MAX:
                raise Malformed(place, f"more than {PATH_DEPTH_MAX} levels")
            elif end is None:
                yield from gathered.take(place)
                yield from self.enter(place, (*path, key))
                end = self.end
            else:
                gathered.add(_member(key, text[place:end]), 1)
            place = _skip(text, end)
            if _at(text, place) == closing:
                break
            if _at(text, place) != ord(","):
                raise Malformed(place, f"expected ',' or '{chr(closing)}'")
            place = _skip(text, place + 1)
            index += 1
            if self._is_full(gathered):
                yield from gathered.take(place)
        self.end = place + 1
        if ".value" in own:
            whole = b",".join(_member(key, value) for key, value in own.items())
            yield Part(path[:-1], b"{" + _member(path[-1] if path else "", b"{" + whole + b"}") + b"}", self.end)
            return
        if own:
            gathered.add(_member(".priority", own[".priority"]), 1)
        yield from gathered.take(self.end)

    def _take_plain(self, place: int, gathered: _Gathered) -> tuple[int, bool]:
        """Gathers members from `place` on as far as they are plain and there is room; where the next begins, and whether the
        object is over: then it is the place of its bracket."""
        text = self._text
        start = end = place
        count, count_max = 0, self._paths_max - gathered.count
        stop = place + self._part_bytes - gathered.size
        is_over = False
        while count < count_max and place < stop:
            found = _MEMBER.match(text, place, place + self._part_bytes)  # type: ignore[call-overload]
            if found is None:
                break
            count += 1
            end = found.start(2)
            place = found.end()
            if text[end] != ord(","):
                place, is_over = end, True
                break
        if count:
            gathered.add(text[start:end], count)
        return (place if is_over or not count else _skip(text, place)), is_over

    def _is_full(self, gathered: _Gathered) -> bool:
        return gathered.size >= self._part_bytes or gathered.count >= self._paths_max


def _member(key: str, value: bytes) -> bytes:
    return json.dumps(key).encode() + b":" + value


def _at(text: Text, place: int) -> int:
    if place >= len(text):
        raise Malformed(place, "the text ends too early")
    return text[place]


def _skip(text: Text, place: int) -> int:
    found = _SPACE.match(text, place)  # type: ignore[call-overload]  # re takes any buffer
    return int(found.end())


def _read_key(text: Text, place: int) -> tuple[str, int]:
    """The key at `place`, and where its value begins."""
    found = _STRING.match(text, place)  # type: ignore[call-overload]
    if found is None:
        raise Malformed(place, "expected a key")
    try:
        key = str(json.loads(found.group()))
    except ValueError as error:
        raise Malformed(place, f"the key is no JSON: {error}") from error
    if not key or "/" in key:
        raise Malformed(place, f"{key[:80]!r} cannot be a key")
    place = _skip(text, found.end())
    if _at(text, place) != ord(":"):
        raise Malformed(place, "expected ':'")
    return key, _skip(text, place + 1)


def _find_end(text: Text, place: int, container_bytes_max: int) -> int | None:
    """Where the value at `place` ends; None for a container that is larger than that."""
    first = _at(text, place)
    if first not in _OPENING:
        found = (_STRING if first == ord('"') else _OTHER).match(text, place)  # type: ignore[call-overload]
        if found is None:
            raise Malformed(place, "expected a value")
        return int(found.end())
    depth, end = 0, place
    while (found := _TO_BRACKET.match(text, end)) is not None:  # type: ignore[call-overload]
        end = int(found.end())
        if end - place > container_bytes_max:
            return None
        if text[end - 1] in _OPENING:
            depth += 1
        else:
            depth -= 1
            if not depth:
                return end
    raise Malformed(place, "what begins here has no end")
