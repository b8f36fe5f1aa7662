"""HTTP requests out of bytes: whole, cut at every byte, with a tail, broken, too large; and heads of responses."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meadowlark.limits import BODY_BYTES_MAX, HEAD_BYTES_MAX, HEADERS_MAX
from meadowlark.wire.http import CHUNKED, Head, HttpFault, RequestReader, Response, chunk, serialize_head

GET = b"GET /a/b.json?ns=x HTTP/1.1\r\nHost: localhost:9000\r\nAccept: */*\r\n\r\n"
PUT = b'PUT /a.json HTTP/1.1\r\nHost: h\r\nContent-Length: 7\r\n\r\n{"x":1}'
CHUNKS = (
    b"POST /a.json HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
    b'3;name=value\r\n{"x\r\n0004\r\n":1}\r\n0\r\nTrailer: dropped\r\n\r\n'
)
Request = tuple[str, str, bytes]


def read_all(pieces: Iterable[bytes]) -> list[Request]:
    """(method, target, body) of every request that became complete, reading after each piece as a connection does."""
    reader, requests = RequestReader(), []
    head: Head | None = None
    for piece in pieces:
        reader.receive(piece)
        while True:
            if head is None:
                head = reader.read_head()
                if head is None:
                    break
            body = reader.read_body()
            if body is None:
                break
            requests.append((head.method, head.target, bytes(body)))
            head = None
    return requests


def head_of(data: bytes) -> Head:
    reader = RequestReader()
    reader.receive(data)
    head = reader.read_head()
    assert head is not None
    return head


def fault_of(data: bytes) -> HttpFault:
    with pytest.raises(HttpFault) as raised:
        read_all([data])
    return raised.value


# Requests


EXPECTED = {
    GET: ("GET", "/a/b.json?ns=x", b""),
    PUT: ("PUT", "/a.json", b'{"x":1}'),
    CHUNKS: ("POST", "/a.json", b'{"x":1}'),
}


@pytest.mark.parametrize("data", EXPECTED, ids=["get", "put", "chunks"])
def test_a_request_cut_at_any_byte_is_the_same_request(data: bytes) -> None:
    assert read_all([data]) == [EXPECTED[data]]
    assert read_all([data[i : i + 1] for i in range(len(data))]) == [EXPECTED[data]]
    for cut in range(len(data)):
        assert read_all([data[:cut], data[cut:]]) == [EXPECTED[data]]


def test_requests_behind_one_another_stay_apart() -> None:
    every = [EXPECTED[GET], EXPECTED[CHUNKS], EXPECTED[PUT], EXPECTED[GET]]
    data = GET + CHUNKS + PUT + GET
    assert read_all([data]) == every
    assert read_all([data[i : i + 1] for i in range(len(data))]) == every


def test_the_next_request_waits_until_it_is_asked_for() -> None:
    reader = RequestReader()
    reader.receive(PUT + GET)
    assert reader.read_head() is not None
    assert reader.read_body() == b'{"x":1}'
    assert not reader.is_idle
    assert reader.take_rest() == GET
    assert reader.is_idle


def test_the_bytes_of_a_head_are_kept_for_whoever_reads_it_next() -> None:
    reader = RequestReader()
    reader.receive(PUT)
    head = reader.read_head()
    assert head is not None
    assert head.raw + reader.take_rest() == PUT


def test_empty_lines_before_a_request_are_skipped() -> None:
    assert read_all([b"\r\n\r\n" + GET]) == [EXPECTED[GET]]


def test_header_names_are_lower_case_and_repeated_ones_are_joined() -> None:
    head = head_of(b"GET / HTTP/1.1\r\nHOST: h\r\nX-A: 1\r\nx-a: 2\r\nEmpty:\r\n\r\n")
    assert head.headers == {"host": "h", "x-a": "1, 2", "empty": ""}


def test_a_connection_is_kept_unless_the_client_says_or_is_too_old() -> None:
    assert head_of(GET).keep_alive
    assert not head_of(b"GET / HTTP/1.1\r\nHost: h\r\nConnection: Close\r\n\r\n").keep_alive
    assert not head_of(b"GET / HTTP/1.0\r\n\r\n").keep_alive


def test_an_upgrade_is_told_by_its_protocol() -> None:
    head = head_of(b"GET /.ws HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: WebSocket\r\n\r\n")
    assert head.upgrade == "websocket"
    assert head_of(b"GET /.ws HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\n\r\n").upgrade == ""
    assert head_of(GET).upgrade == ""


def test_a_body_is_read_though_another_protocol_was_offered() -> None:
    offered = PUT.replace(b"Host: h\r\n", b"Host: h\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n")
    assert read_all([offered, GET]) == [EXPECTED[PUT], EXPECTED[GET]]


# Faults


@pytest.mark.parametrize(
    "data",
    [
        b"\x16\x03\x01\x02\x00",
        b"get / HTTP/1.1\r\n",
        b"GET / HTTP/1.1\nHost: h\n\n",
        b"GET /\xc3\xa9 HTTP/1.1\r\nHost: h\r\n\r\n",
        b"FETCH / HTTP/1.1\r\nHost: h\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: h\r\nBad Name: 1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: h\r\nFolded: 1\r\n 2\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: h\r\nNul: a\x00b\r\n\r\n",
        b"PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\nx",
        b"PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: +1\r\n\r\nx",
        b"PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 99999999999999999999999\r\n\r\n",
        b"PUT / HTTP/1.1\r\nHost: h\r\nContent-Length:\r\n\r\n",
        b"PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 1, 1\r\n\r\nx",
        b"PUT / HTTP/1.1\r\nHost: h\r\nContent-Length : 1\r\n\r\nx",
        b"PUT / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding:\r\n chunked\r\n\r\n",
        b"PUT / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: \x0bchunked\r\n\r\n",
        b"PUT / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: xchunked\r\n\r\n",
        b"PUT / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n",
        b"GET /a HTTP/1.1\r\nHost: h\r\n\nGET /b HTTP/1.1\r\nHost: h\r\n\r\n",
        b"GET /a HTTP/1.1\r\nHost: h\r\nX: 1\nTransfer-Encoding: chunked\r\n\r\n",
        b"GET /a HTTP/1.1\r\nHost: h\r\nX: 1\rTransfer-Encoding: chunked\r\n\r\n",
        b"GET  / HTTP/1.1\r\nHost: h\r\n\r\n",
        b"GET /  HTTP/1.1\r\nHost: h\r\n\r\n",
        b"GET /a b HTTP/1.1\r\nHost: h\r\n\r\n",
        b"DESCRIBE / RTSP/1.0\r\nHost: h\r\n\r\n",
        b"SOURCE / ICE/1.0\r\nHost: h\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a, b\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a@b\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n",
    ],
)
def test_what_is_not_http_is_400(data: bytes) -> None:
    assert fault_of(data).http_status == 400


@pytest.mark.parametrize(
    "chunks", [b"x\r\n", b"-1\r\n", b"0x1\r\na\r\n", b" 1\r\na\r\n", b"\r\n", b"1\r\nab\r\n", b"1" * 300, b"1;\x00\r\n"]
)
def test_chunks_that_are_none_are_400(chunks: bytes) -> None:
    head = b"PUT / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
    assert fault_of(head + chunks).http_status == 400


@pytest.mark.parametrize("trailer", [b"none", b": x", b"A: b\n\nGET / HTTP/1.1", b"A: \x00", b" A: b", b"A : b", b"A: b\rB: c"])
def test_a_trailer_that_another_reader_might_end_elsewhere_is_400(trailer: bytes) -> None:
    head = b"PUT / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n"
    assert fault_of(head + trailer + b"\r\n\r\n").http_status == 400


def test_a_tunnel_is_refused_for_good() -> None:
    assert fault_of(b"CONNECT h:443 HTTP/1.1\r\nHost: h\r\n\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n").http_status == 501


def test_space_around_a_value_is_not_of_the_value() -> None:
    head = head_of(b"PUT / HTTP/1.1\r\nHost: h \t\r\nX:\t a b \r\nTransfer-Encoding: chunked \r\n\r\n")
    assert (head.headers["host"], head.headers["x"], head.body_bytes) == ("h", "a b", CHUNKED)


@pytest.mark.parametrize("header", ["X:", "X{}: 1"])
def test_no_more_headers_are_read_than_anybody_sends(header: str) -> None:
    lines = [header.format(number) for number in range(HEADERS_MAX - 1)]
    text = "\r\n".join(["GET / HTTP/1.1", "Host: h", *lines, "", ""])
    assert len(read_all([text.encode()])) == 1
    more = "\r\n".join(["GET / HTTP/1.1", "Host: h", *lines, "Y: 1", "Z: 1", "", ""])
    assert fault_of(more.encode()).http_status == 431


def test_other_codings_are_refused_by_name() -> None:
    head = b"PUT / HTTP/1.1\r\nHost: h\r\n%b\r\n\r\n"
    assert fault_of(head % b"Transfer-Encoding: gzip, chunked").http_status == 501
    compressed = fault_of(head % b"Content-Encoding: gzip\r\nContent-Length: 4")
    assert (compressed.http_status, compressed.text[:24]) == (415, "compressed request bodie")


def test_another_version_is_505() -> None:
    assert fault_of(b"GET / HTTP/2.0\r\nHost: h\r\n\r\n").http_status == 505


# Bounds


def test_a_head_may_have_so_many_bytes_and_no_more() -> None:
    empty = b"GET / HTTP/1.1\r\nHost: h\r\nX: %b\r\n\r\n"
    full = empty % (b"x" * (HEAD_BYTES_MAX - len(empty) + 2))
    assert len(full) == HEAD_BYTES_MAX
    assert head_of(full).raw == full
    longer = full.replace(b"X: ", b"X: x")
    assert fault_of(longer).http_status == 431
    assert fault_of(longer[:-1]).http_status == 431, "before its end has come"


def test_a_first_line_over_the_limit_of_a_head_is_414() -> None:
    assert fault_of(b"GET /" + b"x" * HEAD_BYTES_MAX).http_status == 414
    assert fault_of(b"GET /" + b"x" * HEAD_BYTES_MAX + b" HTTP/1.1\r\nHost: h\r\n").http_status == 431, "it has ended"


def test_a_body_over_the_limit_is_refused_by_its_announcement() -> None:
    head = b"PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n"
    assert head_of(head % BODY_BYTES_MAX).body_bytes == BODY_BYTES_MAX
    assert fault_of(head % (BODY_BYTES_MAX + 1)).http_status == 413


def test_a_chunk_that_would_pass_the_limit_is_refused_before_it_comes() -> None:
    head = b"PUT / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
    assert read_all([head + b"%x\r\n" % BODY_BYTES_MAX]) == []
    assert fault_of(head + b"%x\r\n" % (BODY_BYTES_MAX + 1)).http_status == 413
    assert fault_of(head + b"1\r\nx\r\n%x\r\n" % BODY_BYTES_MAX).http_status == 413


def test_trailers_are_bounded() -> None:
    head = b"PUT / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n"
    assert fault_of(head + b"A: b\r\n" * (HEAD_BYTES_MAX // 6 + 1)).http_status == 400


@settings(max_examples=200, deadline=None)
@given(st.lists(st.one_of(st.binary(max_size=40), st.sampled_from([GET, PUT, CHUNKS, b"\r\n", b"0\r\n\r\n"])), max_size=6))
def test_anything_at_all_becomes_requests_or_a_fault(pieces: list[bytes]) -> None:
    outcome(pieces)


@settings(max_examples=200, deadline=None)
@given(st.sampled_from([GET, PUT, CHUNKS]), st.integers(0, 200), st.binary(max_size=3), st.integers(0, 3))
def test_a_damaged_request_becomes_requests_or_a_fault_whole_or_byte_by_byte(
    data: bytes, place: int, put: bytes, dropped: int
) -> None:
    damaged = data[:place] + put + data[place + dropped :]
    assert outcome([damaged])[0] == outcome([damaged[i : i + 1] for i in range(len(damaged))])[0]


def outcome(pieces: list[bytes]) -> tuple[bool, list[Request]]:
    """Whether it ended in a fault, with the requests if not."""
    try:
        return False, read_all(pieces)
    except HttpFault:
        return True, []


# Responses


def test_a_head_says_how_its_body_ends() -> None:
    def lines(size: int | None, *, keep_alive: bool = True, status: int = 200) -> list[bytes]:
        return serialize_head(Response(status, headers=(("X", "y"),)), size, keep_alive=keep_alive).split(b"\r\n")

    assert lines(3) == [
        b"HTTP/1.1 200 OK", b"Content-Type: application/json; charset=utf-8", b"Content-Length: 3", b"Cache-Control: no-cache",
        b"X-Content-Type-Options: nosniff", b"X: y", b"", b"",
    ]  # fmt: skip
    assert b"Transfer-Encoding: chunked" in lines(CHUNKED)
    assert b"Connection: close" in lines(None, keep_alive=False)
    assert not any(line.startswith((b"Content-", b"Transfer-")) for line in lines(0, status=204))


def test_a_chunk_carries_its_size() -> None:
    assert chunk(b"x" * 26) == b"1a\r\n" + b"x" * 26 + b"\r\n"
