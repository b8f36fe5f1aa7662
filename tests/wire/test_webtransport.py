"""WebTransport as bytes: frames of the stream, and datagrams that are lost, doubled and late."""

from __future__ import annotations

import json
import random

import pytest

from meadowlark.limits import CLIENT_FRAME_BYTES_MAX, DATAGRAM_PATHS_MAX
from meadowlark.wire.drops import Drop
from meadowlark.wire.websocket import close_frame, ping_frame, text_frames
from meadowlark.wire.webtransport import (
    PATH_BYTES_MAX,
    Datagrams,
    Frame,
    StreamFrames,
    encode_datagram,
    encode_fence,
    encode_number,
    encode_path,
)


def frames_of(*pieces: bytes) -> tuple[list[Frame], StreamFrames]:
    stream, frames = StreamFrames(), list[Frame]()
    for piece in pieces:
        stream.receive(piece, frames)
    return frames, stream


def told(datagrams: Datagrams, *packets: bytes) -> list[tuple[str, object]]:
    """Path and value of the messages that `packets` become."""
    messages: list[bytes] = []
    for packet in packets:
        datagrams.receive(packet, messages, [])
    bodies = [json.loads(message)["d"] for message in messages]
    assert all(body["a"] == "v" and "r" not in body for body in bodies)
    return [(body["b"]["p"], body["b"]["d"]) for body in bodies]


def agreed(*paths: str) -> Datagrams:
    datagrams = Datagrams()
    for number, path in enumerate(paths):
        assert datagrams.agree(encode_path(1, number, path)) == ""
    return datagrams


class TestStream:
    TEXT = text_frames(b'{"t":"c"}') + text_frames(b"x" * 300) + b"\x82\x03abc"
    EXPECTED = (Frame(True, b'{"t":"c"}'), Frame(True, b"x" * 300), Frame(False, b"abc"))

    def test_frames_come_whole_and_cut_at_every_byte(self) -> None:
        assert frames_of(self.TEXT)[0] == list(self.EXPECTED)
        for cut in range(len(self.TEXT)):
            assert frames_of(self.TEXT[:cut], self.TEXT[cut:])[0] == list(self.EXPECTED)
        assert frames_of(*[bytes([byte]) for byte in self.TEXT])[0] == list(self.EXPECTED)

    def test_pings_are_no_frames_and_a_close_is_the_last(self) -> None:
        frames, stream = frames_of(ping_frame() + text_frames(b"a") + close_frame(1000) + text_frames(b"b"))
        assert frames == [Frame(True, b"a")]
        assert stream.is_closed
        assert not stream.fault

    @pytest.mark.parametrize(
        "wrong",
        [
            b"\x81\x85abcd",
            b"\x01\x01a",
            b"\x81\x7f" + bytes(8),
            b"\x81\x7e" + (CLIENT_FRAME_BYTES_MAX + 1).to_bytes(2, "big"),
            b"GET / HTTP/1.1\r\n",
        ],
    )
    def test_what_no_client_sends_ends_the_stream(self, wrong: bytes) -> None:
        frames, stream = frames_of(text_frames(b"a") + wrong, text_frames(b"b"))
        assert frames == [Frame(True, b"a")]
        assert stream.fault


