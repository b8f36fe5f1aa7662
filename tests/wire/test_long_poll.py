"""Requests of long polls, and pieces put in order: whole, cut everywhere, and out of order."""

from __future__ import annotations

import base64
import itertools

import pytest

from meadowlark.errors import Refused
from meadowlark.limits import LONG_POLL_EARLY_PIECES_MAX
from meadowlark.wire import PONG, Answer, Session
from meadowlark.wire.long_poll import (
    EndRequest,
    PageRequest,
    Piece,
    PollRequest,
    Start,
    Upstream,
    find_control,
    parse_long_poll,
)
from meadowlark.wire.targets import parse_target
from tests.wire.test_realtime import CLIENT

PING = b'{"t":"c","d":{"t":"p","d":{}}}'
PING_TEXT = "eyJ0IjoiYyIsImQiOnsidCI6InAiLCJkIjp7fX19"
LONG = '{"t":"d","d":{"r":1,"a":"p","b":{"p":"/é","d":"日本語 < > 😀"}}}'.encode()


def parse(query: str):
    return parse_long_poll(parse_target("/.lp?" + query).parameters)


def pieces_of(message: bytes, size: int, *, first: int = 0) -> list[Piece]:
    """As the SDK cuts: base64 with `-`, `_` and `.`, in pieces of `size` characters."""
    text = base64.b64encode(message, b"-_").decode().replace("=", ".")
    texts = [text[start : start + size] for start in range(0, len(text), size)]
    return [Piece(first + index, len(texts), piece) for index, piece in enumerate(texts)]


def received(*batches: list[Piece]) -> list[bytes]:
    upstream, frames = Upstream(), list[bytes]()
    for batch in batches:
        upstream.receive(batch, frames)
    assert not upstream.fault
    return frames


# Requests


def test_a_start_names_the_callback_and_the_session_before_it():
    assert parse("start=t&ser=84921&cb=12&v=5&ns=demo") == Start("12")
    assert parse("start=t&ser=84921&cb=12&v=5&ls=old&p=1:2:web:3&ns=demo") == Start("12", "old")


def test_a_poll_carries_pieces_of_messages():
    assert parse("id=a&pw=b&ser=3&ns=demo") == PollRequest("a", "b", "3")
    request = parse(f"id=a&pw=b&ser=4&ns=demo&seg0=7&ts0=1&d0={PING_TEXT}&seg1=8&ts1=2&d1=eyJ0")
    assert request == PollRequest("a", "b", "4", (Piece(7, 1, PING_TEXT), Piece(8, 2, "eyJ0")))


def test_the_page_and_the_end_name_only_the_session():
    assert parse("dframe=t&id=a&pw=b&ns=demo") == PageRequest("a", "b")
    assert parse("disconn=t&id=a&pw=b") == EndRequest("a", "b")


def test_a_request_never_shows_its_secrets():
    assert "secret" not in repr(parse("id=secret-id&pw=secret-pw&ser=1"))


@pytest.mark.parametrize(
    "query",
    [
        "",
        "ns=demo",
        "start=t",
        "start=t&cb=",
        "start=t&cb=1;alert(1)",
        "start=t&cb=\u0661",
        "start=t&cb=12345678901",
        "id=a&ser=1",
        "pw=b&ser=1",
        "id=a&pw=b",
        "id=a&pw=b&ser=x",
        "id=a&pw=b&ser=-1",
        "id=a&pw=b&ser=1&seg0=0",
        "id=a&pw=b&ser=1&seg0=0&ts0=x&d0=e",
        "id=a&pw=b&ser=1&seg0=-1&ts0=1&d0=e",
        "disconn=t&id=a",
        f"id={'a' * 65}&pw=b&ser=1",
    ],
)
def test_what_no_client_sends_is_refused(query):
    with pytest.raises(Refused):
        parse(query)


# Pieces


def test_a_short_message_is_one_frame():
    assert received([Piece(0, 1, PING_TEXT)]) == [PING]


@pytest.mark.parametrize("size", range(1, 80))
def test_a_message_cut_anywhere_is_announced_and_comes_whole(size):
    pieces = pieces_of(LONG, size)
    count, *frames = received(pieces)
    assert (int(count), len(frames)) == (len(pieces), len(pieces))
    assert b"".join(frames) == LONG


def test_pieces_may_come_one_by_one_twice_and_in_any_order():
    pieces = [*pieces_of(PING, 1840), *pieces_of(LONG, 40, first=1), *pieces_of(PING, 1840, first=4)]
    assert len(pieces) == 5
    expected = received(pieces)
    for order in itertools.permutations(pieces):
        assert received(*([piece] for piece in order)) == expected
        assert received(list(order), list(order)) == expected


def test_what_comes_out_is_what_a_session_reads():
    session, events = Session(CLIENT, "h"), []
    for frame in received(pieces_of(PING, 8)):
        session.receive(frame, events)
    assert events == [Answer(PONG)]


@pytest.mark.parametrize(
    ("pieces", "fault"),
    [
        ([Piece(0, 1, "!!!!")], "not base64"),
        ([Piece(0, 1, "eyJ")], "not base64"),
        ([Piece(0, 2, "ey.."), Piece(1, 2, "J0")], "not base64"),
        ([Piece(0, 0, "")], "no pieces"),
        ([Piece(0, 2, "eyJ0"), Piece(1, 3, "eyJ0")], "of 2 pieces has one that says 3"),
        ([Piece(LONG_POLL_EARLY_PIECES_MAX + 1, 1, PING_TEXT)], "piece 0 did not"),
        ([Piece(0, 1, "é")], "not base64"),
    ],
)
def test_a_fault_ends_it_and_keeps_nothing(pieces, fault):
    upstream, frames = Upstream(), list[bytes]()
    upstream.receive(pieces, frames)
    assert fault in upstream.fault
    del frames[:]
    upstream.receive([Piece(number, 1, PING_TEXT) for number in range(5)], frames)
    assert frames == []


def test_only_so_many_pieces_wait_for_one_that_does_not_come():
    upstream, frames = Upstream(), list[bytes]()
    upstream.receive([Piece(number, 1, PING_TEXT) for number in range(1, LONG_POLL_EARLY_PIECES_MAX + 1)], frames)
    assert (frames, upstream.fault) == ([], "")
    upstream.receive([Piece(0, 1, PING_TEXT)], frames)
    assert frames == [PING] * (LONG_POLL_EARLY_PIECES_MAX + 1)


# Control messages


def test_control_messages_are_told_from_others():
    assert find_control(PING) == "p"
    assert find_control(b'{"t":"c","d":{"t":"a","d":{}}}') == "a"
    for other in (b'{"t":"d","d":{"r":1,"a":"s","b":{}}}', b"0", b"{", b"", b"\xff", b" " * 2000 + PING):
        assert find_control(other) is None
