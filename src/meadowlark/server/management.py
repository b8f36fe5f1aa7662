"""The databases of the server as Firebase's management API shows them, for `firebase database:instances:list` and `:create`, and
what `firebase deploy` asks about a project.

The command line asks here when FIREBASE_RTDB_MANAGEMENT_URL and FIREBASE_API_URL name this server. Whatever project it names has
all databases there are, and each is where everything is: in the one location that we pretend to be.
Source: docs/start.md "The official command line"; the discovery document of firebasedatabase v1beta.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from meadowlark.errors import Code, Refused
from meadowlark.ids import check_database_name
from meadowlark.server.exchange import MANAGEMENT, PROJECTS, Exchange
from meadowlark.tree import encode
from meadowlark.wire.http import HttpFault, Response

if TYPE_CHECKING:
    from meadowlark.server.worker_api import WorkerApi

LOCATION = "us-central1"
ANYWHERE = "-"


async def answer(worker: WorkerApi, exchange: Exchange) -> Response:
    """`/v1beta/projects/P/locations/L/instances`, and one of them behind it. Raises Refused."""
    if worker.config.mode != "dev":
        await worker.identities.check_admin(exchange)
    match exchange.target.segments:
        case (_, "projects", project, "locations", location, "instances"):
            if exchange.head.method == "POST":
                return await _create(worker, exchange, project)
            names = sorted(worker.shard.names()) if location in (ANYWHERE, LOCATION) else []
            return Response(200, encode({"instances": [_instance(exchange, project, name) for name in names]}))
        case (_, "projects", project, "locations", _, "instances", name):
            check_database_name(name)
            if worker.config.mode != "dev" and name not in worker.shard.names():
                raise Refused(Code.UNKNOWN_DATABASE, f"there is no database {name!r}")
            return Response(200, encode(_instance(exchange, project, name)))
    raise HttpFault(404, f"of the management API there is /{MANAGEMENT}/projects/PROJECT/locations/-/instances")


async def project(worker: WorkerApi, exchange: Exchange) -> Response:
    """`/v1beta1/projects/P`: which database the tools mean where none is named, as they call it themselves. Raises Refused."""
    if worker.config.mode != "dev":
        await worker.identities.check_admin(exchange)
    match exchange.target.segments:
        case (_, "projects", project):
            resources = {"realtimeDatabaseInstance": check_database_name(f"{project}-default-rtdb")}
            return Response(200, encode({"projectId": project, "state": "ACTIVE", "resources": resources}))
    raise HttpFault(404, f"of the API of projects there is /{PROJECTS}/projects/PROJECT")


async def _create(worker: WorkerApi, exchange: Exchange, project: str) -> Response:
    await worker.identities.check_admin(exchange)
    parameters = exchange.target.parameters
    name = check_database_name(parameters.get("databaseId", ""))
    if name in worker.shard.names():
        raise HttpFault(409, f"there is a database {name!r} already")
    if parameters.get("validateOnly") != "true":
        worker.shard.create(name)
    return Response(200, encode(_instance(exchange, project, name)))


def _instance(exchange: Exchange, project: str, name: str) -> dict[str, Any]:
    host = exchange.head.headers.get("host", "")
    return {
        "name": f"projects/{project}/locations/{LOCATION}/instances/{name}",
        "project": f"projects/{project}",
        "databaseUrl": f"http://{host}?ns={name}",
        "type": "USER_DATABASE",
        "state": "ACTIVE",
    }
