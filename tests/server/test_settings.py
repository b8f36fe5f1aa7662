"""Settings of one database, as Firebase's command line asks for them."""

from __future__ import annotations

import json

import pytest

from tests.server.rest_server import Served, serve

OWNER = {"authorization": "Bearer owner"}


@pytest.mark.parametrize(
    ("name", "value", "other"),
    [("defaultWriteSizeLimit", '"unlimited"', '"small"'), ("strictTriggerValidation", "false", "true")],
)
def test_a_setting_says_how_it_is_here_and_may_be_set_to_that(name: str, value: str, other: str) -> None:
    async def test(served: Served) -> None:
        peer, target = await served.connect(), f"/.settings/{name}.json?ns=rooms"
        assert (await peer.ask("GET", target, **OWNER))[::2] == (200, value.encode())
        assert (await peer.ask("PUT", target, value, **OWNER))[::2] == (200, value.encode())
        status, _, body = await peer.ask("PUT", target, other, **OWNER)
        assert (status, json.loads(body)["error"]) == (501, f"{name} is always {value} here: it cannot be set")
        assert (await peer.ask("PUT", target, "{", **OWNER))[0] == 400
        assert (await peer.ask("DELETE", target, **OWNER))[0] == 405
        assert (await peer.ask("GET", target))[0] == 401

    serve(test)


def test_what_is_no_setting_is_404_to_an_admin_and_nothing_to_others() -> None:
    async def test(served: Served) -> None:
        peer = await served.connect()
        for target in ("/.settings/theme.json", "/.settings/theme", "/.settings/a/b.json", "/.settings"):
            assert (await peer.ask("GET", f"{target}?ns=rooms"))[0] == 401
            status, _, body = await peer.ask("PUT", f"{target}?ns=rooms", "1", **OWNER)
            assert status == 404
            assert "strictTriggerValidation" in json.loads(body)["error"]

    serve(test)


@pytest.mark.parametrize(
    ("name", "hint"),
    [("rulesets", "/.meadowlark/rules/NAME.json"), ("ruleset_labels", "without stages"), ("functionTriggers", "no functions")],
)
def test_what_firebase_has_and_this_server_has_not_is_501_and_says_what_there_is(name: str, hint: str) -> None:
    async def test(served: Served) -> None:
        peer = await served.connect()
        for method in ("GET", "PUT", "POST"):
            status, _, body = await peer.ask(method, f"/.settings/{name}.json?ns=rooms", "{}", **OWNER)
            assert status == 501
            assert hint in json.loads(body)["error"]
            assert (await peer.ask(method, f"/.settings/{name}.json?ns=rooms", "{}"))[0] == 401

    serve(test)


def test_a_database_must_exist_to_have_settings() -> None:
    async def test(served: Served) -> None:
        peer = await served.connect()
        admin = {"authorization": "Bearer the-admin-credential"}
        assert (await peer.ask("GET", "/.settings/defaultWriteSizeLimit.json?ns=rooms", **admin))[0] == 404
        served.worker.shard.create("rooms")
        assert (await peer.ask("GET", "/.settings/defaultWriteSizeLimit.json?ns=rooms", **admin))[0] == 200
        assert (await peer.ask("GET", "/.settings/profile.json?ns=rooms"))[0] == 401

    serve(test, mode="serve")
