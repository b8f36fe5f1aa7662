"""Server-sent events: literal bytes for each push."""

from __future__ import annotations

from typing import Any

import pytest

from meadowlark.engine.effects import Push
from meadowlark.tree import Path
from meadowlark.wire.events import AUTH_REVOKED, CANCEL, KEEP_ALIVE, encode_event, event_slices, is_encoded
from meadowlark.wire.pushes import encode_push


def push(path: Path, value: Any, *, merge: bool = False) -> Push:
    return Push((), path, value, merge)


@pytest.mark.parametrize(
    ("happened", "event"),
    [
        (push(("r",), {"a": 1, "l": {"0": "x"}}), b'event: put\ndata: {"path":"/","data":{"a":1,"l":["x"]}}\n\n'),
        (push(("r",), None), b'event: put\ndata: {"path":"/","data":null}\n\n'),
        (push(("r", "a", "b"), "line\nbreak"), b'event: put\ndata: {"path":"/a/b","data":"line\\nbreak"}\n\n'),
        (push(("r",), {".value": 1, ".priority": 2}), b'event: put\ndata: {"path":"/","data":1}\n\n'),
        (push(("r",), {"a": 1, "b/c": None}, merge=True), b'event: patch\ndata: {"path":"/","data":{"a":1,"b/c":null}}\n\n'),
        (push(("r", "x"), {"0": 1}, merge=True), b'event: patch\ndata: {"path":"/x","data":{"0":1}}\n\n'),
    ],
)
def test_a_change_is_told_relative_to_the_stream(happened: Push, event: bytes) -> None:
    assert encode_event(happened, ("r",)) == event


def test_a_priority_alone_is_not_told() -> None:
    assert encode_event(push(("r", ".priority"), 1), ("r",)) == b""
    assert encode_event(push(("r",), {".priority": 1, "a/.priority": 2}, merge=True), ("r",)) == b""
    told = encode_event(push(("r",), {"a/.priority": 2, "a/b": 3}, merge=True), ("r",))
    assert told == b'event: patch\ndata: {"path":"/","data":{"a/b":3}}\n\n'


def test_streams_of_one_path_share_the_bytes_and_others_do_not() -> None:
    happened = push(("r", "a"), 1)
    assert not is_encoded(happened, ("r",))
    event = encode_event(happened, ("r",))
    assert encode_event(happened, ("r",)) is event
    assert is_encoded(happened, ("r",))
    assert b'"path":"/r/a"' in encode_event(happened, ())
    assert b"event" not in encode_push(happened), "the realtime protocol keeps its own"


def test_an_event_in_slices_is_the_same_event() -> None:
    value = {f"k{number}": {"n": number} for number in range(5000)}
    happened = push(("r", "a"), value)
    slices = list(event_slices(happened, ("r",)))
    assert len(slices) > 2
    assert b"".join(slices) == encode_event(happened, ("r",))


def test_events_without_a_change_are_as_clients_compare_them() -> None:
    assert KEEP_ALIVE == b"event: keep-alive\ndata: null\n\n"
    assert CANCEL == b'event: cancel\ndata: "Permission denied."\n\n'
    assert AUTH_REVOKED == b"event: auth_revoked\ndata: credential is no longer valid\n\n"
