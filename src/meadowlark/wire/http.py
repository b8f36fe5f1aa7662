"""HTTP/1.1 as bytes: a machine that cuts requests out of a connection, and the making of responses.

`RequestReader` takes bytes as they come and gives one request at a time, head first, so that the owner can refuse, pass on or
upgrade before any body is read; what follows the request stays for the next. llhttp (httptools) judges heads, strictly; bodies
are framed here, because llhttp cannot stop between pipelined requests. It never gives a request that it is not sure of:
whatever is wrong becomes an HttpFault, after which the connection must be closed.

Invariants: no more than HEAD_BYTES_MAX of a head and BODY_BYTES_MAX of a body are held; between requests nothing is.
Does not know: databases, paths, who asks. Source: RFC 9110, RFC 9112; docs/rest.md "HTTP".
"""

from __future__ import annotations

import enum
import re
from collections.abc import Callable, Iterator

import httptools
import msgspec

from meadowlark.errors import Code, Refused
from meadowlark.limits import BODY_BYTES_MAX, HEAD_BYTES_MAX, HEADERS_MAX

JSON_TYPE = "application/json; charset=utf-8"
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
LAST_CHUNK = b"0\r\n\r\n"

_CHUNK_LINE_BYTES_MAX = 256
"""A chunk's size line with its extensions, which nobody uses."""
_CHUNK_SIZE = re.compile(rb"([0-9A-Fa-f]{1,8})(?:[ \t]*;[^\x00-\x08\x0a-\x1f\x7f]*)?")
_TRAILER = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+:[^\x00-\x08\x0a-\x1f\x7f]*")
_FIRST_LINE = re.compile(rb"[A-Z-]+ [^ \r\n]+ HTTP/1\.[01]\r\n")
_HOST = re.compile(r"[A-Za-z0-9._~%!$&'()*+;=:\[\]-]*")
CHUNKED = -1
"""Instead of a body's length."""

Body = bytes | Iterator[bytes]

_REASONS = {
    200: "OK", 201: "Created", 204: "No Content", 304: "Not Modified", 400: "Bad Request", 401: "Unauthorized", 403: "Forbidden",
    404: "Not Found", 405: "Method Not Allowed", 408: "Request Timeout", 409: "Conflict", 412: "Precondition Failed",
    413: "Content Too Large", 414: "URI Too Long", 415: "Unsupported Media Type", 421: "Misdirected Request",
    426: "Upgrade Required", 431: "Request Header Fields Too Large", 500: "Internal Server Error", 501: "Not Implemented",
    503: "Service Unavailable", 505: "HTTP Version Not Supported",
}  # fmt: skip


class HttpFault(Refused):
    """A request that breaks HTTP or one of its bounds: `http_status` says how to answer before closing."""

    def __init__(self, http_status: int, text: str) -> None:
        super().__init__(Code.INVALID_REQUEST, text)
        self._http_status = http_status

    @property
    def http_status(self) -> int:
        return self._http_status


class Head(msgspec.Struct, frozen=True, gc=False):
    """A request line with its headers. Names of `headers` are lower case; repeated ones are joined by `, `."""

    method: str
    target: str
    headers: dict[str, str]
    raw: bytes
    """The bytes it came as, so that another worker or protocol can read it again."""
    keep_alive: bool
    version_1_0: bool
    upgrade: str
    """The protocol asked for with `Connection: upgrade`, lower case; "" for none."""
    body_bytes: int
    """As announced, or CHUNKED."""


class Response(msgspec.Struct, gc=False):
    """An answer. `headers` come beside those of the connection and of the body."""

    status: int
    body: Body = b""
    """Whole, or in slices made while it is sent."""
    content_type: str = JSON_TYPE
    headers: tuple[tuple[str, str], ...] = ()


