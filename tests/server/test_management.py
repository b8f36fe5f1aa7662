"""The management API, as far as Firebase's command line asks for it."""

from __future__ import annotations

import json
from typing import Any

from tests.server.rest_server import ADMIN_CREDENTIAL, Served, serve

OWNER = {"authorization": "Bearer owner"}
ADMIN = {"authorization": f"Bearer {ADMIN_CREDENTIAL}"}
INSTANCES = "/v1beta/projects/demo/locations/-/instances"


def instance(name: str) -> dict[str, Any]:
    return {
        "name": f"projects/demo/locations/us-central1/instances/{name}",
        "project": "projects/demo",
        "databaseUrl": f"http://localhost:9000?ns={name}",
        "type": "USER_DATABASE",
        "state": "ACTIVE",
    }


def test_every_database_is_listed_for_any_project_and_found_by_its_name() -> None:
    async def test(served: Served) -> None:
        peer = await served.connect()
        for name in ("rooms", "chat"):
            served.worker.shard.create(name)
        assert json.loads((await peer.ask("GET", f"{INSTANCES}?pageSize=100"))[2]) == {
            "instances": [instance("chat"), instance("rooms")]
        }
        elsewhere = INSTANCES.replace("-", "europe-west1")
        assert json.loads((await peer.ask("GET", elsewhere))[2]) == {"instances": []}
        assert json.loads((await peer.ask("GET", f"{INSTANCES}/rooms"))[2]) == instance("rooms")
        assert json.loads((await peer.ask("GET", f"{INSTANCES}/new"))[2]) == instance("new"), "it comes with its first touch"
        assert (await peer.ask("GET", f"{INSTANCES}/no%20name"))[0] == 400

    serve(test)


def test_a_database_is_created_once_and_may_only_be_tried() -> None:
    async def test(served: Served) -> None:
        peer = await served.connect()
        target = f"{INSTANCES}?databaseId=rooms"
        assert (await peer.ask("POST", target, "{}"))[0] == 401
        assert (await peer.ask("POST", f"{target}&validateOnly=true", "{}", **OWNER))[0] == 200
        assert served.worker.shard.names() == []
        assert json.loads((await peer.ask("POST", target, "{}", **OWNER))[2]) == instance("rooms")
        assert served.worker.shard.names() == ["rooms"]
        assert (await peer.ask("POST", target, "{}", **OWNER))[0] == 409
        assert (await peer.ask("POST", INSTANCES, "{}", **OWNER))[0] == 400

    serve(test)


def test_in_serve_it_is_the_admin_s_and_tells_what_there_is() -> None:
    async def test(served: Served) -> None:
        peer = await served.connect()
        assert (await peer.ask("GET", INSTANCES))[0] == 401
        assert (await peer.ask("GET", f"{INSTANCES}/rooms", **ADMIN))[0] == 404
        assert (await peer.ask("POST", f"{INSTANCES}?databaseId=rooms", "{}", **ADMIN))[0] == 200
        assert (await peer.ask("GET", f"{INSTANCES}/rooms", **ADMIN))[0] == 200

    serve(test, mode="serve")


def test_a_child_of_that_name_is_data_and_other_addresses_say_what_there_is() -> None:
    async def test(served: Served) -> None:
        peer = await served.connect()
        assert (await peer.ask("PUT", "/v1beta/projects.json", "1"))[::2] == (200, b"1")
        status, _, body = await peer.ask("GET", "/v1beta/projects/demo")
        assert (status, "/v1beta/projects/PROJECT/locations/-/instances" in body.decode()) == (404, True)
        assert (await peer.ask("DELETE", f"{INSTANCES}/rooms", **OWNER))[0] == 405

    serve(test)


def test_a_project_says_which_database_is_meant_where_none_is_named() -> None:
    async def test(served: Served) -> None:
        peer = await served.connect()
        told = json.loads((await peer.ask("GET", "/v1beta1/projects/demo"))[2])
        assert told["resources"] == {"realtimeDatabaseInstance": "demo-default-rtdb"}
        for target, status in (("/v1beta1/projects", 404), ("/v1beta1/projects/a%20b", 400)):
            assert (await peer.ask("GET", target))[0] == status
        assert (await peer.ask("POST", "/v1beta1/projects/demo", "{}"))[0] == 405

    serve(test)


def test_in_serve_a_project_is_for_admins() -> None:
    async def test(served: Served) -> None:
        peer = await served.connect()
        assert (await peer.ask("GET", "/v1beta1/projects/demo"))[0] == 401
        assert (await peer.ask("GET", "/v1beta1/projects/demo", **ADMIN))[0] == 200

    serve(test, mode="serve")
