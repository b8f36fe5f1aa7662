"""PyPI firebase-admin, unmodified, against `dev`: everything that it offers."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from typing import Any

import firebase_admin
import pytest
from firebase_admin import credentials, db, exceptions

from tests.harness import Server, fresh_name

pytestmark = pytest.mark.slow


@pytest.fixture(params=["url", "environment"])
def app(request: pytest.FixtureRequest, server: Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[firebase_admin.App]:
    """An app with a database of its own, told of the server by URL or by the emulator's variable."""
    ns = fresh_name("python")
    url = f"http://127.0.0.1:{server.port}?ns={ns}"
    if request.param == "environment":
        monkeypatch.setenv("FIREBASE_DATABASE_EMULATOR_HOST", f"127.0.0.1:{server.port}")
        url = f"https://{ns}.firebaseio.com"
    made = firebase_admin.initialize_app(credentials.Certificate(_nobody()), {"databaseURL": url}, name=ns)
    yield made
    firebase_admin.delete_app(made)


def test_set_get_update_delete(app: firebase_admin.App) -> None:
    reference = db.reference("/people", app)
    reference.set({"ada": {"born": 1815}, "alan": {"born": 1912}})
    assert reference.get() == {"ada": {"born": 1815}, "alan": {"born": 1912}}
    reference.update({"ada": {"born": 1815, "died": 1852}, "alan/died": 1954, "nobody": None})
    assert reference.child("alan").get() == {"born": 1912, "died": 1954}
    reference.child("ada").delete()
    assert reference.get() == {"alan": {"born": 1912, "died": 1954}}
    assert reference.child("ada").get() is None


def test_get_shallow(app: firebase_admin.App) -> None:
    reference = db.reference("/", app)
    reference.set({"branch": {"x": 1}, "leaf": "v"})
    assert reference.get(shallow=True) == {"branch": True, "leaf": True}
    assert reference.child("leaf").get(shallow=True) == "v"


def test_push_with_and_without_a_value(app: firebase_admin.App) -> None:
    reference = db.reference("/list", app)
    keys = [reference.push({"n": n}).key for n in range(5)]
    assert sorted(keys) == keys
    assert reference.push().get() == ""
    assert [reference.child(key).get()["n"] for key in keys] == [0, 1, 2, 3, 4]


def test_values_of_every_kind_and_script(app: firebase_admin.App) -> None:
    reference = db.reference("/values", app)
    values = {"t": True, "f": False, "i": 2**53 - 1, "d": 0.1, "s": "日本語 😀 \u2028", "a": [1, [2]], "ключ": {"مفتاح": 1}}
    reference.set(values)
    assert reference.get() == values
    assert reference.child("ключ/مفتاح").get() == 1


def test_etags(app: firebase_admin.App) -> None:
    reference = db.reference("/etag", app)
    reference.set(1)
    value, etag = reference.get(etag=True)
    assert value == 1
    assert reference.get_if_changed(etag) == (False, None, None)
    reference.set(2)
    changed, value, newer = reference.get_if_changed(etag)
    assert (changed, value) == (True, 2)
    assert newer != etag
    assert reference.set_if_unchanged(etag, 3) == (False, 2, newer)
    done, value, newest = reference.set_if_unchanged(newer, 3)
    assert (done, value) == (True, 3)
    assert reference.get(etag=True) == (3, newest)


def test_transaction_on_nothing_and_on_something(app: firebase_admin.App) -> None:
    reference = db.reference("/counter", app)
    assert reference.transaction(lambda current: (current or 0) + 1) == 1
    assert reference.transaction(lambda current: (current or 0) + 1) == 2


