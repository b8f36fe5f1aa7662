"""Bytes from anywhere in the place of a WebTransport's stream and datagrams: nothing raises, and nothing grows."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as some

from meadowlark.limits import CLIENT_FRAME_BYTES_MAX, DATAGRAM_PATHS_MAX
from meadowlark.wire.webtransport import Datagrams, Frame, StreamFrames, encode_datagram, encode_path

VALUES = some.one_of(
    some.binary(max_size=40), some.integers().map(lambda number: b"%d" % number), some.just(b'{"x":[1,{"y":2}]}')
)
PACKETS = some.one_of(
    some.binary(max_size=200),
    some.builds(
        encode_datagram,
        some.integers(0, 2**34),
        some.lists(some.tuples(some.integers(0, DATAGRAM_PATHS_MAX + 2), VALUES), max_size=5),
    ),
)


@given(some.lists(some.binary(max_size=300), max_size=20))
def test_any_bytes_are_frames_or_a_fault(pieces: list[bytes]) -> None:
    stream, frames = StreamFrames(), list[Frame]()
    for piece in pieces:
        stream.receive(piece, frames)
        assert len(stream._rest) <= CLIENT_FRAME_BYTES_MAX + 4
    whole, at_once = StreamFrames(), list[Frame]()
    whole.receive(b"".join(pieces), at_once)
    assert (at_once, whole.fault, whole.is_closed) == (frames, stream.fault, stream.is_closed)


@given(
    some.lists(some.one_of(some.binary(max_size=60), some.builds(encode_path, some.just(1), some.integers(0, 9), some.text())))
)
def test_any_binary_frame_is_an_agreement_or_a_fault(payloads: list[bytes]) -> None:
    datagrams = Datagrams()
    for payload in payloads:
        assert isinstance(datagrams.agree(payload), str)
    assert len(datagrams._known) <= DATAGRAM_PATHS_MAX


@given(some.lists(PACKETS, max_size=20), some.integers(0, 9))
def test_whatever_comes_in_datagrams_only_volatile_writes_come_out(packets: list[bytes], known: int) -> None:
    datagrams = Datagrams()
    for number in range(known):
        assert datagrams.agree(encode_path(1, number, f"p{number}")) == ""
    messages: list[bytes] = []
    for packet in packets:
        datagrams.receive(packet, messages, [])
    for message in messages:
        read = json.loads(message)
        assert set(read) == {"t", "d"}
        assert read["t"] == "d"
        assert set(read["d"]) == {"a", "b"}
        assert set(read["d"]["b"]) == {"p", "d"}
        assert read["d"]["b"]["p"] in {f"p{number}" for number in range(known)}
