"""What do security rules cost a client in a room of ten?

As rooms.py, three times on the same machine in the same run, in turn: as an administrator, whom no rule is asked about; with
each connection signed in by a token of its own and rules that allow everything; and the same with rules as an app has them:
who reads a room or writes into a seat must be a member by the data, and what is written has a shape. *over* is the server's
processor time beside that of the first row of its load: the overhead that rules and identity add. `--full` adds the load of
10,000 connections at which the bar for rooms is, with rules off and on side by side.
"""

from __future__ import annotations

import json
import tempfile
import time
from pathlib import Path
from typing import Any

import jwt

from bench import machine
from bench.bar import RULED, UNRULED
from bench.generator import Load, Report
from bench.harness import Bench, Effort, Measured, Row, main, split_cores, target_of, watched_run
from bench.server import Server

LOAD = Load(connections=1000, writes_per_second=1000)
LOADS_FULL = (Load(connections=10_000, writes_per_second=2000),)
"""The load of the bar in rooms.py, so that its latencies can be compared with rules and without."""
SECRET = "only for a benchmark on the loopback interface"
TOKEN_SECONDS = 3600

OPEN = {"rules": {".read": True, ".write": True}}
APP = {
    "rules": {
        "rooms": {
            "$room": {
                ".read": "auth != null && root.child('members').child($room).child(auth.uid).exists()",
                "$seat": {
                    ".write": "auth != null && root.child('members').child($room).child(auth.uid).val() === $seat",
                    ".validate": "newData.hasChildren(['v'])",
                    "v": {".validate": "newData.isString() && newData.val().length <= 1000"},
                    "$other": {".validate": False},
                },
            }
        }
    }
}
WAYS: dict[str, Any] = {UNRULED: None, "all open, signed in": OPEN, RULED: APP}


def measure(effort: Effort) -> tuple[list[Row], list[Any]]:
    """A row for each way, of each load."""
    rows: list[Row] = []
    details: list[Any] = []
    for load in (LOAD, *(LOADS_FULL if effort.full else ())):
        load = load.lasting(effort.seconds)
        runs: dict[str, list[Report]] = {way: [] for way in WAYS}
        for _ in range(effort.runs):  # In turn, so that a slow hour of the machine is shared by all.
            for way, rules in WAYS.items():
                runs[way].append(_run(load, rules))
        without = Measured(load, runs[next(iter(WAYS))]).median("server_cores")
        for way in WAYS:
            measured = Measured(load, runs[way])
            over = (measured.median("server_cores") / max(without, 0.01) - 1) * 100
            rows.append({"rules": way, "over": f"{over:+.0f} %", **measured.row()})
            details.append(measured.runs)
    return rows, details


def _run(load: Load, rules: Any) -> Report:
    with tempfile.TemporaryDirectory(dir=machine.cache_folder("bench")) as name:
        folder = Path(name)
        secret, identities, tokens = folder / "secret", folder / "identity.toml", folder / "tokens"
        secret.touch(0o600)
        secret.write_text(SECRET)
        identities.write_text('[tokens.bench]\nalgorithm = "HS256"\nkey_file = "secret"\n')
        with Server(cores=split_cores()[0], flags=("--identity-file", str(identities))) as server:
            if rules is None:
                return watched_run(load, target_of(server), server.usage)
            tokens.write_text("".join(f"{_token(index)}\n" for index in range(load.connections)))
            put(server, "/members.json", _members(load))
            put(server, "/.settings/rules.json", rules)
            target = ["--host", server.host, "--port", str(server.port), "--auth-file", str(tokens)]
            return watched_run(load, target, server.usage)


def _token(index: int) -> str:
    return jwt.encode({"sub": f"u{index}", "exp": int(time.time()) + TOKEN_SECONDS}, SECRET, algorithm="HS256")


def _members(load: Load) -> Any:
    """Who may be where: the seats that load.c gives to its clients."""
    members: dict[str, dict[str, str]] = {}
    for index in range(load.connections):
        room, seat = divmod(index, load.room_size)
        members.setdefault(f"r{room}", {})[f"u{index}"] = f"c{seat}"
    return members


def put(server: Server, path: str, value: Any) -> None:
    """Sets `path` of the database that is measured, as an administrator. Raises SystemExit."""
    server.ask("PUT", f"{path}?ns=bench", json.dumps(value).encode())


BENCH = Bench(
    name="ruled",
    question=(__doc__ or "").partition("\n")[0],
    not_shown="the checking of tokens, done before measuring (tokens.py); decisions alone and other rule sets (rules.py).",
    measure=measure,
)

if __name__ == "__main__":
    main([BENCH])
