"""A client of one database as a state machine: what is asked, what was said, and what must be sent. No I/O, no awaiting.

Inputs are what the user asks (`set`, `listen`, `get`, …) and what happens to the link (`opened`, `said`, `lost`). Frames to
send gather in `outgoing`. What a user waits for is a callback `done(status, payload)`, called once. While there is no link,
everything is kept; when there is one again it is sent in this order: credential, listens with the hash of what is known,
unanswered writes as they were asked, operations for the disconnection, reads.

A write that was sent and not answered when the link broke is sent again: an increment may then count twice, as with the official
SDKs. A transaction may not be repeated, so it ends as "disconnected".
Source: docs/protocol.md; docs/clients.md "What a lost connection does".
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from meadowlark.client.errors import Overfull
from meadowlark.client.mirror import Listener, Mirror, Parts, View, Write, describe, parse_write
from meadowlark.client.outgoing import Outgoing
from meadowlark.client.protocol import Hello, Response, Said, Told, encode_request, request_frames, volatile_frames
from meadowlark.query import Query, parse_query
from meadowlark.tree import Node, Path, children, encode, format_path, is_map, node_count_up_to, node_hash, parse_path

Done = Callable[[str, Any], None]
"""Called with "ok" and what came, or with a status and a text."""

DISCONNECTED = "disconnected"

WAITING_REQUESTS_MAX = 100_000
"""Not answered, sent or not: a program that asks for more is not waiting for its answers."""
WAITING_BYTES_MAX = 128 * 1024 * 1024
"""Of them, as they are sent: eight of the largest."""

HASHED_NODES_MAX = 100_000
"""A larger value is asked for again after a reconnect rather than hashed: a quarter of a second."""


class Request(msgspec.Struct, eq=False):
    """Something asked. rank: where it belongs when all is sent anew; `survives`: whether it is sent again on the next link."""

    encoded: bytes
    """All of it but its number."""
    done: Done
    rank: int
    survives: bool = True
    number: int | None = None
    """On the present link; None while it has not been sent."""


WRITE, ON_DISCONNECT, READ, LISTEN = range(4)


class Core:
    """Everything of one client but its socket."""

    def __init__(self, now_ms: Callable[[], int]) -> None:
        """now_ms: this machine's clock."""
        self._local_ms = now_ms
        self.offset_ms = 0
        """What the server's clock is ahead."""
        self.mirror = Mirror(self.server_ms)
        self.is_open = False
        """Whether there is a link that has said hello."""
        self.session: str | None = None
        """Of the last link, so that the server knows who comes back."""
        self.outgoing = Outgoing()
        self.on_auth_revoked: Callable[[str], None] = lambda text: None
        self.on_remark: Callable[[str], None] = lambda text: None
        """Hears what the server says to developers: of volatile writes that were dropped, which nobody waits for."""
        self.on_warning: Callable[[str], None] = lambda text: None
        """Hears what a developer should mend although it works: a listen whose order no `.indexOn` declares."""
        self._volatile_rate = 0.0
        self._leaving: Parts = []
        """What the server shall do when this link ends."""
        self._last_number = 0
        self._requests: dict[Request, None] = {}
        """All that is not answered, in the order it was asked."""
        self._waiting_bytes = 0
        self._by_number: dict[int, Request] = {}
        self._answered: dict[Write, None] = {}
        """Writes that the server has answered before it said what stands there."""

    def server_ms(self) -> int:
        return self._local_ms() + self.offset_ms

    # The link

    def opened(self, hello: Hello, token: str | None, on_auth: Done) -> None:
        """A new link has said hello. token: the credential to begin with."""
        self.offset_ms = hello.server_ms - self._local_ms()
        self.session = hello.session
        self.is_open = True
        if token is not None:
            self.authenticate(token, on_auth)
        if self._volatile_rate:
            self.set_volatile_rate(self._volatile_rate)
        for view in list(self.mirror.views.values()):
            if not view.is_asked:
                self._ask(view)
        for request in sorted(self._requests, key=lambda request: request.rank):
            if request.number is None:
                self._send(request)

    def lost(self) -> None:
        """The link is gone."""
        self.is_open = False
        self.outgoing.clear()
        self._by_number.clear()
        for view in self.mirror.views.values():
            view.is_asked = False
        ended = []
        for request in self._requests:
            if request.number is not None and not request.survives:
                ended.append(request)
            request.number = None
        for request in ended:
            self._finish(request, DISCONNECTED, "the connection was lost before the answer came: the outcome is unknown")
        # What was left to the server to do it does now, unheard by us.
        leaving, self._leaving = self._leaving, []
        for part in leaving:
            self.mirror.stands(part[0], self.mirror.guessed([part]), None)

    def said(self, said: Said) -> None:
        """What the server said on an open link, other than hello and goodbye."""
        if type(said) is Response:
            request = self._by_number.pop(said.number, None)
            if request is not None:
                self._finish(request, said.status, said.payload)
        elif type(said) is Told:
            handler = _TOLD.get(said.action)
            if handler is not None:
                handler(self, said.body)

    # Asking

    def authenticate(self, token: str, done: Done) -> None:
        action = "auth" if token.count(".") == 2 else "gauth"
        self._ask_now(Request(encode_request(action, {"cred": token}), done, LISTEN, survives=False))

    def unauthenticate(self, done: Done) -> None:
        self._ask_now(Request(encode_request("unauth", {}), done, LISTEN, survives=False))

    def set_volatile_rate(self, per_second: float) -> None:
        """Volatile values are told so often a second at most, on each link from now on; 0: each at once."""
        self._volatile_rate = per_second
        self._ask_now(Request(encode_request("vr", {"d": per_second}), _ignore, LISTEN, survives=False))

    def listen(self, path: Path, query: Query | None, listener: Listener) -> View:
        """`listener` hears of the view from now on; at once, if it is known already."""
        view = self.mirror.open(path, query)
        if self.is_open and not view.is_asked:
            self._ask(view)
        self.mirror.add(view, listener)
        return view

    def unlisten(self, view: View, listener: Listener) -> None:
        """`listener` hears no more; the server is told when it was the last."""
        if listener not in view.listeners:
            return
        view.listeners.remove(listener)
        if view.listeners:
            return
        self.mirror.close(view)
        if view.is_asked and (view.tag is not None or not self.mirror.whole_views(view.path)):
            number = self._last_number + 1

            def answered(status: str, payload: Any) -> None:
                # Whole listens have no tags: what came before this answer was said to the one that is over, and not to those that
                # were begun at its place or below it meanwhile.
                if view.tag is None and status != DISCONNECTED:
                    self.mirror.forget(
                        [other for other in self.mirror.whole_views_below(view.path) if other.asked_number > number]
                    )

            self._ask_now(Request(encode_request("n", _view_body(view)), answered, LISTEN, survives=False))

    def set(self, path: Path, value: Any, done: Done) -> None:
        """Writes `value` (export form) at `path`. Raises Refused for what can never be written."""
        write = Write(path, [(path, parse_write(path, value))])
        self._write(write, "p", {"p": format_path(path), "d": value}, done)

    def update(self, path: Path, members: dict[str, Any], done: Done) -> None:
        self._write(Write(path, _parts(path, members)), "m", {"p": format_path(path), "d": members}, done)

    def compare_and_set(self, write: Write, value: Any, expected: str, done: Done) -> None:
        """A transaction's write: carried out if what stands there has the hash `expected`."""
        body = {"p": format_path(write.path), "d": value, "h": expected}
        self._write(write, "p", body, done, survives=False)

    def set_volatile(self, path: Path, value: Any) -> bool:
        """A value that only matters now: whether it is sent, as the last of its path, and not answered. Raises Refused for
        impossible values."""
        parse_write(path, value)
        text = format_path(path)
        return self.is_open and self.outgoing.say_volatile(text, volatile_frames(text, value))

    def get(self, path: Path, query: Query | None, done: Done) -> None:
        """done: ("ok", export form)."""
        body = {"p": format_path(path), "q": {} if query is None else query.spec}
        self._add(Request(self._encode("g", body), done, READ))

    def on_disconnect(self, action: str, path: Path, value: Any, done: Done) -> None:
        """action: `o` to set, `om` to update, `oc` to forget."""
        parts = [(path, parse_write(path, value))] if action == "o" else _parts(path, value) if action == "om" else []

        def answered(status: str, payload: Any) -> None:
            if status == "ok":
                for place in [path] if action == "oc" else [place for place, _ in parts]:
                    self._leaving = [left for part in self._leaving for left in _without(part, place)]
                self._leaving += parts
            done(status, payload)

        encoded = self._encode(action, {"p": format_path(path), "d": value})
        self._add(Request(encoded, answered, ON_DISCONNECT, survives=False))

    def find_known(self, path: Path, query: Query | None) -> tuple[bool, Node | None]:
        """Whether what `get` would read is here already, kept true by a listener, and what it is."""
        view = self.mirror.views.get((path, query))
        if view is not None and view.is_visible and view.is_known:
            return True, view.visible
        return self.mirror.find_visible(path) if query is None else (False, None)

    def fail_all(self, text: str) -> None:
        """Nothing will be answered any more: says so to everyone who waits."""
        self.is_open = False
        for request in list(self._requests):
            self._finish(request, DISCONNECTED, text)
        for view in list(self.mirror.views.values()):
            self.mirror.ended(view, DISCONNECTED, text)

    def drop(self, done: Done) -> None:
        """Whoever waits with `done` waits no more. What was asked stays asked, but for a read that was not sent."""
        for request in self._requests:
            if request.done is done:
                request.done = _ignore
                if request.rank == READ and request.number is None:
                    self._finish(request, DISCONNECTED, "")
                return

    # Inside

    def _write(self, write: Write, action: str, body: dict[str, Any], done: Done, *, survives: bool = True) -> None:
        def settled(status: str, payload: Any) -> None:
            if status == "ok":
                self._answered[write] = None
                self._settle_all()
            else:
                self.mirror.settle(write)
            done(status, payload)

        # Taken before anyone is told of it.
        self._add(Request(self._encode(action, body), settled, WRITE, survives))
        self.mirror.write(write)

    def _encode(self, action: str, body: dict[str, Any]) -> bytes:
        """A request of the user's, if there is room for it. Raises ValueError, Overfull."""
        encoded = encode_request(action, body)
        if len(self._requests) >= WAITING_REQUESTS_MAX or self._waiting_bytes + len(encoded) > WAITING_BYTES_MAX:
            raise Overfull(
                f"{len(self._requests)} requests of {self._waiting_bytes} bytes wait for the server: "
                f"limits are {WAITING_REQUESTS_MAX} and {WAITING_BYTES_MAX}"
            )
        return encoded

    def _settle_all(self) -> None:
        """What was answered counts no more once the server has said what stands there, which may be later after a reconnect."""
        for write in list(self._answered):
            if not any(view.is_awaited and view.is_touched(write) for view in self.mirror.views.values()):
                del self._answered[write]
                self.mirror.settle(write)

    def _add(self, request: Request) -> None:
        self._waiting_bytes += len(request.encoded)
        self._requests[request] = None
        if self.is_open:
            self._send(request)

    def _ask_now(self, request: Request) -> None:
        """For what means nothing on another link."""
        if self.is_open:
            self._add(request)

    def _send(self, request: Request) -> None:
        self._last_number += 1
        request.number = self._last_number
        self._by_number[request.number] = request
        self.outgoing.say(request_frames(request.number, request.encoded))

    def _finish(self, request: Request, status: str, payload: Any) -> None:
        if self._requests.pop(request, self) is None:
            self._waiting_bytes -= len(request.encoded)
        request.done(status, payload)

    def _ask(self, view: View) -> None:
        views = [view] if view.tag is not None else self.mirror.whole_views(view.path)
        for asked in views:
            asked.is_asked = asked.is_awaited = True
            asked.before = (asked.is_known, asked.server)
        known = view.server if view.is_known else None
        is_small = node_count_up_to(known, HASHED_NODES_MAX) <= HASHED_NODES_MAX
        body = _view_body(view) | {"h": node_hash(known) if is_small else ""}

        def answered(status: str, payload: Any) -> None:
            for asked in views if view.tag is not None else self.mirror.whole_views(view.path):
                asked.is_awaited = False
                asked.before = (False, None)
                if self.mirror.views.get((asked.path, asked.query)) is not asked:
                    continue
                if status == "ok":
                    self.mirror.confirmed(asked)
                elif status != DISCONNECTED:
                    self.mirror.ended(asked, status, payload if isinstance(payload, str) else describe(asked))
            if status != DISCONNECTED:
                self._settle_all()
            if status == "ok" and view.query is not None and _warns_of_index(payload):
                index = encode(view.query.index).decode()
                self.on_warning(f'no_index: add ".indexOn": {index} at {format_path(view.path)} to the rules')

        self._ask_now(Request(encode_request("q", body), answered, LISTEN, survives=False))
        for asked in views:
            asked.asked_number = self._last_number

    # What the server tells

    def _told_put(self, body: dict[str, Any]) -> None:
        self.mirror.told(parse_path(body["p"]), body.get("d"), body.get("t"), is_merge=False)

    def _told_merge(self, body: dict[str, Any]) -> None:
        self.mirror.told(parse_path(body["p"]), body.get("d") or {}, body.get("t"), is_merge=True)

    def _told_cancelled(self, body: dict[str, Any]) -> None:
        """A listen was revoked: the whole one, or the filtered ones whose queries are named."""
        path = parse_path(body["p"])
        views: list[View | None] = [*self.mirror.whole_views(path)]
        if body.get("q"):
            views = [self.mirror.views.get((path, parse_query(spec))) for spec in body["q"]]
        for view in views:
            if view is not None:
                self.mirror.ended(view, "permission_denied", f"may not read {format_path(path)} any more")

    def _told_auth_revoked(self, body: dict[str, Any]) -> None:
        self.on_auth_revoked(str(body.get("d", "")))

    def _told_remark(self, body: dict[str, Any]) -> None:
        self.on_remark(str(body.get("msg", "")))


