"""What a server says to the person who started it: where it is, how to point a client at it, and what to beware of.

Pure text; the line for programs (`READY …`) is the supervisor's. Never contains the admin credential, only where it is.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Sequence
from urllib.parse import urlsplit

from meadowlark import __version__
from meadowlark.server.build import BUILD
from meadowlark.server.config import Config


def banner(config: Config, urls: Sequence[str], *, data: str) -> str:
    """The lines to print once every worker accepts. `urls`: where it listens; `data`: the folder in use."""
    title = f"Meadowlark {__version__} · {config.mode} · {config.workers} worker{'s' if config.workers > 1 else ''} · {BUILD}"
    lines = _dev(config, urls, data) if config.mode == "dev" else _serve(config, urls, data)
    return "\n".join(["", f"  {title}", *(f"  {line}" if line else "" for line in lines), ""])


def _dev(config: Config, urls: Sequence[str], data: str) -> list[str]:
    host, port = _host_and_port(urls[0])
    kept = f"{data} (kept)" if config.data else f"{data} (thrown away at the end; --data FOLDER keeps it)"
    return [
        *_rows([("listening", " ".join(urls)), ("data", kept)]),
        "",
        *_rows(
            [
                ("JavaScript", f'connectDatabaseEmulator(getDatabase(app), "{host}", {port})'),
                ("Python", f"export FIREBASE_DATABASE_EMULATOR_HOST={host}:{port}"),
                ("curl", f"curl -X PUT -d '\"hello\"' '{urls[0]}/greeting.json?ns=demo'"),
            ]
        ),
        "",
        f"EVERYTHING IS OPEN: {_open(config)}, every token is believed, any database is made when touched.",
        "For development on this machine only. Ctrl-C stops it.",
    ]


def _open(config: Config) -> str:
    return f"but for the rules in {config.rules_file}" if config.rules_file else "no rules until some are set"


def _serve(config: Config, urls: Sequence[str], data: str) -> list[str]:
    credential = config.credential_file(data)
    create = f"{_command()} databases create NAME" + ("" if config.data == "data" else f" --data {data}")
    return [
        *_rows(
            [
                ("listening", " ".join(urls)),
                ("data", data),
                ("admin", f"credential in {credential}; send it as `Authorization: Bearer …`"),
                ("databases", create),
            ]
        ),
        "",
        "Everything is denied without the admin credential until rules say otherwise: meadowlark rules set, docs/rules.md.",
        *_without_tls(config, urls),
    ]


def _without_tls(config: Config, urls: Sequence[str]) -> list[str]:
    host, _ = _host_and_port(urls[0])
    if config.tls_certificate or host in ("127.0.0.1", "::1", "localhost"):
        return []
    return ["No TLS, and not on loopback: the credential crosses the network readable. Set --tls-certificate and --tls-key."]


def _command() -> str:
    """How this person calls us: by name, or by the path of a virtual environment that is not active."""
    called = sys.argv[0]
    return called if os.path.basename(called) == "meadowlark" and not shutil.which("meadowlark") else "meadowlark"


def _rows(rows: Sequence[tuple[str, str]]) -> list[str]:
    return [f"{name:<11} {text}" for name, text in rows]


def _host_and_port(url: str) -> tuple[str, int]:
    parts = urlsplit(url)
    return parts.hostname or "127.0.0.1", parts.port or 80
