"""The blocking face of the client against a real server: all that the asynchronous one does, called from a script's thread."""

from __future__ import annotations

import queue
import signal
import threading
import time
from typing import Any

import pytest

from meadowlark.client import Closed, Denied, blocking, increment
from meadowlark.client.webtransport import TransportConnection
from meadowlark.errors import Refused
from meadowlark.testing import credential_of
from tests.harness import Server, eventually, fresh_name

SECONDS = 30.0
RULES = {"rules": {"mine": {"$uid": {".read": "auth.uid === $uid", ".write": "auth.uid === $uid"}}}}


@pytest.fixture
def ruled(server: Server) -> str:
    """A database in which everybody has a place of their own."""
    ns = fresh_name("ruled")
    assert server.rest("PUT", "/.settings/rules", RULES, ns=ns).status == 200
    return f"http://127.0.0.1:{server.port}?ns={ns}"


def test_the_blocking_client(url: str) -> None:
    with blocking.Database(url) as database, blocking.Database(url) as other:
        ref = database.ref("a")
        ref.set({"x": 1})
        ref.update({"y": 2})
        pushed = ref.push("z")
        assert pushed.key is not None
        assert ref.get().value == {"x": 1, "y": 2, pushed.key: "z"}
        assert ref.where(lambda place: place.order_by_key().limit_to_first(1)).get().size == 1
        heard = threading.Event()
        with other.ref("a/x").on_value(lambda snapshot: heard.set() if snapshot.value == 2 else None):
            assert ref.child("x").transaction(lambda value: value + 1)[0]
            assert heard.wait(SECONDS)
        values = other.ref("a/x").values()
        assert next(values).value == 2
        values.close()
        ref.remove()
        eventually(lambda: not other.ref("a").get().exists, what="the removal heard of")
        with pytest.raises(Refused):
            ref.set({"no.key": 1})


def test_places(url: str) -> None:
    with blocking.Database(url) as database:
        place = database.ref("a") / "b/c"
        assert (place.path, place.key) == ("/a/b/c", "c")
        assert place.parent is not None
        assert place.parent.path == "/a/b"
        assert database.ref().parent is None
        place.set(1, priority=2)
        place.set_priority(3)
        assert place.get().priority == 3


def test_children_are_iterated_one_event_at_a_time(url: str) -> None:
    with blocking.Database(url) as database, blocking.Database(url) as other:
        other.ref("list").set({"a": 1, "b": 2})
        events = database.ref("list").children()
        assert [next(events).key for _ in range(2)] == ["a", "b"]
        other.ref("list/c").set(3)
        other.ref("list/a").remove()
        told = [next(events) for _ in range(2)]
        assert [(event.kind, event.key) for event in told] == [("child_added", "c"), ("child_removed", "a")]
        events.close()
        newest = database.ref("list").where(lambda place: place.order_by_key().limit_to_last(1)).children(("child_added",))
        assert next(newest).snapshot.value == 3


def test_an_iteration_ends_with_the_database(url: str) -> None:
    database = blocking.Database(url)
    values = database.ref("a").values()
    next(values)
    threading.Timer(0.1, database.close).start()
    with pytest.raises(Closed):
        next(values)


def test_an_iteration_that_is_interrupted_ends_as_programs_do(url: str) -> None:
    with blocking.Database(url) as database:
        values = database.ref("a").values()
        next(values)

        def wait_and_be_interrupted() -> None:
            threading.Timer(0.2, signal.pthread_kill, (threading.get_ident(), signal.SIGINT)).start()
            next(values)

        with pytest.raises(KeyboardInterrupt):
            wait_and_be_interrupted()
        database.ref("a").set(1)
        assert database.ref("a").get().value == 1


def test_volatile_values_and_how_often_they_are_told(url: str) -> None:
    with blocking.Database(url) as writer, blocking.Database(url) as reader:
        writer.wait_connected()
        reader.set_volatile_rate(1000)
        with pytest.raises(ValueError, match="a rate is 0"):
            reader.set_volatile_rate(-1)
        shown: queue.Queue[Any] = queue.Queue()
        with reader.ref("cursor").on_value(lambda snapshot: shown.put(snapshot.value)):
            assert shown.get(timeout=SECONDS) is None
            assert writer.ref("cursor").set_volatile({"x": 1})
            assert shown.get(timeout=SECONDS) == {"x": 1}
            writer.go_offline()
            assert shown.get(timeout=SECONDS) is None, "it went with its writer"
            eventually(lambda: not writer.is_connected)
            assert not writer.ref("cursor").set_volatile({"x": 2})


