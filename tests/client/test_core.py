"""The client's machine joined to the server's: what listeners hear, what is rolled back, what a broken connection does."""

from __future__ import annotations

from typing import Any

import pytest

from meadowlark.auth.identity import NOBODY
from meadowlark.client.core import Core
from meadowlark.client.errors import Overfull
from meadowlark.client.mirror import Write, parse_write
from meadowlark.client.protocol import Hello, Response
from meadowlark.engine import Locked, NothingDeclared
from meadowlark.errors import Refused
from meadowlark.query import Query, parse_query
from meadowlark.tree import node_hash
from tests.client.pair import Answers, Ear, Served, Wire


def make(served: Served) -> tuple[Core, Wire]:
    core = Core(lambda: served.now_ms - 5_000)
    return core, served.connect(core)


def listen(core: Core, *path: str) -> Ear:
    ear = Ear()
    ear.view = core.listen(path, None, ear.listener)
    return ear


def put(core: Core, path: tuple[str, ...], value: Any) -> Answers:
    answers = Answers()
    core.set(path, value, answers)
    return answers


def test_a_write_is_heard_at_once_here_and_after_the_server_elsewhere() -> None:
    served = Served()
    (writer, writers), (reader, readers) = make(served), make(served)
    here, there = listen(writer, "a"), listen(reader, "a")
    writers.settle(), readers.settle()
    assert here.value_count == there.value_count == 1
    answers = put(writer, ("a", "x"), 1)
    assert here.take()[-2:] == [("child_added", "x", 1, None), ("value", None, {"x": 1}, None)]
    assert there.value is None
    writers.settle(), readers.settle()
    assert answers.status == "ok"
    assert there.value == {"x": 1}
    assert here.take() == [], "what the server repeats is no news"


def test_a_refused_write_is_rolled_back() -> None:
    served = Served(Locked(), NOBODY)
    served.database.tree.set(("a",), {"x": 1})
    core, wire = make(served)
    ear = Ear()
    ear.view = core.mirror.open(("a",), None)
    core.mirror.told(("a",), {"x": 1}, None, is_merge=False)
    core.mirror.add(ear.view, ear.listener)
    ear.take()
    answers = put(core, ("a", "x"), 2)
    assert ear.take() == [("child_changed", "x", 2, None), ("value", None, {"x": 2}, None)]
    wire.send()
    wire.receive()
    assert answers.status == "permission_denied"
    assert ear.take() == [("child_changed", "x", 1, None), ("value", None, {"x": 1}, None)]


def test_a_denied_listen_ends_the_listener_with_the_reason() -> None:
    served = Served(Locked(), NOBODY)
    core, wire = make(served)
    ear = listen(core, "secret")
    wire.settle()
    assert ear.ended == "permission_denied"
    assert ear.events == []


def test_server_values_are_guessed_and_then_known() -> None:
    served = Served()
    core, wire = make(served)
    ear = listen(core, "a")
    wire.settle()
    ear.take()
    put(core, ("a",), {"at": {".sv": "timestamp"}, "n": {".sv": {"increment": 3}}})
    assert ear.value == {"at": served.now_ms, "n": 3}, "the clock's offset is known from the hello"
    served.now_ms += 40
    wire.settle()
    assert ear.value == {"at": served.now_ms, "n": 3}


def test_writes_asked_without_a_connection_are_sent_in_their_order() -> None:
    served = Served()
    core = Core(lambda: served.now_ms)
    ear = listen(core, "a")
    first, second = put(core, ("a",), 1), put(core, ("a",), 2)
    assert ear.value == 2
    wire = served.connect(core)
    wire.settle()
    assert (first.status, second.status, served.root) == ("ok", "ok", {"a": 2})


def test_an_unanswered_write_is_sent_again_after_a_cut() -> None:
    served = Served()
    core, wire = make(served)
    answers = put(core, ("a",), 1)
    wire.cut()
    assert answers.status is None
    served.connect(core).settle()
    assert answers.status == "ok"
    assert served.root == {"a": 1}


def test_an_unanswered_transaction_ends_with_the_connection() -> None:
    served = Served()
    core, wire = make(served)
    answers = Answers()
    core.compare_and_set(Write(("a",), [(("a",), parse_write(("a",), 1))]), 1, node_hash(None), answers)
    wire.send()
    wire.cut()
    assert answers.status == "disconnected"
    served.connect(core).settle()
    assert served.root == {"a": 1}, "it was carried out, which the client cannot know"


def test_a_stale_transaction_hears_of_the_value_before_its_answer() -> None:
    served = Served()
    core, wire = make(served)
    ear = listen(core, "a")
    wire.settle()
    other, others = make(served)
    put(other, ("a",), 7)
    others.settle()
    answers = Answers()
    core.compare_and_set(Write(("a",), [(("a",), parse_write(("a",), 1))]), 1, node_hash(None), answers)
    wire.settle()
    assert answers.status == "datastale"
    assert ear.value == 7


