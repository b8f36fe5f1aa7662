"""Server-sent events as they come, and as they are shown."""

from __future__ import annotations

import json

from meadowlark.cli.watching import Event, for_people, for_programs, read_events


def test_events_are_read_from_lines():
    lines = [
        *(b"event: put", b'data: {"path":"/","data":{"a":1}}', b""),
        *(b": a comment", b"", b"event: keep-alive", b"data: null", b""),
        *(b"event:patch", b"data:{", b"data:}", b"", b"event: put"),
    ]
    assert list(read_events(lines)) == [
        Event("put", '{"path":"/","data":{"a":1}}'),
        Event("keep-alive", "null"),
        Event("patch", "{\n}"),
    ]


def test_a_line_for_people_and_one_for_programs():
    event = Event("put", '{"path":"/a","data":{"é":1}}')
    assert for_people(event) == 'put\t/a\t{"é":1}'
    assert json.loads(for_programs(event)) == {"event": "put", "path": "/a", "data": {"é": 1}}
