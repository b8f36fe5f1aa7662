"""The session: frames, order, limits, and the two states."""

from __future__ import annotations

import gc
import sys
from typing import Any

import orjson
import pytest
from msgspec.structs import replace

from meadowlark.engine import Client, Listen, Set, Unlisten, Update
from meadowlark.errors import Refused
from meadowlark.limits import CLIENT_FRAME_BYTES_MAX, MESSAGE_BYTES_MAX, MESSAGE_FRAMES_MAX
from meadowlark.tree import Prepared, from_json, unpacked
from meadowlark.wire import PONG, Answer, Close, Long, Outcome, Session, State, Switch
from tests.wire.exchange import read_messages

CLIENT = Client("s1")
PING = b'{"t":"c","d":{"t":"p","d":{}}}'


def put(value: bytes, number: int = 1) -> bytes:
    return b'{"t":"d","d":{"r":%d,"a":"p","b":{"p":"/a","d":%b}}}' % (number, value)


def receive(*frames: bytes, session: Session | None = None) -> list[Outcome]:
    session = session or Session(CLIENT, "h")
    events: list[Outcome] = []
    for frame in frames:
        session.receive(frame, events)
    return events


def divided(message: bytes, piece_bytes: int = 16_384) -> list[bytes]:
    pieces = [message[start : start + piece_bytes] for start in range(0, len(message), piece_bytes)]
    return [b"%d" % len(pieces), *pieces]


def told(event: Outcome) -> dict[str, object]:
    """The answer in `event`."""
    assert isinstance(event, Answer)
    [message] = read_messages(event.frame)
    found: dict[str, object] = orjson.loads(message)["d"]
    return found


def test_hello_names_the_host_as_the_client_did() -> None:
    assert read_messages(Session(CLIENT, "localhost:9000").hello(1_700_000_000_000)) == [
        '{"t":"c","d":{"t":"h","d":{"ts":1700000000000,"v":"5","h":"localhost:9000","s":"s1"}}}'
    ]


def test_outcomes_come_in_the_order_of_the_requests() -> None:
    events = receive(
        b'{"t":"d","d":{"r":1,"a":"q","b":{"p":"/a","h":""}}}',
        put(b"1", 2),
        PING,
        put(b"2", 3),
        b'{"t":"d","d":{"r":4,"a":"n","b":{"p":"/a"}}}',
    )
    assert events == [
        Listen(CLIENT, 1, ("a",)),
        Set(CLIENT, 2, ("a",), 1),
        Answer(PONG),
        Set(CLIENT, 3, ("a",), 2),
        Unlisten(CLIENT, 4, ("a",)),
    ]


def test_nothing_is_kept_of_a_borrowed_view() -> None:
    buffer = bytearray(put(b'{"key":"text"}'))
    view = memoryview(buffer)
    session, events = Session(CLIENT, "h"), list[Outcome]()
    session.receive(view, events)
    view.release()
    buffer[:] = b"x" * len(buffer)
    buffer.append(0)  # Fails if anything still looks at the buffer.
    assert events == [Set(CLIENT, 1, ("a",), {"key": "text"})]


@pytest.mark.parametrize("bad", [b'"\\ud800"', b"[[", b"1e999"])
def test_nothing_is_kept_of_a_borrowed_view_that_is_malformed(bad: bytes) -> None:
    buffer = bytearray(put(bad))
    view = memoryview(buffer)
    Session(CLIENT, "h").receive(view, [])
    view.release()
    buffer.append(0)


# Frames


def test_a_keepalive_is_nothing() -> None:
    assert receive(b"0", b"0", put(b"1"), b"0") == [Set(CLIENT, 1, ("a",), 1)]


def test_a_zero_among_pieces_is_a_piece() -> None:
    head, tail = put(b"1|1").split(b"|")
    assert receive(b"3", head, b"0", tail) == [Set(CLIENT, 1, ("a",), 101)]


def test_empty_pieces_count() -> None:
    message = put(b"1")
    assert receive(b"4", b"", message[:10], b"", message[10:]) == [Set(CLIENT, 1, ("a",), 1)]


def test_messages_follow_each_other() -> None:
    session = Session(CLIENT, "h")
    events = receive(*divided(put(b"1"), 9), put(b"2"), *divided(put(b"3"), 7), session=session)
    assert [event.value for event in events if isinstance(event, Set)] == [1, 2, 3]
    assert session.state is State.OPEN


@pytest.mark.parametrize("character", ["é", "€", "😀"])
def test_frames_may_be_cut_inside_a_character(character: str) -> None:
    message = put(f'"{character}"'.encode())
    start = message.index(character.encode())
    for place in range(start, start + len(character.encode()) + 1):
        assert receive(b"2", message[:place], message[place:]) == [Set(CLIENT, 1, ("a",), character)]