def test_after_a_reconnect_what_did_not_change_is_not_told_again() -> None:
    served = Served()
    served.database.tree.set(("a",), {"x": 1, "y": {"z": "q"}})
    core, wire = make(served)
    ear = listen(core, "a")
    wire.settle()
    ear.take()
    wire.cut()
    again = served.connect(core)
    again.send()
    assert again._to_client == [b'{"t":"d","d":{"r":2,"b":{"s":"ok","d":{}}}}'], "the hash was right: only the answer"
    again.settle()
    assert ear.take() == []


def test_after_a_reconnect_what_changed_meanwhile_is_told_as_a_difference() -> None:
    served = Served()
    served.database.tree.set(("a",), {"x": 1, "y": 2})
    core, wire = make(served)
    ear = listen(core, "a")
    wire.settle()
    ear.take()
    wire.cut()
    served.database.tree.set(("a", "y"), 3)
    served.connect(core).settle()
    assert ear.take() == [("child_changed", "y", 3, "x"), ("value", None, {"x": 1, "y": 3}, None)]


class OnlyPoints(NothingDeclared):
    def find(self, path: tuple[str, ...], asked: Query) -> bool:
        return asked.index == "points"


def test_a_listen_whose_index_nobody_declared_works_and_warns_with_the_place_and_the_index() -> None:
    served = Served()
    served.database.tree.set(("scores", "7"), {"ann": {"points": 5, "at": {"m": 2}}, "bob": {"points": 9, "at": {"m": 1}}})
    served.database.indexes = OnlyPoints()
    core, wire = make(served)
    warnings: list[str] = []
    core.on_warning = warnings.append
    ears = [Ear() for _ in range(4)]
    for ear, order in zip(ears, ["at/m", "points", ".key", ".priority"], strict=True):
        ear.view = core.listen(("scores", "7"), parse_query({"i": order, "l": 1, "vf": "l"}), ear.listener)
    wire.settle()
    expected = 'no_index: add ".indexOn": "at/m" at /scores/7 to the rules'
    assert warnings == [expected], "and not of what is declared or needs no index"
    assert ears[0].value == {"bob": {"points": 9, "at": {"m": 1}}}
    wire.cut()
    served.connect(core).settle()
    assert warnings == [expected] * 2, "it is as it was, and so is the warning"


@pytest.mark.parametrize(
    "payload", [None, "no_index", [], {}, {"w": None}, {"w": "no_index"}, {"w": 1}, {"w": [["no_index"], 1]}]
)
def test_an_answer_to_a_listen_without_that_warning_warns_of_nothing(payload: Any) -> None:
    core = Core(lambda: 0)
    warnings: list[str] = []
    core.on_warning = warnings.append
    core.opened(Hello(0, "host", "session"), None, Answers())
    core.listen(("a",), parse_query({"i": "n", "l": 1, "vf": "l"}), Ear().listener)
    core.said(Response(1, "ok", payload))
    assert warnings == []


def test_two_listeners_of_one_place_are_one_listen() -> None:
    served = Served()
    core, wire = make(served)
    first, second = listen(core, "a"), listen(core, "a")
    wire.send()
    assert core._last_number == 1
    wire.settle()
    assert first.view is second.view
    core.unlisten(first.view, first.listener)
    assert not core.outgoing
    core.unlisten(second.view, second.listener)
    assert b'"a":"n"' in core.outgoing.take()[0]


@pytest.mark.parametrize("over", [("a",), ()])
def test_what_was_said_to_a_listen_that_is_over_is_not_taken_for_the_next(over: tuple[str, ...]) -> None:
    served = Served()
    served.database.tree.set(("a",), {"x": 1})
    core, wire = make(served)
    old = listen(core, *over)
    wire.send()
    assert old.view is not None
    core.unlisten(old.view, old.listener)
    put(core, ("a",), None)
    ear = listen(core, "a")
    wire.settle()
    assert served.root is None
    assert ear.value is None, "the first listen was told of a value that is gone, and nobody said so to the second"
    assert core.mirror.views[("a",), None].server is None


def test_a_listen_that_was_begun_while_two_above_it_end_keeps_what_its_answer_is_about() -> None:
    served = Served()
    served.database.tree.set(("a", "b"), 1)
    core, wire = make(served)
    root, above = listen(core), listen(core, "a")
    wire.settle()
    assert root.view is not None
    assert above.view is not None
    core.unlisten(above.view, above.listener)
    ear = listen(core, "a", "b")
    core.unlisten(root.view, root.listener)
    wire.settle()
    assert ear.value == 1, "the server was told the hash of what is known, and says only that it is right"
    assert core.mirror.views[("a", "b"), None].server == 1


