"""When a silent server is asked, and when it is dead; on a clock of the test's own."""

from __future__ import annotations

from collections.abc import Callable

from meadowlark.client.pulse import ANSWER_SECONDS, QUIET_SECONDS, SPOKEN_SECONDS, SUSPECT_SECONDS, Pulse


class Timer:
    def __init__(self, when: float, callback: Callable[[], object]) -> None:
        self.when = when
        self.callback = callback
        self.is_cancelled = False

    def cancel(self) -> None:
        self.is_cancelled = True


class Clock:
    """Time that goes on by `run`, and the timers that are due meanwhile."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.timers: list[Timer] = []
        self.fired_count = 0
        self.told: list[tuple[str, float]] = []
        self.pulse = Pulse(self, lambda: self.note("ask"), lambda: self.note("dead"))

    def note(self, what: str) -> None:
        self.told.append((what, self.now - 1000.0))

    def time(self) -> float:
        return self.now

    def call_at(self, when: float, callback: Callable[[], object]) -> Timer:
        self.timers.append(Timer(when, callback))
        return self.timers[-1]

    def run(self, seconds: float) -> None:
        until = self.now + seconds
        while waiting := sorted((timer for timer in self.waiting() if timer.when <= until), key=lambda timer: timer.when):
            self.now = max(self.now, waiting[0].when)
            self.fire(waiting[0])
        self.now = until

    def fire(self, timer: Timer) -> None:
        self.timers.remove(timer)
        self.fired_count += 1
        timer.callback()

    def waiting(self) -> list[Timer]:
        return [timer for timer in self.timers if not timer.is_cancelled]


def test_who_only_listens_asks_after_five_seconds_and_gives_up_after_eight() -> None:
    clock = Clock()
    clock.run(60)
    assert clock.told == [("ask", QUIET_SECONDS), ("dead", QUIET_SECONDS + ANSWER_SECONDS)]
    assert (QUIET_SECONDS, QUIET_SECONDS + ANSWER_SECONDS) == (5.0, 8.0)
    assert not clock.waiting(), "nothing comes after the end"


def test_who_has_said_something_knows_within_five() -> None:
    clock = Clock()
    clock.run(1.0)
    clock.pulse.spoke()
    clock.run(60)
    assert clock.told == [("ask", 1.0 + SPOKEN_SECONDS), ("dead", 1.0 + SPOKEN_SECONDS + ANSWER_SECONDS)]
    assert SPOKEN_SECONDS + ANSWER_SECONDS == 5.0


def test_saying_more_puts_nothing_off() -> None:
    clock = Clock()
    for _ in range(100):
        clock.pulse.spoke()
        clock.run(0.1)
    assert clock.told == [("ask", SPOKEN_SECONDS), ("dead", SPOKEN_SECONDS + ANSWER_SECONDS)]


def test_whatever_is_heard_is_an_answer() -> None:
    clock = Clock()
    for _ in range(10):
        clock.pulse.spoke()
        clock.run(SPOKEN_SECONDS + ANSWER_SECONDS - 0.1)
        clock.pulse.heard()
    assert [what for what, _ in clock.told] == ["ask"] * 10


def test_who_is_answered_at_once_is_never_asked_and_hardly_ever_looked_at() -> None:
    clock = Clock()
    for _ in range(10_000):
        clock.pulse.spoke()
        clock.run(0.005)
        clock.pulse.heard()
        clock.run(0.005)
    assert clock.told == []
    assert clock.fired_count <= 100 / SPOKEN_SECONDS + 1
    assert len(clock.timers) < 100, "timers that were cancelled did not pile up"


def test_an_idle_connection_is_looked_at_once_a_ping() -> None:
    clock = Clock()
    clock.pulse._ask = lambda: (clock.note("ask"), clock.pulse.heard())
    clock.run(600)
    assert len(clock.told) in (120, 119)
    assert clock.fired_count <= 240


def test_where_the_network_says_that_nobody_is_there_one_second_is_enough() -> None:
    clock = Clock()
    clock.run(1.0)
    clock.pulse.suspect()
    clock.pulse.suspect()
    clock.run(60)
    assert clock.told == [("ask", 1.0), ("dead", 1.0 + SUSPECT_SECONDS)]


def test_a_program_that_was_busy_does_not_blame_the_server() -> None:
    clock = Clock()
    clock.pulse.spoke()
    clock.run(SPOKEN_SECONDS)
    assert clock.told == [("ask", SPOKEN_SECONDS)]
    (timer,) = clock.waiting()
    clock.now += 30.0  # Nothing ran meanwhile, so nothing could be heard.
    clock.fire(timer)
    assert clock.told == [("ask", SPOKEN_SECONDS)]
    at = clock.now - 1000.0
    clock.run(60)
    assert clock.told[1:] == [("ask", at + QUIET_SECONDS), ("dead", at + QUIET_SECONDS + ANSWER_SECONDS)]


def test_after_the_end_nothing_is_asked() -> None:
    clock = Clock()
    clock.pulse.stop()
    clock.pulse.stop()
    clock.pulse.spoke()
    clock.pulse.suspect()
    clock.pulse.heard()
    clock.run(60)
    assert clock.told == []
