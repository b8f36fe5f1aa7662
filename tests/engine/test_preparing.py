"""A write that was prepared is the write that the database would have made of the JSON itself, its record included."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from meadowlark.auth.identity import NOBODY, Identity
from meadowlark.engine import Client, Commit, Drop, Listen, OnDisconnectSet, Ruled, Set, Update, prepare_write, record_pieces
from meadowlark.errors import Code, Refused
from meadowlark.rules import parse_rules
from meadowlark.tree import Path, Prepared, parse_path, prepare_slices
from tests.engine.asking import Asking

path = parse_path


def prepared(where: Path, raw: Any) -> Prepared:
    steps = prepare_slices(orjson.dumps(raw), len(where))
    while True:
        try:
            next(steps)
        except StopIteration as stop:
            return stop.value  # type: ignore[no-any-return]  # what the generator returns


def record(*writes: tuple[Path, Prepared]) -> bytes | None:
    pieces = record_pieces(list(writes))
    return None if pieces is None else b"".join(pieces)


VALUES = [1, "text", {"b": {"c": [1, None, 2.0]}}, {".value": 1, ".priority": "high"}, {"b": True, ".priority": 2}]


@pytest.mark.parametrize("raw", [*VALUES, None, {"b": None}, {"at": {".sv": "timestamp"}}, {"n": {".sv": {"increment": 2}}}])
def test_a_prepared_set_does_what_the_plain_one_does(raw: Any) -> None:
    plain, ready = Asking(), Asking()
    for asking in (plain, ready):
        asking.do(Set(asking.client(), 1, path("a/x"), {"n": 1}))
        asking.do(Listen(asking.client("two"), 1, path("a/x/b")))
    where = path("a/x")
    plain.do(Set(plain.client(), 2, where, raw))
    value = prepared(where, raw)
    ready.do(Set(ready.client(), 2, where, value, record=record((where, value))))
    assert repr(ready.database.tree.root) == repr(plain.database.tree.root)
    last, expected = ready.commits[-1], plain.commits[-1]
    assert last.entries == expected.entries
    assert last.record in (None, orjson.dumps(expected.entries))
    assert len(ready.out) == len(plain.out)


def test_where_something_is_put_the_record_is_ready() -> None:
    for raw in VALUES:
        assert record((path("a/é"), prepared(path("a/é"), raw))) is not None


@pytest.mark.parametrize("raw", [None, {"b": None}, {"at": {".sv": "timestamp"}}])
def test_where_the_database_must_decide_it_makes_the_record(raw: Any) -> None:
    where = path("a/b")
    assert record((path("c"), prepared(path("c"), 1)), (where, prepared(where, raw))) is None


def test_a_prepared_update_has_one_record_for_all() -> None:
    plain, ready = Asking(), Asking()
    raw = {"x": {"n": [1, 2]}, "y/z": "text"}
    writes = [(path(f"a/{key}"), prepared(path(f"a/{key}"), value)) for key, value in raw.items()]
    children = dict(zip(raw, [value for _, value in writes], strict=True))
    plain.do(Update(plain.client(), 1, path("a"), raw))
    ready.do(Update(ready.client(), 1, path("a"), children, record(*writes)))
    assert repr(ready.database.tree.root) == repr(plain.database.tree.root)
    assert ready.commits[-1].record == orjson.dumps(plain.commits[-1].entries)


def test_a_refused_one_changes_nothing() -> None:
    asking = Asking()
    where = path("a")
    value = prepared(where, {"b": 1})
    asking.refusal(Set(asking.client(), 1, where, value, expected="some other hash", record=record((where, value))))
    assert asking.database.tree.root is None
    assert not asking.commits


def test_a_prepared_value_may_be_queued() -> None:
    asking = Asking()
    one = Client("one", NOBODY)
    asking.do(OnDisconnectSet(one, 1, path("a"), prepared(path("a"), {"b": [1]})))
    assert asking.database.sessions() == {"one": [["o", "one", "/a", {"b": {"0": 1}}]]}


def test_what_a_write_replaces_is_handed_out_to_be_freed_if_it_is_large() -> None:
    asking = Asking()
    large = {str(number): {"n": number} for number in range(2_000)}
    for raw, count in (({"small": {"n": 1}}, 0), (large, 0), (None, 1), (large, 0), (large, 1), ("leaf", 1), (1, 0)):
        before = asking.database.tree.get(path("a"))
        asking.do(Set(asking.client(), 1, path("a"), raw))
        dropped = [effect.node for effect in asking.out if isinstance(effect, Drop)]
        assert [id(node) for node in dropped] == [id(before)] * count
    asking.do(Update(asking.client(), 1, (), {"a": large, "b": large}))
    asking.do(Update(asking.client(), 1, (), {"a": None, "b": 1}))
    assert len([effect for effect in asking.out if isinstance(effect, Drop)]) == 2
    assert isinstance(asking.out[-1], Commit)


def test_replaying_gives_what_was_replaced() -> None:
    asking = Asking()
    assert asking.database.replay(1, [["w", "/a", {"b": 1}]]) == [None]
    assert asking.database.replay(2, [["w", "/a/b", 2], ["w", "/a", None], ["o", "s", "/c", 1]]) == [1, {"b": 2}, None]


STRICT = '{"rules": {".write": true, "$k": {".validate": "newData.isNumber() && auth != null"}}}'
ANNA = Identity(auth={"uid": "anna"})


def ready(asking: Asking, command: Set | Update) -> Set | Update:
    """The command, prepared as the server prepares a large one."""
    database = asking.database
    steps = prepare_write(
        command,
        lambda place: database.check_write(command.client, place),
        lambda writes: database.validate_ahead(command.client, writes),
    )
    while True:
        try:
            next(steps)
        except StopIteration as stop:
            return stop.value[0]  # type: ignore[no-any-return]  # what the generator returns


def refusal(asking: Asking, command: Set | Update) -> Code | None:
    asking.do(command)
    refused = asking.out[-1].refused if not isinstance(asking.out[-1], Commit) else None  # type: ignore[union-attr]
    return refused.code if refused is not None else None


def ruled() -> tuple[Asking, Client]:
    asking = Asking(Ruled(parse_rules(STRICT)))
    client = asking.client()
    client.identity = ANNA
    return asking, client


def test_a_value_that_rules_deny_is_refused_while_it_is_prepared() -> None:
    asking, client = ruled()
    for command in (Set(client, 1, (), {"a": 1, "b": "text"}), Update(client, 1, (), {"a": 1, "b": "text"})):
        with pytest.raises(Refused) as raised:
            ready(asking, command)
        assert raised.value.code is Code.PERMISSION_DENIED


@pytest.mark.parametrize("whole", [True, False])
def test_what_was_validated_counts_for_the_rules_and_the_asker_that_it_was_asked_for(whole: bool) -> None:
    for change in ("nothing", "rules", "asker"):
        asking, client = ruled()
        values: dict[str, Any] = {"a": 1, "b": 2}
        command = ready(asking, Set(client, 1, (), values) if whole else Update(client, 1, (), values))
        assert command.validated is not None
        if change == "rules":
            asking.database.access = Ruled(parse_rules(STRICT.replace("isNumber", "isString")))
        if change == "asker":
            client.identity = NOBODY
        expected = None if change == "nothing" else Code.PERMISSION_DENIED
        assert refusal(asking, command) is expected, change


def test_server_values_and_transactions_are_validated_when_they_are_written() -> None:
    asking, client = ruled()
    assert ready(asking, Set(client, 1, (), {"a": {".sv": "timestamp"}})).validated is None
    assert ready(asking, Set(client, 1, (), {"a": "text"}, expected="hash")).validated is None
