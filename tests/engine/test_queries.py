"""Listens to queries, one thing at a time; the model (test_queries_model.py) shows that windows are right whatever happens."""

from __future__ import annotations

from typing import Any

import pytest

from meadowlark.auth.identity import NOBODY
from meadowlark.engine import Get, Leave, Listen, NothingDeclared, Open, Push, Recheck, Revoke, Set, Tidy, Unlisten, Work
from meadowlark.engine import queries as module
from meadowlark.limits import INDEX_IDLE_SECONDS, PLACE_ORDERS_MAX
from meadowlark.query import Query, parse_query
from meadowlark.tree import node_hash
from meadowlark.wire import encode_push
from tests.engine.asking import Asking, Believer

PLACE = ("list",)
PEOPLE = {"ada": {"n": 1}, "bob": {"n": 2}, "cy": {"n": 3}}
WIDE = {f"k{number:04}": {"n": number} for number in range(1_000)}


def query(**spec: Any) -> Query:
    made = parse_query(spec)
    assert made is not None
    return made


FIRST = query(i="n", l=2, vf="l")


@pytest.fixture
def asking() -> Asking:
    asking = Asking()
    asking.do(Set(asking.client("writer"), 1, PLACE, PEOPLE))
    return asking


def pushes(asking: Asking) -> list[tuple[Any, Any, int | None]]:
    """(names of the clients, value, tag) of each push."""
    found = []
    for effect in asking.out:
        if isinstance(effect, Push):
            found.append(([client.id for client in effect.listeners], effect.value, effect.tag))
    return found


def test_listeners_of_one_query_share_a_view_and_its_bytes_whatever_they_call_it(asking: Asking) -> None:
    for name, tag in (("one", 1), ("two", 1), ("three", 9)):
        asking.do(Listen(asking.client(name), 1, PLACE, "", FIRST, tag))
    asking.do(Set(asking.client("writer"), 1, (*PLACE, "cy", "n"), 0))
    told = {"ada": {"n": 1}, "cy": {"n": 0}}
    assert pushes(asking) == [(["one", "two"], {"bob": None, "cy": {"n": 0}}, 1), (["three"], {"bob": None, "cy": {"n": 0}}, 9)]
    one, three = [effect for effect in asking.out if isinstance(effect, Push)]
    assert encode_push(one).endswith(b'"t":1}}}')
    assert encode_push(three).endswith(b'"t":9}}}')
    assert one.room is three.room
    late = asking.client("late")
    asking.do(Listen(late, 1, PLACE, node_hash(told), FIRST, 1))
    assert pushes(asking) == []


def test_the_same_query_again_takes_the_place_of_the_earlier_listen(asking: Asking) -> None:
    one = asking.client("one")
    asking.do(Listen(one, 1, PLACE, "", FIRST, 1))
    asking.do(Listen(one, 2, PLACE, "", FIRST, 2))
    asking.do(Unlisten(one, 3, PLACE, FIRST, 1))
    asking.do(Set(one, 4, (*PLACE, "ada", "n"), 1.5))
    assert pushes(asking) == [(["one"], 1.5, 2)]
    asking.do(Unlisten(one, 5, PLACE, FIRST, 2))
    asking.do(Set(one, 6, (*PLACE, "ada", "n"), 1.6))
    assert pushes(asking) == []
    assert not one.queries


def test_a_listen_without_a_declared_index_is_warned_of_and_a_read_refused(asking: Asking) -> None:
    one = asking.client("one")
    reply = asking.do(Listen(one, 1, PLACE, "", FIRST, 1))
    assert reply is not None
    assert reply.detail == ["no_index"]
    assert asking.refusal(Get(one, 2, PLACE, FIRST)) == ('Index not defined, add ".indexOn": "n", for path "/list", to the rules')
    assert asking.refusal(Get(one, 2, PLACE, query(i=".value"))).startswith('Index not defined, add ".indexOn": ".value"')
    for order in (".key", ".priority"):
        reply = asking.do(Listen(one, 3, PLACE, "", query(i=order, l=1), 2))
        assert reply is not None
        assert reply.detail == []


def test_a_declared_index_is_not_warned_of(asking: Asking) -> None:
    class OnlyN(NothingDeclared):
        def find(self, path: tuple[str, ...], asked: Query) -> bool:
            return path == PLACE and asked.index == "n"

    asking.database.indexes = OnlyN()
    reply = asking.do(Listen(asking.client("one"), 1, PLACE, "", FIRST, 1))
    assert reply is not None
    assert reply.detail == []
    reply = asking.do(Get(asking.client("one"), 2, PLACE, FIRST))
    assert reply is not None
    assert reply.value == {"ada": {"n": 1}, "bob": {"n": 2}}


