"""What the values and paths of a command say: the places of an update, a node to be written, a queued value as JSON again.

Does not know: the tree they are written to, who may.
"""

from __future__ import annotations

from collections.abc import Collection, Generator
from typing import Any, TypeVar

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

_STEP_PATHS = 200
"""Looked at between two yields: about half a millisecond."""

Result = TypeVar("Result")


def finish(steps: Generator[None, None, Result]) -> Result:
    """What `steps` give, all at once."""
    while True:
        try:
            next(steps)
        except StopIteration as stop:
            result: Result = stop.value
            return result


def update_paths(base: Path, children: Collection[str]) -> list[Path]:
    """The places of an update, in its order. Raises Refused where they are none, or one is above another."""
    return finish(update_paths_slices(base, children))


def update_paths_slices(base: Path, children: Collection[str]) -> Generator[None, None, list[Path]]:
    """The same in steps."""
    if len(base) < PATH_DEPTH_MAX and are_plain_keys(children):  # Then they are keys, of which each is there once.
        return [(*base, key) for key in children]
    paths: dict[Path, None] = {}
    for count, text in enumerate(children, 1):
        relative = parse_path(text)
        if not relative:
            raise Refused(Code.INVALID_PATH, "an update names the location itself: expected paths below it")
        path = _checked_depth(base + relative)
        if path in paths:
            raise _overlap(path, path)
        paths[path] = None
        if count % _STEP_PATHS == 0:
            yield
    for count, path in enumerate(paths, 1):
        for depth in range(len(base) + 1, len(path)):
            if path[:depth] in paths:
                raise _overlap(path[:depth], path)
        if count % _STEP_PATHS == 0:
            yield
    return list(paths)


def _overlap(upper: Path, lower: Path) -> Refused:
    text = f"an update has {format_path(upper)} and {format_path(lower)}: expected that none contains another"
    return Refused(Code.INVALID_DATA, text)


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
