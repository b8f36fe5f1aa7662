"""Clients that come back with large values: what they have is not sent again, and what they missed is."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from meadowlark.engine import Leave, Listen, Push, Reply, Set, Unlisten, Work, resume
from meadowlark.query import parse_query
from meadowlark.tree import node_hash
from tests.engine.asking import Asking, Believer
from tests.engine.mobile import ranges_of

LARGE = {f"k{number}": {"n": number} for number in range(2_000)}
HASH = node_hash(LARGE)
PLACE = ("list",)


@pytest.fixture
def asking() -> Asking:
    asking = Asking()
    asking.do(Set(asking.client("writer"), 1, PLACE, LARGE))
    asking.works = []
    return asking


def finish(asking: Asking) -> list[Any]:
    """All work is done; what came of it."""
    assert asking.works is not None
    effects = []
    while asking.works:
        asking.finish(asking.works.pop(0))
        effects += asking.out
    return effects


def test_who_has_it_is_sent_nothing_and_the_next_waits_for_nothing(asking: Asking) -> None:
    one, two = asking.client("one"), asking.client("two")
    assert asking.do(Listen(one, 7, PLACE, HASH)) is None
    assert [type(effect) for effect in asking.out] == [Work]
    [reply] = finish(asking)
    assert isinstance(reply, Reply)
    assert (reply.client, reply.request, reply.detail) == (one, 7, [])
    asking.do(Listen(two, 1, PLACE, HASH))
    assert [type(effect) for effect in asking.out] == [Reply]
    asking.do(Set(one, 2, (*PLACE, "k3", "n"), 4))
    assert one.take() == two.take() == [("set", "/list/k3/n", 4)]


def test_one_search_is_for_all_who_wait(asking: Asking) -> None:
    clients = [asking.client(str(number)) for number in range(5)]
    for client in clients:
        asking.do(Listen(client, 1, PLACE, HASH))
    assert len(asking.works or ()) == 1
    assert [effect.client for effect in finish(asking)] == clients


def test_who_had_it_is_told_just_what_was_written_meanwhile(asking: Asking) -> None:
    has, has_not, writer = asking.client("has"), asking.client("has not"), asking.client("writer")
    asking.do(Listen(has, 1, PLACE, HASH))
    asking.do(Listen(has_not, 1, PLACE, "else"))
    assert asking.works is not None
    next(asking.works[0].steps)
    asking.do(Set(writer, 1, (*PLACE, "k3", "n"), 4))
    asking.do(Set(writer, 1, (*PLACE, "k5"), None))
    finish(asking)
    assert has.take() == [("set", "/list/k3/n", 4), ("set", "/list/k5", None)]
    assert [path for _, path, _ in has_not.take()] == ["/list"]


def test_after_very_many_writes_the_value_is_sent(asking: Asking, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resume, "MISSED_MAX", 2)
    one, writer = asking.client("one"), asking.client("writer")
    asking.do(Listen(one, 1, PLACE, HASH))
    for number in range(3):
        asking.do(Set(writer, 1, (*PLACE, f"k{number}", "n"), "x"))
    finish(asking)
    assert [path for _, path, _ in one.take()] == ["/list"]


def test_a_stale_transaction_does_not_wait_for_the_listen_before_it(asking: Asking) -> None:
    one = asking.client("one")
    asking.do(Listen(one, 1, PLACE, HASH))
    reply = asking.do(Set(one, 2, (*PLACE, "k3"), {"n": 5}, expected="stale"))
    assert reply is not None
    assert reply.refused is not None
    assert [type(effect) for effect in asking.out] == [Push, Reply, Reply]
    assert finish(asking) == []


def test_who_leaves_or_listens_no_more_is_answered_at_most_once(asking: Asking) -> None:
    one, two = asking.client("one"), asking.client("two")
    asking.do(Listen(one, 1, PLACE, HASH))
    asking.do(Listen(two, 1, PLACE, HASH))
    asking.do(Leave(one))
    asking.do(Unlisten(two, 2, PLACE))
    assert [effect.request for effect in asking.out if isinstance(effect, Reply)] == [1, 2]
    assert finish(asking) == []
    assert not two.listens


# With compound hashes

STALE = {**LARGE, "k7": {"n": -1}, "k8": {"n": -1}}
RANGES = ranges_of(STALE)


def stale(asking: Asking, name: str = "one") -> Believer:
    client = asking.client(name)
    client.mirror.set(PLACE, copy.deepcopy(STALE))
    return client


def is_right(asking: Asking, client: Believer) -> bool:
    return node_hash(client.mirror.get(PLACE)) == node_hash(asking.database.tree.get(PLACE))


def told(client: Believer) -> list[tuple[str, str]]:
    return [(kind, path) for kind, path, _ in client.take()]


def test_who_is_wrong_in_a_range_is_sent_the_range(asking: Asking) -> None:
    one = stale(asking)
    asking.do(Listen(one, 7, PLACE, node_hash(STALE), ranges=RANGES))
    effects = finish(asking)
    assert [type(effect) for effect in effects] == [Work, Push, Reply]
    assert [len(one.node) < 100 for one in effects[1].ranges] == [True, True]
    assert is_right(asking, one)
    asking.do(Set(one, 2, (*PLACE, "k3", "n"), 4))
    assert told(one) == [("ranges", "/list"), ("set", "/list/k3/n")]


def test_a_small_value_is_compared_at_once(asking: Asking) -> None:
    one, small = asking.client("one"), {f"k{number}": "a text of some length" for number in range(100)}
    asking.do(Set(one, 1, ("small",), small))
    one.mirror.set(("small",), {**small, "k5": 1})
    asking.do(Listen(one, 2, ("small",), node_hash({**small, "k5": 1}), ranges=ranges_of({**small, "k5": 1})))
    assert told(one) == [("ranges", "/small")]
    assert node_hash(one.mirror.get(("small",))) == node_hash(small)
    asking.do(Listen(one, 3, ("small",), node_hash(small), ranges=ranges_of(small)))
    assert told(one) == []


def test_of_a_window_too_the_ranges_are_sent_that_are_wrong(asking: Asking) -> None:
    one, query = asking.client("one"), parse_query({"i": "n", "sp": 100, "l": 150, "vf": "l"})
    window = {f"k{number}": {"n": number} for number in range(100, 250)}
    stale = {key: child for key, child in window.items() if key != "k120"} | {"k200": {"n": 99_999}, "gone": {"n": 230}}
    one.mirror.set(PLACE, copy.deepcopy(stale))
    asking.works = None
    asking.do(Listen(one, 2, PLACE, node_hash(stale), query, 7, ranges_of(stale)))
    [push, reply] = [effect for effect in asking.out if not isinstance(effect, Work)]
    assert (push.tag, 0 < len(push.ranges) < len(ranges_of(stale).hashes), reply.request) == (7, True, 2)
    assert one.mirror.get(PLACE) == window
    asking.do(Set(one, 3, (*PLACE, "k100", "n"), 4))
    assert told(one) == [("ranges", "/list"), ("merge", "/list")]
    assert one.mirror.get(PLACE) == {key: child for key, child in window.items() if key != "k100"} | {"k250": {"n": 250}}


def test_a_large_window_that_is_wrong_is_sent_whole(asking: Asking) -> None:
    one, query = asking.client("one"), parse_query({"i": "n", "sp": 100, "l": 1_500, "vf": "l"})
    asking.works = None
    asking.do(Listen(one, 2, PLACE, HASH, query, 7, RANGES))
    [push] = [effect for effect in asking.out if isinstance(effect, Push)]
    assert (push.ranges, len(push.value)) == (None, 1_500)


def test_what_is_written_while_ranges_are_compared_is_told_behind_them(asking: Asking) -> None:
    one, writer = stale(asking), asking.client("writer")
    asking.do(Listen(one, 1, PLACE, node_hash(STALE), ranges=RANGES))
    assert asking.works is not None
    asking.finish(asking.works.pop(0))
    next(asking.works[0].steps)
    for key, value in [("k7", {"n": 70}), ("k8", None), ("k1500", {"n": "late"}), ("new", 1)]:
        asking.do(Set(writer, 1, (*PLACE, key), value))
    finish(asking)
    assert told(one) == [("ranges", "/list"), *[("set", f"/list/{key}") for key in ("k7", "k8", "k1500", "new")]]
    assert is_right(asking, one)


def test_after_very_many_writes_ranges_are_not_sent(asking: Asking, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resume, "MISSED_MAX", 2)
    one, writer = stale(asking), asking.client("writer")
    asking.do(Listen(one, 1, PLACE, node_hash(STALE), ranges=RANGES))
    assert asking.works is not None
    asking.finish(asking.works.pop(0))
    for number in range(3):
        asking.do(Set(writer, 1, (*PLACE, f"k{number}", "n"), "x"))
    finish(asking)
    assert told(one) == [("set", "/list")]


def test_one_comparison_is_for_all_with_the_same_ranges_and_there_are_not_many(
    asking: Asking, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resume, "RANGE_SEARCHES_MAX", 1)
    one, two, other = stale(asking), stale(asking, "two"), stale(asking, "other")
    for client, ranges in [(one, RANGES), (two, ranges_of(STALE)), (other, ranges_of(STALE, 5_000))]:
        asking.do(Listen(client, 1, PLACE, node_hash(STALE), ranges=ranges))
    assert asking.works is not None
    asking.finish(asking.works.pop(0))
    assert len(asking.works) == 1
    assert told(other) == [("set", "/list")]
    finish(asking)
    assert told(one) == told(two) == [("ranges", "/list")]
    assert is_right(asking, one)
    assert is_right(asking, two)


def test_who_leaves_while_ranges_are_compared_is_answered_at_most_once(asking: Asking) -> None:
    one, two = stale(asking), stale(asking, "two")
    for client in (one, two):
        asking.do(Listen(client, 1, PLACE, node_hash(STALE), ranges=RANGES))
    assert asking.works is not None
    asking.finish(asking.works.pop(0))
    asking.do(Leave(one))
    asking.do(Unlisten(two, 2, PLACE))
    assert [effect.request for effect in asking.out if isinstance(effect, Reply)] == [1, 2]
    assert finish(asking) == []
    assert told(one) == told(two) == []
