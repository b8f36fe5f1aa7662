"""One database: what a command changes, who hears of it, in which order."""

from __future__ import annotations

from typing import Any

import pytest

from meadowlark.auth.identity import ADMIN, NOBODY
from meadowlark.engine import (
    Commit,
    Database,
    Get,
    Identify,
    Leave,
    Listen,
    Locked,
    OnDisconnectCancel,
    OnDisconnectSet,
    OnDisconnectUpdate,
    Open,
    Push,
    Reply,
    Revoke,
    Set,
    Unlisten,
    Update,
)
from meadowlark.engine import database as module
from meadowlark.errors import Code
from meadowlark.tree import node_hash
from tests.engine.asking import NOW, Asking


def path(text: str) -> tuple[str, ...]:
    return tuple(key for key in text.split("/") if key)


@pytest.fixture
def asking() -> Asking:
    return Asking()


# Writing and hearing


def test_a_listener_above_hears_the_write_at_its_own_path(asking: Asking) -> None:
    one = asking.client()
    asking.do(Listen(one, 1, path("a")))
    asking.do(Set(one, 2, path("a/b/c"), 5))
    assert one.take() == [("set", "/a/b/c", 5)]


def test_a_listener_below_hears_what_stands_at_its_place(asking: Asking) -> None:
    one = asking.client()
    asking.do(Listen(one, 1, path("a/b")))
    asking.do(Set(one, 2, path("a"), {"b": {"x": 1}, "c": 2}))
    asking.do(Set(one, 3, path("a"), {"c": 3}))
    assert one.take() == [("set", "/a/b", {"x": 1}), ("set", "/a/b", None)]


def test_a_listener_beside_hears_nothing(asking: Asking) -> None:
    one = asking.client()
    asking.do(Listen(one, 1, path("a/b")))
    asking.do(Set(one, 2, path("a/c"), 1))
    asking.do(Set(one, 3, path("d"), 1))
    assert one.take() == []


def test_a_listener_below_is_not_told_of_an_equal_leaf(asking: Asking) -> None:
    one = asking.client()
    asking.do(Set(one, 1, path("a"), {"b": 1, "c": 1}))
    asking.do(Listen(one, 2, path("a/b"), hash=node_hash(1)))
    asking.do(Set(one, 3, path("a"), {"b": 1, "c": 2}))
    assert one.take() == []


def test_true_in_place_of_one_is_a_change(asking: Asking) -> None:
    one = asking.client()
    asking.do(Set(one, 1, path("a"), {"b": 1}))
    asking.do(Listen(one, 2, path("a/b"), hash=node_hash(1)))
    asking.do(Set(one, 3, path("a"), {"b": True}))
    assert [(kind, where, type(value)) for kind, where, value in one.take()] == [("set", "/a/b", bool)]


def test_the_writer_hears_its_write_before_its_acknowledgement(asking: Asking) -> None:
    one = asking.client()
    asking.do(Listen(one, 1, path("a")))
    asking.do(Set(one, 2, path("a"), 1))
    assert [type(effect) for effect in asking.out] == [Push, Commit]
    assert asking.commits[-1].reply is not None
    assert asking.commits[-1].reply.request == 2


def test_everyone_at_and_above_a_write_shares_one_push(asking: Asking) -> None:
    clients = [asking.client(str(number)) for number in range(3)]
    for client, where in zip(clients, ["a", "a", ""], strict=True):
        asking.do(Listen(client, 1, path(where)))
    asking.do(Set(clients[0], 2, path("a/b"), 1))
    pushes = [effect for effect in asking.out if isinstance(effect, Push)]
    assert len(pushes) == 1
    assert set(pushes[0].listeners) == set(clients)


def test_a_client_that_listens_twice_on_the_way_hears_once(asking: Asking) -> None:
    one = asking.client()
    asking.do(Listen(one, 1, path("a")))
    asking.do(Listen(one, 2, path("a/b")))
    asking.do(Set(one, 3, path("a/b/c"), 1))
    assert one.take() == [("set", "/a/b/c", 1)]