def _view_body(view: View) -> dict[str, Any]:
    body: dict[str, Any] = {"p": format_path(view.path)}
    if view.tag is not None and view.query is not None:
        body |= {"q": view.query.spec, "t": view.tag}
    return body


def _warns_of_index(payload: Any) -> bool:
    """Whether the answer to a listen has that warning. What else a server may say there is no reason to fail."""
    warnings = payload.get("w") if type(payload) is dict else None
    return type(warnings) is list and "no_index" in warnings


def _parts(path: Path, members: dict[str, Any]) -> Parts:
    """What an update at `path` writes where. Raises Refused."""
    places = [(path + parse_path(key), value) for key, value in members.items()]
    return [(place, parse_write(place, value)) for place, value in places]


def _without(part: tuple[Path, Any], place: Path) -> Parts:
    """What is left of `part` if nothing is to be done at `place`."""
    path, node = part
    if path[: len(place)] == place:
        return []
    if place[: len(path)] != path or not is_map(node):
        return [part]
    return [left for key, child in children(node) for left in _without(((*path, key), child), place)]


def _ignore(status: str, payload: Any) -> None: ...


_TOLD: dict[str, Callable[[Core, dict[str, Any]], None]] = {
    "d": Core._told_put,
    "m": Core._told_merge,
    "c": Core._told_cancelled,
    "ac": Core._told_auth_revoked,
    "sd": Core._told_remark,
}

__all__ = ["DISCONNECTED", "Core", "Done", "Node"]
