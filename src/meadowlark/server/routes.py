"""The server's own targets: greeting, health, databases, settings. Everything else with `.json` is REST.

Each is a row of `_ROUTES`: methods, and a function from the exchange to a response, which may raise Refused or take its time.
Source: docs/rest.md "The server's own addresses".
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from meadowlark import __version__
from meadowlark.errors import Code, Refused
from meadowlark.server import exposition, management, rule_routes, settings
from meadowlark.server.coverage_page import HTML_TYPE
from meadowlark.server.exchange import (
    COVERAGE,
    COVERAGE_PAGE,
    CREATION,
    DEFAULT_RULES,
    EXPLAIN,
    MANAGEMENT,
    METRICS,
    PROFILE,
    PROJECTS,
    RULES,
    SETTINGS,
    TRANSPORT,
    Exchange,
)
from meadowlark.server.openapi import description
from meadowlark.server.profile import SECONDS_MAX, Profile
from meadowlark.tree import encode
from meadowlark.wire.answers import preflight
from meadowlark.wire.http import HttpFault, Response
from meadowlark.wire.rest import APPEND_JSON

if TYPE_CHECKING:
    from meadowlark.server.http import HttpConnection
    from meadowlark.server.worker_api import WorkerApi

SCRIPT_TYPE = "application/javascript; charset=utf-8"


_GREETING = f"""<!doctype html>
<html lang="en"><meta charset="utf-8"><title>Meadowlark</title>
<body><h1>Meadowlark {__version__}</h1>
<p>A realtime JSON database is running here. Open one of its paths with <code>.json</code> at the end,
such as <a href="/.json">/.json</a>, or point a Firebase SDK at this address.
<p>How: <code>docs/start.md</code> and <code>docs/rest.md</code> in the project.</body></html>
"""


Answer = Response | Callable[["HttpConnection"], None]
"""A response, or what begins one that goes on until one side ends it."""


class Route(NamedTuple):
    methods: tuple[str, ...]
    answer: Callable[[WorkerApi, Exchange], Response | Awaitable[Answer]]


async def answer(worker: WorkerApi, exchange: Exchange) -> Answer:
    """The answer to a request that is not REST. Raises Refused."""
    method = exchange.head.method
    if method == "OPTIONS":
        return preflight(exchange.head.headers.get("access-control-request-headers", ""))
    segments = exchange.target.segments
    route = _ROUTES.get(segments) or _ROUTES_OF_DATABASES.get(segments[:-1])
    if route is None and segments[0] == SETTINGS:
        route = Route((method,), settings.refuse_unknown)
    if route is None and segments[0] == MANAGEMENT:
        route = Route(("GET", "POST"), management.answer)
    if route is None and segments[0] == PROJECTS:
        route = Route(("GET",), management.project)
    if route is None:
        raise HttpFault(404, f"there is nothing at this address; {APPEND_JSON}")
    if method not in route.methods and not (method == "HEAD" and "GET" in route.methods):
        raise HttpFault(405, f"this address answers {', '.join(route.methods)}")
    answered = route.answer(worker, exchange)
    return answered if isinstance(answered, Response) else await answered


def _greet(worker: WorkerApi, exchange: Exchange) -> Response:
    if "text/html" in exchange.head.headers.get("accept", ""):
        return Response(200, _GREETING.encode(), HTML_TYPE)
    return _json({"name": "meadowlark", "version": __version__, "hint": APPEND_JSON})


def _health(worker: WorkerApi, exchange: Exchange) -> Response:
    if worker.shard.failure is not None:
        raise Refused(Code.UNAVAILABLE, worker.shard.failure)
    if worker.draining:
        raise Refused(Code.UNAVAILABLE, "the server is shutting down")
    return _json({"status": "ok"})


async def _metrics(worker: WorkerApi, exchange: Exchange) -> Response:
    """Names, sizes and rates tell much about who uses a database, so in serve they are the admin's."""
    await _check_admin_or_dev(worker, exchange)
    return Response(200, exposition.text_slices(worker.read_metrics()), exposition.TEXT_TYPE)


async def _metrics_json(worker: WorkerApi, exchange: Exchange) -> Response:
    await _check_admin_or_dev(worker, exchange)
    return Response(200, exposition.json_slices(worker.read_metrics()))


