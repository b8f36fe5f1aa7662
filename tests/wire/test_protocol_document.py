"""docs/protocol.md says what happens: its exchanges are carried out, and its tables are held against the code."""

from __future__ import annotations

import re
from pathlib import Path

import orjson
import pytest

from meadowlark import limits
from meadowlark.errors import CODES
from meadowlark.wire import CloseCode
from meadowlark.wire.actions import ACTIONS
from tests.wire.exchange import Exchange, Peer

DOCUMENT = (Path(__file__).parents[2] / "docs" / "protocol.md").read_text()
EXCHANGES = re.findall(r"^```exchange\n(.*?)^```", DOCUMENT, re.DOTALL | re.MULTILINE)


def section(title: str) -> str:
    """The text under a heading, up to the next heading of any level."""
    found = re.search(rf"^#+ {title}\n(.*?)(?=^#|\Z)", DOCUMENT, re.DOTALL | re.MULTILINE)
    assert found, f"no section {title!r}"
    return found[1]


def first_cells(title: str) -> list[str]:
    """The first column of the table in a section, without its head."""
    _, rows = section(title).split("| --- |", 1)
    return re.findall(r"^\| (.*?) \|", rows, re.MULTILINE)


@pytest.mark.parametrize("text", EXCHANGES, ids=range(len(EXCHANGES)))
def test_an_exchange_happens_as_written(text: str) -> None:
    lines = text.splitlines()
    tree = next((orjson.loads(line[5:]) for line in lines if line.startswith("tree ")), None)
    exchange = Exchange(tree, locked="locked" in lines)
    peers = {"": Peer("one"), "2": Peer("two")}
    for line in lines:
        step = re.fullmatch(r"(2?)([→←✗]) (.*)", line)
        if step is None:
            assert line == "locked" or line.startswith("tree "), f"what is {line!r}?"
            continue
        peer, what = peers[step[1]], step[3]
        if step[2] == "→":
            assert not peer.sent, f"sent before {line!r} and not written down"
            exchange.receive(peer, what.encode())
        elif step[2] == "←":
            assert peer.sent, f"nothing was sent: {line!r}"
            assert peer.sent.pop(0) == what
        else:
            assert peer.closed is not None
            assert f"{peer.closed.code:d} {peer.closed.reason}" == what
    assert not any(peer.sent for peer in peers.values()), "sent and not written down"


def test_there_are_exchanges() -> None:
    assert len(EXCHANGES) >= 8


def test_every_action_is_in_the_table() -> None:
    assert set(re.findall(r"`(\w+)`", " ".join(first_cells("Requests")))) == ACTIONS.keys()


def test_every_status_is_in_the_table() -> None:
    statuses = set(re.findall(r"`(\w+)`", " ".join(first_cells("Statuses"))))
    assert statuses == {"ok"} | {policy.status for policy in CODES.values()}


def test_every_close_code_is_in_the_table() -> None:
    assert {int(cell) for cell in first_cells("Ends")} == set(CloseCode)


@pytest.mark.parametrize(
    "bound",
    [limits.CLIENT_FRAME_BYTES_MAX, limits.MESSAGE_FRAMES_MAX, limits.MESSAGE_BYTES_MAX, limits.FRAME_BYTES_MAX],
)
def test_every_bound_on_frames_is_named(bound: int) -> None:
    assert f"{bound:,}" in section("Frames")