def test_who_may_not_read_any_more_is_told_which_query(asking: Asking) -> None:
    class Closed(Open):
        def may_read(self, *question: Any) -> bool:
            return False

    one = asking.client("one")
    asking.do(Listen(one, 1, PLACE, "", FIRST, 1))
    asking.database.access = Closed()
    asking.do(Recheck((one,)))
    assert asking.out == [Revoke(one, PLACE, FIRST)]
    asking.do(Set(Believer("admin", NOBODY), 1, (*PLACE, "ada", "n"), 0))
    assert pushes(asking) == []


def test_a_place_may_be_queried_in_so_many_orders(asking: Asking) -> None:
    one = asking.client("one")
    for number in range(PLACE_ORDERS_MAX):
        asking.do(Listen(one, 1, PLACE, "", query(i=f"o{number}", l=1), number))
    assert "orders at a time" in asking.refusal(Listen(one, 1, PLACE, "", query(i="more", l=1), 99))
    asking.do(Leave(one))
    assert asking.database._queries.ordering_count == 0


def test_an_index_that_nobody_uses_goes_after_a_while(asking: Asking) -> None:
    one, queries = asking.client("one"), asking.database._queries
    asking.do(Set(one, 1, PLACE, WIDE))
    for _ in range(2):
        asking.do(Listen(one, 1, PLACE, "", FIRST, 1))
        asking.do(Unlisten(one, 2, PLACE, FIRST, 1))
    assert asking.database.wants_tidying
    asking.now += INDEX_IDLE_SECONDS * 1000 - 1
    asking.do(Tidy())
    assert queries.ordering_count == 1
    asking.now += 1
    asking.do(Tidy())
    assert queries.ordering_count == 0
    assert not asking.database.wants_tidying


def test_idle_indexes_are_few(asking: Asking, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "INDEXES_IDLE_MAX", 2)
    one = asking.client("one")
    asking.do(Set(one, 1, PLACE, WIDE))
    for number in range(5):
        asked = query(i=f"o{number}", l=1)
        asking.do(Listen(one, 1, PLACE, "", asked, number))
        asking.do(Unlisten(one, 2, PLACE, asked, number))
    assert asking.database._queries.ordering_count == 2


def test_a_listen_waits_for_a_large_index_and_hears_nothing_before(asking: Asking) -> None:
    one, writer = asking.client("one"), asking.client("writer")
    asking.do(Set(writer, 1, PLACE, WIDE))
    asking.works = []
    assert asking.do(Listen(one, 1, PLACE, "", FIRST, 1)) is None
    [work] = asking.works
    next(work.steps)
    asking.do(Set(writer, 2, (*PLACE, "k0500", "n"), -1))
    assert pushes(asking) == []
    reply = asking.finish(work)
    assert pushes(asking) == [(["one"], {"k0500": {"n": -1}, "k0000": {"n": 0}}, 1)]
    assert reply is not None
    assert reply.request == 1


def test_who_unlistens_while_it_waits_is_answered_both_times(asking: Asking) -> None:
    one = asking.client("one")
    asking.do(Set(one, 1, PLACE, WIDE))
    asking.works = []
    asking.do(Listen(one, 7, PLACE, "", FIRST, 1))
    asking.do(Unlisten(one, 8, PLACE, FIRST, 1))
    assert [getattr(effect, "request", None) for effect in asking.out if not isinstance(effect, Work)] == [7, 8]
    asking.finish(asking.works[0])
    assert pushes(asking) == []
    assert not one.queries


def test_a_leaf_has_no_window(asking: Asking) -> None:
    one = asking.client("one")
    asking.do(Set(one, 1, PLACE, "leaf"))
    asking.do(Listen(one, 2, PLACE, "", query(l=2, vf="l"), 1))
    assert pushes(asking) == []
    reply = asking.do(Get(one, 3, PLACE, query(l=2, vf="l")))
    assert reply is not None
    assert reply.value is None
    reply = asking.do(Get(one, 3, PLACE, query(i=".key")))
    assert reply is not None
    assert reply.value == "leaf"
    asking.do(Set(one, 4, (*PLACE, "a"), 1))
    assert pushes(asking) == [(["one"], 1, 1)]