class TestDatagrams:
    def test_several_updates_are_a_few_bytes_in_one_packet(self) -> None:
        packet = encode_datagram(7, [(0, b'{"x":1,"y":2}'), (1, b"true")])
        assert packet == b'\x07\x00\x0d{"x":1,"y":2}\x01\x04true'
        assert told(agreed("a/b", "c"), packet) == [("a/b", {"x": 1, "y": 2}), ("c", True)]

    def test_a_late_packet_does_not_overwrite_a_newer_value(self) -> None:
        first, second, other = encode_datagram(1, [(0, b"1")]), encode_datagram(2, [(0, b"2")]), encode_datagram(3, [(1, b"3")])
        assert told(agreed("a", "b"), other, second, first, second) == [("b", 3), ("a", 2)]

    @pytest.mark.parametrize(
        ("packet", "drops"),
        [
            (encode_datagram(3, [(0, b"1"), (0, b"2")]), [Drop.LATE]),
            (encode_datagram(2, [(0, b"1"), (1, b"1"), (7, b"1")]), [Drop.LATE, Drop.LATE, Drop.UNKNOWN]),
            (encode_datagram(3, [(0, b"{"), (1, b'"\xff"'), (1, b"1")]), [Drop.MALFORMED] * 2),
            (encode_datagram(3, [(0, b"1"), (1, b"1")])[:-1], [Drop.MALFORMED]),
            (encode_datagram(3, [(0, b"1")]) + b"\x80", [Drop.MALFORMED]),
            (encode_datagram(3, [(0, b"1")]) + b"\x01\x80", [Drop.MALFORMED]),
            (b"\x80", [Drop.MALFORMED]),
            (b"", [Drop.MALFORMED]),
        ],
    )
    def test_why_something_is_dropped_is_said(self, packet: bytes, drops: list[Drop]) -> None:
        datagrams = agreed("a", "b")
        told(datagrams, encode_datagram(2, [(0, b"0"), (1, b"0")]))
        found: list[Drop] = []
        datagrams.receive(packet, [], found)
        assert found == drops

    def test_a_number_that_means_nothing_is_dropped(self) -> None:
        assert told(Datagrams(), encode_datagram(1, [(0, b"1")])) == []

    def test_a_number_means_its_path_from_a_sequence_on(self) -> None:
        datagrams = agreed("a")
        assert datagrams.agree(encode_path(5, 0, "b")) == ""
        assert told(datagrams, encode_datagram(4, [(0, b"1")]), encode_datagram(5, [(0, b"2")])) == [("b", 2)]

    def test_a_fence_makes_what_was_sent_before_it_void(self) -> None:
        datagrams = agreed("a")
        assert datagrams.agree(encode_fence(4)) == ""
        assert datagrams.agree(encode_fence(2)) == "", "an older one changes nothing"
        assert told(datagrams, encode_datagram(4, [(0, b"1")]), encode_datagram(5, [(0, b"2")])) == [("a", 2)]

    @pytest.mark.parametrize("value", [b"", b"{", b"1}}},{", b'1,"x":2', b"nul", b"[" * 100_000, b'"\xff"'])
    def test_what_is_not_one_value_is_dropped(self, value: bytes) -> None:
        assert told(agreed("a"), encode_datagram(1, [(0, value), (0, b"1")])) == [("a", 1)]

    def test_paths_are_quoted(self) -> None:
        assert told(agreed('a"},"b'), encode_datagram(1, [(0, b"1")])) == [('a"},"b', 1)]

    @pytest.mark.parametrize(
        "wrong",
        [
            b"\x01",
            b"\x01\x81",
            b"\x09\x01",
            b"\x01\x01" + encode_number(DATAGRAM_PATHS_MAX) + b"a",
            b"\x01\x01\x00" + b"a" * (PATH_BYTES_MAX + 1),
            b"\x01\x01\x00\xff",
            b"\x02" + b"\x80" * 9,
        ],
    )
    def test_an_agreement_that_means_nothing_is_refused(self, wrong: bytes) -> None:
        assert Datagrams().agree(wrong)

    def test_an_empty_frame_is_how_a_client_begins(self) -> None:
        assert Datagrams().agree(b"") == ""

    @pytest.mark.parametrize("seed", range(20))
    def test_whatever_the_network_does_values_converge_and_never_go_back(self, seed: int) -> None:
        """A writer of rising numbers; packets are lost, doubled and shuffled, and what stays is said once more by the stream."""
        chance = random.Random(seed)
        datagrams = agreed("a", "b", "c")
        shown: dict[str, int] = {}
        written = {"a": 0, "b": 0, "c": 0}
        under_way: list[bytes] = []

        def arrive(packet: bytes) -> None:
            for path, value in told(datagrams, packet):
                assert isinstance(value, int)
                assert value > shown.get(path, 0), "a value went back"
                shown[path] = value

        sequence = 0
        for _ in range(300):
            sequence += 1
            updates: list[tuple[int, bytes]] = []
            for number, path in enumerate("abc"):
                if chance.random() < 0.6:
                    written[path] += 1
                    updates.append((number, b"%d" % written[path]))
            packet = encode_datagram(sequence, updates)
            under_way += [packet] * chance.choice([0, 1, 1, 1, 2])
            chance.shuffle(under_way)
            while len(under_way) > 6:
                arrive(under_way.pop())
            if chance.random() < 0.05:  # The client settles: the fence, then the values, in order.
                assert datagrams.agree(encode_fence(sequence)) == ""
                for path, value in written.items():
                    assert value >= shown.get(path, 0)
                    shown[path] = value
        assert datagrams.agree(encode_fence(sequence)) == ""
        shown.update(written)
        for packet in under_way:
            arrive(packet)
        assert shown == written


def test_what_the_stream_repeats_does_not_undo_a_newer_value_that_overtook_it() -> None:
    datagrams = agreed("/a", "/ü/b")

    def volatile(path: str) -> bytes:
        return f'{{"t":"d","d":{{"a":"v","b":{{"p":"{path}","d":1}}}}}}'.encode()

    assert not datagrams.has_overtaken(volatile("/a")), "nothing came in a datagram"
    datagrams.receive(encode_datagram(7, [(1, b"2")]), [], [])
    datagrams.agree(encode_fence(6))
    assert datagrams.has_overtaken(volatile("/ü/b"))
    assert datagrams.has_overtaken(volatile("/\\u00fc/b")), "however it is written"
    assert not datagrams.has_overtaken(volatile("/a")), "of that nothing newer came"
    assert not datagrams.has_overtaken(volatile("/ü/b").replace(b'"v"', b'"p"')), "what lasts is carried out"
    for broken in (b'{"t":"d","d":{"a":"v",', b'{"t":"d","d":{"a":"v","b":{}}}', b'{"t":"d","d":{"a":"v","b":{"p":7}}}'):
        assert not datagrams.has_overtaken(broken)
    datagrams.agree(encode_fence(7))
    assert not datagrams.has_overtaken(volatile("/ü/b")), "said after that datagram"
