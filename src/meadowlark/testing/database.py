"""A database for one test: asked over REST, listened to with the client, and asked what its rules would say.

Nothing has to be made: on a `dev` server a name that nobody has used is an empty database. Every call is one request of its own
and bounded in time. Assertions about rules change nothing: the server is asked to explain what it would decide.
Source: docs/testing.md; docs/rules.md "Explaining".
"""

from __future__ import annotations

import contextlib
import http.client
import json
import urllib.parse
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from meadowlark.testing.people import ADMIN, Person, Standing, auth_of, credential_of, name_of

if TYPE_CHECKING:
    from meadowlark.client import blocking

REST_SECONDS = 30.0
"""Of one request; a busy machine needs milliseconds."""
VALUES_SHOWN_MAX = 8
"""Of those that a rule saw, in the text of a failed assertion."""
UNTOLD = ("auth", "auth.token")
"""Who asks is said already, and a whole token hides what matters of it."""

Operation: TypeAlias = Literal["read", "set", "update"]


class Unanswered(Exception):
    """The server refused something that a test needs, such as rules with a fault; the text is its own."""


class Answer:
    """One answer over HTTP, whole."""

    __slots__ = ("body", "headers", "status")

    def __init__(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        self.status = status
        self.headers = headers
        self.body = body

    @property
    def is_ok(self) -> bool:
        return 200 <= self.status < 300

    def json(self) -> Any:
        return json.loads(self.body)

    def __repr__(self) -> str:
        return f"<{self.status} {self.body[:300]!r}>"


class Database:
    """One database of a `dev` server. `close` ends the clients that were made of it and leaves it empty."""

    def __init__(self, server_url: str, name: str) -> None:
        """server_url: `http://127.0.0.1:PORT`."""
        self.name = name
        self.url = f"{server_url}?ns={name}"
        """For our clients and for the official SDKs, as their `databaseURL`."""
        self._address = urllib.parse.urlsplit(server_url).netloc
        self._clients: list[blocking.Database] = []

    def __enter__(self) -> Database:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        while self._clients:
            self._clients.pop().close()
        self.clear()

    # Asking

    def rest(
        self,
        method: str,
        path: str,
        value: Any = None,
        *,
        who: Person = ADMIN,
        parameters: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """One request at `path`, such as "/rooms/7", as `who`. The answer is given whatever its status."""
        asked = urllib.parse.urlencode({**(parameters or {}), "ns": self.name})
        shown = {} if (credential := credential_of(who)) is None else {"Authorization": f"Bearer {credential}"}
        body = None if method in ("GET", "HEAD", "DELETE") else json.dumps(value, ensure_ascii=False).encode()
        return self._request(method, f"{_target(path)}?{asked}", body, {**shown, **(headers or {})})

    def get(self, path: str = "/", *, who: Person = ADMIN, **parameters: str) -> Any:
        """What stands at `path`. parameters: REST's, such as `shallow="true"`. Raises Unanswered."""
        return self._expect("GET", path, None, who, parameters)

    def set(self, path: str, value: Any, *, who: Person = ADMIN) -> None:
        """Raises Unanswered."""
        self._expect("DELETE" if value is None else "PUT", path, value, who)

    def update(self, path: str, children: Mapping[str, Any], *, who: Person = ADMIN) -> None:
        """Raises Unanswered."""
        self._expect("PATCH", path, dict(children), who)

    def push(self, path: str, value: Any, *, who: Person = ADMIN) -> str:
        """The key of the new child. Raises Unanswered."""
        key = self._expect("POST", path, value, who)["name"]
        assert isinstance(key, str)
        return key

    def clear(self) -> None:
        """Nothing stands in the database any more. Its rules stay."""
        self.set("/", None)

    def client(self, *, who: Person = ADMIN, timeout: float | None = 30.0) -> blocking.Database:
        """A client that is connected as `who`, closed with this database."""
        # Not above: it brings picows and the tree, which a test over REST has no use for.
        from meadowlark.client import blocking

        client = blocking.Database(self.url, token=credential_of(who), timeout=timeout)
        self._clients.append(client)
        return client

    # Rules

    def rules(self, rules: str | Path | Mapping[str, Any]) -> None:
        """Sets the rules: their text, a file of them, or the object, with or without its outer `rules`.

        Raises Unanswered with every fault, each at its line and column.
        """
        if isinstance(rules, Path):
            text = rules.read_text(encoding="utf-8")
        elif isinstance(rules, str):
            text = rules
        else:
            text = json.dumps(rules if set(rules) == {"rules"} else {"rules": dict(rules)}, indent=2)
        headers = {"Authorization": f"Bearer {credential_of(ADMIN)}"}
        answer = self._request("PUT", f"/.settings/rules.json?ns={self.name}", text.encode(), headers)
        if not answer.is_ok:
            raise Unanswered(f"the rules cannot be used:\n{answer.json().get('error', answer)}")

    def explain(
        self, operation: Operation, path: str, value: Any = None, *, who: Person, query: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        """What the server says about it: `allowed`, `summary`, and as `steps` every rule that was asked. Raises Unanswered."""
        if isinstance(who, Standing) and who is ADMIN:
            return {"allowed": True, "path": path, "summary": "rules are never asked about an administrator", "steps": []}
        question = {"operation": operation, "path": path, "as": auth_of(who), "value": value, "query": query}
        headers = {"Authorization": f"Bearer {credential_of(ADMIN)}"}
        body = json.dumps(question, ensure_ascii=False).encode()
        answer = self._request("POST", f"/.meadowlark/explain/{self.name}.json", body, headers)
        if not answer.is_ok:
            raise Unanswered(f"{operation} {path}: {answer.json().get('error', answer)}")
        explanation = answer.json()
        assert isinstance(explanation, dict)
        return explanation

    def assert_allowed(
        self, operation: Operation, path: str, value: Any = None, *, who: Person, query: Mapping[str, Any] | None = None
    ) -> None:
        """Rules let `who` do it. AssertionError names the rule that does not, with its line and what it saw.

        value: what would be set; for an update an object of values by path. query: of a read, as docs/protocol.md writes it.
        """
        explanation = self.explain(operation, path, value, who=who, query=query)
        if not explanation["allowed"]:
            raise AssertionError(_verdict("denied", "allowed", operation, path, who, explanation))

    def assert_denied(
        self, operation: Operation, path: str, value: Any = None, *, who: Person, query: Mapping[str, Any] | None = None
    ) -> None:
        """Rules do not let `who` do it. AssertionError names the rule that does."""
        explanation = self.explain(operation, path, value, who=who, query=query)
        if explanation["allowed"]:
            raise AssertionError(_verdict("allowed", "denied", operation, path, who, explanation))

    # Inside

    def _expect(self, method: str, path: str, value: Any, who: Person, parameters: Mapping[str, str] | None = None) -> Any:
        answer = self.rest(method, path, value, who=who, parameters=parameters)
        if not answer.is_ok:
            raise Unanswered(f"{method} {path} as {name_of(who)} was answered with {answer.status}: {answer.body.decode()}")
        return answer.json()

    def _request(self, method: str, target: str, body: bytes | None, headers: Mapping[str, str]) -> Answer:
        connection = http.client.HTTPConnection(self._address, timeout=REST_SECONDS)
        with contextlib.closing(connection):
            connection.request(method, target, body=body, headers=dict(headers))
            answer = connection.getresponse()
            return Answer(answer.status, dict(answer.headers.items()), answer.read())


def _target(path: str) -> str:
    return urllib.parse.quote(f"/{path.strip('/')}", safe="/") + ".json"


def _verdict(is_: str, expected: str, operation: str, path: str, who: Person, explanation: Mapping[str, Any]) -> str:
    lines = [f"{operation} {path} as {name_of(who)} is {is_}, expected was {expected}", f"decided by: {explanation['summary']}"]
    for step in explanation["steps"]:
        failure = f" ({step['error']})" if "error" in step else ""
        outcome = f"{str(step['outcome']).lower()}{failure}"
        lines.append(f"  line {step['line']}: {step['rule']} at {step['path']} is {outcome}: {step['text']}")
        seen = [each for each in step["values"] if each["part"] not in UNTOLD][:VALUES_SHOWN_MAX]
        lines += [f"    {each['part']} = {json.dumps(each['value'], ensure_ascii=False)}" for each in seen]
    return "\n".join(lines)