def test_an_update_is_one_message_for_those_above_it(asking: Asking) -> None:
    one = asking.client()
    asking.do(Listen(one, 1, ()))
    asking.do(Update(one, 2, path("a"), {"x": 1, "y/z": 2, "gone": None}))
    assert one.take() == [("merge", "/a", {"x": 1, "y/z": 2, "gone": None})]


def test_an_update_reaches_listeners_between_and_below(asking: Asking) -> None:
    between, below = asking.client("between"), asking.client("below")
    asking.do(Listen(between, 1, path("a/b")))
    asking.do(Listen(below, 1, path("a/b/c/d")))
    asking.do(Update(between, 2, path("a"), {"b/c": {"d": 1}, "b/e": 2, "f": 3}))
    assert between.take() == [("merge", "/a/b", {"c": {"d": 1}, "e": 2})]
    assert below.take() == [("set", "/a/b/c/d", 1)]


def test_an_update_with_one_path_inside_another_is_refused(asking: Asking) -> None:
    text = asking.refusal(Update(asking.client(), 1, (), {"a": 1, "a/b": 2}))
    assert "/a and /a/b" in text


@pytest.mark.parametrize("children", [{"": 1}, {"/": 1}, {"a$b": 1}, {"ok": 1, "x": {"b.c": 1}}, {"ok": 1, "y": {".sv": "now"}}])
def test_an_update_that_is_wrong_anywhere_changes_nothing(asking: Asking, children: dict[str, Any]) -> None:
    asking.refusal(Update(asking.client(), 1, (), children))
    assert not asking.commits


def test_a_priority_written_alone_is_heard_alone(asking: Asking) -> None:
    one = asking.client()
    asking.do(Set(one, 1, path("a"), {"b": 1}))
    asking.do(Listen(one, 2, path("a"), hash=node_hash({"b": 1})))
    asking.do(Set(one, 3, path("a/.priority"), 7))
    assert one.take() == [("set", "/a/.priority", 7)]
    assert asking.database.tree.root == {"a": {"b": 1, ".priority": 7}}


def test_every_granted_write_commits_even_one_without_effect(asking: Asking) -> None:
    one = asking.client()
    asking.do(Set(one, 1, path("a"), None))
    assert [commit.entries for commit in asking.commits] == [[]]
    assert asking.commits[0].sequence == 1


def test_a_removal_is_recorded_as_the_highest_place_that_vanished(asking: Asking) -> None:
    one = asking.client()
    asking.do(Set(one, 1, path("a/b/c"), 1))
    asking.do(Set(one, 2, path("d"), 1))
    asking.do(Set(one, 3, path("a/b/c"), None))
    assert asking.commits[-1].entries == [["w", "/a", None]]


# Server values


def test_server_values_are_made_once_a_message_and_recorded_made(asking: Asking) -> None:
    one = asking.client()
    asking.do(Set(one, 1, path("n"), 5))
    asking.do(Update(one, 2, (), {"n": {".sv": {"increment": 2}}, "at": {".sv": "timestamp"}, "too": {".sv": "timestamp"}}))
    assert asking.database.tree.root == {"n": 7, "at": NOW, "too": NOW}
    assert asking.commits[-1].entries == [["w", "/n", 7], ["w", "/at", NOW], ["w", "/too", NOW]]


# Transactions


def test_a_set_with_the_right_hash_is_done(asking: Asking) -> None:
    one = asking.client()
    asking.do(Set(one, 1, path("n"), 1))
    reply = asking.do(Set(one, 2, path("n"), 2, expected=node_hash(1)))
    assert reply is not None
    assert reply.refused is None
    assert asking.database.tree.root == {"n": 2}


