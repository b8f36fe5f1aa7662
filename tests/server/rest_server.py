"""A worker in memory behind a real socket: the REST path under test without processes or disk.

`MemoryShard` runs the real engine; a write becomes durable when the test lets it (`hold`, `release`), else in the next loop turn.
`serve` runs a test's coroutine beside a listening server and closes everything when it returns.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import orjson
import uvloop

from meadowlark.auth.credentials import Credentials
from meadowlark.auth.tokens import DevVerifier, Verifier
from meadowlark.auth.verifier import ServeVerifier
from meadowlark.engine import Access, Command, Commit, Database, Effect, Locked, Open, Push, Reply, Revoke, Work
from meadowlark.errors import Code, Refused
from meadowlark.ids import PushIds, check_database_name
from meadowlark.server.board import Published
from meadowlark.server.config import Config
from meadowlark.server.expiries import Expiries
from meadowlark.server.hosted import Hosted
from meadowlark.server.http import HttpConnection
from meadowlark.server.identities import Identities
from meadowlark.server.large_writes import LargeWrites
from meadowlark.server.long_poll import LongPolls
from meadowlark.server.metrics import Numbers
from meadowlark.server.outbox import Turn
from meadowlark.server.rule_sets import RuleSets
from meadowlark.server.rule_store import RuleStore
from meadowlark.server.slicer import Slicer
from meadowlark.server.webtransport import WebTransports
from meadowlark.testing import MemoryFiles
from meadowlark.tree import encode
from meadowlark.wire.drops import drop_of

ADMIN_CREDENTIAL = "the-admin-credential"
SECONDS = 60.0
"""For a whole test; none needs more than a fraction of it."""
SOCKET_BYTES = 65_536
"""Asked of the kernel for each end's buffer, so that a client that does not read is soon noticed."""


class MemoryShard:
    def __init__(self, access: Access, *, create: bool) -> None:
        self._access = access
        self._create = create
        self._hosted: dict[str, Hosted] = {}
        self.failure: str | None = None
        self.holds = False
        """Whether writes wait for `release` before they are durable, and indexes until it is over."""
        self._waiting: list[tuple[Any, Any]] = []
        self.entries: list[Any] = []
        self.keeps_entries = True
        """False: records are made and let go, as where a journal takes them."""

    def find(self, name: str) -> Hosted | None:
        return self._hosted.get(name)

    async def open(self, name: str, *, admin: bool = False) -> Hosted:
        await asyncio.sleep(0)
        if name not in self._hosted:
            if not self._create:
                raise Refused(Code.UNKNOWN_DATABASE, f"There is no database {name!r} here")
            self.create(name)
        return self._hosted[name]

    @property
    def hosted(self) -> list[Hosted]:
        return list(self._hosted.values())

    def create(self, name: str) -> None:
        self._hosted.setdefault(check_database_name(name), Hosted(Database(name, self._access)))

    def names(self) -> list[str]:
        return list(self._hosted)

    def apply_first(self, hosted: Hosted, commands: Sequence[Command]) -> None:
        for command in commands:
            self.apply(hosted, command)

    def apply(self, hosted: Hosted, command: Command, read_at: int = 0) -> None:
        out: list[Effect] = []
        hosted.database.apply(command, 1_700_000_000_000, out)
        for effect in out:
            if isinstance(effect, Push):
                for listener in effect.listeners:
                    listener.deliver(effect)  # type: ignore[attr-defined]
            elif isinstance(effect, Commit):
                record = effect.record or encode(effect.entries)
                if self.keeps_entries:
                    self.entries.append(orjson.loads(record))
                if effect.reply is not None:
                    client: Any = effect.reply.client
                    self._waiting.append((client, client.encode_reply(effect.reply)))
                    if not self.holds:
                        asyncio.get_running_loop().call_soon(self.release)
            elif isinstance(effect, Reply):
                asker: Any = effect.client
                if effect.request is None and effect.refused is not None:
                    asker.drop(drop_of(effect.refused.code), text=effect.refused.text)
                asker.send_reply(asker.encode_reply(effect))
            elif isinstance(effect, Work):
                asyncio.get_running_loop().call_soon(self._work, hosted, effect)
            elif isinstance(effect, Revoke):
                effect.client.revoke(effect)  # type: ignore[attr-defined]

    def _work(self, hosted: Hosted, work: Work) -> None:
        if self.holds:
            asyncio.get_running_loop().call_later(0.001, self._work, hosted, work)
            return
        for _ in work.steps:
            pass
        if work.then is not None:
            self.apply(hosted, work.then)

    @property
    def waiting_count(self) -> int:
        """Writes that are not durable yet."""
        return len(self._waiting)

    def release(self) -> None:
        """What was held is durable now."""
        waiting, self._waiting = self._waiting, []
        for client, encoded in waiting:
            client.send_reply(encoded)

    def tree(self, name: str) -> Any:
        return self._hosted[name].database.tree


