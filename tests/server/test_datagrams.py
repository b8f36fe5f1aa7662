"""Volatile values towards clients in datagrams, from a real database to a client, over a network that loses and shuffles."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from meadowlark.engine import Client, Command, Database, Leave, Listen, Open, Push, Set, Unlisten, Update
from meadowlark.server.datagrams import DatagramOutbox, Settling
from meadowlark.server.families import Fate
from meadowlark.server.metrics import Metrics
from meadowlark.server.outbox import Outbox, Turn
from meadowlark.tree import Path, Tree, parse_path, plain
from meadowlark.wire import encode_push
from meadowlark.wire.numbering import FORGET, Heard, Numbering
from meadowlark.wire.webtransport import UPDATE_BYTES_MAX, Frame, StreamFrames

ROOM = 1100


class Loop:
    """Callbacks that were asked for, until `turn`; timers are called by the tests."""

    def __init__(self) -> None:
        self.soon: list[Callable[[], None]] = []
        self.later: list[Callable[[], None]] = []

    def call_soon(self, callback: Callable[[], None]) -> None:
        self.soon.append(callback)

    def call_later(self, seconds: float, callback: Callable[[], None]) -> None:
        self.later.append(callback)

    def turn(self) -> None:
        soon, self.soon = self.soon, []
        for callback in soon:
            callback()

    def tick(self) -> None:
        later, self.later = self.later, []
        for callback in later:
            callback()
        self.turn()


class Reader(Client):
    """Both ends of one client: what the server does for it, and the tree that it makes of what arrives."""

    __slots__ = (
        "datagrams",
        "heard",
        "is_woken",
        "leaves",
        "mirror",
        "outbox",
        "places",
        "seen",
        "stream",
        "text_count",
        "written",
    )  # fmt: skip
    is_session = True

    def __init__(self, room: Room, name: str) -> None:
        super().__init__(name)
        self.written: list[bytes] = []
        """To the stream, and not arrived."""
        self.outbox = Outbox(room.turn, self.written.append, self.fail)
        self.is_woken = False
        self.datagrams = DatagramOutbox(room.numbering, self.outbox, room.settling, room.metrics, self.wake)
        self.stream = StreamFrames()
        self.heard = Heard(self.told)
        self.mirror = Tree()
        self.places: set[Path] = set()
        self.leaves: dict[Path, int] = {}
        self.seen: dict[Path, int] = {}
        """By place, the highest number that stood there."""
        self.text_count = 0

    def fail(self, reason: str) -> None:
        raise AssertionError(reason)

    def wake(self) -> None:
        self.is_woken = True

    # The server's side, as in webtransport.py

    def deliver(self, push: Push) -> None:
        if self.datagrams.put(push):
            return
        is_apart = self.datagrams.before(push)
        if push.volatile:
            self.outbox.put_volatile(push.path, encode_push(push))
        else:
            self.outbox.put(encode_push(push))
        if is_apart:
            self.datagrams.after()

    def packets(self) -> Iterator[bytes]:
        while (packet := self.datagrams.next(ROOM)) is not None:
            yield packet

    # The client's

    def arrive(self, data: bytes) -> None:
        """Of the stream."""
        frames: list[Frame] = []
        self.stream.receive(data, frames)
        assert not self.stream.fault
        for frame in frames:
            if not frame.is_text:
                self.heard.agree(frame.payload)
                continue
            self.text_count += 1
            body = json.loads(frame.payload)["d"]
            path = parse_path(body["b"]["p"])
            for relative, value in body["b"]["d"].items() if body["a"] == "m" else [("", body["b"]["d"])]:
                self.show((*path, *parse_path(relative)), value)

    def told(self, path: str, value: bytes) -> None:
        self.show(parse_path(path), json.loads(value) if value else None)

    def show(self, path: Path, value: Any) -> None:
        if not any(path[: len(listen)] == listen or listen[: len(path)] == path for listen in self.places):
            return
        self.mirror.set(path, value)
        leaves = dict(_leaves((), self.mirror.root))
        for place, number in leaves.items():
            if self.leaves.get(place) != number:
                assert number > self.seen.get(place, 0), f"{self.id}: {place} went back to {number} from {self.seen[place]}"
                self.seen[place] = number
        self.leaves = leaves

    def begin(self) -> None:
        self.seen.clear()  # What it is told first may be what it knew once.


def _leaves(path: Path, node: Any) -> Iterator[tuple[Path, int]]:
    if isinstance(node, dict):
        for key, child in node.items():
            yield from _leaves((*path, key), child)
    elif node is not None:
        yield path, node


class Room:
    """A database with readers."""

    def __init__(self) -> None:
        self.loop = Loop()
        loop: Any = self.loop
        self.turn = Turn(loop)
        self.metrics = Metrics()
        self.settling = Settling(loop)
        self.numbering = Numbering()
        self.database = Database("test", Open())

    def reader(self, name: str = "reader", *listens: str) -> Reader:
        reader = Reader(self, name)
        for path in listens:
            self.listen(reader, path)
        return reader

    def listen(self, reader: Reader, path: str) -> None:
        reader.places.add(parse_path(path))
        reader.begin()
        reader.datagrams.begin()
        self.do(Listen(reader, 1, parse_path(path), ""))
        reader.datagrams.after()

    def unlisten(self, reader: Reader, path: str) -> None:
        reader.places.discard(parse_path(path))
        reader.datagrams.begin()
        self.do(Unlisten(reader, 1, parse_path(path)))
        reader.datagrams.after()

    def do(self, command: Command) -> None:
        out: list[Any] = []
        self.database.apply(command, 0, out)
        for effect in out:
            if isinstance(effect, Push):
                for listener in effect.listeners:
                    assert isinstance(listener, Reader)
                    listener.deliver(effect)
        self.numbering.check()

    def settle(self, *readers: Reader) -> None:
        """Nothing more is written, and the stream brings what it has."""
        self.loop.turn()
        for reader in readers:
            list(reader.packets())
        for _ in range(3):
            self.loop.tick()
        for reader in readers:
            reader.arrive(b"".join(reader.written))
            reader.written.clear()


WRITER = Client("writer")
WRITER_SESSION = type("Session", (Client,), {"is_session": True, "__slots__": ()})


def volatile(path: str, value: Any, writer: Client = WRITER) -> Set:
    return Set(writer, None, parse_path(path), value, volatile=True)


def deliver(room: Room, reader: Reader) -> list[bytes]:
    """A turn ends, and the stream arrives; the datagrams that leave."""
    room.loop.turn()
    packets = list(reader.packets())
    reader.arrive(b"".join(reader.written))
    reader.written.clear()
    return packets


def test_the_first_value_of_a_path_goes_on_the_stream_and_the_next_in_a_few_bytes() -> None:
    room = Room()
    reader = room.reader("reader", "c")
    room.do(volatile("c/anna", {"x": 1}))
    assert deliver(room, reader) == []
    assert reader.mirror.root == {"c": {"anna": {"x": 1}}}
    room.do(volatile("c/anna", {"x": 2}))
    assert deliver(room, reader) == [b"\x01\x00\x02\x07" + b'{"x":2}'], "epoch, number, sequence, length"
    assert reader.text_count == 0


def test_values_that_wait_are_the_last_of_each_path_and_go_together() -> None:
    room = Room()
    reader = room.reader("reader", "c")
    for number in range(1, 5):
        room.do(volatile("c/anna", number))
        room.do(volatile("c/ben", number * 10))
    [packet] = deliver(room, reader)
    assert packet == b"\x01\x00\x04\x014\x01\x04\x0240"
    reader.heard.receive(packet)
    assert reader.mirror.root == {"c": {"anna": 4, "ben": 40}}
    assert room.metrics.volatile_superseded == 4


def test_all_listeners_share_one_encoding() -> None:
    room = Room()
    readers = [room.reader(f"reader{number}", "c") for number in range(3)]
    for number in (1, 2):
        room.do(volatile("c/anna", number))
    assert len({id(update) for reader in readers for update in reader.datagrams._fresh.values()}) == 1
    assert len(room.numbering._by_path) == 1


def test_a_value_that_stands_is_said_once_more_on_the_stream() -> None:
    room = Room()
    reader = room.reader("reader", "c")
    room.do(volatile("c/anna", 1))
    deliver(room, reader)
    room.do(volatile("c/anna", 2))
    deliver(room, reader)  # And lost.
    assert reader.mirror.root == {"c": {"anna": 1}}
    room.settle(reader)
    assert reader.mirror.root == {"c": {"anna": 2}}
    assert room.metrics.datagram_updates[Fate.REPEATED] == 1
    room.settle(reader)
    assert room.metrics.datagram_updates[Fate.REPEATED] == 1
    assert not room.loop.later, "nobody looks where nothing is"


def test_a_value_in_motion_is_never_repeated() -> None:
    room = Room()
    reader = room.reader("reader", "c")
    for number in range(1, 20):
        room.do(volatile("c/anna", number))
        deliver(room, reader)
        room.loop.tick()
    assert room.metrics.datagram_updates[Fate.REPEATED] == 0


def test_a_datagram_that_a_lasting_value_overtook_is_void_and_one_that_overtakes_it_too() -> None:
    room = Room()
    reader = room.reader("reader", "c")
    room.do(volatile("c/anna", {"x": 1}))
    deliver(room, reader)
    room.do(volatile("c/anna", {"x": 2}))
    late = deliver(room, reader)
    room.do(Set(WRITER, 1, parse_path("c/anna/y"), 3))
    deliver(room, reader)
    reader.heard.receive(late[0])
    assert reader.mirror.root == {"c": {"anna": {"x": 2, "y": 3}}}, "settled before, and not undone"
    room.do(Set(WRITER, 1, parse_path("c/anna"), {"x": 4}))
    room.loop.turn()
    room.do(volatile("c/anna", {"x": 5}))
    early = list(reader.packets())
    reader.heard.receive(early[0])
    assert plain(reader.mirror.root) == {"c": {"anna": {"x": 2, "y": 3}}}
    room.settle(reader)
    assert reader.mirror.root == {"c": {"anna": {"x": 5}}}


def test_what_does_not_concern_a_path_keeps_nothing_apart() -> None:
    room = Room()
    reader = room.reader("reader", "")
    room.do(volatile("c/anna", 1))
    deliver(room, reader)
    epoch = reader.datagrams._epoch
    room.do(Set(WRITER, 1, parse_path("chat/1"), "hello"))
    room.do(Update(WRITER, 1, (), {"chat/2": "again", "log": 1}))
    assert reader.datagrams._epoch == epoch
    room.do(Update(WRITER, 1, (), {"chat/2": "again", "c/anna": 2}))
    assert reader.datagrams._epoch == epoch + 1


def test_the_end_of_a_writer_goes_on_the_stream_and_its_datagrams_do_not_undo_it() -> None:
    room = Room()
    reader, writer = room.reader("reader", "c"), WRITER_SESSION("w")
    for number in (1, 2):
        room.do(volatile("c/anna", number, writer))
        late = deliver(room, reader)
    room.do(Leave(writer))
    deliver(room, reader)
    assert reader.mirror.root is None
    reader.heard.receive(late[0])
    assert reader.mirror.root is None
    room.do(volatile("c/anna", 3, writer))
    [packet] = deliver(room, reader)
    reader.heard.receive(packet)
    assert reader.mirror.root == {"c": {"anna": 3}}


def test_a_value_too_large_for_a_datagram_goes_on_the_stream() -> None:
    room = Room()
    reader = room.reader("reader", "c")
    text = "x" * UPDATE_BYTES_MAX
    late: list[bytes] = []
    for value in ("short", "shorter", text):
        room.do(volatile("c/anna", value))
        late += list(reader.packets())
    room.loop.turn()
    reader.seen.clear()
    reader.mirror = Tree()
    shown: list[Any] = []
    reader.heard = Heard(lambda path, value: shown.append(json.loads(value)))
    for frame in _frames(reader.written):
        if not frame.is_text:
            reader.heard.agree(frame.payload)
    for packet in late:
        reader.heard.receive(packet)
    assert shown == ["short", text]


def _frames(data: list[bytes]) -> list[Frame]:
    frames: list[Frame] = []
    StreamFrames().receive(b"".join(data), frames)
    return frames


def test_nothing_overtakes_what_is_held() -> None:
    room = Room()
    reader = room.reader("reader", "c")
    room.do(volatile("c/anna", 1))
    deliver(room, reader)
    place = reader.outbox.hold()
    for number in (2, 3):
        room.do(volatile("c/anna", number))
    assert deliver(room, reader) == []
    reader.outbox.release(place, b"\x81\x02{}")
    room.loop.turn()
    assert list(reader.packets()) == [b"\x01\x00\x03\x013"]


def test_while_the_stream_stands_still_nothing_piles_up_behind_it() -> None:
    room = Room()
    reader = room.reader("reader", "c")
    room.do(volatile("c/anna", 1))
    deliver(room, reader)
    reader.outbox.pause(0.0)
    for number in range(2, 200):
        room.do(volatile("c/anna", number))
        deliver(room, reader)
        for _ in range(3):
            room.loop.tick()
    assert reader.outbox.waiting_bytes == 0
    reader.outbox.resume()
    room.settle(reader)
    assert reader.mirror.root == {"c": {"anna": 199}}


def test_paths_that_contain_others_are_told_on_the_stream() -> None:
    room = Room()
    reader = room.reader("reader", "c")
    for path, value in [("c/anna", {"x": 1}), ("c/anna", {"x": 2}), ("c/anna/x", 3), ("c/anna", {"x": 4}), ("c/anna/x", 5)]:
        room.do(volatile(path, value))
        for packet in deliver(room, reader):
            reader.heard.receive(packet)
    assert reader.mirror.root == {"c": {"anna": {"x": 5}}}


def test_who_was_told_very_many_numbers_forgets_them_all() -> None:
    room = Room()
    reader = room.reader("reader", "c")
    for number in range(1, 1027):
        room.do(volatile(f"c/{number}", number))
    room.loop.turn()
    assert b"".join(reader.written).count(FORGET) == 1
    assert len(reader.datagrams._told) == 2


def test_numbers_that_nobody_uses_make_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("meadowlark.wire.numbering.NUMBERS_MAX", 10)
    monkeypatch.setattr("meadowlark.wire.numbering._LOOK_UPDATES", 40)
    room = Room()
    reader = room.reader("reader", "c")
    for number in range(1, 500):
        room.do(volatile(f"c/{number % 97 if number < 200 else 5}", number))
        for packet in deliver(room, reader):
            reader.heard.receive(packet)
    for number in range(1000, 1100):
        room.do(volatile("c/new", number))
        deliver(room, reader)
    assert parse_path("c/new") in room.numbering._by_path
    room.settle(reader)
    assert reader.mirror.root == room.database.tree.root


@pytest.mark.parametrize("seed", range(60))
def test_whatever_the_network_does_values_converge_and_never_go_back(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Volatile and lasting writes at places within one another, readers that come and go, a stream that is late, and datagrams
    that are lost, doubled and shuffled. Every number written is higher than all before."""
    chance = random.Random(seed)
    monkeypatch.setattr("meadowlark.wire.numbering.CONFLICTS_MAX", seed % 3)
    room = Room()
    readers = [room.reader(f"reader{index}", *listens) for index, listens in enumerate([["c"], [""], ["c/a", "c"], ["c/b/x"]])]
    writers = [WRITER_SESSION(f"writer{index}") for index in range(3)]
    under_way: list[tuple[Reader, bytes]] = []
    has_nested = seed % 2 == 0
    number = 0

    def leaf_or_map() -> Any:
        nonlocal number
        number += 1
        return {"x": number, "y": number} if chance.random() < 0.6 else number

    for _ in range(400):
        what = chance.random()
        place = chance.choice(["c/a", "c/b", "c/d"])
        if what < 0.72:
            if has_nested and chance.random() < 0.1:
                number += 1
                room.do(volatile(place + "/x", number, chance.choice(writers)))
            else:
                room.do(volatile(place, leaf_or_map(), chance.choice(writers)))
        elif what < 0.76:
            number += 1
            room.do(Set(WRITER, 1, parse_path(chance.choice([place, f"{place}/x", "other"])), number))
        elif what < 0.78:
            number += 1
            room.do(Update(WRITER, 1, (), {place: number, "other": number}))
        elif what < 0.79:
            number += 1
            room.do(Set(WRITER, 1, ("c",), {"a": number}))
        elif what < 0.81:
            room.do(Set(WRITER, 1, parse_path(place), None))
        elif what < 0.83:
            room.do(Leave(chance.choice(writers)))
        elif what < 0.85:
            reader = chance.choice(readers)
            path = chance.choice(["c", "c/a", "c/b"])
            if parse_path(path) not in reader.places:
                room.listen(reader, path)
        elif what < 0.9:
            room.loop.tick()
        room.loop.turn()
        for reader in readers:
            if chance.random() < 0.7:
                for packet in reader.packets():
                    under_way += [(reader, packet)] * chance.choice([0, 1, 1, 1, 2])
            if reader.written and chance.random() < 0.3:
                for data in reader.written[: (count := chance.randrange(len(reader.written)) + 1)]:
                    reader.arrive(data)
                del reader.written[:count]
        chance.shuffle(under_way)
        while len(under_way) > 12:
            reader, packet = under_way.pop()
            reader.heard.receive(packet)
    room.settle(*readers)
    for reader, packet in under_way:
        reader.heard.receive(packet)
    for reader in readers:
        for path in reader.places:
            assert plain(reader.mirror.get(path)) == plain(room.database.tree.get(path)), reader.id
    assert room.metrics.datagram_updates[Fate.SENT] > 100


def test_a_bound_for_how_often_a_client_is_told_holds_for_datagrams_too() -> None:
    room = Room()
    now = 1
    room.turn.stopwatch.clock = lambda: now
    reader = room.reader("reader", "c")
    room.do(volatile("c/anna", 1))
    deliver(room, reader)
    reader.outbox.keep_pace(10)
    room.do(volatile("c/anna", 2))
    assert reader.is_woken
    assert len(deliver(room, reader)) == 1, "after a pause at once"
    reader.is_woken = False
    for number in range(3, 9):
        now += 16_000_000
        room.do(volatile("c/anna", number))
        assert deliver(room, reader) == []
    assert not reader.is_woken
    now += 16_000_000
    room.loop.tick()
    assert reader.is_woken
    [packet] = deliver(room, reader)
    reader.heard.receive(packet)
    assert reader.mirror.root == {"c": {"anna": 8}}