def test_a_set_with_a_stale_hash_is_refused_with_the_value_there(asking: Asking) -> None:
    one = asking.client()
    asking.do(Set(one, 1, path("n"), 1))
    reply = asking.do(Set(one, 2, path("n"), 2, expected=""))
    assert reply is not None
    assert reply.refused is not None
    assert (reply.refused.code, reply.value) == (Code.STALE, 1)
    assert asking.database.tree.root == {"n": 1}


def test_the_empty_hash_expects_nothing_there(asking: Asking) -> None:
    one = asking.client()
    assert asking.do(Set(one, 1, path("n"), 1, expected="")) is not None
    assert asking.database.tree.root == {"n": 1}


LARGE = {f"k{number}": number for number in range(6_000)}


def test_a_transaction_on_very_much_waits_for_the_hash(asking: Asking) -> None:
    one = asking.client()
    asking.do(Set(one, 1, path("a"), LARGE))
    reply = asking.do(Set(one, 2, path("a"), 1, expected="x"))
    assert reply is not None
    assert reply.refused is not None
    assert reply.refused.code is Code.STALE
    assert asking.database.tree.get(path("a/k7")) == 7
    assert asking.database.known_hash(path("a")) == node_hash(asking.database.tree.get(path("a")))
    reply = asking.do(Set(one, 3, path("a"), 1, expected=asking.database.known_hash(path("a"))))
    assert reply is not None
    assert reply.refused is None
    assert asking.database.tree.get(path("a")) == 1


def test_what_is_written_while_a_transaction_waits_is_compared_too(asking: Asking) -> None:
    one, two = asking.client(), asking.client("two")
    asking.do(Set(one, 1, path("a"), LARGE))
    expected = node_hash(asking.database.tree.get(path("a")))
    asking.works = []
    assert asking.do(Set(one, 2, path("a"), 1, expected=expected)) is None
    work = asking.works.pop()
    next(work.steps)
    asking.do(Set(two, 1, path("a/k7"), "new"))
    assert asking.finish(work) is None  # It was of what there was before, so it is found again.
    reply = asking.finish(asking.works.pop())
    assert reply is not None
    assert reply.refused is not None
    assert reply.refused.code is Code.STALE


def test_a_transaction_on_what_is_written_all_the_time_is_given_up(asking: Asking) -> None:
    one, two = asking.client(), asking.client("two")
    asking.do(Set(one, 1, path("a"), LARGE))
    asking.works = []
    reply = asking.do(Set(one, 2, path("a"), 1, expected="x"))
    for turn in range(module.SEARCHES_MAX):
        assert reply is None
        work = asking.works.pop()
        next(work.steps)
        asking.do(Set(two, 1, path("a/k7"), turn))
        reply = asking.finish(work)
    assert reply is not None
    assert reply.refused is not None
    assert reply.refused.code is Code.TOO_BIG


def test_nobody_writes_after_leaving(asking: Asking) -> None:
    one = asking.client()
    asking.do(Set(one, 1, path("a"), LARGE))
    asking.works = []
    asking.do(Set(one, 2, path("a"), 1, expected=node_hash(asking.database.tree.get(path("a")))))
    asking.do(Leave(one))
    assert asking.finish(asking.works.pop()) is None
    assert asking.database.tree.get(path("a/k7")) == 7


def test_refusals_hold_no_frames(asking: Asking) -> None:
    """A traceback kept in a reply is a cycle, and nobody collects those in a worker."""
    reply = asking.do(Set(asking.client(), 1, path("a"), {"bad/key": 1}))
    assert reply is not None
    assert reply.refused is not None
    assert reply.refused.__traceback__ is None
    assert reply.refused.__context__ is None


# Reading


def test_a_listen_answers_with_data_before_its_reply(asking: Asking) -> None:
    one = asking.client()
    asking.do(Set(one, 1, path("a"), 1))
    asking.do(Listen(one, 2, path("a")))
    assert [type(effect) for effect in asking.out] == [Push, Reply]


