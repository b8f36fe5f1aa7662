"""Which worker a connection belongs to, from its first bytes."""

from __future__ import annotations

import ssl

import pytest

from meadowlark.server.routing import database_of_host, find_database, find_server_name, owner_of


@pytest.mark.parametrize(
    ("head", "database"),
    [
        (b"GET /.ws?v=5&ns=rooms HTTP/1.1\r\nHost: x\r\n\r\n", "rooms"),
        (b"GET /a.json?ns=rooms&print=pretty HTTP/1.1\r\n", "rooms"),
        (b"GET /a.json?ns=caf%C3%A9 HTTP/1.1\r\n", "café"),
        (b"GET /a.json HTTP/1.1\r\nHost: rooms.example.com:9000\r\n\r\n", "rooms"),
        (b"GET /a.json HTTP/1.1\r\nAccept: */*\r\nhost:rooms.localhost\r\n\r\n", "rooms"),
        (b"GET /a.json HTTP/1.1\r\nHost: 127.0.0.1:9000\r\n\r\n", None),
        (b"GET /a.json HTTP/1.1\r\nHost: example.com\r\n\r\n", None),
        (b"GET /a.json HTTP/1.1\r\nHost: rooms.exa", None),
        (b"GET /a.json?ns=roo", None),
        (b"GET /a.json?xns=rooms HTTP/1.1\r\n\r\n", None),
        (b"\x00\xff", None),
    ],
)
def test_the_database_is_named_by_ns_or_by_the_first_label_of_the_host(head: bytes, database: str | None) -> None:
    assert find_database(head) == database


@pytest.mark.parametrize("host", ["[::1]:9000", "[::1]", "10.0.0.1", "localhost:9000", "example.com", "example", ""])
def test_addresses_and_short_names_name_no_database(host: str) -> None:
    assert database_of_host(host) is None


def make_hello(name: str) -> bytes:
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = ssl.create_default_context().wrap_bio(incoming, outgoing, server_hostname=name)
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()
    return outgoing.read()


def test_a_tls_greeting_names_the_database_by_its_server_name() -> None:
    hello = make_hello("rooms.example.com")
    assert find_server_name(hello) == "rooms.example.com"
    assert find_database(hello) == "rooms"


def test_a_greeting_cut_anywhere_names_the_server_or_nothing() -> None:
    hello = make_hello("rooms.example.com")
    assert {find_server_name(hello[:length]) for length in range(len(hello))} <= {None, "rooms.example.com"}


def test_owners_are_stable_over_time_and_spread() -> None:
    assert [owner_of(name, 4) for name in ("rooms", "demo", "a", "b")] == [
        owner_of(name, 4) for name in ("rooms", "demo", "a", "b")
    ]
    # Fixed figures: another hash would send databases to workers that do not have their journal.
    assert [owner_of(name, 1000) for name in ("rooms", "demo")] == OWNERS
    assert {owner_of(f"db{number}", 4) for number in range(50)} == {0, 1, 2, 3}


OWNERS = [328, 56]