def test_sixteen_megabytes_come_through() -> None:
    text = "aé€😀" * (16 * 1024 * 1024 // 10)
    frames = divided(put(orjson.dumps(text)))
    assert len(frames) > 1024
    assert receive(*frames) == [Set(CLIENT, 1, ("a",), text)]


# Control


@pytest.mark.parametrize("kind", ["a", "o", "h", "", "new"])
def test_other_control_messages_are_ignored(kind: str) -> None:
    session = Session(CLIENT, "h")
    assert receive(b'{"t":"c","d":{"t":"%b","d":{}}}' % kind.encode(), session=session) == []
    assert session.state is State.OPEN


def test_the_end_of_an_upgrade_is_told() -> None:
    assert receive(b'{"t":"c","d":{"t":"n","d":{}}}') == [Switch()]


# Limits


def test_a_frame_at_the_limit_is_taken_and_one_byte_more_closes() -> None:
    room = CLIENT_FRAME_BYTES_MAX - len(put(b'""'))
    [event] = receive(put(b'"%b"' % (b"x" * room)))
    assert isinstance(event, Set)
    session = Session(CLIENT, "h")
    assert receive(put(b'"%b"' % (b"x" * (room + 1))), session=session) == [
        Close(1009, f"frame has {CLIENT_FRAME_BYTES_MAX + 1} bytes, limit is {CLIENT_FRAME_BYTES_MAX}")
    ]
    assert session.state is State.CLOSED


def test_a_piece_over_the_limit_closes() -> None:
    [event] = receive(b"2", b"x" * (CLIENT_FRAME_BYTES_MAX + 1))
    assert isinstance(event, Close)
    assert event.code == 1009


def test_more_frames_than_allowed_close_at_the_announcement() -> None:
    assert receive(b"%d" % MESSAGE_FRAMES_MAX) == []
    assert receive(b"%d" % (MESSAGE_FRAMES_MAX + 1)) == [
        Close(1009, f"message of {MESSAGE_FRAMES_MAX + 1} frames announced, limit is {MESSAGE_FRAMES_MAX}")
    ]


def test_a_message_over_the_limit_is_answered_and_the_session_goes_on() -> None:
    """Closing would make the client connect and send it again, for ever."""
    session = Session(CLIENT, "h")
    message = put(b'"%b"' % (b"x" * MESSAGE_BYTES_MAX), 9)
    events = receive(*divided(message), put(b"1", 10), session=session)
    assert told(events[0]) == {
        "r": 9, "b": {"s": "too_big", "d": f"message is larger than {MESSAGE_BYTES_MAX} bytes, which is the limit"},
    }  # fmt: skip
    assert events[1:] == [Set(CLIENT, 10, ("a",), 1)]


def test_a_message_over_the_limit_without_a_number_closes() -> None:
    pieces = [b"x" * 16_384] * (MESSAGE_BYTES_MAX // 16_384 + 1)
    session = Session(CLIENT, "h")
    assert receive(b"%d" % len(pieces), *pieces, session=session) == [
        Close(1009, f"message is larger than {MESSAGE_BYTES_MAX} bytes, which is the limit")
    ]


# Malformed messages


@pytest.mark.parametrize("value", [b'"\\ud800"', b"1e400", b"NaN", b"[" * 40_000, b'"\xff"'])
def test_a_value_that_cannot_be_is_answered_and_the_session_goes_on(value: bytes) -> None:
    session = Session(CLIENT, "h")
    events = receive(put(value, 5), put(b"1", 6), session=session)
    answer = told(events[0])
    assert answer["r"] == 5
    assert isinstance(answer["b"], dict)
    assert answer["b"]["s"] == "failed"
    assert events[1:] == [Set(CLIENT, 6, ("a",), 1)]


@pytest.mark.parametrize(
    "frame",
    [
        b"",
        b"x",
        b"{}",
        b"null",
        b"-1",
        b'{"t":"d","d":null}',
        b'{"t":"d","d":{"a":"p","b":{}}}',
        b'{"t":"d","d":{"r":null,"a":"p"}}',
        b'{"t":"x","d":{"r":1,"a":"p"}}',
        b'{"t":"d","d":{"error":"x"}}',
        b"\xff" * 8,
        b"[" * 40_000,
    ],
    ids=range(12),
)
def test_what_nobody_can_be_answered_about_closes(frame: bytes) -> None:
    session = Session(CLIENT, "h")
    [event] = receive(frame, put(b"1"), b"0", b"2", session=session)
    assert isinstance(event, Close)
    assert event.code == 1002
    assert (session.state, session.reason) == (State.CLOSED, event.reason)
    assert event.reason


def test_an_ended_session_ignores_everything_and_keeps_its_first_reason() -> None:
    session = Session(CLIENT, "h")
    assert receive(b"2", put(b"1")[:9], session=session) == []
    session.end("the peer left")
    session.end("again")
    assert receive(put(b"1")[9:], put(b"1"), PING, b"x", session=session) == []
    assert session.reason == "the peer left"


# Memory


def test_no_cycles_are_left_behind() -> None:
    """Workers run without a collector."""
    bad_path = b'{"t":"d","d":{"r":1,"a":"p","b":{"p":"/a.b","d":1}}}'
    frames = [put(b'{"a":[1]}'), put(b'"\\ud800"'), put(b"[[["), bad_path, b"2", b"x", b"y", b"0"]
    gc.collect()
    gc.disable()
    try:
        receive(*frames)
        assert gc.collect() == 0
    finally:
        gc.enable()


def test_a_view_is_let_go_even_when_refused() -> None:
    frame = put(b"[[[") + b" " * 100
    count = sys.getrefcount(frame)
    receive(frame)
    assert sys.getrefcount(frame) == count


# Long messages, left to the owner to be read in slices


def read(message: bytes) -> list[Outcome]:
    """As an owner does who reads everything in slices."""
    session = Session(CLIENT, "h", whole_bytes_max=0)
    [long] = receive(*divided(message), session=session)
    assert isinstance(long, Long)
    steps = session.read(long)
    while True:
        try:
            next(steps)
        except StopIteration as stop:
            return [] if stop.value is None else [stop.value]


@pytest.mark.parametrize(
    "message",
    [
        put(b'{"b":[1,2.0,null,"text"],".priority":1}'),
        put(b'"' + b"x" * 200_000 + b'"'),
        b'{"t":"d","d":{"r":2,"a":"p","b":{"p":"/a","d":1,"d":{"last":"wins"}}}}',
        b'{"t":"d","d":{"r":2,"a":"m","b":{"p":"/a","d":{"b/c":{"d":1},"e":null}}}}',
        b'{"t":"d","d":{"r":2,"a":"m","b":{"p":"/a","d":[1]}}}',
        b'{"t":"d","d":{"r":2,"a":"o","b":{"p":"/a","d":null}}}',
        b'{"t":"d","d":{"r":2,"a":"q","b":{"p":"/a","h":""}}}',
        b'{"t":"d","d":{"r":2,"a":"p","b":{"p":"/a"}}}',
        b'{"t":"d","d":{"r":2,"a":"p","b":{"p":7,"d":1}}}',
        b'{"t":"d","d":{"r":2,"a":"nonsense","b":{}}}',
        b'{"t":"d","d":{"r":2,"a":"s","b":{"c":{"x":1}},"d":2},"d2":[]}',
        b'{"t":"d","d":{"r":2,"a":"p","b":null}}',
        b'{"t":"d","d":{"r":2,"a":"p","b":{"p":"/a","d":{"b":1}',
        b'{"t":"d","d":{"r":2,"a":"p","b":{"p":"/a","d":"\\ud800"}}}',
        b'{"t":"d","d":{"r":"2","a":"p","b":{"p":"/a","d":1}}}',
        b'{"t":"d","d":{"a":"p","b":{"p":"/a","d":1}}}',
        b'{"t":"d","d":[]}',
        b"[1,2,3]",
        b"no JSON at all",
        PING,
        b'{"t":"c","d":{"t":"n","d":{}}}',
    ],
)
def test_a_message_read_in_slices_asks_the_same(message: bytes) -> None:
    assert [told_plainly(event) for event in read(message)] == [told_plainly(event) for event in receive(*divided(message))]


def told_plainly(event: Outcome) -> Outcome:
    """With the values of a write as nodes, prepared or not."""
    if isinstance(event, Set):
        return replace(event, value=as_node(event.value, len(event.path)))
    if isinstance(event, Update):
        return replace(event, children={key: as_node(value, 1) for key, value in event.children.items()})
    return event


def as_node(value: Any, depth: int) -> Any:
    try:
        return unpacked(value.node) if isinstance(value, Prepared) else from_json(value, depth)[0]
    except Refused as refused:
        return refused.text


@pytest.mark.parametrize(
    ("message", "is_prepared"),
    [
        (put(b'{"b":[1,2.0],".priority":1}'), True),
        (b'{"t":"d","d":{"r":2,"a":"m","b":{"p":"/a","d":{"b/c":{"d":"%b"},"e":null}}}}' % (b"1,2," * 20_000), True),
        (b'{"t":"d","d":{"r":2,"a":"p","b":{"p":"/a/.priority","d":1}}}', False),
        (b'{"t":"d","d":{"r":2,"a":"p","b":{"p":"/a","d":1,"h":"hash"}}}', False),
        (b'{"t":"d","d":{"a":"p","r":2,"b":{"p":"/a","d":1}}}', False),
        (put(b'{"bad.key":1}'), False),
    ],
)
def test_a_write_that_is_said_as_usual_is_prepared_while_it_is_read(message: bytes, is_prepared: bool) -> None:
    [event] = read(message)
    values = [event.value] if isinstance(event, Set) else event.children.values() if isinstance(event, Update) else []
    assert [isinstance(value, Prepared) for value in values] == [is_prepared] * len(values)


def test_a_long_message_that_is_no_json_is_answered_by_its_head() -> None:
    [event] = read(put(b'{"a":"' + b"x" * 1_000_000))
    assert told(event)["r"] == 1