@pytest.mark.parametrize(
    ("stored", "hash", "told"),
    [
        (None, "", False),
        (None, "x", True),
        (None, None, True),
        (1, node_hash(1), False),
        (1, "", True),
        (1, node_hash(2), True),
        (2**53 - 1, node_hash(2**53), True),
    ],
)
def test_a_listen_sends_only_what_the_client_lacks(asking: Asking, stored: Any, hash: str | None, told: bool) -> None:
    one = asking.client()
    asking.do(Set(one, 1, path("a"), stored))
    asking.do(Listen(one, 2, path("a"), hash))
    assert bool(one.take()) is told


def test_get_answers_once_and_is_not_told_later(asking: Asking) -> None:
    one = asking.client()
    asking.do(Set(one, 1, path("a"), {"b": 1}))
    reply = asking.do(Get(one, 2, path("a/b")))
    assert reply is not None
    assert (reply.value, reply.detail) == (1, "get")
    asking.do(Set(one, 3, path("a/b"), 2))
    assert one.take() == []


def test_after_unlisten_nothing_is_heard(asking: Asking) -> None:
    one = asking.client()
    asking.do(Listen(one, 1, path("a")))
    asking.do(Unlisten(one, 2, path("a")))
    asking.do(Set(one, 3, path("a"), 1))
    assert one.take() == []


# Permission


def test_locked_refuses_everyone_but_an_admin() -> None:
    asking = Asking(Locked())
    nobody, admin = asking.client("nobody"), asking.client("admin", admin=True)
    for command in (
        Set(nobody, 1, (), 1),
        Update(nobody, 1, (), {"a": 1}),
        Get(nobody, 1, ()),
        Listen(nobody, 1, ()),
        OnDisconnectSet(nobody, 1, (), 1),
        OnDisconnectUpdate(nobody, 1, (), {"a": 1}),
    ):
        assert asking.refusal(command) == "Permission denied"
    assert asking.do(Set(admin, 1, path("a"), 1)) is not None
    assert asking.database.tree.root == {"a": 1}


def test_losing_an_identity_revokes_its_listens() -> None:
    asking = Asking(Locked())
    one = asking.client()
    asking.do(Identify(one, 1, ADMIN))
    asking.do(Listen(one, 2, path("a")))
    asking.do(Identify(one, 3, NOBODY))
    assert [effect.path for effect in asking.out if isinstance(effect, Revoke)] == [path("a")]
    asking.do(Set(asking.client("admin", admin=True), 1, path("a"), 1))
    assert one.take() == []


# Disconnection


def test_what_is_queued_runs_when_the_client_leaves_and_only_then(asking: Asking) -> None:
    one, two = asking.client("one"), asking.client("two")
    asking.do(Listen(two, 1, ()))
    asking.do(OnDisconnectSet(one, 1, path("online/one"), None))
    asking.do(OnDisconnectUpdate(one, 2, path("seen"), {"one": {".sv": "timestamp"}}))
    asking.do(Set(one, 3, path("online/one"), True))
    two.take()
    asking.now = NOW + 5
    asking.do(Leave(one))
    assert asking.database.tree.root == {"seen": {"one": NOW + 5}}
    assert two.take() == [("set", "/online/one", None), ("set", "/seen/one", NOW + 5)]
    assert asking.commits[-1].entries == [["w", "/", None], ["w", "/seen/one", NOW + 5], ["x", "one"]]


def test_leaving_twice_runs_the_queue_once(asking: Asking) -> None:
    one = asking.client()
    asking.do(OnDisconnectSet(one, 1, path("n"), {".sv": {"increment": 1}}))
    asking.do(Leave(one))
    asking.do(Leave(one))
    assert asking.database.tree.root == {"n": 1}


def test_cancel_forgets_what_is_at_and_below(asking: Asking) -> None:
    one = asking.client()
    asking.do(OnDisconnectSet(one, 1, path("a/b"), 1))
    asking.do(OnDisconnectSet(one, 2, path("a/c"), 2))
    asking.do(OnDisconnectSet(one, 3, path("d"), 3))
    asking.do(OnDisconnectCancel(one, 4, path("a")))
    asking.do(Leave(one))
    assert asking.database.tree.root == {"d": 3}


