"""Who is behind hears of each volatile value the last, of everything else all, and in the order in which it was said."""

from __future__ import annotations

import re
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from meadowlark.limits import OUTBOX_BYTES_MAX
from meadowlark.server.outbox import LARGE_TURN_BYTES, SUPERSEDED_MAX, Outbox, Place, Turn
from tests.server.test_pace import Loop


class Made:
    """An outbox whose client takes what the test lets it."""

    def __init__(self) -> None:
        self.loop: Any = Loop()
        self.turn = Turn(self.loop)
        self.written: list[bytes] = []
        self.reasons: list[str] = []
        self.is_full = False
        """Whether the client takes one write more, and then nothing."""
        self.outbox = Outbox(self.turn, self.write, self.reasons.append)

    def write(self, data: bytes) -> None:
        self.written.append(data)
        if self.is_full:
            self.outbox.pause(0.0)

    @property
    def superseded(self) -> int:
        return self.turn.stopwatch.metrics.volatile_superseded

    @property
    def heard(self) -> bytes:
        return b"".join(self.written)


@pytest.fixture
def made() -> Made:
    return Made()


def test_behind_an_answer_that_is_not_ready_only_the_last_of_each_stays(made: Made) -> None:
    place = made.outbox.hold()
    assert made.outbox.conflates
    for number in range(10_000):
        made.outbox.put_volatile("a", b"[a%d]" % number)
        made.outbox.put_volatile("b", b"[b%d]" % number)
        if number == 5_000:
            made.outbox.put(b"[lasts]")
    assert made.turn.held_bytes < 40
    made.outbox.release(place, b"[reply]")
    made.loop.turn()
    assert made.heard == b"[reply][lasts][a9999][b9999]"
    assert made.superseded == 19_998
    assert made.turn.held_bytes == 0
    assert not made.outbox.conflates


def test_what_waited_behind_an_answer_is_superseded_while_the_client_takes_nothing(made: Made) -> None:
    place = made.outbox.hold()
    made.outbox.put_volatile("a", b"[a1]")
    made.outbox.pause(0.0)
    made.outbox.release(place, b"[reply]")
    made.outbox.put_volatile("a", b"[a2]")
    made.outbox.resume()
    assert made.heard == b"[reply][a2]"
    assert made.turn.held_bytes == 0


def test_a_client_that_takes_a_little_at_a_time_never_has_more_than_the_last_of_each_waiting(made: Made) -> None:
    """Once it was closed: what a resume had left was never superseded again."""
    count = 2000
    filling = bytes(400)
    made.outbox.pause(0.0)
    made.is_full = True
    for round_number in range(20):
        for number in range(count):
            made.outbox.put_volatile(number, b"<%d %d>%b" % (number, round_number, filling))
        made.outbox.resume()
        assert made.outbox.waiting_bytes <= count * 420
        assert len(made.outbox._frames) <= 2 * count + SUPERSEDED_MAX
    assert made.reasons == []
    made.is_full = False
    made.outbox.resume()
    while made.loop.soon:
        made.loop.turn()
    assert not made.outbox.conflates
    heard = dict(re.findall(rb"<(\d+) (\d+)>", made.heard))
    assert heard == {b"%d" % number: b"19" for number in range(count)}
    assert made.turn.held_bytes == 0


def test_different_places_behind_an_answer_are_bounded(made: Made) -> None:
    made.outbox.hold()
    for number in range(OUTBOX_BYTES_MAX // 4096 + 2):
        made.outbox.put_volatile(number, bytes(4096))
    assert len(made.reasons) == 1


_STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("volatile"), st.integers(0, 3), st.sampled_from([0, LARGE_TURN_BYTES // 3])),
        st.sampled_from([("lasts",), ("hold",), ("release",), ("pause",), ("resume",), ("turn",), ("full",), ("free",)]),
    ),
    max_size=60,
)


@settings(max_examples=300, deadline=None)
@given(steps=_STEPS, rate=st.sampled_from([0.0, 100.0]))
def test_what_is_heard_is_what_was_said_less_what_was_superseded(steps: list[Any], rate: float) -> None:
    made = Made()
    made.outbox.keep_pace(rate)
    said: list[bytes] = []
    last: dict[int, bytes] = {}
    lasting: list[bytes] = []
    held: list[tuple[Place, bytes]] = []
    for number, (step, *given_) in enumerate(steps):
        frame = b"<%d>" % number
        if step == "volatile":
            place, size = given_
            frame = b"<%d%b>" % (number, b"x" * size)
            last[place] = frame
            said.append(frame)
            if made.outbox.conflates:
                made.outbox.put_volatile(place, frame)
            else:
                made.outbox.put(frame)
        elif step in ("lasts", "hold"):
            said.append(frame)
            lasting.append(frame)
            if step == "lasts":
                made.outbox.put(frame)
            else:
                held.append((made.outbox.hold(), frame))
        elif step == "release" and held:
            made.outbox.release(*held.pop(0))
        elif step == "pause":
            made.outbox.pause(0.0)
        elif step == "resume":
            made.outbox.resume()
        elif step == "turn":
            made.loop.sleep(4)
        elif step in ("full", "free"):
            made.is_full = step == "full"
    made.is_full = False
    for place, frame in held:
        made.outbox.release(place, frame)
    made.outbox.resume()
    made.loop.sleep(1000)
    while made.loop.soon:
        made.loop.turn()
    heard = [b"<%b>" % part for part in made.heard.replace(b"<", b"").split(b">")[:-1]]
    order = {frame: index for index, frame in enumerate(said)}
    places = [order[frame] for frame in heard]
    assert places == sorted(places), "something was overtaken"
    assert len(set(places)) == len(places)
    assert set(lasting) | set(last.values()) <= set(heard)
    assert len(said) - len(heard) == made.superseded
    assert made.turn.held_bytes == made.outbox.waiting_bytes == 0
    assert not made.turn.stalled
