"""Rules at the door of a database: every way in is asked about, a denial changes nothing, who loses permission hears no more."""

from __future__ import annotations

import json
from typing import Any

import pytest

from meadowlark.auth.identity import ADMIN, NOBODY, Identity
from meadowlark.engine import (
    Access,
    Client,
    Database,
    Get,
    Identify,
    Leave,
    Listen,
    OnDisconnectSet,
    OnDisconnectUpdate,
    Open,
    Recheck,
    Reply,
    Revoke,
    Ruled,
    Set,
    Update,
)
from meadowlark.query import parse_query
from meadowlark.rules import parse_rules
from meadowlark.tree import node_hash
from tests.engine.asking import NOW, Asking

ANNA = Identity(auth={"uid": "anna", "provider": "custom", "token": {}})


def ruled(rules: Any, *, explains: bool = False) -> Access:
    return Ruled(parse_rules(json.dumps({"rules": rules})), explains=explains)


def asking(rules: Any, data: Any = None, *, explains: bool = False) -> Asking:
    made = Asking(ruled(rules, explains=explains))
    if data is not None:
        made.do(Set(made.client("admin", admin=True), 1, (), data))
    return made


def test_a_denied_write_is_refused_and_changes_nothing():
    told = asking({"a": {".write": True, "n": {".validate": "newData.isNumber()"}}}, {"a": {"n": 1}})
    client = told.client()
    assert told.refusal(Set(client, 1, ("b",), 1)) == "Permission denied"
    assert told.refusal(Set(client, 1, ("a", "n"), "x")) == "Permission denied"
    assert told.refusal(Update(client, 1, (), {"a/m": 1, "b": 2})) == "Permission denied"
    reply = told.do(Update(client, 1, (), {"a/m": 1, "a/n": 2}))
    assert reply is not None
    assert reply.refused is None


def test_a_sum_is_told_to_nobody_who_may_not_read_it():
    rules = {"n": {".write": True}, "v": {".write": True, ".volatile": True}, "open": {".read": True, ".write": True}}
    told = asking(rules, {"n": 40, "v": 40, "open": 40})
    client = told.client()
    add, seen = {".sv": {"increment": 2}}, 42

    def value_after(command: Any) -> Any:
        reply = told.do(command)
        assert reply is not None
        assert reply.refused is None
        return reply.value

    assert [value_after(Set(client, 1, (key,), add)) for key in ("n", "v", "open")] == [None, None, seen]
    assert value_after(Update(client, 1, (), {"n": add, "open": add})) == {"n": None, "open": 44}
    assert value_after(Update(client, 1, (), {"n": {"x": add}, "v": add, "open": 1})) == {"n": None, "v": None, "open": 1}
    assert value_after(Set(client, 1, ("n",), {".sv": "timestamp"})) == NOW
    admin = told.client("other", admin=True)
    assert value_after(Set(admin, 1, ("v",), add)) == 46


def test_an_admin_is_not_asked_about():
    told = asking({})
    reply = told.do(Set(told.client("admin", admin=True), 1, ("a",), 1))
    assert reply is not None
    assert reply.refused is None


def test_server_values_are_made_before_rules_see_them():
    told = asking({"at": {".write": "newData.val() === now"}, "n": {".write": "newData.val() === data.val() + 2"}}, {"n": 5})
    client = told.client()
    for path, value in (("at", {".sv": "timestamp"}), ("n", {".sv": {"increment": 2}})):
        reply = told.do(Set(client, 1, (path,), value))
        assert reply is not None
        assert reply.refused is None
    assert told.database.tree.root == {"at": NOW, "n": 7}
    assert told.refusal(Set(client, 1, ("n",), {".sv": {"increment": 3}})) == "Permission denied"


def test_what_is_wrong_is_said_before_what_is_not_allowed_where_writing_could_be():
    told = asking({"a": {".write": "auth != null"}})
    assert "key" in told.refusal(Set(told.client(), 1, ("a",), {"b.c": 1}))
    assert told.refusal(Set(told.client(), 1, ("b",), {"b.c": 1})) == "Permission denied"


def test_a_transaction_that_is_stale_is_tried_again_rather_than_refused():
    told = asking({"n": {".read": True, ".write": "newData.val() === data.val() + 1"}}, {"n": 7})
    client = told.client()
    assert told.refusal(Set(client, 1, ("n",), 6, node_hash(5))) == "Transaction hash does not match"
    reply = told.do(Set(client, 1, ("n",), 8, node_hash(7)))
    assert reply is not None
    assert reply.refused is None


def test_a_transaction_needs_to_read_too():
    told = asking({"n": {".write": True}}, {"n": 7})
    assert told.refusal(Set(told.client(), 1, ("n",), 8, node_hash(7))) == "Permission denied"


