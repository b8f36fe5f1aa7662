"""A write that was prepared is the write that the database would have made of the JSON itself, its record included."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from msgspec.structs import replace

from meadowlark.auth.identity import NOBODY, Identity
from meadowlark.engine import (
    Client,
    Commit,
    Counted,
    Drop,
    Listen,
    OnDisconnectSet,
    Ruled,
    Set,
    Update,
    decided_record,
    prepare_write,
    record_pieces,
)
from meadowlark.engine.ahead import Decision
from meadowlark.errors import Code
from meadowlark.rules import parse_rules
from meadowlark.tree import Path, Prepared, parse_path, prepare_slices
from tests.engine.asking import NOW, Asking

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
    assert asking.database.sessions() == {"one": [["a", "one", None, ""], ["o", "one", "/a", {"b": {"0": 1}}]]}


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


STRICT = """{"rules": {".write": true, "$k": {".validate":
    "newData.isNumber() && auth != null && (newData.val() <= now) && root.child('max').val() !== 0 && data.val() !== 'kept'"}}}"""
ANNA = Identity(auth={"uid": "anna"})


def finished(steps: Any) -> Any:
    """What the generator returns."""
    while True:
        try:
            next(steps)
        except StopIteration as stop:
            return stop.value


def ready(asking: Asking, command: Set | Update, now_ms: int = NOW) -> Set | Update:
    """The command, prepared and decided as the server does it with a large one."""
    database = asking.database
    prepared, pieces = finished(prepare_write(command, lambda place: database.check_write(command.client, place)))
    decision = finished(database.decide_ahead(prepared, now_ms))
    if pieces is None and decision is not None:
        pieces = decided_record(decision)
    return replace(prepared, decision=decision, record=None if pieces is None else b"".join(pieces))  # type: ignore[no-any-return]


def refusal(asking: Asking, command: Set | Update) -> Code | None:
    asking.do(command)
    refused = asking.out[-1].refused if not isinstance(asking.out[-1], Commit) else None  # type: ignore[union-attr]
    return refused.code if refused is not None else None


def ruled() -> tuple[Asking, Client]:
    asking = Asking(Ruled(parse_rules(STRICT)))
    client = asking.client()
    client.identity = ANNA
    return asking, client


@pytest.mark.parametrize("is_set", [True, False])
@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ({"a": 1, "b": 2}, None),
        ({"a": 1, "b": "text"}, Code.PERMISSION_DENIED),
        ({"a": 1, "b": NOW + 1}, Code.PERMISSION_DENIED),
        ({"a": {".sv": "timestamp"}, "b": {".sv": {"increment": 2}}}, None),
        ({"a": {".sv": "timestamp"}, "b": {".sv": {"increment": NOW}}}, Code.PERMISSION_DENIED),
        ({"max": 0, "b": 1}, None),
    ],
)
def test_what_is_decided_ahead_is_what_would_be_decided(raw: dict[str, Any], expected: Code | None, is_set: bool) -> None:
    trees = []
    for is_ahead in (True, False):
        asking, client = ruled()
        asking.do(Set(asking.client("admin", admin=True), 1, (), {"b": 7}))
        copied = orjson.loads(orjson.dumps(raw))
        command: Set | Update = Set(client, 1, (), copied) if is_set else Update(client, 1, (), copied)
        assert refusal(asking, ready(asking, command) if is_ahead else command) is expected
        trees.append((asking.database.tree.root, [commit.record or orjson.dumps(commit.entries) for commit in asking.commits]))
        assert not asking.database._writing.decisions.waiting or is_ahead
    assert trees[0] == trees[1]


@pytest.mark.parametrize("is_set", [True, False])
@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ("nothing", None),
        ("rules", Code.UNAVAILABLE),
        ("asker", Code.UNAVAILABLE),
        ("max", Code.UNAVAILABLE),
        ("max/below", Code.UNAVAILABLE),
        ("a", Code.UNAVAILABLE),
        ("", Code.UNAVAILABLE),
        ("elsewhere", None),
    ],
)
def test_a_decision_holds_until_something_is_written_that_it_hangs_on(change: str, expected: Code | None, is_set: bool) -> None:
    asking, client = ruled()
    values: dict[str, Any] = {"a": 1, "b": 2}
    command = ready(asking, Set(client, 1, ("w",), 1) if is_set else Update(client, 1, (), values))
    assert command.decision is not None
    assert len(asking.database._writing.decisions.waiting) == 1
    if change == "rules":
        asking.database.access = Ruled(parse_rules(STRICT.replace("isNumber", "isString")))
    elif change == "asker":
        client.identity = NOBODY
    elif change != "nothing":
        where = path(change.replace("a", "w") if is_set and change == "a" else change)
        asking.do(Set(asking.client("admin", admin=True), 1, where, 5))
    assert refusal(asking, command) is expected, change
    del command
    asking.out.clear()
    assert not asking.database._writing.decisions.waiting


def test_deciding_ends_when_it_is_known_that_it_is_for_nothing() -> None:
    asking, client = ruled()
    command = finished(prepare_write(Set(client, 1, (), {f"k{n}": n for n in range(5000)}), lambda place: None))[0]
    steps = asking.database.decide_ahead(command, NOW)
    next(steps)
    asking.do(Set(asking.client("admin", admin=True), 1, ("max",), 1))
    assert next(steps, "ended") == "ended"


def test_stale_comes_before_denied_and_an_admin_needs_no_decision() -> None:
    asking, client = ruled()
    asking.database.access = Ruled(parse_rules(STRICT.replace('".write"', '".read": true, ".write"')))
    command = ready(asking, Set(client, 1, (), {"a": "text"}, expected="hash"))
    assert command.decision is not None
    assert command.decision.denial is not None
    assert refusal(asking, command) is Code.STALE
    admin = asking.client("admin", admin=True)
    assert ready(asking, Set(admin, 1, (), {"a": 1})).decision is None
    timed = ready(asking, Set(admin, 1, (), {"a": {".sv": "timestamp"}}), NOW - 5)
    assert refusal(asking, timed) is None
    assert asking.database.tree.root == {"a": NOW - 5}
    assert asking.commits[-1].record == b'[["w","/",{"a":%d}]]' % (NOW - 5)


def test_a_denial_is_explained_ahead_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """In steps as it was decided, so that nothing is left to do when the write is refused."""
    for debugs, explains, text, debug in (
        (False, False, "Permission denied", ""),
        (True, False, "Permission denied", REASON),
        (False, True, f"Permission denied: {REASON}", ""),
    ):
        asking, client = ruled()
        asking.database.access = Ruled(parse_rules(STRICT), explains=explains)
        client.identity = Identity(auth={"uid": "anna"}, debugs=debugs)
        values = {f"k{number:05d}": number for number in range(3000)} | {"z": "text"}
        for command in (Set(client, 1, (), dict(values)), Update(client, 1, (), dict(values))):
            decided = ready(asking, command)
            with monkeypatch.context() as patch:
                patch.setattr("meadowlark.rules.decide.Writing.decide", lambda *given: pytest.fail("it was decided"))
                assert refusal(asking, decided) is Code.PERMISSION_DENIED
            refused = asking.out[-1].refused  # type: ignore[union-attr]
            assert refused is not None
            assert (refused.text, refused.debug) == (text, debug)
        assert asking.database.tree.root is None


REASON = ".validate at /z (line 2, column 5) is false"


def test_a_decision_is_not_looked_at_once_it_is_stale_or_carried_out(monkeypatch: pytest.MonkeyPatch) -> None:
    asking, client = ruled()
    looked: list[Any] = []
    written = Decision.written
    monkeypatch.setattr(Decision, "written", lambda decision, path: looked.append(path) or written(decision, path))
    command = ready(asking, Update(client, 1, (), {f"k{number}": number for number in range(10)}))
    assert refusal(asking, command) is None
    assert looked == [], "its own writes"
    stale = ready(asking, Update(client, 1, (), {"a": 1}))
    admin = asking.client("admin", admin=True)
    for number in range(3):
        asking.do(Set(admin, 1, ("max",), number))
    assert looked == [("max",)]
    assert refusal(asking, stale) is Code.UNAVAILABLE


def test_in_dev_what_is_decided_ahead_is_counted() -> None:
    asking, client = ruled()
    access = Counted(parse_rules(STRICT))
    asking.database.access = access
    assert refusal(asking, ready(asking, Set(client, 1, (), {"a": 1, "b": 2}))) is None
    assert [(count.true, count.false) for count in access.coverage.counts.values()] == [(1, 0), (2, 0)]
