"""Writing: puts values into the tree, and says who must be told what, and what must be recorded.

A value replaces what stood at its path. Those who listen at the path or above it hear of it there, all with the same push; those
who listen below hear what stands at their places now; those who listen to queries hear what it means for their windows.
Does not know: who may write, where commands come from, sequences. Source: docs/semantics.md "Writes" and "Volatile values".
"""

from __future__ import annotations

from collections.abc import Collection, Generator
from typing import Any

from meadowlark.engine.access import Volatility
from meadowlark.engine.ahead import Decisions
from meadowlark.engine.client import Client
from meadowlark.engine.effects import Drop, Effect, Push
from meadowlark.engine.listeners import Listeners, Spot, spot_at
from meadowlark.engine.queries import Queries
from meadowlark.engine.resume import Resume
from meadowlark.engine.volatile import VolatileValues
from meadowlark.errors import Code, Refused
from meadowlark.limits import SESSION_VOLATILE_VALUES_MAX, VOLATILE_BYTES_MAX, VOLATILE_VALUES_MAX
from meadowlark.tree import PRIORITY, Change, Node, Path, Tree, encode, find, format_path, is_large, is_leaf, is_same_leaf

STEP_WRITES = 10
"""Of an update, between two yields: each may decode a page."""

STEP_TOLD = 400
"""Of what is said of it."""

Entry = list[Any]
Write = tuple[Path, Node | None]


class Writing:
    """One a database."""

    __slots__ = ("_listeners", "_queries", "_resume", "_tree", "decisions", "volatile")

    def __init__(self, tree: Tree, listeners: Listeners, queries: Queries, resume: Resume) -> None:
        self._tree = tree
        self._listeners = listeners
        self._queries = queries
        self._resume = resume
        self.volatile = VolatileValues()
        self.decisions = Decisions()

    def write(self, path: Path, node: Node | None, out: list[Effect], *, is_volatile: bool = False) -> Entry | None:
        """Puts `node` at `path`, tells everyone, and gives the entry to record; None if there is nothing to."""
        if not is_volatile and self.volatile.count:
            self._drop_priorities([(path, node)], out)
        change = self._put(path, node, is_volatile=is_volatile)
        if change is None:
            return None
        if is_large(change.before):
            out.append(Drop(change.before))
        if self._resume.is_active:
            self._resume.written(path)
        above, spot = self._listeners.reaching(path)
        if above:
            out.append(Push(above, path, node))
        if spot is not None and spot.children:
            self._push_below(spot, change, out)
        if self._queries.ordering_count:
            for _ in self._queries.tell([(path, node)], [change.stood], out):
                pass  # One write is one step.
        return None if is_volatile else ["w", format_path(change.settled), node]

    def merge(
        self, base: Path, writes: list[Write], out: list[Effect], volatile: Collection[Path] = ()
    ) -> Generator[None, None, list[Entry]]:
        """Does all `writes` below `base`; each place hears of them in one message. Gives the entries of those not `volatile`.

        In steps: until the last nothing else may be done with the tree, or read."""
        if self.volatile.count:
            # Priorities come last, so that what they are of is there, on disk too.
            writes = sorted(writes, key=_is_priority)
            self._drop_priorities([write for write in writes if write[0] not in volatile], out)
        depth = len(base)
        above, base_spot = self._listeners.reaching(base)
        merged: dict[Spot, list[Write]] = {}
        below: list[Effect] = []
        entries: list[Entry] = []
        done: list[Write] = []
        stood: list[int] = []
        for count, (path, node) in enumerate(writes, 1):
            if count % STEP_WRITES == 0:
                yield
            is_volatile = path in volatile
            change = self._put(path, node, is_volatile=is_volatile)
            if change is None:
                continue
            done.append((path, node))
            stood.append(change.stood)
            if self._resume.is_active:
                self._resume.written(path)
            if not is_volatile:
                entries.append(["w", format_path(change.settled), node])
            if is_large(change.before):
                below.append(Drop(change.before))
            if base_spot is not None:
                for _, spot in self._listeners.between(base_spot, path[depth:]):
                    merged.setdefault(spot, []).append((path, node))
                end = spot_at(base_spot, path[depth:])
                if end is not None:
                    first = len(below)
                    self._push_below(end, change, below)
                    if is_volatile:
                        _mark_volatile(below[first:])
        if above and done:
            push = Push(above, base, (yield from relative_slices(depth, writes)), True)
            out.append(_as_volatile(push, writes, volatile) if volatile else push)
        for spot, group in merged.items():
            push = yield from _group_push(spot, group)
            out.append(_as_volatile(push, group, volatile) if volatile else push)
        out.extend(below)
        if done and self._queries.ordering_count:
            first = len(out)
            yield from self._queries.tell(done, stood, out)
            # What a window shows follows from all writes together: it is volatile if they all are.
            if volatile and all(path in volatile for path, _ in done):
                _mark_volatile(out[first:])
        return entries

    # Volatile values

    def write_volatile(self, path: Path, node: Node | None, out: list[Effect]) -> None:
        """`write` where nothing is recorded; of what it tells, only the last for each path matters. `mark` comes next."""
        start = len(out)
        self.write(path, node, out, is_volatile=True)
        _mark_volatile(out[start:])

    def check_volatile(self, client: Client, writes: list[Write]) -> None:
        """Raises Refused unless `client` may have these volatile values beside those it has."""
        for path, node in writes:
            size = len(encode(node))
            if size > VOLATILE_BYTES_MAX:
                text = f"volatile value at {format_path(path)} has {size} bytes, limit is {VOLATILE_BYTES_MAX}"
                raise Refused(Code.TOO_BIG, text)
        if self.volatile.count + len(writes) <= SESSION_VOLATILE_VALUES_MAX:
            return  # Mostly: nobody can have too many.
        further = sum(not self.volatile.covers(path) for path, _ in writes)  # What is overwritten takes no more room.
        if further and self.volatile.count_of(client) + further > SESSION_VOLATILE_VALUES_MAX:
            raise Refused(Code.TOO_BIG, f"a connection may have {SESSION_VOLATILE_VALUES_MAX} volatile values")
        if further and self.volatile.count + further > VOLATILE_VALUES_MAX:
            raise Refused(Code.TOO_BIG, f"a database may have {VOLATILE_VALUES_MAX} volatile values")

    def way_entries(self, path: Path, node: Node | None) -> list[Entry]:
        """What must be recorded first where the volatile `node` comes to stand: what is on disk there goes, or it would be back
        one day."""
        if self.volatile.covers(path) or (node is None and self._tree.get(path) is None):
            return []
        for depth in range(len(path) + 1):
            existing = self._tree.get(path[:depth])
            if existing is None:
                return []
            if is_leaf(existing):
                return [["w", format_path(path[:depth]), None]]
        # A map, of which some may be on disk.
        return [["w", format_path(path), None]]

    def mark(self, client: Client, path: Path, volatility: Volatility, *, stands: bool = False) -> None:
        """stands: something is known to stand at `path`."""
        if not stands and self._tree.get(path) is None:
            self.volatile.remove(path, self._tree.root)
        else:
            self.volatile.mark(path, client if client.is_session and volatility is Volatility.VOLATILE else None)

    def end_volatile(self, client: Client, out: list[Effect]) -> None:
        """What `client` wrote to be gone with it goes."""
        for path in self.volatile.of(client):
            self.write_volatile(path, None, out)
            self.volatile.remove(path, self._tree.root)

    def durable_part(self, path: Path) -> Node | None:
        """What stands at `path` less what is volatile: for exports. Valid until the next command, unless the tree is frozen."""
        return self.volatile.durable_part(path, self._tree.root) if self.volatile.count else self._tree.get(path)

    # Inside

    def _put(self, path: Path, node: Node | None, *, is_volatile: bool) -> Change | None:
        """Puts `node` at `path` of the tree; what is not volatile takes the place of what was."""
        if self.decisions.waiting:
            self.decisions.written(path)
        volatile = self.volatile
        if not volatile.count or is_volatile or path[-1:] == (PRIORITY,):
            return self._tree.set(path, node)
        if node is not None:
            volatile.unmark(path, self._tree.root)
            return self._tree.set(path, node)
        change = self._tree.set(path, None)
        volatile.remove(path, self._tree.root)
        return change

    def _drop_priorities(self, writes: list[Write], out: list[Effect]) -> None:
        """Takes priorities away that volatile values have left to places in which durable `writes` are put."""
        for path, node in writes:
            if node is not None and path[-1:] != (PRIORITY,):
                for place in self.volatile.stale_priorities(path, self._tree.root):
                    self.write_volatile((*place, PRIORITY), None, out)

    def _push_below(self, spot: Spot, change: Change, out: list[Effect]) -> None:
        """Tells those who listen below a change what stands at their places now, where that may have changed."""
        for relative, lower in self._listeners.below(spot):
            if not lower.clients:
                continue
            before, after = find(change.before, relative), find(change.after, relative)
            # Equal leaves of one type are no change. Maps are not compared: it costs as much as telling, and 1 == True.
            if before is None and after is None:
                continue
            if is_same_leaf(before, after):
                continue
            out.append(Push(lower.clients, change.path + relative, after))