def test_transactions_of_several_threads_add_up(app: firebase_admin.App) -> None:
    reference = db.reference("/counter", app)
    failures: list[Exception] = []

    def add_five() -> None:
        for _ in range(5):
            while True:
                try:
                    reference.transaction(lambda current: (current or 0) + 1)
                except db.TransactionAbortedError:
                    continue  # Beaten 25 times: documented, and then a program tries again.
                except Exception as error:
                    failures.append(error)
                break

    threads = [threading.Thread(target=add_five) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert failures == []
    assert reference.get() == 20


def test_server_values(app: firebase_admin.App) -> None:
    reference = db.reference("/server", app)
    reference.set({"n": 1, "at": {".sv": "timestamp"}})
    reference.update({"n": {".sv": {"increment": 2}}})
    value = reference.get()
    assert value["n"] == 3
    assert isinstance(value["at"], int)


def test_listen_hears_the_state_then_each_change(app: firebase_admin.App) -> None:
    reference = db.reference("/stream", app)
    reference.set({"a": 1})
    heard: queue.Queue[tuple[str, str, Any]] = queue.Queue()
    registration = reference.listen(lambda event: heard.put((event.event_type, event.path, event.data)))
    try:
        assert heard.get(timeout=30) == ("put", "/", {"a": 1})
        reference.child("b/c").set([True])
        assert heard.get(timeout=30) == ("put", "/b/c", [True])
        reference.update({"a": 2, "d/e": "x"})
        assert heard.get(timeout=30) == ("patch", "/", {"a": 2, "d/e": "x"})
        reference.child("b").delete()
        assert heard.get(timeout=30) == ("put", "/b", None)
        reference.parent.update({"stream": {"whole": 1}, "beside": 1})
        assert heard.get(timeout=30) == ("put", "/", {"whole": 1})
    finally:
        end(registration, reference)


def test_listen_on_nothing_and_in_any_script(app: firebase_admin.App) -> None:
    reference = db.reference("/поток/流", app)
    heard: queue.Queue[tuple[str, str, Any]] = queue.Queue()
    registration = reference.listen(lambda event: heard.put((event.event_type, event.path, event.data)))
    try:
        assert heard.get(timeout=30) == ("put", "/", None)
        reference.child("ключ").set("значение 😀")
        assert heard.get(timeout=30) == ("put", "/ключ", "значение 😀")
    finally:
        end(registration, reference)


def test_bad_data_is_an_invalid_argument(app: firebase_admin.App) -> None:
    with pytest.raises(exceptions.InvalidArgumentError) as caught:
        db.reference("/x", app).set({"a.b": 1})
    assert len(str(caught.value)) > 10


def test_a_query_selects_children_in_order(app: firebase_admin.App) -> None:
    reference = db.reference("/scores", app)
    reference.set({"b": {"n": 2}, "a": {"n": 1}, "c": {"n": 3}, "10": {"n": 4}})
    assert list(reference.order_by_key().limit_to_first(2).get()) == ["10", "a"]
    assert list(reference.order_by_key().start_at("a").end_at("b").get()) == ["a", "b"]
    assert reference.order_by_key().equal_to("c").get() == {"c": {"n": 3}}
    assert reference.order_by_key().equal_to("none").get() in (None, {})


@pytest.fixture
def scores(app: firebase_admin.App, server: Server) -> db.Reference:
    """A place with children of every kind, whose indexes are declared."""
    reference: db.Reference = db.reference("/scores", app)
    reference.set(
        {
            "ada": {"n": 2, "at": {"town": "Paris"}, ".priority": 3},
            "bob": {"n": 1, "at": {"town": "Oslo"}, ".priority": 1},
            "cy": {"n": "x", ".priority": "p"},
            "dee": {"n": True},
            "10": {"n": 2},
        }
    )
    db.reference("/values", app).set({"a": 3, "b": "x", "c": True, "d": 1.5, "e": {"deep": 1}})
    rules = {"rules": {"scores": {".indexOn": ["n", "at/town"]}, "values": {".indexOn": ".value"}}}
    assert server.rest("PUT", "/.settings/rules", rules, ns=app.name).status == 200
    return reference


def keys(query: db.Query) -> list[str]:
    return list(query.get() or ())


def test_a_query_by_child_takes_bounds_and_limits(scores: db.Reference) -> None:
    assert keys(scores.order_by_child("n")) == ["dee", "bob", "10", "ada", "cy"]
    assert keys(scores.order_by_child("n").start_at(1).end_at(2)) == ["bob", "10", "ada"]
    assert keys(scores.order_by_child("n").equal_to(2)) == ["10", "ada"]
    assert keys(scores.order_by_child("n").equal_to("x")) == ["cy"]
    assert keys(scores.order_by_child("n").equal_to(True)) == ["dee"]
    assert keys(scores.order_by_child("n").limit_to_first(2)) == ["dee", "bob"]
    assert keys(scores.order_by_child("n").limit_to_last(2)) == ["ada", "cy"]
    assert keys(scores.order_by_child("n").start_at(2).limit_to_first(1)) == ["10"]
    assert keys(scores.order_by_child("n").end_at(2).limit_to_last(1)) == ["ada"]
    assert keys(scores.order_by_child("at/town").start_at("P")) == ["ada"]
    assert keys(scores.order_by_child("at/town").end_at("P").limit_to_last(1)) == ["bob"]
    assert scores.order_by_child("n").equal_to("none").get() in (None, {}, [])


def test_a_query_by_value_takes_bounds_and_limits(app: firebase_admin.App, scores: db.Reference) -> None:
    values = db.reference("/values", app)
    assert keys(values.order_by_value()) == ["c", "d", "a", "b", "e"]
    assert keys(values.order_by_value().start_at(1).end_at(2)) == ["d"]
    assert keys(values.order_by_value().start_at(2).end_at("x")) == ["a", "b"]
    assert keys(values.order_by_value().equal_to("x")) == ["b"]
    assert keys(values.order_by_value().limit_to_first(2)) == ["c", "d"]
    assert keys(values.order_by_value().limit_to_last(1)) == ["e"]


def test_a_query_by_key_takes_bounds_and_limits(scores: db.Reference) -> None:
    assert keys(scores.order_by_key()) == ["10", "ada", "bob", "cy", "dee"]
    assert keys(scores.order_by_key().start_at("b").limit_to_first(1)) == ["bob"]
    assert keys(scores.order_by_key().end_at("b").limit_to_last(1)) == ["ada"]
    assert keys(scores.order_by_key().start_at("ada").end_at("cy")) == ["ada", "bob", "cy"]
    assert keys(scores.order_by_key().equal_to("10")) == ["10"]


def test_a_query_by_priority_takes_bounds_and_limits(scores: db.Reference) -> None:
    """A reference has no word for it, but a query of the SDK knows the order; in which order it gives them is its own affair."""

    def by_priority() -> db.Query:
        return db.Query(order_by="$priority", client=scores._client, pathurl=scores._add_suffix())

    assert sorted(keys(by_priority())) == ["10", "ada", "bob", "cy", "dee"]
    assert sorted(keys(by_priority().start_at(1))) == ["ada", "bob", "cy"]
    assert sorted(keys(by_priority().start_at(1).end_at(2))) == ["bob"]
    assert sorted(keys(by_priority().equal_to("p"))) == ["cy"]
    assert sorted(keys(by_priority().limit_to_first(2))) == ["10", "dee"]
    assert sorted(keys(by_priority().limit_to_last(2))) == ["ada", "cy"]


def test_a_query_selects_of_an_array(app: firebase_admin.App, scores: db.Reference) -> None:
    values = db.reference("/values", app)
    values.set(["x", "y", "z"])
    assert values.order_by_value().equal_to("x").get() == ["x"]
    assert values.order_by_value().equal_to("z").get() == {"2": "z"}
    assert values.order_by_value().limit_to_first(2).get() == ["x", "y"]
    assert values.order_by_key().start_at("2").get() == {"2": "z"}


def test_etags_of_nothing_and_of_what_goes(app: firebase_admin.App) -> None:
    reference = db.reference("/etag", app)
    value, etag = reference.get(etag=True)
    assert (value, etag) == (None, "null_etag")
    assert reference.get_if_changed(etag) == (False, None, None)
    done, value, made = reference.set_if_unchanged(etag, {"list": ["a"], "n": {".sv": {"increment": 1}}})
    assert (done, value) == (True, {"list": ["a"], "n": {".sv": {"increment": 1}}})
    assert reference.get(etag=True) == ({"list": ["a"], "n": 1}, made)
    assert reference.set_if_unchanged("null_etag", 1)[:2] == (False, {"list": ["a"], "n": 1})
    reference.child("n").set(2)
    changed, value, newer = reference.get_if_changed(made)
    assert (changed, value["n"]) == (True, 2)
    reference.delete()
    assert reference.set_if_unchanged(newer, 1) == (False, None, "null_etag")
    with pytest.raises(ValueError, match="etag and shallow"):
        reference.get(etag=True, shallow=True)


def test_a_transaction_sees_what_others_wrote_meanwhile(app: firebase_admin.App) -> None:
    reference, seen = db.reference("/counter", app), list[Any]()
    reference.set(1)

    def add(current: Any) -> Any:
        seen.append(current)
        if len(seen) == 1:
            reference.set(10)
        return current + 1

    assert reference.transaction(add) == 11
    assert seen == [1, 10]


def test_a_query_without_its_index_says_what_to_declare(app: firebase_admin.App) -> None:
    reference = db.reference("/scores", app)
    reference.set({"a": {"n": 1}})
    with pytest.raises(exceptions.InvalidArgumentError, match=r'Index not defined, add "[.]indexOn": "n", for path "/scores"'):
        reference.order_by_child("n").limit_to_last(1).get()


def end(registration: db.ListenerRegistration, reference: db.Reference) -> None:
    """Close a listener. The SDK's close waits until its thread has read something more, so it is given something to read."""
    closing = threading.Thread(target=registration.close)
    closing.start()
    for word in range(100):
        reference.set(word)
        closing.join(0.1)
        if not closing.is_alive():
            return
    raise AssertionError("the listener did not close")


def _nobody() -> dict[str, str]:
    """A service account as the SDK wants to see one; it is never used to sign anything here."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()).decode()
    return {
        "type": "service_account",
        "project_id": "demo-meadowlark",
        "client_email": "nobody@example.invalid",
        "token_uri": "http://127.0.0.1:9/never-asked",
        "private_key": pem,
    }
