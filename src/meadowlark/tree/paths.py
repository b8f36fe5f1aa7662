"""Paths: where a value lives, as a tuple of keys; `()` is the root.

A path text is keys between slashes, `"/rooms/7/name"`; a missing leading slash and empty segments are accepted, as the
official clients and server do. The pseudo-key `.priority` may stand last. Keys arrive already percent-decoded.
Source: docs/semantics.md "Keys and paths".
"""

from __future__ import annotations

import re
from collections.abc import Collection

from meadowlark.errors import Code, Refused
from meadowlark.limits import KEY_BYTES_MAX, PATH_DEPTH_MAX

Path = tuple[str, ...]

PRIORITY = ".priority"
VALUE = ".value"
SERVER_VALUE = ".sv"

_FORBIDDEN = re.compile(r"[.#$/\[\]\x00-\x1f\x7f\ud800-\udfff]")
"""A lone surrogate comes of percent-decoding bytes that are no UTF-8; it could never be sent as JSON again."""

_KEY_LENGTH_SAFE = KEY_BYTES_MAX // 4
"""Characters that fit the limit of bytes whatever they are."""

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
        return f"key {key[:80]!r} has one of . # $ / [ ], a control character or a lone surrogate"
    if len(key) > _KEY_LENGTH_SAFE and len(key.encode()) > KEY_BYTES_MAX:
        return f"a key has {len(key.encode())} bytes, limit is {KEY_BYTES_MAX}"
    return None


def are_plain_keys(keys: Collection[str]) -> bool:
    """Whether all `keys` may name children, for sure; if not, `find_key_fault` of each one tells.

    One search over all of them together costs a fifth of one each: an import may bring a hundred thousand ids.
    """
    text = "".join(keys)
    if not text.isalnum() and _FORBIDDEN.search(text):
        return False
    return "" not in keys and max(map(len, keys), default=0) <= _KEY_LENGTH_SAFE


def format_path(path: Path) -> str:
    """`/a/b`, for people and messages; `/` for the root."""
    return "/" + "/".join(path)