class MemoryWorker:
    """The WorkerApi of a worker that owns every database but those in `foreign`."""

    def __init__(self, mode: str = "dev") -> None:
        is_dev = mode == "dev"
        self.config = Config(mode=mode)  # type: ignore[arg-type]
        self.shard = MemoryShard(Open() if is_dev else Locked(), create=is_dev)
        verifier: Verifier = DevVerifier() if is_dev else ServeVerifier(Credentials(ADMIN_CREDENTIAL))
        self.identities = Identities(verifier, lambda: self.now_ms() / 1000)
        files = MemoryFiles()
        files.make_folder("data")
        self.rules = RuleSets(RuleStore(files, "data"), mode)
        self.turn = Turn(asyncio.get_running_loop())
        self.slicer = Slicer()
        self.large_writes = LargeWrites(self.slicer, self.now_ms)
        self.push_ids = PushIds(lambda bound: 0)
        self.expiries: Expiries[Any] = Expiries()
        self.connections: set[Any] = set()
        self.sessions: set[Any] = set()
        self.long_polls = LongPolls(self)  # type: ignore[arg-type]  # its shard is one in memory
        self.draining = False
        self.tells_drops = is_dev
        self.webtransports = WebTransports(self, self.config, 0, asyncio.ensure_future)  # type: ignore[arg-type]
        self.foreign: set[str] = set()
        self.passed: list[tuple[bytes, str]] = []
        self.upgraded: list[tuple[bytes, bytes, str, dict[str, str], str]] = []

    def now_ms(self) -> int:
        return 1_700_000_000_000

    def read_metrics(self) -> list[Published]:
        return [Published(0, 1, Numbers(self.turn.stopwatch.metrics.cells()))]

    def owns(self, database: str) -> bool:
        return database not in self.foreign

    def pass_on(self, transport: asyncio.Transport, data: bytes, database: str, *, secure: bool) -> None:
        self.passed.append((data, database))
        transport.abort()

    def upgrade(
        self, transport: asyncio.Transport, head: bytes, rest: bytes, database: str, parameters: dict[str, str], host: str
    ) -> None:
        self.upgraded.append((head, rest, database, parameters, host))
        transport.abort()


class Peer:
    """A client of bytes."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    async def response(self, *, to_head: bool = False) -> tuple[int, dict[str, str], bytes]:
        """One response. to_head: the request was HEAD, so no body follows."""
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        first, *lines = head.split("\r\n")[:-2]
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        status = int(first.split()[1])
        if to_head or status in (204, 304):
            return status, headers, b""
        if headers.get("transfer-encoding") == "chunked":
            return status, headers, await self._chunks()
        if "content-length" in headers:
            return status, headers, await self.reader.readexactly(int(headers["content-length"]))
        return status, headers, b""

    async def _chunks(self) -> bytes:
        body = bytearray()
        while True:
            size = int(await self.reader.readuntil(b"\r\n"), 16)
            piece = await self.reader.readexactly(size + 2)
            if not size:
                return bytes(body)
            body += piece[:-2]

    async def ask(
        self, method: str, target: str, body: bytes | str | None = None, **headers: str
    ) -> tuple[int, dict[str, str], bytes]:
        """One request and its response. Header names are given with underscores."""
        lines = [f"{method} {target} HTTP/1.1"]
        named = {"host": "localhost:9000"} | {name.replace("_", "-"): value for name, value in headers.items()}
        lines += [f"{name}: {value}" for name, value in named.items()]
        content = body.encode() if isinstance(body, str) else body or b""
        if body is not None:
            lines.append(f"content-length: {len(content)}")
        self.send("\r\n".join(lines).encode() + b"\r\n\r\n" + content)
        return await self.response(to_head=method == "HEAD")

    async def line(self) -> bytes:
        """The next line without its end, however long."""
        pieces = []
        while True:
            try:
                return b"".join(pieces) + (await self.reader.readuntil(b"\n"))[:-1]
            except asyncio.LimitOverrunError as error:
                pieces.append(await self.reader.readexactly(error.consumed))

    async def is_closed(self) -> bool:
        """Whether the server ends the connection without another byte."""
        return await self.reader.read() == b""

    def close(self) -> None:
        self.writer.close()


class Served:
    """A running server: `worker` to look into, `connect` to ask."""

    def __init__(self, worker: MemoryWorker, port: int) -> None:
        self.worker = worker
        self.consumed = b""
        """What the next connections are made with, as if another worker had read it of them."""
        self._port = port
        self._peers: list[Peer] = []

    async def connect(self) -> Peer:
        connection = socket.socket()
        connection.setblocking(False)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SOCKET_BYTES)
        await asyncio.get_running_loop().sock_connect(connection, ("127.0.0.1", self._port))
        peer = Peer(*await asyncio.open_connection(sock=connection))
        self._peers.append(peer)
        return peer

    def close(self) -> None:
        for peer in self._peers:
            peer.close()


def make(worker: MemoryWorker, consumed: bytes) -> HttpConnection:
    connection = HttpConnection(worker, secure=False)
    connection.replay(consumed)
    return connection


def serve(test: Callable[[Served], Awaitable[None]], *, mode: str = "dev", seconds: float = SECONDS) -> None:
    """Runs `test` beside a server on loopback, bounded in time, on the loop and transports of a real worker; nothing is left."""

    async def run() -> None:
        worker = MemoryWorker(mode)
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SOCKET_BYTES)
        listener.bind(("127.0.0.1", 0))
        listener.listen(128)
        listener.setblocking(False)
        served = Served(worker, listener.getsockname()[1])
        accepting = asyncio.create_task(accept(listener, served))
        try:
            await asyncio.wait_for(test(served), seconds)
        finally:
            accepting.cancel()
            listener.close()
            served.close()
            for connection in list(worker.connections):
                connection.abort()
            while worker.connections:
                await asyncio.sleep(0)
            await asyncio.sleep(0.001)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run())


async def accept(listener: socket.socket, served: Served) -> None:
    loop = asyncio.get_running_loop()
    while True:
        connection, _ = await loop.sock_accept(listener)
        await loop.connect_accepted_socket(lambda: make(served.worker, served.consumed), connection)
