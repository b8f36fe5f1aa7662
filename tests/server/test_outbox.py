"""Frames gather, leave once a turn, wait for a client that is full, and end a client that stays full."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from meadowlark.limits import OUTBOX_BYTES_MAX, OUTBOX_STALL_SECONDS, OUTBOXES_BYTES_MAX
from meadowlark.server.families import Slow
from meadowlark.server.lanes import SHARE_NANOSECONDS, Lane
from meadowlark.server.outbox import (
    LARGE_PLACE_BYTES,
    LARGE_TURN_BYTES,
    WRITES_WHOLE_MAX,
    Outbox,
    Turn,
)
from meadowlark.server.stopwatch import Stopwatch


class Loop:
    """Only `call_soon`; `turn()` runs what was asked for."""

    def __init__(self) -> None:
        self.soon: list[Callable[[], None]] = []

    def call_soon(self, callback: Callable[[], None]) -> None:
        self.soon.append(callback)

    def turn(self) -> None:
        soon, self.soon = self.soon, []
        for callback in soon:
            callback()


class Made:
    def __init__(self) -> None:
        self.loop = Loop()
        self.written: list[bytes] = []
        self.reasons: list[str] = []
        loop: Any = self.loop
        self.turn = Turn(loop)
        self.outbox = Outbox(self.turn, self.written.append, self.reasons.append)


@pytest.fixture
def made() -> Made:
    return Made()


def test_frames_of_one_turn_leave_in_one_write_in_order(made: Made) -> None:
    for frame in (b"a", b"b", b"c"):
        made.outbox.put(frame)
    assert made.written == []
    made.loop.turn()
    assert made.written == [b"abc"]
    assert made.outbox.waiting_bytes == 0


def test_a_turn_with_nothing_writes_nothing(made: Made) -> None:
    made.outbox.put(b"a")
    made.loop.turn()
    made.loop.turn()
    assert made.written == [b"a"]


def test_a_paused_client_gets_all_that_waited_when_it_takes_again(made: Made) -> None:
    made.outbox.pause(now=0.0)
    made.outbox.put(b"a")
    made.loop.turn()
    made.outbox.put(b"b")
    made.loop.turn()
    assert made.written == []
    made.outbox.resume()
    assert made.written == [b"ab"]


def test_a_client_with_too_much_waiting_is_ended_once_with_a_reason(made: Made) -> None:
    made.outbox.pause(now=0.0)
    frame = bytes(OUTBOX_BYTES_MAX // 2 + 1)
    for _ in range(5):
        made.outbox.put(frame)
    assert len(made.reasons) == 1
    assert "slow client" in made.reasons[0]
    assert made.outbox.waiting_bytes <= 3 * len(frame)


def test_one_frame_beyond_the_bound_passes_when_nothing_else_waits(made: Made) -> None:
    made.outbox.pause(now=0.0)
    made.outbox.put(bytes(OUTBOX_BYTES_MAX * 2))
    assert made.reasons == []


def test_a_client_that_takes_nothing_for_too_long_is_ended(made: Made) -> None:
    made.outbox.pause(now=100.0)
    made.outbox.put(b"a")
    made.outbox.check_stall(now=100.0 + OUTBOX_STALL_SECONDS)
    assert made.reasons == []
    made.outbox.check_stall(now=100.1 + OUTBOX_STALL_SECONDS)
    assert len(made.reasons) == 1


def test_a_client_that_takes_nothing_is_told_only_the_last_of_each_volatile_value(made: Made) -> None:
    made.outbox.put_volatile(("a",), b"[a0]")
    made.loop.turn()
    made.outbox.pause(now=0.0)
    made.outbox.put_volatile(("a",), b"[a1]")
    made.outbox.put_volatile(("b",), b"[b1]")
    made.outbox.put(b"[all]")
    made.outbox.put_volatile(("a",), b"[a2]")
    assert made.outbox.waiting_bytes == len(b"[b1][all][a2]")
    made.outbox.resume()
    assert made.written == [b"[a0]", b"[b1][all][a2]"], "the last comes behind what was told in between"


def test_who_is_told_after_the_end_counts_for_nothing(made: Made) -> None:
    made.outbox.close()
    for _ in range(3):
        made.outbox.put_volatile(("a",), b"[a]")
    assert made.turn.held_bytes == 0
    assert made.turn.stopwatch.metrics.volatile_superseded == 0


def test_volatile_values_of_a_client_that_takes_nothing_cost_no_more_the_longer_it_lasts(made: Made) -> None:
    made.outbox.pause(now=0.0)
    for number in range(100_000):
        made.outbox.put_volatile((str(number % 3),), b"[%05d]" % number)
    assert made.outbox.waiting_bytes == 3 * len(b"[00000]")
    assert len(made.outbox._frames) < 1_000
    assert made.reasons == []
    made.outbox.resume()
    assert made.written == [b"[99997][99998][99999]"]
    made.outbox.pause(now=1.0)
    made.outbox.put_volatile(("0",), b"[again]")
    made.outbox.resume()
    assert made.written[-1] == b"[again]"


def test_a_closed_outbox_takes_and_writes_nothing(made: Made) -> None:
    made.outbox.put(b"a")
    made.outbox.close()
    made.outbox.put(b"b")
    made.loop.turn()
    assert made.written == []


class Clock:
    """Every look at it is a quarter of the time for writes later."""

    def __init__(self) -> None:
        self.now = 1

    def __call__(self) -> int:
        self.now += SHARE_NANOSECONDS // 4
        return self.now


def test_many_writes_of_one_database_are_spread_over_turns_and_others_go_first() -> None:
    loop: Any = Loop()
    turn = Turn(loop, Stopwatch(Clock()))
    turn.lanes.sweep(others=True)
    written: list[str] = []

    def make(name: str, lane: Lane) -> Outbox:
        return Outbox(turn, lambda data: written.append(f"{name} {data.decode()}"), lambda reason: None, lane)

    large, small = Lane(), Lane()
    crowd = [make(str(number), large) for number in range(WRITES_WHOLE_MAX + 100)]
    one = make("one", small)
    stopwatch = turn.stopwatch
    stopwatch.begin(1)
    stopwatch.push_count += 1
    for outbox in crowd:
        outbox.put(b"a")
    one.put(b"a")
    loop.turn()
    assert "one a" in written
    first = len(written)
    assert first < len(crowd) // 2
    assert sum(stopwatch.metrics.broadcast.counts) == 0
    stopwatch.begin(2)
    stopwatch.push_count += 1
    for outbox in crowd:
        outbox.put(b"b")
    one.put(b"b")
    loop.turn()
    assert "one b" in written[first:]
    while loop.soon:
        loop.turn()
    by_client = {name: "".join(line.split()[1] for line in written if line.split()[0] == name) for name in ("one", "0", "150")}
    assert by_client == {"one": "ab", "0": "ab", "150": "ab"}
    assert "150 ab" in written, "what comes while a client waits for its turn leaves with the rest"
    assert sum(stopwatch.metrics.broadcast.counts) == 2
    assert stopwatch.begun_at == 0
    assert not turn.is_due


class Several:
    """Outboxes of one worker, that share `turn`."""

    def __init__(self, count: int) -> None:
        self.loop = Loop()
        loop: Any = self.loop
        self.turn = Turn(loop)
        self.written: list[list[bytes]] = [[] for _ in range(count)]
        self.closed: list[tuple[int, str]] = []
        self.outboxes = [
            Outbox(self.turn, written.append, lambda reason, index=index: self._end(index, reason))  # type: ignore[misc]
            for index, written in enumerate(self.written)
        ]

    def _end(self, index: int, reason: str) -> None:
        self.closed.append((index, reason))
        self.outboxes[index].close()


def test_what_waits_for_all_slow_clients_is_bounded_and_those_that_most_waits_for_go_first() -> None:
    count = OUTBOXES_BYTES_MAX // OUTBOX_BYTES_MAX + 4
    made = Several(count)
    for index, outbox in enumerate(made.outboxes[:-1]):
        outbox.pause(now=0.0)
        outbox.put(bytes(OUTBOX_BYTES_MAX - (count - index) * 1024))
    made.outboxes[-1].put(b"for one who reads")
    assert made.turn.held_bytes > OUTBOXES_BYTES_MAX
    made.loop.turn()
    assert made.written[-1] == [b"for one who reads"]
    assert OUTBOXES_BYTES_MAX * 3 // 4 < made.turn.held_bytes <= OUTBOXES_BYTES_MAX * 7 // 8
    assert [index for index, _ in made.closed] == list(range(count - 2, count - 2 - len(made.closed), -1))
    assert all("all clients of this worker" in reason for _, reason in made.closed)
    assert made.turn.stopwatch.metrics.slow_closes[Slow.WORKER] == len(made.closed)
    for outbox in made.outboxes:
        outbox.close()
    assert made.turn.held_bytes == 0


def test_what_is_held_is_counted_through_every_way_it_can_go() -> None:
    made = Several(1)
    outbox, turn = made.outboxes[0], made.turn
    outbox.put(b"12")
    assert turn.held_bytes == 0
    place = outbox.hold()
    outbox.put(b"345")
    assert turn.held_bytes == 3
    outbox.pause(now=0.0)
    assert turn.held_bytes == 5
    outbox.release(place, b"6")
    assert turn.held_bytes == 6
    outbox.resume()
    assert turn.held_bytes == 0
    outbox.put_large(Message(b"x"), at_once=False)
    outbox.pause(now=0.0)
    outbox.put(b"7")
    assert turn.held_bytes == LARGE_PLACE_BYTES + 1
    outbox.close()
    assert turn.held_bytes == 0
    outbox.put(b"8")
    assert turn.held_bytes == 0


def test_much_that_waited_leaves_in_parts_as_it_is_taken(made: Made) -> None:
    frames = [bytes([number]) * (LARGE_TURN_BYTES // 2) for number in range(6)]
    made.outbox.pause(now=0.0)
    for frame in frames:
        made.outbox.put(frame)
    made.outbox.resume()
    assert made.written == [b"".join(frames[:2])]
    made.outbox.pause(now=1.0)
    made.loop.turn()
    assert len(made.written) == 1
    made.outbox.resume()
    made.loop.turn()
    assert made.written == [b"".join(frames[start : start + 2]) for start in (0, 2, 4)]


def test_last_words_are_written_whole(made: Made) -> None:
    frames = [bytes(LARGE_TURN_BYTES)] * 3
    for frame in frames:
        made.outbox.put(frame)
    assert made.outbox.flush_all() == sum(map(len, frames))
    assert made.outbox.waiting_bytes == 0


def test_the_turn_works_on_a_real_loop() -> None:
    async def run() -> list[bytes]:
        written: list[bytes] = []
        outbox = Outbox(Turn(asyncio.get_running_loop()), written.append, lambda reason: None)
        outbox.put(b"a")
        outbox.put(b"b")
        await asyncio.sleep(0)
        return written

    assert asyncio.run(run()) == [b"ab"]


def test_what_comes_after_a_kept_place_waits_for_its_frame(made: Made) -> None:
    made.outbox.put(b"a")
    place = made.outbox.hold()
    made.outbox.put(b"c")
    made.outbox.put(b"d")
    made.loop.turn()
    assert made.written == [b"a"]
    made.outbox.release(place, b"b")
    made.loop.turn()
    assert made.written == [b"a", b"bcd"]
    made.outbox.put(b"e")
    made.loop.turn()
    assert made.written[-1] == b"e"


@pytest.mark.parametrize("filled_first", [0, 1])
def test_kept_places_leave_in_their_order_however_they_are_filled(made: Made, filled_first: int) -> None:
    places = [made.outbox.hold()]
    made.outbox.put(b"2")
    places.append(made.outbox.hold())
    made.outbox.put(b"4")
    made.outbox.release(places[filled_first], b"13"[filled_first : filled_first + 1])
    made.loop.turn()
    assert made.written == ([b"12"] if filled_first == 0 else [])
    made.outbox.release(places[1 - filled_first], b"31"[filled_first : filled_first + 1])
    made.loop.turn()
    assert b"".join(made.written) == b"1234"


def test_an_outbox_that_ended_meanwhile_takes_no_held_frame(made: Made) -> None:
    place = made.outbox.hold()
    made.outbox.put(b"b")
    made.outbox.close()
    made.outbox.release(place, b"a")
    made.loop.turn()
    assert made.written == []


def test_what_waits_behind_a_kept_place_is_bounded(made: Made) -> None:
    made.outbox.hold()
    frame = b"x" * (OUTBOX_BYTES_MAX // 2 + 1)
    made.outbox.put(frame)
    made.outbox.put(frame)
    assert made.reasons == []
    made.outbox.put(frame)
    assert len(made.reasons) == 1


class Message:
    """A large message; `make` makes it."""

    def __init__(self, *parts: bytes) -> None:
        self.parts: list[bytes] | None = None
        self._parts = list(parts)
        self.waiting: list[Callable[[], None]] = []

    def begin(self, ready: Callable[[], None]) -> None:
        self.waiting.append(ready)

    def make(self) -> None:
        self.parts = self._parts
        for ready in self.waiting:
            ready()


def test_a_large_message_keeps_its_place_while_it_is_made(made: Made) -> None:
    large = Message(b"2", b"3")
    made.outbox.put(b"1")
    made.outbox.put_large(large, at_once=False)
    made.outbox.put(b"4")
    made.loop.turn()
    assert made.written == [b"1"]
    large.make()
    made.loop.turn()
    made.loop.turn()
    assert b"".join(made.written) == b"1234"


def test_a_large_message_is_made_when_its_turn_has_come(made: Made) -> None:
    first, second = Message(b"1"), Message(b"2")
    place = made.outbox.hold()
    made.outbox.put_large(first, at_once=False)
    made.outbox.put_large(second, at_once=False)
    assert not first.waiting
    made.outbox.release(place, b"0")
    assert len(first.waiting) == 1
    assert not second.waiting
    first.make()
    made.loop.turn()
    assert len(second.waiting) == 1
    second.make()
    made.loop.turn()
    assert b"".join(made.written) == b"012"


def test_a_large_message_leaves_a_piece_a_turn_and_stops_while_the_client_is_full(made: Made) -> None:
    parts = [bytes([number]) * (LARGE_TURN_BYTES // 2) for number in range(10)]
    large = Message(*parts)
    made.outbox.put_large(large, at_once=False)
    large.make()
    made.outbox.put(b"end")
    made.loop.turn()
    assert made.written == parts[:2]
    made.outbox.pause(now=0.0)
    made.loop.turn()
    made.loop.turn()
    assert made.written == parts[:2]
    made.outbox.resume()
    while made.loop.soon:
        made.loop.turn()
    assert made.written == [*parts, b"end"]


def test_a_large_message_that_was_made_meanwhile_follows_what_waited_and_left_in_parts(made: Made) -> None:
    frames = [bytes([number]) * (LARGE_TURN_BYTES - 1) for number in range(2)]
    large = Message(b"2", b"3")
    made.outbox.pause(now=0.0)
    for frame in frames:
        made.outbox.put(frame)
    made.outbox.put_large(large, at_once=True)
    large.make()
    made.outbox.resume()
    while made.loop.soon:
        made.loop.turn()
    assert made.written == [b"".join(frames), b"2", b"3"]


def test_a_client_that_asks_for_more_large_messages_than_it_takes_is_ended(made: Made) -> None:
    for _ in range(OUTBOX_BYTES_MAX // LARGE_PLACE_BYTES + 2):
        made.outbox.put_large(Message(b"x"), at_once=False)
    assert len(made.reasons) == 1


def test_a_large_message_of_a_change_is_made_at_once_and_leaves_in_its_turn(made: Made) -> None:
    first, second = Message(b"1"), Message(b"2")
    made.outbox.put_large(first, at_once=True)
    made.outbox.put_large(second, at_once=True)
    second.make()
    made.loop.turn()
    assert made.written == []
    first.make()
    while made.loop.soon:
        made.loop.turn()
    assert b"".join(made.written) == b"12"
    assert made.outbox.held_bytes == 0


def test_a_client_that_takes_nothing_is_ended_by_the_bytes_of_large_messages(made: Made) -> None:
    """One is being sent, and one may pass the bound, as with small messages."""
    made.outbox.pause(now=0.0)
    size = OUTBOX_BYTES_MAX // 2 + 1
    for count in range(1, 6):
        large = Message(bytes(size))
        made.outbox.put_large(large, at_once=True)
        large.make()
        assert len(made.reasons) == (count > 3), f"after {count}"
    assert "slow client" in made.reasons[0]
    made.outbox.close()
    assert made.turn.held_bytes == 0


def test_a_client_may_ask_for_many_large_messages_however_large(made: Made) -> None:
    larges = [Message(bytes(OUTBOX_BYTES_MAX)) for _ in range(10)]
    for large in larges:
        made.outbox.put_large(large, at_once=False)
    for large in larges:
        assert len(large.waiting) == 1, "only the next is made"
        large.make()
        while made.loop.soon:
            made.loop.turn()
    assert len(made.written) == 10
    assert made.reasons == []
    assert made.turn.held_bytes == 0


def test_a_closed_outbox_is_not_woken_by_a_large_message(made: Made) -> None:
    large = Message(b"1")
    made.outbox.put_large(large, at_once=False)
    made.outbox.close()
    large.make()
    made.loop.turn()
    assert made.written == []


def test_who_asks_is_told_when_a_turn_has_been_written() -> None:
    made = Made()
    told: list[int] = []
    made.turn.written = told.append
    made.outbox.put(b"a")
    assert told == []
    made.loop.turn()
    assert len(told) == 1
