"""`watch`: every change at a path, a line each, until somebody ends it; a lost connection is made again.

The server tells changes as server-sent events. It says something every 30 seconds, so a longer silence is a lost connection.
After a reconnect the value comes whole again, as a `put` at `/`.
Does not know: where the server is (asking.py). Source: docs/cli.md "Watch"; docs/rest.md "Streams".
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from meadowlark.cli.application import Exit, Failed
from meadowlark.cli.asking import Server
from meadowlark.limits import STREAM_KEEPALIVE_SECONDS
from meadowlark.tree import Path

SILENCE_SECONDS = 2.5 * STREAM_KEEPALIVE_SECONDS
RETRY_SECONDS = (0.5, 30.0)
"""Before the first attempt to come back, doubled up to the second."""


class Event(NamedTuple):
    kind: str
    text: str


def read_events(lines: Iterable[bytes]) -> Iterator[Event]:
    """The events in the lines of a stream."""
    kind, texts = "", list[str]()
    for line in lines:
        if not line:
            if kind:
                yield Event(kind, "\n".join(texts))
            kind, texts = "", []
        elif line.startswith(b"event:"):
            kind = line[6:].strip().decode()
        elif line.startswith(b"data:"):
            texts.append(line[5:].removeprefix(b" ").decode())


def watch(server: Server, path: Path, show: Callable[[Event], None], *, count: int | None, quiet: bool) -> None:
    """Shows each `put` and `patch`; returns after `count` of them. Raises Failed if the first connection does, or access ends."""
    retry_seconds, shown = RETRY_SECONDS[0], 0
    is_first = True
    while True:
        try:
            answer = server.ask("GET", path, headers={"Accept": "text/event-stream"}, seconds=SILENCE_SECONDS)
            is_first = False
            for event in read_events(answer.lines()):
                retry_seconds = RETRY_SECONDS[0]
                if event.kind in ("cancel", "auth_revoked"):
                    raise Failed(Exit.REFUSED, f"the server ended the watch: {event.kind.replace('_', ' ')}: {event.text}")
                if event.kind in ("put", "patch"):
                    show(event)
                    shown += 1
                    if shown == count:
                        answer.close()
                        return
            reason = "the server closed the connection"
        except Failed as failed:
            if is_first or failed.exit_code is not Exit.UNREACHABLE:
                raise
            reason = str(failed)
        if not quiet:
            print(f"meadowlark: {reason}; coming back in {retry_seconds:g} s", file=sys.stderr, flush=True)
        time.sleep(retry_seconds)
        retry_seconds = min(2 * retry_seconds, RETRY_SECONDS[1])


def for_people(event: Event) -> str:
    """Kind, path and value between tabs."""
    told = json.loads(event.text)
    return f"{event.kind}\t{told['path']}\t{json.dumps(told['data'], ensure_ascii=False, separators=(',', ':'))}"


def for_programs(event: Event) -> str:
    """An object on one line."""
    return f'{{"event":"{event.kind}",{event.text[1:]}' if event.text.startswith("{") else event.text
