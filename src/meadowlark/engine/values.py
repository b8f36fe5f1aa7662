"""What the values and paths of a command say: the places of an update, a node to be written, a queued value as JSON again.

Does not know: the tree they are written to, who may.
"""

from __future__ import annotations

from collections.abc import Collection
from itertools import pairwise
from typing import Any

from meadowlark.errors import Code, Refused
from meadowlark.limits import PATH_DEPTH_MAX
from meadowlark.tree import (
    PRIORITY,
    Node,
    Path,
    Prepared,
    ServerValue,
    are_plain_keys,
    format_path,
    from_json,
    parse_path,
    priority_from_json,
)


def update_paths(base: Path, children: Collection[str]) -> list[Path]:
    """The places of an update, in its order. Raises Refused where they are none, or one is above another."""
    if len(base) < PATH_DEPTH_MAX and are_plain_keys(children):  # Then they are keys, of which each is there once.
        return [(*base, key) for key in children]
    paths = []
    for text in children:
        relative = parse_path(text)
        if not relative:
            raise Refused(Code.INVALID_PATH, "an update names the location itself: expected paths below it")
        paths.append(_checked_depth(base + relative))
    ordered = sorted(paths)
    for upper, lower in pairwise(ordered):
        if lower[: len(upper)] == upper:
            text = f"an update has {format_path(upper)} and {format_path(lower)}: expected that none contains another"
            raise Refused(Code.INVALID_DATA, text)
    return paths


def parse_at(path: Path, value: Any) -> tuple[Node | None, bool]:
    if type(value) is Prepared:
        return value.node, value.waits
    if path and path[-1] == PRIORITY:
        return priority_from_json(value)
    return from_json(value, len(path))


def _checked_depth(path: Path) -> Path:
    depth = len(path) - (path[-1] == PRIORITY)
    if depth > PATH_DEPTH_MAX:
        raise Refused(Code.INVALID_PATH, f"path has {depth} levels, limit is {PATH_DEPTH_MAX}")
    return path


def unresolved(node: Any) -> Any:
    """A queued value as JSON again, server values as they were asked for."""
    if type(node) is dict:
        return {key: unresolved(child) for key, child in node.items()}
    if isinstance(node, ServerValue):
        return {".sv": "timestamp" if node.delta is None else {"increment": node.delta}}
    return node
