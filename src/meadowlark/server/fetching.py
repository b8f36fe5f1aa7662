"""One small document over HTTP, for keys: a GET with a deadline, a bound, and no second guess.

No redirects, no cookies, no compression, no proxies: an issuer's keys stand at an address that answers 200. TLS is verified
against the system's authorities (`SSL_CERT_FILE` names others). The connection is closed after the answer, since the next one is
an hour away.
Does not know: what the document means.
"""

from __future__ import annotations

import asyncio
import ssl
from urllib.parse import urlsplit

import httptools

CHUNK_BYTES = 65_536
LOOPBACK_HOSTS = ("127.0.0.1", "::1", "localhost")


class FetchFailed(Exception):
    """There is no document; the text says why, without what was received."""


class Document:
    """An answer as it comes in."""

    def __init__(self, bytes_max: int) -> None:
        self.body = bytearray()
        self.headers: dict[str, str] = {}
        self.is_whole = False
        self._bytes_max = bytes_max

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_body(self, body: bytes) -> None:
        if len(self.body) + len(body) > self._bytes_max:
            raise FetchFailed(f"the answer has more than {self._bytes_max} bytes")
        self.body += body

    def on_message_complete(self) -> None:
        self.is_whole = True


def find_fault(url: str) -> str:
    """Why keys cannot be fetched from `url`; "" if they can: over https, or from this machine."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return "is not a URL"
    if not host or parts.scheme not in ("https", "http") or parts.username is not None or not url.isascii() or " " in url:
        return "is neither a file nor a URL like https://HOST/PATH"
    if parts.scheme == "http" and host not in LOOPBACK_HOSTS:
        return "is not https; keys that anybody on the way may change verify nothing"
    return ""


async def fetch(url: str, *, seconds: float, bytes_max: int, tls: ssl.SSLContext | None) -> Document:
    """The document at `url`, whole, within `seconds`. Raises FetchFailed."""
    try:
        async with asyncio.timeout(seconds):
            return await _fetch(url, bytes_max, tls)
    except TimeoutError:
        raise FetchFailed(f"no answer within {seconds:g} s") from None
    except httptools.HttpParserError as error:
        # A callback's own exception comes out as the context of a parser's.
        if isinstance(error.__context__, FetchFailed):
            raise error.__context__ from None
        raise FetchFailed("the answer is not HTTP") from None
    except (OSError, ValueError) as error:
        raise FetchFailed(f"it cannot be reached: {error}") from None


async def _fetch(url: str, bytes_max: int, tls: ssl.SSLContext | None) -> Document:
    parts = urlsplit(url)
    secure = parts.scheme == "https"
    if secure and tls is None:
        raise FetchFailed("it is https, and nothing is trusted")
    assert parts.hostname is not None, "as its configuration was checked"
    port = parts.port or (443 if secure else 80)
    reader, writer = await asyncio.open_connection(parts.hostname, port, ssl=tls if secure else None, limit=CHUNK_BYTES)
    try:
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        host = parts.netloc.rpartition("@")[2]
        lines = [
            f"GET {target} HTTP/1.1",
            f"Host: {host}",
            "Accept: application/json",
            "User-Agent: meadowlark",
            "Connection: close",
        ]
        writer.write("\r\n".join([*lines, "", ""]).encode("ascii"))
        return await _read(reader, bytes_max)
    finally:
        writer.transport.abort()


async def _read(reader: asyncio.StreamReader, bytes_max: int) -> Document:
    document = Document(bytes_max)
    parser = httptools.HttpResponseParser(document)
    received = 0
    while not document.is_whole:
        data = await reader.read(CHUNK_BYTES)
        if not data:
            # Without a length, the end of the connection is the end of the document.
            if "content-length" in document.headers or "transfer-encoding" in document.headers or not document.headers:
                raise FetchFailed("the connection ended before the answer did")
            break
        received += len(data)
        if received > 2 * bytes_max + CHUNK_BYTES:
            raise FetchFailed("the answer's head has no end")
        parser.feed_data(data)
    status = parser.get_status_code()
    if status != 200:
        raise FetchFailed(f"it answered with status {status}")
    return document
