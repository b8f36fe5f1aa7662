"""One database as a state machine: commands in, effects out.

State: the tree, who listens, what is queued for sessions that end, the sequence of the last record. `apply` is
synchronous and complete: when it returns, the tree has changed (or not, if refused) and `out` says all that must be told,
in order: pushes before the commit whose reply acknowledges them, a listen's data before its reply. Same state, command
and `now` give the same effects.

Every granted write makes exactly one Commit, also one that changes nothing, because its acknowledgement must wait for the
writes before it. Nothing here waits: making commits durable is the rim's business.
Does not know: bytes, sockets, files, clocks. Source: docs/semantics.md; docs/protocol.md "Requests".
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from typing import Any

from msgspec import structs

from meadowlark.auth.identity import NOBODY, Identity
from meadowlark.engine import commands as c
from meadowlark.engine.access import Access, Declared, NothingDeclared, Volatility
from meadowlark.engine.ahead import Decision
from meadowlark.engine.client import Client
from meadowlark.engine.effects import Commit, Effect, Push, Reply, Revoke, Work
from meadowlark.engine.gather import Gather
from meadowlark.engine.listeners import Listeners
from meadowlark.engine.on_disconnect import DisconnectQueue
from meadowlark.engine.preparing import record_slices
from meadowlark.engine.queries import Queries
from meadowlark.engine.resume import HASHED_AT_ONCE_NODES_MAX, WHOLE, Lacking, Resume
from meadowlark.engine.values import finish, parse_at, unresolved, update_paths, update_paths_slices
from meadowlark.engine.volatile import VolatileValues
from meadowlark.engine.writing import Entry, Write, Writing, common_start, relative_slices
from meadowlark.errors import Code, Refused
from meadowlark.limits import (
    SESSION_LISTENS_MAX,
    SESSION_ON_DISCONNECTS_MAX,
)
from meadowlark.query import Query, index_missing
from meadowlark.tree import (
    PRIORITY,
    Node,
    Path,
    Prepared,
    Tree,
    format_path,
    has_increment,
    matches,
    node_count_up_to,
    parse_path,
    resolve,
    resolve_slices,
)

COMPARED_NODES_MAX = 5_000
"""Values that are hashed at once to be compared with what a transaction expects: ten milliseconds. The hash of more is found in
slices, and the transaction waits for it."""

SEARCHES_MAX = 5
"""For one transaction. Who writes into a large value all the time makes it out of date again and again."""

CHANGING = "what the rules of this large write look at is being written all the time: try again"

UPDATE_AT_ONCE_MAX = 100
"""Children of an update that is carried out in one step: a millisecond, where each lies in another page."""


class Database:
    """`name` and one JSON tree with all who watch it."""

    __slots__ = ("_listeners", "_queries", "_resume", "_writing", "access", "indexes", "name", "queues", "sequence", "tree")

    def __init__(
        self, name: str, access: Access, tree: Tree | None = None, sequence: int = 0, indexes: Declared | None = None
    ) -> None:
        """indexes: those that are declared; None: none are."""
        self.name = name
        self.access = access
        self.indexes = indexes or NothingDeclared()
        self.tree = tree or Tree()
        """For good: what is beside it here knows it too."""
        self.sequence = sequence
        """Of the last record made or replayed."""
        self.queues: dict[str, DisconnectQueue] = {}
        """By session id; a session without queued operations is not here."""
        self._listeners = Listeners()
        self._queries = Queries(self.tree, self._listeners)
        self._resume = Resume(self.tree)
        self._writing = Writing(self.tree, self._listeners, self._queries, self._resume)

    # Inputs

    def apply(self, command: c.Command, now_ms: int, out: list[Effect]) -> None:
        """Carries out `command`; a refusal becomes a Reply and changes nothing."""
        try:
            _HANDLERS[type(command)](self, command, now_ms, out)
        except Refused as refused:
            # A new one without a traceback, which would hold this frame, and so `out`, and so itself: a cycle nobody collects.
            # HOUSEKEEPING is never refused, and everything else has a request.
            out.append(Reply(command.client, command.request, refused.fresh()))  # type: ignore[union-attr]

    def apply_slices(self, command: c.Command, now_ms: int, out: list[Effect]) -> Generator[None, None, None]:
        """`apply`, in which an update of more than UPDATE_AT_ONCE_MAX children takes steps. Until the last, which `out` is for,
        nothing else may be asked of this database, and its tree must not be read."""
        if type(command) is not c.Update:
            self.apply(command, now_ms, out)
            return
        try:
            yield from self._update_slices(command, now_ms, out)
        except Refused as refused:
            out.append(Reply(command.client, command.request, refused.fresh()))

    def replay(self, sequence: int, entries: list[Entry]) -> list[Node]:
        """Repeats one record made by `apply` earlier, without effects; gives the values it replaced. Records come in order,
        each once."""
        assert sequence == self.sequence + 1, f"record {sequence} follows {self.sequence}"
        replaced = [_REPLAYS[kind](self, *fields) for kind, *fields in entries]
        self.sequence = sequence
        return replaced

    def sessions(self) -> dict[str, list[list[Any]]]:
        """Queued operations as the entries that would rebuild them (`restore`), for a snapshot."""
        return {
            session: [_asked(session, queue.asker), *(_queued(session, path, node, queue.batch_of(path)) for path, node in queue)]
            for session, queue in self.queues.items()
        }

    def restore(self, sessions: dict[str, list[list[Any]]]) -> None:
        """Takes over the queues that a snapshot kept."""
        for entries in sessions.values():
            for kind, *fields in entries:
                _REPLAYS[kind](self, *fields)

    # Writes

    def _set(self, command: c.Set, now_ms: int, out: list[Effect]) -> None:
        client, path = command.client, command.path
        if command.searches and client.has_left:
            return
        self.check_write(client, path)
        decision = command.decision
        if decision is None:
            node, adds = self._parse(path, command.value, now_ms)
        else:
            self._check_holds(decision, client)
            node, now_ms, adds = decision.values[0].node, decision.now_ms, bool(decision.adding)
        volatility = self.access.volatility(path)
        if command.volatile and volatility is Volatility.DURABLE:
            volatility = Volatility.VOLATILE
        if command.expected is not None:
            # Whether a value is the one that somebody guessed tells what it is. And before writing is asked about: a rule that
            # compares old and new would refuse what only has to be tried again.
            self._check_read(client, path, None, now_ms)
            current = self.tree.get(path)
            if node_count_up_to(current, COMPARED_NODES_MAX) <= COMPARED_NODES_MAX:
                is_as_expected = matches(current, command.expected)
            else:
                known = self._resume.known_hash(path)
                if known is None:
                    self._find_hash(command, out)
                    return
                is_as_expected = known == command.expected
            if not is_as_expected:
                # It must have heard of what is there, or it would try the same again and again.
                for waiting in self._resume.withdraw_above(client, path):
                    if self._may_still_listen(waiting, now_ms, out):
                        self._begin_listen(waiting, WHOLE, [], out)
                stale = Refused(Code.STALE, "Transaction hash does not match")
                out.append(Reply(client, command.request, stale, current))
                return
        self._check_writes(client, [(path, node)], now_ms, decision)
        reply = Reply(client, command.request, None, holds=command.expected is not None)
        is_told = volatility is not Volatility.DURABLE and self._set_volatile(command, node, volatility, out)
        entry = None if is_told else self._writing.write(path, node, out)
        if not (client.is_session or (adds and self._is_hidden(client, path, now_ms))):
            reply.value = self.tree.get(path)  # Sessions are told that it is done and hear what there is by listening.
        if is_told:
            out.append(reply)
            return
        self._commit([entry] if entry else [], reply, out, command.record)

    def _find_hash(self, command: c.Set, out: list[Effect]) -> None:
        """The transaction comes again when it can be compared."""
        if command.searches >= SEARCHES_MAX:
            raise Refused(Code.TOO_BIG, f"a transaction on more than {COMPARED_NODES_MAX} values that are written all the time")
        again = structs.replace(command, searches=command.searches + 1)
        out.append(Work(self._resume.find_hash(command.path), again))

    def known_hash(self, path: Path) -> str | None:
        """The hash of the large value at `path`, if it is known."""
        return self._resume.known_hash(path)

    def _update(self, command: c.Update, now_ms: int, out: list[Effect]) -> None:
        for _ in self._update_slices(command, now_ms, out):
            pass

    def _update_slices(self, command: c.Update, now_ms: int, out: list[Effect]) -> Generator[None, None, None]:
        writes, adding = yield from self._parse_update(command, now_ms)
        volatile: dict[Path, Volatility] = {}
        for count, (path, _) in enumerate(writes, 1):
            said = self.access.volatility(path)
            if said is not Volatility.DURABLE:
                volatile[path] = said
            if count % UPDATE_AT_ONCE_MAX == 0:
                yield
        if volatile:
            told_only = [write for write in writes if write[0] in volatile]
            self._writing.check_volatile(command.client, told_only)
            self._make_way(told_only, out)
        entries = yield from self._writing.merge(command.path, writes, out, volatile)
        for path, volatility in volatile.items():
            self._writing.mark(command.client, path, volatility)
        reply = Reply(command.client, command.request)
        if volatile and len(volatile) == len(writes):
            out.append(reply)
        else:
            record = None if volatile else command.record  # Which was made of all that is written.
            if record is None and len(entries) > UPDATE_AT_ONCE_MAX:
                record = yield from record_slices(entries)
            self._commit(entries, reply, out, record)
        if command.client.is_session:
            return
        hidden = {path for path in adding if self._is_hidden(command.client, path, now_ms)}
        now_there = yield from relative_slices(len(command.path), writes)
        for path in hidden:
            now_there["/".join(path[len(command.path) :])] = None
        reply.value = now_there

    def _parse_update(self, command: c.Update, now_ms: int) -> Generator[None, None, tuple[list[Write], list[Path]]]:
        """All writes of an update, resolved against the tree as it is, and which of them have sums; raises Refused unless all
        may be done together."""
        paths = command.paths or (yield from update_paths_slices(command.path, command.children))
        writes: list[Write] = []
        adding: list[Path] = []
        for count, (path, value) in enumerate(zip(paths, command.children.values(), strict=True), 1):
            self.check_write(command.client, path)
            if command.decision is None:
                node, adds = self._parse(path, value, now_ms)
                writes.append((path, node))
                if adds:
                    adding.append(path)
            if count % UPDATE_AT_ONCE_MAX == 0:
                yield
        decision = command.decision
        if decision is not None:
            self._check_holds(decision, command.client)
            writes = [(path, value.node) for path, value in zip(paths, decision.values, strict=True)]
            adding = decision.adding
        self._check_writes(command.client, writes, now_ms, decision)
        return writes, adding

    def _parse(self, path: Path, value: Any, now_ms: int) -> tuple[Node | None, bool]:
        """The node to write at `path`, with server values made, and whether it has sums."""
        node, waiting = parse_at(path, value)
        return (resolve(node, self.tree.get(path), now_ms), has_increment(node)) if waiting else (node, False)

    def _is_hidden(self, client: Client, path: Path, now_ms: int) -> bool:
        """Whether who wrote there must not be told what came of it: a sum says what stood there before."""
        return not self._may_read(client, path, None, now_ms)

    def _set_volatile(self, command: c.Set, node: Node | None, volatility: Volatility, out: list[Effect]) -> bool:
        """Carries out a volatile write; False if it is a write like any other after all."""
        client, path = command.client, command.path
        place = path[:-1] if path[-1:] == (PRIORITY,) else path
        if place != path and not self.volatile.covers(place):
            return False  # The priority of a value that is on disk.
        self._writing.check_volatile(client, [(path, node)])
        if not self.volatile.covers(place):  # Mostly: a cursor moves.
            self._make_way([(place, node)], out)
        self._writing.write_volatile(path, node, out)
        self._writing.mark(client, place, volatility, stands=place is path and node is not None)
        return True

    def _make_way(self, writes: list[Write], out: list[Effect]) -> None:
        entries = [entry for path, node in writes for entry in self._writing.way_entries(path, node)]
        if entries:
            self._commit(entries, None, out)

    @property
    def volatile(self) -> VolatileValues:
        return self._writing.volatile

    def durable_part(self, path: Path) -> Node | None:
        """What stands at `path` less what is volatile: for exports. Valid until the next command, unless the tree is frozen."""
        return self._writing.durable_part(path)

    def _commit(self, entries: list[Entry], reply: Reply | None, out: list[Effect], record: bytes | None = None) -> None:
        self.sequence += 1
        out.append(Commit(self.sequence, entries, reply, record))

    # Reads

    def _get(self, command: c.Get, now_ms: int, out: list[Effect]) -> None:
        client, path, query = command.client, command.path, command.query
        self.check_query(client, path, query, now_ms)
        if query is not None and query.filters:
            is_read, value = self._queries.read(command, now_ms, out)
            if not is_read:
                return
        else:
            value = self.tree.get(path)
        out.append(Reply(client, command.request, None, value, "get"))

    def check_query(self, client: Client, path: Path, query: Query | None, now_ms: int) -> None:
        """Raises Refused unless `client` may read that, and the index it needs is declared. Also for who listens but wants an
        index, as REST does."""
        self._check_read(client, path, query, now_ms)
        if query is not None and not self._is_indexed(path, query):
            raise index_missing(path, query)

    def _listen(self, command: c.Listen, now_ms: int, out: list[Effect]) -> None:
        client, path, query = command.client, command.path, command.query
        if path and path[-1] == PRIORITY:
            raise Refused(Code.INVALID_PATH, "a priority cannot be listened to: listen to its location")
        self._check_read(client, path, query, now_ms)
        if query is not None and query.filters:
            self._listen_to_query(command, query, now_ms, out)
            return
        if path not in client.listens:
            self._check_listen_count(client)
        lacking = self._resume.find_lacking(command, self.tree.get(path), out)
        if lacking is not None:
            self._begin_listen(command, lacking, [], out)

    def _begin_listen(self, command: c.Listen, lacking: Lacking, missed: Iterable[Path], out: list[Effect]) -> None:
        """lacking: what the client must be sent first; missed: places below of which it must be told what stands there now."""
        client, path = command.client, command.path
        if path not in client.listens:
            client.listens[path] = None
            self._listeners.add(path, client)
        if lacking is WHOLE:
            missed = [path]
        elif lacking:
            out.append(Push((client,), path, None, asked=True, ranges=lacking))
        for place in missed:
            out.append(Push((client,), place, self.tree.get(place), asked=True))
        out.append(Reply(client, command.request, detail=[]))

    def _listen_to_query(
        self, command: c.Listen, query: Query, now_ms: int, out: list[Effect], gather: Gather | None = None
    ) -> None:
        """What is not indexed is filtered all the same, with the warning; the SDKs take either, and this sends less.

        gather: has what the query shows, if that was read in slices."""
        client, path = command.client, command.path
        place = (path, query.identity)
        if place in client.queries:
            self._forget_query(client, path, query.identity, now_ms, out)
        self._check_listen_count(client)
        ordering = self._queries.open(command, out, gather)
        if ordering is None:
            return
        node = self.tree.get(path)
        assert ordering.index is not None
        if gather is None:
            view = ordering.view(query)
            whole = view.whole(ordering.index, node)
            if (
                command.hash
                and not view.has_hash
                and node_count_up_to(whole, HASHED_AT_ONCE_NODES_MAX) > HASHED_AT_ONCE_NODES_MAX
            ):
                if not view.listeners:
                    ordering.end(view)
                self._queries.gather(ordering, command, out)
                return
        else:
            whole = gather.finish(ordering.index, node)
            view = ordering.view(query, gather.window)
        push = view.begin(command, whole, gather)
        client.queries[place] = (command.tag, query)
        if push is not None:
            out.append(push)
        out.append(Reply(client, command.request, detail=[] if self._is_indexed(path, query) else ["no_index"]))

    def _check_listen_count(self, client: Client) -> None:
        if len(client.listens) + len(client.queries) >= SESSION_LISTENS_MAX:
            raise Refused(Code.TOO_BIG, f"a connection may have {SESSION_LISTENS_MAX} listens")

    def _is_indexed(self, path: Path, query: Query) -> bool:
        return not query.index or self.indexes.find(path, query)

    def _unlisten(self, command: c.Unlisten, now_ms: int, out: list[Effect]) -> None:
        client, path, query = command.client, command.path, command.query
        if query is None or not query.filters:
            for waiting in self._resume.withdraw(client, path):
                out.append(Reply(client, waiting.request, detail=[]))
            self._forget_listen(client, path)
        else:
            for earlier in self._queries.withdraw(client, path, query, now_ms, out):
                out.append(Reply(client, earlier.request, detail=[]))
            tag = client.queries.get((path, query.identity), (None,))[0]
            # What a client has taken the place of meanwhile goes on.
            if command.tag is None or command.tag == tag:
                self._forget_query(client, path, query.identity, now_ms, out)
        out.append(Reply(client, command.request))

    def _forget_listen(self, client: Client, path: Path) -> None:
        if path in client.listens:
            del client.listens[path]
            self._listeners.remove(path, client)

    def _forget_query(self, client: Client, path: Path, identity: str, now_ms: int, out: list[Effect]) -> None:
        listen = client.queries.pop((path, identity), None)
        if listen is not None:
            tag, query = listen
            self._queries.end(client, path, query, tag, now_ms, out)

    # Housekeeping

    def _indexed(self, command: c.Indexed, now_ms: int, out: list[Effect]) -> None:
        for waiting in self._queries.indexed(command.path, command.order, out):
            if not waiting.client.has_left:
                self.apply(waiting, now_ms, out)
        self._queries.release(command.path, command.order, now_ms, out)

    def _gathered(self, command: c.Gathered, now_ms: int, out: list[Effect]) -> None:
        found = self._queries.gathered(command.path, command.query, out)
        if found is None:
            return
        gather, ordering = found
        assert ordering.index is not None
        for waiting in gather.waiting:
            if waiting.client.has_left:
                continue
            try:
                if isinstance(waiting, c.Get):
                    self.check_query(waiting.client, waiting.path, waiting.query, now_ms)
                    value = gather.finish(ordering.index, self.tree.get(waiting.path))
                    out.append(Reply(waiting.client, waiting.request, None, value, "get"))
                else:
                    self._check_read(waiting.client, waiting.path, waiting.query, now_ms)
                    self._listen_to_query(waiting, command.query, now_ms, out, gather)
            except Refused as refused:
                out.append(Reply(waiting.client, waiting.request, refused.fresh()))
        self._queries.release(command.path, command.query.order, now_ms, out)

    def _hashed(self, command: c.Hashed, now_ms: int, out: list[Effect]) -> None:
        """Whoever has the value as it was hashed is told what was written since; anyone else the ranges that differ, if that can
        be found, or the value."""
        search = self._resume.end(command.path, command.ranges)
        if search is None:
            return
        missed = _below(command.path, search.missed)
        for waiting in search.waiting:
            if waiting.client.has_left or not self._may_still_listen(waiting, now_ms, out):
                continue
            lacking: Lacking | None = [] if command.ranges is None else search.lacking
            if search.has_missed_too_much:
                lacking = WHOLE
            elif command.ranges is None and waiting.hash != search.hash:
                lacking = self._resume.compare_ranges(waiting, out)
            if lacking is not None:
                self._begin_listen(waiting, lacking, missed, out)

    def _may_still_listen(self, waiting: c.Listen, now_ms: int, out: list[Effect]) -> bool:
        """Whether what was allowed when it began to wait still is, for rules, identity and data may have changed; else it is
        answered."""
        try:
            self._check_read(waiting.client, waiting.path, None, now_ms)
            if waiting.path not in waiting.client.listens:
                self._check_listen_count(waiting.client)
        except Refused as refused:
            out.append(Reply(waiting.client, waiting.request, refused.fresh()))
            return False
        return True

    def _tidy(self, command: c.Tidy, now_ms: int, out: list[Effect]) -> None:
        self._queries.sweep(now_ms, out)

    @property
    def wants_tidying(self) -> bool:
        return self._queries.has_idle

    # Disconnection

    def _on_disconnect_set(self, command: c.OnDisconnectSet, now_ms: int, out: list[Effect]) -> None:
        self.check_write(command.client, command.path)
        node, _ = parse_at(command.path, command.value)
        queued = [(command.path, node)]
        self._check_writes(command.client, self._as_of_now(queued, now_ms), now_ms)
        self._queue(command.client, queued, command.request, out)

    def _on_disconnect_update(self, command: c.OnDisconnectUpdate, now_ms: int, out: list[Effect]) -> None:
        paths = update_paths(command.path, command.children)
        queued = []
        for path, value in zip(paths, command.children.values(), strict=True):
            self.check_write(command.client, path)
            node, _ = parse_at(path, value)
            queued.append((path, node))
        self._check_writes(command.client, self._as_of_now(queued, now_ms), now_ms)
        self._queue(command.client, queued, command.request, out)

    def _queue(self, client: Client, queued: list[Write], request: int | None, out: list[Effect]) -> None:
        queue = self.queues.get(client.id) or DisconnectQueue()
        if len(queue) + len(queued) > SESSION_ON_DISCONNECTS_MAX:
            raise Refused(Code.TOO_BIG, f"a connection may queue {SESSION_ON_DISCONNECTS_MAX} onDisconnect operations")
        entries: list[Entry] = []
        if queued and not (len(queue) and queue.asker.has_rights_of(client.identity)):
            queue.asker = client.identity
            entries.append(_asked(client.id, client.identity))
        batch = queue.new_batch() if len(queued) > 1 else None
        for path, node in queued:
            queue.set(path, node, batch)
            entries.append(_queued(client.id, path, node, batch))
        if len(queue):
            self.queues[client.id] = queue
        self._commit(entries, Reply(client, request), out)

    def _on_disconnect_cancel(self, command: c.OnDisconnectCancel, now_ms: int, out: list[Effect]) -> None:
        client = command.client
        entries: list[Entry] = []
        if client.id in self.queues:
            self._replay_cancelled(client.id, format_path(command.path))
            entries.append(["c", client.id, format_path(command.path)])
        self._commit(entries, Reply(client, command.request), out)

    def _leave(self, command: c.Leave, now_ms: int, out: list[Effect]) -> None:
        """One record holds all that the session queued and that it ended, so a crash runs the queue exactly once. It is carried
        out as who queued it: an expiry that the client is not there to answer must not keep it online for ever."""
        client = command.client
        client.has_left = True
        for path in list(client.listens):
            self._forget_listen(client, path)
        for path, identity in list(client.queries):
            self._forget_query(client, path, identity, now_ms, out)
        if self.volatile.count:
            self._writing.end_volatile(client, out)
        queue = self.queues.pop(client.id, None)
        if queue is None:
            return
        client.identity = NOBODY if queue.asker.reads_only else queue.asker
        entries: list[Entry] = []
        for batch in queue.batches():
            writes = self._as_of_now(batch, now_ms)
            if self._may_write(client, writes, now_ms):
                entries += self._carry_out(client, writes, out)
        entries.append(["x", client.id])
        self._commit(entries, None, out)

    def _carry_out(self, client: Client, writes: list[Write], out: list[Effect]) -> list[Entry]:
        """Does what was queued to be done together; gives what is to be recorded of it."""
        told_only = [write for write in writes if self.access.volatility(write[0]) is not Volatility.DURABLE]
        if told_only:
            self._make_way(told_only, out)
        if len(writes) > 1:
            base = common_start([path for path, _ in writes])
            entries = finish(self._writing.merge(base, writes, out, {path for path, _ in told_only}))
        elif told_only:
            self._writing.write_volatile(*writes[0], out)
            entries = []
        else:
            entry = self._writing.write(*writes[0], out)
            entries = [entry] if entry else []
        for path, _ in told_only:
            self._writing.mark(client, path, Volatility.KEPT)  # Its writer goes now, and said this on purpose.
        return entries

    def _as_of_now(self, queued: list[Write], now_ms: int) -> list[Write]:
        """What is queued, as it would be written if it were written now."""
        return [(path, self._resolve_late(path, node, now_ms)) for path, node in queued]

    def _resolve_late(self, path: Path, node: Node | None, now_ms: int) -> Node | None:
        """Server values are made when the queue runs; a sum that is no double any more leaves the place as it is."""
        existing = self.tree.get(path)
        try:
            return resolve(node, existing, now_ms)
        except Refused:
            return existing

    # Identity

    def _identify(self, command: c.Identify, now_ms: int, out: list[Effect]) -> None:
        client = command.client
        client.identity = command.identity
        out.append(Reply(client, command.request, detail=command.identity))
        queue = self.queues.get(client.id)
        if queue is not None and not (command.is_expiry or queue.asker.has_rights_of(client.identity)):
            queue.asker = client.identity
            self._commit([_asked(client.id, client.identity)], None, out)
        self._revoke(client, now_ms, out)

    # Permission

    def _recheck(self, command: c.Recheck, now_ms: int, out: list[Effect]) -> None:
        for client in command.clients:
            self._revoke(client, now_ms, out)

    def listening(self) -> list[Client]:
        """Everyone who listens, each once."""
        found: dict[Client, None] = {}
        for _, spot in self._listeners.all():
            found.update(spot.clients)
            for ordering in (spot.orderings or {}).values():
                for view in ordering.views.values():
                    for clients in view.listeners.values():
                        found.update(clients)
        return list(found)

    def _revoke(self, client: Client, now_ms: int, out: list[Effect]) -> None:
        """Ends the listens that `client` may not have any more."""
        for path in [path for path in client.listens if not self._may_read(client, path, None, now_ms)]:
            self._forget_listen(client, path)
            out.append(Revoke(client, path))
        for (path, identity), (_, query) in list(client.queries.items()):
            if not self._may_read(client, path, query, now_ms):
                self._forget_query(client, path, identity, now_ms, out)
                out.append(Revoke(client, path, query))

    def _may_read(self, client: Client, path: Path, query: Query | None, now_ms: int) -> bool:
        identity = client.identity
        return identity.admin or self.access.may_read(identity, path, query, self.tree.root, now_ms)

    def _may_write(self, client: Client, writes: list[Write], now_ms: int) -> bool:
        identity = client.identity
        return identity.admin or self.access.may_write(identity, writes, self.tree.root, now_ms)

    def _check_read(self, client: Client, path: Path, query: Query | None, now_ms: int) -> None:
        if not self._may_read(client, path, query, now_ms):
            raise self.access.read_denial(client.identity, path, query, self.tree.root, now_ms)

    def _check_writes(self, client: Client, writes: list[Write], now_ms: int, decision: Decision | None = None) -> None:
        """Raises Refused unless `client` may do all `writes`, which are resolved. decision: one that holds."""
        if decision is not None:
            self._writing.decisions.carry_out(decision)
            if decision.denial is not None:
                raise decision.denial.fresh()
        elif not self._may_write(client, writes, now_ms):
            raise self.access.write_denial(client.identity, writes, self.tree.root, now_ms)

    def decide_ahead(self, command: c.Set | c.Update, now_ms: int) -> Generator[None, None, Decision | None]:
        """Whether a write whose values are prepared may be done, found out in slices; None where nothing would take long.

        It counts as long as it `holds`. Raises Refused where the write cannot be done at all.
        """
        identity = command.client.identity
        if isinstance(command, c.Set):
            paths, values = [command.path], [command.value]
        else:
            paths, values = command.paths or update_paths(command.path, command.children), list(command.children.values())
        if identity.admin and not any(type(value) is Prepared and value.waits for value in values):
            return None
        decision = Decision(self.access, identity, now_ms, paths)
        self._writing.decisions.add(decision)
        for path, value in zip(paths, values, strict=True):
            if type(value) is Prepared and value.waits:
                decision.hang_on([path])
                decision.adding.append(path)
                value = yield from resolve_slices(value, self.tree.get(path), now_ms)
            elif type(value) is not Prepared:
                node, adds = self._parse(path, value, now_ms)
                value = Prepared(node, False, [])
                if adds:
                    decision.adding.append(path)
            decision.values.append(value)
        if not identity.admin:
            writes = [(path, value.node) for path, value in zip(paths, decision.values, strict=True)]
            steps = self.access.decide_slices(identity, writes, lambda: self.tree.root, now_ms)
            while not decision.is_stale:
                try:
                    places = next(steps)
                except StopIteration as stop:
                    if not stop.value:
                        decision.denial = yield from self.access.denial_slices(identity, writes, lambda: self.tree.root, now_ms)
                    break
                if places is not None:
                    decision.hang_on(places)
                yield
        return decision

    def holds(self, decision: Decision, client: Client) -> bool:
        """Whether `decision` is what would be decided for `client` now."""
        return not decision.is_stale and decision.access is self.access and decision.identity is client.identity

    def _check_holds(self, decision: Decision, client: Client) -> None:
        if not self.holds(decision, client):
            raise Refused(Code.UNAVAILABLE, CHANGING)

    def check_write(self, client: Client, path: Path) -> None:
        """Raises Refused if `client` could write nothing at all at `path`: before the work of reading a value is done."""
        if not (client.identity.admin or self.access.could_write(client.identity, path)):
            # No value and no time would make a difference.
            raise self.access.write_denial(client.identity, [(path, None)], self.tree.root, 0)

    # Replaying

    def _replay_write(self, path: str, value: Any) -> Node | None:
        change = self.tree.set(parse_path(path), value)
        return None if change is None else change.before

    def _replay_asked(self, session: str, auth: dict[str, Any] | None, rights: str) -> None:
        asker = Identity(auth, admin=rights == "admin", reads_only=rights == "reads")
        self.queues.setdefault(session, DisconnectQueue()).asker = asker

    def _replay_queued(self, session: str, path: str, value: Any, batch: int | None = None) -> None:
        where = parse_path(path)
        node, _ = parse_at(where, value)
        self.queues.setdefault(session, DisconnectQueue()).set(where, node, batch)

    def _replay_cancelled(self, session: str, path: str) -> None:
        queue = self.queues[session]
        queue.cancel(parse_path(path))
        if not len(queue):
            del self.queues[session]

    def _replay_ended(self, session: str) -> None:
        self.queues.pop(session, None)

    def check(self) -> None:
        """Asserts the invariants; for tests."""
        self.tree.check()
        assert all(len(queue) for queue in self.queues.values()), "an empty queue is kept"
        self._queries.check()
        self.volatile.check(self.tree.root)


def _queued(session: str, path: Path, node: Node | None, batch: int | None) -> Entry:
    """The entry of a queued write: in the checked form, not what the client sent, since only that is sure to be encodable."""
    return ["o", session, format_path(path), unresolved(node), *([] if batch is None else [batch])]


def _asked(session: str, asker: Identity) -> Entry:
    """The entry of who a session is that has something queued."""
    return ["a", session, asker.auth, "reads" if asker.reads_only else "admin" if asker.admin else ""]


def _below(base: Path, paths: Iterable[Path]) -> list[Path]:
    """Places at or below `base` by which what happened at `paths` can be told."""
    return list(dict.fromkeys([path if len(path) > len(base) else base for path in paths]))


_HANDLERS: dict[type, Callable[[Database, Any, int, list[Effect]], None]] = {
    c.Set: Database._set,
    c.Update: Database._update,
    c.Get: Database._get,
    c.Listen: Database._listen,
    c.Unlisten: Database._unlisten,
    c.OnDisconnectSet: Database._on_disconnect_set,
    c.OnDisconnectUpdate: Database._on_disconnect_update,
    c.OnDisconnectCancel: Database._on_disconnect_cancel,
    c.Identify: Database._identify,
    c.Leave: Database._leave,
    c.Indexed: Database._indexed,
    c.Gathered: Database._gathered,
    c.Hashed: Database._hashed,
    c.Tidy: Database._tidy,
    c.Recheck: Database._recheck,
}
"""What each command does; a new command adds a row."""

_REPLAYS: dict[str, Callable[..., Node | None]] = {
    "a": Database._replay_asked,
    "w": Database._replay_write,
    "o": Database._replay_queued,
    "c": Database._replay_cancelled,
    "x": Database._replay_ended,
}
"""What each kind of entry does when a record is repeated."""
