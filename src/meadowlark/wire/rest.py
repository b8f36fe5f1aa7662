"""REST requests: from a method, a target and headers to what is asked; with the body, to a command for the database.

Every way of asking that Firebase's REST API documents is read here or refused with its reason; nothing is ignored that would
change the answer.
Does not know: connections, who may do what, which database answers. Answers are made in answers.py.
Source: docs/rest.md; texts of errors that clients compare are those of Firebase.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Generator
from typing import Any

import msgspec
import orjson

from meadowlark.engine.client import Client
from meadowlark.engine.commands import Command, Get, Set, Update
from meadowlark.errors import Code, Refused
from meadowlark.limits import BODY_BYTES_MAX, READ_SECONDS_MAX, WRITE_BYTES_A_SECOND
from meadowlark.query import KEY, Query, parse_parameters
from meadowlark.query import PARAMETERS as QUERY_PARAMETERS
from meadowlark.tree import PRIORITY, Path, check_path, decode_slices, prepare_slices, prepare_update_slices
from meadowlark.wire.http import HttpFault
from meadowlark.wire.targets import Target

NULL_ETAG = "null_etag"
"""The ETag of nothing; any other ETag is the hash of the value."""

APPEND_JSON = "append .json to your request URI to use the REST API"
INVALID_DATA = "Invalid data; couldn't parse JSON object, array, or value."
INVALID_UPDATE = "Invalid data; couldn't parse JSON object. Are you sending a JSON object with valid key names?"
NO_DATA = "Error: No data supplied."
WRITE_TOO_BIG = "Data to write exceeds the maximum size that can be modified with a single request."

_TIMEOUT = re.compile(r"([0-9]{1,9})(ms|s|min)")
_TIMEOUT_UNITS = {"ms": 0.001, "s": 1.0, "min": 60.0}
CALLBACK = re.compile(r"[A-Za-z_$][A-Za-z0-9_$.]{0,127}")

WRITE_SIZES = {
    "tiny": WRITE_BYTES_A_SECOND,
    "small": 10 * WRITE_BYTES_A_SECOND,
    "medium": 30 * WRITE_BYTES_A_SECOND,
    "large": BODY_BYTES_MAX,
    "unlimited": BODY_BYTES_MAX,
}
"""Bytes that a write may have for each `writeSizeLimit`. Firebase estimates 1, 10, 30 and 60 seconds of work. A removal is no
work here, whatever is removed."""


_PARAMETERS = frozenset(QUERY_PARAMETERS) | {
    "ac", "access_token", "auth", "auth_variable_override", "callback", "disableTriggers", "download", "dryRun", "format", "ns",
    "print", "shallow", "timeout", "writeSizeLimit", "x-http-method-override",
}  # fmt: skip
"""All that Firebase documents or its tools send. `disableTriggers` has nothing to disable and `ac`, a token of App Check, nobody
who asks for it: both say nothing here."""
_LOWER_CASE = {name.lower(): name for name in _PARAMETERS if not name.islower()}


class Action(enum.Enum):
    GET = "GET"
    SET = "PUT"
    UPDATE = "PATCH"
    PUSH = "POST"
    DELETE = "DELETE"


_ACTIONS = {action.value: action for action in Action} | {"HEAD": Action.GET}


class RestRequest(msgspec.Struct, frozen=True, gc=False):
    """What one request asks of its database."""

    action: Action
    path: Path
    credential: str | None
    acts_as: Any = msgspec.UNSET
    """What an admin wants to be instead, `auth` as rules see it (None: nobody); UNSET: itself."""
    streams: bool = False
    """Whether a stream of events is asked for instead of one answer."""
    pretty: bool = False
    silent: bool = False
    shallow: bool = False
    export: bool = False
    query: Query | None = None
    """Which children are read; None: all."""
    etag_wanted: bool = False
    if_match: str | None = None
    """The hash that must stand there; "" for nothing. None: no condition."""
    if_none_match: str | None = None
    callback: str = ""
    download: str = ""
    timeout_seconds: float = READ_SECONDS_MAX
    """After which a read is given up."""
    write_bytes_max: int = BODY_BYTES_MAX


def parse_rest(method: str, target: Target, headers: dict[str, str]) -> RestRequest:
    """What is asked, from all but the body. Raises Refused for whatever cannot be answered as asked."""
    parameters = target.parameters
    action = _parse_action(method, parameters, headers)
    _check_parameters(action, parameters)
    shown = parameters.get("print", "")
    streams = method == "GET" and "text/event-stream" in headers.get("accept", "")
    if streams:
        _check_stream(parameters)
    return RestRequest(
        action=action,
        path=_parse_path(target.segments),
        credential=find_credential(parameters, headers),
        acts_as=_parse_override(parameters),
        streams=streams,
        pretty=shown == "pretty",
        silent=shown == "silent",
        shallow=parameters.get("shallow") == "true",
        export=parameters.get("format") == "export",
        query=_parse_query(action, parameters),
        etag_wanted=_parse_etag_wanted(action, headers),
        if_match=_parse_if_match(action, headers),
        if_none_match=_parse_if_none_match(action, headers),
        callback=parameters.get("callback", ""),
        download=parameters.get("download", ""),
        timeout_seconds=_parse_timeout(parameters.get("timeout")),
        write_bytes_max=WRITE_SIZES[parameters.get("writeSizeLimit", "unlimited")],
    )


def find_credential(parameters: dict[str, str], headers: dict[str, str]) -> str | None:
    """The credential of a request: `Authorization: Bearer`, else `access_token`, else `auth`."""
    scheme, _, token = headers.get("authorization", "").partition(" ")
    if token:
        if scheme.lower() != "bearer":
            raise Refused(Code.INVALID_TOKEN, "Could not parse auth token: expected 'Authorization: Bearer' and the token")
        return token.strip()
    return parameters.get("access_token") or parameters.get("auth") or None


def read_command(request: RestRequest, client: Client, body: bytes | bytearray, push_id: str) -> Command:
    """The command that `request` with `body` means. push_id: the key a POST adds. Raises Refused for a bad body."""
    match request.action:
        case Action.GET:
            return Get(client, 0, request.path, request.query)
        case Action.DELETE:
            return Set(client, 0, request.path, None, request.if_match)
        case _:
            _check_size(request, body)
            return _write(request, client, parse_body(body), push_id)


def read_slices(
    request: RestRequest, client: Client, body: bytes | bytearray, push_id: str
) -> Generator[None, None, Set | Update]:
    """`read_command` for a large body of a write: yields after each millisecond or so.

    Values are prepared too, while they are decoded, where nothing in them is special or wrong; else in engine/preparing.py.
    """
    _check_size(request, body)
    value: Any
    try:
        if request.action is Action.UPDATE:
            value = yield from prepare_update_slices(body, len(request.path))
        elif request.path[-1:] == (PRIORITY,):
            value = yield from decode_slices(body)
        else:
            value = yield from prepare_slices(body, len(request.path) + (request.action is Action.PUSH))
    except orjson.JSONDecodeError:
        raise Refused(Code.INVALID_DATA, INVALID_DATA) from None
    return _write(request, client, value, push_id)


def _check_size(request: RestRequest, body: bytes | bytearray) -> None:
    if len(body) > request.write_bytes_max:
        raise Refused(Code.TOO_BIG, WRITE_TOO_BIG)


def _write(request: RestRequest, client: Client, value: Any, push_id: str) -> Set | Update:
    path = request.path
    if request.action is Action.SET:
        return Set(client, 0, path, value, request.if_match)
    if request.action is Action.PUSH:
        path = (*path, push_id)
        check_path(path)
        return Set(client, 0, path, value)
    if value is None:
        return Set(client, 0, path, None)  # So that `firebase database:remove` works.
    if not isinstance(value, dict):
        raise Refused(Code.INVALID_DATA, INVALID_UPDATE)
    return Update(client, 0, path, value)


def parse_body(body: bytes | bytearray) -> Any:
    """The JSON in a body. Raises Refused."""
    if not body:
        raise Refused(Code.INVALID_DATA, NO_DATA)
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        raise Refused(Code.INVALID_DATA, INVALID_DATA) from None


def _parse_action(method: str, parameters: dict[str, str], headers: dict[str, str]) -> Action:
    if method == "POST":
        method = (headers.get("x-http-method-override") or parameters.get("x-http-method-override") or method).upper()
    action = _ACTIONS.get(method)
    if action is None:
        raise Refused(Code.INVALID_REQUEST, f"method {method[:20]!r} is not one of GET, PUT, PATCH, POST, DELETE")
    return action


def _parse_path(segments: tuple[str, ...]) -> Path:
    """`("a", "b.json")` is the path a/b; `(".json",)` and `("a", ".json")` end in a slash before the suffix."""
    if not segments or not segments[-1].endswith(".json"):
        raise HttpFault(404, APPEND_JSON)
    last = segments[-1].removesuffix(".json")
    path = (*segments[:-1], last) if last else segments[:-1]
    check_path(path)
    return path


def _check_parameters(action: Action, parameters: dict[str, str]) -> None:
    if not _PARAMETERS.issuperset(parameters):
        _check_spelling(parameters)
    _check_choice(parameters, "disableTriggers", ("true", "false"))
    if "dryRun" in parameters:
        raise Refused(Code.INVALID_REQUEST, "dryRun is for /.settings/rules.json: here it would read or write all the same")
    _check_choice(parameters, "print", ("pretty", "silent"))
    _check_choice(parameters, "shallow", ("true", "false"))
    _check_choice(parameters, "format", ("export",))
    _check_choice(parameters, "writeSizeLimit", tuple(WRITE_SIZES))
    if parameters.get("shallow") == "true":
        if parameters.get("format") == "export":
            raise Refused(Code.INVALID_REQUEST, "shallow and format=export cannot be combined")
        if action is not Action.GET:
            raise Refused(Code.INVALID_REQUEST, "shallow is supported with GET only")
    callback = parameters.get("callback")
    if callback is not None and (action is not Action.GET or not CALLBACK.fullmatch(callback)):
        raise Refused(Code.INVALID_REQUEST, "callback needs GET and the name of a JavaScript function")


def _check_stream(parameters: dict[str, str]) -> None:
    """Events have one form; `print` and `download` are about how an answer looks and where it goes, and say nothing of them."""
    for name in ("shallow", "format", "callback"):
        if parameters.get(name, "false") != "false":
            raise Refused(Code.INVALID_REQUEST, f"{name} cannot be combined with a stream of events")


def _check_spelling(parameters: dict[str, str]) -> None:
    """Programs add parameters of their own, to get past caches; what is ours but for its case was meant to change the answer."""
    for name in parameters:
        meant = _LOWER_CASE.get(name.lower(), name)
        if meant != name:
            raise Refused(Code.INVALID_REQUEST, f"there is no parameter {name!r}: did you mean {meant}?")


def _parse_query(action: Action, parameters: dict[str, str]) -> Query | None:
    """What is asked of the children. `shallow` shows keys, so beside it a range or a limit is one of keys; Firebase's command
    line asks so, without naming the order."""
    given = [name for name in QUERY_PARAMETERS if name in parameters]
    if not given:
        return None
    if action is not Action.GET:
        raise Refused(Code.INVALID_REQUEST, f"{given[0]} is supported with GET only")
    if parameters.get("shallow") != "true":
        return parse_parameters(parameters)
    query = parse_parameters(parameters, default_order=KEY)
    if query is None or query.order != KEY:
        raise Refused(Code.INVALID_REQUEST, 'shallow can be combined with a range or a limit of keys only (orderBy="$key")')
    return query


def _check_choice(parameters: dict[str, str], name: str, choices: tuple[str, ...]) -> None:
    value = parameters.get(name)
    if value is not None and value not in choices:
        raise Refused(Code.INVALID_REQUEST, f"{name} is {value[:40]!r}, expected {' or '.join(choices)}")


def _parse_timeout(text: str | None) -> float:
    if text is None:
        return READ_SECONDS_MAX
    match = _TIMEOUT.fullmatch(text)
    seconds = int(match[1]) * _TIMEOUT_UNITS[match[2]] if match else 0.0
    if not 0 < seconds <= READ_SECONDS_MAX:
        raise Refused(Code.INVALID_REQUEST, f"timeout is {text[:40]!r}, expected a time like 300ms, 10s or 3min, at most 15min")
    return seconds


def _parse_override(parameters: dict[str, str]) -> Any:
    text = parameters.get("auth_variable_override")
    if text is None:
        return msgspec.UNSET
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        raise Refused(Code.INVALID_REQUEST, "auth_variable_override is not JSON") from None


# Conditions. Each is refused where it would not be observed: ignoring one could overwrite what it protects.


def _parse_etag_wanted(action: Action, headers: dict[str, str]) -> bool:
    text = headers.get("x-firebase-etag", "false").lower()
    if text not in ("true", "false"):
        raise Refused(Code.INVALID_REQUEST, f"X-Firebase-ETag is {text[:40]!r}, expected true or false")
    wanted = text == "true"
    if wanted and action is Action.UPDATE:
        raise Refused(Code.INVALID_REQUEST, "X-Firebase-ETag is not supported with PATCH")
    return wanted


def _parse_if_match(action: Action, headers: dict[str, str]) -> str | None:
    etag = headers.get("if-match")
    if etag is None:
        return None
    if action not in (Action.SET, Action.DELETE):
        raise Refused(Code.INVALID_REQUEST, "if-match is supported with PUT and DELETE only")
    return _parse_etag("if-match", etag)


def _parse_if_none_match(action: Action, headers: dict[str, str]) -> str | None:
    etag = headers.get("if-none-match")
    if etag is None:
        return None
    if action is not Action.GET:
        raise Refused(Code.INVALID_REQUEST, "if-none-match is supported with GET only")
    return _parse_etag("if-none-match", etag)


def _parse_etag(header: str, text: str) -> str:
    etag = text.strip().removeprefix("W/").strip('"')
    if not etag or etag == "*" or "," in etag:
        raise Refused(Code.INVALID_REQUEST, f"{header} must be exactly one ETag, as an earlier answer gave it")
    return "" if etag == NULL_ETAG else etag