def test_presence(url: str) -> None:
    with blocking.Database(url) as guest, blocking.Database(url) as host:
        guest.ref("here/a").on_disconnect.set("gone", priority=1)
        guest.ref("here").on_disconnect.update({"b": 1, "c": increment(2)})
        guest.ref("here/d").set(True)
        guest.ref("here/d").on_disconnect.remove()
        guest.ref("here/e").on_disconnect.set(1)
        guest.ref("here/e").on_disconnect.cancel()
        states: list[bool] = []
        stop = guest.on_connection(states.append)
        guest.go_offline()
        eventually(lambda: host.ref("here").get().value == {"a": "gone", "b": 1, "c": 2})
        guest.go_online()
        eventually(lambda: states == [True, False, True])
        stop()
        assert abs(guest.server_time_ms - time.time() * 1000) < 60_000


def test_who_one_is_may_change(ruled: str) -> None:
    with blocking.Database(ruled) as database:
        with pytest.raises(Denied):
            database.ref("mine/anna").set(1)
        database.authenticate(credential_of("anna"))
        database.ref("mine/anna").set(1)
        database.authenticate(lambda must_refresh: credential_of("bert"))
        database.ref("mine/bert").set(2)
        with pytest.raises(Denied):
            database.ref("mine/anna").get()
        database.authenticate(None)
        with pytest.raises(Denied):
            database.ref("mine/bert").get()


def test_a_token_callback_is_an_ordinary_function_that_may_wait(ruled: str) -> None:
    asked: list[tuple[bool, str]] = []

    def token(must_refresh: bool) -> str | None:
        asked.append((must_refresh, threading.current_thread().name))
        if len(asked) == 1:
            raise LookupError("no network")
        return credential_of("anna") if must_refresh else "no.such.token"

    with blocking.Database(ruled, token=token) as database:
        database.ref("mine/anna").set(1)
        assert database.ref("mine/anna").get().value == 1
    assert [must_refresh for must_refresh, _ in asked] == [False, False, True]
    assert {name for _, name in asked} == {"meadowlark token"}


def test_a_token_callback_that_hangs_keeps_nobody(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("meadowlark.client.database.TOKEN_SECONDS", 0.1)
    may_end = threading.Event()
    count = 0

    def token(must_refresh: bool) -> str | None:
        nonlocal count
        count += 1
        if count == 1:
            may_end.wait(SECONDS)
        return None

    with blocking.Database(url, token=token) as database:
        database.ref("a").set(1)
    may_end.set()
    assert count >= 2, "it was asked again"


def test_the_transport_may_be_chosen(url: str) -> None:
    with blocking.Database(url, transports=("webtransport",), timeout=60) as database:
        database.ref("a").set(1)
        assert database.ref("a").get().value == 1
        assert isinstance(database._database._connection, TransportConnection)
    with pytest.raises(ValueError, match="expected webtransport, websocket, or both"):
        blocking.Database(url, transports=())


def test_an_error_of_a_listener_is_told(ruled: str) -> None:
    with blocking.Database(ruled) as database:
        faults: queue.Queue[Exception] = queue.Queue()
        database.ref("mine/anna").on_value(lambda snapshot: None, error=faults.put)
        assert isinstance(faults.get(timeout=SECONDS), Denied)
        database.ref("mine/anna").on_child(lambda event: None, kinds=("child_added",), error=faults.put)
        assert isinstance(faults.get(timeout=SECONDS), Denied)
        with pytest.raises(Denied):
            next(database.ref("mine/anna").values())


def test_a_listener_that_would_wait_for_itself_is_told_so_and_may_stop_itself(url: str) -> None:
    with blocking.Database(url) as database:
        told: queue.Queue[Any] = queue.Queue()

        def hear(snapshot: Any) -> None:
            try:
                database.ref("b").set(1)
            except RuntimeError as error:
                told.put(str(error))
            listening.stop()

        ready = threading.Event()
        database.ref("a").set(0)

        def first(snapshot: Any) -> None:
            ready.wait(SECONDS)
            hear(snapshot)

        listening = database.ref("a").on_value(lambda snapshot: first(snapshot) if snapshot.value else None)
        ready.set()
        database.ref("a").set(1)
        assert "on another thread" in told.get(timeout=SECONDS)
        database.ref("a").set(2)
        assert told.empty(), "it has stopped itself"


def test_a_call_takes_no_longer_than_it_may() -> None:
    with blocking.Database("http://127.0.0.1:1?ns=nobody-is-there", timeout=0.05) as database:
        with pytest.raises(TimeoutError):
            database.ref("a").get()
        assert not database.is_connected
