"""Every recorded case of tests/specs/rules asked of a running server: rules uploaded, data written, identity taken on.

What `tests/rules/test_cases.py` asks of the rules alone is asked here over REST. What cannot be, and why:

- of the operations, two reads whose answer hangs on the recorded `now`: a server has its own clock, which nobody can set. Writes
  of a value that is `now` are asked as writes of a server timestamp, which is what `now` equals;
- of an order by which the server has no index, the children: rules are asked before that is found out, so whoever is told that
  the index is missing was allowed.

That an evaluation failed, which to a client is the same as false, is what the explanation says.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest

from tests.harness import Response, Server, fresh_name
from tests.rules.cases import OPERATIONS, Case, load, verdict, with_priority

pytestmark = pytest.mark.slow

EXPRESSIONS = load("expressions.json", "expressions")

HANG_ON_TIME = {"tg/mocha/20", "tg/mocha/119"}
"""Operations that only the clock of their recording allows: `now == 1234`, and `data.val() > now` of a value as old."""


def timed(case: Case) -> Case:
    """`case` with server timestamps for what is the time of its recording."""

    def turned(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: turned(inner) for key, inner in value.items()}
        return {".sv": "timestamp"} if value == case["now"] and not isinstance(value, bool) else value

    return case | {name: turned(case[name]) for name in ("value", "patch") if name in case}


class Asking:
    """One database of the server, whose rules and data each case replaces."""

    def __init__(self, server: Server, ns: str) -> None:
        self._server = server
        self._ns = ns

    def set_rules(self, rules: Any) -> Response:
        return self._server.rest("PUT", "/.settings/rules", rules, ns=self._ns)

    def set_data(self, data: Any) -> None:
        answer = self._server.rest("PUT", "/", ns=self._ns, raw=json.dumps(data).encode())
        assert answer.status == 200, answer

    def ask(self, method: str, path: str, auth: Any, *, query: Case | None = None, written: Any = None) -> str:
        """`allow`, `deny` or `invalid_path`."""
        parameters = {"auth_variable_override": auth} | {("orderBy" if n[:7] == "orderBy" else n): v for n, v in ordered(query)}
        answer = self._server.rest(
            method,
            f"/{path.lstrip('/')}",
            ns=self._ns,
            query="&".join(f"{name}={quote(json.dumps(value))}" for name, value in parameters.items()),
            raw=None if method == "GET" else json.dumps(written).encode(),
        )
        if answer.status == 400:
            return "allow" if "Index not defined" in answer.json()["error"] else "invalid_path"
        return {200: "allow", 401: "deny"}[answer.status]

    def explain(self, auth: Any, path: str, query: Any = None) -> Any:
        question = {"operation": "read", "path": path, "as": auth, "query": query}
        answer = self._server.rest("POST", f"/.meadowlark/explain/{self._ns}", question)
        assert answer.status == 200, answer
        return answer.json()


def ordered(query: Case | None) -> Iterator[tuple[str, Any]]:
    """A case's query as REST has it: an order is named by what it is of."""
    for name, value in (query or {}).items():
        special = {"orderByKey": "$key", "orderByValue": "$value", "orderByPriority": "$priority"}
        yield name, special.get(name, value)


@pytest.fixture(scope="module")
def asking(server: Server) -> Asking:
    return Asking(server, fresh_name("recorded"))


@pytest.mark.parametrize("file", ["expressions.json", "bolt.json", "production.json"])
def test_recorded_operations_have_their_outcome(asking: Asking, file: str) -> None:
    for recorded in load(file, "operations"):
        if recorded["id"] not in HANG_ON_TIME:
            case = timed(recorded)
            assert asking.set_rules(case["rules"]).status == 200
            asking.set_data(case["data"])
            method = {"read": "GET", "write": "PUT", "update": "PATCH"}[case["op"]]
            written = case.get("patch") if case["op"] == "update" else with_priority(case)
            outcome = asking.ask(method, case["path"], case["auth"], query=case.get("query"), written=written)
            assert outcome == case["expect"], case["id"]


def test_what_is_left_out_is_what_hangs_on_the_time_of_its_recording() -> None:
    now = int(time.time() * 1000)
    other = {case["id"] for case in OPERATIONS if verdict(timed(case) | {"now": now}) != case["expect"]}
    assert other == HANG_ON_TIME


def test_recorded_rule_sets_are_accepted_or_refused_with_a_place(asking: Asking) -> None:
    for case in load("expressions.json", "rulesets"):
        answer = asking.set_rules(case["rules"])
        assert answer.status == (200 if case["expect"] == "accept" else 400), case["id"]
        if answer.status == 400:
            assert all(re.match(r"[0-9]+:[0-9]+: \S", line) for line in answer.json()["error"].splitlines()), answer


def test_recorded_expressions_have_their_value_or_fail(asking: Asking) -> None:
    for case in EXPRESSIONS:
        rules, path = {".read": case["rule"]}, ""
        for name, key in case.get("wildcards", {}).items():
            rules, path = {name: rules}, f"/{key}{path}"
        answer = asking.set_rules({"rules": rules})
        assert answer.status == (200 if case["expect_valid"] else 400), case["id"]
        if answer.status == 400:
            assert_points_into(answer.json()["error"], json.dumps({"rules": rules}), json.dumps(case["rule"]))
            continue
        asking.set_data(case.get("data"))
        outcome = asking.ask("GET", path, case["auth"], query=case.get("query"))
        assert outcome == ("allow" if case.get("expect_value") else "deny"), case["id"]
        if not case.get("query"):
            (step,) = asking.explain(case["auth"], path)["steps"]
            assert ("error" in step) is case["expect_runtime_error"], case["id"]


def assert_points_into(error: str, text: str, rule: str) -> None:
    """Every complaint has a place within the rule, quotes and all, in the file, which has one line."""
    start = text.index(rule) + 1
    for line in error.splitlines():
        place = re.match(r"1:([0-9]+): ", line)
        assert place is not None, error
        assert start <= int(place[1]) <= start + len(rule), (error, rule)


def test_recorded_patterns_are_accepted_or_refused(asking: Asking) -> None:
    for case in load("expressions.json", "regexes"):
        answer = asking.set_rules({"rules": {".read": f"'x'.matches(/{case['source']}/{case['flags']})"}})
        assert answer.status == (200 if case["expect"] == "accept" else 400), case


def test_recorded_methods_of_strings_give_what_they_gave(asking: Asking) -> None:
    for case in load("expressions.json", "strings"):
        arguments = ", ".join(text if text.startswith("/") else f"'{text}'" for text in case["args"])
        wanted = f"'{case['expect']}'" if isinstance(case["expect"], str) else str(case["expect"]).lower()
        rule = f"'{case['receiver']}'.{case['method']}({arguments}) == {wanted}"
        assert asking.set_rules({"rules": {".read": rule}}).status == 200
        assert asking.ask("GET", "", None) == "allow", rule
