"""A JSON text of any size cut into multi-path updates, without reading it into memory.

The text is walked once. A member whose text fits a part goes into it as it is, under its path; a larger one is entered. So the
parts together write what the whole says, in any order but that of priorities, which come after the children they belong to (a
place where nothing stands has none). Where the text is cut depends on the text and the bounds only: part 7 is the same each time.

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
PART_PATHS_MAX = 4096
"""Paths that one part writes: putting them into the tree is one step of the server."""

_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"', re.DOTALL)
_TO_BRACKET = re.compile(rb'[^"{}\[\]]*+(?:"[^"\\]*+(?:\\.[^"\\]*+)*+"[^"{}\[\]]*+)*+[{}\[\]]', re.DOTALL)
"""Up to the next bracket that is in no string: one step of the walk for all that is between two brackets."""
_OTHER = re.compile(rb"[^\s,:\]}\[{\"]+")
_SPACE = re.compile(rb"[ \t\r\n]*+")
_OPENING = b"{["
_CLOSING = b"}]"


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
    """`body` is an update of the place that is written; `end`: how much of the text it and those before it are."""

    body: bytes
    end: int


class _Item(NamedTuple):
    path: Path
    text: bytes
    end: int


def cut(text: Text, *, part_bytes: int = PART_BYTES, paths_max: int = PART_PATHS_MAX) -> Iterator[Part]:
    """The updates that write `text`, an object or an array. Raises Malformed."""
    place = _skip(text, 0)
    if _at(text, place) not in _OPENING:
        raise Malformed(place, "expected an object or an array")
    members: list[bytes] = []
    size = end = 0
    walk = _Walk(text, part_bytes)
    for item in walk.enter(place, ()):
        members.append(json.dumps("/".join(item.path)).encode() + b":" + item.text)
        size, end = size + len(members[-1]), item.end
        if size >= part_bytes or len(members) >= paths_max:
            yield Part(b"{" + b",".join(members) + b"}", end)
            members, size = [], 0
    rest = _skip(text, walk.end)
    if rest != len(text):
        raise Malformed(rest, "expected the end")
    if members:
        yield Part(b"{" + b",".join(members) + b"}", len(text))


class _Walk:
    def __init__(self, text: Text, part_bytes: int) -> None:
        self._text = text
        self._part_bytes = part_bytes
        self.end = 0
        """Where the last container that was entered ends."""

    def enter(self, place: int, path: Path) -> Generator[_Item, None, None]:
        """The members of the container that begins at `place`, or, of those that are too large, theirs."""
        text = self._text
        is_map = text[place] == _OPENING[0]
        closing = _CLOSING[0] if is_map else _CLOSING[1]
        place = _skip(text, place + 1)
        own: dict[str, bytes] = {}
        """Priority and value of the container itself."""
        index = 0
        if _at(text, place) == closing:
            self.end = place + 1
            return
        while True:
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
                yield from self.enter(place, (*path, key))
                end = self.end
            else:
                yield _Item((*path, key), text[place:end], end)
            place = _skip(text, end)
            if _at(text, place) == closing:
                break
            if _at(text, place) != ord(","):
                raise Malformed(place, f"expected ',' or '{chr(closing)}'")
            place = _skip(text, place + 1)
            index += 1
        self.end = place + 1
        if ".value" in own:
            whole = b",".join(json.dumps(key).encode() + b":" + value for key, value in own.items())
            yield _Item(path, b"{" + whole + b"}", self.end)
        elif own:
            yield _Item((*path, ".priority"), own[".priority"], self.end)


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
