"""What `/.settings/` holds of one database, beside its rules: what Firebase's command line reads, sets and profiles.

A setting that has no meaning here has the value that describes how this server behaves. To set it to that is granted, to
another is refused, since nothing would be different.
Source: docs/rest.md "The server's own addresses"; firebase-tools, `database:settings` and `database:profile`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from meadowlark.auth.identity import Identity
from meadowlark.server.exchange import Exchange
from meadowlark.server.hosted import Hosted
from meadowlark.server.operation_stream import OperationStream
from meadowlark.tree import encode
from meadowlark.wire.events import EVENT_STREAM_TYPE
from meadowlark.wire.http import HttpFault, Response
from meadowlark.wire.rest import parse_body

if TYPE_CHECKING:
    from meadowlark.server.http import HttpConnection
    from meadowlark.server.worker_api import WorkerApi

FIXED: dict[str, Any] = {
    "defaultWriteSizeLimit": "unlimited",
    # There are no triggers that an event could be too large for.
    "strictTriggerValidation": False,
}
"""Settings of Firebase, as they are for every database here."""

ELSEWHERE = dict.fromkeys(
    ("rulesets", "ruleset_labels"),
    "rules are in force when they are set, without stages and labels: their versions are at /.meadowlark/rules/NAME.json",
) | {"functionTriggers": "there are no triggers: this server calls no functions"}
"""Of Firebase, an experiment and its emulators, without a meaning here."""

EVENTS_WANTED = "the operations come as events: ask with 'Accept: text/event-stream'"


async def show(worker: WorkerApi, exchange: Exchange) -> Response:
    """Reads a setting, or sets it to what it is."""
    name = exchange.target.segments[-1].removesuffix(".json")
    await _open(worker, exchange)
    value = FIXED[name]
    if exchange.head.method == "PUT" and parse_body(exchange.body) != value:
        raise HttpFault(501, f"{name} is always {encode(value).decode()} here: it cannot be set")
    return Response(200, encode(value))


async def profile(worker: WorkerApi, exchange: Exchange) -> Response | Callable[[HttpConnection], None]:
    """Begins a stream of the operations of the database."""
    hosted, admin = await _open(worker, exchange)
    if exchange.head.method == "HEAD":
        return Response(200, content_type=EVENT_STREAM_TYPE)
    if "text/event-stream" not in exchange.head.headers.get("accept", ""):
        raise HttpFault(400, EVENTS_WANTED)
    return lambda connection: OperationStream(worker, connection, hosted, admin).start()


async def refuse_unknown(worker: WorkerApi, exchange: Exchange) -> Response:
    await worker.identities.check_admin(exchange)
    name = "/".join(exchange.target.segments[1:]).removesuffix(".json")
    if name in ELSEWHERE:
        raise HttpFault(501, ELSEWHERE[name])
    raise HttpFault(404, f"there is no setting {name[:80]!r}; there are {', '.join(['rules', 'profile', *FIXED])}")


async def _open(worker: WorkerApi, exchange: Exchange) -> tuple[Hosted, Identity]:
    admin = await worker.identities.check_admin(exchange)
    assert exchange.database is not None, "a setting is of a database"
    return await worker.shard.open(exchange.database, admin=True), admin
