"""Runs the examples of docs/rest.md: each block against an empty, open database."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from meadowlark.limits import BODY_BYTES_MAX, HANDSHAKE_SECONDS, HEAD_BYTES_MAX, OUTBOX_BYTES_MAX, OUTBOX_STALL_SECONDS
from meadowlark.server.patience import PHASE_SECONDS, Phase
from tests.server.rest_server import Peer, Served, serve

DOCUMENT = (Path(__file__).parents[2] / "docs" / "rest.md").read_text()
BLOCKS = re.findall(r"^```rest\n(.*?)^```", DOCUMENT, re.MULTILINE | re.DOTALL)

_LINE = re.compile(r"(2?)(?:→ (?P<method>\S+) (?P<target>\S+)|← (?P<status>\d+))(?: (?P<rest>.*))?")
_HEADERS = re.compile(r"\[([A-Za-z-]+): ([^\]]*)\] ?")
_EVENT = re.compile(r"(2?)← event (\S+) (.*)")


def cut(text: str | None) -> tuple[dict[str, str], str | None]:
    """The headers in brackets, and what follows them."""
    headers: dict[str, str] = {}
    text = text or ""
    while match := _HEADERS.match(text):
        headers[match[1]] = match[2]
        text = text[match.end() :]
    return headers, text or None


async def check(line: str, peer: Peer, answers: list[tuple[int, dict[str, str], bytes]]) -> None:
    """Sends what the line asks, or compares what came with what it says."""
    event = _EVENT.fullmatch(line)
    if event:
        assert await peer.reader.readuntil(b"\n\n") == f"event: {event[2]}\ndata: {event[3]}\n\n".encode()
        return
    match = _LINE.fullmatch(line)
    assert match, line
    headers, rest = cut(match["rest"])
    if match["method"]:
        named = {name.replace("-", "_"): value for name, value in headers.items()}
        answers.append(await peer.ask(match["method"], match["target"], rest, **named))
        return
    status, got, body = answers.pop()
    assert (status, body.decode()) == (int(match["status"]), rest or "")
    for name, value in headers.items():
        assert got[name.lower()] == value


@pytest.mark.parametrize("block", BLOCKS, ids=[block.split("\n")[0][:40] for block in BLOCKS])
def test_an_example_holds(block: str) -> None:
    async def test(served: Served) -> None:
        peers = {"": await served.connect(), "2": await served.connect()}
        answers: list[tuple[int, dict[str, str], bytes]] = []
        for line in block.splitlines():
            await check(line, peers["2" if line[0] == "2" else ""], answers)
        assert not answers

    serve(test)


def test_there_are_examples_of_every_part() -> None:
    assert len(BLOCKS) == 11


def test_the_bounds_are_those_of_the_server() -> None:
    assert BODY_BYTES_MAX == 256 << 20
    assert HEAD_BYTES_MAX == 64 << 10
    assert OUTBOX_BYTES_MAX == 32 << 20
    assert OUTBOX_STALL_SECONDS == PHASE_SECONDS[Phase.BODY] == PHASE_SECONDS[Phase.TAKING] == 60
    assert PHASE_SECONDS[Phase.HEAD] == HANDSHAKE_SECONDS == 10
    assert PHASE_SECONDS[Phase.IDLE] == 120