class RequestReader:
    """One connection's bytes as requests: `receive`, then `read_head`, then `read_body`, each until it gives something.

    read_head and read_body raise HttpFault; after one the reader must not be used.
    """

    __slots__ = ("_body", "_buffer", "_searched_bytes")

    def __init__(self) -> None:
        self._buffer = bytearray()
        """Bytes not yet given out or taken into a body."""
        self._searched_bytes = 0
        """Of the buffer, those known to hold no end of a head."""
        self._body: _SizedBody | _ChunkedBody | None = None
        """Of the request whose head was given; None between requests."""

    def receive(self, data: bytes | bytearray | memoryview) -> None:
        """Takes bytes of the connection; `data` may change afterwards."""
        self._buffer += data

    @property
    def is_idle(self) -> bool:
        """Whether nothing of a next request has come yet."""
        return self._body is None and not self._buffer

    def read_head(self) -> Head | None:
        """The next request's head, or None until more bytes come."""
        buffer = self._buffer
        while buffer.startswith(b"\r\n"):
            del buffer[:2]  # RFC 9112, 2.2: a server "SHOULD ignore at least one empty line (CRLF) received prior".
        if buffer and not buffer[:1].isupper() and buffer != b"\r":
            raise HttpFault(400, "the request is not HTTP/1.1: expected a method")
        end = buffer.find(b"\r\n\r\n", max(0, self._searched_bytes - 3), HEAD_BYTES_MAX)
        if end < 0:
            self._searched_bytes = len(buffer)
            _check_partial_head(buffer)
            return None
        raw = _take(buffer, end + 4)
        self._searched_bytes = 0
        head = _parse_head(raw)
        self._body = _ChunkedBody() if head.body_bytes == CHUNKED else _SizedBody(head.body_bytes)
        return head

    @property
    def body_bytes(self) -> int:
        """Bytes of the body that is being read: those that have come."""
        return 0 if self._body is None else len(self._body.content)

    def read_body(self) -> bytearray | None:
        """The whole body of the request whose head was given (empty if it has none), or None until more bytes come."""
        assert self._body is not None, "a body is read after its head"
        if not self._body.take(self._buffer):
            return None
        content, self._body = self._body.content, None
        return content

    def take_rest(self) -> bytes:
        """All that came after the last head; the reader is as new then."""
        rest = _take(self._buffer, len(self._buffer))
        self._body = None
        self._searched_bytes = 0
        return rest


class _SizedBody:
    """A body of announced length."""

    __slots__ = ("_missing", "content")

    def __init__(self, size: int) -> None:
        self.content = bytearray()
        self._missing = size

    def take(self, buffer: bytearray) -> bool:
        """Moves what belongs to the body out of `buffer`; whether the body is complete."""
        if self._missing and buffer:
            taken = _take(buffer, min(self._missing, len(buffer)))
            self.content += taken
            self._missing -= len(taken)
        return not self._missing


class _ChunkedBody:
    """A body in chunks: size line, content, line end, and so on; after the chunk of size 0 trailers, which are dropped."""

    __slots__ = ("_missing", "_part", "content")

    def __init__(self) -> None:
        self.content = bytearray()
        self._part = _Part.SIZE
        self._missing = 0
        """Bytes of the current chunk that have not come; in the trailers, bytes of them that may still come."""

    def take(self, buffer: bytearray) -> bool:
        """Moves what belongs to the body out of `buffer`; whether the body is complete."""
        while self._part is not _Part.DONE:
            if not _PART_TAKERS[self._part](self, buffer):
                return False
        return True

    # Each of these handles one part and gives whether it could finish it.

    def _take_size(self, buffer: bytearray) -> bool:
        line = _take_line(buffer, _CHUNK_LINE_BYTES_MAX, "a chunk's size line")
        if line is None:
            return False
        match = _CHUNK_SIZE.fullmatch(line)
        if not match:
            raise HttpFault(400, "a chunk's size line is not a hexadecimal number")
        self._missing = int(match[1], 16)
        if len(self.content) + self._missing > BODY_BYTES_MAX:
            raise _body_too_large()
        self._part = _Part.CONTENT
        if not self._missing:
            self._part, self._missing = _Part.TRAILERS, HEAD_BYTES_MAX
        return True

    def _take_content(self, buffer: bytearray) -> bool:
        taken = _take(buffer, min(self._missing, len(buffer)))
        self.content += taken
        self._missing -= len(taken)
        if not self._missing:
            self._part = _Part.LINE_END
        return not self._missing

    def _take_line_end(self, buffer: bytearray) -> bool:
        if len(buffer) < 2:
            return False
        if _take(buffer, 2) != b"\r\n":
            raise HttpFault(400, "a chunk is longer than its size line says")
        self._part = _Part.SIZE
        return True

    def _take_trailer(self, buffer: bytearray) -> bool:
        line = _take_line(buffer, self._missing, "the trailers")
        if line is None:
            return False
        self._missing -= len(line) + 2
        if not line:
            self._part = _Part.DONE
        elif not _TRAILER.fullmatch(line):
            # Another reader of the same bytes might see the end of the trailers in it, and then another request.
            raise HttpFault(400, "a trailer is no header")
        return True


class _Part(enum.IntEnum):
    """What of a chunked body comes next."""

    SIZE = 0
    CONTENT = 1
    LINE_END = 2
    TRAILERS = 3
    DONE = 4


_PART_TAKERS: dict[_Part, Callable[[_ChunkedBody, bytearray], bool]] = {
    _Part.SIZE: _ChunkedBody._take_size,
    _Part.CONTENT: _ChunkedBody._take_content,
    _Part.LINE_END: _ChunkedBody._take_line_end,
    _Part.TRAILERS: _ChunkedBody._take_trailer,
}