def test_cancel_below_a_queued_value_lets_its_siblings_run(asking: Asking) -> None:
    one = asking.client()
    asking.do(Set(one, 1, path("a"), {"kept": 0, "x": {"p": 0}}))
    asking.do(OnDisconnectSet(one, 2, path("a"), {"x": {"p": 1, "q": 2}, "y": 3}))
    asking.do(OnDisconnectCancel(one, 3, path("a/x/p")))
    asking.do(Leave(one))
    assert asking.database.tree.root == {"a": {"kept": 0, "x": {"p": 0, "q": 2}, "y": 3}}


def test_a_later_set_replaces_what_was_queued_below_it(asking: Asking) -> None:
    one = asking.client()
    asking.do(OnDisconnectSet(one, 1, path("a/b"), 1))
    asking.do(OnDisconnectSet(one, 2, path("a"), {"c": 2}))
    asking.do(Leave(one))
    assert asking.database.tree.root == {"a": {"c": 2}}


def test_a_queued_value_is_recorded_in_its_checked_form(asking: Asking) -> None:
    """JSON lets numbers through that an encoder of JSON may refuse."""
    one = asking.client()
    asking.do(OnDisconnectSet(one, 1, path("a"), {"n": 10**30, "gone": None, "list": [1]}))
    asking.do(OnDisconnectUpdate(one, 2, (), {"b": 10**30}))
    assert [commit.entries for commit in asking.commits] == [
        [["a", "one", None, ""], ["o", "one", "/a", {"n": 1e30, "list": {"0": 1}}]],
        [["o", "one", "/b", 1e30]],
    ]


# Replaying


def test_replaying_the_records_gives_the_same_database(asking: Asking) -> None:
    one = asking.client()
    asking.do(Set(one, 1, path("a/b"), {".value": "x", ".priority": 2}))
    asking.do(Update(one, 2, (), {"c": [1, None, 3], "a/d": True}))
    asking.do(OnDisconnectSet(one, 3, path("gone"), {".sv": "timestamp"}))
    asking.do(OnDisconnectSet(one, 4, path("later"), 1))
    asking.do(OnDisconnectCancel(one, 5, path("later")))
    asking.do(Set(one, 6, path("a/d/.priority"), "p"))
    again = Database("test", Open())
    for commit in asking.commits:
        again.replay(commit.sequence, commit.entries)
    again.check()
    assert again.tree.root == asking.database.tree.root
    assert again.sessions() == asking.database.sessions()
    assert again.sequence == asking.database.sequence == 6


def test_queues_survive_a_snapshot(asking: Asking) -> None:
    one = asking.client()
    value = {"t": {".value": {".sv": "timestamp"}, ".priority": {".sv": {"increment": 2}}}, "n": {".sv": {"increment": 1.5}}}
    asking.do(OnDisconnectSet(one, 1, path("a"), value))
    again = Asking()
    again.database.restore(asking.database.sessions())
    again.do(Leave(one))
    assert again.database.tree.root == {"a": {"t": {".value": NOW, ".priority": 2}, "n": 1.5}}


def test_a_record_out_of_order_is_a_bug_and_stops_the_database() -> None:
    with pytest.raises(AssertionError, match="record 2 follows 0"):
        Database("test", Open()).replay(2, [])


def test_the_answer_to_a_transaction_holds_back_what_comes_later_and_other_answers_do_not(asking: Asking) -> None:
    one = asking.client()
    asking.do(Set(one, 1, path("a"), 1))
    asking.do(Set(one, 2, path("a"), 2, node_hash(1)))
    asking.do(Set(one, 3, path("a"), 3, ""))
    asking.do(Update(one, 4, (), {"b": 1}))
    replies = [commit.reply for commit in asking.commits if commit.reply is not None]
    assert [(reply.request, reply.holds) for reply in replies] == [(1, False), (2, True), (4, False)]
