"""One request on its way to an answer: whose database it names, and which part of the server answers it.

What a request names decides which worker reads its body, so it is found from the head alone. The database is `ns`, else the first
label of the host; in dev, where neither tells, the first that the settings list, else the one that Firebase's tools mean by
naming none.
Does not know: connections, bodies, how anything is answered.
"""

from __future__ import annotations

from collections.abc import Sequence

from meadowlark.errors import Code, Refused
from meadowlark.ids import check_database_name
from meadowlark.server.routing import database_of_host
from meadowlark.server.rule_store import DEFAULT
from meadowlark.wire.http import Head, HttpFault
from meadowlark.wire.rest import RestRequest, parse_rest
from meadowlark.wire.targets import Target, parse_target

DEFAULT_DATABASE = "fake-server"
"""What a request means in dev that names no database, where none is listed: the word that Firebase's tools use for it."""

NO_DATABASE = "the request names no database: add ?ns=NAME, or use a host name whose first label is the database's name"
NO_SOCKET = "/.ws is for WebSockets: connect with a client of the realtime protocol, or use the REST API"
NO_VERSION = "this server speaks version 13 of the WebSocket protocol (RFC 6455): expected 'Sec-WebSocket-Version: 13'"

SOCKET = (".ws",)
POLL = (".lp",)
TRANSPORT = (".wt",)
METRICS = ("metrics",)
CREATION = (".meadowlark", "databases")
"""Followed by the name of the database to create, with .json."""
PROFILE = (".meadowlark", "profile")
"""Followed by the name of the database to watch, with .json."""

DEFAULT_RULES = (".meadowlark", "rules.json")
"""Of all databases: one worker answers, the owner of a name that no database can have."""
RULES = (".meadowlark", "rules")
"""Followed by the name of the database whose rules it is about, with .json."""
EXPLAIN = (".meadowlark", "explain")
"""Followed by the name of the database whose rules are to explain themselves, with .json."""
COVERAGE = (".inspect", "coverage.json")
COVERAGE_PAGE = (".inspect", "coverage")
"""Both of the database that `ns` names, as at Firebase's emulator."""
_OF_DATABASES = (CREATION, PROFILE, RULES, EXPLAIN)

SETTINGS = ".settings"
"""First segment of what concerns one database without being in it."""
MANAGEMENT = "v1beta"
"""First segment of Firebase's management API. Its targets never end in .json, and those of REST always do."""
PROJECTS = "v1beta1"
"""First segment of Google's API of projects, of which we answer what Firebase's tools want to know of databases."""

_OF_SERVER = frozenset([".health", ".inspect", ".meadowlark"])
"""First segments of targets that concern the server, not one database."""


class Exchange:
    """`head`, and what is found out about it by `look`."""

    __slots__ = ("body", "database", "head", "keep_alive", "refused", "request", "target")

    def __init__(self, head: Head) -> None:
        self.head = head
        self.body: bytes | bytearray = b""
        """Of a request for one of the server's own addresses, once it is there."""
        self.keep_alive = head.keep_alive
        """Whether the connection may go on after the answer."""
        self.target = Target((), {})
        self.database: str | None = None
        """None where every worker can answer."""
        self.request: RestRequest | None = None
        """None where the target is one of the server's own (routes.py)."""
        self.refused: Refused | None = None
        """Why it will be refused as soon as its body has been dropped."""

    @property
    def is_socket(self) -> bool:
        return self.target.segments == SOCKET

    @property
    def is_poll(self) -> bool:
        return self.target.segments == POLL

    def look(self, mode: str, databases: Sequence[str] = ()) -> None:
        """Finds out what is asked of whom. databases: those that the settings list. Raises Refused for what nobody can answer."""
        head = self.head
        if head.method == "OPTIONS":
            return
        self.target = target = _straighten(parse_target(head.target))
        segments = target.segments
        if not segments or segments == METRICS:
            return
        if segments[0] in _OF_SERVER or (segments[0] in (MANAGEMENT, PROJECTS) and not segments[-1].endswith(".json")):
            if segments[:-1] in _OF_DATABASES:
                self.database = check_database_name(segments[-1].removesuffix(".json"))
            elif segments in (COVERAGE, COVERAGE_PAGE):
                self.database = self._find_database(mode, databases)
            elif segments == DEFAULT_RULES:
                self.database = DEFAULT
            return
        self.database = self._find_database(mode, databases)
        if segments == SOCKET:
            if head.upgrade != "websocket":
                raise HttpFault(426, NO_SOCKET)
            if head.headers.get("sec-websocket-version") != "13":
                raise HttpFault(426, NO_VERSION)
            if head.method != "GET" or head.body_bytes:
                # What we took for its first frames, a proxy might take for a body.
                raise HttpFault(400, "a WebSocket is asked for by a GET without a body")
        elif segments not in (POLL, TRANSPORT) and segments[0] != SETTINGS:
            self.request = parse_rest(head.method, target, head.headers)

    def _find_database(self, mode: str, databases: Sequence[str]) -> str:
        named = self.target.parameters.get("ns")
        if named is None:  # An empty one is refused below: whoever made it meant some database.
            named = database_of_host(self.target.host or self.head.headers.get("host", ""))
        if named is None:
            if mode != "dev":
                raise Refused(Code.UNKNOWN_DATABASE, NO_DATABASE)
            return databases[0] if databases else DEFAULT_DATABASE
        return check_database_name(named)


def _straighten(target: Target) -> Target:
    """`/?ns=NAME/.settings/rules.json?dryRun=true` is what `firebase deploy` makes of an address with a query, by writing what it
    wants behind it. No name has a slash in it, so there is no doubt what is meant."""
    name, slash, rest = target.parameters.get("ns", "").partition("/")
    if target.segments or not slash:
        return target
    meant = parse_target("/" + rest)
    return Target(meant.segments, meant.parameters | {"ns": name}, target.host) if meant.segments[:1] == (SETTINGS,) else target