def serialize_head(response: Response, body_bytes: int | None, *, keep_alive: bool) -> bytes:
    """The status line and headers. body_bytes: of the body that follows; CHUNKED; None: it ends with the connection."""
    lines = [f"HTTP/1.1 {response.status} {_REASONS[response.status]}"]
    if response.status not in (204, 304):
        lines.append(f"Content-Type: {response.content_type}")
        if body_bytes == CHUNKED:
            lines.append("Transfer-Encoding: chunked")
        elif body_bytes is not None:
            lines.append(f"Content-Length: {body_bytes}")
    if not keep_alive:
        lines.append("Connection: close")
    lines.append("Cache-Control: no-cache")
    lines.append("X-Content-Type-Options: nosniff")
    lines.extend([f"{name}: {value}" for name, value in response.headers])
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1", "replace")


def chunk(piece: bytes) -> bytes:
    """`piece` as one chunk; it must not be empty."""
    return b"%x\r\n%b\r\n" % (len(piece), piece)


class _HeadParts:
    """What llhttp finds in a head."""

    __slots__ = ("headers", "url")

    def __init__(self) -> None:
        self.url = b""
        self.headers: dict[str, str] = {}

    def on_url(self, url: bytes) -> None:
        self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        key, text = name.decode("latin-1").lower(), value.strip(b" \t").decode("latin-1")
        earlier = self.headers.get(key)
        self.headers[key] = text if earlier is None else f"{earlier}, {text}"


def _parse_head(raw: bytes) -> Head:
    if raw.count(b"\r\n") > HEADERS_MAX + 2:
        raise HttpFault(431, f"the request has over {HEADERS_MAX} headers")
    parts = _HeadParts()
    parser = httptools.HttpRequestParser(parts)
    upgrade = ""
    try:
        parser.feed_data(raw)
    except httptools.HttpParserUpgrade:
        upgrade = parts.headers.get("upgrade", "").lower()
    except httptools.HttpParserError as error:
        raise HttpFault(400, f"the request is not HTTP/1.1: {error}") from None
    version = parser.get_http_version()
    if version not in ("1.1", "1.0"):
        raise HttpFault(505, "expected HTTP/1.1")
    # llhttp takes several spaces for one, and other protocols that look alike.
    if not _FIRST_LINE.match(raw):
        raise HttpFault(400, "the request is not HTTP/1.1: expected 'METHOD TARGET HTTP/1.1' with single spaces")
    host = parts.headers.get("host")
    if (host is None and version == "1.1") or (host is not None and not _HOST.fullmatch(host)):
        raise HttpFault(400, "expected exactly one Host header, with a host")  # RFC 9112, 3.2.
    if parser.get_method() == b"CONNECT":
        raise HttpFault(501, "this server is no proxy")  # Not merely refused: what follows may be meant for elsewhere.
    return Head(
        method=parser.get_method().decode("ascii"),
        target=parts.url.decode("latin-1"),
        headers=parts.headers,
        raw=raw,
        keep_alive=version == "1.1" and "close" not in parts.headers.get("connection", "").lower(),
        version_1_0=version == "1.0",
        upgrade=upgrade,
        body_bytes=_body_bytes(parts.headers, version),
    )


def _body_bytes(headers: dict[str, str], version: str) -> int:
    coding = headers.get("transfer-encoding")
    if coding is not None:
        # llhttp refused this beside a Content-Length, and where chunked is not last.
        if coding.lower() != "chunked" or version == "1.0":
            raise HttpFault(501, "expected 'Transfer-Encoding: chunked' and no other coding")
        return CHUNKED
    if headers.get("content-encoding", "identity").lower() != "identity":
        raise HttpFault(415, "compressed request bodies are not supported: send the JSON as it is")
    size = int(headers.get("content-length", "0"))
    if size > BODY_BYTES_MAX:
        raise _body_too_large()
    return size


def _check_partial_head(buffer: bytearray) -> None:
    """Refuses early what can become no head: too long, or a first line that does not end like one."""
    if len(buffer) >= HEAD_BYTES_MAX:
        if b"\n" not in buffer:
            raise HttpFault(414, f"the request's first line has over {HEAD_BYTES_MAX} bytes")
        raise HttpFault(431, f"the request's head has over {HEAD_BYTES_MAX} bytes")
    if buffer.find(b"\n") > 0 and buffer[buffer.find(b"\n") - 1] != 13:
        raise HttpFault(400, "the request is not HTTP/1.1: a line ends without a carriage return")


def _take(buffer: bytearray, size: int) -> bytes:
    """The first `size` bytes, which leave the buffer."""
    taken = bytes(buffer[:size])
    del buffer[:size]
    return taken


def _take_line(buffer: bytearray, bytes_max: int, what: str) -> bytes | None:
    """The first line without its end, which leaves the buffer; None until it is whole."""
    end = buffer.find(b"\r\n", 0, bytes_max)
    if end >= 0:
        return _take(buffer, end + 2)[:-2]
    if len(buffer) >= bytes_max:
        raise HttpFault(400, f"{what} is over {bytes_max} bytes")
    return None


def _body_too_large() -> HttpFault:
    return HttpFault(413, f"the request's body has over {BODY_BYTES_MAX} bytes")