def _mark_volatile(effects: list[Effect]) -> None:
    for effect in effects:
        if type(effect) is Push:
            effect.volatile = True


def _as_volatile(push: Push, writes: list[Write], volatile: Collection[Path]) -> Push:
    """`push`, which tells of `writes`, marked as far as they are volatile."""
    lasting = [path for path, _ in writes if path not in volatile]
    if len(lasting) < len(writes):
        push.volatile = True
        push.lasting = {"/".join(path[len(push.path) :]) for path in lasting}
    return push


def _is_priority(write: Write) -> bool:
    return write[0][-1:] == (PRIORITY,)


def relative_slices(depth: int, writes: list[Write]) -> Generator[None, None, dict[str, Node | None]]:
    """What was written, by paths that leave out the first `depth` keys, as texts."""
    if len(writes) <= STEP_TOLD:
        return {"/".join(path[depth:]): node for path, node in writes}
    made: dict[str, Node | None] = {}
    for start in range(0, len(writes), STEP_TOLD):
        made |= {"/".join(path[depth:]): node for path, node in writes[start : start + STEP_TOLD]}
        yield
    return made


def _group_push(spot: Spot, group: list[Write]) -> Generator[None, None, Push]:
    """What one place between the update and its writes hears. Its own path is the common start of the group, cut at the
    spot's depth, which the first write carries."""
    if len(group) == 1:
        path, node = group[0]
        return Push(spot.clients, path, node)
    start = common_start([path for path, _ in group])
    return Push(spot.clients, start, (yield from relative_slices(len(start), group)), True)


def common_start(paths: list[Path]) -> Path:
    """The lowest place that all `paths` are at or below."""
    first, last = min(paths), max(paths)
    depth = 0
    while depth < min(len(first), len(last)) and first[depth] == last[depth]:
        depth += 1
    return first[:depth]
