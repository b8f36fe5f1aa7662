"""Fetching one small document from servers that are slow, wrong, huge or gone."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from meadowlark.server.fetching import Document, FetchFailed, fetch, find_fault
from tests.server.key_server import KeyServer, chunked, dribble, flood, raw, redirect

BYTES_MAX = 100_000


@pytest.fixture(scope="module")
def keys() -> Iterator[KeyServer]:
    with KeyServer() as server:
        yield server


def get(url: str, *, seconds: float = 10.0) -> Document:
    return asyncio.run(fetch(url, seconds=seconds, bytes_max=BYTES_MAX, tls=None))


def fail(url: str, *, seconds: float = 10.0) -> str:
    with pytest.raises(FetchFailed) as caught:
        get(url, seconds=seconds)
    return str(caught.value)


def test_a_document_comes_with_its_headers(keys: KeyServer) -> None:
    keys.answers["/keys?v=1"] = b"{}" * 100
    document = get(keys.url + "/keys?v=1")
    assert (bytes(document.body), document.headers["cache-control"]) == (b"{}" * 100, "public, max-age=3600")


def test_a_document_in_chunks_is_one(keys: KeyServer) -> None:
    keys.answers["/chunked"] = chunked(b"0123456789" * 3000)
    assert bytes(get(keys.url + "/chunked").body) == b"0123456789" * 3000


def test_the_end_of_the_connection_ends_a_document_without_length(keys: KeyServer) -> None:
    keys.answers["/end"] = raw(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\nwhole")
    assert bytes(get(keys.url + "/end").body) == b"whole"


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (raw(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf"), "ended before"),
        (raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhal"), "ended before"),
        (raw(b""), "ended before"),
        (raw(b"SSH-2.0-nothing\r\n\r\n"), "not HTTP"),
        (raw(b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n"), "status 500"),
        (raw(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n" + b"x" * 200_000), "more than 100000 bytes"),
        (raw(b"HTTP/1.1 200 OK\r\n" + b"X-Filler: " + b"x" * 400_000 + b"\r\n"), ""),
        (redirect("http://127.0.0.1:1/keys"), "status 302"),
        (flood, "more than 100000 bytes"),
    ],
)
def test_what_is_no_whole_document_is_refused(keys: KeyServer, answer: Any, reason: str) -> None:
    keys.answers["/wrong"] = answer
    assert reason in fail(keys.url + "/wrong")


def test_nobody_waits_longer_than_the_deadline(keys: KeyServer) -> None:
    keys.answers["/slow"] = dribble
    assert "no answer within 0.3 s" in fail(keys.url + "/slow", seconds=0.3)


def test_nobody_there_is_said() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    assert "cannot be reached" in fail(f"http://127.0.0.1:{port}/")


def test_https_without_anything_trusted_is_refused() -> None:
    assert "nothing is trusted" in fail("https://127.0.0.1:1/")


@pytest.mark.parametrize(
    "url",
    [
        "http://login.example/keys", "http://127.0.0.1.evil.example/", "http://10.0.0.1/", "ftp://127.0.0.1/", "file:///etc/passwd",
        "https://", "https://user:password@login.example/", "https://login.example:port/", "https://login.example/a b",
        "https://[::1", "keys.json", "https://ünï.example/",
    ],
)  # fmt: skip
def test_addresses_that_are_not_safe_are_refused(url: str) -> None:
    assert find_fault(url)


@pytest.mark.parametrize(
    "url", ["https://login.example/keys?v=1", "http://127.0.0.1:8080/keys", "http://[::1]:1/", "http://localhost/"]
)
def test_addresses_over_tls_or_of_this_machine_are_taken(url: str) -> None:
    assert find_fault(url) == ""
