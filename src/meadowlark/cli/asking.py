"""A server, as the commands that work with data ask it: one HTTP request at a time, over REST.

Which server, which database and with which credential comes from flags, then from the environment, then from the data folder of a
server on this machine. What a server says no to, or does not say, becomes `Failed` with the exit code for it.
Does not know: what the commands do with answers. Source: docs/cli.md, docs/rest.md.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import ssl
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from meadowlark.cli.application import Exit, Failed
from meadowlark.cli.options import load_data
from meadowlark.errors import Refused, WorldError
from meadowlark.server import administration
from meadowlark.server.credential import read_credential
from meadowlark.tree import Path, parse_path

URL_VARIABLE = "MEADOWLARK_CLIENT_URL"
DATABASE_VARIABLE = "MEADOWLARK_CLIENT_DATABASE"
CREDENTIAL_VARIABLE = "MEADOWLARK_CLIENT_CREDENTIAL"

ANSWER_SECONDS = 300.0
"""How long a server may be silent: preparing a write of hundreds of megabytes takes it some seconds."""
_ERROR_BYTES_MAX = 65_536

Body = bytes | Iterable[bytes] | None


class Server:
    """Where a database is, and how to come in."""

    def __init__(self, url: str, database: str, credential: str | None, tls: ssl.SSLContext | None = None) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise Failed(Exit.USAGE, f"{url!r} is not the address of a server; expected http://HOST:PORT or https://HOST")
        self.url = url
        self.database = database
        self._parts = parts
        self._credential = credential
        self._tls = tls or ssl.create_default_context()

    def ask(
        self,
        method: str,
        path: Path,
        *,
        parameters: Mapping[str, str] | None = None,
        body: Body = None,
        body_bytes: int | None = None,
        headers: Mapping[str, str] | None = None,
        seconds: float = ANSWER_SECONDS,
    ) -> Answer:
        """The answer, if it is a good one. body_bytes: of a body that comes in pieces. Raises Failed."""
        query = urlencode({"ns": self.database, **(parameters or {})})
        target = "/" + "/".join(quote(key, safe="") for key in path) + ".json?" + query
        connection = self._connect(seconds)
        all_headers = dict(headers or {})
        if self._credential:
            all_headers["Authorization"] = f"Bearer {self._credential}"
        if body_bytes is not None:
            all_headers["Content-Length"] = str(body_bytes)
        try:
            connection.connect()
            # The server may refuse before it has read everything, and say why.
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                connection.request(method, target, body=body, headers=all_headers)
            answer = Answer(self, connection, connection.getresponse())
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            raise self._unreachable(error) from error
        if answer.status >= 400:
            raise self._refused(answer)
        return answer

    def _connect(self, seconds: float) -> http.client.HTTPConnection:
        host, port = self._parts.hostname or "", self._parts.port
        if self._parts.scheme == "https":
            return http.client.HTTPSConnection(host, port, timeout=seconds, context=self._tls)
        return http.client.HTTPConnection(host, port, timeout=seconds)

    def _unreachable(self, error: Exception) -> Failed:
        reason = str(error) or type(error).__name__
        return Failed(Exit.UNREACHABLE, f"the server at {self.url} did not answer: {reason}")

    def _refused(self, answer: Answer) -> Failed:
        text = answer.read_some().decode(errors="replace").strip()
        answer.close()
        with contextlib.suppress(ValueError, TypeError, KeyError):
            text = str(json.loads(text)["error"])
        code = Exit.UNREACHABLE if answer.status >= 500 else Exit.REFUSED
        return Failed(code, f"the server at {self.url} refused with {answer.status}: {text}")


class Answer:
    """An answer whose body is still to be read."""

    def __init__(self, server: Server, connection: http.client.HTTPConnection, response: http.client.HTTPResponse) -> None:
        self._server = server
        self._connection = connection
        self._response = response
        self.status = response.status

    def read(self) -> bytes:
        """The whole body; the connection ends with it. Raises Failed."""
        return b"".join(self.pieces())

    def read_some(self) -> bytes:
        try:
            return self._response.read(_ERROR_BYTES_MAX)
        except (OSError, http.client.HTTPException):
            return b""

    def pieces(self) -> Iterable[bytes]:
        """The body as it comes. Raises Failed when it does not come whole."""
        try:
            while piece := self._response.read1(65_536):
                yield piece
        except (OSError, http.client.HTTPException) as error:
            raise self._server._unreachable(error) from error
        finally:
            self.close()

    def lines(self) -> Iterable[bytes]:
        """The body line by line, until it ends."""
        try:
            while line := self._response.readline():
                yield line.rstrip(b"\r\n")
        except (OSError, http.client.HTTPException) as error:
            raise self._server._unreachable(error) from error
        finally:
            self.close()

    def close(self) -> None:
        self._response.close()
        self._connection.close()


def find_server(
    *, url: str | None, database: str | None, credential_file: str | None, data: str | None, config: str | None
) -> Server:
    """The server that flags, environment and data folder name. Raises Failed, or what the settings say."""
    name = database or os.environ.get(DATABASE_VARIABLE)
    if not name:
        raise Failed(
            Exit.USAGE,
            f"no database is named: use --database NAME, as in 'meadowlark get /tasks --database demo', or {DATABASE_VARIABLE}",
        )
    url = url or os.environ.get(URL_VARIABLE)
    credential = os.environ.get(CREDENTIAL_VARIABLE)
    if credential_file is not None:
        credential = read_credential(credential_file)
    if url is not None and data is None and config is None:
        return Server(url, name, credential)
    configured = load_data(data, config)
    if credential is None and os.path.exists(file := configured.credential_file(configured.data)):
        credential = read_credential(file)
    if url is not None:
        return Server(url, name, credential)
    try:
        return Server(administration.find_url(configured.data), name, credential, administration.same_machine())
    except WorldError as error:
        raise Failed(Exit.USAGE, str(error)) from error


def read_path(text: str) -> Path:
    """The keys of a path as people write it: `/a/b`, `a/b`, `/`."""
    try:
        return parse_path(text)
    except Refused as refused:
        raise Failed(Exit.USAGE, refused.text) from refused


def to_json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
