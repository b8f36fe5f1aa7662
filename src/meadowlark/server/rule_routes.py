"""What admins ask about the rules of one database, or of all that have none of their own: read and set them, see and bring back
versions, explain a decision, see which rules were asked.

Reading and setting are Firebase's addresses, with its answers, so that its tools and its admin SDKs work. The others are ours.
Source: docs/rest.md "The server's own addresses"; docs/rules.md "Setting rules", "Explaining", "Coverage".
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator
from typing import TYPE_CHECKING, Any, Literal, TypedDict

import msgspec

from meadowlark.auth.identity import Identity
from meadowlark.engine import STEP_PLACES, Counted, Ruled, update_paths_slices
from meadowlark.errors import Code, Refused
from meadowlark.query import parse_query
from meadowlark.rules import RulesInvalid, Write, explain_read, explain_slices
from meadowlark.server.coverage_page import HTML_TYPE, coverage_page
from meadowlark.server.exchange import COVERAGE_PAGE, Exchange
from meadowlark.server.hosted import Hosted
from meadowlark.server.rule_store import DEFAULT, Version
from meadowlark.tree import (
    PRIORITY,
    Path,
    Tree,
    decode_slices,
    encode,
    parse_path,
    prepare_decoded,
    prepare_small,
    priority_from_json,
    resolve,
    resolve_slices,
)
from meadowlark.wire.http import HttpFault, Response

if TYPE_CHECKING:
    from meadowlark.server.worker_api import WorkerApi

NO_RULES = "this database has no rules: in dev everything is allowed, in serve nothing is but to admins"


NOW = "now"
"""In place of a number: the version in force."""


class _Signed(TypedDict):
    """When something is set, and by whom."""

    at: int
    by: str


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
    return await _set(worker, exchange, lambda text: worker.rules.set(worker.shard, hosted, text, **_signed(worker, admin)))


async def versions(worker: WorkerApi, exchange: Exchange) -> Response:
    """GET: all versions, or the text of `?version=`. POST {"restore": number}: brings that one back. DELETE: none from now on."""
    admin = await worker.identities.check_admin(exchange)
    hosted = await _open(worker, exchange)
    kept, signed = worker.rules, _signed(worker, admin)
    if exchange.head.method == "DELETE":
        return await _changed(kept.remove(worker.shard, hosted, **signed))
    if exchange.head.method == "POST":
        return await _changed(kept.restore(worker.shard, hosted, _restored(exchange.body), **signed))
    return await _show_versions(worker, exchange, hosted.name)


async def default_rules(worker: WorkerApi, exchange: Exchange) -> Response:
    """The same for the rules of all databases without rules of their own. PUT sets them; `?version=now` has those in force."""
    admin = await worker.identities.check_admin(exchange, of_all=True)
    kept, signed = worker.rules, _signed(worker, admin)
    if exchange.head.method == "PUT":
        return await _set(worker, exchange, lambda text: kept.set_default(worker.shard, text, **signed))
    if exchange.head.method == "DELETE":
        return await _changed(kept.set_default(worker.shard, "", **signed))
    if exchange.head.method == "POST":
        return await _changed(kept.restore_default(worker.shard, _restored(exchange.body), **signed))
    if exchange.target.parameters.get("version") == NOW:
        if kept.default is None:
            raise HttpFault(404, "there are no default rules: the mode decides about databases without rules of their own")
        return Response(200, kept.default.text.encode())
    return await _show_versions(worker, exchange, DEFAULT)


async def explain(worker: WorkerApi, exchange: Exchange) -> Response:
    """Which rules allow or deny something, with the values that they see."""
    await worker.identities.check_admin(exchange)
    hosted = await _open(worker, exchange)
    body = exchange.body
    answering = _explain_slices(hosted, body, worker.now_ms(), is_open=worker.config.mode == "dev")
    hosted.users += 1
    try:
        return _json(await worker.large_writes.read(answering, hosted.name, len(body)))
    finally:
        hosted.users -= 1


def _explain_slices(hosted: Hosted, body: bytes | bytearray, now: int, *, is_open: bool) -> Generator[None, None, dict[str, Any]]:
    """The answer to a question, which may be about a large write. is_open: what holds without rules."""
    try:
        question = msgspec.convert((yield from decode_slices(body)), Question)
    except ValueError as error:
        raise HttpFault(400, f"this is no question about rules: {error}") from None
    access, tree = hosted.database.access, hosted.database.tree
    if not isinstance(access, Ruled):
        return {"allowed": is_open, "operation": question.operation, "summary": NO_RULES, "steps": []}
    auth = {"uid": question.who, "provider": "custom", "token": {}} if isinstance(question.who, str) else question.who
    path = parse_path(question.path)
    if question.operation == "read":
        query = access.seen(parse_query(question.query))
        return explain_read(access.rules, auth, path, tree.root, now, query).to_json()
    writes = yield from _write_slices(question, path, tree, now)
    return (yield from explain_slices(access.rules, auth, writes, lambda: tree.root, now)).to_json()


def _write_slices(question: Question, path: Path, tree: Tree, now: int) -> Generator[None, None, list[Write]]:
    """What a question would write, with server values made. Raises Refused."""
    if question.operation == "set":
        changes: list[tuple[Path, Any]] = [(path, question.value)]
    elif isinstance(question.value, dict):
        paths = yield from update_paths_slices(path, question.value)
        changes = list(zip(paths, question.value.values(), strict=True))
    else:
        raise HttpFault(400, "an update needs an object of paths and values as 'value'")
    writes: list[Write] = []
    for count, (place, value) in enumerate(changes, 1):
        existing = tree.get(place)
        if place[-1:] == (PRIORITY,):
            node, waits = priority_from_json(value)
            writes.append((place, resolve(node, existing, now) if waits else node))
        else:
            prepared = prepare_small(value, len(place)) or (yield from prepare_decoded(value, len(place)))
            if prepared.waits:
                prepared = yield from resolve_slices(prepared, existing, now)
            writes.append((place, prepared.node))
        if count % STEP_PLACES == 0:
            yield
    return writes


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


async def _set(worker: WorkerApi, exchange: Exchange, set_text: Callable[[str], Awaitable[Version]]) -> Response:
    """What is sent is set, or with `?dryRun=true` only checked."""
    try:
        text = bytes(exchange.body).decode()
        if exchange.target.parameters.get("dryRun") == "true" or not text.strip():
            await worker.rules.check(text)  # Which nothing never is: only DELETE removes rules.
        else:
            await set_text(text)
    except UnicodeDecodeError:
        raise HttpFault(400, "1:1: Parse error. The rules are not UTF-8.") from None
    except RulesInvalid as invalid:
        return _json({"error": str(invalid)}, 400)
    except OSError as error:
        raise _not_stored(error) from None
    return _json({"status": "ok"})


async def _changed(change: Awaitable[Version]) -> Response:
    try:
        return _json((await change).summary())
    except RulesInvalid as invalid:
        return _json({"error": str(invalid)}, 400)
    except OSError as error:
        raise _not_stored(error) from None


def _not_stored(error: OSError) -> Refused:
    return Refused(Code.UNAVAILABLE, f"the rules cannot be stored: {error.strerror}")


async def _show_versions(worker: WorkerApi, exchange: Exchange, name: str) -> Response:
    """All of them, or the text of the one that is asked for."""
    wanted = exchange.target.parameters.get("version")
    if wanted is None:
        return _json([version.summary() for version in await worker.rules.versions(name)])
    found = await worker.rules.version(name, int(wanted)) if wanted.isdecimal() and len(wanted) < 10 else None
    if found is None or not found.text:
        whose = "default rules" if name == DEFAULT else f"rules of {name!r}"
        raise HttpFault(404, f"there is no text of a version {wanted[:20]!r} of the {whose}")
    return Response(200, found.text.encode())


def _signed(worker: WorkerApi, admin: Identity) -> _Signed:
    return {"at": worker.now_ms(), "by": "admin" if admin.credential is None else admin.credential.name}


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


async def _open(worker: WorkerApi, exchange: Exchange) -> Hosted:
    assert exchange.database is not None, "rules are of a database"
    return await worker.shard.open(exchange.database, admin=True)


def _json(value: Any, status: int = 200) -> Response:
    return Response(status, encode(value))
