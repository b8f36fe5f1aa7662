"""Whose database a request names, known from its head."""

from __future__ import annotations

import pytest

from meadowlark.errors import Refused
from meadowlark.server.exchange import DEFAULT_DATABASE, Exchange
from meadowlark.wire.http import RequestReader


def look(line: str, host: str = "localhost", mode: str = "dev", more: str = "", databases: tuple[str, ...] = ()) -> Exchange:
    reader = RequestReader()
    reader.receive(f"{line} HTTP/1.1\r\nHost: {host}\r\n{more}\r\n".encode())
    head = reader.read_head()
    assert head is not None
    exchange = Exchange(head)
    exchange.look(mode, databases)
    return exchange


def test_a_database_is_named_by_ns_then_by_the_host_then_by_the_tools_of_the_emulator() -> None:
    assert look("GET /a.json?ns=rooms", "others.example.com").database == "rooms"
    assert look("GET /a.json", "Others.example.com:80").database == "others"
    assert look("GET /a.json", "127.0.0.1:9000").database == DEFAULT_DATABASE
    assert look("PUT /.settings/rules.json?ns=rooms").database == "rooms"
    assert look("PUT /.meadowlark/databases/rooms.json").database == "rooms"


@pytest.mark.parametrize("mode", ["dev", "serve"])
def test_an_empty_ns_is_refused_for_some_database_was_meant(mode: str) -> None:
    with pytest.raises(Refused, match="'' is not a database name"):
        look("GET /a.json?ns=", "rooms.example.com", mode=mode)


def test_where_databases_are_listed_the_first_is_what_a_nameless_request_means_in_dev() -> None:
    assert look("GET /a.json", databases=("demo", "other")).database == "demo"
    assert look("GET /a.json?ns=rooms", databases=("demo",)).database == "rooms"
    with pytest.raises(Refused, match="names no database"):
        look("GET /a.json", mode="serve", databases=("demo",))


@pytest.mark.parametrize("target", ["/", "/.health", "/.inspect/databases.json?ns=x", "/.meadowlark/databases.json"])
def test_what_every_worker_can_answer_names_none(target: str) -> None:
    exchange = look(f"GET {target}", mode="serve")
    assert (exchange.database, exchange.request) == (None, None)


def test_a_setting_behind_the_name_of_a_database_is_what_firebase_deploy_means() -> None:
    exchange = look("PUT /?ns=rooms/.settings/rules.json?dryRun=true")
    assert (exchange.database, exchange.target.segments) == ("rooms", (".settings", "rules.json"))
    assert exchange.target.parameters == {"ns": "rooms", "dryRun": "true"}
    assert look("PUT /?ns=rooms/.settings/rules.json").database == "rooms"
    for other in ("/?ns=rooms/a.json", "/?ns=rooms/.meadowlark/databases.json"):
        assert look(f"GET {other}").target.segments == ()
    for wrong in ("/a.json?ns=rooms/.settings/rules.json", "/?ns=.x/.settings/rules.json"):
        with pytest.raises(Refused):
            look(f"PUT {wrong}")


def test_in_serve_a_database_must_be_named() -> None:
    with pytest.raises(Refused) as raised:
        look("GET /a.json", mode="serve")
    assert raised.value.http_status == 404


def test_only_a_socket_may_ask_for_a_socket() -> None:
    assert look("GET /.ws?ns=x", more="Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n").is_socket
    assert not look("GET /a.json?ns=x", more="Connection: Upgrade\r\nUpgrade: websocket\r\n").is_socket
    with pytest.raises(Refused) as raised:
        look("GET /.ws?ns=x")
    assert raised.value.http_status == 426