def test_reading_listening_and_how_it_is_asked():
    told = asking({"open": {".read": True}, "few": {".read": "query.limitToFirst <= 10 && query.orderByKey"}}, {"open": {"a": 1}})
    client = told.client()
    assert told.do(Get(client, 1, ("open", "a"))).value == 1  # type: ignore[union-attr]
    assert told.refusal(Get(client, 1, ())) == "Permission denied"
    assert told.refusal(Listen(client, 1, ("few",))) == "Permission denied"
    access = told.database.access
    for spec, allowed in (
        ({"l": 10, "vf": "l"}, True),
        ({"i": ".key", "l": 11, "vf": "l"}, False),
        ({"i": ".value", "l": 5, "vf": "l"}, False),
        ({"l": 5, "vf": "r"}, False),
    ):
        assert access.may_read(NOBODY, ("few",), parse_query(spec), None, NOW) is allowed


def test_on_disconnect_is_checked_when_it_is_queued_and_again_when_it_fires():
    told = asking({"a": {".write": "!data.exists() && newData.val() === now"}, "b": {".write": "auth != null"}})
    client = told.client("leaving")
    assert told.refusal(OnDisconnectSet(client, 1, ("b",), 1)) == "Permission denied"
    assert told.refusal(OnDisconnectUpdate(client, 1, (), {"a": {".sv": "timestamp"}, "b": 1})) == "Permission denied"
    reply = told.do(OnDisconnectSet(client, 1, ("a",), {".sv": "timestamp"}))
    assert reply is not None
    assert reply.refused is None
    told.do(Set(told.client("admin", admin=True), 1, ("a",), "there now"))
    told.do(Leave(client))
    assert told.database.tree.root == {"a": "there now"}


def test_after_a_crash_rules_are_asked_about_who_had_queued_it():
    told = asking({"mine": {"$uid": {".write": "auth.uid === $uid"}}, "open": {".write": "auth != null"}})
    client, signed_out, admin = told.client("leaving"), told.client("signed out"), told.client("admin", admin=True)
    for one in (client, signed_out):
        told.do(Identify(one, 1, ANNA))
        told.do(OnDisconnectSet(one, 2, ("mine", "anna", one.id), "by her"))
    told.do(OnDisconnectSet(client, 3, ("open",), "by her"))
    told.do(Identify(signed_out, 3, NOBODY))
    told.do(OnDisconnectSet(admin, 1, ("closed",), "by an administrator"))
    records = [commit.entries for commit in told.commits]
    assert sum(entry[0] == "a" for entries in records for entry in entries) == 4, "who asks again as the same is recorded once"
    replayed = [Database("again", told.database.access) for _ in range(2)]
    for commit in told.commits:
        replayed[0].replay(commit.sequence, commit.entries)
    replayed[1].restore(told.database.sessions())
    for again in replayed:
        assert again.sessions() == told.database.sessions()
        again.access = ruled({"mine": {"$uid": {".write": "auth.uid === $uid"}}, "open": {".write": False}})
        for session in list(again.queues):
            again.apply(Leave(Client(session)), NOW, [])
        assert again.tree.root == {"mine": {"anna": {"leaving": "by her"}}, "closed": "by an administrator"}


@pytest.mark.parametrize("crashes", [False, True])
def test_what_is_queued_is_carried_out_as_who_queued_it_though_the_credential_has_expired(crashes: bool):
    told = asking({"$uid": {".write": "auth.uid === $uid"}})
    expired, reader = told.client("expired"), told.client("reader")
    for client, then, is_expiry in ((expired, NOBODY, True), (reader, Identity(ANNA.auth, reads_only=True), False)):
        told.do(Identify(client, 1, ANNA))
        told.do(OnDisconnectSet(client, 2, ("anna", client.id), "by her"))
        told.do(Identify(client, None, then, is_expiry))
    database = told.database
    if crashes:
        database = Database("again", told.database.access)
        for commit in told.commits:
            database.replay(commit.sequence, commit.entries)
    for client in (expired, reader):
        database.apply(Leave(Client(client.id) if crashes else client), NOW, [])
    assert database.tree.root == {"anna": {"expired": "by her"}}, "who only reads writes nothing"


def test_an_update_of_nothing_queued_for_the_end_leaves_no_queue_after_a_crash():
    told = asking({".write": True})
    told.do(OnDisconnectUpdate(told.client(), 1, ("a",), {}))
    again = Database("again", told.database.access)
    for commit in told.commits:
        again.replay(commit.sequence, commit.entries)
    assert again.sessions() == told.database.sessions() == {}
    again.check()


def test_what_was_queued_before_records_said_by_whom_is_carried_out():
    again = Database("again", Open())
    again.replay(1, [["o", "gone", "/a", 1]])
    assert again.queues["gone"].asker is ADMIN


def test_an_update_of_the_end_is_one_write_for_the_rules_that_ask_about_all_of_it():
    alike = {".write": "newData.val() === newData.parent().child('a').val() && !data.parent().child('closed').exists()"}
    told = asking({"pair": {"a": alike, "b": alike, ".read": True}, "c": {".write": True}})
    for is_closed in (False, True):
        client, other = told.client("leaving"), told.client("listening")
        told.do(Listen(other, 1, ("pair",)))
        told.do(OnDisconnectUpdate(client, 1, (), {"pair/a": is_closed, "pair/b": is_closed, "c": is_closed}))
        if is_closed:
            told.do(Set(told.client("admin", admin=True), 1, ("pair", "closed"), True))
        other.take()
        replayed = Database("again", Open())
        replayed.restore(told.database.sessions())
        assert replayed.sessions() == told.database.sessions()
        told.do(Leave(client))
        # Both places are told of in one message, or none of the three is written.
        assert [value for _, _, value in other.take()] == ([] if is_closed else [{"a": False, "b": False}])
    assert told.database.tree.root == {"pair": {"a": False, "b": False, "closed": True}, "c": False}
    told.database.check()


