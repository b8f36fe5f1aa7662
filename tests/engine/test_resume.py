"""Clients that come back with large values: what they have is not sent again, and what they missed is."""

from __future__ import annotations

from typing import Any

import pytest

from meadowlark.engine import Leave, Listen, Push, Reply, Set, Unlisten, Work, resume
from meadowlark.tree import node_hash
from tests.engine.asking import Asking

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
