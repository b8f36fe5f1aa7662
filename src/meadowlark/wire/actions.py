"""The actions of the realtime protocol: what each request asks, as a table from its name to the outcome it becomes.

An entry is a function (client, request number, body) → outcome; it raises Refused where the body cannot mean anything. Values are
passed on unchecked: the engine knows what may stand in a tree. A listen to a query that filters has a tag, and its pushes too.

Does not know: frames, order, state. The session (realtime.py) has those.
Source: docs/protocol.md "Requests".
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, NoReturn

from msgspec import UNSET

from meadowlark.auth.identity import is_plain
from meadowlark.engine import commands
from meadowlark.engine.client import Client
from meadowlark.errors import Code, Refused
from meadowlark.limits import KEY_BYTES_MAX, PATH_DEPTH_MAX, RANGES_MAX, VOLATILE_RATE_MAX, VOLATILE_RATE_MIN
from meadowlark.query import Query, parse_query
from meadowlark.tree import Path, Ranges, make_ranges, parse_path
from meadowlark.wire.envelope import Body
from meadowlark.wire.outcomes import Answer, Authenticate, Outcome, SetPace, Unauthenticate
from meadowlark.wire.replies import encode_ok

_PATH_LENGTH_MAX = (PATH_DEPTH_MAX + 2) * (KEY_BYTES_MAX + 1)
"""Characters of a path text; more cannot be a path, and need not be taken apart to know it."""


# Writing


def _set(client: Client, request: int, body: Body) -> Outcome:
    if body.d is UNSET:
        _refuse_missing("d", "a value")
    return commands.Set(client, request, _path(body), body.d, body.h)


def _set_volatile(client: Client, request: int | None, body: Body) -> Outcome:
    """Of our own clients: a value that is never on disk. Without a number it is not answered."""
    if body.d is UNSET:
        _refuse_missing("d", "a value")
    return commands.Set(client, request, _path(body), body.d, volatile=True)


def _pace(client: Client, request: int, body: Body) -> Outcome:
    """Of our own clients: how often a second they want to hear of volatile values at most."""
    rate = body.d
    if type(rate) not in (int, float) or not (rate == 0 or VOLATILE_RATE_MIN <= rate <= VOLATILE_RATE_MAX):
        raise Refused(
            Code.INVALID_DATA, f"expected in 'd' how often a second, from {VOLATILE_RATE_MIN:g} to {VOLATILE_RATE_MAX:g}, or 0"
        )
    return SetPace(request, float(rate))


def _update(client: Client, request: int, body: Body) -> Outcome:
    return commands.Update(client, request, _path(body), _children(body))


def _on_disconnect_set(client: Client, request: int, body: Body) -> Outcome:
    if body.d is UNSET:
        _refuse_missing("d", "a value")
    return commands.OnDisconnectSet(client, request, _path(body), body.d)


def _on_disconnect_update(client: Client, request: int, body: Body) -> Outcome:
    return commands.OnDisconnectUpdate(client, request, _path(body), _children(body))


def _on_disconnect_cancel(client: Client, request: int, body: Body) -> Outcome:
    return commands.OnDisconnectCancel(client, request, _path(body))


# Reading


def _listen(client: Client, request: int, body: Body) -> Outcome:
    ranges = None if body.ch is None else _ranges(body.ch)
    if not body.q and body.t is None:
        return commands.Listen(client, request, _path(body), body.h or "", ranges=ranges)
    return commands.Listen(client, request, _path(body), body.h or "", _tagged_query(body), body.t, ranges)


def _unlisten(client: Client, request: int, body: Body) -> Outcome:
    return commands.Unlisten(client, request, _path(body), parse_query(body.q), body.t)


def _get(client: Client, request: int, body: Body) -> Outcome:
    return commands.Get(client, request, _path(body), parse_query(body.q))


def _tagged_query(body: Body) -> Query | None:
    """The query of a listen. Pushes for one that filters carry its tag, and for any other none."""
    query = parse_query(body.q)
    if (query is not None and query.filters) != (body.t is not None):
        raise Refused(
            Code.INVALID_REQUEST, "expected a tag in 't' beside a query that filters, and none beside one that only orders"
        )
    return query


# Identity


def _auth(client: Client, request: int, body: Body) -> Outcome:
    return _authenticate(request, body, "auth")


def _gauth(client: Client, request: int, body: Body) -> Outcome:
    return _authenticate(request, body, "gauth")


def _authenticate(request: int, body: Body, kind: Literal["auth", "gauth"]) -> Outcome:
    if body.cred is None:
        _refuse_missing("cred", "a credential")
    if body.authvar is UNSET:
        return Authenticate(request, body.cred, kind, noauth=bool(body.noauth))
    _check_authvar(body.authvar)
    return Authenticate(request, body.cred, kind, body.authvar, True, bool(body.noauth))


def _unauth(client: Client, request: int, body: Body) -> Outcome:
    return Unauthenticate(request)


# Taken note of, without effect


def _accept(client: Client, request: int, body: Body) -> Outcome:
    return Answer(encode_ok(request))


Action = Callable[[Client, int, Body], Outcome]

ACTIONS: dict[str, Action] = {
    "p": _set,
    "m": _update,
    "q": _listen,
    "l": _listen,  # Old clients' name.
    "n": _unlisten,
    "u": _unlisten,  # Old clients' name.
    "g": _get,
    "o": _on_disconnect_set,
    "om": _on_disconnect_update,
    "oc": _on_disconnect_cancel,
    "v": _set_volatile,
    "vr": _pace,
    "auth": _auth,
    "gauth": _gauth,
    "unauth": _unauth,
    "s": _accept,  # Statistics of the client.
    "appcheck": _accept,
    "unappcheck": _accept,
    "unappeck": _accept,  # So the JavaScript client spells it.
}


UNNUMBERED: dict[str, Callable[[Client, None, Body], Outcome]] = {"v": _set_volatile}
"""Of them, those that need no answer and so no number."""


def refuse_unknown(action: str) -> Refused:
    """For an action that is not in the table."""
    return Refused(Code.UNSUPPORTED, f"unknown action {action[:40]!r}: expected one of {', '.join(sorted(ACTIONS))}")


# Parts of a body


def _path(body: Body) -> Path:
    text = body.p
    if text is None:
        _refuse_missing("p", "a path")
    if len(text) > _PATH_LENGTH_MAX:
        raise Refused(Code.INVALID_PATH, f"path has {len(text)} characters, limit is {_PATH_LENGTH_MAX}")
    try:
        return parse_path(text)
    except Refused:
        if text.lstrip("/").split("/", 1)[0] == ".info":
            raise Refused(Code.INVALID_PATH, "/.info belongs to the client: it answers reads there itself") from None
        raise


def _children(body: Body) -> dict[str, Any]:
    if type(body.d) is not dict:
        raise Refused(Code.INVALID_DATA, "an update has the wrong form: expected an object of paths and values in 'd'")
    return body.d


def _ranges(raw: Any) -> Ranges | None:
    """A compound hash; what cannot be one counts as none, since the client only loses the saving."""
    if type(raw) is not dict:
        return None
    texts, hashes = raw.get("ps"), raw.get("hs")
    if type(texts) is not list or type(hashes) is not list or not 0 < len(texts) <= RANGES_MAX:
        return None
    if len(hashes) != len(texts) + 1 or not all(type(text) is str and len(text) <= _PATH_LENGTH_MAX for text in texts + hashes):
        return None
    try:
        return make_ranges([parse_path(text) for text in texts], hashes)
    except Refused:
        return None


def _check_authvar(authvar: Any) -> None:
    """It goes back to the client in the answer, and into records of what the client queues."""
    if authvar is not None and type(authvar) is not dict:
        raise Refused(Code.INVALID_REQUEST, "'authvar' has the wrong form: expected an object or null")
    if not is_plain(authvar):
        raise Refused(Code.INVALID_DATA, "'authvar' nests too deeply or has an integer of more than 64 bits")


def _refuse_missing(member: str, meaning: str) -> NoReturn:
    raise Refused(Code.INVALID_REQUEST, f"the request is incomplete: expected {meaning} in {member!r} of its body")
