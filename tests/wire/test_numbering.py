"""Numbers and updates as bytes: what a client makes of them, late, doubled, out of order and out of its mind."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some

from meadowlark.engine import Push
from meadowlark.limits import DATAGRAM_PATHS_MAX, FRAME_BYTES_MAX
from meadowlark.tree import parse_path
from meadowlark.wire.numbering import (
    FORGET,
    UPDATE,
    VOID,
    Heard,
    Number,
    Numbering,
    encode_agreement,
    encode_epoch,
    encode_update,
    encode_updates,
)
from meadowlark.wire.webtransport import Frame, StreamFrames, encode_path


def payloads(frames: bytes) -> list[bytes]:
    stream, found = StreamFrames(), list[Frame]()
    stream.receive(frames, found)
    assert not stream.fault
    assert not any(frame.is_text for frame in found)
    return [frame.payload for frame in found]


class Client:
    def __init__(self, *frames: bytes) -> None:
        self.told: list[tuple[str, bytes]] = []
        self.heard = Heard(lambda path, value: self.told.append((path, value)))
        self.agree(*frames)

    def agree(self, *frames: bytes) -> None:
        for payload in payloads(b"".join(frames)):
            self.heard.agree(payload)

    def receive(self, *datagrams: bytes) -> list[tuple[str, bytes]]:
        for datagram in datagrams:
            self.heard.receive(datagram)
        told, self.told[:] = list(self.told), []
        return told


def number(index: int, path: str, sequence: int = 1) -> Number:
    made = Number(index, parse_path(path))
    made.sequence = sequence
    return made


def volatile(path: str, value: Any) -> Push:
    return Push((), parse_path(path), value, volatile=True)


A, B = number(0, "a"), number(1, "b/c")
AGREED = encode_agreement(A) + encode_agreement(B)


def test_bytes_are_those_of_the_document() -> None:
    update = encode_update(0, 7, b'{"x":1,"y":2}')
    assert b"\x03" + update == b'\x03\x00\x07\x0d{"x":1,"y":2}'
    assert encode_agreement(number(300, "a/b", 5)) == b"\x82\x07\x01\x05\xac\x02a/b"
    assert (VOID, encode_epoch(3), FORGET) == (b"\x82\x01\x02", b"\x82\x02\x02\x03", b"\x82\x01\x04")
    assert encode_updates([update]) == b"\x82\x11\x03" + update


def test_several_updates_are_one_packet() -> None:
    packet = b"\x00" + encode_update(0, 1, b"1") + encode_update(1, 1, b"true") + encode_update(0, 2, b"")
    assert Client(AGREED).receive(packet) == [("a", b"1"), ("b/c", b"true"), ("a", b"")]


def test_of_one_number_only_what_is_newer_counts_however_it_comes() -> None:
    client = Client(AGREED)
    first, second, third = (encode_update(0, sequence, b"%d" % sequence) for sequence in (1, 2, 3))
    assert client.receive(b"\0" + second, b"\0" + first, b"\0" + second) == [("a", b"2")]
    client.agree(encode_updates([first, third]))
    assert client.receive(b"\0" + third) == [("a", b"3")]
    assert client.heard.dropped == 4


def test_only_datagrams_of_the_epoch_count() -> None:
    client = Client(AGREED)
    update = encode_update(0, 1, b"1")
    client.agree(VOID)
    assert client.receive(b"\0" + update, b"\x01" + update) == []
    client.agree(encode_epoch(1))
    assert client.receive(b"\0" + update, b"\x01" + update) == [("a", b"1")]


def test_the_stream_counts_in_any_epoch() -> None:
    client = Client(AGREED, VOID, encode_updates([encode_update(0, 1, b"1")]))
    assert client.receive() == [("a", b"1")]


def test_a_number_means_its_path_from_a_sequence_on_and_nothing_before_it_is_told_or_after_it_is_forgotten() -> None:
    client = Client()
    update = encode_update(0, 6, b"1")
    assert client.receive(b"\0" + update) == []
    client.agree(encode_agreement(number(0, "a", 7)))
    assert client.receive(b"\0" + update, b"\0" + encode_update(0, 7, b"2")) == [("a", b"2")]
    client.agree(FORGET)
    assert client.receive(b"\0" + encode_update(0, 8, b"3")) == []


def test_what_later_servers_may_say_means_nothing() -> None:
    client = Client(AGREED, b"\x82\x03\x09ab", b"\x82\x00", b"\x82\x01\x01")
    assert client.receive(b"\0" + encode_update(0, 1, b"1")) == [("a", b"1")]


def test_many_updates_are_several_frames() -> None:
    updates = [encode_update(index, 1, b"x" * 4000) for index in range(20)]
    frames = payloads(encode_updates(updates))
    assert len(frames) > 1
    assert all(len(frame) <= FRAME_BYTES_MAX for frame in frames)
    assert b"".join(frame[1:] for frame in frames) == b"".join(updates)


def test_a_push_is_encoded_once_and_a_path_keeps_its_number() -> None:
    numbering = Numbering()
    push, again = volatile("c/anna", 1), volatile("c/anna", 2)
    found = numbering.find(push)
    assert found is not None
    update = push.encoded[UPDATE]
    assert numbering.find(push) is found
    assert push.encoded[UPDATE] is update
    assert numbering.find(again) is found
    assert again.encoded[UPDATE] == encode_update(0, 2, b"2")


@pytest.mark.parametrize("other", ["c/anna/x", "c/anna/x/y", "c", ""])
def test_paths_that_contain_one_another_have_no_numbers_beside_each_other(other: str) -> None:
    numbering = Numbering()
    first = numbering.find(volatile("c/anna", 1))
    push = volatile(other, 1)
    assert numbering.find(push) is None
    assert numbering.overlapped(push) == (first,)
    for _ in range(20):
        numbering.find(volatile(other, 1))
        numbering.check()
    assert numbering.find(volatile(other, 1)) is not None, "what is only in the way goes"
    assert numbering.given_up_count == 1


def test_what_a_push_concerns() -> None:
    numbering = Numbering()
    anna, ben = (numbering.find(volatile(path, 1)) for path in ("c/anna", "c/ben"))
    assert set(numbering.overlapped(Push((), ("c",), None))) == {anna, ben}
    assert numbering.overlapped(Push((), ("c", "anna", "x", "y"), 1)) == (anna,)
    assert numbering.overlapped(Push((), ("d",), 1)) == ()
    assert numbering.overlapped(Push((), (), {"d": 1, "c/ben/x": 2}, merge=True)) == (ben,)


PIECES = some.one_of(
    some.binary(max_size=40),
    some.builds(
        lambda *given: b"\x03" + encode_update(*given), some.integers(0, 3), some.integers(0, 9), some.binary(max_size=9)
    ),
    some.builds(encode_path, some.integers(0, 9), some.integers(0, 3), some.text(max_size=5)),
)


@given(some.lists(some.tuples(some.booleans(), PIECES), max_size=30))
def test_whatever_the_bytes_nothing_raises_and_no_number_goes_back(pieces: list[tuple[bool, bytes]]) -> None:
    client = Client(AGREED)
    for is_datagram, piece in pieces:
        before = {key: known.heard for key, known in client.heard._known.items()}
        if is_datagram:
            client.heard.receive(piece)
            assert all(client.heard._known[key].heard >= heard for key, heard in before.items())
        else:
            client.heard.agree(piece)
    assert len(client.heard._known) <= len(pieces) + 2


def test_a_server_that_tells_of_paths_without_end_makes_nobody_grow() -> None:
    client = Client()
    for index in range(3 * DATAGRAM_PATHS_MAX):
        client.heard.agree(encode_path(1, index, f"p{index}"))
    assert len(client.heard._known) == DATAGRAM_PATHS_MAX
    client.heard.agree(encode_path(1, 0, "again"))
    assert client.heard._known[0].path == "again"