def test_a_part_that_a_listen_above_is_told_of_is_not_the_whole() -> None:
    served = Served()
    served.database.tree.set(("a",), {"x": 1, "y": 2})
    core, wire = make(served)
    listen(core)
    wire.settle()
    other, others = make(served)
    put(other, ("a", "x"), 7)
    others.settle()
    ear = listen(core, "a")
    wire.settle()
    values = [event[2] for event in ear.take() if event[0] == "value"]
    assert values[-1] == {"x": 7, "y": 2}
    assert all(type(value) is dict and value["y"] == 2 for value in values)


def test_a_priority_goes_with_the_last_child_also_where_another_comes_in_the_same_write() -> None:
    served = Served()
    (writer, writers), (reader, readers) = make(served), make(served)
    ear = listen(reader, "a")
    put(writer, ("a",), {".priority": 1, "x": 1})
    writers.settle(), readers.settle()
    for key in "bcdefgh":  # Whatever the order in which a set of two keys is gone through.
        put(writer, ("a",), {".priority": 1, "x": 1})
        writer.update(("a",), {"x": None, key: False}, Answers())
        writers.settle(), readers.settle()
        assert ear.value == served.root["a"] == {key: False}  # type: ignore[call-overload, index]


def test_so_much_may_wait_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("meadowlark.client.core.WAITING_BYTES_MAX", 1000)
    monkeypatch.setattr("meadowlark.client.core.WAITING_REQUESTS_MAX", 20)
    served = Served()
    core = Core(lambda: served.now_ms)
    ear = listen(core, "a")
    answers = [put(core, ("a", str(number)), number) for number in range(20)]
    with pytest.raises(Overfull, match=r"20 requests of \d+ bytes wait for the server: limits are 20 and 1000"):
        put(core, ("a", "more"), 1)
    assert "more" not in dict(ear.children), "nobody was told of what was not taken"
    wire = served.connect(core)
    wire.settle()
    assert all(answer.status == "ok" for answer in answers)
    put(core, ("a", "more"), "x" * 800)
    with pytest.raises(Overfull):
        put(core, ("a", "still more"), "x" * 200)
    with pytest.raises(Overfull):
        core.on_disconnect("o", ("b",), "x" * 200, Answers())
    wire.settle()
    put(core, ("a", "still more"), "x" * 200)


def test_a_read_that_nobody_waits_for_is_not_sent() -> None:
    served = Served()
    core = Core(lambda: served.now_ms)
    gone, stays = Answers(), Answers()
    core.get(("a",), None, gone)
    core.get(("b",), None, stays)
    core.drop(gone)
    served.connect(core).settle()
    assert (gone.status, stays.status) == (None, "ok")
    assert core._last_number == 1


def test_whoever_comes_later_is_told_what_is_known() -> None:
    served = Served()
    served.database.tree.set(("a",), {"x": 1})
    core, wire = make(served)
    listen(core, "a")
    wire.settle()
    late = listen(core, "a")
    assert late.take() == [("child_added", "x", 1, None), ("value", None, {"x": 1}, None)]


def test_a_listener_that_stops_itself_hears_no_more() -> None:
    served = Served()
    core, wire = make(served)
    ear = listen(core, "a")
    told = ear.listener.told

    def stop(event: Any) -> None:
        told(event)
        if event.kind == "child_added":
            core.unlisten(ear.view, ear.listener)

    ear.listener.told = stop
    wire.settle()
    ear.take()
    put(core, ("a",), {"x": 1, "y": 2})
    assert ear.take() == [("child_added", "x", 1, None)]


def test_a_read_is_answered_from_the_server_or_from_a_listener() -> None:
    served = Served()
    served.database.tree.set(("a",), {"x": 1})
    core, wire = make(served)
    assert core.find_known(("a",), None) == (False, None)
    answers = Answers()
    core.get(("a",), None, answers)
    wire.settle()
    assert (answers.status, answers.payload) == ("ok", {"x": 1})
    listen(core, "a")
    wire.settle()
    assert core.find_known(("a", "x"), None) == (True, 1)


def test_on_disconnect_runs_when_the_connection_ends() -> None:
    served = Served()
    core, wire = make(served)
    for action, path, value in [("o", ("a",), 1), ("om", ("b",), {"c": 2}), ("o", ("d",), 3), ("oc", ("d",), None)]:
        core.on_disconnect(action, path, value, Answers())
    wire.settle()
    assert served.root is None
    wire.cut()
    assert served.root == {"a": 1, "b": {"c": 2}}


def test_what_can_never_be_written_is_refused_before_anyone_hears_of_it() -> None:
    served = Served()
    core, wire = make(served)
    ear = listen(core, "a")
    wire.settle()
    ear.take()
    with pytest.raises(Refused):
        put(core, ("a",), {"b.c": 1})
    with pytest.raises(ValueError, match="limit"):
        put(core, ("a",), {str(number): "x" * 9_000_000 for number in range(2)})
    assert ear.take() == []
    assert not core.outgoing
