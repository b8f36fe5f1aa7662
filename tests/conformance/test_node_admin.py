"""firebase-admin for Node, unmodified, against `dev`: queries of every order with every bound and limit, and transactions.

What it shares with the namespaced browser SDK is in test_namespaced.py.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.conformance.conftest import Told, settings_for
from tests.harness import Script, Server, fresh_name

pytestmark = pytest.mark.slow

SCORES = {
    "ada": {"n": 2, "at": {"town": "Paris"}, ".priority": 3},
    "bob": {"n": 1, "at": {"town": "Oslo"}, ".priority": 1},
    "cy": {"n": "x", ".priority": "p"},
    "dee": {"n": True},
    "10": {"n": 2},
}
VALUES = {"a": 3, "b": "x", "c": True, "d": 1.5, "e": {"deep": 1}}

ASKED: dict[str, tuple[str, list[list[Any]], list[str]]] = {
    "child": ("scores", [["orderByChild", "n"]], ["dee", "bob", "10", "ada", "cy"]),
    "child from": ("scores", [["orderByChild", "n"], ["startAt", 2]], ["10", "ada", "cy"]),
    "child from a key on": ("scores", [["orderByChild", "n"], ["startAt", 2, "ada"]], ["ada", "cy"]),
    "child after": ("scores", [["orderByChild", "n"], ["startAfter", 1], ["endBefore", "x"]], ["10", "ada"]),
    "child to": ("scores", [["orderByChild", "n"], ["endAt", 1]], ["dee", "bob"]),
    "child equal": ("scores", [["orderByChild", "n"], ["equalTo", 2]], ["10", "ada"]),
    "child equal with a key": ("scores", [["orderByChild", "n"], ["equalTo", 2, "ada"]], ["ada"]),
    "child first": ("scores", [["orderByChild", "n"], ["limitToFirst", 2]], ["dee", "bob"]),
    "child last": ("scores", [["orderByChild", "n"], ["limitToLast", 2]], ["ada", "cy"]),
    "child from and first": ("scores", [["orderByChild", "n"], ["startAt", 1], ["limitToFirst", 2]], ["bob", "10"]),
    "deep child": ("scores", [["orderByChild", "at/town"], ["startAt", "A"]], ["bob", "ada"]),
    "value": ("values", [["orderByValue"]], ["c", "d", "a", "b", "e"]),
    "value between": ("values", [["orderByValue"], ["startAt", 1], ["endAt", 3]], ["d", "a"]),
    "value strictly between": ("values", [["orderByValue"], ["startAfter", 1], ["endBefore", 3]], ["d"]),
    "value equal": ("values", [["orderByValue"], ["equalTo", "x"]], ["b"]),
    "value last": ("values", [["orderByValue"], ["limitToLast", 2]], ["b", "e"]),
    "key": ("scores", [["orderByKey"]], ["10", "ada", "bob", "cy", "dee"]),
    "key between": ("scores", [["orderByKey"], ["startAt", "b"], ["endAt", "cy"]], ["bob", "cy"]),
    "key strictly between": ("scores", [["orderByKey"], ["startAfter", "ada"], ["endBefore", "cy"]], ["bob"]),
    "key equal": ("scores", [["orderByKey"], ["equalTo", "10"]], ["10"]),
    "key first": ("scores", [["orderByKey"], ["limitToFirst", 2]], ["10", "ada"]),
    "key last": ("scores", [["orderByKey"], ["limitToLast", 1]], ["dee"]),
    "priority": ("scores", [["orderByPriority"]], ["10", "dee", "bob", "ada", "cy"]),
    "priority from": ("scores", [["orderByPriority"], ["startAt", 1]], ["bob", "ada", "cy"]),
    "priority strictly between": ("scores", [["orderByPriority"], ["startAfter", 1], ["endBefore", "p"]], ["ada"]),
    "priority equal": ("scores", [["orderByPriority"], ["equalTo", "p"]], ["cy"]),
    "priority first": ("scores", [["orderByPriority"], ["limitToFirst", 3]], ["10", "dee", "bob"]),
    "priority last": ("scores", [["orderByPriority"], ["limitToLast", 2]], ["ada", "cy"]),
    "no order and a limit": ("scores", [["limitToLast", 1]], ["cy"]),
    "of a leaf": ("values/a", [["orderByKey"], ["limitToFirst", 1]], []),
    "of nothing": ("nothing", [["orderByKey"], ["limitToFirst", 1]], []),
    "of an array": ("array", [["orderByValue"], ["startAt", "y"]], ["1", "2"]),
}


@pytest.fixture(scope="module")
def told(node: Path, server: Server) -> Told:
    ns = fresh_name("admin-queries")
    server.write("/", {"scores": SCORES, "values": VALUES, "array": ["x", "y", "z"]}, ns=ns)
    rules = {"scores": {".indexOn": ["n", "at/town"]}, "values": {".indexOn": ".value"}, "array": {".indexOn": ".value"}}
    assert server.rest("PUT", "/.settings/rules", {"rules": rules}, ns=ns).status == 200
    asked = [[name, path, steps] for name, (path, steps, _) in ASKED.items()]
    with Script("admin_queries.mjs", settings_for(server, "admin", ns, asked=asked)) as script:
        return Told(script.finish(within=90))


@pytest.mark.parametrize("name", ASKED)
def test_a_query_selects_children_in_order_however_it_is_read(told: Told, name: str) -> None:
    selected = ASKED[name][2]
    assert told(name) == [["once", selected], ["get", selected], ["added", selected]]


def test_transactions_of_two_clients_add_up_and_one_that_gives_nothing_changes_nothing(told: Told) -> None:
    assert told("contention") == [["counter", 20], ["aborted", False, 20]]
