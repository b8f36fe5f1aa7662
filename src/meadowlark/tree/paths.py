"""Paths: where a value lives, as a tuple of keys; `()` is the root.

A path text is keys between slashes, `"/rooms/7/name"`; a missing leading slash and empty segments are accepted, as the
official clients and server do. The pseudo-key `.priority` may stand last. Keys arrive already percent-decoded.
Source: docs/semantics.md "Keys and paths".
"""

from __future__ import annotations

import re

from meadowlark.errors import Code, Refused
from meadowlark.limits import KEY_BYTES_MAX, PATH_DEPTH_MAX

Path = tuple[str, ...]

PRIORITY = ".priority"
VALUE = ".value"
SERVER_VALUE = ".sv"

_FORBIDDEN = re.compile(r"[.#$/\[\]\x00-\x1f\x7f]")
_CACHED_TEXT_LENGTH_MAX = 256
_CACHE_ENTRIES_MAX = 16_384

_cache: dict[str, Path] = {}
"""Path texts repeat (a room, a cursor); parsing one costs ten times a lookup. Only valid, short texts are kept, and
the cache is emptied when full, so it is bounded at about 10 MB."""


def parse_path(text: str) -> Path:
    """The path that `text` names; raises Refused(INVALID_PATH) saying which key is wrong and why."""
    path = _cache.get(text)
    if path is None:
        path = tuple([key for key in text.split("/") if key])
        check_path(path)
        if len(text) <= _CACHED_TEXT_LENGTH_MAX:
            if len(_cache) >= _CACHE_ENTRIES_MAX:
                _cache.clear()
            _cache[text] = path
    return path


def check_path(path: Path) -> None:
    """Raises Refused(INVALID_PATH) unless every key is one and the depth is allowed; `.priority` may stand last."""
    keys = path[:-1] if path and path[-1] == PRIORITY else path
    if len(keys) > PATH_DEPTH_MAX:
        raise Refused(Code.INVALID_PATH, f"path has {len(keys)} levels, limit is {PATH_DEPTH_MAX}")
    for key in keys:
        fault = find_key_fault(key)
        if fault:
            raise Refused(Code.INVALID_PATH, f"Invalid path: {fault}")


def find_key_fault(key: str) -> str | None:
    """What is wrong with `key`, in words, or None if it may name a child."""
    if key.isalnum():
        pass  # The common case; none of the forbidden characters is a letter or a digit in any script.
    elif not key:
        return "a key is empty"
    elif _FORBIDDEN.search(key):
        return f"key {key[:80]!r} has one of . # $ / [ ] or a control character"
    if len(key) > KEY_BYTES_MAX // 4 and len(key.encode()) > KEY_BYTES_MAX:
        return f"a key has {len(key.encode())} bytes, limit is {KEY_BYTES_MAX}"
    return None


def format_path(path: Path) -> str:
    """`/a/b`, for people and messages; `/` for the root."""
    return "/" + "/".join(path)