async def _check_admin_or_dev(worker: WorkerApi, exchange: Exchange) -> None:
    """Raises Refused in serve without an admin's credential; in dev everything is open."""
    if worker.config.mode != "dev":
        await worker.identities.check_admin(exchange)


async def _inspect_databases(worker: WorkerApi, exchange: Exchange) -> Response:
    """Open in dev, since the emulator's console asks without a credential."""
    await _check_admin_or_dev(worker, exchange)
    return _json([{"name": name} for name in sorted(worker.shard.names())])


async def _list_databases(worker: WorkerApi, exchange: Exchange) -> Response:
    await worker.identities.check_admin(exchange)
    return _json([{"name": name} for name in sorted(worker.shard.names())])


async def _create_database(worker: WorkerApi, exchange: Exchange) -> Response:
    """201 if the database is new, 200 if it was there; durable either way."""
    await worker.identities.check_admin(exchange)
    name = exchange.database
    assert name is not None
    known = name in worker.shard.names()
    if exchange.head.method == "PUT":
        worker.shard.create(name)
    elif not known:
        raise Refused(Code.UNKNOWN_DATABASE, f"there is no database {name!r}")
    return _json({"name": name}, 201 if exchange.head.method == "PUT" and not known else 200)


async def _profile(worker: WorkerApi, exchange: Exchange) -> Response:
    """What the database is busy with for `seconds` from now on; the answer comes when they are over."""
    await worker.identities.check_admin(exchange)
    assert exchange.database is not None
    seconds = _seconds(exchange.target.parameters.get("seconds", "5"))
    hosted = await worker.shard.open(exchange.database, admin=True)
    if any(isinstance(watcher, Profile) for watcher in hosted.watchers):
        raise HttpFault(409, "this database is being profiled already: try again when that is over")
    profile = Profile()
    hosted.watchers = (*hosted.watchers, profile)
    hosted.users += 1
    try:
        await asyncio.sleep(seconds)
    finally:
        hosted.users -= 1
        hosted.watchers = tuple(watcher for watcher in hosted.watchers if watcher is not profile)
    return _json({"database": hosted.name, "seconds": seconds, "paths": profile.report()})


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds <= SECONDS_MAX:
        raise HttpFault(400, f"seconds is {text!r}; expected a number above 0, at most {SECONDS_MAX:g}")
    return seconds


async def _offer_webtransport(worker: WorkerApi, exchange: Exchange) -> Response:
    """Where the database is served over WebTransport: its owner answers."""
    assert exchange.database is not None
    return _json(await worker.webtransports.offer(exchange.head.headers.get("host", ""), exchange.database))


def _describe(worker: WorkerApi, exchange: Exchange) -> Response:
    return Response(200, description())


def _json(value: Any, status: int = 200) -> Response:
    return Response(status, encode(value))


_ROUTES: dict[tuple[str, ...], Route] = {
    (): Route(("GET",), _greet),
    (".health",): Route(("GET",), _health),
    METRICS: Route(("GET",), _metrics),
    (".inspect", "databases.json"): Route(("GET",), _inspect_databases),
    COVERAGE: Route(("GET",), rule_routes.coverage),
    COVERAGE_PAGE: Route(("GET",), rule_routes.coverage),
    (".meadowlark", "databases.json"): Route(("GET",), _list_databases),
    DEFAULT_RULES: Route(("GET", "PUT", "POST", "DELETE"), rule_routes.default_rules),
    (".meadowlark", "openapi.json"): Route(("GET",), _describe),
    (".meadowlark", "metrics.json"): Route(("GET",), _metrics_json),
    TRANSPORT: Route(("GET",), _offer_webtransport),
    (SETTINGS, "rules.json"): Route(("GET", "PUT"), rule_routes.rules),
    (SETTINGS, "profile.json"): Route(("GET",), settings.profile),
    **{(SETTINGS, f"{name}.json"): Route(("GET", "PUT"), settings.show) for name in settings.FIXED},
}
"""By the segments of the target; a new address adds a row."""

_ROUTES_OF_DATABASES: dict[tuple[str, ...], Route] = {
    CREATION: Route(("GET", "PUT"), _create_database),
    PROFILE: Route(("GET",), _profile),
    RULES: Route(("GET", "POST", "DELETE"), rule_routes.versions),
    EXPLAIN: Route(("POST",), rule_routes.explain),
}
"""By all segments but the last, which names a database: its owner answers."""
