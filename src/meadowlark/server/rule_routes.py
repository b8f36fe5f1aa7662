"""What admins ask about the rules of one database: read and set them, see and bring back versions, explain a decision, see
which rules were asked.

Reading and setting are Firebase's addresses, with its answers, so that its tools and its admin SDKs work. The others are ours.
Source: docs/rest.md "The server's own addresses"; docs/rules.md "Setting rules", "Explaining", "Coverage".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import msgspec

from meadowlark.auth.identity import Identity
from meadowlark.engine import Counted, Ruled, update_paths
from meadowlark.errors import Code, Refused
from meadowlark.query import parse_query
from meadowlark.rules import RulesInvalid, explain_read, explain_write
from meadowlark.server.coverage_page import HTML_TYPE, coverage_page
from meadowlark.server.exchange import COVERAGE_PAGE, Exchange
from meadowlark.server.shard import Hosted
from meadowlark.tree import Node, Path, encode, find, from_json, parse_path, resolve
from meadowlark.wire.http import HttpFault, Response

if TYPE_CHECKING:
    from meadowlark.server.worker_api import WorkerApi

NO_RULES = "this database has no rules: in dev everything is allowed, in serve nothing is but to admins"


class Question(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What somebody would be allowed. `who`: a uid, `auth` whole, or null for nobody."""

    operation: Literal["read", "set", "update"] = "read"
    path: str = "/"
    who: str | dict[str, Any] | None = msgspec.field(default=None, name="as")
    value: Any = None
    """To set, or by path to update."""
    query: dict[str, Any] | None = None
    """As the realtime protocol writes it."""


async def rules(worker: WorkerApi, exchange: Exchange) -> Response:
    """The rules as they were set, byte for byte; or sets them."""
    admin = await worker.identities.check_admin(exchange)
    hosted = await _open(worker, exchange)
    if exchange.head.method != "PUT":
        return _show(worker, hosted, exchange.target.parameters.get("format", ""))
    try:
        text = bytes(exchange.body).decode()
        if exchange.target.parameters.get("dryRun") == "true":
            await worker.rules.check(text)
        else:
            await worker.rules.set(worker.shard, hosted, text, at=worker.now_ms(), by=_name(admin))
    except UnicodeDecodeError:
        raise HttpFault(400, "1:1: Parse error. The rules are not UTF-8.") from None
    except RulesInvalid as invalid:
        return _json({"error": str(invalid)}, 400)
    except OSError as error:
        raise Refused(Code.UNAVAILABLE, f"the rules cannot be stored: {error.strerror}") from None
    return _json({"status": "ok"})


async def versions(worker: WorkerApi, exchange: Exchange) -> Response:
    """GET: all versions, or the text of `?version=`. POST {"restore": number}: brings that one back."""
    admin = await worker.identities.check_admin(exchange)
    hosted = await _open(worker, exchange)
    if exchange.head.method == "POST":
        number = _restored(exchange.body)
        try:
            version = await worker.rules.restore(worker.shard, hosted, number, at=worker.now_ms(), by=_name(admin))
        except OSError as error:
            raise Refused(Code.UNAVAILABLE, f"the rules cannot be stored: {error.strerror}") from None
        return _json(version.summary())
    wanted = exchange.target.parameters.get("version")
    if wanted is None:
        return _json([version.summary() for version in await worker.rules.versions(hosted.name)])
    found = await worker.rules.version(hosted.name, int(wanted)) if wanted.isdecimal() and len(wanted) < 10 else None
    if found is None:
        raise HttpFault(404, f"there is no version {wanted[:20]!r} of the rules of {hosted.name!r}")
    return Response(200, found.text.encode())


async def explain(worker: WorkerApi, exchange: Exchange) -> Response:
    """Which rules allow or deny something, with the values that they see."""
    await worker.identities.check_admin(exchange)
    hosted = await _open(worker, exchange)
    try:
        question = msgspec.json.decode(exchange.body, type=Question)
    except msgspec.DecodeError as error:
        raise HttpFault(400, f"this is no question about rules: {error}") from None
    access = hosted.database.access
    if not isinstance(access, Ruled):
        return _json({"allowed": worker.config.mode == "dev", "operation": question.operation, "summary": NO_RULES, "steps": []})
    auth = {"uid": question.who, "provider": "custom", "token": {}} if isinstance(question.who, str) else question.who
    root, now, path = hosted.database.tree.root, worker.now_ms(), parse_path(question.path)
    if question.operation == "read":
        explanation = explain_read(access.rules, auth, path, root, now, access.seen(parse_query(question.query)))
    else:
        explanation = explain_write(access.rules, auth, _writes(question, path, root, now), root, now)
    return _json(explanation.to_json())


async def coverage(worker: WorkerApi, exchange: Exchange) -> Response:
    """How often each rule was asked since the rules were set, as JSON or as a page; open in dev, since tests ask for it."""
    if worker.config.mode != "dev":
        await worker.identities.check_admin(exchange)
        raise HttpFault(404, "rules are counted in dev alone: in serve it would cost every operation something")
    hosted = await _open(worker, exchange)
    access = hosted.database.access
    counted = access.coverage if isinstance(access, Counted) else None
    if exchange.target.segments == COVERAGE_PAGE:
        return Response(200, coverage_page(hosted.name, counted).encode(), HTML_TYPE)
    text, rules = (None, []) if counted is None else (counted.rules.text, counted.to_json())
    return _json({"database": hosted.name, "text": text, "rules": rules})


def _writes(question: Question, path: Path, root: Node | None, now: int) -> list[tuple[Path, Node | None]]:
    """What a question would write, with server values made. Raises Refused."""
    if question.operation == "set":
        changes: list[tuple[Path, Any]] = [(path, question.value)]
    elif isinstance(question.value, dict):
        changes = list(zip(update_paths(path, question.value), question.value.values(), strict=True))
    else:
        raise HttpFault(400, "an update needs an object of paths and values as 'value'")
    return [(place, _made(value, find(root, place), len(place), now)) for place, value in changes]


def _made(value: Any, existing: Node | None, depth: int, now: int) -> Node | None:
    node, waits = from_json(value, depth)
    return resolve(node, existing, now) if waits else node


def _show(worker: WorkerApi, hosted: Hosted, form: str) -> Response:
    """form: `strict` for JSON without comments."""
    found = worker.rules.find(hosted.name)
    if found is None:
        is_open = worker.config.mode == "dev"
        return _json({"rules": {".read": is_open, ".write": is_open}})
    return _json(found.to_json()) if form == "strict" else Response(200, found.text.encode())


def _restored(body: bytes | bytearray) -> int:
    try:
        return msgspec.json.decode(body, type=dict[str, int])["restore"]
    except (msgspec.DecodeError, KeyError):
        raise HttpFault(400, 'expected {"restore": NUMBER}') from None


def _name(admin: Identity) -> str:
    return "admin" if admin.credential is None else admin.credential.name


async def _open(worker: WorkerApi, exchange: Exchange) -> Hosted:
    assert exchange.database is not None, "rules are of a database"
    return await worker.shard.open(exchange.database, admin=True)


def _json(value: Any, status: int = 200) -> Response:
    return Response(status, encode(value))
