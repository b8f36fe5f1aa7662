"""What waits to be said: in its order, whole, and of volatile values the last of each path."""

from __future__ import annotations

from meadowlark.client.outgoing import Outgoing
from meadowlark.limits import SESSION_VOLATILE_VALUES_MAX


def test_messages_leave_in_their_order_and_whole() -> None:
    outgoing = Outgoing()
    outgoing.say([b"1"])
    outgoing.say([b"2", b"two", b"pieces"])
    assert outgoing.say_volatile("/a", [b"3"])
    assert bool(outgoing)
    assert [outgoing.take() for _ in range(4)] == [[b"1"], [b"2", b"two", b"pieces"], [b"3"], []]
    assert not outgoing


def test_a_newer_value_takes_the_place_of_an_older_one_behind_all_that_was_said_meanwhile() -> None:
    outgoing = Outgoing()
    outgoing.say_volatile("/a", [b"a1"])
    outgoing.say_volatile("/b", [b"b1"])
    outgoing.say([b"x"])
    outgoing.say_volatile("/a", [b"a2"])
    outgoing.say([b"y"])
    outgoing.say_volatile("/a", [b"a3"])
    assert outgoing.take_all() == [b"b1", b"x", b"y", b"a3"]
    assert outgoing.superseded_count == 2


def test_more_paths_than_a_server_keeps_are_not_taken() -> None:
    outgoing = Outgoing()
    assert all(outgoing.say_volatile(f"/{number}", [b""]) for number in range(SESSION_VOLATILE_VALUES_MAX))
    assert not outgoing.say_volatile("/one more", [b""])
    assert outgoing.say_volatile("/0", [b"newer"])
    outgoing.take()
    assert outgoing.say_volatile("/one more", [b""])
    outgoing.clear()
    assert not outgoing
    assert outgoing.say_volatile("/0", [b""])
