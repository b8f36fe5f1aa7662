"""Flags that several commands share: one for each setting, and those that say where a server is.

What a setting means says server/config.py. Settings are taken as text, so that flags, environment and file are read by the same
checks.
"""

from __future__ import annotations

import os
from typing import Annotated, Any

import typer

from meadowlark.server import config as settings


def _option(name: str, metavar: str) -> Any:
    """A flag for one setting."""
    return typer.Option(settings.flag_of(name), metavar=metavar, help=_help(name), show_default=False)


def _help(name: str) -> str:
    """What a setting does and what it is when not given, in both modes where they differ."""
    serve, dev = settings.shown_default(name, "serve"), settings.shown_default(name, "dev")
    return f"{settings.describe(name)} [{serve}]" if serve == dev else f"{settings.describe(name)} [serve: {serve}; dev: {dev}]"


Host = Annotated[str | None, _option("host", "ADDRESS")]
Port = Annotated[str | None, _option("port", "NUMBER")]
Data = Annotated[str | None, _option("data", "FOLDER")]
Workers = Annotated[str | None, _option("workers", "NUMBER")]
Databases = Annotated[str | None, _option("databases", "NAME,…")]
CreateDatabases = Annotated[
    bool | None,
    typer.Option("--create-databases/--no-create-databases", help=_help("create_databases"), show_default=False),
]
Durability = Annotated[str | None, _option("durability", "durable|relaxed")]
TlsCertificate = Annotated[str | None, _option("tls_certificate", "FILE")]
TlsKey = Annotated[str | None, _option("tls_key", "FILE")]
WebTransport = Annotated[
    bool | None, typer.Option("--webtransport/--no-webtransport", help=_help("webtransport"), show_default=False)
]
PublicHost = Annotated[str | None, _option("public_host", "HOST:PORT")]
AdminCredentialFile = Annotated[str | None, _option("admin_credential_file", "FILE")]
FirebaseProjects = Annotated[str | None, _option("firebase_projects", "PROJECT,…")]
FirebaseKeys = Annotated[str | None, _option("firebase_keys", "URL|FILE")]
IdentityFile = Annotated[str | None, _option("identity_file", "FILE")]
RulesFile = Annotated[str | None, _option("rules_file", "FILE")]
VolatileRate = Annotated[str | None, _option("volatile_rate", "N")]
LogLevel = Annotated[str | None, _option("log_level", "debug|info|warning|error")]
LogFormat = Annotated[str | None, _option("log_format", "text|json")]
IdleDatabaseSeconds = Annotated[str | None, _option("idle_database_seconds", "SECONDS")]
SlowOperationSeconds = Annotated[str | None, _option("slow_operation_seconds", "SECONDS")]
ConfigFile = Annotated[
    str | None,
    typer.Option("--config", metavar="FILE", help="TOML file with settings; MEADOWLARK_CONFIG names it as well."),
]
ImportFolder = Annotated[
    str | None,
    typer.Option("--import", metavar="FOLDER", help="dev: begin with the data that 'firebase emulators:export' wrote there."),
]
ExportOnExit = Annotated[
    bool, typer.Option("--export-on-exit", help="dev: write the data to the folder of --import at the end, as it does.")
]
CredentialFile = Annotated[
    str | None, typer.Option("--credential-file", metavar="FILE", help="The admin credential, for a running server.")
]
Url = Annotated[
    str | None, typer.Option("--url", metavar="URL", help="The running server; by default the one that holds the folder.")
]


def load_data(data: str | None, file: str | None) -> settings.Config:
    """The settings of the server on a data folder, as far as its operator's commands need them."""
    return settings.load("serve", file=file, environment=os.environ, flags={"data": data})
