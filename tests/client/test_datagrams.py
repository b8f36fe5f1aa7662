"""What a client says over a WebTransport, through a network of the test's own: datagrams are lost, doubled and shuffled, and the
stream comes when it likes. The server's end is its own (wire/webtransport.py)."""

from __future__ import annotations

import random
from typing import Any

import orjson
import pytest

from meadowlark.client.datagrams import Saying
from meadowlark.client.protocol import encode_request, request_frames, volatile_frames
from meadowlark.limits import DATAGRAM_PATHS_MAX
from meadowlark.wire.webtransport import DATAGRAM_BYTES_MAX, UPDATE_BYTES_MAX, Datagrams, Frame, StreamFrames


class Ends:
    """A client's end, and a server's that notes what it is told of each path."""

    def __init__(self) -> None:
        self.stream = bytearray()
        self.saying = Saying(self.stream.extend)
        self._frames = StreamFrames()
        self._datagrams = Datagrams()
        self.told: dict[str, list[Any]] = {}
        self.by_datagram = 0
        self.saying.begin()

    def say(self, path: str, value: Any) -> None:
        for frame in volatile_frames(path, value):
            self.saying.say(frame)

    def ask(self, path: str, value: Any) -> None:
        for frame in request_frames(1, encode_request("p", {"p": path, "d": value})):
            self.saying.say(frame)

    def bring(self, count: int) -> None:
        """So many bytes of the stream arrive."""
        frames: list[Frame] = []
        self._frames.receive(bytes(self.stream[:count]), frames)
        del self.stream[:count]
        for frame in frames:
            if frame.is_text:
                if not self._datagrams.has_overtaken(frame.payload):
                    self._note(frame.payload)
            else:
                assert self._datagrams.agree(frame.payload) == ""
        assert not self._frames.fault

    def bring_datagram(self, datagram: bytes) -> None:
        messages: list[bytes] = []
        self._datagrams.receive(datagram, messages, [])
        self.by_datagram += len(messages)
        for message in messages:
            self._note(message)

    def _note(self, message: bytes) -> None:
        body = orjson.loads(message)["d"]["b"]
        self.told.setdefault(body["p"], []).append(body["d"])


@pytest.mark.parametrize("seed", range(40))
def test_values_converge_and_never_go_back(seed: int) -> None:
    chance = random.Random(seed)
    ends = Ends()
    under_way: list[bytes] = []
    last: dict[str, int] = {}
    for number in range(1, 600):
        what = chance.random()
        path = f"/c/{chance.randrange(4)}"
        if what < 0.5:
            ends.say(path, number)
            last[path] = number
        elif what < 0.55:
            ends.ask("/elsewhere", number)
            last["/elsewhere"] = number
        elif what < 0.6:
            ends.saying.tick()
        elif what < 0.75:
            while (datagram := ends.saying.next(DATAGRAM_BYTES_MAX)) is not None:
                # A third is lost, a third comes twice.
                under_way += [datagram] * chance.randrange(3)
        elif what < 0.85:
            ends.bring(chance.randrange(200))
        elif under_way:
            ends.bring_datagram(under_way.pop(chance.randrange(len(under_way))))
    ends.saying.tick()
    ends.saying.tick()
    assert ends.saying.is_settled
    while ends.stream or under_way:
        if under_way and chance.random() < 0.5:
            ends.bring_datagram(under_way.pop(chance.randrange(len(under_way))))
        else:
            ends.bring(100)
    assert ends.by_datagram > 10
    for path, numbers in ends.told.items():
        assert numbers == sorted(numbers), f"{path} went back"
        assert numbers[-1] == last[path]


def test_a_value_of_a_new_path_or_that_is_too_large_goes_on_the_stream() -> None:
    ends = Ends()
    ends.say("/a", 1)
    assert ends.saying.next(DATAGRAM_BYTES_MAX) is None
    ends.say("/a", "x" * UPDATE_BYTES_MAX)
    assert ends.saying.next(DATAGRAM_BYTES_MAX) is None
    ends.say("/a", 2)
    datagram = ends.saying.next(DATAGRAM_BYTES_MAX)
    assert datagram is not None
    ends.bring(10_000)
    ends.bring_datagram(datagram)
    assert ends.told == {"/a": [1, "x" * UPDATE_BYTES_MAX, 2]}
    assert ends.by_datagram == 1


def test_of_values_that_wait_the_last_leaves_and_no_datagram_is_too_large() -> None:
    ends = Ends()
    for path in range(50):
        ends.say(f"/{path}", 0)
    for number in range(1, 20):
        for path in range(50):
            ends.say(f"/{path}", f"{number}".rjust(100, "0"))
    ends.bring(100_000)
    sizes = []
    while (datagram := ends.saying.next(DATAGRAM_BYTES_MAX)) is not None:
        sizes.append(len(datagram))
        ends.bring_datagram(datagram)
    assert ends.by_datagram == 50, "each path once, with its last value"
    assert max(sizes) <= DATAGRAM_BYTES_MAX
    assert len(sizes) <= 7, "several to a packet"


def test_paths_without_end_do_not_grow() -> None:
    ends = Ends()
    for path in range(3 * DATAGRAM_PATHS_MAX):
        ends.say(f"/{path}", path)
        ends.say(f"/{path}", path + 0.5)
        ends.bring(100_000)
        while (datagram := ends.saying.next(DATAGRAM_BYTES_MAX)) is not None:
            ends.bring_datagram(datagram)
        if path % 100 == 0:
            ends.saying.tick()
    assert len(ends.saying._numbers) == DATAGRAM_PATHS_MAX
    assert all(numbers[-1] == int(path[1:]) + 0.5 for path, numbers in ends.told.items())
    assert len(ends.told) == 3 * DATAGRAM_PATHS_MAX