def test_who_signs_out_hears_no_more():
    told = asking({"mine": {".read": "auth.uid == 'anna'"}, "all": {".read": True}})
    client = told.client()
    told.do(Identify(client, 1, ANNA))
    told.do(Listen(client, 2, ("mine",)))
    told.do(Listen(client, 3, ("all",)))
    told.do(Identify(client, 4, NOBODY))
    assert [(effect.client, effect.path) for effect in told.out if isinstance(effect, Revoke)] == [(client, ("mine",))]
    client.take()
    told.do(Update(told.client("admin", admin=True), 1, (), {"mine/x": 1, "all": 2}))
    assert [path for _, path, _ in client.take()] == ["/all"]


def test_who_signs_out_while_a_listen_waits_for_its_hash_is_told_nothing_by_a_stale_transaction_below():
    large = {f"k{number}": {"n": number} for number in range(2_000)}
    rules = {"list": {".read": "auth.uid === 'anna'", "k3": {".read": True, ".write": True}}}
    told = asking(rules, {"list": large})
    told.works = []
    client = told.client()
    told.do(Identify(client, 1, ANNA))
    assert told.do(Listen(client, 2, ("list",), node_hash(large))) is None
    told.do(Identify(client, 3, NOBODY))
    told.do(Set(client, 4, ("list", "k3"), 1, expected="stale"))
    answers = [(effect.request, effect.refused and effect.refused.text) for effect in told.out if isinstance(effect, Reply)]
    assert answers == [(2, "Permission denied"), (4, "Transaction hash does not match")]
    assert client.take() == []
    assert not client.listens
    told.do(Set(told.client("admin", admin=True), 1, ("list", "k4", "n"), "unheard"))
    assert client.take() == []


def test_a_change_of_rules_ends_the_listens_that_are_not_allowed_any_more():
    told = Asking(Open())
    one, two = told.client("one"), told.client("two")
    for client in (one, two):
        told.do(Listen(client, 1, ("a",)))
        told.do(Listen(client, 2, ()))
    assert set(told.database.listening()) == {one, two}
    told.do(Identify(one, 3, ANNA))
    told.database.access = ruled({"a": {".read": "auth != null"}})
    told.do(Recheck(tuple(told.database.listening())))
    revoked = [(effect.client, effect.path) for effect in told.out if isinstance(effect, Revoke)]
    assert sorted((client.id, path) for client, path in revoked) == [("one", ()), ("two", ()), ("two", ("a",))]
    assert list(one.listens) == [("a",)]


def test_a_listen_to_a_query_is_checked_and_revoked_as_such():
    told = asking({"a": {".read": "auth != null && query.limitToLast <= 5", ".indexOn": "n"}}, {"a": {"x": {"n": 1}}})
    client = told.client()
    few = parse_query({"i": "n", "l": 5, "vf": "r"})
    assert told.refusal(Listen(client, 1, ("a",), "", few, 7)) == "Permission denied"
    told.do(Identify(client, 2, ANNA))
    told.do(Listen(client, 3, ("a",), "", few, 7))
    assert told.database.listening() == [client]
    told.do(Identify(client, 4, NOBODY))
    assert [effect.query for effect in told.out if isinstance(effect, Revoke)] == [few]
    assert told.database.listening() == []


def test_who_develops_is_told_which_rule_said_no():
    told = asking({"a": {".write": True, ".read": "auth != null", "$k": {".validate": "newData.isNumber()"}}}, explains=True)
    client = told.client()
    assert told.refusal(Get(client, 1, ("a", "b"))) == (
        "Permission denied: no .read on the way to /a/b is true: .read at /a (line 1, column 43) is false"
    )
    assert told.refusal(Set(client, 1, ("a", "b"), "x")) == ("Permission denied: .validate at /a/b (line 1, column 79) is false")
    assert told.refusal(Set(client, 1, ("b",), 1)) == "Permission denied: there is no .write on the way to /b"


@pytest.mark.parametrize("rules", [{}, {"a": {".write": False}}])
def test_a_value_is_not_read_where_nobody_could_write(rules):
    told = asking(rules)
    assert told.refusal(Set(told.client(), 1, ("a",), {"not": {"a": {"value.": 1}}})) == "Permission denied"


def test_who_may_not_write_learns_nothing_from_a_denial_in_production():
    told = asking({"a": {".write": "data.child('secret').val() == 'x'"}}, {"a": {"secret": "y"}})
    assert told.refusal(Set(told.client(), 1, ("a",), 1)) == "Permission denied"
